//! Events from a loop to a file, without the loop ever waiting for it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::encode::Block;
use super::file::{self, Output};
use crate::events::{Event, Observer, Timeout};
use crate::locks::unpoisoned;
use crate::world::Time;

/// Events that the loop keeps before it hands them over, while it is busy.
const BATCH_EVENTS: usize = 256;

/// Events that may wait to be written: some 3 MB. At the limit: they are lost, and counted.
const WAITING_EVENTS_MAX: usize = 32 * 1024;

/// Time for which events are gathered before they are written, unless many come.
const GATHER: Duration = Duration::from_millis(100);

/// Time that the last events get when a recording ends. At the limit: they are lost.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// A trace that is being written, by a thread of its own.
pub struct Recording {
    shared: Arc<Shared>,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Events that were written.
    pub written: u64,
    /// Events that were not: they came faster than they were written, or writing failed.
    pub lost: u64,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or no more will come.
    work: Condvar,
    /// The thread is done.
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    /// At most `WAITING_EVENTS_MAX`.
    waiting: Vec<(Time, Event)>,
    /// Where among those events are missing, and how many: in order.
    gaps: Vec<(usize, u64)>,
    /// Events that the thread has taken, and has neither written nor lost.
    taken: u64,
    written: u64,
    lost: u64,
    is_closed: bool,
    is_done: bool,
}

impl Recording {
    /// Records into a new file at `path` (an old one is replaced). The file and its predecessor
    /// `path.1` together take at most `size_max` bytes; then the older half is given up.
    ///
    /// A named pipe (FIFO) may be without a reader: what happens before one comes waits for it, as far
    /// as there is room, and so does what happens between two readers. Pipes and devices have no size
    /// and no predecessor.
    ///
    /// # Errors
    /// When the file cannot be written, or the system refuses a thread.
    pub fn create(path: impl AsRef<Path>, size_max: u64) -> io::Result<Recording> {
        Recording::to(file::create(path.as_ref(), size_max)?)
    }

    pub(super) fn to(output: impl Output + 'static) -> io::Result<Recording> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let write = move || theirs.write_out(output);
        thread::Builder::new().name("trace".into()).spawn(write)?;
        Ok(Recording { shared })
    }

    /// The observer to install on the loop.
    pub fn observer(&self) -> RecordingObserver {
        let batch = Vec::with_capacity(BATCH_EVENTS);
        RecordingObserver { batch, shared: Arc::clone(&self.shared) }
    }

    /// Waits, but not for long, until everything is written that was handed over. An observer that
    /// is still installed has not handed everything over.
    pub fn finish(self) -> Summary {
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        self.shared.work.notify_one();
        let in_time = self.shared.done.wait_timeout_while(queue, FINISH_TIMEOUT, |q| !q.is_done);
        let (queue, _) = unpoisoned(in_time);
        // What the thread still holds, or did not come to, is lost with it.
        let left = queue.taken + queue.waiting.len() as u64;
        Summary { written: queue.written, lost: queue.lost + left }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.work.notify_one();
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.shared.queue();
        f.debug_struct("Recording")
            .field("written", &queue.written)
            .field("lost", &queue.lost)
            .finish_non_exhaustive()
    }
}

/// The observer of a [`Recording`].
pub struct RecordingObserver {
    batch: Vec<(Time, Event)>,
    shared: Arc<Shared>,
}

impl Observer for RecordingObserver {
    fn event(&mut self, at: Time, event: &Event) {
        self.batch.push((at, *event));
        // Before the loop sleeps, because it may sleep for long.
        let is_going_to_sleep =
            matches!(event, Event::Waiting { timeout } if *timeout != Timeout::Zero);
        if is_going_to_sleep || self.batch.len() >= BATCH_EVENTS {
            self.shared.put(&mut self.batch);
        }
    }
}

impl Drop for RecordingObserver {
    fn drop(&mut self) {
        self.shared.put(&mut self.batch);
    }
}

impl fmt::Debug for RecordingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingObserver").finish_non_exhaustive()
    }
}

