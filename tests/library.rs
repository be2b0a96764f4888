//! What is asked of the library: one binary, so that what its tests share is compiled once. `README.md` says which
//! folder answers which question.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// What several of the folders need.
mod support {
    /// A server in a simulated world, and its clients.
    #[allow(dead_code, reason = "also used from elsewhere")]
    pub(crate) mod sim;
    /// What must hold of every event stream; folded over everything that `sim` runs.
    pub(crate) mod checkers;
    /// Whole servers and fetches in worlds that are drawn from seeds.
    pub(crate) mod hostile;
    /// Bytes as text, for the pages.
    pub(crate) mod text;
    /// The pages of the catalogue.
    pub(crate) mod catalogue;
    /// What Perfetto asks of a trace.
    #[cfg(feature = "json")]
    pub(crate) mod perfetto_rules;
    /// Servers that follow a script, on real sockets.
    #[cfg(feature = "client")]
    pub(crate) mod server;
    /// A certificate authority.
    #[cfg(feature = "tls")]
    pub(crate) mod authority;
}

#[cfg(feature = "tls")]
use support::authority;
#[cfg(feature = "json")]
use support::perfetto_rules;
#[cfg(feature = "client")]
use support::server;
use support::{checkers, sim, text};

mod it;
mod asyncio;
#[cfg(feature = "client")]
mod client;
mod fuzz;

#[cfg(feature = "cli")]
use fuzz::command;
use fuzz::properties;
