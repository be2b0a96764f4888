//! The metamorphic test first: however the input is cut, the outcome is the same. Then an oracle
//! that reads byte by byte and never waits. What the outcome is, the tables say.

mod oracle;
mod round_trip;

use super::*;
use crate::http::{Ask, Version};

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
                assert!(!reusable || (left.is_empty() && !eof), "nothing is behind it");
                self.end = End::Complete { reusable, surplus_bytes: 0 };
                // What is there already is as good as what comes later: ask again.
                left.is_empty()
            }
        }
    }
}

fn text(head: &ReplyHead) -> String {
    let mut text = format!("{} {}\n", head.version().as_str(), head.status());
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
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0 \t\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\nab\n0\n\n",
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
    "HTTP/1.1 200 OK\r\nContent-Length: \r\n\t5 \r\n \r\nA: b \r\n \t c\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA\r\n : b\r\n\r\n",
    "HTTP/1.1 103 \r\nLink: a,\r\n b\r\n\r\nHTTP/1.1 999 \r\nContent-Length:5\r\n 5\r\n\r\n",
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

#[track_caller]
fn check_end(setup: Setup, input: &str, end: End) {
    assert_eq!(setup.read_whole(input.as_bytes(), false).end, end, "{input:?}");
}

const REUSABLE: End = End::Complete { reusable: true, surplus_bytes: 0 };
const CLOSED: End = End::Complete { reusable: false, surplus_bytes: 0 };

fn wrong(error: Error) -> End {
    End::Wrong(ReplyError::Message(error))
}

#[test]
fn the_usual_reply_in_its_parts() {
    let mut reply = Reply::new("GET", ReplyLimits::default()).expect("a good method");
    let mut input = &b"HTTP/1.1 404 Gone fishing\r\nServer:a\r\nX: 1\r\nx:\t\xff \r\n\
        Content-Length: 5\r\n\r\nhello"[..];
    let Ok(ReplyEvent::Head(head)) = reply.advance(&mut input, false) else { panic!("no head") };
    assert_eq!((head.status(), head.version()), (404, Version::Http11));
    assert_eq!((head.get("SERVER"), head.text("server")), (Some(&b"a"[..]), Some("a")));
    assert_eq!(head.all("X").collect::<Vec<_>>(), [&b"1"[..], b"\xff"]);
    assert_eq!((head.get("Y"), head.iter().count()), (None, 4));
    assert_eq!(reply.advance(&mut input, false), Ok(ReplyEvent::Data(b"hello")));
    assert_eq!((input, reply.body_bytes()), (&b""[..], 5));
    assert_eq!(reply.advance(&mut input, false), Ok(ReplyEvent::End { reusable: true }));
    // An idle connection is good until something comes, or nothing will.
    assert_eq!(reply.advance(&mut input, false), Ok(ReplyEvent::End { reusable: true }));
    assert_eq!(reply.advance(&mut input, true), Ok(ReplyEvent::End { reusable: false }));
    assert_eq!(reply.advance(&mut input, false), Ok(ReplyEvent::End { reusable: false }));
    assert_eq!(reply.advance(&mut &b"H"[..], false), Err(ReplyError::Surplus));
    assert_eq!(reply.advance(&mut &b""[..], false), Err(ReplyError::Surplus));
}

#[test]
fn only_the_head_is_allocated() {
    let input = b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n";
    let info = allocation_counter::measure(|| {
        let (mut reply, mut input) = (Reply::to(false, false, ReplyLimits::default()), &input[..]);
        while !matches!(reply.advance(&mut input, false), Ok(ReplyEvent::End { .. })) {}
    });
    assert_eq!(info.count_total, 1);
}

#[test]
fn data_are_lent_and_not_copied() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde";
    let (mut reply, mut input) = (GET.reply(), &bytes[..]);
    assert!(matches!(reply.advance(&mut input, false), Ok(ReplyEvent::Head(_))));
    let place = |data: &[u8]| data.as_ptr() as usize - bytes.as_ptr() as usize;
    for (at, content) in [(50, &b"abc"[..]), (58, b"de")] {
        let Ok(ReplyEvent::Data(data)) = reply.advance(&mut input, false) else { panic!("{at}") };
        assert_eq!((place(data), data), (at, content));
    }
    assert_eq!(reply.advance(&mut input, false), Ok(ReplyEvent::Read));
}

