//! The open pages: each has a queue of messages, and one that reads too slowly loses events, never
//! memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::coroutine::Event;
use crate::event_loop::Handle;

use crate::lab::message::{Kind, Message};

/// Bytes that may wait in memory for one page. At the limit: they are dropped, the events in them
/// are counted, and a snapshot follows.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// All open pages of a lab.
#[derive(Debug)]
pub(super) struct Pages {
    handle: Handle,
    pages: RefCell<Vec<Rc<Page>>>,
}

/// One open page.
#[derive(Debug)]
pub(super) struct Page {
    waiting: RefCell<VecDeque<Message>>,
    waiting_bytes: Cell<usize>,
    /// Set while something waits.
    has_more: Event,
    /// It is sent nothing that builds on a snapshot before it has had one.
    wants_snapshot: Cell<bool>,
    /// It has had its first snapshot.
    is_shown: Cell<bool>,
    /// Events dropped since the last one that it was sent.
    dropped: Cell<u64>,
}

impl Pages {
    pub(super) fn new(handle: &Handle) -> Rc<Pages> {
        Rc::new(Pages { handle: handle.clone(), pages: RefCell::default() })
    }

    pub(super) fn count(&self) -> usize {
        self.pages.borrow().len()
    }

    /// A page that is sent `hello` first, and then nothing before a snapshot.
    pub(super) fn open(self: &Rc<Self>, hello: Message) -> Open {
        let page = Rc::new(Page {
            waiting: RefCell::default(),
            waiting_bytes: Cell::new(0),
            has_more: Event::new(&self.handle),
            wants_snapshot: Cell::new(true),
            is_shown: Cell::new(false),
            dropped: Cell::new(0),
        });
        page.put(hello);
        self.pages.borrow_mut().push(Rc::clone(&page));
        Open { pages: Rc::clone(self), page }
    }

    /// Tells all pages. True if one of them is too slow, and needs a snapshot.
    pub(super) fn tell(&self, message: &Message, gap: impl Fn(u64) -> Message) -> bool {
        let mut is_one_lost = false;
        for page in &*self.pages.borrow() {
            is_one_lost |= page.tell(message, &gap);
        }
        is_one_lost
    }
}

impl Pages {
    /// Shows all pages the loop: by `changes` those that know what was before, if there are any. The others are shown
    /// everything. True if one of them is too slow, and needs a snapshot.
    pub(super) fn show(
        &self,
        everything: impl FnOnce() -> Message,
        changes: Option<&Message>,
        gap: impl Fn(u64) -> Message,
    ) -> bool {
        let pages = self.pages.borrow();
        let needs_all = |page: &Page| changes.is_none() || page.wants_snapshot.get();
        // It is large, and seldom needed.
        let everything = pages.iter().any(|page| needs_all(page)).then(everything);
        let mut is_one_lost = false;
        for page in &*pages {
            let all = everything.as_ref().filter(|_| needs_all(page));
            if let Some(message) = all.or(changes) {
                is_one_lost |= page.tell(message, &gap);
            }
        }
        is_one_lost
    }
}

impl Page {
    /// `gap` says how many events are missing. True if there is no room.
    pub(super) fn tell(&self, message: &Message, gap: impl Fn(u64) -> Message) -> bool {
        if self.waiting_bytes.get() + message.text.len() > WAITING_BYTES_MAX {
            let waiting = self.waiting.take();
            self.waiting_bytes.set(0);
            let lost: u64 = waiting.iter().map(|message| message.events).sum();
            self.dropped.set(self.dropped.get() + lost + message.events);
            self.has_more.clear();
            return !self.wants_snapshot.replace(true);
        }
        match message.kind {
            // What was before its first snapshot, a page does not miss.
            Kind::Change if self.wants_snapshot.get() => {
                let missed = if self.is_shown.get() { message.events } else { 0 };
                self.dropped.set(self.dropped.get() + missed);
            }
            Kind::Snapshot if self.wants_snapshot.replace(false) => {
                self.is_shown.set(true);
                match self.dropped.take() {
                    0 => {}
                    dropped => self.put(gap(dropped)),
                }
                self.put(message.clone());
            }
            _ => self.put(message.clone()),
        }
        false
    }

