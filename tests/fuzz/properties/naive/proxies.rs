//! The PROXY protocol, versions 1 and 2, section by section of its specification.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Reading, Stop, demand, find};

/// The longest header that is read.
const BYTES_MAX: usize = 4096;

/// How many bytes of `input` the header takes, and who the client is. `versions`: whether 1 and 2 are accepted.
pub(crate) fn introduction(
    input: &[u8],
    versions: [bool; 2],
) -> Reading<(usize, Option<SocketAddr>)> {
    const SIGNATURE: [u8; 12] = *b"\r\n\r\n\x00\r\nQUIT\n";
    if begins(input, b"PROXY ") {
        demand(input.len() < 6 || versions[0], "version 1")?;
        return text(input);
    }
    demand(begins(input, &SIGNATURE), "no header")?;
    demand(input.len() < 12 || versions[1], "version 2")?;
    binary(input)
}

/// As far as both go.
fn begins(input: &[u8], with: &[u8]) -> bool {
    input.iter().zip(with).all(|(a, b)| a == b)
}

/// Section 2.1: at most 107 characters, CRLF included.
fn text(input: &[u8]) -> Reading<(usize, Option<SocketAddr>)> {
    let Some(end) = find(input, b"\n").filter(|end| *end < 107) else {
        demand(input.len() < 107, "a long line")?;
        return Err(Stop::Incomplete);
    };
    let line = input[..end].strip_suffix(b"\r").ok_or(Stop::Wrong("LF without CR"))?;
    demand(!line.contains(&b'\r'), "CR without LF")?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    if words[1] == b"UNKNOWN" {
        return Ok((end + 1, None));
    }
    demand(words.len() == 6, "six words")?;
    let word = |at: usize| std::str::from_utf8(words[at]).map_err(|_| Stop::Wrong("ASCII"));
    let address = |at| -> Reading<IpAddr> {
        let is = match words[1] {
            b"TCP4" => word(at)?.parse::<Ipv4Addr>().map(IpAddr::from),
            b"TCP6" => word(at)?.parse::<Ipv6Addr>().map(IpAddr::from),
            _ => return Err(Stop::Wrong("a protocol")),
        };
        is.map_err(|_| Stop::Wrong("an address"))
    };
    let port = |at| {
        let number: u16 = word(at)?.parse().map_err(|_| Stop::Wrong("a port"))?;
        demand(number.to_string() == word(at)?, "heading zeroes")?;
        Ok(number)
    };
    let (source, _, port, _) = (address(2)?, address(3)?, port(4)?, port(5)?);
    Ok((end + 1, client(source, port)))
}

/// Section 2.2.
fn binary(input: &[u8]) -> Reading<(usize, Option<SocketAddr>)> {
    if input.len() < 16 {
        return Err(Stop::Incomplete);
    }
    let (version, command) = (input[12] >> 4, input[12] & 15);
    demand(version == 2 && command <= 1, "version and command")?;
    let bytes = 16 + usize::from(input[14]) * 256 + usize::from(input[15]);
    demand(bytes <= BYTES_MAX, "a long header")?;
    let rest = input.get(16..bytes).ok_or(Stop::Incomplete)?;
    if command == 0 {
        return Ok((bytes, None));
    }
    let (needed, address_bytes) = match input[13] {
        0x00 => (0, 0),
        0x11 | 0x12 => (12, 4),
        0x21 | 0x22 => (36, 16),
        0x31 | 0x32 => (216, 0),
        _ => return Err(Stop::Wrong("a family")),
    };
    demand(rest.len() >= needed, "a short block of addresses")?;
    let source: IpAddr = match &rest[..address_bytes] {
        four if address_bytes == 4 => <[u8; 4]>::try_from(four).unwrap().into(),
        sixteen if address_bytes == 16 => <[u8; 16]>::try_from(sixteen).unwrap().into(),
        _ => return Ok((bytes, None)),
    };
    let is_stream = input[13] & 15 == 1;
    let port = &rest[2 * address_bytes..];
    let client = client(source, u16::from(port[0]) * 256 + u16::from(port[1]));
    Ok((bytes, client.filter(|_| is_stream)))
}

fn client(source: IpAddr, port: u16) -> Option<SocketAddr> {
    let source = source.to_canonical();
    (!source.is_unspecified()).then(|| SocketAddr::new(source, port))
}
