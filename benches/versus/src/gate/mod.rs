//! The gate: before a server is timed, it is held against raw cases from RFC 9110 and RFC 9112, and
//! against peers that do nothing, or too little.
//!
//! `cases/README.md` says what a case looks like.

mod answers;
mod cases;
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
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((at, case)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, cases.get(at)?)))
        {
            let violation = hold(case, address).with_context(|| format!("case {}", case.name))?;
            found.extend(violation.map(|violation| (at, violation)));
        }
        Ok(found)
    };
    let results: Vec<Result<Vec<(usize, Violation)>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a case does not panic")).collect()
    });
    let mut found = Vec::new();
    for result in results {
        found.extend(result?);
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, violation)| violation).collect())
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
