//! Coroutines on the loop: asyncio's words, in Rust.
//!
//! | asyncio | here | where |
//! |---|---|---|
//! | event loop | [`EventLoop`] | `event_loop/mod.rs` |
//! | coroutine (`async def`) | an `async` block or function: any [`Future`] | the compiler |
//! | `Task`, `create_task` | [`JoinHandle`], [`Handle::spawn`] | `coroutine/spawn.rs` |
//! | `Future` (a value that is set later) | [`Promise`] | `coroutine/promise.rs` |
//! | `call_soon`, `call_later`, `call_at` | the same on [`Handle`] | `coroutine/callback.rs` |
//! | `call_soon_threadsafe` | [`Threadsafe::call_soon`]; [`Remote::wake`](crate::event_loop::Remote::wake), any `Waker` | `coroutine/threadsafe.rs`, `event_loop/wake.rs` |
//! | `sleep(d)`, `sleep(0)` | [`Handle::sleep`], [`yield_now`] | `coroutine/sleep.rs` |
//! | `wait_for`, `timeout` | [`Handle::timeout`] | `coroutine/timeout.rs` |
//! | `gather` | [`Handle::gather`], [`Handle::try_gather`] | `coroutine/gather.rs` |
//! | `wait`, `as_completed` | [`Handle::wait`], [`as_completed`] | `coroutine/wait.rs` |
//! | `wait` for the first of two | [`race`] | `coroutine/race.rs` |
//! | `TaskGroup` | [`Handle::task_group`] | `coroutine/group.rs` |
//! | `shield` | [`JoinHandle::shield`] | `coroutine/spawn.rs` |
//! | `Semaphore`, `Event`, `Queue` | [`Semaphore`], [`Event`], [`Queue`] | `coroutine/sync.rs`, `queue.rs` |
//! | `run_in_executor`, `to_thread` | [`Handle::run_blocking`], [`Executor`] | `coroutine/blocking.rs` |
//! | `getaddrinfo` | [`Handle::resolve`], [`Resolver`] | `coroutine/resolve.rs` |
//! | `open_connection`, streams | [`Handle::open_connection`], [`Stream`] | `coroutine/stream.rs` |
//! | `StreamReader`, `StreamWriter` | [`Stream::split`]: [`ReadHalf`], [`WriteHalf`] | `coroutine/split.rs` |
//! | `readline`, `readuntil`, `readexactly` | [`BufReader`] | `coroutine/buffered.rs` |
//! | `shutdown_default_executor` | [`Executor::shutdown`] | `coroutine/blocking.rs` |
//! | `start_server` | [`Handle::start_server`], [`Listener`] | `coroutine/listener.rs` |
//! | `asyncio.run` | [`run`] | here |
//!
//! The trait [`Future`] is what asyncio calls an awaitable: a thing that the
//! awaiting coroutine runs itself. asyncio's class `Future` is a *value that is not there yet*; here
//! that is a [`Promise`].
//!
//! **Cancellation** is dropping. [`JoinHandle::cancel`] drops the coroutine at its next step, so that
//! the destructors of everything that it holds run there; what it awaits is dropped with it, and a
//! [`JoinHandle`] that is dropped while it is being awaited cancels its task, as asyncio hands a
//! cancellation down. A coroutine cannot catch its cancellation, and cannot await while it is cleaned up.

use std::future::Future;
use std::io;

use crate::event_loop::{EventLoop, Handle};

mod blocking;
mod budget;
mod buffered;
mod callback;
mod deadlock;
#[cfg(unix)]
mod descriptor;
mod gather;
mod group;
mod line;
mod listen_on;
mod listener;
mod look_up_threads;
mod promise;
mod slot;
mod queue;
mod race;
mod relay;
mod resolve;
mod sleep;
mod spawn;
mod split;
mod stream;
mod sync;
mod threadsafe;
mod timeout;
mod wait;
mod waits;
mod waker;
mod watched;

