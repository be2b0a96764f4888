//! The head of a reply: the check of its lines while they come, and what is kept of it.
//!
//! Every check fires at a position that the bytes before it determine, and no scan looks beyond the
//! position of the limit: a head gets the same verdict whole or dripped.

use memchr::memmem;

use super::super::framing::Steering;
use super::super::grammar::{elements, is_field_value_byte};
use super::super::head::{
    Fields, Folding, LineEnd, fields, fields_max, line_end, position, read_fields,
    scan_field_lines, window,
};
use super::super::{Error, Version};
use super::ReplyError;
use crate::limits::ReplyLimits;

/// The head of a final reply. It owns its bytes, so that it can outlive the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// Never 1xx.
    status: u16,
    version: Version,
    /// The field lines, each with its CRLF: good ones, and unfolded.
    lines: Vec<u8>,
}

/// How far the lines of a head have been checked. Belongs to one head, which must begin at the same
/// byte in every call; `StatusCheck::default()` has seen nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StatusCheck {
    /// Bytes `..scanned` are checked. A CR at `scanned` may be waiting for its LF.
    scanned: u32,
    /// Fields so far, the last of which may go on in a folded line.
    fields: u16,
    /// A field goes on in a line that begins with white space.
    is_folded: bool,
    /// The status line, when it is complete; then `scanned` is after it.
    line: Option<StatusLine>,
}

/// A good status line. Its reason phrase is checked and dropped, as RFC 9112 section 4 advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    /// `None`: an interim status, 1xx.
    pub(super) status: Option<u16>,
    /// The position after its CRLF.
    end: u32,
}

/// A head taken apart.
pub(super) struct Parsed {
    pub(super) line: StatusLine,
    /// Its field lines, which are good, unfolded.
    pub(super) lines: Vec<u8>,
    /// What they say to the client itself, or what is wrong with that.
    pub(super) steering: Result<Steering, Error>,
}

/// What every reply begins with.
const HTTP: &[u8] = b"HTTP/";

impl ReplyHead {
    /// `lines` come from [`StatusCheck::parse`].
    pub(super) fn new(status: u16, version: Version, lines: Vec<u8>) -> ReplyHead {
        ReplyHead { status, version, lines }
    }

    /// The status code, as it was sent: three digits, but never 1xx, which is no final status. Below
    /// 200 and above 599 HTTP has no statuses; some servers send them (999) all the same, and mean an
    /// error (RFC 9110 section 15). [`Status::new`](crate::http::Status::new) distinguishes them, and
    /// knows phrases; that of the reply means nothing (RFC 9112 section 4).
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The value of the first field with this name, without white space around it. Names compare
    /// without case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The same as text; `None` also where the value is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The values of all fields with this name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        fields(&self.lines)
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The elements of the comma-separated lists that all fields with this name hold, in order, without
    /// white space around them and without empty ones (RFC 9110 section 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(elements)
    }

    /// Names (as sent) and values of all fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        fields(&self.lines).map(|(name, value)| {
            (str::from_utf8(name).expect("a field name is a token, thus ASCII"), value)
        })
    }
}

impl StatusCheck {
    /// Takes the head off `input`, when all of it is there. Until then, the next call must present the same bytes again,
    /// and more.
    ///
    /// # Errors
    /// At the first byte that cannot be, or is one too many; and those of field lines, when the head is complete.
    pub(super) fn take_head(
        &mut self,
        input: &mut &[u8],
        limits: &ReplyLimits,
    ) -> Result<Option<Parsed>, ReplyError> {
        if self.scanned == 0
            && let Some((parsed, head_bytes)) = Parsed::usual(input, limits)
        {
            *input = &input[head_bytes..];
            return Ok(Some(parsed));
        }
        let Some(head_bytes) = self.scan(input, limits)? else { return Ok(None) };
        let (head, rest) = input.split_at(head_bytes);
        *input = rest;
        Ok(Some(std::mem::take(self).parse(head)?))
    }

