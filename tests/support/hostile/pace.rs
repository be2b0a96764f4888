use std::cell::Cell;
use std::rc::Rc;

use helloop::events::Event;

/// Turns that a run may take, whatever it does.
const TURNS_MAX: u64 = 400_000;

/// Turns that each byte which moves is good for: one to move it, one in which the network pretends
/// that it cannot be moved, and two to spare.
const TURNS_PER_BYTE: u64 = 4;

/// Bytes that are good for turns, far more than any plan moves: a run that never ends may move bytes
/// all the time.
const BYTES_MAX: u64 = 1_000_000;

/// Whether a run comes forward. A network that takes one byte a turn makes it long, not idle; a loop
/// that spins turns without moving anything.
#[derive(Clone, Default)]
pub(super) struct Pace {
    moved_bytes: Rc<Cell<u64>>,
    turns: u64,
}

impl Pace {
    /// The counter of bytes, for the observer of the loop.
    pub(super) fn meter(&self) -> impl Fn(&Event) + use<> {
        let moved_bytes = Rc::clone(&self.moved_bytes);
        move |event| {
            if let Event::Read { bytes, .. } | Event::Wrote { bytes, .. } = event {
                moved_bytes.set(moved_bytes.get() + *bytes as u64);
            }
        }
    }

    /// Counts a turn; a complaint if there were too many.
    pub(super) fn turn(&mut self) -> Option<String> {
        self.turns += 1;
        let (turns, moved_bytes) = (self.turns, self.moved_bytes.get());
        let most = TURNS_MAX + TURNS_PER_BYTE * moved_bytes.min(BYTES_MAX);
        (turns >= most).then(|| format!("the loop spins: {turns} turns, {moved_bytes} bytes moved"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::SourceId;

    #[test]
    fn a_loop_that_moves_bytes_may_turn_for_long_and_one_that_does_not_spins() {
        let mut pace = Pace::default();
        let spins_after = |pace: &mut Pace| (1_u64..).find(|_| pace.turn().is_some()).unwrap();
        assert_eq!(spins_after(&mut pace), TURNS_MAX);
        let (mut pace, wrote) = (Pace::default(), 321_202);
        pace.meter()(&Event::Wrote { source: SourceId::default(), bytes: wrote, of: wrote });
        assert_eq!(spins_after(&mut pace), TURNS_MAX + 4 * wrote as u64);
    }
}
