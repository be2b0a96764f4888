use super::file::{self, Output};
use super::*;
use crate::event_loop::{Cause, Flow};
use crate::events::{Excerpt, Observer, Operation, Timeout};
use crate::id::{SourceId, TaskId};
use crate::watch::{Kind, Value};
use crate::world::Readiness;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const WORDS: [&str; 4] = ["connection", "idle", "", "the peer has gone away"];

/// Small numbers and large ones.
fn number(rng: &mut fastrand::Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn value(rng: &mut fastrand::Rng, name: &str, kind: Kind) -> Value {
    let bits = |rng: &mut fastrand::Rng| (number(rng) | 1) << 32 | number(rng) & 0xffff_ffff;
    match kind {
        Kind::Task => Value::Task(TaskId::from_bits(bits(rng))),
        Kind::Source => Value::Source(SourceId::from_bits(bits(rng))),
        Kind::Number if name == "status" => Value::Number(rng.u64(100..1000)),
        Kind::Number => Value::Number(number(rng) & 0xffff_ffff),
        Kind::Word => Value::Word(WORDS[rng.usize(..WORDS.len())]),
        Kind::Excerpt => Value::Excerpt(Excerpt::of(&["GET /", &number(rng).to_string()])),
        Kind::Readiness => Value::Readiness(Readiness::from_bits_truncate(rng.u8(..))),
        Kind::Cause => Value::Cause(Cause::from_bits_truncate(rng.u8(..))),
        Kind::Flow => Value::Flow([Flow::Wait, Flow::Again, Flow::Done][rng.usize(..3)]),
        Kind::Operation => {
            let operations = [Operation::Read, Operation::Write, Operation::Accept];
            Value::Operation(operations[rng.usize(..3)])
        }
        Kind::Timeout => {
            let until = Timeout::Until(Duration::from_nanos(number(rng)));
            Value::Timeout([Timeout::Zero, Timeout::Forever, until][rng.usize(..3)])
        }
        Kind::Moment => Value::Moment(Time::from_nanos(number(rng))),
        Kind::Span => Value::Span(Duration::from_nanos(number(rng))),
    }
}

fn event(rng: &mut fastrand::Rng) -> Event {
    loop {
        let built = Event::build(rng.u8(..), |name, kind| Ok::<_, ()>(value(rng, name, kind)));
        if let Ok(event) = built {
            return event;
        }
    }
}

fn record(rng: &mut fastrand::Rng, at: &mut u64) -> Record {
    if rng.u8(..) == 0 {
        return Record::Gap(number(rng) >> 1);
    }
    // Almost always forwards.
    *at = if rng.u8(..) == 0 { number(rng) } else { at.wrapping_add(rng.u64(..10_000)) };
    Record::Event(Time::from_nanos(*at), event(rng))
}

fn records(seed: u64, count: usize) -> Vec<Record> {
    let (mut rng, mut at) = (fastrand::Rng::with_seed(seed), 0);
    (0..count).map(|_| record(&mut rng, &mut at)).collect()
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new()).unwrap();
    for record in records {
        match record {
            Record::Event(at, event) => encoder.event(*at, event).unwrap(),
            Record::Gap(events) => encoder.gap(*events).unwrap(),
        }
    }
    encoder.finish().unwrap()
}

