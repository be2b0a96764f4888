//! What a server sends, through the client side of an exchange.

use helloop::http::{Reply, ReplyError, ReplyEvent, ReplyHead, Version};
use helloop::limits::ReplyLimits;

use super::naive::{self, Stop};
use super::{BeginsWith, Property, choice, cuts, has, lenient};

pub(super) const PROPERTY: Property =
    Property { name: "reply", hold, seed, begins_with: BeginsWith::Replies };

/// What came of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    head: Option<ReplyHead>,
    body: Vec<u8>,
    end: End,
    /// Bytes of the input.
    consumed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It waits for more.
    Open,
    Complete {
        reusable: bool,
    },
    Wrong(ReplyError),
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    is_head: bool,
    eof: bool,
    limits: ReplyLimits,
}

/// Bits of the first byte: 1 small limits; 2 to HEAD; 4 the end of input. The rest is what a server
/// sends.
fn hold(data: &[u8]) {
    let (bits, input) = choice(data);
    let limits = if has(bits, 1) { small_limits() } else { ReplyLimits::default() };
    let setup = Setup { is_head: has(bits, 2), eof: has(bits, 4), limits };
    let whole = run(input, &[], &setup);
    for cuts in cuts::of(input.len(), bits) {
        check_cut(&whole, run(input, &cuts, &setup), &cuts);
    }
    let naive = naive::reply(input, setup.eof, setup.is_head, &limits);
    match (naive, whole.end) {
        (Ok(expected), End::Complete { reusable }) => {
            check_naive(&whole, &expected);
            let is_last = expected.bytes == input.len() && !setup.eof;
            assert_eq!(reusable, expected.persists && is_last);
            check_lenient(input, &whole, &expected, &setup);
            check_again(&whole);
        }
        (Err(Stop::Wrong(_)), End::Wrong(_)) => {}
        (Err(Stop::Incomplete), End::Open) => assert!(!setup.eof, "nothing more can come"),
        (Err(Stop::Incomplete), End::Wrong(error)) => check_early(input, error, &setup),
        (expected, end) => panic!("{expected:?} expected, {end:?} found"),
    }
}

/// Small limits are reached more often.
fn small_limits() -> ReplyLimits {
    let mut limits = ReplyLimits::default();
    limits.head_bytes_max = 120;
    limits.fields_max = 4;
    limits.interims_max = 2;
    limits.body_bytes_max = 40;
    limits.chunk_overhead_bytes_max = 24;
    limits
}

/// Gives `input` to the reply in pieces that end at `cuts`, and takes every event.
fn run(input: &[u8], cuts: &[usize], setup: &Setup) -> Run {
    let method = if setup.is_head { "HEAD" } else { "GET" };
    let mut reply = Reply::new(method, setup.limits).expect("a method");
    let mut run = Run { head: None, body: Vec::new(), end: End::Open, consumed: 0 };
    let pieces = cuts.iter().map(|cut| (*cut, false)).chain([(input.len(), setup.eof)]);
    for (to, eof) in pieces {
        advance(&mut reply, &input[..to], eof, &mut run, setup);
        if run.end != End::Open {
            return run;
        }
    }
    run
}