#[test]
fn what_a_reply_must_not_have() {
    // Field lines, and what they are refused with.
    for (lines, error) in [
        ("A : b\r\n", Error::FieldName),
        (": b\r\n", Error::FieldName),
        ("A\r\n", Error::FieldName),
        ("\tA: b\r\n", Error::Folding),
        (" \r\n", Error::Folding),
        ("A\r\n : b\r\n", Error::FieldName),
        ("A: b\r\n \0\r\n", Error::FieldValue),
        ("Content-Length: 5\r\n 5\r\n", Error::ContentLength),
        ("A: b\rc\r\n", Error::BareCr),
        ("A: b\nC: d\r\n", Error::BareLf),
        ("A: \0\r\n", Error::FieldValue),
        ("Content-Length: +5\r\n", Error::ContentLength),
        ("Content-Length: \r\n", Error::ContentLength),
        ("Content-Length: 5, 5\r\n", Error::ContentLength),
        ("Content-Length: 18446744073709551616\r\n", Error::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Error::ContentLengthRepeated),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Error::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Error::LengthAndEncoding),
        ("Transfer-Encoding: gzip\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Error::TransferCoding),
        ("Transfer-Encoding: identity\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding:\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", Error::FieldValue),
        ("Content-Length: 67108865\r\n", Error::BodyTooLong),
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{lines}\r\n0\r\n\r\n");
        let outcome = GET.read_whole(input.as_bytes(), false);
        assert_eq!((outcome.head, outcome.end), (String::new(), wrong(error)), "{lines:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_end(GET, old, wrong(Error::EncodingInHttp10));
}

#[test]
fn a_bare_lf_is_called_that_in_chunks_too() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "5\n",
        "\n",
        "5;a\n",
        "5 \n",
        "1\r\na\n",
        "1\r\na\r\n\n",
        "0\r\n\n",
        "0\r\nA: b\n",
        "0\r\nA\n",
    ] {
        check_end(GET, &format!("{head}{chunks}"), End::Wrong(ReplyError::ChunkLf));
    }
    let sentences = [ReplyError::ChunkLf, Error::BareLf.into()].map(|error| error.to_string());
    assert_eq!(sentences, ["chunked body: an LF without CR", "head: an LF without CR"]);
}

#[test]
fn a_bad_status_line_is_refused_at_once() {
    for (input, error) in [
        ("\u{15}", ReplyError::NotHttp),
        ("\r", ReplyError::NotHttp),
        ("\n", ReplyError::NotHttp),
        ("SSH-2.0", ReplyError::NotHttp),
        ("220 mail", ReplyError::NotHttp),
        ("<html>", ReplyError::NotHttp),
        ("ICY 200 OK", ReplyError::NotHttp),
        ("http/1.1", ReplyError::NotHttp),
        ("HTTP/\r\n", ReplyError::StatusLine),
        ("HTTP/1.1\r\n", ReplyError::StatusLine),
        ("HTTP/1.1 \r\n", ReplyError::StatusLine),
        ("HTTP/1.1 20\r\n", ReplyError::StatusLine),
        ("HTTP/1.1 2000 OK\r\n", ReplyError::StatusLine),
        ("HTTP/1.1 200OK\r\n", ReplyError::StatusLine),
        ("HTTP/1.1 200\tOK\r\n", ReplyError::StatusLine),
        ("HTTP/1.1  200 OK\r\n", ReplyError::StatusLine),
        ("HTTP/1.1 +20 OK\r\n", ReplyError::StatusLine),
        ("HTTP/1.10 200 OK\r\n", ReplyError::StatusLine),
        ("HTTP/2 200\r\n", ReplyError::StatusLine),
        ("HTTP/2.0 200 OK\r\n", ReplyError::Version),
        ("HTTP/0.9 200 OK\r\n", ReplyError::Version),
        ("HTTP/1.1 101 \r\n", ReplyError::Upgrade),
        ("HTTP/1.1 200 \0\r\n", ReplyError::ReasonPhrase),
        ("HTTP/1.1 200 OK\n", ReplyError::Message(Error::BareLf)),
        ("HTTP/1.1 200 OK\rA", ReplyError::Message(Error::BareCr)),
    ] {
        check_end(GET, input, End::Wrong(error));
    }
}

