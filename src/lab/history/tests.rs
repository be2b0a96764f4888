use super::*;
use crate::events::Event;
use crate::http::{Request, Response};
use crate::lab::scenario::Scenario;
use crate::world::Readiness;
use crate::world::sim::Faults;

fn greet(_: &Request<'_>, response: &mut Response) {
    response.text(format_args!("Hello!\n"));
}

fn service() -> fn(&Request<'_>, &mut Response) {
    greet
}

fn history(recipe: &str) -> History {
    History::new(&recipe.parse().unwrap(), service).unwrap()
}

/// A world with drawn faults and some clients.
fn busy(seed: u64) -> Recipe {
    let mut recipe = Recipe { faults: Faults::drawn(seed), ..Recipe::new(seed) };
    let drawn = [Scenario::One, Scenario::Dribble, Scenario::SlowReader, Scenario::Sleep];
    for (at, scenario) in (0..).zip(drawn) {
        let (moment, after) = (at * (seed % 7), Duration::ZERO);
        recipe.actions.push(Action { moment, after, what: Deed::Begin(scenario) });
    }
    recipe
}

#[test]
fn forwards_and_back_gives_the_same_text() {
    for seed in 0..20 {
        let mut history = History::new(&busy(seed), service).unwrap();
        history.run(seed * 9).unwrap();
        let mut texts = vec![(history.moment(), history.text())];
        for _ in 0..40 {
            history.step().unwrap();
            texts.push((history.moment(), history.text()));
        }
        for (moment, text) in texts.iter().rev() {
            history.go_to(*moment).unwrap();
            assert_eq!(history.text(), *text, "seed {seed}, moment {moment}");
        }
    }
}

#[test]
fn going_somewhere_is_stepping_there() {
    for seed in 0..20 {
        let mut stepping = History::new(&busy(seed), service).unwrap();
        for moment in [3, 57, 200] {
            while stepping.moment() < moment && stepping.step().unwrap() {}
            let recipe = Recipe { moment: stepping.moment(), ..stepping.recipe().clone() };
            let there = History::new(&recipe.to_string().parse().unwrap(), service).unwrap();
            assert_eq!(there.text(), stepping.text(), "{recipe}");
        }
    }
}

/// The sentences of the events of a world, up to its moment.
fn sentences(recipe: &str) -> String {
    history(recipe).text()
}

#[test]
fn a_world_runs_out_of_descriptors_for_two_seconds() {
    let told = sentences("seed=1&act=0:descriptors&at=42");
    assert_eq!(told.matches("goes from accepting to backing off").count(), 20, "ten a second");
    assert!(!told.contains("accepts a connection"));
    let told = sentences("seed=1&act=0:descriptors&at=46");
    assert!(told.contains("request 1 is answered 200"), "the client has waited in the kernel");
    #[cfg(feature = "client")]
    {
        // The program itself cannot connect either.
        let told = sentences("seed=1&act=0:gather,7:descriptors&at=60");
        assert!(told.contains("It failed: "), "{told}");
    }
}

#[test]
fn another_thread_wakes_a_loop_that_waits_for_ever() {
    let told = sentences("seed=1&act=0:thread&at=16");
    let last = told.rsplit("turn 8 begins").next().unwrap();
    assert!(last.contains("wait for ever") && last.contains("the world reports nothing"), "{last}");
    assert!(last.contains("task 4 is queued: woken") && !last.contains("fires"), "{last}");
    assert!(sentences("seed=1&act=0:thread&at=20").contains("Another thread worked for 1s."));
}

#[test]
fn a_loop_for_which_nothing_can_happen_sleeps_and_is_not_asked_again() {
    let mut history = history("seed=1");
    while history.step().unwrap() {}
    let (asleep, events, turn) = (history.moment(), history.events(), turns(&history));
    assert!(!history.step().unwrap() && history.is_asleep());
    assert_eq!((history.moment(), history.events(), turns(&history)), (asleep, events, turn));
    // The wait that it sleeps in is ended by a client: no turn was begun in between.
    history.act(Deed::Begin(Scenario::One), Duration::from_millis(5)).unwrap();
    assert!(!history.is_asleep());
    assert_eq!((history.moment(), turns(&history)), (asleep, turn));
    assert_eq!(
        history.recipe().to_string(),
        format!("seed=1&act={}+5000000:one&at={asleep}", asleep - 1)
    );
    let text = history.text();
    history.run(30).unwrap();
    assert!(history.text().contains("Hello!"));
    history.go_to(asleep).unwrap();
    assert_eq!(history.text(), text);
}

