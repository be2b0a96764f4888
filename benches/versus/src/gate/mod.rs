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

use anyhow::Result;
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
