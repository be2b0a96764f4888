//! Percent-decoding, and the targets in which it is used.

use helloop::http::{DecodeError, Request, decode_segment};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{BeginsWith, Property, choice, naive};

pub(super) const PROPERTY: Property =
    Property { name: "percent", hold, seed, begins_with: BeginsWith::Requests };

/// The first byte chooses the method; the rest is a target, and a segment of one.
fn hold(data: &[u8]) {
    let (number, bytes) = choice(data);
    let text = String::from_utf8_lossy(bytes);
    check_segment(&text);
    let method = ["GET", "OPTIONS", "CONNECT"][usize::from(number % 3)];
    let request = Request::new(method, &text);
    let is_target = naive::is_target(method.as_bytes(), text.as_bytes());
    assert_eq!(request.is_ok(), is_target, "{method} {text:?}: {request:?}");
    if let Ok(request) = request {
        check_parts(&request);
    }
}

fn check_segment(segment: &str) {
    let decoded = decode_segment(segment);
    assert_eq!(decoded.clone().map(String::from), decoded_naively(segment));
    if let Ok(decoded) = decoded {
        let by_crate: Vec<u8> = percent_decode(segment.as_bytes()).collect();
        assert_eq!(decoded.as_bytes(), by_crate);
        let encoded = percent_encode(decoded.as_bytes(), NON_ALPHANUMERIC).to_string();
        assert_eq!(decode_segment(&encoded).as_deref(), Ok(&*decoded));
    }
}

/// One byte after the other.
fn decoded_naively(segment: &str) -> Result<String, DecodeError> {
    let (mut bytes, mut rest) = (Vec::new(), segment.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let mut digit = || {
            let (first, after) = rest.split_first()?;
            rest = after;
            char::from(*first).to_digit(16)
        };
        let (high, low) = (digit(), digit());
        let byte = high.zip(low).ok_or(DecodeError::Percent)?;
        bytes.push(u8::try_from(byte.0 * 16 + byte.1).expect("two digits"));
    }
    let text = String::from_utf8(bytes).map_err(|_| DecodeError::Utf8)?;
    let is_control = |c: char| matches!(u32::from(c), 0..=31 | 127..=159);
    if text.chars().any(is_control) { Err(DecodeError::Control) } else { Ok(text) }
}

/// Path and query are pieces of the target, or what stands for a path that is not there.
fn check_parts(request: &Request<'_>) {
    let (target, path) = (request.target(), request.path());
    let end = match request.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let is_implied = path == "*" || path == "/";
    let end = if target.ends_with(&end) || !is_implied { &end[..] } else { &end[1..] };
    assert!(target.ends_with(end), "{target:?} does not end with {end:?}");
    assert!(!path.contains('?'));
    assert!(matches!(path.chars().next(), None | Some('/' | '*')));
}

/// The target.
fn seed(sent: &[u8]) -> Vec<u8> {
    let mut words = sent.split(|byte| b" \r\n".contains(byte)).filter(|word| !word.is_empty());
    let number = match words.next() {
        Some(b"OPTIONS") => 1,
        Some(b"CONNECT") => 2,
        _ => 0,
    };
    [&[number], words.next().unwrap_or_default()].concat()
}
