//! A simulated world: sockets in memory, one seed, and a clock that jumps.
//!
//! Same seed, same program: same trace. When everybody waits, the clock jumps to the next deadline;
//! when nothing can ever happen, [`World::wait`] says so as an error instead of hanging. [`Sim`]
//! is the loop's side; [`Net`] is the outside, where tests connect as [`Peer`]s, act at given
//! moments ([`Net::at`]), and choose how rough the network is ([`Faults`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use slotmap::{SlotMap, new_key_type};

use super::{Clock, Listener, Pollable, Readiness, Stream, Time, World};
use crate::id::SourceId;

mod socket;

pub use socket::{Peer, SimListener, SimStream};

/// Bytes that one direction of a connection holds before writing to it would block.
pub const PIPE_BYTES: usize = 64 * 1024;

/// Virtual time that a wait takes which finds something at once, or whose timeout is zero, so that
/// a loop which is never idle still sees time pass.
pub const BUSY_WAIT: Duration = Duration::from_micros(1);

/// The virtual clock of a simulated world.
#[derive(Debug)]
pub struct SimClock {
    now: Cell<Time>,
    /// The wall clock at `Time::ZERO`. Tests set it, also backwards.
    wall_at_zero: Cell<SystemTime>,
}

impl SimClock {
    /// The monotonic clock.
    pub fn now(&self) -> Time {
        self.now.get()
    }

    /// The wall clock; it starts at 2026-01-01 00:00:00 UTC.
    pub fn wall(&self) -> SystemTime {
        self.wall_at_zero.get() + Duration::from_nanos(self.now.get().as_nanos())
    }

    fn jump_to(&self, time: Time) {
        debug_assert!(time >= self.now.get(), "time never goes back");
        self.now.set(time);
    }
}

/// How rough the simulated network is. Each fault strikes with its own probability, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// A read or write moves only a few bytes, although more would fit.
    pub short_percent: u8,
    /// A read or write would block, although it need not.
    pub would_block_percent: u8,
    /// A wait reports a source for which nothing happened.
    pub spurious_percent: u8,
    /// The events of one wait come in any order.
    pub shuffled: bool,
}

impl Faults {
    /// A calm network: nothing goes wrong.
    pub const NONE: Faults =
        Faults { short_percent: 0, would_block_percent: 0, spurious_percent: 0, shuffled: false };

    /// A rough network: everything above happens often.
    pub const ROUGH: Faults =
        Faults { short_percent: 40, would_block_percent: 20, spurious_percent: 20, shuffled: true };
}

new_key_type! {
    /// One end of a connection.
    struct EndId;
}

/// One end of a connection in memory.
struct End {
    /// Bytes on their way to this end, in order.
    inbox: VecDeque<u8>,
    /// The other end wrote its last byte; the end of the stream is read after `inbox`.
    finished: bool,
    /// The connection was reset; whatever is tried here fails.
    reset: bool,
    /// This end has shut its write side.
    shut: bool,
    /// This end was dropped.
    closed: bool,
    /// Closing this end is a reset.
    aborts: bool,
    /// A write of this end would have blocked, and nothing was read by the other end since.
    wants_room: bool,
    /// The other end.
    other: EndId,
    /// Who is told about readiness: set for ends that a loop has registered.
    source: Option<SourceId>,
    address: SocketAddr,
}

#[derive(Default)]
struct Backlog {
    /// Connections that nobody has accepted yet, oldest first.
    waiting: VecDeque<EndId>,
    source: Option<SourceId>,
    /// Numbers of the errors that the next accepts return, before anything else.
    errors: VecDeque<i32>,
}

type Action = Box<dyn FnOnce(&Net)>;

struct State {
    random: fastrand::Rng,
    faults: Faults,
    ends: SlotMap<EndId, End>,
    backlogs: BTreeMap<SocketAddr, Backlog>,
    next_port: u16,
    /// Readiness that the next wait reports.
    pending: Vec<(SourceId, Readiness)>,
    /// What happens later, in order of time, then of asking.
    actions: BTreeMap<(Time, u64), Action>,
    actions_made: u64,
}

