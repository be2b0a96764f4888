//! What can be wrong with a request, and why connections end.

use super::Status;
use std::fmt;

/// A way in which a request can be wrong. Each but one ends its connection, because after it, it is not
/// certain where the next request begins; `Display` is the one sentence that the peer is sent. It never
/// contains a byte of the request.
///
/// Lines, fields, framing and chunks are the same in a reply, which can be wrong in those ways too:
/// [`ReplyError::Message`](super::ReplyError::Message).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// More than the one empty line that RFC 9112 section 2.2 lets a client send too much.
    EmptyLines,
    /// The method is empty or has a byte that no token has (RFC 9110 section 9.1). Also the first
    /// byte of a TLS hello.
    Method,
    /// Not `method SP target SP HTTP/d.d` (RFC 9112 section 3). Also HTTP/0.9 and an SSH banner.
    RequestLine,
    /// The request line is longer than `request_line_bytes_max`.
    RequestLineTooLong,
    /// The major version is not 1. Also the preface of HTTP/2.
    Version,
    /// The target has a byte that is not visible ASCII, or a `#` (RFC 9112 section 3.2).
    TargetByte,
    /// The target has none of the four forms, or one that the method cannot have.
    TargetForm,
    /// A target in absolute-form has another scheme than http(s), user information, or a host that
    /// is none (RFC 9110 sections 4.2.1, 4.2.4).
    TargetAuthority,
    /// A CR without its LF in the head (RFC 9112 section 2.2).
    BareCr,
    /// An LF without its CR in the head. RFC 9112 allows to accept it; a server that does disagrees with
    /// others about where lines end.
    BareLf,
    /// A field line that begins with white space (RFC 9112 section 5.2).
    Folding,
    /// A field name is empty, is not a token, or has white space before its colon; or the colon is
    /// missing (RFC 9112 section 5.1).
    FieldName,
    /// A control character in a field value (RFC 9110 section 5.5).
    FieldValue,
    /// More than `fields_max` field lines.
    TooManyFields,
    /// The head is longer than `head_bytes_max`.
    HeadTooLong,
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    HostMissing,
    /// More than one `Host`.
    HostRepeated,
    /// `Host` is neither empty nor `uri-host [":" port]` (RFC 9110 section 7.2).
    HostInvalid,
    /// `Content-Length` is not just digits, or more than 64 bits hold.
    ContentLength,
    /// `Content-Length` more than once, even if they agree (RFC 9112 section 6.3 lets us refuse).
    ContentLengthRepeated,
    /// `Content-Length` and `Transfer-Encoding` together: an attempt at smuggling.
    LengthAndEncoding,
    /// `Transfer-Encoding` in HTTP/1.0, whose framing it cannot be (RFC 9112 section 6.1).
    EncodingInHttp10,
    /// `Transfer-Encoding` is empty, no list of codings, or has `chunked` twice or not last (RFC
    /// 9112 section 6.3).
    TransferEncoding,
    /// A transfer coding other than `chunked`, in front of it (RFC 9112 section 6.1).
    TransferCoding,
    /// An expectation other than `100-continue` (RFC 9110 section 10.1.1). The connection goes on where
    /// no body follows.
    Expectation,
    /// CONNECT: this server is no proxy.
    Connect,
    /// The body is longer than `body_bytes_max`, or is announced to be.
    BodyTooLong,
    /// A chunk size is empty, not hexadecimal, or longer than 16 digits (RFC 9112 section 7.1).
    ChunkSize,
    /// A chunk extension that is not `;name`, `;name=token` or `;name="text"`, or white space without
    /// one (RFC 9112 section 7.1.1).
    ChunkExtension,
    /// A chunk extension or size line that does not end with CRLF.
    ChunkLineEnd,
    /// The data of a chunk are not followed by CRLF: there is more or less than was announced.
    ChunkDataEnd,
    /// Chunk extensions and trailers of more than `chunk_overhead_bytes_max`, in the extensions.
    ChunkOverhead,
    /// A trailer line is not `name ":" value CRLF` (RFC 9112 section 7.1.2).
    Trailer,
    /// Chunk extensions and trailers of more than `chunk_overhead_bytes_max`, in the trailers; or
    /// more than `fields_max` trailer lines.
    TrailersTooLong,
    /// The head was not complete within `head_timeout`. Found by the driver.
    HeadTimeout,
    /// The body did not advance within `body_progress_timeout`. Found by the driver.
    BodyTimeout,
}

