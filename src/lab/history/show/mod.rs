//! A history for a page: the commands of its buttons, and virtual time that passes as fast as real time.

mod telling;

use std::fmt;
use std::io;
use std::time::Duration;

use serde_json::Value;

use super::exercises::{self, Exercise};
use super::recipe::{ACTIONS_MAX, Deed, MOMENT_MAX, Recipe};
use super::set::EVENTS_KEPT;
use super::{History, Staged, Stands, Stuck, Told, greeting_world};
use crate::events::{Event, Observer};
use crate::lab::message::{self, Message, Refused};
use crate::lab::orders::{Going, Order, Unit, Until, parameter};
use crate::lab::scenario::{NoSuchScenario, Scenario};
use crate::server::Service;
use crate::world::Time;

/// Steps that are taken at once, at most: then the page is shown what happened, and may order something else.
const STEPS_AT_ONCE: usize = 500;

/// Events that wait to be told, at most: fewer than are kept.
const TOLD_AT_ONCE: u64 = EVENTS_KEPT as u64 / 2;

/// Time between two snapshots of a loop that runs.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);

/// A wait that is shorter is not waited for.
const SHORT: Duration = Duration::from_millis(4);

/// A page that orders nothing for so long is not going to do so at once: there is time to prepare for its going back.
const REST: Duration = Duration::from_millis(60);

/// Time between two parts of that: a page is to be drawn meanwhile.
const PREPARE_INTERVAL: Duration = Duration::from_millis(20);

/// A page that is behind by more than this has missed its time, and does not catch up.
const LATE: Duration = Duration::from_millis(100);

/// Makes the history of a recipe.
type Make = Box<dyn Fn(&Recipe) -> Result<History, Stuck>>;

/// A history that a page looks at. Its host calls [`command`](Show::command) for the page, and
/// [`tick`](Show::tick) when that has said that it is time; after each, it hands the [`messages`](Show::messages) on.
///
/// ```
/// use helloop::greeting::Greeting;
/// use helloop::lab::history::Show;
/// use std::time::Duration;
///
/// let mut show = Show::new("seed=1", || Greeting)?;
/// show.command("step-turn", "", Duration::ZERO).unwrap();
/// let shown = show.messages();
/// assert!(shown.starts_with("event: hello\n") && shown.contains("event: snapshot\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Show {
    make: Make,
    history: History,
    going: Going,
    /// Why it is held when it is held next.
    why: &'static str,
    dwell: Duration,
    told: Told,
    outbox: Vec<Message>,
    /// What pages were shown last, as far as they keep up.
    base: Option<Value>,
    /// A moment of the host's clock, and that of the virtual one which belongs to it.
    rhythm: (Duration, Time),
    /// The wait of a turn is not over yet for the page.
    wait: Option<Wait>,
    /// When the last turn began, by the host's clock.
    turned: Duration,
    /// When the last snapshot was sent.
    shown: Option<Duration>,
    /// When something was ordered last.
    ordered: Duration,
}

/// A wait that the history has behind it, or that never ends, and the page has not.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// When it began, by the host's clock.
    began: Duration,
    /// When it ends; `None`: never.
    ends: Option<Duration>,
}

