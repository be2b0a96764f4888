//! What the watched loop's thread and the lab's thread share: orders one way, news the other.
//!
//! Both hold the lock for moments only, so the watched loop never waits for a page: except at its
//! gate, where waiting is the point.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::TaskId;
use crate::event_loop::Remote;
use crate::events::Event;
use crate::locks::unpoisoned;
use crate::world::Time;

use crate::lab::message::Held;
use crate::lab::orders::Going;
use crate::lab::snapshot::Snapshot;

/// Events that may wait for the lab's thread. At the limit: later ones are dropped and counted, and
/// a snapshot follows.
const EVENTS_WAITING_MAX: usize = 5_000;

/// What happened on the watched loop, in order.
#[derive(Debug)]
pub(super) enum News {
    Event(Time, Event),
    /// So many events are missing here.
    Gap(u64),
    Snapshot(Arc<Snapshot>),
    /// The gate holds the loop.
    Held(Held),
    /// It goes on.
    Released,
}

#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// An order came that a held loop waits for.
    ordered: Condvar,
    /// False: the gate need not look, every moment passes.
    is_attentive: AtomicBool,
    /// A page is open: events are wanted.
    is_watched: AtomicBool,
}

#[derive(Debug)]
struct State {
    going: Going,
    /// Why the loop is held when it is held next.
    why: &'static str,
    /// How long each turn is held in slow motion; zero: not at all.
    dwell: Duration,
    /// The gate is open for good: nothing holds the loop any more.
    is_open: bool,
    held: Option<Held>,
    /// A snapshot is to be made at the next moment.
    wants_snapshot: bool,
    latest: Option<Arc<Snapshot>>,
    news: VecDeque<News>,
    /// How many of the news are events.
    events_waiting: usize,
    /// Events dropped after the last of the news.
    dropped: u64,
    /// The task that takes what is new.
    reader: Option<Waker>,
    /// The tasks that wait for a snapshot, even while no page is open.
    askers: Vec<Waker>,
    /// Snapshots so far.
    snapshots: u64,
    /// The watched loop.
    remote: Option<Arc<Remote>>,
    /// What its clock said, and when that was.
    clock: (Time, Instant),
}

/// What the gate is to do at a moment.
pub(super) struct Orders {
    pub(super) going: Going,
    pub(super) why: &'static str,
    pub(super) dwell: Duration,
    pub(super) is_open: bool,
    pub(super) wants_snapshot: bool,
}

impl Link {
    /// `is_paused`: from the first turn on.
    pub(super) fn new(is_paused: bool) -> Arc<Link> {
        let state = State {
            going: if is_paused { Going::Paused } else { Going::On },
            why: "lab began",
            dwell: Duration::ZERO,
            is_open: false,
            held: None,
            wants_snapshot: true,
            latest: None,
            news: VecDeque::new(),
            events_waiting: 0,
            dropped: 0,
            reader: None,
            askers: Vec::new(),
            snapshots: 0,
            remote: None,
            clock: (Time::ZERO, Instant::now()),
        };
        Arc::new(Link {
            state: Mutex::new(state),
            ordered: Condvar::new(),
            is_attentive: AtomicBool::new(true),
            is_watched: AtomicBool::new(false),
        })
    }

    /// No code panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    fn is_attentive(&self) -> bool {
        self.is_attentive.load(Ordering::Acquire)
    }

    fn attend(&self) {
        self.is_attentive.store(true, Ordering::Release);
    }
}

