//! The metamorphic test first: however the input is cut, the outcome is the same. What the outcome
//! is, the other tests say.

use super::*;
use crate::http::{Peer, Version};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000));

const CALLER: Peer<'static> = Peer { address: PEER, client: None, rule: None };

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// A driver's side that answers with what it was asked, and writes down what it was told.
#[derive(Default)]
struct Echo {
    limits: Limits,
    draining: bool,
    /// One line per answer.
    answers: Vec<String>,
    /// What is to be answered later, and how.
    later: Option<Later>,
}

/// How a request is answered that took its time.
enum Later {
    Whole(String),
    /// Each followed by an empty one, which must be nothing.
    Pieces(&'static [&'static str]),
    /// The service fails behind its first piece.
    Broken,
}

/// All that a peer and a driver can see of one connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    output: String,
    /// `None`: the connection is still open.
    end: Option<Reason>,
    answers: Vec<String>,
    requests: u32,
}

/// What the service comes to.
enum Served {
    Now,
    Panicked,
    Later,
}

impl Echo {
    fn with(change: impl FnOnce(&mut Limits)) -> Echo {
        let mut echo = Echo::default();
        change(&mut echo.limits);
        echo
    }

    fn terms(&self) -> Terms {
        let requests_max = self.limits.requests_per_connection_max;
        Terms { date: *DATE, is_draining: self.draining, requests_max }
    }

    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Served {
        assert_eq!(request.peer(), Some(PEER));
        match request.path() {
            "/panic" => {
                response.header("X-Half", "an ans").expect("a good field").text("half an ans");
                return Served::Panicked;
            }
            "/later" => {
                self.later = Some(Later::Whole(format!("later {}\n", request.body().len())));
                return Served::Later;
            }
            "/pieces" => {
                self.later = Some(Later::Pieces(&["one ", "and another piece\n"]));
                return Served::Later;
            }
            "/broken" => {
                self.later = Some(Later::Broken);
                return Served::Later;
            }
            "/close" => _ = response.close(),
            "/empty" => _ = response.status(Status::NO_CONTENT),
            _ => {}
        }
        let body = String::from_utf8_lossy(request.body());
        response.text(format_args!("{} {} [{body}]\n", request.method(), request.target()));
        Served::Now
    }

    fn answered(&mut self, request: Option<&Request<'_>>, answer: &Answer) {
        let request = request.map_or("-".to_owned(), |request| {
            format!("{} {} {}", request.method(), request.target(), request.headers().len())
        });
        let Answer { status, body_bytes, closes } = answer;
        self.answers.push(format!("{request}: {} {body_bytes} {closes:?}", status.code()));
    }

    /// Answers whatever is in `input`.
    fn advance(
        &mut self,
        exchange: &mut Exchange,
        input: &mut &[u8],
        eof: bool,
        output: &mut Vec<u8>,
    ) -> Want {
        let (limits, terms) = (self.limits.clone(), self.terms());
        loop {
            let mut response = Response::new();
            let mut room = Room::new(Some(&CALLER));
            let mut found = exchange.next(input, eof, &limits, &mut room);
            if let Found::Body(announced) = found {
                let head = announced.request();
                assert!(head.body().is_empty());
                let policy = match head.path() {
                    "/discard" => BodyPolicy::Discard,
                    "/refuse" => BodyPolicy::Refuse,
                    "/small" => BodyPolicy::CollectAtMost(3),
                    _ => BodyPolicy::Collect,
                };
                found = exchange.receive(announced, policy, input, eof, &limits, output);
            }
            let (request, answer) = match found {
                Found::Request(asked) => {
                    let answer = match self.respond(asked.request(), &mut response) {
                        Served::Now => exchange.answer(asked, &response, &terms, output),
                        Served::Panicked => exchange.fail(asked, &mut response, &terms, output),
                        Served::Later => {
                            exchange.defer(asked);
                            continue;
                        }
                    };
                    (Some(asked.request()), answer)
                }
                Found::Wrong(wrong) => {
                    (wrong.request(), exchange.refuse(&wrong, &mut response, &terms, output))
                }
                Found::Body(_) => unreachable!("it was received"),
                Found::Nothing(want) => return want,
            };
            self.answered(request, &answer);
        }
    }

