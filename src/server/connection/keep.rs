//! What a connection keeps of bytes, and of its peer.

use std::net::{IpAddr, SocketAddr};

/// Input that was received and not consumed, if there is any: part of a head, or whole requests
/// after a flush. Boxed, because most connections are idle and have none.
#[allow(clippy::box_collection, reason = "one word in every connection instead of three")]
pub(in crate::server) type Held = Option<Box<Vec<u8>>>;

/// A peer's address without an IPv6 scope: 20 bytes instead of 32, in every idle connection.
#[derive(Clone, Copy)]
pub(in crate::server) struct Peer {
    ip: IpAddr,
    port: u16,
}

impl Peer {
    pub(in crate::server) fn of(address: SocketAddr) -> Peer {
        Peer { ip: address.ip(), port: address.port() }
    }

    pub(in crate::server) fn address(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
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
    fn what_is_left_over_is_kept_and_nothing_else() {
        assert_eq!(left_over(None, b"abc", 3), None);
        assert_eq!(left_over(None, b"abc", 1), Some(Box::new(b"bc".to_vec())));
        let held = || Some(Box::new(b"abcd".to_vec()));
        assert_eq!(left_over(held(), b"cd", 4), None);
        assert_eq!(left_over(held(), b"cd", 3), Some(Box::new(b"d".to_vec())));
    }
}
