use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::page::{Lab, PATIENCE, Page};

const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n";

/// How long a test holds a loop, to see that this is no time for it.
const PAUSE: Duration = Duration::from_millis(600);

/// What has come so far, without waiting for more.
fn has_come(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0; 1]);
    client.set_nonblocking(false).unwrap();
    peeked.is_ok_and(|bytes| bytes > 0)
}

/// The one of these to which something comes first.
#[track_caller]
fn first_served(clients: &mut [TcpStream]) -> usize {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(served) = clients.iter_mut().position(has_come) {
            return served;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody was answered");
}

fn answer(client: &mut TcpStream) -> String {
    let mut buffer = [0; 1024];
    let bytes = client.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..bytes]).into_owned()
}

fn nanos(event: &Value) -> Duration {
    Duration::from_nanos(event["at"].as_u64().unwrap())
}

fn paused(lab: &Lab) -> Page {
    let mut page = lab.open();
    lab.press("pause");
    let stop = page.wait_for_stop();
    assert_eq!(stop["why"], "pause");
    page
}

#[test]
fn two_clients_are_answered_one_step_at_a_time() {
    let lab = Lab::start(&[]);
    let mut page = paused(&lab);
    let mut clients = [lab.program.connect(), lab.program.connect()];
    for client in &mut clients {
        client.write_all(REQUEST).unwrap();
    }
    let mut order = Vec::new();
    while order.len() < clients.len() {
        assert!(!clients.iter_mut().any(has_come), "nobody is answered while the loop is held");
        let before = page.events.len();
        lab.press("step-resume");
        page.wait_for_stop();
        let fresh = &page.events[before..];
        let resumed = fresh.iter().filter(|event| event["event"] == "resumed").count();
        assert!(resumed <= 1, "a step is one resume at most: {fresh:#?}");
        if let Some(response) = fresh.iter().find(|event| event["event"] == "response") {
            let served = first_served(&mut clients);
            order.push((response["task"].as_str().unwrap().to_owned(), served));
            assert!(answer(&mut clients[served]).ends_with("Hello, World!\n"));
        }
    }
    // First come, first served, on the wire as on the page.
    let spawned = page
        .events
        .iter()
        .filter(|event| event["event"] == "spawned" && event["kind"] == "connection");
    let spawned: Vec<_> = spawned.map(|event| event["task"].as_str().unwrap()).collect();
    let served: Vec<_> = order.iter().map(|(task, _)| task.as_str()).collect();
    assert_eq!(served, spawned);
    assert_eq!(order.iter().map(|(_, client)| *client).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_pause_is_no_time_for_the_loop_and_its_limits() {
    let idle = Duration::from_millis(300);
    let lab = Lab::beside_a_server(&["--idle-timeout", "300ms"]);
    let mut page = paused(&lab);
    // Accepted between two stops, so that next to no time has passed on the loop.
    let mut client = lab.program.connect();
    let spawned = loop {
        lab.press("step-turn");
        page.wait_for_stop();
        let is_it = |event: &&Value| event["event"] == "timer_set";
        if let Some(event) = page.events.iter().find(is_it) {
            break event.clone();
        }
    };
    let held_at = Duration::from_nanos(page.told.back().unwrap().1["now"].as_u64().unwrap());
    thread::sleep(PAUSE);
    assert!(!has_come(&mut client));

    let released = Instant::now();
    let before = page.events.len();
    lab.press("resume");
    let ending = page.wait_for_event("ending", |event| {
        event["why"].as_str().is_some_and(|why| why.contains("idle"))
    });
    let since_release = released.elapsed();
    let first = nanos(&page.events[before]);
    assert!(first >= held_at, "time never goes back");
    // Only what passed between the release and the event is time of the loop.
    assert!(first - held_at <= since_release, "{first:?} after {held_at:?}: the pause has counted");
    let deadline = Duration::from_nanos(spawned["deadline"].as_u64().unwrap());
    assert!(deadline - idle <= held_at, "it was accepted before the pause");
    assert!(nanos(&ending) >= deadline, "the limit holds all the same, in the loop's time");
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn it_runs_until_the_next_accept() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    lab.press("until?what=accept");
    let mut client = lab.program.connect();
    client.write_all(REQUEST).unwrap();
    let stop = page.wait_for_stop();
    assert_eq!(stop["why"], "until");
    let last = page.events.iter().rev().map(|event| event["event"].as_str().unwrap());
    let last: Vec<_> = last.take_while(|name| *name != "resumed").collect();
    assert!(last.contains(&"accepted"), "{last:?}");
    assert!(!page.events.iter().any(|event| event["event"] == "request"));
    lab.press("resume");
    assert!(answer(&mut client).ends_with("Hello, World!\n"));
}

#[test]
fn it_runs_until_a_connection_is_resumed_and_until_something_would_block() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    let mut client = lab.program.connect();
    let spawned = page.wait_for_event("spawned", |event| event["kind"] == "connection");
    page.wait_for_event("would_block", |event| event["operation"] == "read");
    let task = spawned["task"].as_str().unwrap();
    lab.press(&format!("until?what=connection&task={task}"));
    client.write_all(REQUEST).unwrap();
    let stop = page.wait_for_stop();
    assert_eq!(stop["before"], format!("resume of task {task}"));
    assert!(!has_come(&mut client));

    assert_eq!(stop["why"], "until");

    lab.press("until?what=would-block");
    assert!(answer(&mut client).ends_with("Hello, World!\n"));
    let before = page.events.len();
    // It says nothing, so its first read would block; and so would another accept.
    let _silent = lab.program.connect();
    let stop = page.wait_for_stop();
    assert_eq!(stop["why"], "until");
    assert!(page.events[before..].iter().any(|event| event["event"] == "would_block"));
}

#[test]
fn it_runs_until_a_handler_blocks_the_loop() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    lab.press("until?what=stall");
    lab.press("traffic?scenario=block");
    let stop = page.wait_for_stop();
    assert_eq!(stop["why"], "until");
    // On a busy machine, it may have been another one.
    assert!(page.events.iter().any(|event| event["event"] == "stall"));
}

#[test]
fn slow_motion_dwells_on_every_turn_and_ends() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    lab.press("slow?dwell_ms=20");
    lab.program.greet();
    page.wait_for_event("response", |_| true);
    assert_eq!(lab.snapshot()["dwell_ms"], 20);
    // A pause is a pause, in slow motion too.
    lab.press("pause");
    page.wait_for_stop();
    lab.press("slow?dwell_ms=0");
    lab.press("resume");
    lab.program.greet();
    let snapshot = lab.snapshot();
    assert_eq!((&snapshot["dwell_ms"], &snapshot["paused"]), (&0.into(), &false.into()));
}

#[test]
fn a_lab_may_begin_before_the_first_turn() {
    let lab = Lab::start(&["--paused"]);
    let mut page = lab.open();
    let snapshot = lab.snapshot();
    assert_eq!((&snapshot["turn"], &snapshot["paused"]), (&0.into(), &true.into()));
    lab.press("step-turn");
    let began = page.wait_for_event("turn_began", |_| true);
    assert_eq!(began["turn"], 1);
    lab.press("resume");
    lab.program.greet();
}
