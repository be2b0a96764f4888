//! What runs on the loop.

use std::net::SocketAddr;
use std::panic::Location;

use super::Handle;
use crate::id::TaskId;
use crate::world::Time;

/// A state machine that the loop resumes when something that it waits for has happened.
///
/// Invariants that the loop keeps: a task is resumed at most once a turn; never while another task
/// runs; never again after [`Flow::Done`] or a panic; and, after [`Flow::Wait`], only with at least
/// one [`Cause`].
///
/// A task must not block: while it does, nothing else happens on the loop.
pub trait Task {
    /// Goes on from where the last resume ended, as far as possible without blocking.
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow;

    /// What this is, for logs and observers: `"connection"`.
    fn kind(&self) -> &'static str;

    /// Which one this is, and where it is. It is called by code that looks at the loop, and when something is
    /// reported.
    fn describe(&self) -> Description<'_> {
        Description::default()
    }
}

/// What a task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Resume me when something that I wait for has happened.
    Wait,
    /// I have more to do, others first: put me at the end of the ready queue.
    Again,
    /// I am finished: drop me.
    Done,
}

bitflags::bitflags! {
    /// Why a task is resumed. Causes that arrive before it runs merge.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Cause: u8 {
        /// It is new.
        const SPAWNED = 1;
        /// A source of it became readable while it was interested.
        const READABLE = 2;
        /// A source of it became writable while it was interested.
        const WRITABLE = 4;
        /// A timer of it fired.
        const TIMER = 8;
        /// It was woken, by a handle or a waker.
        const WOKEN = 16;
        /// It asked to be resumed again.
        const AGAIN = 32;
        /// It could go on, and has had its share of a turn: bytes or operations, as many as
        /// [`limits`](crate::limits) allows for one resume.
        const BUDGET_SPENT = 64;
    }
}

/// What a task says of itself. It refers, and formats nothing: the code that shows it decides how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Description<'a> {
    /// The name that it was given: `"Task-1"`.
    pub name: Option<&'a str>,
    /// With whom it talks.
    pub peer: Option<SocketAddr>,
    /// Which of its states it is in, if it has names for them: `"idle"`.
    pub state: Option<&'static str>,
    /// Where in the source it was made.
    pub site: Option<&'static Location<'static>>,
    /// The task that waits for this one to end; or, if none does, the one that spawned it.
    pub parent: Option<TaskId>,
}

/// What a task is given when it is resumed.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) handle: &'a Handle,
    pub(super) now: Time,
    pub(super) task: TaskId,
    pub(super) cause: Cause,
    /// The loop's buffers, for the length of this resume.
    pub scratch: &'a mut Scratch,
}

impl Context<'_> {
    /// The loop.
    pub fn handle(&self) -> &Handle {
        self.handle
    }

    /// The moment at which this turn's wait ended: the same for every task of the turn.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The task that is being resumed.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Why: never empty.
    pub fn cause(&self) -> Cause {
        self.cause
    }
}

/// The loop's one input buffer and one output buffer, so that an idle connection needs none.
#[derive(Debug)]
pub struct Scratch {
    /// Its length is fixed; what it holds means nothing between two resumes.
    pub input: Box<[u8]>,
    /// Empty at the beginning of a resume.
    pub output: Vec<u8>,
}
