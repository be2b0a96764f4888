//! State machines as data: what a page or a document draws.

use std::panic::Location;

/// A state machine of the program: the states that [`Event::State`](crate::events::Event::State) names, and the
/// ways between them.
///
/// ```
/// use helloop::server::{MACHINES, Machine, MachineState};
///
/// let connection: &Machine = MACHINES.iter().find(|it| it.kind == "connection").unwrap();
/// let first: &MachineState = &connection.states[0];
/// assert!(first.name == "idle" && connection.leads("idle", "receiving head"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// See [`Task::kind`](crate::event_loop::Task::kind).
    pub kind: &'static str,
    /// The first one is where it begins.
    pub states: &'static [MachineState],
    /// From one state to another, by name. Every transition that is reported is one of these.
    pub edges: &'static [(&'static str, &'static str)],
}

impl Machine {
    /// True if the machine can go from one of these states to the other in one step.
    pub fn leads(&self, from: &str, to: &str) -> bool {
        self.edges.contains(&(from, to))
    }
}

/// A state of a [`Machine`].
#[derive(Clone, Copy, Debug)]
pub struct MachineState {
    /// As events say it.
    pub name: &'static str,
    /// What it means: one sentence.
    pub about: &'static str,
    /// Where it is described: a path in the source, and a line.
    pub file: &'static str,
    /// Counts from 1.
    pub line: u32,
}

impl MachineState {
    /// A state that is described where this is called.
    #[track_caller]
    pub(crate) const fn here(name: &'static str, about: &'static str) -> MachineState {
        let site = Location::caller();
        MachineState { name, about, file: site.file(), line: site.line() }
    }
}
