//! Events taken apart and put together: each has a number, a name, and fields with values.
//!
//! There is one table. An event, or a field, that it lacks does not compile; so whatever writes
//! events down (a trace file, JSON) writes all of them.

use std::fmt;
use std::time::Duration;

use crate::event_loop::{Cause, Flow};
use crate::events::{Event, Excerpt, Operation, Timeout};
use crate::id::{SourceId, TaskId};
use crate::world::{Readiness, Time};

/// What a field of an event holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a type that is documented where it is defined")]
pub enum Value {
    Task(TaskId),
    Source(SourceId),
    /// A count.
    Number(u64),
    /// One of the program's own words: a kind, a state, a reason.
    Word(&'static str),
    Excerpt(Excerpt),
    Readiness(Readiness),
    Cause(Cause),
    Flow(Flow),
    Operation(Operation),
    Timeout(Timeout),
    Moment(Time),
    Span(Duration),
}

/// Which [`Value`] a field wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the variants of `Value`")]
pub enum Kind {
    Task,
    Source,
    Number,
    Word,
    Excerpt,
    Readiness,
    Cause,
    Flow,
    Operation,
    Timeout,
    Moment,
    Span,
}

/// Why an event could not be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError<E> {
    /// No event has this number.
    UnknownEvent(u8),
    /// The value of this field is none that it can have: of another kind, or too large.
    Misfit(&'static str),
    /// What the caller said about a field.
    Field(E),
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::UnknownEvent(number) => write!(f, "there is no event {number}"),
            BuildError::Misfit(field) => write!(f, "the value of `{field}` does not fit"),
            BuildError::Field(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for BuildError<E> {}

/// A type that fields have.
trait Field: Copy {
    const KIND: Kind;
    fn value(self) -> Value;
    /// `None` if the value is of another kind, or too large for this type.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! fields_of_kind {
    ($($kind:ident $type:ty),*) => {
        $(impl Field for $type {
            const KIND: Kind = Kind::$kind;

            fn value(self) -> Value {
                Value::$kind(self)
            }

            fn from_value(value: Value) -> Option<$type> {
                if let Value::$kind(value) = value { Some(value) } else { None }
            }
        })*
    };
}

fields_of_kind! {
    Task TaskId, Source SourceId, Number u64, Word &'static str, Excerpt Excerpt,
    Readiness Readiness, Cause Cause, Flow Flow, Operation Operation, Timeout Timeout,
    Moment Time, Span Duration
}

macro_rules! narrow_numbers {
    ($($type:ty),*) => {
        $(impl Field for $type {
            const KIND: Kind = Kind::Number;

            fn value(self) -> Value {
                // Only a `usize` of more than 64 bits would not fit.
                Value::Number(u64::try_from(self).unwrap_or(u64::MAX))
            }

            fn from_value(value: Value) -> Option<$type> {
                if let Value::Number(value) = value { value.try_into().ok() } else { None }
            }
        })*
    };
}

narrow_numbers! { usize, u32, u16 }

fn field<T: Field, E>(
    name: &'static str,
    find: &mut impl FnMut(&'static str, Kind) -> Result<Value, E>,
) -> Result<T, BuildError<E>> {
    let value = find(name, T::KIND).map_err(BuildError::Field)?;
    T::from_value(value).ok_or(BuildError::Misfit(name))
}

macro_rules! vocabulary {
    ($($number:literal $name:literal $variant:ident { $($field:ident),* })*) => {
        impl Event {
            /// Its number in trace files: it never changes, and is not used again.
            pub fn number(&self) -> u8 {
                match self {
                    $(Event::$variant { .. } => $number,)*
                }
            }

            /// Its name: `turn_began`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Event::$variant { .. } => $name,)*
                }
            }

            /// The number of the event with this name.
            pub fn number_of(name: &str) -> Option<u8> {
                match name {
                    $($name => Some($number),)*
                    _ => None,
                }
            }

            /// Calls `visit` with the name and the value of each field, in their order.
            #[inline]
            pub fn fields(&self, mut visit: impl FnMut(&'static str, Value)) {
                match *self {
                    $(Event::$variant { $($field),* } => {
                        $(visit(stringify!($field), $field.value());)*
                    })*
                }
            }

            /// Puts an event together: `find` is asked for each field, in their order.
            ///
            /// # Errors
            /// When there is no event with this number, when a value does not fit, and what
            /// `find` says.
            #[inline]
            pub fn build<E>(
                number: u8,
                mut find: impl FnMut(&'static str, Kind) -> Result<Value, E>,
            ) -> Result<Event, BuildError<E>> {
                match number {
                    $($number => Ok(Event::$variant {
                        $($field: field(stringify!($field), &mut find)?),*
                    }),)*
                    _ => Err(BuildError::UnknownEvent(number)),
                }
            }
        }
    };
}

vocabulary! {
    1 "turn_began" TurnBegan { turn, ready, timers }
    2 "waiting" Waiting { timeout }
    3 "waited" Waited { sources }
    4 "ready" Ready { source, readiness }
    5 "timer_fired" TimerFired { task, deadline }
    6 "queued" Queued { task, cause }
    7 "resumed" Resumed { task, kind, cause }
    8 "suspended" Suspended { task, flow }
    9 "spawned" Spawned { task, kind }
    10 "finished" Finished { task, kind }
    11 "panicked" Panicked { task, kind }
    12 "state" State { task, from, to }
    13 "timer_set" TimerSet { task, deadline }
    14 "timer_cancelled" TimerCancelled { task, deadline }
    15 "opened" Opened { source, task }
    16 "accepted" Accepted { source }
    17 "read" Read { source, bytes }
    18 "read_end" ReadEnd { source }
    19 "wrote" Wrote { source, bytes, of }
    20 "would_block" WouldBlock { source, operation }
    21 "shut" Shut { source }
    22 "closed" Closed { source }
    23 "request" Request { task, number, line }
    24 "response" Response { task, number, status, body_bytes }
    25 "stall" Stall { task, kind, took, waiting }
    26 "ending" Ending { task, why }
    27 "blamed" Blamed { task, place, longest, waited }
    28 "long_turn" LongTurn { took, resumed, task, most }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any value of a kind.
    fn some(kind: Kind) -> Value {
        match kind {
            Kind::Task => Value::Task(TaskId::from_bits(3 << 32 | 5)),
            Kind::Source => Value::Source(SourceId::from_bits(1 << 32 | 4)),
            Kind::Number => Value::Number(7),
            Kind::Word => Value::Word("word"),
            Kind::Excerpt => Value::Excerpt(Excerpt::of(&["GET /"])),
            Kind::Readiness => Value::Readiness(Readiness::WRITABLE),
            Kind::Cause => Value::Cause(Cause::TIMER),
            Kind::Flow => Value::Flow(Flow::Again),
            Kind::Operation => Value::Operation(Operation::Accept),
            Kind::Timeout => Value::Timeout(Timeout::Until(Duration::from_nanos(8))),
            Kind::Moment => Value::Moment(Time::from_nanos(9)),
            Kind::Span => Value::Span(Duration::from_nanos(10)),
        }
    }

    fn of_number(number: u8) -> Result<Event, BuildError<&'static str>> {
        Event::build(number, |_, kind| Ok(some(kind)))
    }

    #[test]
    fn every_event_is_its_number_its_name_and_its_fields() {
        let mut number = 1;
        while let Ok(event) = of_number(number) {
            assert_eq!((event.number(), Event::number_of(event.name())), (number, Some(number)));
            let mut found = Vec::new();
            event.fields(|name, value| found.push((name, value)));
            assert!(found.iter().all(|(name, _)| format!("{event:?}").contains(name)), "{event:?}");
            let mut rest = found.iter();
            let again = Event::build(number, |wanted, _| {
                let (name, value) = rest.next().ok_or("too few")?;
                if *name == wanted { Ok(*value) } else { Err("out of order") }
            });
            assert_eq!((again, rest.next()), (Ok(event), None));
            number += 1;
        }
        assert!(number > 28, "the last number is {}", number - 1);
        assert_eq!(of_number(0), Err(BuildError::UnknownEvent(0)));
        assert_eq!(Event::number_of("Waited"), None);
    }

    #[test]
    fn a_name_is_that_of_the_variant() {
        for event in (1..).map_while(|number| of_number(number).ok()) {
            let debug = format!("{event:?}");
            let variant = debug.split(' ').next().unwrap();
            let mut snake = String::new();
            for letter in variant.chars() {
                if letter.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            assert_eq!(event.name(), snake);
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let status = |status| {
            Event::build(24, |name, kind| {
                Ok::<_, ()>(if name == "status" { Value::Number(status) } else { some(kind) })
            })
        };
        assert!(status(65_535).is_ok());
        assert_eq!(status(65_536), Err(BuildError::Misfit("status")));
        let wrong = Event::build(3, |_, _| Ok::<_, ()>(Value::Word("three")));
        assert_eq!(wrong, Err(BuildError::Misfit("sources")));
        assert_eq!(Event::build(3, |_, _| Err("gone")), Err(BuildError::Field("gone")));
    }
}
