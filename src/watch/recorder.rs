//! The last events of a loop, kept in a ring.

use std::cell::RefCell;
use std::rc::Rc;

use crate::events::{Event, Observer};
use crate::world::Time;

/// Keeps the last events, and counts those that it had to let go.
///
/// A clone looks at the same ring: install one, keep the other.
#[derive(Clone, Debug)]
pub struct Recorder {
    ring: Rc<RefCell<Ring>>,
}

#[derive(Debug)]
struct Ring {
    /// At most `capacity`; once there are as many, each new one takes the place of the oldest.
    events: Vec<(Time, Event)>,
    /// Where the oldest is: 0 until the ring is full.
    oldest: usize,
    capacity: usize,
    dropped: u64,
}

impl Recorder {
    /// A ring for `capacity` events; their memory is taken at once.
    pub fn new(capacity: usize) -> Recorder {
        let events = Vec::with_capacity(capacity);
        Recorder { ring: Rc::new(RefCell::new(Ring { events, oldest: 0, capacity, dropped: 0 })) }
    }

    /// The events in the ring, oldest first, each with its moment.
    pub fn events(&self) -> Vec<(Time, Event)> {
        self.ring.borrow().in_order()
    }

    /// Takes the events out of the ring, oldest first.
    pub fn take(&self) -> Vec<(Time, Event)> {
        let mut ring = self.ring.borrow_mut();
        let events = ring.in_order();
        ring.events.clear();
        ring.oldest = 0;
        events
    }

    /// Events that had to make room for newer ones.
    pub fn dropped(&self) -> u64 {
        self.ring.borrow().dropped
    }
}

impl Ring {
    /// The oldest first.
    fn in_order(&self) -> Vec<(Time, Event)> {
        let (newer, older) = self.events.split_at(self.oldest);
        [older, newer].concat()
    }
}

impl Observer for Recorder {
    fn event(&mut self, at: Time, event: &Event) {
        let ring = &mut *self.ring.borrow_mut();
        if ring.events.len() < ring.capacity {
            return ring.events.push((at, *event));
        }
        ring.dropped += 1;
        if let Some(oldest) = ring.events.get_mut(ring.oldest) {
            *oldest = (at, *event);
            let next = ring.oldest + 1;
            ring.oldest = if next == ring.capacity { 0 } else { next };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_lets_the_oldest_go_and_counts_it() {
        let recorder = Recorder::new(2);
        let mut installed = recorder.clone();
        let mut record = |turns: std::ops::RangeInclusive<u64>| {
            for turn in turns {
                let event = Event::TurnBegan { turn, ready: 0, timers: 0 };
                installed.event(Time::from_nanos(turn), &event);
            }
        };
        let times = |events: Vec<(Time, Event)>| -> Vec<u64> {
            events.iter().map(|(at, _)| at.as_nanos()).collect()
        };
        record(1..=3);
        assert_eq!((times(recorder.events()), recorder.dropped()), (vec![2, 3], 1));
        record(4..=6);
        assert_eq!((times(recorder.take()), recorder.dropped()), (vec![5, 6], 4));
        assert!(recorder.events().is_empty());
        record(7..=7);
        assert_eq!((times(recorder.events()), recorder.dropped()), (vec![7], 4));
    }

    #[test]
    fn a_ring_of_nothing_drops_everything() {
        let recorder = Recorder::new(0);
        recorder.clone().event(Time::ZERO, &Event::Waited { sources: 0 });
        assert_eq!((recorder.events().len(), recorder.dropped()), (0, 1));
    }
}
