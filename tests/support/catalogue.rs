//! The pages of the catalogue, for the tests that run them. The notation is in `README.md` here.

use std::fs;
use std::path::Path;

use crate::text;

/// What becomes of the connection behind the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request is answered.
    Kept,
    /// The next request is not answered, and the connection ends.
    Closed,
    /// The peer half-closes, and the connection ends.
    Cut,
}

/// Bytes of a peer, and what comes of them.
#[derive(Debug)]
pub(crate) struct Case {
    /// Where it stands: page, section, name.
    pub(crate) place: String,
    pub(crate) input: Vec<u8>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) then: Then,
}

/// The request behind the bytes of a case; its answer has the greeting [`AFTER_BODY`].
pub(crate) const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n";

/// The body of the answer to [`AFTER`].
pub(crate) const AFTER_BODY: &[u8] = b"\r\n\r\nHello, after!\n";

/// Every case of every page.
///
/// # Panics
/// Where something is not understood.
pub(crate) fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue");
    let mut pages: Vec<_> = fs::read_dir(directory)
        .expect("the directory of the pages")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !path.ends_with("README.md"))
        .collect();
    pages.sort();
    let cases = pages.iter().flat_map(|page| {
        let text = fs::read_to_string(page).expect("a page can be read");
        let name = page.file_stem().expect("a page has a name").to_string_lossy();
        cases_of(&name, &text)
    });
    cases.collect()
}

fn cases_of(page: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let (title, body) = section.split_once('\n').expect("something below the heading");
        let (reason, block) = body.split_once("```cases\n").expect("a block of cases");
        assert!(!reason.trim().is_empty(), "{page}, {title}: no sentence says why");
        let (block, rest) = block.split_once("```").expect("the block is closed");
        assert!(!rest.contains("```"), "{page}, {title}: a second block");
        let before = cases.len();
        for line in block.lines() {
            match (line.strip_prefix("    "), cases.last_mut()) {
                (Some(bytes), Some(case)) => case.input.extend(text::parse(bytes)),
                _ if line.is_empty() => {}
                _ => cases.push(case(&format!("{page}.md, {title}"), line)),
            }
        }
        assert!(cases.len() > before, "{page}, {title}: no case");
    }
    cases
}

/// `line` is `name: statuses, what then`; the bytes follow.
fn case(place: &str, line: &str) -> Case {
    let (name, verdict) = line.rsplit_once(": ").expect("name: statuses, what then");
    let (statuses, then) = verdict.rsplit_once(", ").expect("name: statuses, what then");
    let statuses = String::from_utf8(text::parse(statuses)).expect("text");
    let status = |word: &str| word.parse().unwrap_or_else(|_| panic!("{word} is no status"));
    Case {
        place: format!("{place}, \"{name}\""),
        input: Vec::new(),
        statuses: match statuses.as_str() {
            "none" => Vec::new(),
            _ => statuses.split(' ').map(status).collect(),
        },
        then: match then {
            "kept" => Then::Kept,
            "closed" => Then::Closed,
            "cut" => Then::Cut,
            _ => panic!("{place}, \"{name}\": {then} is none of kept, closed, cut"),
        },
    }
}

impl Case {
    /// What the peer sends: the bytes, and the request behind them.
    pub(crate) fn sent(&self) -> Vec<u8> {
        let mut sent = self.input.clone();
        if self.then != Then::Cut {
            sent.extend_from_slice(AFTER);
        }
        sent
    }

    /// Whether `answers` are what the page says.
    ///
    /// # Errors
    /// Says what is not.
    pub(crate) fn check(&self, answers: &[u8]) -> Result<(), String> {
        let mut expected = self.statuses.clone();
        expected.extend((self.then == Then::Kept).then_some(200));
        let found = statuses(answers);
        let is_after_answered = answers.ends_with(AFTER_BODY);
        if found == expected && is_after_answered == (self.then == Then::Kept) {
            return Ok(());
        }
        let answers = text::render(answers);
        let Case { place, then, .. } = self;
        Err(format!("{place}: {expected:?}, {then:?} expected, {found:?} found:\n{answers}"))
    }
}

/// The statuses of answers, in order. (No body here has a line that begins like an answer.)
fn statuses(answers: &[u8]) -> Vec<u16> {
    let answers = String::from_utf8_lossy(answers);
    let lines = answers.split('\n').filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    lines.map(|rest| rest[..3].parse().expect("three digits")).collect()
}
