//! A simulated world with a history: a loop that goes forwards and backwards.
//!
//! A [`History`] is a server on a loop in a simulated world, and all that is done to it from outside. It goes forward by
//! steps, each of at most one resume, and every *moment* between two steps has a number. Going back is replay: the world is
//! made anew from its seed, and what was done is done again at the same moments. So a moment follows from a short text,
//! the [`Recipe`], on every machine and every target.
//!
//! [`what_if`](History::what_if) compares two futures of one moment: as it is, and with one more client or fault.
//!
//! A [`Show`] is a history for a page of the [lab](super): it takes the commands of the page's buttons, lets virtual time
//! pass as fast as real time does, and sends what the lab beside a live loop would send.
//!
//! ```
//! use helloop::greeting::Greeting;
//! use helloop::lab::history::{History, Recipe};
//!
//! let mut history = History::new(&"seed=7&act=0:one&at=20".parse()?, || Greeting)?;
//! let there = history.text();
//! history.go_to(60)?;
//! history.go_to(20)?;
//! assert_eq!(history.text(), there);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here needs an operating system, a thread or a socket.

mod recipe;
mod set;
mod peer;
mod exercises;
mod futures;
mod show;
mod digest;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::events::{Event, Observer};
use crate::panics::caught;
use crate::server::Service;
use crate::world::Time;
pub use digest::{digest, digest_of, digest_of_events};
pub use futures::{COMPARED_MAX, Future, Futures, Parting};
pub use recipe::{ACTIONS_MAX, Action, BadRecipe, Deed, MOMENT_MAX, Recipe};
use set::{Make, Notes, Set};
pub use set::{Staged, greeting_world};
pub use show::Show;

use super::message::{self, Message};
use super::scenario::Note;
use super::snapshot::Snapshot;

/// Where the loop stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stands {
    /// Before phase 1 of a turn.
    Between,
    /// In phase 4, before a resume.
    Resume,
    /// In phase 2, for ever: nothing can happen unless it comes from outside. Asking the world once more would begin
    /// another turn, which did not happen.
    Asleep,
    /// The world cannot be waited for.
    Over(String),
}

/// So many steps behind the present one stands a spare world: going back a turn or two is a few milliseconds then.
const SPARE_BEHIND: u64 = 1_000;

/// Steps that a spare world is taken at once, at most: 15 ms.
const SPARE_STEPS: u64 = 5_000;

/// A simulated world that goes forwards and backwards.
pub struct History {
    make: Rc<Make>,
    /// What it follows from; its moment is the present one.
    recipe: Recipe,
    set: Set,
    stands: Stands,
    /// The latest moment that was seen, if nothing was done differently since.
    reached: u64,
    /// The moments before a turn, as far as was seen.
    turns: Vec<u64>,
    /// The same world at an earlier moment: going back begins there, and not at the beginning.
    spare: Option<Box<History>>,
}

/// A moment that cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The step to the next moment panics, with these words. The world stands at the moment before.
    Panics(String),
    /// A world cannot be made: there is none of this kind here, or a mistake was made.
    Unmade(String),
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stuck::Panics(words) => write!(f, "the next step panics: {words}"),
            Stuck::Unmade(why) => write!(f, "there is no such world: {why}"),
        }
    }
}

impl std::error::Error for Stuck {}

