//! The head of a request: our own check of its lines, in front of `httparse`. The field lines of a
//! reply are checked by the same functions.
//!
//! `httparse` takes a bare LF for a line end and skips any number of leading blank lines; who lets
//! such things decide where a message ends can be smuggled through. So [`LineCheck`] walks over the
//! lines first, remembers how far it came, and refuses at the first byte that cannot be. When the
//! head is complete, `httparse` takes the field lines apart.
//!
//! Every check fires at a position that the bytes before it determine, and no scan looks beyond the
//! position of the limit: a head gets the same verdict whole or dripped.

use super::grammar::is_token_byte;
use super::{Error, Headers, Request, Target, Version};
use crate::limits::{FIELDS_MAX_CEILING, Limits};
use memchr::memchr2;

/// How far the lines of a head have been checked. Belongs to one head, which must begin at the same
/// byte in every call, with its request line; `LineCheck::default()` has seen nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineCheck {
    /// Bytes `..scanned` are checked. A CR at `scanned` may be waiting for its LF.
    scanned: u32,
    /// Position of the space behind the method; 0 until `Part::Target`.
    method_end: u32,
    /// Position behind the CRLF of the request line; 0 until `Part::Fields`.
    request_line_end: u32,
    /// Complete field lines.
    fields: u16,
    part: Part,
    /// The method is HEAD, whatever becomes of the rest of the line.
    is_head: bool,
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

/// A complete head, whose lines are checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// All of it, from the request line to the empty line.
    pub(super) bytes: &'a [u8],
    line: RequestLine<'a>,
    /// The field lines and the empty line.
    lines: &'a [u8],
    /// Field lines.
    fields: u16,
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
    /// An error, as in every request: who stands between us and the client may have read it in another
    /// way (RFC 9112 section 5.2).
    Refused,
    /// The field before goes on, as in a reply that we have asked for; that it is so is noted. Before the
    /// first field there is none that could go on (RFC 9112 section 2.2).
    Noted(&'a mut bool),
}

/// The next line end within a window.
pub(super) enum LineEnd {
    /// The position behind its CRLF.
    At(usize),
    /// Not in the window; bytes before this position need no second look.
    NotBefore(usize),
}

impl LineCheck {
    /// Takes the one empty line off that a client may send too much (RFC 9112 section 2.2), byte by
    /// byte as it comes. It is no beginning of a request: some clients end their bodies with it, and
    /// then say nothing for long, so that it must neither be kept nor hurry anybody.
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

    /// Checks what is new of `bytes`, which begin with the head. Gives the head when all of it is
    /// there, its empty line included.
    ///
    /// # Errors
    /// At the first byte that cannot be, or is one too many. Field lines are only looked at for
    /// their ends and beginnings; the rest is left to [`Head::with_request`].
    pub(super) fn scan<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, Error> {
        debug_assert!(
            self.scanned as usize <= bytes.len(),
            "what was left must be presented again"
        );
        let line = match self.part {
            Part::Fields => None,
            _ => match self.scan_request_line(bytes, limits)? {
                None => return Ok(None),
                line => line,
            },
        };
        let Some(end) = self.scan_fields(bytes, limits)? else { return Ok(None) };
        let head = &bytes[..end];
        // Most heads come whole, and their line has just been taken apart.
        match line {
            Some(line) => Ok(Some(self.head_of(head, line))),
            None => self.head(head).map(Some),
        }
    }

