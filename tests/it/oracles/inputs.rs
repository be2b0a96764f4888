/// Streams of good requests.
const GOOD: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x:80\r\nA: b\r\nC:\r\n\r\n",
    b"\r\nHEAD /b?c HTTP/1.1\r\nHost:\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/y HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /old HTTP/1.0\r\n\r\n",
    b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /l HTTP/1.1\r\nContent-Length: 12\r\nHost: x\r\n\r\nhello\r\nworld",
    b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n\
      03;a=b\r\nhel\r\nA \t;c\r\nlo, world!\r\n00\r\nT: u\r\nV:\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    b"GET /z HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n",
];

/// What is put into them: things that parsers disagree about.
const SPICE: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x0b",
    b"\0",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"+",
    b"-",
    b"0",
    b"0x",
    b"5",
    b"a",
    b"99999999999999999999",
    b"fffffffffffffffff",
    b"0000000000000000",
    b"#",
    b"%",
    b"/",
    b"//",
    b"@",
    b"HTTP/1.1",
    b"1.0",
    b"2.0",
    b"1.7",
    b"Host: y\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"chunked",
    b", chunked",
    b"identity",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b" folded\r\n",
    b"close",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// One to three good requests, spoilt in no, one, or a few places.
pub(super) fn random_input(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..random.usize(1..=3) {
        input.extend_from_slice(random.choice(GOOD).expect("there are some"));
    }
    let changes = [0, 1, 1, 1, 2, 4][random.usize(..6)];
    for _ in 0..changes {
        spoil(&mut input, random);
    }
    input
}

fn spoil(input: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(0..=input.len());
    let to = (at + random.usize(1..6)).min(input.len());
    match random.u8(0..8) {
        0..=2 => drop(input.splice(at..at, spice(random))),
        3 => drop(input.splice(at..to, spice(random))),
        4 => drop(input.drain(at..to)),
        5 if at < input.len() => input[at] = random.u8(..),
        6 => {
            let line = input[at..to].to_vec();
            drop(input.splice(at..at, line));
        }
        // A field or more at the beginning of a line, where it means something.
        _ => {
            let lines = input.windows(2).enumerate().filter(|(_, pair)| *pair == b"\r\n");
            let ends: Vec<usize> = lines.map(|(at, _)| at + 2).collect();
            let at = random.choice(ends).unwrap_or(0);
            drop(input.splice(at..at, spice(random)));
        }
    }
}

fn spice(random: &mut fastrand::Rng) -> Vec<u8> {
    random.choice(SPICE).expect("there is some").to_vec()
}
