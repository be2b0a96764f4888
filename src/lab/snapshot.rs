//! A look at the watched loop, and its JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::TaskId;
use crate::events::Timeout;
use crate::watch::SourceView;
use crate::watch::{self, Status, TaskView};
use crate::world::{Readiness, Time};
use serde_json::{Value, json};

use super::tally::{Operated, Tally, Totals};

/// Tasks, sources and timers that are listed for a page, of each. Above this, tasks are counted by
/// kind and state, the others are left out.
pub(super) const SINGLY_MAX: usize = 200;

/// The watched loop between two steps.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) of_loop: watch::Snapshot,
    /// What was counted so far.
    pub(super) tally: Tally,
    pub(super) now: Time,
    /// `between` turns, `resume`: in phase 4, or `wait`: asleep in phase 2.
    pub(super) phase: &'static str,
    pub(super) is_paused: bool,
    pub(super) dwell: Duration,
}

impl Snapshot {
    /// `dropped`: events that a page was not sent.
    pub(super) fn to_json(&self, dropped: u64) -> Value {
        let all = &self.of_loop;
        let of_task = |view: &TaskView| task(view, &self.tally.task(view.id));
        let of_source = |view: &SourceView| source(view, &self.tally.source(view.id));
        let tasks: Vec<Value> = all.tasks.iter().take(SINGLY_MAX).map(of_task).collect();
        let ready: Vec<Value> =
            all.ready.iter().take(SINGLY_MAX).map(|task| json!(task.to_string())).collect();
        let timers: Vec<Value> = all
            .timers
            .iter()
            .take(SINGLY_MAX)
            .map(|(task, deadline)| json!({"task": task.to_string(), "deadline": nanos(*deadline)}))
            .collect();
        let sources: Vec<Value> = all.sources.iter().take(SINGLY_MAX).map(of_source).collect();
        let counts = self.tally.counts();
        let mut snapshot = json!({
            "turn": all.turn,
            "phase": self.phase,
            "paused": self.is_paused,
            "now": nanos(self.now),
            "dwell_ms": u64::try_from(self.dwell.as_millis()).unwrap_or(u64::MAX),
            "timeout": self.tally.timeout().map(timeout),
            "ready": ready,
            "timers": timers,
            "tasks": tasks,
            "sources": sources,
            "counts": {
                "connections": counts.connections,
                "requests": counts.requests,
                "events": counts.events,
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

fn task(task: &TaskView, totals: &Totals) -> Value {
    json!({
        "id": task.id.to_string(),
        "kind": task.kind,
        "name": task.name,
        "state": task.state,
        "since": totals.born.map(nanos),
        "waits_for": waits_for(task.status),
        "parent": task.parent.map(|parent| parent.to_string()),
        "site": task.site.map(|site| format!("{}:{}", site.file(), site.line())),
        "about": task.description,
        "resumes": totals.resumes,
        "busy_ns": nanos(Time::ZERO + totals.busy),
        "longest_ns": nanos(Time::ZERO + totals.longest),
        "ready_ns": nanos(Time::ZERO + totals.ready),
        "waited_ns": nanos(Time::ZERO + totals.waited),
        "status_since": nanos(totals.since),
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

fn source(source: &SourceView, totals: &Operated) -> Value {
    json!({
        "id": source.id.to_string(),
        "task": Some(source.task).filter(|task| *task != TaskId::default()).map(|task| task.to_string()),
        "readiness": flags(source.readiness),
        "interest": flags(source.interest),
        "read": totals.read_bytes,
        "written": totals.written_bytes,
        "blocked": totals.blocked,
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
