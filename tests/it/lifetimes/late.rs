use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use helloop::SourceId;
use helloop::limits::{DRAIN_IDLE_GRACE, DRAIN_TIMEOUT, IDLE_TIMEOUT};
use helloop::server::{Builder, Server};
use helloop::world::sim::Sim;
use helloop::world::{Clock, Listener, Pollable, Readiness, Stream, Time, World};

use crate::sim::{Client, House, echo, get};

/// How late this world's reports are, from the moment of `LATE_FROM` on.
const DELAY: Duration = Duration::from_secs(1);
const LATE_FROM: Time = Time::from_nanos(100_000_000);
const INSTANT: Duration = Duration::from_millis(1);

/// A simulated world that reports readiness late, as a kernel seems to when its report waits
/// behind a thousand others. The bytes themselves are there in time.
struct Late {
    sim: Sim,
    held: Vec<(Time, (SourceId, Readiness))>,
}

impl World for Late {
    fn wait(
        &mut self,
        until: Option<Time>,
        arrived: &mut Vec<(SourceId, Readiness)>,
    ) -> io::Result<Time> {
        let next = self.held.first().map(|(at, _)| *at);
        let until = until.into_iter().chain(next).min();
        let mut fresh = Vec::new();
        let now = self.sim.wait(until, &mut fresh)?;
        let delay = if now < LATE_FROM { Duration::ZERO } else { DELAY };
        self.held.extend(fresh.into_iter().map(|report| (now + delay, report)));
        let is_due = |(at, _): &mut (Time, _)| *at <= now;
        arrived.extend(self.held.extract_if(.., is_due).map(|(_, report)| report));
        Ok(now)
    }

    fn clock(&self) -> Clock {
        self.sim.clock()
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        self.sim.alarm()
    }

    fn listen(&mut self, address: SocketAddr) -> io::Result<Listener> {
        self.sim.listen(address)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<Stream> {
        self.sim.connect(address)
    }

    fn register(&mut self, pollable: Pollable<'_>, id: SourceId) -> io::Result<()> {
        self.sim.register(pollable, id)
    }

    fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        None
    }
}

/// A house with an idle connection, at a moment from which on reports are late.
fn house() -> (House, Client) {
    built(Server::builder())
}

fn built(builder: Builder) -> (House, Client) {
    let sim = Sim::new(1);
    let net = sim.net();
    let world = Box::new(Late { sim, held: Vec::new() });
    let mut house = House::built(builder, world, net, echo);
    let client = house.connect();
    house.pass(Duration::from_millis(200));
    client.assert_quiet();
    (house, client)
}

#[test]
fn a_request_that_came_in_time_is_answered_although_its_report_is_late() {
    let (mut house, client) = house();
    house.pass((Time::ZERO + IDLE_TIMEOUT).since(house.net.now()) - 10 * INSTANT);
    client.send(&get("/late"));
    house.pass(INSTANT);
    client.assert_quiet();
    house.pass(10 * INSTANT);
    assert_eq!(client.answer(), (200, "GET /late \n".into()));
    client.assert_quiet();
}

#[test]
fn a_head_that_was_completed_in_time_is_answered_although_its_report_is_late() {
    let (mut house, client) = house();
    let (first, rest) = ("GET /late HT", "TP/1.1\r\nHost: x\r\n\r\n");
    client.send(first);
    house.pass(DELAY + INSTANT);
    let deadline = house.event_loop().next_deadline().expect("that of the head");
    house.pass(deadline.since(house.net.now()) - 10 * INSTANT);
    client.send(rest);
    house.pass(11 * INSTANT);
    assert_eq!(client.answer(), (200, "GET /late \n".into()));
}

#[test]
fn a_drain_looks_once_more_before_it_closes_the_idle() {
    let (mut house, client) = house();
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.pass(DRAIN_IDLE_GRACE - 10 * INSTANT);
    client.send(&get("/late"));
    house.pass(11 * INSTANT);
    assert_eq!(client.answer(), (200, "GET /late \n".into()));
    client.assert_end();
    assert!(house.net.now() < Time::ZERO + DELAY, "before the report came");
}

/// What the kernel has accepted for the server is the server's, reported or not.
#[test]
fn a_drain_looks_once_more_before_the_listener_closes() {
    let (mut house, _idle) = house();
    let client = house.connect();
    client.send(&get("/queued"));
    house.server.handle().drain(DRAIN_TIMEOUT);
    house.pass(INSTANT);
    assert_eq!(client.answer(), (200, "GET /queued \n".into()));
    client.assert_end();
}

/// What came too late to be answered is cut: its connection was not idle.
#[track_caller]
fn assert_cut_unread(builder: Builder) {
    let (mut house, client) = built(builder);
    house.server.handle().drain(100 * INSTANT);
    house.pass(90 * INSTANT);
    client.send(&get("/late"));
    house.pass(11 * INSTANT);
    assert!(house.server.is_finished());
    assert_eq!(house.server.report().cut, 1);
    let cut = "cut while busy: the server was stopped, or its drain took too long";
    assert_eq!(house.endings(), [cut]);
}

#[test]
fn a_drain_looks_once_more_before_it_says_that_nothing_was_cut() {
    assert_cut_unread(Server::builder());
}

#[cfg(feature = "twin")]
#[test]
fn a_drain_looks_once_more_at_a_coroutine() {
    assert_cut_unread(Server::builder().connections(helloop::server::Connections::Coroutine));
}
