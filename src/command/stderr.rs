//! Standard error of a server: a reader that stops reading cannot stall the server.
//!
//! Everything goes through one [`LineWriter`], so that its order stays: the log, the story of
//! `--explain`, the URLs, complaints, and panics. A command that serves no clients, as `helloop fetch`,
//! writes directly instead, and waits for its reader, which so misses nothing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::thread;

use helloop::PrintableLines;

use crate::command::line_writer::{LineWriter, Losses};

/// Standard error. Dropping it writes what is left, even if the program panics.
pub(crate) struct StandardError {
    /// `None`: the system has no thread to spare, and lines are written directly.
    writer: Option<LineWriter>,
}

impl StandardError {
    /// From now on, panics are reported here, too.
    pub(crate) fn start() -> StandardError {
        let writer = LineWriter::spawn("standard error", Losses::InPlace, io::stderr()).ok();
        if let Some(writer) = writer.clone() {
            panic::set_hook(Box::new(move |info| tell_of_panic(info, &writer)));
        }
        StandardError { writer }
    }

    /// A way in. Whole lines are to be written at once.
    pub(crate) fn out(&self) -> Box<dyn Write + Send> {
        match self.writer.clone() {
            Some(writer) => Box::new(writer),
            None => Box::new(io::stderr()),
        }
    }
}

impl Drop for StandardError {
    fn drop(&mut self) {
        // There is no place left where the number of lost lines could be reported.
        self.writer.take().map(LineWriter::finish);
    }
}

/// What `std` says. It may be the last that is said, as when a destructor panics in a panic: so this
/// waits, for a moment, until it is out.
fn tell_of_panic(info: &PanicHookInfo<'_>, writer: &LineWriter) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let (said, backtrace) = (PrintableLines(info), Backtrace::capture());
    let text = match backtrace.status() {
        BacktraceStatus::Captured => {
            format!("\nthread '{name}' {said}\nstack backtrace:\n{backtrace}\n")
        }
        _ => format!("\nthread '{name}' {said}\n"),
    };
    writer.put(text.as_bytes());
    writer.flush_patiently();
}
