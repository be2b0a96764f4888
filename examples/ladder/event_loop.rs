//! helloop in miniature: a loop on which everything is a task. Rungs 5 and 6 stand on it.
//! Read [`EventLoop::run`] first.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Result, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use mio::event::Source as Socket;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

pub(crate) trait Task {
    /// Goes on until it would have to wait, and says what for. It must not wait itself: everybody
    /// else would wait with it.
    fn resume(&mut self, event_loop: &mut EventLoop) -> Flow;

    /// Where it is, for people.
    fn state(&self) -> &'static str;
}

/// What a task does next.
#[derive(Clone, Copy)]
pub(crate) enum Flow {
    /// Resume me when my socket is ready for one of these, or at this time, whichever comes first.
    Wait { want: Ready, until: Option<Instant> },
    /// I could go on, but it is the others' turn.
    Again,
    /// Drop me.
    Done,
}

/// What a socket is ready for, bit by bit.
pub(crate) type Ready = u8;
pub(crate) const NOTHING: Ready = 0;
const READABLE: Ready = 1;
/// The client sends no more. It may be reported together with the last bytes, and is never cleared:
/// after those have been read, the end is still to be read.
const ENDED: Ready = 2;
pub(crate) const READ: Ready = READABLE | ENDED;
pub(crate) const WRITE: Ready = 4;

/// The name of a task, and the token of its socket. None is given twice: what comes late for a task
/// that has ended finds nobody.
type TaskId = usize;

struct Slot {
    task: Box<dyn Task>,
    /// What was reported, once, and has not been used up since: see [`Source`].
    ready: Rc<Cell<Ready>>,
    /// A field, and no system call: the kernel reports everything anyway.
    want: Ready,
    until: Option<Instant>,
    is_queued: bool,
}

pub(crate) struct EventLoop {
    poll: Poll,
    /// The time of this turn.
    pub(crate) now: Instant,
    tasks: BTreeMap<TaskId, Slot>,
    last: TaskId,
    /// Tasks that can go on: first come, first served.
    queue: VecDeque<TaskId>,
    /// In order of time. No heap: most timers are taken back before they are due.
    timers: BTreeSet<(Instant, TaskId)>,
    /// Tasks that other threads have woken, and what ends a wait meanwhile.
    woken: (Sender<TaskId>, Receiver<TaskId>),
    alarm: Arc<mio::Waker>,
}

impl EventLoop {
    pub(crate) fn new() -> Result<EventLoop> {
        let poll = Poll::new()?;
        // No task ever has this token.
        let alarm = Arc::new(mio::Waker::new(poll.registry(), Token(usize::MAX))?);
        let (tasks, queue, timers) = (BTreeMap::new(), VecDeque::new(), BTreeSet::new());
        let (now, woken) = (Instant::now(), channel());
        Ok(EventLoop { poll, now, tasks, last: 0, queue, timers, woken, alarm })
    }

    /// Each pass of this loop is a *turn*, of four phases.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            // 1. How long may we wait? Not at all if somebody can go on, else until the first timer.
            let timeout = match self.timers.first() {
                _ if !self.queue.is_empty() => Some(Duration::ZERO),
                Some((time, _)) => Some(time.saturating_duration_since(Instant::now())),
                None => None,
            };

