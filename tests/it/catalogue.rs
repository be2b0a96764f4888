//! The catalogue in `tests/catalogue`, through the whole server in a simulated world.

use helloop::greeting::Greeting;
use helloop::limits::Limits;
use helloop::world::sim::Faults;

use crate::sim::House;

use crate::support::catalogue::{Case, Then, cases};

/// Inputs above this length are given whole only.
const DRIPPED_BYTES_MAX: usize = 4000;

/// What the peer gets, and whether the connection ends.
fn run(case: &Case, faults: Faults, is_dripped: bool) -> (Vec<u8>, bool) {
    let mut house = House::new(1, faults, Limits::default(), Greeting);
    let client = house.connect();
    house.settle();
    let sent = case.sent();
    let piece_bytes = if is_dripped { 1 } else { sent.len().max(1) };
    let mut answers = Vec::new();
    for piece in sent.chunks(piece_bytes) {
        client.peer.send(piece);
        house.settle();
        answers.extend(client.peer.receive());
    }
    if case.then == Then::Cut {
        client.peer.finish();
    }
    // Room in the pipe may let more come.
    for _ in 0..2 {
        house.settle();
        answers.extend(client.peer.receive());
    }
    assert!(!client.peer.is_reset(), "{}: reset", case.place);
    let has_ended = client.peer.at_end();
    client.peer.finish();
    house.settle();
    (answers, has_ended)
}

#[test]
fn every_case_is_answered_as_the_catalogue_says() {
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let ways = [
            (Faults::NONE, false),
            (Faults::NONE, true),
            (Faults::ROUGH, false),
            (Faults::ROUGH, true),
        ];
        for (faults, is_dripped) in ways {
            if is_dripped && case.input.len() > DRIPPED_BYTES_MAX {
                continue;
            }
            let (answers, has_ended) = run(case, faults, is_dripped);
            let verdict = case.check(&answers).and_then(|()| match (case.then, has_ended) {
                (Then::Kept, false) | (Then::Closed | Then::Cut, true) => Ok(()),
                _ => Err(format!("{}: has ended: {has_ended}", case.place)),
            });
            wrong.extend(verdict.err());
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_wrong_case_is_noticed() {
    let mut case = cases().into_iter().find(|case| case.then == Then::Kept).expect("a good one");
    let (answers, _) = run(&case, Faults::NONE, false);
    assert_eq!(case.check(&answers), Ok(()));
    case.then = Then::Closed;
    assert!(case.check(&answers).is_err());
    case.then = Then::Kept;
    case.statuses.push(200);
    assert!(case.check(&answers).is_err());
}
