//! helloop in miniature: a loop on which everything is a task. Rungs 5 and 6 stand on it.
//! Read [`EventLoop::run`] first.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Result, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use mio::event::Source as Socket;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

pub(crate) trait Task {
    /// Goes on until it would have to wait, and returns what for. It must not wait itself: all other
    /// tasks would wait with it.
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
/// after the bytes have been read, the end is still to be read.
const ENDED: Ready = 2;
pub(crate) const READ: Ready = READABLE | ENDED;
pub(crate) const WRITE: Ready = 4;

/// No task: to wake it is to ask where all tasks are.
pub(crate) const LOOKOUT: Token = Token(0);

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
    /// By the token of their socket. None is used twice: a late event, for a task that has ended, finds
    /// nothing.
    tasks: BTreeMap<Token, Slot>,
    last: Token,
    /// Tasks that can go on: first come, first served.
    queue: VecDeque<Token>,
    /// In order of time. No heap: most timers are cancelled before they are due.
    timers: BTreeSet<(Instant, Token)>,
    woken: Arc<Woken>,
}

/// What the loop shares with other threads.
struct Woken {
    /// Tasks that they have woken: each of them once, however often.
    tasks: Mutex<BTreeSet<Token>>,
    /// Ends a wait.
    alarm: mio::Waker,
}

impl EventLoop {
    pub(crate) fn new() -> Result<EventLoop> {
        let poll = Poll::new()?;
        let alarm = mio::Waker::new(poll.registry(), LOOKOUT)?;
        let woken = Arc::new(Woken { tasks: Mutex::default(), alarm });
        let (tasks, queue, timers) = (BTreeMap::new(), VecDeque::new(), BTreeSet::new());
        Ok(EventLoop { poll, now: Instant::now(), tasks, last: LOOKOUT, queue, timers, woken })
    }

    /// Each pass of this loop is a *turn*, of four phases.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            // 1. How long may we wait? Not at all if a task can go on, else until the first timer.
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

            // 3. Queue the tasks that can go on: by a socket, by a timer, by another thread.
            for event in &events {
                let Some(slot) = self.tasks.get(&event.token()) else { continue };
                let reported = (READABLE * Ready::from(event.is_readable()))
                    | (ENDED * Ready::from(event.is_read_closed()))
                    | (WRITE * Ready::from(event.is_writable()));
                slot.ready.set(slot.ready.get() | reported);
                if slot.ready.get() & slot.want != NOTHING {
                    self.queue(event.token());
                }
            }
            while let Some(&(_, id)) = self.timers.first().filter(|(time, _)| *time <= self.now) {
                self.timers.pop_first();
                self.queue(id);
            }
            let woken =
                std::mem::take(&mut *self.woken.tasks.lock().expect("nobody panics with it"));
            for id in woken {
                if id == LOOKOUT { self.print() } else { self.queue(id) }
            }

            // 4. Resume exactly the tasks that are in the queue now. What they queue waits for the
            // next turn: a task that always wants to go on costs the others a turn, and no more.
            for _ in 0..self.queue.len() {
                if let Some(id) = self.queue.pop_front() {
                    self.resume(id);
                }
            }
        }
    }

    fn queue(&mut self, id: Token) {
        if let Some(slot) = self.tasks.get_mut(&id).filter(|slot| !slot.is_queued) {
            slot.is_queued = true;
            self.queue.push_back(id);
        }
    }

    fn resume(&mut self, id: Token) {
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

    /// Adds the task that `make` makes of a socket and of the task's own waker.
    pub(crate) fn spawn<S: Socket, T: Task + 'static>(
        &mut self,
        mut socket: S,
        make: impl FnOnce(Source<S>, Waker) -> T,
    ) -> Result<()> {
        self.last.0 += 1;
        // Both directions, once and for all.
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, self.last, both)?;
        // This is a guess. But a new client has mostly sent its request already, and a wrong guess costs
        // one system call, after which the truth is known.
        let ready = Rc::new(Cell::new(READABLE | WRITE));
        let source = Source { socket, ready: Rc::clone(&ready) };
        let task = Box::new(make(source, self.waker(self.last)));
        let slot = Slot { task, ready, want: NOTHING, until: None, is_queued: false };
        self.tasks.insert(self.last, slot);
        self.queue(self.last);
        Ok(())
    }

    /// Resumes that task, whatever thread it is used on.
    pub(crate) fn waker(&self, id: Token) -> Waker {
        Waker::from(Arc::new(Call { id, woken: Arc::clone(&self.woken) }))
    }

    fn print(&self) {
        self.tasks.iter().for_each(|(id, slot)| println!("task {}: {}", id.0, slot.task.state()));
    }
}

struct Call {
    id: Token,
    woken: Arc<Woken>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.woken.tasks.lock().expect("nobody panics with it").insert(self.id);
        // If that fails, the loop has ended, and everything on it.
        let _ = self.woken.alarm.wake();
    }
}

/// A socket on the loop; dropping it closes it. Its operations never wait, and ask the kernel only
/// where it may have something new to say. An edge-triggered poller reports a thing once, when it
/// begins; so it is kept until an operation shows that it is over: readiness is *sticky*.
pub(crate) struct Source<S> {
    socket: S,
    ready: Rc<Cell<Ready>>,
}

impl<S> Source<S> {
    /// An operation that did less than it could, or would have to wait, shows that readiness is over.
    fn attempt<T>(
        &mut self,
        want: Ready,
        act: impl FnOnce(&mut S) -> Result<T>,
        is_short: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        if self.ready.get() & want == NOTHING {
            return Err(ErrorKind::WouldBlock.into());
        }
        let outcome = act(&mut self.socket);
        if outcome.as_ref().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, is_short) {
            self.ready.set(self.ready.get() & (ENDED | !want));
        }
        outcome
    }
}

impl Source<TcpListener> {
    pub(crate) fn accept(&mut self) -> Result<TcpStream> {
        self.attempt(READ, |listener| listener.accept().map(|(stream, _)| stream), |_| false)
    }
}

impl Source<TcpStream> {
    /// A read that does not fill the buffer has emptied the kernel's: the next byte is a change, and
    /// will be reported. Asking once more, only to hear `WouldBlock`, would be one system call in two.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let room = buffer.len();
        self.attempt(READ, |stream| stream.read(buffer), |&bytes| bytes < room)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.attempt(WRITE, |stream| stream.write(bytes), |&written| written < bytes.len())
    }
}
