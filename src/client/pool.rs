//! Connections that are open: which are busy, which are idle, and which fetches wait for one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::task::Poll;

use super::connection::Connection;
use super::idle::{Idle, IdleConnections, Sweep};
use super::keeper::Keeper;
use crate::coroutine::{Place, Places};
use crate::event_loop::Handle;
use crate::id::TaskId;
#[cfg(doc)]
use crate::limits::LATE_BODY_REST;
use crate::world::Time;

/// The connections of one client.
///
/// Invariants: `busy` and the idle connections together are at most `connections_max`; no fetch waits that
/// could be served, because every release serves as many as it can, oldest first.
///
/// No operation looks at all waiting fetches, at all hosts, or at all idle connections: each of these is
/// found in an order that is kept.
pub(super) struct Pool {
    handle: Handle,
    connections_max: usize,
    per_host_max: usize,
    state: RefCell<State>,
}

struct State {
    /// By origin: `http://localhost:8080`. Those that are not used any more are taken out when there
    /// are `hosts_max` of them.
    hosts: BTreeMap<Box<str>, Rc<Host>>,
    /// Twice what was used at the last look, so that looking costs little for each host.
    hosts_max: usize,
    /// Leases.
    busy: usize,
    idle: IdleConnections,
    /// Those that wait, in the lines of their hosts.
    waiting: usize,
    /// The places of those that wait, over all hosts.
    places: Places,
    /// The hosts for which a fetch waits and that have room for one more lease, by the place of the first.
    callable: BTreeMap<Place, Rc<Host>>,
    /// What was granted to these places, and has not been taken yet.
    granted: BTreeMap<Place, Lease>,
    /// The task that watches the idle connections; `None` if there is none to watch.
    keeper: Option<TaskId>,
}

/// What leases, and fetches that wait for one, have in common if their origin is the same.
#[derive(Default)]
pub(super) struct Host {
    busy: Cell<usize>,
    /// Its places in [`State::idle`], apart from those in `resting`.
    pub(super) idle: RefCell<BTreeSet<Place>>,
    /// Its places there whose connections are not to be used at once.
    pub(super) resting: RefCell<BTreeSet<Place>>,
    /// In order of arrival, the tasks that are resumed when there is a lease.
    waiting: RefCell<BTreeMap<Place, TaskId>>,
    /// Its place in [`State::callable`].
    callable: Cell<Option<Place>>,
}

/// The right to one connection, and the connection once there is one. Dropped, it closes it.
pub(super) struct Lease {
    pool: Rc<Pool>,
    host: Rc<Host>,
    /// `None`: it is to be opened. In a box, because it goes through many hands.
    pub(super) connection: Option<Box<Connection>>,
    /// The connection has served another request before.
    pub(super) is_reused: bool,
    /// What becomes of the connection.
    then: Then,
}

/// What becomes of a connection when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is closed.
    Close,
    /// It goes to the next fetch.
    Reuse,
    /// The same, but not at once: see [`LATE_BODY_REST`].
    Rest,
}

impl Pool {
    pub(super) fn new(handle: &Handle, connections_max: usize, per_host_max: usize) -> Rc<Pool> {
        let (handle, state) = (handle.clone(), RefCell::new(State::new()));
        Rc::new(Pool { handle, connections_max, per_host_max, state })
    }

    /// Asks for a connection to `origin`.
    pub(super) fn acquire(self: &Rc<Self>, origin: &str) -> Acquire {
        let host = self.state.borrow_mut().host(origin);
        Acquire { pool: Rc::clone(self), host, place: None }
    }

    /// Idle connections.
    pub(super) fn idle_count(&self) -> usize {
        self.state.borrow().idle.len()
    }

    /// A lease at once, if the limits allow.
    fn try_lease(self: &Rc<Self>, host: &Rc<Host>) -> Option<Lease> {
        let entered = self.state.borrow_mut().enter(host, self);
        entered.then(|| self.lease(Rc::clone(host), None))
    }

    /// A lease for a fetch that has entered, with this connection or an idle one.
    fn lease(self: &Rc<Self>, host: Rc<Host>, connection: Option<Box<Connection>>) -> Lease {
        let connection = connection.or_else(|| self.take_idle(&host));
        if connection.is_none() {
            self.make_room();
        }
        let is_reused = connection.is_some();
        Lease { pool: Rc::clone(self), host, connection, is_reused, then: Then::Close }
    }

