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

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::id::{SourceId, TaskId};
use crate::limits::{INPUT_BUFFER_BYTES, SLOW_CALLBACK};
use crate::observe::{Event, Observer, Timeout};
use crate::panics::caught;
use crate::world::os::Os;
use crate::world::{Readiness, Time, World};

mod callback;
mod core;
mod deadlock;
mod gate;
mod handle;
mod ready;
mod snapshot;
mod source;
mod stall;
mod task;
mod timers;
mod turn;
mod wake;

use stall::Resumes;
use turn::Resume;

pub use callback::Call;
pub(crate) use callback::Callback;
pub use gate::{Gate, Moment};
pub use handle::Handle;
pub use snapshot::{Snapshot, SourceView, Status, TaskView};
pub use source::Source;
pub use task::{Cause, Context, Flow, Scratch, Task};
pub use timers::TimerId;
pub(crate) use wake::Lent;
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
    /// See [`SLOW_CALLBACK`].
    slow_callback: Duration,
    /// Those of the present turn, as far as they have ended.
    resumes: Resumes,
    /// Who may hold the loop.
    gate: Option<Box<dyn Gate>>,
    /// That nothing can ever happen again is said once.
    said_deadlock: bool,
    /// What the last wait reported; empty between turns, kept for its memory.
    arrived: Vec<(SourceId, Readiness)>,
    /// Made when a host program first asks for it.
    descriptor: OnceCell<OwnedFd>,
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
            slow_callback: SLOW_CALLBACK,
            resumes: Resumes::default(),
            gate: None,
            said_deadlock: false,
            arrived: Vec::new(),
            descriptor: OnceCell::new(),
        }
    }

    /// How tasks, and everybody else on this thread, ask the loop for things.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How other threads reach the loop.
    pub fn remote(&self) -> Remote {
        self.handle.remote()
    }

    /// Installs an observer in the place of the present one, which is returned.
    pub fn observe(&mut self, observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
        self.handle.watch().install(observer)
    }

    /// Sets how long a resume, or all those of a turn, may take before that is reported at WARN and to
    /// the observer; zero: for ever. At first it is [`SLOW_CALLBACK`].
    pub fn set_slow_callback(&mut self, duration: Duration) {
        self.slow_callback = duration;
    }

    /// Installs a gate in the place of the present one, which is returned.
    pub fn set_gate(&mut self, gate: Option<Box<dyn Gate>>) -> Option<Box<dyn Gate>> {
        std::mem::replace(&mut self.gate, gate)
    }

    /// Turns until [`Handle::shutdown`] or [`Remote::shutdown`] is called (the turn in which that
    /// happens is finished first), or until no task is left.
    ///
    /// # Errors
    /// See [`turn`](EventLoop::turn).
    pub fn run(&mut self) -> io::Result<()> {
        while self.handle.has_tasks() {
            self.turn(None)?;
            if self.handle.take_stop() {
                break;
            }
        }
        Ok(())
    }

    /// Turns until `done` says so (it is asked before every turn), or until [`run`](EventLoop::run)
    /// would stop. Returns the last answer of `done`.
    ///
    /// # Errors
    /// See [`turn`](EventLoop::turn).
    pub fn run_until(&mut self, mut done: impl FnMut() -> bool) -> io::Result<bool> {
        while !done() {
            if !self.handle.has_tasks() {
                return Ok(false);
            }
            self.turn(None)?;
            if self.handle.take_stop() {
                return Ok(done());
            }
        }
        Ok(true)
    }

    /// True, once, if a shutdown was asked for. [`run`](EventLoop::run) looks by itself; a host
    /// program that calls [`turn`](EventLoop::turn) asks after every turn. Until somebody has
    /// asked, turns do not wait.
    pub fn take_shutdown(&mut self) -> bool {
        self.handle.take_stop()
    }

    /// The moment at which the loop wants to turn again even if nothing happens outside: now, if
    /// something is ready; else that of the first timer; `None` if only the world can wake it.
    /// Host programs wait for this or for the loop's descriptor, whichever comes first, and then
    /// call `turn(Some(Duration::ZERO))`.
    pub fn next_deadline(&self) -> Option<Time> {
        self.handle.next_deadline()
    }

    /// One turn. Waits for at most `limit` (`None`: as long as the loop likes, zero: not at all).
    /// Returns the number of tasks that were resumed.
    ///
    /// # Errors
    /// When the world cannot be waited for: the poller failed (which says that the process is
    /// broken), or nothing can ever happen in a simulated world.
    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        if self.gate.is_some() {
            self.pass_gate(|handle| Some(Moment::Turn { turn: handle.turns() + 1 }));
        }

        // Phase 1: work out the timeout.
        let timeout = self.handle.begin_turn(limit);
        if timeout == Timeout::Forever && !self.said_deadlock && self.handle.is_deadlocked() {
            self.said_deadlock = true;
            self.handle.report_deadlock();
        }

        // Phase 2: ask the world, then read the clock, once.
        self.handle.wait_for_world(timeout, &mut self.arrived)?;

        // Phase 3: queue what happened: readiness, due timers, wakes from other threads.
        self.handle.queue_readiness(&mut self.arrived);
        self.handle.queue_due_timers();
        let batch = self.handle.queue_wakes_and_begin_resuming();

        // Phase 4: resume what was queued when this phase began, first come, first served.
        self.resumes = Resumes::new(batch);
        let mut began = self.handle.now();
        for _ in 0..batch {
            began = self.resume_next(began);
        }
        self.handle.end_resuming();
        self.notice_long_turn(began, batch);
        Ok(batch)
    }

    /// Resumes the first of the queue. `began` is when the one before it ended; gives when this did.
    fn resume_next(&mut self, began: Time) -> Time {
        if self.gate.is_some() {
            self.pass_gate(|handle| {
                handle.next_ready().map(|(task, kind)| Moment::Resume { task, kind })
            });
        }
        self.resumes.left -= 1;
        let Some(mut resume) = self.handle.take_next() else { return began };
        let mut cx = Context {
            handle: &self.handle,
            now: resume.now,
            task: resume.task,
            cause: resume.cause,
            scratch: &mut self.scratch,
        };
        let flow = caught(|| resume.boxed.resume(&mut cx));
        // What a task left in the output buffer is not the next task's to send.
        self.scratch.output.clear();
        let ended = self.notice_slow(&resume, began);
        match flow {
            Ok(Flow::Done) => self.finish(resume.task, resume.boxed),
            Ok(flow) => self.handle.put_back(resume.task, resume.boxed, flow),
            Err(words) => self.bury(resume.task, resume.boxed, &words),
        }
        ended
    }

    /// Asks the gate, and lets it hold the loop. One that panics is removed.
    #[cold]
    fn pass_gate(&mut self, moment: impl FnOnce(&Handle) -> Option<Moment>) {
        let (Some(moment), Some(gate)) = (moment(&self.handle), &mut self.gate) else { return };
        let handle = &self.handle;
        let passed = caught(|| {
            if !gate.lets_pass(moment, handle) {
                handle.stop_clock();
                gate.hold(moment, handle);
            }
        });
        handle.let_clock_go_on();
        if passed.is_err() {
            log::error!("the gate panicked before {moment}; it was removed");
            let gate = self.gate.take();
            // Its drop may panic as well.
            let _ = caught(|| drop(gate));
        }
    }

    /// Reports a resume that held everybody up. Gives the time.
    fn notice_slow(&mut self, resume: &Resume, began: Time) -> Time {
        if self.slow_callback.is_zero() {
            return began;
        }
        let ended = self.handle.clock();
        let took = ended.since(began);
        self.resumes.took(resume.task, took);
        if took >= self.slow_callback {
            let (task, boxed) = (resume.task, resume.boxed.as_ref());
            self.handle.report_slow(task, boxed, took, &self.resumes, ended);
        }
        ended
    }

    /// Reports a turn that held the loop up although none of its resumes was reported.
    fn notice_long_turn(&self, ended: Time, resumed: usize) {
        let took = ended.since(self.handle.now());
        if took >= self.slow_callback && self.resumes.longest() < self.slow_callback {
            self.handle.report_long_turn(took, resumed, &self.resumes);
        }
    }

    /// Removes a task. Its drop closes its sources, and may ask the handle for things.
    fn finish(&self, task: TaskId, boxed: Box<dyn Task>) {
        self.handle.forget(task);
        self.handle.drop_task(task, boxed);
        self.handle.queue_wakes();
    }

    fn bury(&self, task: TaskId, boxed: Box<dyn Task>, words: &str) {
        let kind = boxed.kind();
        log::error!("task {task} ({kind}) panicked and was removed: {words}");
        self.handle.watch().tell(|| Event::Panicked { task, kind });
        self.finish(task, boxed);
    }
}

/// The descriptor becomes readable when a turn would find something to do. It is the poller itself
/// (an epoll descriptor can be waited for by another epoll).
///
/// # Panics
/// In a simulated world, which has no descriptor, and when the process has none left.
impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let make = || self.handle.descriptor().expect("the world has a descriptor to give");
        self.descriptor.get_or_init(make).as_fd()
    }
}

impl Drop for EventLoop {
    /// Tasks hold handles, and the loop behind the handles holds the tasks: take them out.
    fn drop(&mut self) {
        for task in self.handle.close_loop() {
            // Another task's destructor may have discarded it.
            if let Some(boxed) = self.handle.take_task(task) {
                self.finish(task, boxed);
            }
        }
        self.handle.drop_locals();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
