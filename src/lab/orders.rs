//! How a loop is to go on: what the buttons of a page say.

use std::time::Duration;

use super::message::Refused;
use crate::TaskId;
use crate::events::Event;

/// Slow motion is at most so slow.
const DWELL_MAX: Duration = Duration::from_secs(10);

/// How the watched loop is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// By itself.
    On,
    /// Not at all.
    Paused,
    /// To the next moment of this kind, where it pauses.
    Step(Unit),
    /// Until this has happened; then it pauses.
    Until(Until),
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// At most one resume.
    Resume,
    /// The rest of the turn.
    Turn,
}

/// What is run until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Accept,
    WouldBlock,
    Stall,
    /// This task is about to be resumed.
    Resume(TaskId),
}

impl Until {
    /// Whether an event is what is waited for. A resume is seen before it happens.
    pub(super) fn is(self, event: &Event) -> bool {
        match self {
            Until::Accept => matches!(event, Event::Accepted { .. }),
            Until::WouldBlock => matches!(event, Event::WouldBlock { .. }),
            Until::Stall => matches!(event, Event::Stall { .. }),
            Until::Resume(_) => false,
        }
    }
}

/// What a page orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To go on in this way, and why it is held when that ends in a pause.
    Go(Going, &'static str),
    /// To hold each turn for so long.
    Slow(Duration),
}

impl Order {
    /// What `POST do/WHAT?QUERY` orders; `None` if that is another command.
    pub(super) fn of(what: &str, query: &str) -> Option<Result<Order, Refused>> {
        Some(Ok(match what {
            "pause" => Order::Go(Going::Paused, "pause"),
            "resume" => Order::Go(Going::On, ""),
            "step-resume" => Order::Go(Going::Step(Unit::Resume), "step"),
            "step-turn" => Order::Go(Going::Step(Unit::Turn), "step"),
            "until" => {
                return Some(until(query).map(|until| Order::Go(Going::Until(until), "until")));
            }
            "slow" => return Some(dwell(query).map(Order::Slow)),
            _ => return None,
        }))
    }
}

fn until(query: &str) -> Result<Until, Refused> {
    match parameter(query, "what") {
        Some("accept") => Ok(Until::Accept),
        Some("would-block") => Ok(Until::WouldBlock),
        Some("stall") => Ok(Until::Stall),
        Some("connection") => {
            let task = parameter(query, "task").and_then(|task| task.parse().ok());
            task.map(Until::Resume)
                .ok_or_else(|| Refused::Query("task= is no task, such as 5.2".into()))
        }
        _ => Err(Refused::Query("what= is accept, would-block, stall or connection".into())),
    }
}

fn dwell(query: &str) -> Result<Duration, Refused> {
    let millis = parameter(query, "dwell_ms").and_then(|millis| millis.parse().ok());
    let dwell = millis.map(Duration::from_millis).filter(|dwell| *dwell <= DWELL_MAX);
    dwell.ok_or_else(|| Refused::Query("dwell_ms= is a number from 0 to 10000".into()))
}

/// The value of `name` in `name=value&other=value`. Nothing here needs percent-decoding.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_parameters() {
        assert_eq!(parameter("what=connection&task=5.2", "task"), Some("5.2"));
        assert_eq!(parameter("what=connection&task=5.2", "what"), Some("connection"));
        assert_eq!(parameter("whatever=1", "what"), None);
        assert_eq!(parameter("", "what"), None);
    }
}
