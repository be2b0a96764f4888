//! Where the URLs come from: the command line, files, standard input. They are read as they are
//! needed; of a list of any length only a part is in memory (see `schedule`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a line. At the limit: the line is an error, and the next one is read.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What stands in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Url(String),
    /// Something else: how it is shown, and what is wrong.
    Bad {
        shown: String,
        why: String,
    },
}

/// What is to be fetched, in order.
pub(super) struct Input {
    sources: VecDeque<Source>,
}

enum Source {
    Url(String),
    Lines(Lines),
}

struct Lines {
    /// For complaints.
    name: String,
    reader: BufReader<Box<dyn Read + Send>>,
}

impl Input {
    /// First `urls`, of which `-` stands for standard input, then the lines of `files`, of which `-`
    /// does, too.
    ///
    /// # Errors
    /// What is wrong, when there is nothing to read, or a file cannot be opened.
    pub(super) fn open(urls: &[String], files: &[String]) -> Result<Input, String> {
        if urls.is_empty() && files.is_empty() {
            return Err("nothing to fetch: give URLs, or a file of them with --input".into());
        }
        if urls.iter().chain(files).filter(|name| *name == "-").count() > 1 {
            return Err("standard input (-) can be read only once".into());
        }
        let mut sources = VecDeque::new();
        for url in urls {
            sources.push_back(if url == "-" { stdin() } else { Source::Url(url.clone()) });
        }
        for file in files {
            sources.push_back(if file == "-" { stdin() } else { open(file)? });
        }
        Ok(Input { sources })
    }

    /// The next URLs, at most `max`; none at the end. Waits for the first, but not for more than
    /// are there: a slow writer's first URL does not wait for its second.
    pub(super) fn read(&mut self, max: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < max {
            match self.sources.pop_front() {
                None => break,
                Some(Source::Url(url)) => items.push(Item::Url(url)),
                Some(Source::Lines(lines)) if !items.is_empty() && !lines.has_line() => {
                    self.sources.push_front(Source::Lines(lines));
                    break;
                }
                Some(Source::Lines(mut lines)) => {
                    if let Some(item) = lines.next() {
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
    let reader = BufReader::new(Box::new(io::stdin()) as Box<dyn Read + Send>);
    Source::Lines(Lines { name: "standard input".into(), reader })
}

fn open(path: &str) -> Result<Source, String> {
    let file =
        File::open(path).map_err(|error| format!("cannot read URLs from {path}: {error}"))?;
    let reader = BufReader::new(Box::new(file) as Box<dyn Read + Send>);
    Ok(Source::Lines(Lines { name: path.to_owned(), reader }))
}

impl Lines {
    /// A whole line can be had without waiting.
    fn has_line(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    /// The next line; nothing in it if it is empty or a comment. `None` at the end.
    fn next(&mut self) -> Option<Option<Item>> {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        match (&mut self.reader).take(limit).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.len() > LINE_BYTES_MAX => {
                let shown = String::from_utf8_lossy(&line[..60]).into_owned() + "…";
                let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                let skipped = self.skip_line();
                Some(Some(skipped.unwrap_or(Item::Bad { shown, why })))
            }
            Ok(_) => Some(item(&line)),
            Err(error) => {
                // Once: nobody knows where the next line begins.
                self.reader = BufReader::new(Box::new(io::empty()));
                Some(Some(self.broken(&error)))
            }
        }
    }

    /// Reads on to the next line.
    fn skip_line(&mut self) -> Option<Item> {
        self.reader.skip_until(b'\n').err().map(|error| self.broken(&error))
    }

    fn broken(&self, error: &io::Error) -> Item {
        Item::Bad { shown: self.name.clone(), why: format!("cannot read on: {error}") }
    }
}

fn item(line: &[u8]) -> Option<Item> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    Some(match str::from_utf8(line) {
        Ok(url) => Item::Url(url.to_owned()),
        Err(_) => Item::Bad {
            shown: String::from_utf8_lossy(line).into_owned(),
            why: "the line is not UTF-8".into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Gives what comes through a channel, piece by piece, and fails behind the last.
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
        let reader = BufReader::new(Box::new(reader) as Box<dyn Read + Send>);
        let lines = Lines { name: "list".into(), reader };
        Input { sources: [Source::Url("first".into()), Source::Lines(lines)].into() }
    }

    /// Everything, read in pieces of at most `max`, and how large the largest was.
    fn all(mut input: Input, max: usize) -> (Vec<Item>, usize) {
        let pieces = std::iter::from_fn(|| Some(input.read(max)).filter(|items| !items.is_empty()));
        let pieces: Vec<_> = pieces.collect();
        let largest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        (pieces.concat(), largest)
    }

    fn url(text: &str) -> Item {
        Item::Url(text.into())
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
            matches!(&broken[..], [Item::Bad { shown, why }] if shown == "list" && why.contains("torn"))
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
    fn what_cannot_be_read_is_said_before_anything_begins() {
        let refused = |urls: &[&str], files: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            Input::open(&own(urls), &own(files)).err().unwrap()
        };
        assert!(refused(&[], &[]).contains("nothing to fetch"));
        assert!(refused(&["-"], &["-"]).contains("only once"));
        assert!(refused(&[], &["/no/such/file"]).contains("/no/such/file: No such file"));
    }
}
