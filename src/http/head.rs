//! The head of a request: when it is complete, what is wrong with it, and what it says. The field lines of a
//! reply are read by the same functions.
//!
//! Most heads come whole, and are read in one pass: [`read_fields`] takes the lines apart, checks every
//! byte of them, and collects what steers the connection. A head that comes in parts, or is wrong, goes through
//! [`LineCheck`] first, which remembers how far it came, looks for line ends only, and refuses at the first
//! byte that cannot be; it is taken apart when it is complete.
//!
//! Every check fires at a position that the bytes before it determine, and no scan looks beyond the
//! position of the limit: a head gets the same verdict whole or dripped.

use super::framing::{Directives, Steering};
use super::grammar::{is_token_byte, look_at_target, text_bytes, token_bytes, trim};
use super::{Error, Headers, Request, Target, Version};
use crate::limits::{FIELDS_MAX_CEILING, Limits};
use memchr::{memchr, memchr2};
use std::iter;

/// How far the lines of a head have been checked. Belongs to one head, which must begin at the same
/// byte in every call, with its request line; `LineCheck::default()` has seen nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineCheck {
    /// Bytes `..scanned` are checked. A CR at `scanned` may be waiting for its LF.
    scanned: u32,
    /// Complete field lines.
    fields: u16,
    part: Part,
    /// The method is known to be HEAD. The rest of the line may be wrong, or missing: the answer to HEAD has no
    /// content even then (RFC 9110 section 9.3.2).
    pub(super) is_head: bool,
}

/// Which part of the head `scanned` is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    #[default]
    Untouched,
    /// The CR of the empty line that may come before the request line.
    EmptyLineCr,
    /// That empty line.
    EmptyLine,
    Method,
    /// Behind the method, in the request line.
    Target,
    Fields,
}

/// A complete head, every byte of which is checked.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// All of it, from the request line to the empty line.
    pub(super) bytes: &'a [u8],
    /// With no body and no peer.
    pub(super) request: Request<'a>,
    /// What its fields say to the server itself, or what is wrong with that.
    pub(super) directives: Result<Directives, Error>,
}

/// A request line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RequestLine<'a> {
    method: &'a str,
    target_text: &'a str,
    target: Target<'a>,
    version: Version,
}

/// What a field line means that begins with white space.
pub(super) enum Folding<'a> {
    /// An error, as in every request: a proxy between us and the client may have read it in another way
    /// (RFC 9112 section 5.2).
    Refused,
    /// The field before goes on, as in a reply that we have asked for; that it is so is noted. Before the
    /// first field there is none that could go on (RFC 9112 section 2.2).
    Noted(&'a mut bool),
}

/// The next line end within a window.
pub(super) enum LineEnd {
    /// The position after its CRLF.
    At(usize),
    /// Not in the window; bytes before this position need no second look.
    NotBefore(usize),
}

impl LineCheck {
    /// Takes the one empty line off that a client may send too much (RFC 9112 section 2.2), byte by
    /// byte as it comes. It is no beginning of a request: some clients end their bodies with it, and
    /// then say nothing for long, so it must neither be kept nor start the time for a head.
    ///
    /// # Errors
    /// When its CR has no LF.
    pub(super) fn skip_empty_line(&mut self, input: &mut &[u8]) -> Result<(), Error> {
        while self.part < Part::Method {
            self.part = match (self.part, input.first()) {
                (_, None) => return Ok(()),
                (Part::Untouched, Some(b'\r')) => Part::EmptyLineCr,
                (Part::EmptyLineCr, Some(b'\n')) => Part::EmptyLine,
                (Part::EmptyLineCr, Some(_)) => return Err(Error::BareCr),
                _ => {
                    self.part = Part::Method;
                    return Ok(());
                }
            };
            *input = &input[1..];
        }
        Ok(())
    }