    /// The head that was found complete, and kept: exactly its bytes.
    ///
    /// # Errors
    /// None, if they are.
    pub(super) fn head<'a>(&self, bytes: &'a [u8]) -> Result<Head<'a>, Error> {
        let line = self.request_line(&bytes[..self.request_line_end as usize])?;
        Ok(self.head_of(bytes, line))
    }

    fn head_of<'a>(&self, bytes: &'a [u8], line: RequestLine<'a>) -> Head<'a> {
        debug_assert!(self.part == Part::Fields && bytes.ends_with(b"\r\n"), "a complete head");
        let lines = &bytes[self.request_line_end as usize..];
        Head { bytes, line, lines, fields: self.fields }
    }

    /// Whether any byte of the request line has been seen.
    pub(super) fn is_touched(&self) -> bool {
        self.part >= Part::Method
    }

    /// Whether the method is known to be HEAD. The rest of the line may be wrong, or missing: the
    /// answer to HEAD has no content even then (RFC 9110 section 9.3.2).
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Finds the request line, which is judged as soon as its CRLF is there.
    fn scan_request_line<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<RequestLine<'a>>, Error> {
        debug_assert!(self.part >= Part::Method, "the empty line before it is taken off");
        let bytes_max = line_bytes_max(limits);
        let window = window(bytes, bytes_max);
        if self.part == Part::Method {
            self.scan_method(window)?;
        }
        if self.part == Part::Target {
            match line_end(window, self.scanned as usize)? {
                LineEnd::NotBefore(scanned) => self.scanned = position(scanned),
                LineEnd::At(end) => {
                    let line = self.request_line(&bytes[..end])?;
                    self.request_line_end = position(end);
                    self.scanned = self.request_line_end;
                    self.part = Part::Fields;
                    return Ok(Some(line));
                }
            }
        }
        if window.len() == bytes_max { Err(Error::RequestLineTooLong) } else { Ok(None) }
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
        self.method_end = position(end);
        self.scanned = position(end + 1);
        self.part = Part::Target;
        Ok(())
    }

    fn scan_fields(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let window = window(bytes, limits.head_bytes_max);
        let end = scan_field_lines(
            bytes,
            window.len(),
            limits.fields_max,
            Folding::Refused,
            &mut self.scanned,
            &mut self.fields,
        )?;
        let is_full = window.len() == limits.head_bytes_max;
        if end.is_none() && is_full { Err(Error::HeadTooLong) } else { Ok(end) }
    }

    fn request_line<'a>(&self, line: &'a [u8]) -> Result<RequestLine<'a>, Error> {
        RequestLine::parse(line, self.method_end as usize)
    }
}

impl Head<'_> {
    /// Takes the field lines apart and shows the request to `show`, with no body and no peer.
    ///
    /// Two sizes of field array, because a small head should not pay for clearing a large one.
    pub(super) fn with_request<R>(
        &self,
        show: impl FnOnce(Result<&mut Request<'_>, Error>) -> R,
    ) -> R {
        if usize::from(self.fields) <= FIELDS_FEW {
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_FEW];
            show(request(self.line, self.lines, &mut fields).as_mut().map_err(|error| *error))
        } else {
            self.with_request_of_many_fields(show)
        }
    }

    #[inline(never)]
    fn with_request_of_many_fields<R>(
        &self,
        show: impl FnOnce(Result<&mut Request<'_>, Error>) -> R,
    ) -> R {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX_CEILING];
        show(request(self.line, self.lines, &mut fields).as_mut().map_err(|error| *error))
    }
}

fn request<'a>(
    line: RequestLine<'a>,
    lines: &'a [u8],
    fields: &'a mut [httparse::Header<'a>],
) -> Result<Request<'a>, Error> {
    let RequestLine { method, target_text, target, version } = line;
    let headers = Headers { fields: parse_fields(lines, fields)? };
    Ok(Request { method, target_text, target, version, headers, body: b"", peer: None })
}

