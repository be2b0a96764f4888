//! What if: two futures of one moment, and where they part.
//!
//! The second future has one more action. That alone makes it different: a turn more for an accept, another task, other
//! numbers. So what the action itself did is left out of the comparison: its own clients' connections, what those made,
//! the acceptor that let them in, and the loop's own turns. What is left is what everybody else did, in order. Clients are
//! known by the action that they are of, and not by their ids, which may differ.
//!
//! What is done later in the first future is done in the second one at the same *time*. Moments would not do: they are
//! numbers of steps, and the second future takes more steps for the same.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use slotmap::SecondaryMap;

use super::recipe::{ACTIONS_MAX, Action, Deed, Recipe};
use super::set::Make;
use super::{History, Stands, Stuck};
use crate::events::Event;
use crate::watch::Value;
use crate::world::Time;
use crate::{SourceId, TaskId};

/// Steps of each future that are compared, at most.
pub const COMPARED_MAX: u64 = 10_000;

/// What happens so much later or earlier is still the same: a turn more costs a microsecond.
const SLACK: Duration = Duration::from_millis(1);

/// Events that are shown before the one at which the futures part, and from it on, at most.
const BEFORE_MAX: usize = 30;
const AFTER_MAX: usize = 30;

/// Two futures of one moment.
#[derive(Clone, Debug)]
pub struct Futures {
    /// What is done in the second one, and not in the first.
    pub what: Deed,
    /// Whether they part, as far as they were compared.
    pub parting: Parting,
    /// As it is, and with one more action.
    pub both: [Future; 2],
}

/// Whether two futures part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// They do: something else happens to others than those who were added, or at another time.
    Here,
    /// They do not, to their end: nothing can ever happen any more.
    Never,
    /// They do not within [`COMPARED_MAX`] steps.
    NotYet,
}

/// One of two futures: the turn in which it parts from the other. If it does not, the turn after the action, or the last.
#[derive(Clone, Debug)]
pub struct Future {
    /// What leads there: the moment after the step in which the futures part.
    pub recipe: Recipe,
    /// The events of that turn.
    pub events: Vec<(Time, Event)>,
    /// Which of them is not as in the other future; `None` if the other one has something else where this one has
    /// nothing.
    pub differs: Option<usize>,
}

impl History {
    /// What would be different if this were done now. The history itself stays as it is.
    ///
    /// ```
    /// use helloop::greeting::Greeting;
    /// use helloop::lab::history::{Deed, History, Parting};
    /// use helloop::lab::scenario::Scenario;
    ///
    /// // A client sends its request byte by byte. What if another one asked for something that blocks?
    /// let history = History::new(&"seed=1&act=0:dribble&at=20".parse()?, || Greeting)?;
    /// let futures = history.what_if(Deed::Begin(Scenario::Block))?;
    /// assert_eq!(futures.parting, Parting::Here);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Stuck`], if one of the futures is.
    ///
    /// # Panics
    /// If the recipe has [`ACTIONS_MAX`] actions; see [`is_full`](History::is_full).
    pub fn what_if(&self, what: Deed) -> Result<Futures, Stuck> {
        assert!(!self.is_full(), "a history has room for {ACTIONS_MAX} actions");
        // A wait that never ends is entered anew, and something happens in it: see `act`.
        let (moment, after) = match self.is_asleep() {
            true => (self.moment() - 1, Duration::from_nanos(1)),
            false => (self.moment(), Duration::ZERO),
        };
        let here = Recipe { moment, ..self.recipe.clone() };
        let added = here.actions.partition_point(|action| action.moment <= moment);
        let mut other = here.clone();
        other.actions.truncate(added);
        other.actions.push(Action { moment, after, what });
        other.actions.extend(self.at_the_same_times(&here, added)?);
        let mut as_is = Story::of(&self.make, &here, usize::MAX)?;
        let mut with_more = Story::of(&self.make, &other, added)?;
        let (parting, [told, told_with_more]) = part(&mut as_is, &mut with_more)?;
        let both = [as_is.end(told, parting)?, with_more.end(told_with_more, parting)?];
        Ok(Futures { what, parting, both })
    }

    /// The actions from this one on, each as it is done within a wait after the present moment.
    fn at_the_same_times(&self, here: &Recipe, first: usize) -> Result<Vec<Action>, Stuck> {
        let later = &here.actions[first..];
        if later.is_empty() {
            return Ok(Vec::new());
        }
        let mut history = History::again(&self.make, here)?;
        let began = history.set.now();
        let mut retimed = Vec::new();
        for action in later {
            history.go_to(action.moment)?;
            if history.moment() < action.moment {
                break;
            }
            let after = history.set.now().since(began) + action.after;
            retimed.push(Action { moment: here.moment, after, what: action.what });
        }
        Ok(retimed)
    }
}

