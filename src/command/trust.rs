//! The client's address behind proxies: it is taken from a field of the request if the proxy is trusted.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, ValueEnum};
use helloop::http::Headers;
use helloop::server::Access;
use ipnet::IpNet;

/// Trusted proxies as typed.
#[derive(Args, Clone, Debug)]
pub(crate) struct TrustArguments {
    /// Believe these proxies who their client is, in the access log; `unix` for all on Unix sockets;
    /// may be repeated, or a list with commas
    #[arg(long, env = "HELLOOP_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    #[arg(value_parser = trusted)]
    trusted_proxy: Vec<Trusted>,

    /// The field in which trusted proxies say so; it is one that they set or extend themselves
    #[arg(long, env = "HELLOOP_FORWARDED_IN", value_name = "FIELD")]
    #[arg(default_value = "x-forwarded-for")]
    forwarded_in: Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    /// A list of addresses
    XForwardedFor,
    /// The list of RFC 7239, in which `for` is looked at
    Forwarded,
}

/// Somebody who is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trusted {
    Network(IpNet),
    UnixSockets,
}

fn trusted(text: &str) -> Result<Trusted, String> {
    if text.eq_ignore_ascii_case("unix") {
        return Ok(Trusted::UnixSockets);
    }
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>());
    network.map(Trusted::Network).map_err(|_| {
        "an address or a network was expected, for example 10.0.0.0/8 or ::1, or `unix`".into()
    })
}

impl TrustArguments {
    /// The client for whom a trusted proxy has asked: the last address, from the server's end, that is not itself a
    /// trusted proxy's. `None` if the peer is not trusted, or says nothing: then it is the client itself.
    pub(crate) fn client(&self, access: &Access<'_>) -> Option<IpAddr> {
        if self.trusted_proxy.is_empty() || !self.trusts_peer(access.peer) {
            return None;
        }
        let mut client = None;
        for named in self.chain(access.request?.headers()).rev() {
            // What is no address (`unknown`, say) ends the chain: nobody vouches for what is before it.
            client = Some(named?);
            if !client.is_some_and(|client| self.trusts(client)) {
                break;
            }
        }
        client
    }

    /// The addresses that were named, the first proxy's first.
    fn chain(&self, headers: Headers<'_>) -> std::vec::IntoIter<Option<IpAddr>> {
        let name = match self.forwarded_in {
            Field::XForwardedFor => "x-forwarded-for",
            Field::Forwarded => "forwarded",
        };
        let lines = headers.all(name).map(|value| str::from_utf8(value).unwrap_or_default());
        let mut chain = Vec::new();
        for line in lines {
            chain.extend(split(line, ',').map(|element| match self.forwarded_in {
                Field::XForwardedFor => address(element),
                Field::Forwarded => split(element, ';').find_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim().eq_ignore_ascii_case("for").then(|| address(value))
                })?,
            }));
        }
        chain.into_iter()
    }

    fn trusts_peer(&self, peer: SocketAddr) -> bool {
        // That is how a peer without an address is reported.
        let is_unix = peer.ip().is_unspecified();
        self.trusts(peer.ip()) || (is_unix && self.trusted_proxy.contains(&Trusted::UnixSockets))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxy.iter().any(|trusted| match trusted {
            Trusted::Network(network) => network.contains(&address),
            Trusted::UnixSockets => false,
        })
    }
}

/// The parts of a list between separators that do not stand in quotes.
fn split(list: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, in quotes or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let socket = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.parse::<IpAddr>().ok().or_else(socket).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        arguments: TrustArguments,
    }

    fn trust(flags: &[&str]) -> TrustArguments {
        Only::try_parse_from([&["test"], flags].concat()).unwrap().arguments
    }

    #[test]
    fn addresses_have_many_forms() {
        for (text, expected) in [
            (" 192.0.2.1 ", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn quotes_hide_separators() {
        let parts = |list| split(list, ',').collect::<Vec<_>>();
        assert_eq!(parts("a, \"b,c\",d"), ["a", " \"b,c\"", "d"]);
    }

    #[test]
    fn networks_addresses_and_unix_sockets_are_trusted() {
        let trust = trust(&["--trusted-proxy", "10.0.0.0/8,::1,unix"]);
        let is = |text: &str| trust.trusts_peer(text.parse().unwrap());
        assert!(is("10.1.2.3:80") && is("[::1]:80") && is("0.0.0.0:0"));
        assert!(is("[::ffff:10.1.2.3]:80") && !is("11.0.0.1:80") && !is("[::2]:80"));
        assert!(trusted("10.0.0.0/33").is_err() && trusted("localhost").is_err());
    }
}