impl Error {
    /// The status of the answer to a request that is wrong in this way.
    pub const fn status(self) -> Status {
        match self {
            Error::HeadTimeout | Error::BodyTimeout => Status::REQUEST_TIMEOUT,
            Error::BodyTooLong | Error::ChunkOverhead => Status::CONTENT_TOO_LARGE,
            Error::RequestLineTooLong => Status::URI_TOO_LONG,
            Error::Expectation => Status::EXPECTATION_FAILED,
            Error::TooManyFields | Error::HeadTooLong | Error::TrailersTooLong => {
                Status::HEADER_FIELDS_TOO_LARGE
            }
            Error::TransferCoding | Error::Connect => Status::NOT_IMPLEMENTED,
            Error::Version => Status::HTTP_VERSION_NOT_SUPPORTED,
            _ => Status::BAD_REQUEST,
        }
    }

    /// What is wrong, and where, in one sentence without its full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Error::EmptyLines => "more than one empty line before the request line",
            Error::Method => "request line: the method is not a token",
            Error::RequestLine => "request line: not `method SP target SP HTTP/1.1`",
            Error::RequestLineTooLong => "request line: too long",
            Error::Version => "request line: only HTTP/1.x is spoken here",
            Error::TargetByte => "request line: the target has a byte that must be percent-encoded",
            Error::TargetForm => "request line: the target has no form that the method can have",
            Error::TargetAuthority => "request line: the target is no http or https URI",
            Error::BareCr => "head: a CR without LF",
            Error::BareLf => "head: an LF without CR",
            Error::Folding => "field line: begins with white space",
            Error::FieldName => "field line: not `name: value`",
            Error::FieldValue => "field line: a control character in the value",
            Error::TooManyFields => "head: too many fields",
            Error::HeadTooLong => "head: too long",
            Error::HostMissing => "Host: missing",
            Error::HostRepeated => "Host: more than one",
            Error::HostInvalid => "Host: not `host` or `host:port`",
            Error::ContentLength => "Content-Length: not a decimal number of 64 bits",
            Error::ContentLengthRepeated => "Content-Length: more than one",
            Error::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Error::EncodingInHttp10 => "Transfer-Encoding: not in HTTP/1.0",
            Error::TransferEncoding => "Transfer-Encoding: not one `chunked` at the end",
            Error::TransferCoding => "Transfer-Encoding: only `chunked` is known here",
            Error::Expectation => "Expect: only `100-continue` is known here",
            Error::Connect => "CONNECT: this server is no proxy",
            Error::BodyTooLong => "body: too long",
            Error::ChunkSize => "chunk size: not 1 to 16 hexadecimal digits",
            Error::ChunkExtension => "chunk extension: malformed",
            Error::ChunkLineEnd => "chunk size line: a CR without LF",
            Error::ChunkDataEnd => "chunk data: not followed by CRLF",
            Error::ChunkOverhead => "chunk extensions: too long",
            Error::Trailer => "trailer line: not `name: value`",
            Error::TrailersTooLong => "trailers: too long or too many",
            Error::HeadTimeout => "head: not complete in time",
            Error::BodyTimeout => "body: not complete in time",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Error {}

/// Why a connection ended. The first part is found by the [`Exchange`](super::Exchange), the
/// second by the driver that does the I/O for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The request said `Connection: close`.
    Asked,
    /// HTTP/1.0 without `Connection: keep-alive`.
    Http10,
    /// End of input between two requests.
    PeerFinished,
    /// End of input within a request, which is not answered: it is not known what it would have been.
    PeerFinishedInRequest,
    /// The request was wrong; the answer said how.
    Refused(Error),
    /// `requests_per_connection_max` answers were given.
    RequestLimit,
    /// The server is draining: this was the last answer.
    Draining,
    /// The service asked for it ([`Response::close`](super::Response::close)).
    ServiceAsked,
    /// The service panicked; the peer was answered 500.
    ServicePanicked,
    /// The length of an answer was not known, and HTTP/1.0 has no other way to end it.
    CloseDelimited,
    /// `Expect: 100-continue` was answered finally, so that the body is not coming or is not read.
    UnreadBody,

