//! A stream of requests, through the server side of a connection.

use helloop::http::{BodyPolicy, Reason, Version};
use helloop::limits::FIELDS_MAX_CEILING;

use super::{BeginsWith, Property, choice, cuts, drive};
use crate::sim::limits;
use drive::{Head, Run, Setup, Understood, check_output, run};

/// The naive reader of whole streams.
#[allow(
    clippy::duplicate_mod,
    reason = "the fuzz targets have these properties, and not those tests"
)]
#[path = "../../it/oracles/reader.rs"]
mod reader;

use reader::Verdict;

pub(super) const PROPERTY: Property =
    Property { name: "exchange", hold, seed, begins_with: BeginsWith::Requests };

/// The first byte: see [`Setup::of`]. The rest is what a client sends.
fn hold(data: &[u8]) {
    let (bits, input) = choice(data);
    let setup = Setup::of(bits);
    let whole = run(input, &[], &setup);
    check_output(&whole);
    let is_expected =
        |head: &Head| head.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("expect"));
    // A service that discards a body does not wait for a peer that waits for 100: then it matters which bytes
    // have arrived.
    if setup.policy == BodyPolicy::Collect || !whole.heads.iter().any(is_expected) {
        for cuts in cuts::of(input.len(), bits) {
            let cut = run(input, &cuts, &setup);
            check_output(&cut);
            assert_eq!(cut, whole, "cut at {cuts:?}");
        }
        check_naive(input, &setup, &whole);
    }
    check_again(&whole);
}

/// A plain reading of the rules understands the same.
fn check_naive(input: &[u8], setup: &Setup, whole: &Run) {
    let (mut expected, verdict) = reader::read(input, &setup.limits);
    if setup.policy == BodyPolicy::Discard {
        expected.iter_mut().for_each(|request| request.body.clear());
    }
    let is_refused = matches!(whole.end, Some(Reason::Refused(_)));
    match (whole.end, verdict) {
        (_, Verdict::Unknown) => return,
        // Ends that the input alone does not tell of.
        (
            Some(
                Reason::RequestLimit
                | Reason::ServiceAsked
                | Reason::ServicePanicked
                | Reason::CloseDelimited,
            ),
            _,
        ) => return assert!(expected.starts_with(&whole.requests), "{expected:?}"),
        (_, Verdict::Wrong(why)) => assert!(is_refused, "taken, but wrong: {why}"),
        (Some(Reason::Refused(error)), Verdict::Incomplete) => {
            for ending in ENDINGS {
                let (longer, _) = reader::read(&[input, ending].concat(), &setup.limits);
                let is_better = longer.len() > expected.len();
                assert!(!is_better, "{error}, but then comes {:?}", ending.escape_ascii());
            }
        }
        (end, Verdict::Incomplete) => {
            let is_cut = matches!(end, Some(Reason::PeerFinished | Reason::PeerFinishedInRequest));
            assert_eq!(is_cut, setup.eof, "{end:?}");
        }
        (end, Verdict::Closed) => assert!(matches!(end, Some(Reason::Asked | Reason::Http10))),
    }
    assert_eq!(whole.requests, expected);
}

/// What may come to the rescue of a request that is not complete.
const ENDINGS: [&[u8]; 9] = [
    b"\r\n\r\n",
    b"\n\r\n",
    b"\n",
    b"\r\nHost: x\r\n\r\n",
    b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b": x\r\nHost: x\r\n\r\n",
    b"\r\n0\r\n\r\n",
    b"0\r\n\r\n",
];

/// What was understood, written down plainly, is understood again, with its body as it is or in
/// chunks.
fn check_again(whole: &Run) {
    // Heads of requests that were refused are left out; those of the others come in order.
    let mut heads = whole.heads.iter();
    for request in &whole.requests {
        let is_its =
            |head: &&Head| (&head.method, &head.target) == (&request.method, &request.target);
        let head = heads.find(is_its).expect("every request has a head");
        for is_chunked in [false, true] {
            let input = plain(head, &request.body, is_chunked);
            // There may be a field or two more than there were.
            let limits = limits(|limits| limits.fields_max = FIELDS_MAX_CEILING);
            let setup = Setup { limits, ..Setup::of(0) };
            let again = run(&input, &[], &setup);
            assert_eq!(again.requests, std::slice::from_ref(request), "{}", input.escape_ascii());
            assert_eq!(again.consumed, input.len());
        }
    }
}

fn plain(head: &Head, body: &[u8], is_chunked: bool) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target).into_bytes();
    let is_own = |name: &str| {
        let own = ["content-length", "transfer-encoding", "connection", "expect"];
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut has_host = false;
    for (name, value) in head.fields.iter().filter(|(name, _)| !is_own(name)) {
        has_host |= name.eq_ignore_ascii_case("host");
        text.extend_from_slice(&[name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    if !has_host {
        assert_eq!(head.version, Version::Http10, "HTTP/1.1 without Host");
        text.extend_from_slice(b"Host:\r\n");
    }
    if is_chunked {
        text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        if !body.is_empty() {
            text.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            text.extend_from_slice(&[body, b"\r\n"].concat());
        }
        text.extend_from_slice(b"0\r\n\r\n");
    } else {
        text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        text.extend_from_slice(body);
    }
    text
}

fn seed(sent: &[u8]) -> Vec<u8> {
    [&[0], sent].concat()
}
