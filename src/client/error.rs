//! Why a fetch failed.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::coroutine::JoinError;
use crate::http::{HeaderError, ReplyError};
use crate::printable::Printable;

/// Why a fetch failed. `Display` is one sentence that is never empty: what was tried, with whom, and
/// what happened; for a timeout the limit, too. It is [`Printable`], whatever a server has said.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    phase: Phase,
    message: String,
}

/// The ways in which a fetch can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL cannot be fetched: it is not a URL, or neither http nor https.
    Url,
    /// The request cannot be sent as it was built: the method, or a header field.
    Request,
    /// The name has no address, or no name server answered.
    Resolve,
    /// No address accepted the connection.
    Connect,
    /// The TLS handshake failed, for example because of the certificate; or there is no TLS here.
    Tls,
    /// A limit of [`Timeouts`](super::Timeouts) was reached; [`Error::phase`] says where.
    Timeout,
    /// What came is not HTTP/1.x as RFC 9112 has it, or the body is not what its coding says.
    Protocol,
    /// The reply is truncated: the connection ended in an orderly way before the reply did, or without
    /// `close_notify` where only that distinguishes the end from a cut.
    Truncated,
    /// The body is longer than the client takes.
    TooLong,
    /// Too many redirects, or one to nowhere.
    Redirect,
    /// The connection was reset, or failed otherwise.
    Reset,
    /// The task that fetched was cancelled, or panicked.
    Cancelled,
}

/// How far a fetch has come. Each phase has its limit in [`Timeouts`](super::Timeouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting because of the limits of connections and look-ups.
    Queue,
    /// Looking the name up.
    Resolve,
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Sending the request and waiting for the head of the reply.
    Head,
    /// Reading the body.
    Body,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, phase: Phase, message: impl Into<String>) -> Error {
        // It may contain the words of a server, a name server or a certificate.
        let message = Printable(message.into()).to_string();
        Error(Box::new(Inner { kind, phase, message }))
    }

    /// What was wrong before anything was tried.
    pub(super) fn request(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Request, Phase::Queue, message)
    }

    /// A header field that cannot be sent.
    pub(super) fn header(name: &str, error: HeaderError) -> Error {
        Error::request(format!("bad request: header `{}`: {error}", name.escape_debug()))
    }

    pub(super) fn url(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Url, Phase::Queue, message)
    }

    pub(super) fn timeout(phase: Phase, host: &str, limit: Duration, is_whole: bool) -> Error {
        let text = match phase {
            Phase::Queue => "no connection or look-up was free for",
            Phase::Resolve => "no address was found for",
            Phase::Connect => "no connection to",
            Phase::Tls => "no TLS handshake with",
            Phase::Head => "no reply from",
            Phase::Body => "no progress of the body from",
        };
        let whole = if is_whole { "the whole limit of " } else { "" };
        let message = format!("timeout: {text} {host} within {whole}{limit:?}");
        Error::new(ErrorKind::Timeout, phase, message)
    }

    /// The socket failed while a request was sent or a reply read.
    pub(super) fn io(phase: Phase, peer: &dyn fmt::Display, error: &io::Error) -> Error {
        let what = if phase == Phase::Body { "in the body" } else { "before the reply" };
        let message = format!("the connection to {peer} failed {what}: {error}");
        Error::new(ErrorKind::Reset, phase, message)
    }

    /// The reply is wrong, or ended too early.
    pub(super) fn reply(phase: Phase, peer: &dyn fmt::Display, error: ReplyError) -> Error {
        let kind = match error {
            ReplyError::NoReply
            | ReplyError::HeadTruncated { .. }
            | ReplyError::BodyTruncated { .. }
            | ReplyError::ChunksTruncated { .. } => ErrorKind::Truncated,
            _ => ErrorKind::Protocol,
        };
        Error::new(kind, phase, format!("bad reply from {peer}: {error}"))
    }

    /// The body is longer than `max` bytes.
    pub(super) fn too_long(peer: &dyn fmt::Display, max: u64) -> Error {
        let message = format!("the body from {peer} is longer than {max} bytes");
        Error::new(ErrorKind::TooLong, Phase::Body, message)
    }

    /// In which way it failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far it had come.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The kind as a word for machines: `"timeout"`.
    pub fn class(&self) -> &'static str {
        self.0.kind.as_str()
    }
}

impl ErrorKind {
    /// The kind as a word for machines: `"timeout"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Url => "url",
            ErrorKind::Request => "request",
            ErrorKind::Resolve => "resolve",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Truncated => "truncated",
            ErrorKind::TooLong => "too_long",
            ErrorKind::Redirect => "redirect",
            ErrorKind::Reset => "reset",
            ErrorKind::Cancelled => "cancelled",
        }
    }
}

impl Phase {
    /// The phase as a word for machines: `"connect"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Queue => "queue",
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Head => "head",
            Phase::Body => "body",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, phase, message } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("phase", phase)
            .field("message", message)
            .finish()
    }
}

impl std::error::Error for Error {}

/// So that fetches can be gathered with [`Handle::try_gather`](crate::event_loop::Handle::try_gather).
impl From<JoinError> for Error {
    fn from(error: JoinError) -> Error {
        Error::new(ErrorKind::Cancelled, Phase::Queue, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_reaches_no_terminal_raw() {
        let error = Error::new(ErrorKind::Tls, Phase::Tls, "for \u{1b}]0;x\u{7}\r\n\u{9b}2J");
        assert_eq!(error.to_string(), "for \\u{1b}]0;x\\u{7}\\r\\n\\u{9b}2J");
    }
}
