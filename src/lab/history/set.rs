//! One life of a simulated world: a loop with a server on it, its clients outside, and what was seen of them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::recipe::{Action, Deed, Recipe};
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
    /// For each port that a client has connected from: which action that client is of, counted from zero.
    actions: RefCell<BTreeMap<u16, usize>>,
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

    /// A client of this action has connected from this port.
    pub(super) fn connected(&self, port: u16, action: usize) {
        self.actions.borrow_mut().insert(port, action);
    }

    /// The action whose client has connected from this port; `None` if it was none.
    pub(super) fn action_at(&self, port: u16) -> Option<usize> {
        self.actions.borrow().get(&port).copied()
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
    /// How rough the network is at present.
    faults: Rc<Cell<Faults>>,
    /// Actions so far.
    acted: Cell<usize>,
    pub(super) notes: Rc<Notes>,
    pub(super) seen: Rc<Seen>,
    /// Dropped last.
    _props: Box<dyn Any>,
}

/// A world at its beginning, for a history: a loop, and what is outside of it.
pub struct Staged {
    /// The loop, in a simulated world, with everything on it.
    pub event_loop: EventLoop,
    /// The outside of that world.
    pub net: Net,
    /// What lives as long as the world does.
    pub props: Box<dyn Any>,
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("net", &self.net).finish_non_exhaustive()
    }
}

/// Makes the lab's own world: a server with this service, and what the lessons ask for. `observer` sees all of it.
///
/// # Errors
/// When the recipe is for a world of another kind. When the loop cannot listen, or be served: a mistake of ours.
pub fn greeting_world<S: Service + 'static>(
    recipe: &Recipe,
    observer: Box<dyn Observer>,
    service: S,
) -> io::Result<Staged> {
    if !recipe.kind.is_empty() {
        let text = format!("world={} is not known here", recipe.kind);
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let world = Sim::with_faults(recipe.seed, recipe.faults);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    event_loop.observe(Some(observer));
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
    let server = Server::builder().limits(limits).attach(handle, vec![listener], service)?;
    Ok(Staged { event_loop, net, props: Box::new(server) })
}

/// Makes a world, before an observer.
pub(super) type Make = dyn Fn(&Recipe, Box<dyn Observer>) -> io::Result<Staged>;

impl Set {
    /// A world at its beginning.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new(recipe: &Recipe, make: &Make) -> io::Result<Set> {
        let seen = Rc::new(Seen {
            events: RefCell::new(Kept::new(EVENTS_KEPT)),
            tally: RefCell::default(),
        });
        let Staged { event_loop, net, props } = make(recipe, Box::new(Watching(Rc::clone(&seen))))?;
        let slow = SlowCallbacks::new(&event_loop);
        let kept = RefCell::new(Kept::new(NOTES_KEPT));
        let notes = Notes { kept, clients: Cell::new(0), actions: RefCell::default() };
        let (faults, acted) = (Rc::new(Cell::new(recipe.faults)), Cell::new(0));
        Ok(Set { event_loop, slow, net, faults, acted, notes: Rc::new(notes), seen, _props: props })
    }

    /// Does what is done at the present moment, or sees to its being done in the wait that follows.
    pub(super) fn act(&self, action: Action) {
        let number = self.acted.replace(self.acted.get() + 1);
        let (notes, remote) = (Rc::clone(&self.notes), self.event_loop.handle().remote());
        let faults = Rc::clone(&self.faults);
        let act = move |net: &Net| match action.what {
            Deed::Begin(scenario) => peer::begin(net, ADDRESS, scenario, number, &notes),
            Deed::Reset => net.cut_last(ADDRESS),
            Deed::Fault(name, percent) => {
                let mut rougher = faults.get();
                let all = rougher.by_name().into_iter().filter(|(known, _)| *known == name);
                all.for_each(|(_, place)| *place = percent);
                faults.set(rougher);
                net.set_faults(rougher);
            }
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

    /// The port from which the next connection of this world is made.
    pub(super) fn next_port(&self) -> u16 {
        self.net.next_port()
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
