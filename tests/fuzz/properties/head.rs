//! The head of a request.

use helloop::http::{Reason, Version};

use super::naive::{self, Stop};
use super::{BeginsWith, Property, choice, cuts, drive, lenient};
use drive::{Setup, run};

pub(super) const PROPERTY: Property =
    Property { name: "head", hold, seed, begins_with: BeginsWith::Requests };

/// Bit 1 of the first byte: small limits. The rest is what a client sends.
fn hold(data: &[u8]) {
    let (bits, input) = choice(data);
    let setup = Setup::of(bits & 1);
    let whole = run(input, &[], &setup);
    let is_refused = whole.heads.is_empty() && matches!(whole.end, Some(Reason::Refused(_)));
    match naive::request_head(input, &setup.limits) {
        Ok(head) => {
            let Some(seen) = whole.heads.first() else { panic!("refused: {:?}", whole.end) };
            let version = if head.line.minor == 0 { Version::Http10 } else { Version::Http11 };
            let naive::Line { method, target, .. } = head.line;
            let expected = drive::Head { method, target, version, fields: head.fields };
            assert_eq!(*seen, expected);
            check_lenient(input, seen, head.bytes);
        }
        Err(Stop::Wrong(why)) => assert!(is_refused, "taken, but wrong: {why}"),
        Err(Stop::Incomplete) if is_refused => {
            for ending in ENDINGS {
                let longer = [input, ending].concat();
                let longer = naive::request_head(&longer, &setup.limits);
                assert!(longer.is_err(), "refused, but then comes {:?}", ending.escape_ascii());
            }
        }
        Err(Stop::Incomplete) => assert_eq!((whole.heads, whole.end), (vec![], None)),
    }
    let whole = run(input, &[], &setup);
    for cuts in cuts::of(input.len(), bits) {
        let cut = run(input, &cuts, &setup);
        assert_eq!((&cut.heads, cut.end), (&whole.heads, whole.end), "cut at {cuts:?}");
    }
}

/// What may come to the rescue of a head that is not complete.
const ENDINGS: [&[u8]; 10] = [
    b"\r\n\r\n",
    b"\n\r\n",
    b"\n",
    b"\r\n",
    b": x\r\n\r\n",
    b" / HTTP/1.1\r\n\r\n",
    b"/ HTTP/1.1\r\n\r\n",
    b" HTTP/1.1\r\n\r\n",
    b"1\r\n\r\n",
    b"G / HTTP/1.1\r\n\r\n",
];

fn check_lenient(input: &[u8], seen: &drive::Head, head_bytes: usize) {
    let lenient = lenient::request_head(input).expect("what we take, a lenient reader takes");
    assert_eq!(lenient.asks, Some((seen.method.clone(), seen.target.clone())));
    assert_eq!(lenient.fields, seen.fields);
    assert_eq!(lenient.head_bytes, head_bytes);
}

fn seed(sent: &[u8]) -> Vec<u8> {
    [&[0], sent].concat()
}
