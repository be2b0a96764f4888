//! A trace file, as `--trace` writes it.

use std::io::{self, Read};
use std::time::Duration;

use helloop::event_loop::{Cause, Flow};
use helloop::events::{Event, Excerpt, Observer, Operation, Timeout};
use helloop::watch::trace::{Encoder, MAGIC, Reader, Record, TraceError};
use helloop::watch::{Kind, Narrator, Perfetto, Value};
use helloop::world::{Readiness, Time};

use super::naive::trace::{End, crc32, trace};
use super::{BeginsWith, Property, choice, cuts, has};

pub(super) const PROPERTY: Property =
    Property { name: "trace", hold, seed, begins_with: BeginsWith::Requests };

/// Bit 1 of the first byte: the rest is a file. Without it, each byte says how long the payload of a
/// block is that follows, and zero stands for another header: nobody guesses checksums.
fn hold(data: &[u8]) {
    let (bits, rest) = choice(data);
    let file = if has(bits, 1) { rest.to_vec() } else { framed(rest) };
    let (expected, end) = trace(&file);
    let (records, error) = read(&file[..]);
    assert_eq!(records, expected);
    assert_eq!(end_of(error.as_ref(), file.len()), end);
    for cuts in cuts::of(file.len(), bits) {
        let (in_pieces, _) = read(Pieces { bytes: &file, given: 0, cuts: &cuts });
        assert_eq!(in_pieces, records);
    }
    check_beginnings(&file, &records, bits);
    check_encoder(&records);
    check_words(&records);
}

/// A header, and blocks with the right length and the right checksum.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let header = [&MAGIC[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut file = header.clone();
    while let Some((length, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        if payload.is_empty() {
            file.extend_from_slice(&header);
            continue;
        }
        let length = u32::try_from(payload.len()).expect("a byte said it");
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&crc32(payload).to_le_bytes());
        file.extend_from_slice(payload);
    }
    file
}

fn read(input: impl Read) -> (Vec<Record>, Option<TraceError>) {
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut records = Vec::new();
    for record in &mut reader {
        match record {
            Ok(record) => records.push(record),
            Err(error) => {
                assert!(reader.next().is_none(), "nothing comes after an error");
                return (records, Some(error));
            }
        }
    }
    (records, None)
}

fn end_of(error: Option<&TraceError>, bytes: usize) -> End {
    let in_it = |offset: &u64| assert!(*offset <= bytes as u64, "{offset} of {bytes}");
    match error {
        None => End::Whole,
        Some(TraceError::NotATrace) => End::NotATrace,
        Some(TraceError::Version(_)) => End::Version,
        Some(TraceError::Truncated { offset }) => {
            in_it(offset);
            End::Cut
        }
        Some(TraceError::Damaged { offset, .. }) => {
            in_it(offset);
            End::Damaged
        }
        Some(other) => panic!("{other}"),
    }
}

/// Gives a file piece by piece.
struct Pieces<'a> {
    bytes: &'a [u8],
    /// Bytes that were given.
    given: usize,
    /// Places at which a piece ends, in order.
    cuts: &'a [usize],
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.cuts.first().is_some_and(|cut| *cut <= self.given) {
            self.cuts = &self.cuts[1..];
        }
        let end = self.cuts.first().copied().unwrap_or(self.bytes.len());
        let bytes = buffer.len().min(end - self.given);
        buffer[..bytes].copy_from_slice(&self.bytes[self.given..self.given + bytes]);
        self.given += bytes;
        Ok(bytes)
    }
}

/// What is cut off begins as the whole does.
fn check_beginnings(file: &[u8], records: &[Record], seed: u8) {
    for cut in cuts::of(file.len(), seed).concat().into_iter().take(16) {
        let (beginning, _) = read(&file[..cut]);
        assert_eq!(beginning[..], records[..beginning.len().min(records.len())], "cut at {cut}");
    }
}

