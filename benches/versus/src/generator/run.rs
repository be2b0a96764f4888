//! What the clients of one run share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;

use hdrhistogram::Histogram;
use helloop::TaskId;
use helloop::world::Time;

use super::histogram;
use crate::script::Script;

/// One run, on one thread.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) address: SocketAddr,
    pub(super) script: Script,
    /// Right answers so far.
    pub(super) answers: Cell<u64>,
    /// Requests so far.
    pub(super) asked: Cell<u64>,
    /// Idle connections that were begun.
    pub(super) opened: Cell<usize>,
    /// Idle connections that have had their answer.
    pub(super) resting: Cell<usize>,
    /// Clients that have had an answer.
    pub(super) greeted: Cell<usize>,
    /// Why the run is worthless; the first reason counts.
    pub(super) failure: RefCell<Option<String>>,
    pub(super) latency: RefCell<Histogram<u64>>,
    /// Open loop: intended moments of requests that no client has taken yet.
    pub(super) due: RefCell<VecDeque<Time>>,
    /// Open loop: clients without a request.
    pub(super) free: RefCell<Vec<TaskId>>,
    /// Requests that may be asked.
    budget: u64,
    window_start: Cell<Time>,
    window_end: Cell<Time>,
    random: RefCell<fastrand::Rng>,
}

impl Run {
    pub(super) fn new(address: SocketAddr, script: Script, budget: u64) -> Run {
        Run {
            address,
            script,
            budget,
            answers: Cell::new(0),
            asked: Cell::new(0),
            opened: Cell::new(0),
            resting: Cell::new(0),
            greeted: Cell::new(0),
            failure: RefCell::new(None),
            latency: RefCell::new(histogram()),
            due: RefCell::default(),
            free: RefCell::default(),
            window_start: Cell::new(Time::NEVER),
            window_end: Cell::new(Time::NEVER),
            // Every run asks the same names in the same order.
            random: RefCell::new(fastrand::Rng::with_seed(11)),
        }
    }

    pub(super) fn begin_window(&self, now: Time) {
        self.window_start.set(now);
    }

    pub(super) fn end_window(&self, now: Time) {
        self.window_end.set(now);
    }

    /// The next request, if another one may be asked.
    pub(super) fn next_line(&self) -> Option<usize> {
        if self.asked.get() >= self.budget {
            return None;
        }
        self.asked.set(self.asked.get() + 1);
        match self.script.len() {
            1 => Some(0),
            lines => Some(self.random.borrow_mut().usize(..lines)),
        }
    }

    /// A right answer came at `now`. It counts for the window in which it came, or, in an open loop
    /// (`by_due`), in which it was due.
    pub(super) fn answered(&self, began: Time, now: Time, by_due: bool) {
        self.answers.set(self.answers.get() + 1);
        let counts = if by_due { began } else { now };
        if counts >= self.window_start.get() && counts < self.window_end.get() {
            let nanos = u64::try_from(now.since(began).as_nanos()).unwrap_or(u64::MAX);
            self.latency.borrow_mut().saturating_record(nanos.max(1));
        }
    }

    pub(super) fn fail(&self, reason: String) {
        self.failure.borrow_mut().get_or_insert(reason);
    }
}
