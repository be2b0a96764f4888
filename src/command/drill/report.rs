//! What the drill says in the end: a table of the habits, and the stories; for people, or as JSON.

use std::fmt::{self, Write};

use helloop::PrintableLines;
use serde_json::{Value, json};

use super::habit::Habit;
use super::ledger::{Ledger, Milliseconds, Story, Tally};
use super::trouble::Trouble;
use super::verdict::Kind;

/// Stories that are told of each kind; JSON has some more.
const TOLD_MAX: usize = 3;

/// What there is to say.
pub(super) struct Report<'a> {
    /// The server that was tried, as it was typed.
    pub(super) server: String,
    /// How it was restarted, behind what.
    pub(super) how: String,
    pub(super) rounds: u32,
    pub(super) restarts: u32,
    pub(super) ledger: Option<&'a Ledger>,
    pub(super) trouble: Option<&'a Trouble>,
    /// A repeated request counts as a lost one.
    pub(super) is_strict: bool,
    /// Something to know about the drill itself.
    pub(super) notes: Vec<String>,
}

impl Report<'_> {
    pub(super) fn total(&self) -> Tally {
        self.ledger.map(Ledger::total).unwrap_or_default()
    }

    /// Whether a request was lost, doubled, or, if nothing is forgiven, repeated.
    pub(super) fn has_losses(&self) -> bool {
        let total = self.total();
        total.lost + total.doubled > 0 || (self.is_strict && total.repeated > 0)
    }

    pub(super) fn json(&self) -> Value {
        let tally = |tally: &Tally| {
            json!({
                "requests": tally.requests, "answered": tally.answered, "repeated": tally.repeated,
                "lost": tally.lost, "doubled": tally.doubled,
            })
        };
        let story = |story: &Story| json!({"kind": story.kind.name(), "habit": story.habit.name(), "text": story.text});
        let ledger = self.ledger;
        let habits = ledger.map(|ledger| &ledger.tallies).into_iter().flatten();
        let habits: serde_json::Map<_, _> =
            habits.map(|(habit, of_it)| (habit.name().to_owned(), tally(of_it))).collect();
        let kinds = ledger.map(|ledger| &ledger.kinds).into_iter().flatten();
        let kinds: serde_json::Map<_, _> =
            kinds.map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
        let stories: Vec<Value> =
            ledger.map(|ledger| &ledger.stories).into_iter().flatten().map(story).collect();
        json!({
            "server": self.server,
            "how": self.how,
            "rounds": self.rounds,
            "restarts": self.restarts,
            "total": tally(&self.total()),
            "habits": habits,
            "kinds": kinds,
            "stories": stories,
            "longest_gap_ms": ledger.map(|ledger| ledger.longest_gap.as_secs_f64() * 1e3),
            "closed_unannounced": ledger.map(|ledger| ledger.unannounced),
            "trouble": self.trouble.map(|it| json!({"kind": it.name(), "text": it.to_string()})),
            "notes": self.notes,
        })
    }

    fn table(&self, ledger: &Ledger, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally| {
            let Tally { requests, answered, repeated, lost, doubled } = tally;
            writeln!(
                f,
                "  {name:<12} {requests:>9} {answered:>9} {repeated:>9} {lost:>9} {doubled:>9}"
            )
        };
        let titles = ["requests", "answered", "repeated", "lost", "doubled"];
        write!(f, "  {:<12}", "habit")?;
        titles.iter().try_for_each(|title| write!(f, " {title:>9}"))?;
        f.write_char('\n')?;
        for habit in Habit::ALL {
            if let Some(tally) = ledger.tallies.get(&habit) {
                line(f, habit.name(), tally)?;
            }
        }
        line(f, "all", &ledger.total())
    }

    fn stories(ledger: &Ledger, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &ledger.kinds {
            write!(f, "\n{count} x {}: {}", kind.name(), kind.diagnosis())?;
            match kind {
                Kind::Refused => writeln!(f, ", for up to {}", Milliseconds(ledger.longest_gap))?,
                _ => f.write_char('\n')?,
            }
            let of_kind = ledger.stories.iter().filter(|story| story.kind == *kind);
            for story in of_kind.take(TOLD_MAX) {
                writeln!(f, "  {}: {}", story.habit.name(), story.text)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} restarts, {}",
            self.server, self.restarts, self.rounds, self.how
        )?;
        if let Some(ledger) = self.ledger {
            f.write_char('\n')?;
            self.table(ledger, f)?;
            Report::stories(ledger, f)?;
            if ledger.unannounced > 0 {
                writeln!(
                    f,
                    "\n{} times a kept connection was closed right after an answer that did not say `Connection: \
                     close` (RFC 9112 section 9.6): a POST on it would have been lost",
                    ledger.unannounced
                )?;
            }
        }
        for note in &self.notes {
            writeln!(f, "\nnote: {note}")?;
        }
        if let Some(trouble) = self.trouble {
            writeln!(f, "\nnot carried out: {}", PrintableLines(trouble))?;
        }
        let Tally { requests, repeated, lost, doubled, .. } = self.total();
        writeln!(
            f,
            "\n{lost} lost, {doubled} doubled of {requests} requests; {repeated} repeated as RFC 9112 foresees"
        )
    }
}
