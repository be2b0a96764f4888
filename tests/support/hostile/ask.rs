use std::fmt::Write as _;

use super::draw;
use super::reader::Ends;

/// A request as bytes, and what must be said to it.
#[derive(Clone)]
pub(crate) struct Ask {
    /// A few words for reports.
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Expected,
}

/// What must be answered.
#[derive(Clone)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// `None`: whatever the server likes to say.
    pub(crate) body: Option<Vec<u8>>,
    /// What tells where the body ends.
    pub(crate) ends: Ends,
    /// The connection must not outlive the answer.
    pub(crate) closes: bool,
    /// The service takes its time: a peer that finishes meanwhile is given up.
    pub(crate) is_later: bool,
    /// The request is no good: the rest of the stream means nothing.
    pub(crate) is_refused: bool,
}

/// FNV-1a: a body that is not the body that was sent has another one.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// What the echo says.
pub(crate) fn echo(method: &str, target: &str, body: &[u8]) -> String {
    format!("{method} {target} {} {:08x}\n", body.len(), checksum(body))
}

/// `bytes` bytes, each of which tells where it is.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| b"abcdefghijklmnopqrstuvw"[at % 23] + b"\0\x01\x02"[at / 1000 % 3])
        .collect()
}

fn good(body: Vec<u8>) -> Expected {
    Expected {
        status: 200,
        body: Some(body),
        ends: Ends::Told,
        closes: false,
        is_later: false,
        is_refused: false,
    }
}

fn ask(name: &'static str, bytes: Vec<u8>, expected: Expected) -> Ask {
    Ask { name, bytes, expected }
}

/// A request head. `number` makes every target another one.
fn head(method: &str, target: &str, fields: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: sim\r\n{fields}\r\n").into_bytes()
}

/// The `number`-th request of its client. `is_wide`: large answers can be had in a reasonable time.
pub(crate) fn drawn(random: &mut fastrand::Rng, number: usize, is_wide: bool) -> Ask {
    let target = format!("/{number}");
    let small = |random: &mut fastrand::Rng| pattern(draw(random, 1..400));
    match random.u8(0..100) {
        0..=29 => get(&target),
        30..=37 => headed(&target),
        38..=46 => {
            let body = match random.u8(0..12) {
                // More than one read takes.
                0 if is_wide => pattern(draw(random, 60_000..300_000)),
                1..=3 => pattern(draw(random, 1..5000)),
                _ => small(random),
            };
            posted(&target, &body, "")
        }
        47..=55 => {
            let body = small(random);
            chunked(random, &target, &body)
        }
        56..=58 => {
            let body = small(random);
            posted(&target, &body, "Expect: 100-continue\r\n")
        }
        59..=66 => sized(random, is_wide),
        67..=72 => later(random.u32(0..1500)),
        73..=77 => in_pieces(draw(random, 0..6), draw(random, 1..3000)),
        78 => in_old_pieces(draw(random, 0..6), draw(random, 1..3000)),
        79..=80 => failing("/panic"),
        81 => failing("/later-panic"),
        82..=83 => {
            let expected = Expected { closes: true, ..good(b"closing\n".to_vec()) };
            ask("service asks to close", head("GET", "/close", ""), expected)
        }
        84..=86 => {
            let fields = if random.bool() { "close" } else { "a, Close" };
            let expected = good(echo("GET", &target, b"").into());
            let fields = format!("Connection: {fields}\r\n");
            ask("close", head("GET", &target, &fields), Expected { closes: true, ..expected })
        }
        87..=90 => old(random, &target),
        91..=92 => {
            let bytes = format!("\r\nGET http://sim{target} HTTP/1.1\r\nHost: sim\r\n\r\n").into();
            let whole = format!("http://sim{target}");
            ask("absolute-form", bytes, good(echo("GET", &whole, b"").into()))
        }
        _ => bad(random),
    }
}

/// Many small requests at once.
pub(crate) fn get(target: &str) -> Ask {
    ask("GET", head("GET", target, ""), good(echo("GET", target, b"").into()))
}

fn headed(target: &str) -> Ask {
    ask("HEAD", head("HEAD", target, ""), Expected { ends: Ends::Head, ..good(Vec::new()) })
}

fn posted(target: &str, body: &[u8], fields: &str) -> Ask {
    let fields = format!("Content-Length: {}\r\n{fields}", body.len());
    let mut bytes = head("POST", target, &fields);
    bytes.extend_from_slice(body);
    let name = if fields.contains("Expect") { "POST, expecting 100" } else { "POST" };
    ask(name, bytes, good(echo("POST", target, body).into()))
}

fn chunked(random: &mut fastrand::Rng, target: &str, body: &[u8]) -> Ask {
    let mut bytes = head("PUT", target, "Transfer-Encoding: chunked\r\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(draw(random, 1..=rest.len()));
        let extension = if random.u8(0..4) == 0 { ";a=\"b\"" } else { "" };
        bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        rest = behind;
    }
    bytes.extend_from_slice(if random.bool() { b"0\r\n\r\n" } else { b"0\r\nT: u\r\n\r\n" });
    ask("PUT in chunks", bytes, good(echo("PUT", target, body).into()))
}

