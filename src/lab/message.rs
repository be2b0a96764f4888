//! What is sent to pages: server-sent events, each with one object of JSON.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use crate::events::Event;
use crate::server::MACHINES;
use crate::watch::json;
use crate::world::Time;
use serde_json::{Map, Value, json};

use super::changes;
use super::glossary;
use super::history::{COMPARED_MAX, Future, Futures, Parting};
use super::listings;

/// A message for all pages.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "lab"),
    allow(dead_code, reason = "a history loses nothing on its way to a page")
)]
pub(super) struct Message {
    /// As it goes over the wire.
    pub(super) text: Rc<str>,
    /// Events that it contains.
    pub(super) events: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tells everything anew.
    Snapshot,
    /// Of no use without what was sent before.
    Change,
    /// Stands for itself.
    Note,
}

/// Why and where a loop is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) why: &'static str,
    /// `turn 8`
    pub(super) before: String,
}

/// Why a page is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The query makes no sense: 400.
    Query(Cow<'static, str>),
    /// It cannot be done now, or here: 409.
    Now(Cow<'static, str>),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refused::Query(text) | Refused::Now(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Refused {}

fn message(name: &str, kind: Kind, events: u64, data: &str) -> Message {
    // JSON has no line feeds of its own.
    Message { text: format!("event: {name}\ndata: {data}\n\n").into(), events, kind }
}

fn of_json(name: &str, kind: Kind, data: &Value) -> Message {
    message(name, kind, 0, &data.to_string())
}

/// What does not change while the lab lives. `of_guide` is an object of JSON; its members are added.
pub(super) fn hello(is_read_only: bool, of_guide: Option<&str>) -> Message {
    let machine = |machine: &crate::server::Machine| {
        let state = |state: &crate::server::MachineState| {
            let (name, file, line, about) = (state.name, state.file, state.line, state.about);
            json!({"name": name, "file": file, "line": line, "about": about})
        };
        let states: Vec<Value> = machine.states.iter().map(state).collect();
        json!({"kind": machine.kind, "states": states, "edges": machine.edges})
    };
    let machines: Vec<Value> = MACHINES.iter().map(machine).collect();
    let mut hello = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "read_only": is_read_only,
        "machines": machines,
        "glossary": glossary::to_json(),
        "phases": listings::of_phases(),
    });
    let more = of_guide.and_then(|text| serde_json::from_str::<Map<_, _>>(text).ok());
    if let (Some(hello), Some(more)) = (hello.as_object_mut(), more) {
        if more.contains_key("url") {
            hello.insert("listings".into(), listings::to_json().into());
        }
        hello.extend(more);
    }
    of_json("hello", Kind::Note, &hello)
}

/// Everything, as [`Snapshot::to_json`] has it.
pub(super) fn snapshot(now: &Value) -> Message {
    of_json("snapshot", Kind::Snapshot, now)
}

/// What is different from what was told before, a snapshot or changes.
pub(super) fn changes(before: &Value, now: &Value) -> Message {
    of_json("changes", Kind::Change, &changes::changes(before, now))
}

/// The page is to forget everything: the loop went back, and what follows is all that there is.
pub(super) fn back() -> Message {
    of_json("back", Kind::Note, &json!({}))
}

/// Messages that are of use together, and need nothing before them.
#[cfg(feature = "lab")]
pub(super) fn joined(messages: &[Message]) -> Message {
    let text: String = messages.iter().map(|message| &*message.text).collect();
    let events = messages.iter().map(|message| message.events).sum();
    Message { text: text.into(), events, kind: Kind::Snapshot }
}

/// What a moment is as the answer to an exercise: right, or a condition that is not met.
pub(super) fn judged(exercise: &str, missing: Option<&str>) -> Message {
    of_json("judged", Kind::Note, &json!({"exercise": exercise, "missing": missing}))
}

/// Why the loop does not go where it was told to.
pub(super) fn stuck(why: &str) -> Message {
    of_json("stuck", Kind::Note, &json!({"why": why}))
}

/// Events that follow each other.
pub(super) fn batch(events: &[(Time, Event)]) -> Message {
    let data = format!(r#"{{"dropped":0,"events":{}}}"#, array(events));
    message("batch", Kind::Change, events.len() as u64, &data)
}

/// Events as an array of JSON.
fn array(events: &[(Time, Event)]) -> String {
    let mut array = String::from("[");
    for (index, (at, event)) in events.iter().enumerate() {
        if index > 0 {
            array.push(',');
        }
        json::write(*at, event, true, &mut array);
    }
    array.push(']');
    array
}

/// Two futures of a moment.
pub(super) fn futures(futures: &Futures, moment: u64) -> Message {
    let parting = match futures.parting {
        Parting::Here => "here",
        Parting::Never => "never",
        Parting::NotYet => "not yet",
    };
    let of = |future: &Future| {
        let recipe = future.recipe.to_string();
        let (recipe, events) = (json!(recipe), array(&future.events));
        let differs = future.differs.map_or("null".into(), |at| at.to_string());
        format!(r#"{{"recipe":{recipe},"events":{events},"differs":{differs}}}"#)
    };
    let [as_is, with_more] = futures.both.each_ref().map(of);
    let what = json!(futures.what.to_string());
    let data = format!(
        r#"{{"what":{what},"moment":{moment},"parting":"{parting}","compared":{COMPARED_MAX},"both":[{as_is},{with_more}]}}"#
    );
    message("futures", Kind::Note, 0, &data)
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

/// Something that a host sends; its data are JSON.
pub(super) fn of_host(name: &str, data: &str) -> Message {
    message(name, Kind::Note, 0, &data.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_hello() -> Message {
        hello(true, Some(r#"{"url": "http://localhost:1/"}"#))
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
        let data = hello.text.split_once("data: ").unwrap().1;
        let data: Value = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!(
            (&data["read_only"], &data["url"]),
            (&json!(true), &json!("http://localhost:1/"))
        );
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
        assert!(states.iter().all(|s| s["file"] == "src/server/connection/states.rs"));
    }
}
