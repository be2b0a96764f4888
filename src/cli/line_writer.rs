//! Lines to a place that may be slow, full, or gone, without ever waiting for it.
//!
//! Lines are put into a buffer, which a thread of its own writes out. When the buffer is full, or
//! writing fails, lines are lost and counted: an access log is worth less than the answers.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of lines that may wait to be written: some 10,000 lines. At the limit: lines are lost.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Time that the last lines get when the program ends. At the limit: they are lost.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause before a descriptor is tried again that somebody has made non-blocking, and that is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// The end at which lines go in. A clone puts them into the same buffer.
#[derive(Clone, Debug)]
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or no more will come.
    work: Condvar,
    /// The thread is done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines, at most `WAITING_BYTES_MAX` bytes.
    waiting: Vec<u8>,
    /// Lines that could not be written, or that found no room.
    lost: u64,
    is_closed: bool,
    is_done: bool,
}

/// Standard output without the buffer and the lock of `std`.
pub(crate) fn standard_output() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

impl LineWriter {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn spawn(out: impl Write + Send + 'static) -> io::Result<LineWriter> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let write = move || theirs.write_out(out);
        thread::Builder::new().name("access log".into()).spawn(write)?;
        Ok(LineWriter { shared })
    }

    /// Puts a line, which ends with a line feed, into the buffer. Never waits for the output.
    pub(crate) fn put(&self, line: &str) {
        let mut queue = self.shared.queue();
        if queue.waiting.len() + line.len() > WAITING_BYTES_MAX {
            queue.lost += 1;
            let is_first = queue.lost == 1;
            drop(queue);
            if is_first {
                log::warn!("the access log is not read as fast as it is written; lines are lost");
            }
            return;
        }
        queue.waiting.extend_from_slice(line.as_bytes());
        drop(queue);
        self.shared.work.notify_one();
    }

    /// Waits, but not for long, until everything is written. Returns how many lines were lost.
    pub(crate) fn finish(self) -> u64 {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        self.shared.work.notify_one();
        let in_time = self.shared.done.wait_timeout_while(queue, FINISH_TIMEOUT, |q| !q.is_done);
        let (queue, _) = in_time.unwrap_or_else(PoisonError::into_inner);
        // What the thread has taken, and is stuck with, is not counted: some of it may arrive.
        queue.lost + lines_in(&queue.waiting)
    }
}

impl Shared {
    /// Nobody panics while holding the lock.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn write_out(&self, mut out: impl Write) {
        let mut batch = Batch::default();
        while self.take(&mut batch.bytes) {
            if let Err(error) = batch.write(&mut out) {
                self.lose(lines_in(&batch.bytes[batch.written..]), &error);
            }
        }
        self.queue().is_done = true;
        self.done.notify_one();
    }

    /// Waits for lines and swaps them with the empty `taken`. False if no more will come.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        taken.clear();
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.is_closed;
        let mut queue =
            self.work.wait_while(self.queue(), idle).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.waiting, taken);
        !taken.is_empty()
    }

    fn lose(&self, lines: u64, error: &io::Error) {
        let mut queue = self.queue();
        let is_first = queue.lost == 0;
        queue.lost += lines;
        drop(queue);
        if is_first {
            log::error!("cannot write the access log: {error}; lines are lost");
        }
    }
}

/// Lines on their way out.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// `bytes[..written]` is out.
    written: usize,
    /// The last batch broke off within a line.
    is_torn: bool,
}

impl Batch {
    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.written = 0;
        if self.is_torn {
            // So that the next whole line does not become the rest of a torn one.
            patiently(|| out.write_all(b"\n"))?;
            self.is_torn = false;
        }
        while self.written < self.bytes.len() {
            match patiently(|| out.write(&self.bytes[self.written..])) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) => {
                    let before = self.bytes[..self.written].last();
                    self.is_torn = before.is_some_and(|&byte| byte != b'\n');
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Repeats what was interrupted, or would have blocked.
fn patiently<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            outcome => return outcome,
        }
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes `room` bytes, then fails once, then takes everything.
    struct Fragile {
        room: usize,
        has_failed: bool,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Fragile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && !self.has_failed {
                self.has_failed = true;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let bytes = if self.has_failed { bytes } else { &bytes[..bytes.len().min(self.room)] };
            self.room = self.room.saturating_sub(bytes.len());
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fragile(room: usize) -> (Fragile, Arc<Mutex<Vec<u8>>>) {
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        (Fragile { room, has_failed: false, taken: Arc::clone(&taken) }, taken)
    }

    #[test]
    fn every_line_is_written_before_the_end() {
        let (out, taken) = fragile(usize::MAX);
        let writer = LineWriter::spawn(out).unwrap();
        (0..1000).for_each(|n| writer.put(&format!("{n}\n")));
        assert_eq!(writer.finish(), 0);
        assert_eq!(lines_in(&taken.lock().unwrap()), 1000);
    }

    #[test]
    fn after_a_failure_it_goes_on_with_a_whole_line() {
        let (mut out, taken) = fragile(3);
        let mut batch = Batch { bytes: b"1\n22\n333\n".to_vec(), ..Batch::default() };
        batch.write(&mut out).unwrap_err();
        assert_eq!(lines_in(&batch.bytes[batch.written..]), 2);
        batch.bytes = b"4444\n".to_vec();
        batch.write(&mut out).unwrap();
        assert_eq!(*taken.lock().unwrap(), b"1\n2\n4444\n");
    }

    #[test]
    fn an_output_that_stands_still_costs_lines_and_no_time() {
        struct Stuck(mpsc::Receiver<()>);

        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Until the test is over.
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let (_until_the_end, over) = mpsc::channel();
        let writer = LineWriter::spawn(Stuck(over)).unwrap();
        let line = "x".repeat(1023) + "\n";
        (0..2 * WAITING_BYTES_MAX / line.len() + 1).for_each(|_| writer.put(&line));
        assert!(writer.shared.queue().lost > 0);
        assert!(writer.shared.queue().waiting.len() <= WAITING_BYTES_MAX);
    }
}