    /// Plays the driver for input that comes in `pieces`, and then ends if `eof`.
    fn serve(mut self, pieces: &[&[u8]], eof: bool) -> Outcome {
        let mut exchange = Exchange::new();
        let (mut kept, mut written) = (Vec::new(), Vec::new());
        let mut end = None;
        for (number, piece) in pieces.iter().enumerate() {
            kept.extend_from_slice(piece);
            let is_eof = eof && number + 1 == pieces.len();
            loop {
                let mut input = &kept[..];
                let want = self.advance(&mut exchange, &mut input, is_eof, &mut written);
                kept = input.to_vec();
                match want {
                    Want::Service => {
                        let before = written.len();
                        let mut input = &kept[..];
                        let again = self.advance(&mut exchange, &mut input, is_eof, &mut written);
                        assert_eq!((again, input.len()), (Want::Service, kept.len()));
                        assert_eq!(written.len(), before, "nothing happens meanwhile");
                        self.answer_later(&mut exchange, &mut written);
                        continue;
                    }
                    Want::Close(reason) => {
                        assert!(end.is_none_or(|end| end == reason), "a close is for ever");
                        end = Some(reason);
                    }
                    Want::Request | Want::Body => assert!(kept.is_empty(), "all is consumed"),
                    Want::Head => assert!(!kept.is_empty(), "a partial head is left"),
                }
                break;
            }
        }
        let output = String::from_utf8(written).expect("answers are text");
        Outcome { output, end, answers: self.answers, requests: exchange.requests() }
    }

    /// Plays a service that has taken its time.
    fn answer_later(&mut self, exchange: &mut Exchange, output: &mut Vec<u8>) {
        let (mut response, terms) = (Response::new(), self.terms());
        let mut room = Room::new(Some(&CALLER));
        let answered = match self.later.take().expect("only such requests are answered later") {
            Later::Whole(text) => {
                response.text(text);
                let asked = exchange.deferred(&mut room).expect("it was deferred");
                Some((asked, exchange.answer(asked, &response, &terms, output)))
            }
            Later::Pieces(pieces) => {
                exchange.answer_streamed(&response, &terms, output);
                for piece in pieces.iter().flat_map(|piece| [*piece, ""]) {
                    exchange.stream(piece.as_bytes(), output);
                }
                assert!(exchange.is_streaming());
                exchange.end_stream(output, &mut room)
            }
            Later::Broken => {
                exchange.answer_streamed(&response, &terms, output);
                exchange.stream(b"half", output);
                exchange.abandon(Reason::ServicePanicked, &mut room)
            }
        };
        let (asked, answer) = answered.expect("an answer was due");
        self.answered(Some(asked.request()), &answer);
    }
}

impl Outcome {
    /// The status codes of the answers, as they are on the wire.
    fn codes(&self) -> Vec<&str> {
        let lines = self.output.split("HTTP/1.1 ").skip(1);
        lines.map(|line| &line[..3]).collect()
    }
}

fn serve(input: &str) -> Outcome {
    Echo::default().serve(&[input.as_bytes()], false)
}

/// Request streams for the cut tests: good, bad and mixed. No expectations: whether a 100 is sent
/// depends on what has come, and that is right.
const STREAMS: &[&str] = &[
    "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /pieces HTTP/1.1\r\nHost: a\r\n\r\n\
     GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /never HTTP/1.0\r\n\r\n",
    "HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\nGET /broken HTTP/1.1\r\nHost: a\r\n\r\nGET /n HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /a?b HTTP/1.0\r\n\r\nGET /unseen HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n\
     \r\nGET /c HTTP/1.1\r\nhost:a\r\nConnection: close\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\
     helloGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /discard HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\
     helloGET /b HTTP/1.1\r\nHost: a\r\n\r\nG",
    "POST /discard HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     1\r\na\r\n0\r\n\r\nGET /close HTTP/1.1\r\nHost: a\r\n\r\nGET",
    "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /refuse HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET",
    "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     2\r\nab\r\n1\r\nc\r\n0\r\n\r\nPOST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     2\r\nab\r\n2\r\ncd\r\n0\r\n\r\nGET",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
     GET /b HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\n\
     GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost : a\r\n\r\n\
     GET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhello",
    "HEAD / HTTP/1.1\r\nHost: a\r\nA:\0\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\nA: b\n\r\n",
    "HEAD / HTTP/2.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
    "SSH-2.0-OpenSSH_9.9\r\n",
    "GET /\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\rHTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nHost: a\r\n\r\n",
    "GET /a-rather-long-target-for-a-small-limit-of-the-line HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
];

