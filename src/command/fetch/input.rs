//! Where the URLs come from: the command line, files, standard input. They are read as they are
//! needed; of a list of any length only a part is in memory (see `schedule`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use memchr::{memchr2, memmem};

use super::address::Address;
use super::shard::Shard;

/// Bytes of a line. At the limit: the line is an error, and the next one is read.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What stands in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Url(Address),
    /// Something else: how it is shown, and what is wrong.
    Bad {
        shown: Address,
        why: String,
    },
}

impl Item {
    fn is_of(&self, shard: Option<Shard>) -> bool {
        let (Item::Url(address) | Item::Bad { shown: address, .. }) = self;
        shard.is_none_or(|shard| shard.takes(address))
    }
}

/// What is to be fetched, in order.
pub(super) struct Input {
    sources: VecDeque<Source>,
    /// The rest of what is read is for others.
    shard: Option<Shard>,
}

enum Source {
    Url(Address),
    Lines(Lines),
}

struct Lines {
    /// For complaints.
    name: String,
    /// A line was read.
    is_begun: bool,
    reader: BufReader<Box<dyn Read + Send>>,
}

impl Input {
    /// First `urls`, of which `-` stands for standard input, then the lines of `files`, of which `-`
    /// does, too. With a `shard`, only what is its own.
    ///
    /// # Errors
    /// What is wrong, when there is nothing to read, or a file cannot be opened.
    pub(super) fn open(
        urls: &[String],
        files: &[String],
        shard: Option<Shard>,
    ) -> Result<Input, String> {
        if urls.is_empty() && files.is_empty() {
            return Err("nothing to fetch: give URLs, or a file of them with --input".into());
        }
        if urls.iter().chain(files).filter(|name| *name == "-").count() > 1 {
            return Err("standard input (-) can be read only once".into());
        }
        let mut sources = VecDeque::new();
        for url in urls {
            sources.push_back(if url == "-" { stdin() } else { Source::Url(Address::new(url)) });
        }
        for file in files {
            sources.push_back(if file == "-" { stdin() } else { open(file)? });
        }
        Ok(Input { sources, shard })
    }

    /// The next URLs, at most `max`; none at the end. Waits for the first, but not for more than
    /// are there: a slow writer's first URL does not wait for its second.
    pub(super) fn read(&mut self, max: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < max {
            match self.sources.pop_front() {
                None => break,
                Some(Source::Url(url)) => {
                    let item = Item::Url(url);
                    items.extend(item.is_of(self.shard).then_some(item));
                }
                Some(Source::Lines(lines)) if !items.is_empty() && !lines.has_line() => {
                    self.sources.push_front(Source::Lines(lines));
                    break;
                }
                Some(Source::Lines(mut lines)) => {
                    if let Some(item) = lines.next(self.shard) {
                        items.extend(item);
                        self.sources.push_front(Source::Lines(lines));
                    }
                }
            }
        }
        items
    }
}

fn stdin() -> Source {
    Source::Lines(Lines::new("standard input", io::stdin()))
}

fn open(path: &str) -> Result<Source, String> {
    let file =
        File::open(path).map_err(|error| format!("cannot read URLs from {path}: {error}"))?;
    Ok(Source::Lines(Lines::new(path, file)))
}

/// A line without its end, and what is the matter with it.
struct Line {
    /// At most [`LINE_BYTES_MAX`].
    text: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    fn new(name: impl Into<String>, from: impl Read + Send + 'static) -> Lines {
        Lines { name: name.into(), is_begun: false, reader: BufReader::new(Box::new(from)) }
    }

    /// A whole line can be had without waiting.
    fn has_line(&self) -> bool {
        memchr2(b'\n', b'\r', self.reader.buffer()).is_some()
    }

    /// The next line; nothing in it if it is empty, a comment, or another shard's. `None` at the end. That it cannot be
    /// read on concerns every shard.
    fn next(&mut self, shard: Option<Shard>) -> Option<Option<Item>> {
        match self.read_line() {
            Ok(None) => None,
            Ok(Some(line)) if !self.is_begun && is_utf16(&line.text) => {
                Some(Some(self.end("it is UTF-16, and has to be UTF-8".into())))
            }
            Ok(Some(line)) => {
                self.is_begun = true;
                Some(line.item().filter(|item| item.is_of(shard)))
            }
            // Once: there is no telling where the next line begins.
            Err(error) => Some(Some(self.end(format!("cannot read on: {error}")))),
        }
    }

    /// A line ends with LF, CRLF, or CR alone, as lists from everywhere do. (Behind the CR of a CRLF
    /// there is an empty line more, which is skipped as all are.)
    fn read_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { text: Vec::new(), is_too_long: false };
        let mut is_begun = false;
        loop {
            let here = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                here => here?,
            };
            if here.is_empty() {
                return Ok(is_begun.then_some(line));
            }
            is_begun = true;
            let end = memchr2(b'\n', b'\r', here);
            line.push(&here[..end.unwrap_or(here.len())]);
            let used = end.map_or(here.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }

