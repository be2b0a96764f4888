//! Events into bytes.

use std::collections::HashMap;
use std::io;

use super::{BLOCK_BYTES, GAP, WORD, crc32, header};
use crate::event_loop::Flow;
use crate::events::{Event, Excerpt, Operation, Timeout};
use crate::watch::{Value, WORD_BYTES_MAX};
use crate::world::Time;

/// A block that is being filled. Each stands for itself: its words and its times begin anew, so any
/// block of a file may be missing.
#[derive(Debug, Default)]
pub(super) struct Block {
    payload: Vec<u8>,
    /// Records in it that are events.
    pub(super) events: u64,
    /// Events that it says are missing.
    pub(super) missing: u64,
    words: Words,
    /// The moment of the last event, in nanoseconds.
    last: u64,
}

/// The numbers of a block's words, in the order in which they were defined.
#[derive(Debug, Default)]
struct Words {
    /// By address: the program's words do not move, and one that is there twice is just defined twice.
    words: HashMap<(usize, usize), u64>,
    excerpts: HashMap<Excerpt, u64>,
    defined: u64,
}

impl Block {
    pub(super) fn is_full(&self) -> bool {
        self.payload.len() >= BLOCK_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    pub(super) fn gap(&mut self, events: u64) {
        // A forged trace may say any number, and twice.
        self.missing = self.missing.saturating_add(events);
        self.payload.push(GAP);
        put_number(&mut self.payload, events);
    }

    pub(super) fn event(&mut self, at: Time, event: &Event) {
        // Definitions come before the record that needs them.
        event.fields(|_, value| self.define(value));
        let Block { payload, words, last, .. } = self;
        payload.push(event.number());
        // Time does not go back; if it does, this is a large number, and nothing is lost.
        put_number(payload, at.as_nanos().wrapping_sub(*last));
        *last = at.as_nanos();
        event.fields(|_, value| put_value(payload, words, value));
        self.events += 1;
    }

    fn define(&mut self, value: Value) {
        let Words { words, excerpts, defined } = &mut self.words;
        let text = match &value {
            Value::Word(word) if !words.contains_key(&address(word)) => {
                words.insert(address(word), *defined);
                // A reader takes no longer one.
                beginning(word)
            }
            Value::Excerpt(excerpt) if !excerpts.contains_key(excerpt) => {
                excerpts.insert(*excerpt, *defined);
                excerpt.as_str()
            }
            _ => return,
        };
        *defined += 1;
        self.payload.push(WORD);
        put_number(&mut self.payload, text.len() as u64);
        self.payload.extend_from_slice(text.as_bytes());
    }

    /// Appends the block to `out` and begins the next one.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let bytes = u32::try_from(self.payload.len()).expect("a block is finished when it is full");
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&crc32(&self.payload).to_le_bytes());
        out.append(&mut self.payload);
        self.words.words.clear();
        self.words.excerpts.clear();
        (self.words.defined, self.last) = (0, 0);
        (self.events, self.missing) = (0, 0);
    }
}

/// As much of a word as a reader takes.
fn beginning(word: &str) -> &str {
    let fits = |end: &usize| word.is_char_boundary(*end);
    let end = (0..=word.len().min(WORD_BYTES_MAX)).rev().find(fits);
    &word[..end.unwrap_or(0)]
}

fn address(word: &'static str) -> (usize, usize) {
    (word.as_ptr().addr(), word.len())
}

fn put_value(out: &mut Vec<u8>, words: &Words, value: Value) {
    match value {
        Value::Task(task) => put_id(out, task.to_bits()),
        Value::Source(source) => put_id(out, source.to_bits()),
        Value::Number(number) => put_number(out, number),
        Value::Word(word) => put_number(out, words.words[&address(word)]),
        Value::Excerpt(excerpt) => put_number(out, words.excerpts[&excerpt]),
        Value::Readiness(flags) => out.push(flags.bits()),
        Value::Cause(flags) => out.push(flags.bits()),
        Value::Flow(flow) => out.push(match flow {
            Flow::Wait => 0,
            Flow::Again => 1,
            Flow::Done => 2,
        }),
        Value::Operation(operation) => out.push(match operation {
            Operation::Read => 0,
            Operation::Write => 1,
            Operation::Accept => 2,
        }),
        Value::Timeout(Timeout::Zero) => out.push(0),
        Value::Timeout(Timeout::Forever) => out.push(1),
        Value::Timeout(Timeout::Until(duration)) => {
            out.push(2);
            put_number(out, (Time::ZERO + duration).as_nanos());
        }
        Value::Moment(moment) => put_number(out, moment.as_nanos()),
        Value::Span(duration) => put_number(out, (Time::ZERO + duration).as_nanos()),
    }
}

/// The slot, plus one so that the null id is short, and which use of the slot it is.
fn put_id(out: &mut Vec<u8>, bits: u64) {
    put_number(out, ((bits & 0xffff_ffff) + 1) & 0xffff_ffff);
    // Versions of ids are odd.
    put_number(out, bits >> 33);
}

/// LEB128: seven bits a byte, low ones first; the high bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Writes records to `out`, as one trace.
#[derive(Debug)]
pub struct Encoder<W> {
    out: W,
    block: Block,
    /// Finished blocks that were not written; kept for its memory.
    bytes: Vec<u8>,
}

impl<W: io::Write> Encoder<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Encoder<W>> {
        out.write_all(&header())?;
        Ok(Encoder { out, block: Block::default(), bytes: Vec::new() })
    }

    /// Appends an event.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn event(&mut self, at: Time, event: &Event) -> io::Result<()> {
        self.block.event(at, event);
        if self.block.is_full() { self.write() } else { Ok(()) }
    }

    /// Says that so many events are missing here.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn gap(&mut self, events: u64) -> io::Result<()> {
        self.block.gap(events);
        if self.block.is_full() { self.write() } else { Ok(()) }
    }

    /// Ends the trace and returns the output.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.write()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn write(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.block.finish(&mut self.bytes);
        self.out.write_all(&self.bytes)
    }
}