/// Ways to set up a server, for the cut tests.
const SETUPS: &[fn(&mut Limits)] = &[
    |_| {},
    |limits| (limits.fields_max, limits.body_bytes_max) = (2, 4),
    |limits| (limits.request_line_bytes_max, limits.head_bytes_max) = (34, 64),
    |limits| (limits.requests_per_connection_max, limits.chunk_overhead_bytes_max) = (Some(2), 2),
];

#[test]
fn every_cut_gives_the_same() {
    for (stream, setup) in
        STREAMS.iter().flat_map(|stream| SETUPS.iter().map(move |setup| (stream, setup)))
    {
        let bytes = stream.as_bytes();
        for eof in [false, true] {
            let whole = Echo::with(setup).serve(&[bytes, b""], eof);
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    let cut = Echo::with(setup).serve(&pieces, eof);
                    assert_eq!(cut, whole, "{stream:?} cut at {first} and {second}");
                }
            }
        }
    }
}

#[test]
fn damaged_input_is_judged_the_same_whole_or_dripped() {
    let mut random = fastrand::Rng::with_seed(0x68656c6c6f);
    for _ in 0..20_000 {
        let stream = STREAMS[random.usize(..STREAMS.len())];
        let mut bytes = stream.as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = b"\r\n \t:,;0\0\xff/GH"[random.usize(..13)],
                1 => _ = bytes.splice(at..at, bytes[at / 2..at].to_vec()),
                2 if bytes.len() > 1 => _ = bytes.remove(at),
                _ => bytes.insert(at, b"\r\n \t:,;0\0\xff/GH"[random.usize(..13)]),
            }
        }
        let setup = SETUPS[random.usize(..SETUPS.len())];
        let whole = Echo::with(setup).serve(&[&bytes], true);
        let drops: Vec<&[u8]> = bytes.chunks(1).chain([&b""[..]]).collect();
        let dripped = Echo::with(setup).serve(&drops, true);
        assert_eq!(dripped, whole, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_usual_request_is_answered_byte_for_byte() {
    let outcome = serve("GET /World?x HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\n\r\n");
    assert_eq!(
        outcome.output,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nGET /World?x []\n"
    );
    assert_eq!(outcome.answers, ["GET /World?x 2: 200 16 None"]);
    assert_eq!((outcome.end, outcome.requests), (None, 1));
}

#[test]
fn the_usual_request_allocates_nothing() {
    let (mut exchange, mut response, mut output) = (Exchange::new(), Response::new(), Vec::new());
    let (limits, terms) = (Limits::default(), Echo::default().terms());
    let mut once = || {
        output.clear();
        let mut input = &b"GET /World HTTP/1.1\r\nHost: a\r\n\r\n\
            PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"[..];
        for _ in 0..2 {
            let mut room = Room::new(None);
            let mut found = exchange.next(&mut input, false, &limits, &mut room);
            if let Found::Body(announced) = found {
                let policy = BodyPolicy::Collect;
                found =
                    exchange.receive(announced, policy, &mut input, false, &limits, &mut output);
            }
            let Found::Request(asked) = found else { panic!("{found:?}") };
            assert_eq!(asked.request().version(), Version::Http11);
            response.clear();
            response.text(format_args!("Hello, {}!\n", &asked.request().path()[1..]));
            exchange.answer(asked, &response, &terms, &mut output);
        }
        assert!(input.is_empty());
    };
    once();
    let info = allocation_counter::measure(once);
    assert_eq!(info.count_total, 0);
}

#[test]
fn the_protocol_rows_of_the_table() {
    // Field lines behind a good `Host`, and what they are refused with.
    for (lines, error) in [
        ("Host: a\r\n", Error::HostRepeated),
        ("A : b\r\n", Error::FieldName),
        (": b\r\n", Error::FieldName),
        ("A\r\n", Error::FieldName),
        ("A: b\r\n c\r\n", Error::Folding),
        ("\tA: b\r\n", Error::Folding),
        ("A: b\rc\r\n", Error::BareCr),
        ("A: b\nC: d\r\n", Error::BareLf),
        ("A: \0\r\n", Error::FieldValue),
        ("A: \x7f\r\n", Error::FieldValue),
        ("A\0: b\r\n", Error::FieldName),
        ("Content-Length: +5\r\n", Error::ContentLength),
        ("Content-Length: 5, 5\r\n", Error::ContentLength),
        ("Content-Length: 18446744073709551616\r\n", Error::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Error::ContentLengthRepeated),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Error::LengthAndEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", Error::TransferCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Error::TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", Error::FieldValue),
        ("Content-Length: 1048577\r\n", Error::BodyTooLong),
        ("Expect: tea\r\nContent-Length: 3\r\n", Error::Expectation),
        ("Expect: tea\r\nTransfer-Encoding: chunked\r\n", Error::Expectation),
    ] {
        let outcome = serve(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\nGET / HTTP/1.1\r\n"));
        assert_eq!(outcome.end, Some(Reason::Refused(error)), "{lines:?}");
        assert_eq!(outcome.codes(), [error.status().code().to_string()], "{lines:?}");
        assert!(outcome.output.contains("\r\nConnection: close\r\n"), "{lines:?}");
        assert!(outcome.output.ends_with(&format!("\r\n\r\n{error}\n")), "{lines:?}");
    }
}

#[test]
fn a_bad_request_line_is_refused_at_once() {
    for (input, error) in [
        ("\u{16}", Error::Method),
        (" ", Error::Method),
        ("GE(", Error::Method),
        ("\n", Error::BareLf),
        ("\rG", Error::BareCr),
        ("\r\n\r", Error::EmptyLines),
        ("GET\r", Error::RequestLine),
        ("SSH-2.0-Go\r", Error::RequestLine),
        ("GET /\r\n", Error::RequestLine),
        ("GET / HTTP/1.1 \r\n", Error::RequestLine),
        ("GET / http/1.1\r\n", Error::RequestLine),
        ("GET / HTTP/1.10\r\n", Error::RequestLine),
        ("GET / HTTP/2\r\n", Error::RequestLine),
        ("GET HTTP/1.1\r\n", Error::RequestLine),
        ("GET / HTTP/2.0\r\n", Error::Version),
        ("GET / HTTP/0.9\r\n", Error::Version),
        ("PRI * HTTP/2.0\r\n", Error::Version),
        ("GET  / HTTP/1.1\r\n", Error::TargetByte),
        ("GET /  HTTP/1.1\r\n", Error::TargetByte),
        ("GET /a b HTTP/1.1\r\n", Error::TargetByte),
        ("GET /ü HTTP/1.1\r\n", Error::TargetByte),
        ("GET /#a HTTP/1.1\r\n", Error::TargetByte),
        ("GET  HTTP/1.1\r\n", Error::TargetForm),
        ("GET * HTTP/1.1\r\n", Error::TargetForm),
        ("GET http://u@a/ HTTP/1.1\r\n", Error::TargetAuthority),
    ] {
        let outcome = serve(input);
        assert_eq!(outcome.end, Some(Reason::Refused(error)), "{input:?}");
        assert_eq!(outcome.answers.len(), 1, "{input:?}");
        assert!(outcome.answers[0].starts_with("-: "), "{input:?}");
        let but_last = &input.as_bytes()[..input.len() - 1];
        assert_eq!(Echo::default().serve(&[but_last], false).end, None, "{input:?}: not earlier");
    }
    let no_tunnel = serve("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (no_tunnel.codes(), no_tunnel.end),
        (vec!["501"], Some(Reason::Refused(Error::Connect)))
    );
}

#[test]
fn every_minor_version_is_1_1() {
    for minor in 1..=9 {
        assert_eq!(serve(&format!("GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n")).codes(), ["200"]);
    }
    assert_eq!(serve("GET / HTTP/1.1\r\n\r\n").end, Some(Reason::Refused(Error::HostMissing)));
}

#[test]
fn limits_are_exact_and_named() {
    let check = |input: &str, expected: Option<Error>| {
        let echo = Echo::with(|limits| {
            (limits.request_line_bytes_max, limits.head_bytes_max, limits.fields_max) = (20, 64, 2);
        });
        let end = echo.serve(&[input.as_bytes()], false).end;
        assert_eq!(end, expected.map(Reason::Refused), "{input:?}");
    };
    check("GET /5678 HTTP/1.1\r\nHost: a\r\n\r\n", None);
    check("\r\nGET /5678 HTTP/1.1\r\nHost: a\r\n\r\n", None);
    check("GET /56789 HTTP/1.1\r", Some(Error::RequestLineTooLong));
    check("GET /56789012345678", None);
    check("GET /567890123456789", Some(Error::RequestLineTooLong));
    check("ATOKENTHATHASNOLIMIT", Some(Error::RequestLineTooLong));
    let fill = |bytes| format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(bytes));
    check(&fill(64 - 32), None);
    check(&fill(64 - 31), Some(Error::HeadTooLong));
    check("GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\n\r\n", None);
    check("GET / HTTP/1.1\r\nA: 1\r\nHost: a\r\nB:\r\n", Some(Error::TooManyFields));
}

