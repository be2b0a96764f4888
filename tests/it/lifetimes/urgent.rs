use std::time::Duration;

use helloop::events::{Event, Operation};
use helloop::limits::Limits;
use helloop::server::{Builder, Server};
use helloop::world::sim::{Faults, Sim};

use crate::sim::{House, echo, get};

fn ways() -> Vec<fn() -> Builder> {
    #[cfg(feature = "twin")]
    return vec![Server::builder, || {
        Server::builder().connections(helloop::server::Connections::Coroutine)
    }];
    #[cfg(not(feature = "twin"))]
    vec![Server::builder]
}

fn calm(builder: Builder) -> House {
    let world = Sim::new(1);
    let net = world.net();
    House::built(builder.limits(Limits::default()), Box::new(world), net, echo)
}

/// Where the urgent byte is, decides nothing: not even where it is the last of a request, or between
/// two of them.
#[test]
fn an_urgent_byte_anywhere_delays_no_request() {
    let request = get("/u");
    for way in ways() {
        for (count, requests) in [(1, request.clone()), (3, request.repeat(3))] {
            for place in 0..=requests.len() {
                let mut house = calm(way());
                let client = house.connect();
                house.settle();
                client.send(&requests[..place]);
                client.peer.send_urgent();
                client.send(&requests[place..]);
                house.settle();
                let answers = client.receive();
                assert_eq!(answers.matches("GET /u \n").count(), count, "at {place}: {answers}");
            }
        }
    }
}

/// Reads that found nothing.
fn reads_for_nothing(house: &House) -> usize {
    let nothing = house.told(|_, event| match event {
        Event::WouldBlock { operation: Operation::Read, .. } => Some(()),
        _ => None,
    });
    nothing.len()
}

/// A request that comes in one piece is read once. After urgent data a second read looks for more, on
/// that connection alone.
#[test]
fn whoever_sends_nothing_urgent_pays_nothing_for_it() {
    for way in ways() {
        let mut house = calm(way());
        let [plain, urgent] = [house.connect(), house.connect()];
        house.settle();
        urgent.peer.send_urgent();
        house.settle();
        let before = reads_for_nothing(&house);
        for _ in 0..10 {
            plain.send(&get("/plain"));
            house.settle();
        }
        assert_eq!(reads_for_nothing(&house), before);
        for _ in 0..10 {
            urgent.send(&get("/urgent"));
            house.settle();
        }
        assert_eq!(reads_for_nothing(&house), before + 10);
        let answers = plain.receive() + &urgent.receive();
        assert_eq!(answers.matches("200 OK").count(), 20);
    }
}

/// The first read of a connection may come before any report of its socket. It ends at the mark, and
/// nobody knows yet that it did: a close at once would make the kernel reset the connection, and the
/// answer with it. Seed 8681832 of the hostile worlds.
#[test]
fn an_urgent_byte_that_is_not_reported_yet_costs_nobody_the_answer() {
    let request = "GET /u HTTP/1.0\r\n\r\n";
    for way in ways() {
        for seed in 0..20 {
            let world = Sim::with_faults(seed, Faults::NONE.held_percent(100));
            let net = world.net();
            let mut house = House::built(way(), Box::new(world), net, echo);
            let client = house.connect();
            client.send(request);
            client.peer.send_urgent();
            client.send("and more");
            house.pass(Duration::from_secs(1));
            let answer = client.receive();
            assert!(answer.ends_with("\r\n\r\nGET /u \n"), "seed {seed}: {answer:?}");
        }
    }
}
