//! The end of a server: gracefully within a time, or now.
//!
//! A drain goes through the phases of [`Phase`]: for as long as was asked for, say in every answer that it is the last
//! of its connection, and go on as before; stop accepting, after what is in the accept queue;
//! answer what is in flight, each answer with `Connection: close`; after a short grace, in which
//! a request that was already on its way is still answered, close idle connections; at the deadline
//! cut what is left, and count it.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use super::ACCEPTOR;
use super::progress::{Counts, Ending, Stage, Waiters};
use super::room::Status;
use crate::event_loop::{Context, Description, Flow, Handle, Remote, Task, TimerId};
use crate::events::Event;
use crate::id::TaskId;
use crate::locks::unpoisoned;
use crate::server::machine::{Machine, MachineState as Is};

/// The life of a server, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Accepting and answering.
    Serving,
    /// The same, but every answer says `Connection: close`: the end has been announced, and balancers need time to
    /// hear of it.
    Announcing,
    /// Accepts what is in the queue and then no more; every answer says `Connection: close`.
    Draining,
    /// Idle connections had their grace; now they are closed as well.
    ClosingIdle,
    /// Time is up: every connection is closed as it is.
    Cutting,
}

/// What a server was ordered from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on.
    Serve,
    /// Announce the end for the time of `delay`, then drain within that of `timeout`.
    Drain { delay: Duration, timeout: Duration },
    /// Stop now.
    Stop,
}

/// Orders on their way from any thread to the drainer, and news on their way back.
#[derive(Debug)]
pub(super) struct Control {
    inner: Mutex<Inner>,
    pub(super) counts: Counts,
}

#[derive(Debug)]
pub(super) struct Inner {
    order: Order,
    /// Where the drainer is, once the server is on a loop. An earlier order waits for it.
    drainer: Option<(Arc<Remote>, TaskId)>,
    /// The last connections are accepted: the end is more than announced.
    is_draining: bool,
    /// Nothing of the server is left, or will be.
    is_finished: bool,
    pub(super) waiters: Waiters,
}

impl Inner {
    pub(super) fn has_reached(&self, stage: Stage) -> bool {
        match stage {
            // One that has ended otherwise, with its loop for example, does not serve either.
            Stage::Draining => self.is_draining || self.is_finished,
            Stage::Finished => self.is_finished,
        }
    }
}

impl Control {
    pub(super) fn new() -> Arc<Control> {
        let waiters = Waiters::default();
        let (is_draining, is_finished) = (false, false);
        let inner = Inner { order: Order::Serve, drainer: None, is_draining, is_finished, waiters };
        Arc::new(Control { inner: Mutex::new(inner), counts: Counts::default() })
    }

    pub(super) fn attach(&self, remote: Arc<Remote>, drainer: TaskId) {
        self.inner().drainer = Some((remote, drainer));
    }

    /// Gives an order. One that is not more severe than the present one changes nothing: the first
    /// drain says how long it may take, even if the drainer has not heard of it yet.
    fn order(&self, order: Order) {
        let mut inner = self.inner();
        if matches!((inner.order, order), (Order::Serve, _) | (_, Order::Stop)) {
            inner.order = order;
        }
        // At once, and not when the drainer has heard of it: whoever ordered it may ask.
        inner.is_draining |= match inner.order {
            Order::Serve => false,
            Order::Drain { delay, .. } => delay.is_zero(),
            Order::Stop => true,
        };
        if let Some((remote, drainer)) = &inner.drainer {
            remote.wake(*drainer);
        }
        self.wake(inner, Stage::Draining);
    }

    /// The end was announced for long enough.
    fn begin_to_drain(&self) {
        let mut inner = self.inner();
        inner.is_draining = true;
        self.wake(inner, Stage::Draining);
    }

    /// Nothing of the server is left, or will be.
    pub(super) fn finish(&self) {
        let mut inner = self.inner();
        inner.is_finished = true;
        self.wake(inner, Stage::Finished);
    }

    /// Wakes those who wait for `stage`, if it has been reached: without the lock, for wakers are foreign code.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>, stage: Stage) {
        let wakers = if inner.has_reached(stage) { inner.waiters.take() } else { Vec::new() };
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn has_reached(&self, stage: Stage) -> bool {
        self.inner().has_reached(stage)
    }

    /// No code panics while it holds the lock.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        unpoisoned(self.inner.lock())
    }
}

/// Ends a server and looks at it, from any thread. Cheap to clone; ends nothing once the server is gone.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) control: Arc<Control>,
}

impl ServerHandle {
    /// Begins a graceful end, which takes at most `timeout`: no new connections, answers to what
    /// is in flight, then idle connections closed. What is still open after `timeout` is cut.
    /// A second call changes nothing; [`shutdown`](ServerHandle::shutdown) ends a drain at once.
    pub fn drain(&self, timeout: Duration) {
        self.drain_after(Duration::ZERO, timeout);
    }

