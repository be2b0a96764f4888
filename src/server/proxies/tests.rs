use super::forwarded::{address, split};
use super::*;
use crate::limits::PREFACE_BYTES_MAX;

#[test]
fn addresses_have_many_forms() {
    for (text, expected) in [
        (" 192.0.2.1 ", Some("192.0.2.1:0")),
        ("192.0.2.1:80", Some("192.0.2.1:80")),
        ("2001:db8::1", Some("[2001:db8::1]:0")),
        ("\"[2001:db8::1]:4711\"", Some("[2001:db8::1]:4711")),
        ("[2001:db8::1]", Some("[2001:db8::1]:0")),
        ("::ffff:192.0.2.1", Some("192.0.2.1:0")),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
    ] {
        let expected = expected.map(|text| text.parse::<SocketAddr>().unwrap());
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
    let proxies: TrustedProxies = "10.0.0.0/8,::1, unix".parse().unwrap();
    let is = |text: &str| proxies.contain(text.parse().unwrap());
    assert!(is("10.1.2.3:80") && is("[::1]:80") && is("0.0.0.0:0"));
    assert!(is("[::ffff:10.1.2.3]:80") && !is("11.0.0.1:80") && !is("[::2]:80"));
    let without: TrustedProxies = "0.0.0.0/0".parse().unwrap();
    assert!(!without.contain("0.0.0.0:0".parse().unwrap()), "every address is no Unix socket");
    for wrong in ["10.0.0.0/33", "localhost", "", "::1,"] {
        assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
    }
}

/// What a header of this kind is held for.
#[derive(Clone, Copy, Debug)]
enum Is {
    /// Whole with its last byte, and this is the client.
    Whole(Option<&'static str>),
    Wrong,
    /// Not even wrong before more has come.
    Partial,
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, rest].concat()
}

/// 192.0.2.1:50000 to 192.0.2.2:443.
const FOUR: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0x01, 0xbb];

fn six(source: &str) -> Vec<u8> {
    let [source, target] = [source, "2001:db8::2"].map(|text| {
        let address: std::net::Ipv6Addr = text.parse().unwrap();
        address.octets()
    });
    [&source[..], &target, &[0xc3, 0x50, 0x01, 0xbb]].concat()
}

