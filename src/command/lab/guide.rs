//! What the command adds to its lab: where the server is, and clients that make traffic.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use helloop::lab::scenario::{NoSuchScenario, Scenario};
use helloop::lab::{Guide, Refused, Stage};
use helloop::signals::on_signals;
use serde_json::json;

use super::traffic::Traffic;
use crate::command::run::signals_that_drain;

/// Leads visitors of a greeting server.
struct Greeter {
    traffic: Traffic,
    /// Where the watched server is found.
    url: String,
    /// The watched server knows the paths of the lessons.
    has_lessons: bool,
}

/// A guide on the lab's own loop, for a server at `target`.
///
/// # Errors
/// When the system refuses what signals need.
pub(super) fn of_server(
    target: SocketAddr,
    has_lessons: bool,
    stage: Rc<Stage>,
) -> io::Result<Box<dyn Guide>> {
    // The watched loop has the same signals in a socket of its own, and reads them when it turns.
    let opens = Rc::clone(&stage);
    on_signals(stage.handle(), &signals_that_drain(), move |_| opens.open_the_gate())?;
    let traffic = Traffic::new(stage.handle(), target);
    drop(stage.handle().clone().spawn_named("traffic notes", notes(stage, traffic.clone())));
    Ok(Box::new(Greeter { traffic, url: format!("http://{target}/"), has_lessons }))
}

/// Takes what the lab's own clients do to the pages.
async fn notes(stage: Rc<Stage>, traffic: Traffic) {
    loop {
        let note = traffic.next_note().await;
        stage.tell("traffic", &note.to_json(stage.now().as_nanos()));
    }
}

impl Guide for Greeter {
    fn facts(&self) -> String {
        json!({"url": self.url, "lessons": self.has_lessons}).to_string()
    }

    fn obey(&self, what: &str, query: &str) -> Option<Result<(), Refused>> {
        (what == "traffic").then(|| self.start(query))
    }
}

impl Greeter {
    /// `scenario=NAME`. Nothing in it needs percent-decoding.
    fn start(&self, query: &str) -> Result<(), Refused> {
        let name = query.split('&').find_map(|pair| pair.strip_prefix("scenario="));
        let scenario = name.and_then(|name| name.parse::<Scenario>().ok());
        let scenario = scenario.ok_or_else(|| Refused::Query(NoSuchScenario.to_string().into()))?;
        if scenario.needs_lessons() && !self.has_lessons {
            return Err(Refused::Now("only `helloop lab` has what this asks for".into()));
        }
        let started = self.traffic.start(scenario);
        started.map_err(|_busy| Refused::Now("too much is under way; wait for it".into()))
    }
}
