//! Connections that no fetch uses, and that may be used again.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::connection::Connection;
use super::pool::Host;
use crate::coroutine::{Place, Places};
use crate::limits::{FETCH_IDLE_TIMEOUT, IDLE_LOOKS_PER_RESUME_MAX, LATE_BODY_REST};
use crate::world::Time;

/// In the order in which they became idle. Each host knows the places of its own: of those that may be
/// used, and of those that [rest](LATE_BODY_REST).
#[derive(Default)]
pub(super) struct IdleConnections {
    all: BTreeMap<Place, Idle>,
    places: Places,
}

pub(super) struct Idle {
    pub(super) connection: Box<Connection>,
    pub(super) host: Rc<Host>,
    pub(super) since: Time,
}

/// What a look at idle connections has found.
pub(super) enum Sweep {
    /// No connection is idle any more.
    NothingLeft,
    Left {
        /// Where to go on; `None`: it was the last.
        next: Option<Place>,
        /// When the next one will be too old.
        due: Time,
    },
}

impl IdleConnections {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// `rests`: it is not to be used at once.
    pub(super) fn put(&mut self, idle: Idle, rests: bool) {
        let place = self.places.next();
        let places = if rests { &idle.host.resting } else { &idle.host.idle };
        places.borrow_mut().insert(place);
        self.all.insert(place, idle);
    }

    fn take(&mut self, place: Place) -> Option<Idle> {
        let idle = self.all.remove(&place)?;
        for places in [&idle.host.idle, &idle.host.resting] {
            places.borrow_mut().remove(&place);
        }
        Some(idle)
    }

    /// The one of `host` that was busy last, of those that may be used.
    pub(super) fn take_newest(&mut self, host: &Host, now: Time) -> Option<Idle> {
        self.end_rests(host, now);
        let newest = host.idle.borrow().last().copied()?;
        self.take(newest)
    }

    /// Those that have rested long enough may be used.
    fn end_rests(&self, host: &Host, now: Time) {
        let mut resting = host.resting.borrow_mut();
        while let Some(oldest) = resting.first().copied() {
            let is_rested = |idle: &Idle| idle.since + LATE_BODY_REST <= now;
            if !self.all.get(&oldest).is_none_or(is_rested) {
                break;
            }
            resting.remove(&oldest);
            host.idle.borrow_mut().insert(oldest);
        }
    }

    /// The one that has been idle longest.
    pub(super) fn take_oldest(&mut self) -> Option<Idle> {
        let oldest = *self.all.first_key_value()?.0;
        self.take(oldest)
    }

    /// Takes out those that are too old. If `from` is a place, looks at
    /// [`IDLE_LOOKS_PER_RESUME_MAX`] of the others from there on, and takes out those that are stale.
    pub(super) fn sweep(&mut self, now: Time, from: Option<Place>, gone: &mut Vec<Idle>) -> Sweep {
        let due = |idle: &Idle| idle.since + FETCH_IDLE_TIMEOUT;
        while self.all.first_key_value().is_some_and(|(_, oldest)| due(oldest) <= now) {
            gone.extend(self.take_oldest());
        }
        let next = from.and_then(|from| self.take_stale(from, gone));
        match self.all.first_key_value() {
            Some((_, oldest)) => Sweep::Left { next, due: due(oldest) },
            None => Sweep::NothingLeft,
        }
    }

    /// Returns where to go on.
    fn take_stale(&mut self, from: Place, gone: &mut Vec<Idle>) -> Option<Place> {
        let mut rest = self.all.range_mut(from..);
        let looked_at = rest.by_ref().take(IDLE_LOOKS_PER_RESUME_MAX);
        #[cfg(test)]
        let looked_at = looked_at.inspect(|_| crate::coroutine::steps::count());
        let stale =
            looked_at.filter_map(|(place, idle)| idle.connection.is_stale().then_some(*place));
        let stale: Vec<Place> = stale.collect();
        let next = rest.next().map(|(place, _)| *place);
        gone.extend(stale.into_iter().filter_map(|place| self.take(place)));
        next
    }
}