    /// Checks what is new of `bytes`, which begin with the head. Returns the head when all of it is
    /// there, its empty line included.
    ///
    /// # Errors
    /// At the first byte that cannot be, or is one too many. Names and values of fields are looked at when the
    /// head is complete.
    pub(super) fn scan<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, Error> {
        debug_assert!(
            self.scanned as usize <= bytes.len(),
            "what was left must be presented again"
        );
        if self.scanned == 0
            && let Some(head) = Head::usual(bytes, limits)
        {
            return Ok(Some(head));
        }
        // Not all of it is here, or something is unusual, or wrong. What, and at which byte, is found line by line.
        if self.part < Part::Fields && !self.scan_request_line(bytes, limits)? {
            return Ok(None);
        }
        let Some(end) = self.scan_fields(bytes, limits)? else { return Ok(None) };
        Head::parse(&bytes[..end]).map(Some)
    }

    /// Finds the request line, which is judged as soon as its CRLF is there. True once it is found good.
    fn scan_request_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<bool, Error> {
        debug_assert!(self.part >= Part::Method, "the empty line before it is taken off");
        // A request line is part of its head, even if its own limit is larger.
        let bytes_max = limits.request_line_bytes_max.min(limits.head_bytes_max);
        let window = window(bytes, bytes_max);
        if self.part == Part::Method {
            self.scan_method(window)?;
        }
        if self.part == Part::Target {
            match line_end(window, self.scanned as usize)? {
                LineEnd::NotBefore(scanned) => self.scanned = position(scanned),
                LineEnd::At(end) => {
                    RequestLine::parse(&bytes[..end])?;
                    self.scanned = position(end);
                    self.part = Part::Fields;
                    return Ok(true);
                }
            }
        }
        if window.len() == bytes_max { Err(Error::RequestLineTooLong) } else { Ok(false) }
    }

    /// The method byte by byte as it comes, because a TLS hello never has a line end.
    fn scan_method(&mut self, window: &[u8]) -> Result<(), Error> {
        let from = (self.scanned as usize).min(window.len());
        let Some(length) = window[from..].iter().position(|byte| !is_token_byte(*byte)) else {
            self.scanned = position(window.len());
            return Ok(());
        };
        let end = from + length;
        self.is_head = window[..end] == *b"HEAD";
        match window[end] {
            b' ' if end > 0 => {}
            b'\r' if end == 0 => return Err(Error::EmptyLines),
            b'\n' => return Err(Error::BareLf),
            b'\r' => return Err(Error::RequestLine),
            _ => return Err(Error::Method),
        }
        self.scanned = position(end + 1);
        self.part = Part::Target;
        Ok(())
    }

    fn scan_fields(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let window = window(bytes, limits.head_bytes_max);
        let end = scan_field_lines(
            bytes,
            window.len(),
            fields_max(limits.fields_max),
            Folding::Refused,
            &mut self.scanned,
            &mut self.fields,
        )?;
        let is_full = window.len() == limits.head_bytes_max;
        if end.is_none() && is_full { Err(Error::HeadTooLong) } else { Ok(end) }
    }
}

impl<'a> Head<'a> {
    /// Reads a head of the usual kind that is at the front of `bytes`, whole, in one pass. `None` where there is any
    /// doubt: [`LineCheck`] resolves it, and accepts all that is accepted here.
    #[inline]
    fn usual(bytes: &'a [u8], limits: &Limits) -> Option<Head<'a>> {
        let window = window(bytes, limits.head_bytes_max);
        let (line, from) = RequestLine::usual(window)?;
        if from > limits.request_line_bytes_max {
            return None;
        }
        let fields =
            read_fields(&window[from..], fields_max(limits.fields_max), |found, name, value| {
                found.field(name, value)
            })
            .ok()??;
        Some(Head::new(&bytes[..from + fields.length], &line, &fields))
    }

    /// Takes a head apart: exactly its bytes, whose lines are known to be ended and the first to be good.
    ///
    /// # Errors
    /// Those of names and values in the field lines.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Head<'a>, Error> {
        let line_end = memchr(b'\n', bytes).map_or(0, |at| at + 1);
        let line = RequestLine::parse(&bytes[..line_end])?;
        let fields = read_fields(&bytes[line_end..], usize::MAX, |found, name, value| {
            found.field(name, value)
        })?;
        Ok(Head::new(bytes, &line, &fields.expect("a head that is complete has an empty line")))
    }