fn cases() -> Vec<(Vec<u8>, Is)> {
    let client = Is::Whole(Some("192.0.2.1:50000"));
    let client_v6 = Is::Whole(Some("[2001:db8::1]:50000"));
    let itself = Is::Whole(None);
    let long = |bytes: usize| [&b"PROXY UNKNOWN "[..], &vec![b'x'; bytes - 16], b"\r\n"].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    let unix = [b"/run/client.sock".as_slice(), &[0; 216 - 16]].concat();
    // An authority, and one whose length runs beyond the header: neither is looked at.
    let tlvs = [&FOUR[..], &[2, 0, 3, b'a', b'.', b'b'], &[0xea, 0xff, 0xff, 1]].concat();
    let longest = vec![0; PREFACE_BYTES_MAX - 16];
    vec![
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n"), client),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 65535 0\r\n"), Is::Whole(Some("192.0.2.1:65535"))),
        (text("PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n"), client_v6),
        (text("PROXY TCP6 ::ffff:192.0.2.1 ::1 50000 443\r\n"), client),
        (text("PROXY TCP4 0.0.0.0 192.0.2.2 50000 443\r\n"), itself),
        (text("PROXY UNKNOWN\r\n"), itself),
        (text("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), itself),
        (long(107), itself),
        (long(108), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 443 1\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 65536\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 050000 443\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 +443\r\n"), Is::Wrong),
        (text("PROXY UNKNOWNX\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.256 192.0.2.2 50000 443\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1  192.0.2.2 50000 443\r\n"), Is::Wrong),
        (text("PROXY TCP4 2001:db8::1 2001:db8::2 50000 443\r\n"), Is::Wrong),
        (text("PROXY TCP5 192.0.2.1 192.0.2.2 50000 443\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\r\n"), Is::Wrong),
        (text("PROXY\r\n"), Is::Wrong),
        (text("proxy TCP4 192.0.2.1 192.0.2.2 50000 443\r\n"), Is::Wrong),
        (text("PROXY TCP4 \u{e9}\r\n"), Is::Wrong),
        (text("PROXY TCP4 192.0.2.1 192.0.2.2 50000 443"), Is::Partial),
        (text("PROXY"), Is::Partial),
        (text("GET / HTTP/1.1\r\n\r\n"), Is::Wrong),
        (text("POST / HTTP/1.1\r\n\r\n"), Is::Wrong),
        (text("\r\nGET / HTTP/1.1\r\n\r\n"), Is::Wrong),
        (vec![0x16, 3, 1], Is::Wrong),
        (v2(0x21, 0x11, &FOUR), client),
        (v2(0x21, 0x21, &six("2001:db8::1")), client_v6),
        (v2(0x21, 0x21, &six("::ffff:192.0.2.1")), client),
        (v2(0x21, 0x11, &tlvs), client),
        (v2(0x21, 0x12, &FOUR), itself),
        (v2(0x21, 0x31, &unix), itself),
        (v2(0x21, 0x31, &unix[1..]), Is::Wrong),
        (v2(0x21, 0x00, &[]), itself),
        (v2(0x21, 0x00, &FOUR), itself),
        (v2(0x20, 0x00, &[]), itself),
        // The family of LOCAL is to be discarded.
        (v2(0x20, 0x11, &FOUR), itself),
        (v2(0x20, 0xff, &[1, 2, 3]), itself),
        (v2(0x21, 0x11, &FOUR[1..]), Is::Wrong),
        (v2(0x21, 0x41, &FOUR), Is::Wrong),
        (v2(0x21, 0x13, &FOUR), Is::Wrong),
        (v2(0x22, 0x11, &FOUR), Is::Wrong),
        (v2(0x11, 0x11, &FOUR), Is::Wrong),
        (v2(0x20, 0x00, &longest), itself),
        (v2(0x20, 0x00, &[&longest[..], &[0]].concat()), Is::Wrong),
        (v2(0x21, 0x11, &FOUR)[..27].to_vec(), Is::Partial),
        (b"\r\n\r\n\0\r\nQUIT".to_vec(), Is::Partial),
    ]
}

const BOTH: [ProxyVersion; 2] = [ProxyVersion::V1, ProxyVersion::V2];

#[test]
fn a_header_is_whole_with_its_last_byte_and_says_who_the_client_is() {
    for (header, is) in cases() {
        let name = header.escape_ascii().to_string();
        // Whatever follows.
        for after in [&b""[..], b"G", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 300]] {
            let found = protocol::read(&[&header[..], after].concat(), &BOTH);
            match is {
                Is::Whole(client) => {
                    let client = client.map(|text| text.parse().unwrap());
                    assert_eq!(found, Preface::Whole { bytes: header.len(), client }, "{name}");
                }
                Is::Wrong => assert!(matches!(found, Preface::Wrong(_)), "{name}: {found:?}"),
                Is::Partial if !after.is_empty() => {}
                Is::Partial => assert_eq!(found, Preface::Partial, "{name}"),
            }
        }
        // However it is cut: a verdict is never taken back.
        let mut verdict = Preface::Partial;
        for end in 1..header.len() {
            let found = protocol::read(&header[..end], &BOTH);
            if verdict != Preface::Partial {
                assert_eq!(found, verdict, "{name}, {end} bytes");
            }
            assert!(!matches!(found, Preface::Whole { .. }), "{name} is not whole at {end}");
            assert!(found == Preface::Partial || matches!(is, Is::Wrong), "{name}, {end} bytes");
            verdict = found;
        }
    }
}

#[test]
fn a_version_that_is_not_accepted_is_refused() {
    let (one, two) = (&b"PROXY UNKNOWN\r\n"[..], &v2(0x20, 0, &[])[..]);
    let is_read =
        |header, version| matches!(protocol::read(header, &[version]), Preface::Whole { .. });
    assert!(is_read(one, ProxyVersion::V1) && is_read(two, ProxyVersion::V2));
    assert!(!is_read(one, ProxyVersion::V2) && !is_read(two, ProxyVersion::V1));
}

#[test]
fn others_have_no_header() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let read = proxies.proxy_protocol(&BOTH);
    let stranger = "192.0.2.9:4000".parse().unwrap();
    let none = Preface::Whole { bytes: 0, client: None };
    assert_eq!(read(stranger, b"PROXY UNKNOWN\r\n"), none, "that is a bad request of theirs");
    assert_eq!(read(stranger, b"G"), none);
    let proxy = "10.0.0.1:4000".parse().unwrap();
    assert!(matches!(read(proxy, b"G"), Preface::Wrong(why) if why.contains("send-proxy")));
}
