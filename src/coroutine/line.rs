//! Waiters for the same thing. Every construct that keeps waiters keeps them here.
//!
//! A waiter may give up at any time, and it may be any of them: a thousand time-outs come oldest first, a
//! cancelled gather newest first. So only operations that concern all waiters look at all of them: each
//! of the others costs O(log n) where n wait, and a waiter that has left leaves nothing.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A place in a line: a number that is greater than all before it, and is never given again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(NonZeroU64);

impl Place {
    /// The first of all.
    #[cfg(feature = "client")]
    pub(crate) const FIRST: Place = Place(NonZeroU64::MIN);

    /// Compares as the number; tests count how often, since that is what a line's operations consist of.
    #[inline]
    fn compared(self) -> NonZeroU64 {
        #[cfg(test)]
        steps::count();
        self.0
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        self.compared().cmp(&other.0)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        self.compared() == other.0
    }
}

impl Eq for Place {}

/// Gives places, each after the others.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Places ever given.
    given: u64,
}

impl Places {
    pub(crate) fn next(&mut self) -> Place {
        self.given += 1;
        Place(NonZeroU64::new(self.given).expect("it was counted up"))
    }
}

/// Waiters in the order in which they came. One of them, the usual number, needs no allocation.
pub(super) struct Line<W> {
    places: Places,
    waiters: Waiters<W>,
}

enum Waiters<W> {
    /// None waits, and there were never two.
    None,
    /// There were never two.
    One(Place, W),
    Many(BTreeMap<Place, W>),
}

impl<W> Line<W> {
    pub(super) fn new() -> Line<W> {
        Line { places: Places::default(), waiters: Waiters::None }
    }

    /// Joins the line at its end.
    pub(super) fn join(&mut self, waiter: W) -> Place {
        let place = self.places.next();
        self.waiters = match std::mem::replace(&mut self.waiters, Waiters::None) {
            Waiters::None => Waiters::One(place, waiter),
            Waiters::One(first, one) => {
                Waiters::Many(BTreeMap::from([(first, one), (place, waiter)]))
            }
            Waiters::Many(mut all) => {
                all.insert(place, waiter);
                Waiters::Many(all)
            }
        };
        place
    }

    /// The waiter at this place; `None` if it was called, or has left.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut W> {
        match &mut self.waiters {
            Waiters::One(first, waiter) if *first == place => Some(waiter),
            Waiters::None | Waiters::One(..) => None,
            Waiters::Many(all) => all.get_mut(&place),
        }
    }

    /// Gives a place up; `None` if it was called, or given up before.
    pub(super) fn leave(&mut self, place: Place) -> Option<W> {
        match &mut self.waiters {
            Waiters::One(first, _) if *first == place => self.call(),
            Waiters::None | Waiters::One(..) => None,
            Waiters::Many(all) => all.remove(&place),
        }
    }

    /// Takes the oldest out.
    pub(super) fn call(&mut self) -> Option<W> {
        if let Waiters::Many(all) = &mut self.waiters {
            return all.pop_first().map(|(_, waiter)| waiter);
        }
        match std::mem::replace(&mut self.waiters, Waiters::None) {
            Waiters::One(_, waiter) => Some(waiter),
            Waiters::None | Waiters::Many(_) => None,
        }
    }

    /// Takes all out; they come in their order.
    pub(super) fn call_all(&mut self) -> impl Iterator<Item = W> + use<W> {
        let mut all = Line::new();
        std::mem::swap(&mut self.waiters, &mut all.waiters);
        std::iter::from_fn(move || all.call())
    }

    pub(super) fn len(&self) -> usize {
        match &self.waiters {
            Waiters::None => 0,
            Waiters::One(..) => 1,
            Waiters::Many(all) => all.len(),
        }
    }
}

/// Coroutines in a line, which are called one by one.
pub(super) struct Called {
    line: RefCell<Line<Waker>>,
}

impl Called {
    pub(super) fn new() -> Called {
        Called { line: RefCell::new(Line::new()) }
    }

    /// Calls the oldest. False if none waits.
    pub(super) fn call(&self) -> bool {
        let oldest = self.line.borrow_mut().call();
        // Not under the borrow: a waker may be foreign code.
        oldest.map(Waker::wake).is_some()
    }

    /// Waits to be called. If this is dropped after the call, so that nothing will come of it, `pass_on` is
    /// called.
    pub(super) fn wait<P: Fn()>(&self, pass_on: P) -> Turn<'_, P> {
        Turn { called: self, place: None, pass_on }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.line.borrow().len()
    }
}

/// See [`Called::wait`].
pub(super) struct Turn<'a, P: Fn()> {
    called: &'a Called,
    /// While it waits, and while it does not know that it was called.
    place: Option<Place>,
    pass_on: P,
}

// It holds no pinned future.
impl<P: Fn()> Unpin for Turn<'_, P> {}

impl<P: Fn()> Future for Turn<'_, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut line = self.called.line.borrow_mut();
        let Some(place) = self.place else {
            let place = line.join(waker);
            drop(line);
            self.place = Some(place);
            return Poll::Pending;
        };
        // Polled for another reason: the place stays.
        let before = line.get_mut(place).map(|present| std::mem::replace(present, waker));
        drop(line);
        if before.is_some() {
            return Poll::Pending;
        }
        self.place = None;
        Poll::Ready(())
    }
}

impl<P: Fn()> Drop for Turn<'_, P> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let left = self.called.line.borrow_mut().leave(place);
        if left.is_none() {
            (self.pass_on)();
        }
    }
}

impl<W> fmt::Debug for Line<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// How often places were compared on this thread, and what else others count as a step.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::Cell;

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn count() {
        COMPARED.set(COMPARED.get() + 1);
    }

    /// The count, which begins anew.
    pub(crate) fn take() -> u64 {
        COMPARED.take()
    }
}
