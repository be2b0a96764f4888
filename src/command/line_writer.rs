//! Lines to a place that may be slow, full, or gone, without ever waiting for it.
//!
//! Lines are put into a buffer, which a thread of its own writes out. When the buffer is full, or
//! writing fails, lines are lost and counted: an access log, and a story, are worth less than the
//! answers. Once the buffer is full, lines are lost until it is empty, so that what is missing is
//! one piece, and not one line here and one there.
//!
//! A thread that has had nothing to write for a while ends, and the next line starts another: as
//! long as a process has a second thread, even one that sleeps, the kernel counts references to the
//! file at each system call, which took 4 % of the CPU of a keep-alive request.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::locks::unpoisoned;

/// Bytes of lines that may wait to be written: some 10,000 lines. At the limit: lines are lost.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Time that the last lines get when the program ends. At the limit: they are lost.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Time without a line after which the thread ends. To start one takes some 50 us.
const IDLE_TIMEOUT: Duration = Duration::from_millis(250);

/// Pause before another attempt on a full descriptor that another program has made non-blocking.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Where it is reported that lines are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Losses {
    /// The reader: a line stands in the place of those that are missing.
    InPlace,
    /// In the log: a line there when the first one is lost.
    Logged,
}

/// The end at which lines go in. A clone puts them into the same buffer.
#[derive(Clone, Debug)]
pub(crate) struct LineWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What the threads are called.
    name: &'static str,
    losses: Losses,
    idle_timeout: Duration,
    queue: Mutex<Queue>,
    /// The thread has it as long as it lives.
    output: Mutex<Output>,
    /// There is something to write, or no more will come.
    work: Condvar,
    /// The thread has written what it had taken.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines, at most `WAITING_BYTES_MAX` bytes.
    waiting: Vec<u8>,
    /// Lines after `waiting` that found no room. Above zero: none finds room.
    gap: u64,
    /// Lines that could not be written, or that found no room.
    lost: u64,
    /// The thread writes.
    is_busy: bool,
    /// The last write failed because the reader is gone.
    is_deaf: bool,
    is_closed: bool,
    /// There is a thread, and it will look here again.
    has_thread: bool,
}

/// Where lines go out.
struct Output {
    to: Box<dyn Write + Send>,
    batch: Batch,
}

/// Standard output without the buffer and the lock of `std`.
pub(crate) fn standard_output() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

impl LineWriter {
    /// Starts the thread that writes to `out`, and gives it a name.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn spawn(
        name: &'static str,
        losses: Losses,
        out: impl Write + Send + 'static,
    ) -> io::Result<LineWriter> {
        LineWriter::with_idle_timeout(name, losses, out, IDLE_TIMEOUT)
    }

    fn with_idle_timeout(
        name: &'static str,
        losses: Losses,
        out: impl Write + Send + 'static,
        idle_timeout: Duration,
    ) -> io::Result<LineWriter> {
        let (queue, work, done) = Default::default();
        let output = Mutex::new(Output { to: Box::new(out), batch: Batch::default() });
        let shared = Shared { name, losses, idle_timeout, queue, output, work, done };
        let writer = LineWriter { shared: Arc::new(shared) };
        writer.start_thread(&mut writer.shared.queue())?;
        Ok(writer)
    }

    /// Starts the thread that looks into `queue`, which is ours.
    fn start_thread(&self, queue: &mut Queue) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name(shared.name.into()).spawn(move || shared.write_out())?;
        queue.has_thread = true;
        Ok(())
    }

    /// Puts lines, of which the last ends with a line feed, into the buffer: all or none. Never waits
    /// for the output.
    pub(crate) fn put(&self, lines: &[u8]) {
        let mut queue = self.shared.queue();
        // Only then may the thread be waiting.
        let was_empty = queue.is_empty();
        let has_room = queue.gap == 0 && queue.waiting.len() + lines.len() <= WAITING_BYTES_MAX;
        let mut is_first_loss = false;
        if has_room {
            queue.waiting.extend_from_slice(lines);
        } else {
            is_first_loss = queue.lost == 0;
            queue.gap += lines_in(lines);
            queue.lost += lines_in(lines);
        }
        if !queue.has_thread && !queue.is_closed {
            // Where the system refuses one, the lines wait for the next, which asks again.
            let _ = self.start_thread(&mut queue);
        }
        drop(queue);
        if was_empty {
            self.shared.work.notify_one();
        }
        if is_first_loss && self.shared.losses == Losses::Logged {
            log::warn!("the access log is not read as fast as it is written; lines are lost");
        }
    }

    /// Waits, but not for long, until everything so far is written.
    pub(crate) fn flush_patiently(&self) {
        let queue = self.shared.queue();
        let is_idle = |queue: &Queue| !queue.has_thread || (queue.is_empty() && !queue.is_busy);
        // A reader that has not taken it in time does not read.
        drop(self.shared.done.wait_timeout_while(queue, FINISH_TIMEOUT, |queue| !is_idle(queue)));
    }

    /// Waits, but not for long, until everything is written. Returns how many lines were lost.
    pub(crate) fn finish(self) -> u64 {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        self.shared.work.notify_one();
        let in_time = self.shared.done.wait_timeout_while(queue, FINISH_TIMEOUT, |q| q.has_thread);
        let (queue, _) = unpoisoned(in_time);
        // What the thread has taken, and is stuck with, is not counted: some of it may arrive.
        queue.lost + lines_in(&queue.waiting)
    }
}

