//! Bytes into events.

use std::io::{self, Read};
use std::time::Duration;

use super::{BLOCK_BYTES_MAX, GAP, HEADER_BYTES, MAGIC, Record, TraceError, VERSION, WORD, crc32};
use crate::event_loop::{Cause, Flow};
use crate::events::{Event, Excerpt, Operation, Timeout};
use crate::id::{SourceId, TaskId};
use crate::watch::{BuildError, Kind, Value};
use crate::watch::{WORD_BYTES_MAX, intern};
use crate::world::{Readiness, Time};

/// Reads a trace, record by record. After an error there is nothing more.
///
/// Traces may be concatenated: `cat FILE.1 FILE`.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes of the input that were read and are good.
    offset: u64,
    /// The payload of the present block.
    payload: Vec<u8>,
    /// `payload[..at]` was decoded.
    at: usize,
    /// The file ends within the present block, of which the beginning is there.
    is_cut: bool,
    words: Vec<Word>,
    last: u64,
    has_ended: bool,
}

/// A word of the present block.
#[derive(Debug)]
struct Word {
    text: String,
    /// Made when it is first needed; an excerpt never is.
    interned: Option<&'static str>,
}

/// Why a record cannot be decoded.
enum Stop {
    /// The payload ends within it.
    Short,
    Wrong(&'static str),
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When that is not the header of a trace, or is one of another version.
    pub fn new(mut input: R) -> Result<Reader<R>, TraceError> {
        let mut header = [0; HEADER_BYTES];
        let bytes = fill(&mut input, &mut header).map_err(TraceError::Io)?;
        check_header(&header[..bytes])?;
        Ok(Reader {
            input,
            offset: HEADER_BYTES as u64,
            payload: Vec::new(),
            at: 0,
            is_cut: false,
            words: Vec::new(),
            last: 0,
            has_ended: false,
        })
    }

    fn read(&mut self) -> Result<Option<Record>, TraceError> {
        loop {
            while self.at < self.payload.len() {
                let before = self.at;
                match self.record() {
                    Ok(None) => {}
                    Ok(record) => return Ok(record),
                    Err(Stop::Short) if self.is_cut => {
                        return Err(TraceError::Truncated { offset: self.offset + before as u64 });
                    }
                    Err(Stop::Short) => return Err(self.damaged("a record is longer than it")),
                    Err(Stop::Wrong(why)) => return Err(self.damaged(why)),
                }
            }
            if self.is_cut {
                return Err(TraceError::Truncated { offset: self.offset + self.at as u64 });
            }
            if !self.next_block()? {
                return Ok(None);
            }
        }
    }

    fn damaged(&self, why: impl Into<String>) -> TraceError {
        TraceError::Damaged { offset: self.offset, why: why.into() }
    }

    /// Reads the next block. False at the end of the file.
    fn next_block(&mut self) -> Result<bool, TraceError> {
        if !self.payload.is_empty() {
            self.offset += 8 + self.payload.len() as u64;
        }
        self.payload.clear();
        self.words.clear();
        (self.at, self.last) = (0, 0);
        let mut frame = [0; 8];
        // A loop, not a call of itself: a file may hold nothing but headers, and as many as it likes.
        loop {
            let bytes = fill(&mut self.input, &mut frame).map_err(TraceError::Io)?;
            if bytes == 0 {
                return Ok(false);
            }
            if bytes < frame.len() {
                return Err(TraceError::Truncated { offset: self.offset });
            }
            if frame != MAGIC {
                break;
            }
            self.next_header()?;
        }
        let [a, b, c, d, crc @ ..] = frame;
        self.read_payload(u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(crc))?;
        Ok(true)
    }

    /// Another trace begins.
    fn next_header(&mut self) -> Result<(), TraceError> {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        let bytes = 8 + fill(&mut self.input, &mut header[8..]).map_err(TraceError::Io)?;
        if bytes < HEADER_BYTES {
            return Err(TraceError::Truncated { offset: self.offset });
        }
        self.offset += HEADER_BYTES as u64;
        check_header(&header)
    }

    fn read_payload(&mut self, bytes: u32, crc: u32) -> Result<(), TraceError> {
        let bytes = bytes as usize;
        if bytes == 0 || bytes > BLOCK_BYTES_MAX {
            return Err(self.damaged(format!("a block cannot have {bytes} bytes")));
        }
        self.payload.resize(bytes, 0);
        let there = fill(&mut self.input, &mut self.payload).map_err(TraceError::Io)?;
        if there < bytes {
            // What is there of it is given; every record says itself where it ends.
            self.payload.truncate(there);
            self.is_cut = true;
            self.offset += 8;
        } else if crc32(&self.payload) != crc {
            self.payload.clear();
            return Err(self.damaged("the checksum of the block is wrong"));
        }
        Ok(())
    }

    /// Decodes one record; `None` for the definition of a word.
    fn record(&mut self) -> Result<Option<Record>, Stop> {
        let mut bytes = Bytes(&self.payload[self.at..]);
        let record = match bytes.byte()? {
            WORD => {
                let length = bytes.number()?;
                if length > WORD_BYTES_MAX as u64 {
                    return Err(Stop::Wrong("a word is too long"));
                }
                let text = bytes.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                let text = str::from_utf8(text).map_err(|_| Stop::Wrong("a word is no text"))?;
                self.words.push(Word { text: text.into(), interned: None });
                None
            }
            GAP => Some(Record::Gap(bytes.number()?)),
            number => {
                let at = self.last.wrapping_add(bytes.number()?);
                let words = &mut self.words;
                let event = Event::build(number, |_, kind| bytes.value(kind, words));
                let event = event.map_err(|error| match error {
                    BuildError::Field(stop) => stop,
                    BuildError::UnknownEvent(_) => Stop::Wrong("it has an unknown event"),
                    BuildError::Misfit(_) => Stop::Wrong("a number does not fit"),
                })?;
                self.last = at;
                Some(Record::Event(Time::from_nanos(at), event))
            }
        };
        self.at = self.payload.len() - bytes.0.len();
        Ok(record)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Result<Record, TraceError>> {
        if self.has_ended {
            return None;
        }
        let next = self.read().transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn check_header(header: &[u8]) -> Result<(), TraceError> {
    if !header.starts_with(&MAGIC) || header.len() < HEADER_BYTES {
        return Err(TraceError::NotATrace);
    }
    match u16::from_le_bytes([header[8], header[9]]) {
        VERSION => Ok(()),
        other => Err(TraceError::Version(other)),
    }
}

/// As `read_exact`, but returns how much there was.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What is left of a payload.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Result<u8, Stop> {
        let (&byte, rest) = self.0.split_first().ok_or(Stop::Short)?;
        self.0 = rest;
        Ok(byte)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Stop::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Stop> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Stop::Wrong("a number has more than 64 bits"))
    }

    fn id(&mut self) -> Result<u64, Stop> {
        let (slot, generation) = (self.number()?, self.number()?);
        if slot > u64::from(u32::MAX) || generation > u64::from(u32::MAX >> 1) {
            return Err(Stop::Wrong("an id is too large"));
        }
        let slot = slot.wrapping_sub(1) & 0xffff_ffff;
        Ok((generation * 2 + 1) << 32 | slot)
    }

    fn value(&mut self, kind: Kind, words: &mut [Word]) -> Result<Value, Stop> {
        let unknown = || Stop::Wrong("a flag or a choice is unknown");
        Ok(match kind {
            Kind::Task => Value::Task(TaskId::from_bits(self.id()?)),
            Kind::Source => Value::Source(SourceId::from_bits(self.id()?)),
            Kind::Number => Value::Number(self.number()?),
            Kind::Word => Value::Word(self.word(words)?.intern()?),
            Kind::Excerpt => Value::Excerpt(Excerpt::of(&[&self.word(words)?.text])),
            Kind::Readiness => {
                Value::Readiness(Readiness::from_bits(self.byte()?).ok_or_else(unknown)?)
            }
            Kind::Cause => Value::Cause(Cause::from_bits(self.byte()?).ok_or_else(unknown)?),
            Kind::Flow => Value::Flow(match self.byte()? {
                0 => Flow::Wait,
                1 => Flow::Again,
                2 => Flow::Done,
                _ => return Err(unknown()),
            }),
            Kind::Operation => Value::Operation(match self.byte()? {
                0 => Operation::Read,
                1 => Operation::Write,
                2 => Operation::Accept,
                _ => return Err(unknown()),
            }),
            Kind::Timeout => Value::Timeout(match self.byte()? {
                0 => Timeout::Zero,
                1 => Timeout::Forever,
                2 => Timeout::Until(Duration::from_nanos(self.number()?)),
                _ => return Err(unknown()),
            }),
            Kind::Moment => Value::Moment(Time::from_nanos(self.number()?)),
            Kind::Span => Value::Span(Duration::from_nanos(self.number()?)),
        })
    }

    fn word<'w>(&mut self, words: &'w mut [Word]) -> Result<&'w mut Word, Stop> {
        let number = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        words.get_mut(number).ok_or(Stop::Wrong("a word is not defined"))
    }
}

impl Word {
    fn intern(&mut self) -> Result<&'static str, Stop> {
        if self.interned.is_none() {
            self.interned = intern(&self.text);
        }
        self.interned.ok_or(Stop::Wrong("there are too many different words"))
    }
}
