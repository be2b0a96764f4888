//! Every event as a sentence.

use std::fmt::{self, Display};

use super::{Cause, Event, Flow, Operation, Timeout};
use crate::world::Readiness;

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Event::TurnBegan { turn, ready, timers } => {
                write!(f, "turn {turn} begins: {ready} ready, {timers} timers")
            }
            Event::Waiting { timeout } => write!(f, "wait {timeout}"),
            Event::Waited { sources } => write!(f, "the world reports {sources} sources"),
            Event::Ready { source, readiness } => {
                write!(f, "source {source} is {}", Bits(readiness))
            }
            Event::TimerFired { task, deadline } => {
                write!(f, "the timer of task {task} for {deadline} fires")
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
                write!(f, "task {task} sets a timer for {deadline}")
            }
            Event::TimerCancelled { task, deadline } => {
                write!(f, "the timer of task {task} for {deadline} is cancelled")
            }
            Event::Opened { source, task } => write!(f, "source {source} is opened by task {task}"),
            Event::Accepted { source } => write!(f, "source {source} accepts a connection"),
            Event::Read { source, bytes } => write!(f, "source {source}: read {bytes} bytes"),
            Event::ReadEnd { source } => {
                write!(f, "source {source}: the peer has finished sending")
            }
            Event::Wrote { source, bytes, of } if bytes == of => {
                write!(f, "source {source}: wrote all {bytes} bytes")
            }
            Event::Wrote { source, bytes, of } => {
                write!(f, "source {source}: wrote {bytes} of {of} bytes")
            }
            Event::WouldBlock { source, operation } => {
                write!(f, "source {source}: {operation} would block")
            }
            Event::Shut { source } => write!(f, "source {source}: the write side is shut"),
            Event::Closed { source } => write!(f, "source {source} is closed"),
            Event::Request { task, number, line } => {
                write!(f, "task {task}: request {number} is {}", line.as_str())
            }
            Event::Response { task, number, status, body_bytes } => write!(
                f,
                "task {task}: request {number} is answered {status} with {body_bytes} bytes"
            ),
            Event::Stall { task, kind, took, waiting } => write!(
                f,
                "task {task} ({kind}) held the loop up for {:.3} ms; {waiting} ready tasks waited",
                took.as_secs_f64() * 1e3
            ),
            Event::Ending { task, why } => write!(f, "task {task} ends its connection: {why}"),
        }
    }
}

impl Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::Zero => write!(f, "not at all"),
            Timeout::Until(duration) => write!(f, "at most {:.3} ms", duration.as_secs_f64() * 1e3),
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
    use crate::id::{SourceId, TaskId};

    #[test]
    fn events_are_sentences() {
        let (source, task) = (SourceId::from_bits(1 << 32 | 4), TaskId::default());
        let shows = |event: Event, text: &str| assert_eq!(event.to_string(), text);
        let readiness = Readiness::READABLE | Readiness::READ_CLOSED;
        shows(Event::Ready { source, readiness }, "source 4 is readable, read closed");
        shows(Event::Wrote { source, bytes: 3, of: 3 }, "source 4: wrote all 3 bytes");
        shows(Event::Wrote { source, bytes: 1, of: 3 }, "source 4: wrote 1 of 3 bytes");
        let cause = Cause::TIMER | Cause::WOKEN;
        assert!(Event::Queued { task, cause }.to_string().ends_with("is queued: timer, woken"));
        assert_eq!(Cause::empty().to_string(), "nothing");
    }
}
