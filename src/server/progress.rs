//! How far a server is, for other threads, other runtimes, and its own handlers.

use std::fmt;
use std::future::Future;
use std::iter::Sum;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use slotmap::{DefaultKey, SlotMap};

use super::drain::{Control, ServerHandle};

/// How a server ended, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections accepted.
    pub connections: u64,
    /// Requests answered, refused ones included.
    pub requests: u64,
    /// Connections that were cut before everything was said: at the drain's deadline, or by a
    /// shutdown. Zero after a clean drain.
    pub cut: u64,
    /// Of those, connections that had asked for something and were never accepted: there was no
    /// room for them until the end.
    pub cut_unaccepted: u64,
}

/// What several servers did together.
impl Sum for Report {
    fn sum<I: Iterator<Item = Report>>(reports: I) -> Report {
        reports.fold(Report::default(), |one, other| Report {
            connections: one.connections + other.connections,
            requests: one.requests + other.requests,
            cut: one.cut + other.cut,
            cut_unaccepted: one.cut_unaccepted + other.cut_unaccepted,
        })
    }
}

/// What has been counted. The loop's thread writes, any thread reads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    cut: AtomicU64,
    cut_unaccepted: AtomicU64,
    /// Connections that are open now.
    open: AtomicUsize,
}

/// One writer, so a load and a store make no count disappear; and no count says anything about another.
const ORDER: Ordering = Ordering::Relaxed;

impl Counts {
    /// For each request, so not by [`change`](Counts::change), which writes all of them.
    pub(super) fn count_request(&self) {
        self.requests.store(self.requests.load(ORDER) + 1, ORDER);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Report)) {
        let mut report = self.report();
        change(&mut report);
        self.connections.store(report.connections, ORDER);
        self.requests.store(report.requests, ORDER);
        self.cut.store(report.cut, ORDER);
        self.cut_unaccepted.store(report.cut_unaccepted, ORDER);
    }

    pub(super) fn set_open(&self, open: usize) {
        self.open.store(open, ORDER);
    }

    pub(super) fn report(&self) -> Report {
        Report {
            connections: self.connections.load(ORDER),
            requests: self.requests.load(ORDER),
            cut: self.cut.load(ORDER),
            cut_unaccepted: self.cut_unaccepted.load(ORDER),
        }
    }
}

/// What can be awaited of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to end, and accepts the last connections.
    Draining,
    /// Nothing of it is left.
    Finished,
}

/// Those who wait for a stage of a server.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    wakers: SlotMap<DefaultKey, Waker>,
}

impl Waiters {
    /// Takes all of them out, whatever they wait for: this happens a few times in a server's life, and those for whom
    /// it was too early wait again.
    #[must_use]
    pub(super) fn take(&mut self) -> Vec<Waker> {
        // Not a new map, in which old places would be valid again.
        self.wakers.drain().map(|(_, waker)| waker).collect()
    }
}

