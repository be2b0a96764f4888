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
use crate::panics::caught;
use crate::world::os::{LoopDescriptor, Os};
use crate::world::{Readiness, World};

mod task;
mod timers;
mod state;
mod source;
mod turn;
mod handle;
mod wake;

pub use handle::Handle;
pub use source::Source;
use state::Shared;
pub use state::SourceSlot;
pub use task::{Cause, Context, Description, Flow, Scratch, Task};
pub use timers::TimerId;
pub use wake::Remote;

/// An event loop. It lives on the thread that made it; [`Handle::remote`] reaches it from others.
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
            handle: Handle { shared: Shared::new(world) },
            scratch: Scratch { input: vec![0; INPUT_BUFFER_BYTES].into(), output: Vec::new() },
            left: 0,
            arrived: Vec::new(),
            descriptor: LoopDescriptor::default(),
        }
    }

    /// How tasks, and all other code on this thread, ask the loop for things.
    pub fn handle(&self) -> &Handle {
        &self.handle
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
        self.handle.shared.wakes.take_shutdown()
    }
}

/// Ends the loop: drops all that is on it, and refuses what comes after that. Tasks hold handles, and the loop
/// behind the handles holds the tasks: without this, neither would ever be dropped.
impl Drop for EventLoop {
    fn drop(&mut self) {
        let Shared { state, wakes, .. } = &*self.handle.shared;
        wakes.close();
        state.borrow_mut().is_closed = true;
        // All of them at once, because none can be added any more: looking for the next one from the beginning
        // each time would be quadratic.
        for (task, _) in self.handle.tasks() {
            self.handle.discard(task);
        }
        // After the tasks: a coroutine that is dropped still looks at what coroutines share on this loop.
        let locals = std::mem::take(&mut state.borrow_mut().locals);
        for local in locals {
            if let Err(words) = caught(|| drop(local)) {
                log::error!("a value of the loop panicked while it was dropped: {words}");
            }
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventLoop({:?}, descriptor: {:?})", self.handle, self.descriptor)
    }
}

#[cfg(test)]
mod tests;
