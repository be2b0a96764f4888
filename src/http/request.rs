//! What a service sees of a request, and its target in the four forms (RFC 9112 section 3.2).

use super::grammar::{is_host_byte, is_plain_byte, look_at_target};
use super::{Error, Headers, Peer};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// A complete request, borrowed from the input: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target_text: &'a str,
    /// What [`Target`] says of `target_text`, which is all that anybody asks.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
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

impl<'a> Request<'a> {
    /// An HTTP/1.1 request with neither fields nor body, for calling a service without a
    /// connection.
    ///
    /// # Errors
    /// Those of a bad target: [`Error::TargetByte`], [`Error::TargetForm`],
    /// [`Error::TargetAuthority`].
    pub fn new(method: &'a str, target: &'a str) -> Result<Request<'a>, Error> {
        let parts = Target::parse(method, target)?;
        Ok(Request {
            method,
            target_text: target,
            path: parts.path(),
            query: parts.query(),
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
        self.path
    }

    /// The raw query: what follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&'a str> {
        self.query
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

/// A request target, taken apart but not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/path?query`: the usual form.
    Origin {
        /// Begins with `/`.
        path: &'a str,
        /// After the first `?`.
        query: Option<&'a str>,
    },
    /// `http://authority/path?query`, as a proxy gets it; every server must take it.
    Absolute {
        /// `host` or `host:port`.
        authority: &'a str,
        /// Begins with `/`, or is the `*` that section 3.2.4 makes of an empty one for OPTIONS.
        path: &'a str,
        /// After the first `?`.
        query: Option<&'a str>,
    },
    /// `host:port`: CONNECT only.
    Authority(&'a str),
    /// `*`, the server as a whole: OPTIONS only.
    Asterisk,
}

/// Why a path segment cannot be decoded.
///
/// ```
/// use helloop::http::{DecodeError, decode_segment};
///
/// assert_eq!(decode_segment("100%"), Err(DecodeError::Percent));
/// assert_eq!(decode_segment("%ff"), Err(DecodeError::Utf8));
/// assert_eq!(decode_segment("a%0ab"), Err(DecodeError::Control));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A `%` without two hexadecimal digits.
    Percent,
    /// The decoded bytes are not UTF-8.
    Utf8,
    /// The decoded text has a control character, which would forge lines in logs and fields.
    Control,
}

impl<'a> Target<'a> {
    /// Takes `text` apart; `method` decides which forms are possible.
    ///
    /// # Errors
    /// [`Error::TargetByte`], [`Error::TargetForm`], [`Error::TargetAuthority`].
    pub(super) fn parse(method: &str, text: &'a str) -> Result<Target<'a>, Error> {
        let (good_bytes, has_query) = look_at_target(text.as_bytes());
        if good_bytes < text.len() {
            return Err(Error::TargetByte);
        }
        Target::of_checked(method, text, has_query)
    }

    /// As [`parse`](Target::parse), of a text whose bytes were looked at: whether a `?` is among them is known.
    #[inline(always)]
    pub(super) fn of_checked(
        method: &str,
        text: &'a str,
        has_query: bool,
    ) -> Result<Target<'a>, Error> {
        match method {
            "CONNECT" if is_authority_with_port(text) => Ok(Target::Authority(text)),
            "CONNECT" => Err(Error::TargetForm),
            _ if text.starts_with('/') => {
                let (path, query) = if has_query { split_query(text) } else { (text, None) };
                Ok(Target::Origin { path, query })
            }
            "OPTIONS" if text == "*" => Ok(Target::Asterisk),
            _ => Target::absolute(text, method),
        }
    }

    /// The raw path: begins with `/`, or is `*` for the server as a whole, or empty for CONNECT.
    pub(super) fn path(self) -> &'a str {
        match self {
            Target::Origin { path, .. } | Target::Absolute { path, .. } => path,
            Target::Authority(_) => "",
            Target::Asterisk => "*",
        }
    }

