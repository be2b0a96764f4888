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