impl<'a> RequestLine<'a> {
    /// Takes apart `method SP target SP HTTP/d.d CRLF`, whose method is known to be a token of so
    /// many bytes.
    fn parse(line: &'a [u8], method_bytes: usize) -> Result<RequestLine<'a>, Error> {
        let (method, rest) = line.split_at(method_bytes);
        let Some((target, end)) = rest[1..].split_last_chunk::<11>() else {
            return Err(Error::RequestLine);
        };
        let version = if *end == *b" HTTP/1.1\r\n" { Version::Http11 } else { version(end)? };
        let method = method_text(method)?;
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

/// The method as text. The usual ones need no check of their encoding.
fn method_text(method: &[u8]) -> Result<&str, Error> {
    match method {
        b"GET" => Ok("GET"),
        b"HEAD" => Ok("HEAD"),
        b"POST" => Ok("POST"),
        _ => str::from_utf8(method).map_err(|_| Error::Method),
    }
}

/// Fields that the small array holds. Browsers send 10 to 15.
const FIELDS_FEW: usize = 16;

/// The bytes that a limit lets us look at.
fn window(bytes: &[u8], bytes_max: usize) -> &[u8] {
    &bytes[..bytes.len().min(bytes_max).min(u32::MAX as usize)]
}

/// A request line is part of its head, whatever `Limits::check` has been told.
fn line_bytes_max(limits: &Limits) -> usize {
    limits.request_line_bytes_max.min(limits.head_bytes_max)
}

/// Finds the ends of the field lines in `bytes[..window_bytes]` and gives the position behind the
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
        if usize::from(*fields) >= fields_max.min(FIELDS_MAX_CEILING) {
            return Err(Error::TooManyFields);
        }
        *fields += 1;
    }
}

/// Finds the CRLF behind `from`; on the way there must be neither a bare CR nor a bare LF.
pub(super) fn line_end(window: &[u8], from: usize) -> Result<LineEnd, Error> {
    let from = from.min(window.len());
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

/// `lines` are the field lines and the empty line.
pub(super) fn parse_fields<'a>(
    lines: &'a [u8],
    fields: &'a mut [httparse::Header<'a>],
) -> Result<&'a [httparse::Header<'a>], Error> {
    match httparse::parse_headers(lines, fields) {
        Ok(httparse::Status::Complete((consumed, fields))) if consumed == lines.len() => Ok(fields),
        Ok(_) => Err(Error::FieldName),
        Err(httparse::Error::HeaderValue | httparse::Error::NewLine) => Err(Error::FieldValue),
        Err(httparse::Error::TooManyHeaders) => Err(Error::TooManyFields),
        Err(_) => Err(Error::FieldName),
    }
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
        head.with_request(|request| {
            let line = |(name, value): (&str, &[u8])| format!("{name}={}", value.escape_ascii());
            Ok(request?.headers().iter().map(line).collect())
        })
    }

    #[test]
    fn httparse_and_our_grammar_agree_about_every_byte() {
        for byte in 0..=u8::MAX {
            let name = [b"GET / HTTP/1.1\r\nA", &[byte][..], b"B: c\r\n\r\n"].concat();
            let is_name = is_token_byte(byte) || byte == b':';
            assert_eq!(fields(&name).is_ok(), is_name, "{byte:#x} in a name");
            let value = [b"GET / HTTP/1.1\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
            assert_eq!(fields(&value).is_ok(), is_field_value_byte(byte), "{byte:#x} in a value");
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
            assert_eq!(check.scan(&head[..seen], &Limits::default()), Ok(None));
            let waits_for_lf = head[seen - 1] == b'\r';
            assert_eq!(check.scanned as usize, seen - usize::from(waits_for_lf));
        }
        let found = check.scan(head, &Limits::default()).expect("a good head");
        assert_eq!(found, Some(check.head(head).expect("the same")));
        assert_eq!(found.map(|found| found.bytes), Some(&head[..]));
    }

    #[test]
    fn one_empty_line_is_taken_off_and_touches_nothing() {
        let (mut check, mut input) = (LineCheck::default(), &b"\r\nGET"[..]);
        for left in [&b"\nGET"[..], b"GET"] {
            let mut next = &input[..1];
            assert_eq!(check.skip_empty_line(&mut next), Ok(()));
            assert!(next.is_empty() && !check.is_touched());
            input = &input[1..];
            assert_eq!(input, left);
        }
        assert_eq!(check.skip_empty_line(&mut input), Ok(()));
        assert_eq!((input, check.is_touched()), (&b"GET"[..], true));
        let (mut check, mut second) = (LineCheck::default(), &b"\r\n\r\n"[..]);
        assert_eq!(check.skip_empty_line(&mut second), Ok(()));
        assert_eq!(check.scan(second, &Limits::default()), Err(Error::EmptyLines));
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
            assert_eq!(check.is_head(), is_head, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn limits_that_shrink_or_contradict_refuse_and_do_not_panic() {
        let head = b"GET /abcdefgh HTTP/1.1\r\nHost: a\r\nA: b";
        let small = Limits { head_bytes_max: 3, ..Limits::default() };
        for seen in 1..head.len() {
            let mut check = beginning();
            assert_eq!(check.scan(&head[..seen], &Limits::default()), Ok(None));
            let after = check.scan(&head[..seen], &small);
            let error = if seen < 24 { Error::RequestLineTooLong } else { Error::HeadTooLong };
            assert_eq!(after, if seen < 3 { Ok(None) } else { Err(error) }, "{seen}");
        }
    }

    #[test]
    fn the_check_is_small_enough_to_wait_in_every_connection() {
        assert!(size_of::<LineCheck>() <= 16);
    }
}
