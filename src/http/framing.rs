//! Where a message ends, and the other fields by which it steers its connection.

use super::grammar::{elements, is_token, trim};
use super::request::is_authority;
use super::{Error, Version};

/// How the fields of a message delimit its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body: neither field is there.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What `Transfer-Encoding` says, when it says something that is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codings {
    /// `chunked` and nothing else.
    Chunked,
    /// There is a coding that we do not know, and `chunked` follows it.
    Unknown,
    /// There is a coding that we do not know, and it does not say where the message ends.
    UnknownLast,
}

/// Whether the connection may be used again, as far as a message decides (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// HTTP/1.1, which is persistent without saying so.
    Implied,
    /// HTTP/1.0 with `keep-alive`, which must be echoed.
    Echoed,
    /// The message says `close`.
    CloseAsked,
    /// HTTP/1.0 without `keep-alive`.
    CloseHttp10,
}

/// What the fields of a request say to the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expectation: Expectation,
}

/// What a request expects of the server before it goes on (RFC 9110 section 10.1.1). In HTTP/1.0 there
/// are no expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// Nothing.
    None,
    /// To be told to send its body: `100-continue`.
    Continue,
    /// Something else, perhaps beside that.
    Unknown,
}

/// How the body of a reply is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyFraming {
    /// There is no body, whatever the fields say.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All that comes until the peer finishes.
    UntilClose,
}

/// What the fields of a reply say to the client itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplyDirectives {
    pub(super) framing: ReplyFraming,
    pub(super) persistence: Persistence,
    /// The fields announce a body that a reply with this status cannot have (RFC 9110 section 8.6,
    /// RFC 9112 section 6.1): 1xx and 204. A server that sends them may send the body too.
    pub(super) is_contradictory: bool,
}

/// The table of RFC 9112 section 6.3 as far as fields decide, which for a request is all of it.
/// Every doubt is an error, because a proxy between us and the peer may have resolved it the other
/// way.
fn framing(
    transfer_encoding: Option<Codings>,
    content_length: Option<u64>,
    version: Version,
) -> Result<Framing, Error> {
    match (transfer_encoding, content_length, version) {
        (None, None, _) => Ok(Framing::None),
        (None, Some(bytes), _) => Ok(Framing::Length(bytes)),
        (Some(_), Some(_), _) => Err(Error::LengthAndEncoding),
        (Some(_), None, Version::Http10) => Err(Error::EncodingInHttp10),
        (Some(Codings::Chunked), None, Version::Http11) => Ok(Framing::Chunked),
        (Some(Codings::Unknown), None, Version::Http11) => Err(Error::TransferCoding),
        (Some(Codings::UnknownLast), None, Version::Http11) => Err(Error::TransferEncoding),
    }
}

impl ReplyDirectives {
    /// What the fields of a reply come to. `status`: `None` for an interim reply; `is_head`: to a HEAD request.
    ///
    /// # Errors
    /// Those about `Transfer-Encoding`, even where no body follows.
    pub(super) fn new(
        found: &Steering,
        version: Version,
        status: Option<u16>,
        is_head: bool,
    ) -> Result<ReplyDirectives, Error> {
        let announced = framing(found.codings()?, found.content_length, version)?;
        let is_never_followed = matches!(status, None | Some(204));
        Ok(ReplyDirectives {
            framing: reply_framing(is_head || is_never_followed || status == Some(304), announced),
            persistence: found.persistence(version),
            is_contradictory: is_never_followed
                && !matches!(announced, Framing::None | Framing::Length(0)),
        })
    }
}

/// The rest of the table, for replies.
fn reply_framing(is_bodiless: bool, announced: Framing) -> ReplyFraming {
    match (is_bodiless, announced) {
        (true, _) => ReplyFraming::None,
        (false, Framing::Length(bytes)) => ReplyFraming::Length(bytes),
        (false, Framing::Chunked) => ReplyFraming::Chunked,
        (false, Framing::None) => ReplyFraming::UntilClose,
    }
}

/// What steers the connection in the fields so far, all lines of one name taken together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steering {
    host: bool,
    content_length: Option<u64>,
    /// There is a `Transfer-Encoding`, perhaps an empty one.
    encoded: bool,
    /// Its last coding so far is `chunked`.
    chunked: bool,
    unknown_coding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    expects_other: bool,
}

