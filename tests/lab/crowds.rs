use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::lab::page::Lab;
use crate::program::{command, run};

const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_signal_drains_also_a_loop_that_is_held() {
    let mut lab = Lab::start(&[]);
    let mut page = lab.open();
    let mut client = lab.program.connect();
    page.wait_for_event("spawned", |event| event["kind"] == "connection");
    lab.press("pause");
    page.wait_for_stop();
    client.write_all(REQUEST).unwrap();
    lab.program.signal("TERM");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("Hello, World!\n"), "{answer}");
    assert_eq!(lab.program.end().0, Some(0));
}

#[test]
fn a_loop_that_is_held_before_its_first_turn_can_be_ended() {
    for signal in ["INT", "TERM", "QUIT", "HUP"] {
        let mut lab = Lab::start(&["--paused"]);
        // So that the lab is there to hear it.
        assert_eq!(lab.snapshot()["paused"], true);
        lab.program.signal(signal);
        assert_eq!(lab.program.end().0, Some(0), "SIG{signal}");
    }
}

#[test]
fn two_pages_are_told_the_same() {
    let lab = Lab::start(&[]);
    let mut pages = [lab.open(), lab.open()];
    lab.press("pause");
    let mut client = lab.program.connect();
    client.write_all(REQUEST).unwrap();
    for _ in 0..4 {
        pages.iter_mut().for_each(|page| drop(page.wait_for_stop()));
        lab.press("step-resume");
    }
    lab.press("resume");
    let mut stories = pages.iter_mut().map(|page| {
        let response = page.wait_for_event("response", |_| true);
        let story = page.events.iter().skip_while(|event| event["event"] != "accepted");
        let story: Vec<Value> = story.take_while(|event| **event != response).cloned().collect();
        story
    });
    let (one, other) = (stories.next().unwrap(), stories.next().unwrap());
    assert!(one.len() > 5, "{one:#?}");
    assert_eq!(one, other);
}

#[test]
fn a_page_that_nobody_reads_disturbs_nobody() {
    let lab = Lab::start(&[]);
    let _unread = lab.ask_for_events();
    let mut page = lab.open();
    let mut client = lab.program.connect();
    let mut answer = [0; 4096];
    for _ in 0..200 {
        client.write_all(&REQUEST.repeat(20)).unwrap();
        let mut answered = 0;
        while answered < 20 {
            let bytes = client.read(&mut answer).unwrap();
            answered += String::from_utf8_lossy(&answer[..bytes]).matches("Hello, World!").count();
        }
    }
    lab.press("pause");
    page.wait_for_stop();
    let snapshot = lab.snapshot();
    assert_eq!(snapshot["counts"]["requests"], 4_000);
    // Each event was told or is counted as dropped.
    let last = page.told.back().unwrap().1.clone();
    let dropped: u64 = page
        .told
        .iter()
        .filter(|(name, _)| name == "batch")
        .map(|(_, batch)| batch["dropped"].as_u64().unwrap())
        .sum();
    assert_eq!(last["counts"]["dropped"], dropped);
    let first = page.told.iter().find(|(name, _)| name == "snapshot").unwrap();
    let before = first.1["counts"]["events"].as_u64().unwrap();
    let happened = last["counts"]["events"].as_u64().unwrap() - before;
    assert_eq!(page.events.len() as u64 + dropped, happened);
}

#[test]
fn a_thousand_connections_are_told_in_groups() {
    const CONNECTIONS: usize = 1_000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let lab = Lab::start(&[]);
    let page = lab.open();
    let clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| lab.program.connect()).collect();
    // The last of them is answered when all are there.
    let mut last = clients.last().unwrap();
    last.write_all(REQUEST).unwrap();
    assert!(last.read(&mut [0; 1024]).unwrap() > 0);
    let snapshot = lab.snapshot();
    assert_eq!(snapshot["counts"]["connections"], CONNECTIONS);
    let singly = snapshot["tasks"].as_array().unwrap().len();
    let groups = snapshot["groups"].as_array().unwrap();
    let in_groups: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
    assert_eq!(singly as u64 + in_groups, snapshot["counts"]["tasks"].as_u64().unwrap());
    assert!(singly <= 200 && groups.iter().any(|group| group["kind"] == "connection"));
    let (code, out, said) = run(&mut command(&["ps", &lab.url]));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(out.contains(" 1000 connections") && out.contains(" more: connection (idle)"), "{out}");
    drop(page);
}

#[test]
fn ps_prints_who_is_on_the_loop() {
    let lab = Lab::start(&["--paused"]);
    let (code, out, said) = run(&mut command(&["ps", &lab.url]));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(out.starts_with("turn 0, paused: "), "{out}");
    for text in ["acceptor", "drainer", "signal", "waits for its turn"] {
        assert!(out.contains(text), "{text} is missing: {out}");
    }
    let wrong = lab.url.replace(&lab.path, "/0123/");
    let (code, _, said) = run(&mut command(&["ps", &wrong]));
    assert_eq!(code, Some(1));
    assert!(said.contains("there is nothing here"), "{said}");
    assert_eq!(run(&mut command(&["ps", "localhost"])).0, Some(2));
    lab.press("resume");
    let (code, out, said) = run(&mut command(&["ps", &lab.program.url]));
    assert_eq!(code, Some(1), "{out}{said}");
    assert!(said.contains("no lab"), "{said}");
}
