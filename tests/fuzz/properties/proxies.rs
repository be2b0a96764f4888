//! The front of a connection of a trusted proxy.

use helloop::server::{Preface, ProxyVersion, TrustedProxies};

use super::naive::{Stop, introduction};
use super::{BeginsWith, Property, choice, has};

pub(super) const PROPERTY: Property =
    Property { name: "proxies", hold, seed, begins_with: BeginsWith::Requests };

/// The first byte: 1 version 1 is not accepted; 2 version 2 is not. The rest is what comes.
fn hold(data: &[u8]) {
    let (bits, input) = choice(data);
    let accepted = [!has(bits, 1), !has(bits, 2)];
    let both = [ProxyVersion::V1, ProxyVersion::V2].into_iter().zip(accepted);
    let versions: Vec<_> = both.filter_map(|(version, is)| is.then_some(version)).collect();
    let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
    let read = proxies.proxy_protocol(&versions);
    let proxy = "10.0.0.1:4000".parse().expect("an address");
    let mut verdict = Preface::Partial;
    for end in 1..=input.len() {
        let found = read(proxy, &input[..end]);
        match introduction(&input[..end], accepted) {
            Ok((bytes, client)) => assert_eq!(found, Preface::Whole { bytes, client }),
            Err(Stop::Incomplete) => assert_eq!(found, Preface::Partial),
            Err(Stop::Wrong(why)) => {
                assert!(matches!(found, Preface::Wrong(_)), "{why}: {found:?}");
            }
        }
        assert!(verdict == Preface::Partial || found == verdict, "{verdict:?} became {found:?}");
        if let Preface::Whole { bytes, .. } = found {
            assert!(bytes <= end && (verdict == found || bytes == end), "{bytes} of {end}");
        }
        verdict = found;
    }
}

/// What is sent, after a header of one kind or another.
fn seed(sent: &[u8]) -> Vec<u8> {
    const HEADERS: [&[u8]; 8] = [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n",
        b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x10\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb\x02\0\x01a",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"",
    ];
    [b"\0", HEADERS[sent.len() % HEADERS.len()], &sent[..sent.len().min(300)]].concat()
}
