//! The metamorphic test first: however the input is cut, the outcome is the same. Then an oracle
//! that reads byte by byte and never waits. What the outcome is, the tables say.

mod oracle;

use super::*;
use crate::http::Ask;

/// All that a receiver can see of one reply.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    /// Status, version and fields, one per line; empty before there is a head.
    head: String,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// More must come.
    Open,
    /// Complete, with so many bytes behind it that do not belong to it.
    Complete {
        reusable: bool,
        surplus_bytes: usize,
    },
    Wrong(ReplyError),
}

/// How a reply is asked for.
#[derive(Clone, Copy, Debug)]
struct Setup {
    method: &'static str,
    /// The request says `Connection: close`.
    closes: bool,
    limits: fn(&mut ReplyLimits),
}

const GET: Setup = Setup { method: "GET", closes: false, limits: |_| {} };

impl Setup {
    fn limits(&self) -> ReplyLimits {
        let mut limits = ReplyLimits::default();
        (self.limits)(&mut limits);
        limits
    }

    fn reply(&self) -> Reply {
        let mut ask = Ask::new(self.method, "/", "a").expect("a good request");
        if self.closes {
            ask.close();
        }
        ask.reply(self.limits())
    }

    /// Plays the driver for input that comes in `pieces`, and then ends if `eof`.
    fn read(&self, pieces: &[&[u8]], eof: bool) -> Outcome {
        let mut reply = self.reply();
        let mut outcome = Outcome { head: String::new(), body: Vec::new(), end: End::Open };
        let mut kept = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            kept.extend_from_slice(piece);
            let mut input = &kept[..];
            outcome.drive(&mut reply, &mut input, eof && number + 1 == pieces.len());
            kept = input.to_vec();
        }
        assert_eq!(reply.body_bytes(), outcome.body.len() as u64);
        if let End::Complete { reusable, surplus_bytes } = &mut outcome.end {
            *surplus_bytes = kept.len();
            assert!(!*reusable || kept.is_empty(), "what is followed by bytes is not reused");
        }
        outcome
    }

    fn read_whole(&self, input: &[u8], eof: bool) -> Outcome {
        self.read(&[input], eof)
    }
}

impl Outcome {
    /// Takes events until there is none, and checks the contract on the way.
    fn drive(&mut self, reply: &mut Reply, input: &mut &[u8], eof: bool) {
        loop {
            let before = input.len();
            match (self.end, reply.advance(input, eof)) {
                (End::Wrong(error), again) => return assert_eq!(again, Err(error)),
                (End::Complete { .. }, Err(ReplyError::Surplus)) => {
                    assert!(before > 0 && before == input.len(), "nothing is consumed behind");
                    return self.end = End::Complete { reusable: false, surplus_bytes: 0 };
                }
                (_, Err(error)) => {
                    assert_ne!(error, ReplyError::Surplus);
                    self.end = End::Wrong(error);
                }
                (End::Complete { .. }, Ok(ReplyEvent::End { reusable })) => {
                    assert!(input.is_empty() && !(eof && reusable));
                    return self.end = End::Complete { reusable, surplus_bytes: 0 };
                }
                (End::Open, Ok(event)) => {
                    if self.take(event, input, eof) {
                        return;
                    }
                }
                (end, event) => panic!("{event:?} after {end:?}"),
            }
        }
    }

    /// Whether the input is used up.
    fn take(&mut self, event: ReplyEvent<'_>, left: &[u8], eof: bool) -> bool {
        match event {
            ReplyEvent::Head(head) => {
                assert!(self.head.is_empty(), "one head");
                self.head = text(&head);
                false
            }
            ReplyEvent::Data(data) => {
                assert!(!data.is_empty() && !self.head.is_empty());
                self.body.extend_from_slice(data);
                false
            }
            ReplyEvent::Read => {
                assert!(!eof, "nothing more can be read");
                assert!(left.is_empty() || self.head.is_empty(), "only a partial head is left");
                true
            }
            ReplyEvent::End { reusable } => {
                assert!(!self.head.is_empty());
                self.end = End::Complete { reusable, surplus_bytes: 0 };
                // What is there already is as good as what comes later: ask again.
                left.is_empty()
            }
        }
    }
}

fn text(head: &ReplyHead) -> String {
    let mut text = format!("{} {}\n", head.version().as_str(), head.status().code());
    for (name, value) in head.iter() {
        text += &format!("{name}={}\n", value.escape_ascii());
    }
    text
}

