//! What is asked, what must be answered, and the check of every byte.

use std::cell::RefCell;
use std::ops::Range;

use httparse::Status;

/// Answers longer than this are wrong.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What every server must say about its body.
const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Requests and their answers.
#[derive(Debug)]
pub(crate) struct Script {
    lines: Vec<Line>,
}

/// One request, and what must come back.
#[derive(Debug)]
struct Line {
    request: Vec<u8>,
    body: Vec<u8>,
    /// The last answer that was taken apart and found right.
    seen: RefCell<Option<Seen>>,
}

/// An answer that was found right: one that differs in nothing but the date is right, too.
#[derive(Debug)]
struct Seen {
    bytes: Vec<u8>,
    /// Where the value of `Date` is; empty if there is none.
    date: Range<usize>,
}

/// What [`Script::check`] found at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The right answer, so many bytes long.
    Right(usize),
    /// Right so far.
    Partial,
    /// Something else, and what.
    Wrong(String),
}

impl Script {
    /// Asks for the greeting of each of `names`; `close`: on a connection of its own.
    pub(crate) fn new(host: &str, names: &[String], close: bool) -> Script {
        let last = if close { "Connection: close\r\n" } else { "" };
        let line = |name: &String| Line {
            request: format!("GET /{name} HTTP/1.1\r\nHost: {host}\r\n{last}\r\n").into_bytes(),
            body: format!("Hello, {name}!\n").into_bytes(),
            seen: RefCell::new(None),
        };
        Script { lines: names.iter().map(line).collect() }
    }

    /// The number of different requests.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The bytes of request `index`.
    pub(crate) fn request(&self, index: usize) -> &[u8] {
        &self.lines[index].request
    }

    /// Compares the beginning of `input` with what must be answered to request `index`: every byte
    /// of it.
    pub(crate) fn check(&self, index: usize, input: &[u8]) -> Checked {
        let line = &self.lines[index];
        let mut seen = line.seen.borrow_mut();
        if let Some(seen) = &*seen
            && seen.matches(input)
        {
            return Checked::Right(seen.bytes.len());
        }
        match take_apart(input, &line.body) {
            Ok(Some(found)) => {
                let length = found.bytes.len();
                *seen = Some(found);
                Checked::Right(length)
            }
            Ok(None) if input.len() > ANSWER_BYTES_MAX => Checked::Wrong("it has no end".into()),
            Ok(None) => Checked::Partial,
            Err(reason) => Checked::Wrong(format!("{reason}: {}", excerpt(input))),
        }
    }
}

impl Seen {
    fn matches(&self, input: &[u8]) -> bool {
        let Some(input) = input.get(..self.bytes.len()) else { return false };
        input[..self.date.start] == self.bytes[..self.date.start]
            && input[self.date.end..] == self.bytes[self.date.end..]
    }
}

/// The slow and strict way: `None` if the answer is not complete.
fn take_apart(input: &[u8], body: &[u8]) -> Result<Option<Seen>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let head = match response.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no HTTP ({error})")),
    };
    if (response.version, response.code) != (Some(1), Some(200)) {
        return Err("not HTTP/1.1 200".into());
    }
    let field = |name: &str| {
        let mut found =
            response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(field), None) => Ok(Some(field.value)),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(format!("two fields {name}")),
        }
    };
    let content_type = field("content-type")?.unwrap_or_default();
    if !content_type.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) {
        return Err(format!("not {CONTENT_TYPE}"));
    }
    if field("content-length")? != Some(body.len().to_string().as_bytes()) {
        return Err(format!("not Content-Length: {}", body.len()));
    }
    let Some(found) = input.get(head..head + body.len()) else {
        return if body.starts_with(&input[head..]) {
            Ok(None)
        } else {
            Err("a wrong body".into())
        };
    };
    if found != body {
        return Err("a wrong body".into());
    }
    let date = field("date")?.map_or(head..head, |value| {
        let start = value.as_ptr().addr() - input.as_ptr().addr();
        start..start + value.len()
    });
    Ok(Some(Seen { bytes: input[..head + body.len()].to_vec(), date }))
}

/// The beginning of `input`, for people.
fn excerpt(input: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&input[..input.len().min(300)]))
}

/// `count` random names of 1 to 24 letters and digits, the same for the same seed.
pub(crate) fn random_names(count: usize, seed: u64) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut name = || {
        let length = random.usize(1..=24);
        std::iter::repeat_with(|| random.alphanumeric()).take(length).collect()
    };
    std::iter::repeat_with(&mut name).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 10\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHello, A!\n";

    fn script() -> Script {
        Script::new("x", &["A".into()], false)
    }

    fn reason(answer: &str) -> String {
        match script().check(0, answer.as_bytes()) {
            Checked::Wrong(reason) => reason,
            other => panic!("{other:?} for {answer:?}"),
        }
    }

    #[test]
    fn a_right_answer_may_differ_in_its_date_only() {
        let script = script();
        let (two, later) = (ANSWER.repeat(2), ANSWER.replace(":37", ":38"));
        assert_eq!(script.check(0, two.as_bytes()), Checked::Right(ANSWER.len()));
        assert_eq!(script.check(0, later.as_bytes()), Checked::Right(ANSWER.len()));
        assert!(script.lines[0].seen.borrow().as_ref().unwrap().matches(later.as_bytes()));
        for position in (0..ANSWER.len()).filter(|p| !ANSWER[..*p].ends_with("Date: ")) {
            let mut bytes = ANSWER.as_bytes().to_vec();
            bytes[position] ^= 1;
            let in_date = script.lines[0].seen.borrow().as_ref().unwrap().date.contains(&position);
            let is_right = script.lines[0].seen.borrow().as_ref().unwrap().matches(&bytes);
            assert_eq!(is_right, in_date, "byte {position}");
        }
    }

    #[test]
    fn every_beginning_is_partial() {
        for end in 0..ANSWER.len() {
            assert_eq!(script().check(0, &ANSWER.as_bytes()[..end]), Checked::Partial, "{end}");
            let script = script();
            script.check(0, ANSWER.as_bytes());
            assert_eq!(script.check(0, &ANSWER.as_bytes()[..end]), Checked::Partial, "{end}");
        }
    }

    #[test]
    fn wrong_answers_are_told_apart() {
        assert!(reason(&ANSWER.replace("200", "404")).contains("not HTTP/1.1 200"));
        assert!(reason(&ANSWER.replace("1.1", "1.0")).contains("not HTTP/1.1 200"));
        assert!(reason(&ANSWER.replace("plain", "html")).contains("not text/plain"));
        assert!(reason(&ANSWER.replace(": 10", ": 11")).contains("not Content-Length"));
        assert!(reason(&ANSWER.replace("A!", "B!")).contains("a wrong body"));
        assert!(reason(&ANSWER.replace("A!\n", "B")).contains("a wrong body"));
        assert!(reason(&ANSWER.replace("HTTP", "HTTQ")).contains("no HTTP"));
        let twice = ANSWER.replace("Date", "Content-Length: 10\r\nDate");
        assert!(reason(&twice).contains("two fields"));
    }

    #[test]
    fn names_are_the_same_for_the_same_seed() {
        assert_eq!(random_names(9, 7), random_names(9, 7));
        assert_ne!(random_names(9, 7), random_names(9, 8));
        assert!(random_names(999, 1).iter().all(|name| (1..=24).contains(&name.len())));
    }
}