    /// Checks what is new of `bytes`, which begin with the head. Returns the length of the head, its
    /// empty line included, when that is there.
    ///
    /// # Errors
    /// At the first byte that cannot be, or is one too many. Field lines are only looked at for
    /// their ends and beginnings; the rest is left to [`StatusCheck::parse`].
    fn scan(&mut self, bytes: &[u8], limits: &ReplyLimits) -> Result<Option<usize>, ReplyError> {
        debug_assert!(
            self.scanned as usize <= bytes.len(),
            "what was left must be presented again"
        );
        let window_bytes = window(bytes, limits.head_bytes_max).len();
        let is_line_good = self.line.is_some() || self.scan_status_line(&bytes[..window_bytes])?;
        let end = if is_line_good {
            let StatusCheck { scanned, fields, is_folded, .. } = self;
            let folding = Folding::Noted(is_folded);
            scan_field_lines(
                bytes,
                window_bytes,
                fields_max(limits.fields_max),
                folding,
                scanned,
                fields,
            )?
        } else {
            None
        };
        let is_full = window_bytes == limits.head_bytes_max;
        if end.is_none() && is_full { Err(Error::HeadTooLong.into()) } else { Ok(end) }
    }

    /// Takes a complete head apart. `head` are exactly the bytes whose length [`StatusCheck::scan`] gave.
    ///
    /// # Errors
    /// Those of field lines, in any of them.
    fn parse(&self, head: &[u8]) -> Result<Parsed, Error> {
        let line = self.line.expect("a head that is complete has a status line");
        let lines = &head[line.end as usize..];
        let unfolded = self.is_folded.then(|| unfold(lines));
        let lines = unfolded.as_deref().unwrap_or(lines);
        let fields = read_fields(lines, usize::MAX, Steering::message_field)?;
        Ok(Parsed::new(line, &fields.ok_or(Error::FieldName)?))
    }

    /// The first bytes as they come, because what is no HTTP may never have a line end; the rest as
    /// soon as the CRLF is there. Returns whether it is.
    fn scan_status_line(&mut self, window: &[u8]) -> Result<bool, ReplyError> {
        if !window.iter().zip(HTTP).all(|(byte, expected)| byte == expected) {
            return Err(ReplyError::NotHttp);
        }
        match line_end(window, self.scanned as usize)? {
            LineEnd::NotBefore(at) => {
                self.scanned = position(at);
                Ok(false)
            }
            LineEnd::At(end) => {
                self.scanned = position(end);
                self.line = Some(StatusLine::parse(&window[..end - 2], self.scanned)?);
                Ok(true)
            }
        }
    }
}

impl Parsed {
    fn new(line: StatusLine, fields: &Fields<'_>) -> Parsed {
        let steering = fields.wrong.map_or(Ok(fields.steering), Err);
        Parsed { line, lines: fields.lines.to_vec(), steering }
    }

    /// Reads a head of the usual kind that is at the front of `bytes`, whole, in one pass, and says how long it is.
    /// `None` where there is any doubt: [`StatusCheck::scan`] resolves it, and accepts all that is accepted here.
    fn usual(bytes: &[u8], limits: &ReplyLimits) -> Option<(Parsed, usize)> {
        let window = window(bytes, limits.head_bytes_max);
        let Ok(LineEnd::At(end)) = line_end(window, 0) else { return None };
        let line = StatusLine::parse(&window[..end - 2], position(end)).ok()?;
        let fields =
            read_fields(&window[end..], fields_max(limits.fields_max), Steering::message_field);
        let fields = fields.ok()??;
        Some((Parsed::new(line, &fields), end + fields.length))
    }
}

impl StatusLine {
    /// Takes `HTTP/d.d SP 3DIGIT [SP reason]` apart. The grammar has the space even where the
    /// reason is empty; real servers leave it out with the reason.
    fn parse(line: &[u8], end: u32) -> Result<StatusLine, ReplyError> {
        let Some((b"HTTP/", [major, b'.', minor, b' ', a, b, c, reason @ ..])) =
            line.split_first_chunk()
        else {
            return Err(ReplyError::StatusLine);
        };
        if ![major, minor, a, b, c].into_iter().all(u8::is_ascii_digit) {
            return Err(ReplyError::StatusLine);
        }
        if !matches!(reason, [] | [b' ', ..]) {
            return Err(ReplyError::StatusLine);
        }
        let version = match (major, minor) {
            (b'1', b'0') => Version::Http10,
            (b'1', _) => Version::Http11,
            _ => return Err(ReplyError::Version),
        };
        if !reason.iter().all(|byte| is_field_value_byte(*byte)) {
            return Err(ReplyError::ReasonPhrase);
        }
        Ok(StatusLine { version, status: status([*a, *b, *c])?, end })
    }
}