impl Shared {
    /// No code panics while it holds the lock.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        unpoisoned(self.queue.lock())
    }

    /// Takes a batch, or counts what is lost of it.
    fn put(&self, batch: &mut Vec<(Time, Event)>) {
        let mut queue = self.queue();
        let before = queue.waiting.len();
        if queue.is_closed || before + batch.len() > WAITING_EVENTS_MAX {
            let is_first = queue.lose(batch.len() as u64);
            drop(queue);
            batch.clear();
            if is_first {
                log::warn!("the trace is not written as fast as events come; some are lost");
            }
            return;
        }
        queue.waiting.append(batch);
        let after = queue.waiting.len();
        drop(queue);
        let half = WAITING_EVENTS_MAX / 2;
        if before == 0 || (before < half && after >= half) {
            self.work.notify_one();
        }
    }

    /// The thread.
    fn write_out(&self, output: impl Output) {
        let mut scribe = Scribe::new(output);
        let mut taken = Queue::default();
        while self.take(&mut taken) {
            let mut gaps = taken.gaps.iter().peekable();
            for (index, (at, event)) in taken.waiting.iter().enumerate() {
                while let Some((_, lost)) = gaps.next_if(|(before, _)| *before <= index) {
                    scribe.gap(*lost);
                }
                scribe.event(*at, event);
            }
            gaps.for_each(|(_, lost)| scribe.gap(*lost));
            scribe.write();
            let mut queue = self.queue();
            queue.written = scribe.written;
            queue.lost += std::mem::take(&mut scribe.lost);
            queue.taken = 0;
        }
        self.queue().is_done = true;
        self.done.notify_one();
    }

    /// Waits for events and swaps them with what was `taken` before. False if no more will come.
    fn take(&self, taken: &mut Queue) -> bool {
        taken.waiting.clear();
        taken.gaps.clear();
        let nothing = |queue: &mut Queue| queue.is_empty() && !queue.is_closed;
        let few =
            |queue: &mut Queue| queue.waiting.len() < WAITING_EVENTS_MAX / 2 && !queue.is_closed;
        let queue = self.work.wait_while(self.queue(), nothing);
        let queue = unpoisoned(queue);
        let gathered = self.work.wait_timeout_while(queue, GATHER, few);
        let (mut queue, _) = unpoisoned(gathered);
        std::mem::swap(&mut queue.waiting, &mut taken.waiting);
        std::mem::swap(&mut queue.gaps, &mut taken.gaps);
        queue.taken = taken.waiting.len() as u64;
        !taken.is_empty()
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.gaps.is_empty()
    }

    /// Counts lost events where they are missing. True if they are the first.
    fn lose(&mut self, events: u64) -> bool {
        if events == 0 {
            return false;
        }
        let is_first = self.lost == 0;
        self.lost += events;
        let here = self.waiting.len();
        match self.gaps.last_mut() {
            Some((place, lost)) if *place == here => *lost += events,
            _ => self.gaps.push((here, events)),
        }
        is_first
    }
}

/// Encodes events and writes them, block by block.
struct Scribe<O> {
    output: O,
    block: Block,
    /// A finished block; kept for its memory.
    bytes: Vec<u8>,
    written: u64,
    /// Events of blocks that could not be written, since this was last asked for.
    lost: u64,
    /// Events that are missing before the next block.
    missing: u64,
    has_failed: bool,
}

impl<O: Output> Scribe<O> {
    fn new(output: O) -> Scribe<O> {
        Scribe {
            output,
            block: Block::default(),
            bytes: Vec::new(),
            written: 0,
            lost: 0,
            missing: 0,
            has_failed: false,
        }
    }

    fn event(&mut self, at: Time, event: &Event) {
        if self.missing > 0 && self.block.is_empty() {
            self.block.gap(self.missing);
        }
        self.block.event(at, event);
        if self.block.is_full() {
            self.write();
        }
    }

    fn gap(&mut self, events: u64) {
        if self.missing > 0 && self.block.is_empty() {
            self.block.gap(self.missing);
        }
        self.block.gap(events);
    }

    fn write(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let (events, missing) = (self.block.events, self.block.missing);
        self.bytes.clear();
        self.block.finish(&mut self.bytes);
        match self.output.block(&self.bytes) {
            Ok(()) => {
                self.written += events;
                self.missing = 0;
            }
            Err(error) => {
                // The block began with what was missing before it.
                self.missing = missing + events;
                self.lost += events;
                if !self.has_failed {
                    log::warn!("cannot write the trace: {error}; events are lost");
                }
                self.has_failed = true;
            }
        }
    }
}
