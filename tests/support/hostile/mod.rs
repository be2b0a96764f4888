//! A hostile world: a server among peers that do what they like, on a network that loses its
//! temper, and checkers that look at every event and every byte. Everything follows from one seed.
//!
//! [`Plan::drawn`] says what will happen, [`run`] makes it happen and judges it, [`shrink`] looks
//! for a smaller plan that fails in the same way. Whoever includes this module has the folds over
//! events beside it, as `crate::checkers`.

#![allow(dead_code, reason = "the test and the example each use a part")]

use std::ops::{Bound, RangeBounds};

/// Requests, good and bad, each with what the answer must be.
mod ask;
/// What the server under test answers.
mod service;
/// What will happen: clients, faults, limits, and the end of the server.
mod plan;
/// A client that carries out its part of a plan, from outside of the loop.
mod client;
/// A strict reader of answers.
mod reader;
/// Whether the limits held: a fold over the events.
mod bounds;
/// Whether a full server makes room: a fold over the events.
mod room;
/// Whether each client got what it deserves.
mod judge;
/// One run of one plan.
mod run;
/// How many turns a run may take.
mod pace;
/// Looks for a smaller plan that still fails.
mod shrink;
/// The client among hostile servers, with our own server on the same loop.
#[cfg(feature = "client")]
mod fetch;
/// What will be fetched, from whom, in which world.
#[cfg(feature = "client")]
mod fetch_plan;
/// Whether the client looks before it writes: a fold over its events.
#[cfg(feature = "client")]
mod looks;
/// What a hostile server says to a request.
#[cfg(feature = "client")]
mod script;

#[cfg(feature = "client")]
#[allow(unused_imports, reason = "the test and the example each use a part")]
pub(crate) use fetch::{run_fetches, shrink_fetches};
#[cfg(feature = "client")]
pub(crate) use fetch_plan::FetchPlan;

pub(crate) use plan::Plan;
#[allow(unused_imports, reason = "only the playground shows a world step by step")]
pub(crate) use run::Scene;
#[allow(unused_imports, reason = "the example has no use for all")]
pub(crate) use run::{Failure, Tally, record, record_of, run, run_before};
pub(crate) use shrink::shrink;

/// A number from a range. All draws have a fixed width: fastrand's own `usize` gives other numbers where that has 32 bits,
/// and a seed is to be one world on every target.
fn draw(random: &mut fastrand::Rng, range: impl RangeBounds<usize>) -> usize {
    let first = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(last) => *last,
        Bound::Excluded(after) => after - 1,
        Bound::Unbounded => usize::MAX,
    };
    usize::try_from(random.u64(first as u64..=last as u64)).expect("it is not above a `usize`")
}
