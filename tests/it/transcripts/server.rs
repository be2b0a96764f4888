//! Runs a case through the whole server in a simulated world.

use std::time::Duration;

use helloop::events::Event;
use helloop::http::{Request, Response};
use helloop::server::{Builder, Server, Service};
use helloop::world::Time;
use helloop::world::sim::{Faults, Sim};

use super::exchange::service;
use super::page::Case;
use super::{CLOSES, Outcome, STAYS_OPEN};
use crate::sim::{Client, House};

/// How the input travels.
#[derive(Clone, Copy, Debug)]
enum Sending {
    Whole,
    ByteByByte,
}

/// Inputs above this length are not sent byte by byte over rough networks.
const ROUGH_BYTES_MAX: usize = 4000;

/// What comes of the case on calm and rough networks, whole and byte by byte.
pub(super) fn outcomes(case: &Case) -> impl Iterator<Item = (String, Outcome)> {
    ways(case).into_iter().map(move |(faults, seed, sending)| {
        let name = if faults == Faults::NONE { "calm" } else { "rough" };
        let way = format!("on a {name} network with seed {seed}, {sending:?}");
        (way, outcome(case, faults, seed, sending, Server::builder()))
    })
}

fn ways(case: &Case) -> Vec<(Faults, u64, Sending)> {
    let mut ways = vec![(Faults::NONE, 1, Sending::Whole)];
    if case.cuts {
        ways.push((Faults::NONE, 1, Sending::ByteByByte));
        for seed in 1..=3 {
            ways.push((Faults::ROUGH, seed, Sending::Whole));
            if case.input.len() <= ROUGH_BYTES_MAX {
                ways.push((Faults::ROUGH, seed, Sending::ByteByByte));
            }
        }
    }
    ways
}

/// What answers a case, in a type that is not a trait object.
struct Boxed(Box<dyn Service>);

impl Service for Boxed {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        self.0.call(request, response);
    }

    fn body_policy(&self, head: &Request<'_>) -> helloop::http::BodyPolicy {
        self.0.body_policy(head)
    }
}

/// What comes of a case at a server made by `builder`.
fn outcome(case: &Case, faults: Faults, seed: u64, sending: Sending, builder: Builder) -> Outcome {
    let boxed = Boxed(service(case.service));
    let world = Sim::with_faults(seed, faults);
    let net = world.net();
    let builder = builder.limits(case.limits.clone());
    let mut house = House::built(builder, Box::new(world), net, boxed);
    let client = house.connect();
    house.settle();
    let mut output = send(case, &mut house, &client, sending);
    if let Some(silence) = case.silence {
        house.pass(silence);
        output.extend(client.peer.receive());
    }
    let mut events = house.told(line);
    events.push(state(&events, &client).to_owned());
    hang_up(&mut house, &client);
    Outcome { output, events }
}

/// What comes of a case at one server and at another, in every way: whether that is the same.
#[cfg(feature = "twin")]
pub(super) fn compare(case: &Case, one: fn() -> Builder, other: fn() -> Builder) {
    for (faults, seed, sending) in ways(case) {
        let one = outcome(case, faults, seed, sending, one());
        let other = outcome(case, faults, seed, sending, other());
        assert_eq!(one, other, "{}", case.place());
    }
}

/// Sends the input and takes all that comes back.
fn send(case: &Case, house: &mut House, client: &Client, sending: Sending) -> Vec<u8> {
    let mut output = Vec::new();
    let piece_bytes = match sending {
        Sending::Whole => case.input.len().max(1),
        Sending::ByteByByte => 1,
    };
    for from in (0..case.input.len().max(1)).step_by(piece_bytes) {
        let to = (from + piece_bytes).min(case.input.len());
        client.peer.send(&case.input[from..to]);
        if case.eof && to == case.input.len() {
            client.peer.finish();
        }
        house.settle();
        output.extend(client.peer.receive());
        // Room in the pipe may let more come.
        house.settle();
        output.extend(client.peer.receive());
    }
    output
}

/// An event as a line of the page.
fn line(_: Time, event: &Event) -> Option<String> {
    match event {
        Event::Request { number, line, .. } => Some(format!("request {number}: {}", line.as_str())),
        Event::Response { number, status, body_bytes, .. } => {
            Some(format!("response {number}: {status}, {body_bytes} bytes"))
        }
        Event::Ending { why, .. } => Some(format!("ends: {why}")),
        _ => None,
    }
}

/// What the peer sees of the connection, which must agree with what the events say.
fn state(events: &[String], client: &Client) -> &'static str {
    let has_ended = events.last().is_some_and(|line| line.starts_with("ends: "));
    assert!(!client.peer.is_reset(), "the connection was reset");
    assert_eq!(client.peer.at_end(), has_ended, "the end of the stream and the ending: {events:?}");
    if has_ended { CLOSES } else { STAYS_OPEN }
}

/// The peer closes too; then nothing of the connection may be left, and nothing more was said.
fn hang_up(house: &mut House, client: &Client) {
    client.peer.finish();
    house.pass(Duration::from_millis(1));
    assert!(client.peer.is_closed(), "a connection is left over");
    assert_eq!(client.receive(), "", "something was said after the end");
    assert_eq!(house.server.open_connections(), 0);
}