/// For the watched loop's thread.
impl Link {
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Acquire)
    }

    /// What to do at a moment; `None` if nothing was ordered.
    pub(super) fn orders(&self) -> Option<Orders> {
        if !self.is_attentive() {
            return None;
        }
        let state = self.state();
        let orders = Orders {
            going: state.going,
            why: state.why,
            dwell: state.dwell,
            is_open: state.is_open,
            wants_snapshot: state.wants_snapshot,
        };
        let holds_nobody = orders.going == Going::On && orders.dwell.is_zero();
        if (orders.is_open || holds_nobody) && !orders.wants_snapshot {
            self.is_attentive.store(false, Ordering::Release);
        }
        Some(orders)
    }

    /// The snapshot that all pages are shown from now on.
    pub(super) fn show(&self, snapshot: Snapshot) {
        let mut state = self.state();
        state.show(snapshot, self.is_watched());
        tell(state);
    }

    /// Hands events over, oldest first.
    pub(super) fn tell_events(&self, events: &mut Vec<(Time, Event)>) {
        let Some(&(last, _)) = events.last() else { return };
        let mut state = self.state();
        state.clock = (last, Instant::now());
        if !self.is_watched() {
            return events.clear();
        }
        for (at, event) in events.drain(..) {
            if state.dropped > 0 || state.events_waiting >= EVENTS_WAITING_MAX {
                state.dropped += 1;
            } else {
                state.events_waiting += 1;
                state.news.push_back(News::Event(at, event));
            }
        }
        tell(state);
    }

    /// Holds the calling thread, which is the watched loop's, until an order lets it go. Does
    /// nothing if there is another order by now than the one that was `seen`.
    pub(super) fn hold(&self, seen: Going, held: Held, snapshot: Snapshot) {
        let mut state = self.state();
        if state.going != seen || state.is_open {
            return;
        }
        state.going = Going::Paused;
        state.held = Some(held.clone());
        if self.is_watched() {
            state.news.push_back(News::Held(held));
        }
        state.show(snapshot, self.is_watched());
        tell(state);
        let is_held = |state: &mut State| state.going == Going::Paused && !state.is_open;
        let waited = self.ordered.wait_while(self.state(), is_held);
        let mut state = unpoisoned(waited);
        state.held = None;
        state.clock.1 = Instant::now();
        if self.is_watched() {
            state.news.push_back(News::Released);
        }
        tell(state);
    }

    /// Holds the calling thread for as long as slow motion asks for, or until a pause is ordered.
    pub(super) fn dwell(&self, dwell: Duration) {
        let is_slow = |state: &mut State| {
            state.going != Going::Paused && state.dwell == dwell && !state.is_open
        };
        let waited = self.ordered.wait_timeout_while(self.state(), dwell, is_slow);
        let (mut state, _) = unpoisoned(waited);
        state.clock.1 = Instant::now();
    }
}

/// For the lab's thread.
impl Link {
    /// The loop that is watched.
    pub(super) fn attach(&self, remote: Arc<Remote>) {
        self.state().remote = Some(remote);
    }

    /// Says how the loop is to go on; `why` is reported when that ends in a pause.
    pub(super) fn order(&self, going: Going, why: &'static str) {
        let mut state = self.state();
        (state.going, state.why) = (going, why);
        self.attend();
        // A loop that sleeps comes to its gate; for `Until` it comes when something happens.
        let must_ring = matches!(going, Going::Paused | Going::Step(_)) && state.held.is_none();
        self.deliver(state, must_ring);
    }

    pub(super) fn slow(&self, dwell: Duration) {
        let mut state = self.state();
        state.dwell = dwell;
        // A snapshot that is under way to the pages may be older; on a loop that sleeps, it would be the
        // last.
        state.wants_snapshot = true;
        self.attend();
        let must_ring = state.held.is_none();
        self.deliver(state, must_ring);
    }

    /// The loop goes on by itself, at its own pace. True if something else was ordered.
    pub(super) fn take_orders_back(&self) -> bool {
        let mut state = self.state();
        let was_ordered = state.going != Going::On || !state.dwell.is_zero();
        (state.going, state.dwell) = (Going::On, Duration::ZERO);
        self.attend();
        self.deliver(state, false);
        was_ordered
    }

