//! The head of a request: RFC 9112 sections 2.2, 3 and 5.

use helloop::limits::Limits;

use super::{Reading, Stop, demand, field_line, find, is_target, is_token, lines, split_once};

/// A head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head<L> {
    pub(crate) line: L,
    /// Names as sent, values without white space around them.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// Bytes of it, its empty line and an empty line before it included.
    pub(crate) bytes: usize,
}

/// A request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Of HTTP/1.
    pub(crate) minor: u8,
}

/// The head at the front of `input`.
pub(crate) fn request_head(input: &[u8], limits: &Limits) -> Reading<Head<Line>> {
    let text = input.strip_prefix(b"\r\n").unwrap_or(input);
    let end = find(text, b"\r\n\r\n").ok_or(Stop::Incomplete)?;
    demand(end + 4 <= limits.head_bytes_max, "the head is too long")?;
    let lines = lines(&text[..end + 2])?;
    demand(lines[0].len() + 2 <= limits.request_line_bytes_max, "the line is too long")?;
    let line = request_line(lines[0])?;
    demand(lines.len() - 1 <= limits.fields_max, "too many fields")?;
    let fields = lines[1..].iter().map(|line| field_line(line)).collect::<Reading<_>>()?;
    Ok(Head { line, fields, bytes: input.len() - text.len() + end + 4 })
}

/// `method SP request-target SP HTTP-version`, of HTTP/1.
fn request_line(line: &[u8]) -> Reading<Line> {
    let not_three = Stop::Wrong("not three words");
    let (method, rest) = split_once(line, b" ").ok_or(not_three)?;
    let (target, version) = split_once(rest, b" ").ok_or(not_three)?;
    demand(is_token(method), "the method")?;
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] = version else {
        return Err(Stop::Wrong("the version"));
    };
    demand(is_target(method, target), "the target")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Line { method: text(method), target: text(target), minor: minor - b'0' })
}