/// Ends with the last task of a server, or with a server that was never served.
#[derive(Debug)]
pub(super) struct Ending(pub(super) Arc<Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A moment in the life of a server: see [`ServerHandle::draining`] and [`ServerHandle::finished`]. Any runtime can await
/// it, on any thread.
///
/// ```
/// use helloop::greeting::Greeting;
/// use helloop::server::{Milestone, Server};
///
/// let running = Server::builder().bind("127.0.0.1:0")?.spawn(Greeting)?;
/// let finished: Milestone = running.handle().finished();
/// running.handle().shutdown();
/// helloop::coroutine::run(|_| finished)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it says nothing unless it is awaited"]
pub struct Milestone {
    control: Arc<Control>,
    stage: Stage,
    /// Its waker's place among those who wait.
    place: Option<DefaultKey>,
}

impl ServerHandle {
    /// Ready once the server was told to end, by anybody: by [`drain`](ServerHandle::drain), by
    /// [`shutdown`](ServerHandle::shutdown), by a signal; after [`drain_after`](ServerHandle::drain_after), once the delay is
    /// over. A handler whose answer has no end of its own waits for it, and
    /// ends the answer in order.
    ///
    /// ```
    /// use helloop::coroutine::{Either, race};
    /// use helloop::http::Response;
    /// use helloop::server::{Reply, Server, coroutines, streamed_body};
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// let handle = server.handle();
    /// // Server-sent events, until the server drains.
    /// let running = server.spawn(coroutines(move |request| {
    ///     let handle = handle.clone();
    ///     async move {
    ///         let (mut sender, body) = streamed_body();
    ///         let clock = request.handle().clone();
    ///         clock.clone().spawn(async move {
    ///             let mut draining = handle.draining();
    ///             for number in 0.. {
    ///                 if sender.send(format!("data: {number}\n\n")).await.is_err() {
    ///                     return;
    ///                 }
    ///                 let tick = clock.sleep(Duration::from_millis(1));
    ///                 if let Either::Left(()) = race(&mut draining, tick).await {
    ///                     break;
    ///                 }
    ///             }
    ///             let _ = sender.send("event: end\ndata:\n\n").await;
    ///             sender.finish();
    ///         });
    ///         let mut response = Response::new();
    ///         response.header("Content-Type", "text/event-stream").expect("a good field");
    ///         Reply::Streamed(response, body)
    ///     }
    /// }))?;
    ///
    /// let mut client = TcpStream::connect(running.local_addrs()[0])?;
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    /// let mut answer = vec![0; 1024];
    /// let bytes = client.read(&mut answer)?;
    /// answer.truncate(bytes);
    /// running.handle().drain(Duration::from_secs(20));
    /// client.read_to_end(&mut answer)?;
    /// // The last event, and the last chunk.
    /// assert!(answer.ends_with(b"event: end\ndata:\n\n\r\n0\r\n\r\n"));
    /// assert_eq!(running.join()?.cut, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn draining(&self) -> Milestone {
        Milestone { control: Arc::clone(&self.control), stage: Stage::Draining, place: None }
    }

    /// Ready once nothing of the server is left: after a drain, for example. Also if it was never served.
    pub fn finished(&self) -> Milestone {
        Milestone { control: Arc::clone(&self.control), stage: Stage::Finished, place: None }
    }

    /// True once the server was told to end, and its delay, if any, is over.
    pub fn is_draining(&self) -> bool {
        self.control.has_reached(Stage::Draining)
    }

    /// True once nothing of the server is left.
    pub fn is_finished(&self) -> bool {
        self.control.has_reached(Stage::Finished)
    }

    /// What the server has done so far.
    pub fn report(&self) -> Report {
        self.control.counts.report()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.control.counts.open.load(ORDER)
    }
}

impl Future for Milestone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Wakers are foreign code: none is cloned or dropped while the lock is held.
        let waker = cx.waker().clone();
        let this = &mut *self;
        let mut inner = this.control.inner();
        if inner.has_reached(this.stage) {
            return Poll::Ready(());
        }
        let wakers = &mut inner.waiters.wakers;
        let before = match this.place.and_then(|place| wakers.get_mut(place)) {
            Some(place) => Some(mem::replace(place, waker)),
            None => {
                this.place = Some(wakers.insert(waker));
                None
            }
        };
        drop(inner);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Milestone {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The lock is not held any more when the waker is dropped.
            let waker = self.control.inner().waiters.wakers.remove(place);
            drop(waker);
        }
    }
}

impl fmt::Debug for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Milestone").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_waiting_leaves_nothing() {
        let handle = ServerHandle { control: Control::new() };
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut milestones = [handle.draining(), handle.finished(), handle.draining()];
            for milestone in &mut milestones {
                // Twice: it has one place.
                assert!(Pin::new(&mut *milestone).poll(&mut cx).is_pending());
                assert!(Pin::new(milestone).poll(&mut cx).is_pending());
            }
            assert_eq!(handle.control.inner().waiters.wakers.len(), 3);
        }
        assert!(handle.control.inner().waiters.wakers.is_empty());
    }

    #[test]
    fn an_old_place_is_nobody_elses() {
        let handle = ServerHandle { control: Control::new() };
        let mut cx = Context::from_waker(Waker::noop());
        let mut old = handle.finished();
        assert!(Pin::new(&mut old).poll(&mut cx).is_pending());
        handle.shutdown();
        let mut new = handle.finished();
        assert!(Pin::new(&mut new).poll(&mut cx).is_pending());
        drop(old);
        assert_eq!(handle.control.inner().waiters.wakers.len(), 1);
    }
}