    fn put(&self, message: Message) {
        self.waiting_bytes.set(self.waiting_bytes.get() + message.text.len());
        self.waiting.borrow_mut().push_back(message);
        self.has_more.set();
    }
}

/// A page, for as long as it is open.
#[derive(Debug)]
pub(super) struct Open {
    pages: Rc<Pages>,
    pub(super) page: Rc<Page>,
}

impl Open {
    /// Waits for the next message.
    pub(super) async fn next(&self) -> Rc<str> {
        loop {
            self.page.has_more.wait().await;
            let next = self.page.waiting.borrow_mut().pop_front();
            let Some(message) = next else {
                self.page.has_more.clear();
                continue;
            };
            let left = self.page.waiting_bytes.get() - message.text.len();
            self.page.waiting_bytes.set(left);
            return message.text;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pages.pages.borrow_mut().retain(|page| !Rc::ptr_eq(page, &self.page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::world::sim::Sim;

    fn message(kind: Kind, bytes: usize) -> Message {
        let events = u64::from(kind == Kind::Change);
        Message { text: "x".repeat(bytes).into(), events, kind }
    }

    fn gap(dropped: u64) -> Message {
        Message { text: format!("gap of {dropped}").into(), events: 0, kind: Kind::Note }
    }

    /// What waits for a page, without waiting.
    fn waiting(open: &Open) -> Vec<String> {
        let waiting = open.page.waiting.borrow();
        waiting.iter().map(|message| message.text.chars().take(12).collect()).collect()
    }

    #[test]
    fn a_page_that_is_too_slow_loses_events_and_never_memory() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let pages = Pages::new(event_loop.handle());
        let open = pages.open(message(Kind::Note, 5));
        assert!(!pages.tell(&message(Kind::Change, 9), gap));
        assert_eq!(waiting(&open), ["xxxxx"], "before its first snapshot it is told no change");
        assert!(!pages.tell(&message(Kind::Snapshot, 7), gap));
        assert_eq!(waiting(&open), ["xxxxx", "xxxxxxx"], "and misses none");

        let many = 10 * WAITING_BYTES_MAX / 10_000;
        let complaints = (0..many).filter(|_| pages.tell(&message(Kind::Change, 10_000), gap));
        assert_eq!(complaints.count(), 1, "a snapshot is asked for once");
        assert!(open.page.waiting_bytes.get() <= WAITING_BYTES_MAX);
        assert_eq!(waiting(&open), Vec::<String>::new());

        assert!(!pages.tell(&message(Kind::Snapshot, 7), gap));
        assert_eq!(waiting(&open), [format!("gap of {many}"), "xxxxxxx".into()]);
        assert!(!pages.tell(&message(Kind::Change, 3), gap));
        assert_eq!(waiting(&open)[2], "xxx");
        drop(open);
        assert_eq!(pages.count(), 0);
    }

    #[test]
    fn only_a_page_that_needs_it_is_shown_everything() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let pages = Pages::new(event_loop.handle());
        let known = pages.open(message(Kind::Note, 1));
        let all = || message(Kind::Snapshot, 5);
        pages.show(all, None, gap);
        let new = pages.open(message(Kind::Note, 2));
        pages.show(all, Some(&message(Kind::Change, 3)), gap);
        assert_eq!(waiting(&known), ["x", "xxxxx", "xxx"]);
        assert_eq!(waiting(&new), ["xx", "xxxxx"]);
        pages.show(|| panic!("nobody needs it"), Some(&message(Kind::Change, 4)), gap);
        assert_eq!(waiting(&new), ["xx", "xxxxx", "xxxx"]);
    }

    #[test]
    fn messages_are_taken_in_order_and_their_room_is_free_again() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let pages = Pages::new(event_loop.handle());
        let open = pages.open(message(Kind::Note, 1));
        pages.tell(&message(Kind::Snapshot, 2), gap);
        let taken = async {
            let lengths = [open.next().await.len(), open.next().await.len()];
            (lengths, open)
        };
        let (lengths, open) = event_loop.run_until_complete(taken).unwrap();
        assert_eq!((lengths, open.page.waiting_bytes.get()), ([1, 2], 0));
    }
}
