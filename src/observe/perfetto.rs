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

use super::{Event, Timeout};
use crate::id::{SourceId, TaskId};
use crate::world::Time;

/// Writes events as one object of JSON. Its memory is bounded by what is alive on the loop.
#[derive(Debug)]
pub struct Perfetto<W> {
    out: W,
    /// The entry that is being made; kept for its memory.
    line: String,
    is_first: bool,
    /// The moment of the last event, in nanoseconds; each is later than the one before it.
    now: u64,
    /// Open slices of the thread, outermost first.
    open: Vec<Slice>,
    /// Tasks that are alive, by slot: who follows in a slot ends who was there.
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
    /// Empty until it has changed for the first time: nobody says in which one a task begins.
    state: &'static str,
    /// When it came into that state.
    since: u64,
}

/// What the counters show, and what they last showed.
#[derive(Debug, Default)]
struct Counters {
    /// Connections by state.
    states: BTreeMap<&'static str, i64>,
    has_changed: bool,
    /// Bytes that were to be written and were not taken, by socket.
    unsent: HashMap<SourceId, u64>,
    unsent_sum: u64,
    shown: Option<(usize, usize, u64)>,
}

/// The kind of task that is counted by state.
const COUNTED: &str = "connection";

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

    /// Ends everything that is still open, and the object; gives the output back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.now += 1;
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
        self.now += 1;
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
        self.now = at.as_nanos().max(self.now + 1);
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

    fn is_at_the_beginning(&self) -> bool {
        self.counters.shown.is_none()
    }
}

/// The thread lane.
impl<W: io::Write> Perfetto<W> {
    /// What belongs to the loop itself.
    fn phase(&mut self, event: &Event) -> io::Result<()> {
        match *event {
            Event::TurnBegan { turn, ready, timers } => {
                self.close_to(0)?;
                let name = format!("turn {turn}");
                self.begin(
                    Slice::Turn,
                    &name,
                    format_args!("\"ready\":{ready},\"timers\":{timers}"),
                )?;
                self.count(ready, timers)
            }
            Event::Waiting { timeout } => {
                self.close_to(1)?;
                self.begin(Slice::Wait, "wait", format_args!("\"timeout\":\"{timeout}\""))?;
                // Whether it will sleep; a viewer may filter by it.
                let sleeps = timeout != Timeout::Zero;
                self.instant("timeout", "t", format_args!("\"sleeps\":{sleeps}"))
            }
            Event::Waited { sources } => {
                self.close_to(1)?;
                self.begin(Slice::Queue, "queue", format_args!("\"sources\":{sources}"))
            }
            Event::Resumed { task, kind, cause } => {
                self.close_to(1)?;
                // A trace that begins later than its tasks.
                if self.track(task).is_none() {
                    self.begin_track(task, kind)?;
                    self.now += 1;
                }
                let name = format!("{kind} {task}");
                self.begin(Slice::Resume(task), &name, format_args!("\"cause\":\"{cause}\""))?;
                self.arrow(task)
            }
            Event::Suspended { task, .. } => self.end_resume(task),
            _ => Ok(()),
        }
    }

    /// Ends the resume of `task`, if that is what is open.
    fn end_resume(&mut self, task: TaskId) -> io::Result<()> {
        match self.open.iter().position(|slice| *slice == Slice::Resume(task)) {
            Some(depth) => self.close_to(depth),
            None => Ok(()),
        }
    }

    fn begin(&mut self, slice: Slice, name: &str, args: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.open.push(slice);
        let ts = Micros(self.now);
        self.entry(format_args!(
            "\"ph\":\"B\",\"pid\":1,\"tid\":1,\"ts\":{ts},\"name\":{},\"args\":{{{args}}}",
            Text(name)
        ))
    }

    /// Ends slices until `depth` are left.
    fn close_to(&mut self, depth: usize) -> io::Result<()> {
        while self.open.len() > depth {
            self.open.pop();
            let ts = Micros(self.now);
            self.entry(format_args!("\"ph\":\"E\",\"pid\":1,\"tid\":1,\"ts\":{ts}"))?;
        }
        Ok(())
    }

    /// What a task did since the event before this one, as a slice within its resume.
    fn work(
        &mut self,
        name: &str,
        began: u64,
        args: std::fmt::Arguments<'_>,
        event: &Event,
    ) -> io::Result<()> {
        if !matches!(self.open.last(), Some(Slice::Resume(_))) {
            return self.mark(event);
        }
        let (ts, dur) = (Micros(began), Micros(self.now - began));
        let text = event.to_string();
        let comma = if args.as_str() == Some("") { "" } else { "," };
        self.entry(format_args!(
            "\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{ts},\"dur\":{dur},\"name\":\"{name}\",\
             \"args\":{{\"text\":{}{comma}{args}}}",
            Text(&text)
        ))
    }

    /// An event without a length.
    fn mark(&mut self, event: &Event) -> io::Result<()> {
        let text = event.to_string();
        self.instant(event.name(), "t", format_args!("\"text\":{}", Text(&text)))
    }

    fn instant(
        &mut self,
        name: &str,
        scope: &str,
        args: std::fmt::Arguments<'_>,
    ) -> io::Result<()> {
        let ts = Micros(self.now);
        self.entry(format_args!(
            "\"ph\":\"i\",\"pid\":1,\"tid\":1,\"ts\":{ts},\"s\":\"{scope}\",\"name\":\"{name}\",\
             \"args\":{{{args}}}"
        ))
    }

