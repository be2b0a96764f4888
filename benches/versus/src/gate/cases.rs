//! The files in `cases/`: reading them, and judging what was seen.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::answers::Answer;

/// How much a clause asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    Must,
    Should,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
        })
    }
}

/// A case, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) clause: String,
    pub(crate) level: Level,
    pub(crate) asks: String,
    pub(crate) send: Vec<Piece>,
    /// Of the requests that are answered, in order; after them it is GET.
    pub(crate) methods: Vec<String>,
    accept: Vec<Outcome>,
    fields: Vec<FieldRule>,
}

/// A part of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes {
        bytes: Vec<u8>,
        times: usize,
    },
    Wait(Duration),
    /// Until there are so many answers, or none come.
    Answers(usize),
    /// A half-close.
    End,
}

/// Something that may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    statuses: Vec<StatusSet>,
    then: Then,
}

/// What a word for a status stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusSet {
    One(u16),
    /// The first digit.
    Class(u16),
    Final,
    Error,
    /// Any but this one.
    Not(u16),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// One more request was answered with 2xx, once.
    Kept,
    Closed,
    Silent,
    /// The server says nothing, and keeps the connection, although nothing more is sent.
    Waits,
    /// Nobody asked.
    Any,
}

/// A field that answers with some statuses must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRule {
    of: StatusSet,
    name: String,
    is_wanted: bool,
}

/// What a server did.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Before one more request was sent.
    pub(crate) answers: Vec<Answer>,
    pub(crate) then: Then,
    /// Something that is no answer, or one answer too many.
    pub(crate) nonsense: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    clause: String,
    level: Level,
    asks: String,
    send: Vec<RawPiece>,
    accept: Vec<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum RawPiece {
    Text(String),
    Repeated { times: usize, text: String },
    Wait { wait: u64 },
    Answers { answers: usize },
    End { end: bool },
}

/// The file with the sets of outcomes.
const OUTCOMES: &str = "outcomes.toml";

/// All cases of a folder.
///
/// # Errors
/// Names the file, and the case, that is wrong.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Case>> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let sets = toml::from_str(&read(&folder.join(OUTCOMES))?)
        .with_context(|| format!("{OUTCOMES} is wrong"))?;
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<_> = entries.collect::<Result<_>>()?;
    paths.retain(|path| {
        path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with(OUTCOMES)
    });
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in &paths {
        let more =
            parse(&read(path)?, &sets).with_context(|| format!("{} is wrong", path.display()))?;
        for case in more {
            ensure!(!cases.iter().any(|c| c.name == case.name), "two cases are {:?}", case.name);
            cases.push(case);
        }
    }
    Ok(cases)
}

/// The cases of one file; `sets` are the outcomes that have a name.
pub(super) fn parse(text: &str, sets: &BTreeMap<String, Vec<String>>) -> Result<Vec<Case>> {
    let file: File = toml::from_str(text)?;
    let ready = |raw: RawCase| {
        let name = raw.name.clone();
        case(raw, sets).with_context(|| format!("case {name:?}"))
    };
    file.case.into_iter().map(ready).collect()
}

fn case(raw: RawCase, sets: &BTreeMap<String, Vec<String>>) -> Result<Case> {
    let mut accept = Vec::new();
    for line in &raw.accept {
        match sets.get(line) {
            Some(lines) => {
                accept.extend(lines.iter().map(|line| outcome(line)).collect::<Result<Vec<_>>>()?);
            }
            None => accept.push(outcome(line)?),
        }
    }
    ensure!(!accept.is_empty(), "nothing is accepted");
    let is_a_rule = raw.clause.starts_with("RFC ") && raw.clause.matches(' ').count() == 2;
    ensure!(is_a_rule, "{:?} is no clause: `RFC 9112 6.3`", raw.clause);
    Ok(Case {
        name: raw.name,
        clause: raw.clause,
        level: raw.level,
        asks: raw.asks,
        send: raw.send.into_iter().map(piece).collect::<Result<_>>()?,
        methods: raw.methods,
        accept,
        fields: raw.fields.iter().map(|line| field_rule(line)).collect::<Result<_>>()?,
    })
}

pub(super) fn piece(raw: RawPiece) -> Result<Piece> {
    Ok(match raw {
        RawPiece::Text(text) => Piece::Bytes { bytes: unescape(&text)?, times: 1 },
        RawPiece::Repeated { times, text } => Piece::Bytes { bytes: unescape(&text)?, times },
        RawPiece::Answers { answers } => Piece::Answers(answers),
        RawPiece::Wait { wait } => Piece::Wait(Duration::from_millis(wait)),
        RawPiece::End { end } => {
            ensure!(end, "`end = false` means nothing");
            Piece::End
        }
    })
}

/// The bytes that a text with escapes stands for.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, skip) = match after {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits)?;
                (u8::from_str_radix(digits, 16).context("\\x is followed by two digits")?, 3)
            }
            _ => bail!("{text:?} has a `\\` that is followed by none of r n t \\ x"),
        };
        bytes.push(byte);
        rest = &rest[skip..];
    }
    Ok(bytes)
}

