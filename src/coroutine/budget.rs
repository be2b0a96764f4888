//! What a coroutine may do in one resume before the others have their turn.
//!
//! A socket can be always ready: a peer sends as fast as it is read. A coroutine that reads it in a loop
//! would never come to an `await` that waits, and no timer and no other task would be looked at again.
//! So everything that can be always ready counts what it did in the present turn. When that is enough,
//! it once behaves as if it would block, and queues its task after those that are ready.
//!
//! Each stream counts for itself, and so does each queue, semaphore or event for each task. If all that a
//! task does were counted together, the first of several streams that it looks at in a fixed order would
//! leave nothing for the last, in every turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};

use super::waker::task_behind;
use crate::event_loop::{Cause, Handle};
use crate::id::TaskId;
use crate::limits::OPERATIONS_PER_RESUME_MAX;

/// What was done in the present turn. A task is resumed at most once a turn, so for what one task uses
/// at a time that is what one resume has done.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Older than the present turn: nothing was done yet.
    turn: u64,
    bytes: usize,
    operations: usize,
}

impl Budget {
    /// How many of `bytes_max` bytes may still be moved; zero when it is the others' turn.
    pub(super) fn bytes_left(&mut self, handle: &Handle, bytes_max: usize) -> usize {
        let turn = handle.turns();
        if self.turn != turn {
            *self = Budget { turn, bytes: 0, operations: 0 };
        }
        let is_spent = self.operations >= OPERATIONS_PER_RESUME_MAX || self.bytes >= bytes_max;
        // Outside of a resume, no task can give way.
        if is_spent && handle.current_task().is_some() {
            return 0;
        }
        if is_spent { bytes_max } else { bytes_max - self.bytes }
    }

    /// An operation has moved so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.operations += 1;
    }
}

/// What one stream may do.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    pub(super) reading: Budget,
    pub(super) writing: Budget,
}

/// What one resume has done with something that many tasks use: operations that did not wait.
pub(super) struct Share {
    handle: Handle,
    /// The turn and the task that took last. A task runs at most once a turn, and no other meanwhile.
    resume: Cell<(u64, TaskId)>,
    operations: Cell<usize>,
}

impl Share {
    pub(super) fn new(handle: &Handle) -> Share {
        Share { handle: handle.clone(), resume: Cell::default(), operations: Cell::new(0) }
    }

    /// Counts an operation. Before it, gives up control if the present resume has had its share.
    pub(super) async fn take(&self) {
        while !self.try_take() {
            others_first(&self.handle).await;
        }
    }

    fn try_take(&self) -> bool {
        let Some(task) = self.handle.current_task() else { return true };
        let resume = (self.handle.turns(), task);
        if self.resume.replace(resume) != resume {
            self.operations.set(0);
        }
        let before = self.operations.get();
        self.operations.set(before + 1);
        before < OPERATIONS_PER_RESUME_MAX
    }
}

/// Has the task that polls with `cx` polled again in the next turn, after those that are ready now.
pub(super) fn give_way(handle: &Handle, cx: &Context<'_>) {
    if let Some(task) = handle.current_task() {
        handle.resume_for(task, Cause::BUDGET_SPENT);
    }
    // Combinators look only at children whose own waker was called.
    if task_behind(handle, cx.waker()).is_none() {
        cx.waker().wake_by_ref();
    }
}

/// Gives up control for a turn, because the share of the present one is used up. As
/// [`yield_now`](super::yield_now), and observers of the loop are told why.
pub(crate) async fn others_first(handle: &Handle) {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        give_way(handle, cx);
        Poll::Pending
    })
    .await;
}