impl Show {
    /// The world of a recipe, held at its moment.
    ///
    /// # Errors
    /// What is wrong with the recipe, or with its world.
    pub fn new<S: Service + 'static>(
        recipe: &str,
        service: impl Fn() -> S + Clone + 'static,
    ) -> Result<Show, Box<dyn std::error::Error>> {
        Show::of(recipe, move |recipe, observer| greeting_world(recipe, observer, service()))
    }

    /// The world of a recipe, which may be one that the host makes; see [`History::of`].
    ///
    /// # Errors
    /// What is wrong with the recipe, or with its world.
    pub fn of(
        recipe: &str,
        make: impl Fn(&Recipe, Box<dyn Observer>) -> io::Result<Staged> + Clone + 'static,
    ) -> Result<Show, Box<dyn std::error::Error>> {
        let make = Box::new(move |recipe: &Recipe| History::of(recipe, make.clone()));
        let history = make(&recipe.parse()?)?;
        let mut show = Show {
            make,
            history,
            going: Going::Paused,
            why: "lab began",
            dwell: Duration::ZERO,
            told: Told::default(),
            outbox: Vec::new(),
            base: None,
            rhythm: (Duration::ZERO, Time::ZERO),
            wait: None,
            turned: Duration::ZERO,
            shown: None,
            ordered: Duration::ZERO,
        };
        let (opening, look) = show.for_a_new_page();
        (show.outbox, show.base) = (opening, Some(look));
        show.told = show.history.all();
        Ok(show)
    }

    /// What a page is sent that has just been opened, as server-sent events.
    pub fn opening(&self) -> String {
        text(&self.for_a_new_page().0)
    }

    /// What was not sent yet, as server-sent events: `event: NAME`, `data: JSON`, and an empty line.
    pub fn messages(&mut self) -> String {
        text(&std::mem::take(&mut self.outbox))
    }

    #[cfg(feature = "lab")]
    pub(in crate::lab) fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.outbox)
    }

    /// Everything, for a page that knows nothing, or has missed something. The others have to be told first what is in
    /// [`take_messages`](Show::take_messages): what follows is told as changes.
    #[cfg(feature = "lab")]
    pub(in crate::lab) fn anew(&mut self) -> Message {
        let (everything, look) = self.everything();
        self.base = Some(look);
        let all: Vec<_> = [message::back()].into_iter().chain(everything).collect();
        message::joined(&all)
    }

    /// Shows all pages the present moment, so that one that is opened now sees what they see.
    #[cfg(feature = "lab")]
    pub(in crate::lab) fn catch_up(&mut self, now: Duration) {
        self.tell_news();
        self.show(now);
    }

    /// The text of the present moment's recipe.
    pub fn recipe(&self) -> String {
        self.history.recipe().to_string()
    }

    /// Does what a page has asked by `POST do/WHAT?QUERY`, at this moment of the host's clock.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn command(&mut self, what: &str, query: &str, now: Duration) -> Result<(), Refused> {
        self.ordered = now;
        match Order::of(what, query) {
            Some(order) => self.obey(order?, now),
            None => self.travel(what, query, now)?,
        }
        Ok(())
    }

    fn obey(&mut self, order: Order, now: Duration) {
        match order {
            Order::Slow(dwell) => {
                self.dwell = dwell;
                self.show(now);
            }
            Order::Go(going, why) => {
                self.why = why;
                if going == Going::Paused && self.going != Going::Paused {
                    self.end_wait(now);
                    self.hold(now);
                } else if going != Going::Paused {
                    self.go(going, now);
                }
            }
        }
    }

    fn travel(&mut self, what: &str, query: &str, now: Duration) -> Result<(), Refused> {
        let history = &self.history;
        match what {
            "traffic" => return self.begin(named(query, "scenario")?, now),
            "act" => return self.begin(named(query, "what")?, now),
            "what-if" => return self.compare(named(query, "what")?),
            "back-resume" => self.go_to(history.moment().saturating_sub(1), now),
            "back-turn" => self.go_to(history.turn_before(), now),
            "go-to" => {
                let moment = parameter(query, "moment").and_then(|moment| moment.parse().ok());
                let moment = moment.filter(|moment| *moment <= MOMENT_MAX);
                let remedy = format!("moment= is a number from 0 to {MOMENT_MAX}");
                self.go_to(moment.ok_or_else(|| Refused::Query(remedy.into()))?, now);
            }
            "check" => {
                let exercise = exercise(query)?;
                if self.going != Going::Paused {
                    return Err(Refused::Now("hold the loop first: an answer is a moment".into()));
                }
                let missing = exercise.missing(&self.history);
                let missing = missing.map_err(|stuck| Refused::Now(stuck.to_string().into()))?;
                self.outbox.push(message::judged(exercise.name, missing));
            }
            "solve" => return self.travel("open", exercise(query)?.solution, now),
            "open" => {
                let recipe = query.parse::<Recipe>();
                let recipe = recipe.map_err(|error| Refused::Query(error.to_string().into()))?;
                let history = (self.make)(&recipe);
                self.history = history.map_err(|stuck| Refused::Now(stuck.to_string().into()))?;
                self.tell_anew(now);
            }
            _ => return Err(Refused::Query("there is no such command".into())),
        }
        Ok(())
    }

    /// Does something from outside.
    fn begin(&mut self, what: Deed, now: Duration) -> Result<(), Refused> {
        self.has_room()?;
        self.act(what, now);
        if self.going == Going::Paused {
            self.tell_news();
            self.show(now);
        }
        Ok(())
    }

    /// Two futures of the present moment.
    fn compare(&mut self, what: Deed) -> Result<(), Refused> {
        self.has_room()?;
        if self.going != Going::Paused {
            return Err(Refused::Now("the loop runs: pause it first".into()));
        }
        match self.history.what_if(what) {
            Ok(futures) => self.outbox.push(message::futures(&futures, self.history.moment())),
            Err(stuck) => self.say(Err(stuck)),
        }
        Ok(())
    }

    fn has_room(&self) -> Result<(), Refused> {
        if self.history.is_full() {
            let remedy = format!("no more than {ACTIONS_MAX} actions in a history; begin anew");
            return Err(Refused::Now(remedy.into()));
        }
        Ok(())
    }

    /// Does something from outside: now, or within the wait that the page is in.
    fn act(&mut self, deed: Deed, now: Duration) {
        let Some(wait) = self.wait.take() else {
            let acted = self.history.act(deed, Duration::ZERO);
            return self.say(acted);
        };
        let elapsed = now.saturating_sub(wait.began);
        let acted = if self.history.is_asleep() {
            self.history.act(deed, elapsed)
        } else {
            // The page has not seen how the wait ends: it ends in another way.
            let turn = self.history.go_to(self.history.moment() - 1);
            let elapsed = elapsed.max(Duration::from_nanos(1));
            let acted = turn.and_then(|()| self.history.act(deed, elapsed));
            acted.and_then(|()| self.history.step().map(drop))
        };
        self.say(acted);
        self.wait_on(wait.began, now);
    }

    /// The wait that the page is in is ended.
    fn end_wait(&mut self, now: Duration) {
        if self.wait.is_some() && !self.history.is_full() {
            self.act(Deed::Wake, now);
        }
        self.wait = None;
    }

    fn go(&mut self, going: Going, now: Duration) {
        if going == self.going {
            return;
        }
        if self.going == Going::Paused {
            self.outbox.push(message::gate(None));
            self.rhythm = (now, self.history.set.now());
        }
        if going != Going::On {
            self.wait = None;
        }
        self.going = going;
        self.turned = now;
        self.tick(now);
    }

    /// Goes to a moment, and stays there.
    fn go_to(&mut self, moment: u64, now: Duration) {
        let is_later = moment >= self.history.moment() && self.wait.is_none();
        let gone = self.history.go_to(moment);
        self.say(gone);
        let is_told = is_later && self.history.events() - self.told.events < EVENTS_KEPT as u64;
        self.why = "there";
        if is_told {
            self.hold(now);
        } else {
            self.tell_anew(now);
        }
    }

    fn tell_anew(&mut self, now: Duration) {
        (self.going, self.wait) = (Going::Paused, None);
        self.outbox.push(message::back());
        let (mut all, look) = self.everything();
        self.outbox.append(&mut all);
        self.base = Some(look);
        self.told = self.history.all();
        self.shown = Some(now);
    }

    /// Goes on, if it goes on at all and it is time for it. Returns the time after which it is to be called again; `None`
    /// if nothing happens before the next command.
    pub fn tick(&mut self, now: Duration) -> Option<Duration> {
        for _ in 0..STEPS_AT_ONCE {
            if self.going == Going::Paused {
                return self.prepare(now);
            }
            if let Some(wait) = self.wait {
                match wait.ends {
                    None => return None,
                    Some(ends) if ends > now => return Some(ends - now),
                    Some(_) => self.wait = None,
                }
                self.tell_news();
            } else {
                if self.is_dwelling(now) {
                    self.tell_news();
                    self.show_now_and_then(now);
                    return Some(self.turned + self.dwell - now);
                }
                self.step(now);
            }
            if self.has_come() {
                self.hold(now);
            } else if self.history.all().events > self.told.events + TOLD_AT_ONCE {
                self.tell_news();
            }
        }
        self.tell_news();
        self.show_now_and_then(now);
        Some(Duration::ZERO)
    }

    /// Nothing else is to be done: makes ready for going back. Returns when to go on with it.
    fn prepare(&mut self, now: Duration) -> Option<Duration> {
        if !self.history.is_to_be_prepared() {
            return None;
        }
        let rested = self.ordered + REST;
        if now < rested {
            return Some(rested - now);
        }
        // A world that cannot be prepared is replayed when it is needed, and what is wrong is said then.
        self.history.prepare().ok().map(|()| PREPARE_INTERVAL)
    }

    /// Slow motion holds each turn for a while.
    fn is_dwelling(&self, now: Duration) -> bool {
        self.going == Going::On
            && self.history.stands == Stands::Between
            && now < self.turned + self.dwell
    }

    /// One step. One that waits for long is shown as far as its wait.
    fn step(&mut self, now: Duration) {
        let is_turn = self.history.stands == Stands::Between;
        let handle = self.history.set.event_loop.handle();
        let may_wait = is_turn && handle.ready().is_empty() && self.going == Going::On;
        let before = may_wait.then(|| self.look(self.history.snapshot(false)));
        let all = self.history.all();
        let stepped = self.history.step();
        match stepped {
            Ok(true) => {}
            Ok(false) if self.going == Going::On => {}
            stuck => {
                self.say(stuck.map(drop));
                return self.hold(now);
            }
        }
        if is_turn {
            self.turned = now;
        }
        self.wait_on(now, now);
        if let Some(before) = before.filter(|_| self.wait.is_some()) {
            // What was before the wait, then `TurnBegan` and `Waiting`. What clients do in a wait that ends is told when it
            // has ended.
            self.tell(all);
            self.tell_look(before);
            self.tell(Told { events: all.events + 2, ..all });
            if self.history.is_asleep() {
                self.tell_news();
            }
            self.shown = Some(now);
        }
    }

    /// Whether the page is still in the wait that the history has behind it, which began at `began`.
    fn wait_on(&mut self, began: Duration, now: Duration) {
        if self.going != Going::On {
            return;
        }
        if self.history.is_asleep() {
            self.rhythm = (began, self.history.set.now());
            self.wait = Some(Wait { began, ends: None });
            return;
        }
        let ends = self.rhythm.0 + self.history.set.now().since(self.rhythm.1);
        if ends + LATE < now {
            self.rhythm = (now, self.history.set.now());
        }
        if ends > now + SHORT {
            self.wait = Some(Wait { began, ends: Some(ends) });
        }
    }

    /// What it was sent to has happened, or it can go no further.
    fn has_come(&self) -> bool {
        match self.going {
            Going::On | Going::Paused => false,
            _ if self.history.is_asleep() => true,
            Going::Step(Unit::Resume) => true,
            Going::Step(Unit::Turn) => self.history.stands == Stands::Between,
            Going::Until(Until::Resume(task)) => {
                self.history.set.event_loop.peek().is_some_and(|(next, _)| next == task)
            }
            Going::Until(until) => {
                // Among what the page was not told yet.
                let events = self.history.set.seen.events.borrow();
                let (_, mut new) = events.after(self.told.events);
                new.any(|(_, event): &(Time, Event)| until.is(event))
            }
        }
    }

    /// Stops here, and shows it.
    fn hold(&mut self, now: Duration) {
        self.going = Going::Paused;
        self.wait = None;
        self.tell_news();
        self.outbox.push(message::gate(Some(&self.held())));
        self.show(now);
    }
}

