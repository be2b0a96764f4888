//! The task that waits for a socket: one at a time, and a second one is refused.
//!
//! A source queues its owner. If a second task that waits were just made the owner, the first would
//! never be resumed again, and nothing would report that. But a stream may go from task to task, and a
//! task that has given up waiting (its future was dropped) does not always say that. So a second task is
//! neither accepted nor refused at once: the first one is woken. If it still waits, it says so again when
//! it is polled. If it has not said so by the time by which it would have, it does not wait any more.

use std::io;
use std::task::Context;

use super::budget::give_way;
use super::relay::Relay;
use crate::event_loop::{Handle, Source};
use crate::id::TaskId;
use crate::world::Readiness;

/// Turns until a task that was woken has been polled for certain: one for its relay, if it has one, one
/// for itself, and one because it may be queued after the task that asks.
const TURNS_TO_ANSWER: u64 = 3;

/// After so many turns an answer is too old: the task that asked has not come back, and the waiter may
/// have given up since.
const TURNS_TO_ASK_AGAIN: u64 = 8 * TURNS_TO_ANSWER;

/// What waits for a stream, for a half of one, or for a listener.
#[derive(Debug, Default)]
pub(super) struct Waits {
    relay: Relay,
    waiter: Option<Waiter>,
    /// The turn in which the waiter was woken, because another task wants to wait.
    asked: Option<u64>,
    /// An operation was refused because the share of this turn is used up.
    pub(super) is_spent: bool,
}

/// The task that waits, or has waited: it need not have said that it gave up.
#[derive(Debug)]
struct Waiter {
    task: TaskId,
    /// The task that is queued for it: itself, or the relay.
    queued: TaskId,
    /// For what.
    interest: Readiness,
    /// The turn in which it said so last.
    turn: u64,
}

/// What a task that wants to wait has to do.
pub(super) enum Wait {
    /// Have this task queued when the source is ready for this.
    For(TaskId, Readiness),
    /// Nothing: it will be polled again.
    Again,
}

/// What a task can wait for.
pub(super) trait Awaited {
    fn waits(&mut self) -> &mut Waits;
}

/// The exclusive use of something while it is awaited. Dropped meanwhile, it gives up waiting.
pub(super) struct Waiting<'a, T: Awaited>(pub(super) &'a mut T);

impl<T: Awaited> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.0.waits().give_up();
    }
}

impl Waits {
    /// As [`wait`](Waits::wait), for a source that one task has: it is resumed when `source` is ready.
    ///
    /// # Errors
    /// Those of [`wait`](Waits::wait).
    pub(super) fn wait_for<S>(
        &mut self,
        source: &Source<S>,
        cx: &Context<'_>,
        interest: Readiness,
        remedy: &str,
    ) -> io::Result<()> {
        if let Wait::For(task, interest) = self.wait(source.handle(), cx, interest, remedy)? {
            source.want_for(task, interest);
        }
        Ok(())
    }

    /// The task that is being resumed, and polls with `cx`, wants to wait for `interest`. What it wants in
    /// one resume adds up.
    ///
    /// # Errors
    /// When another task does, with the words of `remedy`.
    pub(super) fn wait(
        &mut self,
        handle: &Handle,
        cx: &Context<'_>,
        interest: Readiness,
        remedy: &str,
    ) -> io::Result<Wait> {
        if std::mem::take(&mut self.is_spent) {
            give_way(handle, cx);
            return Ok(Wait::Again);
        }
        let task = handle.current_task().unwrap_or_default();
        let turn = handle.turns();
        let mut interest = interest;
        if let Some(waiter) = &self.waiter {
            if waiter.task == task && waiter.turn == turn {
                interest |= waiter.interest;
            }
            let is_alive = |task| handle.look_at(task, |_| ()).is_some();
            let is_another = waiter.task != task && is_alive(waiter.task);
            if is_another && !self.may_take_over(handle, turn, remedy)? {
                cx.waker().wake_by_ref();
                return Ok(Wait::Again);
            }
        }
        if self.waiter.as_ref().is_none_or(|waiter| waiter.task != task) {
            // A new waiter has not been asked yet. The same one answers by waiting again.
            self.asked = None;
        }
        let queued = self.relay.task(handle, cx);
        self.waiter = Some(Waiter { task, queued, interest, turn });
        Ok(Wait::For(queued, interest))
    }

    /// Whether the waiter has given up; asks it, if that is not known yet.
    fn may_take_over(&mut self, handle: &Handle, turn: u64, remedy: &str) -> io::Result<bool> {
        let Some(waiter) = &self.waiter else { return Ok(true) };
        let Some(asked) = self.asked.filter(|asked| turn <= asked + TURNS_TO_ASK_AGAIN) else {
            handle.wake(waiter.queued);
            self.asked = Some(turn);
            return Ok(false);
        };
        if waiter.turn <= asked {
            return Ok(turn >= asked + TURNS_TO_ANSWER);
        }
        self.asked = None;
        let words = format!("task {} waits for it already: {remedy}", waiter.task);
        Err(io::Error::new(io::ErrorKind::ResourceBusy, words))
    }

    /// The task that is being resumed waits for `direction` no more: it was ready.
    pub(super) fn is_over(&mut self, handle: &Handle, direction: Readiness) {
        if let Some(waiter) = &mut self.waiter
            && Some(waiter.task) == handle.current_task()
        {
            waiter.interest.remove(direction);
            if waiter.interest.is_empty() {
                self.waiter = None;
            }
        }
    }

    /// The waiter has given up.
    pub(super) fn give_up(&mut self) {
        self.waiter = None;
    }
}