    /// From where a task was queued to its resume, which has just begun.
    fn arrow(&mut self, task: TaskId) -> io::Result<()> {
        let Some(queued) = self.queued.remove(&task) else { return Ok(()) };
        self.arrows += 1;
        let (id, from, to) = (self.arrows, Micros(queued), Micros(self.now));
        let same = "\"pid\":1,\"tid\":1,\"cat\":\"wake\",\"name\":\"wake\"";
        self.entry(format_args!("\"ph\":\"s\",{same},\"id\":{id},\"ts\":{from}"))?;
        self.entry(format_args!("\"ph\":\"f\",\"bp\":\"e\",{same},\"id\":{id},\"ts\":{to}"))
    }

    fn count(&mut self, ready: usize, timers: usize) -> io::Result<()> {
        let unsent = self.counters.unsent_sum;
        if self.counters.shown != Some((ready, timers, unsent)) {
            self.counters.shown = Some((ready, timers, unsent));
            self.counter("ready tasks", format_args!("\"tasks\":{ready}"))?;
            self.counter("timers", format_args!("\"timers\":{timers}"))?;
            self.counter("unsent", format_args!("\"bytes\":{unsent}"))?;
        }
        if std::mem::take(&mut self.counters.has_changed) {
            let mut args = String::new();
            for (state, connections) in &self.counters.states {
                let comma = if args.is_empty() { "" } else { "," };
                let _ = write!(args, "{comma}{}:{connections}", Text(state));
            }
            self.counter("connections", format_args!("{args}"))?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, args: std::fmt::Arguments<'_>) -> io::Result<()> {
        let ts = Micros(self.now);
        self.entry(format_args!(
            "\"ph\":\"C\",\"pid\":1,\"ts\":{ts},\"name\":\"{name}\",\"args\":{{{args}}}"
        ))
    }

    fn entry(&mut self, members: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.line.clear();
        let comma = if self.is_first { "" } else { "," };
        self.is_first = false;
        let _ = write!(self.line, "{comma}\n{{{members}}}");
        self.out.write_all(self.line.as_bytes())
    }
}

/// The tracks of tasks.
impl<W: io::Write> Perfetto<W> {
    fn track(&mut self, task: TaskId) -> Option<&mut Track> {
        self.tasks.get_mut(&slot(task)).filter(|track| track.task == task)
    }

    fn begin_track(&mut self, task: TaskId, kind: &'static str) -> io::Result<()> {
        let track = Track { task, kind, state: "", since: self.now };
        // The end of who was there before is missing.
        if let Some(before) = self.tasks.insert(slot(task), track) {
            self.end_track(&before)?;
            self.now += 1;
            self.track(task).expect("it was put there").since = self.now;
        }
        self.counters.state(kind, "", NEW);
        self.nestable("b", self.now, task, format_args!("{}", Text(&format!("{kind} {task}"))))
    }

    /// What has ended, ends; the inner one first.
    fn end_track(&mut self, track: &Track) -> io::Result<()> {
        self.end_state(track)?;
        self.counters.state(track.kind, track.state_name(), "");
        let name = format!("{} {}", track.kind, track.task);
        self.nestable("e", self.now, track.task, format_args!("{}", Text(&name)))
    }

    fn end_state(&mut self, track: &Track) -> io::Result<()> {
        if track.state.is_empty() {
            return Ok(());
        }
        let name = Text(track.state);
        self.nestable("b", track.since, track.task, format_args!("{name}"))?;
        self.nestable("e", self.now, track.task, format_args!("{name}"))
    }

    fn finished(&mut self, task: TaskId, event: &Event) -> io::Result<()> {
        self.queued.remove(&task);
        if self.open.last() == Some(&Slice::Resume(task)) {
            self.end_resume(task)?;
        } else {
            self.mark(event)?;
        }
        if self.track(task).is_none() {
            return Ok(());
        }
        match self.tasks.remove(&slot(task)) {
            Some(track) => self.end_track(&track),
            None => Ok(()),
        }
    }

    fn state(&mut self, task: TaskId, event: &Event, to: &'static str) -> io::Result<()> {
        self.mark(event)?;
        let now = self.now;
        let Event::State { from, .. } = *event else { return Ok(()) };
        let Some(track) = self.track(task) else { return Ok(()) };
        let (counted, since, kind) = (track.state_name(), track.since, track.kind);
        (track.state, track.since) = (to, now);
        self.counters.state(kind, counted, to);
        self.end_state(&Track { task, kind, state: from, since })
    }

    /// Something without a length on the track of a task.
    fn point(&mut self, task: TaskId, event: &Event) -> io::Result<()> {
        if self.track(task).is_none() {
            return Ok(());
        }
        let text = event.to_string();
        self.nestable("n", self.now, task, format_args!("{}", Text(&text)))
    }

    /// An entry of a track; `name` is JSON already.
    fn nestable(
        &mut self,
        ph: &str,
        ts: u64,
        task: TaskId,
        name: std::fmt::Arguments<'_>,
    ) -> io::Result<()> {
        let (ts, id) = (Micros(ts), task.to_bits());
        self.entry(format_args!(
            "\"ph\":\"{ph}\",\"pid\":1,\"tid\":1,\"cat\":\"task\",\"id2\":{{\"local\":\"{id:#x}\"}},\
             \"ts\":{ts},\"name\":{name}"
        ))
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
            if !state.is_empty() {
                *self.states.entry(state).or_default() += change;
            }
        }
        self.has_changed = true;
    }

    fn unsent(&mut self, source: SourceId, bytes: u64) {
        let before = match bytes {
            0 => self.unsent.remove(&source),
            _ => self.unsent.insert(source, bytes),
        };
        self.unsent_sum = self.unsent_sum.saturating_add(bytes) - before.unwrap_or(0);
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
