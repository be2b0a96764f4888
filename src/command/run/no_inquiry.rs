//! The bare command answers no SIGUSR1: the story and the view of a loop would make it larger by a
//! seventh.

use std::io::{self, Write};

use helloop::event_loop::EventLoop;
use helloop::events::Observer;

pub(super) struct Inquiry;

impl Inquiry {
    /// There are no `observers` here.
    pub(super) fn new(
        _: &mut EventLoop,
        observers: Vec<Box<dyn Observer>>,
        _: Box<dyn Write + Send>,
    ) -> Inquiry {
        debug_assert!(observers.is_empty());
        drop(observers);
        Inquiry
    }

    pub(super) fn arrange(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn run(
        &self,
        event_loop: &mut EventLoop,
        is_finished: impl Fn() -> bool,
        mut turn: impl FnMut(&mut EventLoop) -> io::Result<()>,
    ) -> io::Result<()> {
        event_loop.drive_until(is_finished, &mut turn).map(drop)
    }
}