/// `2xx 400, closed`.
pub(super) fn outcome(line: &str) -> Result<Outcome> {
    let unknown = || anyhow!("{line:?} is no outcome: `2xx 400, closed`");
    let (statuses, then) = line.rsplit_once(", ").ok_or_else(unknown)?;
    let statuses = match statuses {
        "none" => Vec::new(),
        _ => {
            statuses.split(' ').map(|w| status_set(w).ok_or_else(unknown)).collect::<Result<_>>()?
        }
    };
    let then = match then {
        "kept" => Then::Kept,
        "closed" => Then::Closed,
        "silent" => Then::Silent,
        "waits" => Then::Waits,
        "any" => Then::Any,
        _ => return Err(unknown()),
    };
    Ok(Outcome { statuses, then })
}

fn status_set(word: &str) -> Option<StatusSet> {
    match word {
        "final" => Some(StatusSet::Final),
        "error" => Some(StatusSet::Error),
        _ => match (word.strip_suffix("xx"), word.strip_prefix('!')) {
            (Some(digit), _) => digit.parse().ok().map(StatusSet::Class),
            (None, Some(status)) => status.parse().ok().map(StatusSet::Not),
            (None, None) => word.parse().ok().map(StatusSet::One),
        },
    }
}

/// `405: allow` or `2xx: !transfer-encoding`.
fn field_rule(line: &str) -> Result<FieldRule> {
    let unknown = || anyhow!("{line:?} is no rule about a field: `405: allow`");
    let (of, name) = line.split_once(": ").ok_or_else(unknown)?;
    let of = status_set(of).ok_or_else(unknown)?;
    let (name, is_wanted) = name.strip_prefix('!').map_or((name, true), |name| (name, false));
    Ok(FieldRule { of, name: name.to_ascii_lowercase(), is_wanted })
}

impl StatusSet {
    fn has(self, status: u16) -> bool {
        match self {
            StatusSet::One(one) => status == one,
            StatusSet::Class(class) => status / 100 == class,
            StatusSet::Final => status >= 200,
            StatusSet::Error => matches!(status / 100, 4 | 5),
            StatusSet::Not(one) => status != one,
        }
    }
}

impl Outcome {
    pub(super) fn has(&self, seen: &Seen) -> bool {
        let then = match self.then {
            Then::Any => true,
            Then::Waits => seen.then == Then::Any,
            then => then == seen.then,
        };
        then && self.has_statuses(&seen.answers)
    }

    fn has_statuses(&self, answers: &[Answer]) -> bool {
        let pairs = self.statuses.iter().zip(answers);
        self.statuses.len() == answers.len()
            && pairs.into_iter().all(|(set, answer)| set.has(answer.status))
    }
}

impl Case {
    /// One that is sent and watched, and judged elsewhere.
    pub(super) fn unjudged(
        name: &str,
        send: Vec<Piece>,
        methods: Vec<String>,
        accept: Vec<Outcome>,
    ) -> Case {
        Case {
            name: name.to_owned(),
            clause: String::new(),
            level: Level::Must,
            asks: String::new(),
            send,
            methods,
            accept,
            fields: Vec::new(),
        }
    }

    /// The most answers that any outcome has.
    pub(crate) fn answers_at_most(&self) -> usize {
        self.accept.iter().map(|outcome| outcome.statuses.len()).max().unwrap_or(0)
    }

    /// Whether it matters, after these answers, what becomes of the connection.
    pub(crate) fn asks_what_then(&self, answers: &[Answer]) -> bool {
        let possible = || self.accept.iter().filter(|outcome| outcome.has_statuses(answers));
        possible().next().is_some()
            && possible().all(|outcome| !matches!(outcome.then, Then::Any | Then::Waits))
    }

    /// True if the peer half-closes.
    pub(crate) fn half_closes(&self) -> bool {
        self.send.contains(&Piece::End)
    }

    /// Judges what a server did.
    ///
    /// # Errors
    /// Says what it did, if that is not permitted.
    pub(crate) fn judge(&self, seen: &Seen) -> Result<(), String> {
        if let Some(nonsense) = &seen.nonsense {
            return Err(format!("{seen}; {nonsense}"));
        }
        if !self.accept.iter().any(|outcome| outcome.has(seen)) {
            return Err(seen.to_string());
        }
        for rule in &self.fields {
            for answer in seen.answers.iter().filter(|answer| rule.of.has(answer.status)) {
                if answer.has(&rule.name) != rule.is_wanted {
                    let (status, name) = (answer.status, &rule.name);
                    let with = if rule.is_wanted { "without" } else { "with" };
                    return Err(format!("{status} {with} {name}"));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answers.as_slice() {
            [] => f.write_str("no answer")?,
            answers => {
                let statuses: Vec<String> = answers.iter().map(|a| a.status.to_string()).collect();
                f.write_str(&statuses.join(" "))?;
            }
        }
        f.write_str(match self.then {
            Then::Kept => ", and the next request was answered",
            Then::Closed => ", closed",
            Then::Silent => ", then silence",
            Then::Waits | Then::Any => "",
        })
    }
}
