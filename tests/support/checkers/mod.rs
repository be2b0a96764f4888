//! What must hold of everything that a loop tells, whatever the test is about: folds over its
//! events. `checkers/planted.rs` proves each by planting the bug that it is for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use helloop::event_loop::{Cause, Flow};
use helloop::events::{Event, Timeout};
use helloop::world::Time;
use helloop::{SourceId, TaskId};

#[cfg(test)]
mod planted;

/// A fold over the events of one loop.
pub(crate) trait Checker {
    /// Looks at the next event; an error is a complaint.
    fn event(&mut self, at: Time, event: &Event) -> Result<(), String>;

    /// Nothing more comes.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Runs all checkers over `events`, of which the first `lived` happened before the loop was
/// dropped (tasks that are dropped with their loop end without a word).
pub(crate) fn check(events: &[(Time, Event)], lived: usize) -> Result<(), String> {
    verdicts(events, lived).into_iter().collect()
}

/// What each checker says.
fn verdicts(events: &[(Time, Event)], lived: usize) -> [Result<(), String>; 11] {
    let lived = &events[..lived];
    [
        run("time never goes back", Clockwork::default(), events),
        run("the timeout is zero exactly when work is queued", Timeouts::default(), lived),
        run("timers fire in order and never early", Timers::default(), lived),
        run("a timer that is due fires in the same turn", Punctuality::default(), lived),
        run("who wants to go on has done something", Diligence::default(), lived),
        run("a batch is what was queued when phase 4 began", Batches::default(), lived),
        run("at most one resume per task and turn", Resumes::default(), lived),
        run("every source is opened once, closed once, then silent", Sources::default(), events),
        run("every connection has one ending", Endings::default(), lived),
        run("every request has one answer, in order", Answers::default(), lived),
        run("who cannot write does not read", BackPressure::default(), lived),
    ]
}

pub(crate) fn run(
    name: &str,
    mut checker: impl Checker,
    events: &[(Time, Event)],
) -> Result<(), String> {
    for (index, (at, event)) in events.iter().enumerate() {
        if let Err(complaint) = checker.event(*at, event) {
            let before: Vec<String> = events[index.saturating_sub(12)..=index]
                .iter()
                .map(|(at, event)| format!("    {at} {event}"))
                .collect();
            return Err(format!("{name}: {complaint}\n{}", before.join("\n")));
        }
    }
    checker.end().map_err(|complaint| format!("{name}: {complaint}, at the end"))
}

/// An error unless `holds`.
pub(crate) fn demand(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

#[derive(Default)]
struct Clockwork {
    last: Time,
}

impl Checker for Clockwork {
    fn event(&mut self, at: Time, _: &Event) -> Result<(), String> {
        let last = std::mem::replace(&mut self.last, at);
        demand(at >= last, || format!("{at} comes after {last}"))
    }
}

/// Assumes that nobody turns the loop with a limit of zero.
#[derive(Default)]
struct Timeouts {
    ready: usize,
    /// Deadlines that are set, with how often.
    deadlines: BTreeMap<Time, usize>,
    /// The loop did not wait although nothing was ready: a wake must have been pending. Its task may
    /// have been queued for another cause just before, so that only its resume shows it.
    owes_wake: bool,
    /// Somebody was resumed in this turn.
    has_resumed: bool,
}

impl Checker for Timeouts {
    fn event(&mut self, at: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::TimerSet { deadline, .. } => *self.deadlines.entry(deadline).or_default() += 1,
            Event::TimerFired { deadline, .. } | Event::TimerCancelled { deadline, .. } => {
                let count = self.deadlines.entry(deadline).or_default();
                *count = count.saturating_sub(1);
                self.deadlines.retain(|_, count| *count > 0);
            }
            Event::TurnBegan { ready, .. } => {
                self.end()?;
                (self.ready, self.has_resumed) = (ready, false);
            }
            Event::Waiting { timeout: Timeout::Zero } => {
                let is_due = self.deadlines.keys().next().is_some_and(|first| *first <= at);
                self.owes_wake = self.ready == 0 && !is_due;
            }
            Event::Waiting { timeout } => {
                demand(self.ready == 0, || format!("{} ready, but: {event}", self.ready))?;
                self.not_beyond_timers(at, timeout)?;
            }
            Event::Queued { cause, .. } => self.owes_wake &= !cause.contains(Cause::WOKEN),
            Event::Resumed { cause, .. } => {
                self.owes_wake &= !cause.contains(Cause::WOKEN);
                self.has_resumed = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let is_good = !(self.owes_wake && self.has_resumed);
        demand(is_good, || "nothing was ready, but it did not wait".into())
    }
}

impl Timeouts {
    fn not_beyond_timers(&self, at: Time, timeout: Timeout) -> Result<(), String> {
        let Some(&first) = self.deadlines.keys().next() else { return Ok(()) };
        match timeout {
            Timeout::Until(duration) => demand(at + duration <= first, || {
                format!("waits for {duration:?} at {at} although a timer is set for {first}")
            }),
            _ => Err(format!("waits for ever although a timer is set for {first}")),
        }
    }
}

#[derive(Default)]
struct Timers {
    set: BTreeSet<(Time, TaskId, usize)>,
    /// Timers ever set: tells those for the same task and deadline apart.
    count: usize,
}

impl Timers {
    fn take(&mut self, task: TaskId, deadline: Time) -> Result<(), String> {
        let found = self.set.iter().find(|(at, of, _)| (*at, *of) == (deadline, task)).copied();
        found.map(|timer| self.set.remove(&timer)).map(drop).ok_or("it was never set".into())
    }
}

impl Checker for Timers {
    fn event(&mut self, at: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::TurnBegan { timers, .. } => demand(timers == self.set.len(), || {
                format!("{} timers are set, not {timers}", self.set.len())
            }),
            Event::TimerSet { task, deadline } => {
                self.count += 1;
                self.set.insert((deadline, task, self.count));
                Ok(())
            }
            Event::TimerCancelled { task, deadline } => self.take(task, deadline),
            Event::TimerFired { task, deadline } => {
                demand(deadline <= at, || format!("it fires early, at {at}"))?;
                let first = self.set.first().map(|(first, ..)| *first);
                demand(first == Some(deadline), || format!("{first:?} should be first"))?;
                self.take(task, deadline)
            }
            _ => Ok(()),
        }
    }
}

/// "Exactly now" is due.
#[derive(Default)]
struct Punctuality {
    /// Deadlines that are set, with how often.
    deadlines: BTreeMap<Time, usize>,
    /// The moment at which the last wait ended, until the first resume of its turn.
    now: Option<Time>,
}

impl Checker for Punctuality {
    fn event(&mut self, at: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::TimerSet { deadline, .. } => *self.deadlines.entry(deadline).or_default() += 1,
            Event::TimerFired { deadline, .. } | Event::TimerCancelled { deadline, .. } => {
                let count = self.deadlines.entry(deadline).or_default();
                *count = count.saturating_sub(1);
                self.deadlines.retain(|_, count| *count > 0);
            }
            Event::Waited { .. } => self.now = Some(at),
            Event::Resumed { .. } | Event::TurnBegan { .. } => {
                let now = self.now.take().unwrap_or(Time::ZERO);
                let late = self.deadlines.keys().next().filter(|first| **first <= now);
                demand(late.is_none(), || format!("the timer for {late:?} did not, at {now}"))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A task that asks to be resumed again without having done anything spins.
#[derive(Default)]
struct Diligence {
    /// Nothing was told since the task was resumed.
    is_idle: bool,
}

impl Checker for Diligence {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        let was_idle = std::mem::replace(&mut self.is_idle, matches!(event, Event::Resumed { .. }));
        match *event {
            Event::Suspended { task, flow: Flow::Again } => {
                demand(!was_idle, || format!("task {task} spins"))
            }
            _ => Ok(()),
        }
    }
}

/// Models the ready queue: first in, first out, and a turn takes what was there when phase 4 began.
#[derive(Default)]
struct Batches {
    queue: VecDeque<TaskId>,
    finished: HashSet<TaskId>,
    /// Entries of the queue that are left of the present batch; `None` before the first resume.
    left: Option<usize>,
    has_begun: bool,
}

impl Batches {
    /// Takes entries of tasks that are gone from the front of the batch.
    fn skip_finished(&mut self) {
        while let (Some(left @ 1..), Some(front)) = (&mut self.left, self.queue.front()) {
            if !self.finished.contains(front) {
                return;
            }
            self.queue.pop_front();
            *left -= 1;
        }
    }
}

impl Checker for Batches {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Queued { task, .. } => {
                demand(!self.queue.contains(&task), || format!("task {task} is queued twice"))?;
                self.queue.push_back(task);
            }
            Event::Finished { task, .. } => drop(self.finished.insert(task)),
            Event::Resumed { task, .. } => {
                self.left.get_or_insert(self.queue.len());
                self.skip_finished();
                demand(self.left > Some(0), || format!("task {task} was queued too late"))?;
                let front = self.queue.pop_front();
                demand(front == Some(task), || format!("it is the turn of {front:?}"))?;
                self.left = self.left.map(|left| left - 1);
            }
            Event::TurnBegan { ready, .. } => {
                if self.has_begun && self.left.is_none() {
                    // Nobody was resumed: whatever the turn took was gone.
                    self.left = self.queue.len().checked_sub(ready);
                }
                self.skip_finished();
                demand(self.left.unwrap_or(0) == 0, || {
                    format!("of the last batch, {:?} were not resumed", self.left)
                })?;
                let length = self.queue.len();
                demand(ready == length, || format!("the queue should hold {length}"))?;
                (self.left, self.has_begun) = (None, true);
            }
            _ => {}
        }
        Ok(())
    }
}

#[derive(Default)]
struct Resumes {
    this_turn: HashSet<TaskId>,
    running: Option<TaskId>,
    finished: HashSet<TaskId>,
}

impl Checker for Resumes {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::TurnBegan { .. } => {
                self.this_turn.clear();
                demand(self.running.is_none(), || "a task runs across turns".into())
            }
            Event::Resumed { task, cause, .. } => {
                demand(!cause.is_empty(), || "for no cause".into())?;
                demand(self.running.replace(task).is_none(), || "a task runs already".into())?;
                demand(!self.finished.contains(&task), || "this task is gone".into())?;
                demand(self.this_turn.insert(task), || "for the second time in a turn".into())
            }
            Event::Suspended { task, flow } => {
                demand(flow != Flow::Done, || "a task that is done is not suspended".into())?;
                demand(self.running.take() == Some(task), || "another task runs".into())
            }
            Event::Finished { task, .. } => {
                self.running.take_if(|running| *running == task);
                demand(self.finished.insert(task), || "for the second time".into())
            }
            _ => Ok(()),
        }
    }
}

