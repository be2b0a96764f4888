//! The PROXY protocol (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>), versions 1 and 2.
//!
//! Where a header ends, and whether it may still become one, is decided here, byte by byte, so that a verdict does not
//! depend on how the bytes were cut. The crate `proxy-header` reads the addresses of a header that is whole.

use std::net::SocketAddr;

use memchr::memchr;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};

use crate::limits::PREFACE_BYTES_MAX;
use crate::server::Preface;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What version 1 begins with (section 2.1).
const V1_BEGINS: &[u8] = b"PROXY ";

/// What version 2 begins with (section 2.2).
const V2_BEGINS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a line of version 1, its CRLF included.
const V1_BYTES_MAX: usize = 107;

/// The bytes of version 2 that each header has: its beginning, version and command, family, length.
const V2_FIXED_BYTES: usize = V2_BEGINS.len() + 4;

/// Version 2 with the command LOCAL, or PROXY.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const MISSING: &str =
    "no header of the PROXY protocol, which a trusted proxy has to send (haproxy: send-proxy)";
const NOT_ACCEPTED: &str = "this version of the PROXY protocol is not accepted";
const TOO_LONG: &str = "its PROXY protocol header is too long";
const MALFORMED: &str = "its PROXY protocol header is malformed";

/// Looks for a header of one of these versions at the front of `input`, which is not empty.
pub(super) fn read(input: &[u8], versions: &[ProxyVersion]) -> Preface {
    let may_be = |begins: &[u8]| {
        let length = begins.len().min(input.len());
        input[..length] == begins[..length]
    };
    let (version, begins) = match input.first() {
        Some(b'P') => (ProxyVersion::V1, V1_BEGINS),
        _ => (ProxyVersion::V2, V2_BEGINS),
    };
    match version {
        _ if !may_be(begins) => Preface::Wrong(MISSING),
        // What begins so could be a request as well.
        _ if input.len() < begins.len() => Preface::Partial,
        _ if !versions.contains(&version) => Preface::Wrong(NOT_ACCEPTED),
        ProxyVersion::V1 => read_v1(input),
        ProxyVersion::V2 => read_v2(input),
    }
}

fn read_v1(input: &[u8]) -> Preface {
    match memchr(b'\n', &input[..input.len().min(V1_BYTES_MAX)]) {
        Some(end) if is_strict(&input[..=end]) => addresses_of(&input[..=end]),
        Some(_) => Preface::Wrong(MALFORMED),
        None if input.len() < V1_BYTES_MAX => Preface::Partial,
        None => Preface::Wrong(TOO_LONG),
    }
}

/// What the crate lets pass: a longer word than UNKNOWN, and a port with a sign or a zero too many, which others may
/// read as octal.
fn is_strict(line: &[u8]) -> bool {
    if let Some(rest) = line.strip_prefix(b"PROXY UNKNOWN") {
        return matches!(rest, [b' ' | b'\r', ..]);
    }
    let mut ports = line.trim_ascii_end().rsplit(|byte| *byte == b' ').take(2);
    ports.all(|port| matches!(port, b"0" | [b'1'..=b'9', ..]))
}

fn read_v2(input: &[u8]) -> Preface {
    let Some((fixed, _)) = input.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Preface::Partial;
    };
    let [.., command, _family, high, low] = *fixed;
    let bytes = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    match command {
        LOCAL | PROXY if bytes > PREFACE_BYTES_MAX => Preface::Wrong(TOO_LONG),
        LOCAL | PROXY if bytes > input.len() => Preface::Partial,
        // Whatever the rest says: it is to be discarded.
        LOCAL => Preface::Whole { bytes, client: None },
        PROXY => addresses_of(&input[..bytes]),
        _ => Preface::Wrong(MALFORMED),
    }
}

/// `header` is whole, and nothing else.
fn addresses_of(header: &[u8]) -> Preface {
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(header, config) {
        Ok((read, bytes)) if bytes == header.len() => {
            let stream = read.proxied_address().filter(|said| said.protocol == Protocol::Stream);
            let client = stream
                .map(|said| said.source)
                .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
            // No client has the unspecified address.
            let client = client.filter(|client| !client.ip().is_unspecified());
            Preface::Whole { bytes, client }
        }
        _ => Preface::Wrong(MALFORMED),
    }
}