fn turns(history: &History) -> u64 {
    history.set.event_loop.handle().turns()
}

#[test]
fn something_done_differently_is_another_future() {
    let mut history = history("seed=1&act=0:dribble,9:pair&at=40");
    assert!(history.text().contains("/first"));
    history.go_to(5).unwrap();
    assert_eq!(history.reached(), 40);
    history.act(Deed::Begin(Scenario::Smuggle), Duration::ZERO).unwrap();
    assert_eq!(history.reached(), 5);
    history.go_to(40).unwrap();
    assert_eq!(history.recipe().to_string(), "seed=1&act=0:dribble,5:smuggle&at=40");
    assert!(!history.text().contains("/first") && history.text().contains("/secret"));
}

#[test]
fn an_action_in_the_middle_of_a_turn_is_done_there_again() {
    let mut history = history("seed=3&act=0:hundred&at=0");
    while history.set.event_loop.handle().ready().len() < 50 || history.stands != Stands::Resume {
        assert!(history.step().unwrap());
    }
    history.run(2).unwrap();
    assert_eq!(history.stands, Stands::Resume);
    let before = history.moment();
    history.act(Deed::Begin(Scenario::Pair), Duration::ZERO).unwrap();
    let there = history.text();
    assert!(there.contains("/second"), "what a client sends is seen at once");
    history.run(50).unwrap();
    history.go_to(before).unwrap();
    assert_eq!(history.text(), there);
}

#[test]
fn a_step_that_panics_leaves_the_moment_before_it() {
    let mut history = history("seed=1&act=0:one&at=6");
    let text = history.text();
    // The world stumbles in its next wait.
    history.set.bomb();
    let mut stuck = Ok(true);
    for _ in 0..20 {
        stuck = history.step();
        if stuck.is_err() {
            break;
        }
    }
    assert_eq!(stuck, Err(Stuck::Panics("planted".into())));
    let moment = history.moment();
    history.go_to(6).unwrap();
    assert_eq!(history.text(), text);
    history.go_to(moment).unwrap();
    // Made anew, the world is without it.
    assert_eq!(history.step(), Ok(true));
}

#[test]
fn turns_are_gone_back_by() {
    let mut history = history("seed=1&act=0:dribble,0:sleep");
    let mut began = vec![0];
    for _ in 0..6 {
        assert!(history.turn().unwrap());
        began.push(history.moment());
    }
    history.step().unwrap();
    while let Some(turn) = began.pop() {
        assert_eq!(history.turn_before(), turn);
        history.go_to(turn).unwrap();
    }
}

#[test]
fn digests_tell_seeds_apart_and_stay() {
    let (first, events) = digest(1, 300, service).unwrap();
    assert!(events > 100, "{events}");
    assert_eq!(digest(1, 300, service).unwrap(), (first, events));
    assert_ne!(digest(2, 300, service).unwrap().0, first);
}

/// The events of a future at which it parts.
fn parts(future: &Future) -> Option<Event> {
    Some(future.events[future.differs?].1)
}

#[test]
fn what_if_a_handler_blocked() {
    let history = history("seed=1&act=0:dribble&at=30");
    let (text, recipe) = (history.text(), history.recipe().clone());
    let futures = history.what_if(Deed::Begin(Scenario::Block)).unwrap();
    assert_eq!(futures.parting, Parting::Here);
    let [as_is, with_more] = &futures.both;
    // The same connection reads its next byte, and later.
    let (Some(Event::Ready { source, .. }), Some(Event::Ready { source: same, .. })) =
        (parts(as_is), parts(with_more))
    else {
        panic!("{futures:#?}")
    };
    assert_eq!(source, same);
    let at = |future: &Future| future.events[future.differs.unwrap()].0;
    assert!(at(with_more).since(at(as_is)) > Duration::from_millis(100), "{futures:#?}");
    assert_eq!(as_is.recipe.actions, recipe.actions);
    assert_eq!(with_more.recipe.actions.len(), 2);
    // Both can be gone to, and show what was shown of them.
    for future in &futures.both {
        let there = self::history(&future.recipe.to_string());
        let events = there.set.seen.events.borrow();
        let shown = future.events[future.differs.unwrap()];
        assert!(events.after(0).1.any(|event| *event == shown), "{future:#?}");
    }
    // The history itself is where it was.
    assert_eq!((history.text(), history.recipe()), (text, &recipe));
}

