//! The outside of a simulated world.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::faults::{EMFILE, duration, strikes};
use super::{Action, Backlog, EndId, Faults, Peer, SimClock, SimListener, SimStream, State};
use crate::id::SourceId;
use crate::world::{Readiness, Time};

/// The outside of a simulated world: what a test does to the program on the loop. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) clock: Rc<SimClock>,
}

impl Net {
    /// Connects to a listener of this world from outside.
    ///
    /// # Panics
    /// If nobody listens at `address`: a mistake in the test.
    pub fn connect(&self, address: SocketAddr) -> Peer {
        self.try_connect(address).unwrap_or_else(|| panic!("nobody listens at {address}"))
    }

    /// As [`connect`](Net::connect); `None` if nobody listens there, or not any more.
    pub fn try_connect(&self, address: SocketAddr) -> Option<Peer> {
        let mut state = self.state.borrow_mut();
        if !state.backlogs.contains_key(&address) {
            return None;
        }
        let (client, server) = state.open(address);
        drop(state);
        self.arrive_at(address, client, server);
        Some(Peer { stream: SimStream { net: self.clone(), end: client } })
    }

    /// Serves at `address` outside of the loop: `welcome` is given each connection that the program
    /// opens to it.
    ///
    /// # Panics
    /// If the address is in use: a mistake in the test.
    pub fn serve(&self, address: SocketAddr, welcome: impl FnMut(&Net, Peer) + 'static) {
        let mut state = self.state.borrow_mut();
        let is_free = !state.backlogs.contains_key(&address);
        let before = state.outside.insert(address, Rc::new(RefCell::new(welcome)));
        assert!(is_free && before.is_none(), "somebody listens at {address}");
    }

    /// Runs `action` when the clock reaches `time`, or at the next wait if that is past.
    pub fn at(&self, time: Time, action: impl FnOnce(&Net) + 'static) {
        self.state.borrow_mut().later(time, action);
    }

    /// The moment on the virtual clock.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Lets time pass in which the loop does nothing: what a handler does that blocks its thread. What was to happen
    /// meanwhile happens at the next wait.
    pub fn pass(&self, duration: Duration) {
        self.clock.jump_to(self.clock.now() + duration);
    }

    /// Sets the wall clock, forward or back; the monotonic clock goes on.
    pub fn set_wall(&self, wall: SystemTime) {
        self.clock.set_wall(wall);
    }

    /// The wall clock of this world.
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// How rough the network is from now on; connections that are open stay as they are.
    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    /// Makes the next accept at `address` fail with this errno, and the listener readable.
    pub fn fail_accept(&self, address: SocketAddr, errno: i32) {
        let mut state = self.state.borrow_mut();
        let backlog = state.backlogs.get_mut(&address).expect("the test named a listener");
        backlog.errors.push_back(errno);
        let source = backlog.source;
        state.report(source, Readiness::READABLE);
    }

    /// The program has no descriptor left for so long: every accept fails, and so does every attempt to connect.
    #[cfg(feature = "history")]
    pub(crate) fn run_out_of_descriptors(&self, duration: Duration) {
        let mut state = self.state.borrow_mut();
        let until = self.now() + duration;
        state.without_descriptors = until;
        for backlog in state.backlogs.values_mut() {
            backlog.exhausted = Some((until, EMFILE));
        }
    }

    /// Bytes that have arrived for a source of the loop, and that it has not read yet. For judges: no
    /// program can know it without asking.
    pub fn unread_bytes(&self, source: SourceId) -> usize {
        let state = self.state.borrow();
        let end = state.ends.values().find(|end| end.source == Some(source));
        end.map_or(0, |end| end.inbox.len())
    }

    /// The network resets the connection to `address` that was opened last, among those that the program has accepted.
    #[cfg(feature = "history")]
    pub(crate) fn cut_last(&self, address: SocketAddr) {
        let mut state = self.state.borrow_mut();
        let is_open = |end: &super::link::End| end.source.is_some() && !end.closed && !end.reset;
        let open = state.ends.iter().filter(|(_, end)| end.address == address && is_open(end));
        let last = open.max_by_key(|(_, end)| state.ends.get(end.other).map(|end| end.address));
        if let Some((last, _)) = last {
            state.cut(last);
        }
    }

