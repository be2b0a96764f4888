//! What a process that serves has for one that is to take its place.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::supervisor::Supervisor;
use super::takeover::Successor;
use super::{admin, agent};
use crate::command::run::Ending;

/// Listening sockets of a server.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Those of each loop.
    pub(crate) loops: Vec<Vec<OwnedFd>>,
    /// Those of the second server.
    pub(crate) admin: Vec<OwnedFd>,
    /// Those on which a balancer's questions are answered.
    pub(crate) agent: Vec<OwnedFd>,
}

/// What a successor is started from.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody asks for a successor"))]
pub(crate) struct Incumbent {
    pub(crate) successor: Successor,
    pub(crate) ending: Rc<Ending>,
    pub(crate) supervisor: Rc<Supervisor>,
    /// Until a successor has it.
    pub(crate) admin: RefCell<Option<admin::Open>>,
    /// Until a successor has it.
    pub(crate) agent: RefCell<Option<agent::Open>>,
    /// One is being started.
    pub(crate) is_busy: Cell<bool>,
}

impl Sockets {
    /// The sockets of the loops, for so many of them: a new version may have fewer, and no queue may be left alone.
    pub(crate) fn for_loops(loops: Vec<Vec<OwnedFd>>, number: usize) -> Vec<Vec<OwnedFd>> {
        let mut divided: Vec<Vec<OwnedFd>> = Vec::new();
        for (index, sockets) in loops.into_iter().enumerate() {
            match divided.get_mut(index % number) {
                Some(others) => others.extend(sockets),
                None => divided.push(sockets),
            }
        }
        divided
    }
}
