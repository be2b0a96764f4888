//! An event as an object of JSON on one line, and back:
//!
//! ```text
//! {"at":1130747000,"event":"resumed","task":"5.2","kind":"connection","cause":["readable"]}
//! ```
//!
//! `at` is the time since the loop began, in nanoseconds, like every other moment and duration (the
//! name of a duration ends with `_ns`). Ids are texts, flags are lists of names.

use std::fmt::Write as _;
use std::time::Duration;

use crate::event_loop::{Cause, Flow};
use crate::events::{Event, Excerpt, Operation, Timeout};
use crate::watch::trace::Record;
use crate::watch::{Kind, Value, intern};
use crate::world::{Readiness, Time};
use serde_json::{Map, Value as Json};

/// Appends the object of an event, without a line feed. With `text`, its sentence comes last.
pub fn write(at: Time, event: &Event, text: bool, out: &mut String) {
    put(out, format_args!("{{\"at\":{},\"event\":\"{}\"", at.as_nanos(), event.name()));
    event.fields(|name, value| write_field(name, value, out));
    if text {
        out.push_str(",\"text\":");
        write_text(&event.to_string(), out);
    }
    out.push('}');
}

/// Appends what stands for events that are missing.
pub fn write_gap(events: u64, out: &mut String) {
    put(out, format_args!("{{\"event\":\"gap\",\"missing\":{events}}}"));
}

/// A member, with the comma before it.
fn write_field(name: &str, value: Value, out: &mut String) {
    let unit = if matches!(value, Value::Span(_)) { "_ns" } else { "" };
    put(out, format_args!(",\"{name}{unit}\":"));
    match value {
        Value::Task(task) => put(out, format_args!("\"{task}\"")),
        Value::Source(source) => put(out, format_args!("\"{source}\"")),
        Value::Number(number) => put(out, format_args!("{number}")),
        Value::Word(word) => write_text(word, out),
        Value::Excerpt(excerpt) => write_text(excerpt.as_str(), out),
        Value::Readiness(flags) => write_flags(flags.iter_names().map(|(name, _)| name), out),
        Value::Cause(flags) => write_flags(flags.iter_names().map(|(name, _)| name), out),
        Value::Flow(flow) => put(out, format_args!("\"{}\"", name_of(&FLOWS, &flow))),
        Value::Operation(operation) => {
            put(out, format_args!("\"{}\"", name_of(&OPERATIONS, &operation)));
        }
        Value::Timeout(Timeout::Zero) => out.push_str("\"zero\""),
        Value::Timeout(Timeout::Forever) => out.push_str("\"forever\""),
        Value::Timeout(Timeout::Until(duration)) => {
            put(out, format_args!("\"until\",\"timeout_ns\":{}", nanos(duration)));
        }
        Value::Moment(moment) => put(out, format_args!("{}", moment.as_nanos())),
        Value::Span(duration) => put(out, format_args!("{}", nanos(duration))),
    }
}

/// Saturates after 584 years, like [`Time`].
fn nanos(duration: Duration) -> u64 {
    (Time::ZERO + duration).as_nanos()
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn write_flags(names: impl Iterator<Item = &'static str>, out: &mut String) {
    out.push('[');
    for (index, name) in names.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        put(out, format_args!("{comma}\"{}\"", name.to_ascii_lowercase()));
    }
    out.push(']');
}

const FLOWS: [(&str, Flow); 3] =
    [("wait", Flow::Wait), ("again", Flow::Again), ("done", Flow::Done)];

const OPERATIONS: [(&str, Operation); 3] =
    [("read", Operation::Read), ("write", Operation::Write), ("accept", Operation::Accept)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    let found = names.iter().find(|(_, named)| named == value);
    found.map_or("?", |(name, _)| name)
}

/// Reads what [`write()`] or [`write_gap`] has written. Members that it does not know are skipped.
///
/// # Errors
/// A sentence for people, without the number of the line.
pub fn read(line: &str) -> Result<Record, String> {
    let object: Map<String, Json> =
        serde_json::from_str(line).map_err(|error| format!("it is no object of JSON: {error}"))?;
    let name = text(&object, "event")?;
    if name == "gap" {
        return Ok(Record::Gap(number(&object, "missing")?));
    }
    let at = number(&object, "at")?;
    let event = Event::number_of(name).ok_or_else(|| format!("there is no event \"{name}\""))?;
    let event = Event::build(event, |name, kind| read_field(&object, name, kind));
    Ok(Record::Event(Time::from_nanos(at), event.map_err(|error| error.to_string())?))
}