    #[inline(always)]
    fn new(bytes: &'a [u8], line: &RequestLine<'a>, fields: &Fields<'a>) -> Head<'a> {
        let RequestLine { method, target_text, target, version } = *line;
        let headers = Headers { lines: fields.lines, count: fields.count };
        let directives = match fields.wrong {
            None => fields.steering.directives(method, version),
            Some(error) => Err(error),
        };
        let request = Request {
            method,
            target_text,
            path: target.path(),
            query: target.query(),
            version,
            headers,
            body: b"",
            peer: None,
            #[cfg(feature = "router")]
            params: None,
        };
        Head { bytes, request, directives }
    }
}

impl<'a> RequestLine<'a> {
    /// Takes apart a line of HTTP/1.1 with one of the usual methods, at the front of `window`. Returns it with the
    /// position behind it, or `None`: see [`Head::usual`].
    #[inline(always)]
    fn usual(window: &'a [u8]) -> Option<(RequestLine<'a>, usize)> {
        const END: &[u8] = b" HTTP/1.1\r\n";
        let (method, rest) = match window {
            [b'G', b'E', b'T', b' ', rest @ ..] => ("GET", rest),
            [b'H', b'E', b'A', b'D', b' ', rest @ ..] => ("HEAD", rest),
            [b'P', b'O', b'S', b'T', b' ', rest @ ..] => ("POST", rest),
            _ => return None,
        };
        let (target_bytes, has_query) = look_at_target(rest);
        let (target, rest) = rest.split_at(target_bytes);
        if !rest.starts_with(END) {
            return None;
        }
        let target_text = str::from_utf8(target).ok()?;
        let target = Target::of_checked(method, target_text, has_query).ok()?;
        let line = RequestLine { method, target_text, target, version: Version::Http11 };
        Some((line, window.len() - rest.len() + END.len()))
    }

