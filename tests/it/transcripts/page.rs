//! A page of cases: Markdown with a `##` section for each.
//!
//! A section has a sentence that says why, notes (one a line), a block `in`, and the blocks `out`
//! and `events` that say what must come of it. The notes:
//!
//! - `limits: head_bytes_max=200, fields_max=2` (numbers; the others are the defaults);
//! - `service: echo` (answers with method, target and body; without it, `Greeting` answers);
//! - `eof` (the peer half-closes behind the input);
//! - `silence: 10 s` (nothing more comes for so long);
//! - `cuts: no` (the answer depends on what has arrived: the input is given whole only).

use std::time::Duration;

use helloop::limits::Limits;

use super::Outcome;
use crate::text;

/// Which service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answering {
    Greeting,
    Echo,
    Special,
}

/// One `##` section.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) page: String,
    pub(crate) name: String,
    pub(super) input: Vec<u8>,
    pub(super) limits: Limits,
    pub(super) service: Answering,
    pub(super) eof: bool,
    pub(super) silence: Option<Duration>,
    pub(super) cuts: bool,
    pub(super) expected: Option<Outcome>,
}

impl Case {
    /// Where to find it.
    pub(super) fn place(&self) -> String {
        format!("{}.md, \"{}\"", self.page, self.name)
    }
}

/// Parses a page.
///
/// # Panics
/// Where something is not understood, because a note that does nothing tests nothing.
pub(super) fn cases(page: &str, text: &str) -> Vec<Case> {
    text.split("\n## ").skip(1).map(|section| case(page, section)).collect()
}

fn case(page: &str, section: &str) -> Case {
    let (name, body) = section.split_once('\n').expect("something below the heading");
    let place = format!("{page}.md, \"{name}\"");
    let input = block(body, "in").unwrap_or_else(|| panic!("{place}: no block `in`"));
    let mut case = Case {
        page: page.to_owned(),
        name: name.to_owned(),
        input: text::parse(input),
        limits: Limits::default(),
        service: Answering::Greeting,
        eof: false,
        silence: None,
        cuts: true,
        expected: None,
    };
    let notes = &body[..body.find("```in").expect("there is a block `in`")];
    let mut has_reason = false;
    for line in notes.lines().map(str::trim).filter(|line| !line.is_empty()) {
        has_reason |= !case.note(line);
    }
    assert!(has_reason, "{place}: no sentence says why");
    case.expected = block(body, "out").zip(block(body, "events")).map(|(out, events)| Outcome {
        output: text::parse(out),
        events: events.lines().map(String::from).collect(),
    });
    case
}

impl Case {
    /// Takes a note in; false if it is none.
    fn note(&mut self, line: &str) -> bool {
        match line.split_once(": ") {
            Some(("limits", limits)) => limits.split(", ").for_each(|limit| self.limit(limit)),
            Some(("service", "echo")) => self.service = Answering::Echo,
            Some(("service", "special")) => self.service = Answering::Special,
            Some(("silence", time)) => {
                let seconds = time.strip_suffix(" s").and_then(|number| number.parse().ok());
                self.silence = Some(Duration::from_secs(seconds.expect("silence: 10 s")));
            }
            Some(("cuts", "no")) => self.cuts = false,
            Some((word @ ("service" | "cuts"), value)) => panic!("{word}: {value} is no note"),
            _ if line == "eof" => self.eof = true,
            _ => return false,
        }
        true
    }

    fn limit(&mut self, limit: &str) {
        let (name, number) = limit.split_once('=').expect("limits: name=number");
        let number: usize = number.parse().expect("limits: name=number");
        let limits = &mut self.limits;
        match name {
            "head_bytes_max" => limits.head_bytes_max = number,
            "request_line_bytes_max" => limits.request_line_bytes_max = number,
            "fields_max" => limits.fields_max = number,
            "body_bytes_max" => limits.body_bytes_max = number as u64,
            "chunk_overhead_bytes_max" => limits.chunk_overhead_bytes_max = number,
            "output_bytes_max" => limits.output_bytes_max = number,
            "requests_per_resume_max" => limits.requests_per_resume_max = number,
            "requests_per_connection_max" => {
                limits.requests_per_connection_max = Some(u32::try_from(number).expect("small"));
            }
            _ => panic!("{name} cannot be set by a note"),
        }
    }
}

/// The contents of the first block with this name.
fn block<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let opening = format!("```{name}\n");
    let from = body.find(&opening)? + opening.len();
    let length = body[from..].find("```").expect("the block is closed");
    Some(&body[from..from + length])
}

/// The blocks `out` and `events` that say what happened.
pub(super) fn blocks(outcome: &Outcome) -> String {
    let events: String = outcome.events.iter().map(|line| format!("{line}\n")).collect();
    format!("```out\n{}```\n\n```events\n{events}```\n", text::render(&outcome.output))
}

/// The page with the blocks of one case replaced by what happened.
pub(super) fn blessed(page: &str, name: &str, outcome: &Outcome) -> String {
    let heading = format!("\n## {name}\n");
    let from = page.find(&heading).expect("the case is on the page") + heading.len();
    let to = page[from..].find("\n## ").map_or(page.len(), |length| from + length);
    let section = &page[from..to];
    let input = section.find("```in\n").expect("the case has a block `in`");
    let end = input + 6 + section[input + 6..].find("```\n").expect("the block is closed") + 4;
    let mut fresh = format!("{}{}\n{}", &page[..from], &section[..end], blocks(outcome));
    fresh += &page[to..];
    fresh
}
