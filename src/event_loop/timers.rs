//! Timers: who is woken when.
//!
//! Ordered by (deadline, sequence): equal deadlines fire in the order in which they were set (in
//! asyncio, whose heap compares deadlines only, their order is arbitrary). "Exactly now" is due. A
//! cancelled timer is gone at once; there are no tombstones.

use std::collections::BTreeMap;

use crate::id::TaskId;
use crate::world::Time;

/// Names a timer that was set, for cancelling it. Of no use once the timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline: Time,
    /// Unique among the timers of a loop, and not 0.
    sequence: u64,
}

impl TimerId {
    /// A timer that has fired before the loop began: for who has not set one yet.
    pub(crate) const FIRED: TimerId = TimerId { deadline: Time::ZERO, sequence: 0 };

    /// The moment for which the timer was set.
    pub fn deadline(self) -> Time {
        self.deadline
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    timers: BTreeMap<TimerId, TaskId>,
    /// Timers ever set.
    sequence: u64,
}

impl Timers {
    pub(super) fn set(&mut self, deadline: Time, task: TaskId) -> TimerId {
        self.sequence += 1;
        let id = TimerId { deadline, sequence: self.sequence };
        self.timers.insert(id, task);
        id
    }

    /// Takes a timer back; `None` if it has fired or was cancelled before.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<TaskId> {
        self.timers.remove(&id)
    }

    /// The first deadline.
    pub(super) fn first(&self) -> Option<Time> {
        self.timers.first_key_value().map(|(id, _)| id.deadline)
    }

    /// Takes the first timer out, if its deadline is `now` or earlier.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, TaskId)> {
        let first = self.timers.first_entry()?;
        if first.key().deadline > now {
            return None;
        }
        let (id, task) = first.remove_entry();
        Some((id.deadline, task))
    }

    /// In the order of firing.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TaskId, Time)> {
        self.timers.iter().map(|(id, task)| (*task, id.deadline))
    }

    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    #[test]
    fn timers_fire_by_deadline_then_by_sequence_and_never_early() {
        let mut tasks: SlotMap<TaskId, ()> = SlotMap::with_key();
        let ids: Vec<TaskId> = (0..4).map(|_| tasks.insert(())).collect();
        let mut timers = Timers::default();
        let at = Time::from_nanos;
        timers.set(at(20), ids[0]);
        timers.set(at(10), ids[1]);
        timers.set(at(20), ids[2]);
        let cancelled = timers.set(at(5), ids[3]);
        assert_eq!(timers.cancel(cancelled), Some(ids[3]));
        assert_eq!(timers.cancel(cancelled), None);
        assert_eq!((timers.first(), timers.len()), (Some(at(10)), 3));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some((at(10), ids[1])));
        assert_eq!(timers.pop_due(at(30)), Some((at(20), ids[0])));
        assert_eq!(timers.pop_due(at(30)), Some((at(20), ids[2])));
        assert_eq!((timers.pop_due(at(30)), timers.len()), (None, 0));
    }
}
