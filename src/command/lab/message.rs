//! What pages are told: server-sent events, each with one object of JSON.

use std::fmt::Write;

use helloop::events::Event;
use helloop::server::MACHINES;
use helloop::world::Time;
use serde_json::{Value, json};

use super::link::Held;
use super::listings;
use super::pages::{Kind, Message};
use super::server::Facts;
use super::snapshot::Snapshot;
use crate::command::trace::json;

fn message(name: &str, kind: Kind, events: u64, data: &str) -> Message {
    // JSON has no line feeds of its own.
    Message { text: format!("event: {name}\ndata: {data}\n\n").into(), events, kind }
}

fn of_json(name: &str, kind: Kind, data: &Value) -> Message {
    message(name, kind, 0, &data.to_string())
}

/// What does not change while the lab lives.
pub(super) fn hello(facts: &Facts) -> Message {
    let machine = |machine: &helloop::server::Machine| {
        let state = |state: &helloop::server::MachineState| {
            let (name, file, line, about) = (state.name, state.file, state.line, state.about);
            json!({"name": name, "file": file, "line": line, "about": about})
        };
        let states: Vec<Value> = machine.states.iter().map(state).collect();
        json!({"kind": machine.kind, "states": states, "edges": machine.edges})
    };
    let machines: Vec<Value> = MACHINES.iter().map(machine).collect();
    let version = env!("CARGO_PKG_VERSION");
    let hello = json!({
        "version": version,
        "url": facts.url,
        "read_only": facts.is_read_only,
        "lessons": facts.has_lessons,
        "machines": machines,
        "listings": listings::to_json(),
    });
    of_json("hello", Kind::Note, &hello)
}

pub(super) fn snapshot(snapshot: &Snapshot, dropped: u64) -> Message {
    of_json("snapshot", Kind::Snapshot, &snapshot.to_json(dropped))
}

/// Events that follow each other.
pub(super) fn batch(events: &[(Time, Event)]) -> Message {
    let mut data = String::from(r#"{"dropped":0,"events":["#);
    for (index, (at, event)) in events.iter().enumerate() {
        if index > 0 {
            data.push(',');
        }
        json::write(*at, event, true, &mut data);
    }
    data.push_str("]}");
    message("batch", Kind::Change, events.len() as u64, &data)
}

/// Events are missing here; a snapshot follows.
pub(super) fn gap(dropped: u64) -> Message {
    of_json("batch", Kind::Note, &json!({"dropped": dropped, "events": []}))
}

/// `None`: the loop goes on.
pub(super) fn gate(held: Option<&Held>) -> Message {
    let gate = match held {
        Some(Held { why, before }) => json!({"paused": true, "why": why, "before": before}),
        None => json!({"paused": false}),
    };
    of_json("gate", Kind::Note, &gate)
}

/// What a client of the lab does.
pub(super) fn traffic(id: u64, scenario: &str, step: &str, bytes: &str, at: Time) -> Message {
    let traffic = json!({
        "id": id, "scenario": scenario, "step": step, "bytes": bytes, "at": at.as_nanos(),
    });
    of_json("traffic", Kind::Note, &traffic)
}

/// Bytes as a line that can be read: `\r\n` for the end of one.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    write!(text, "\\u{{{:x}}}", u32::from(control)).expect("a String takes it");
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes it");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_one_line() {
        assert_eq!(readable(b"GET / HTTP/1.1\r\n"), "GET / HTTP/1.1\\r\\n");
        assert_eq!(readable("J\u{fc}rgen \\ \u{1b}".as_bytes()), "J\u{fc}rgen \\\\ \\u{1b}");
        assert_eq!(readable(b"\xff\xfe."), "\\xff\\xfe.");
    }

    fn some_hello() -> Message {
        hello(&Facts {
            token: "secret".into(),
            url: "http://localhost:1/".into(),
            target: ([127, 0, 0, 1], 1).into(),
            is_read_only: true,
            has_lessons: true,
        })
    }

    #[test]
    fn a_message_is_one_server_sent_event() {
        let event = Event::Waited { sources: 2 };
        let told = batch(&[(Time::from_nanos(7), event), (Time::from_nanos(8), event)]);
        let data = told.text.strip_prefix("event: batch\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!((told.events, told.kind), (2, Kind::Change));
        assert_eq!(data["events"][1]["at"], 8);
        assert_eq!(data["events"][1]["text"], event.to_string());
        assert!(!some_hello().text.trim_end().contains("\n\n"));
    }

    #[test]
    fn hello_has_the_map_of_a_connection() {
        let hello = some_hello();
        assert!(!hello.text.contains("secret"));
        let data = hello.text.split_once("data: ").unwrap().1;
        let data: Value = serde_json::from_str(data.trim_end()).unwrap();
        let connection = &data["machines"][0];
        assert_eq!(connection["kind"], "connection");
        let states = connection["states"].as_array().unwrap();
        let names: Vec<&str> = states.iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names[0], "idle");
        for edge in connection["edges"].as_array().unwrap() {
            for end in edge.as_array().unwrap() {
                assert!(names.contains(&end.as_str().unwrap()), "{end}");
            }
        }
        let mut lines: Vec<u64> = states.iter().map(|s| s["line"].as_u64().unwrap()).collect();
        lines.dedup();
        assert_eq!(lines.len(), states.len(), "each has a line of its own");
        assert!(states.iter().all(|s| s["file"] == "src/server/connection/place.rs"));
    }
}