    /// As [`drain`](ServerHandle::drain), after a time of `delay` in which everything is accepted and answered as
    /// before, but every answer says `Connection: close`. A balancer that asks now and then whether the server is
    /// ready needs that time to notice that it is not; until then it sends new connections.
    pub fn drain_after(&self, delay: Duration, timeout: Duration) {
        self.control.order(Order::Drain { delay, timeout });
    }

    /// Ends the server now: listeners and connections are closed as they are.
    pub fn shutdown(&self) {
        self.control.order(Order::Stop);
    }

    /// Makes the server's loop turn once more, for nothing: a host that waits for the loop's
    /// descriptor comes back.
    pub fn wake(&self) {
        self.control.order(Order::Serve);
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").finish_non_exhaustive()
    }
}

/// The task that carries out orders. It is the last of a server's tasks to finish.
pub(super) struct Drainer {
    status: Rc<Status>,
    /// Dropping this wakes all who wait for the end of the server.
    control: Ending,
    /// See [`crate::limits::DRAIN_IDLE_GRACE`].
    idle_grace: Duration,
    /// When the listeners are closed, when idle connections are, when everything is cut: the timers of a drain.
    milestones: Option<[TimerId; 3]>,
}

impl Drainer {
    pub(super) fn new(status: Rc<Status>, control: Ending, idle_grace: Duration) -> Drainer {
        Drainer { status, control, idle_grace, milestones: None }
    }

    /// The phase that the orders and the clock ask for.
    fn phase_due(&mut self, cx: &Context<'_>) -> Phase {
        let order = self.control.0.inner().order;
        match order {
            Order::Serve => Phase::Serving,
            Order::Stop => Phase::Cutting,
            Order::Drain { delay, timeout } => {
                let after = |pause| cx.handle().at(cx.now() + pause, cx.task());
                let graced = delay.saturating_add(self.idle_grace.min(timeout));
                let over = delay.saturating_add(timeout);
                let announced = || if delay.is_zero() { TimerId::FIRED } else { after(delay) };
                let milestones = self
                    .milestones
                    .get_or_insert_with(|| [announced(), after(graced), after(over)]);
                match milestones.map(|timer| timer.deadline() <= cx.now()) {
                    [_, _, true] => Phase::Cutting,
                    [_, true, false] => Phase::ClosingIdle,
                    [true, false, false] => Phase::Draining,
                    [false, false, false] => Phase::Announcing,
                }
            }
        }
    }

    fn enter(&self, phase: Phase, cx: &Context<'_>) {
        let before = self.status.phase.replace(phase);
        let (task, from, to) = (cx.task(), before.name(), phase.name());
        cx.handle().tell(|| Event::State { task, from, to });
        log::debug!("server: {from} -> {to}, {}", self.status.how_many_are_open());
        if phase == Phase::Announcing {
            // Answers look at the phase; no task has anything to do because of it.
            return;
        }
        self.control.0.begin_to_drain();
        // Also those of another server on this loop, which find nothing to do.
        wake_all(cx.handle(), ACCEPTOR);
        self.status.wake_connections();
    }
}

/// Wakes all tasks of a kind. Asks every task on the loop what it is: a server does so three times in its life.
pub(super) fn wake_all(handle: &Handle, kind: &str) {
    for (task, _) in handle.tasks() {
        if handle.look_at(task, |task| task.kind() == kind) == Some(true) {
            handle.wake(task);
        }
    }
}

/// A drainer as data: its states are the phases, in their order. It goes only onwards; a phase may be too short to be
/// seen.
pub(super) const MACHINE: Machine = Machine {
    kind: DRAINER,
    states: &[
        Is::here("serving", "The server accepts and answers."),
        Is::here(
            "announcing the end",
            "The server accepts and answers; answers say that they are the last.",
        ),
        Is::here(
            "draining",
            "What is in the accept queue is taken, then no more; answers say that they are the last.",
        ),
        Is::here(
            "closing idle connections",
            "Idle connections have had their grace period, and are closed as well.",
        ),
        Is::here("cutting", "Time is up: all connections are closed."),
    ],
    edges: &[
        ("serving", "announcing the end"),
        ("serving", "draining"),
        ("serving", "closing idle connections"),
        ("serving", "cutting"),
        ("announcing the end", "draining"),
        ("announcing the end", "closing idle connections"),
        ("announcing the end", "cutting"),
        ("draining", "closing idle connections"),
        ("draining", "cutting"),
        ("closing idle connections", "cutting"),
    ],
};

const DRAINER: &str = "drainer";

impl Phase {
    fn name(self) -> &'static str {
        MACHINE.states[self as usize].name
    }
}

impl Task for Drainer {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        let phase = self.phase_due(cx);
        if phase > self.status.phase.get() {
            self.enter(phase, cx);
        }
        if self.status.is_draining() && self.status.is_empty() {
            return Flow::Done;
        }
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        DRAINER
    }

    fn describe(&self) -> Description<'_> {
        let state = Some(self.status.phase.get().name());
        Description { state, ..Description::default() }
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        for timer in self.milestones.into_iter().flatten() {
            self.status.handle.cancel(timer);
        }
        self.status.finished.set(true);
    }
}
