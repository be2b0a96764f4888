//! What can be wrong with a reply.

use super::super::Error;
use std::fmt;

/// A way in which a reply can be wrong. Each ends its connection: it is not certain where the next
/// reply would begin. `Display` is one sentence that says where; it never contains a byte of the
/// reply.
///
/// ```
/// use helloop::http::{Ask, ReplyError, ReplyEvent, ReplyHead};
/// use helloop::limits::ReplyLimits;
///
/// let ask = Ask::new("GET", "/", "localhost")?;
/// let mut reply = ask.reply(ReplyLimits::default());
/// let mut input = &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"[..];
/// let ReplyEvent::Head(head) = reply.advance(&mut input, true)? else { unreachable!() };
/// let head: &ReplyHead = &head;
/// assert_eq!(head.status(), 200);
/// let ReplyEvent::Data(b"hel") = reply.advance(&mut input, true)? else { unreachable!() };
/// // The rest will never come.
/// let error: ReplyError = reply.advance(&mut input, true).unwrap_err();
/// assert!(error.to_string().contains("truncated"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplyError {
    /// The input ended before the first byte. On a connection that was used before, the usual end
    /// of a race: the server closed it while the request was on its way (RFC 9112 section 9.5).
    NoReply,
    /// The input ended within a head, or after an interim reply.
    HeadTruncated {
        /// What there is of the head.
        bytes: usize,
    },
    /// The input ended before all of `Content-Length` had come (RFC 9112 section 8).
    BodyTruncated {
        /// Bytes of content that came; fewer than `announced`.
        received: u64,
        /// The value of `Content-Length`.
        announced: u64,
    },
    /// The input ended before the last chunk and its trailers (RFC 9112 section 8).
    ChunksTruncated {
        /// Bytes of content that came.
        received: u64,
        /// Bytes that the current chunk announced and that did not come; 0 between chunks. How many
        /// chunks would have followed is not known.
        missing: u64,
    },
    /// Does not begin with `HTTP/`. Also HTTP/0.9, a TLS alert, and an SSH or SMTP banner.
    NotHttp,
    /// Not `HTTP/d.d SP 3DIGIT [SP reason]` (RFC 9112 section 4).
    StatusLine,
    /// The major version is not 1.
    Version,
    /// A control character in the reason phrase.
    ReasonPhrase,
    /// 101: no upgrade was asked for (RFC 9110 section 15.2.2).
    Upgrade,
    /// An interim reply (1xx) that announces a body, which it cannot have: whether the next bytes
    /// are that body or the next head cannot be known.
    InterimBody,
    /// More than `interims_max` interim replies.
    TooManyInterims,
    /// In a chunked body, a line ends with LF alone (RFC 9112 section 7.1).
    ChunkLf,
    /// Bytes after the end of the reply: to no request of ours. They must not be taken for the
    /// reply to the next one (RFC 9112 section 9.2 and its warning about response splitting).
    Surplus,
    /// The lines, fields, framing or chunks are wrong in a way that is the same in a request.
    ///
    /// Lines and fields: [`Error::BareCr`], [`Error::BareLf`], [`Error::Folding`]
    /// (before the first field), [`Error::FieldName`], [`Error::FieldValue`], [`Error::TooManyFields`],
    /// [`Error::HeadTooLong`]. Framing: [`Error::ContentLength`], [`Error::ContentLengthRepeated`],
    /// [`Error::LengthAndEncoding`], [`Error::EncodingInHttp10`], [`Error::TransferEncoding`],
    /// [`Error::TransferCoding`], [`Error::BodyTooLong`]. Chunks: [`Error::ChunkSize`],
    /// [`Error::ChunkExtension`], [`Error::ChunkLineEnd`], [`Error::ChunkDataEnd`],
    /// [`Error::ChunkOverhead`], [`Error::Trailer`], [`Error::TrailersTooLong`]. No others.
    Message(Error),
}

impl From<Error> for ReplyError {
    fn from(error: Error) -> ReplyError {
        ReplyError::Message(error)
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplyError::HeadTruncated { bytes } => {
                return write!(f, "head: truncated after {bytes} bytes");
            }
            ReplyError::BodyTruncated { received, announced } => {
                return write!(f, "body: truncated, {received} of {announced} bytes came");
            }
            ReplyError::ChunksTruncated { received, missing: 0 } => {
                return write!(f, "body: truncated after {received} bytes, before the last chunk");
            }
            ReplyError::ChunksTruncated { received, missing } => {
                return write!(
                    f,
                    "body: truncated after {received} bytes, {missing} bytes before the end of a \
                     chunk"
                );
            }
            ReplyError::NoReply => "closed before the first byte of a reply",
            ReplyError::NotHttp => "status line: does not begin with `HTTP/`",
            ReplyError::StatusLine => "status line: not `HTTP/1.1 SP 3DIGIT SP reason`",
            ReplyError::Version => "status line: only HTTP/1.x is spoken here",
            ReplyError::ReasonPhrase => "status line: a control character in the reason",
            ReplyError::Upgrade => "status line: 101, but no upgrade was asked for",
            ReplyError::InterimBody => "interim reply: announces a body",
            ReplyError::TooManyInterims => "interim replies: too many",
            ReplyError::ChunkLf => "chunked body: an LF without CR",
            ReplyError::Surplus => "bytes behind the end of the reply",
            ReplyError::Message(error) => error.sentence(),
        })
    }
}

impl std::error::Error for ReplyError {}
