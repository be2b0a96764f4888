//! Figures of a server that runs, for Prometheus and for balancers: a fold over the events of each loop.
//!
//! Without `--admin` and `--agent` there is no observer, and nothing is paid. Each loop has [`Figures`] of its own, which its own
//! thread alone writes, and any thread reads: nothing is shared between loops, and no connection is looked at when the
//! figures are asked for.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use helloop::TaskId;
use helloop::event_loop::Flow;
use helloop::events::{Event, Observer};
use helloop::server::MACHINES;
use helloop::world::Time;

use super::locks::unpoisoned;

mod text;

pub(crate) use text::{CONTENT_TYPE, Page};

/// The time after which what was has a weight of 1/e in a mean. Long enough for a scrape each few seconds to see
/// each load, short enough for a balancer to act on it.
const MEMORY: Duration = Duration::from_secs(5);

/// Bounds of the histogram of turns. The last one is what asyncio, too, calls slow.
pub(crate) const TURN_BOUNDS: [Duration; 5] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
];

/// The figures of one loop. Counters only grow, until they come round at 2^64.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Answers by the first digit of their status. Those of the first place, which no status has, are none.
    responses: [Counter; 6],
    body_bytes: Counter,
    received_bytes: Counter,
    sent_bytes: Counter,
    accepted: Counter,
    /// Connections that were accepted and have ended.
    ended: Counter,
    /// Connections that wait for a request; it goes up and down.
    idle: Counter,
    /// Why connections ended.
    reasons: Mutex<BTreeMap<&'static str, u64>>,
    backoffs: Counter,
    full: Counter,
    turns: Counter,
    resumes: Counter,
    stalls: Counter,
    panics: Counter,
    /// Time in which tasks ran, and time in which the loop waited for the world.
    busy_nanos: Counter,
    waiting_nanos: Counter,
    /// Turns that were busy for at most the bound, and for longer than the one before.
    turns_within: [Counter; TURN_BOUNDS.len() + 1],
    /// Parts of the recent time in which tasks ran: 0 to 1, as the bits of an `f64`.
    utilisation: AtomicU64,
    /// How long recent turns were busy, weighted by time: seconds, as the bits of an `f64`.
    lag: AtomicU64,
    /// What is spawned now is not a part of the server.
    is_apart: AtomicBool,
}

