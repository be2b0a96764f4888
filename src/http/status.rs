//! Status codes.

use std::fmt;

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
