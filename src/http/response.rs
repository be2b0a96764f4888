//! What a service answers.

use super::grammar::{is_field_value_byte, is_token, trim};
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use std::borrow::Cow;
use std::fmt;
use std::io;

/// An answer under construction. One is reused for all requests of a server, so that a service that
/// answers small things allocates nothing.
///
/// The fields that belong to the connection (framing, `Connection`, `Date`) are written by the
/// server; no value that a service sets can begin a new line.
///
/// ```
/// use helloop::http::{HeaderError, Response, Status};
///
/// let mut response = Response::new();
/// response.status(Status::NOT_FOUND).header("Cache-Control", "no-store")?.text("No such page.\n");
/// assert_eq!(response.header("X", "a\r\nSet-Cookie: b").err(), Some(HeaderError::Value));
/// # Ok::<(), HeaderError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) status: Status,
    /// The type is that of [`Response::text`], and not what `content_type` says: text is so frequent
    /// that its field line is prepared.
    pub(super) is_text: bool,
    /// Value of `Content-Type`; empty: no such field.
    pub(super) content_type: Vec<u8>,
    /// Complete field lines, each with its CRLF.
    pub(super) fields: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) close: bool,
}

/// Why a header field, or a response of another crate, was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is not a token.
    Name,
    /// The value has a control character, such as CR or LF.
    Value,
    /// The field is written by the connection itself, which could otherwise contradict it.
    Reserved,
    /// The status of another crate's response is not in `200..=599`.
    Status,
}

/// The fields that only the connection writes: framing, persistence, and `Date`.
const RESERVED: [&str; 8] = [
    "Connection",
    "Content-Length",
    "Date",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

impl Response {
    /// An empty answer with status 200.
    pub const fn new() -> Response {
        Response {
            status: Status::OK,
            is_text: false,
            content_type: Vec::new(),
            fields: Vec::new(),
            body: Vec::new(),
            close: false,
        }
    }

    /// Back to `Response::new()`; memory is kept, up to
    /// [`BUFFER_BYTES_KEPT_MAX`] per buffer.
    pub fn clear(&mut self) {
        self.status = Status::OK;
        self.close = false;
        self.is_text = false;
        for buffer in [&mut self.content_type, &mut self.fields, &mut self.body] {
            buffer.clear();
            if buffer.capacity() > BUFFER_BYTES_KEPT_MAX {
                *buffer = Vec::new();
            }
        }
    }

    /// Sets the status.
    pub fn status(&mut self, status: Status) -> &mut Response {
        self.status = status;
        self
    }

    /// Appends a header field; white space around the value is dropped. `Content-Type` is set, not
    /// appended: there is one.
    ///
    /// # Errors
    /// See [`HeaderError`]; nothing is changed then.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut Response, HeaderError> {
        let value = checked_field(name, value)?;
        if name.eq_ignore_ascii_case("Content-Type") {
            self.is_text = false;
            self.content_type.clear();
            self.content_type.extend_from_slice(value);
            return Ok(self);
        }
        field_line(name, value, &mut self.fields);
        Ok(self)
    }

    /// Replaces the body by a text of type `text/plain; charset=utf-8`. With `format_args!` it is
    /// written straight into the body.
    ///
    /// # Panics
    /// If the `Display` implementation of `text` returns an error, as `to_string` does.
    pub fn text(&mut self, text: impl fmt::Display) -> &mut Response {
        self.is_text = true;
        self.body.clear();
        fmt::write(&mut Appending(&mut self.body), format_args!("{text}")).expect(
            "a Display implementation fails only if its formatter does, and a Vec does not",
        );
        self
    }

    /// As [`text`](Response::text), for a text that consists of `parts`; takes less time than
    /// `format_args!`.
    pub fn text_of(&mut self, parts: &[&str]) -> &mut Response {
        self.is_text = true;
        self.body.clear();
        parts.iter().for_each(|part| self.body.extend_from_slice(part.as_bytes()));
        self
    }

    /// Replaces the body by `bytes` of the media type `content_type`. A `Vec` is taken as it is; a slice is copied
    /// into memory that is there already.
    ///
    /// ```
    /// use helloop::http::Response;
    ///
    /// let mut response = Response::new();
    /// response.body("image/png", vec![0x89, b'P', b'N', b'G'])?;
    /// response.body("image/png", b"\x89PNG")?;
    /// # Ok::<(), helloop::http::HeaderError>(())
    /// ```
    ///
    /// # Errors
    /// [`HeaderError::Value`] if the type has a control character; nothing is changed then.
    pub fn body<'b>(
        &mut self,
        content_type: &str,
        bytes: impl Into<Cow<'b, [u8]>>,
    ) -> Result<&mut Response, HeaderError> {
        self.header("Content-Type", content_type)?;
        match bytes.into() {
            Cow::Owned(bytes) => self.body = bytes,
            Cow::Borrowed(bytes) => {
                self.body.clear();
                self.body.extend_from_slice(bytes);
            }
        }
        Ok(self)
    }

    /// Replaces the body by `value` as JSON, of type `application/json`.
    ///
    /// ```
    /// use helloop::http::Response;
    ///
    /// let mut response = Response::new();
    /// response.json(&[1, 2, 3])?;
    /// assert_eq!(response.current_body(), b"[1,2,3]");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the `Serialize` implementation of `value` says, or that a key of a map is not a string. The body is not
    /// to be sent then.
    #[cfg(feature = "json")]
    pub fn json(
        &mut self,
        value: &(impl serde_core::Serialize + ?Sized),
    ) -> serde_json::Result<&mut Response> {
        self.header("Content-Type", "application/json").expect("a constant type");
        self.body.clear();
        serde_json::to_writer(&mut self.body, value)?;
        Ok(self)
    }

    /// Sets a cookie: appends a `Set-Cookie` field (RFC 6265 section 4.1).
    ///
    /// ```
    /// use cookie::{Cookie, SameSite};
    /// use helloop::http::Response;
    ///
    /// let mut response = Response::new();
    /// let session = Cookie::build(("session", "4711")).path("/").http_only(true).same_site(SameSite::Lax);
    /// response.cookie(&session.into())?;
    /// # Ok::<(), helloop::http::HeaderError>(())
    /// ```
    ///
    /// # Errors
    /// [`HeaderError::Value`] if its name or its value has a control character. Neither may have a `;`: encode what may
    /// (`Cookie::encoded`).
    #[cfg(feature = "cookies")]
    pub fn cookie(&mut self, cookie: &cookie::Cookie<'_>) -> Result<&mut Response, HeaderError> {
        self.header("Set-Cookie", &cookie.to_string())
    }

    /// Asks to close the connection after this answer.
    pub fn close(&mut self) -> &mut Response {
        self.close = true;
        self
    }

    /// The value of `Content-Type`, if there is one.
    #[cfg(feature = "http-types")]
    pub(super) fn content_type_value(&self) -> Option<&[u8]> {
        if self.is_text {
            return Some(b"text/plain; charset=utf-8");
        }
        Some(&self.content_type[..]).filter(|value| !value.is_empty())
    }

    /// The status that is set.
    pub fn current_status(&self) -> Status {
        self.status
    }

    /// The body that is set. Whether it is sent depends on the method and the status.
    pub fn current_body(&self) -> &[u8] {
        &self.body
    }
}