    fn take_idle(&self, host: &Host) -> Option<Box<Connection>> {
        loop {
            let mut idle = self.state.borrow_mut().idle.take_newest(host, self.handle.now())?;
            if !idle.connection.is_stale() {
                return Some(idle.connection);
            }
        }
    }

    /// Closes the connection that has been idle longest, if there are too many.
    fn make_room(&self) {
        let evicted = {
            let mut state = self.state.borrow_mut();
            let is_full = state.busy + state.idle.len() > self.connections_max;
            if is_full { state.idle.take_oldest() } else { None }
        };
        drop(evicted);
    }

    /// A lease ends. Its place goes to the fetch that has waited longest, with the connection if it fits.
    fn release(self: &Rc<Self>, host: &Rc<Host>, connection: Option<Box<Connection>>, then: Then) {
        self.state.borrow_mut().leave(host, self);
        // What has come after the reply must not be taken for the next one.
        let mut connection = connection.and_then(|mut c| (!c.is_stale()).then_some(c));
        loop {
            let next = self.state.borrow_mut().call_next(self);
            let Some((place, task, next)) = next else { break };
            let fits = Rc::ptr_eq(&next, host) && then == Then::Reuse;
            let fitting = if fits { connection.take() } else { None };
            let lease = self.lease(next, fitting);
            self.state.borrow_mut().granted.insert(place, lease);
            self.handle.wake(task);
        }
        if let Some(connection) = connection {
            self.park(host, connection, then);
        }
    }

    fn park(self: &Rc<Self>, host: &Rc<Host>, mut connection: Box<Connection>, then: Then) {
        let is_full = {
            let state = self.state.borrow();
            state.busy + state.idle.len() >= self.connections_max
        };
        if is_full {
            return;
        }
        connection.rest(self.keeper());
        let since = self.handle.now();
        let idle = Idle { connection, host: Rc::clone(host), since };
        self.state.borrow_mut().idle.put(idle, then == Then::Rest);
    }

    fn keeper(self: &Rc<Self>) -> TaskId {
        let present = self.state.borrow().keeper;
        present.unwrap_or_else(|| {
            let pool = Rc::downgrade(self);
            let sweep = move |now, from| pool.upgrade().map(|pool: Rc<Pool>| pool.sweep(now, from));
            let task = self.handle.spawn_task(|_| Box::new(Keeper::new(&self.handle, sweep)));
            self.state.borrow_mut().keeper = Some(task);
            task
        })
    }

    /// See [`IdleConnections::sweep`].
    fn sweep(&self, now: Time, from: Option<Place>) -> Sweep {
        let mut gone = Vec::new();
        let sweep = self.state.borrow_mut().sweep(now, from, &mut gone);
        // Not under the borrow: a connection sends its `close_notify`.
        drop(gone);
        sweep
    }
}

impl State {
    fn new() -> State {
        State {
            hosts: BTreeMap::new(),
            hosts_max: 0,
            busy: 0,
            idle: IdleConnections::default(),
            waiting: 0,
            places: Places::default(),
            callable: BTreeMap::new(),
            granted: BTreeMap::new(),
            keeper: None,
        }
    }

    /// The host with this origin.
    fn host(&mut self, origin: &str) -> Rc<Host> {
        if let Some(host) = self.hosts.get(origin) {
            return Rc::clone(host);
        }
        if self.hosts.len() >= self.hosts_max {
            self.hosts.retain(|_, host| is_used(host));
            self.hosts_max = 2 * self.hosts.len() + 1;
        }
        let host = Rc::<Host>::default();
        self.hosts.insert(origin.into(), Rc::clone(&host));
        host
    }

    /// Counts a lease for `host`. False if the limits do not allow it.
    fn enter(&mut self, host: &Rc<Host>, pool: &Pool) -> bool {
        if !self.may_enter(host, pool) {
            return false;
        }
        self.busy += 1;
        host.busy.set(host.busy.get() + 1);
        self.review(host, pool);
        true
    }

    fn may_enter(&self, host: &Host, pool: &Pool) -> bool {
        #[cfg(test)]
        crate::coroutine::steps::count();
        self.busy < pool.connections_max && host.busy.get() < pool.per_host_max
    }

    fn leave(&mut self, host: &Rc<Host>, pool: &Pool) {
        self.busy -= 1;
        host.busy.set(host.busy.get() - 1);
        self.review(host, pool);
    }

