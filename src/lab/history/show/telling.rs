//! What a page is told of a history.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SNAPSHOT_INTERVAL, Show, offered};
use crate::lab::history::set::ADDRESS;
use crate::lab::history::{Stands, Stuck, Told};
use crate::lab::message::{self, Held, Message};
use crate::lab::orders::Going;
use crate::lab::scenario::Scenario;
use crate::lab::snapshot::Snapshot;

impl Show {
    pub(super) fn held(&self) -> Held {
        let event_loop = &self.history.set.event_loop;
        let before = match (&self.history.stands, event_loop.peek()) {
            (Stands::Over(why), _) => format!("an end: {why}"),
            (Stands::Asleep, _) => "something that comes from outside".into(),
            (_, Some((task, _))) => format!("resume of task {task}"),
            (_, None) => format!("turn {}", event_loop.handle().turns() + 1),
        };
        Held { why: self.why, before }
    }

    pub(super) fn say(&mut self, gone: Result<(), Stuck>) {
        if let Err(stuck) = gone {
            self.outbox.push(message::stuck(&stuck.to_string()));
        }
    }

    pub(super) fn tell_news(&mut self) {
        self.tell(self.history.all());
    }

    pub(super) fn tell(&mut self, until: Told) {
        let mut news = self.history.news(&mut self.told, until);
        self.outbox.append(&mut news);
    }

    pub(super) fn show_now_and_then(&mut self, now: Duration) {
        if self.shown.is_none_or(|shown| now.saturating_sub(shown) >= SNAPSHOT_INTERVAL) {
            self.show(now);
        }
    }

    pub(super) fn show(&mut self, now: Duration) {
        self.shown = Some(now);
        let is_paused = self.going == Going::Paused;
        let look = self.look(self.history.snapshot(is_paused));
        self.tell_look(look);
    }

    /// Shows what is different since the last time.
    pub(super) fn tell_look(&mut self, look: Value) {
        let message = match &self.base {
            Some(before) => message::changes(before, &look),
            None => message::snapshot(&look),
        };
        self.base = Some(look);
        self.outbox.push(message);
    }

    /// A snapshot, with what a history has besides.
    pub(super) fn look(&self, snapshot: Snapshot) -> Value {
        let mut look = Snapshot { dwell: self.dwell, ..snapshot }.to_json(0);
        look["moment"] = self.history.moment().into();
        look["moments"] = self.history.reached().into();
        look["recipe"] = self.history.recipe().world().into();
        look
    }

    /// Everything for a page that has only had `hello`, and what it has been shown then.
    pub(super) fn everything(&self) -> (Vec<Message>, Value) {
        let is_paused = self.going == Going::Paused;
        let look = self.look(self.history.snapshot(is_paused));
        let mut all = self.history.news(&mut Told::default(), self.history.all());
        if is_paused {
            all.push(message::gate(Some(&self.held())));
        }
        // The moment comes last, as in `hold`: a page that draws itself in between still shows the old one.
        all.push(message::snapshot(&look));
        (all, look)
    }

    pub(super) fn for_a_new_page(&self) -> (Vec<Message>, Value) {
        let (everything, look) = self.everything();
        let all = [self.hello(false)].into_iter().chain(everything).collect();
        (all, look)
    }

    /// What is sent to a page first.
    pub(in crate::lab) fn hello(&self, is_read_only: bool) -> Message {
        let facts = json!({
            "url": format!("http://{ADDRESS}/"),
            "lessons": true,
            "back": true,
            "seed": self.history.recipe().seed,
            "scenarios": offered().map(Scenario::name).collect::<Vec<_>>(),
        });
        message::hello(is_read_only, Some(&facts.to_string()))
    }
}