    /// What has to come before the first request was wrong, or was not whole in time. Nothing was answered.
    PrefaceRefused,
    /// No request came within `idle_timeout`.
    IdleTimeout,
    /// The server was full, and of its idle connections this one had been idle longest.
    MadeRoom,
    /// The peer took too little of an answer within `write_progress_timeout`.
    WriteTimeout,
    /// The peer reset the connection.
    PeerReset,
    /// The peer closed while the service was at work on its request.
    PeerGone,
    /// Reading or writing failed otherwise.
    IoError,
    /// The connection was idle when the server shut down.
    Shutdown,
    /// Busy when the server was stopped, or when its drain took too long.
    Cut,
}

impl Reason {
    /// The reason in a few words, for logs and observers.
    pub const fn sentence(&self) -> &'static str {
        match self {
            Reason::Asked => "the request asked to close",
            Reason::Http10 => "HTTP/1.0 without keep-alive",
            Reason::PeerFinished => "the peer finished",
            Reason::PeerFinishedInRequest => "the peer finished within a request",
            Reason::Refused(error) => error.sentence(),
            Reason::RequestLimit => "the request limit of a connection was reached",
            Reason::Draining => "the server is draining",
            Reason::ServiceAsked => "the service asked to close",
            Reason::ServicePanicked => "the service panicked",
            Reason::CloseDelimited => "only the close tells where the answer ends",
            Reason::PeerGone => "the peer went away while the service was at work",
            Reason::UnreadBody => "the answer did not wait for the body",
            Reason::PrefaceRefused => "no good preface before the first request",
            Reason::IdleTimeout => "idle for too long",
            Reason::MadeRoom => "idle, it made room for a new connection",
            Reason::WriteTimeout => "the peer did not take the answer in time",
            Reason::PeerReset => "the peer reset the connection",
            Reason::IoError => "reading or writing failed",
            Reason::Shutdown => "the server shut down while the connection was idle",
            Reason::Cut => "cut while busy: the server was stopped, or its drain took too long",
        }
    }

    /// Whether the driver must half-close and read on for a while before it closes, lest unread
    /// input turn into a reset that destroys the last answer on its way (RFC 9112 section 9.6).
    ///
    /// False where the peer has finished or is gone, and where there is no answer to protect. A
    /// driver that has seen the end of input need not linger for any reason; one that knows that
    /// nothing more has come need not where it [is the peer's wish](Reason::is_peers_wish).
    pub const fn lingers(self) -> bool {
        match self {
            Reason::Asked
            | Reason::Http10
            | Reason::Refused(_)
            | Reason::RequestLimit
            | Reason::Draining
            | Reason::ServiceAsked
            | Reason::ServicePanicked
            | Reason::CloseDelimited
            | Reason::UnreadBody => true,
            Reason::PeerFinished
            | Reason::PeerFinishedInRequest
            | Reason::PrefaceRefused
            | Reason::IdleTimeout
            | Reason::MadeRoom
            | Reason::WriteTimeout
            | Reason::PeerReset
            | Reason::PeerGone
            | Reason::IoError
            | Reason::Shutdown
            | Reason::Cut => false,
        }
    }

    /// Whether the peer itself said, by its last request, that no other follows on this connection
    /// (RFC 9112 section 9.6). It must not send anything more, then.
    pub const fn is_peers_wish(self) -> bool {
        matches!(self, Reason::Asked | Reason::Http10)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_printed_as_its_sentence() {
        let reason = Reason::Refused(Error::HeadTimeout);
        assert_eq!(reason.to_string(), reason.sentence());
        assert_eq!(reason.sentence(), Error::HeadTimeout.sentence());
        assert_ne!(Reason::PeerFinished.sentence(), Reason::PeerGone.sentence());
    }
}