    /// The raw query: what follows the first `?`, if there is one.
    pub(super) fn query(self) -> Option<&'a str> {
        match self {
            Target::Origin { query, .. } | Target::Absolute { query, .. } => query,
            Target::Authority(_) | Target::Asterisk => None,
        }
    }

    fn absolute(text: &'a str, method: &str) -> Result<Target<'a>, Error> {
        let (scheme, rest) = text.split_once("://").ok_or(Error::TargetForm)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Error::TargetAuthority);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(authority.as_bytes()) {
            return Err(Error::TargetAuthority);
        }
        let (path, query) = split_query(tail);
        let path = match path {
            "" if method == "OPTIONS" && query.is_none() => "*",
            "" => "/",
            path => path,
        };
        Ok(Target::Absolute { authority, path, query })
    }
}

/// Percent-decodes one path segment, once, as UTF-8. Allocates only if there is something to
/// decode. A `+` stays a `+`: only forms use it for a space.
///
/// # Errors
/// See [`DecodeError`].
///
/// ```
/// use helloop::http::decode_segment;
/// assert_eq!(decode_segment("J%C3%BCrgen").unwrap(), "Jürgen");
/// assert!(decode_segment("100%").is_err());
/// ```
pub fn decode_segment(segment: &str) -> Result<Cow<'_, str>, DecodeError> {
    // Most names have nothing to decode, and no control character.
    if segment.bytes().all(is_plain_byte) {
        return Ok(Cow::Borrowed(segment));
    }
    decode_escapes(segment)
}

#[cold]
fn decode_escapes(segment: &str) -> Result<Cow<'_, str>, DecodeError> {
    let is_escape =
        |rest: &str| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    if !segment.split('%').skip(1).all(is_escape) {
        return Err(DecodeError::Percent);
    }
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| DecodeError::Utf8)?;
    if text.chars().any(char::is_control) { Err(DecodeError::Control) } else { Ok(text) }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Percent => "a % without two hexadecimal digits",
            DecodeError::Utf8 => "not UTF-8 when decoded",
            DecodeError::Control => "a control character",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Whether `bytes` are `uri-host [":" port]` (RFC 9110 section 7.2) with a host that is not empty
/// (section 4.2.1 has an empty one refused) and a port that there can be. User information is not part of it, so that `@` fails.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let host_bytes = match bytes.first() {
        Some(b'[') => bytes.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1),
        _ => name_bytes(bytes),
    };
    let (host, port) = bytes.split_at(host_bytes);
    let is_host = match host {
        [] => false,
        [b'[', address @ .., b']'] => is_ip_literal(address),
        // `name_bytes` has looked at each byte.
        _ => true,
    };
    is_host && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// CONNECT has no default port (RFC 9112 section 3.2.3).
fn is_authority_with_port(text: &str) -> bool {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| {
        // Not the end of an address in brackets.
        port.bytes().last().is_some_and(|byte| byte.is_ascii_digit())
    });
    is_authority(text.as_bytes()) && has_port
}

/// Whether `digits` are a number of 16 bits, or nothing: the default port.
fn is_port(digits: &[u8]) -> bool {
    let mut number = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return false;
        }
        number = 10 * number + u32::from(byte - b'0');
        if number > u16::MAX.into() {
            return false;
        }
    }
    true
}

/// How many bytes at the beginning are `*( unreserved / pct-encoded / sub-delims )` (RFC 3986 section
/// 3.2.2). IPv4 addresses are a special case of it.
fn name_bytes(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = &bytes[length..];
        length += rest.iter().position(|byte| !is_host_byte(*byte)).unwrap_or(rest.len());
        match bytes[length..] {
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => length += 3,
            _ => return length,
        }
    }
}