    /// Nothing holds the loop from now on.
    pub(super) fn open_for_good(&self) {
        let mut state = self.state();
        state.is_open = true;
        self.attend();
        self.deliver(state, false);
    }

    /// While no page is open, events are not kept.
    pub(super) fn set_watched(&self, is_watched: bool) {
        let mut state = self.state();
        self.is_watched.store(is_watched, Ordering::Release);
        if !is_watched {
            (state.events_waiting, state.dropped) = (0, 0);
            state.news.clear();
        }
    }

    /// A snapshot that is true now, if the loop is held; else asks for one.
    pub(super) fn ask_for_snapshot(&self) -> Option<Arc<Snapshot>> {
        let mut state = self.state();
        if state.held.is_some() {
            return state.latest.clone();
        }
        state.wants_snapshot = true;
        self.attend();
        self.deliver(state, true);
        None
    }

    /// How many there were so far.
    pub(super) fn snapshots(&self) -> u64 {
        self.state().snapshots
    }

    /// Waits until there were more than so many.
    pub(super) fn poll_snapshot(&self, cx: &Context<'_>, more_than: u64) -> Poll<()> {
        let mut state = self.state();
        if state.snapshots > more_than {
            return Poll::Ready(());
        }
        state.askers.push(cx.waker().clone());
        Poll::Pending
    }

    /// The last one, which may be old.
    pub(super) fn latest(&self) -> Option<Arc<Snapshot>> {
        self.state().latest.clone()
    }

    pub(super) fn held(&self) -> Option<Held> {
        self.state().held.clone()
    }

    pub(super) fn dwell_now(&self) -> Duration {
        self.state().dwell
    }

    /// The moment on the watched loop's clock, as far as it is known here.
    pub(super) fn now(&self) -> Time {
        let state = self.state();
        let (time, read) = state.clock;
        if state.held.is_some() { time } else { time + read.elapsed() }
    }

    /// Waits for news, and takes at most `events_max` events and what else there is before the
    /// next one.
    pub(super) fn poll_news(&self, cx: &Context<'_>, events_max: usize) -> Poll<Vec<News>> {
        let mut state = self.state();
        if state.news.is_empty() {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (mut taken, mut events) = (Vec::new(), 0);
        while let Some(next) = state.news.front() {
            if let News::Event(..) = next {
                if events == events_max {
                    break;
                }
                events += 1;
            }
            taken.extend(state.news.pop_front());
        }
        state.events_waiting -= events;
        if state.news.is_empty() && state.dropped > 0 {
            // The gap ends with it.
            state.wants_snapshot = true;
            self.attend();
            self.deliver(state, true);
        }
        Poll::Ready(taken)
    }

    fn deliver(&self, state: MutexGuard<'_, State>, must_ring: bool) {
        let remote = state.remote.clone().filter(|_| must_ring);
        drop(state);
        self.ordered.notify_all();
        if let Some(remote) = remote {
            // No task has this id: the loop turns, and finds nothing to do.
            remote.wake(TaskId::default());
        }
    }
}

impl State {
    fn show(&mut self, snapshot: Snapshot, is_watched: bool) {
        self.clock = (snapshot.now, Instant::now());
        self.snapshots += 1;
        self.wants_snapshot = false;
        let snapshot = Arc::new(snapshot);
        self.latest = Some(Arc::clone(&snapshot));
        if !is_watched {
            return;
        }
        // What was dropped before it is reported before it.
        if self.dropped > 0 {
            self.news.push_back(News::Gap(std::mem::take(&mut self.dropped)));
        }
        self.news.push_back(News::Snapshot(snapshot));
    }
}

/// Wakes the tasks for which there is something now, without the lock.
fn tell(mut state: MutexGuard<'_, State>) {
    let reader = if state.news.is_empty() { None } else { state.reader.take() };
    let askers = std::mem::take(&mut state.askers);
    drop(state);
    askers.into_iter().chain(reader).for_each(Waker::wake);
}
