//! Exercises whose answer is a moment: each lesson of the page ends with one.
//!
//! An answer is judged by replay. The world is made anew from its recipe and goes to the moment that was handed in; what
//! happened on the way, how the loop stands, and what the next step does are held against conditions. The first one
//! that is not met is named, and the page has a sentence for it.

use super::recipe::{Deed, Recipe};
use super::{History, Stuck};
use crate::TaskId;
use crate::event_loop::Cause;
use crate::events::{Event, Operation};
use crate::lab::scenario::Scenario;
use crate::watch::{Snapshot, TaskView};
use crate::world::Time;

/// Kinds of tasks.
const ACCEPTOR: &str = "acceptor";
const CONNECTION: &str = "connection";

/// Events before the moment that are looked at, at most: the oldest are forgotten.
const EVENTS_MAX: usize = 50_000;

/// What the lesson on fairness says: an acceptor takes so many connections in one resume.
const SHARE: usize = 64;

/// One exercise.
pub(super) struct Exercise {
    /// That of its lesson.
    pub(super) name: &'static str,
    /// A recipe that leads to a right answer.
    pub(super) solution: &'static str,
    /// What an answer must fulfil, in this order, and a name for each.
    conditions: &'static [Condition],
}

/// The name of a condition, and whether an answer meets it.
type Condition = (&'static str, fn(&Answer) -> bool);

/// A moment that was handed in.
struct Answer {
    recipe: Recipe,
    /// What happened before the moment, oldest first.
    past: Vec<Event>,
    /// Where in `past` the last step begins.
    last: usize,
    /// What happens in the next step.
    next: Vec<Event>,
    /// The loop at the moment.
    stands: Snapshot,
}

impl Answer {
    /// Replays `history` from its beginning to its moment, and one step further.
    fn of(history: &History) -> Result<Answer, Stuck> {
        let start = Recipe { moment: 0, ..history.recipe().clone() };
        let mut replayed = History::again(&history.make, &start)?;
        let (mut past, mut told) = (Vec::new(), 0);
        let mut last;
        loop {
            let new = replayed.events_after(told);
            told = replayed.events();
            last = past.len();
            past.extend(new);
            if past.len() > EVENTS_MAX {
                let forgotten = past.len() - EVENTS_MAX;
                past.drain(..forgotten);
                last = last.saturating_sub(forgotten);
            }
            if replayed.moment() == history.moment() || !replayed.step()? {
                break;
            }
        }
        let stands = replayed.set.event_loop.handle().snapshot();
        // What panics is no answer to anything here, and no reason to refuse one.
        let _ = replayed.step();
        let next = replayed.events_after(told);
        Ok(Answer { recipe: history.recipe().clone(), past, last, next, stands })
    }

    fn last(&self) -> &[Event] {
        &self.past[self.last..]
    }

    /// What happened in the turn before the present one, and nothing if there was none.
    fn turn_before(&self) -> &[Event] {
        let begins = |event: &Event| matches!(event, Event::TurnBegan { .. });
        let Some(present) = self.past.iter().rposition(begins) else { return &[] };
        let before = self.past[..present].iter().rposition(begins);
        &self.past[before.unwrap_or(present)..present]
    }

    /// How many connections are in this state.
    fn connections(&self, state: &str) -> usize {
        let is_one = |task: &&TaskView| task.kind == CONNECTION && task.state == Some(state);
        self.stands.tasks.iter().filter(is_one).count()
    }

    fn is_acceptor(&self, id: TaskId) -> bool {
        self.stands.tasks.iter().any(|task| task.id == id && task.kind == ACCEPTOR)
    }
}

/// True if something like this is among `events`.
macro_rules! has {
    ($events:expr, $pattern:pat $(if $guard:expr)?) => {
        $events.iter().any(|event| matches!(event, $pattern $(if $guard)?))
    };
}

fn asks_for(events: &[Event], path: &str) -> bool {
    has!(events, Event::Request { line, .. } if line.as_str() == format!("GET {path}"))
}

fn becomes(events: &[Event], state: &str) -> bool {
    has!(events, Event::State { to, .. } if *to == state)
}

fn accepts(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Accepted { .. })).count()
}

/// True if the events of a step take so many connections, and no fewer.
fn has_a_whole_share(events: &[Event]) -> bool {
    let steps = events.split(|event| matches!(event, Event::Resumed { .. }));
    steps.into_iter().any(|step| accepts(step) >= SHARE)
}

/// True if two timers have one deadline.
fn has_equal_deadlines(timers: &[(TaskId, Time)]) -> bool {
    timers.windows(2).any(|pair| pair[0].1 == pair[1].1)
}