impl History {
    /// The world of `recipe`, at its moment or, if there is none so late, at its last one. `service` makes the service of the
    /// server, once for each replay.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn new<S: Service + 'static>(
        recipe: &Recipe,
        service: impl Fn() -> S + 'static,
    ) -> Result<History, Stuck> {
        History::of(recipe, move |recipe, observer| greeting_world(recipe, observer, service()))
    }

    /// A history of other worlds, at the recipe's moment. `make` makes one, once for each replay; from equal recipes it has to
    /// make equal worlds.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn of(
        recipe: &Recipe,
        make: impl Fn(&Recipe, Box<dyn Observer>) -> io::Result<Staged> + 'static,
    ) -> Result<History, Stuck> {
        let make: Rc<Make> = Rc::new(make);
        History::again(&make, recipe)
    }

    /// The same with another recipe.
    fn again(make: &Rc<Make>, recipe: &Recipe) -> Result<History, Stuck> {
        let set = Set::new(recipe, &**make).map_err(|error| Stuck::Unmade(error.to_string()))?;
        let start = Recipe { moment: 0, ..recipe.clone() };
        let mut history = History {
            make: Rc::clone(make),
            recipe: start,
            set,
            stands: Stands::Between,
            reached: 0,
            turns: vec![0],
            spare: None,
        };
        history.do_what_is_done();
        history.go_to(recipe.moment)?;
        Ok(history)
    }

    /// What the present moment follows from.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The present moment: so many steps after the beginning.
    pub fn moment(&self) -> u64 {
        self.recipe.moment
    }

    /// The latest moment that was seen.
    pub fn reached(&self) -> u64 {
        self.reached
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.set.seen.events.borrow().count
    }

    /// One step: at most one resume. False if nothing can ever happen.
    ///
    /// # Errors
    /// [`Stuck::Panics`]: then the world was made anew, and stands where it stood.
    pub fn step(&mut self) -> Result<bool, Stuck> {
        if self.is_asleep() {
            return Ok(false);
        }
        let moment = self.recipe.moment;
        let stepped = caught(|| {
            self.stands = self.set.step(self.stands.clone());
            self.recipe.moment += 1;
            self.do_what_is_done();
        });
        if let Err(words) = stepped {
            self.replay(moment)?;
            return Err(Stuck::Panics(words));
        }
        self.reached = self.reached.max(self.recipe.moment);
        let is_new = self.turns.last().is_none_or(|last| *last < self.recipe.moment);
        if self.stands == Stands::Between && is_new {
            self.turns.push(self.recipe.moment);
        }
        Ok(true)
    }

    /// The rest of the turn, or a whole one. False if nothing can ever happen.
    ///
    /// # Errors
    /// See [`step`](History::step).
    pub fn turn(&mut self) -> Result<bool, Stuck> {
        while self.step()? {
            if self.stands != Stands::Resume {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// So many steps, or fewer if nothing can happen any more. Returns how many.
    ///
    /// # Errors
    /// See [`step`](History::step).
    pub fn run(&mut self, steps: u64) -> Result<u64, Stuck> {
        for taken in 0..steps {
            if !self.step()? {
                return Ok(taken);
            }
        }
        Ok(steps)
    }

    /// Goes to a moment, or to the last one if there is none so late.
    ///
    /// # Errors
    /// See [`step`](History::step).
    pub fn go_to(&mut self, moment: u64) -> Result<(), Stuck> {
        if moment < self.recipe.moment {
            return self.replay(moment);
        }
        self.run(moment - self.recipe.moment).map(drop)
    }

    /// Does something from outside, `after` so much of the wait that follows: zero for now. A loop that sleeps for ever
    /// is woken by it. Whatever was done at later moments is not done any more.
    ///
    /// # Errors
    /// See [`step`](History::step).
    ///
    /// # Panics
    /// If the recipe has [`ACTIONS_MAX`] actions; see [`is_full`](History::is_full).
    pub fn act(&mut self, what: Deed, after: Duration) -> Result<(), Stuck> {
        assert!(!self.is_full(), "a history has room for {ACTIONS_MAX} actions");
        let present = self.recipe.moment;
        // A wait that never ends is entered anew, and something happens in it.
        let moment = if self.is_asleep() { present - 1 } else { present };
        let soonest = Duration::from_nanos(u64::from(moment < present));
        let action = Action { moment, after: after.max(soonest), what };
        self.recipe.actions.retain(|action| action.moment <= moment);
        self.recipe.actions.push(action);
        // What stands later has not had it.
        self.spare.take_if(|spare| spare.moment() >= moment);
        self.reached = present;
        self.turns.retain(|turn| *turn <= present);
        if moment == present {
            self.set.act(action);
            return Ok(());
        }
        self.replay(moment)?;
        self.step().map(drop)
    }

    /// True if there is no room for another action.
    pub fn is_full(&self) -> bool {
        self.recipe.actions.len() >= ACTIONS_MAX
    }

    /// True if nothing can ever happen, unless it comes from outside.
    pub fn is_asleep(&self) -> bool {
        matches!(self.stands, Stands::Asleep | Stands::Over(_))
    }

    /// The moment before the turn that the present one is in, or before the turn before if it is the first of its turn.
    pub fn turn_before(&self) -> u64 {
        let earlier = self.turns.partition_point(|turn| *turn < self.recipe.moment);
        self.turns[earlier.saturating_sub(1)]
    }

    /// Everything for a new page: the last events and notes, and what is on the loop.
    pub fn text(&self) -> String {
        self.everything().iter().map(|message| &*message.text).collect()
    }

    fn everything(&self) -> Vec<Message> {
        let mut messages = self.news(&mut Told::default(), self.all());
        messages.push(message::snapshot(&self.snapshot(true).to_json(0)));
        messages
    }

    /// What happened since a page was told, as messages, up to what is to be told now.
    fn news(&self, told: &mut Told, until: Told) -> Vec<Message> {
        let mut messages = Vec::new();
        let events = self.set.seen.events.borrow();
        let (missing, new) = events.after(told.events);
        if missing > 0 && told.events > 0 {
            messages.push(message::gap(missing));
        }
        let new: Vec<_> = new.take(until.events_after(told.events + missing)).copied().collect();
        if !new.is_empty() {
            messages.push(message::batch(&new));
            told.events += missing + new.len() as u64;
        }
        let notes = self.set.notes.kept.borrow();
        let (missing, new) = notes.after(told.notes);
        let new: Vec<_> = new.take(until.notes_after(told.notes + missing)).collect();
        if !new.is_empty() {
            told.notes += missing + new.len() as u64;
        }
        let line =
            |(at, note): &(Time, Note)| message::of_host("traffic", &note.to_json(at.as_nanos()));
        messages.extend(new.into_iter().map(line));
        messages
    }

    /// The events after the first so many, as far as they are kept.
    fn events_after(&self, told: u64) -> Vec<Event> {
        let events = self.set.seen.events.borrow();
        events.after(told).1.map(|(_, event)| *event).collect()
    }

    /// All that there is to be told.
    fn all(&self) -> Told {
        Told { events: self.events(), notes: self.set.notes.kept.borrow().count }
    }

    fn snapshot(&self, is_paused: bool) -> Snapshot {
        let handle = self.set.event_loop.handle();
        Snapshot {
            of_loop: handle.snapshot(),
            tally: self.set.seen.tally.borrow().clone(),
            now: handle.clock(),
            phase: match self.stands {
                Stands::Between | Stands::Over(_) => "between",
                Stands::Resume => "resume",
                Stands::Asleep => "wait",
            },
            is_paused,
            dwell: Duration::ZERO,
        }
    }

    fn do_what_is_done(&self) {
        let moment = self.recipe.moment;
        let first = self.recipe.actions.partition_point(|action| action.moment < moment);
        let here = self.recipe.actions[first..].iter();
        here.take_while(|action| action.moment == moment).for_each(|action| self.set.act(*action));
    }

    /// Makes the world anew, or takes the spare one, and goes to a moment.
    fn replay(&mut self, moment: u64) -> Result<(), Stuck> {
        if let Some(spare) = self.spare.take_if(|spare| spare.moment() <= moment) {
            self.recipe.moment = spare.moment();
            (self.set, self.stands) = (spare.set, spare.stands);
        } else {
            let made = Set::new(&self.recipe, &*self.make);
            self.set = made.map_err(|error| Stuck::Unmade(error.to_string()))?;
            self.stands = Stands::Between;
            self.recipe.moment = 0;
            self.do_what_is_done();
        }
        self.run(moment - self.recipe.moment).map(drop)
    }

    /// Where the spare world should stand; `None` if it is good where it is, or if a replay is as fast.
    fn spare_wanted(&self) -> Option<u64> {
        let wanted = self.moment().saturating_sub(SPARE_BEHIND);
        let good = wanted.saturating_sub(SPARE_BEHIND)..=wanted;
        let is_good = self.spare.as_ref().is_some_and(|spare| good.contains(&spare.moment()));
        (wanted >= SPARE_BEHIND && !is_good).then_some(wanted)
    }

    /// True if [`prepare`](History::prepare) has something to do.
    pub fn is_to_be_prepared(&self) -> bool {
        self.spare_wanted().is_some()
    }

    /// Makes ready for going back a little: does a part of the replay beforehand, for 15 ms or so. For a host that has
    /// nothing else to do; call it again as long as [`is_to_be_prepared`](History::is_to_be_prepared).
    ///
    /// # Errors
    /// See [`step`](History::step). The present moment stays.
    pub fn prepare(&mut self) -> Result<(), Stuck> {
        let Some(wanted) = self.spare_wanted() else { return Ok(()) };
        let earlier = self.spare.take().filter(|spare| spare.moment() <= wanted);
        let mut spare = match earlier {
            Some(spare) => spare,
            None => {
                let beginning = Recipe { moment: 0, ..self.recipe.clone() };
                Box::new(History::again(&self.make, &beginning)?)
            }
        };
        spare.recipe.actions.clone_from(&self.recipe.actions);
        spare.go_to(wanted.min(spare.moment() + SPARE_STEPS))?;
        self.spare = Some(spare);
        Ok(())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

/// How much a page was told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    events: u64,
    notes: u64,
}

impl Told {
    /// How many events there are to be told after the first so many, at most.
    fn events_after(&self, told: u64) -> usize {
        usize::try_from(self.events.saturating_sub(told)).unwrap_or(usize::MAX)
    }

    fn notes_after(&self, told: u64) -> usize {
        usize::try_from(self.notes.saturating_sub(told)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