#[test]
fn as_many_fields_as_the_limit_allows() {
    let request = |fields: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(fields - 1))
    };
    for fields in [1, 15, 16, 17, 99, 100] {
        assert_eq!(serve(&request(fields)).answers, [format!("GET / {fields}: 200 9 None")]);
    }
    assert_eq!(serve(&request(101)).end, Some(Reason::Refused(Error::TooManyFields)));
    let most =
        Echo::with(|limits| limits.fields_max = 1000).serve(&[request(129).as_bytes()], false);
    assert_eq!(most.end, Some(Reason::Refused(Error::TooManyFields)));
}

#[test]
fn good_requests_before_a_bad_one_are_answered_and_nothing_after_it() {
    let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let outcome = serve(&format!("{good}{good}GET / HTTP/3.0\r\n{good}"));
    assert_eq!(outcome.codes(), ["200", "200", "505"]);
    assert_eq!((outcome.end, outcome.requests), (Some(Reason::Refused(Error::Version)), 3));
}

#[test]
fn who_closes_is_named() {
    let close = |lines: &str, version: &str, expected: Option<Reason>, said: &str| {
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let outcome = serve(&format!("{request}{request}"));
        assert_eq!(outcome.end, expected, "{lines:?}");
        assert_eq!(outcome.requests, if expected.is_some() { 1 } else { 2 }, "{lines:?}");
        assert_eq!(outcome.output.contains("\r\nConnection: "), !said.is_empty(), "{lines:?}");
        assert!(outcome.output.contains(said), "{lines:?}");
    };
    close("", "1.1", None, "");
    close("Connection: upgrade, Close\r\n", "1.1", Some(Reason::Asked), "Connection: close");
    close("Connection: closed\r\n", "1.1", None, "");
    close("Connection: keep-alive\r\n", "1.1", None, "");
    close("", "1.0", Some(Reason::Http10), "Connection: close");
    close("Connection: Keep-Alive\r\n", "1.0", None, "Connection: keep-alive");

    let twice = b"GET /close HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let asked = Echo::default().serve(&[twice], false);
    let says_so = |outcome: &Outcome| outcome.output.contains("\r\nConnection: close\r\n");
    assert!(says_so(&asked));
    assert_eq!((asked.end, asked.requests), (Some(Reason::ServiceAsked), 1));
    let draining = Echo { draining: true, ..Echo::default() }.serve(&[&twice[32..]], false);
    assert!(says_so(&draining));
    assert_eq!((draining.end, draining.requests), (Some(Reason::Draining), 1));
    let limited = Echo::with(|limits| limits.requests_per_connection_max = Some(1));
    let limited = limited.serve(&[&twice[32..]], false);
    assert!(says_so(&limited));
    assert_eq!(limited.end, Some(Reason::RequestLimit));
}