#[test]
fn status_lines_that_real_servers_send() {
    for (line, head) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200\n"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200\n"),
        ("HTTP/1.1 200", "HTTP/1.1 200\n"),
        ("HTTP/1.1 200  two  spaces ", "HTTP/1.1 200\n"),
        ("HTTP/1.1 404 N\u{e4}", "HTTP/1.1 404\n"),
        ("HTTP/1.0 599 x", "HTTP/1.0 599\n"),
        ("HTTP/1.9 299 x", "HTTP/1.1 299\n"),
        ("HTTP/1.1 999 Request denied", "HTTP/1.1 999\n"),
        ("HTTP/1.1 600", "HTTP/1.1 600\n"),
        ("HTTP/1.1 099 ", "HTTP/1.1 99\n"),
        ("HTTP/1.1 000 ", "HTTP/1.1 0\n"),
    ] {
        let outcome = GET.read_whole(format!("{line}\r\n\r\n").as_bytes(), true);
        assert_eq!((outcome.head.as_str(), outcome.end), (head, CLOSED), "{line:?}");
    }
}

#[test]
fn a_folded_field_goes_on_behind_one_space() {
    for (lines, head, body) in [
        ("A: b\r\n c\r\nContent-Length: 1\r\n", "A=b c\nContent-Length=1\n", &b"."[..]),
        ("A: b \t\r\n\t \tc\r\n\td\r\n", "A=b c d\n", b"."),
        ("A:\r\n b\r\nB: c\r\n \r\n", "A=b\nB=c\n", b"."),
        // What frames the body is read behind the folding, too.
        ("Content-Length:\r\n 1\r\n", "Content-Length=1\n", b"."),
        ("Connection: a,\r\n\tclose\r\n", "Connection=a, close\n", b"."),
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{lines}\r\n.");
        let outcome = GET.read_whole(input.as_bytes(), true);
        assert_eq!((outcome.head, &outcome.body[..]), (format!("HTTP/1.1 200\n{head}"), body));
        assert_eq!(outcome.end, CLOSED, "{lines:?}");
    }
    // A field is one, be it of many lines.
    let small = Setup { limits: |l| l.fields_max = 2, ..GET };
    check_end(small, "HTTP/1.1 204 \r\nA: b\r\n c\r\n d\r\nB: c\r\n\r\n", REUSABLE);
    check_end(small, "HTTP/1.1 204 \r\nA:\r\n b\r\nB:\r\nC:\r\n", wrong(Error::TooManyFields));
}

#[test]
fn replies_without_a_body() {
    let head = Setup { method: "HEAD", ..GET };
    for (setup, status, field, end) in [
        (head, "200", "Content-Length: 67108865", REUSABLE),
        (head, "200", "Transfer-Encoding: chunked", REUSABLE),
        (head, "200", "X: y", REUSABLE),
        (GET, "304", "Content-Length: 5", REUSABLE),
        (GET, "304", "Transfer-Encoding: chunked", REUSABLE),
        (GET, "204", "X: y", REUSABLE),
        (GET, "204", "Content-Length: 0", REUSABLE),
        // A server that announces an impossible body may send it, too.
        (GET, "204", "Content-Length: 5", CLOSED),
        (GET, "204", "Transfer-Encoding: chunked", CLOSED),
        // Not even here are two framings one.
        (
            head,
            "200",
            "Content-Length: 5\r\nContent-Length: 5",
            wrong(Error::ContentLengthRepeated),
        ),
        (
            GET,
            "304",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            wrong(Error::LengthAndEncoding),
        ),
    ] {
        check_end(setup, &format!("HTTP/1.1 {status} x\r\n{field}\r\n\r\n"), end);
    }
    // What comes behind such a reply is not its body.
    let sneaky = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    check_end(head, sneaky, End::Complete { reusable: false, surplus_bytes: 5 });
    assert_eq!(head.read_whole(sneaky.as_bytes(), false).body, b"");
}

