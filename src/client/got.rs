//! What a read of a connection returns, with TLS or without.

/// What a read returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer has said that it sends no more.
    End,
    /// The input ended without the `close_notify` that distinguishes an end from a cut (RFC 8446
    /// section 6.1). Only over TLS: without it, they cannot be distinguished.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "over TLS only"))]
    Cut,
}
