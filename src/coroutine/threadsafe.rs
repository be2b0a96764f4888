//! Callbacks from other threads: asyncio's `call_soon_threadsafe`.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};

use crate::event_loop::{Context, Flow, Handle, Remote, Task};
use crate::id::TaskId;
use crate::locks::unpoisoned;

/// Hands callbacks to a loop, from any thread. Clones hand them to the same loop.
///
/// ```
/// use helloop::coroutine::{self, Threadsafe};
/// use std::sync::mpsc::channel;
/// use std::thread;
///
/// coroutine::run(|handle| async move {
///     let threadsafe = Threadsafe::new(&handle);
///     let (says, heard) = channel();
///     let thread = thread::spawn(move || {
///         // The callback runs on the loop, and may do there what it likes.
///         threadsafe.call_soon(move |handle| says.send(handle.turns()).expect("it is heard"))
///     });
///     let turn = handle.run_blocking(move || heard.recv()).await.expect("it does not panic");
///     assert!(turn.is_ok() && thread.join().is_ok());
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Threadsafe {
    sender: Arc<Sender>,
}

type Callback = Box<dyn FnOnce(&Handle) + Send>;

struct Sender {
    calls: Arc<Calls>,
    remote: Arc<Remote>,
    task: TaskId,
}

#[derive(Default)]
struct Calls {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    callbacks: Vec<Callback>,
    /// Nobody can hand in any more.
    sender_is_gone: bool,
    /// Nobody will run any more.
    loop_is_gone: bool,
}

/// The loop is gone: the callback was not taken.
///
/// ```
/// use helloop::coroutine::{LoopIsGone, Threadsafe};
/// use helloop::event_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let threadsafe = Threadsafe::new(event_loop.handle());
/// drop(event_loop);
/// assert_eq!(threadsafe.call_soon(|_| ()), Err(LoopIsGone));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopIsGone;

impl fmt::Display for LoopIsGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop is gone")
    }
}

impl std::error::Error for LoopIsGone {}

impl Threadsafe {
    /// For the loop of `handle`. A task on it takes what is handed in, until the last clone is dropped.
    pub fn new(handle: &Handle) -> Threadsafe {
        let calls = Arc::new(Calls::default());
        let taken = Arc::clone(&calls);
        let task = handle.spawn_task(|_| Box::new(Taking { calls: taken }));
        let sender = Sender { calls, remote: handle.remote(), task };
        Threadsafe { sender: Arc::new(sender) }
    }

    /// Runs `callback` on the loop, as [`Handle::call_soon`] there would: in the order in which they were handed in, one
    /// that panics alone.
    ///
    /// # Errors
    /// [`LoopIsGone`] when the loop is. If it ends later, before the callback has run, the callback is dropped.
    pub fn call_soon(
        &self,
        callback: impl FnOnce(&Handle) + Send + 'static,
    ) -> Result<(), LoopIsGone> {
        {
            let mut waiting = unpoisoned(self.sender.calls.waiting.lock());
            if waiting.loop_is_gone {
                return Err(LoopIsGone);
            }
            waiting.callbacks.push(Box::new(callback));
        }
        self.sender.remote.wake(self.sender.task);
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        unpoisoned(self.calls.waiting.lock()).sender_is_gone = true;
        self.remote.wake(self.task);
    }
}

/// The task on the loop.
struct Taking {
    calls: Arc<Calls>,
}

impl Task for Taking {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let (callbacks, is_over) = {
            let mut waiting = unpoisoned(self.calls.waiting.lock());
            (mem::take(&mut waiting.callbacks), waiting.sender_is_gone)
        };
        for callback in callbacks {
            // Each a task of its own: one that panics takes none with it.
            cx.handle().call_soon(callback);
        }
        if is_over { Flow::Done } else { Flow::Wait }
    }

    fn kind(&self) -> &'static str {
        "threadsafe calls"
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let left = {
            let mut waiting = unpoisoned(self.calls.waiting.lock());
            waiting.loop_is_gone = true;
            mem::take(&mut waiting.callbacks)
        };
        // Foreign code, without the lock.
        drop(left);
    }
}

impl fmt::Debug for Threadsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threadsafe").field("task", &self.sender.task).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn callbacks_of_all_threads_run_in_their_order_and_the_task_ends_with_the_last_clone() {
        let mut event_loop = EventLoop::new().unwrap();
        let threadsafe = Threadsafe::new(event_loop.handle());
        let sums = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let threads: Vec<_> = [0, 1]
            .map(|of| {
                let (threadsafe, sums) = (threadsafe.clone(), Arc::clone(&sums));
                thread::spawn(move || {
                    for number in 0..1_000 {
                        let sums = Arc::clone(&sums);
                        let call = move |_: &Handle| {
                            assert_eq!(sums[of].fetch_add(1, Ordering::Relaxed), number);
                        };
                        threadsafe.call_soon(call).unwrap();
                    }
                })
            })
            .into();
        threadsafe.call_soon(|_| panic!("planted")).unwrap();
        drop(threadsafe);
        // It ends when no task is left.
        event_loop.run().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(sums.iter().all(|sum| sum.load(Ordering::Relaxed) == 1_000));
        assert_eq!(event_loop.handle().task_count(), 0);
    }

    #[test]
    fn a_loop_that_is_gone_takes_nothing() {
        let event_loop = EventLoop::new().unwrap();
        let threadsafe = Threadsafe::new(event_loop.handle());
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        threadsafe.call_soon(move |_| drop(holds)).unwrap();
        drop(event_loop);
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(threadsafe.call_soon(|_| ()), Err(LoopIsGone));
    }
}
