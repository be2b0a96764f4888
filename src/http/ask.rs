//! What a client asks: the head of a request as bytes.

use super::encode::decimal;
use super::grammar::is_token;
use super::request::is_authority;
use super::response::{checked_field, field_line};
use super::{Error, HeaderError, Reply, Target};
use crate::limits::ReplyLimits;
use std::fmt;

/// The head of a request under construction. Nothing that is given to it can begin a new line, and
/// it alone writes the fields that belong to the connection (`Host`, framing, `Connection`).
///
/// The order on the wire: request line, `Host` (RFC 9110 section 7.2 wants it first), the other
/// fields as they were given, `Content-Length`, `Connection`.
///
/// ```
/// use helloop::http::Ask;
///
/// let mut ask = Ask::new("PUT", "/greeting?lang=en", "localhost:8080")?;
/// ask.header("User-Agent", "helloop")?.body_bytes(6).close();
///
/// let mut output = Vec::new();
/// ask.encode(&mut output);
/// output.extend_from_slice(b"hello\n");
/// assert_eq!(
///     String::from_utf8(output)?,
///     "PUT /greeting?lang=en HTTP/1.1\r\n\
///      Host: localhost:8080\r\n\
///      User-Agent: helloop\r\n\
///      Content-Length: 6\r\n\
///      Connection: close\r\n\
///      \r\n\
///      hello\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The request line, `Host` and the fields so far: complete lines, each with its CRLF.
    lines: Vec<u8>,
    /// Bytes of `lines` that are the method.
    method_bytes: usize,
    body_bytes: Option<u64>,
    close: bool,
}

/// Header fields that are checked and encoded once, for many requests.
///
/// ```
/// use helloop::http::{Ask, AskError, AskFields};
///
/// let mut fields = AskFields::default();
/// fields.header("User-Agent", "helloop")?;
/// let mut ask = Ask::new("GET", "/", "localhost")?;
/// ask.fields(&fields);
/// assert_eq!(Ask::new("GET", "no-path", "localhost").err(), Some(AskError::TargetForm));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskFields {
    /// Complete lines, each with its CRLF.
    lines: Vec<u8>,
}

/// Why a request cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The method is not a token (RFC 9110 section 9.1).
    Method,
    /// CONNECT: what follows its reply is a tunnel and no message.
    Connect,
    /// The target has a byte that is not visible ASCII, or a `#` (RFC 9112 section 3.2).
    TargetByte,
    /// The target is not in origin-form: it does not begin with `/` (RFC 9112 section 3.2.1).
    TargetForm,
    /// The host is not `uri-host [":" port]`, or is empty (RFC 9110 sections 4.2.1 and 7.2).
    Host,
}

/// What only [`Ask`] writes, besides the fields that may not be set.
///
/// `Expect` is among them because a [`Reply`] skips the 100 that it asks for.
const RESERVED: [&str; 4] = ["Expect", "Host", "HTTP2-Settings", "Proxy-Connection"];

/// Room for the usual fields, so that a head is one allocation.
const FIELDS_BYTES: usize = 128;

impl Ask {
    /// A request without fields other than `Host`, and without a body.
    ///
    /// `target` is in origin-form, `/path?query`, and percent-encoded; `host` is the authority of
    /// the URI, without user information.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn new(method: &str, target: &str, host: &str) -> Result<Ask, AskError> {
        check_method(method)?;
        match Target::parse(method, target) {
            Ok(Target::Origin { .. }) => {}
            Err(Error::TargetByte) => return Err(AskError::TargetByte),
            _ => return Err(AskError::TargetForm),
        }
        if !is_authority(host.as_bytes()) {
            return Err(AskError::Host);
        }
        let parts = [method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"];
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut lines = Vec::with_capacity(bytes + FIELDS_BYTES);
        parts.iter().for_each(|part| lines.extend_from_slice(part.as_bytes()));
        Ok(Ask { lines, method_bytes: method.len(), body_bytes: None, close: false })
    }