pub use blocking::{Blocking, Executor};
#[cfg(feature = "client")]
pub(crate) use budget::Budgets;
#[cfg(any(feature = "client", feature = "twin"))]
pub(crate) use budget::others_first;
pub use buffered::{BufReader, ReadSource};
pub use callback::Call;
#[cfg(unix)]
pub use descriptor::{Readable, Writable};
pub use gather::{Gather, TryGather};
pub use group::{GroupError, TaskGroup};
#[cfg(all(test, feature = "client"))]
pub(crate) use line::steps;
#[cfg(feature = "client")]
pub(crate) use line::{Place, Places};
pub use listen_on::ListenOn;
pub use listener::{Listener, StreamServer};
pub use promise::{InvalidState, Promise};
pub use queue::{Full, Queue};
pub use race::{Either, race};
#[cfg(feature = "client")]
pub(crate) use relay::Relay;
#[cfg(feature = "client")]
pub(crate) use resolve::with_port;
pub use resolve::{ResolveError, Resolver};
pub use sleep::{Sleep, yield_now};
pub use slot::{Cancelled, DoneCallback};
pub use spawn::{Canceller, JoinError, JoinHandle, Shield};
pub use split::{NotOneStream, ReadHalf, WriteHalf};
pub use stream::Stream;
pub use sync::{Event, Permit, ReleasedTooOften, Semaphore};
pub use threadsafe::{LoopIsGone, Threadsafe};
pub use timeout::{Elapsed, Timeout};
pub use wait::{AsCompleted, ReturnWhen, as_completed};

/// Runs a coroutine on a loop of its own, to its end: asyncio's `run`. Tasks that it leaves running are
/// cancelled then, in no particular order; helper threads are waited for, except those that look
/// names up.
///
/// ```
/// use std::time::Duration;
/// use helloop::coroutine;
///
/// let text = coroutine::run(|handle| async move {
///     let hello = handle.spawn(async { "Hello" });
///     handle.sleep(Duration::from_millis(1)).await;
///     hello.await.expect("it does not panic")
/// })?;
/// assert_eq!(text, "Hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When the process has no descriptor for a poller, when the coroutine panicked, and when the loop
/// was told to shut down before the coroutine had ended.
#[track_caller]
pub fn run<F: Future + 'static>(main: impl FnOnce(Handle) -> F) -> io::Result<F::Output> {
    let mut event_loop = EventLoop::new()?;
    let main = main(event_loop.handle().clone());
    event_loop.run_until_complete(main)
}

impl EventLoop {
    /// Turns until a coroutine has ended, and returns its value. Other tasks stay on the loop.
    ///
    /// # Errors
    /// What [`turn`](EventLoop::turn) says; when the coroutine panicked; and when the loop was told
    /// to shut down before the coroutine had ended (it is cancelled then).
    #[track_caller]
    pub fn run_until_complete<F: Future + 'static>(&mut self, main: F) -> io::Result<F::Output> {
        self.drive_until_complete(main, |event_loop| event_loop.turn(None).map(drop))
    }

    /// As [`run_until_complete`](EventLoop::run_until_complete), with turns that are taken by `turn`; see
    /// [`drive_until`](EventLoop::drive_until).
    ///
    /// # Errors
    /// See [`run_until_complete`](EventLoop::run_until_complete).
    #[track_caller]
    pub fn drive_until_complete<F: Future + 'static>(
        &mut self,
        main: F,
        mut turn: impl FnMut(&mut EventLoop) -> io::Result<()>,
    ) -> io::Result<F::Output> {
        let mut task = self.handle().spawn(main);
        let mut has_said_deadlock = false;
        let turn = |event_loop: &mut EventLoop| {
            if !has_said_deadlock && event_loop.is_deadlocked() {
                has_said_deadlock = true;
                log::warn!("{}", deadlock::report(event_loop.handle()));
            }
            turn(event_loop)
        };
        let ended = self.drive_until(|| task.is_finished(), turn)?;
        match task.take() {
            Some(result) => result.map_err(io::Error::other),
            None => {
                debug_assert!(!ended);
                task.cancel();
                Err(io::Error::new(io::ErrorKind::Interrupted, "the loop was shut down"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