fn read_field(object: &Map<String, Json>, name: &str, kind: Kind) -> Result<Value, String> {
    let wrong = |what: &str| format!("\"{name}\" is no {what}");
    Ok(match kind {
        Kind::Task => Value::Task(text(object, name)?.parse().map_err(|_| wrong("id"))?),
        Kind::Source => Value::Source(text(object, name)?.parse().map_err(|_| wrong("id"))?),
        Kind::Number => Value::Number(number(object, name)?),
        Kind::Word => {
            let word = intern(text(object, name)?);
            Value::Word(word.ok_or("a word is too long, or there are too many of them")?)
        }
        Kind::Excerpt => Value::Excerpt(Excerpt::of(&[text(object, name)?])),
        Kind::Readiness => {
            let flags = flags(object, name)?;
            let one = |flag: &str| Readiness::from_name(flag).ok_or_else(|| wrong("readiness"));
            Value::Readiness(
                flags
                    .iter()
                    .try_fold(Readiness::empty(), |all, f| Ok::<_, String>(all | one(f)?))?,
            )
        }
        Kind::Cause => {
            let flags = flags(object, name)?;
            let one = |flag: &str| Cause::from_name(flag).ok_or_else(|| wrong("cause"));
            Value::Cause(
                flags.iter().try_fold(Cause::empty(), |all, f| Ok::<_, String>(all | one(f)?))?,
            )
        }
        Kind::Flow => Value::Flow(named(&FLOWS, text(object, name)?).ok_or_else(|| wrong("flow"))?),
        Kind::Operation => {
            let operation = named(&OPERATIONS, text(object, name)?);
            Value::Operation(operation.ok_or_else(|| wrong("operation"))?)
        }
        Kind::Timeout => Value::Timeout(match text(object, name)? {
            "zero" => Timeout::Zero,
            "forever" => Timeout::Forever,
            "until" => Timeout::Until(Duration::from_nanos(number(object, "timeout_ns")?)),
            _ => return Err(wrong("timeout")),
        }),
        Kind::Moment => Value::Moment(Time::from_nanos(number(object, name)?)),
        Kind::Span => Value::Span(Duration::from_nanos(number(object, &format!("{name}_ns"))?)),
    })
}

fn named<T: Copy>(names: &[(&'static str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn number(object: &Map<String, Json>, name: &str) -> Result<u64, String> {
    let number = object.get(name).and_then(Json::as_u64);
    number.ok_or_else(|| format!("it has no number \"{name}\""))
}

fn text<'a>(object: &'a Map<String, Json>, name: &str) -> Result<&'a str, String> {
    object.get(name).and_then(Json::as_str).ok_or_else(|| format!("it has no text \"{name}\""))
}

/// The names of flags, as the code writes them.
fn flags(object: &Map<String, Json>, name: &str) -> Result<Vec<String>, String> {
    let names = object.get(name).and_then(Json::as_array).into_iter().flatten();
    let names: Option<_> = names.map(|name| name.as_str().map(str::to_ascii_uppercase)).collect();
    match names {
        Some(names) if object.get(name).is_some_and(Json::is_array) => Ok(names),
        _ => Err(format!("it has no list of texts \"{name}\"")),
    }
}

