//! The states of a connection in one table: what each is called, what it means, how long it may last, what it means
//! to a newcomer, and where it leads by design.

use std::time::Duration;

use crate::limits::Limits;
use crate::server::machine::{Machine, MachineState as Is};
use crate::server::room::Rest;
use crate::server::{CONNECTION, Shared, status::Phase};

/// All that there is to say about a state, apart from what a connection does in it.
pub(in crate::server) struct Row {
    is: Is,
    /// How long a connection may be in it without progress; `None`: it waits for us, not for its peer.
    limit: Option<fn(&Limits) -> Duration>,
    pub(in crate::server) rest: Rest,
    /// The states that are next by design.
    next: &'static [usize],
}

/// The rows of the table.
pub(in crate::server) const IDLE: usize = 0;
pub(in crate::server) const RECEIVING_HEAD: usize = 1;
pub(in crate::server) const RECEIVING_BODY: usize = 2;
pub(in crate::server) const ANSWERING: usize = 3;
pub(in crate::server) const SERVING: usize = 4;
pub(in crate::server) const FLUSHING: usize = 5;
pub(in crate::server) const LINGERING: usize = 6;
pub(in crate::server) const CLOSED: usize = 7;

/// A request goes around a ring and passes by what it does not need: a state is where something had to be waited for,
/// and a request that comes whole, and whose answer fits into the socket, is never seen outside of *idle*. From
/// everywhere on the ring, what fails is closed, and a last answer lingers.
pub(in crate::server) const TABLE: [Row; 8] = [
    Row {
        is: Is::here("idle", "Between requests: nothing of the next one is here."),
        limit: Some(|limits| limits.idle_timeout),
        rest: Rest::Idle,
        next: &[RECEIVING_HEAD],
    },
    Row {
        is: Is::here("receiving head", "Part of a request line or of its fields is here."),
        limit: Some(|limits| limits.head_timeout),
        rest: Rest::Busy,
        next: &[RECEIVING_BODY],
    },
    Row {
        is: Is::here("receiving body", "The head is here, and part of the body."),
        limit: Some(|limits| limits.body_progress_timeout),
        rest: Rest::Busy,
        next: &[ANSWERING],
    },
    Row {
        is: Is::here(
            "answering",
            "More requests are here, and wait until other tasks have had their turn.",
        ),
        limit: None,
        rest: Rest::Busy,
        next: &[SERVING],
    },
    Row {
        is: Is::here("serving", "The service takes its time over the answer."),
        limit: None,
        rest: Rest::Busy,
        next: &[FLUSHING],
    },
    Row {
        is: Is::here(
            "flushing",
            "The socket took part of the answer; nothing is read until it takes the rest.",
        ),
        limit: Some(|limits| limits.write_progress_timeout),
        rest: Rest::Busy,
        next: &[IDLE, LINGERING],
    },
    Row {
        is: Is::here(
            "lingering",
            "All is said; what still comes is read for nothing, so that no reset destroys \
             the answer.",
        ),
        limit: Some(|limits| limits.linger_timeout),
        rest: Rest::Lingering,
        next: &[CLOSED],
    },
    Row {
        is: Is::here("closed", "It is over; the socket is closed now."),
        limit: None,
        rest: Rest::Busy,
        next: &[],
    },
];

impl Row {
    pub(in crate::server) const fn name(&self) -> &'static str {
        self.is.name
    }
}

/// The table, to be drawn.
pub(in crate::server) const MACHINE: Machine = {
    const STATES: [Is; TABLE.len()] = {
        let mut states = [TABLE[0].is; TABLE.len()];
        let mut at = 0;
        while at < TABLE.len() {
            states[at] = TABLE[at].is;
            at += 1;
        }
        states
    };
    const EDGES: [(&str, &str); TABLE.len()] = {
        let (mut edges, mut count, mut at) = ([("", ""); TABLE.len()], 0, 0);
        while at < TABLE.len() {
            let mut way = 0;
            while way < TABLE[at].next.len() {
                edges[count] = (TABLE[at].is.name, TABLE[TABLE[at].next[way]].is.name);
                (count, way) = (count + 1, way + 1);
            }
            at += 1;
        }
        assert!(count == edges.len(), "one way for each state: a ring, and its end");
        edges
    };
    Machine { kind: CONNECTION, states: &STATES, edges: &EDGES }
};

impl<S> Shared<S> {
    /// How long a connection may be in a state without progress; without a limit for ever.
    pub(in crate::server) fn time_limit(&self, row: usize) -> Duration {
        match TABLE[row].limit {
            Some(_) if row == IDLE => self.idle_time_limit(),
            Some(limit) => limit(&self.limits),
            None => Duration::MAX,
        }
    }

    /// How long a connection may be idle now. In a drain that closes the idle, one that was accepted,
    /// or answered, just now has the same grace as the others had.
    pub(in crate::server) fn idle_time_limit(&self) -> Duration {
        match self.status.phase.get() {
            Phase::ClosingIdle => self.limits.drain_idle_grace,
            _ => self.limits.idle_timeout,
        }
    }
}
