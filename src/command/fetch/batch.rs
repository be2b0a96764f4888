//! A batch of fetches, from the first URL to the last line.
//!
//! ```text
//!  input ──read──▶ schedule ──begin──▶ workers ──done──▶ report ──lines──▶ output
//!    ▲                                                                       │
//!    └──────────────── read on while few lines are unwritten ◀───────────────┘
//! ```
//! One coroutine owns all state, and does one thing after the other: it takes a note out of its
//! mailbox, and begins whatever can be begun then. Reading and writing wait on threads of their own;
//! each worker is a task. All they do is to leave a note.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use helloop::coroutine::Call;
use helloop::coroutine::{Executor, JoinHandle, Queue, yield_now};
use helloop::event_loop::Handle;

use super::address::Address;
use super::input::{Input, Item};
use super::names::Names;
use super::outcome::{Failure, Outcome};
use super::output::Output;
use super::report::{Report, Tally};
use super::schedule::{Job, Schedule, Ticket};
use super::worker::{Attempt, Next, Worker};

/// Lines that may wait for the reader. At the limit: nothing more is begun.
const LINES_WAITING_MAX: usize = 4096;

/// URLs read in one go.
const READ_MAX: usize = 256;

/// Turns in which what was cancelled is dropped: a task and what it awaits, down to a socket.
const TURNS_TO_DROP: u32 = 8;

/// Something that the batch has to know.
pub(super) enum Note {
    /// Items were read; none at the end of the input.
    Read(Input, Vec<Item>),
    /// The worker on this place of the input has ended.
    Done(u64),
    /// Something that waited for a moment may be begun.
    Due,
    /// Lines are written, or cannot be.
    Written(io::Result<()>),
    /// Enough.
    Stop(Why),
    /// Time to draw the progress bar.
    Tick,
}

/// Why a batch ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// By a signal.
    Interrupted,
    /// It has taken too long.
    Deadline,
    /// The reader of standard output has closed it.
    Unread,
    /// Standard output cannot be written; the text says why.
    CannotWrite(String),
    /// The directory for bodies is gone.
    NoDirectory,
}

impl Why {
    /// There is no reader any more.
    fn is_mute(&self) -> bool {
        matches!(self, Why::Unread | Why::CannotWrite(_))
    }
}

/// How a batch ended.
#[derive(Debug)]
pub(super) struct End {
    /// `None`: it is complete.
    pub(super) why: Option<Why>,
    pub(super) tally: Tally,
}

/// See the head of this file.
pub(super) struct Batch {
    pub(super) handle: Handle,
    pub(super) mailbox: Queue<Note>,
    pub(super) worker: Rc<Worker>,
    pub(super) schedule: Schedule,
    pub(super) report: Report,
    pub(super) output: Output,
    reader: Executor,
    /// `None` while it is being read, and after its end.
    input: Option<Input>,
    is_at_end: bool,
    running: HashMap<u64, Running>,
    names: Names,
    /// URLs read so far.
    known: u64,
    /// Lines that are being written.
    writing: Option<usize>,
    /// Leaves [`Note::Due`], at the first moment for which the schedule waits or earlier.
    alarm: Option<Call>,
    why: Option<Why>,
}

struct Running {
    task: JoinHandle<Attempt>,
    ticket: Ticket,
    url: Address,
}