/// What is written is read again.
fn check_encoder(records: &[Record]) {
    let mut encoder = Encoder::new(Vec::new()).expect("memory takes it");
    for record in records {
        match record {
            Record::Event(at, event) => encoder.event(*at, event),
            Record::Gap(events) => encoder.gap(*events),
        }
        .expect("memory takes it");
    }
    let file = encoder.finish().expect("memory takes it");
    let (again, error) = read(&file[..]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(again, records);
}

/// The story is a line an event, and sends nothing to a terminal; the picture is ASCII.
fn check_words(records: &[Record]) {
    let (mut story, mut narrator) = (Vec::new(), 0);
    let mut told = Narrator::new(&mut story).from_the_middle();
    let mut perfetto = Perfetto::new(Vec::new()).expect("memory takes it");
    for record in records {
        narrator += 1;
        match record {
            Record::Event(at, event) => {
                told.event(*at, event);
                perfetto.event(*at, event).expect("memory takes it");
            }
            Record::Gap(events) => {
                told.gap(*events);
                perfetto.gap(*events).expect("memory takes it");
            }
        }
    }
    drop(told);
    let story = String::from_utf8(story).expect("a story is text");
    assert_eq!(story.lines().count(), narrator);
    assert!(!story.contains(|c: char| c.is_control() && c != '\n'), "{story:?}");
    let picture = perfetto.finish().expect("memory takes it");
    assert!(picture.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
}

/// A file of events that are made of the bytes, in the notation of blocks.
fn seed(sent: &[u8]) -> Vec<u8> {
    let mut seed = vec![0];
    for events in events(sent).chunks(8) {
        let mut encoder = Encoder::new(Vec::new()).expect("memory takes it");
        for (at, event) in events {
            encoder.event(*at, event).expect("memory takes it");
        }
        encoder.gap(events.len() as u64).expect("memory takes it");
        let file = encoder.finish().expect("memory takes it");
        let payload = &file[24..];
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        seed.push(length);
        seed.extend_from_slice(&payload[..usize::from(length)]);
    }
    seed
}

/// Words that seeds use.
const WORDS: [&str; 5] = ["connection", "idle", "reading", "the peer has gone away", "\u{1b}[2J"];

/// Some events that follow from the bytes: two of each kind, none of them at random.
pub(super) fn events(sent: &[u8]) -> Vec<(Time, Event)> {
    let mut bytes = sent.iter().copied().cycle().take(10_000).chain(std::iter::repeat(7));
    let mut at = 0;
    let mut events = Vec::new();
    for number in (1..).take(2 * 28).map(|number| number % 28 + 1) {
        let mut next = || bytes.next().expect("it has no end");
        at += u64::from(next()) << (next() % 24);
        let event = Event::build(number, |_, kind| Ok::<_, ()>(value(kind, &mut next)));
        events.extend(event.ok().map(|event| (Time::from_nanos(at), event)));
    }
    events
}

fn value(kind: Kind, next: &mut impl FnMut() -> u8) -> Value {
    // Few, so that some meet again.
    const IDS: [&str; 4] = ["1", "2", "2.2", "7"];
    match kind {
        Kind::Task => Value::Task(IDS[usize::from(next() % 4)].parse().expect("an id")),
        Kind::Source => Value::Source(IDS[usize::from(next() % 4)].parse().expect("an id")),
        Kind::Number => Value::Number(u64::from(next())),
        Kind::Word => Value::Word(WORDS[usize::from(next()) % WORDS.len()]),
        Kind::Excerpt => Value::Excerpt(Excerpt::of(&["GET /", WORDS[usize::from(next()) % 5]])),
        Kind::Readiness => Value::Readiness(Readiness::from_bits_truncate(next())),
        Kind::Cause => Value::Cause(Cause::from_bits_truncate(next())),
        Kind::Flow => Value::Flow([Flow::Wait, Flow::Again, Flow::Done][usize::from(next() % 3)]),
        Kind::Operation => {
            let operations = [Operation::Read, Operation::Write, Operation::Accept];
            Value::Operation(operations[usize::from(next() % 3)])
        }
        Kind::Timeout => {
            let until = Timeout::Until(Duration::from_micros(next().into()));
            Value::Timeout([Timeout::Zero, Timeout::Forever, until][usize::from(next() % 3)])
        }
        Kind::Moment => Value::Moment(Time::from_nanos(u64::from(next()) << 20)),
        Kind::Span => Value::Span(Duration::from_micros(next().into())),
    }
}
