//! A simulated world: sockets in memory, one seed, and a clock that jumps.
//!
//! Same seed, same program: same trace. When every task waits, the clock jumps to the next deadline;
//! when nothing can ever happen, [`World::wait`] says so as an error instead of hanging. [`Sim`]
//! is the loop's side; [`Net`] is the outside, where tests connect and serve as [`Peer`]s, act at
//! given moments ([`Net::at`]), and choose how rough the network is ([`Faults`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use slotmap::{SlotMap, new_key_type};

use super::{Clock, Listener, Pollable, Readiness, Stream, Time, World};
use crate::id::SourceId;

mod faults;
mod link;
mod net;
mod socket;

use faults::{below, duration, shuffle, strikes};
use link::End;

pub use faults::{CLOCK_JUMP_MAX, EXHAUSTED_MAX, Faults, HELD_MAX, LATENCY_MAX, WALL_JUMP_MAX};
pub use net::Net;
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
    /// The wall clock at `Time::ZERO`. Tests set it, forward and back.
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

    fn set_wall(&self, wall: SystemTime) {
        let since_zero = Duration::from_nanos(self.now.get().as_nanos());
        self.wall_at_zero.set(wall - since_zero);
    }

    pub(crate) fn jump_to(&self, time: Time) {
        debug_assert!(time >= self.now.get(), "time never goes back");
        self.now.set(time);
    }
}

new_key_type! {
    /// One end of a connection.
    struct EndId;
}

#[derive(Default)]
struct Backlog {
    /// Connections that have not been accepted yet, oldest first.
    waiting: VecDeque<EndId>,
    source: Option<SourceId>,
    /// Numbers of the errors that the next accepts return, before anything else.
    errors: VecDeque<i32>,
    /// Until then, every accept fails with this error.
    exhausted: Option<(Time, i32)>,
}

type Action = Box<dyn FnOnce(&Net)>;

/// What an outside server does with a new connection.
type Welcome = Rc<RefCell<dyn FnMut(&Net, Peer)>>;

struct State {
    clock: Rc<SimClock>,
    random: fastrand::Rng,
    faults: Faults,
    ends: SlotMap<EndId, End>,
    backlogs: BTreeMap<SocketAddr, Backlog>,
    /// Servers outside of the loop.
    outside: BTreeMap<SocketAddr, Welcome>,
    next_port: u16,
    /// Readiness that the next wait reports.
    pending: Vec<(SourceId, Readiness)>,
    /// Reports that were held back and are let go now. They draw no faults again: faults that make
    /// faults would never end.
    released: Vec<(SourceId, Readiness)>,
    /// Sources that were closed last: at most [`RETIRED_MAX`].
    retired: VecDeque<SourceId>,
    /// What happens later, in order of time, then of asking.
    actions: BTreeMap<(Time, u64), Action>,
    actions_made: u64,
    /// Until then, the program cannot open a connection of its own for want of a descriptor.
    without_descriptors: Time,
}

/// Closed sources that are remembered for stale reports.
const RETIRED_MAX: usize = 8;

/// The loop's side of a simulated world.
#[derive(Debug)]
pub struct Sim {
    net: Net,
    /// The alarm was rung: the present or the next wait ends.
    alarm: Arc<AtomicBool>,
}

impl Sim {
    /// A calm world in which everything that is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Sim {
        Sim::with_faults(seed, Faults::NONE)
    }

    /// A world with these faults, drawn from `seed`.
    pub fn with_faults(seed: u64, faults: Faults) -> Sim {
        let new_year_2026 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let clock = SimClock { now: Cell::new(Time::ZERO), wall_at_zero: Cell::new(new_year_2026) };
        let clock = Rc::new(clock);
        let state = State {
            clock: Rc::clone(&clock),
            random: fastrand::Rng::with_seed(seed),
            faults,
            ends: SlotMap::with_key(),
            backlogs: BTreeMap::new(),
            outside: BTreeMap::new(),
            next_port: 40_000,
            pending: Vec::new(),
            released: Vec::new(),
            retired: VecDeque::new(),
            actions: BTreeMap::new(),
            actions_made: 0,
            without_descriptors: Time::ZERO,
        };
        let net = Net { state: Rc::new(RefCell::new(state)), clock };
        Sim { net, alarm: Arc::default() }
    }

    /// The outside of this world.
    pub fn net(&self) -> Net {
        self.net.clone()
    }

    /// The wait ends `after` now; returns the time then. The clocks may turn out to have been moved meanwhile.
    fn end_wait(&self, after: Duration) -> Time {
        let clock = &self.net.clock;
        clock.jump_to(clock.now() + after);
        let mut state = self.net.state.borrow_mut();
        let State { random, faults, .. } = &mut *state;
        if strikes(random, faults.clock_jump_percent) {
            clock.jump_to(clock.now() + duration(random, CLOCK_JUMP_MAX));
        }
        if strikes(random, faults.wall_jump_percent) {
            let jump = duration(random, WALL_JUMP_MAX);
            let wall = clock.wall();
            clock.set_wall(if random.bool() { wall + jump } else { wall - jump });
        }
        clock.now()
    }
}

