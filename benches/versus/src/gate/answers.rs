//! Taking apart what a server sent.

use httparse::{EMPTY_HEADER, Response, Status};

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters, with their values.
    fields: Vec<(String, String)>,
    /// As it is framed: chunks are not put together.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Whether it has a field with this name, in small letters.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    #[cfg(test)]
    pub(super) fn canned(status: u16, names: &[&str]) -> Answer {
        let fields = names.iter().map(|&name| (name.to_owned(), String::new())).collect();
        Answer { status, fields, body: Vec::new() }
    }
}

/// What bytes from a server come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Whole ones.
    pub(crate) answers: Vec<Answer>,
    /// What follows them, if it can be no answer, or only a part of one where no more will come.
    pub(crate) nonsense: Option<String>,
}

/// More fields than any server here sends.
const FIELDS_MAX: usize = 64;

/// Takes `bytes` apart into answers to requests with these `methods`, later ones with GET.
/// `is_all`: the server has ended the connection.
pub(crate) fn take_apart(mut bytes: &[u8], methods: &[String], is_all: bool) -> Received {
    let mut answers = Vec::new();
    let mut finals = 0;
    let mut nonsense = None;
    while !bytes.is_empty() {
        let method = methods.get(finals).map_or("GET", String::as_str);
        match one(bytes, method, is_all) {
            Ok(Some((answer, length))) => {
                finals += usize::from(answer.status >= 200);
                answers.push(answer);
                bytes = &bytes[length..];
            }
            Ok(None) if is_all => {
                nonsense = Some(format!("the last {} bytes are a part of an answer", bytes.len()));
                break;
            }
            Ok(None) => break,
            Err(reason) => {
                let shown = bytes[..bytes.len().min(30)].escape_ascii();
                nonsense = Some(format!("{reason}: `{shown}`"));
                break;
            }
        }
    }
    Received { answers, nonsense }
}

/// The first answer and its length, or `None` if it is not all there.
fn one(bytes: &[u8], method: &str, is_all: bool) -> Result<Option<(Answer, usize)>, String> {
    let mut headers = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut headers);
    let head_length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no answer ({error})")),
    };
    let fields = response.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let fields = fields.collect();
    let status = response.code.unwrap_or(0);
    let mut answer = Answer { status, fields, body: Vec::new() };
    let rest = &bytes[head_length..];
    let Some(length) = body_length(&answer, method, rest, is_all)? else { return Ok(None) };
    answer.body.extend_from_slice(&rest[..length]);
    Ok(Some((answer, head_length + length)))
}

/// RFC 9112 6.3, for answers.
fn body_length(
    answer: &Answer,
    method: &str,
    rest: &[u8],
    is_all: bool,
) -> Result<Option<usize>, String> {
    if method == "CONNECT" && answer.status / 100 == 2 {
        // A tunnel: the rest is no HTTP.
        return Ok(Some(rest.len()));
    }
    if method == "HEAD" || matches!(answer.status, 100..200 | 204 | 304) {
        return Ok(Some(0));
    }
    if answer.field("transfer-encoding").is_some() {
        return chunks_length(rest);
    }
    match answer.field("content-length") {
        Some(value) => {
            let length: usize = value.parse().map_err(|_| format!("a length of {value:?}"))?;
            Ok((rest.len() >= length).then_some(length))
        }
        // Until the connection ends.
        None => Ok(is_all.then_some(rest.len())),
    }
}

fn chunks_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]);
        let (line, size) = match parsed.map_err(|_| "no chunk".to_owned())? {
            Status::Complete((line, size)) => (line, size),
            Status::Partial => return Ok(None),
        };
        at += line;
        if size == 0 {
            // Trailers, up to an empty line.
            let end = memchr::memmem::find(&bytes[at - 2..], b"\r\n\r\n");
            return Ok(end.map(|end| at - 2 + end + 4));
        }
        let size = usize::try_from(size).map_err(|_| "a chunk too large".to_owned())?;
        at = at.saturating_add(size).saturating_add(2);
        if at > bytes.len() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(text: &str, methods: &[&str], is_all: bool) -> (Vec<u16>, bool) {
        let methods: Vec<String> = methods.iter().map(|&method| method.to_owned()).collect();
        let received = take_apart(text.as_bytes(), &methods, is_all);
        (received.answers.iter().map(|a| a.status).collect(), received.nonsense.is_some())
    }

    #[test]
    fn answers_end_where_their_framing_says() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: v\r\n\r\n";
        let empty = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let all = [interim, length, chunks, empty, length].concat();
        assert_eq!(statuses(&all, &[], false), (vec![100, 200, 200, 200, 200], false));
        for end in 1..all.len() {
            assert!(!statuses(&all[..end], &[], false).1, "{end} bytes are a good beginning");
        }
        let close = "HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(statuses(close, &[], false), (vec![], false));
        assert_eq!(statuses(close, &[], true), (vec![200], false));
        assert_eq!(statuses(&length[..40], &[], true), (vec![], true));
    }

    #[test]
    fn a_body_where_there_is_none_is_noticed() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(statuses(answer, &["HEAD"], false), (vec![200], true));
        let head = answer.strip_suffix("abc").unwrap();
        assert_eq!(statuses(head, &["HEAD"], false), (vec![200], false));
        let both = [head, answer].concat();
        assert_eq!(statuses(&both, &["HEAD", "GET"], false), (vec![200, 200], false));
        let tunnel = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(statuses(tunnel, &["CONNECT"], false), (vec![200], false));
    }
}
