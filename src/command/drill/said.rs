//! What a server prints: its last lines, for when it fails; and, if that is its access log, each of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::rc::Rc;

use helloop::Printable;
use helloop::coroutine::Readable;
use helloop::event_loop::Handle;

use super::ids::Processed;

/// Lines that are kept.
const LINES_MAX: usize = 8;

/// Bytes of a line that are kept; what comes after them is dropped.
const LINE_BYTES_MAX: usize = 2000;

/// Bytes of a line that are shown.
const SHOWN_BYTES_MAX: usize = 300;

#[derive(Debug, Default)]
pub(super) struct Said {
    lines: VecDeque<Vec<u8>>,
    /// A line without an end so far.
    begun: Vec<u8>,
    /// Pipes that somebody may still write to.
    pub(super) open_pipes: usize,
    /// Looks at each line.
    pub(super) processed: Option<Processed>,
}

impl Said {
    /// `processed` looks at each line, if it is an access log.
    pub(super) fn new(processed: Option<Processed>) -> Said {
        Said { processed, ..Said::default() }
    }

    /// A pipe for a process to write to; it is read until its last writer closes it.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(super) fn pipe(said: &Rc<RefCell<Said>>, handle: &Handle) -> io::Result<PipeWriter> {
        let (reader, writer) = io::pipe()?;
        let mut reader: Readable<PipeReader> = Readable::new(handle, reader)?;
        said.borrow_mut().open_pipes += 1;
        let said = Rc::clone(said);
        let reading = handle.spawn_named("what is said", async move {
            let mut buffer = [0; 16 * 1024];
            while let Ok(bytes @ 1..) = reader.read_with(|pipe| pipe.read(&mut buffer)).await {
                said.borrow_mut().take(&buffer[..bytes]);
            }
            said.borrow_mut().open_pipes -= 1;
        });
        drop(reading);
        Ok(writer)
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.begin(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.begun);
            if let Some(processed) = &mut self.processed {
                processed.line(&line);
            }
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
        self.begin(bytes);
    }

    fn begin(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.begun.len();
        self.begun.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    /// The last ones, in characters that no terminal obeys.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let lines = self.lines.iter().chain(Some(&self.begun).filter(|begun| !begun.is_empty()));
        let shown = lines.map(|line| {
            let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES_MAX)]);
            Printable(text).to_string()
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::drill::ids::Ids;

    #[test]
    fn the_last_lines_are_kept_and_each_is_looked_at() {
        let mut said = Said::new(Some(Ids::new(1).processed()));
        for number in 0..100 {
            said.take(format!("GET /drill0001-g{number} 2").as_bytes());
            said.take(b"00\n");
        }
        said.take(b"\x1b[2J and no end");
        let lines = said.last_lines();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[LINES_MAX - 1], "GET /drill0001-g99 200");
        assert_eq!(lines[LINES_MAX], "\\u{1b}[2J and no end");
        assert!((0..100).all(|number| said.processed.as_ref().unwrap().has(number, false)));
    }

    #[test]
    fn a_line_may_be_long() {
        let mut said = Said::default();
        for _ in 0..100 {
            said.take(&[b'x'; 1000]);
        }
        said.take(b"\nshort\n");
        let lines = said.last_lines();
        assert_eq!((lines[0].len(), lines[1].as_str()), (SHOWN_BYTES_MAX, "short"));
    }
}