#[test]
fn a_panic_is_answered_with_nothing_of_the_half_answer() {
    let outcome = serve("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((outcome.codes(), outcome.end), (vec!["500"], Some(Reason::ServicePanicked)));
    assert!(outcome.output.ends_with("Connection: close\r\n\r\nthe service failed\n"));
    assert!(!outcome.output.contains("X-Half"));
}

#[test]
fn head_is_get_without_the_body() {
    let get = serve("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").output;
    let head = serve("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").output;
    let (get_head, _) = get.split_at(get.find("\r\n\r\n").expect("an empty line") + 4);
    assert_eq!(head, get_head.replace("Content-Length: 10", "Content-Length: 11"));
    let refused = serve("HEAD /a HTTP/1.1\r\nHost: a\r\nA\r\n\r\n");
    assert!(refused.output.ends_with("\r\n\r\n"), "the request line was good, so HEAD is known");
    assert_eq!(refused.answers, ["-: 400 0 Some(Refused(FieldName))"]);
    assert!(serve("POST /empty HTTP/1.1\r\nHost: a\r\n\r\n").output.ends_with("GMT\r\n\r\n"));
}

#[test]
fn a_waiting_peer_is_told_to_go_on_only_if_its_body_is_wanted() {
    let head = |path: &str, more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{more}\r\n")
    };
    let serve = |head: &str, pieces: [&str; 2]| {
        let first = format!("{head}{}", pieces[0]);
        let outcome = Echo::default().serve(&[first.as_bytes(), pieces[1].as_bytes()], false);
        (outcome.codes().join(" "), outcome.end)
    };
    let (length, chunks) = ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n");
    for path in ["/collect", "/discard"] {
        assert_eq!(serve(&head(path, length), ["ab", ""]), ("200".into(), None));
        assert_eq!(serve(&head(path, chunks), ["0\r\n\r\n", ""]), ("200".into(), None));
        assert_eq!(serve(&head(path, ""), ["", ""]), ("200".into(), None));
        assert_eq!(serve(&head(path, "Content-Length: 0\r\n"), ["", ""]), ("200".into(), None));
    }
    assert_eq!(serve(&head("/", length), ["", "ab"]), ("100 200".into(), None));
    assert_eq!(serve(&head("/", chunks), ["", "1\r\na\r\n0\r\n\r\n"]), ("100 200".into(), None));
    assert_eq!(serve(&head("/", length), ["a", "b"]), ("200".into(), None));
    assert_eq!(
        serve(&head("/discard", length), ["", "ab"]),
        ("200".into(), Some(Reason::UnreadBody))
    );
    assert_eq!(
        serve(&head("/discard", length), ["a", "b"]),
        ("200".into(), Some(Reason::UnreadBody))
    );
    let too_long = Some(Reason::Refused(Error::BodyTooLong));
    assert_eq!(
        serve(&head("/", "Content-Length: 9999999\r\n"), ["", ""]),
        ("413".into(), too_long)
    );
    let old = head("/", "Content-Length: 2\r\n").replace("1.1", "1.0");
    assert_eq!(serve(&old, ["", "ab"]), ("200".into(), Some(Reason::Http10)));
}