    /// The port from which the next connection is made.
    #[cfg(feature = "history")]
    pub(crate) fn next_port(&self) -> u16 {
        self.state.borrow().next_port
    }

    /// Ends of connections that are still open, on either side.
    pub fn open_ends(&self) -> usize {
        self.state.borrow().ends.values().filter(|end| !end.closed).count()
    }
}

/// For the loop's side.
impl Net {
    /// Moves what is to be reported to `arrived`; false if that is nothing.
    pub(super) fn take_pending(&self, arrived: &mut Vec<(SourceId, Readiness)>) -> bool {
        let mut state = self.state.borrow_mut();
        if !state.pending.is_empty() {
            state.spoil_pending();
        }
        arrived.append(&mut state.released);
        arrived.append(&mut state.pending);
        !arrived.is_empty()
    }

    pub(super) fn next_action(&self, end: Time) -> Option<(Time, Action)> {
        let mut state = self.state.borrow_mut();
        let first = state.actions.first_entry()?;
        if first.key().0 > end {
            return None;
        }
        let ((at, _), action) = first.remove_entry();
        Some((at, action))
    }

    /// How long a wait lasts that has `left` to go, if a fault ends it early.
    pub(super) fn early(&self, left: Duration) -> Option<Duration> {
        let State { random, faults, .. } = &mut *self.state.borrow_mut();
        strikes(random, faults.early_percent).then(|| duration(random, left))
    }

    pub(super) fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        let mut state = self.state.borrow_mut();
        let mut address = address;
        if address.port() == 0 {
            address.set_port(state.next_port);
            state.next_port += 1;
        }
        if state.backlogs.contains_key(&address) || state.outside.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.backlogs.insert(address, Backlog::default());
        Ok(SimListener { net: self.clone(), address })
    }

    /// The program begins to connect to `address`. Returns its end.
    ///
    /// # Errors
    /// When the program has no descriptor left.
    pub(super) fn dial(&self, address: SocketAddr) -> io::Result<EndId> {
        let mut state = self.state.borrow_mut();
        if self.now() < state.without_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let (client, server) = state.open(address);
        let State { random, faults, .. } = &mut *state;
        let is_refused = strikes(random, faults.refused_percent);
        let is_unanswered = strikes(random, faults.unanswered_percent);
        state.ends[client].connecting = true;
        if is_unanswered {
            state.ends[server].closed = true;
            return Ok(client);
        }
        drop(state);
        if is_refused {
            self.state.borrow_mut().refuse(client);
        } else {
            self.arrive_at(address, client, server);
        }
        Ok(client)
    }

    /// A connection reaches the listener at `address`, if there is one, after the time that this takes.
    fn arrive_at(&self, address: SocketAddr, client: EndId, server: EndId) {
        let arrives = {
            let state = self.state.borrow();
            let end = &state.ends[server];
            Some(end.latency()).filter(|latency| !latency.is_zero()).map(|l| self.now() + l)
        };
        let Some(arrives) = arrives else { return self.arrive(address, client, server) };
        let mut state = self.state.borrow_mut();
        state.not_before(server, arrives);
        state.later(arrives, move |net| net.arrive(address, client, server));
    }

    fn arrive(&self, address: SocketAddr, client: EndId, server: EndId) {
        let mut state = self.state.borrow_mut();
        if !state.ends.contains_key(client) {
            // Given up meanwhile, by both.
            return;
        }
        if let Some(backlog) = state.backlogs.get_mut(&address) {
            backlog.waiting.push_back(server);
            let source = backlog.source;
            state.report(source, Readiness::READABLE);
        } else if let Some(welcome) = state.outside.get(&address).map(Rc::clone) {
            let peer = Peer { stream: SimStream { net: self.clone(), end: server } };
            // Not under the borrow: what it does to the peer needs the state.
            let now = self.clock.now();
            state.later(now, move |net| (welcome.borrow_mut())(net, peer));
        } else {
            return state.refuse(client);
        }
        state.connected(client);
    }
}

impl State {
    /// Makes a connection from a port of its own to `address`: the asking end, and the asked one.
    fn open(&mut self, address: SocketAddr) -> (EndId, EndId) {
        let asking = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        self.pair(asking, address)
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("now", &self.clock.now()).finish_non_exhaustive()
    }
}
