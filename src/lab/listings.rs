//! The two ways in which a connection is written, side by side: for each, its source, and at which
//! line a connection is that is in a certain state.

use serde_json::{Value, json};

/// A function of the library's source.
struct Listing {
    title: &'static str,
    file: &'static str,
    source: &'static str,
    /// The name of the function.
    function: &'static str,
    /// For each state of a connection, the name in the line at which it is then (with an arrow where another line
    /// has it, too).
    cursor: &'static [(&'static str, &'static str)],
}

const LISTINGS: [Listing; 2] = [
    Listing {
        title: "a state machine",
        file: "src/server/connection/mod.rs",
        source: include_str!("../server/connection/mod.rs"),
        function: "run",
        cursor: &[
            ("idle", "State::Idle"),
            ("receiving head", "State::ReceivingHead"),
            ("receiving body", "State::ReceivingBody"),
            ("answering", "State::Answering"),
            ("serving", "State::Serving"),
            ("flushing", "State::Flushing"),
            ("lingering", "State::Lingering"),
            ("closed", "State::Closed =>"),
        ],
    },
    Listing {
        title: "a coroutine",
        file: "src/server/twin.rs",
        source: include_str!("../server/twin.rs"),
        function: "converse",
        cursor: &[
            ("idle", "self.read"),
            ("receiving head", "self.read"),
            ("receiving body", "self.read"),
            ("answering", "self.give_way"),
            ("serving", "self.serve"),
            ("flushing", "self.write"),
            ("lingering", "self.close"),
            ("closed", "self.close"),
        ],
    },
];

impl Listing {
    /// The number of the function's first line in the file, from 1, and its lines, as far to the
    /// left as they go.
    fn lines(&self) -> (usize, Vec<&'static str>) {
        let head = format!("fn {}(", self.function);
        let before = |(_, line): &(usize, &str)| !line.contains(&head);
        let mut lines = self.source.lines().enumerate().skip_while(before).peekable();
        let (first, indent) = lines.peek().map_or((0, 0), |(index, line)| {
            // It ends with the brace below this line's first letter.
            (index + 1, line.len() - line.trim_start().len())
        });
        let mut taken = Vec::new();
        for (_, line) in lines {
            taken.push(line.get(indent..).unwrap_or_default());
            if taken.last() == Some(&"}") {
                break;
            }
        }
        (first, taken)
    }

    fn to_json(&self) -> Value {
        let (first, lines) = self.lines();
        let at = |name: &str| lines.iter().position(|line| names(line, name));
        let cursor = self.cursor.iter().filter_map(|(state, name)| Some((*state, at(name)?)));
        let cursor: serde_json::Map<_, _> =
            cursor.map(|(state, line)| (state.to_owned(), json!(line))).collect();
        json!({
            "title": self.title,
            "file": self.file,
            "first_line": first,
            "lines": lines,
            "cursor": cursor,
        })
    }
}

/// Where the four phases of a turn are written.
const TURN: &str = include_str!("../event_loop/turn.rs");

/// The code of each phase of a turn: its comment and what follows it, up to the next phase; the function that phase 4
/// is. Told as `phases`, by the names of the phases.
pub(super) fn of_phases() -> Value {
    let part = |name: &str, first: usize, lines: &[&str]| {
        let json = json!({"file": "src/event_loop/turn.rs", "first_line": first, "lines": lines});
        (name.to_owned(), json)
    };
    let listing = |function| Listing { title: "", file: "", source: TURN, function, cursor: &[] };
    let (first, lines) = listing("begin_turn").lines();
    let begins = |phase: &str| {
        let comment = format!("// Phase {phase}:");
        lines.iter().position(|line| line.contains(&comment)).unwrap_or(lines.len())
    };
    let bounds = ["1", "2", "3"].map(begins);
    let [one, two, three] = bounds;
    let phases = [("timeout", one, two), ("wait", two, three), ("queue", three, lines.len())];
    let phases = phases.map(|(name, from, to)| part(name, first + from, &lines[from..to]));
    let (first, lines) = listing("resume_next_then").lines();
    phases.into_iter().chain([part("resume", first, &lines)]).collect()
}

/// Whether a line of code has this name, and not a longer one.
fn names(line: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    !line.trim_start().starts_with("//")
        && line.match_indices(name).any(|(at, _)| ends(&line[at + name.len()..]))
}

/// Both, as members of an array of JSON: what a page is told as `listings`.
pub(super) fn to_json() -> Vec<Value> {
    LISTINGS.iter().map(Listing::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::MACHINES;

    #[test]
    fn every_phase_of_a_turn_has_its_code() {
        let phases = of_phases();
        for (name, named) in [
            ("timeout", "self.next_deadline()"),
            ("wait", ".wait(until, &mut self.arrived)"),
            ("queue", "timers.pop_due(now)"),
            ("resume", "boxed.resume(&mut cx)"),
        ] {
            let phase = &phases[name];
            let lines: Vec<_> = phase["lines"].as_array().unwrap().iter().collect();
            let found = lines.iter().filter(|line| line.as_str().unwrap().contains(named));
            assert_eq!(found.count(), 1, "{name}: {phase:#}");
            let first = usize::try_from(phase["first_line"].as_u64().unwrap()).unwrap();
            let source = TURN.lines().nth(first - 1).unwrap();
            assert_eq!(source.trim(), lines[0].as_str().unwrap().trim());
        }
    }

    #[test]
    fn every_state_of_a_connection_has_a_line_in_both() {
        let connection = MACHINES.iter().find(|machine| machine.kind == "connection").unwrap();
        for listing in LISTINGS {
            let (first, lines) = listing.lines();
            assert!(first > 1 && (5..40).contains(&lines.len()), "{lines:#?}");
            assert_eq!(lines.last(), Some(&"}"));
            for state in connection.states {
                let found: Vec<_> =
                    listing.cursor.iter().filter(|(name, _)| *name == state.name).collect();
                let [(_, name)] = found.as_slice() else { panic!("{}: {found:?}", state.name) };
                let count = lines.iter().filter(|line| names(line, name)).count();
                assert_eq!(count, 1, "{name} in {lines:#?}");
            }
            assert_eq!(listing.cursor.len(), connection.states.len());
        }
    }
}
