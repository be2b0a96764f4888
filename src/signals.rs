//! Signals on the loop: what asyncio's `add_signal_handler` does.
//!
//! A signal handler may do next to nothing, so ours only writes one byte into a socket pair (the
//! "self-pipe trick"). The other end is a source like any other: a task reads the byte in an
//! ordinary turn and calls the action there, where everything is allowed.
//!
//! ```
//! use helloop::event_loop::EventLoop;
//! use helloop::signals::{SIGTERM, on_signal};
//!
//! let event_loop = EventLoop::new()?;
//! let handle = event_loop.handle().clone();
//! on_signal(event_loop.handle(), SIGTERM, move || handle.shutdown())?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::event_loop::{Context, Flow, Handle, Source, Task};
use crate::id::TaskId;
use crate::world::{Readiness, Stream, os};

/// Calls `action` on the loop's thread whenever the process is sent `signal`, in place of what the
/// signal would do by default. Returns the task that waits for it.
///
/// Signals of one kind that arrive before the kernel delivers the first are one signal, as always.
/// Several loops, and other code that uses `signal-hook`, may wait for the same signal. Once the
/// task is gone (with its loop) nothing is called any more, but the default action does not come
/// back: the signal is then ignored.
///
/// # Errors
/// When the process has no descriptors left, or the kernel knows no such signal.
///
/// # Panics
/// For signals that cannot or must not be caught: SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV.
pub fn on_signal(
    handle: &Handle,
    signal: i32,
    action: impl FnMut() + 'static,
) -> io::Result<TaskId> {
    let (to_loop, from_handler) = UnixStream::pair()?;
    from_handler.set_nonblocking(true)?;
    let registration = Registration(pipe::register(signal, to_loop)?);
    handle.try_spawn_task(|task| {
        let stream = Stream::Unix(os::UnixStream::from_std(from_handler));
        let source = Source::stream(handle, stream, task)?;
        Ok(Box::new(Signal { source, action, _registration: registration }) as Box<dyn Task>)
    })
}

/// The task at the reading end of the self-pipe. It waits for as long as its loop lives.
struct Signal<A> {
    /// One byte for each delivery.
    source: Source<Stream>,
    action: A,
    _registration: Registration,
}

impl<A: FnMut()> Task for Signal<A> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        // Until it would block: readiness is sticky, and signals are few.
        loop {
            match self.source.read(&mut cx.scratch.input) {
                Ok(0) => return Flow::Done,
                Ok(deliveries) => (0..deliveries).for_each(|_| (self.action)()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.want(Readiness::READABLE);
                    return Flow::Wait;
                }
                Err(error) => {
                    log::error!("cannot read from the self-pipe of a signal: {error}");
                    return Flow::Done;
                }
            }
        }
    }

    fn kind(&self) -> &'static str {
        "signal"
    }
}

/// The handler's entry in the process-wide table, taken out when the task is dropped.
struct Registration(SigId);

impl Drop for Registration {
    fn drop(&mut self) {
        unregister(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use signal_hook::low_level::raise;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_signal_calls_its_action_on_the_loop() {
        let mut event_loop = EventLoop::new().unwrap();
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        on_signal(event_loop.handle(), SIGUSR1, move || counted.set(counted.get() + 1)).unwrap();
        for expected in 1..=2 {
            raise(SIGUSR1).unwrap();
            assert_eq!(count.get(), expected - 1, "never outside a turn");
            assert!(event_loop.run_until(|| count.get() == expected).unwrap());
        }
    }

    #[test]
    fn a_signal_without_its_loop_is_ignored() {
        let event_loop = EventLoop::new().unwrap();
        on_signal(event_loop.handle(), SIGUSR2, || unreachable!()).unwrap();
        drop(event_loop);
        raise(SIGUSR2).unwrap();
    }

    #[test]
    fn an_unknown_signal_is_an_error() {
        let event_loop = EventLoop::new().unwrap();
        assert!(on_signal(event_loop.handle(), 4711, || {}).is_err());
        assert_eq!(event_loop.handle().task_count(), 0);
    }
}
