//! An answer to `helloop ps`, from whoever answers.

use serde_json::{Value, json};

use super::{BeginsWith, Property, choice};
use crate::command::page::page;

pub(super) const PROPERTY: Property =
    Property { name: "ps", hold, seed, begins_with: BeginsWith::Requests };

/// Bytes of text that a byte of the answer may cost: `{},` in the list of tasks is a line with
/// its spaces.
const BYTES_PER_BYTE_MAX: usize = 40;

/// The first byte is not looked at; the rest is the answer.
fn hold(data: &[u8]) {
    let (_, answer) = choice(data);
    let Ok(snapshot) = serde_json::from_slice::<Value>(answer) else { return };
    let text = page(&snapshot);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.len() <= 300 + BYTES_PER_BYTE_MAX * answer.len(), "{} bytes", text.len());
    let of = |name: &str| snapshot[name].as_array().map_or(0, Vec::len);
    let notice = usize::from(snapshot["stale"] == true);
    assert_eq!(text.lines().count(), 1 + notice + of("tasks") + of("groups"));
}

/// A snapshot of tasks that are named by the words that were sent.
fn seed(sent: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(sent);
    let words: Vec<&str> =
        text.split([' ', '\r', '\n', ':']).filter(|word| !word.is_empty()).collect();
    let task = |(number, word): (usize, &&str)| {
        let parent = words.get(number / 2 + number % 2);
        json!({"id": word, "parent": parent, "since": number, "about": word, "waits_for": "timer"})
    };
    let tasks: Vec<Value> = words.iter().enumerate().map(task).collect();
    let groups = json!([{"kind": "connection", "state": words.first(), "count": words.len()}]);
    let snapshot = json!({
        "turn": 7, "paused": true, "stale": sent.len().is_multiple_of(2), "now": 1_000_000_000, "tasks": tasks,
        "counts": {"tasks": words.len(), "ready": 1, "timers": 2}, "groups": groups,
    });
    [b"\0", snapshot.to_string().as_bytes()].concat()
}
