//! The lab's eyes and hands on the watched loop's thread: an observer that hands events over, and a
//! gate: turns that are taken step by step, so that the loop can be held between two resumes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::TaskId;
use crate::event_loop::{EventLoop, Handle};
use crate::events::{Event, Observer, Timeout};
use crate::watch::SlowCallbacks;
use crate::world::Time;

use super::link::{Link, Orders};
use crate::lab::message::Held;
use crate::lab::orders::{Going, Unit, Until};
use crate::lab::snapshot::Snapshot;
use crate::lab::tally::Tally;

/// Events that are handed over together while the loop is busy.
const BATCH_EVENTS: usize = 64;

/// Time between two snapshots of a loop that runs.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);

/// Where the loop stands when it may be held.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before phase 1 of the turn with this number; nothing of it has happened.
    Turn { turn: u64 },
    /// In phase 4, before this task is resumed. Its cause is in the queue.
    Resume { task: TaskId },
}

/// `turn 8`, `resume of task 5.2`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Turn { turn } => write!(f, "turn {turn}"),
            Moment::Resume { task } => write!(f, "resume of task {task}"),
        }
    }
}

pub(super) struct Watcher {
    link: Arc<Link>,
    /// Events that were not handed over yet; at most [`BATCH_EVENTS`].
    batch: RefCell<Vec<(Time, Event)>>,
    tally: RefCell<Tally>,
    /// What the gate waits for.
    until: Cell<Option<Until>>,
    /// It has happened since.
    has_happened: Cell<bool>,
    /// When the last snapshot was made, by the clock on the wall: ours stands while it is held.
    shown: Cell<Option<Instant>>,
    /// The gate has panicked: it holds nothing any more, and the loop goes on without it.
    is_broken: Cell<bool>,
}

/// The watcher's eyes.
struct Watching(Rc<Watcher>);

impl Observer for Watching {
    fn event(&mut self, at: Time, event: &Event) {
        let watcher = &*self.0;
        watcher.tally.borrow_mut().take(at, event);
        if watcher.until.get().is_some_and(|until| until.is(event)) {
            watcher.has_happened.set(true);
        }
        if !watcher.link.is_watched() {
            return;
        }
        let mut batch = watcher.batch.borrow_mut();
        batch.push((at, *event));
        // Nothing may be kept back while the loop sleeps.
        let sleeps = matches!(event, Event::Waiting { timeout } if *timeout != Timeout::Zero);
        if sleeps || batch.len() >= BATCH_EVENTS {
            watcher.link.tell_events(&mut batch);
        }
    }
}

/// Slow motion holds each turn for a while.
fn dwells(orders: &Orders, moment: Moment) -> bool {
    !orders.is_open && !orders.dwell.is_zero() && matches!(moment, Moment::Turn { .. })
}

impl Watcher {
    pub(super) fn new(link: &Arc<Link>) -> Rc<Watcher> {
        Rc::new(Watcher {
            link: Arc::clone(link),
            batch: RefCell::new(Vec::with_capacity(BATCH_EVENTS)),
            tally: RefCell::default(),
            until: Cell::new(None),
            has_happened: Cell::new(false),
            shown: Cell::new(None),
            is_broken: Cell::new(false),
        })
    }

    pub(super) fn observer(self: &Rc<Watcher>) -> Box<dyn Observer> {
        Box::new(Watching(Rc::clone(self)))
    }

    /// One turn, held where that is ordered. **While the loop is held, its clock stands still.** No timer becomes
    /// due, no limit of a peer comes nearer, and no resume counts as slow because of it.
    pub(super) fn turn(
        &self,
        event_loop: &mut EventLoop,
        slow: &mut SlowCallbacks,
    ) -> io::Result<()> {
        let turn = event_loop.handle().turns() + 1;
        self.pass(Moment::Turn { turn }, event_loop);
        slow.begin_turn(event_loop, None)?;
        while let Some((task, _)) = event_loop.peek() {
            self.pass(Moment::Resume { task }, event_loop);
            slow.resume_next(event_loop);
        }
        slow.end_turn(event_loop);
        Ok(())
    }

    fn pass(&self, moment: Moment, event_loop: &mut EventLoop) {
        if self.is_broken.get() {
            return;
        }
        let passed = catch_unwind(AssertUnwindSafe(|| {
            if !self.lets_pass(moment, event_loop.handle()) {
                event_loop.hold_clock(|handle| self.hold(moment, handle));
            }
        }));
        if passed.is_err() {
            log::error!("the lab's gate panicked before {moment}; it holds the loop no more");
            self.is_broken.set(true);
        }
    }

    fn lets_pass(&self, moment: Moment, handle: &Handle) -> bool {
        let Some(orders) = self.link.orders() else {
            self.show_now_and_then(moment, handle);
            return true;
        };
        let is_held = self.holds(&orders, moment);
        if !is_held && orders.wants_snapshot {
            self.show(moment, handle);
        } else if !is_held {
            self.show_now_and_then(moment, handle);
        }
        !is_held && !dwells(&orders, moment)
    }

    fn holds(&self, orders: &Orders, moment: Moment) -> bool {
        if orders.is_open {
            return false;
        }
        match orders.going {
            Going::On => false,
            Going::Paused | Going::Step(Unit::Resume) => true,
            Going::Step(Unit::Turn) => matches!(moment, Moment::Turn { .. }),
            Going::Until(until) => self.has_come(until, moment),
        }
    }

    /// True once what is waited for has happened, or is about to.
    fn has_come(&self, until: Until, moment: Moment) -> bool {
        if self.until.replace(Some(until)) != Some(until) {
            // A new wish: what was before does not count.
            self.has_happened.set(false);
        }
        match (until, moment) {
            (Until::Resume(wanted), Moment::Resume { task }) => task == wanted,
            _ => self.has_happened.get(),
        }
    }

    fn hold(&self, moment: Moment, handle: &Handle) {
        self.hand_over();
        // Again: an order may have come since, and after a dwell as well.
        let Some(mut orders) = self.link.orders() else { return };
        if !self.holds(&orders, moment) && dwells(&orders, moment) {
            self.link.dwell(orders.dwell);
            let Some(after) = self.link.orders() else { return };
            orders = after;
        }
        if !self.holds(&orders, moment) {
            return;
        }
        self.until.set(None);
        self.has_happened.set(false);
        let held = Held { why: orders.why, before: moment.to_string() };
        let snapshot = self.snapshot(moment, true, handle);
        self.link.hold(orders.going, held, snapshot);
    }

    fn hand_over(&self) {
        self.link.tell_events(&mut self.batch.borrow_mut());
    }

    /// While a page is open, a running loop is looked at a few times a second.
    fn show_now_and_then(&self, moment: Moment, handle: &Handle) {
        if self.link.is_watched()
            && matches!(moment, Moment::Turn { .. })
            && self.shown.get().is_none_or(|shown| shown.elapsed() >= SNAPSHOT_INTERVAL)
        {
            self.show(moment, handle);
        }
    }

    fn show(&self, moment: Moment, handle: &Handle) {
        self.hand_over();
        self.link.show(self.snapshot(moment, false, handle));
    }

    fn snapshot(&self, moment: Moment, is_paused: bool, handle: &Handle) -> Snapshot {
        self.shown.set(Some(Instant::now()));
        Snapshot {
            of_loop: handle.snapshot(),
            tally: self.tally.borrow().clone(),
            now: handle.clock(),
            phase: match moment {
                Moment::Resume { .. } => "resume",
                _ => "between",
            },
            is_paused,
            dwell: self.link.dwell_now(),
        }
    }
}
