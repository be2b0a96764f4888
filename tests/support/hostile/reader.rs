/// An answer, as a strict reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// It says that the connection closes.
    pub(crate) closes: bool,
    /// The value of `Date`.
    pub(crate) date: String,
}

/// What tells where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Its head, or its chunks.
    Told,
    /// There is none: the request was HEAD.
    Head,
    /// The end of the connection, if that is orderly.
    Close,
}

/// Reads answers out of a stream, as far as they are complete.
#[derive(Default)]
pub(crate) struct Reader {
    received: Vec<u8>,
    /// `received[..read]` is taken apart.
    read: usize,
    pub(crate) answers: Vec<Got>,
    /// Bytes that may follow the last answer: the body of a refusal that came before its method was
    /// known to be HEAD.
    optional_bytes: usize,
    /// What is wrong with the stream, if something is.
    pub(crate) complaint: Option<String>,
}

/// More than the sentence of any refusal.
const OPTIONAL_BYTES_MAX: usize = 80;

/// What a look at the front of the stream came to.
enum Look {
    Incomplete,
    /// Of 1xx, so many bytes.
    Interim(usize),
    /// An answer, and its bytes.
    Answer(Got, usize),
}

impl Reader {
    /// Takes bytes in, behind which the orderly end has come or not. `ends` tells of the n-th answer.
    pub(crate) fn take(&mut self, bytes: &[u8], at_end: bool, ends: impl Fn(usize) -> Ends) {
        self.received.extend_from_slice(bytes);
        while self.complaint.is_none() {
            let rest = &self.received[self.read..];
            if rest.is_empty() {
                return;
            }
            if self.answers.last().is_some_and(|last| last.closes) {
                if rest.len() <= self.optional_bytes {
                    return;
                }
                let begins = rest[..rest.len().min(60)].escape_ascii();
                self.complaint = Some(format!("bytes after the last answer: \"{begins}\""));
                return;
            }
            match look(rest, at_end, ends(self.answers.len())) {
                Ok(Look::Incomplete) => return,
                Ok(Look::Interim(bytes)) => self.read += bytes,
                Ok(Look::Answer(got, bytes)) => {
                    self.read += bytes;
                    self.optional_bytes = if got.status == 408 { OPTIONAL_BYTES_MAX } else { 0 };
                    self.answers.push(got);
                }
                Err(complaint) => {
                    let begins = rest[..rest.len().min(200)].escape_ascii();
                    self.complaint = Some(format!("{complaint}: \"{begins}\""));
                }
            }
        }
    }

    /// Bytes of an answer that is not complete.
    pub(crate) fn unfinished(&self) -> &[u8] {
        if self.optional_bytes > 0 { &[] } else { &self.received[self.read..] }
    }
}

fn look(rest: &[u8], at_end: bool, ends: Ends) -> Result<Look, String> {
    let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return if b"HTTP/1.1 ".starts_with(&rest[..rest.len().min(9)]) {
            Ok(Look::Incomplete)
        } else {
            Err("this is no head".into())
        };
    };
    let head = str::from_utf8(&rest[..end]).map_err(|_| "a head that is no text")?;
    let behind = &rest[end + 4..];
    let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3));
    let status: u16 = status.and_then(|code| code.parse().ok()).ok_or("no status line")?;
    if status < 200 {
        return Ok(Look::Interim(end + 4));
    }
    let field = |name: &str| {
        let mut named = fields.split("\r\n").filter_map(|line| line.split_once(": "));
        named.find(|(other, _)| *other == name).map(|(_, value)| value)
    };
    let got = |body: &[u8]| Got {
        status,
        body: body.to_vec(),
        closes: field("Connection") == Some("close"),
        date: field("Date").unwrap_or_default().to_owned(),
    };
    if ends == Ends::Head || status == 204 {
        return Ok(Look::Answer(got(b""), end + 4));
    }
    if field("Transfer-Encoding") == Some("chunked") {
        return Ok(match chunks(behind)? {
            Some((body, bytes)) => Look::Answer(got(&body), end + 4 + bytes),
            None => Look::Incomplete,
        });
    }
    if ends == Ends::Close && field("Content-Length").is_none() {
        let answer = || Look::Answer(got(behind), rest.len());
        return Ok(if at_end { answer() } else { Look::Incomplete });
    }
    let length = field("Content-Length").and_then(|digits| digits.parse::<usize>().ok());
    let length = length.ok_or("an answer that does not say where it ends")?;
    Ok(match behind.get(..length) {
        Some(body) => Look::Answer(got(body), end + 4 + length),
        None => Look::Incomplete,
    })
}

/// The content of a body in chunks, and its bytes on the wire; `None` if it is not complete.
fn chunks(wire: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut rest) = (Vec::new(), wire);
    loop {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") else { return Ok(None) };
        let size = str::from_utf8(&rest[..end]).map_err(|_| "a chunk size that is no text")?;
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk size that is none")?;
        let Some(data) = rest.get(end + 2..end + 2 + size) else { return Ok(None) };
        let Some(after) = rest.get(end + 2 + size..end + 4 + size) else { return Ok(None) };
        if after != b"\r\n" {
            return Err("a chunk that does not end".into());
        }
        body.extend_from_slice(data);
        rest = &rest[end + 4 + size..];
        if size == 0 {
            return Ok(Some((body, wire.len() - rest.len())));
        }
    }
}
