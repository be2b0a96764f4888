//! Whom to believe who the client is: proxies, and by which of two ways they say so. A header of the PROXY protocol
//! stands at the front of a connection ([`protocol`]), a field in each request ([`forwarded`]).

mod forwarded;
mod protocol;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::Preface;
use crate::http::Headers;

pub use forwarded::ForwardedField;
pub use protocol::ProxyVersion;

/// Proxies that are believed who their client is: networks, addresses, and `unix` for all peers on Unix sockets.
///
/// ```
/// use helloop::server::{ForwardedField, ProxyVersion, Server, TrustedProxies, service};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// let proxies: TrustedProxies = "127.0.0.0/8, ::1, unix".parse()?;
/// let server = Server::builder()
///     .preface(proxies.proxy_protocol(&[ProxyVersion::V1, ProxyVersion::V2]))
///     .client_addr(proxies.named_in(ForwardedField::XForwardedFor))
///     .bind("127.0.0.1:0")?;
/// let running = server.spawn(service(|request, response| {
///     response.text(request.client_addr().expect("proxies name it"));
/// }))?;
/// let mut proxy = TcpStream::connect(running.local_addrs()[0])?;
/// proxy.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n")?;
/// proxy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// let mut answer = String::new();
/// proxy.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("\r\n\r\n192.0.2.1:50000"));
/// # running.handle().shutdown();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Peers on Unix sockets, which have no address.
    are_unix_sockets: bool,
}

impl TrustedProxies {
    /// True if nobody is believed.
    pub fn is_empty(&self) -> bool {
        self == &TrustedProxies::default()
    }

    /// Whether a peer with this address is one of them. The unspecified address is that of peers on Unix sockets.
    pub fn contain(&self, peer: SocketAddr) -> bool {
        match peer.ip().to_canonical() {
            address if address.is_unspecified() => self.are_unix_sockets,
            address => self.networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// For [`Builder::preface`](super::Builder::preface): these peers must begin each connection with a header of the
    /// PROXY protocol, of one of these versions. All others are served as what they are, and what they send is HTTP.
    ///
    /// Its source is the client. It is the peer itself after `LOCAL` (the proxy asks for itself: a health check),
    /// `UNKNOWN`, `UNSPEC`, a Unix socket, or a datagram. TLVs are skipped.
    pub fn proxy_protocol(
        &self,
        versions: &[ProxyVersion],
    ) -> impl Fn(SocketAddr, &[u8]) -> Preface + Send + use<> {
        let (proxies, versions) = (self.clone(), versions.to_vec());
        move |peer, input| match proxies.contain(peer) {
            true => protocol::read(input, &versions),
            false => Preface::Whole { bytes: 0, client: None },
        }
    }

    /// For [`Builder::client_addr`](super::Builder::client_addr): the client is the last address in `field`, from
    /// the server's end, that is not itself one of these proxies. What a client makes up stands before what the first
    /// proxy has added.
    pub fn named_in(
        &self,
        field: ForwardedField,
    ) -> impl Fn(SocketAddr, Headers<'_>) -> Option<SocketAddr> + Send + Sync + use<> {
        let proxies = self.clone();
        move |nearest, headers| {
            if !proxies.contain(nearest) {
                return None;
            }
            let mut client = None;
            // What is no address (`unknown`, say) ends the chain: nobody vouches for what is before it.
            for named in forwarded::chain(field, headers).into_iter().rev().map_while(|named| named)
            {
                client = Some(named);
                if !proxies.contain(named) {
                    break;
                }
            }
            client
        }
    }
}

/// Addresses, networks and `unix`, with commas between them.
impl FromStr for TrustedProxies {
    type Err = TrustedProxiesError;

    fn from_str(text: &str) -> Result<TrustedProxies, TrustedProxiesError> {
        text.split(',').map(str::trim).map(one).collect()
    }
}

fn one(text: &str) -> Result<TrustedProxies, TrustedProxiesError> {
    let mut proxies = TrustedProxies::default();
    if text.eq_ignore_ascii_case("unix") {
        proxies.are_unix_sockets = true;
        return Ok(proxies);
    }
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    let network = address.or_else(|_| text.parse::<IpNet>());
    proxies.networks.push(network.map_err(|_| TrustedProxiesError { text: text.to_owned() })?);
    Ok(proxies)
}

/// All of them.
impl FromIterator<TrustedProxies> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = TrustedProxies>>(several: I) -> TrustedProxies {
        let mut all = TrustedProxies::default();
        for proxies in several {
            all.networks.extend(proxies.networks);
            all.are_unix_sockets |= proxies.are_unix_sockets;
        }
        all
    }
}

/// A text that names no proxy.
///
/// ```
/// use helloop::server::{TrustedProxies, TrustedProxiesError};
///
/// let error: TrustedProxiesError = "10.0.0.0/33".parse::<TrustedProxies>().unwrap_err();
/// assert!(error.to_string().starts_with("`10.0.0.0/33` is neither an address nor a network"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxiesError {
    text: String,
}

impl fmt::Display for TrustedProxiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrustedProxiesError { text } = self;
        write!(
            f,
            "`{text}` is neither an address nor a network: 10.0.0.0/8 or ::1, for example, or `unix` for \
             peers on Unix sockets"
        )
    }
}

impl std::error::Error for TrustedProxiesError {}
