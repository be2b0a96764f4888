//! Where a request ends: the fields that decide it, and the body.

use helloop::http::Reason;

use super::{BeginsWith, Property, choice, drive, has, lenient};
use drive::{Setup, run};

pub(super) const PROPERTY: Property =
    Property { name: "framing", hold, seed, begins_with: BeginsWith::Requests };

/// The first byte: bits as in [`Setup::of`], of which the limits count; bit 2: HTTP/1.0. The rest is
/// what follows the first two lines of a request.
fn hold(data: &[u8]) {
    let (bits, rest) = choice(data);
    let mut setup = Setup::of(bits & 1);
    setup.limits.requests_per_connection_max = Some(1);
    let version = if has(bits, 2) { "1.0" } else { "1.1" };
    let input = [b"POST / HTTP/", version.as_bytes(), b"\r\nHost: x\r\n", rest].concat();
    let run = run(&input, &[], &setup);
    let [request] = &run.requests[..] else {
        assert_eq!(run.requests.len(), 0, "the first is the last");
        return;
    };
    let message = lenient::request_head(&input).expect("what we take, a lenient reader takes");
    let (body, end) = message.body(&input).expect("it is as whole to a lenient reader");
    assert_eq!(request.body.escape_ascii().to_string(), body.escape_ascii().to_string());
    assert_eq!(run.consumed, end, "a lenient reader looks elsewhere for the next request");
    assert_ne!(run.end, None);
    assert!(!matches!(run.end, Some(Reason::Refused(_))), "refused, and yet the service was asked");
}

/// Without the first line and `Host`.
fn seed(sent: &[u8]) -> Vec<u8> {
    let line_end = sent.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    let is_http10 = sent[..line_end].ends_with(b" HTTP/1.0\r\n");
    let rest = &sent[line_end..];
    let rest = match rest.strip_prefix(b"Host: ") {
        Some(after) => {
            let end = after.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
            &after[end..]
        }
        None => rest,
    };
    [&[if is_http10 { 2 } else { 0 }], rest].concat()
}