    /// Appends a header field; white space around the value is dropped.
    ///
    /// # Errors
    /// See [`HeaderError`]; nothing is changed then. Reserved are the fields that
    /// [`Response::header`](super::Response::header) refuses, and `Host`, `Expect`,
    /// `HTTP2-Settings` and `Proxy-Connection`.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut Ask, HeaderError> {
        append_field(name, value, &mut self.lines)?;
        Ok(self)
    }

    /// Appends header fields that have been checked before.
    pub fn fields(&mut self, fields: &AskFields) -> &mut Ask {
        self.lines.extend_from_slice(&fields.lines);
        self
    }

    /// Announces a body of so many bytes, which the caller sends after the head.
    pub fn body_bytes(&mut self, bytes: u64) -> &mut Ask {
        self.body_bytes = Some(bytes);
        self
    }

    /// Says `Connection: close`: this is the last request of its connection.
    pub fn close(&mut self) -> &mut Ask {
        self.close = true;
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        str::from_utf8(&self.lines[..self.method_bytes]).expect("a method is a token, thus ASCII")
    }

    /// Whether the connection ends with this request.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Appends the head, its empty line included, to `output`.
    ///
    /// A method that usually has a body says `Content-Length: 0` when it has none (RFC 9110 section
    /// 8.6); the others say nothing then.
    pub fn encode(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.lines);
        encode_end(self.announced(), self.close, output);
    }

    /// The head, its empty line included: what [`encode`](Ask::encode) appends, without a copy.
    pub fn into_bytes(mut self) -> Vec<u8> {
        encode_end(self.announced(), self.close, &mut self.lines);
        self.lines
    }

    /// What `Content-Length` says, if there is to be one.
    fn announced(&self) -> Option<u64> {
        let implied = matches!(self.method(), "POST" | "PUT" | "PATCH").then_some(0);
        self.body_bytes.or(implied)
    }

    /// The machine that reads the reply to this request.
    pub fn reply(&self, limits: ReplyLimits) -> Reply {
        Reply::to(self.method() == "HEAD", self.close, limits)
    }
}

impl AskFields {
    /// Appends a field.
    ///
    /// # Errors
    /// As [`Ask::header`]; nothing is changed then.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut AskFields, HeaderError> {
        append_field(name, value, &mut self.lines)?;
        Ok(self)
    }
}

fn append_field(name: &str, value: &str, lines: &mut Vec<u8>) -> Result<(), HeaderError> {
    let value = checked_field(name, value)?;
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err(HeaderError::Reserved);
    }
    field_line(name, value, lines);
    Ok(())
}

/// The fields of the connection, and the empty line.
fn encode_end(body_bytes: Option<u64>, close: bool, output: &mut Vec<u8>) {
    if let Some(bytes) = body_bytes {
        output.extend_from_slice(b"Content-Length: ");
        decimal(bytes, output);
        output.extend_from_slice(b"\r\n");
    }
    output.extend_from_slice(if close { b"Connection: close\r\n\r\n" } else { b"\r\n" });
}

/// Whether `method` is one that can be asked for.
pub(super) fn check_method(method: &str) -> Result<(), AskError> {
    match method {
        "CONNECT" => Err(AskError::Connect),
        _ if is_token(method.as_bytes()) => Ok(()),
        _ => Err(AskError::Method),
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AskError::Method => "method: not a token",
            AskError::Connect => "CONNECT: tunnels are not made here",
            AskError::TargetByte => "target: a byte that must be percent-encoded, or a fragment",
            AskError::TargetForm => "target: does not begin with `/`",
            AskError::Host => "host: not `host` or `host:port`",
        })
    }
}