/// Goes on in both until something differs.
fn part(one: &mut Story, other: &mut Story) -> Result<(Parting, [Option<Told>; 2]), Stuck> {
    loop {
        let next = (one.next()?, other.next()?);
        match next {
            (Next::Told(a), Next::Told(b)) if a.is_as(&b) => {}
            (Next::Told(a), Next::Told(b)) => return Ok((Parting::Here, [Some(a), Some(b)])),
            (Next::Told(a), Next::End) => return Ok((Parting::Here, [Some(a), None])),
            (Next::End, Next::Told(b)) => return Ok((Parting::Here, [None, Some(b)])),
            (Next::End, Next::End) => return Ok((Parting::Never, [None, None])),
            (Next::TooFar, _) | (_, Next::TooFar) => return Ok((Parting::NotYet, [None, None])),
        }
    }
}

/// Whose a task or a source is.
#[derive(Clone, Debug)]
enum Whose {
    /// One who is in both futures, by a name that is the same in both.
    Shared(Rc<str>),
    /// The acceptor's: it is resumed for whoever comes.
    Door,
    /// Of the action that only one future has.
    Added,
}

/// Something that happened to somebody who is in both futures.
#[derive(Clone, Debug)]
struct Told {
    who: Rc<str>,
    event: u8,
    /// Its fields, but for ids and moments.
    values: Vec<Value>,
    at: Time,
    /// How many events there were before it.
    before: u64,
    /// The moment after its step.
    moment: u64,
}

impl Told {
    fn is_as(&self, other: &Told) -> bool {
        let apart = self.at.since(other.at).max(other.at.since(self.at));
        (&self.who, self.event, &self.values) == (&other.who, other.event, &other.values)
            && apart <= SLACK
    }
}

enum Next {
    Told(Told),
    /// Nothing can ever happen.
    End,
    TooFar,
}

/// A future that is being told.
struct Story {
    history: History,
    /// The number of the action that only this future has.
    added: usize,
    steps: u64,
    /// Events that there were before it, and those that were looked at.
    began: u64,
    seen: u64,
    told: VecDeque<Told>,
    tasks: SecondaryMap<TaskId, Whose>,
    sources: SecondaryMap<SourceId, Whose>,
    /// The ports from which tasks of the loop have connected, and whose those are.
    ports: BTreeMap<u16, Whose>,
    /// How many there are so far of a name: clients of an action, tasks that a task has made.
    named: BTreeMap<String, usize>,
    /// The task at work.
    current: Option<Whose>,
    /// The first turn that began in it: what is shown if the futures do not part.
    first_turn: Option<(u64, Vec<(Time, Event)>)>,
}

impl Story {
    /// The world of a recipe, of which one action is not in the other future.
    fn of(make: &Rc<Make>, recipe: &Recipe, added: usize) -> Result<Story, Stuck> {
        let history = History::again(make, recipe)?;
        let mut story = Story {
            began: history.events(),
            seen: history.events(),
            history,
            added,
            steps: 0,
            told: VecDeque::new(),
            tasks: SecondaryMap::new(),
            sources: SecondaryMap::new(),
            ports: BTreeMap::new(),
            named: BTreeMap::new(),
            current: None,
            first_turn: None,
        };
        // Until here both are the same, ids included.
        let now = story.history.set.event_loop.handle().snapshot();
        for task in &now.tasks {
            let is_door = task.kind == "acceptor";
            let shared = || Whose::Shared(task.id.to_string().into());
            story.tasks.insert(task.id, if is_door { Whose::Door } else { shared() });
        }
        for source in &now.sources {
            let owner = story.tasks.get(source.task).cloned();
            story.sources.insert(source.id, owner.unwrap_or(Whose::Door));
        }
        Ok(story)
    }

