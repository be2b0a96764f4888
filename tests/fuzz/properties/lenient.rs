//! A reader as others use it: `httparse` with everything allowed, and framing as the textbooks have
//! it. What we accept it must understand as we do; what we refuse is of no interest here.

use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};

/// A message as a lenient reader understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Method and target of a request.
    pub(super) asks: Option<(String, String)>,
    /// Of a reply.
    pub(super) status: Option<u16>,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) head_bytes: usize,
}

const FIELDS_MAX: usize = 256;

/// The head of the request at the front of `input`.
pub(super) fn request_head(input: &[u8]) -> Option<Message> {
    // Behind the empty line that may come first.
    let line_end = input.windows(2).skip(2).position(|pair| pair == b"\r\n").unwrap_or(0) + 2;
    let input = known_version(input, line_end - 1);
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    config.allow_space_before_first_header_name(true);
    config.ignore_invalid_headers_in_requests(true);
    let parsed = config.parse_request(&mut request, &input).ok()?;
    let Status::Complete(head_bytes) = parsed else { return None };
    let asks = Some((request.method?.to_owned(), request.path?.to_owned()));
    Some(Message { asks, status: None, fields: owned(request.headers), head_bytes })
}

/// The head of the reply at the front of `input`.
pub(super) fn reply_head(input: &[u8]) -> Option<Message> {
    let input = known_version(input, b"HTTP/1.".len());
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut reply = httparse::Response::new(&mut fields);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.allow_space_before_first_header_name(true);
    config.allow_spaces_after_header_name_in_responses(true);
    config.ignore_invalid_headers_in_responses(true);
    let parsed = config.parse_response(&mut reply, &input).ok()?;
    let Status::Complete(head_bytes) = parsed else { return None };
    let mut fields = owned(reply.headers);
    fields.iter_mut().for_each(|(_, value)| *value = unfolded(value));
    Some(Message { asks: None, status: reply.code, fields, head_bytes })
}

/// It gives a value that goes on in a folded line as it came.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let text: Vec<&[u8]> = value
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    if text.len() > 1 { text.join(&b' ') } else { value.trim_ascii().to_vec() }
}

/// It knows no minor version but 0 and 1, so that 1.2 to 1.9 are made 1.1. The digit is at `at`.
fn known_version(input: &[u8], at: usize) -> Vec<u8> {
    let mut input = input.to_vec();
    if let Some(digit @ b'2'..=b'9') = input.get_mut(at) {
        *digit = b'1';
    }
    input
}

fn owned(fields: &[Header<'_>]) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

impl Message {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let named = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase())
    }

    /// The body behind the head, and where it ends: chunks if anything looks like them, else the
    /// last length that is one, else nothing. `None` if it is not whole.
    pub(super) fn body(&self, input: &[u8]) -> Option<(Vec<u8>, usize)> {
        let rest = &input[self.head_bytes..];
        if self.values("transfer-encoding").any(|value| value.contains("chunked")) {
            let (body, bytes) = chunks(rest)?;
            return Some((body, self.head_bytes + bytes));
        }
        let lengths = self.values("content-length").filter_map(|value| value.trim().parse().ok());
        let length: usize = lengths.last().unwrap_or(0);
        Some((rest.get(..length)?.to_vec(), self.head_bytes + length))
    }
}

/// Content and length of the chunks at the front of `input`.
pub(super) fn chunks(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (line_bytes, size) = chunk_size(&input[at..])?;
        at += line_bytes;
        if size == 0 {
            break;
        }
        body.extend_from_slice(input.get(at..at + size)?);
        at += size;
        at += if input[at..].starts_with(b"\r\n") { 2 } else { 0 };
    }
    let mut trailers = [EMPTY_HEADER; FIELDS_MAX];
    // Here it knows no folding, which leaves every byte in its place.
    let mut text = input[at..].to_vec();
    let end = match text.starts_with(b"\r\n") {
        true => 0,
        false => text.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0),
    };
    for at in 0..end {
        if matches!(text[at..at + 3], [b'\r', b'\n', b' ' | b'\t']) {
            text[at..at + 2].fill(b' ');
        }
    }
    match httparse::parse_headers(&text, &mut trailers) {
        Ok(Status::Complete((bytes, _))) => Some((body, at + bytes)),
        _ => None,
    }
}

/// Length of the size line, and the size. It takes 15 digits at most, so that zeros are dropped.
fn chunk_size(input: &[u8]) -> Option<(usize, usize)> {
    let zeros = input.iter().take_while(|byte| **byte == b'0').count();
    let has_more = input.get(zeros).is_some_and(u8::is_ascii_hexdigit);
    let skipped = if has_more { zeros } else { zeros.saturating_sub(1) };
    match httparse::parse_chunk_size(&input[skipped..]) {
        Ok(Status::Complete((bytes, size))) => Some((skipped + bytes, size.try_into().ok()?)),
        _ => None,
    }
}