/// One for each lesson of the page.
pub(super) const EXERCISES: [Exercise; 15] = [
    Exercise {
        name: "turn",
        solution: "seed=1&act=0:one&at=4",
        conditions: &[
            ("accepted", |answer| accepts(&answer.past) > 0),
            ("first", |answer| !has!(answer.past, Event::Response { .. })),
            ("next", |answer| has!(answer.next, Event::Response { .. })),
        ],
    },
    Exercise {
        name: "slow-client",
        solution: "seed=1&act=0:dribble,5:one&at=9",
        conditions: &[
            ("waits", |answer| answer.connections("receiving head") > 0),
            ("answered", |answer| has!(answer.last(), Event::Response { .. })),
        ],
    },
    Exercise {
        name: "blocking",
        solution: "seed=1&act=0:block&at=6",
        conditions: &[
            ("stall", |answer| has!(answer.past, Event::Stall { .. })),
            ("heard", |answer| {
                has!(answer.turn_before(), Event::Stall { .. })
                    && has!(answer.last(), Event::Waited { sources } if *sources > 0)
            }),
        ],
    },
    Exercise {
        name: "partial-read",
        solution: "seed=1&act=0:dribble&at=112",
        conditions: &[
            ("pieces", |answer| answer.connections("receiving head") > 0),
            ("next", |answer| {
                has!(answer.next, Event::Read { .. }) && has!(answer.next, Event::Request { .. })
            }),
        ],
    },
    Exercise {
        name: "readiness",
        solution: "seed=1&act=0:hundred&at=68",
        conditions: &[
            ("share", |answer| has_a_whole_share(&answer.past)),
            ("next", |answer| {
                let is_last =
                    has!(answer.next, Event::WouldBlock { operation: Operation::Accept, .. });
                is_last && accepts(&answer.next) > 0
            }),
        ],
    },
    Exercise {
        name: "backpressure",
        solution: "seed=1&act=0:slow-reader&at=4",
        conditions: &[
            ("accepted", |answer| accepts(&answer.past) > 0),
            ("next", |answer| has!(answer.next, Event::Wrote { bytes, of, .. } if bytes < of)),
        ],
    },
    Exercise {
        name: "timers",
        solution: "seed=1&act=0:sleep,0:sleep&at=10",
        conditions: &[
            ("two", |answer| answer.stands.timers.len() >= 2),
            ("equal", |answer| has_equal_deadlines(&answer.stands.timers)),
        ],
    },
    Exercise {
        name: "keep-alive",
        solution: "seed=1&act=0:one&at=6",
        conditions: &[
            ("answered", |answer| has!(answer.past, Event::Response { .. })),
            ("idle", |answer| answer.connections("idle") > 0),
            ("next", |answer| {
                has!(answer.next, Event::ReadEnd { .. })
                    && has!(answer.next, Event::State { from: "idle", to: "closed", .. })
            }),
        ],
    },
    Exercise {
        name: "gather",
        solution: "seed=1&act=0:gather&at=47",
        conditions: &[
            ("third", |answer| asks_for(&answer.past, "/sleep/9")),
            ("next", |answer| {
                has!(answer.next, Event::Closed { .. })
                    && has!(answer.next, Event::TimerCancelled { .. })
                    && has!(answer.next, Event::Finished { kind: "coroutine", .. })
            }),
        ],
    },
    Exercise {
        name: "awaiting",
        solution: "seed=1&act=0:sleep,0:sleep&at=9",
        conditions: &[
            ("serving", |answer| answer.connections("serving") >= 2),
            ("sleeping", |answer| answer.stands.timers.len() >= 2),
            ("quiet", |answer| answer.stands.ready.is_empty()),
        ],
    },
    Exercise {
        name: "batches",
        solution: "seed=1&act=0:hundred&at=2",
        conditions: &[
            ("share", |answer| has_a_whole_share(&answer.past)),
            ("end", |answer| {
                let last = answer.stands.ready.last();
                answer.stands.ready.len() > SHARE
                    && last.is_some_and(|last| answer.is_acceptor(*last))
            }),
        ],
    },
    Exercise {
        name: "half-close",
        solution: "seed=1&act=0:half-close,5:smuggle&at=8",
        conditions: &[
            ("ended", |answer| has!(answer.past, Event::ReadEnd { .. })),
            ("next", |answer| becomes(&answer.next, "lingering")),
        ],
    },
    Exercise {
        name: "descriptors",
        solution: "seed=1&act=0:descriptors&at=42",
        conditions: &[
            ("short", |answer| becomes(&answer.past, "backing off")),
            ("next", |answer| becomes(&answer.next, "accepting") && accepts(&answer.next) > 0),
        ],
    },
    Exercise {
        name: "thread",
        solution: "seed=1&act=0:thread&at=16",
        conditions: &[
            ("asked", |answer| asks_for(&answer.past, "/thread/")),
            ("woken", |answer| {
                has!(answer.last(), Event::Waited { sources: 0 })
                    && has!(answer.last(), Event::Queued { cause, .. } if *cause == Cause::WOKEN)
                    && !has!(answer.last(), Event::TimerFired { .. })
            }),
        ],
    },
    Exercise {
        name: "smuggling",
        solution: "seed=33&faults=cut:100&act=0:smuggle&at=5",
        conditions: &[
            ("begun", |answer| {
                let smuggles = Deed::Begin(Scenario::Smuggle);
                answer.recipe.actions.iter().any(|action| action.what == smuggles)
            }),
            ("faults", |answer| answer.recipe.to_string().contains("cut")),
            ("gone", |answer| {
                accepts(&answer.past) > 0
                    && has!(answer.past, Event::Finished { kind: CONNECTION, .. })
            }),
            ("unanswered", |answer| !has!(answer.past, Event::Response { .. })),
        ],
    },
];

/// The exercise with this name.
pub(super) fn named(name: &str) -> Option<&'static Exercise> {
    EXERCISES.iter().find(|exercise| exercise.name == name)
}

impl Exercise {
    /// Judges the moment at which `history` stands. Returns the first condition that is not met; `None`: it is right.
    ///
    /// # Errors
    /// When the moment cannot be reached by replay: a mistake in the library.
    pub(super) fn missing(&self, history: &History) -> Result<Option<&'static str>, Stuck> {
        let answer = Answer::of(history)?;
        let unmet = self.conditions.iter().find(|(_, is_met)| !is_met(&answer));
        Ok(unmet.map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests;