    /// Keeps `callable` right, after anything has happened to the leases of `host` or to the fetches that
    /// wait for it.
    fn review(&mut self, host: &Rc<Host>, pool: &Pool) {
        let has_room = host.busy.get() < pool.per_host_max;
        let first = host.waiting.borrow().first_key_value().map(|(place, _)| *place);
        let first = first.filter(|_| has_room);
        let before = host.callable.replace(first);
        if before == first {
            return;
        }
        if let Some(before) = before {
            self.callable.remove(&before);
        }
        if let Some(first) = first {
            self.callable.insert(first, Rc::clone(host));
        }
    }

    fn wait(&mut self, host: &Rc<Host>, task: TaskId, pool: &Pool) -> Place {
        let place = self.places.next();
        host.waiting.borrow_mut().insert(place, task);
        self.waiting += 1;
        self.review(host, pool);
        place
    }

    /// Gives a place up. `None` if it was called before.
    fn stop_waiting(&mut self, host: &Rc<Host>, place: Place, pool: &Pool) -> Option<TaskId> {
        let task = host.waiting.borrow_mut().remove(&place)?;
        self.waiting -= 1;
        self.review(host, pool);
        Some(task)
    }

    /// Takes the first out of the queue that may enter, and lets it.
    fn call_next(&mut self, pool: &Pool) -> Option<(Place, TaskId, Rc<Host>)> {
        if self.busy >= pool.connections_max {
            return None;
        }
        let (place, host) = self.callable.first_key_value()?;
        let (place, host) = (*place, Rc::clone(host));
        let task = self.stop_waiting(&host, place, pool)?;
        let entered = self.enter(&host, pool);
        debug_assert!(entered, "it may");
        Some((place, task, host))
    }

    /// See [`Pool::sweep`].
    fn sweep(&mut self, now: Time, from: Option<Place>, gone: &mut Vec<Idle>) -> Sweep {
        let sweep = self.idle.sweep(now, from, gone);
        if matches!(sweep, Sweep::NothingLeft) {
            self.keeper = None;
            if self.busy == 0 && self.waiting == 0 {
                self.hosts.retain(|_, host| is_used(host));
            }
        }
        sweep
    }
}

/// Whether the pool must still know a host of its table: leases, idle connections and waiting fetches hold
/// it, too.
fn is_used(host: &Rc<Host>) -> bool {
    Rc::strong_count(host) > 1
}

impl Lease {
    /// Ends the lease; the connection can carry another request.
    pub(super) fn give_back(mut self) {
        self.then = Then::Reuse;
    }

    /// The same, but the next fetch does not get the connection at once.
    pub(super) fn let_rest(mut self) {
        self.then = Then::Rest;
    }

    /// Closes the connection, which is to be opened anew.
    pub(super) fn start_afresh(&mut self) {
        (self.connection, self.is_reused) = (None, false);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A connection that is not kept is closed before the next fetch opens another.
        let kept = self.connection.take().filter(|_| self.then != Then::Close);
        self.pool.release(&self.host, kept, self.then);
    }
}

/// Waits for a [`Lease`]. Dropping it gives up the place in the queue.
pub(super) struct Acquire {
    pool: Rc<Pool>,
    host: Rc<Host>,
    /// Its place, while it waits.
    place: Option<Place>,
}

impl Acquire {
    /// `task` is resumed when it is worth asking again.
    pub(super) fn poll(&mut self, task: TaskId) -> Poll<Lease> {
        if let Some(place) = self.place {
            let state = &mut *self.pool.state.borrow_mut();
            if let Some(lease) = state.granted.remove(&place) {
                self.place = None;
                return Poll::Ready(lease);
            }
            if let Some(resumed) = self.host.waiting.borrow_mut().get_mut(&place) {
                *resumed = task;
            }
            return Poll::Pending;
        }
        if let Some(lease) = self.pool.try_lease(&self.host) {
            return Poll::Ready(lease);
        }
        let place = self.pool.state.borrow_mut().wait(&self.host, task, &self.pool);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let granted = {
            let state = &mut *self.pool.state.borrow_mut();
            state.stop_waiting(&self.host, place, &self.pool);
            state.granted.remove(&place)
        };
        // Granted, and not taken: it goes to the next.
        if let Some(lease) = granted {
            lease.give_back();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(keeper) = self.state.get_mut().keeper {
            self.handle.discard(keeper);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Pool")
            .field("busy", &state.busy)
            .field("idle", &state.idle.len())
            .field("waiting", &state.waiting)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
