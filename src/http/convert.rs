//! From and to the types of the crate `http`, which many other crates speak.

use ::http as types;

use super::{HeaderError, Request, Response, Status, Version};

/// The body is copied. The target is kept, not made absolute.
///
/// ```
/// let request = helloop::http::Request::new("GET", "/here?now")?;
/// let request = http::Request::try_from(&request)?;
/// assert_eq!(request.uri().query(), Some("now"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When that crate refuses what is good here: a target with a byte such as `|`, for example.
impl TryFrom<&Request<'_>> for types::Request<Vec<u8>> {
    type Error = types::Error;

    fn try_from(request: &Request<'_>) -> Result<types::Request<Vec<u8>>, types::Error> {
        let version = match request.version() {
            Version::Http10 => types::Version::HTTP_10,
            Version::Http11 => types::Version::HTTP_11,
        };
        let mut built = types::Request::builder()
            .method(request.method())
            .uri(request.target())
            .version(version);
        for (name, value) in request.headers().iter() {
            built = built.header(name, value);
        }
        built.body(request.body().to_vec())
    }
}

/// The fields that belong to the connection (`Content-Length`, for example) are left out: the server writes its own.
///
/// ```
/// use helloop::http::Response;
///
/// let response = http::Response::builder().status(404).header("Vary", "*").body("no such page\n")?;
/// assert_eq!(Response::try_from(response)?.current_body(), b"no such page\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HeaderError::Value`] when a value is not UTF-8; [`HeaderError::Status`] when the status is not that of a final answer.
impl<B: Into<Vec<u8>>> TryFrom<types::Response<B>> for Response {
    type Error = HeaderError;

    fn try_from(response: types::Response<B>) -> Result<Response, HeaderError> {
        let (parts, body) = response.into_parts();
        let mut answer = Response::new();
        answer.status(Status::try_from(parts.status)?);
        for (name, value) in &parts.headers {
            let value = str::from_utf8(value.as_bytes()).map_err(|_| HeaderError::Value)?;
            match answer.header(name.as_str(), value) {
                Ok(_) | Err(HeaderError::Reserved) => {}
                Err(error) => return Err(error),
            }
        }
        answer.body = body.into();
        Ok(answer)
    }
}

/// ```
/// use helloop::http::Response;
///
/// let mut response = Response::new();
/// response.text("Hello!\n");
/// let response = http::Response::from(response);
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// assert_eq!(response.body(), b"Hello!\n");
/// ```
impl From<Response> for types::Response<Vec<u8>> {
    fn from(response: Response) -> types::Response<Vec<u8>> {
        let mut answer = types::Response::builder().status(response.status);
        if let Some(content_type) = response.content_type_value() {
            answer = answer.header("Content-Type", content_type);
        }
        for (name, value) in super::head::fields(&response.fields) {
            answer = answer.header(name, value);
        }
        answer.body(response.body).expect("the status and the fields were found good")
    }
}

/// # Errors
/// [`HeaderError::Status`] when it is not that of a final answer.
impl TryFrom<types::StatusCode> for Status {
    type Error = HeaderError;

    fn try_from(status: types::StatusCode) -> Result<Status, HeaderError> {
        Status::new(status.as_u16()).ok_or(HeaderError::Status)
    }
}

impl From<Status> for types::StatusCode {
    fn from(status: Status) -> types::StatusCode {
        types::StatusCode::from_u16(status.code()).expect("it is in 200..=599")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestBuf;

    #[test]
    fn what_belongs_to_the_connection_is_left_out() {
        let response = types::Response::builder()
            .header("Content-Length", "99")
            .header("Connection", "close")
            .header("Content-Type", "a/b")
            .header("X-One", "1")
            .header("X-One", "2")
            .body(vec![1, 2, 3]);
        let answer = Response::try_from(response.unwrap()).unwrap();
        assert_eq!(answer.fields, b"x-one: 1\r\nx-one: 2\r\n");
        let back = types::Response::from(answer);
        assert_eq!(back.headers().get_all("x-one").iter().count(), 2);
        assert_eq!(back.headers()["content-type"], "a/b");
        assert_eq!(back.headers().len(), 3);
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        let interim = types::Response::builder().status(103).body("").unwrap();
        assert_eq!(Response::try_from(interim).err(), Some(HeaderError::Status));
        let foreign = types::HeaderValue::from_bytes(b"\xff").unwrap();
        let foreign = types::Response::builder().header("X", foreign).body("").unwrap();
        assert_eq!(Response::try_from(foreign).err(), Some(HeaderError::Value));
    }

    #[test]
    fn a_request_is_the_same_there() {
        let request = RequestBuf::from(&Request::new("PURGE", "/a%20b?c=d").unwrap());
        let request = types::Request::try_from(&request.as_request()).unwrap();
        assert_eq!((request.method().as_str(), request.uri().path()), ("PURGE", "/a%20b"));
        let odd = Request::new("GET", "/a|b").unwrap();
        assert!(types::Request::try_from(&odd).is_ok() || odd.target().contains('|'));
    }
}
