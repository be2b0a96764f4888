//! Several event loops in one process: one thread, one server and one set of sockets for each. They
//! share nothing but their end.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Observer;
use helloop::limits::{DESCRIPTORS_RESERVED, Limits};
use helloop::server::{Report, Server, ServerHandle, Service};
use helloop::watch::SlowCallbacks;

use super::locks::unpoisoned;

/// Loops of one process at most. One for each core is useful, and few machines have more cores.
pub(crate) const LOOPS_MAX: u16 = 256;

/// Descriptors of the command beside those of its loops: standard streams, signals, a trace.
const DESCRIPTORS_OF_COMMAND: u64 = 24;

/// What each of `loops` loops may have, so that together they stay within `limits`: connections are
/// divided; every other limit is one of a connection. `descriptors` is the limit of open ones,
/// `addresses` the number of those that each loop listens on, `beside` that of descriptors which are kept for what is
/// beside the servers.
pub(crate) fn divide(
    limits: &Limits,
    loops: NonZeroUsize,
    descriptors: u64,
    addresses: usize,
    beside: usize,
) -> Vec<Limits> {
    let loops = loops.get();
    if loops == 1 && beside == 0 {
        return vec![limits.clone()];
    }
    // A poller and its alarm, and for each address a listener for IPv4, one for IPv6, what a listener has in its hand,
    // and the listener once more, for a process that may take it over.
    let needed = 2 + 6 * addresses as u64;
    let kept = DESCRIPTORS_OF_COMMAND + (DESCRIPTORS_RESERVED + beside) as u64;
    let shared = descriptors.saturating_sub(kept);
    let room = (shared / loops as u64).saturating_sub(needed).max(1);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let of_loop = |number: usize| {
        let mut limits = limits.clone();
        let share = |total: usize| total / loops + usize::from(number < total % loops);
        limits.connections_max = Some(limits.connections_max.map_or(room, share));
        limits
    };
    (0..loops).map(of_loop).collect()
}

/// How long a drain takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// For so long the end is announced, and everything is accepted as before.
    pub(crate) delay: Duration,
    /// From then on it may take so long.
    pub(crate) timeout: Duration,
}

/// The servers of all loops: an order to one is an order to all.
#[derive(Clone)]
pub(crate) struct Everybody {
    servers: Arc<[ServerHandle]>,
    /// Set with the first order.
    is_ending: Arc<AtomicBool>,
}

impl Everybody {
    /// `is_ending` is set before the first of them hears of its end.
    pub(crate) fn new(servers: &[Server], is_ending: Arc<AtomicBool>) -> Everybody {
        Everybody { servers: servers.iter().map(Server::handle).collect(), is_ending }
    }

    /// Drains all of them. The first call says how long it may take.
    pub(crate) fn drain(&self, pace: Pace) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.servers.iter().for_each(|server| server.drain_after(pace.delay, pace.timeout));
    }

    /// Stops all of them now.
    pub(crate) fn shutdown(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.servers.iter().for_each(ServerHandle::shutdown);
    }
}

/// The loops on threads of their own: all but the first, which is the caller's.
pub(crate) struct Others {
    threads: Vec<JoinHandle<io::Result<Report>>>,
    roll: Arc<Roll>,
}

/// How far the threads are.
#[derive(Default)]
struct Roll {
    count: Mutex<Count>,
    nobody_is_beginning: Condvar,
}

#[derive(Default)]
struct Count {
    /// Threads whose loop does not turn yet.
    beginning: usize,
    /// Threads whose loop turns.
    serving: usize,
}

impl Roll {
    /// No code panics while it holds the lock.
    fn count(&self) -> MutexGuard<'_, Count> {
        unpoisoned(self.count.lock())
    }

    /// Waits until every thread serves or has failed. Returns how many serve.
    fn wait_for_all(&self) -> usize {
        let waited = self.nobody_is_beginning.wait_while(self.count(), |c| c.beginning > 0);
        unpoisoned(waited).serving
    }
}