/// Replies for the cut tests: good, bad and mixed.
const REPLIES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello, ",
    "HTTP/1.1 200 OK\r\nServer: a\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\nContent-Length:2\r\nConnection: keep-alive\r\n\r\nhi",
    "HTTP/1.0 200 OK\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    "HTTP/1.1 102 P\r\nConnection: close\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n.",
    "HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1 099 ?\r\n\r\n",
    "HTTP/1.1 600 ?\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 200 \u{1}\r\n\r\n",
    "HTTP/1.1 200 a rather long reason for a small limit of the head\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{28}",
    "SSH-2.0-OpenSSH_9.9\r\n",
];

/// Ways to ask, for the cut tests.
const SETUPS: &[Setup] = &[
    GET,
    Setup { method: "HEAD", ..GET },
    Setup { closes: true, ..GET },
    Setup { limits: |l| (l.head_bytes_max, l.fields_max) = (57, 2), ..GET },
    Setup { limits: |l| (l.body_bytes_max, l.interims_max) = (4, 1), ..GET },
    Setup { limits: |l| (l.chunk_overhead_bytes_max, l.body_bytes_max) = (3, 5), ..GET },
];

fn replies_and_setups() -> impl Iterator<Item = (&'static str, &'static Setup)> {
    REPLIES.iter().flat_map(|reply| SETUPS.iter().map(move |setup| (*reply, setup)))
}

#[test]
fn every_cut_gives_the_same() {
    for (reply, setup) in replies_and_setups() {
        let bytes = reply.as_bytes();
        for eof in [false, true] {
            let whole = setup.read_whole(bytes, eof);
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    let cut = setup.read(&pieces, eof);
                    assert_eq!(cut, whole, "{reply:?} cut at {first} and {second}, {setup:?}");
                }
            }
            // The end of input may come by itself.
            assert_eq!(setup.read(&[bytes, b""], eof), whole, "{reply:?} {setup:?}");
        }
    }
}

#[test]
fn the_oracle_agrees_about_every_prefix() {
    for (reply, setup) in replies_and_setups() {
        for end in 0..=reply.len() {
            let bytes = &reply.as_bytes()[..end];
            for eof in [false, true] {
                let expected = oracle::outcome(bytes, eof, setup);
                assert_eq!(setup.read_whole(bytes, eof), expected, "{:?}", &reply[..end]);
            }
        }
    }
}

#[test]
fn damaged_replies_are_judged_as_the_oracle_judges() {
    const BYTES: &[u8] = b"\r\n \t:,;0125\0\xff/HT.";
    let mut random = fastrand::Rng::with_seed(0x0072_6570_6c79);
    for _ in 0..100_000 {
        let mut bytes = REPLIES[random.usize(..REPLIES.len())].as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = BYTES[random.usize(..BYTES.len())],
                1 => _ = bytes.splice(at..at, bytes[at / 2..at].to_vec()),
                2 if bytes.len() > 1 => _ = bytes.remove(at),
                _ => bytes.insert(at, BYTES[random.usize(..BYTES.len())]),
            }
        }
        check_random(&bytes, &mut random);
    }
}

#[test]
fn random_replies_are_judged_as_the_oracle_judges() {
    const FRAGMENTS: &[&str] = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: ,gzip\r\n",
        "Connection: a, close\r\n",
        "Connection: keep-alive\r\n",
        "A:b\r\n",
        " c\r\n",
        "\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "\n",
    ];
    let mut random = fastrand::Rng::with_seed(0x6c6f_6f70);
    let mut complete = 0;
    for _ in 0..100_000 {
        // A good part of the inputs gets past the status line.
        let mut bytes = FRAGMENTS[random.usize(..4)].as_bytes().to_vec();
        for _ in 0..random.usize(1..8) {
            bytes.extend_from_slice(FRAGMENTS[random.usize(..FRAGMENTS.len())].as_bytes());
        }
        let end = check_random(&bytes, &mut random);
        complete += usize::from(matches!(end, End::Complete { .. }));
    }
    assert!(complete > 5_000, "the inputs exercise the good paths too: {complete}");
}

/// Compares the oracle with the machine, fed whole, cut, and dripped.
#[track_caller]
fn check_random(bytes: &[u8], random: &mut fastrand::Rng) -> End {
    let (setup, eof) = (&SETUPS[random.usize(..SETUPS.len())], random.bool());
    let expected = oracle::outcome(bytes, eof, setup);
    let (start, rest) = bytes.split_at(random.usize(..=bytes.len()));
    let drops: Vec<&[u8]> = bytes.chunks(1).chain([&b""[..]]).collect();
    for pieces in [&[bytes][..], &[start, rest], &drops] {
        let outcome = setup.read(pieces, eof);
        assert_eq!(outcome, expected, "{} {setup:?} {eof}", bytes.escape_ascii());
    }
    if let End::Wrong(ReplyError::Message(error)) = expected.end {
        assert!(oracle::is_documented(error), "{error:?} is no error of a reply");
    }
    expected.end
}
