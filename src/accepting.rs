//! What becomes of accepts that fail: the same for a server's acceptor and for a listener of coroutines.
//!
//! accept(2) fails in two ways. A connection may have gone while it waited in the queue: it is skipped, and the
//! next one is taken. Or there is no descriptor or no memory: the queue stays as it is, and so does the
//! readiness of the listener, so that a loop which only asked again would spin. It pauses instead.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use crate::limits::{ACCEPT_BACKOFF, ACCEPT_LOG_INTERVAL};
use crate::world::{Time, concerns_one_connection};

/// The failures of one listener.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Connections that were gone before they were accepted, since the last one that was not: whoever accepts one
    /// sets this to 0.
    pub(crate) gone_in_a_row: usize,
    /// Why nothing is accepted.
    logged: Seldom,
}

impl Failures {
    /// Whether nothing should be accepted for a while after `error`. If not, its connection is skipped: the
    /// next may be good, unless the last `in_a_row_max` were not.
    pub(crate) fn call_for_a_pause(&mut self, error: &io::Error, in_a_row_max: usize) -> bool {
        if !concerns_one_connection(error) {
            return true;
        }
        log::debug!("a connection was gone before it was accepted: {error}");
        self.gone_in_a_row += 1;
        // Nothing but failures: whatever it is, do not spin on it.
        self.gone_in_a_row >= in_a_row_max
    }

    /// Begins a pause, and logs why. Returns when it is over.
    pub(crate) fn pause(&mut self, now: Time, why: impl FnOnce() -> String) -> Time {
        self.gone_in_a_row = 0;
        self.warn(now, why);
        now + ACCEPT_BACKOFF
    }

    /// Logs why others have to wait, and not again for a while.
    pub(crate) fn warn(&mut self, now: Time, why: impl FnOnce() -> String) {
        if self.logged.is_due(now, ACCEPT_LOG_INTERVAL) {
            log::warn!("{}", why());
        }
    }
}

/// When a line of the log was written that newcomers could cause without end.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Cell<Option<Time>>,
}

impl Seldom {
    /// Whether to write it at `now`: true at most once in an `interval`, and noted then.
    pub(crate) fn is_due(&self, now: Time, interval: Duration) -> bool {
        let is_due = self.last.get().is_none_or(|last| now.since(last) >= interval);
        if is_due {
            self.last.set(Some(now));
        }
        is_due
    }
}
