//! `helloop ps`: who is on the loop that a lab watches.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use helloop::client::fetch;
use helloop::coroutine;
use serde_json::Value;

use super::{logging, usage};
use crate::run::complain;

const AFTER_HELP: &str = "\
Example:
  helloop ps http://127.0.0.1:40123/0123456789abcdef0123456789abcdef/

Exit codes:
  0  it was printed
  1  the lab did not answer, or not as a lab does
  2  usage";

/// Print who is on the event loop that a lab watches: tasks, states, and what each waits for
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The address of the lab's page, as the lab has printed it
    #[arg(value_name = "URL")]
    url: String,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed is no address of a lab.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    logging::install(0, Box::new(io::stderr()));
    let url = arguments.url.trim_end_matches('/');
    if !url.starts_with("http://") {
        return Err(usage("ps", "the address of a lab begins with http://"));
    }
    let url = format!("{url}/snapshot");
    let told = match coroutine::run(|handle| async move { ask(&handle, &url).await }) {
        Ok(told) => told,
        Err(error) => Err(error.to_string()),
    };
    Ok(match told {
        Ok(text) => {
            // Where standard output is closed, nobody wants to know.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(format_args!("{why}"));
            ExitCode::FAILURE
        }
    })
}

async fn ask(handle: &helloop::event_loop::Handle, url: &str) -> Result<String, String> {
    let reply = fetch(handle, url).await.map_err(|error| error.to_string())?;
    let status = reply.status();
    let text = reply.text().await.map_err(|error| error.to_string())?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|_| format!("this is no lab: status {status}"))?;
    if let Some(error) = answer["error"].as_str() {
        return Err(printable(error));
    }
    Ok(page(&answer))
}

/// What another process says must not reach the terminal as it is.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn page(snapshot: &Value) -> String {
    let counts = &snapshot["counts"];
    let number = |name: &str| counts[name].as_u64().unwrap_or(0);
    let mut text = format!(
        "turn {}, {}: {} tasks, {} ready, {} timers, {} connections, {} requests so far\n",
        snapshot["turn"],
        if snapshot["paused"] == true { "paused" } else { "running" },
        number("tasks"),
        number("ready"),
        number("timers"),
        number("connections"),
        number("requests"),
    );
    if snapshot["stale"] == true {
        text += "The loop is busy, and has not come to its gate; this is what was before:\n";
    }
    let tasks = snapshot["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let now = snapshot["now"].as_u64().unwrap_or(0);
    for (depth, task) in tree(tasks) {
        let age = Age(now.saturating_sub(task["since"].as_u64().unwrap_or(now)));
        let word = |name: &str| printable(task[name].as_str().unwrap_or_default());
        let id = format!("{:1$}{2}", "", 2 * depth, word("id"));
        let (about, waits_for) = (word("about"), word("waits_for"));
        let _ = writeln!(text, "{id:<8} {age:>10}  {about}: waits for {waits_for}");
    }
    for group in snapshot["groups"].as_array().into_iter().flatten() {
        let word = |name: &str| printable(group[name].as_str().unwrap_or("no state"));
        let (kind, state) = (word("kind"), word("state"));
        let _ = writeln!(text, "and {} more: {kind} ({state})", group["count"]);
    }
    text
}

/// Tasks below those that wait for them, each once, with their depth.
fn tree(tasks: &[Value]) -> Vec<(usize, &Value)> {
    let is_there = |id: &Value| tasks.iter().any(|task| task["id"] == *id);
    let mut seen = vec![false; tasks.len()];
    let mut tree = Vec::with_capacity(tasks.len());
    // First those that nobody waits for; whoever is left after them waits in a circle.
    for is_root in [true, false] {
        for (index, task) in tasks.iter().enumerate() {
            if seen[index] || (is_root && is_there(&task["parent"])) {
                continue;
            }
            let mut path = vec![(0, index)];
            while let Some((depth, index)) = path.pop() {
                if std::mem::replace(&mut seen[index], true) {
                    continue;
                }
                tree.push((depth, &tasks[index]));
                let below = tasks.iter().enumerate().rev();
                let below = below.filter(|(_, task)| task["parent"] == tasks[index]["id"]);
                path.extend(below.map(|(child, _)| (depth + 1, child)));
            }
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

    fn task(id: &str, parent: Option<&str>) -> Value {
        json!({"id": id, "parent": parent, "since": 0, "about": "x", "waits_for": "timer"})
    }

    fn depths(tasks: &[Value]) -> Vec<(usize, &str)> {
        tree(tasks).into_iter().map(|(depth, task)| (depth, task["id"].as_str().unwrap())).collect()
    }

    #[test]
    fn a_tree_has_each_task_once_also_in_a_circle() {
        let tasks = [task("1", None), task("2", Some("3")), task("3", Some("1")), task("4", None)];
        assert_eq!(depths(&tasks), [(0, "1"), (1, "3"), (2, "2"), (0, "4")]);
        let circle = [task("1", Some("2")), task("2", Some("1")), task("3", Some("gone"))];
        assert_eq!(depths(&circle), [(0, "3"), (0, "1"), (1, "2")]);
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_printed() {
        let mut evil = task("1", None);
        evil["about"] = json!("\u{1b}[2J");
        let text = page(&json!({"tasks": [evil], "now": 1_500_000_000, "turn": 7, "paused": true}));
        assert!(text.starts_with("turn 7, paused: "), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("1.500 s  \u{fffd}[2J: waits for timer"));
    }
}
