//! Thousands of hostile worlds, each from one seed: `cargo run --release --example hostile` runs more.

pub(crate) use crate::support::hostile as world;

use std::collections::BTreeSet;

use world::{Failure, Plan, Tally, record, run, shrink};

const SEEDS: u64 = 2000;

#[test]
fn a_server_holds_its_own_in_thousands_of_hostile_worlds() {
    // Once for what is made once in a thread or a process.
    let _ = run(&Plan::drawn(0));
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let plan = Plan::drawn(seed);
        match without_leaks(|| run(&plan)) {
            Ok(one) => tally.add(one),
            Err(failure) => {
                let (plan, failure) = shrink(&plan, &failure);
                panic!("seed {seed}, shrunk: {failure}\n{plan}");
            }
        }
    }
    // Something happened in them.
    assert_eq!(tally.runs, SEEDS);
    assert!(tally.connections > SEEDS && tally.answers > 2 * SEEDS, "{tally:?}");
    assert!(tally.satisfied > SEEDS, "{tally:?}");
}

#[cfg(feature = "client")]
#[test]
fn fetches_give_what_was_sent_or_say_why_not() {
    use world::{FetchPlan, run_fetches, shrink_fetches};

    // Once for what is made once in a thread or a process.
    let _ = run_fetches(&FetchPlan::drawn(0), None);
    let mut tally = Tally::default();
    for seed in 0..SEEDS / 2 {
        let plan = FetchPlan::drawn(seed);
        match without_leaks(|| run_fetches(&plan, None)) {
            Ok(one) => tally.add(one),
            Err(failure) => {
                let (plan, failure) = shrink_fetches(&plan, &failure);
                panic!("seed {seed}, shrunk: {failure}\n{plan}");
            }
        }
    }
    assert_eq!(tally.runs, SEEDS / 2);
    assert!(tally.satisfied > 2 * SEEDS && tally.answers > SEEDS / 2, "{tally:?}");
}

/// Counts what a run allocates and does not free: nothing may be left.
fn without_leaks(run: impl FnOnce() -> Result<Tally, Failure>) -> Result<Tally, Failure> {
    let mut outcome = None;
    let info = allocation_counter::measure(|| outcome = Some(run()));
    let outcome = outcome.expect("it ran");
    // What a failure has to say is still there.
    if outcome.is_ok() && (info.bytes_current, info.count_current) != (0, 0) {
        let complaint = format!("{} bytes are left", info.bytes_current);
        return Err(Failure::new("memory returns to its start", complaint));
    }
    outcome
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let [first, second] = [0, 1].map(|_| record(&Plan::drawn(seed), None));
        assert_eq!(first.events, second.events, "seed {seed}");
        assert_eq!(first.wall, second.wall);
        for (one, other) in first.seen.iter().zip(&second.seen) {
            assert_eq!(one.reader.answers, other.reader.answers);
            assert_eq!(one.reader.unfinished(), other.reader.unfinished());
            assert_eq!(
                (one.at_end, one.was_reset, one.left),
                (other.at_end, other.was_reset, other.left)
            );
        }
    }
    let [first, second] = [1, 2].map(|seed| record(&Plan::drawn(seed), None));
    assert_ne!(first.events, second.events);
}

/// Every way between two states that is drawn is taken by somebody. And whoever goes from one state to another follows
/// those ways, though it may not stop on its way, or is closed.
#[test]
fn the_map_of_a_connection_has_the_ways_that_are_taken() {
    use helloop::events::Event;
    use helloop::server::MACHINES;

    let reaches = |edges: &[(&str, &str)], from: &str, to: &str| {
        let mut seen = BTreeSet::from([from]);
        while let Some((_, next)) =
            edges.iter().find(|(a, b)| seen.contains(a) && !seen.contains(b))
        {
            seen.insert(next);
        }
        to == "closed" || seen.contains(to)
    };
    let connection = MACHINES.iter().find(|machine| machine.kind == "connection").unwrap();
    let mut untrodden: BTreeSet<_> = connection.edges.iter().copied().collect();
    assert_eq!(untrodden.len(), connection.edges.len(), "an edge is there twice");
    for seed in 0..SEEDS {
        for (_, event) in record(&Plan::drawn(seed), None).events {
            let Event::State { from, to, .. } = event else { continue };
            let mut machines = MACHINES
                .iter()
                .filter(|machine| machine.states.iter().any(|state| state.name == from));
            assert!(machines.any(|machine| reaches(machine.edges, from, to)), "{from} -> {to}");
            untrodden.remove(&(from, to));
        }
        if untrodden.is_empty() {
            return;
        }
    }
    panic!("nobody went {untrodden:?}");
}
