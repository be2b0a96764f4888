//! What a service sees of a request.

use super::head::fields;
use super::{Error, Peer, Target};
use std::fmt;
use std::net::SocketAddr;

/// A complete request, borrowed from the input: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target_text: &'a str,
    /// The parts of `target_text`.
    pub(super) target: Target<'a>,
    pub(super) version: Version,
    pub(super) headers: Headers<'a>,
    /// Chunked coding is taken off; empty where there is no body, or it was to be discarded.
    pub(super) body: &'a [u8],
    pub(super) peer: Option<&'a Peer<'a>>,
    /// What a router has found in the path.
    #[cfg(feature = "router")]
    pub(super) params: Option<&'a Params>,
}

/// Names and decoded values. Not a slice, because a request is passed on in many places and this is half as large.
#[cfg(feature = "router")]
pub(crate) type Params = Vec<(String, String)>;

/// The version of a request. Only the major version decides about understanding (RFC 9110 section
/// 2.5), so that 1.2 to 1.9 count as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes after the answer unless asked otherwise; knows neither chunks nor 100.
    Http10,
    /// HTTP/1.1 or a later 1.x.
    Http11,
}

/// The header fields of a request, in the order in which they came. Names compare without case.
///
/// ```
/// use helloop::http::{Headers, Request, Version};
///
/// fn describe(request: &Request<'_>) -> String {
///     let headers: Headers<'_> = request.headers();
///     let accepted = headers.all("Accept").count();
///     let is_old = request.version() == Version::Http10;
///     format!("{} fields, {accepted} of them Accept, old: {is_old}", headers.len())
/// }
/// let request = Request::new("GET", "/")?;
/// assert_eq!(describe(&request), "0 fields, 0 of them Accept, old: false");
/// # Ok::<(), helloop::http::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Good field lines, each with its CRLF. They are taken apart on demand: most services read one field
    /// or none.
    pub(super) lines: &'a [u8],
    /// How many.
    pub(super) count: usize,
}

impl<'a> Request<'a> {
    /// An HTTP/1.1 request with neither fields nor body, for calling a service without a
    /// connection.
    ///
    /// # Errors
    /// Those of a bad target: [`Error::TargetByte`], [`Error::TargetForm`],
    /// [`Error::TargetAuthority`].
    pub fn new(method: &'a str, target: &'a str) -> Result<Request<'a>, Error> {
        Ok(Request {
            method,
            target_text: target,
            target: Target::parse(method, target)?,
            version: Version::Http11,
            headers: Headers { lines: b"", count: 0 },
            body: b"",
            peer: None,
            #[cfg(feature = "router")]
            params: None,
        })
    }

    /// The method, a token with its case as sent: `GET`.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The target as sent: visible ASCII without `#`.
    pub fn target(&self) -> &'a str {
        self.target_text
    }

    /// The raw path: begins with `/`, or is `*` for the server as a whole, or empty for CONNECT.
    /// [`decode_segment`](super::decode_segment) decodes it.
    pub fn path(&self) -> &'a str {
        self.target.path()
    }

    /// The raw query: what follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&'a str> {
        self.target.query()
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// With what a router has found in the path.
    #[cfg(feature = "router")]
    pub(crate) fn with_params<'b>(self, params: &'b Params) -> Request<'b>
    where
        'a: 'b,
    {
        Request { params: Some(params), ..self }
    }

    /// The header fields.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The value of the first field with this name as text; `None` also where it is not UTF-8. See
    /// [`headers`](Request::headers) for the bytes, and for all fields of a name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.text(name)
    }

    /// The body, whole. Empty too if the policy was [`BodyPolicy::Discard`](super::BodyPolicy).
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The peer that sent it, where the driver knows. A peer on a Unix socket has no address.
    pub fn peer(&self) -> Option<SocketAddr> {
        // No peer over TCP has the unspecified address.
        self.peer.map(|peer| peer.address).filter(|address| !address.ip().is_unspecified())
    }

    /// The client that asks: what a trusted proxy has said of it, else the peer. `None` where nobody has an address. A
    /// field of the request names no port: then it is 0.
    ///
    /// Whom to believe, a server is told by [`Builder::preface`](crate::server::Builder::preface) and
    /// [`Builder::client_addr`](crate::server::Builder::client_addr); without them it is the peer.
    pub fn client_addr(&self) -> Option<SocketAddr> {
        let client = self.peer.and_then(|peer| peer.client(self.headers));
        client.or_else(|| self.peer())
    }
}

impl Version {
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

impl<'a> Headers<'a> {
    /// The value of the first field with this name, without white space around it.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The same as text; `None` also where the value is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The values of all fields with this name, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Names (as sent) and values of all fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        fields(self.lines).map(|(name, value)| {
            (str::from_utf8(name).expect("a field name is a token, thus ASCII"), value)
        })
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(fields).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_calling_a_service() {
        let request = Request::new("GET", "/a%20b?c").expect("a good target");
        assert_eq!((request.path(), request.query()), ("/a%20b", Some("c")));
        assert!(request.headers().is_empty() && request.body().is_empty());
        assert_eq!(Request::new("GET", "*").err(), Some(Error::TargetForm));
    }

    #[test]
    fn names_compare_without_case_and_order_is_kept() {
        let headers = Headers { lines: b"A: 1\r\nb:\xff \r\na:2\r\n", count: 3 };
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.all("A").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.text("B"), None);
        assert_eq!((headers.len(), headers.is_empty()), (3, false));
        assert_eq!(headers.iter().last(), Some(("a", &b"2"[..])));
        assert_eq!(format!("{headers:?}"), r#"{"A": "1", "b": "\\xff", "a": "2"}"#);
    }
}
