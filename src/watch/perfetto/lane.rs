//! The lane of the loop's thread: slices that hold each other, arrows, and counters.

use std::fmt::Write as _;
use std::io;

use super::{Micros, Perfetto, Slice, Text};
use crate::events::{Event, Timeout};
use crate::id::TaskId;

impl<W: io::Write> Perfetto<W> {
    /// What belongs to the loop itself.
    pub(super) fn phase(&mut self, event: &Event) -> io::Result<()> {
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
                    self.tick();
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
    pub(super) fn end_resume(&mut self, task: TaskId) -> io::Result<()> {
        match self.open.iter().position(|slice| *slice == Slice::Resume(task)) {
            Some(depth) => self.close_to(depth),
            None => Ok(()),
        }
    }

    pub(super) fn begin(
        &mut self,
        slice: Slice,
        name: &str,
        args: std::fmt::Arguments<'_>,
    ) -> io::Result<()> {
        self.open.push(slice);
        let ts = Micros(self.now);
        self.entry(format_args!(
            "\"ph\":\"B\",\"pid\":1,\"tid\":1,\"ts\":{ts},\"name\":{},\"args\":{{{args}}}",
            Text(name)
        ))
    }

    /// Ends slices until `depth` are left.
    pub(super) fn close_to(&mut self, depth: usize) -> io::Result<()> {
        while self.open.len() > depth {
            self.open.pop();
            let ts = Micros(self.now);
            self.entry(format_args!("\"ph\":\"E\",\"pid\":1,\"tid\":1,\"ts\":{ts}"))?;
        }
        Ok(())
    }

    /// What a task did since the event before this one, as a slice within its resume.
    pub(super) fn work(
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
    pub(super) fn mark(&mut self, event: &Event) -> io::Result<()> {
        let text = event.to_string();
        self.instant(event.name(), "t", format_args!("\"text\":{}", Text(&text)))
    }

    pub(super) fn instant(
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
    pub(super) fn arrow(&mut self, task: TaskId) -> io::Result<()> {
        let Some(queued) = self.queued.remove(&task) else { return Ok(()) };
        self.arrows += 1;
        let (id, from, to) = (self.arrows, Micros(queued), Micros(self.now));
        let same = "\"pid\":1,\"tid\":1,\"cat\":\"wake\",\"name\":\"wake\"";
        self.entry(format_args!("\"ph\":\"s\",{same},\"id\":{id},\"ts\":{from}"))?;
        self.entry(format_args!("\"ph\":\"f\",\"bp\":\"e\",{same},\"id\":{id},\"ts\":{to}"))
    }

    pub(super) fn count(&mut self, ready: usize, timers: usize) -> io::Result<()> {
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

    pub(super) fn counter(&mut self, name: &str, args: std::fmt::Arguments<'_>) -> io::Result<()> {
        let ts = Micros(self.now);
        self.entry(format_args!(
            "\"ph\":\"C\",\"pid\":1,\"ts\":{ts},\"name\":\"{name}\",\"args\":{{{args}}}"
        ))
    }

    pub(super) fn entry(&mut self, members: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.line.clear();
        let comma = if self.is_first { "" } else { "," };
        self.is_first = false;
        let _ = write!(self.line, "{comma}\n{{{members}}}");
        self.out.write_all(self.line.as_bytes())
    }
}