/// The status that the digits mean; `None` for an interim one.
fn status(digits: [u8; 3]) -> Result<Option<u16>, ReplyError> {
    let number = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    match number {
        101 => Err(ReplyError::Upgrade),
        100..200 => Ok(None),
        _ => Ok(Some(number)),
    }
}

/// The same lines without folding: a line end with the white space around it that goes on with the
/// field becomes one space (RFC 9112 section 5.2).
fn unfold(lines: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(lines.len());
    let mut from = 0;
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    for end in memmem::find_iter(lines, b"\r\n") {
        let next = end + 2;
        if !lines.get(next).is_some_and(is_space) {
            continue;
        }
        unfolded.extend_from_slice(&lines[from..end]);
        let text = unfolded.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
        unfolded.truncate(text);
        unfolded.push(b' ');
        from = next + lines[next..].iter().take_while(|byte| is_space(byte)).count();
    }
    unfolded.extend_from_slice(&lines[from..]);
    unfolded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIELDS_MAX_CEILING;

    type Fields = Vec<(String, Vec<u8>)>;

    /// The fields of the complete head `bytes`, as we read them and as `httparse` does.
    fn both(bytes: &[u8]) -> Result<[Fields; 2], ReplyError> {
        let mut check = StatusCheck::default();
        let length = check.scan(bytes, &ReplyLimits::default())?;
        assert_eq!(length, Some(bytes.len()), "complete");
        let Parsed { line, lines, .. } = check.parse(bytes)?;
        let copy = |(name, value): (&[u8], &[u8])| {
            (str::from_utf8(name).expect("ASCII").to_owned(), value.to_vec())
        };
        let mut theirs = [httparse::EMPTY_HEADER; FIELDS_MAX_CEILING];
        let parsed = httparse::parse_headers(&bytes[line.end as usize..], &mut theirs);
        let Ok(httparse::Status::Complete((_, theirs))) = parsed else { panic!("{parsed:?}") };
        let theirs = theirs.iter().map(|field| copy((field.name.as_bytes(), field.value)));
        Ok([fields(&lines).map(copy).collect(), theirs.collect()])
    }

    #[test]
    fn httparse_sees_the_same_fields() {
        let mut good = 0;
        for byte in 0..=u8::MAX {
            for (before, after) in
                [("A", "B: c"), ("A: ", ""), ("A: b", "c"), ("A:", " :b"), ("", "")]
            {
                let field = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let head = [&b"HTTP/1.1 200 OK\r\n"[..], &field, b"\r\nD: e:f \t\r\n\r\n"].concat();
                if let Ok([ours, theirs]) = both(&head) {
                    assert_eq!(ours, theirs, "{}", field.escape_ascii());
                    good += 1;
                }
            }
        }
        assert!(good > 600, "most values and some names are good: {good}");
    }

    #[test]
    fn folding_becomes_one_space() {
        let unfolded = |lines: &[u8]| unfold(lines).escape_ascii().to_string();
        for (folded, expected) in [
            (&b"A: b\r\n c\r\n\r\n"[..], r"A: b c\r\n\r\n"),
            (b"A: b \t\r\n \t c\r\nD: e\r\n\r\n", r"A: b c\r\nD: e\r\n\r\n"),
            (b"A:\r\n b\r\n\tc\r\n\r\n", r"A: b c\r\n\r\n"),
            (b"A: b\r\n \r\n \r\n c\r\n\r\n", r"A: b c\r\n\r\n"),
            (b"A: b\r\n \r\n\r\n", r"A: b \r\n\r\n"),
            (b"A: b  c\r\n\r\n", r"A: b  c\r\n\r\n"),
        ] {
            assert_eq!(unfolded(folded), expected, "{}", folded.escape_ascii());
        }
    }

    #[test]
    fn a_dripped_head_is_scanned_once() {
        let head = b"HTTP/1.1 200 OK\r\nHost: a\r\n  b\r\nA: b\r\n\r\n";
        let (mut check, limits) = (StatusCheck::default(), ReplyLimits::default());
        for seen in 1..head.len() {
            assert_eq!(check.scan(&head[..seen], &limits), Ok(None));
            let waits_for_lf = head[seen - 1] == b'\r';
            assert_eq!(check.scanned as usize, seen - usize::from(waits_for_lf));
        }
        assert_eq!(check.scan(head, &limits), Ok(Some(head.len())));
    }
}
