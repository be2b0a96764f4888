//! A fold over the events: what a page is told besides what is on the loop now.

use std::time::Duration;

use slotmap::SecondaryMap;

use crate::events::{Event, Timeout};
use crate::world::Time;
use crate::{SourceId, TaskId};

/// What was counted since the loop began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Connections open now.
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) events: u64,
}

/// What a task has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// When it was spawned; `None` if that was before anybody looked.
    pub(super) born: Option<Time>,
    /// Those that are over.
    pub(super) resumes: u64,
    /// Time in its resumes, all together.
    pub(super) busy: Duration,
    /// The longest of them.
    pub(super) longest: Duration,
}

/// What was done with a source so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Operated {
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    /// Operations that would have blocked.
    pub(super) blocked: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    /// The last one that was worked out; `None` before the first turn.
    timeout: Option<Timeout>,
    /// Those that are on the loop.
    tasks: SecondaryMap<TaskId, Totals>,
    sources: SecondaryMap<SourceId, Operated>,
    /// When the present resume began.
    resumed: Time,
}

impl Tally {
    pub(super) fn take(&mut self, at: Time, event: &Event) {
        self.counts.events += 1;
        match *event {
            Event::Waiting { timeout } => self.timeout = Some(timeout),
            Event::Request { .. } => self.counts.requests += 1,
            Event::Spawned { task, kind } => {
                self.counts.connections += u64::from(kind == "connection");
                self.tasks.insert(task, Totals { born: Some(at), ..Totals::default() });
            }
            Event::Finished { task, kind } => {
                let left = u64::from(kind == "connection");
                self.counts.connections = self.counts.connections.saturating_sub(left);
                self.tasks.remove(task);
            }
            Event::Resumed { .. } => self.resumed = at,
            Event::Suspended { task, .. } => {
                let took = at.since(self.resumed);
                if let Some(totals) = self.tasks.get_mut(task) {
                    totals.resumes += 1;
                    totals.busy += took;
                    totals.longest = totals.longest.max(took);
                }
            }
            Event::Opened { source, .. } => drop(self.sources.insert(source, Operated::default())),
            Event::Closed { source } => drop(self.sources.remove(source)),
            Event::Read { source, bytes } => {
                self.with(source, |source| source.read_bytes += bytes as u64);
            }
            Event::Wrote { source, bytes, .. } => {
                self.with(source, |source| source.written_bytes += bytes as u64);
            }
            Event::WouldBlock { source, .. } => self.with(source, |source| source.blocked += 1),
            _ => {}
        }
    }

    fn with(&mut self, source: SourceId, change: impl FnOnce(&mut Operated)) {
        if let Some(operated) = self.sources.get_mut(source) {
            change(operated);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    pub(super) fn task(&self, task: TaskId) -> Totals {
        self.tasks.get(task).copied().unwrap_or_default()
    }

    pub(super) fn source(&self, source: SourceId) -> Operated {
        self.sources.get(source).copied().unwrap_or_default()
    }
}