impl Batch {
    pub(super) fn new(
        input: Input,
        worker: Worker,
        schedule: Schedule,
        report: Report,
        output: Output,
    ) -> Batch {
        let handle = worker.handle.clone();
        Batch {
            mailbox: Queue::new(&handle, usize::MAX),
            handle,
            worker: Rc::new(worker),
            schedule,
            report,
            output,
            reader: Executor::new(1),
            input: Some(input),
            is_at_end: false,
            running: HashMap::new(),
            names: Names::default(),
            known: 0,
            writing: None,
            alarm: None,
            why: None,
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self) -> End {
        self.advance();
        while !self.is_over() {
            let note = self.mailbox.get().await;
            self.take(note);
            // All that has come meanwhile, and then what follows from it.
            while let Some(note) = self.mailbox.get_nowait() {
                self.take(note);
            }
            self.advance();
        }
        self.output.finish().await;
        for _ in 0..TURNS_TO_DROP {
            yield_now().await;
        }
        if let Some(store) = &self.worker.store {
            store.settle().await;
        }
        // It may wait for standard input for ever.
        self.reader.abandon();
        End { why: self.why, tally: self.report.tally() }
    }

    fn is_over(&self) -> bool {
        self.is_at_end && self.schedule.is_idle() && self.writing.is_none()
    }

    fn take(&mut self, note: Note) {
        match note {
            // What comes after the end is not begun.
            Note::Read(..) if self.is_at_end => {}
            Note::Read(_, items) if items.is_empty() => self.is_at_end = true,
            Note::Read(input, items) => {
                self.input = Some(input);
                items.into_iter().for_each(|item| self.add(item));
            }
            Note::Done(number) => self.end(number),
            Note::Due => self.alarm = None,
            Note::Written(result) => {
                self.writing = None;
                if let Err(error) = result {
                    self.stop(match error.kind() {
                        io::ErrorKind::BrokenPipe => Why::Unread,
                        _ => Why::CannotWrite(format!("cannot write to standard output: {error}")),
                    });
                }
            }
            Note::Stop(why) => self.stop(why),
            Note::Tick => self.write(true),
        }
    }

    /// Begins what can be begun.
    fn advance(&mut self) {
        let now = self.handle.now();
        while self.report.ready() + self.writing.unwrap_or_default() < LINES_WAITING_MAX
            && let Some((job, ticket)) = self.schedule.next(now, self.report.awaited())
        {
            self.begin(job, ticket);
        }
        self.set_alarm();
        self.read();
        self.write(false);
    }

    fn set_alarm(&mut self) {
        let Some(due) = self.schedule.next_due() else { return };
        let is_in_time = |alarm: &Call| alarm.when().is_some_and(|when| when <= due);
        if !self.alarm.as_ref().is_some_and(is_in_time) {
            let mailbox = self.mailbox.clone();
            let alarm = self.handle.call_at(due, move |_| put(&mailbox, Note::Due));
            if let Some(late) = self.alarm.replace(alarm) {
                late.cancel();
            }
        }
    }

    fn read(&mut self) {
        let room = self.schedule.room().min(READ_MAX);
        if room == 0 {
            return;
        }
        let Some(mut input) = self.input.take() else { return };
        let read = self.reader.run(move || {
            let items = input.read(room);
            (input, items)
        });
        let mailbox = self.mailbox.clone();
        let task = self.handle.spawn_named("input", async move {
            let (input, items) = read.await.expect("reading does not panic");
            put(&mailbox, Note::Read(input, items));
        });
        drop(task);
    }

    fn add(&mut self, item: Item) {
        let number = self.known;
        self.known += 1;
        match item {
            Item::Url(url) => {
                let file = self.worker.store.is_some().then(|| self.names.name(&url.shown()));
                self.schedule.add(Job::new(number, url, file));
            }
            Item::Bad { shown, why } => {
                self.report.add(number, &Outcome::untried(&shown, Failure::Input(why)));
            }
        }
    }

    fn begin(&mut self, job: Job, ticket: Ticket) {
        let (number, url) = (job.number, job.url.clone());
        let worker = Rc::clone(&self.worker);
        let task = self.handle.spawn_named("fetch", async move { worker.fetch(job).await });
        let mailbox = self.mailbox.clone();
        task.add_done_callback(move |_| put(&mailbox, Note::Done(number)));
        self.running.insert(number, Running { task, ticket, url });
    }

    fn end(&mut self, number: u64) {
        // Not there: it was cancelled, and is counted already.
        let Some(Running { mut task, ticket, url }) = self.running.remove(&number) else { return };
        self.schedule.end(ticket);
        let attempt = match task.take() {
            Some(Ok(attempt)) => attempt,
            Some(Err(error)) => {
                let outcome = Outcome::untried(&url, Failure::Fetch(error.into()));
                Attempt { next: Next::Nothing(outcome), wish: None }
            }
            None => unreachable!("the callback comes when it has ended"),
        };
        if let Some((url, pause)) = attempt.wish {
            self.schedule.pause(&url, self.handle.now() + pause);
        }
        match attempt.next {
            Next::Nothing(outcome) => self.tell(number, &outcome),
            Next::Again(job, pause) => self.schedule.retry(job, self.handle.now() + pause),
        }
    }

    fn tell(&mut self, number: u64, outcome: &Outcome) {
        self.report.add(number, outcome);
        if let Err(Failure::NoDirectory(_)) = outcome.result {
            self.stop(Why::NoDirectory);
        }
    }

    /// Cancels what is under way, and begins nothing more. What is done is still reported.
    fn stop(&mut self, why: Why) {
        if self.why.is_some() {
            return;
        }
        self.why = Some(why);
        (self.is_at_end, self.input) = (true, None);
        let paused = self.schedule.clear();
        let mut cancelled: Vec<_> = paused.into_iter().map(|job| (job.number, job.url)).collect();
        for (number, Running { task, ticket, url }) in self.running.drain() {
            task.cancel();
            self.schedule.end(ticket);
            cancelled.push((number, url));
        }
        cancelled.sort_unstable();
        for (number, url) in cancelled {
            self.report.add(number, &Outcome::untried(&url, Failure::Cancelled));
        }
        self.report.close_gaps();
    }

    fn write(&mut self, is_tick: bool) {
        if self.writing.is_some() || self.why.as_ref().is_some_and(Why::is_mute) {
            return;
        }
        let lines = self.report.take();
        if lines.is_empty() && !is_tick {
            return;
        }
        self.writing = Some(lines.len());
        let (output, mailbox) = (self.output.clone(), self.mailbox.clone());
        let (tally, known) = (self.report.tally(), self.known);
        let task = self.handle.spawn_named("output", async move {
            put(&mailbox, Note::Written(output.write(lines, tally, known).await));
        });
        drop(task);
    }
}

/// Leaves a note.
pub(super) fn put(mailbox: &Queue<Note>, note: Note) {
    mailbox.put_nowait(note).ok().expect("the mailbox has no bound");
}