/// The records up to the end or the first error.
fn decoded(bytes: &[u8]) -> (Vec<Record>, Option<TraceError>) {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut records = Vec::new();
    for record in reader {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

#[test]
fn every_event_survives() {
    for seed in 0..200 {
        let records = records(seed, 200);
        let (read, error) = decoded(&encoded(&records));
        assert!(error.is_none(), "seed {seed}: {error:?}");
        assert_eq!(read, records, "seed {seed}");
    }
    let many = records(1, 50_000);
    let bytes = encoded(&many);
    assert!(bytes.len() > 3 * BLOCK_BYTES, "several blocks: {}", bytes.len());
    assert_eq!(decoded(&bytes).0, many);
    let twice = [encoded(&many[..10]), encoded(&many[10..20])].concat();
    assert_eq!(decoded(&twice).0, many[..20]);
}

/// A reader that calls itself for each header overflows its stack, which no test can catch.
#[test]
fn a_file_of_nothing_but_headers_costs_no_stack() {
    let bytes = header().repeat(500_000);
    let (read, error) = decoded(&bytes);
    assert!(read.is_empty() && error.is_none(), "{error:?}");
    let after = [&bytes, &encoded(&records(1, 3))[..]].concat();
    assert_eq!(decoded(&after).0, records(1, 3));
}

#[test]
fn every_cut_gives_a_prefix_and_says_so() {
    let records = records(7, 300);
    let bytes = encoded(&records);
    let mut longest = 0;
    for cut in 0..bytes.len() {
        let (read, error) = decoded(&bytes[..cut]);
        assert_eq!(read, records[..read.len()], "cut at {cut}");
        assert!(read.len() >= longest, "cut at {cut}");
        longest = read.len();
        match error {
            Some(TraceError::NotATrace) => assert!(cut < HEADER_BYTES),
            Some(TraceError::Truncated { offset }) => assert!(offset <= cut as u64),
            None => assert_eq!(cut, HEADER_BYTES, "an empty trace"),
            Some(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert_eq!(longest, records.len() - 1, "all but the one that is cut");
}

#[test]
fn damage_is_found_and_never_a_panic() {
    let records = records(8, 3_000);
    let bytes = encoded(&records);
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..500 {
        let mut damaged = bytes.clone();
        let place = rng.usize(HEADER_BYTES..bytes.len());
        damaged[place] ^= 1 << rng.u32(..8);
        let (read, error) = decoded(&damaged);
        assert_eq!(read, records[..read.len()]);
        assert!(error.is_some(), "a bit of byte {place} is wrong");
    }
    for _ in 0..2_000 {
        // Behind a good header and a good checksum, so that records are decoded.
        let payload: Vec<u8> = (0..rng.usize(1..200)).map(|_| rng.u8(..) >> rng.u8(..6)).collect();
        let mut file = header().to_vec();
        file.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        file.extend_from_slice(&crc32(&payload).to_le_bytes());
        file.extend_from_slice(&payload);
        let _ = decoded(&file);
        let _ = decoded(&payload);
    }
}

#[test]
fn what_is_no_trace_is_said() {
    let says = |bytes: &[u8]| decoded(bytes).1.expect("an error").to_string();
    assert_eq!(says(b""), "it is no trace");
    assert_eq!(says(b"{\"at\":1}\n{\"at\":2}\n"), "it is no trace");
    let mut newer = header();
    newer[8] = 2;
    assert_eq!(says(&newer), "it is a trace of version 2; this program knows 1");
    let huge = [&header()[..], &[0xff; 8]].concat();
    assert!(says(&huge).starts_with("it is damaged from byte 16 on: a block cannot have"));
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of CRC-32");
}

#[test]
fn a_word_that_is_too_long_is_cut() {
    let kind: &'static str = Box::leak("ä".repeat(200).into());
    let task = TaskId::default();
    let records = [Record::Event(Time::ZERO, Event::Spawned { task, kind })];
    let (read, error) = decoded(&encoded(&records));
    assert!(error.is_none(), "{error:?}");
    let kind: &'static str = Box::leak("ä".repeat(128).into());
    assert_eq!(read, [Record::Event(Time::ZERO, Event::Spawned { task, kind })]);
}

/// A directory of this test's own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("helloop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn turn(turn: u64) -> Event {
    Event::TurnBegan { turn, ready: 0, timers: 0 }
}

#[test]
fn a_recording_ends_with_everything_in_the_file() {
    let directory = Directory::new("recording");
    let path = directory.0.join("trace");
    let recording = Recording::create(&path, 1 << 20).unwrap();
    let mut observer = recording.observer();
    for n in 0..1_000 {
        observer.event(Time::from_nanos(n), &turn(n));
    }
    drop(observer);
    assert_eq!(recording.finish(), Summary { written: 1_000, lost: 0 });
    let (read, error) = decoded(&std::fs::read(&path).unwrap());
    assert!(error.is_none());
    let expected: Vec<Record> =
        (0..1_000).map(|n| Record::Event(Time::from_nanos(n), turn(n))).collect();
    assert_eq!(read, expected);
    assert!(Recording::create(directory.0.join("no/such/directory"), 1).is_err());
}

#[test]
fn a_full_file_becomes_the_older_one_and_both_have_a_limit() {
    let directory = Directory::new("rotation");
    let path = directory.0.join("trace");
    let older = directory.0.join("trace.1");
    let size_max = 10_000_usize;
    let mut output = file::create(&path, size_max as u64).unwrap();
    let mut block = Vec::new();
    let one = records(3, 100);
    let whole = encoded(&one);
    block.extend_from_slice(&whole[HEADER_BYTES..]);
    let fit = (size_max / 2 - HEADER_BYTES) / block.len();
    assert!(fit >= 1, "{} bytes", block.len());
    for blocks in 1..=5 * fit {
        output.block(&block).unwrap();
        let size = |path| std::fs::metadata(path).map_or(0, |file| file.len());
        assert!(size(&path) + size(&older) <= size_max as u64, "after {blocks} blocks");
        let (read, error) = decoded(&std::fs::read(&path).unwrap());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(read.len(), one.len() * ((blocks - 1) % fit + 1));
    }
    let both = [std::fs::read(&older).unwrap(), std::fs::read(&path).unwrap()].concat();
    assert_eq!(decoded(&both).0.len(), 2 * fit * one.len());
}

fn written(path: &std::path::Path, records: &[Record], blocks: usize) {
    let mut output = file::create(path, 1_000).unwrap();
    let block = &encoded(records)[HEADER_BYTES..];
    (0..blocks).for_each(|_| output.block(block).unwrap());
}

#[test]
fn a_device_is_written_to_and_never_renamed() {
    let directory = Directory::new("device");
    let path = directory.0.join("null");
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    written(&path, &records(3, 100), 5);
    assert_eq!(std::fs::read_link(&path).unwrap(), PathBuf::from("/dev/null"));
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 1);
}

/// A named pipe, if there is a program that makes one.
fn pipe(directory: &Directory) -> PathBuf {
    let path = directory.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is needed");
    path
}

#[test]
fn a_pipe_without_a_reader_holds_nobody_up_and_loses_nothing() {
    let directory = Directory::new("pipe");
    let path = pipe(&directory);
    let recording = Recording::create(&path, 1_000).unwrap();
    let mut observer = recording.observer();
    let expected: Vec<Record> =
        (0..1_000).map(|n| Record::Event(Time::from_nanos(n), turn(n))).collect();
    for n in 0..1_000 {
        observer.event(Time::from_nanos(n), &turn(n));
    }
    drop(observer);
    // Only now somebody comes to read.
    let mut file = File::open(path).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).map(|_| bytes).unwrap()
    });
    assert_eq!(recording.finish(), Summary { written: 1_000, lost: 0 });
    let (read, error) = decoded(&reader.join().unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read, expected);
}

