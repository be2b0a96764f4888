//! The clocks of a world, and the clock of a loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::{Time, sim};

/// The clocks of a world.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's; the instant is the loop's beginning.
    Os(Instant),
    /// The virtual clock of a simulated world.
    Sim(Rc<sim::SimClock>),
}

impl Clock {
    /// The monotonic clock.
    pub fn now(&self) -> Time {
        match self {
            Clock::Os(began) => Time::ZERO + began.elapsed(),
            Clock::Sim(clock) => clock.now(),
        }
    }

    /// The wall clock: it may be set, and go back.
    pub fn wall(&self) -> SystemTime {
        match self {
            Clock::Os(_) => SystemTime::now(),
            Clock::Sim(clock) => clock.wall(),
        }
    }
}

/// The clock of one loop: that of its world, without the time for which the loop was held.
#[derive(Debug)]
pub(crate) struct LoopClock {
    world: Clock,
    /// Time that has passed in the world and not on the loop.
    held_nanos: Cell<u64>,
    /// Where the clock stands while the loop is held.
    stands_at: Cell<Option<Time>>,
}

impl LoopClock {
    pub(crate) fn new(world: Clock) -> LoopClock {
        LoopClock { world, held_nanos: Cell::new(0), stands_at: Cell::new(None) }
    }

    /// The monotonic clock. It never goes back, and stands while it is stopped.
    #[inline]
    pub(crate) fn now(&self) -> Time {
        match self.stands_at.get() {
            None => self.of_world(self.world.now()),
            Some(time) => time,
        }
    }

    /// What the clock of the world said, or will say, at a moment of the loop's clock.
    pub(crate) fn in_world(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos().saturating_add(self.held_nanos.get()))
    }

    /// The wall clock, which cannot be stopped.
    pub(crate) fn wall(&self) -> SystemTime {
        self.world.wall()
    }

    /// A moment of the world's clock on this one, as long as it runs.
    pub(crate) fn of_world(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos() - self.held_nanos.get())
    }

    /// No time passes until what is returned is dropped, not even if it is a panic that drops it; then time
    /// passes again, from where the clock stood.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.stands_at.set(Some(self.now()));
        Held(self)
    }
}

/// A clock that stands.
pub(crate) struct Held<'a>(&'a LoopClock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(time) = self.0.stands_at.take() {
            self.0.held_nanos.set(self.0.world.now().as_nanos() - time.as_nanos());
        }
    }
}
