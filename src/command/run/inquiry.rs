//! SIGUSR1: which tasks are on the loop, and what happened last.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Observer;
use helloop::signals::{SIGUSR1, on_signal};
use helloop::watch::{Narrator, Recorder};

/// Events that are shown.
const LAST_EVENTS: usize = 50;

/// Answers the signal. Events are recorded from the first one on, or from the beginning if the loop
/// is watched anyhow: watching costs something.
pub(super) struct Inquiry {
    handle: Handle,
    recorder: Recorder,
    is_recording: Cell<bool>,
    /// SIGUSR1 came, and there is no recorder yet.
    wants_recorder: Cell<bool>,
    /// Leads to standard error.
    out: RefCell<Box<dyn Write + Send>>,
}

impl Inquiry {
    /// From now on `observers` are told what happens.
    pub(super) fn new(
        event_loop: &mut EventLoop,
        observers: Vec<Box<dyn Observer>>,
        out: Box<dyn Write + Send>,
    ) -> Rc<Inquiry> {
        let inquiry = Rc::new(Inquiry {
            handle: event_loop.handle().clone(),
            recorder: Recorder::new(LAST_EVENTS),
            is_recording: Cell::new(false),
            wants_recorder: Cell::new(false),
            out: RefCell::new(out),
        });
        if !observers.is_empty() {
            inquiry.watch(event_loop, observers);
        }
        inquiry
    }

    /// From now on the signal is answered.
    pub(super) fn arrange(self: &Rc<Self>) -> io::Result<()> {
        let asked = Rc::clone(self);
        on_signal(&self.handle, SIGUSR1, move || asked.answer())?;
        Ok(())
    }

    /// Turns until `is_finished` says so.
    pub(super) fn run(
        &self,
        event_loop: &mut EventLoop,
        is_finished: impl Fn() -> bool,
        mut turn: impl FnMut(&mut EventLoop) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let done = || is_finished() || self.wants_recorder.get();
            event_loop.drive_until(done, &mut turn)?;
            if !self.wants_recorder.take() {
                return Ok(());
            }
            self.watch(event_loop, Vec::new());
        }
    }

    /// Adds observers, and the recorder, to those that watch already.
    fn watch(&self, event_loop: &mut EventLoop, observers: Vec<Box<dyn Observer>>) {
        let mut all: Vec<_> = event_loop.observe(None).into_iter().chain(observers).collect();
        all.push(Box::new(self.recorder.clone()));
        event_loop.observe(Some(Box::new(all)));
        self.is_recording.set(true);
    }

    fn answer(&self) {
        let mut text = format!("Alive, in {}", self.handle.snapshot()).into_bytes();
        if self.is_recording.get() {
            text.extend_from_slice(b"The last events:\n");
            let mut narrator = Narrator::new(&mut text).from_the_middle();
            for (at, event) in self.recorder.events() {
                narrator.event(at, &event);
            }
        } else {
            text.extend_from_slice(
                b"Events are recorded from now on; the next SIGUSR1 shows them.\n",
            );
            self.wants_recorder.set(true);
        }
        // In one write. If standard error is closed, that is no error.
        let _ = self.out.borrow_mut().write_all(&text);
    }
}