impl Drop for Sim {
    /// What was to happen holds ends of connections, and those hold the world.
    fn drop(&mut self) {
        let held = {
            let state = &mut *self.net.state.borrow_mut();
            let watchers = state.ends.values_mut().map(|end| end.watcher.take());
            let watchers: Vec<_> = watchers.collect();
            (std::mem::take(&mut state.actions), std::mem::take(&mut state.outside), watchers)
        };
        drop(held);
    }
}

impl World for Sim {
    fn wait(
        &mut self,
        until: Option<Time>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<Time> {
        let began = self.net.clock.now();
        let end = until.map_or(Time::NEVER, |until| until.max(began));
        loop {
            if self.net.take_pending(arrived) || self.alarm.swap(false, Ordering::AcqRel) {
                return Ok(self.end_wait(BUSY_WAIT));
            }
            // What the outside does meanwhile, if it does anything before the time is over.
            if let Some((at, action)) = self.net.next_action(end) {
                self.net.clock.jump_to(at.max(self.net.clock.now()));
                action(&self.net);
                continue;
            }
            if until.is_none() {
                return Err(io::Error::new(
                    io::ErrorKind::Deadlock,
                    "nothing can ever happen: no task is ready, no timer is set, no peer acts",
                ));
            }
            let left = end.since(self.net.clock.now());
            let pause = self.net.early(left).unwrap_or(left);
            return Ok(self.end_wait(if end == began { BUSY_WAIT } else { pause }));
        }
    }

    fn clock(&self) -> Clock {
        Clock::Sim(Rc::clone(&self.net.clock))
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        let alarm = Arc::clone(&self.alarm);
        Arc::new(move || alarm.store(true, Ordering::Release))
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<Listener> {
        self.net.listen(address).map(Listener::Sim)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream> {
        let end = self.net.dial(address)?;
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
}

impl State {
    fn report(&mut self, source: Option<SourceId>, readiness: Readiness) {
        if let Some(id) = source {
            self.pending.push((id, readiness));
        }
    }

    /// A source was closed: reports of it are stale from now on.
    fn retire(&mut self, source: Option<SourceId>) {
        let Some(source) = source else { return };
        if self.retired.len() == RETIRED_MAX {
            self.retired.pop_front();
        }
        self.retired.push_back(source);
    }

    /// Runs `action` when the clock reaches `time`.
    fn later(&mut self, time: Time, action: impl FnOnce(&Net) + 'static) {
        self.actions_made += 1;
        let key = (time, self.actions_made);
        self.actions.insert(key, Box::new(action));
    }

    /// Adds to the pending reports what the network only pretends, and takes away what is late.
    fn spoil_pending(&mut self) {
        let State { pending, random, faults, ends, backlogs, retired, clock, .. } = self;
        let streams = ends.values().filter_map(|end| end.source);
        let sources = streams.chain(backlogs.values().filter_map(|backlog| backlog.source));
        let spurious = sources.filter(|_| strikes(random, faults.spurious_percent));
        let spurious: Vec<_> = spurious.collect();
        for id in spurious {
            let directions = [Readiness::READABLE, Readiness::WRITABLE];
            pending.push((id, directions[below(random, 2)]));
        }
        if strikes(random, faults.stale_percent) && !retired.is_empty() {
            let id = retired[below(random, retired.len())];
            pending.push((id, Readiness::all()));
        }
        if strikes(random, faults.shuffled_percent) {
            shuffle(random, pending);
        }
        let held: Vec<_> =
            pending.extract_if(.., |_| strikes(random, faults.held_percent)).collect();
        let now = clock.now();
        for report in held {
            let until = now + duration(&mut self.random, HELD_MAX);
            self.later(until, move |net| net.state.borrow_mut().released.push(report));
        }
    }
}

#[cfg(test)]
mod tests;
