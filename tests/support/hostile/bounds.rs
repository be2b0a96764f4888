use std::collections::HashMap;

use helloop::events::Event;
use helloop::limits::Limits;
use helloop::world::Time;
use helloop::{SourceId, TaskId};

use crate::checkers::{Checker, demand};

/// Whether the limits of a server hold, as far as its events tell.
pub(super) struct Bounds<'a> {
    limits: &'a Limits,
    /// Connections that are open.
    connections: usize,
    owners: HashMap<SourceId, TaskId>,
    /// Timers that are set, by task.
    timers: HashMap<TaskId, usize>,
    /// What the present resume has done.
    resume: Resume,
    /// Of each connection: the bytes of bodies that were answered and are not written.
    unwritten: HashMap<TaskId, usize>,
}

#[derive(Default)]
struct Resume {
    kind: &'static str,
    accepted: usize,
    asked: usize,
    read_bytes: usize,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(limits: &'a Limits) -> Bounds<'a> {
        Bounds {
            limits,
            connections: 0,
            owners: HashMap::new(),
            timers: HashMap::new(),
            resume: Resume::default(),
            unwritten: HashMap::new(),
        }
    }

    fn set_timers(&mut self, task: TaskId, change: impl FnOnce(usize) -> usize) {
        let count = self.timers.entry(task).or_default();
        *count = change(*count);
    }

    /// An answer was made: those before it must have been written, but for what may wait.
    fn answered(&mut self, task: TaskId, body_bytes: usize) -> Result<(), String> {
        let most = self.limits.output_bytes_max;
        let unwritten = self.unwritten.entry(task).or_default();
        let before = std::mem::replace(unwritten, *unwritten + body_bytes);
        demand(before < most, || format!("{before} bytes of output wait, above {most}"))
    }

    fn suspended(&mut self, task: TaskId) -> Result<(), String> {
        let Resume { kind, accepted, asked, .. } = std::mem::take(&mut self.resume);
        let timers = self.timers.get(&task).copied().unwrap_or(0);
        let timers_max = if kind == "drainer" { 2 } else { 1 };
        demand(timers <= timers_max, || format!("{timers} timers are set for a {kind}"))?;
        if kind == "connection" {
            let most = self.limits.requests_per_resume_max;
            demand(asked <= most, || format!("{asked} requests in one resume"))?;
        }
        let most = self.limits.accepts_per_resume_max;
        demand(accepted <= most, || format!("{accepted} connections in one resume"))
    }
}

impl Checker for Bounds<'_> {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Spawned { kind: "connection", .. } => {
                self.connections += 1;
                let most = self.limits.connections_max.unwrap_or(usize::MAX);
                demand(self.connections <= most, || format!("{} are open", self.connections))?;
            }
            Event::Finished { task, kind } => {
                self.connections -= usize::from(kind == "connection");
                self.unwritten.remove(&task);
                self.timers.remove(&task);
            }
            Event::Opened { source, task } => drop(self.owners.insert(source, task)),
            Event::TimerSet { task, .. } => self.set_timers(task, |count| count + 1),
            Event::TimerFired { task, .. } | Event::TimerCancelled { task, .. } => {
                self.set_timers(task, |count| count.saturating_sub(1));
            }
            Event::Resumed { kind, .. } => self.resume = Resume { kind, ..Resume::default() },
            Event::Accepted { .. } => self.resume.accepted += 1,
            Event::Read { bytes, .. } => {
                let most = self.limits.read_bytes_per_resume_max;
                let before = self.resume.read_bytes;
                demand(before < most, || format!("read on after {before} bytes in one resume"))?;
                self.resume.read_bytes += bytes;
            }
            Event::Request { .. } => self.resume.asked += 1,
            // The bodies of answers that come later are written as they come.
            Event::Response { task, body_bytes, .. } if self.resume.asked > 0 => {
                self.answered(task, body_bytes)?;
            }
            Event::Wrote { source, bytes, .. } => {
                if let Some(unwritten) =
                    self.owners.get(&source).and_then(|owner| self.unwritten.get_mut(owner))
                {
                    *unwritten = unwritten.saturating_sub(bytes);
                }
            }
            Event::Suspended { task, .. } => self.suspended(task)?,
            _ => {}
        }
        Ok(())
    }
}