#[test]
fn a_reply_behind_the_reply_is_surplus() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for first in
        ["Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]
    {
        let outcome =
            GET.read_whole(format!("HTTP/1.1 200 OK\r\n{first}{second}").as_bytes(), false);
        assert_eq!(outcome.end, End::Complete { reusable: false, surplus_bytes: second.len() });
        assert_eq!(outcome.body, b"hi");
    }
}

#[test]
fn whether_a_connection_can_be_used_again() {
    let closes = Setup { closes: true, ..GET };
    for (setup, version, fields, end) in [
        (GET, "1.1", "", REUSABLE),
        (GET, "1.1", "Connection: x, CLOSE\r\n", CLOSED),
        (GET, "1.1", "Connection: x\r\nConnection: close\r\n", CLOSED),
        (GET, "1.1", "Connection: enclose\r\n", REUSABLE),
        (GET, "1.0", "", CLOSED),
        (GET, "1.0", "Connection: Keep-Alive\r\n", REUSABLE),
        (GET, "1.0", "Connection: keep-alive, close\r\n", CLOSED),
        (closes, "1.1", "", CLOSED),
        (closes, "1.0", "Connection: keep-alive\r\n", CLOSED),
    ] {
        let input = format!("HTTP/{version} 200 OK\r\n{fields}Content-Length: 1\r\n\r\n.");
        check_end(setup, &input, end);
        // An end of input with the last byte is an end all the same.
        assert_eq!(setup.read_whole(input.as_bytes(), true).end, CLOSED);
    }
}

#[test]
fn interim_replies_are_skipped_and_counted() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    check_end(GET, &(interim.repeat(16) + last), REUSABLE);
    check_end(GET, &interim.repeat(17), End::Wrong(ReplyError::TooManyInterims));
    let close = interim.replace("Link: </a>; rel=preload", "Connection: close");
    check_end(GET, &(close + last), CLOSED);
    for field in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let body = interim.replace("Link: </a>; rel=preload", field);
        check_end(GET, &(body + last), End::Wrong(ReplyError::InterimBody));
    }
    let empty = interim.replace("Link: </a>; rel=preload", "Content-Length: 0");
    check_end(GET, &(empty + last), REUSABLE);
    check_end(GET, "HTTP/1.1 100 \r\n\r\nHTTP/1.1 101 \r\n", End::Wrong(ReplyError::Upgrade));
}

