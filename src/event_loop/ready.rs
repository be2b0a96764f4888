//! The ready queue: who is resumed next.

use std::collections::VecDeque;

use crate::id::TaskId;
use crate::limits::BURST_KEPT;

/// First in, first out. A task is in it at most once: exactly while its slot has a cause.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    queue: VecDeque<TaskId>,
}

impl ReadyQueue {
    pub(super) fn push(&mut self, task: TaskId) {
        self.queue.push_back(task);
    }

    pub(super) fn pop(&mut self) -> Option<TaskId> {
        self.queue.pop_front()
    }

    /// Gives back what a burst took. Called between turns, when the queue is as short as it gets.
    pub(super) fn give_back(&mut self) {
        if self.queue.capacity() > BURST_KEPT && self.queue.len() <= BURST_KEPT / 2 {
            self.queue.shrink_to(BURST_KEPT);
        }
    }

    /// First come first.
    pub(super) fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.queue.iter().copied()
    }

    pub(super) fn first(&self) -> Option<TaskId> {
        self.queue.front().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
