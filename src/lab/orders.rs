//! How a loop is to go on: what the buttons of a page say.

use std::time::Duration;

use super::message::Refused;
use crate::TaskId;
use crate::events::Event;
use crate::server::MACHINES;

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
    /// An event with this number; if it is a change of state, and that is asked, one to this state.
    Event {
        number: u8,
        to: Option<&'static str>,
    },
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
            Until::Event { number, to } => {
                let leads = |wanted| matches!(event, Event::State { to, .. } if *to == wanted);
                event.number() == number && to.is_none_or(leads)
            }
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
        Some("event") => event(query),
        _ => Err(Refused::Query("what= is accept, would-block, stall, event or connection".into())),
    }
}

/// `name=state&to=receiving-head`
fn event(query: &str) -> Result<Until, Refused> {
    let number = parameter(query, "name").and_then(Event::number_of);
    let number =
        number.ok_or_else(|| Refused::Query("name= is no event, such as accepted".into()))?;
    let Some(name) = parameter(query, "to") else {
        return Ok(Until::Event { number, to: None });
    };
    let mut states = MACHINES.iter().flat_map(|machine| machine.states);
    let state = states.find(|state| state.name.replace(' ', "-") == name);
    let state =
        state.ok_or_else(|| Refused::Query("to= is no state, such as receiving-head".into()))?;
    Ok(Until::Event { number, to: Some(state.name) })
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
    fn an_event_is_waited_for_by_its_name() {
        let going = |query| match Order::of("until", query) {
            Some(Ok(Order::Go(Going::Until(until), _))) => until,
            other => panic!("{other:?}"),
        };
        let flushes = going("what=event&name=state&to=flushing");
        let state = |to| Event::State { task: TaskId::default(), from: "idle", to };
        assert!(flushes.is(&state("flushing")) && !flushes.is(&state("closed")));
        assert!(!flushes.is(&Event::Waited { sources: 1 }));
        assert!(going("what=event&name=waited").is(&Event::Waited { sources: 1 }));
        for query in ["what=event", "what=event&name=x", "what=event&name=state&to=x"] {
            assert!(matches!(Order::of("until", query), Some(Err(Refused::Query(_)))), "{query}");
        }
    }

    #[test]
    fn a_query_has_parameters() {
        assert_eq!(parameter("what=connection&task=5.2", "task"), Some("5.2"));
        assert_eq!(parameter("what=connection&task=5.2", "what"), Some("connection"));
        assert_eq!(parameter("whatever=1", "what"), None);
        assert_eq!(parameter("", "what"), None);
    }
}
