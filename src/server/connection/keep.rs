//! What a connection keeps of bytes, and of its peer.

use std::net::{IpAddr, SocketAddr};

use super::Connection;
use crate::http::Want;
use crate::id::TaskId;
use crate::server::asking::Who;

/// Input that was received and not consumed, if there is any: part of a head, or whole requests
/// after a flush. Boxed, because most connections are idle and have none.
#[allow(clippy::box_collection, reason = "one word in every connection instead of three")]
pub(in crate::server) type Held = Option<Box<Vec<u8>>>;

/// A peer's address without an IPv6 scope: 20 bytes instead of 32, in every idle connection.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    ip: IpAddr,
    port: u16,
    /// It fits into what alignment leaves free.
    pub(super) introduction: Introduction,
}

/// Whether a peer has said what it has to say before its first request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Introduction {
    /// Nothing is expected, or it came and named nobody.
    Done,
    /// A preface has to come first.
    Awaited,
    /// The preface has named a client, which is kept in a [table](crate::server::preface::Prefaces), so that
    /// connections without one need no room for it.
    Client,
}

impl Peer {
    pub(super) fn of(address: SocketAddr, introduction: Introduction) -> Peer {
        Peer { ip: address.ip(), port: address.port(), introduction }
    }

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

impl<S> Connection<S> {
    /// Whose requests are answered.
    pub(super) fn who(&self, task: TaskId) -> Who {
        let client = match (self.peer.introduction, &self.shared.prefaces) {
            (Introduction::Client, Some(prefaces)) => prefaces.kept(self.source.id()),
            _ => None,
        };
        Who { task, peer: self.peer.address(), client }
    }

    /// Takes the preface off `rest`, if it is still to come.
    ///
    /// # Errors
    /// See [`take_preface`](crate::server::Shared::take_preface).
    pub(super) fn introduce(&mut self, who: &mut Who, rest: &mut &[u8]) -> Result<(), Want> {
        if self.peer.introduction != Introduction::Awaited {
            return Ok(());
        }
        self.shared.take_preface(who, rest, self.eof)?;
        self.peer.introduction = match (who.client, &self.shared.prefaces) {
            (Some(client), Some(prefaces)) => {
                prefaces.keep(self.source.id(), client);
                Introduction::Client
            }
            _ => Introduction::Done,
        };
        Ok(())
    }

    /// Nobody needs to know any more who the client was.
    pub(super) fn forget_client(&self) {
        if self.peer.introduction == Introduction::Client
            && let Some(prefaces) = &self.shared.prefaces
        {
            prefaces.forget(self.source.id());
        }
    }
}

/// What follows the first `consumed` bytes of `held`, or of `input` if nothing was held.
pub(super) fn left_over(held: Held, input: &[u8], consumed: usize) -> Held {
    match held {
        Some(mut held) => {
            held.drain(..consumed);
            Some(held).filter(|held| !held.is_empty())
        }
        None if consumed < input.len() => Some(Box::new(input[consumed..].to_vec())),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_as_small_as_its_address() {
        assert_eq!(size_of::<Peer>(), 20);
    }

    #[test]
    fn what_is_left_over_is_kept_and_nothing_else() {
        assert_eq!(left_over(None, b"abc", 3), None);
        assert_eq!(left_over(None, b"abc", 1), Some(Box::new(b"bc".to_vec())));
        let held = || Some(Box::new(b"abcd".to_vec()));
        assert_eq!(left_over(held(), b"cd", 4), None);
        assert_eq!(left_over(held(), b"cd", 3), Some(Box::new(b"d".to_vec())));
    }
}