/// The outside of a simulated world: what a test does to the program on the loop. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    state: Rc<RefCell<State>>,
    clock: Rc<SimClock>,
}

/// The loop's side of a simulated world.
#[derive(Debug)]
pub struct Sim {
    net: Net,
}

impl Sim {
    /// A calm world in which everything that is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim::with_faults(seed, Faults::NONE)
    }

    /// A world with these faults, drawn from `seed`.
    pub fn with_faults(seed: u64, faults: Faults) -> Sim {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            faults,
            ends: SlotMap::with_key(),
            backlogs: BTreeMap::new(),
            next_port: 40_000,
            pending: Vec::new(),
            actions: BTreeMap::new(),
            actions_made: 0,
        };
        let new_year_2026 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let clock = SimClock { now: Cell::new(Time::ZERO), wall_at_zero: Cell::new(new_year_2026) };
        Sim { net: Net { state: Rc::new(RefCell::new(state)), clock: Rc::new(clock) } }
    }

    /// The outside of this world.
    pub fn net(&self) -> Net {
        self.net.clone()
    }
}

impl World for Sim {
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<()> {
        let end = timeout.map_or(Time::NEVER, |timeout| self.net.clock.now() + timeout);
        loop {
            if self.net.take_pending(arrived) {
                self.net.clock.jump_to(self.net.clock.now() + BUSY_WAIT);
                return Ok(());
            }
            // What the outside does meanwhile, if it does something before the time is over.
            if let Some((at, action)) = self.net.next_action(end) {
                self.net.clock.jump_to(at.max(self.net.clock.now()));
                action(&self.net);
                continue;
            }
            let Some(timeout) = timeout else {
                return Err(io::Error::new(
                    io::ErrorKind::Deadlock,
                    "nothing can ever happen: no task is ready, no timer is set, no peer acts",
                ));
            };
            let pause = if timeout.is_zero() { BUSY_WAIT } else { timeout };
            self.net.clock.jump_to(self.net.clock.now() + pause);
            return Ok(());
        }
    }