    /// Takes apart `method SP target SP HTTP/d.d CRLF`, whose method is known to be a token.
    fn parse(line: &'a [u8]) -> Result<RequestLine<'a>, Error> {
        let method_bytes = memchr(b' ', line).unwrap_or(0);
        let (method, rest) = line.split_at(method_bytes);
        let Some((target, end)) = rest[1..].split_last_chunk::<11>() else {
            return Err(Error::RequestLine);
        };
        let version = version(end)?;
        let method = str::from_utf8(method).map_err(|_| Error::Method)?;
        let target_text = str::from_utf8(target).map_err(|_| Error::TargetByte)?;
        let target = Target::parse(method, target_text)?;
        Ok(RequestLine { method, target_text, target, version })
    }
}

/// The version, from the end of a request line.
fn version(end: &[u8; 11]) -> Result<Version, Error> {
    let [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n'] = end else {
        return Err(Error::RequestLine);
    };
    match (major, minor) {
        (b'1', b'0') => Ok(Version::Http10),
        (b'1', b'1'..=b'9') => Ok(Version::Http11),
        (b'0'..=b'9', b'0'..=b'9') => Err(Error::Version),
        _ => Err(Error::RequestLine),
    }
}

/// The bytes that a limit lets us look at.
pub(super) fn window(bytes: &[u8], bytes_max: usize) -> &[u8] {
    &bytes[..bytes.len().min(bytes_max).min(u32::MAX as usize)]
}

pub(super) fn fields_max(limit: usize) -> usize {
    limit.min(FIELDS_MAX_CEILING)
}

/// Finds the ends of the field lines in `bytes[..window_bytes]` and returns the position after the
/// empty line, when that is there. `scanned` and `fields` remember how far this came; the lines
/// before `scanned` were good, and one has ended.
pub(super) fn scan_field_lines(
    bytes: &[u8],
    window_bytes: usize,
    fields_max: usize,
    mut folding: Folding<'_>,
    scanned: &mut u32,
    fields: &mut u16,
) -> Result<Option<usize>, Error> {
    let window = &bytes[..window_bytes];
    loop {
        let from = *scanned as usize;
        // A bare LF never gets here, so an LF before `from` means the beginning of a line.
        let is_line_begin = bytes[from - 1] == b'\n';
        match (&window[from.min(window_bytes)..], &mut folding) {
            ([b'\r', b'\n', ..], _) if is_line_begin => return Ok(Some(from + 2)),
            ([b' ' | b'\t', ..], Folding::Noted(is_folded)) if is_line_begin && *fields > 0 => {
                **is_folded = true;
                // It is no field of its own.
                *fields -= 1;
            }
            ([b' ' | b'\t', ..], _) if is_line_begin => return Err(Error::Folding),
            _ => {}
        }
        match line_end(window, from)? {
            LineEnd::At(end) => *scanned = position(end),
            LineEnd::NotBefore(at) => {
                *scanned = position(at);
                return Ok(None);
            }
        }
        if usize::from(*fields) >= fields_max {
            return Err(Error::TooManyFields);
        }
        *fields += 1;
    }
}

/// Finds the CRLF after `from`; on the way there must be neither a bare CR nor a bare LF.
#[inline]
pub(super) fn line_end(window: &[u8], from: usize) -> Result<LineEnd, Error> {
    let from = from.min(window.len());
    // Most lines are short, and have no control character but their end.
    let end = from + text_bytes(&window[from..]);
    if window[end..].starts_with(b"\r\n") {
        return Ok(LineEnd::At(end + 2));
    }
    line_end_behind(window, end)
}

#[cold]
fn line_end_behind(window: &[u8], from: usize) -> Result<LineEnd, Error> {
    let Some(length) = memchr2(b'\r', b'\n', &window[from..]) else {
        return Ok(LineEnd::NotBefore(window.len()));
    };
    match window[from + length..] {
        [b'\r', b'\n', ..] => Ok(LineEnd::At(from + length + 2)),
        [b'\r'] => Ok(LineEnd::NotBefore(from + length)),
        [b'\r', ..] => Err(Error::BareCr),
        _ => Err(Error::BareLf),
    }
}

/// The good field lines of a complete head.
pub(super) struct Fields<'a> {
    /// The lines, without the empty one.
    pub(super) lines: &'a [u8],
    count: usize,
    /// What they say to us, unless something is `wrong` with that.
    pub(super) steering: Steering,
    pub(super) wrong: Option<Error>,
    /// Bytes of the lines and the empty line.
    pub(super) length: usize,
}

/// Takes field lines apart up to the empty line. `steer` is told of each. `None` if the empty line is not there, or more
/// than `fields_max` lines are.
///
/// # Errors
/// Those of names and values. The ends of lines are not told apart: whatever else is wrong is one of these two.
#[inline(always)]
pub(super) fn read_fields(
    bytes: &[u8],
    fields_max: usize,
    steer: impl Fn(&mut Steering, &[u8], &[u8]) -> Result<(), Error>,
) -> Result<Option<Fields<'_>>, Error> {
    let (mut steering, mut wrong) = (Steering::default(), None);
    let (mut count, mut rest) = (0, bytes);
    loop {
        if rest.starts_with(b"\r\n") {
            let lines = &bytes[..bytes.len() - rest.len()];
            return Ok(Some(Fields { lines, count, steering, wrong, length: lines.len() + 2 }));
        }
        let Some(field) = field_line(rest)? else { return Ok(None) };
        if count == fields_max {
            return Ok(None);
        }
        (count, rest) = (count + 1, field.rest);
        // The first field that says something impossible decides; the lines after it must be lines all the same.
        if wrong.is_none() {
            wrong = steer(&mut steering, field.name, field.value).err();
        }
    }
}

/// A field line, taken apart.
struct FieldLine<'a> {
    name: &'a [u8],
    /// Without white space around it.
    value: &'a [u8],
    /// What follows the line.
    rest: &'a [u8],
}