    /// Nothing more will come of it.
    fn end(&mut self, why: String) -> Item {
        self.reader = BufReader::new(Box::new(io::empty()));
        Item::Bad { shown: Address::new(&*self.name), why }
    }
}

impl Line {
    fn push(&mut self, more: &[u8]) {
        let room = LINE_BYTES_MAX - self.text.len();
        self.text.extend_from_slice(&more[..more.len().min(room)]);
        self.is_too_long |= more.len() > room;
    }

    /// What stands in it: `URL`, or `URL # a note`, or nothing.
    fn item(&self) -> Option<Item> {
        // Lists that begin with a mark may have been put together.
        let text = self.text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.text);
        let text = text.trim_ascii();
        let is_note =
            |at: &usize| matches!(text.get(at.wrapping_sub(1)), None | Some(b' ' | b'\t'));
        let end = memmem::find_iter(text, b"#").find(is_note).unwrap_or(text.len());
        let text = text[..end].trim_ascii_end();
        let bad = |why: &str| {
            let shown = Address::new(String::from_utf8_lossy(text));
            Some(Item::Bad { shown, why: why.to_owned() })
        };
        match str::from_utf8(text) {
            _ if self.is_too_long => {
                let shown = Address::new(String::from_utf8_lossy(text));
                let beginning: String = shown.shown().chars().take(60).chain(['…']).collect();
                let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                Some(Item::Bad { shown: Address::new(beginning), why })
            }
            Ok("") => None,
            Ok(url) => Some(Item::Url(Address::new(url))),
            Err(_) => bad("the line is not UTF-8"),
        }
    }
}

