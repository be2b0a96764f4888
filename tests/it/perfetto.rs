//! Simulated runs as traces for Perfetto, and that the rules notice what is wrong.

use std::time::Duration;

use helloop::events::Event;
use helloop::limits::Limits;
use helloop::watch::Perfetto;
use helloop::world::Time;
use helloop::world::sim::Faults;

use crate::perfetto_rules::{Found, check};
use crate::sim::{House, echo, get};

fn drawn(events: &[(Time, Event)]) -> String {
    const TAKES_ALL: &str = "a Vec takes everything";
    let mut perfetto = Perfetto::new(Vec::new()).expect(TAKES_ALL);
    for (at, event) in events {
        perfetto.event(*at, event).expect(TAKES_ALL);
    }
    String::from_utf8(perfetto.finish().expect(TAKES_ALL)).expect("JSON in ASCII")
}

/// Some clients: fast, slow, pipelining, gone. Everything that was told, as a trace.
fn life(seed: u64) -> Vec<(Time, Event)> {
    let mut house = House::new(seed, Faults::ROUGH, Limits::default(), echo);
    let clients: Vec<_> = (0..5).map(|_| house.connect()).collect();
    house.settle();
    for (index, client) in clients.iter().enumerate() {
        client.send(&get("/one"));
        client.send(&get("/two"));
        if index % 2 == 0 {
            client.send("GET /half HTTP/1.1\r\nHo");
        }
        house.pass(Duration::from_millis(5));
    }
    house.pass(Duration::from_secs(40));
    house.tape.events()
}

#[test]
fn simulated_lives_keep_the_rules() {
    let mut all = Found::new();
    for seed in 0..20 {
        let events = life(seed);
        let found = check(&drawn(&events)).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        for (phase, count) in found {
            *all.entry(phase).or_default() += count;
        }
    }
    for phase in ["M", "B", "E", "X", "i", "s", "f", "b", "n", "e", "C"] {
        assert!(all.contains_key(phase), "no `{phase}` in {all:?}");
    }
}

#[test]
fn a_trace_may_begin_and_end_anywhere_and_have_gaps() {
    let events = life(1);
    for begin in (0..events.len()).step_by(7) {
        let end = (begin + 60).min(events.len());
        check(&drawn(&events[begin..end])).unwrap_or_else(|broken| panic!("{begin}: {broken}"));
        let mut perfetto = Perfetto::new(Vec::new()).unwrap();
        for (index, (at, event)) in events[begin..end].iter().enumerate() {
            // Every third event, and a gap for the others.
            match index % 3 {
                0 => perfetto.event(*at, event).unwrap(),
                1 => perfetto.gap(2).unwrap(),
                _ => {}
            }
        }
        let text = String::from_utf8(perfetto.finish().unwrap()).unwrap();
        check(&text).unwrap_or_else(|broken| panic!("{begin}, with gaps: {broken}"));
    }
}

#[test]
fn numbers_at_their_limits_are_drawn() {
    let (one, other) = ("1".parse().unwrap(), "2".parse().unwrap());
    let wrote = |source, bytes| Event::Wrote { source, bytes, of: usize::MAX };
    let turn = Event::TurnBegan { turn: u64::MAX, ready: usize::MAX, timers: usize::MAX };
    let events = [wrote(one, 0), wrote(other, 0), turn, Event::Closed { source: one }, turn];
    let closed = [Event::Closed { source: other }, turn];
    let all = events.iter().chain(&closed).map(|event| (Time::NEVER, *event));
    let text = drawn(&all.collect::<Vec<_>>());
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let most = u128::try_from(usize::MAX).unwrap();
    for bytes in [2 * most, most, 0] {
        assert!(text.contains(&format!("\"bytes\":{bytes}}}")), "{bytes} unsent: {text}");
    }
}

#[test]
fn eight_times_as_many_states_and_turns_are_at_most_twelve_times_the_picture() {
    let bytes = |states: u64| {
        let mut events = Vec::new();
        for number in 0..states {
            let task = number.to_string().parse().unwrap();
            let to = helloop::watch::intern(&format!("made up {number}")).unwrap();
            events.push(Event::TurnBegan { turn: number + 1, ready: 0, timers: 0 });
            events.push(Event::Spawned { task, kind: "connection" });
            events.push(Event::State { task, from: "idle", to });
        }
        let text = drawn(&events.into_iter().map(|event| (Time::ZERO, event)).collect::<Vec<_>>());
        check(&text).unwrap();
        text.len()
    };
    let (few, many) = (bytes(200), bytes(1_600));
    assert!(many <= 12 * few, "{few} bytes, then {many}");
}

#[test]
fn the_rules_notice_what_is_wrong() {
    let good = drawn(&life(1));
    let (found, lines) = (check(&good).unwrap(), good.lines().count());
    assert!(found["s"] > 10 && found["s"] == found["f"], "{found:?} in {lines} lines");
    // Without one line of each kind.
    for phase in ["B", "E", "b", "e", "s", "f"] {
        let mark = format!("\"ph\":\"{phase}\"");
        let last = good.lines().rfind(|line| line.contains(&mark)).unwrap();
        let without = good.replacen(&format!("{last}\n"), "", 1).replace(",\n]", "\n]");
        assert!(check(&without).is_err(), "{last} is gone, and nobody complains");
    }
    for (from, to) in [
        ("\"id2\":{\"local\":", "\"id2\":{\"global\":"),
        ("\"bp\":\"e\",", ""),
        ("thread_sort_index", "thread_colour"),
        ("\"tasks\":", "\"tasks\":\"many\",\"t\":"),
        ("\"ph\":\"X\"", "\"ph\":\"Y\""),
        ("\"dur\":0", "\"dur\":900000"),
        ("\"s\":\"t\"", "\"s\":\"everywhere\""),
        ("\"ts\":0.", "\"ts\":\"0\",\"t\":0."),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(check(&good.replacen(from, to, 1)).is_err(), "{from} is {to}: nobody complains");
    }
}