/// Appends a text, with its quotation marks, in ASCII: what a peer or a file says cannot send escapes to a
/// terminal.
pub fn write_text(text: &str, out: &mut String) {
    let json = serde_json::to_string(text).expect("a text has a form in JSON");
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
        } else {
            // Legal in JSON, but a terminal may do something with it.
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a String takes everything");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(at: u64, event: &Event) -> String {
        let mut out = String::new();
        write(Time::from_nanos(at), event, false, &mut out);
        out
    }

    #[track_caller]
    fn is(event: Event, json: &str) {
        assert_eq!(shown(5, &event), json);
        assert_eq!(read(json), Ok(Record::Event(Time::from_nanos(5), event)));
    }

    #[test]
    fn an_event_is_one_object() {
        let (task, source) = ("5.2".parse().unwrap(), "4".parse().unwrap());
        let cause = Cause::READABLE | Cause::TIMER;
        is(
            Event::Resumed { task, kind: "connection", cause },
            concat!(
                r#"{"at":5,"event":"resumed","task":"5.2","kind":"connection","#,
                r#""cause":["readable","timer"]}"#
            ),
        );
        is(
            Event::Ready { source, readiness: Readiness::READABLE | Readiness::READ_CLOSED },
            r#"{"at":5,"event":"ready","source":"4","readiness":["readable","read_closed"]}"#,
        );
        is(
            Event::Waiting { timeout: Timeout::Until(Duration::from_millis(30)) },
            r#"{"at":5,"event":"waiting","timeout":"until","timeout_ns":30000000}"#,
        );
        is(
            Event::Waiting { timeout: Timeout::Forever },
            r#"{"at":5,"event":"waiting","timeout":"forever"}"#,
        );
        let line = Excerpt::of(&["GET /\"\\"]);
        is(
            Event::Request { task, number: 1, line },
            r#"{"at":5,"event":"request","task":"5.2","number":1,"line":"GET /\"\\"}"#,
        );
        is(
            Event::WouldBlock { source, operation: Operation::Accept },
            r#"{"at":5,"event":"would_block","source":"4","operation":"accept"}"#,
        );
    }

    /// Any value of a kind; the word is not one of the program's.
    fn some(name: &str, kind: Kind) -> Result<Value, String> {
        let values = r#"{"task":"7","source":"8.3","number":9,"word":"a \u00e4","excerpt":"GET /",
            "readiness":[],"cause":["woken"],"flow":"done","operation":"write","timeout":"until",
            "timeout_ns":12,"moment":13,"span_ns":14}"#;
        let name = match kind {
            Kind::Moment => "moment",
            Kind::Span => "span",
            Kind::Word => "word",
            Kind::Number => "number",
            Kind::Excerpt => "excerpt",
            _ => name,
        };
        read_field(&serde_json::from_str(values).unwrap(), name, kind)
    }

    #[test]
    fn every_event_can_be_read_again() {
        let events: Vec<Event> =
            (1..).map_while(|number| Event::build(number, some).ok()).collect();
        assert!(events.len() >= 26, "{events:?}");
        for event in events {
            let json = shown(u64::MAX, &event);
            assert_eq!(read(&json), Ok(Record::Event(Time::NEVER, event)), "{json}");
            assert!(json.is_ascii(), "{json}");
        }
    }

    #[test]
    fn the_sentence_is_for_streams() {
        let mut out = String::new();
        write(Time::ZERO, &Event::Waited { sources: 1 }, true, &mut out);
        let expected =
            r#"{"at":0,"event":"waited","sources":1,"text":"the world reports 1 source"}"#;
        assert_eq!(out, expected);
        let event = Event::Waited { sources: 1 };
        assert_eq!(read(&out), Ok(Record::Event(Time::ZERO, event)));
        out.clear();
        write_gap(7, &mut out);
        assert_eq!(read(&out), Ok(Record::Gap(7)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, says) in [
            ("", "no object"),
            ("[]", "no object"),
            ("{}", "no text \"event\""),
            (r#"{"at":-1,"event":"waited"}"#, "no number \"at\""),
            (r#"{"at":1}"#, "no text \"event\""),
            (r#"{"event":"gap","missing":"x"}"#, "no number \"missing\""),
            (r#"{"at":1,"event":"lunch"}"#, "no event \"lunch\""),
            (r#"{"at":1,"event":"waited"}"#, "no number \"sources\""),
            (r#"{"at":1,"event":"closed","source":"x"}"#, "\"source\" is no id"),
            (r#"{"at":1,"event":"ready","source":"1","readiness":["x"]}"#, "is no readiness"),
            (r#"{"at":1,"event":"ready","source":"1","readiness":1}"#, "no list of texts"),
            (r#"{"at":1,"event":"queued","task":"1","cause":[1]}"#, "no list of texts"),
            (r#"{"at":1,"event":"waiting","timeout":"soon"}"#, "is no timeout"),
            (r#"{"at":1,"event":"waiting","timeout":"until"}"#, "no number \"timeout_ns\""),
            (
                concat!(
                    r#"{"at":1,"event":"response","task":"1","number":1,"#,
                    r#""status":70000,"body_bytes":0}"#
                ),
                "`status` does not fit",
            ),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
