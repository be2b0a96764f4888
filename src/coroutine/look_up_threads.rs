//! Threads for looking names up. They are apart from those of
//! [`run_blocking`](crate::event_loop::Handle::run_blocking): a look-up may hang for a minute
//! because a name server is dead, and other work must not wait for that.
//!
//! There is no backlog here: work gets an idle thread or a new one, at once. How many names are
//! looked up at a time is decided by the [`Resolver`](super::Resolver).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::locks::unpoisoned;

use super::blocking::{Blocking, Job, lock};

/// The threads of one loop. Nothing waits for them: dropping this ends those that are idle, and a
/// busy one ends after its work, or with the process.
#[derive(Debug)]
pub(super) struct LookUpThreads {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Time without work after which a thread ends.
    idle_max: Duration,
    state: Mutex<State>,
    /// There is a job, or there will be none any more.
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// Never more than `idle`: each has an idle thread that will take it.
    jobs: VecDeque<Job>,
    /// Threads without work.
    idle: usize,
    /// Threads.
    alive: usize,
    is_closed: bool,
}

impl LookUpThreads {
    /// Threads that end after `idle_max` without work.
    pub(super) fn new(idle_max: Duration) -> LookUpThreads {
        let (state, news) = Default::default();
        LookUpThreads { shared: Arc::new(Shared { idle_max, state, news }) }
    }

    /// Runs `work` on a thread, at once.
    ///
    /// # Errors
    /// When no thread is idle, and the system refuses another.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Blocking<T>> {
        let (job, blocking) = Blocking::new(work);
        let mut state = lock(&self.shared.state);
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            self.shared.news.notify_one();
        } else {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("helloop-resolve".into());
            thread.spawn(move || shared.work(job))?;
            state.alive += 1;
        }
        Ok(blocking)
    }
}

impl Drop for LookUpThreads {
    fn drop(&mut self) {
        lock(&self.shared.state).is_closed = true;
        self.shared.news.notify_all();
    }
}

impl Shared {
    /// The life of a thread.
    fn work(&self, first: Job) {
        first();
        while let Some(job) = self.next_job() {
            job();
        }
    }

    /// Waits for a job. `None`: the thread is to end, and is counted no more.
    fn next_job(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        state.idle += 1;
        let is_without_news = |state: &mut State| state.jobs.is_empty() && !state.is_closed;
        let waited = self.news.wait_timeout_while(state, self.idle_max, is_without_news);
        // Jobs do not panic, and nothing else here panics under the lock.
        (state, _) = unpoisoned(waited);
        state.idle -= 1;
        let job = state.jobs.pop_front();
        state.alive -= usize::from(job.is_none());
        job
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("alive", &self.alive)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::run;
    use std::sync::mpsc::{Sender, channel};

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);

    fn alive(threads: &LookUpThreads) -> usize {
        lock(&threads.shared.state).alive
    }

    /// Work that ends when the sender is dropped.
    fn hanging() -> (Sender<()>, impl FnOnce() + Send) {
        let (end, wait) = channel();
        (end, move || {
            let _ = wait.recv();
        })
    }

    #[test]
    fn every_job_has_a_thread_at_once_and_an_idle_one_is_used_again() {
        run(|handle| async move {
            let threads = LookUpThreads::new(LONG);
            // Each ends when the test ends it: if there were a backlog, the last one would never be ended.
            let (ends, jobs): (Vec<_>, Vec<_>) = (0..100)
                .map(|_| {
                    let (end, job) = hanging();
                    (end, threads.run(job).unwrap())
                })
                .unzip();
            assert_eq!(alive(&threads), 100);
            drop(ends);
            assert_eq!(handle.gather(jobs).await.len(), 100);
            while lock(&threads.shared.state).idle < 100 {
                thread::yield_now();
            }
            for _ in 0..3 {
                threads.run(|| ()).unwrap().await.unwrap();
            }
            assert_eq!(alive(&threads), 100);
        })
        .unwrap();
    }

    #[test]
    fn threads_without_work_end() {
        run(|_| async move {
            let threads = LookUpThreads::new(Duration::from_millis(1));
            assert_eq!(threads.run(|| 1).unwrap().await, Ok(1));
            while alive(&threads) > 0 {
                thread::yield_now();
            }
            assert_eq!(threads.run(|| 2).unwrap().await, Ok(2));
        })
        .unwrap();
    }

    #[test]
    fn nobody_waits_for_a_thread_that_hangs() {
        let (end, hangs) = hanging();
        let shared = run(|handle| async move {
            let threads = LookUpThreads::new(LONG);
            drop(threads.run(hangs).unwrap());
            threads.run(|| ()).unwrap().await.unwrap();
            drop(handle);
            Arc::clone(&threads.shared)
        })
        .unwrap();
        // The loop is gone; the one that is idle ends now, the other one after its work.
        while lock(&shared.state).alive > 1 {
            thread::yield_now();
        }
        drop(end);
        while lock(&shared.state).alive > 0 {
            thread::yield_now();
        }
    }
}