    /// The next thing that happened to somebody who is in both futures.
    fn next(&mut self) -> Result<Next, Stuck> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Ok(Next::Told(told));
            }
            if self.steps >= COMPARED_MAX {
                return Ok(Next::TooFar);
            }
            if !self.step()? {
                return Ok(Next::End);
            }
        }
    }

    fn step(&mut self) -> Result<bool, Stuck> {
        self.steps += 1;
        let at_work = self.history.set.event_loop.peek();
        let port = self.history.set.next_port();
        if !self.history.step()? {
            return Ok(false);
        }
        // Clients connect while the loop waits, and tasks while they are resumed.
        if let Some((task, _)) = at_work {
            let whose = self.tasks.get(task).cloned().unwrap_or(Whose::Door);
            for port in port..self.history.set.next_port() {
                self.ports.insert(port, whose.clone());
            }
        }
        let new: Vec<_> = {
            let events = self.history.set.seen.events.borrow();
            let (missing, new) = events.after(self.seen);
            self.seen += missing;
            new.copied().collect()
        };
        for (at, event) in new {
            self.look_at(at, &event);
            self.seen += 1;
        }
        if self.first_turn.is_none() && self.history.stands != Stands::Resume {
            let last = self.seen.saturating_sub(1);
            let (events, at) = self.turn_around(last);
            if last - at as u64 >= self.began {
                self.first_turn = Some((self.history.moment(), events));
            }
        }
        Ok(true)
    }

    fn look_at(&mut self, at: Time, event: &Event) {
        let whose = self.whose(event);
        match event {
            Event::Resumed { .. } => self.current.clone_from(&whose),
            Event::Suspended { .. } | Event::Finished { .. } => self.current = None,
            _ => {}
        }
        let Some(Whose::Shared(who)) = whose else { return };
        let mut values = Vec::new();
        event.fields(|_, value| {
            if !matches!(value, Value::Task(_) | Value::Source(_) | Value::Moment(_)) {
                values.push(value);
            }
        });
        let (before, moment) = (self.seen, self.history.moment());
        self.told.push_back(Told { who, event: event.number(), values, at, before, moment });
    }

    /// Whose an event is; `None`: the loop's own.
    fn whose(&mut self, event: &Event) -> Option<Whose> {
        match *event {
            Event::Opened { source, task } => {
                let owner = match task == TaskId::default() {
                    // It connects, and has no owner yet.
                    true => self.current.clone(),
                    false => Some(self.owner(task)),
                };
                self.sources.insert(source, owner.clone()?);
                owner
            }
            Event::Spawned { task, .. } => Some(self.owner(task)),
            Event::LongTurn { .. } => None,
            _ => {
                let mut whose = None;
                event.fields(|_, value| match value {
                    _ if whose.is_some() => {}
                    Value::Task(task) => whose = self.tasks.get(task).cloned(),
                    Value::Source(source) => whose = self.sources.get(source).cloned(),
                    _ => {}
                });
                whose
            }
        }
    }

    /// Whose a task is. One that is new is given a name.
    fn owner(&mut self, task: TaskId) -> Whose {
        if let Some(known) = self.tasks.get(task) {
            return known.clone();
        }
        let handle = self.history.set.event_loop.handle();
        let peer = handle.look_at(task, |task| task.describe().peer.map(|peer| peer.port()));
        let whose = match peer.flatten() {
            Some(port) => self.client(port),
            None => self.child(self.current.clone().unwrap_or(Whose::Door)),
        };
        self.tasks.insert(task, whose.clone());
        whose
    }

    /// The connection of a client: of an action, or on the loop itself.
    fn client(&mut self, port: u16) -> Whose {
        match self.history.set.notes.action_at(port) {
            Some(action) if action == self.added => Whose::Added,
            Some(action) => {
                let action = action - usize::from(action > self.added);
                self.named(&format!("action {action}, client"))
            }
            None => self.child(self.ports.get(&port).cloned().unwrap_or(Whose::Door)),
        }
    }

    fn child(&mut self, of: Whose) -> Whose {
        match of {
            Whose::Added => Whose::Added,
            Whose::Door => self.named("made by the acceptor,"),
            Whose::Shared(parent) => self.named(&format!("{parent},")),
        }
    }

    fn named(&mut self, family: &str) -> Whose {
        let number = self.named.entry(family.to_owned()).or_default();
        *number += 1;
        Whose::Shared(format!("{family} {number}").into())
    }

    /// The turn to which the event after so many others belongs, as far as it is kept, and which of its events that is.
    fn turn_around(&self, before: u64) -> (Vec<(Time, Event)>, usize) {
        let events = self.history.set.seen.events.borrow();
        let (forgotten, all) = events.after(0);
        let all: Vec<_> = all.copied().collect();
        let at = usize::try_from(before.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        let at = at.min(all.len().saturating_sub(1));
        let begins = |(_, event): &(Time, Event)| matches!(event, Event::TurnBegan { .. });
        let first =
            all[..=at].iter().rposition(begins).unwrap_or(0).max(at.saturating_sub(BEFORE_MAX));
        let next = all[at + 1..].iter().position(begins).map_or(all.len(), |next| at + 1 + next);
        let last = next.min(at + AFTER_MAX);
        (all[first..last].to_vec(), at - first)
    }

    /// What is shown of it.
    fn end(mut self, told: Option<Told>, parting: Parting) -> Result<Future, Stuck> {
        let shown_moment = told.as_ref().map(|told| told.moment);
        while self.history.stands == Stands::Resume && self.history.step()? {}
        let last = self.history.events().saturating_sub(1);
        let (moment, events, differs) = match (told, self.first_turn.take()) {
            (Some(told), _) => {
                let (events, at) = self.turn_around(told.before);
                (shown_moment.unwrap_or_default(), events, Some(at))
            }
            (None, Some((moment, events))) if parting != Parting::Here => (moment, events, None),
            (None, _) => (self.history.moment(), self.turn_around(last).0, None),
        };
        Ok(Future { recipe: Recipe { moment, ..self.history.recipe.clone() }, events, differs })
    }
}
