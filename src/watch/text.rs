//! Every event as a sentence.

use std::fmt::{self, Display};

use crate::event_loop::{Cause, Flow};
use crate::events::{Event, Operation, Timeout};
use crate::id::TaskId;
use crate::printable::Printable;
use crate::world::{Readiness, Time};

/// One line, which sends nothing to a terminal: the words of an event may come from a file.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(Sentence(self)).fmt(f)
    }
}

struct Sentence<'a>(&'a Event);

impl Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Event::TurnBegan { turn, ready, timers } => {
                let timers = Count(timers, "timer");
                write!(f, "turn {turn} begins: {} ready, {timers}", Count(ready, "task"))
            }
            Event::Waiting { timeout } => write!(f, "wait {timeout}"),
            Event::Waited { sources: 0 } => write!(f, "the world reports nothing"),
            Event::Waited { sources } => {
                write!(f, "the world reports {}", Count(sources, "source"))
            }
            Event::Ready { source, readiness } => {
                write!(f, "source {source} is {}", Bits(readiness))
            }
            Event::TimerFired { task, deadline } => {
                write!(f, "the timer of task {task} for {} ms fires", Millis(deadline))
            }
            Event::Queued { task, cause } => write!(f, "task {task} is queued: {cause}"),
            Event::Resumed { task, kind, cause } => {
                write!(f, "task {task} ({kind}) is resumed: {cause}")
            }
            Event::Suspended { task, flow } => write!(f, "task {task} {flow}"),
            Event::Spawned { task, kind } => write!(f, "task {task} ({kind}) is spawned"),
            Event::Finished { task, kind } => write!(f, "task {task} ({kind}) is gone"),
            Event::Panicked { task, kind } => write!(f, "task {task} ({kind}) panicked"),
            Event::State { task, from, to } => write!(f, "task {task} goes from {from} to {to}"),
            Event::TimerSet { task, deadline } => {
                write!(f, "task {task} sets a timer for {} ms", Millis(deadline))
            }
            Event::TimerCancelled { task, deadline } => {
                write!(f, "the timer of task {task} for {} ms is cancelled", Millis(deadline))
            }
            Event::Opened { source, task } if task == TaskId::default() => {
                write!(f, "source {source} is opened, for a task that is still to come")
            }
            Event::Opened { source, task } => write!(f, "source {source} is opened by task {task}"),
            Event::Accepted { source } => write!(f, "source {source} accepts a connection"),
            Event::Read { source, bytes } => {
                write!(f, "source {source}: read {}", Count(bytes, "byte"))
            }
            Event::ReadEnd { source } => {
                write!(f, "source {source}: the peer has finished sending")
            }
            Event::Wrote { source, bytes, of } if bytes == of => {
                write!(f, "source {source}: wrote {}, all of it", Count(bytes, "byte"))
            }
            Event::Wrote { source, bytes, of } => {
                write!(f, "source {source}: wrote {bytes} of {}", Count(of, "byte"))
            }
            Event::WouldBlock { source, operation } => {
                write!(f, "source {source}: {operation} would block")
            }
            Event::Shut { source } => write!(f, "source {source}: the write side is shut"),
            Event::Closed { source } => write!(f, "source {source} is closed"),
            Event::Request { task, number, line } => {
                write!(f, "task {task}: request {number} is {}", line.as_str())
            }
            Event::Response { task, number, status, body_bytes } => {
                let body = Count(body_bytes, "byte");
                write!(f, "task {task}: request {number} is answered {status} with {body}")
            }
            Event::Stall { task, kind, took, waiting } => {
                let (took, waiting) = (Millis(Time::ZERO + took), Count(waiting, "ready task"));
                write!(f, "task {task} ({kind}) held the loop up for {took} ms; {waiting} waited")
            }
            Event::Blamed { task, place, longest, waited } => {
                let comma = if place.is_empty() { "" } else { ", " };
                write!(f, "to blame: task {task}{comma}{place}")?;
                if waited.is_zero() {
                    return Ok(());
                }
                write!(f, "; task {longest} waited longest: {} ms", Millis(Time::ZERO + waited))
            }
            Event::LongTurn { took, resumed, task, most } => {
                let (took, most) = (Millis(Time::ZERO + took), Millis(Time::ZERO + most));
                let tasks = Count(resumed, "task");
                write!(f, "the turn took {took} ms for {tasks}, task {task} {most} ms of it")
            }
            Event::Ending { task, why } => write!(f, "task {task} ends its connection: {why}"),
        }
    }
}

impl Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::Zero => write!(f, "not at all"),
            Timeout::Until(duration) => {
                write!(f, "at most {} ms", Millis(Time::ZERO + *duration))
            }
            Timeout::Forever => write!(f, "for ever"),
        }
    }
}

impl Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::Wait => "waits",
            Flow::Again => "wants to go on",
            Flow::Done => "is done",
        })
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Accept => "accept",
        })
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.iter_names().map(|(name, _)| name))
    }
}

/// `1 byte`, `2 bytes`.
pub(super) struct Count(pub(super) usize, pub(super) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// A moment as the milliseconds since the loop began: `12.345`.
pub(super) struct Millis(pub(super) Time);

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_nanos() / 1_000;
        f.pad(&format!("{}.{:03}", micros / 1_000, micros % 1_000))
    }
}

/// `Readiness` for people.
struct Bits(Readiness);

impl Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter_names().map(|(name, _)| name))
    }
}

/// Writes `READ_CLOSED`, `WRITABLE` as `read closed, writable`.
fn list<'a>(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut separator = "";
    for name in names {
        write!(f, "{separator}{}", name.to_ascii_lowercase().replace('_', " "))?;
        separator = ", ";
    }
    if separator.is_empty() { f.write_str("nothing") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SourceId;

    #[test]
    fn events_are_sentences() {
        let (source, task) = (SourceId::from_bits(1 << 32 | 4), TaskId::default());
        let shows = |event: Event, text: &str| assert_eq!(event.to_string(), text);
        let readiness = Readiness::READABLE | Readiness::READ_CLOSED;
        shows(Event::Ready { source, readiness }, "source 4 is readable, read closed");
        shows(Event::Wrote { source, bytes: 3, of: 3 }, "source 4: wrote 3 bytes, all of it");
        shows(Event::Wrote { source, bytes: 1, of: 3 }, "source 4: wrote 1 of 3 bytes");
        shows(Event::Read { source, bytes: 1 }, "source 4: read 1 byte");
        let deadline = Time::from_nanos(30_001_234_567);
        assert!(Event::TimerSet { task, deadline }.to_string().ends_with("for 30001.234 ms"));
        let cause = Cause::TIMER | Cause::WOKEN;
        assert!(Event::Queued { task, cause }.to_string().ends_with("is queued: timer, woken"));
        assert_eq!(Cause::empty().to_string(), "nothing");
        let connecting = "source 4 is opened, for a task that is still to come";
        shows(Event::Opened { source, task }, connecting);
        let why = "\u{1b}]0;title\u{7}\r\n\u{9b}2J";
        let ending = Event::Ending { task, why }.to_string();
        assert!(
            ending.ends_with("its connection: \\u{1b}]0;title\\u{7}\\r\\n\\u{9b}2J"),
            "{ending}"
        );
    }
}