/// The source that an event speaks of.
fn source_of(event: &Event) -> Option<SourceId> {
    match *event {
        Event::Ready { source, .. }
        | Event::Opened { source, .. }
        | Event::Accepted { source }
        | Event::Read { source, .. }
        | Event::ReadEnd { source }
        | Event::Wrote { source, .. }
        | Event::WouldBlock { source, .. }
        | Event::Shut { source }
        | Event::Closed { source } => Some(source),
        _ => None,
    }
}

#[derive(Default)]
struct Sources {
    open: HashSet<SourceId>,
    seen: HashSet<SourceId>,
}

impl Checker for Sources {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        let Some(source) = source_of(event) else { return Ok(()) };
        match event {
            Event::Opened { .. } => {
                self.open.insert(source);
                demand(self.seen.insert(source), || "opened for the second time".into())
            }
            Event::Closed { .. } => demand(self.open.remove(&source), || "it was not open".into()),
            _ => demand(self.open.contains(&source), || "this source is not open".into()),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        demand(self.open.is_empty(), || format!("{:?} are still open", self.open))
    }
}

#[derive(Default)]
struct Endings {
    /// Of each connection that lives: whether its ending was told.
    told: HashMap<TaskId, bool>,
    /// Tasks that may be connections, and have told no ending.
    coroutines: HashSet<TaskId>,
}

