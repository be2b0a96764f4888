//! A look at the watched loop, and its JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::TaskId;
use crate::event_loop::SourceView;
use crate::events::Timeout;
use crate::watch::{self, Status, TaskView};
use crate::world::{Readiness, Time};
use serde_json::{Value, json};

/// Tasks, sources and timers that are listed for a page, of each. Above this, tasks are counted by
/// kind and state, the others are left out.
pub(super) const SINGLY_MAX: usize = 200;

/// What was counted since the loop began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Connections open now.
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) events: u64,
}

/// The watched loop between two steps.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) of_loop: watch::Snapshot,
    /// When the tasks were spawned, as far as that was observed.
    pub(super) births: BTreeMap<TaskId, Time>,
    pub(super) now: Time,
    /// `between` turns, or `resume`: in phase 4.
    pub(super) phase: &'static str,
    pub(super) is_paused: bool,
    pub(super) dwell: Duration,
    /// The last one that was worked out.
    pub(super) timeout: Timeout,
    pub(super) counts: Counts,
}

impl Snapshot {
    /// `dropped`: events that a page was not sent.
    pub(super) fn to_json(&self, dropped: u64) -> Value {
        let all = &self.of_loop;
        let of_task = |view: &TaskView| task(view, self.births.get(&view.id).copied());
        let tasks: Vec<Value> = all.tasks.iter().take(SINGLY_MAX).map(of_task).collect();
        let ready: Vec<Value> =
            all.ready.iter().take(SINGLY_MAX).map(|task| json!(task.to_string())).collect();
        let timers: Vec<Value> = all
            .timers
            .iter()
            .take(SINGLY_MAX)
            .map(|(task, deadline)| json!({"task": task.to_string(), "deadline": nanos(*deadline)}))
            .collect();
        let sources: Vec<Value> = all.sources.iter().take(SINGLY_MAX).map(source).collect();
        let mut snapshot = json!({
            "turn": all.turn,
            "phase": self.phase,
            "paused": self.is_paused,
            "now": nanos(self.now),
            "dwell_ms": u64::try_from(self.dwell.as_millis()).unwrap_or(u64::MAX),
            "timeout": timeout(self.timeout),
            "ready": ready,
            "timers": timers,
            "tasks": tasks,
            "sources": sources,
            "counts": {
                "connections": self.counts.connections,
                "requests": self.counts.requests,
                "events": self.counts.events,
                "dropped": dropped,
                "tasks": all.tasks.len(),
                "ready": all.ready.len(),
                "timers": all.timers.len(),
                "sources": all.sources.len(),
            },
        });
        if all.tasks.len() > SINGLY_MAX {
            snapshot["groups"] = groups(&all.tasks[SINGLY_MAX..]);
        }
        snapshot
    }
}

fn nanos(time: Time) -> u64 {
    time.as_nanos()
}

fn task(task: &TaskView, born: Option<Time>) -> Value {
    json!({
        "id": task.id.to_string(),
        "kind": task.kind,
        "name": task.name,
        "state": task.state,
        "since": born.map(nanos),
        "waits_for": waits_for(task.status),
        "parent": task.parent.map(|parent| parent.to_string()),
        "site": task.site.map(|site| format!("{}:{}", site.file(), site.line())),
        "about": task.description,
    })
}

/// `readable, timer`
fn waits_for(status: Status) -> String {
    let (interest, timer) = match status {
        Status::Running => return "nothing: it runs".into(),
        Status::Ready(_) => return "its turn".into(),
        Status::Waiting { interest, timer } => (interest, timer),
    };
    let mut words: Vec<String> =
        interest.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    words.extend(timer.map(|_| "timer".into()));
    if words.is_empty() { "being woken".into() } else { words.join(", ") }
}

fn source(source: &SourceView) -> Value {
    json!({
        "id": source.id.to_string(),
        "task": source.task.to_string(),
        "readiness": flags(source.readiness),
        "interest": flags(source.interest),
    })
}

fn flags(readiness: Readiness) -> Vec<String> {
    readiness.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

fn timeout(timeout: Timeout) -> Value {
    match timeout {
        Timeout::Zero => json!({"timeout": "zero"}),
        Timeout::Forever => json!({"timeout": "forever"}),
        Timeout::Until(duration) => {
            json!({"timeout": "until", "timeout_ns": nanos(Time::ZERO + duration)})
        }
    }
}

/// Tasks that are not listed, counted by kind and state.
fn groups(tasks: &[TaskView]) -> Value {
    let mut groups = BTreeMap::<_, u64>::new();
    for task in tasks {
        *groups.entry((task.kind, task.state)).or_default() += 1;
    }
    let group = |((kind, state), count)| json!({"kind": kind, "state": state, "count": count});
    groups.into_iter().map(group).collect()
}
