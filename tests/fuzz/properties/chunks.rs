//! Chunked bodies, in requests and in replies.

use helloop::http::{Error, Reason, Reply, ReplyError, ReplyEvent};
use helloop::limits::ReplyLimits;

use super::naive::{self, ChunkLimits, Stop};
use super::{BeginsWith, Property, choice, cuts, drive, lenient};
use drive::{Setup, run};

pub(super) const PROPERTY: Property =
    Property { name: "chunks", hold, seed, begins_with: BeginsWith::Requests };

const REQUEST: &[u8] =
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What a decoder makes of the chunks.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The content, and the length of the body.
    Whole(Vec<u8>, usize),
    Incomplete,
    Wrong(Error),
}

/// Bit 1 of the first byte: small limits. The rest is what follows a head.
fn hold(data: &[u8]) {
    let (bits, input) = choice(data);
    let mut setup = Setup::of(bits & 1);
    setup.limits.head_bytes_max = setup.limits.head_bytes_max.max(REQUEST.len());
    let limits = ChunkLimits {
        body_bytes_max: setup.limits.body_bytes_max,
        overhead_bytes_max: setup.limits.chunk_overhead_bytes_max,
        trailers_max: setup.limits.fields_max,
        is_strict: true,
    };
    let (lenient, content) = of_reply(input, &[], limits);
    let outcome = of_request(input, &[], &setup);
    let is_called_otherwise =
        lenient == Outcome::Wrong(Error::BareLf) && matches!(outcome, Outcome::Wrong(_));
    if matches!(outcome, Outcome::Wrong(Error::ChunkExtension | Error::Trailer)) {
        let limits = ChunkLimits { is_strict: false, ..limits };
        let naive = naive::chunks(input, limits);
        assert!(agrees(&naive, &lenient), "{naive:?} expected of a reply, {lenient:?} found");
    } else if !is_called_otherwise {
        assert_eq!(outcome, lenient, "in a request and in a reply");
    }
    for cuts in cuts::of(input.len(), bits) {
        assert_eq!(of_request(input, &cuts, &setup), outcome, "cut at {cuts:?}");
        let cut = of_reply(input, &cuts, limits);
        assert_eq!((&cut.0, &cut.1), (&lenient, &content), "cut at {cuts:?}");
    }
    match (naive::chunks(input, limits), outcome) {
        (Ok((content, bytes)), outcome) => {
            assert_eq!(outcome, Outcome::Whole(content.clone(), bytes));
            assert_eq!(lenient::chunks(input), Some((content.clone(), bytes)));
            check_again(&content, &setup);
        }
        (Err(Stop::Wrong(_)), Outcome::Wrong(_)) => {}
        (Err(Stop::Incomplete), Outcome::Incomplete) => {}
        (Err(Stop::Incomplete), Outcome::Wrong(error)) => {
            for ending in ENDINGS {
                let longer = naive::chunks(&[input, ending].concat(), limits);
                assert!(longer.is_err(), "{error}, but then comes {:?}", ending.escape_ascii());
            }
        }
        (expected, found) => panic!("{expected:?} expected, {found:?} found"),
    }
}

/// As far as both tell: a body that is not complete may be refused early.
fn agrees(naive: &Result<(Vec<u8>, usize), Stop>, found: &Outcome) -> bool {
    match (naive, found) {
        (Ok((content, bytes)), Outcome::Whole(found, found_bytes)) => {
            (content, bytes) == (found, found_bytes)
        }
        (Err(Stop::Wrong(_)), Outcome::Wrong(_)) => true,
        (Err(Stop::Incomplete), Outcome::Incomplete | Outcome::Wrong(_)) => true,
        _ => false,
    }
}

/// What may come to the rescue of a body that is not complete.
const ENDINGS: [&[u8]; 8] = [
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\n\r\n",
    b"0\r\n\r\n",
    b"\n0\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b":\r\n\r\n",
];

fn of_request(input: &[u8], cuts: &[usize], setup: &Setup) -> Outcome {
    let cuts: Vec<usize> = cuts.iter().map(|cut| REQUEST.len() + cut).collect();
    let mut run = run(&[REQUEST, input].concat(), &cuts, setup);
    match run.end {
        None => Outcome::Incomplete,
        Some(Reason::Refused(error)) => Outcome::Wrong(error),
        Some(Reason::Asked) => {
            let request = run.requests.pop().expect("the service was asked");
            Outcome::Whole(request.body, run.consumed - REQUEST.len())
        }
        Some(reason) => panic!("{reason}"),
    }
}

/// The content too, as far as it came.
fn of_reply(input: &[u8], cuts: &[usize], limits: ChunkLimits) -> (Outcome, Vec<u8>) {
    let mut reply_limits = ReplyLimits::default();
    reply_limits.body_bytes_max = limits.body_bytes_max;
    reply_limits.chunk_overhead_bytes_max = limits.overhead_bytes_max;
    reply_limits.fields_max = limits.trailers_max;
    let mut reply = Reply::new("GET", reply_limits).expect("a method");
    let head = reply.advance(&mut &REPLY[..], false);
    assert!(matches!(head, Ok(ReplyEvent::Head(_))));
    let (mut content, mut from) = (Vec::new(), 0);
    for to in cuts.iter().copied().chain([input.len()]) {
        let mut rest = &input[from..to];
        from = to;
        loop {
            match reply.advance(&mut rest, false) {
                Ok(ReplyEvent::Data(data)) => content.extend_from_slice(data),
                Ok(ReplyEvent::Read) => break,
                Ok(ReplyEvent::End { reusable }) => {
                    assert_eq!(reusable, rest.is_empty());
                    return (Outcome::Whole(content.clone(), to - rest.len()), content);
                }
                Ok(ReplyEvent::Head(_)) => panic!("a second head"),
                Err(ReplyError::Message(error)) => return (Outcome::Wrong(error), content),
                // That it is one is all that a server says.
                Err(ReplyError::ChunkLf) => return (Outcome::Wrong(Error::BareLf), content),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(rest, b"", "it wants more and has some");
    }
    (Outcome::Incomplete, content)
}

/// The same content in chunks of other sizes is the same content.
fn check_again(content: &[u8], setup: &Setup) {
    let mut chunks = Vec::new();
    for chunk in content.chunks(7) {
        chunks.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let expected = Outcome::Whole(content.to_vec(), chunks.len());
    assert_eq!(of_request(&chunks, &[], setup), expected);
}

/// What is behind the first head.
fn seed(sent: &[u8]) -> Vec<u8> {
    let end = sent.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    [&[0], &sent[end..]].concat()
}
