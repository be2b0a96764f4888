//! An answer as bytes, and the date that it carries.

use super::framing::Persistence;
use super::{Response, Status};
use httpdate::HttpDate;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The interim answer that lets a waiting peer send its body (RFC 9110 section 15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends `response` to `output`, with the `Date` field `date`; `is_head`: as the answer to HEAD,
/// which is that to GET without its body; `closes`: it is the last of its connection, whatever the
/// `persistence` of its request. Returns the number of body bytes.
///
/// The version is always 1.1, ours, whatever the request's was (RFC 9110 section 6.2).
pub(super) fn encode(
    response: &Response,
    is_head: bool,
    closes: bool,
    persistence: Persistence,
    date: &[u8; 29],
    output: &mut Vec<u8>,
) -> usize {
    let status = response.status;
    let is_usual = status == Status::OK && response.is_text;
    let body = if is_usual || status.allows_body() { &response.body[..] } else { b"" };
    let sent = if is_head { b"" } else { body };
    if is_usual {
        // Most answers. What they have in common is prepared, and appended in one go.
        output.reserve(FIXED_BYTES_MAX + response.fields.len() + sent.len());
        output.extend_from_slice(OK_TEXT);
        let is_plain = !closes && persistence == Persistence::Implied && response.fields.is_empty();
        if let (Ok(bytes @ 10..100), true) = (u8::try_from(body.len()), is_plain) {
            // Greetings, and what else is as short.
            let mut lines = *b"00\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
            (lines[0], lines[1]) = (b'0' + bytes / 10, b'0' + bytes % 10);
            lines[10..39].copy_from_slice(date);
            output.extend_from_slice(&lines);
        } else {
            decimal(body.len() as u64, output);
            output.extend_from_slice(b"\r\n");
            date_line(date, output);
            end(response, closes, persistence, output);
        }
        output.extend_from_slice(sent);
        return sent.len();
    }
    begin(response, sent.len(), output);
    // 204 must not have it, 304 would have to know the length of what it does not send.
    if status.allows_body() || status == Status::RESET_CONTENT {
        output.extend_from_slice(b"Content-Length: ");
        decimal(body.len() as u64, output);
        output.extend_from_slice(b"\r\n");
    }
    date_line(date, output);
    end(response, closes, persistence, output);
    output.extend_from_slice(sent);
    sent.len()
}

/// Appends the head of an answer whose body comes in pieces.
pub(super) fn encode_streamed_head(
    response: &Response,
    is_chunked: bool,
    closes: bool,
    persistence: Persistence,
    date: &[u8; 29],
    output: &mut Vec<u8>,
) {
    begin(response, 0, output);
    if is_chunked {
        output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    date_line(date, output);
    end(response, closes, persistence, output);
}

/// The beginning of an answer with status 200 and a text, up to its length.
const OK_TEXT: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ";

/// Status line and type.
fn begin(response: &Response, sent_bytes: usize, output: &mut Vec<u8>) {
    let fields = response.content_type.len() + response.fields.len();
    output.reserve(FIXED_BYTES_MAX + fields + sent_bytes);
    status_line(response.status, output);
    if !response.status.allows_body() {
        return;
    }
    if response.is_text {
        output.extend_from_slice(TEXT_TYPE);
    } else if !response.content_type.is_empty() {
        output.extend_from_slice(b"Content-Type: ");
        output.extend_from_slice(&response.content_type);
        output.extend_from_slice(b"\r\n");
    }
}

/// The type that [`Response::text`] gives.
const TEXT_TYPE: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";

fn date_line(date: &[u8; 29], output: &mut Vec<u8>) {
    output.extend_from_slice(b"Date: ");
    output.extend_from_slice(date);
    output.extend_from_slice(b"\r\n");
}

/// What follows the date, up to the empty line. HTTP/1.1 goes on without saying so.
fn end(response: &Response, closes: bool, persistence: Persistence, output: &mut Vec<u8>) {
    if !response.fields.is_empty() {
        output.extend_from_slice(&response.fields);
    }
    output.extend_from_slice(match (closes, persistence) {
        (true, _) => b"Connection: close\r\n\r\n",
        (false, Persistence::Echoed) => b"Connection: keep-alive\r\n\r\n",
        (false, _) => b"\r\n",
    });
}

/// At least what an answer has apart from its body and the fields and type of the service.
const FIXED_BYTES_MAX: usize = 192;

fn status_line(status: Status, output: &mut Vec<u8>) {
    if status == Status::OK {
        return output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    output.extend_from_slice(b"HTTP/1.1 ");
    decimal(status.code().into(), output);
    output.push(b' ');
    output.extend_from_slice(status.phrase().as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// Appends `number` without leading zeros.
pub(super) fn decimal(number: u64, output: &mut Vec<u8>) {
    let digit = |number: u64| b'0' + u8::try_from(number).expect("a digit is below 10");
    let mut digits = [0; 20];
    let (mut first, mut left) = (digits.len(), number);
    loop {
        first -= 1;
        digits[first] = digit(left % 10);
        left /= 10;
        if left == 0 {
            return output.extend_from_slice(&digits[first..]);
        }
    }
}

/// The value of the `Date` field as an IMF-fixdate (RFC 9110 section 5.6.7), for the wall clock's
/// second that is under way.
///
/// ```
/// use helloop::http::DateCache;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let mut cache = DateCache::new();
/// let wall = || UNIX_EPOCH + Duration::from_millis(784_111_777_400);
/// assert_eq!(cache.at(5_000, wall), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Debug)]
pub struct DateCache {
    /// Valid for every monotonic time below `until_nanos`.
    text: [u8; 29],
    /// Monotonic time at which the wall clock's second ends; 0 before the first use.
    until_nanos: u64,
}

impl DateCache {
    /// A cache that reads the wall clock at its first use.
    pub const fn new() -> DateCache {
        DateCache { text: *b"Thu, 01 Jan 1970 00:00:00 GMT", until_nanos: 0 }
    }

    /// The field value at the monotonic time `now_nanos` (nanoseconds since anything fixed).
    ///
    /// `wall` is called only when the cached second is over, so that a request costs a comparison.
    /// A wall clock that is set, forwards or back, is noticed by then. Dates that an IMF-fixdate
    /// cannot express are pulled into the years 1970 to 9999.
    pub fn at(&mut self, now_nanos: u64, wall: impl FnOnce() -> SystemTime) -> &[u8; 29] {
        if now_nanos >= self.until_nanos {
            self.read(now_nanos, wall());
        }
        &self.text
    }

    fn read(&mut self, now_nanos: u64, wall: SystemTime) {
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let left_of_second = NANOS_PER_SECOND - u64::from(since_epoch.subsec_nanos());
        self.until_nanos = now_nanos.saturating_add(left_of_second);
        let second = Duration::from_secs(since_epoch.as_secs().min(LAST_SECOND));
        write!(&mut self.text[..], "{}", HttpDate::from(UNIX_EPOCH + second))
            .expect("an IMF-fixdate of the years 1970 to 9999 has 29 bytes");
    }
}

impl Default for DateCache {
    fn default() -> DateCache {
        DateCache::new()
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Fri, 31 Dec 9999 23:59:59 GMT in seconds since 1970: the last that has a four-digit year.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn encoded(
        response: &Response,
        is_head: bool,
        closes: bool,
        persistence: Persistence,
    ) -> String {
        let mut output = Vec::new();
        let sent = encode(response, is_head, closes, persistence, DATE, &mut output);
        let text = String::from_utf8(output).expect("ASCII");
        let (_, body) = text.split_once("\r\n\r\n").expect("an empty line");
        assert_eq!(body.len(), sent);
        text
    }

    #[test]
    fn an_answer_with_everything() {
        let mut response = Response::new();
        response.status(Status::METHOD_NOT_ALLOWED).text("no\n");
        response.header("Allow", "GET, HEAD").expect("a good field");
        let expected = "HTTP/1.1 405 Method Not Allowed\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n";
        assert_eq!(encoded(&response, true, true, Persistence::Implied), expected);
        assert_eq!(encoded(&response, false, true, Persistence::Echoed), format!("{expected}no\n"));
    }

    #[test]
    fn statuses_without_content() {
        let check = |code, expected: &str| {
            let mut response = Response::new();
            response.status(Status::new(code).expect("a final status")).text("dropped");
            let text = encoded(&response, false, false, Persistence::Implied);
            assert_eq!(text, expected.replace("DATE", "Date: Sun, 06 Nov 1994 08:49:37 GMT"));
        };
        check(204, "HTTP/1.1 204 No Content\r\nDATE\r\n\r\n");
        check(205, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nDATE\r\n\r\n");
        check(304, "HTTP/1.1 304 Not Modified\r\nDATE\r\n\r\n");
    }

    #[test]
    fn an_unknown_status_keeps_its_space() {
        let mut response = Response::new();
        response.status(Status::new(299).expect("a final status"));
        let text = encoded(&response, false, false, Persistence::Echoed);
        assert!(text.starts_with("HTTP/1.1 299 \r\nContent-Length: 0\r\n"));
        assert!(text.ends_with("Connection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn decimals() {
        for number in [0, 9, 10, 42, 99, 100, 12_345, u64::MAX] {
            let mut output = Vec::new();
            decimal(number, &mut output);
            assert_eq!(output, number.to_string().as_bytes());
        }
    }

    fn wall(seconds: u64, nanos: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn the_clock_is_read_once_a_second_of_its_own() {
        let mut cache = DateCache::new();
        let begin = cache.at(7, || wall(784_111_777, 400_000_000)).to_owned();
        assert_eq!(&begin, b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.at(600_000_006, || unreachable!()), &begin);
        assert_eq!(
            cache.at(600_000_007, || wall(784_111_778, 0)),
            b"Sun, 06 Nov 1994 08:49:38 GMT"
        );
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        let mut cache = DateCache::new();
        cache.at(0, || wall(784_111_777, 0));
        let later = cache.at(NANOS_PER_SECOND, || wall(784_111_000, 0));
        assert_eq!(later, b"Sun, 06 Nov 1994 08:36:40 GMT");
    }

    #[test]
    fn impossible_clocks_do_not_panic() {
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(DateCache::new().at(u64::MAX, || before), b"Thu, 01 Jan 1970 00:00:00 GMT");
        let after = wall(LAST_SECOND + 1, 0);
        assert_eq!(DateCache::new().at(0, || after), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