/// A thread's place on the roll. When it is dropped, whether the loop was drained, broke, or
/// panicked, the other loops end with it.
struct Place {
    roll: Arc<Roll>,
    serves: bool,
    everybody: Everybody,
    pace: Pace,
}

impl Place {
    fn take(roll: &Arc<Roll>, everybody: &Everybody, pace: Pace) -> Place {
        roll.count().beginning += 1;
        let (roll, everybody) = (Arc::clone(roll), everybody.clone());
        Place { roll, serves: false, everybody, pace }
    }

    fn begin_to_serve(&mut self) {
        self.serves = true;
        let mut count = self.roll.count();
        count.serving += 1;
        count.beginning -= 1;
        self.roll.nobody_is_beginning.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.roll.count();
        let mine = if self.serves { &mut count.serving } else { &mut count.beginning };
        *mine -= 1;
        drop(count);
        self.roll.nobody_is_beginning.notify_one();
        // After the count: the order to drain makes the first loop turn, and look at it.
        self.everybody.drain(self.pace);
    }
}

/// What one of several loops has for itself.
pub(crate) struct Own<S> {
    pub(crate) service: S,
    pub(crate) observer: Option<Box<dyn Observer + Send>>,
    /// Called before its first turn.
    pub(crate) begin: Option<Begin>,
}

pub(crate) type Begin = Box<dyn FnOnce(&Handle) + Send>;

impl Others {
    /// Serves each on a thread of its own, with what `own` makes for the loop of that number, and returns when all
    /// of them serve. A loop that ends drains `everybody`.
    ///
    /// # Errors
    /// When the system refuses a thread, or a loop cannot begin. All are gone then.
    pub(crate) fn start<S: Service + Send + 'static>(
        servers: impl IntoIterator<Item = Server>,
        everybody: &Everybody,
        pace: Pace,
        own: impl Fn(usize) -> Own<S>,
    ) -> io::Result<Others> {
        let mut others = Others { threads: Vec::new(), roll: Arc::default() };
        let started = servers.into_iter().zip(2..).try_for_each(|(server, number)| {
            let place = Place::take(&others.roll, everybody, pace);
            others.threads.push(start_one(server, own(number), number, place)?);
            Ok(())
        });
        let serving = others.roll.wait_for_all();
        if started.is_ok() && serving == others.threads.len() {
            return Ok(others);
        }
        everybody.shutdown();
        started.and(others.join()).and(Err(io::Error::other("a loop ended as it began")))
    }

    /// True once none of them serves.
    pub(crate) fn are_finished(&self) -> bool {
        self.roll.count().serving == 0
    }

    /// Waits for all of them; it does not end them. Returns what they did together.
    ///
    /// # Errors
    /// The first loop's that broke.
    pub(crate) fn join(self) -> io::Result<Report> {
        let panicked = |_| Err(io::Error::other("a loop's thread panicked"));
        // All are waited for, before any is judged.
        let ends: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ends.into_iter().map(|end| end.unwrap_or_else(panicked)).sum()
    }
}

fn start_one<S: Service + Send + 'static>(
    server: Server,
    own: Own<S>,
    number: usize,
    mut place: Place,
) -> io::Result<JoinHandle<io::Result<Report>>> {
    let serve = move || {
        serve(server, own, &mut place)
            .inspect(|report| log_report(number, report))
            .inspect_err(|error| log::error!("loop {number} broke: {error}"))
    };
    thread::Builder::new().name(format!("loop {number}")).spawn(serve)
}