impl Default for Response {
    fn default() -> Response {
        Response::new()
    }
}

/// Appends to the body; set its type with [`Response::header`].
impl io::Write for Response {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::Name => "the field name is not a token",
            HeaderError::Value => "the field value has a control character",
            HeaderError::Reserved => "the field belongs to the connection",
            HeaderError::Status => "the status is not that of a final answer: 200 to 599",
        })
    }
}

impl std::error::Error for HeaderError {}

/// Text appended to bytes. (`io::Write` would do, but asks for an error that cannot be.)
struct Appending<'a>(&'a mut Vec<u8>);

impl fmt::Write for Appending<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The one check of a field that is to be sent, in an answer or a request: returns the value without
/// white space around it.
pub(super) fn checked_field<'a>(name: &str, value: &'a str) -> Result<&'a [u8], HeaderError> {
    if !is_token(name.as_bytes()) {
        return Err(HeaderError::Name);
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err(HeaderError::Reserved);
    }
    let value = trim(value.as_bytes());
    let is_good = value.iter().all(|byte| is_field_value_byte(*byte));
    if is_good { Ok(value) } else { Err(HeaderError::Value) }
}

/// Appends a field line whose parts have been checked.
pub(super) fn field_line(name: &str, value: &[u8], output: &mut Vec<u8>) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        output.extend_from_slice(part);
    }
}

/// The status code of a final answer: always in `200..=599`. Interim answers (1xx) are the
/// business of the [`Exchange`](super::Exchange) alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

