//! Readers that are as plain as can be: they see the whole input, go from left to right through the
//! grammar of RFC 9112 and RFC 3986 (or of a trace file), have no states, and are in no hurry.

mod chunks;
#[cfg(feature = "proxies")]
mod proxies;
mod request;
mod reply;
pub(super) mod trace;
mod uri;

pub(super) use chunks::{ChunkLimits, chunks};
#[cfg(feature = "proxies")]
pub(super) use proxies::introduction;
pub(super) use reply::{Reply, reply};
pub(super) use request::{Line, request_head};
pub(super) use uri::is_target;

/// Why a reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There is not enough of it.
    Incomplete,
    /// This is none, and why.
    Wrong(&'static str),
}

type Reading<T> = Result<T, Stop>;

/// An error unless `holds`.
fn demand(holds: bool, why: &'static str) -> Reading<()> {
    if holds { Ok(()) } else { Err(Stop::Wrong(why)) }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// `text` up to the first `separator`, and behind it.
fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    find(text, separator).map(|at| (&text[..at], &text[at + separator.len()..]))
}

/// `token = 1*tchar` (RFC 9110 section 5.6.2).
fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// `HTAB / SP / VCHAR / obs-text`.
fn is_text(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

/// Without `OWS` at its ends.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `field-line = field-name ":" OWS field-value OWS` (RFC 9112 section 5).
fn field_line(line: &[u8]) -> Reading<(String, Vec<u8>)> {
    let (name, value) = split_once(line, b":").ok_or(Stop::Wrong("a line without a colon"))?;
    demand(is_token(name), "a field name")?;
    demand(is_text(value), "a field value")?;
    Ok((String::from_utf8_lossy(name).into_owned(), trim(value).to_vec()))
}

/// The lines of a head without its empty line; each ended with CRLF.
fn lines(head: &[u8]) -> Reading<Vec<&[u8]>> {
    let (mut lines, mut rest) = (Vec::new(), head);
    while let Some((line, after)) = split_once(rest, b"\r\n") {
        demand(!line.iter().any(|byte| b"\r\n".contains(byte)), "a bare CR or LF")?;
        lines.push(line);
        rest = after;
    }
    Ok(lines)
}
