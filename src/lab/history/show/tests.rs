use serde_json::Value as Json;

use super::*;
use crate::http::{Request, Response};
use crate::lab::changes::tests::applied;

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

/// A page that keeps what it is shown.
#[derive(Default)]
struct Screen {
    shown: Json,
}

impl Screen {
    /// What it is told, with all of what it is shown in the place of the changes.
    fn sees(&mut self, text: &str) -> Vec<(String, Json)> {
        let mut told = told(text);
        for (name, data) in &mut told {
            match name.as_str() {
                "snapshot" => self.shown = data.clone(),
                "changes" => {
                    applied(&mut self.shown, data);
                    (*name, *data) = ("snapshot".into(), self.shown.clone());
                }
                _ => {}
            }
        }
        told
    }
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
    let mut screen = Screen::default();
    let opening = screen.sees(&show.messages());
    let names: Vec<_> = opening.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hello", "batch", "gate", "snapshot"]);
    assert_eq!(last(&opening, "hello")["back"], true);
    assert_eq!(last(&opening, "gate")["before"], "turn 1");
    show.command("traffic", "scenario=one", millis(0)).unwrap();
    show.command("step-turn", "", millis(1)).unwrap();
    let step = screen.sees(&show.messages());
    assert_eq!(last(&step, "traffic")["step"], "sent");
    assert_eq!(events(&step)[..3], ["turn_began", "waiting", "waited"]);
    assert_eq!(last(&step, "gate")["before"], "turn 2");
    assert_eq!(last(&step, "snapshot")["paused"], true);
}

#[test]
fn going_back_tells_everything_anew() {
    let mut show = show("seed=1&act=0:dribble");
    let mut screen = Screen::default();
    show.command("go-to", "moment=9", millis(0)).unwrap();
    let there = show.opening();
    screen.sees(&show.messages());
    show.command("step-resume", "", millis(1)).unwrap();
    show.command("back-resume", "", millis(2)).unwrap();
    let back = screen.sees(&show.messages());
    assert_eq!(back.last().unwrap().0, "snapshot", "where it is held is told before");
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
    let turn = screen.sees(&show.messages());
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
    let mut screen = Screen::default();
    show.command("resume", "", millis(0)).unwrap();
    let asleep = screen.sees(&show.messages());
    assert_eq!(*events(&asleep).last().unwrap(), "waiting");
    assert_eq!(show.tick(millis(50)), None);
    show.command("traffic", "scenario=one", millis(70)).unwrap();
    show.tick(millis(70));
    let woken = screen.sees(&show.messages());
    assert_eq!(events(&woken)[..2], ["waited", "ready"]);
    // The connection is idle for three seconds, and is held before that.
    show.command("pause", "", millis(500)).unwrap();
    let held = screen.sees(&show.messages());
    assert_eq!(events(&held), ["waited"]);
    let snapshot = last(&held, "snapshot");
    assert_eq!((&snapshot["paused"], &snapshot["phase"]), (&Json::Bool(true), &"between".into()));
    assert_eq!(snapshot["now"].as_u64().unwrap() / 1_000_000, 500);
    // All of it follows from the recipe.
    let recipe = snapshot["recipe"].as_str().unwrap();
    let mut same = self::show(&format!("{recipe}&at={}", snapshot["moment"]));
    assert_eq!(last(&Screen::default().sees(&same.messages()), "snapshot")["now"], snapshot["now"]);
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
    let mut screen = Screen::default();
    screen.sees(&show.messages());
    show.command("until", "what=accept", millis(0)).unwrap();
    let accepted = screen.sees(&show.messages());
    assert!(events(&accepted).contains(&"accepted"));
    assert_eq!(last(&accepted, "gate")["why"], "until");
    // Nothing blocks here, and nothing can happen in the end.
    show.command("until", "what=stall", millis(1)).unwrap();
    while show.tick(millis(2)).is_some() {}
    let end = screen.sees(&show.messages());
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
    assert_eq!(last(&opened, "snapshot")["recipe"], "seed=2&act=0:one");
}

#[test]
fn a_page_is_told_two_futures() {
    let mut show = show("seed=1&act=0:dribble&at=30");
    show.messages();
    show.command("what-if", "what=block", millis(0)).unwrap();
    let futures = told(&show.messages());
    let futures = last(&futures, "futures");
    assert_eq!((&futures["parting"], &futures["what"]), (&"here".into(), &"block".into()));
    for future in futures["both"].as_array().unwrap() {
        let at = usize::try_from(future["differs"].as_u64().unwrap()).unwrap();
        assert_eq!(future["events"][at]["event"], "ready", "{future:#}");
        assert!(future["recipe"].as_str().unwrap().starts_with("seed=1&act=0:dribble"));
    }
    // Nothing has happened to the world.
    assert_eq!(show.recipe(), "seed=1&act=0:dribble&at=30");
    show.command("act", "what=short=100", millis(0)).unwrap();
    assert_eq!(show.recipe(), "seed=1&act=0:dribble,30:short=100&at=30");
    for (what, query) in [("what-if", "what=wake"), ("act", "what=short=200"), ("act", "")] {
        assert!(matches!(show.command(what, query, millis(0)), Err(Refused::Query(_))));
    }
    show.command("resume", "", millis(0)).unwrap();
    let refused = show.command("what-if", "what=one", millis(1));
    assert!(matches!(refused, Err(Refused::Now(_))));
}

/// Whatever is done, a page that builds on changes shows what one is shown that has just been opened.
#[test]
fn changes_come_to_what_there_is() {
    let mut show = show("seed=3&faults=short:30,held:20&act=0:hundred,0:dribble");
    let (mut screen, mut random) = (Screen::default(), fastrand::Rng::with_seed(1));
    let (mut bytes, mut looks) = (0, 0);
    screen.sees(&show.messages());
    for step in 0..400_u64 {
        let (what, query) = match random.u8(0..20) {
            0 => ("back-resume", "".into()),
            1 => ("go-to", format!("moment={}", random.u64(0..=step))),
            2 => ("traffic", "scenario=sleep".into()),
            3 => ("step-turn", String::new()),
            4 => ("slow", format!("dwell_ms={}", random.u8(0..3))),
            _ => ("step-resume", String::new()),
        };
        show.command(what, &query, millis(step)).unwrap();
        let messages = show.messages();
        let changes = told(&messages).into_iter().filter(|(name, _)| name == "changes");
        for (_, changes) in changes {
            bytes += changes.to_string().len();
            looks += 1;
        }
        screen.sees(&messages);
        let mut anew = Screen::default();
        anew.sees(&show.opening());
        // Lists have no order of their own.
        applied(&mut anew.shown, &serde_json::json!({}));
        applied(&mut screen.shown, &serde_json::json!({}));
        assert_eq!(screen.shown, anew.shown, "{what} {query}, step {step}");
    }
    assert!(looks > 200 && bytes / looks < 3_000, "{bytes} bytes in {looks} changes");
}

#[test]
fn a_page_that_rests_is_prepared_for_going_back() {
    let crowds =
        (0..40).map(|crowd| format!("{}:hundred", 100 * crowd)).collect::<Vec<_>>().join(",");
    let mut show = show(&format!("seed=1&act={crowds}&at=3900"));
    show.command("back-resume", "", millis(1_000)).unwrap();
    assert_eq!(show.tick(millis(1_001)), Some(millis(59)), "it may order something else at once");
    while show.tick(millis(1_100)).is_some() {}
    assert!(!show.history.is_to_be_prepared());
    show.messages();
    show.command("back-turn", "", millis(1_200)).unwrap();
    assert!(show.messages().starts_with("event: back\n"));
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
