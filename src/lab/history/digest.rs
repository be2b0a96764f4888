//! One number for all that happens in a world, to be compared between targets.

use std::time::Duration;

use super::{Deed, History, Recipe, Stuck};
use crate::events::Event;
use crate::lab::scenario::Scenario;
use crate::server::Service;
use crate::watch::json;
use crate::world::Time;
use crate::world::sim::Faults;

/// Scenarios of one world.
const SCENARIOS: usize = 8;

/// The scenarios that are drawn from: they need nothing that is behind a feature.
const DRAWN: [Scenario; 8] = [
    Scenario::One,
    Scenario::Pair,
    Scenario::Dribble,
    Scenario::SlowReader,
    Scenario::HalfClose,
    Scenario::Smuggle,
    Scenario::Sleep,
    Scenario::Block,
];

/// A hash of all events of a world whose faults and clients are drawn from `seed`, as far as so many steps lead, and
/// how many events there were. One seed, one number, on every target.
///
/// # Errors
/// See [`History::step`].
pub fn digest<S: Service + 'static>(
    seed: u64,
    steps: u64,
    service: impl Fn() -> S + 'static,
) -> Result<(u64, u64), Stuck> {
    let faults = Faults::drawn(seed);
    let mut history = History::new(&Recipe { faults, ..Recipe::new(seed) }, service)?;
    let mut random = fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut draw = |most: u64| random.u64(0..most);
    let mut digest = Digest::default();
    for part in 1..=SCENARIOS as u64 {
        let drawn = usize::try_from(draw(DRAWN.len() as u64)).unwrap_or(0);
        let after = Duration::from_nanos(draw(2) * draw(1_000_000));
        history.act(Deed::Begin(DRAWN[drawn]), after)?;
        while history.moment() < steps * part / SCENARIOS as u64 && history.step()? {
            digest.take_new(&history, u64::MAX);
        }
    }
    Ok((digest.hash.0, digest.told))
}

/// A hash of the first events of a history that stands at its beginning, at most so many, and how many those are.
///
/// # Errors
/// See [`History::step`].
pub fn digest_of(history: &mut History, events_max: u64) -> Result<(u64, u64), Stuck> {
    let mut digest = Digest::default();
    while digest.told < events_max && history.step()? {
        digest.take_new(history, events_max);
    }
    Ok((digest.hash.0, digest.told))
}

/// The same of events that were recorded.
pub fn digest_of_events(events: &[(Time, Event)]) -> u64 {
    let mut digest = Digest::default();
    events.iter().for_each(|(at, event)| digest.take(*at, event));
    digest.hash.0
}

#[derive(Default)]
struct Digest {
    hash: Fnv,
    told: u64,
    text: String,
}

impl Digest {
    /// Takes what has happened since.
    fn take_new(&mut self, history: &History, events_max: u64) {
        let events = history.set.seen.events.borrow();
        for (at, event) in events.after(self.told).1 {
            if self.told < events_max {
                self.take(*at, event);
            }
        }
    }

    fn take(&mut self, at: Time, event: &Event) {
        self.text.clear();
        json::write(at, event, true, &mut self.text);
        self.hash.add(self.text.as_bytes());
        self.told += 1;
    }
}

/// The 64-bit hash of Fowler, Noll and Vo, 1a.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