/// Takes `name ":" OWS value OWS CRLF` apart. `None`: it has no end.
#[inline(always)]
fn field_line(bytes: &[u8]) -> Result<Option<FieldLine<'_>>, Error> {
    let (name, rest) = bytes.split_at(token_bytes(bytes));
    let rest = match rest {
        [b':', rest @ ..] if !name.is_empty() => rest,
        [] => return Ok(None),
        _ => return Err(Error::FieldName),
    };
    // Most values come after one space, and need no other trimming.
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let mut value_bytes = 0;
    loop {
        value_bytes += text_bytes(&rest[value_bytes..]);
        let (value, end) = rest.split_at(value_bytes);
        match end {
            [b'\r', b'\n', rest @ ..] => {
                return Ok(Some(FieldLine { name, value: trim(value), rest }));
            }
            [b'\t', ..] => value_bytes += 1,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(Error::FieldValue),
        }
    }
}

/// The names and values in good field lines. All code that looks at a field of a message does it here, so that all see
/// the same.
pub(super) fn fields<'a>(
    mut lines: &'a [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    iter::from_fn(move || {
        let (line, rest) = lines.split_at(memchr(b'\n', lines)? + 1);
        lines = rest;
        let colon = memchr(b':', line).expect("a field line has a colon");
        let value = line[colon + 1..].strip_suffix(b"\r\n").expect("a line ends with CRLF");
        Some((&line[..colon], trim(value)))
    })
}

/// A position in a window, which is kept within 32 bits ([`window`]).
pub(super) fn position(at: usize) -> u32 {
    u32::try_from(at).expect("a window has no position above 32 bits")
}

#[cfg(test)]
mod tests {
    use super::super::grammar::{is_field_value_byte, is_token_byte};
    use super::*;

    /// Behind the place for an empty line.
    fn beginning() -> LineCheck {
        LineCheck { part: Part::Method, ..LineCheck::default() }
    }

    /// The verdict on the complete head `bytes`, and its fields as text.
    fn fields(bytes: &[u8]) -> Result<Vec<String>, Error> {
        let mut check = beginning();
        let head = check.scan(bytes, &Limits::default())?.expect("complete");
        assert_eq!(head.bytes, bytes);
        let line = |(name, value): (&str, &[u8])| format!("{name}={}", value.escape_ascii());
        Ok(head.request.headers().iter().map(line).collect())
    }

