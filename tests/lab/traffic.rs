use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::page::Lab;

fn is(note: &Value, scenario: &str, step: &str) -> bool {
    note["scenario"] == scenario && note["step"] == step
}

#[test]
fn a_client_of_the_lab_waits_while_the_loop_is_held() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    lab.press("pause");
    page.wait_for_stop();
    lab.press("traffic?scenario=one");
    let sent = page.wait_for("traffic", |note| is(note, "one", "sent"));
    assert_eq!(sent["bytes"], r"GET /World HTTP/1.1\r\nHost: lab\r\n\r\n");
    // It has time to be answered, and is not.
    lab.press("step-resume");
    page.wait_for_stop();
    assert!(!page.told.iter().any(|(name, note)| name == "traffic" && is(note, "one", "received")));
    lab.press("resume");
    let received = page.wait_for("traffic", |note| is(note, "one", "received"));
    assert!(received["bytes"].as_str().unwrap().ends_with(r"Hello, World!\n"), "{received}");
    assert_eq!(received["id"], sent["id"]);
}

#[test]
fn every_scenario_ends_with_what_it_is_for() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    let scenarios = [
        "one",
        "pair",
        "dribble",
        "slow-reader",
        "hundred",
        "half-close",
        "smuggle",
        "sleep",
        "block",
        "gather",
        "thread",
    ];
    for scenario in scenarios {
        lab.press(&format!("traffic?scenario={scenario}"));
    }
    let mut left: BTreeSet<&str> = scenarios.into();
    while !left.is_empty() {
        let ended = page.wait_for("traffic", |note| note["step"] == "ended");
        let how = ended["bytes"].as_str().unwrap();
        assert!(how == "closed" || how == "100 of 100 were answered 200", "{ended}");
        left.remove(ended["scenario"].as_str().unwrap());
    }
    let received = |scenario: &str| -> String {
        let notes = page.told.iter().filter(|(name, _)| name == "traffic").map(|(_, note)| note);
        let notes = notes.filter(|note| is(note, scenario, "received"));
        notes.map(|note| note["bytes"].as_str().unwrap()).collect()
    };
    for (scenario, text) in [
        ("one", "Hello, World!"),
        ("pair", "Hello, second!"),
        ("dribble", "Hello, Dribble!"),
        ("slow-reader", "bytes in all"),
        ("half-close", "Hello, World!"),
        ("smuggle", "HTTP/1.1 400 Bad Request"),
        ("sleep", "Nobody else had to wait for these 2 s."),
        ("block", "Everybody had to wait for 300ms."),
        ("gather", "The third was cancelled: no result after 2s."),
        ("thread", "Another thread worked for 1s."),
    ] {
        assert!(received(scenario).contains(text), "{scenario}: {}", received(scenario));
    }
    let smuggled = received("smuggle");
    assert_eq!(smuggled.matches("HTTP/1.1 ").count(), 1, "one answer, and the end: {smuggled}");
    // The blocker was noticed, and who slept was not.
    page.wait_for_event("stall", |event| event["took_ns"].as_u64() >= Some(300_000_000));
    page.wait_for_event("state", |event| event["to"] == "flushing");
}

/// The descriptors are really gone: the kernel says so to the acceptor.
#[test]
fn a_server_without_descriptors_backs_off_and_answers_later() {
    let lab = Lab::start(&[]);
    let mut page = lab.open();
    lab.press("traffic?scenario=descriptors");
    page.wait_for_event("state", |event| event["to"] == "backing off");
    page.wait_for_event("state", |event| event["to"] == "backing off");
    let ended = page.wait_for("traffic", |note| is(note, "descriptors", "ended"));
    assert_eq!(ended["bytes"], "closed");
    let answered = |(name, note): &(String, Value)| {
        name == "traffic"
            && is(note, "descriptors", "received")
            && note["bytes"].as_str().is_some_and(|bytes| bytes.contains("Hello, World!"))
    };
    assert!(page.told.iter().any(answered));
}

#[test]
fn no_more_is_begun_than_can_be_watched() {
    let lab = Lab::start(&["--paused"]);
    let start = || lab.ask("POST", &format!("{}do/traffic?scenario=one", lab.path), "").0;
    let statuses: Vec<u16> = (0..20).map(|_| start()).collect();
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses.last(), Some(&409));
}
