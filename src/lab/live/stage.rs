//! What stands on the lab's own loop: the link to the watched one, the open pages, and what is sent to them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::link::{Link, News};
use super::pages::Pages;
use crate::event_loop::Handle;
use crate::events::Event;
use crate::lab::message::{self, Message, Refused};
use crate::lab::snapshot::Snapshot;
use crate::world::Time;

/// The lab's own loop, for a [`Guide`].
pub struct Stage {
    handle: Handle,
    pub(super) link: Arc<Link>,
    pub(super) pages: Rc<Pages>,
    /// Events that were sent to no page.
    dropped: Cell<u64>,
    /// What the pages were shown last, as far as they keep up.
    shown: RefCell<Option<Value>>,
    /// Something was done on the loop since the pages were last shown all of it.
    is_behind: Cell<bool>,
}

/// Adds to what a lab shows and does: the host of a server has clients to offer, for example.
/// It lives on the lab's own loop, and is never held.
pub trait Guide {
    /// Members of the first message to every page, `hello`: the text of an object of JSON.
    fn facts(&self) -> String;

    /// Does what a page has asked by `POST do/WHAT?QUERY`; `None` if it knows no such command.
    fn obey(&self, what: &str, query: &str) -> Option<Result<(), Refused>>;
}

impl Stage {
    pub(super) fn new(handle: &Handle, link: &Arc<Link>) -> Rc<Stage> {
        Rc::new(Stage {
            handle: handle.clone(),
            link: Arc::clone(link),
            pages: Pages::new(handle),
            dropped: Cell::new(0),
            shown: RefCell::default(),
            is_behind: Cell::new(false),
        })
    }

    /// The lab's own loop.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The present moment on the watched loop's clock, which stands while that is held.
    pub fn now(&self) -> Time {
        self.link.now()
    }

    /// Nothing holds the watched loop from now on.
    pub fn open_the_gate(&self) {
        self.link.open_for_good();
    }

    /// Tells every page: an event of the stream with this name, and these data, which are JSON.
    pub fn tell(&self, name: &str, data: &str) {
        self.tell_message(&message::of_host(name, data));
    }

    /// Events so far that were sent to no page.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.is_behind.get()
    }

    /// Shows the pages the loop as it is now; one that sleeps wakes for it.
    pub(super) fn catch_up(&self) {
        self.is_behind.set(false);
        if let Some(snapshot) = self.link.ask_for_snapshot() {
            self.show(&snapshot);
        }
    }

    /// Shows every page the loop as it was: what is different since the last time, or, to one that needs it,
    /// everything.
    pub(super) fn show(&self, snapshot: &Snapshot) {
        let now = snapshot.to_json(self.dropped.get());
        let before = self.shown.borrow_mut().take();
        let changes = before.map(|before| message::changes(&before, &now));
        let is_one_lost =
            self.pages.show(|| message::snapshot(&now), changes.as_ref(), message::gap);
        *self.shown.borrow_mut() = Some(now);
        if is_one_lost {
            self.make_good();
        }
    }

    pub(super) fn tell_all(&self, news: Vec<News>) {
        let mut events = Vec::new();
        for one in news {
            if let News::Event(at, event) = one {
                // A turn in which nobody was resumed has changed nothing.
                self.is_behind.set(self.is_behind.get() || matches!(event, Event::Resumed { .. }));
                events.push((at, event));
                continue;
            }
            self.tell_events(&mut events);
            match one {
                News::Event(..) => {}
                News::Gap(dropped) => {
                    self.dropped.set(self.dropped.get() + dropped);
                    self.tell_message(&message::gap(dropped));
                }
                News::Snapshot(snapshot) => {
                    self.is_behind.set(false);
                    self.show(&snapshot);
                }
                News::Held(held) => self.tell_message(&message::gate(Some(&held))),
                News::Released => self.tell_message(&message::gate(None)),
            }
        }
        self.tell_events(&mut events);
    }

    fn tell_events(&self, events: &mut Vec<(Time, Event)>) {
        if !events.is_empty() {
            self.tell_message(&message::batch(events));
            events.clear();
        }
    }

    /// Tells every page. For one that is too slow, a snapshot will follow.
    fn tell_message(&self, message: &Message) {
        if self.pages.tell(message, message::gap) {
            self.make_good();
        }
    }

    /// A page has lost something: it is shown everything, soon.
    fn make_good(&self) {
        if let Some(snapshot) = self.link.ask_for_snapshot() {
            let now = snapshot.to_json(self.dropped.get());
            self.pages.show(|| message::snapshot(&now), None, message::gap);
            *self.shown.borrow_mut() = Some(now);
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("pages", &self.pages.count()).finish_non_exhaustive()
    }
}
