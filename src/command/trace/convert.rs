//! `helloop trace convert` and `perfetto`: from one form of a trace into another.

use std::io::{self, Write};

use helloop::watch::Perfetto;
use helloop::watch::json;
use helloop::watch::trace::{Encoder, Record};

use super::input::Input;

/// Converts everything; what can be read before an error is written.
///
/// # Errors
/// `Ok(Err(…))` is one of the input, `Err` one of the output.
pub(crate) fn convert(input: Input, out: impl Write) -> io::Result<Result<(), String>> {
    if input.is_binary() { into_lines(input, out) } else { into_binary(input, out) }
}

/// As [`convert`], into what Perfetto reads.
pub(crate) fn into_perfetto(input: Input, out: impl Write) -> io::Result<Result<(), String>> {
    let mut perfetto = Perfetto::new(out)?;
    for record in input {
        match record {
            Ok(Record::Event(at, event)) => perfetto.event(at, &event)?,
            Ok(Record::Gap(events)) => perfetto.gap(events)?,
            // What was read is worth looking at.
            Err(error) => return perfetto.finish().map(|_| Err(error)),
        }
    }
    perfetto.finish().map(|_| Ok(()))
}

fn into_lines(input: Input, mut out: impl Write) -> io::Result<Result<(), String>> {
    let mut line = String::new();
    for record in input {
        let record = match record {
            Ok(record) => record,
            Err(error) => return out.flush().map(|()| Err(error)),
        };
        line.clear();
        match record {
            Record::Event(at, event) => json::write(at, &event, false, &mut line),
            Record::Gap(events) => json::write_gap(events, &mut line),
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush().map(Ok)
}

fn into_binary(input: Input, out: impl Write) -> io::Result<Result<(), String>> {
    let mut encoder = Encoder::new(out)?;
    for record in input {
        match record {
            Ok(Record::Event(at, event)) => encoder.event(at, &event)?,
            Ok(Record::Gap(events)) => encoder.gap(events)?,
            Err(error) => return encoder.finish().map(|_| Err(error)),
        }
    }
    encoder.finish().map(|_| Ok(()))
}
