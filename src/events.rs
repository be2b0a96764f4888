//! What a loop reports about itself: one flat vocabulary of [`Event`]s, and the observers that receive them.
//!
//! An [`Observer`] is installed while the program runs; without one, an event costs one branch that
//! is always predicted. Narrators, recorders, traces and the checkers in tests are all folds over
//! the same stream.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::event_loop::{Cause, Flow};
use crate::id::{SourceId, TaskId};
use crate::panics::caught;
use crate::world::{LoopClock, Readiness, Time};

/// Something that happened on the loop. Flat, `Copy`, and a sentence when displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence of a variant speaks of its fields")]
pub enum Event {
    /// A turn began, with so many tasks in the ready queue and so many timers set.
    TurnBegan { turn: u64, ready: usize, timers: usize },
    /// Phase 1 worked out how long the world may be waited for.
    Waiting { timeout: Timeout },
    /// Phase 2 is over: the world reported so many sources.
    Waited { sources: usize },
    /// The world reported a source.
    Ready { source: SourceId, readiness: Readiness },
    /// A deadline came.
    TimerFired { task: TaskId, deadline: Time },
    /// A task was put into the ready queue (once, however many causes follow).
    Queued { task: TaskId, cause: Cause },
    /// Phase 4 resumes a task.
    Resumed { task: TaskId, kind: &'static str, cause: Cause },
    /// The task gave control back.
    Suspended { task: TaskId, flow: Flow },
    /// A new task was given to the loop.
    Spawned { task: TaskId, kind: &'static str },
    /// A task is gone; its id finds nothing from now on.
    Finished { task: TaskId, kind: &'static str },
    /// A task panicked; it was removed, the loop goes on.
    Panicked { task: TaskId, kind: &'static str },
    /// A state machine went from one state to another.
    State { task: TaskId, from: &'static str, to: &'static str },
    /// A timer was set.
    TimerSet { task: TaskId, deadline: Time },
    /// A timer was taken back before it fired.
    TimerCancelled { task: TaskId, deadline: Time },
    /// A socket was registered for a task; for the null id while it connects, and has no owner yet.
    Opened { source: SourceId, task: TaskId },
    /// A connection was taken from the accept queue of `source`.
    Accepted { source: SourceId },
    /// Bytes were read.
    Read { source: SourceId, bytes: usize },
    /// The end of the stream was read.
    ReadEnd { source: SourceId },
    /// Bytes were written, out of so many.
    Wrote { source: SourceId, bytes: usize, of: usize },
    /// An operation would have blocked; the sticky bit is cleared.
    WouldBlock { source: SourceId, operation: Operation },
    /// The write side was shut.
    Shut { source: SourceId },
    /// A socket was closed.
    Closed { source: SourceId },
    /// A request is complete.
    Request { task: TaskId, number: u32, line: Excerpt },
    /// A request was answered; the bytes of the body are counted.
    Response { task: TaskId, number: u32, status: u16, body_bytes: usize },
    /// A resume took so long that it is worth a report; so many ready tasks waited meanwhile.
    Stall { task: TaskId, kind: &'static str, took: Duration, waiting: usize },
    /// More about the stall before it: the state of the task or the place in the source where it was
    /// made (empty: it does not say), and which task waited longest, ready or with a timer that was due
    /// (the null id: none).
    Blamed { task: TaskId, place: &'static str, longest: TaskId, waited: Duration },
    /// The resumes of a turn took that long together, although none did alone; that of `task` took
    /// `most`.
    LongTurn { took: Duration, resumed: usize, task: TaskId, most: Duration },
    /// Why a connection ends: one sentence.
    Ending { task: TaskId, why: &'static str },
}

/// How long phase 2 may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all: a task is ready.
    Zero,
    /// Until the next timer, or as long as the caller of the turn allows.
    Until(Duration),
    /// Until the world reports something.
    Forever,
}

impl Timeout {
    /// At `now`, for a wait until that moment; `None`: for ever.
    pub(crate) fn as_of(now: Time, until: Option<Time>) -> Timeout {
        match until.map(|until| until.since(now)) {
            None => Timeout::Forever,
            Some(Duration::ZERO) => Timeout::Zero,
            Some(duration) => Timeout::Until(duration),
        }
    }
}

/// What would have blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A read.
    Read,
    /// A write.
    Write,
    /// An accept.
    Accept,
}

/// The beginning of a text, `Copy`, printable ASCII only: `GET /World`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Excerpt {
    bytes: [u8; Excerpt::BYTES_MAX],
    /// Bytes in use; those after them are zero.
    used: u8,
}

impl Excerpt {
    /// Bytes of a text that are kept; a longer one ends with `...`.
    pub const BYTES_MAX: usize = 31;

    /// The beginning of the parts put together. Bytes that do not print become `?`.
    pub fn of(parts: &[&str]) -> Excerpt {
        let mut excerpt = Excerpt { bytes: [0; Excerpt::BYTES_MAX], used: 0 };
        for byte in parts.iter().flat_map(|part| part.bytes()) {
            if usize::from(excerpt.used) == Excerpt::BYTES_MAX {
                excerpt.bytes[Excerpt::BYTES_MAX - 3..].copy_from_slice(b"...");
                break;
            }
            let printable = byte == b' ' || byte.is_ascii_graphic();
            excerpt.bytes[usize::from(excerpt.used)] = if printable { byte } else { b'?' };
            excerpt.used += 1;
        }
        excerpt
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.used)]).unwrap_or("?")
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Receives every event of a loop, as it happens.
///
/// It may ask the loop's handle for things; events that this causes are not reported, so an observer
/// cannot observe itself. One that panics is removed and logged; the loop goes on.
pub trait Observer {
    /// `event` happened at `at`, a fresh reading of the loop's clock.
    fn event(&mut self, at: Time, event: &Event);
}

/// Several observers are one: each receives the event, in order.
impl Observer for Vec<Box<dyn Observer>> {
    fn event(&mut self, at: Time, event: &Event) {
        for observer in self {
            observer.event(at, event);
        }
    }
}

impl<F: FnMut(Time, &Event)> Observer for F {
    fn event(&mut self, at: Time, event: &Event) {
        self(at, event);
    }
}

/// Where a loop's events go: to the installed observer, if there is one.
pub(crate) struct Watch {
    /// True while an observer is installed and not being called: the one branch of the hot path.
    on: Cell<bool>,
    /// Empty while the observer is being called, too.
    observer: RefCell<Option<Box<dyn Observer>>>,
    /// Counts installations, so that an observer which replaces itself is not put back.
    installed: Cell<u64>,
    clock: Rc<LoopClock>,
}

impl Watch {
    pub(crate) fn new(clock: Rc<LoopClock>) -> Watch {
        Watch { on: Cell::new(false), observer: RefCell::new(None), installed: Cell::new(0), clock }
    }

    /// Installs an observer in the place of the present one, which is returned.
    pub(crate) fn install(&self, observer: Option<Box<dyn Observer>>) -> Option<Box<dyn Observer>> {
        self.on.set(observer.is_some());
        self.installed.set(self.installed.get() + 1);
        self.observer.replace(observer)
    }

    /// Reports to the observer. `event` is evaluated only if there is one.
    #[inline]
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.on.get() {
            self.tell_observer(&event());
        }
    }

    #[cold]
    fn tell_observer(&self, event: &Event) {
        // Taken out while it runs, so that it may do anything, even replace itself.
        let Some(mut observer) = self.observer.take() else { return };
        self.on.set(false);
        let installed = self.installed.get();
        let at = self.clock.now();
        if let Err(words) = caught(|| observer.event(at, event)) {
            log::error!("the observer panicked at {event:?}, and was removed: {words}");
            // Its drop may panic as well.
            let _ = caught(|| drop(observer));
            return;
        }
        if installed == self.installed.get() {
            self.observer.replace(Some(observer));
            self.on.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Clock;
    use std::time::Instant;

    fn watching_nobody() -> Watch {
        Watch::new(Rc::new(LoopClock::new(Clock::Os(Instant::now()))))
    }

    fn turn(turn: u64) -> Event {
        Event::TurnBegan { turn, ready: 0, timers: 0 }
    }

    #[test]
    fn nobody_listens_nothing_is_evaluated() {
        let watch = watching_nobody();
        watch.tell(|| panic!("evaluated"));
    }

    #[test]
    fn an_observer_that_panics_is_removed() {
        let watch = watching_nobody();
        let told = Rc::new(Cell::new(0));
        let count = Rc::clone(&told);
        watch.install(Some(Box::new(move |_: Time, _: &Event| {
            count.set(count.get() + 1);
            assert!(count.get() < 2, "the second event is too much");
        })));
        for n in 0..4 {
            watch.tell(|| turn(n));
        }
        assert_eq!(told.get(), 2);
        assert!(watch.install(None).is_none());
    }

    #[test]
    fn an_observer_may_tell_without_end() {
        let watch = Rc::new(watching_nobody());
        let (inner, told) = (Rc::clone(&watch), Rc::new(Cell::new(0)));
        let count = Rc::clone(&told);
        watch.install(Some(Box::new(move |_: Time, _: &Event| {
            count.set(count.get() + 1);
            inner.tell(|| turn(9));
        })));
        watch.tell(|| turn(1));
        watch.tell(|| turn(2));
        assert_eq!(told.get(), 2, "what an observer causes is not told");
    }

    #[test]
    fn an_event_is_small() {
        // It is copied for every observer that keeps it.
        assert!(size_of::<Event>() <= 56, "{} bytes", size_of::<Event>());
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(Excerpt::of(&["GET ", "/World"]).as_str(), "GET /World");
        assert_eq!(Excerpt::of(&["a\r\nb\u{e9}"]).as_str(), "a??b??");
        let long = Excerpt::of(&[&"x".repeat(100)]);
        assert_eq!(long.as_str(), format!("{}...", "x".repeat(28)));
        assert_eq!(Excerpt::of(&[&"x".repeat(31)]).as_str(), "x".repeat(31));
    }
}