/// `exercise=NAME`
fn exercise(query: &str) -> Result<&'static Exercise, Refused> {
    let name = parameter(query, "exercise").unwrap_or_default();
    exercises::named(name).ok_or_else(|| Refused::Query("there is no such exercise".into()))
}

/// What is to be done: a parameter that names it.
fn named(query: &str, parameter_name: &str) -> Result<Deed, Refused> {
    let name = parameter(query, parameter_name).unwrap_or_default();
    let deed = Deed::named(name).filter(|deed| *deed != Deed::Wake);
    let remedy = || {
        let known = NoSuchScenario.to_string();
        Refused::Query(format!("{known}, reset, and faults such as short=40").into())
    };
    let deed = deed.ok_or_else(remedy)?;
    match deed {
        Deed::Begin(scenario) if !offered().any(|known| known == scenario) => {
            Err(Refused::Now("this page was built without the client".into()))
        }
        _ => Ok(deed),
    }
}

/// Scenarios for which the server of a history has all that they ask for.
fn offered() -> impl Iterator<Item = Scenario> {
    let is_there = |scenario: &Scenario| cfg!(feature = "client") || *scenario != Scenario::Gather;
    Scenario::ALL.into_iter().filter(is_there)
}

fn text(messages: &[Message]) -> String {
    messages.iter().map(|message| &*message.text).collect()
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Show").field("history", &self.history).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