    #[test]
    fn httparse_and_our_grammar_agree_about_every_byte() {
        let theirs = |bytes: &[u8]| {
            let lines = &bytes[b"GET / HTTP/1.1\r\n".len()..];
            let mut fields = [httparse::EMPTY_HEADER; 4];
            matches!(httparse::parse_headers(lines, &mut fields), Ok(found) if found.is_complete())
        };
        for byte in 0..=u8::MAX {
            let name = [b"GET / HTTP/1.1\r\nA", &[byte][..], b"B: c\r\n\r\n"].concat();
            let is_name = is_token_byte(byte) || byte == b':';
            assert_eq!(fields(&name).is_ok(), is_name, "{byte:#x} in a name");
            assert_eq!(theirs(&name), is_name, "{byte:#x} in a name");
            let value = [b"GET / HTTP/1.1\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
            assert_eq!(fields(&value).is_ok(), is_field_value_byte(byte), "{byte:#x} in a value");
            assert_eq!(theirs(&value), is_field_value_byte(byte), "{byte:#x} in a value");
        }
    }

    #[test]
    fn values_are_trimmed_and_may_be_empty() {
        let head = b"GET / HTTP/1.1\r\nA:\t b c \t\r\nA:\r\nD: \r\n\r\n";
        assert_eq!(fields(head), Ok(vec!["A=b c".into(), "A=".into(), "D=".into()]));
    }

    #[test]
    fn a_dripped_head_is_scanned_once() {
        let head = b"GET /abc HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
        let mut check = beginning();
        for seen in 1..head.len() {
            assert!(matches!(check.scan(&head[..seen], &Limits::default()), Ok(None)));
            let waits_for_lf = head[seen - 1] == b'\r';
            assert_eq!(check.scanned as usize, seen - usize::from(waits_for_lf));
        }
        let found = check.scan(head, &Limits::default()).expect("a good head");
        assert_eq!(found.map(|found| found.bytes), Some(&head[..]));
    }

    #[test]
    fn one_empty_line_is_taken_off_and_touches_nothing() {
        let (mut check, mut input) = (LineCheck::default(), &b"\r\nGET"[..]);
        for left in [&b"\nGET"[..], b"GET"] {
            let mut next = &input[..1];
            assert_eq!(check.skip_empty_line(&mut next), Ok(()));
            assert!(next.is_empty() && check.part < Part::Method);
            input = &input[1..];
            assert_eq!(input, left);
        }
        assert_eq!(check.skip_empty_line(&mut input), Ok(()));
        assert_eq!((input, check.part == Part::Method), (&b"GET"[..], true));
        let (mut check, mut second) = (LineCheck::default(), &b"\r\n\r\n"[..]);
        assert_eq!(check.skip_empty_line(&mut second), Ok(()));
        assert_eq!(check.scan(second, &Limits::default()).err(), Some(Error::EmptyLines));
        let mut bare = &b"\rGET"[..];
        assert_eq!(LineCheck::default().skip_empty_line(&mut bare), Err(Error::BareCr));
    }

    #[test]
    fn a_method_is_known_although_the_line_is_wrong() {
        for (line, is_head) in [
            (&b"HEAD * HTTP/1.1\r\n"[..], true),
            (b"HEAD /a#b HTTP/1.1\r\n", true),
            (b"HEAD / HTTP/2.0\r\n", true),
            (b"HEAD /\n", true),
            (b"HEAD\r\n", true),
            (b"GET * HTTP/1.1\r\n", false),
            (b"HEADS * HTTP/1.1\r\n", false),
            (b"head * HTTP/1.1\r\n", false),
        ] {
            let mut check = beginning();
            assert!(check.scan(line, &Limits::default()).is_err());
            assert_eq!(check.is_head, is_head, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn limits_that_shrink_or_contradict_refuse_and_do_not_panic() {
        let head = b"GET /abcdefgh HTTP/1.1\r\nHost: a\r\nA: b";
        let small = Limits { head_bytes_max: 3, ..Limits::default() };
        for seen in 1..head.len() {
            let mut check = beginning();
            assert!(matches!(check.scan(&head[..seen], &Limits::default()), Ok(None)));
            let after = check.scan(&head[..seen], &small).map(|head| head.is_some());
            let error = if seen < 24 { Error::RequestLineTooLong } else { Error::HeadTooLong };
            assert_eq!(after, if seen < 3 { Ok(false) } else { Err(error) }, "{seen}");
        }
    }

    /// What one pass accepts is accepted line by line, and is the same request. What it does not, is left to the lines.
    #[test]
    fn one_pass_and_line_by_line_agree() {
        let good =
            b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n";
        let pieces: [&[u8]; 12] = [
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b":",
            b"\0",
            b"#",
            b"\xff",
            b"HEAD /",
            b"\r\n\r\n",
            b" HTTP/1.0",
            b"*",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        let limits = Limits {
            request_line_bytes_max: 40,
            head_bytes_max: 90,
            fields_max: 3,
            ..Limits::default()
        };
        let mut accepted = 0;
        for _ in 0..100_000 {
            let mut bytes = good.to_vec();
            for _ in 0..random.usize(..3) {
                let from = random.usize(..bytes.len());
                let to = (from + random.usize(..3)).min(bytes.len());
                let piece = pieces[random.usize(..pieces.len())];
                bytes.splice(from..to, piece.iter().copied());
            }
            let Some(head) = Head::usual(&bytes, &limits) else { continue };
            accepted += 1;
            let mut check = beginning();
            // After the first byte there is no head to be read in one pass.
            let other =
                (1..=bytes.len()).find_map(|seen| check.scan(&bytes[..seen], &limits).transpose());
            let other = other.expect("it is complete").expect("it is good");
            assert_eq!(format!("{head:?}"), format!("{other:?}"), "{}", bytes.escape_ascii());
        }
        assert!(accepted > 20_000, "{accepted} are good");
    }

    #[test]
    fn the_check_is_small_enough_to_wait_in_every_connection() {
        assert!(size_of::<LineCheck>() <= 8);
    }
}