#[test]
fn what_a_pipe_that_nobody_reads_was_to_be_told_is_counted() {
    let directory = Directory::new("unread");
    let recording = Recording::create(pipe(&directory), 1_000).unwrap();
    let mut observer = recording.observer();
    (0..1_000).for_each(|n| observer.event(Time::from_nanos(n), &turn(n)));
    drop(observer);
    assert_eq!(recording.finish(), Summary { written: 0, lost: 1_000 });
}

#[test]
fn each_reader_of_a_pipe_begins_with_a_header() {
    let directory = Directory::new("readers");
    let path = pipe(&directory);
    let mut output = file::create(&path, 1_000).unwrap();
    let (first, second) = (records(3, 10), records(4, 10));
    let block = |records: &[Record]| encoded(records)[HEADER_BYTES..].to_vec();
    // Reads as much as there is of the first block, and leaves.
    let bytes = HEADER_BYTES + block(&first).len();
    let pipe = path.clone();
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; bytes];
        std::io::Read::read_exact(&mut File::open(pipe).unwrap(), &mut read).unwrap();
        read
    });
    output.block(&block(&first)).unwrap();
    assert_eq!(decoded(&reader.join().unwrap()).0, first);
    assert_eq!(output.block(&block(&first)).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let reader = std::thread::spawn(move || std::fs::read(path).unwrap());
    output.block(&block(&second)).unwrap();
    drop(output);
    assert_eq!(decoded(&reader.join().unwrap()).0, second);
}

