//! Who asks, and for whom.

use super::Headers;
use std::fmt;
use std::net::SocketAddr;

/// Works out the client of a request from the nearest address that is known (what a preface has said, else the peer's)
/// and the header fields. `None`: it is that address.
///
/// `Send` and `Sync`, so that requests are.
pub type ClientRule = dyn Fn(SocketAddr, Headers<'_>) -> Option<SocketAddr> + Send + Sync;

/// The other end of a connection, and the client for whom it speaks.
///
/// ```
/// use helloop::http::{ClientRule, Headers, Peer};
/// use std::net::SocketAddr;
///
/// let proxy: SocketAddr = "10.0.0.7:4711".parse()?;
/// let said: SocketAddr = "192.0.2.1:50000".parse()?;
/// let no_fields = Headers::default();
/// assert_eq!(Peer::new(proxy).client(no_fields), None);
/// assert_eq!(Peer { client: Some(said), ..Peer::new(proxy) }.client(no_fields), Some(said));
/// // A rule that believes nobody.
/// let rule: &ClientRule = &|_nearest, _headers| None;
/// assert_eq!(Peer { rule: Some(rule), ..Peer::new(proxy) }.client(no_fields), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// Its address. A peer on a Unix socket has none: that is the unspecified address.
    pub address: SocketAddr,
    /// The client, where the connection has said so before its first request.
    pub client: Option<SocketAddr>,
    /// What the fields of a request may add.
    pub rule: Option<&'a ClientRule>,
}

impl<'a> Peer<'a> {
    /// A peer that speaks for itself.
    pub fn new(address: SocketAddr) -> Peer<'a> {
        Peer { address, client: None, rule: None }
    }

    /// The client of a request with these fields, where that is not the peer itself. The [`rule`](Peer::rule) is asked
    /// each time.
    pub fn client(&self, headers: Headers<'_>) -> Option<SocketAddr> {
        let nearest = self.client.unwrap_or(self.address);
        self.rule.and_then(|rule| rule(nearest, headers)).or(self.client)
    }
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { address, client, .. } = self;
        f.debug_struct("Peer")
            .field("address", address)
            .field("client", client)
            .finish_non_exhaustive()
    }
}
