//! Chunked bodies: RFC 9112 section 7.1.

use super::{Reading, Stop, demand, field_line, is_text, is_token, split_once};

/// What a peer may impose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkLimits {
    pub(crate) body_bytes_max: u64,
    pub(crate) overhead_bytes_max: usize,
    pub(crate) trailers_max: usize,
    /// Whether extensions must have the form that they have in the grammar, no white space stands behind
    /// a size, and no trailer is folded. (A client does not ask.)
    pub(crate) is_strict: bool,
}

/// The content of the body at the front of `input`, and the length of the body.
pub(crate) fn chunks(input: &[u8], limits: ChunkLimits) -> Reading<(Vec<u8>, usize)> {
    let (mut content, mut overhead, mut rest) = (Vec::new(), 0, input);
    loop {
        let (size, extension_bytes) = size_line(take_line(&mut rest)?, limits.is_strict)?;
        demand(content.len() as u128 + size <= limits.body_bytes_max.into(), "too long")?;
        overhead += extension_bytes;
        demand(overhead <= limits.overhead_bytes_max, "the extensions are too long")?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).expect("it is within the limit");
        content.extend_from_slice(rest.get(..size).ok_or(Stop::Incomplete)?);
        match &rest[size..] {
            [] | [b'\r'] => return Err(Stop::Incomplete),
            [b'\r', b'\n', after @ ..] => rest = after,
            _ => return Err(Stop::Wrong("no CRLF behind the data")),
        }
    }
    let mut trailers = 0;
    loop {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            break;
        }
        if trailers > 0 && !limits.is_strict && b" \t".contains(&line[0]) {
            demand(is_text(line), "a folded trailer")?;
        } else {
            field_line(line)?;
            trailers += 1;
        }
        overhead += line.len();
        demand(overhead <= limits.overhead_bytes_max, "the trailers are too long")?;
        demand(trailers <= limits.trailers_max, "too many trailers")?;
    }
    Ok((content, input.len() - rest.len()))
}

/// `1*16HEXDIG [ BWS ";" text ]`: the size, and the bytes behind it.
fn size_line(line: &[u8], is_strict: bool) -> Reading<(u128, usize)> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    demand((1..=16).contains(&end), "not 1 to 16 digits")?;
    let digits = line[..end].iter().map(|byte| char::from(*byte).to_digit(16));
    let size = digits.fold(0, |size, digit| size * 16 + u128::from(digit.expect("a digit")));
    let is_space = |byte: &&u8| b" \t".contains(*byte);
    let spaces = line[end..].iter().take_while(is_space).count();
    let extension = &line[end + spaces..];
    let is_good = match extension {
        [] => spaces == 0 || !is_strict,
        [b';', text @ ..] if !is_strict => is_text(text),
        _ => are_extensions(extension),
    };
    demand(is_good, "an extension")?;
    Ok((size, line.len() - end))
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`.
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = behind_extension(text) else { return false };
        text = rest;
    }
    true
}

fn behind_extension(text: &[u8]) -> Option<&[u8]> {
    let name = behind_spaces(text).strip_prefix(b";")?;
    let after = behind_token(behind_spaces(name))?;
    let Some(value) = behind_spaces(after).strip_prefix(b"=") else { return Some(after) };
    let value = behind_spaces(value);
    value.strip_prefix(b"\"").map_or_else(|| behind_token(value), behind_quoted)
}

fn behind_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| b" \t".contains(byte)).count()..]
}

fn behind_token(text: &[u8]) -> Option<&[u8]> {
    let bytes = text.iter().take_while(|byte| is_token(&[**byte])).count();
    (bytes > 0).then(|| &text[bytes..])
}

/// `text` begins behind the opening quote.
fn behind_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text(&[*byte]) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text(&[*byte]) => rest,
            _ => return None,
        };
    }
}

/// Takes a line without its CRLF.
fn take_line<'a>(rest: &mut &'a [u8]) -> Reading<&'a [u8]> {
    let (line, after) = split_once(rest, b"\r\n").ok_or(Stop::Incomplete)?;
    *rest = after;
    Ok(line)
}
