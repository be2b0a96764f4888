//! Work that blocks, on helper threads: asyncio's `run_in_executor`.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use super::spawn::JoinError;
use crate::event_loop::Handle;
use crate::locks::unpoisoned;
use crate::panics::caught;

/// Helper threads of one loop: as many as asyncio's default executor has at most.
fn threads_max() -> usize {
    available_parallelism().map_or(4, |cores| cores.get() + 4).min(32)
}

impl Handle {
    /// Runs `work` on a helper thread of the loop; the value comes back through the waker. There are
    /// at most `min(32, cores + 4)` such threads, made when they are needed; more work waits. They
    /// are waited for when the loop is dropped, unless [`Executor::shutdown`] bounds that. Work that may take very long
    /// belongs on an [`Executor`] of its own.
    ///
    /// A thread cannot be cancelled: when the returned future is dropped, the work runs on, and its
    /// value is lost. A simulated world knows no threads, and does not wait for the value.
    pub fn run_blocking<T, F>(&self, work: F) -> Blocking<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Executor::of(self).run(work)
    }
}

/// Helper threads for work that blocks: what asyncio's `run_in_executor` takes as its executor.
/// Clones are the same threads. Dropping the last one waits for them.
#[derive(Clone, Debug)]
pub struct Executor {
    pool: Rc<Pool>,
}

impl Executor {
    /// At most so many threads, at least one; each is made when it is needed.
    pub fn new(threads_max: usize) -> Executor {
        Executor { pool: Rc::new(Pool::new(threads_max.max(1))) }
    }

    /// The helper threads of a loop: those of [`Handle::run_blocking`].
    pub fn of(handle: &Handle) -> Executor {
        Executor::clone(&handle.local(|| Executor::new(threads_max())))
    }

    /// Waits until all work is done, for at most `timeout`; then [abandons](Executor::abandon) the threads. True if all
    /// was done. asyncio's `shutdown_default_executor`.
    ///
    /// ```
    /// use helloop::coroutine::{self, Executor};
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// let (never, waits) = channel::<()>();
    /// coroutine::run(|handle| async move {
    ///     drop(handle.run_blocking(|| "done soon"));
    ///     let executor = Executor::of(&handle);
    ///     assert!(executor.shutdown(&handle, Duration::from_secs(60)).await);
    ///     drop(handle.run_blocking(move || waits.recv()));
    ///     assert!(!executor.shutdown(&handle, Duration::from_millis(10)).await);
    /// })?;
    /// // Without it, `run` would wait for the thread, and the thread for this:
    /// drop(never);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn shutdown(&self, handle: &Handle, timeout: Duration) -> bool {
        let idle = poll_fn(|cx| self.pool.work.poll_idle(cx));
        let is_done = handle.timeout(timeout, idle).await.is_ok();
        self.abandon();
        is_done
    }

    /// From now on the threads that are there are not waited for: each ends by itself after the work
    /// that it has, or with the process.
    pub fn abandon(&self) {
        self.pool.threads.take();
    }

    /// As [`Handle::run_blocking`], on these threads. Work that finds them busy waits, and is begun
    /// in the order in which it came.
    pub fn run<T, F>(&self, work: F) -> Blocking<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (job, blocking) = Blocking::new(work);
        if let Err(error) = self.pool.submit(job) {
            log::error!("cannot start a helper thread: {error}");
            lock(&blocking.slot).result = Some(Err(JoinError::Cancelled));
        }
        blocking
    }
}

/// Work for another thread. It does not panic.
pub(super) type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Pool {
    threads_max: usize,
    /// `None` while the pool is dropped.
    jobs: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    work: Arc<Work>,
    threads: RefCell<Vec<thread::JoinHandle<()>>>,
}

/// How much there is to do.
#[derive(Debug, Default)]
struct Work {
    /// Jobs that were given minus jobs that were finished.
    unfinished: AtomicUsize,
    /// The one that waits until there are none.
    waits: Mutex<Option<Waker>>,
}

