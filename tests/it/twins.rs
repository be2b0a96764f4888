//! The two ways in which connections are written do the same: the same bytes, and the same events in
//! the same order at the same moments, whatever the peers and the network do.

use helloop::events::Event;
use helloop::server::{Builder, Connections, Server};
use helloop::world::Time;

use crate::hostile::world::{Plan, record_of};
use crate::transcripts;

const SEEDS: u64 = 1000;

fn state_machine() -> Builder {
    Server::builder().connections(Connections::StateMachine)
}

fn coroutine() -> Builder {
    Server::builder().connections(Connections::Coroutine)
}

/// Fails with the first difference, and what led to it.
#[track_caller]
pub(crate) fn assert_same(one: &[(Time, Event)], other: &[(Time, Event)], place: &str) {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    if same == one.len() && same == other.len() {
        return;
    }
    let story = |events: &[(Time, Event)]| -> String {
        let sentences = events.iter().take(6).map(|(at, event)| format!("  {at} {event}\n"));
        sentences.collect()
    };
    panic!(
        "{place}: after {same} events\n{}the state machine goes on\n{}the coroutine\n{}",
        story(&one[same.saturating_sub(6)..same]),
        story(&one[same..]),
        story(&other[same..]),
    );
}

#[test]
fn they_do_the_same_in_every_transcript() {
    transcripts::compare_lives(state_machine, coroutine);
}

#[test]
fn they_do_the_same_in_a_thousand_hostile_worlds() {
    let mut events = 0;
    for seed in 0..SEEDS {
        let plan = Plan::drawn(seed);
        let [one, other] = [state_machine, coroutine].map(|make| record_of(make(), &plan, None));
        assert_same(&one.events, &other.events, &format!("seed {seed}"));
        assert_eq!(one.report, other.report);
        assert_eq!((one.ordered, one.finished), (other.ordered, other.finished));
        assert_eq!((one.trouble, other.trouble), (None, None));
        for (one, other) in one.seen.iter().zip(&other.seen) {
            assert_eq!(one.reader.answers, other.reader.answers);
            assert_eq!(one.reader.unfinished(), other.reader.unfinished());
        }
        events += one.events.len() as u64;
    }
    // Something happened in them.
    assert!(events > 100 * SEEDS, "{events}");
}