#[test]
fn a_service_may_refuse_a_body_or_take_a_short_one_only() {
    let post =
        |path: &str, fields: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let outcome = |input: String| {
        let outcome = serve(&input);
        (outcome.codes().join(" "), outcome.end)
    };
    let ok = |reason| ("200".to_owned(), reason);
    let unread = Some(Reason::UnreadBody);
    // Nothing of the body is here, or all of it; nothing is read as a request after it.
    let length = post("/refuse", "Content-Length: 9\r\n");
    assert_eq!(outcome(length.clone()), ok(unread));
    assert_eq!(outcome(length + "GET / HTTP"), ok(unread));
    assert_eq!(outcome(post("/refuse", "Transfer-Encoding: chunked\r\n")), ok(unread));
    let waits = post("/refuse", "Content-Length: 9\r\nExpect: 100-continue\r\n");
    assert_eq!(outcome(waits), ok(unread), "no 100");
    // Without a body there is nothing to refuse.
    assert_eq!(outcome(post("/refuse", "")), ok(None));

    assert_eq!(outcome(post("/small", "Content-Length: 3\r\n") + "abc"), ok(None));
    let refused = || ("413".to_owned(), Some(Reason::Refused(Error::BodyTooLong)));
    assert_eq!(outcome(post("/small", "Content-Length: 4\r\n")), refused());
    let waits = post("/small", "Content-Length: 4\r\nExpect: 100-continue\r\n");
    assert_eq!(outcome(waits), refused());
    let chunked = post("/small", "Transfer-Encoding: chunked\r\n");
    assert_eq!(outcome(chunked.clone() + "3\r\nabc\r\n0\r\n\r\n"), ok(None));
    assert_eq!(outcome(chunked + "3\r\nabc\r\n1\r\n"), refused());
}

