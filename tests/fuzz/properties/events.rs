//! A trace in either form, as `explain`, `convert` and `perfetto` read it; above all as lines of JSON.

use std::io::Cursor;

use helloop::events::{Event, Observer};
use helloop::watch::Narrator;
use helloop::watch::json;
use helloop::watch::trace::Record;

use super::{BeginsWith, Property, choice, trace};
use crate::command::trace::convert::{convert, into_perfetto};
use crate::command::trace::input::Input;
use crate::perfetto_rules;

pub(super) const PROPERTY: Property =
    Property { name: "events", hold, seed, begins_with: BeginsWith::Requests };

/// Nanoseconds up to which a number of JSON is exact, and some more for what is drawn later.
const EXACT_NANOS: u64 = 1 << 52;

/// The first byte is not looked at; the rest is a file.
fn hold(data: &[u8]) {
    let (_, file) = choice(data);
    let Some((records, error)) = read(file) else { return };
    if let Some(error) = &error {
        assert!(error.starts_with("it: ") || error.starts_with("it, line "), "{error}");
    }
    check_forms(file, &records);
    check_picture(file, &records);
    check_story(&records);
}

fn open(file: &[u8]) -> Option<Input> {
    Input::new("it".into(), Box::new(Cursor::new(file.to_vec()))).ok()
}

/// The records of a file, and what is wrong behind them. That the first turn was looked for makes no
/// difference.
fn read(file: &[u8]) -> Option<(Vec<Record>, Option<String>)> {
    let mut looked_at = open(file)?;
    let begins = looked_at.begins_with_the_loop();
    let read: Vec<_> = open(file)?.collect();
    assert_eq!(looked_at.collect::<Vec<_>>(), read);
    let first = read.iter().find_map(|record| match record {
        Ok(Record::Event(_, Event::TurnBegan { turn, .. })) => Some(*turn),
        _ => None,
    });
    assert!(begins == first.is_none_or(|turn| turn == 1) || read.len() > 1_000);
    let error = read.last().and_then(|last| last.as_ref().err().cloned());
    let records: Vec<Record> =
        read.iter().map_while(|record| record.as_ref().ok().copied()).collect();
    assert_eq!(records.len() + usize::from(error.is_some()), read.len(), "an error is the last");
    Some((records, error))
}

/// The other form, and that form again, tell the same.
fn check_forms(file: &[u8], records: &[Record]) {
    let input = open(file).expect("it was opened before");
    let (mut other, mut again) = (Vec::new(), Vec::new());
    let is_binary = input.is_binary();
    let _ = convert(input, &mut other).expect("memory takes it");
    let input = open(&other).expect("it is a trace");
    // Lines that are not there have no form.
    assert!(input.is_binary() != is_binary || records.is_empty());
    assert_eq!(input.collect::<Result<Vec<_>, _>>().as_deref(), Ok(records));
    let input = open(&other).expect("it was opened before");
    convert(input, &mut again).expect("memory takes it").expect("it is whole");
    let input = open(&again).expect("it is a trace");
    assert_eq!(input.collect::<Result<Vec<_>, _>>().as_deref(), Ok(records));
    let lines = if is_binary { other } else { again };
    if !lines.starts_with(b"\x89") {
        check_lines(&String::from_utf8(lines).expect("lines are text"));
    }
}

fn check_lines(lines: &str) {
    for line in lines.lines() {
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(value["event"].is_string(), "{line}");
        json::read(line).expect("what was written is read");
    }
}

/// Whatever was recorded, a viewer can open it.
fn check_picture(file: &[u8], records: &[Record]) {
    let mut picture = Vec::new();
    let input = open(file).expect("it was opened before");
    let _ = into_perfetto(input, &mut picture).expect("memory takes it");
    let picture = String::from_utf8(picture).expect("a picture is text");
    assert!(picture.is_ascii());
    let is_exact = |record: &Record| match record {
        Record::Event(at, _) => at.as_nanos() < EXACT_NANOS,
        Record::Gap(_) => true,
    };
    if records.iter().all(is_exact) {
        perfetto_rules::check(&picture).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

fn check_story(records: &[Record]) {
    let mut story = Vec::new();
    let mut narrator = Narrator::new(&mut story);
    for record in records {
        match record {
            Record::Event(at, event) => narrator.event(*at, event),
            Record::Gap(events) => narrator.gap(*events),
        }
    }
    drop(narrator);
    let story = String::from_utf8(story).expect("a story is text");
    assert!(!story.contains(|c: char| c.is_control() && c != '\n'), "{story:?}");
}

/// Lines of events that are made of the bytes, with sentences or without.
fn seed(sent: &[u8]) -> Vec<u8> {
    let mut lines = String::from("\0");
    for (number, (at, event)) in trace::events(sent).into_iter().enumerate().take(20) {
        json::write(at, &event, number % 4 == 0, &mut lines);
        lines.push('\n');
    }
    json::write_gap(sent.len() as u64, &mut lines);
    lines.push('\n');
    lines.into_bytes()
}
