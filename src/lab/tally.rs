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
    /// Time in the ready queue, up to the last resume.
    pub(super) ready: Duration,
    /// Time for which it has waited for something, up to the moment when it was last put into the ready queue.
    pub(super) waited: Duration,
    /// When it was put into the queue, if it is there; else when it began to wait.
    pub(super) since: Time,
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
    /// When the present resume began, and of which task it is.
    resumed: Time,
    at_work: Option<TaskId>,
}

impl Tally {
    pub(super) fn take(&mut self, at: Time, event: &Event) {
        self.counts.events += 1;
        match *event {
            Event::Waiting { timeout } => self.timeout = Some(timeout),
            Event::Request { .. } => self.counts.requests += 1,
            Event::Spawned { task, kind } => {
                self.counts.connections += u64::from(kind == "connection");
                let born = Totals { born: Some(at), since: at, ..Totals::default() };
                self.tasks.insert(task, born);
            }
            Event::Finished { task, kind } => {
                let left = u64::from(kind == "connection");
                self.counts.connections = self.counts.connections.saturating_sub(left);
                self.tasks.remove(task);
            }
            // One that is queued while it runs is ready from the end of this resume on.
            Event::Queued { task, .. } if self.at_work != Some(task) => {
                if let Some(totals) = self.tasks.get_mut(task) {
                    totals.waited += at.since(totals.since);
                    totals.since = at;
                } else {
                    // It was there before anybody looked.
                    self.tasks.insert(task, Totals { since: at, ..Totals::default() });
                }
            }
            Event::Resumed { task, .. } => (self.resumed, self.at_work) = (at, Some(task)),
            Event::Suspended { task, .. } => {
                let took = at.since(self.resumed);
                self.at_work = None;
                if let Some(totals) = self.tasks.get_mut(task) {
                    totals.resumes += 1;
                    totals.busy += took;
                    totals.longest = totals.longest.max(took);
                    totals.ready += self.resumed.since(totals.since);
                    totals.since = at;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::{Cause, Flow};

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_life_is_waiting_being_ready_and_work() {
        let task = TaskId::from_bits(1 << 32 | 5);
        let mut tally = Tally::default();
        let queued = Event::Queued { task, cause: Cause::READABLE };
        let resumed = Event::Resumed { task, kind: "x", cause: Cause::READABLE };
        let suspended = Event::Suspended { task, flow: Flow::Wait };
        let life = [
            (at(100), Event::Spawned { task, kind: "x" }),
            (at(100), queued),
            (at(110), resumed),
            // Woken while it is at work: ready when that is over.
            (at(115), queued),
            (at(130), suspended),
            (at(150), resumed),
            (at(151), suspended),
            (at(1_151), queued),
            (at(1_153), resumed),
            (at(1_160), suspended),
        ];
        life.iter().for_each(|(at, event)| tally.take(*at, event));
        let totals = tally.task(task);
        let nanos =
            [totals.waited, totals.ready, totals.busy, totals.longest].map(|time| time.as_nanos());
        assert_eq!(nanos, [1_000, 10 + 20 + 2, 20 + 1 + 7, 20]);
        assert_eq!((totals.resumes, totals.since), (3, at(1_160)));
        // All of it is accounted for.
        let life = totals.since.since(totals.born.unwrap());
        assert_eq!(life, totals.waited + totals.ready + totals.busy);
    }

    #[test]
    fn one_that_was_there_before_is_counted_from_when_it_is_seen() {
        let task = TaskId::from_bits(1 << 32 | 5);
        let mut tally = Tally::default();
        tally.take(at(7), &Event::Queued { task, cause: Cause::TIMER });
        tally.take(at(9), &Event::Resumed { task, kind: "x", cause: Cause::TIMER });
        tally.take(at(12), &Event::Suspended { task, flow: Flow::Wait });
        let totals = tally.task(task);
        assert_eq!((totals.born, totals.resumes), (None, 1));
        assert_eq!((totals.ready.as_nanos(), totals.busy.as_nanos()), (2, 3));
    }
}
