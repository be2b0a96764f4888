use serde_json::Value as Json;

use super::*;
use crate::http::{Request, Response};

fn greet(_: &Request<'_>, response: &mut Response) {
    response.text(format_args!("Hello!\n"));
}

fn show(recipe: &str) -> Show {
    Show::new(recipe, || greet as fn(&Request<'_>, &mut Response)).unwrap()
}

/// The messages of a stream: their names, and their data.
fn told(text: &str) -> Vec<(String, Json)> {
    let blocks = text.split_terminator("\n\n");
    let message = |block: &str| {
        let (name, data) = block.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    };
    blocks.map(|block| message(block).unwrap_or_else(|| panic!("{block}"))).collect()
}

fn last<'a>(told: &'a [(String, Json)], name: &str) -> &'a Json {
    let found = told.iter().rfind(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("no {name} in {told:#?}")).1
}

/// The names of all events that were told.
fn events(told: &[(String, Json)]) -> Vec<&str> {
    let batches = told.iter().filter(|(name, _)| name == "batch");
    let events = batches.flat_map(|(_, batch)| batch["events"].as_array().unwrap());
    events.map(|event| event["event"].as_str().unwrap()).collect()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_page_is_told_what_it_would_be_told_by_a_live_lab() {
    let mut show = show("seed=1");
    let opening = told(&show.messages());
    let names: Vec<_> = opening.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hello", "batch", "snapshot", "gate"]);
    assert_eq!(last(&opening, "hello")["back"], true);
    assert_eq!(last(&opening, "gate")["before"], "turn 1");
    show.command("traffic", "scenario=one", millis(0)).unwrap();
    show.command("step-turn", "", millis(1)).unwrap();
    let step = told(&show.messages());
    assert_eq!(last(&step, "traffic")["step"], "sent");
    assert_eq!(events(&step)[..3], ["turn_began", "waiting", "waited"]);
    assert_eq!(last(&step, "gate")["before"], "turn 2");
    assert_eq!(last(&step, "snapshot")["paused"], true);
}

#[test]
fn going_back_tells_everything_anew() {
    let mut show = show("seed=1&act=0:dribble");
    show.command("go-to", "moment=9", millis(0)).unwrap();
    let there = show.opening();
    show.messages();
    show.command("step-resume", "", millis(1)).unwrap();
    show.command("back-resume", "", millis(2)).unwrap();
    let back = told(&show.messages());
    let at = back.iter().position(|(name, _)| name == "back").unwrap();
    let (mut before, mut after) = (told(&there).split_off(1), back[at + 1..].to_vec());
    for told in [&mut before, &mut after] {
        let moments = told.iter_mut().find(|(name, _)| name == "snapshot").unwrap();
        moments.1["moments"].take();
        // Why it is held is another thing.
        told.retain(|(name, _)| name != "gate");
    }
    assert_eq!(before, after);
    show.command("back-turn", "", millis(3)).unwrap();
    let turn = told(&show.messages());
    assert_eq!(last(&turn, "snapshot")["phase"], "between");
}

#[test]
fn a_loop_that_runs_waits_in_real_time() {
    let mut show = show("seed=1&act=0:dribble");
    show.messages();
    show.command("resume", "", millis(1_000)).unwrap();
    let began = told(&show.messages());
    assert_eq!(
        *events(&began).last().unwrap(),
        "waiting",
        "the client pauses after its first byte"
    );
    let left = show.tick(millis(1_040)).unwrap();
    assert!(left >= millis(60) && left < millis(61), "{left:?}");
    assert!(show.messages().is_empty(), "nothing happens meanwhile");
    show.tick(millis(1_101));
    let woken = told(&show.messages());
    assert_eq!(events(&woken)[..2], ["waited", "ready"]);
    assert_eq!(*events(&woken).last().unwrap(), "waiting", "for the next one");
}

#[test]
fn what_is_done_during_a_wait_ends_it() {
    let mut show = show("seed=1");
    show.command("resume", "", millis(0)).unwrap();
    let asleep = told(&show.messages());
    assert_eq!(*events(&asleep).last().unwrap(), "waiting");
    assert_eq!(show.tick(millis(50)), None);
    show.command("traffic", "scenario=one", millis(70)).unwrap();
    show.tick(millis(70));
    let woken = told(&show.messages());
    assert_eq!(events(&woken)[..2], ["waited", "ready"]);
    // The connection is idle for three seconds, and is held before that.
    show.command("pause", "", millis(500)).unwrap();
    let held = told(&show.messages());
    assert_eq!(events(&held), ["waited"]);
    let snapshot = last(&held, "snapshot");
    assert_eq!((&snapshot["paused"], &snapshot["phase"]), (&Json::Bool(true), &"between".into()));
    assert_eq!(snapshot["now"].as_u64().unwrap() / 1_000_000, 500);
    // All of it follows from the recipe.
    let recipe = snapshot["recipe"].as_str().unwrap();
    let mut same = self::show(recipe);
    assert_eq!(last(&told(&same.messages()), "snapshot")["now"], snapshot["now"]);
}

#[test]
fn nothing_is_missed_when_much_happens_at_once() {
    let mut show = show("seed=1&act=0:hundred");
    show.messages();
    show.command("resume", "", millis(0)).unwrap();
    while show.tick(millis(10)).is_some() {}
    let shown = told(&show.messages());
    let batches = shown.iter().filter(|(name, _)| name == "batch");
    assert!(batches.clone().count() > 3);
    assert_eq!(batches.map(|(_, batch)| batch["dropped"].as_u64().unwrap()).sum::<u64>(), 0);
    assert_eq!(events(&shown).iter().filter(|event| **event == "response").count(), 100);
    // Its end was in a wait that never ends.
    assert_eq!(last(&shown, "traffic")["bytes"], "100 of 100 were answered 200");
    assert_eq!(*events(&shown).last().unwrap(), "waiting");
}

#[test]
fn a_page_runs_until_something_happens() {
    let mut show = show("seed=1&act=0:one");
    show.messages();
    show.command("until", "what=accept", millis(0)).unwrap();
    let accepted = told(&show.messages());
    assert!(events(&accepted).contains(&"accepted"));
    assert_eq!(last(&accepted, "gate")["why"], "until");
    // Nothing blocks here, and nothing can happen in the end.
    show.command("until", "what=stall", millis(1)).unwrap();
    while show.tick(millis(2)).is_some() {}
    let end = told(&show.messages());
    assert_eq!(last(&end, "snapshot")["phase"], "wait");
    assert_eq!(last(&end, "gate")["before"], "something that comes from outside");
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut show = show("seed=1&at=4");
    show.messages();
    for (what, query, named) in [
        ("go-to", "moment=x", "0 to 1000000"),
        ("traffic", "scenario=two", "there are one, pair"),
        ("open", "seed=x", "`seed=x`"),
        ("until", "what=x", "accept"),
        ("check", "exercise=x", "no such exercise"),
        ("solve", "", "no such exercise"),
        ("dance", "", "no such command"),
    ] {
        let refused = show.command(what, query, millis(0)).unwrap_err();
        let (Refused::Query(text) | Refused::Now(text)) = refused;
        assert!(text.contains(named), "{what}: {text}");
    }
    assert_eq!((show.messages(), show.recipe()), (String::new(), "seed=1&at=4".into()));
    show.command("open", "seed=2&act=0:one&at=7", millis(0)).unwrap();
    let opened = told(&show.messages());
    assert_eq!(opened[0].0, "back");
    assert_eq!(last(&opened, "snapshot")["recipe"], "seed=2&act=0:one&at=7");
}

#[test]
fn a_moment_is_judged_and_a_right_one_is_shown() {
    let mut show = show("seed=7&act=0:one&at=3");
    show.messages();
    let judged = |show: &mut Show| {
        show.command("check", "exercise=turn", millis(1)).unwrap();
        last(&told(&show.messages()), "judged").clone()
    };
    assert_eq!(judged(&mut show), serde_json::json!({"exercise": "turn", "missing": "next"}));
    show.command("step-resume", "", millis(2)).unwrap();
    assert_eq!(judged(&mut show)["missing"], Json::Null);
    assert_eq!(show.recipe(), "seed=7&act=0:one&at=4", "it stands where it stood");
    show.command("solve", "exercise=backpressure", millis(3)).unwrap();
    assert_eq!(show.recipe(), "seed=1&act=0:slow-reader&at=4");
    show.messages();
    show.command("resume", "", millis(4)).unwrap();
    let refused = show.command("check", "exercise=turn", millis(5)).unwrap_err();
    assert!(matches!(refused, Refused::Now(why) if why.contains("hold the loop")));
}
