//! Connections that are open: who has one, who waits for one, and which are idle.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::task::Poll;

use super::connection::Connection;
use super::keeper::Keeper;
use crate::event_loop::Handle;
use crate::id::TaskId;
use crate::limits::FETCH_IDLE_TIMEOUT;
use crate::world::Time;

/// The connections of one client.
///
/// Invariants: `busy` and the idle connections together are at most `connections_max`; while somebody
/// waits who could be served, nobody does: every release serves as many as it can, oldest first.
pub(super) struct Pool {
    handle: Handle,
    connections_max: usize,
    per_host_max: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// By origin: `http://localhost:8080`. Those that nobody uses any more are taken out when there
    /// are `hosts_max` of them.
    hosts: HashMap<Box<str>, Rc<Host>>,
    /// Twice what was used at the last look, so that looking costs little for each host.
    hosts_max: usize,
    /// Leases.
    busy: usize,
    /// Idle connections.
    idle: usize,
    /// Who waits, by order of arrival.
    waiting: BTreeMap<u64, Ticket>,
    /// What those get who had these tickets, and have not looked yet. They look in this order,
    /// unless one gives up.
    granted: VecDeque<(u64, Lease)>,
    /// Tickets ever drawn.
    tickets: u64,
    /// The task that watches the idle connections; `None` if there is none to watch.
    keeper: Option<TaskId>,
}

/// What leases, and those who wait for one, have in common if their origin is the same.
#[derive(Default)]
struct Host {
    busy: Cell<usize>,
    /// The last is the one that was busy last.
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Time,
}

/// The right to one connection, and the connection once there is one. Dropped, it closes it.
pub(super) struct Lease {
    pool: Rc<Pool>,
    host: Rc<Host>,
    /// `None`: it is to be opened.
    pub(super) connection: Option<Connection>,
    /// The connection has served another request before.
    pub(super) is_reused: bool,
    /// The connection goes back instead of being closed.
    keep: bool,
}

/// A place in the queue.
struct Ticket {
    host: Rc<Host>,
    /// Who is resumed when there is a lease.
    task: TaskId,
}

impl Pool {
    pub(super) fn new(handle: &Handle, connections_max: usize, per_host_max: usize) -> Rc<Pool> {
        let (handle, state) = (handle.clone(), RefCell::default());
        Rc::new(Pool { handle, connections_max, per_host_max, state })
    }

    /// Asks for a connection to `origin`.
    pub(super) fn acquire(self: &Rc<Self>, origin: &str) -> Acquire {
        let host = self.state.borrow_mut().host(origin);
        Acquire { pool: Rc::clone(self), host, ticket: None }
    }

    /// Idle connections.
    pub(super) fn idle_count(&self) -> usize {
        self.state.borrow().idle
    }

    /// A lease at once, if the limits allow.
    fn try_lease(self: &Rc<Self>, host: &Rc<Host>) -> Option<Lease> {
        let entered = self.state.borrow_mut().enter(host, self);
        entered.then(|| self.lease(Rc::clone(host), None))
    }

    /// A lease for whoever has entered, with this connection or an idle one.
    fn lease(self: &Rc<Self>, host: Rc<Host>, connection: Option<Connection>) -> Lease {
        let connection = connection.or_else(|| self.take_idle(&host));
        if connection.is_none() {
            self.make_room();
        }
        let is_reused = connection.is_some();
        Lease { pool: Rc::clone(self), host, connection, is_reused, keep: false }
    }

    fn take_idle(&self, host: &Host) -> Option<Connection> {
        loop {
            let mut idle = host.idle.borrow_mut().pop()?;
            self.state.borrow_mut().idle -= 1;
            if !idle.connection.is_stale() {
                return Some(idle.connection);
            }
        }
    }

    /// Closes the connection that has been idle longest, if there are too many.
    fn make_room(&self) {
        let evicted = {
            let mut state = self.state.borrow_mut();
            let is_full = state.busy + state.idle > self.connections_max;
            if is_full { state.pop_oldest_idle() } else { None }
        };
        drop(evicted);
    }

    /// A lease ends. Its place goes to who has waited longest, with the connection if it fits.
    fn release(self: &Rc<Self>, host: &Rc<Host>, connection: Option<Connection>) {
        self.state.borrow_mut().leave(host);
        // What has come behind the reply must not be taken for the next one.
        let mut connection = connection.and_then(|mut c| (!c.is_stale()).then_some(c));
        loop {
            let next = self.state.borrow_mut().call_next(self);
            let Some((number, Ticket { host: next, task })) = next else { break };
            let fitting = if Rc::ptr_eq(&next, host) { connection.take() } else { None };
            let lease = self.lease(next, fitting);
            self.state.borrow_mut().granted.push_back((number, lease));
            self.handle.wake(task);
        }
        if let Some(connection) = connection {
            self.park(host, connection);
        }
    }

    fn park(self: &Rc<Self>, host: &Host, mut connection: Connection) {
        let is_full = {
            let state = self.state.borrow();
            state.busy + state.idle >= self.connections_max
        };
        if is_full {
            return;
        }
        connection.rest(self.keeper());
        let since = self.handle.now();
        host.idle.borrow_mut().push(Idle { connection, since });
        self.state.borrow_mut().idle += 1;
    }

