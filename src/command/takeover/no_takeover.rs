//! Where descriptors cannot be handed over as on Linux, no process takes the place of another.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use helloop::event_loop::Handle;

use super::supervisor::Supervisor;
use super::{admin, agent};
use crate::command::run::Ending;

pub(crate) struct Sockets {
    pub(crate) loops: Vec<Vec<OwnedFd>>,
    pub(crate) admin: Vec<OwnedFd>,
    pub(crate) agent: Vec<OwnedFd>,
}

impl Sockets {
    pub(crate) fn for_loops(loops: Vec<Vec<OwnedFd>>, _: usize) -> Vec<Vec<OwnedFd>> {
        loops
    }
}

/// There is none.
pub(crate) enum Predecessor {}

impl Predecessor {
    pub(crate) fn from_environment() -> io::Result<Option<(Predecessor, Sockets)>> {
        Ok(None)
    }

    pub(crate) fn tell(&self) {
        match *self {}
    }
}

pub(crate) struct Successor;

impl Successor {
    pub(crate) fn of_this_process() -> io::Result<Successor> {
        Ok(Successor)
    }
}

#[allow(dead_code, reason = "nobody asks for a successor")]
pub(crate) struct Incumbent {
    pub(crate) successor: Successor,
    pub(crate) ending: Rc<Ending>,
    pub(crate) supervisor: Rc<Supervisor>,
    pub(crate) admin: RefCell<Option<admin::Open>>,
    pub(crate) agent: RefCell<Option<agent::Open>>,
    pub(crate) is_busy: Cell<bool>,
}

impl Incumbent {
    /// SIGUSR2 changes nothing.
    pub(crate) fn arrange(self: Rc<Self>, _: &Handle) -> io::Result<()> {
        Ok(())
    }
}