/// Whether a list begins so, as those of some editors and shells do.
fn is_utf16(line: &[u8]) -> bool {
    matches!(line, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Returns what comes through a channel, piece by piece, and fails after the last.
    struct Pipe(Receiver<Vec<u8>>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(piece) => {
                    buffer[..piece.len()].copy_from_slice(&piece);
                    Ok(piece.len())
                }
                Err(_) => Err(io::Error::other("torn")),
            }
        }
    }

    fn input(reader: impl Read + Send + 'static) -> Input {
        let lines = Lines::new("list", reader);
        let sources = [Source::Url(Address::new("first")), Source::Lines(lines)].into();
        Input { sources, shard: None }
    }

    /// Everything, read in pieces of at most `max`, and how large the largest was.
    fn all(mut input: Input, max: usize) -> (Vec<Item>, usize) {
        let pieces = std::iter::from_fn(|| Some(input.read(max)).filter(|items| !items.is_empty()));
        let pieces: Vec<_> = pieces.collect();
        let largest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        (pieces.concat(), largest)
    }

    fn url(text: &str) -> Item {
        Item::Url(Address::new(text))
    }

    #[test]
    fn empty_lines_and_comments_are_skipped() {
        let input = input(&b"\n# a list\r\n  http://a/  \r\n\nhttp://b/#c"[..]);
        assert_eq!(all(input, 10).0, [url("first"), url("http://a/"), url("http://b/#c")]);
    }

    #[test]
    fn at_most_so_many_are_read() {
        let urls = ["first", "a", "b", "c", "d"].map(url);
        assert_eq!(all(input(&b"a\nb\nc\nd\n"[..]), 2), (urls.to_vec(), 2));
    }

    #[test]
    fn what_is_there_does_not_wait_for_what_is_not() {
        let (pipe, end) = channel();
        let mut input = input(Pipe(end));
        assert_eq!(input.read(10), [url("first")]);
        pipe.send(b"a\nb\nhalf".to_vec()).unwrap();
        assert_eq!(input.read(10), [url("a"), url("b")]);
        pipe.send(b"way\n".to_vec()).unwrap();
        assert_eq!(input.read(10), [url("halfway")]);
        drop(pipe);
        let broken = input.read(10);
        assert!(
            matches!(&broken[..], [Item::Bad { shown, why }] if shown.shown() == "list" && why.contains("torn"))
        );
        assert_eq!(input.read(10), []);
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 5];
        text.extend_from_slice(b"\n\xff\nhttp://a/\n");
        let (items, _) = all(input(io::Cursor::new(text)), 10);
        assert!(matches!(&items[1], Item::Bad { why, .. } if why.contains("longer than 65536")));
        assert!(matches!(&items[2], Item::Bad { why, .. } if why.contains("not UTF-8")));
        assert_eq!(items[3..], [url("http://a/")]);
    }

    #[test]
    fn lists_from_everywhere_are_read() {
        for (text, urls) in [
            (
                &b"\xef\xbb\xbfhttp://a/\r\n\xef\xbb\xbfhttp://b/\n"[..],
                &["http://a/", "http://b/"][..],
            ),
            (b"\xef\xbb\xbf# only a note\n", &[]),
            (b"http://a/\rhttp://b/\r\rhttp://c/", &["http://a/", "http://b/", "http://c/"]),
            (
                b"http://a/ # the first\nhttp://b/#part\t#note # more\n",
                &["http://a/", "http://b/#part"],
            ),
            (b"http://a/?x=#y#z\n  # note\n#\n", &["http://a/?x=#y#z"]),
            (b"http://a/\xc3\xbc # J\xc3\xbcrgen\n", &["http://a/\u{fc}"]),
        ] {
            // However it comes.
            for size in 1..=text.len() {
                let pieces = text.chunks(size).map(<[u8]>::to_vec).collect();
                let (items, _) = all(input(Pieces(pieces)), 10);
                let expected: Vec<_> = ["first"].iter().chain(urls).map(|text| url(text)).collect();
                assert_eq!(items, expected, "{}", text.escape_ascii());
            }
        }
    }

    /// Returns one piece after the other.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn shards_together_are_the_list_each_line_once_and_in_order() {
        let line = |number: usize| match number % 7 {
            0 => format!("# a note {number}"),
            1 => format!("no URL {number}"),
            2 => format!("http://\u{e4}{}/ # {number}", number % 11),
            _ => format!("http://host-{}:{}/{number}", number % 13, 80 + number % 2),
        };
        let list: Vec<u8> =
            (0..500).flat_map(|number| (line(number) + "\n").into_bytes()).collect();
        let list = [&list[..], b"http://h/\xff\n"].concat();
        let read = |shard: Option<&str>, size: usize| {
            let mut input = input(io::Cursor::new(list.clone()));
            input.shard = shard.map(|shard| shard.parse().unwrap());
            all(input, size).0
        };
        let whole = read(None, 10);
        for of in [1, 2, 3, 8] {
            let shards: Vec<Vec<Item>> =
                (0..of).map(|index| read(Some(&format!("{index}/{of}")), 10)).collect();
            assert_eq!(shards.iter().map(Vec::len).sum::<usize>(), whole.len());
            let mut rest: Vec<_> = shards.iter().map(|items| items.iter().peekable()).collect();
            for item in &whole {
                let shard = rest.iter_mut().position(|shard| shard.peek() == Some(&item));
                rest[shard.unwrap_or_else(|| panic!("{item:?} is in no shard"))].next();
            }
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_fails_every_shard() {
        for shard in ["0/2", "1/2"] {
            let mut input = input(&b"\xff\xfeh\0"[..]);
            input.shard = Some(shard.parse().unwrap());
            let (items, _) = all(input, 10);
            assert!(
                items.iter().any(|item| matches!(item, Item::Bad { .. })),
                "{shard}: {items:?}"
            );
        }
    }

    #[test]
    fn a_list_in_another_encoding_is_called_by_its_name() {
        for text in [&b"\xff\xfeh\0t\0\n\0x\0"[..], b"\xfe\xff\0h\0t\0\n\0x"] {
            let (items, _) = all(input(io::Cursor::new(text.to_vec())), 10);
            assert_eq!(items.len(), 2, "one complaint: {items:?}");
            assert!(
                matches!(&items[1], Item::Bad { shown, why } if shown.shown() == "list" && why.contains("UTF-16"))
            );
        }
    }

    #[test]
    fn no_complaint_about_a_line_shows_a_password() {
        let long = format!("http://me:{}@h/", "secret".repeat(LINE_BYTES_MAX / 12));
        let text =
            [long.as_bytes(), &[b'x'; LINE_BYTES_MAX], b"\nhttp://me:secret@h/\xff\n"].concat();
        let (items, _) = all(input(io::Cursor::new(text)), 10);
        let shown: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Url(url) => url.shown().into_owned(),
                Item::Bad { shown, .. } => shown.shown().into_owned(),
            })
            .collect();
        assert_eq!(shown.len(), 3);
        assert!(shown[1].starts_with("http://h/xxx") && shown[1].ends_with('…'), "{shown:?}");
        assert_eq!(shown[2], "http://h/\u{fffd}");
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_read_is_said_before_anything_begins() {
        let refused = |urls: &[&str], files: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            Input::open(&own(urls), &own(files), None).err().unwrap()
        };
        assert!(refused(&[], &[]).contains("nothing to fetch"));
        assert!(refused(&["-"], &["-"]).contains("only once"));
        assert!(refused(&[], &["/no/such/file"]).contains("/no/such/file: No such file"));
    }
}