impl std::error::Error for AskError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(ask: &Ask) -> String {
        let mut output = Vec::new();
        ask.encode(&mut output);
        assert_eq!(ask.clone().into_bytes(), output, "both ways are the same");
        String::from_utf8(output).expect("text")
    }

    fn new(method: &str, target: &str, host: &str) -> Ask {
        Ask::new(method, target, host).expect("a good request")
    }

    #[test]
    fn the_smallest_request() {
        let ask = new("GET", "/", "a");
        assert_eq!(encoded(&ask), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((ask.method(), ask.closes()), ("GET", false));
    }

    #[test]
    fn the_host_is_first_and_the_connection_last() {
        let mut ask = new("POST", "/a?b", "[::1]:80");
        ask.close().body_bytes(12).header("Accept", " */*\t").expect("a good field");
        ask.header("X", "").expect("a good field");
        assert_eq!(
            encoded(&ask),
            "POST /a?b HTTP/1.1\r\nHost: [::1]:80\r\nAccept: */*\r\nX: \r\n\
             Content-Length: 12\r\nConnection: close\r\n\r\n"
        );
        assert_eq!((ask.method(), ask.closes()), ("POST", true));
    }

    #[test]
    fn a_body_that_is_missing_is_mentioned_where_one_is_usual() {
        for (method, says_so) in
            [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)]
        {
            let text = encoded(&new(method, "/", "a"));
            assert_eq!(text.contains("\r\nContent-Length: 0\r\n"), says_so, "{method}");
        }
        let mut ask = new("GET", "/", "a");
        assert!(encoded(ask.body_bytes(0)).contains("\r\nContent-Length: 0\r\n"));
        assert!(encoded(ask.body_bytes(u64::MAX)).contains(": 18446744073709551615\r\n"));
    }

    #[test]
    fn what_cannot_be_asked() {
        for (method, target, host, error) in [
            ("", "/", "a", AskError::Method),
            ("G T", "/", "a", AskError::Method),
            ("GET\r\nX:", "/", "a", AskError::Method),
            ("CONNECT", "a:443", "a", AskError::Connect),
            ("GET", "/ü", "a", AskError::TargetByte),
            ("GET", "/a b", "a", AskError::TargetByte),
            ("GET", "/a#b", "a", AskError::TargetByte),
            ("GET", "/ HTTP/1.1\r\nX: y", "a", AskError::TargetByte),
            ("GET", "", "a", AskError::TargetForm),
            ("GET", "a", "a", AskError::TargetForm),
            ("GET", "http://a/", "a", AskError::TargetForm),
            ("OPTIONS", "*", "a", AskError::TargetForm),
            ("GET", "/", "", AskError::Host),
            ("GET", "/", "a b", AskError::Host),
            ("GET", "/", "u@a", AskError::Host),
            ("GET", "/", "a\r\nX: y", AskError::Host),
            ("GET", "/", "::1", AskError::Host),
        ] {
            assert_eq!(Ask::new(method, target, host), Err(error), "{method} {target} {host}");
        }
        assert_eq!(AskError::TargetForm.to_string(), "target: does not begin with `/`");
    }

    #[test]
    fn fields_that_were_checked_before_are_as_if_given_one_by_one() {
        let (mut at_once, mut one_by_one) = (new("GET", "/", "a"), new("GET", "/", "a"));
        let mut fields = AskFields::default();
        for (name, value) in [("Accept", "*/*"), ("X", " y "), ("X", "")] {
            fields.header(name, value).expect("a good field");
            one_by_one.header(name, value).expect("a good field");
        }
        let before = fields.clone();
        assert_eq!(fields.header("Host", "b").err(), Some(HeaderError::Reserved));
        assert_eq!(fields.header("X", "a\r\nb: c").err(), Some(HeaderError::Value));
        assert_eq!(fields, before);
        assert_eq!(encoded(at_once.fields(&fields)), encoded(&one_by_one));
    }

    #[test]
    fn a_header_is_one_line_and_not_one_of_ours() {
        let mut ask = new("GET", "/", "a");
        let before = ask.clone();
        for (name, value, error) in [
            ("X", "a\r\nHost: b", HeaderError::Value),
            ("X", "a\0", HeaderError::Value),
            ("X Y", "a", HeaderError::Name),
            ("", "a", HeaderError::Name),
            ("host", "b", HeaderError::Reserved),
            ("EXPECT", "100-continue", HeaderError::Reserved),
            ("content-length", "1", HeaderError::Reserved),
            ("Transfer-Encoding", "chunked", HeaderError::Reserved),
            ("Connection", "keep-alive", HeaderError::Reserved),
            ("TE", "trailers", HeaderError::Reserved),
            ("Upgrade", "h2c", HeaderError::Reserved),
        ] {
            assert_eq!(ask.header(name, value).err(), Some(error), "{name}: {value:?}");
        }
        assert_eq!(ask, before);
    }
}
