//! Replies: RFC 9112 sections 4 and 6.3, RFC 9110 section 15.

use helloop::limits::ReplyLimits;

use super::chunks::{ChunkLimits, chunks};
use super::request::Head;
use super::{Reading, Stop, demand, field_line, find, is_text, lines, split_once, trim};

/// What there is of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The final status.
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// All of it if the reply is whole; otherwise it says nothing.
    pub(crate) body: Vec<u8>,
    /// Bytes of the whole reply, interim ones included.
    pub(crate) bytes: usize,
    /// The reply says that the connection stays open.
    pub(crate) persists: bool,
    /// The length of the body is that of the rest of the input.
    pub(crate) lasts_until_close: bool,
}

struct Line {
    minor: u8,
    status: u16,
}

/// The reply at the front of `input`, which ends there if `eof`.
pub(crate) fn reply(
    input: &[u8],
    eof: bool,
    is_head: bool,
    limits: &ReplyLimits,
) -> Reading<Reply> {
    let (mut at, mut interims, mut persists) = (0, 0, true);
    loop {
        let head = head(&input[at..], limits)?;
        at += head.bytes;
        let framing = framing(&head)?;
        let options = list(&head, "connection");
        let says = |option: &str| options.iter().any(|other| other == option);
        persists &= !says("close");
        let is_empty = matches!(framing, Framing::None | Framing::Length(0));
        if head.line.status / 100 == 1 {
            demand(is_empty, "an interim reply with a body")?;
            interims += 1;
            demand(interims <= limits.interims_max, "too many interim replies")?;
            continue;
        }
        let has_content = !is_head && !matches!(head.line.status, 204 | 304);
        persists &= head.line.minor > 0 || says("keep-alive");
        persists &= head.line.status != 204 || is_empty;
        let mut reply = Reply {
            status: head.line.status,
            fields: head.fields,
            persists,
            bytes: at,
            ..Reply::default()
        };
        if has_content {
            reply.read_body(&framing, &input[at..], eof, limits)?;
        }
        return Ok(reply);
    }
}

impl Reply {
    fn read_body(
        &mut self,
        framing: &Framing,
        rest: &[u8],
        eof: bool,
        limits: &ReplyLimits,
    ) -> Reading<()> {
        let most = limits.body_bytes_max;
        match *framing {
            Framing::Chunked => {
                let limits = ChunkLimits {
                    body_bytes_max: most,
                    overhead_bytes_max: limits.chunk_overhead_bytes_max,
                    trailers_max: limits.fields_max,
                    is_strict: false,
                };
                let (body, bytes) = chunks(rest, limits)?;
                self.body = body;
                self.bytes += bytes;
            }
            Framing::Length(bytes) => {
                demand(bytes <= u128::from(most), "the body is too long")?;
                let bytes = usize::try_from(bytes).expect("it is within the limit");
                self.body = rest.get(..bytes).ok_or(Stop::Incomplete)?.to_vec();
                self.bytes += bytes;
            }
            Framing::None => {
                demand(rest.len() as u64 <= most, "the body is too long")?;
                demand_end(eof)?;
                self.body = rest.to_vec();
                self.bytes += rest.len();
                (self.persists, self.lasts_until_close) = (false, true);
            }
        }
        Ok(())
    }
}

fn demand_end(eof: bool) -> Reading<()> {
    if eof { Ok(()) } else { Err(Stop::Incomplete) }
}

fn head(input: &[u8], limits: &ReplyLimits) -> Reading<Head<Line>> {
    let end = find(input, b"\r\n\r\n").ok_or(Stop::Incomplete)?;
    demand(end + 4 <= limits.head_bytes_max, "the head is too long")?;
    let text = &input[..end + 2];
    let status_line_end = find(text, b"\r\n").expect("it ends with one") + 2;
    demand(!matches!(text.get(status_line_end), Some(b' ' | b'\t')), "folding of nothing")?;
    let text = unfold(text);
    let lines = lines(&text)?;
    let line = status_line(lines[0])?;
    demand(lines.len() - 1 <= limits.fields_max, "too many fields")?;
    let fields = lines[1..].iter().map(|line| field_line(line)).collect::<Reading<_>>()?;
    Ok(Head { line, fields, bytes: end + 4 })
}

/// `obs-fold = OWS CRLF RWS`, and what follows of its kind, is one space (RFC 9112 section 5.2).
fn unfold(head: &[u8]) -> Vec<u8> {
    let mut unfolded = head.to_vec();
    loop {
        let is_fold = |three: &[u8]| matches!(three, b"\r\n " | b"\r\n\t");
        let Some(at) = unfolded.windows(3).position(is_fold) else { return unfolded };
        let (mut from, mut to) = (at, at + 2);
        while from > 0 && b" \t".contains(&unfolded[from - 1]) {
            from -= 1;
        }
        while b" \t".contains(&unfolded[to]) {
            to += 1;
        }
        unfolded.splice(from..to, *b" ");
    }
}

/// `HTTP-version SP 3DIGIT [ SP reason ]`: the space may be missing with the reason.
fn status_line(line: &[u8]) -> Reading<Line> {
    let (version, rest) = split_once(line, b" ").ok_or(Stop::Wrong("one word"))?;
    let (status, reason) = split_once(rest, b" ").unwrap_or((rest, b""));
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] = version else {
        return Err(Stop::Wrong("the version"));
    };
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = status else {
        return Err(Stop::Wrong("the status"));
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let status = digit(a) * 100 + digit(b) * 10 + digit(c);
    demand(status != 101, "an upgrade")?;
    demand(is_text(reason), "the reason")?;
    Ok(Line { minor: minor - b'0', status })
}

/// What the fields announce.
enum Framing {
    None,
    Length(u128),
    Chunked,
}

fn framing(head: &Head<Line>) -> Reading<Framing> {
    let lengths = all(head, "content-length");
    let is_encoded = !all(head, "transfer-encoding").is_empty();
    match lengths[..] {
        [] if !is_encoded => Ok(Framing::None),
        [] => {
            demand(list(head, "transfer-encoding") == ["chunked"], "a transfer coding")?;
            demand(head.line.minor > 0, "chunks in HTTP/1.0")?;
            Ok(Framing::Chunked)
        }
        [digits] => {
            demand(!is_encoded, "length and encoding")?;
            demand(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "a length")?;
            let number = digits.iter().fold(0u128, |number, digit| {
                number.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
            });
            demand(number <= u128::from(u64::MAX), "a length of more than 64 bits")?;
            Ok(Framing::Length(number))
        }
        _ => Err(Stop::Wrong("two lengths")),
    }
}

/// The values of a field, its name in small letters.
fn all<'a>(head: &'a Head<Line>, name: &str) -> Vec<&'a [u8]> {
    let named = head.fields.iter().filter(|(other, _)| other.to_ascii_lowercase() == name);
    named.map(|(_, value)| &value[..]).collect()
}

/// The elements of a list, in small letters.
fn list(head: &Head<Line>, name: &str) -> Vec<String> {
    let values = all(head, name).join(&b',');
    let elements = values.split(|byte| *byte == b',').map(trim);
    let elements = elements.filter(|element| !element.is_empty());
    elements.map(|element| String::from_utf8_lossy(&element.to_ascii_lowercase()).into()).collect()
}
