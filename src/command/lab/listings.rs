//! The two ways in which a connection is written, side by side: for each, its source, and at which
//! line a connection is that is in a certain state.

use serde_json::{Value, json};

/// A function of the library's source.
struct Listing {
    title: &'static str,
    file: &'static str,
    source: &'static str,
    /// How the function begins; it ends with the brace below this line's first letter.
    begins: &'static str,
    /// For each state of a connection, what the line says at which it is then.
    cursor: &'static [(&'static str, &'static str)],
}

const LISTINGS: [Listing; 2] = [
    Listing {
        title: "a state machine",
        file: "src/server/connection/mod.rs",
        source: include_str!("../../server/connection/mod.rs"),
        begins: "    fn step(",
        cursor: &[
            ("idle", "State::Idle =>"),
            ("receiving head", "State::ReceivingHead {"),
            ("receiving body", "State::ReceivingBody {"),
            ("answering", "State::Answering {"),
            ("serving", "State::Serving("),
            ("flushing", "State::Flushing("),
            ("lingering", "State::Lingering =>"),
            ("closed", "State::Closed =>"),
        ],
    },
    Listing {
        title: "a coroutine",
        file: "src/server/twin.rs",
        source: include_str!("../../server/twin.rs"),
        begins: "    async fn converse",
        cursor: &[
            ("idle", "self.read("),
            ("receiving head", "self.read("),
            ("receiving body", "self.read("),
            ("answering", "self.give_way()"),
            ("serving", "self.next_part("),
            ("flushing", "self.write("),
            ("lingering", "self.close("),
            ("closed", "self.close("),
        ],
    },
];

impl Listing {
    /// The number of the function's first line in the file, from 1, and its lines, as far to the
    /// left as they go.
    fn lines(&self) -> (usize, Vec<&'static str>) {
        let indent = self.begins.len() - self.begins.trim_start().len();
        let from = |(_, line): &(usize, &str)| !line.starts_with(self.begins);
        let mut lines = self.source.lines().enumerate().skip_while(from).peekable();
        let first = lines.peek().map_or(0, |(index, _)| index + 1);
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
        let at = |text: &str| lines.iter().position(|line| line.contains(text));
        let cursor = self.cursor.iter().filter_map(|(state, text)| Some((*state, at(text)?)));
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

/// Both, for the page.
pub(super) fn to_json() -> Vec<Value> {
    LISTINGS.iter().map(Listing::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::server::MACHINES;

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
                let [(_, text)] = found.as_slice() else { panic!("{}: {found:?}", state.name) };
                let count = lines.iter().filter(|line| line.contains(text)).count();
                assert_eq!(count, 1, "{text} in {lines:#?}");
            }
            assert_eq!(listing.cursor.len(), connection.states.len());
        }
    }
}
