//! What may stand at the front of a connection, before its first request, and is no HTTP: the door for whatever tells
//! a server who its client is, such as the PROXY protocol.
//!
//! A connection has not begun before its preface is read. Until then it is idle, or, with a part of it, receives its
//! head: the limits of both hold.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use super::Shared;
use super::asking::Who;
use crate::accepting::Seldom;
use crate::http::{Reason, Want};
use crate::id::SourceId;
use crate::limits::{BURST_KEPT, PREFACE_BYTES_MAX, PREFACE_LOG_INTERVAL};
use crate::panics::caught;

/// What has been found at the front of a connection; see [`Builder::preface`](super::Builder::preface).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preface {
    /// That is not certain before more has come.
    Partial,
    /// So many bytes of it, which is all: the first request follows. No bytes: there is no preface.
    Whole {
        /// At most as many as there are.
        bytes: usize,
        /// Who the client is, if it said so; else it is the peer.
        client: Option<SocketAddr>,
    },
    /// Something that must not be there, with the reason for the log. The connection is closed without an answer.
    Wrong(&'static str),
}

/// Why a connection ends whose preface was not whole within the time of a head.
pub(super) const PREFACE_LATE: &str = "the preface was not whole in time";

/// Reads the beginning of a connection of this peer.
pub(super) type Reader = Box<dyn Fn(SocketAddr, &[u8]) -> Preface + Send>;

/// The prefaces of a server's connections.
pub(super) struct Prefaces {
    reader: Reader,
    /// The clients of connections, of those that are state machines: so one without a client needs no room for it.
    clients: RefCell<HashMap<SourceId, SocketAddr>>,
    /// That one is wrong.
    logged: Seldom,
}

impl Prefaces {
    pub(super) fn new(reader: Reader) -> Prefaces {
        Prefaces { reader, clients: RefCell::default(), logged: Seldom::default() }
    }

    /// Keeps the client of a connection.
    pub(super) fn keep(&self, source: SourceId, client: SocketAddr) {
        self.clients.borrow_mut().insert(source, client);
    }

    pub(super) fn kept(&self, source: SourceId) -> Option<SocketAddr> {
        self.clients.borrow().get(&source).copied()
    }

    pub(super) fn forget(&self, source: SourceId) {
        let mut clients = self.clients.borrow_mut();
        clients.remove(&source);
        if clients.is_empty() {
            // What a burst took is given back.
            clients.shrink_to(BURST_KEPT);
        }
    }
}

impl<S> Shared<S> {
    /// Takes the preface of `who` off `rest`, which has all that has come of the connection, and notes the client if it
    /// names one. `eof`: nothing comes after this.
    ///
    /// # Errors
    /// What is waited for, while it is not whole; or that the connection is over.
    pub(super) fn take_preface(
        &self,
        who: &mut Who,
        rest: &mut &[u8],
        eof: bool,
    ) -> Result<(), Want> {
        let Some(prefaces) = &self.prefaces else { return Ok(()) };
        if rest.is_empty() {
            // A peer that says nothing at all: a balancer that only looks whether somebody listens.
            return Err(if eof { Want::Close(Reason::PeerFinished) } else { Want::Request });
        }
        let found = caught(|| (prefaces.reader)(who.peer, rest))
            .unwrap_or(Preface::Wrong("what reads the preface panicked"));
        let why = match found {
            Preface::Whole { bytes, client } if bytes <= rest.len() => {
                *rest = &rest[bytes..];
                who.client = client;
                return Ok(());
            }
            Preface::Whole { .. } => "what reads the preface took more than there was",
            Preface::Partial if eof => "the peer finished within its preface",
            Preface::Partial if rest.len() >= PREFACE_BYTES_MAX => "the preface is too long",
            Preface::Partial => return Err(Want::Head),
            Preface::Wrong(why) => why,
        };
        Err(Want::Close(self.refuse_preface(who, why)))
    }

    /// Logs why there is no good preface, but not again and again. Returns why the connection ends.
    pub(super) fn refuse_preface(&self, who: &Who, why: &str) -> Reason {
        let (Who { task, peer, .. }, now) = (*who, self.status.handle.now());
        let prefaces = self.prefaces.as_ref();
        let is_told = prefaces.is_some_and(|it| it.logged.is_due(now, PREFACE_LOG_INTERVAL));
        let level = if is_told { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "connection {task} from {peer} is closed before its first request: {why}");
        Reason::PrefaceRefused
    }
}