/// What is written at once should be whole lines.
impl Write for LineWriter {
    /// # Errors
    /// `BrokenPipe` when the reader is gone. The lines are tried all the same.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        let is_deaf = self.shared.queue().is_deaf;
        if is_deaf { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    /// Waits for nothing, as everything here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.gap == 0
    }
}

impl Shared {
    /// No code panics while it holds the lock.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        unpoisoned(self.queue.lock())
    }

    /// The thread.
    fn write_out(&self) {
        // The thread before has ended, or is about to: it will not look into the queue any more.
        let mut output = unpoisoned(self.output.lock());
        let Output { to, batch } = &mut *output;
        while self.take(batch) {
            let written = batch.write(to, self.losses);
            self.queue().is_deaf =
                written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            if let Err(error) = written {
                self.lose(batch.give_up(), &error);
            }
        }
    }

    /// Waits for lines and swaps them with those of `batch`, which are written or lost. False if the
    /// thread is to end: no more will come, or none has come for a while.
    fn take(&self, batch: &mut Batch) -> bool {
        batch.bytes.clear();
        let mut queue = self.queue();
        queue.is_busy = false;
        self.done.notify_all();
        let idle = |queue: &mut Queue| queue.is_empty() && !queue.is_closed;
        let waited = self.work.wait_timeout_while(queue, self.idle_timeout, idle);
        let (mut queue, _) = unpoisoned(waited);
        if queue.is_empty() {
            queue.has_thread = false;
            self.done.notify_all();
            return false;
        }
        queue.is_busy = true;
        mem::swap(&mut queue.waiting, &mut batch.bytes);
        batch.gap = mem::take(&mut queue.gap);
        true
    }

    /// Lines could not be written. Those that found no room are counted already.
    fn lose(&self, lines: u64, error: &io::Error) {
        let mut queue = self.queue();
        let is_first = queue.lost == 0;
        queue.lost += lines;
        drop(queue);
        if is_first && self.losses == Losses::Logged {
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
    /// Lines that are missing after `bytes`.
    gap: u64,
    /// Lines that are missing before `bytes`.
    missing: u64,
    /// What was written last broke off within a line.
    is_torn: bool,
}

impl Batch {
    fn write(&mut self, out: &mut impl Write, losses: Losses) -> io::Result<()> {
        self.written = 0;
        if self.is_torn {
            // So that the next whole line does not become the rest of a torn one.
            patiently(|| out.write_all(b"\n"))?;
            self.is_torn = false;
        }
        self.tell_of_missing(out, losses)?;
        let written = write_lines(out, &self.bytes, &mut self.written);
        self.is_torn = written.is_err() && is_torn(&self.bytes[..self.written]);
        written?;
        self.missing = mem::take(&mut self.gap);
        self.tell_of_missing(out, losses)
    }

    fn tell_of_missing(&mut self, out: &mut impl Write, losses: Losses) -> io::Result<()> {
        if self.missing > 0 && losses == Losses::InPlace {
            let notice = format!("helloop: lines missing here: {}\n", self.missing);
            let mut written = 0;
            let outcome = write_lines(out, notice.as_bytes(), &mut written);
            self.is_torn = outcome.is_err() && is_torn(&notice.as_bytes()[..written]);
            outcome?;
        }
        self.missing = 0;
        Ok(())
    }

    /// What is not out never will be. Returns the number of those lines that have not been counted.
    fn give_up(&mut self) -> u64 {
        let lines = lines_in(&self.bytes[self.written..]);
        self.missing += lines + mem::take(&mut self.gap);
        lines
    }
}

/// Writes `bytes`, of which `written` are out.
fn write_lines(out: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match patiently(|| out.write(&bytes[*written..]))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => *written += more,
        }
    }
    Ok(())
}

