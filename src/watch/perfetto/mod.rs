//! Events as a trace of the "Trace Event Format", which ui.perfetto.dev and chrome://tracing open.
//!
//! The loop is one thread lane: a turn holds a wait, the queueing, and the resumes; a resume holds
//! what the task did. An arrow goes from where a task was queued to where it is resumed. Each task
//! is an asynchronous track, from its birth to its end, with its states below. Counters show what
//! is ready, timers, connections by state, and bytes that the kernel has not taken yet.
//!
//! Moments are microseconds with three decimals. Two things that happened at the same nanosecond are
//! drawn one nanosecond apart, so that their order can be seen.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;

use crate::events::Event;
use crate::id::{SourceId, TaskId};
use crate::world::Time;

mod lane;
mod tracks;

/// Writes events as one object of JSON. Its memory is bounded by what is alive on the loop.
#[derive(Debug)]
pub struct Perfetto<W> {
    out: W,
    /// The entry that is being made; kept for its memory.
    line: String,
    is_first: bool,
    /// The moment of the last event, in nanoseconds; each is later than the one before it, as far as
    /// there is a later one.
    now: u64,
    /// Open slices of the thread, outermost first.
    open: Vec<Slice>,
    /// Tasks that are alive, by slot: a task that follows in a slot ends the one before it.
    tasks: BTreeMap<u64, Track>,
    /// When tasks in the ready queue were put there.
    queued: HashMap<TaskId, u64>,
    /// Arrows drawn so far.
    arrows: u64,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    Preparing,
    Turn,
    Wait,
    Queue,
    Resume(TaskId),
}

/// A task that is alive.
#[derive(Debug)]
struct Track {
    task: TaskId,
    kind: &'static str,
    /// Empty until it has changed for the first time: no event says in which state a task begins.
    state: &'static str,
    /// When it came into that state.
    since: u64,
}

/// What the counters show, and what they last showed.
#[derive(Debug, Default)]
struct Counters {
    /// Connections by state: [`STATES_MAX`], and [`OTHERS`].
    states: BTreeMap<&'static str, i64>,
    has_changed: bool,
    /// Bytes that were to be written and were not taken, by socket.
    unsent: HashMap<SourceId, u64>,
    /// Wider than any of them, because a trace may say what it likes.
    unsent_sum: u128,
    shown: Option<(usize, usize, u128)>,
}

/// The kind of task that is counted by state.
const COUNTED: &str = "connection";

/// States that are counted singly: all of them stand in each entry of the counter, so a trace that
/// makes states up would make its picture quadratic.
const STATES_MAX: usize = 32;

/// All states above that.
const OTHERS: &str = "other states";

/// The state of a counted task before its first change.
const NEW: &str = "new";

impl<W: io::Write> Perfetto<W> {
    /// Begins the object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Perfetto<W>> {
        let mut this = Perfetto {
            out,
            line: String::new(),
            is_first: true,
            now: 0,
            open: Vec::new(),
            tasks: BTreeMap::new(),
            queued: HashMap::new(),
            arrows: 0,
            counters: Counters::default(),
        };
        this.out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        for (name, value) in [
            ("process_name", "\"name\":\"helloop\""),
            ("process_sort_index", "\"sort_index\":0"),
            ("thread_name", "\"name\":\"event loop\""),
            ("thread_sort_index", "\"sort_index\":0"),
        ] {
            this.entry(format_args!(
                "\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"{name}\",\"args\":{{{value}}}"
            ))?;
        }
        Ok(this)
    }

    /// Ends everything that is still open, and the object; returns the output.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.tick();
        self.close_to(0)?;
        while let Some((_, track)) = self.tasks.pop_first() {
            self.end_track(&track)?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Says that so many events are missing here.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn gap(&mut self, events: u64) -> io::Result<()> {
        self.tick();
        // What was open may have ended meanwhile.
        self.close_to(0)?;
        self.queued.clear();
        self.instant("events are missing", "g", format_args!("\"missing\":{events}"))
    }

    /// Writes what the event means.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn event(&mut self, at: Time, event: &Event) -> io::Result<()> {
        let before = self.now;
        self.tick();
        self.now = self.now.max(at.as_nanos());
        if self.open.is_empty() && !matches!(event, Event::TurnBegan { .. }) {
            let name = if self.is_at_the_beginning() { "before the first turn" } else { "…" };
            self.begin(Slice::Preparing, name, format_args!(""))?;
        }
        match *event {
            Event::TurnBegan { .. }
            | Event::Waiting { .. }
            | Event::Waited { .. }
            | Event::Resumed { .. }
            | Event::Suspended { .. } => self.phase(event),
            Event::Spawned { task, kind } => self.begin_track(task, kind),
            Event::Queued { task, .. } => {
                self.queued.insert(task, self.now);
                self.mark(event)
            }
            Event::Finished { task, .. } => self.finished(task, event),
            Event::State { task, to, .. } => self.state(task, event, to),
            Event::Read { bytes, .. } => {
                self.work("read", before, format_args!("\"bytes\":{bytes}"), event)
            }
            Event::Request { task, .. } => {
                self.work("parse", before, format_args!(""), event)?;
                self.point(task, event)
            }
            Event::Response { task, status, .. } => {
                self.work("service", before, format_args!("\"status\":{status}"), event)?;
                self.point(task, event)
            }
            Event::Wrote { source, bytes, of } => {
                self.counters.unsent(source, of.saturating_sub(bytes) as u64);
                self.work("write", before, format_args!("\"bytes\":{bytes},\"of\":{of}"), event)
            }
            Event::Closed { source } => {
                self.counters.unsent(source, 0);
                self.mark(event)
            }
            Event::Ending { task, .. } => {
                self.mark(event)?;
                self.point(task, event)
            }
            _ => self.mark(event),
        }
    }

    /// So that the next entry is later than the last, except at the end of time.
    fn tick(&mut self) {
        self.now = self.now.saturating_add(1);
    }

    fn is_at_the_beginning(&self) -> bool {
        self.counters.shown.is_none()
    }
}

impl Track {
    fn state_name(&self) -> &'static str {
        if self.state.is_empty() { NEW } else { self.state }
    }
}

impl Counters {
    fn state(&mut self, kind: &str, from: &'static str, to: &'static str) {
        if kind != COUNTED {
            return;
        }
        for (state, change) in [(from, -1), (to, 1)] {
            if state.is_empty() {
                continue;
            }
            let is_counted = self.states.len() < STATES_MAX || self.states.contains_key(state);
            *self.states.entry(if is_counted { state } else { OTHERS }).or_default() += change;
        }
        self.has_changed = true;
    }

    fn unsent(&mut self, source: SourceId, bytes: u64) {
        let before = match bytes {
            0 => self.unsent.remove(&source),
            _ => self.unsent.insert(source, bytes),
        };
        self.unsent_sum = self.unsent_sum + u128::from(bytes) - u128::from(before.unwrap_or(0));
    }
}

/// The slot of an id, without the count of its uses.
fn slot(task: TaskId) -> u64 {
    task.to_bits() & 0xffff_ffff
}

/// Nanoseconds as microseconds with three decimals.
struct Micros(u64);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// A text of JSON, in ASCII.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                ' '..='~' => f.write_char(character)?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(f, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        f.write_char('"')
    }
}
