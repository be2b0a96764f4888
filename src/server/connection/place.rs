//! The states of a connection for people: their names, what they mean, and where they lead.

use super::{CONNECTION, Connection, Stage, State};
use crate::server::machine::{Machine, MachineState, machine};

/// A [`State`], with the two kinds of receiving told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    ReceivingHead,
    ReceivingBody,
    Answering,
    Serving,
    Flushing,
    Lingering,
    Closed,
}

impl Place {
    pub(super) const ALL: [Place; 8] = [
        Place::Idle,
        Place::ReceivingHead,
        Place::ReceivingBody,
        Place::Answering,
        Place::Serving,
        Place::Flushing,
        Place::Lingering,
        Place::Closed,
    ];

    pub(super) const fn state(self) -> MachineState {
        use MachineState as Is;
        match self {
            Place::Idle => Is::here("idle", "Between requests: nothing of the next one is here."),
            Place::ReceivingHead => {
                Is::here("receiving head", "Part of a request line or of its fields is here.")
            }
            Place::ReceivingBody => {
                Is::here("receiving body", "The head is here, and part of the body.")
            }
            Place::Answering => Is::here(
                "answering",
                "More requests are here, and wait until other tasks have had their turn.",
            ),
            Place::Serving => Is::here("serving", "The service takes its time over the answer."),
            Place::Flushing => Is::here(
                "flushing",
                "The socket took part of the answer; nothing is read until it takes the rest.",
            ),
            Place::Lingering => Is::here(
                "lingering",
                "All is said; what still comes is read for nothing, so that no reset destroys \
                 the answer.",
            ),
            Place::Closed => Is::here("closed", "It is over; the socket is closed now."),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        self.state().name
    }

    /// Where a step can lead. One that stays in its state is not told, and not listed.
    pub(super) const fn leads_to(self) -> &'static [Place] {
        use Place::{
            Answering, Closed, Flushing, Idle, Lingering, ReceivingBody, ReceivingHead, Serving,
        };
        match self {
            Idle => {
                &[ReceivingHead, ReceivingBody, Answering, Serving, Flushing, Lingering, Closed]
            }
            ReceivingHead => {
                &[Idle, ReceivingBody, Answering, Serving, Flushing, Lingering, Closed]
            }
            ReceivingBody => {
                &[Idle, ReceivingHead, Answering, Serving, Flushing, Lingering, Closed]
            }
            Answering => {
                &[Idle, ReceivingHead, ReceivingBody, Serving, Flushing, Lingering, Closed]
            }
            Serving => &[Answering, Flushing, Lingering, Closed],
            Flushing => {
                &[Idle, ReceivingHead, ReceivingBody, Answering, Serving, Lingering, Closed]
            }
            Lingering => &[Closed],
            Closed => &[],
        }
    }
}

/// A connection as data.
pub(in crate::server) const MACHINE: Machine = machine!(CONNECTION, Place);

impl<S> Connection<S> {
    pub(super) fn place(&self) -> Place {
        match (&self.state, self.exchange.stage()) {
            (State::Idle, _) => Place::Idle,
            (State::Receiving { .. }, Stage::Body) => Place::ReceivingBody,
            (State::Receiving { .. }, _) => Place::ReceivingHead,
            (State::Answering { .. }, _) => Place::Answering,
            (State::Serving(_), _) => Place::Serving,
            (State::Flushing { .. }, _) => Place::Flushing,
            (State::Lingering, _) => Place::Lingering,
            (State::Closed, _) => Place::Closed,
        }
    }
}