/// A number with one thread that writes it. So two plain moves do, without a locked instruction.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn subtract(&self, less: u64) {
        self.0.store(self.get().saturating_sub(less), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Figures {
    /// What folds the events of the loop into these figures.
    pub(crate) fn fold(self: &Arc<Self>) -> Fold {
        Fold { figures: Arc::clone(self), mark: Time::ZERO, apart: HashSet::new(), is_apart: false }
    }

    /// Tasks that `attach` spawns, those that they spawn, and so on, are on the loop, and no part of the server.
    pub(crate) fn apart<T>(&self, attach: impl FnOnce() -> T) -> T {
        self.is_apart.store(true, Ordering::Relaxed);
        let attached = attach();
        self.is_apart.store(false, Ordering::Relaxed);
        attached
    }

    /// How long what becomes ready has to wait, as the recent turns were.
    pub(crate) fn lag(&self) -> Duration {
        Duration::from_secs_f64(f64::from_bits(self.lag.load(Ordering::Relaxed)))
    }

    pub(crate) fn utilisation(&self) -> f64 {
        f64::from_bits(self.utilisation.load(Ordering::Relaxed))
    }

    /// No code panics while it holds the lock.
    fn reasons(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        unpoisoned(self.reasons.lock())
    }

    /// The loop waited, or was busy, for so long: moves the means towards that.
    fn spent(&self, time: Duration, is_busy: bool) {
        let kept = (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        let mean = |mean: &AtomicU64, now: f64| {
            let before = f64::from_bits(mean.load(Ordering::Relaxed));
            mean.store((now + (before - now) * kept).to_bits(), Ordering::Relaxed);
        };
        mean(&self.utilisation, if is_busy { 1.0 } else { 0.0 });
        // What comes while the loop waits does not wait.
        mean(&self.lag, if is_busy { time.as_secs_f64() } else { 0.0 });
    }

    fn turn_was_busy(&self, time: Duration) {
        self.spent(time, true);
        self.busy_nanos.add(nanos(time));
        let within = TURN_BOUNDS.iter().position(|bound| time <= *bound);
        self.turns_within[within.unwrap_or(TURN_BOUNDS.len())].add(1);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The observer of a loop.
pub(crate) struct Fold {
    figures: Arc<Figures>,
    /// When the present wait, or the present turn's work, began.
    mark: Time,
    /// Tasks that are no part of the server.
    apart: HashSet<TaskId>,
    /// The task that runs is one of them.
    is_apart: bool,
}

/// Words of the events.
const CONNECTION: &str = MACHINES[0].kind;
const IDLE: &str = "idle";
const BACKING_OFF: &str = "backing off";
const FULL: &str = "full";

impl Observer for Fold {
    fn event(&mut self, at: Time, event: &Event) {
        let figures = &*self.figures;
        match *event {
            Event::Waiting { .. } => {
                if self.mark != Time::ZERO {
                    figures.turn_was_busy(at.since(self.mark));
                }
                self.mark = at;
            }
            Event::Waited { .. } => {
                let waited = at.since(self.mark);
                figures.spent(waited, false);
                figures.waiting_nanos.add(nanos(waited));
                figures.turns.add(1);
                self.mark = at;
            }
            Event::Resumed { task, .. } => {
                figures.resumes.add(1);
                self.is_apart = !self.apart.is_empty() && self.apart.contains(&task);
            }
            Event::Suspended { flow: Flow::Wait | Flow::Again, .. } => self.is_apart = false,
            Event::Panicked { .. } => figures.panics.add(1),
            Event::Stall { .. } | Event::LongTurn { .. } => figures.stalls.add(1),
            Event::Spawned { task, kind } => self.spawned(task, kind),
            Event::Finished { task, kind } => {
                let was_apart = self.apart.remove(&task);
                figures.ended.add(u64::from(!was_apart && kind == CONNECTION));
            }
            _ if self.is_apart => {}
            Event::Read { bytes, .. } => figures.received_bytes.add(bytes as u64),
            Event::Wrote { bytes, .. } => figures.sent_bytes.add(bytes as u64),
            Event::Response { status, body_bytes, .. } => {
                let class = usize::from(status / 100).min(figures.responses.len() - 1);
                figures.responses[class].add(1);
                figures.body_bytes.add(body_bytes as u64);
            }
            Event::State { to: IDLE, .. } => figures.idle.add(1),
            Event::State { from: IDLE, .. } => figures.idle.subtract(1),
            Event::State { to: BACKING_OFF, .. } => figures.backoffs.add(1),
            Event::State { to: FULL, .. } => figures.full.add(1),
            Event::Ending { why, .. } => *figures.reasons().entry(why).or_default() += 1,
            _ => {}
        }
    }
}

impl Fold {
    fn spawned(&mut self, task: TaskId, kind: &'static str) {
        if self.is_apart || self.figures.is_apart.load(Ordering::Relaxed) {
            self.apart.insert(task);
        } else if kind == CONNECTION {
            self.figures.accepted.add(1);
            // A new one waits for its first request.
            self.figures.idle.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::event_loop::EventLoop;
    use helloop::greeting::Greeting;
    use helloop::server::Server;
    use helloop::world::sim::Sim;
    use std::net::SocketAddr;

    #[test]
    fn what_is_apart_is_not_counted() {
        let world = Sim::new(1);
        let net = world.net();
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let handle = event_loop.handle().clone();
        let figures = Arc::<Figures>::default();
        event_loop.observe(Some(Box::new(figures.fold())));
        let attach = |port| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listener = handle.listen(address).unwrap();
            let attached = Server::builder().attach(&handle, vec![listener], Greeting).unwrap();
            (attached, address)
        };
        let (server, address) = attach(80);
        let (_admin, apart) = figures.apart(|| attach(81));
        let ask = |address, request: &str| {
            let peer = net.connect(address);
            peer.send(request.as_bytes());
            peer
        };
        let good = "GET /World HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut peers = vec![ask(address, good), ask(apart, good)];
        peers.push(ask(address, "nonsense\r\n\r\n"));
        for _ in 0..1000 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        let numbers = |figures: &Figures| {
            let of = [&figures.accepted, &figures.ended, &figures.idle, &figures.responses[2]];
            of.map(Counter::get)
        };
        // The one that was refused lingers.
        assert_eq!(numbers(&figures), [2, 0, 1, 1]);
        assert_eq!(figures.responses[4].get(), 1);
        assert_eq!(figures.received_bytes.get(), good.len() as u64 + 12);
        assert!(figures.body_bytes.get() >= 14);
        let refused = "request line: not `method SP target SP HTTP/1.1`";
        assert_eq!(figures.reasons().get(refused), Some(&1));
        server.handle().shutdown();
        for _ in 0..1000 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(numbers(&figures), [2, 2, 0, 1]);
    }

    #[test]
    fn the_means_follow_what_the_loop_does() {
        let figures = Figures::default();
        for _ in 0..1000 {
            figures.turn_was_busy(Duration::from_millis(20));
            figures.spent(Duration::from_millis(20), false);
        }
        let utilisation = figures.utilisation();
        assert!((0.49..0.51).contains(&utilisation), "{utilisation}");
        let lag = figures.lag().as_secs_f64();
        assert!((0.009..0.011).contains(&lag), "half of the time it is 20 ms: {lag}");
        figures.spent(Duration::from_secs(60), false);
        assert!(figures.utilisation() < 1e-4 && figures.lag() < Duration::from_micros(1));
        assert_eq!(figures.turns_within[3].get(), 1000, "{figures:?}");
    }
}