#[test]
fn what_is_cut_off_says_how_much_is_missing() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let known = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let chunks = |received, missing| ReplyError::ChunksTruncated { received, missing };
    for (input, error, sentence) in [
        (String::new(), ReplyError::NoReply, "closed before the first byte of a reply"),
        (
            known[..20].into(),
            ReplyError::HeadTruncated { bytes: 20 },
            "head: truncated after 20 bytes",
        ),
        (
            "HTTP/1.1 100 \r\n\r\n".into(),
            ReplyError::HeadTruncated { bytes: 0 },
            "head: truncated after 0 bytes",
        ),
        (
            format!("{known}hello"),
            ReplyError::BodyTruncated { received: 5, announced: 10 },
            "body: truncated, 5 of 10 bytes came",
        ),
        (
            known.into(),
            ReplyError::BodyTruncated { received: 0, announced: 10 },
            "body: truncated, 0 of 10 bytes came",
        ),
        (
            format!("{chunked}5\r\nhello\r\n1f\r\nx"),
            chunks(6, 30),
            "body: truncated after 6 bytes, 30 bytes before the end of a chunk",
        ),
        (
            format!("{chunked}5\r\nhello"),
            chunks(5, 0),
            "body: truncated after 5 bytes, before the last chunk",
        ),
        (
            format!("{chunked}5;x"),
            chunks(0, 5),
            "body: truncated after 0 bytes, 5 bytes before the end of a chunk",
        ),
        (
            format!("{chunked}5"),
            chunks(0, 0),
            "body: truncated after 0 bytes, before the last chunk",
        ),
        (
            format!("{chunked}0\r\nA: b\r\n\r"),
            chunks(0, 0),
            "body: truncated after 0 bytes, before the last chunk",
        ),
    ] {
        let outcome = GET.read_whole(input.as_bytes(), true);
        assert_eq!(outcome.end, End::Wrong(error), "{input:?}");
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn a_body_may_last_until_close() {
    let input = b"HTTP/1.1 200 OK\r\n\r\nhello";
    let outcome = GET.read_whole(input, true);
    assert_eq!((&outcome.body[..], outcome.end), (&b"hello"[..], CLOSED));
    let keep_alive = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(GET.read_whole(keep_alive, true).end, CLOSED);
    assert_eq!(GET.read_whole(keep_alive, false).end, End::Open);
}

#[test]
fn limits_are_exact() {
    let small = Setup { limits: |l| (l.head_bytes_max, l.fields_max) = (30, 2), ..GET };
    check_end(small, "HTTP/1.1 200 OK\r\nA: 12345678\r\n", wrong(Error::HeadTooLong));
    check_end(small, "HTTP/1.1 200 OK\r\nA: 12345678\r", End::Open);
    check_end(small, "HTTP/1.1 204 OK\r\nA: 123456\r\n\r\n", REUSABLE);
    check_end(small, "HTTP/1.1 200 and then some more", wrong(Error::HeadTooLong));
    check_end(small, "HTTP/1.1 204 \r\nA:\r\nB:\r\n\r\n", REUSABLE);
    check_end(small, "HTTP/1.1 204 \r\nA:\r\nB:\r\nC:\r\n", wrong(Error::TooManyFields));
    // Each head for itself.
    let interim = "HTTP/1.1 100 OK\r\nA: 12345\r\n\r\n";
    check_end(small, &format!("{interim}{interim}HTTP/1.1 204 \r\n\r\n"), REUSABLE);

    let body = Setup { limits: |l| (l.body_bytes_max, l.chunk_overhead_bytes_max) = (5, 3), ..GET };
    let check = |lines: &str, content: &[u8], end| {
        let outcome = body.read_whole(format!("HTTP/1.1 200 OK\r\n{lines}").as_bytes(), false);
        assert_eq!((&outcome.body[..], outcome.end), (content, end), "{lines:?}");
    };
    check("Content-Length: 5\r\n\r\nhello", b"hello", REUSABLE);
    check("Content-Length: 6\r\n\r\nhello!", b"", wrong(Error::BodyTooLong));
    check("\r\nhello", b"hello", End::Open);
    check("\r\nhello!", b"hello", wrong(Error::BodyTooLong));
    let chunked = |chunks: &str| format!("Transfer-Encoding: chunked\r\n\r\n{chunks}");
    check(&chunked("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), b"hello", REUSABLE);
    check(&chunked("3\r\nhel\r\n3\r\n"), b"hel", wrong(Error::BodyTooLong));
    check(&chunked("1;xy\r\n.\r\n0;"), b".", wrong(Error::ChunkOverhead));
    check(&chunked("0\r\nA:bc"), b"", wrong(Error::TrailersTooLong));
}

#[test]
fn limits_that_cannot_work_refuse_and_do_not_panic() {
    for (reply, bytes_max) in REPLIES.iter().flat_map(|reply| (0..70).map(move |max| (reply, max)))
    {
        let limits = ReplyLimits {
            head_bytes_max: bytes_max,
            fields_max: usize::MAX,
            body_bytes_max: u64::MAX,
            ..ReplyLimits::default()
        };
        let ends = [1, reply.len()].map(|step| {
            let (mut reader, mut from) = (Reply::to(false, false, limits), 0);
            for to in (0..=reply.len()).step_by(step).chain([reply.len()]) {
                let mut input = &reply.as_bytes()[from..to];
                while let Ok(ReplyEvent::Head(_) | ReplyEvent::Data(_)) =
                    reader.advance(&mut input, false)
                {}
                from = to - input.len();
            }
            reader.advance(&mut &reply.as_bytes()[from..], true).map(|_| ())
        });
        assert_eq!(ends[0], ends[1], "{reply:?} with {bytes_max}");
    }
}

#[test]
fn only_some_methods_can_be_asked() {
    let new = |method| Reply::new(method, ReplyLimits::default()).err();
    assert_eq!((new("GET"), new("CONNECT")), (None, Some(AskError::Connect)));
    assert_eq!((new(""), new("G T")), (Some(AskError::Method), Some(AskError::Method)));
}