fn sized(random: &mut fastrand::Rng, is_wide: bool) -> Ask {
    let magnitudes = if is_wide { 4 } else { 2 };
    let most = [100, 3000, 30_000, 150_000][draw(random, 0..magnitudes)];
    let bytes = draw(random, 0..most);
    ask("GET of some size", head("GET", &format!("/size/{bytes}"), ""), good(pattern(bytes)))
}

fn later(millis: u32) -> Ask {
    let target = format!("/later/{millis}");
    let expected = good(echo("GET", &target, b"").into());
    ask("GET, later", head("GET", &target, ""), Expected { is_later: true, ..expected })
}

fn in_pieces(pieces: usize, bytes: usize) -> Ask {
    let target = format!("/pieces/{pieces}/{bytes}");
    let expected = good(pattern(bytes).repeat(pieces));
    ask("GET in pieces", head("GET", &target, ""), Expected { is_later: true, ..expected })
}

/// HTTP/1.0 knows no chunks.
fn in_old_pieces(pieces: usize, bytes: usize) -> Ask {
    let Ask { expected, .. } = in_pieces(pieces, bytes);
    let request = format!("GET /pieces/{pieces}/{bytes} HTTP/1.0\r\n\r\n").into_bytes();
    let expected = Expected { closes: true, ends: Ends::Close, ..expected };
    ask("GET of HTTP/1.0 in pieces", request, expected)
}

fn failing(target: &str) -> Ask {
    let is_later = target == "/later-panic";
    let expected = Expected { status: 500, body: None, closes: true, is_later, ..good(Vec::new()) };
    ask("GET, the service panics", head("GET", target, ""), expected)
}

fn old(random: &mut fastrand::Rng, target: &str) -> Ask {
    let keeps = random.bool();
    let field = if keeps { "Connection: keep-alive\r\n" } else { "" };
    let bytes = format!("GET {target} HTTP/1.0\r\n{field}\r\n").into_bytes();
    let expected = good(echo("GET", target, b"").into());
    ask("GET of HTTP/1.0", bytes, Expected { closes: !keeps, ..expected })
}

/// Requests on which parsers disagree, or that are too large, each with the only right status.
const BAD: &[(&str, u16, &str)] = &[
    ("both framings", 400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    ("two lengths", 400, "Content-Length: 5\r\nContent-Length: 5\r\n"),
    ("a length with a sign", 400, "Content-Length: +5\r\n"),
    ("a list of lengths", 400, "Content-Length: 5, 5\r\n"),
    ("a length of 65 bits", 400, "Content-Length: 18446744073709551616\r\n"),
    ("a body beyond the limit", 413, "Content-Length: 99999999\r\n"),
    ("an unknown coding", 501, "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n"),
    ("chunked twice", 400, "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n"),
    ("two hosts", 400, "Host: other\r\n"),
    ("a bare LF", 400, "A: b\nC: d\r\n"),
    ("a bare CR", 400, "A: b\rC: d\r\n"),
    ("a folded field", 400, "A: b\r\n c\r\n"),
    ("a space before the colon", 400, "Content-Length : 5\r\n"),
    ("a NUL", 400, "A: \0\r\n"),
    ("an unknown expectation", 417, "Expect: something\r\nContent-Length: 5\r\n"),
    ("a chunk size with a prefix", 400, "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n"),
    ("an empty chunk size", 400, "Transfer-Encoding: chunked\r\n\r\n\r\n"),
    ("a chunk with too much", 400, "Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n"),
];

/// Whole heads that are no good.
const BAD_HEADS: &[(&str, u16, &str)] = &[
    ("no host", 400, "GET /smuggled HTTP/1.1\r\n\r\n"),
    ("HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("HTTP/0.9", 400, "GET /smuggled\r\n\r\n"),
    ("chunks in HTTP/1.0", 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("CONNECT", 501, "CONNECT sim:80 HTTP/1.1\r\nHost: sim:80\r\n\r\n"),
    ("a TLS hello", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03 and so on\r\n\r\n"),
    ("two spaces", 400, "GET  /smuggled HTTP/1.1\r\nHost: sim\r\n\r\n"),
];

fn bad(random: &mut fastrand::Rng) -> Ask {
    let (name, status, mut text) = match random.u8(0..10) {
        0..=5 => {
            let (name, status, fields) = BAD[draw(random, ..BAD.len())];
            (name, status, format!("POST /bad HTTP/1.1\r\nHost: sim\r\n{fields}\r\n"))
        }
        6..=7 => {
            let (name, status, head) = BAD_HEADS[draw(random, ..BAD_HEADS.len())];
            (name, status, head.to_owned())
        }
        8 => {
            let line = format!("GET /{} HTTP/1.1\r\nHost: sim\r\n\r\n", "x".repeat(9000));
            ("a long request line", 414, line)
        }
        _ => {
            let mut head = "GET / HTTP/1.1\r\nHost: sim\r\n".to_owned();
            (0..100).for_each(|n| write!(head, "X-{n}: y\r\n").expect("a String takes it"));
            ("too many fields", 431, head + "\r\n")
        }
    };
    // A server that reads on takes this for a request.
    text += "GET /smuggled HTTP/1.1\r\nHost: sim\r\n\r\n";
    let expected =
        Expected { status, body: None, closes: true, is_refused: true, ..good(Vec::new()) };
    ask(name, text.into_bytes(), expected)
}
