//! The last events of a loop, kept in a ring.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::{Event, Observer};
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
    events: VecDeque<(Time, Event)>,
    /// Events kept at most; more push the oldest out.
    capacity: usize,
    dropped: u64,
}

impl Recorder {
    /// A ring for `capacity` events; their memory is taken at once.
    pub fn new(capacity: usize) -> Recorder {
        let events = VecDeque::with_capacity(capacity);
        Recorder { ring: Rc::new(RefCell::new(Ring { events, capacity, dropped: 0 })) }
    }

    /// The events in the ring, oldest first, each with its moment.
    pub fn events(&self) -> Vec<(Time, Event)> {
        self.ring.borrow().events.iter().copied().collect()
    }

    /// Takes the events out of the ring, oldest first.
    pub fn take(&self) -> Vec<(Time, Event)> {
        self.ring.borrow_mut().events.drain(..).collect()
    }

    /// Events that had to make room for newer ones.
    pub fn dropped(&self) -> u64 {
        self.ring.borrow().dropped
    }
}

impl Observer for Recorder {
    fn event(&mut self, at: Time, event: &Event) {
        let mut ring = self.ring.borrow_mut();
        if ring.events.len() >= ring.capacity {
            ring.dropped += 1;
            if ring.events.pop_front().is_none() {
                return;
            }
        }
        ring.events.push_back((at, *event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_lets_the_oldest_go_and_counts_it() {
        let recorder = Recorder::new(2);
        let mut installed = recorder.clone();
        for turn in 1..=3 {
            let event = Event::TurnBegan { turn, ready: 0, timers: 0 };
            installed.event(Time::from_nanos(turn), &event);
        }
        let times: Vec<u64> = recorder.events().iter().map(|(at, _)| at.as_nanos()).collect();
        assert_eq!((times, recorder.dropped()), (vec![2, 3], 1));
        assert_eq!(recorder.take().len(), 2);
        assert!(recorder.events().is_empty());
    }

    #[test]
    fn a_ring_of_nothing_drops_everything() {
        let recorder = Recorder::new(0);
        recorder.clone().event(Time::ZERO, &Event::Waited { sources: 0 });
        assert_eq!((recorder.events().len(), recorder.dropped()), (0, 1));
    }
}