impl Steering {
    /// Takes a field of a request.
    ///
    /// # Errors
    /// Those about `Host`, `Content-Length` and `Transfer-Encoding`.
    #[inline(always)]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        // The length first, then the first letter: they tell nearly all names apart.
        match name.len() {
            4 if name == b"Host" || name.eq_ignore_ascii_case(b"host") => self.host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            10.. if matches!(name[0], b'C' | b'c' | b'T' | b't') => self.message_field(name, value),
            _ => Ok(()),
        }
    }

    /// What all fields of a request come to.
    ///
    /// # Errors
    /// What is missing, or does not go together; and [`Error::Connect`], whose framing no server without tunnels
    /// can honour.
    pub(super) fn directives(&self, method: &str, version: Version) -> Result<Directives, Error> {
        if version == Version::Http11 && !self.host {
            return Err(Error::HostMissing);
        }
        if method == "CONNECT" {
            return Err(Error::Connect);
        }
        if !self.encoded
            && self.content_length.is_none()
            && !self.expects_other
            && !self.expects_continue
        {
            // Most requests: no field steers anything.
            let (framing, expectation) = (Framing::None, Expectation::None);
            return Ok(Directives { framing, persistence: self.persistence(version), expectation });
        }
        let framing = framing(self.codings()?, self.content_length, version)?;
        let expectation = match version {
            Version::Http10 => Expectation::None,
            Version::Http11 => self.expectation(),
        };
        Ok(Directives { framing, persistence: self.persistence(version), expectation })
    }

    /// A field of a request or a reply.
    ///
    /// # Errors
    /// Those about `Content-Length` and `Transfer-Encoding`.
    #[inline(never)]
    pub(super) fn message_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Error> {
        if std::mem::replace(&mut self.host, true) {
            return Err(Error::HostRepeated);
        }
        if value.is_empty() || is_authority(value) { Ok(()) } else { Err(Error::HostInvalid) }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.content_length.is_some() {
            return Err(Error::ContentLengthRepeated);
        }
        self.content_length = Some(decimal(value).ok_or(Error::ContentLength)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Error> {
        self.encoded = true;
        for coding in elements(value) {
            let mut parts = coding.splitn(2, |byte| *byte == b';');
            let name = trim(parts.next().unwrap_or_default());
            let is_chunked = name.eq_ignore_ascii_case(b"chunked");
            let has_parameters = parts.next().is_some();
            if self.chunked || !is_token(name) || (is_chunked && has_parameters) {
                return Err(Error::TransferEncoding);
            }
            self.chunked = is_chunked;
            self.unknown_coding |= !is_chunked;
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Error> {
        if value == b"keep-alive" {
            // Browsers say just this.
            self.keep_alive = true;
            return Ok(());
        }
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Error> {
        for expectation in elements(value) {
            let known = expectation.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= known;
            self.expects_other |= !known;
        }
        Ok(())
    }

    fn codings(&self) -> Result<Option<Codings>, Error> {
        match (self.encoded, self.unknown_coding, self.chunked) {
            (false, ..) => Ok(None),
            (true, true, true) => Ok(Some(Codings::Unknown)),
            (true, true, false) => Ok(Some(Codings::UnknownLast)),
            (true, false, true) => Ok(Some(Codings::Chunked)),
            (true, false, false) => Err(Error::TransferEncoding),
        }
    }

    fn expectation(&self) -> Expectation {
        match (self.expects_other, self.expects_continue) {
            (true, _) => Expectation::Unknown,
            (false, true) => Expectation::Continue,
            (false, false) => Expectation::None,
        }
    }

    fn persistence(&self, version: Version) -> Persistence {
        match (self.close, version, self.keep_alive) {
            (true, ..) => Persistence::CloseAsked,
            (false, Version::Http11, _) => Persistence::Implied,
            (false, Version::Http10, true) => Persistence::Echoed,
            (false, Version::Http10, false) => Persistence::CloseHttp10,
        }
    }
}

/// A number of nothing but digits. `str::parse` would take `+5`.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directives of a request with these field lines (`name: value`, one per line).
    fn read(version: Version, lines: &str) -> Result<Directives, Error> {
        let mut steering = Steering::default();
        for line in lines.split_terminator('\n') {
            let (name, value) = line.split_once(':').expect("a test field has a colon");
            steering.field(name.as_bytes(), trim(value.as_bytes()))?;
        }
        steering.directives("POST", version)
    }

    /// The framing of an HTTP/1.1 request with a good `Host` and these lines.
    fn framing_of(lines: &str) -> Result<Framing, Error> {
        read(Version::Http11, &format!("Host: a\n{lines}")).map(|directives| directives.framing)
    }

    #[test]
    fn one_good_length() {
        assert_eq!(framing_of(""), Ok(Framing::None));
        assert_eq!(framing_of("content-LENGTH: 007"), Ok(Framing::Length(7)));
        let most = format!("Content-Length: {}", u64::MAX);
        assert_eq!(framing_of(&most), Ok(Framing::Length(u64::MAX)));
        for bad in ["", "+5", "-1", "5, 5", "5,", "0x5", "5 5", "18446744073709551616", "5.0", "٣"]
        {
            let line = format!("Content-Length: {bad}");
            assert_eq!(framing_of(&line), Err(Error::ContentLength), "{bad}");
        }
        let twice = "Content-Length: 5\nContent-Length: 5";
        assert_eq!(framing_of(twice), Err(Error::ContentLengthRepeated));
    }

    #[test]
    fn chunked_once_and_last() {
        for good in ["chunked", "CHUNKED", ", chunked,"] {
            let line = format!("Transfer-Encoding: {good}");
            assert_eq!(framing_of(&line), Ok(Framing::Chunked), "{good}");
        }
        for unknown in ["gzip, chunked", "identity, chunked", "a;b=c, chunked"] {
            let line = format!("Transfer-Encoding: {unknown}");
            assert_eq!(framing_of(&line), Err(Error::TransferCoding), "{unknown}");
        }
        for bad in [
            "",
            ",",
            "gzip",
            "identity",
            "xchunked",
            "a;b=c",
            "chunked, chunked",
            "chunked, gzip",
            "chunked;a=b",
            "\"chunked\"",
            "a b",
        ] {
            let line = format!("Transfer-Encoding: {bad}");
            assert_eq!(framing_of(&line), Err(Error::TransferEncoding), "{bad}");
        }
        let twice = "Transfer-Encoding: chunked\nA: b\nTransfer-Encoding: chunked";
        assert_eq!(framing_of(twice), Err(Error::TransferEncoding));
        let split = "Transfer-Encoding: chunked\nTransfer-Encoding: gzip";
        assert_eq!(framing_of(split), Err(Error::TransferEncoding));
    }

    #[test]
    fn two_framings_are_one_too_many() {
        let both = "Transfer-Encoding: chunked\nContent-Length: 5";
        assert_eq!(framing_of(both), Err(Error::LengthAndEncoding));
        let old = read(Version::Http10, "Transfer-Encoding: chunked");
        assert_eq!(old, Err(Error::EncodingInHttp10));
    }

    #[test]
    fn the_table_for_replies() {
        let read = |status: u16, is_head, field: Option<(&'static [u8], &'static [u8])>| {
            let status = Some(status).filter(|status| *status >= 200);
            let mut found = Steering::default();
            if let Some((name, value)) = field {
                found.message_field(name, value)?;
            }
            let directives = ReplyDirectives::new(&found, Version::Http11, status, is_head);
            directives.map(|directives| (directives.framing, directives.is_contradictory))
        };
        let length = Some((&b"Content-length"[..], &b"5"[..]));
        let chunked = Some((&b"Transfer-encoding"[..], &b"chunked"[..]));
        assert_eq!(read(200, false, None), Ok((ReplyFraming::UntilClose, false)));
        assert_eq!(read(200, false, length), Ok((ReplyFraming::Length(5), false)));
        assert_eq!(read(200, false, chunked), Ok((ReplyFraming::Chunked, false)));
        for field in [None, length, chunked] {
            assert_eq!(read(200, true, field), Ok((ReplyFraming::None, false)));
            assert_eq!(read(304, false, field), Ok((ReplyFraming::None, false)));
            let is_contradictory = field.is_some();
            assert_eq!(read(204, false, field), Ok((ReplyFraming::None, is_contradictory)));
            assert_eq!(read(100, false, field), Ok((ReplyFraming::None, is_contradictory)));
        }
        // Fields that steer only requests say nothing here.
        assert!(read(200, false, Some((b"Host", b"a b"))).is_ok());
    }

    #[test]
    fn connection_is_a_list_of_tokens() {
        let check = |version, lines: &str, expected| {
            let persistence = read(version, &format!("Host:\n{lines}")).map(|d| d.persistence);
            assert_eq!(persistence, Ok(expected), "{lines}");
        };
        check(Version::Http11, "", Persistence::Implied);
        check(Version::Http11, "Connection: x, Close ,y", Persistence::CloseAsked);
        check(Version::Http11, "Connection: x\nConnection: close", Persistence::CloseAsked);
        check(Version::Http11, "Connection: closed, enclose", Persistence::Implied);
        check(Version::Http10, "", Persistence::CloseHttp10);
        check(Version::Http10, "Connection: Keep-Alive", Persistence::Echoed);
        check(Version::Http10, "Connection: keep-alive, close", Persistence::CloseAsked);
    }

    #[test]
    fn one_known_expectation() {
        let expects = |version, value| {
            read(version, &format!("Host: a\nExpect: {value}")).map(|d| d.expectation)
        };
        assert_eq!(expects(Version::Http11, ","), Ok(Expectation::None));
        assert_eq!(expects(Version::Http11, "100-Continue"), Ok(Expectation::Continue));
        assert_eq!(expects(Version::Http11, "tea"), Ok(Expectation::Unknown));
        assert_eq!(expects(Version::Http11, "100-continue, tea"), Ok(Expectation::Unknown));
        assert_eq!(expects(Version::Http10, "100-continue"), Ok(Expectation::None));
        assert_eq!(expects(Version::Http10, "tea"), Ok(Expectation::None));
    }

    #[test]
    fn exactly_one_host() {
        assert_eq!(read(Version::Http11, ""), Err(Error::HostMissing));
        assert!(read(Version::Http10, "").is_ok());
        assert!(read(Version::Http11, "Host:").is_ok());
        assert_eq!(read(Version::Http10, "Host: a\nhost: a"), Err(Error::HostRepeated));
        for bad in ["a b", "a/b", "a, b", "u@a", "[::1", "a:x"] {
            let line = format!("Host: {bad}");
            assert_eq!(read(Version::Http11, &line), Err(Error::HostInvalid), "{bad}");
        }
    }
}
