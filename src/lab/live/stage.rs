//! What stands on the lab's own loop: the link to the watched one, the open pages, and what is sent to them.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::link::{Link, News};
use super::pages::Pages;
use crate::event_loop::Handle;
use crate::events::Event;
use crate::lab::message::{self, Message, Refused};
use crate::world::Time;

/// The lab's own loop, for a [`Guide`].
pub struct Stage {
    handle: Handle,
    pub(super) link: Arc<Link>,
    pub(super) pages: Rc<Pages>,
    /// Events that were sent to no page.
    dropped: Cell<u64>,
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
            self.tell_message(&message::snapshot(&snapshot, self.dropped.get()));
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
                    self.tell_message(&message::snapshot(&snapshot, self.dropped.get()));
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
        if self.pages.tell(message, message::gap)
            && let Some(snapshot) = self.link.ask_for_snapshot()
        {
            self.pages.tell(&message::snapshot(&snapshot, self.dropped.get()), message::gap);
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("pages", &self.pages.count()).finish_non_exhaustive()
    }
}
