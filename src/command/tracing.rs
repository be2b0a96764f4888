//! `--trace`: a recording, or none.

use std::io;
use std::path::Path;

use helloop::event_loop::EventLoop;
use helloop::events::Observer;
use helloop::watch::trace::Recording;

use super::units::Size;

pub(crate) struct Tracing(Option<Recording>);

impl Tracing {
    /// Begins a recording, if there is a path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn start(path: Option<&Path>, size_max: Size) -> io::Result<Tracing> {
        let Some(path) = path else { return Ok(Tracing(None)) };
        let recording = Recording::create(path, size_max.0).map_err(|error| {
            let text = format!("cannot write the trace {}: {error}", path.display());
            io::Error::new(error.kind(), text)
        });
        Ok(Tracing(Some(recording?)))
    }

    pub(crate) fn observer(&self) -> Option<Box<dyn Observer>> {
        let recording = self.0.as_ref()?;
        Some(Box::new(recording.observer()))
    }

    /// Lets the recording, and `other`, observe a loop.
    pub(crate) fn attach(&self, event_loop: &mut EventLoop, other: Option<Box<dyn Observer>>) {
        let observers: Vec<_> = other.into_iter().chain(self.observer()).collect();
        if !observers.is_empty() {
            event_loop.observe(Some(Box::new(observers)));
        }
    }

    /// To be called when the observer is gone.
    pub(crate) fn finish(self) {
        match self.0.map(|recording| recording.finish().lost) {
            None | Some(0) => {}
            Some(events) => log::warn!("events missing from the trace: {events}"),
        }
    }
}