    fn keeper(self: &Rc<Self>) -> TaskId {
        let present = self.state.borrow().keeper;
        present.unwrap_or_else(|| {
            let pool = Rc::downgrade(self);
            let task = self.handle.spawn_task(|_| Box::new(Keeper::new(&self.handle, pool)));
            self.state.borrow_mut().keeper = Some(task);
            task
        })
    }

    /// Closes idle connections that are stale or too old. Gives the moment at which the next one will
    /// be too old; `None`: none is left, and nobody keeps them any more.
    pub(super) fn sweep(&self, now: Time) -> Option<Time> {
        let mut state = self.state.borrow_mut();
        let State { hosts, idle, keeper, .. } = &mut *state;
        let mut next = None;
        hosts.retain(|_, host| {
            let mut of_host = host.idle.borrow_mut();
            let before = of_host.len();
            of_host.retain_mut(|idle| {
                now < idle.since + FETCH_IDLE_TIMEOUT && !idle.connection.is_stale()
            });
            *idle -= before - of_host.len();
            let first = of_host.first().map(|idle| idle.since + FETCH_IDLE_TIMEOUT);
            next = next.into_iter().chain(first).min();
            drop(of_host);
            is_used(host)
        });
        if next.is_none() {
            *keeper = None;
        }
        next
    }
}

impl State {
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
    fn enter(&mut self, host: &Host, pool: &Pool) -> bool {
        if !self.may_enter(host, pool) {
            return false;
        }
        self.busy += 1;
        host.busy.set(host.busy.get() + 1);
        true
    }

    fn may_enter(&self, host: &Host, pool: &Pool) -> bool {
        self.busy < pool.connections_max && host.busy.get() < pool.per_host_max
    }

    fn leave(&mut self, host: &Host) {
        self.busy -= 1;
        host.busy.set(host.busy.get() - 1);
    }

    /// Takes the first out of the queue that may enter, and lets it.
    fn call_next(&mut self, pool: &Pool) -> Option<(u64, Ticket)> {
        if self.busy >= pool.connections_max {
            return None;
        }
        let may_enter = |ticket: &Ticket| self.may_enter(&ticket.host, pool);
        let number = *self.waiting.iter().find(|(_, ticket)| may_enter(ticket))?.0;
        let ticket = self.waiting.remove(&number)?;
        let entered = self.enter(&ticket.host, pool);
        debug_assert!(entered, "it may");
        Some((number, ticket))
    }

    fn take_granted(&mut self, ticket: u64) -> Option<Lease> {
        let at = self.granted.iter().position(|(number, _)| *number == ticket)?;
        self.granted.remove(at).map(|(_, lease)| lease)
    }

    fn pop_oldest_idle(&mut self) -> Option<Idle> {
        let oldest = |host: &Host| host.idle.borrow().first().map(|idle| idle.since);
        let with_idle = self.hosts.values().filter_map(|host| Some((oldest(host)?, host)));
        let (_, host) = with_idle.min_by_key(|(since, _)| *since)?;
        let idle = host.idle.borrow_mut().remove(0);
        self.idle -= 1;
        Some(idle)
    }
}

/// Whether the pool must know a host of its table still: who leases or waits holds it, too.
fn is_used(host: &Rc<Host>) -> bool {
    Rc::strong_count(host) > 1 || !host.idle.borrow().is_empty()
}

impl Lease {
    /// Ends the lease; the connection can carry another request.
    pub(super) fn give_back(mut self) {
        self.keep = true;
    }

    /// Closes the connection, which is to be opened anew.
    pub(super) fn start_afresh(&mut self) {
        (self.connection, self.is_reused) = (None, false);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What is not kept is closed before whoever is next opens another.
        let kept = self.connection.take().filter(|_| self.keep);
        self.pool.release(&self.host, kept);
    }
}

/// Waits for a [`Lease`]. Dropping it gives up the place in the queue.
pub(super) struct Acquire {
    pool: Rc<Pool>,
    host: Rc<Host>,
    /// Its number, while it waits.
    ticket: Option<u64>,
}

impl Acquire {
    /// `task` is resumed when it is worth to ask again.
    pub(super) fn poll(&mut self, task: TaskId) -> Poll<Lease> {
        if let Some(number) = self.ticket {
            let state = &mut *self.pool.state.borrow_mut();
            if let Some(lease) = state.take_granted(number) {
                self.ticket = None;
                return Poll::Ready(lease);
            }
            if let Some(ticket) = state.waiting.get_mut(&number) {
                ticket.task = task;
            }
            return Poll::Pending;
        }
        if let Some(lease) = self.pool.try_lease(&self.host) {
            return Poll::Ready(lease);
        }
        let state = &mut *self.pool.state.borrow_mut();
        state.tickets += 1;
        state.waiting.insert(state.tickets, Ticket { host: Rc::clone(&self.host), task });
        self.ticket = Some(state.tickets);
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(number) = self.ticket else { return };
        let granted = {
            let state = &mut *self.pool.state.borrow_mut();
            state.waiting.remove(&number);
            state.take_granted(number)
        };
        // Granted, and not taken: whoever is next has it.
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
            .field("idle", &state.idle)
            .field("waiting", &state.waiting.len())
            .finish_non_exhaustive()
    }
}
