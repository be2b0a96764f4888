//! Random inputs against a naive reader: what the exchange makes of a stream of bytes must be what
//! a plain reading of the rules makes of it, however the stream is cut.
//!
//! The inputs are good requests, spoilt: most are wrong in one place only, which is where parsers
//! disagree. A failure prints its input; `SEED` makes it come again.

use helloop::http::{BodyPolicy, Exchange, Found, Reason, Response, Room, Terms, Want};
use helloop::limits::Limits;

/// Good requests, and ways to spoil them.
mod inputs;
/// The naive reader.
mod reader;

use inputs::random_input;
use reader::Verdict;

const SEED: u64 = 0x6865_6c6c_6f6f_7021;
const ROUNDS: usize = 60_000;

/// A request as far as reader and exchange must agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// Small limits are reached more often.
fn small_limits() -> Limits {
    crate::sim::limits(|limits| {
        limits.body_bytes_max = 40;
        limits.chunk_overhead_bytes_max = 24;
        limits.fields_max = 6;
        limits.request_line_bytes_max = 60;
        limits.head_bytes_max = 160;
    })
}

const TERMS: Terms =
    Terms { date: *b"Thu, 01 Jan 2026 00:00:00 GMT", is_draining: false, requests_max: None };

/// What the exchange makes of `input`, given in pieces that end at `cuts`, and how it ended: `None`
/// if it waits for more.
fn exchanged(input: &[u8], cuts: &[usize]) -> (Vec<Understood>, Option<Reason>) {
    let (limits, mut understood) = (small_limits(), Vec::new());
    let (mut exchange, mut response) = (Exchange::new(), Response::new());
    let (mut output, mut consumed) = (Vec::new(), 0);
    for to in cuts.iter().copied().chain([input.len()]) {
        let mut rest = &input[consumed..to];
        let want = loop {
            let mut room = Room::new(None);
            let mut found = exchange.next(&mut rest, false, &limits, &mut room);
            if let Found::Body(announced) = found {
                let (policy, output) = (BodyPolicy::Collect, &mut output);
                found = exchange.receive(announced, policy, &mut rest, false, &limits, output);
            }
            match found {
                Found::Request(asked) => {
                    let request = asked.request();
                    understood.push(Understood {
                        method: request.method().to_owned(),
                        target: request.target().to_owned(),
                        body: request.body().to_owned(),
                    });
                    response.clear();
                    exchange.answer(asked, &response, &TERMS, &mut output);
                }
                Found::Wrong(wrong) => {
                    exchange.refuse(&wrong, &mut response, &TERMS, &mut output);
                }
                Found::Body(_) => unreachable!("it was received"),
                Found::Nothing(want) => break want,
            }
        };
        consumed = to - rest.len();
        if let Want::Close(reason) = want {
            return (understood, Some(reason));
        }
    }
    (understood, None)
}

fn is_refused(reason: Option<Reason>) -> bool {
    matches!(reason, Some(Reason::Refused(_)))
}

/// Inputs by what came of them, so that none of the kinds is missing.
#[derive(Debug, Default)]
struct Tally {
    understood: usize,
    with_body: usize,
    refused: usize,
    incomplete: usize,
    refused_early: usize,
    unknown: usize,
}

#[test]
fn spoilt_requests_are_understood_as_a_plain_reading_understands_them() {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut tally = Tally::default();
    for round in 0..ROUNDS {
        let input = random_input(&mut random);
        let place = || format!("round {round}: \"{}\"", input.escape_ascii());
        let (expected, verdict) = reader::read(&input, &small_limits());
        let (understood, end) = exchanged(&input, &[]);
        match verdict {
            Verdict::Unknown => {
                tally.unknown += 1;
                continue;
            }
            Verdict::Wrong(why) => {
                assert!(is_refused(end), "{}: {why}, but it is taken ({end:?})", place());
                tally.refused += 1;
            }
            Verdict::Incomplete if is_refused(end) => {
                assert!(is_beyond_repair(&input), "{}: refused too early ({end:?})", place());
                tally.refused_early += 1;
            }
            Verdict::Incomplete => tally.incomplete += 1,
            Verdict::Closed => assert!(end.is_some() && !is_refused(end), "{}", place()),
        }
        assert_eq!(understood, expected, "{}", place());
        tally.understood += understood.len();
        tally.with_body += understood.iter().filter(|request| !request.body.is_empty()).count();
        check_cuts(&input, &mut random, &(understood, end));
    }
    let Tally { understood, with_body, refused, incomplete, refused_early, unknown } = tally;
    let least = ROUNDS / 100;
    let all = [understood, with_body, refused, incomplete, refused_early];
    assert!(all.iter().all(|count| *count > least), "too little of something: {tally:?}");
    assert!(unknown < ROUNDS / 10, "the reader shrugs too often: {tally:?}");
}

/// No continuation that we can think of makes it good.
fn is_beyond_repair(input: &[u8]) -> bool {
    let endings: [&[u8]; 7] = [
        b"\r\n\r\n",
        b"\n\r\n",
        b"\r\nHost: x\r\n\r\n",
        b" / HTTP/1.1\r\nHost: x\r\n\r\n",
        b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b": x\r\nHost: x\r\n\r\n",
        b"\r\n0\r\n\r\n",
    ];
    let (before, _) = reader::read(input, &small_limits());
    endings.iter().all(|ending| {
        let (after, _) = reader::read(&[input, *ending].concat(), &small_limits());
        after.len() == before.len()
    })
}

/// However the input is cut, the same comes of it.
fn check_cuts(input: &[u8], random: &mut fastrand::Rng, whole: &(Vec<Understood>, Option<Reason>)) {
    let (a, b) = (random.usize(0..=input.len()), random.usize(0..=input.len()));
    let cuts = [a.min(b), a.max(b)];
    let shown = || format!("cut at {cuts:?}: \"{}\"", input.escape_ascii());
    assert_eq!(exchanged(input, &cuts), *whole, "{}", shown());
    let every: Vec<usize> = (1..input.len()).collect();
    assert_eq!(exchanged(input, &every), *whole, "byte by byte: \"{}\"", input.escape_ascii());
}

/// Bytes that nobody would call a request: they are refused or wait for more, and nothing panics.
#[test]
fn noise_is_understood_by_nobody() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..20_000 {
        let length = random.usize(0..200);
        let input: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let (understood, end) = exchanged(&input, &[]);
        assert_eq!(understood, []);
        assert_eq!(reader::read(&input, &small_limits()).0, []);
        check_cuts(&input, &mut random, &(understood, end));
    }
}
