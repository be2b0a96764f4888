//! The gate: before a server is timed, it is held against raw cases from RFC 9110 and RFC 9112, and
//! against peers that do nothing, or too little.
//!
//! `cases/README.md` says what a case looks like.

mod answers;
mod cases;
mod controls;
mod observe;
mod pressure;
mod reproduce;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub(crate) use cases::{Case, Level, read_all};
pub(crate) use controls::hold_controls;
pub(crate) use pressure::{Others, SILENT, beside_silent, beside_slow, never_read};

/// A clause that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Violation {
    /// The case's name.
    pub(crate) case: String,
    pub(crate) level: Level,
    pub(crate) clause: String,
    /// What the clause asks.
    pub(crate) asks: String,
    /// What happened instead.
    pub(crate) seen: String,
    /// A line for a shell that shows it.
    pub(crate) line: String,
}

/// Holds the server at `address` against all cases, so many at a time. The violations are in the order of
/// the cases.
///
/// # Errors
/// When it cannot be connected to.
pub(crate) fn hold_all(
    cases: &[Case],
    address: SocketAddr,
    at_once: usize,
) -> Result<Vec<Violation>> {
    let hold = |case: &Case| hold(case, address).with_context(|| format!("case {}", case.name));
    Ok(each(cases, at_once, hold)?.into_iter().flatten().collect())
}

/// `work` on each of `items`, so many at a time. The results are in the order of the items.
fn each<I: Sync, O: Send>(
    items: &[I],
    at_once: usize,
    work: impl Fn(&I) -> Result<O> + Sync,
) -> Result<Vec<O>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(done) };
            done.push((at, work(item)?));
        }
    };
    let results: Vec<Result<Vec<(usize, O)>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a case does not panic")).collect()
    });
    let mut done = Vec::new();
    for result in results {
        done.extend(result?);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, output)| output).collect())
}

/// Holds the server at `address` against one case.
///
/// # Errors
/// When it cannot be connected to.
pub(crate) fn hold(case: &Case, address: SocketAddr) -> Result<Option<Violation>> {
    let seen = observe::observe(case, address)?;
    Ok(case.judge(&seen).err().map(|seen| Violation {
        case: case.name.clone(),
        level: case.level,
        clause: case.clause.clone(),
        asks: case.asks.clone(),
        seen,
        line: reproduce::line(case, address.port()),
    }))
}
