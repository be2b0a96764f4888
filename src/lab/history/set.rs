//! One life of a simulated world: a loop with a server on it, its clients outside, and what was seen of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::recipe::{Action, Deed};
use super::{Stands, peer};
use crate::TaskId;
use crate::event_loop::EventLoop;
use crate::events::{Event, Observer};
use crate::lab::lessons::Lessons;
use crate::lab::scenario::Note;
use crate::lab::tally::Tally;
use crate::limits::Limits;
use crate::server::{Server, Service};
use crate::watch::SlowCallbacks;
use crate::world::Time;
use crate::world::sim::{Faults, Net, Sim};

/// Events that are kept, so that a page which went back has something to show.
pub(super) const EVENTS_KEPT: usize = 600;

/// Notes of clients that are kept.
const NOTES_KEPT: usize = 500;

/// Where the server of a simulated world listens.
pub(super) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A number of its own: the default asks the process for its descriptors.
const CONNECTIONS_MAX: usize = 1_000;

/// Bytes of the answer to `/big/`.
const BIG_BYTES: usize = 1024 * 1024;

/// What was seen, in order; the oldest is forgotten.
pub(super) struct Kept<T> {
    kept: VecDeque<T>,
    most: usize,
    /// How many there were in all.
    pub(super) count: u64,
}

impl<T> Kept<T> {
    fn new(most: usize) -> Kept<T> {
        Kept { kept: VecDeque::new(), most, count: 0 }
    }

    fn push(&mut self, item: T) {
        if self.kept.len() == self.most {
            self.kept.pop_front();
        }
        self.kept.push_back(item);
        self.count += 1;
    }

    /// Those after the first `told`, as far as they are kept, and how many of them are not.
    pub(super) fn after(&self, told: u64) -> (u64, impl Iterator<Item = &T>) {
        let forgotten = self.count - self.kept.len() as u64;
        let skipped = usize::try_from(told.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        (forgotten.saturating_sub(told), self.kept.iter().skip(skipped))
    }
}

/// What clients say about themselves.
pub(super) struct Notes {
    pub(super) kept: RefCell<Kept<(Time, Note)>>,
    clients: Cell<u64>,
}

impl Notes {
    pub(super) fn tell(&self, net: &Net, note: Note) {
        self.kept.borrow_mut().push((net.now(), note));
    }

    /// A number for one more client.
    pub(super) fn next_client(&self) -> u64 {
        self.clients.set(self.clients.get() + 1);
        self.clients.get()
    }
}

/// What the loop has done.
pub(super) struct Seen {
    pub(super) events: RefCell<Kept<(Time, Event)>>,
    pub(super) tally: RefCell<Tally>,
}

struct Watching(Rc<Seen>);

impl Observer for Watching {
    fn event(&mut self, at: Time, event: &Event) {
        self.0.tally.borrow_mut().take(at, event);
        self.0.events.borrow_mut().push((at, *event));
    }
}

pub(super) struct Set {
    pub(super) event_loop: EventLoop,
    slow: SlowCallbacks,
    net: Net,
    pub(super) notes: Rc<Notes>,
    pub(super) seen: Rc<Seen>,
}

impl Set {
    /// A world at its beginning.
    ///
    /// # Errors
    /// When the loop cannot listen, or be served: a mistake of ours.
    pub(super) fn new<S: Service + 'static>(
        seed: u64,
        faults: Faults,
        service: S,
    ) -> io::Result<Set> {
        let world = Sim::with_faults(seed, faults);
        let net = world.net();
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let seen = Rc::new(Seen {
            events: RefCell::new(Kept::new(EVENTS_KEPT)),
            tally: RefCell::default(),
        });
        event_loop.observe(Some(Box::new(Watching(Rc::clone(&seen)))));
        let handle = event_loop.handle();
        let listener = handle.listen(ADDRESS)?;
        let (passes, outside) = (net.clone(), net.clone());
        let service = Lessons {
            service,
            big_bytes: BIG_BYTES,
            block: Box::new(move |duration| passes.pass(duration)),
            elsewhere: Rc::new(move |_, duration| Box::pin(elsewhere(&outside, duration))),
            own_address: Box::new(|| Some(ADDRESS)),
        };
        let limits = Limits::default().connections_max(CONNECTIONS_MAX);
        Server::builder().limits(limits).attach(handle, vec![listener], service)?;
        let slow = SlowCallbacks::new(&event_loop);
        let kept = RefCell::new(Kept::new(NOTES_KEPT));
        let notes = Rc::new(Notes { kept, clients: Cell::new(0) });
        Ok(Set { event_loop, slow, net, notes, seen })
    }

    /// Does what is done at the present moment, or sees to its being done in the wait that follows.
    pub(super) fn act(&self, action: Action) {
        let (notes, remote) = (Rc::clone(&self.notes), self.event_loop.handle().remote());
        let act = move |net: &Net| match action.what {
            Deed::Begin(scenario) => peer::begin(net, ADDRESS, scenario, &notes),
            // No task has this id: the loop turns, and finds nothing to do.
            Deed::Wake => remote.wake(TaskId::default()),
        };
        if action.after.is_zero() {
            act(&self.net);
        } else {
            self.net.at(self.net.now() + action.after, act);
        }
    }

    /// One step: to the next moment before a turn or a resume.
    pub(super) fn step(&mut self, stands: Stands) -> Stands {
        let Set { event_loop, slow, .. } = self;
        match stands {
            Stands::Between => match slow.begin_turn(event_loop, None) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Deadlock => return Stands::Asleep,
                Err(error) => return Stands::Over(error.to_string()),
            },
            Stands::Resume => drop(slow.resume_next(event_loop)),
            Stands::Asleep | Stands::Over(_) => return stands,
        }
        if event_loop.peek().is_some() {
            return Stands::Resume;
        }
        slow.end_turn(event_loop);
        Stands::Between
    }

    /// The next wait panics.
    #[cfg(test)]
    pub(super) fn bomb(&self) {
        self.net.at(Time::ZERO, |_| panic!("planted"));
    }

    pub(super) fn now(&self) -> Time {
        self.net.now()
    }
}

/// Work that is done outside of the loop. When it is done, it wakes its task as another thread does: by a waker, in the
/// middle of a wait.
fn elsewhere(net: &Net, duration: Duration) -> impl Future<Output = ()> + use<> {
    #[derive(Default)]
    struct Work {
        is_done: Cell<bool>,
        waker: Cell<Option<Waker>>,
    }
    let work = Rc::<Work>::default();
    let done = Rc::clone(&work);
    net.at(net.now() + duration, move |_| {
        done.is_done.set(true);
        if let Some(waker) = done.waker.take() {
            waker.wake();
        }
    });
    poll_fn(move |cx| {
        if work.is_done.get() {
            return Poll::Ready(());
        }
        work.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    })
}
