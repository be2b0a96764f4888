//! What `helloop ps` prints of an answer that calls itself a lab's: in one line a task, and whatever
//! stands in it.
//!
//! The server that answers need not be a lab. So no work here is more than linear in the answer (times the
//! logarithm of a look-up), nor is the text; and every word is shown as [`Printable`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use helloop::Printable;
use helloop::limits::TREE_DEPTH_SHOWN_MAX;
use serde_json::Value;

/// The whole text.
pub(crate) fn page(snapshot: &Value) -> String {
    let counts = &snapshot["counts"];
    let mut text = format!(
        "turn {}, {}: {} tasks, {} ready, {} timers, {} connections, {} requests so far\n",
        number(&snapshot["turn"]),
        if snapshot["paused"] == true { "paused" } else { "running" },
        number(&counts["tasks"]),
        number(&counts["ready"]),
        number(&counts["timers"]),
        number(&counts["connections"]),
        number(&counts["requests"]),
    );
    if snapshot["stale"] == true {
        text += "The loop is busy, and has not come to its gate; this is what was before:\n";
    }
    let now = number(&snapshot["now"]);
    let tasks = list(&snapshot["tasks"]);
    let ids: Vec<_> =
        tasks.iter().map(|task| (task["id"].as_str(), task["parent"].as_str())).collect();
    for (depth, index) in tree(&ids) {
        let task = &tasks[index];
        let age = Age(now.saturating_sub(task["since"].as_u64().unwrap_or(now)));
        let word = |name: &str| Printable(task[name].as_str().unwrap_or_default());
        let id = format!("{:1$}{2}", "", 2 * depth.min(TREE_DEPTH_SHOWN_MAX), word("id"));
        let (about, waits_for) = (word("about"), word("waits_for"));
        let _ = writeln!(text, "{id:<8} {age:>10}  {about}: waits for {waits_for}");
    }
    for group in list(&snapshot["groups"]) {
        let word = |name: &str| Printable(group[name].as_str().unwrap_or("no state"));
        let (count, kind, state) = (number(&group["count"]), word("kind"), word("state"));
        let _ = writeln!(text, "and {count} more: {kind} ({state})");
    }
    text
}

/// Zero where there is none.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Empty where there is none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Tasks below those that wait for them, each once: its depth, and its index. A task is its id and
/// that of the task that waits for it; a forged answer may have neither, or the same id twice.
fn tree<K: Ord + Copy>(tasks: &[(Option<K>, Option<K>)]) -> Vec<(usize, usize)> {
    let there: BTreeSet<K> = tasks.iter().filter_map(|(id, _)| *id).collect();
    let mut below: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (index, (_, parent)) in tasks.iter().enumerate() {
        match parent.filter(|parent| there.contains(parent)) {
            Some(parent) => below.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let (mut seen, mut tree) = (vec![false; tasks.len()], Vec::with_capacity(tasks.len()));
    // First those that no task waits for; those that are left after them wait in a circle.
    for root in roots.into_iter().chain(0..tasks.len()) {
        let mut path = vec![(0, root)];
        while let Some((depth, index)) = path.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            tree.push((depth, index));
            // Taken, so that none are looked at twice.
            let children = tasks[index].0.and_then(|id| below.remove(&id)).unwrap_or_default();
            path.extend(children.into_iter().rev().map(|child| (depth + 1, child)));
        }
    }
    tree
}

/// Nanoseconds as seconds.
struct Age(u64);

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0 / 1_000_000;
        f.pad(&format!("{}.{:03} s", millis / 1_000, millis % 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;
    use std::cmp::Ordering;

    fn task(id: &str, parent: Option<&str>) -> Value {
        json!({"id": id, "parent": parent, "since": 0, "about": "x", "waits_for": "timer"})
    }

    fn depths<'a>(tasks: &[(&'a str, Option<&'a str>)]) -> Vec<(usize, &'a str)> {
        let ids: Vec<_> = tasks.iter().map(|(id, parent)| (Some(*id), *parent)).collect();
        tree(&ids).into_iter().map(|(depth, index)| (depth, tasks[index].0)).collect()
    }

    #[test]
    fn a_tree_has_each_task_once_also_in_a_circle() {
        let tasks =
            [("1", None), ("2", Some("3")), ("3", Some("1")), ("4", None), ("5", Some("1"))];
        assert_eq!(depths(&tasks), [(0, "1"), (1, "3"), (2, "2"), (1, "5"), (0, "4")]);
        let circle = [("1", Some("2")), ("2", Some("1")), ("3", Some("gone"))];
        assert_eq!(depths(&circle), [(0, "3"), (0, "1"), (1, "2")]);
        let odd = [("1", Some("1")), ("2", Some("1")), ("2", Some("1")), ("3", Some("2"))];
        assert_eq!(depths(&odd), [(0, "1"), (1, "2"), (2, "3"), (1, "2")]);
        assert_eq!(tree::<u8>(&[(None, None), (None, Some(7))]), [(0, 0), (0, 1)]);
    }

    /// An id that counts how often it is compared.
    #[derive(Clone, Copy)]
    struct Counting<'a>(usize, &'a Cell<u64>);

    impl Ord for Counting<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counting<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counting<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    impl Eq for Counting<'_> {}

    #[test]
    fn eight_times_as_many_tasks_are_at_most_twelve_times_the_work_and_the_text() {
        type Parent = fn(usize) -> usize;
        let shapes: [(&str, Parent); 4] = [
            ("a chain downwards", |n| n + 1),
            ("a chain upwards", |n| n.wrapping_sub(1)),
            ("all below one", |_| 0),
            ("each alone", |_| usize::MAX),
        ];
        for (shape, parent) in shapes {
            let comparisons = |tasks: usize| {
                let count = Cell::new(0);
                let id = |n| Some(Counting(n, &count));
                let tasks: Vec<_> = (0..tasks).map(|n| (id(n), id(parent(n)))).collect();
                assert_eq!(tree(&tasks).len(), tasks.len());
                count.get()
            };
            let bytes = |tasks: usize| {
                let one = |n: usize| task(&n.to_string(), Some(&parent(n).to_string()));
                page(&json!({"tasks": (0..tasks).map(one).collect::<Vec<_>>()})).len() as u64
            };
            for (what, few, many) in [
                ("comparisons", comparisons(1_000), comparisons(8_000)),
                ("bytes", bytes(500), bytes(4_000)),
            ] {
                assert!(many <= 12 * few, "{shape}: {few} {what}, then {many}");
            }
        }
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_printed() {
        let mut evil = task("1", None);
        evil["about"] = json!("\u{1b}[2J");
        let text = page(&json!({"tasks": [evil], "now": 1_500_000_000, "turn": 7, "paused": true}));
        assert!(text.starts_with("turn 7, paused: "), "{text}");
        assert!(text.contains("1.500 s  \\u{1b}[2J: waits for timer"), "{text}");
        let evil = "\u{9b}2J\r\n\u{202e}";
        let group = json!({"kind": evil, "state": evil, "count": evil});
        let text =
            page(&json!({"turn": evil, "now": evil, "groups": [group], "tasks": [{"id": evil}]}));
        assert_eq!(text.lines().count(), 3);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    }
}
