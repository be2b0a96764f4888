//! The two ways in which connections are written say the same: the same bytes, and the same requests, answers and
//! endings, in every transcript and on every network. And no peer gets the better of either.

use helloop::server::{Builder, Connections, Server};

use crate::it::hostile::world::{Plan, record_of};
use crate::it::transcripts;

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