/// Serves on a loop of this thread.
fn serve<S: Service + 'static>(
    server: Server,
    own: Own<S>,
    place: &mut Place,
) -> io::Result<Report> {
    let mut event_loop = EventLoop::new()?;
    let is_observed = own.observer.is_some();
    event_loop.observe(own.observer.map(|observer| observer as Box<dyn Observer>));
    let attached = server.attach(event_loop.handle(), own.service)?;
    own.begin.into_iter().for_each(|begin| begin(event_loop.handle()));
    place.begin_to_serve();
    if is_observed {
        // An observer wants to hear of what takes too long.
        let mut slow = SlowCallbacks::new(&event_loop);
        slow.run_until(&mut event_loop, || attached.is_finished())?;
    } else {
        event_loop.run_until(|| attached.is_finished())?;
    }
    Ok(attached.report())
}

/// What one loop of several did.
pub(crate) fn log_report(number: usize, report: &Report) {
    let Report { requests, connections, .. } = report;
    log::debug!("loop {number}: requests answered: {requests}, connections: {connections}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::greeting::Greeting;

    const PACE: Pace = Pace { delay: Duration::ZERO, timeout: Duration::from_secs(20) };

    fn greeting(_: usize) -> Own<Greeting> {
        Own { service: Greeting, observer: None, begin: None }
    }

    fn shares(total: Option<usize>, loops: usize, descriptors: u64) -> Vec<Option<usize>> {
        let mut limits = Limits::default();
        limits.connections_max = total;
        let loops = NonZeroUsize::new(loops).unwrap();
        let divided = divide(&limits, loops, descriptors, 1, 0);
        divided.into_iter().map(|limits| limits.connections_max).collect()
    }

    #[test]
    fn connections_are_divided_to_the_last_one() {
        assert_eq!(shares(Some(100), 1, 1024), [Some(100)]);
        assert_eq!(shares(Some(101), 2, 1024), [Some(51), Some(50)]);
        assert_eq!(shares(Some(8), 3, 1024), [Some(3), Some(3), Some(2)]);
    }

    #[test]
    fn so_are_descriptors() {
        assert_eq!(shares(None, 1, 1024), [None]);
        assert_eq!(shares(None, 2, 1024), [Some(490), Some(490)]);
        assert_eq!(shares(None, 256, 1024), [Some(1); 256], "nobody is left without any");
    }

    #[test]
    fn what_is_beside_has_descriptors_of_its_own() {
        let limits = Limits::default();
        let of =
            |loops, beside| divide(&limits, NonZeroUsize::new(loops).unwrap(), 1024, 1, beside);
        assert_eq!(of(1, 20)[0].connections_max, Some(968));
        assert_eq!(of(2, 20)[0].connections_max, Some(480));
    }

    /// The others' servers, none of which this test ends.
    fn start(number: usize) -> (Server, Everybody, Others) {
        let mut servers = vec![Server::builder().bind("127.0.0.1:0").unwrap()];
        for _ in 1..number {
            servers.push(Server::builder().bind_beside(&servers[0]).unwrap());
        }
        let everybody = Everybody::new(&servers, Arc::default());
        let first = servers.remove(0);
        let others = Others::start(servers, &everybody, PACE, greeting).unwrap();
        (first, everybody, others)
    }

    #[test]
    fn the_end_of_one_is_the_end_of_all() {
        let (first, everybody, others) = start(4);
        assert!(!others.are_finished());
        everybody.servers[2].shutdown();
        assert_eq!(others.join().unwrap(), Report::default());
        // The first was told as well.
        assert_eq!(first.serve(Greeting).unwrap(), Report::default());
    }

    #[test]
    fn a_loop_that_cannot_begin_ends_the_others() {
        let mut limits = Limits::default();
        limits.head_bytes_max = 0;
        let good = Server::builder().bind("127.0.0.1:0").unwrap();
        let fine = Server::builder().bind_beside(&good).unwrap();
        let bad = Server::builder().limits(limits).bind_beside(&good).unwrap();
        let servers = [good, bad, fine];
        let everybody = Everybody::new(&servers, Arc::default());
        let error = Others::start(servers, &everybody, PACE, greeting).err().unwrap();
        assert!(error.to_string().contains("head_bytes_max is 0"), "{error}");
    }
}