/// Asks before it takes a block; keeps what it took.
struct Gate {
    asked: Sender<()>,
    answers: Receiver<bool>,
    kept: File,
}

impl Output for Gate {
    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        // Nobody is there any more: take everything.
        let _ = self.asked.send(());
        if self.answers.recv().unwrap_or(true) {
            self.kept.write_all(block)
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}

/// A recording behind a gate, the ends of the gate, and where the trace is.
fn gated(directory: &Directory) -> (Recording, Receiver<()>, Sender<bool>, PathBuf) {
    let path = directory.0.join("trace");
    let mut kept = File::create(&path).unwrap();
    kept.write_all(&header()).unwrap();
    let (asked, asks) = channel();
    let (answer, answers) = channel();
    (Recording::to(Gate { asked, answers, kept }).unwrap(), asks, answer, path)
}

const SLEEP: Event = Event::Waiting { timeout: Timeout::Forever };

#[test]
fn a_loop_never_waits_and_what_is_lost_stands_where_it_is_missing() {
    let directory = Directory::new("slow");
    let (recording, asks, answer, path) = gated(&directory);
    let mut observer = recording.observer();
    observer.event(Time::ZERO, &SLEEP);
    asks.recv().unwrap();
    // The thread is held up. More events than may wait:
    let many = 50_000;
    for n in 1..=many {
        observer.event(Time::from_nanos(n), &turn(n));
    }
    observer.event(Time::from_nanos(many + 1), &SLEEP);
    drop(answer);
    drop(observer);
    let summary = recording.finish();
    let (read, error) = decoded(&std::fs::read(&path).unwrap());
    assert!(error.is_none(), "{error:?}");
    let [first, waited @ .., Record::Gap(lost)] = &read[..] else { panic!("{} read", read.len()) };
    assert_eq!(*first, Record::Event(Time::ZERO, SLEEP));
    assert_eq!(*lost, summary.lost);
    let expected: Vec<Record> =
        (1..=waited.len() as u64).map(|n| Record::Event(Time::from_nanos(n), turn(n))).collect();
    assert_eq!(waited, expected);
    assert_eq!(summary.written + summary.lost, many + 2);
    assert!(waited.len() > 30_000, "{}", waited.len());
}

#[test]
fn a_full_disk_is_a_gap() {
    let directory = Directory::new("full");
    let (recording, asks, answer, path) = gated(&directory);
    let mut observer = recording.observer();
    for (at, is_room) in [true, false, false, true].into_iter().enumerate() {
        let at = Time::from_nanos(at as u64);
        observer.event(at, &turn(1));
        observer.event(at, &SLEEP);
        asks.recv().unwrap();
        answer.send(is_room).unwrap();
    }
    drop(observer);
    assert_eq!(recording.finish(), Summary { written: 4, lost: 4 });
    let both = |at| [turn(1), SLEEP].map(|event| Record::Event(Time::from_nanos(at), event));
    let [first, second] = both(0);
    let [third, fourth] = both(3);
    let (read, _) = decoded(&std::fs::read(&path).unwrap());
    assert_eq!(read, [first, second, Record::Gap(4), third, fourth]);
}
