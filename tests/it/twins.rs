//! The two ways in which connections are written say the same: the same bytes, and the same requests, answers and
//! endings, in every transcript and on every network. And no peer gets the better of either.

use helloop::events::Event;
use helloop::server::{Builder, Connections, Server};
use helloop::world::sim::Sim;

use crate::it::hostile::world::{Plan, record_of};
use crate::it::transcripts;
use crate::sim::{House, echo};

const SEEDS: u64 = 1000;

fn state_machine() -> Builder {
    Server::builder().connections(Connections::StateMachine)
}

fn coroutine() -> Builder {
    Server::builder().connections(Connections::Coroutine)
}

#[test]
fn they_say_the_same_in_every_transcript() {
    transcripts::compare_servers(state_machine, coroutine);
}

/// A coroutine is a coroutine, whatever it does; what it does is its name.
#[test]
fn a_coroutine_says_that_it_is_a_connection() {
    let world = Sim::new(1);
    let net = world.net();
    let mut house = House::built(coroutine(), Box::new(world), net, echo);
    let _client = house.connect();
    house.settle();
    let handle = house.event_loop().handle().clone();
    let tasks = handle.tasks().into_iter();
    let said = tasks.filter_map(|(task, _)| {
        handle.look_at(task, |task| Some((task.kind(), task.describe().name?.to_owned())))?
    });
    let said: Vec<(&str, String)> = said.collect();
    let [("coroutine", name)] = said.as_slice() else { panic!("{said:?}") };
    assert!(name.starts_with("connection from "), "{name}");
}

/// A close at once saves system calls, and one that comes too early costs an answer.
#[test]
fn both_linger_where_more_may_come_and_nowhere_else() {
    let last = "GET / HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n";
    let (with_more, pipelined) = (format!("{last}x"), last.replace("close", "keep-alive") + last);
    for (sent, lingers) in [(last, false), (&pipelined, false), (&with_more, true)] {
        for builder in [state_machine, coroutine] {
            let world = Sim::new(1);
            let net = world.net();
            let mut house = House::built(builder(), Box::new(world), net, echo);
            let client = house.connect();
            client.send(sent);
            house.settle();
            let shut = house.told(|_, event| matches!(event, Event::Shut { .. }).then_some(()));
            assert_eq!(!shut.is_empty(), lingers, "{sent:?}");
            assert_eq!(client.peer.is_closed(), !lingers, "{sent:?}");
            assert_eq!(house.endings(), ["the request asked to close"]);
        }
    }
}

#[test]
fn a_thousand_hostile_worlds_do_not_get_the_better_of_the_coroutine() {
    let mut answers = 0;
    for seed in 0..SEEDS {
        let life = record_of(coroutine(), &Plan::drawn(seed), None);
        assert_eq!(life.trouble, None, "seed {seed}");
        answers += life.seen.iter().map(|seen| seen.reader.answers.len() as u64).sum::<u64>();
    }
    // Something happened in them.
    assert!(answers > SEEDS, "{answers}");
}