#[test]
fn the_end_of_input_is_no_close_of_the_answer() {
    let finish = |input: &str| {
        let outcome = Echo::default().serve(&[input.as_bytes()], true);
        (outcome.requests, outcome.end, outcome.output.contains("close"))
    };
    let in_request = Some(Reason::PeerFinishedInRequest);
    assert_eq!(finish(""), (0, Some(Reason::PeerFinished), false));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(finish(request), (1, Some(Reason::PeerFinished), false));
    assert_eq!(finish(&format!("{request}G")), (1, in_request, false));
    for empty_line in ["\r", "\r\n"] {
        let outcome = finish(&format!("{request}{empty_line}"));
        assert_eq!(outcome, (1, Some(Reason::PeerFinished), false));
    }
    assert_eq!(finish(&format!("{request}\r\nG")), (1, in_request, false));
    assert_eq!(
        finish("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"),
        (0, in_request, false)
    );
}

#[test]
fn what_is_wanted_tells_the_driver_which_timeout_applies() {
    let (mut echo, mut exchange, mut output) = (Echo::default(), Exchange::new(), Vec::new());
    let mut want_after =
        |mut input: &[u8]| echo.advance(&mut exchange, &mut input, false, &mut output);
    assert_eq!(want_after(b""), Want::Request);
    assert_eq!(want_after(b"\r"), Want::Request);
    assert_eq!(want_after(b"\n"), Want::Request);
    assert_eq!(want_after(b"P"), Want::Head);
    assert_eq!(want_after(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"), Want::Body);
    assert_eq!(want_after(b"c"), Want::Request);
    assert_eq!(want_after(b"\0"), Want::Close(Reason::Refused(Error::Method)));
}

#[test]
fn a_request_at_a_time() {
    let (mut exchange, limits) = (Exchange::new(), Limits::default());
    let requests = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let mut input = &requests[..];
    for left in [2, 1, 0] {
        let mut room = Room::new(None);
        let found = exchange.next(&mut input, false, &limits, &mut room);
        assert!(matches!(found, Found::Request(asked) if asked.request().path() == "/a"));
        assert_eq!(input.len(), left * requests.len() / 3);
    }
    assert_eq!(exchange.requests(), 3);
}

/// An expectation in vain is wrong with the request alone, where that has no body.
#[test]
fn an_unknown_expectation_costs_the_connection_only_where_a_body_follows() {
    let ask = |more: &str| {
        let requests = format!("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n{more}\r\n{LAST}");
        let outcome = Echo::default().serve(&[requests.as_bytes()], false);
        (outcome.codes().join(" "), outcome.end)
    };
    let refused = Some(Reason::Refused(Error::Expectation));
    let asked = Some(Reason::Asked);
    assert_eq!(ask(""), ("417 200".into(), asked));
    assert_eq!(ask("Content-Length: 0\r\n"), ("417 200".into(), asked));
    assert_eq!(ask("Connection: close\r\n"), ("417".into(), asked));
    assert_eq!(ask("Content-Length: 1\r\n"), ("417".into(), refused));
    assert_eq!(ask("Transfer-Encoding: chunked\r\n"), ("417".into(), refused));
}

const LAST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// RFC 9110 section 9.3.2: not even where all that is known of the request is its method.
#[test]
fn an_answer_to_head_has_no_content_whatever_is_wrong() {
    let of = |input: &str| {
        let outcome = Echo::default().serve(&[input.as_bytes()], false);
        let (head, content) = outcome.output.split_once("\r\n\r\n").expect("an answer");
        assert!(!head.contains("Content-Length: 0"), "{head}");
        (head[9..12].to_owned(), content.len())
    };
    let long = "x".repeat(9000);
    let fields = "A: b\r\n".repeat(200);
    for (rest, code) in [
        (" / HTTP/2.0\r\n".into(), "505"),
        (" * HTTP/1.1\r\n".into(), "400"),
        (" ftp://h/ HTTP/1.1\r\n".into(), "400"),
        (" /a#b HTTP/1.1\r\n".into(), "400"),
        (" / b HTTP/1.1\r\n".into(), "400"),
        ("  / HTTP/1.1\r\n".into(), "400"),
        (" /\n".into(), "400"),
        (" /\rx".into(), "400"),
        ("\t/ HTTP/1.1\r\n".into(), "400"),
        ("\r\n".into(), "400"),
        (format!(" /{long} HTTP/1.1\r\n"), "414"),
        (" / HTTP/1.1\r\n\r\n".into(), "400"),
        (" / HTTP/1.1\r\nHost : a\r\n\r\n".into(), "400"),
        (" / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n".into(), "400"),
        (format!(" / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), "431"),
        (" / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n".into(), "417"),
        (" / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n".into(), "413"),
        (" / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx".into(), "400"),
        (" / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n".into(), "501"),
    ] {
        let (found, content_bytes) = of(&format!("HEAD{rest}"));
        assert_eq!((&*found, content_bytes), (code, 0), "HEAD{}", rest.escape_debug());
        let (found, content_bytes) = of(&format!("GET{rest}"));
        assert!(found == code && content_bytes > 0, "GET{}", rest.escape_debug());
    }
}

#[test]
fn a_timeout_is_answered_once() {
    let check = |input: &[u8], error, expected: &str, has_body| {
        let (mut echo, mut exchange, mut output) = (Echo::default(), Exchange::new(), Vec::new());
        let mut rest = input;
        let _ = echo.advance(&mut exchange, &mut rest, false, &mut output);
        let (mut room, terms) = (Room::new(Some(&CALLER)), echo.terms());
        let found = exchange.time_is_up(error, &mut room);
        let Found::Wrong(wrong) = found else { panic!("{found:?}") };
        let answer = exchange.refuse(&wrong, &mut Response::new(), &terms, &mut output);
        echo.answered(wrong.request(), &answer);
        let mut room = Room::new(None);
        let found = exchange.time_is_up(error, &mut room);
        assert!(matches!(found, Found::Nothing(Want::Close(Reason::Refused(_)))), "{found:?}");
        assert_eq!(echo.answers, [expected]);
        assert_eq!(output.ends_with(b"in time\n"), has_body);
    };
    let head = Error::HeadTimeout;
    check(b"GET / HT", head, "-: 408 27 Some(Refused(HeadTimeout))", true);
    check(b"HEAD / HTTP/1.1\r\nA", head, "-: 408 0 Some(Refused(HeadTimeout))", false);
    let body = b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab";
    check(body, Error::BodyTimeout, "PUT /b 2: 408 27 Some(Refused(BodyTimeout))", true);
}

#[test]
fn an_answer_that_comes_later_is_in_its_place() {
    let outcome = serve(
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /later HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!((outcome.end, outcome.requests), (None, 3));
    let bodies: Vec<&str> = outcome.output.split("\r\n\r\n").skip(1).collect();
    assert!(bodies[0].starts_with("GET /a []\n") && bodies[1].starts_with("later 0\n"));
    let expected = ["GET /a 1: 200 10 None", "GET /later 1: 200 8 None", "GET /b 1: 200 10 None"];
    assert_eq!(outcome.answers, expected);
}

#[test]
fn pieces_are_chunks_and_the_connection_goes_on() {
    let outcome = serve("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n4\r\none \r\n12\r\nand another piece\n\r\n0\r\n\r\n";
    assert_eq!((outcome.output.as_str(), outcome.end), (expected, None));
    assert_eq!(outcome.answers, ["GET /pieces 1: 200 22 None"]);
}

#[test]
fn pieces_for_http_1_0_end_with_the_connection() {
    let outcome = serve("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        Connection: close\r\n\r\none and another piece\n";
    assert_eq!((outcome.output.as_str(), outcome.end), (expected, Some(Reason::CloseDelimited)));
}

#[test]
fn head_of_pieces_has_their_fields_and_no_body() {
    let outcome = serve("HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(outcome.output.contains("Transfer-Encoding: chunked\r\n"));
    assert!(outcome.output.ends_with("\r\n\r\n"));
    assert_eq!(outcome.answers, ["HEAD /pieces 1: 200 0 None"]);
}

#[test]
fn a_broken_answer_has_no_last_chunk() {
    let outcome = serve("GET /broken HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(outcome.output.ends_with("\r\n\r\n4\r\nhalf\r\n"), "{}", outcome.output);
    assert_eq!(outcome.end, Some(Reason::ServicePanicked));
    assert_eq!(outcome.answers, ["GET /broken 1: 200 4 Some(ServicePanicked)"]);
}
