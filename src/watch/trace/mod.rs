//! Traces: the events of a loop in a file, compact, written while it runs, read afterwards.
//!
//! A [`Recording`] is an observer and a thread: the loop hands its events over in batches and never
//! waits; the thread encodes and writes them. What it cannot take is counted, and the count stands
//! in the file where the events are missing. A [`Reader`] returns the events, up to the end or
//! to the first damage.
//!
//! ```no_run
//! use helloop::event_loop::EventLoop;
//! use helloop::watch::trace::{Reader, Record, Recording};
//!
//! let mut event_loop = EventLoop::new()?;
//! let recording = Recording::create("loop.trace", 1024 * 1024)?;
//! event_loop.observe(Some(Box::new(recording.observer())));
//! event_loop.handle().call_soon(|_| println!("Hello"));
//! event_loop.run()?;
//! event_loop.observe(None);
//! assert_eq!(recording.finish().lost, 0);
//!
//! for record in Reader::new(std::fs::File::open("loop.trace")?)? {
//!     if let Record::Event(at, event) = record? {
//!         println!("{at} {event}");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The format
#![doc = include_str!("../../../docs/trace-format.md")]

use std::fmt;
use std::io;

use crate::events::Event;
use crate::world::Time;

mod decode;
mod encode;
mod file;
mod recording;

pub use decode::Reader;
pub use encode::Encoder;
pub use recording::{Recording, RecordingObserver, Summary};

/// What a file begins with. The first byte is no ASCII, the last two are a line end: a transfer as
/// text destroys them.
pub const MAGIC: [u8; 8] = *b"\x89hloop\r\n";

/// The version of the format, after the magic.
const VERSION: u16 = 1;

/// Bytes before the first block: magic, version, and six that are zero.
const HEADER_BYTES: usize = 16;

/// Bytes of payload at which a block is finished. A lost block is a few thousand events.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes of payload that a reader accepts in one block: memory that a damaged file may cost.
const BLOCK_BYTES_MAX: usize = 1024 * 1024;

/// Tags that are no events.
const WORD: u8 = 0;
const GAP: u8 = 255;

/// What stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// What happened, and when.
    Event(Time, Event),
    /// So many events happened here and were lost, because they came faster than they were written.
    Gap(u64),
}

/// Why a trace could not be read on.
#[derive(Debug)]
#[non_exhaustive]
pub enum TraceError {
    /// It does not begin like a trace.
    NotATrace,
    /// It is of another version.
    Version(u16),
    /// It ends in the middle of a block: its writer was killed, or the disk was full. All records
    /// before that were given.
    Truncated {
        /// Bytes of the file that were good.
        offset: u64,
    },
    /// What follows is no block of a trace. All records before it were given.
    Damaged {
        /// Where the block begins, in bytes from the beginning of the file.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be read.
    Io(io::Error),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::NotATrace => write!(f, "it is no trace"),
            TraceError::Version(version) => {
                write!(f, "it is a trace of version {version}; this program knows {VERSION}")
            }
            TraceError::Truncated { offset } => {
                write!(f, "it is cut off: what follows byte {offset} is not whole")
            }
            TraceError::Damaged { offset, why } => {
                write!(f, "it is damaged from byte {offset} on: {why}")
            }
            TraceError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let TraceError::Io(error) = self { Some(error) } else { None }
    }
}

/// The header of a file.
fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// The checksum of a block: CRC-32 as in zip, PNG and Ethernet (reflected, polynomial 0x04C11DB7).
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0_u8;
        loop {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[byte as usize] = crc;
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests;
