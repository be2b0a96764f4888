//! The library's lab beside a loop that is no server: the example `stepped`.

use serde_json::Value;

use crate::examples::example;
use crate::lab::page::{Lab, Page};
use crate::program::Program;

const SOURCE: &str = "examples/stepped.rs";

#[track_caller]
fn start() -> Lab {
    let program = Program::start_saying("Lab at ", &mut example("stepped", &[]));
    let url = program.url.clone();
    Lab::of(program, url)
}

/// The line of the source in which this stands.
fn site_of(text: &str) -> String {
    let source = std::fs::read_to_string(SOURCE).unwrap();
    let index = source.lines().position(|line| line.contains(text)).unwrap();
    format!("{SOURCE}:{}", index + 1)
}

/// The names of the coroutines in a snapshot that were made at `site`, in order.
fn made_at(snapshot: &Value, site: &str) -> Vec<String> {
    let tasks = snapshot["tasks"].as_array().unwrap().iter();
    let made = tasks.filter(|task| task["kind"] == "coroutine" && task["site"] == site);
    made.map(|task| task["name"].as_str().unwrap().to_owned()).collect()
}

/// Steps, and returns the ids of the tasks that were resumed: at most one.
fn step(lab: &Lab, page: &mut Page) -> Vec<String> {
    let before = page.events.len();
    lab.press("step-resume");
    page.wait_for_stop();
    let resumed = page.events[before..].iter().filter(|event| event["event"] == "resumed");
    resumed.map(|event| event["task"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_gather_of_ones_own_is_stepped() {
    let mut lab = start();
    let mut page = lab.open();
    let (of_main, of_children) = (site_of("lab.run_until_complete("), site_of("handle.gather("));
    // It was held before its first turn: `main` is there, and nothing has run.
    let snapshot = lab.snapshot();
    assert_eq!((&snapshot["paused"], &snapshot["turn"]), (&Value::Bool(true), &Value::from(0)));
    assert_eq!(made_at(&snapshot, &of_main), ["Task-1"]);
    assert_eq!(made_at(&snapshot, &of_children), Vec::<String>::new());

    // The first resume is that of `main`, which spawns two; each of them then has one of its own.
    let mut order = Vec::new();
    while order.len() < 3 {
        order.extend(step(&lab, &mut page));
    }
    let snapshot = lab.snapshot();
    // Besides them, each sleep has a timer's callback.
    let tasks = snapshot["tasks"].as_array().unwrap().iter();
    let tasks: Vec<&Value> = tasks.filter(|task| task["kind"] == "coroutine").collect();
    let ids: Vec<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(order, ids, "first come, first served");
    assert_eq!(made_at(&snapshot, &of_children), ["Task-2", "Task-3"]);
    let waits: Vec<&Value> = tasks.iter().map(|task| &task["waits_for"]).collect();
    assert_eq!(waits, ["being woken", "being woken", "being woken"]);
    let (main, parents) = (&tasks[0]["id"], [&tasks[1]["parent"], &tasks[2]["parent"]]);
    assert_eq!(parents, [main, main], "`main` waits for both");

    lab.press("resume");
    let end = lab.program.wait_for("Hello");
    assert_eq!(end, r#"[Ok("Hello, World!"), Ok("Hello, Jürgen!")]"#);
    assert_eq!(lab.program.end().0, Some(0));
}

#[test]
fn there_is_no_server_to_make_traffic_for() {
    let lab = start();
    let page = lab.open();
    let (_, hello) = page.told.iter().find(|(name, _)| name == "hello").unwrap();
    assert_eq!((&hello["url"], &hello["lessons"]), (&Value::Null, &Value::Null));
    let (status, _) = lab.ask("POST", &format!("{}do/traffic?scenario=one", lab.path), "");
    assert_eq!(status, 404);
}