            // 2. Wait, and read the clock, once: all tasks of a turn agree about what is due.
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => self.now = Instant::now(),
            }

            // 3. Queue who can go on: by a socket, by a timer, by another thread.
            for event in &events {
                let Token(id) = event.token();
                let Some(slot) = self.tasks.get(&id) else { continue };
                let reported = (READABLE * Ready::from(event.is_readable()))
                    | (ENDED * Ready::from(event.is_read_closed()))
                    | (WRITE * Ready::from(event.is_writable()));
                slot.ready.set(slot.ready.get() | reported);
                if slot.ready.get() & slot.want != NOTHING {
                    self.queue(id);
                }
            }
            while let Some(&(_, id)) = self.timers.first().filter(|(time, _)| *time <= self.now) {
                self.timers.pop_first();
                self.queue(id);
            }
            while let Ok(id) = self.woken.1.try_recv() {
                self.queue(id);
            }

            // 4. Resume exactly those that are in the queue now. What they queue waits for the next
            // turn: a task that always wants to go on costs the others a turn, and not the server.
            for _ in 0..self.queue.len() {
                if let Some(id) = self.queue.pop_front() {
                    self.resume(id);
                }
            }
        }
    }

    fn queue(&mut self, id: TaskId) {
        if let Some(slot) = self.tasks.get_mut(&id).filter(|slot| !slot.is_queued) {
            slot.is_queued = true;
            self.queue.push_back(id);
        }
    }

    fn resume(&mut self, id: TaskId) {
        // Out of the map while it runs, because it is given the loop, and the map with it.
        let Some(mut slot) = self.tasks.remove(&id) else { return };
        if let Some(until) = slot.until.take() {
            self.timers.remove(&(until, id));
        }
        let flow = slot.task.resume(self);
        slot.is_queued = false;
        let can_go_on = match flow {
            // Dropped, and its socket with it, which closes it.
            Flow::Done => return,
            Flow::Again => true,
            Flow::Wait { want, until } => {
                (slot.want, slot.until) = (want, until);
                self.timers.extend(until.map(|until| (until, id)));
                // What it wants may have been reported before it wanted it.
                slot.ready.get() & want != NOTHING
            }
        };
        self.tasks.insert(id, slot);
        if can_go_on {
            self.queue(id);
        }
    }

    /// Adds a task that has no socket: its waker resumes it.
    pub(crate) fn spawn(&mut self, task: impl Task + 'static) -> Waker {
        self.last += 1;
        self.insert(Box::new(task), Rc::default());
        self.waker(self.last)
    }

    /// Adds the task that `make` makes of a socket, and of its own waker.
    pub(crate) fn spawn_on<S: Socket, T: Task + 'static>(
        &mut self,
        mut socket: S,
        make: impl FnOnce(Source<S>, Waker) -> T,
    ) -> Result<()> {
        self.last += 1;
        // Both directions, once and for all.
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(self.last), both)?;
        // Nobody has said so. But a new client has mostly sent its request already, and a wrong guess
        // costs one system call, after which the truth is known.
        let ready = Rc::new(Cell::new(READABLE | WRITE));
        let source = Source { socket, ready: Rc::clone(&ready) };
        let task = make(source, self.waker(self.last));
        self.insert(Box::new(task), ready);
        self.queue(self.last);
        Ok(())
    }

    fn insert(&mut self, task: Box<dyn Task>, ready: Rc<Cell<Ready>>) {
        let slot = Slot { task, ready, want: NOTHING, until: None, is_queued: false };
        self.tasks.insert(self.last, slot);
    }

    fn waker(&self, id: TaskId) -> Waker {
        let (woken, alarm) = (self.woken.0.clone(), Arc::clone(&self.alarm));
        Waker::from(Arc::new(Call { id, woken, alarm }))
    }
}

/// What a [`Waker`] does, on whatever thread.
struct Call {
    id: TaskId,
    woken: Sender<TaskId>,
    alarm: Arc<mio::Waker>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        // If that fails, the loop has ended, and everything on it.
        let _ = self.woken.send(self.id).map(|()| self.alarm.wake());
    }
}

/// Prints where everybody is, whenever it is woken.
pub(crate) struct Lookout;

impl Task for Lookout {
    fn resume(&mut self, event_loop: &mut EventLoop) -> Flow {
        event_loop.tasks.iter().for_each(|(id, slot)| println!("task {id}: {}", slot.task.state()));
        Flow::Wait { want: NOTHING, until: None }
    }

    fn state(&self) -> &'static str {
        "looking"
    }
}

/// A socket on the loop; dropping it closes it. Its operations never wait, and ask the kernel only
/// where that may have something new to say. An edge-triggered poller reports a thing once, when it
/// begins; so it is kept until an operation shows that it is over: readiness is *sticky*.
pub(crate) struct Source<S> {
    socket: S,
    ready: Rc<Cell<Ready>>,
}

impl<S> Source<S> {
    fn attempt<T>(&mut self, want: Ready, act: impl FnOnce(&mut S) -> Result<T>) -> Result<T> {
        if self.ready.get() & want == NOTHING {
            return Err(ErrorKind::WouldBlock.into());
        }
        let outcome = act(&mut self.socket);
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.forget(want);
        }
        outcome
    }

    fn forget(&self, ready: Ready) {
        self.ready.set(self.ready.get() & (ENDED | !ready));
    }
}

impl Source<TcpListener> {
    pub(crate) fn accept(&mut self) -> Result<TcpStream> {
        self.attempt(READ, |listener| listener.accept().map(|(stream, _)| stream))
    }
}

impl Source<TcpStream> {
    /// What does not fill the buffer has emptied the kernel's: the next byte is a change, and will be
    /// reported. To ask once more, only to be told so, would be one system call in two.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let bytes = self.attempt(READ, |stream| stream.read(buffer))?;
        if bytes < buffer.len() {
            self.forget(READ);
        }
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.attempt(WRITE, |stream| stream.write(bytes))?;
        if written < bytes.len() {
            self.forget(WRITE);
        }
        Ok(written)
    }
}