impl Checker for Endings {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Spawned { task, kind: "connection" } => drop(self.told.insert(task, false)),
            // It may be one that its server's builder was asked to make.
            Event::Spawned { task, kind: "coroutine" } => _ = self.coroutines.insert(task),
            Event::Ending { task, .. } => {
                let is_first = self.told.insert(task, true) == Some(false);
                let is_coroutine = self.coroutines.remove(&task);
                demand(is_first || is_coroutine, || "it was told before".into())?;
            }
            Event::Finished { task, kind: "connection" } => {
                let told = self.told.remove(&task);
                demand(told == Some(true), || "it ended without a reason".into())?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Ends that a request may meet before the end of its answer: while a service takes its time.
const UNANSWERED: [&str; 4] = [
    "the peer did not take the answer in time",
    "the peer went away while the service was at work",
    "the peer reset the connection",
    "cut while busy: the server was stopped, or its drain took too long",
];

#[derive(Default)]
struct Answers {
    /// Of each connection: answers so far, and the request that waits for one.
    connections: HashMap<TaskId, (u32, Option<u32>)>,
    ended: HashSet<TaskId>,
}

impl Checker for Answers {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Request { task, number, .. } => {
                demand(!self.ended.contains(&task), || "after its ending".into())?;
                let (answers, waiting) = self.connections.entry(task).or_default();
                demand(waiting.replace(number).is_none(), || "the one before waits".into())?;
                demand(number == *answers + 1, || format!("after {answers} answers"))
            }
            Event::Response { task, number, .. } => {
                demand(!self.ended.contains(&task), || "after its ending".into())?;
                let (answers, waiting) = self.connections.entry(task).or_default();
                *answers += 1;
                let asked = waiting.take().unwrap_or(number);
                demand(number == *answers && number == asked, || format!("to request {asked}"))
            }
            Event::Ending { task, why } => {
                self.ended.insert(task);
                let waiting = self.connections.get(&task).and_then(|(_, waiting)| *waiting);
                let may_wait = UNANSWERED.contains(&why);
                demand(waiting.is_none() || may_wait, || format!("{waiting:?} was not answered"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Default)]
struct BackPressure {
    owners: HashMap<SourceId, TaskId>,
    flushing: HashSet<TaskId>,
}

impl Checker for BackPressure {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Opened { source, task } => drop(self.owners.insert(source, task)),
            Event::State { task, to: "flushing", .. } => drop(self.flushing.insert(task)),
            Event::State { task, .. } => drop(self.flushing.remove(&task)),
            Event::Read { source, .. } => {
                let owner = self.owners.get(&source);
                let is_flushing = owner.is_some_and(|owner| self.flushing.contains(owner));
                demand(!is_flushing, || "its owner has output to write first".into())?;
            }
            _ => {}
        }
        Ok(())
    }
}