fn is_torn(written: &[u8]) -> bool {
    written.last().is_some_and(|&byte| byte != b'\n')
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
        let writer = LineWriter::spawn("test", Losses::Logged, out).unwrap();
        (0..1000).for_each(|n| writer.put(format!("{n}\n").as_bytes()));
        assert_eq!(writer.finish(), 0);
        assert_eq!(lines_in(&taken.lock().unwrap()), 1000);
    }

    #[test]
    fn a_thread_that_has_nothing_to_do_ends_and_the_next_line_starts_another() {
        let (out, taken) = fragile(usize::MAX);
        let idle_timeout = Duration::from_millis(1);
        let writer =
            LineWriter::with_idle_timeout("test", Losses::Logged, out, idle_timeout).unwrap();
        for n in 0..10 {
            writer.put(format!("{n}\n").as_bytes());
            let queue = writer.shared.queue();
            drop(writer.shared.done.wait_while(queue, |queue| queue.has_thread).unwrap());
            // What has come before it ended is out.
            assert_eq!(lines_in(&taken.lock().unwrap()), n + 1);
        }
        writer.put(b"the last\n");
        assert_eq!(writer.finish(), 0);
        assert!(taken.lock().unwrap().ends_with(b"9\nthe last\n"));
    }

    #[test]
    fn after_a_failure_it_goes_on_with_a_whole_line() {
        let (mut out, taken) = fragile(3);
        let mut batch = Batch { bytes: b"1\n22\n333\n".to_vec(), ..Batch::default() };
        batch.write(&mut out, Losses::Logged).unwrap_err();
        assert_eq!(lines_in(&batch.bytes[batch.written..]), 2);
        batch.bytes = b"4444\n".to_vec();
        batch.write(&mut out, Losses::Logged).unwrap();
        assert_eq!(*taken.lock().unwrap(), b"1\n2\n4444\n");
    }

    #[test]
    fn the_reader_learns_where_lines_are_missing() {
        let (mut out, taken) = fragile(3);
        let bytes = b"1\n22\n333\n".to_vec();
        let mut batch = Batch { bytes, gap: 5, ..Batch::default() };
        batch.write(&mut out, Losses::InPlace).unwrap_err();
        assert_eq!(batch.give_up(), 2, "the gap is counted already");
        batch.bytes = b"4444\n".to_vec();
        batch.gap = 1;
        batch.write(&mut out, Losses::InPlace).unwrap();
        let expected: &[u8] =
            b"1\n2\nhelloop: lines missing here: 7\n4444\nhelloop: lines missing here: 1\n";
        assert_eq!(*taken.lock().unwrap(), expected);
    }

    /// Takes nothing until it is allowed to, then takes everything.
    struct Paused {
        go_on: Option<mpsc::Receiver<()>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(go_on) = self.go_on.take() {
                go_on.recv().unwrap();
            }
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_finds_no_room_is_one_piece_whose_size_is_told() {
        let (sender, go_on) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let out = Paused { go_on: Some(go_on), taken: Arc::clone(&taken) };
        let writer = LineWriter::spawn("test", Losses::InPlace, out).unwrap();
        let mut number = 0..;
        let mut put = |bytes: usize| {
            let number: usize = number.next().unwrap();
            writer.put(format!("{number:>bytes$}\n").as_bytes());
        };
        while writer.shared.queue().gap == 0 {
            put(1000);
        }
        // A short one would find room, and would look as if nothing were missing before it.
        put(1);
        sender.send(()).unwrap();
        writer.flush_patiently();
        put(1);
        assert_eq!(writer.finish(), 2);
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let [numbers @ .., last, notice, after] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(*notice, "helloop: lines missing here: 2");
        assert_eq!(last.parse::<usize>().unwrap(), numbers.len());
        assert_eq!(after.parse::<usize>().unwrap(), numbers.len() + 3);
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
        let writer = LineWriter::spawn("test", Losses::Logged, Stuck(over)).unwrap();
        let line = "x".repeat(1023) + "\n";
        (0..2 * WAITING_BYTES_MAX / line.len() + 1).for_each(|_| writer.put(line.as_bytes()));
        assert!(writer.shared.queue().lost > 0);
        assert!(writer.shared.queue().waiting.len() <= WAITING_BYTES_MAX);
    }
}