/// Until it wants to read, or is over.
fn advance(reply: &mut Reply, so_far: &[u8], eof: bool, run: &mut Run, setup: &Setup) {
    let mut rest = &so_far[run.consumed..];
    loop {
        let before = rest;
        let event = reply.advance(&mut rest, eof);
        assert!(before.ends_with(rest), "what is left is not the end of what was given");
        run.consumed += before.len() - rest.len();
        match event {
            Ok(ReplyEvent::Read) => {
                assert!(!eof, "nothing more can be read");
                assert!(rest.len() < setup.limits.head_bytes_max, "{} bytes held", rest.len());
                assert!(run.head.is_none() || rest.is_empty(), "it wants more and has some");
                return;
            }
            Ok(ReplyEvent::Head(head)) => {
                assert!(head.iter().count() <= setup.limits.fields_max);
                assert_eq!(run.head.replace(head), None, "one head");
            }
            Ok(ReplyEvent::Data(data)) => {
                assert!(run.head.is_some() && !data.is_empty());
                run.body.extend_from_slice(data);
                assert_eq!(reply.body_bytes(), run.body.len() as u64);
                assert!(reply.body_bytes() <= setup.limits.body_bytes_max);
            }
            Ok(ReplyEvent::End { reusable }) => {
                run.end = End::Complete { reusable };
                return check_end(reply, rest, eof, reusable);
            }
            Err(error) => {
                run.end = End::Wrong(error);
                assert_eq!(reply.advance(&mut rest, eof), Err(error), "it stays wrong");
                return assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// Behind the end: silence is fine, bytes are not, and nothing makes it reusable again.
fn check_end(reply: &Reply, rest: &[u8], eof: bool, reusable: bool) {
    let mut idle = reply.clone();
    if rest.is_empty() {
        let again = idle.advance(&mut &b""[..], eof);
        assert_eq!(again, Ok(ReplyEvent::End { reusable }));
    }
    let surplus = idle.advance(&mut &b"H"[..], eof);
    assert_eq!(surplus, Err(ReplyError::Surplus));
}

/// However it is cut, the same comes of it. A cut just at the end hides what follows.
fn check_cut(whole: &Run, mut cut: Run, cuts: &[usize]) {
    let is_less = cut.end == End::Complete { reusable: true }
        && whole.end == End::Complete { reusable: false };
    if is_less && cuts.contains(&cut.consumed) {
        // Whatever follows, or the end of input, had not come yet.
        cut.end = whole.end;
    }
    assert_eq!(cut, *whole, "cut at {cuts:?}");
}

fn check_naive(whole: &Run, expected: &naive::Reply) {
    let head = whole.head.as_ref().expect("a reply that is complete has a head");
    assert_eq!(head.status(), expected.status);
    assert_eq!(fields(head), expected.fields);
    assert_eq!(whole.body, expected.body);
    assert_eq!(whole.consumed, expected.bytes);
}

fn fields(head: &ReplyHead) -> Vec<(String, Vec<u8>)> {
    head.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

/// A lenient reader understands the same final head, and sees the body end where we do.
fn check_lenient(input: &[u8], whole: &Run, expected: &naive::Reply, setup: &Setup) {
    let head = whole.head.as_ref().expect("a reply that is complete has a head");
    let (mut at, mut message);
    at = 0;
    loop {
        message = lenient::reply_head(&input[at..]).expect("what we take, a lenient reader takes");
        if message.status.is_none_or(|status| status / 100 != 1) {
            break;
        }
        at += message.head_bytes;
    }
    assert_eq!(message.status, Some(expected.status));
    assert_eq!(message.fields, fields(head));
    if setup.is_head || matches!(expected.status, 204 | 304) {
        return assert_eq!(at + message.head_bytes, expected.bytes);
    }
    if !expected.lasts_until_close {
        let (body, bytes) = message.body(&input[at..]).expect("it is as whole to it");
        assert_eq!((&body, at + bytes), (&whole.body, expected.bytes));
    }
}

/// What is wrong before it is complete does not become good, whatever follows.
fn check_early(input: &[u8], error: ReplyError, setup: &Setup) {
    let is_cut = matches!(
        error,
        ReplyError::NoReply
            | ReplyError::HeadTruncated { .. }
            | ReplyError::BodyTruncated { .. }
            | ReplyError::ChunksTruncated { .. }
    );
    if is_cut {
        return assert!(setup.eof, "{error}, but more may come");
    }
    for ending in ENDINGS {
        let longer = [input, ending].concat();
        for eof in [false, true] {
            let longer = naive::reply(&longer, eof, setup.is_head, &setup.limits);
            assert!(longer.is_err(), "{error}, but then comes {:?}", ending.escape_ascii());
        }
    }
}

/// What may come to the rescue of a reply that is not complete.
const ENDINGS: [&[u8]; 10] = [
    b"\r\n\r\n",
    b"\n\r\n",
    b"\n",
    b": x\r\n\r\n",
    b" 200\r\n\r\n",
    b"0\r\n\r\n",
    b"1.1 200\r\n\r\n",
    b"\r\nContent-Length: 0\r\n\r\n",
    b"\n0\r\n\r\n",
    b"\r\n0\r\n\r\n",
];

/// What was understood, written down plainly, is understood again.
fn check_again(whole: &Run) {
    let head = whole.head.as_ref().expect("a reply that is complete has a head");
    let mut text = format!("HTTP/1.1 {:03} x\r\n", head.status()).into_bytes();
    let is_own = |name: &str| {
        let own = ["content-length", "transfer-encoding", "connection"];
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let kept: Vec<_> = fields(head).into_iter().filter(|(name, _)| !is_own(name)).collect();
    for (name, value) in &kept {
        text.extend_from_slice(&[name.as_bytes(), b":\t", value, b" \r\n"].concat());
    }
    text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", whole.body.len()).as_bytes());
    text.extend_from_slice(&whole.body);
    let mut limits = ReplyLimits::default();
    limits.head_bytes_max *= 2;
    if kept.len() == limits.fields_max {
        return;
    }
    let setup = Setup { is_head: false, eof: false, limits };
    let again = run(&text, &[], &setup);
    assert_eq!(again.end, End::Complete { reusable: true });
    let head_again = again.head.as_ref().expect("a reply that is complete has a head");
    assert_eq!((head_again.status(), head_again.version()), (head.status(), Version::Http11));
    assert_eq!(fields(head_again)[..kept.len()], kept);
    assert_eq!(again.body, whole.body);
}

fn seed(sent: &[u8]) -> Vec<u8> {
    [&[0], sent].concat()
}