    fn clock(&self) -> Clock {
        Clock::Sim(Rc::clone(&self.net.clock))
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        // A simulated world has one thread, which does not sleep.
        Arc::new(|| {})
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<Listener> {
        self.net.listen(address).map(Listener::Sim)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream> {
        let (end, refused) = self.net.open(address);
        if refused {
            self.net.state.borrow_mut().ends[end].reset = true;
        }
        Ok(Stream::Sim(Box::new(SimStream { net: self.net.clone(), end })))
    }

    fn register(&mut self, pollable: Pollable<'_>, id: SourceId) -> io::Result<()> {
        match pollable {
            Pollable::Stream(Stream::Sim(stream)) => stream.register(id),
            Pollable::Listener(Listener::Sim(listener)) => listener.register(id),
            _ => {
                let text = "an operating system's socket on a simulated loop";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        None
    }
}

impl Net {
    /// Connects to a listener of this world from outside.
    ///
    /// # Panics
    /// If nobody listens at `address`: a mistake in the test.
    pub fn connect(&self, address: SocketAddr) -> Peer {
        let (end, refused) = self.open(address);
        assert!(!refused, "nobody listens at {address}");
        Peer { stream: SimStream { net: self.clone(), end } }
    }

    /// Runs `action` when the clock reaches `time`, or at the next wait if that is past.
    pub fn at(&self, time: Time, action: impl FnOnce(&Net) + 'static) {
        let mut state = self.state.borrow_mut();
        state.actions_made += 1;
        let key = (time, state.actions_made);
        state.actions.insert(key, Box::new(action));
    }

    /// The moment on the virtual clock.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Sets the wall clock, also backwards; the monotonic clock goes on.
    pub fn set_wall(&self, wall: SystemTime) {
        let since_zero = Duration::from_nanos(self.clock.now().as_nanos());
        self.clock.wall_at_zero.set(wall - since_zero);
    }

    /// Makes the next accept at `address` fail with this errno, and the listener readable.
    pub fn fail_accept(&self, address: SocketAddr, errno: i32) {
        let mut state = self.state.borrow_mut();
        let backlog = state.backlogs.get_mut(&address).expect("the test named a listener");
        backlog.errors.push_back(errno);
        let source = backlog.source;
        state.report(source, Readiness::READABLE);
    }

    /// Ends of connections that are still open, on either side.
    pub fn open_ends(&self) -> usize {
        self.state.borrow().ends.values().filter(|end| !end.closed).count()
    }

    fn take_pending(&self, arrived: &mut Vec<(SourceId, Readiness)>) -> bool {
        let mut state = self.state.borrow_mut();
        let State { pending, random, faults, ends, .. } = &mut *state;
        if pending.is_empty() {
            return false;
        }
        let spurious = ends.values().filter_map(|end| end.source);
        let spurious = spurious.filter(|_| strikes(random, faults.spurious_percent));
        let spurious: Vec<_> = spurious.map(|id| (id, Readiness::READABLE)).collect();
        pending.extend(spurious);
        if faults.shuffled {
            random.shuffle(pending);
        }
        arrived.append(pending);
        true
    }

    fn next_action(&self, end: Time) -> Option<(Time, Action)> {
        let mut state = self.state.borrow_mut();
        let first = state.actions.first_entry()?;
        if first.key().0 > end {
            return None;
        }
        let ((at, _), action) = first.remove_entry();
        Some((at, action))
    }

    fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        let mut state = self.state.borrow_mut();
        let mut address = address;
        if address.port() == 0 {
            address.set_port(state.next_port);
            state.next_port += 1;
        }
        if state.backlogs.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.backlogs.insert(address, Backlog::default());
        Ok(SimListener { net: self.clone(), address })
    }

    /// Opens a connection to `address`; gives the client's end, and whether nobody listens.
    fn open(&self, address: SocketAddr) -> (EndId, bool) {
        let mut state = self.state.borrow_mut();
        let client_address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), state.next_port);
        state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
        let client = state.ends.insert(End::new(client_address));
        let server = state.ends.insert(End::new(address));
        state.ends[client].other = server;
        state.ends[server].other = client;
        match state.backlogs.get_mut(&address) {
            Some(backlog) => {
                backlog.waiting.push_back(server);
                let source = backlog.source;
                state.report(source, Readiness::READABLE);
                (client, false)
            }
            None => {
                state.ends[server].closed = true;
                (client, true)
            }
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("now", &self.clock.now()).finish_non_exhaustive()
    }
}

impl State {
    fn report(&mut self, source: Option<SourceId>, readiness: Readiness) {
        if let Some(id) = source {
            self.pending.push((id, readiness));
        }
    }

    /// Tears the connection of `end` down: both ends fail from now on.
    fn reset(&mut self, end: EndId) {
        for id in [end, self.ends[end].other] {
            let Some(end) = self.ends.get_mut(id) else { continue };
            end.reset = true;
            end.inbox.clear();
            let source = end.source.filter(|_| !end.closed);
            self.report(source, Readiness::READ_CLOSED | Readiness::WRITE_CLOSED);
        }
    }

    /// Both ends are dropped: nothing of the connection is left.
    fn forget_if_closed(&mut self, end: EndId) {
        let other = self.ends[end].other;
        if self.ends.get(other).is_none_or(|other| other.closed) {
            self.ends.remove(end);
            self.ends.remove(other);
        }
    }
}

impl End {
    fn new(address: SocketAddr) -> End {
        End {
            inbox: VecDeque::new(),
            finished: false,
            reset: false,
            shut: false,
            closed: false,
            aborts: false,
            wants_room: false,
            other: EndId::default(),
            source: None,
            address,
        }
    }
}

fn strikes(random: &mut fastrand::Rng, percent: u8) -> bool {
    percent > 0 && random.u8(0..100) < percent
}
