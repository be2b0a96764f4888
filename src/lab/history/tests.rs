use super::*;
use crate::http::{Request, Response};
use crate::lab::scenario::Scenario;
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
