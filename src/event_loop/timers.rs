//! Timers: which task is resumed when.
//!
//! **A tree, and no tombstones.** asyncio has a heap. A heap cannot give up an entry in its middle, so a
//! timer that was cancelled stays in it, marked, until its time comes, or until more than 100 are set and over
//! half of them are dead, when all of it is built anew. A server sets a timer for every connection and takes
//! most of them back, so here to cancel is as common as to set. A tree does both in logarithmic time, is never
//! larger than what is really awaited, and iterates in the order of firing, which a snapshot shows.
//!
//! **"Exactly now" is due.** Otherwise a turn that woke at a deadline to the nanosecond would do nothing, and
//! wait again, for zero.
//!
//! **Never early, and as late as the loop is busy.** A timer says when a task is to be queued, and not when it runs:
//! the resumes before it in the queue take as long as they take. A deadline is a moment, and stays one however late
//! it is: what repeats can count from it, and does not drift.

use std::collections::BTreeMap;

use crate::id::TaskId;
use crate::world::Time;

/// Names a timer that was set, for cancelling it. Of no use once the timer has fired.
///
/// It is the key of the tree as well: timers fire by deadline, and equal deadlines in the order in which they
/// were set. In a simulated world time stands still during a turn, so two timers of equal length that are set
/// in one turn have the same deadline. Equality is the rule there, and if the order were an accident of the
/// structure, a seed would not repeat a run. (asyncio compares deadlines only and promises no order, so no
/// program that was ported from it can have relied on one.)
///
/// Packed, because an idle connection holds two of them, here and in its task: 12 bytes, and not 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
pub struct TimerId {
    deadline: Time,
    /// Not 0. See [`Timers`].
    sequence: u32,
}

impl TimerId {
    /// Already fired: the initial value where no timer has been set.
    pub(crate) const FIRED: TimerId = TimerId { deadline: Time::ZERO, sequence: 0 };

    /// The moment for which the timer was set.
    pub fn deadline(self) -> Time {
        self.deadline
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// A task may have several. One that is gone may still have some: they fire, and find nothing.
    timers: BTreeMap<TimerId, TaskId>,
    /// That of the timer that was set last. After 2^32 timers it begins again. Two that have the same deadline, to the
    /// nanosecond, notice that if it happened between them: the later one fires first; and if exactly so many were
    /// set between them, in one name they are one timer.
    sequence: u32,
}

impl Timers {
    pub(super) fn set(&mut self, deadline: Time, task: TaskId) -> TimerId {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let id = TimerId { deadline, sequence: self.sequence };
        self.timers.insert(id, task);
        id
    }

    /// Takes a timer back; `None` if it has fired or was cancelled before. To cancel twice is no error: a deadline and
    /// what it was set for come at the same time now and then, and each side may be the one that tidies up.
    pub(super) fn cancel(&mut self, id: TimerId) -> Option<TaskId> {
        self.timers.remove(&id)
    }

    /// The first deadline: how long phase 1 may let the loop wait.
    pub(super) fn first(&self) -> Option<Time> {
        self.timers.first_key_value().map(|(id, _)| id.deadline)
    }

    /// Takes the first timer out, if its deadline is `now` or earlier. One at a time, so that no borrow of the
    /// timers lasts while the observer hears of one.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, TaskId)> {
        let first = self.timers.first_entry().filter(|first| now >= { first.key().deadline })?;
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

    #[test]
    fn the_sequence_comes_round_and_never_to_that_of_a_fired_timer() {
        let mut tasks: SlotMap<TaskId, ()> = SlotMap::with_key();
        let [old, new] = [(); 2].map(|()| tasks.insert(()));
        let mut timers = Timers { sequence: u32::MAX - 1, ..Timers::default() };
        let [first, second] = [old, new].map(|task| timers.set(Time::ZERO, task));
        assert_eq!((first.sequence, second.sequence), (u32::MAX, 1));
        assert_eq!(timers.cancel(TimerId::FIRED), None);
        assert_eq!((timers.cancel(first), timers.cancel(second)), (Some(old), Some(new)));
    }
}