/// Declares each status once: the constant and its phrase (RFC 9110 section 15).
macro_rules! statuses {
    ($($code:literal $name:ident $phrase:literal)*) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($code), " ", $phrase, "`")]
            pub const $name: Status = Status($code);)*

            /// The reason phrase that RFC 9110 has for the code; empty for a code it does not name.
            pub const fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    200 OK "OK"
    201 CREATED "Created"
    202 ACCEPTED "Accepted"
    204 NO_CONTENT "No Content"
    205 RESET_CONTENT "Reset Content"
    301 MOVED_PERMANENTLY "Moved Permanently"
    302 FOUND "Found"
    303 SEE_OTHER "See Other"
    304 NOT_MODIFIED "Not Modified"
    307 TEMPORARY_REDIRECT "Temporary Redirect"
    308 PERMANENT_REDIRECT "Permanent Redirect"
    400 BAD_REQUEST "Bad Request"
    401 UNAUTHORIZED "Unauthorized"
    403 FORBIDDEN "Forbidden"
    404 NOT_FOUND "Not Found"
    405 METHOD_NOT_ALLOWED "Method Not Allowed"
    406 NOT_ACCEPTABLE "Not Acceptable"
    408 REQUEST_TIMEOUT "Request Timeout"
    409 CONFLICT "Conflict"
    410 GONE "Gone"
    411 LENGTH_REQUIRED "Length Required"
    412 PRECONDITION_FAILED "Precondition Failed"
    413 CONTENT_TOO_LARGE "Content Too Large"
    414 URI_TOO_LONG "URI Too Long"
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type"
    417 EXPECTATION_FAILED "Expectation Failed"
    421 MISDIRECTED_REQUEST "Misdirected Request"
    422 UNPROCESSABLE_CONTENT "Unprocessable Content"
    429 TOO_MANY_REQUESTS "Too Many Requests"
    431 HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large"
    500 INTERNAL_SERVER_ERROR "Internal Server Error"
    501 NOT_IMPLEMENTED "Not Implemented"
    502 BAD_GATEWAY "Bad Gateway"
    503 SERVICE_UNAVAILABLE "Service Unavailable"
    504 GATEWAY_TIMEOUT "Gateway Timeout"
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported"
}

impl Status {
    /// The status with this code, if it is one of a final answer: `200..=599`.
    pub const fn new(code: u16) -> Option<Status> {
        if matches!(code, 200..=599) { Some(Status(code)) } else { None }
    }

    /// The number on the wire, in `200..=599`.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether an answer with this status may carry content. 204 and 304 end with their head; 205
    /// says `Content-Length: 0` (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
    pub const fn allows_body(self) -> bool {
        !matches!(self.0, 204 | 205 | 304)
    }
}

/// `200 OK`, or the bare code where there is no phrase.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phrase() {
            "" => write!(f, "{}", self.0),
            phrase => write!(f, "{} {phrase}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_header_is_one_line() {
        let mut response = Response::new();
        response.header("Allow", " GET, HEAD\t").expect("a good field");
        assert_eq!(response.fields, b"Allow: GET, HEAD\r\n");
        for bad in ["a\r\nb", "a\nb", "\r", "\0", "\x7f", "a\x1bb"] {
            assert_eq!(response.header("X", bad).err(), Some(HeaderError::Value), "{bad:?}");
        }
        for bad in ["", "a b", "a:", "a\r\n", "ü"] {
            assert_eq!(response.header(bad, "x").err(), Some(HeaderError::Name), "{bad:?}");
        }
        assert_eq!(response.fields, b"Allow: GET, HEAD\r\n");
    }

    #[test]
    fn the_fields_of_the_server_are_refused_in_any_case() {
        // By name: if one is taken out of the list, this is to fail.
        let names = ["Connection", "Content-Length", "Date", "Keep-Alive", "TE", "Trailer"];
        for name in names.into_iter().chain(["Transfer-Encoding", "Upgrade"]) {
            assert_eq!(Response::new().header(name, "x").err(), Some(HeaderError::Reserved));
            let lower = name.to_ascii_lowercase();
            assert_eq!(Response::new().header(&lower, "x").err(), Some(HeaderError::Reserved));
        }
    }

    #[test]
    fn the_last_body_and_type_win() {
        let mut response = Response::new();
        response.text(format_args!("Hello, {}!\n", "World"));
        assert_eq!(response.current_body(), b"Hello, World!\n");
        assert_eq!(Response::new().text_of(&["Hello, ", "", "World!\n"]).body, response.body);
        response.body("image/png", b"\x89PNG").expect("a good type");
        assert_eq!(response.content_type, b"image/png");
        response.header("content-type", "a/b").expect("a good type");
        write!(response, "{}", 1).expect("a Vec takes everything");
        assert_eq!(
            (&response.content_type[..], &response.body[..]),
            (&b"a/b"[..], &b"\x89PNG1"[..])
        );
        assert!(response.body("a\r\n/b", b"x").is_err() && response.body == b"\x89PNG1");
        assert!(response.fields.is_empty());
    }

    #[test]
    fn clearing_keeps_memory_but_not_for_ever() {
        let mut response = Response::new();
        response.status(Status::NOT_FOUND).close().text("x");
        response.clear();
        assert_eq!((response.status, response.close, response.body.len()), (Status::OK, false, 0));
        assert!(response.body.capacity() > 0);
        response.body("a/b", vec![0; BUFFER_BYTES_KEPT_MAX + 1]).expect("a good type");
        response.clear();
        assert_eq!(response.body.capacity(), 0);
    }

    #[test]
    fn only_final_statuses_exist() {
        assert_eq!([0, 100, 199, 600, 999].map(Status::new), [None; 5]);
        assert_eq!(Status::new(200), Some(Status::OK));
        assert_eq!(Status::new(599).map(Status::code), Some(599));
    }

    #[test]
    fn an_unknown_code_has_no_phrase() {
        assert_eq!(Status::NOT_FOUND.to_string(), "404 Not Found");
        assert_eq!(Status(299).to_string(), "299");
    }
}
