//! The tracks of tasks: from birth to end, with their states and their requests.

use std::io;

use super::{Micros, NEW, Perfetto, Slice, Text, Track, slot};
use crate::events::Event;
use crate::id::TaskId;

impl<W: io::Write> Perfetto<W> {
    pub(super) fn track(&mut self, task: TaskId) -> Option<&mut Track> {
        self.tasks.get_mut(&slot(task)).filter(|track| track.task == task)
    }

    pub(super) fn begin_track(&mut self, task: TaskId, kind: &'static str) -> io::Result<()> {
        let track = Track { task, kind, state: "", since: self.now };
        // The end of the task before it is missing.
        if let Some(before) = self.tasks.insert(slot(task), track) {
            self.end_track(&before)?;
            self.tick();
            self.track(task).expect("it was put there").since = self.now;
        }
        self.counters.state(kind, "", NEW);
        self.nestable("b", self.now, task, format_args!("{}", Text(&format!("{kind} {task}"))))
    }

    /// What has ended, ends; the inner one first.
    pub(super) fn end_track(&mut self, track: &Track) -> io::Result<()> {
        self.end_state(track)?;
        self.counters.state(track.kind, track.state_name(), "");
        let name = format!("{} {}", track.kind, track.task);
        self.nestable("e", self.now, track.task, format_args!("{}", Text(&name)))
    }

    pub(super) fn end_state(&mut self, track: &Track) -> io::Result<()> {
        if track.state.is_empty() {
            return Ok(());
        }
        let name = Text(track.state);
        self.nestable("b", track.since, track.task, format_args!("{name}"))?;
        self.nestable("e", self.now, track.task, format_args!("{name}"))
    }

    pub(super) fn finished(&mut self, task: TaskId, event: &Event) -> io::Result<()> {
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

    pub(super) fn state(
        &mut self,
        task: TaskId,
        event: &Event,
        to: &'static str,
    ) -> io::Result<()> {
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
    pub(super) fn point(&mut self, task: TaskId, event: &Event) -> io::Result<()> {
        if self.track(task).is_none() {
            return Ok(());
        }
        let text = event.to_string();
        self.nestable("n", self.now, task, format_args!("{}", Text(&text)))
    }

    /// An entry of a track; `name` is JSON already.
    pub(super) fn nestable(
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