#[test]
fn what_was_added_does_not_count_nor_do_its_turns() {
    // Both are served in the same turns, and the ids of those who come later are others.
    let history = history("seed=1&act=0:dribble,60:pair,90:one&at=30");
    for scenario in [Scenario::One, Scenario::Pair, Scenario::Smuggle, Scenario::HalfClose] {
        let futures = history.what_if(Deed::Begin(scenario)).unwrap();
        assert_eq!(futures.parting, Parting::Never, "{futures:#?}");
        let [as_is, with_more] = &futures.both;
        assert_eq!((as_is.differs, with_more.differs), (None, None));
        let accepts = |future: &Future| {
            future
                .events
                .iter()
                .filter(|(_, event)| matches!(event, Event::Accepted { .. }))
                .count()
        };
        assert_eq!((accepts(as_is), accepts(with_more)), (0, 1));
        let later = &with_more.recipe.actions[2..];
        assert!(later.iter().all(|action| action.moment == 30 && !action.after.is_zero()));
    }
}

#[test]
fn what_if_a_connection_were_reset_or_the_network_rough() {
    let history = history("seed=1&act=0:dribble&at=29");
    let futures = history.what_if(Deed::Reset).unwrap();
    let [Some(Event::Ready { readiness, .. }), Some(Event::Ready { readiness: reset, .. })] =
        futures.both.each_ref().map(parts)
    else {
        panic!("{futures:#?}")
    };
    assert!(
        reset.contains(Readiness::WRITE_CLOSED) && !readiness.contains(Readiness::WRITE_CLOSED)
    );
    let futures = history.what_if(Deed::Fault("would block", 100)).unwrap();
    let Some(Event::WouldBlock { .. }) = parts(&futures.both[1]) else { panic!("{futures:#?}") };
    // Nothing strikes where nothing is read.
    let alone = self::history("seed=1");
    let futures = alone.what_if(Deed::Fault("would block", 100)).unwrap();
    assert_eq!(futures.parting, Parting::Never);
}

#[test]
fn what_if_is_asked_in_a_wait_that_never_ends() {
    let mut history = history("seed=1&act=0:one");
    while history.step().unwrap() {}
    let futures = history.what_if(Deed::Begin(Scenario::Pair)).unwrap();
    assert_eq!(futures.parting, Parting::Never);
    let there = self::history(&futures.both[1].recipe.to_string());
    assert!(there.text().contains("/second"));
}

/// One more among many is like one more among none: whatever is asked, both futures can be gone to.
#[test]
fn futures_of_busy_worlds_are_made_of_what_happens() {
    for seed in 0..30 {
        let recipe = Recipe { moment: 20 + seed, ..busy(seed) };
        let history = History::new(&recipe, service).unwrap();
        let drawn = [Deed::Begin(Scenario::Block), Deed::Reset, Deed::Fault("short", 100)];
        for what in drawn {
            let futures = history.what_if(what).unwrap();
            for future in &futures.both {
                let there = self::history(&future.recipe.to_string());
                let events = there.set.seen.events.borrow();
                let shown = future.differs.map(|at| future.events[at]);
                let is_shown = |shown| events.after(0).1.any(|event| *event == shown);
                assert!(shown.is_none_or(is_shown), "seed {seed}, {what}: {future:#?}");
            }
        }
    }
}

/// A history that was prepared goes back to the same moments, whatever was done in between.
#[test]
fn a_spare_world_is_the_same_world() {
    for seed in 0..2 {
        let mut recipe = busy(seed);
        let crowds = (0..60).map(|crowd| Action {
            moment: 40 * crowd + 10,
            after: Duration::ZERO,
            what: Deed::Begin(Scenario::Hundred),
        });
        recipe.actions.extend(crowds);
        recipe.actions.sort_by_key(|action| action.moment);
        let mut prepared = History::new(&Recipe { moment: 2_600, ..recipe }, service).unwrap();
        assert_eq!(prepared.moment(), 2_600);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..8 {
            while prepared.is_to_be_prepared() {
                prepared.prepare().unwrap();
            }
            assert!(prepared.spare.is_some());
            match random.u8(0..4) {
                0 => prepared.act(Deed::Begin(Scenario::One), Duration::ZERO).unwrap(),
                1 => drop(prepared.run(random.u64(1..600)).unwrap()),
                _ => {
                    let back = random.u64(1..400);
                    prepared.go_to(prepared.moment().saturating_sub(back).max(2_100)).unwrap();
                }
            }
            let anew = History::new(prepared.recipe(), service).unwrap();
            assert_eq!(prepared.text(), anew.text(), "{}", prepared.recipe());
            assert_eq!(prepared.turn_before(), anew.turn_before());
        }
    }
}
