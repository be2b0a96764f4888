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

use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::event_loop::{Cause, Context, Flow, Handle, Source, Task};
use crate::id::TaskId;
use crate::world::{Readiness, Stream, os};

/// Calls `action` on the loop's thread whenever the process is sent `signal`, in place of what the
/// signal would do by default. Returns the task that waits for it.
///
/// [`on_signals`] is the same for several signals, and says more.
///
/// # Errors
/// When the process has no descriptors left, or the kernel knows no such signal.
///
/// # Panics
/// For signals that cannot or must not be caught: SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV.
pub fn on_signal(
    handle: &Handle,
    signal: i32,
    mut action: impl FnMut() + 'static,
) -> io::Result<TaskId> {
    on_signals(handle, &[signal], move |_| action())
}

/// Calls `action` with the number of the signal whenever the process is sent one of `signals`, in
/// place of what the signal would do by default. One task waits for all of them, and three
/// descriptors are open for it, however many they are. Returns that task.
///
/// Signals of one kind that arrive before the kernel delivers the first are one signal, as always;
/// of those that were delivered, up to five of a kind are kept until the loop turns. Several
/// kinds that arrived in one turn come in the order of their numbers. Several loops, and other code
/// that uses `signal-hook`, may wait for the same signal. Once the task is gone (with its loop)
/// nothing is called any more, but the default action does not come back: the signal is then
/// ignored.
///
/// # Errors
/// When the process has no descriptors left, or the kernel knows no such signal.
///
/// # Panics
/// For signals that cannot or must not be caught: SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV.
pub fn on_signals(
    handle: &Handle,
    signals: &[i32],
    action: impl FnMut(i32) + 'static,
) -> io::Result<TaskId> {
    // `signal-hook` has places for this many, and panics beyond them.
    if signals.iter().any(|signal| !(1..128).contains(signal)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such signal"));
    }
    let (from_handler, to_loop) = UnixStream::pair()?;
    from_handler.set_nonblocking(true)?;
    let deliveries =
        SignalDelivery::with_pipe(from_handler.try_clone()?, to_loop, WithRawSiginfo, signals)?;
    handle.try_spawn_task(Cause::SPAWNED, |task| {
        let stream = Stream::Unix(os::UnixStream::from_std(from_handler));
        let source = Source::stream(handle, stream, task)?;
        Ok(Box::new(Signals { source, deliveries, action }) as Box<dyn Task>)
    })
}

/// The task at the reading end of the self-pipe. It waits for as long as its loop lives.
struct Signals<A> {
    /// At least one byte after deliveries.
    source: Source<Stream>,
    /// Which signals they were. Its handlers go when it is dropped.
    deliveries: SignalDelivery<UnixStream, WithRawSiginfo>,
    action: A,
}

impl<A: FnMut(i32)> Task for Signals<A> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        // Until it would block: readiness is sticky, and signals are few.
        let flow = loop {
            match self.source.read(&mut cx.scratch.input) {
                Ok(0) => break Flow::Done,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.want(Readiness::READABLE);
                    break Flow::Wait;
                }
                Err(error) => {
                    log::error!("cannot read from the self-pipe of a signal: {error}");
                    break Flow::Done;
                }
            }
        };
        // After the bytes: a handler notes the signal first, and then writes.
        self.deliveries.pending().for_each(|delivery| (self.action)(delivery.si_signo));
        flow
    }

    fn kind(&self) -> &'static str {
        "signal"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use signal_hook::consts::{SIGCHLD, SIGWINCH};
    use signal_hook::low_level::raise;
    use std::cell::{Cell, RefCell};
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
    fn one_task_waits_for_several_signals_and_counts_them() {
        let mut event_loop = EventLoop::new().unwrap();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = Rc::clone(&heard);
        let heard_by_task = move |signal| hears.borrow_mut().push(signal);
        on_signals(event_loop.handle(), &[SIGWINCH, SIGCHLD], heard_by_task).unwrap();
        assert_eq!(event_loop.handle().task_count(), 1);
        for signal in [SIGWINCH, SIGCHLD, SIGWINCH] {
            raise(signal).unwrap();
        }
        assert!(event_loop.run_until(|| heard.borrow().len() == 3).unwrap());
        assert_eq!(*heard.borrow(), [SIGCHLD, SIGWINCH, SIGWINCH]);
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
        for signal in [4711, 127, 0, -1] {
            assert!(on_signal(event_loop.handle(), signal, || {}).is_err(), "{signal}");
        }
        assert_eq!(event_loop.handle().task_count(), 0);
    }
}
