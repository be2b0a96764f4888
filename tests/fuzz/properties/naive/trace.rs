//! A trace file, as `docs/trace-format.md` has it.

use std::str::FromStr;
use std::time::Duration;

use helloop::event_loop::{Cause, Flow};
use helloop::events::{Event, Excerpt, Operation, Timeout};
use helloop::watch::trace::{MAGIC, Record};
use helloop::watch::{Kind, Value, intern};
use helloop::world::{Readiness, Time};

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    NotATrace,
    Version,
    /// Within something.
    Cut,
    Damaged,
}

/// The records of a file, and how it ends behind them.
pub(crate) fn trace(file: &[u8]) -> (Vec<Record>, End) {
    let mut records = Vec::new();
    if file.len() < 16 || file[..8] != MAGIC {
        return (records, End::NotATrace);
    }
    let mut rest = file;
    loop {
        if rest.is_empty() {
            return (records, End::Whole);
        }
        let Some(frame) = rest.get(..8) else { return (records, End::Cut) };
        if frame == MAGIC {
            let Some(header) = rest.get(..16) else { return (records, End::Cut) };
            if header[8..10] != [1, 0] {
                return (records, End::Version);
            }
            rest = &rest[16..];
            continue;
        }
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let (length, sum) = (number(&frame[..4]) as usize, number(&frame[4..]));
        if length == 0 || length > 1024 * 1024 {
            return (records, End::Damaged);
        }
        let there = &rest[8..rest.len().min(8 + length)];
        let is_cut = there.len() < length;
        if !is_cut && crc32(there) != sum {
            return (records, End::Damaged);
        }
        match (block(there, &mut records), is_cut) {
            (Err(Stop::Wrong), _) | (Err(Stop::Short), false) => return (records, End::Damaged),
            (Err(Stop::Short) | Ok(()), true) => return (records, End::Cut),
            (Ok(()), false) => rest = &rest[8 + length..],
        }
    }
}

/// Bit by bit: the polynomial of zip, reflected.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc % 2 == 1 { (crc / 2) ^ 0xEDB8_8320 } else { crc / 2 };
        }
    }
    !crc
}

enum Stop {
    /// There is no more.
    Short,
    Wrong,
}

fn block(mut payload: &[u8], records: &mut Vec<Record>) -> Result<(), Stop> {
    let (mut words, mut last) = (Vec::<&str>::new(), 0_u64);
    while let Some((tag, rest)) = payload.split_first() {
        payload = rest;
        match tag {
            0 => {
                let length = usize::try_from(number(&mut payload)?).map_err(|_| Stop::Wrong)?;
                if length > 256 {
                    return Err(Stop::Wrong);
                }
                words.push(str::from_utf8(take(&mut payload, length)?).map_err(|_| Stop::Wrong)?);
            }
            255 => records.push(Record::Gap(number(&mut payload)?)),
            tag => {
                last = last.wrapping_add(number(&mut payload)?);
                let event = Event::build(*tag, |_, kind| field(&mut payload, kind, &words));
                let event = event.map_err(|error| match error {
                    helloop::watch::BuildError::Field(stop) => stop,
                    _ => Stop::Wrong,
                })?;
                records.push(Record::Event(Time::from_nanos(last), event));
            }
        }
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Stop> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Stop::Short)?;
    *bytes = rest;
    Ok(taken)
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Stop> {
    take(bytes, 1).map(|taken| taken[0])
}

fn number(bytes: &mut &[u8]) -> Result<u64, Stop> {
    let mut number = 0_u128;
    // Ten times seven bits are more than there are.
    for place in 0..10 {
        let byte = byte(bytes)?;
        number += u128::from(byte % 128) << (7 * place);
        if number > u128::from(u64::MAX) {
            return Err(Stop::Wrong);
        }
        if byte < 128 {
            return u64::try_from(number).map_err(|_| Stop::Wrong);
        }
    }
    Err(Stop::Wrong)
}

/// By the text that it is shown as.
fn id<T: FromStr>(bytes: &mut &[u8]) -> Result<T, Stop> {
    let (slot, used) = (number(bytes)?, number(bytes)?);
    let slot = u32::try_from(slot).map_err(|_| Stop::Wrong)?.wrapping_sub(1);
    let text = match used {
        0 => slot.to_string(),
        _ => format!("{slot}.{}", u128::from(used) + 1),
    };
    text.parse().map_err(|_| Stop::Wrong)
}

fn field(bytes: &mut &[u8], kind: Kind, words: &[&str]) -> Result<Value, Stop> {
    let word = |bytes: &mut &[u8]| {
        let number = usize::try_from(number(bytes)?).map_err(|_| Stop::Wrong)?;
        words.get(number).copied().ok_or(Stop::Wrong)
    };
    Ok(match kind {
        Kind::Task => Value::Task(id(bytes)?),
        Kind::Source => Value::Source(id(bytes)?),
        Kind::Number => Value::Number(number(bytes)?),
        Kind::Word => Value::Word(intern(word(bytes)?).ok_or(Stop::Wrong)?),
        Kind::Excerpt => Value::Excerpt(Excerpt::of(&[word(bytes)?])),
        Kind::Readiness => Value::Readiness(Readiness::from_bits(byte(bytes)?).ok_or(Stop::Wrong)?),
        Kind::Cause => Value::Cause(Cause::from_bits(byte(bytes)?).ok_or(Stop::Wrong)?),
        Kind::Flow => match byte(bytes)? {
            0 => Value::Flow(Flow::Wait),
            1 => Value::Flow(Flow::Again),
            2 => Value::Flow(Flow::Done),
            _ => return Err(Stop::Wrong),
        },
        Kind::Operation => match byte(bytes)? {
            0 => Value::Operation(Operation::Read),
            1 => Value::Operation(Operation::Write),
            2 => Value::Operation(Operation::Accept),
            _ => return Err(Stop::Wrong),
        },
        Kind::Timeout => match byte(bytes)? {
            0 => Value::Timeout(Timeout::Zero),
            1 => Value::Timeout(Timeout::Forever),
            2 => Value::Timeout(Timeout::Until(Duration::from_nanos(number(bytes)?))),
            _ => return Err(Stop::Wrong),
        },
        Kind::Moment => Value::Moment(Time::from_nanos(number(bytes)?)),
        Kind::Span => Value::Span(Duration::from_nanos(number(bytes)?)),
    })
}