impl Work {
    fn finish_one(&self) {
        if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waker = lock(&self.waits).take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn poll_idle(&self, cx: &Context<'_>) -> Poll<()> {
        // First the waker, then the look: the last job does it the other way round.
        let before = lock(&self.waits).replace(cx.waker().clone());
        drop(before);
        match self.unfinished.load(Ordering::Acquire) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Pool {
    fn new(threads_max: usize) -> Pool {
        let (jobs, queue) = channel();
        Pool {
            threads_max,
            jobs: Some(jobs),
            queue: Arc::new(Mutex::new(queue)),
            work: Arc::default(),
            threads: RefCell::default(),
        }
    }

    /// Queues a job; before that, starts a thread if all are busy and more are allowed.
    fn submit(&self, job: Job) -> io::Result<()> {
        let unfinished = self.work.unfinished.fetch_add(1, Ordering::AcqRel) + 1;
        let mut threads = self.threads.borrow_mut();
        if unfinished > threads.len() && threads.len() < self.threads_max {
            match self.start_thread(threads.len()) {
                Ok(thread) => threads.push(thread),
                // Fewer threads are slower, and enough.
                Err(_) if !threads.is_empty() => {}
                Err(error) => {
                    self.work.finish_one();
                    return Err(error);
                }
            }
        }
        let jobs = self.jobs.as_ref().expect("it is taken only by drop");
        jobs.send(job).expect("the queue lives as long as the pool");
        Ok(())
    }

    fn start_thread(&self, number: usize) -> io::Result<thread::JoinHandle<()>> {
        let (queue, work) = (Arc::clone(&self.queue), Arc::clone(&self.work));
        thread::Builder::new().name(format!("helloop-blocking-{number}")).spawn(move || {
            loop {
                // The lock is held while waiting, and given to the next with the job.
                let job = lock(&queue).recv();
                let Ok(job) = job else { return };
                job();
                work.finish_one();
            }
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.take() {
            // Jobs do not panic.
            let _ = thread.join();
        }
    }
}

/// A panic while holding one of these locks leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}

struct Slot<T> {
    result: Option<Result<T, JoinError>>,
    waker: Option<Waker>,
}

/// See [`Handle::run_blocking`] and [`Executor::run`].
///
/// ```
/// use helloop::coroutine::{self, Blocking};
///
/// coroutine::run(|handle| async move {
///     let read: Blocking<std::io::Result<String>> =
///         handle.run_blocking(|| std::fs::read_to_string("Cargo.toml"));
///     // Meanwhile the loop serves others.
///     let text = read.await.expect("it does not panic").expect("it can be read");
///     assert!(text.contains("helloop"));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the value comes when this is awaited"]
pub struct Blocking<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T: Send + 'static> Blocking<T> {
    /// `work` as a job for any thread, and the place to which its value comes.
    pub(super) fn new(work: impl FnOnce() -> T + Send + 'static) -> (Job, Blocking<T>) {
        let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
        let place = Arc::clone(&slot);
        let job = Box::new(move || {
            let result = caught(work).map_err(JoinError::Panicked);
            let waker = {
                let mut slot = lock(&place);
                slot.result = Some(result);
                slot.waker.take()
            };
            // Foreign code as well: a value that is not awaited is dropped here.
            let told = caught(move || {
                waker.into_iter().for_each(Waker::wake);
                drop(place);
            });
            if let Err(words) = told {
                log::error!("a panic after the work of a helper thread: {words}");
            }
        });
        (job, Blocking { slot })
    }
}

impl<T> Future for Blocking<T> {
    /// [`JoinError::Panicked`] if the work panicked, [`JoinError::Cancelled`] if the system gave no thread.
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        if let Some(result) = slot.result.take() {
            return Poll::Ready(result);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Blocking<T> {
    /// Nothing is to be woken any more.
    fn drop(&mut self) {
        let waker = lock(&self.slot).waker.take();
        drop(waker);
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("done", &lock(&self.slot).result.is_some()).finish()
    }
}
