//! Ids of requests: a word that stands nowhere else, so that it is found in an answer, or in the log of a server.
//!
//! `drill3fa2-p417r` is the 417th request of the drill `3fa2`: a POST that was sent again.

use std::collections::BTreeMap;

use memchr::memmem::{find, find_iter};

use super::habit::Method;

/// Requests of one drill whose ids are looked for in a log; those beyond are not.
const TRACKED_MAX: usize = 16_000_000;

/// Makes ids, and finds them.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// `drill3fa2-`
    prefix: String,
}

/// How often the requests of one drill stand in a log.
#[derive(Debug)]
pub(super) struct Processed {
    prefix: String,
    /// By number; at most 255. Repeats are counted in `repeats`.
    times: Vec<u8>,
    repeats: BTreeMap<u64, u8>,
    /// The numbers of the POSTs that stand there more than once, in the order in which that was found.
    posts_twice: Vec<u64>,
}

impl Ids {
    pub(super) fn new(tag: u16) -> Ids {
        Ids { prefix: format!("drill{tag:04x}-") }
    }

    pub(super) fn id(&self, method: Method, number: u64, is_repeat: bool) -> String {
        let repeat = if is_repeat { "r" } else { "" };
        format!("{}{}{number}{repeat}", self.prefix, method.letter())
    }

    pub(super) fn processed(&self) -> Processed {
        Processed {
            prefix: self.prefix.clone(),
            times: Vec::new(),
            repeats: BTreeMap::new(),
            posts_twice: Vec::new(),
        }
    }
}

/// Whether `body` has this id in it, and not only the beginning of a longer one.
pub(super) fn has_id(body: &[u8], id: &str) -> bool {
    let ends = |at: usize| body.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    find_iter(body, id).any(|at| ends(at + id.len()))
}

impl Processed {
    /// Looks through one line of a log: a request counts once for each line it stands in.
    pub(super) fn line(&mut self, line: &[u8]) {
        let prefix = self.prefix.clone();
        let Some(at) = find(line, prefix.as_bytes()) else { return };
        let rest = &line[at + prefix.len()..];
        let Some((letter, digits)) = rest.split_first() else { return };
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = str::from_utf8(&digits[..length]).ok().and_then(|text| text.parse().ok());
        let Some(number) = number.filter(|number| *number < TRACKED_MAX as u64) else { return };
        if digits.get(length) == Some(&b'r') {
            let times = self.repeats.entry(number).or_default();
            *times = times.saturating_add(1);
            return;
        }
        let place = usize::try_from(number).expect("it is below the bound");
        if place >= self.times.len() {
            self.times.resize(place + 1, 0);
        }
        self.times[place] = self.times[place].saturating_add(1);
        if *letter == b'p' && self.times[place] == 2 {
            self.posts_twice.push(number);
        }
    }

    /// Whether the request was processed; of a repeated one, the second time.
    pub(super) fn has(&self, number: u64, is_repeat: bool) -> bool {
        match is_repeat {
            true => self.repeats.contains_key(&number),
            false => usize::try_from(number)
                .is_ok_and(|place| self.times.get(place).is_some_and(|times| *times > 0)),
        }
    }

    /// Whether none of the drill's requests was found: it is another log.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.repeats.is_empty()
    }

    pub(super) fn posts_twice(&self) -> &[u64] {
        &self.posts_twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_whole() {
        let ids = Ids::new(0x3fa2);
        let id = ids.id(Method::Get, 41, false);
        assert_eq!(id, "drill3fa2-g41");
        assert!(has_id(b"Hello, drill3fa2-g41!\n", &id));
        assert!(has_id(b"drill3fa2-g417 drill3fa2-g41", &id));
        assert!(!has_id(b"Hello, drill3fa2-g417!", &id));
        assert!(!has_id(b"Hello, drill3fa2-g41r!", &id));
        assert!(!has_id(b"", &id));
    }

    #[test]
    fn a_log_tells_what_was_processed_and_how_often() {
        let ids = Ids::new(7);
        let mut processed = ids.processed();
        assert!(processed.is_empty());
        for line in [
            "\"GET /drill0007-g1 HTTP/1.1\" 200",
            "\"POST /drill0007-p2 HTTP/1.1\" 200",
            "\"POST /drill0007-p2 HTTP/1.1\" 200",
            "\"POST /drill0007-p2 HTTP/1.1\" 200",
            "\"GET /drill0007-g3r HTTP/1.1\" 200",
            "\"GET /drill0007-g1 HTTP/1.1\" 200",
            "GET /drill0008-g4",
            "drill0007-",
            "drill0007-g",
            "drill0007-p99999999999999999999999",
            "drill0007-p16000000",
        ] {
            processed.line(line.as_bytes());
        }
        assert_eq!(processed.posts_twice(), [2], "a GET may be sent twice");
        assert!(processed.has(1, false) && processed.has(2, false) && !processed.has(3, false));
        assert!(processed.has(3, true) && !processed.has(1, true));
        assert!(!processed.has(4, false) && !processed.has(u64::MAX, false));
    }
}
