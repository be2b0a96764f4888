//! The event loop: one thread, one queue, and one function, [`EventLoop::turn`], that does what
//! asyncio's `_run_once` and libuv's iteration do.
//!
//! Everything on the loop is a [`Task`]. A turn has four phases:
//!
//! 1. work out the timeout: zero if anything is ready, else until the next timer, else for ever;
//! 2. ask the world, then read the clock, once;
//! 3. queue what happened: readiness to the owner of the source, then due timers, then wakes from
//!    other threads;
//! 4. resume exactly the tasks that were queued when phase 4 began, in FIFO order; whatever they
//!    queue waits for the next turn.
//!
//! Nothing else anywhere calls a task.

use std::fmt;
use std::io;

use crate::events::Observer;
use crate::id::SourceId;
use crate::limits::INPUT_BUFFER_BYTES;
use crate::world::os::{LoopDescriptor, Os};
use crate::world::{Readiness, Time, World};

mod task;
mod timers;
mod state;
mod source;
mod turn;
mod handle;
mod wake;
mod ends;

pub use handle::{Handle, SourceView};
pub use source::Source;
pub(crate) use task::Described;
pub use task::{Cause, Context, Description, Flow, Scratch, Task};
pub use timers::TimerId;
pub use wake::Remote;

/// An event loop. It lives on the thread that made it; [`EventLoop::remote`] reaches it from others.
///
/// ```
/// use helloop::event_loop::{Context, EventLoop, Flow, Task};
///
/// struct Hello;
///
/// impl Task for Hello {
///     fn resume(&mut self, _: &mut Context<'_>) -> Flow {
///         println!("Hello from the loop");
///         Flow::Done
///     }
///
///     fn kind(&self) -> &'static str {
///         "hello"
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.handle().spawn_task(|_| Box::new(Hello));
/// event_loop.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EventLoop {
    handle: Handle,
    scratch: Scratch,
    /// Tasks of the batch that are still to be resumed; zero between turns.
    left: usize,
    /// That nothing can ever happen again is said once.
    has_said_deadlock: bool,
    /// What the last wait reported; empty between turns, kept for its memory.
    arrived: Vec<(SourceId, Readiness)>,
    /// Filled when a host program first asks for it: see `AsFd` in [`os`](crate::world::os).
    pub(crate) descriptor: LoopDescriptor,
}

impl EventLoop {
    /// A loop on the operating system.
    ///
    /// # Errors
    /// When the process has no descriptor left for the poller.
    pub fn new() -> io::Result<EventLoop> {
        Ok(EventLoop::with_world(Box::new(Os::new()?)))
    }

    /// A loop on any world, for example on a simulated one.
    pub fn with_world(world: Box<dyn World>) -> EventLoop {
        EventLoop {
            handle: Handle::new(world),
            scratch: Scratch::new(INPUT_BUFFER_BYTES),
            left: 0,
            has_said_deadlock: false,
            arrived: Vec::new(),
            descriptor: LoopDescriptor::default(),
        }
    }

    /// How tasks, and all other code on this thread, ask the loop for things.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How other threads reach the loop.
    pub fn remote(&self) -> Remote {
        self.handle.remote()
    }

    /// Installs an observer in the place of the present one, which is returned.
    pub fn observe(&mut self, observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
        self.handle.shared.watch.install(observer)
    }

    /// Stops the loop's clock while `look` looks at the loop, or waits for somebody who does. No timer becomes
    /// due meanwhile, and nothing fires in a burst afterwards; the wall clock goes on, and so does the world: the
    /// kernel takes connections and bytes, and the next wait reports them. A turn cannot begin meanwhile:
    ///
    /// ```compile_fail
    /// # let mut event_loop = helloop::event_loop::EventLoop::new().unwrap();
    /// event_loop.hold_clock(|_| event_loop.begin_turn(None)); // it is borrowed
    /// ```
    pub fn hold_clock<R>(&mut self, look: impl FnOnce(&Handle) -> R) -> R {
        let _held = self.handle.shared.clock.hold();
        look(&self.handle)
    }

    /// Turns until [`Handle::shutdown`] or [`Remote::shutdown`] is called (the turn in which that
    /// happens is finished first), or until no task is left.
    ///
    /// # Errors
    /// See [`turn`](EventLoop::turn).
    pub fn run(&mut self) -> io::Result<()> {
        self.run_until(|| false).map(drop)
    }

    /// Turns until `done` says so (it is asked before every turn), or until [`run`](EventLoop::run)
    /// would stop. Returns the last answer of `done`.
    ///
    /// # Errors
    /// See [`turn`](EventLoop::turn).
    pub fn run_until(&mut self, done: impl FnMut() -> bool) -> io::Result<bool> {
        self.drive_until(done, |event_loop| event_loop.turn(None).map(drop))
    }

    /// As [`run_until`](EventLoop::run_until), with turns that are taken by `turn`: for a host that looks,
    /// pauses or steps between resumes.
    ///
    /// # Errors
    /// Those of `turn`.
    pub fn drive_until(
        &mut self,
        mut done: impl FnMut() -> bool,
        mut turn: impl FnMut(&mut EventLoop) -> io::Result<()>,
    ) -> io::Result<bool> {
        while !done() {
            if self.handle.task_count() == 0 {
                return Ok(false);
            }
            if !self.has_said_deadlock && self.handle.is_deadlocked() {
                self.has_said_deadlock = true;
                self.handle.report_deadlock();
            }
            turn(self)?;
            if self.take_shutdown() {
                return Ok(done());
            }
        }
        Ok(true)
    }

    /// True, once, if a shutdown was asked for. [`run`](EventLoop::run) looks by itself; a host
    /// program that calls [`turn`](EventLoop::turn) asks after every turn. Until it has
    /// asked, turns do not wait.
    pub fn take_shutdown(&mut self) -> bool {
        self.handle.shared.wakes.take_stop()
    }

    /// The moment at which the loop wants to turn again even if nothing happens outside: now, if
    /// something is ready; else that of the first timer; `None` if only the world can wake it.
    /// Host programs wait for this or for the loop's descriptor, whichever comes first, and then
    /// call `turn(Some(Duration::ZERO))`.
    pub fn next_deadline(&self) -> Option<Time> {
        let shared = &*self.handle.shared;
        let state = shared.state.borrow();
        let is_busy = !state.ready.is_empty() || shared.wakes.pending() || shared.wakes.stopping();
        if is_busy { Some(state.now) } else { state.timers.first() }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.handle.close_loop();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