/// What stands between the brackets: an IPv6 address, or the version and text of a later one.
fn is_ip_literal(address: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = address {
        let mut parts = rest.splitn(2, |byte| *byte == b'.');
        let is_version = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
        let is_text = |text: &[u8]| {
            !text.is_empty() && text.iter().all(|byte| is_host_byte(*byte) || *byte == b':')
        };
        return parts.next().is_some_and(is_version) && parts.next().is_some_and(is_text);
    }
    str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b'?') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
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
    fn origin_form_is_not_normalised() {
        let check = |text, path, query| {
            assert_eq!(Target::parse("GET", text), Ok(Target::Origin { path, query }));
        };
        check("/", "/", None);
        check("//a/../b?", "//a/../b", Some(""));
        check("/a?b?c=/%zz", "/a", Some("b?c=/%zz"));
        check("/\"<>\\^`{|}", "/\"<>\\^`{|}", None);
    }

    #[test]
    fn absolute_form_gives_a_path() {
        let path = |method, text| Target::parse(method, text).map(Target::path);
        assert_eq!(path("GET", "http://a.example:80/b?c"), Ok("/b"));
        assert_eq!(path("GET", "HTTPS://[::1]:8080"), Ok("/"));
        assert_eq!(path("GET", "http://a?b"), Ok("/"));
        let of_other = Target::parse("GET", "http://a.example:80/b?c");
        let (authority, query) = ("a.example:80", Some("c"));
        assert_eq!(of_other, Ok(Target::Absolute { authority, path: "/b", query }));
        assert_eq!(path("OPTIONS", "http://a"), Ok("*"));
        assert_eq!(path("OPTIONS", "http://a/"), Ok("/"));
        for bad in [
            "ftp://a/",
            "http://u@a/",
            "http:///b",
            "http://a:b/",
            "http://:80/",
            "://a",
            "http://a:65536/",
            "http://a:99999/",
        ] {
            assert_eq!(path("GET", bad), Err(Error::TargetAuthority), "{bad}");
        }
    }

    #[test]
    fn the_method_decides_about_the_rare_forms() {
        assert_eq!(Target::parse("OPTIONS", "*"), Ok(Target::Asterisk));
        assert_eq!(Target::parse("CONNECT", "a:443"), Ok(Target::Authority("a:443")));
        for (method, text) in [
            ("GET", "*"),
            ("GET", "a:443"),
            ("GET", "World"),
            ("GET", "**"),
            ("GET", ""),
            ("CONNECT", "/"),
            ("CONNECT", "a"),
            ("CONNECT", "a:"),
            ("CONNECT", "a:65536"),
            ("CONNECT", "u@a:443"),
            ("CONNECT", ":443"),
            ("CONNECT", "[::1]"),
            ("CONNECT", "http://a:443/"),
        ] {
            assert_eq!(Target::parse(method, text), Err(Error::TargetForm), "{method} {text}");
        }
    }

    #[test]
    fn only_visible_ascii_without_a_fragment() {
        for bad in ["/a#b", "/a b", "/a\tb", "/ü", "/\u{7f}", "/\0", "#"] {
            assert_eq!(Target::parse("GET", bad), Err(Error::TargetByte), "{bad:?}");
        }
    }

    #[test]
    fn authorities() {
        for good in [
            "a",
            "A-b_c~.example",
            "127.0.0.1:80",
            "a:",
            "[::1]",
            "[::ffff:1.2.3.4]:1",
            "%41",
            "a:65535",
            "a:0",
            "[::1]:00080",
            "a,b",
            "[v1.a:b]",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:b",
            "a:80:90",
            "a:65536",
            "[::1]:99999",
            "a:184467440737095516160",
            "a b",
            "a/b",
            "u@a",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[]",
            "::1",
            "%4",
            "a?b",
            "[::1%25lo]",
            "[v.a]",
            "[v1.]",
            "ü",
            "a:+1",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        let check = |from, to: &str| assert_eq!(decode_segment(from).as_deref(), Ok(to));
        check("World", "World");
        check("a+b", "a+b");
        check("a%20b%2Fc%2fd", "a b/c/d");
        check("%2541", "%41");
        check("%E4%B8%96%E7%95%8C", "世界");
        assert!(matches!(decode_segment("World"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        for bad in ["%", "a%", "%4", "%zz", "%4z", "%%41", "%+1", "%é1"] {
            assert_eq!(decode_segment(bad), Err(DecodeError::Percent), "{bad}");
        }
        for bad in ["%FF", "%C3", "%ED%A0%80", "%C0%AF"] {
            assert_eq!(decode_segment(bad), Err(DecodeError::Utf8), "{bad}");
        }
        for bad in ["%00", "a%0D%0Ab", "%7F", "%C2%85", "%09", "%1b"] {
            assert_eq!(decode_segment(bad), Err(DecodeError::Control), "{bad}");
        }
    }
}
