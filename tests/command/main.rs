//! The built command from outside, as a user meets it: its words, its exit codes, its signals.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod catalogue;
mod listening;
mod signals;
#[allow(dead_code, reason = "shared with the tests of the examples")]
mod program;
#[path = "../it/text.rs"]
mod text;

#[cfg(not(feature = "cli"))]
mod bare;
#[cfg(feature = "cli")]
#[path = "../it/perfetto_rules.rs"]
mod perfetto_rules;
#[cfg(feature = "cli")]
mod access_log;
#[cfg(feature = "cli")]
mod ending;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod fetch;
#[cfg(feature = "cli")]
mod loops;
#[cfg(feature = "cli")]
mod pages;
#[cfg(feature = "cli")]
#[allow(dead_code, reason = "shared with the tests of the client")]
#[path = "../client/server.rs"]
mod server;
#[cfg(feature = "cli")]
#[allow(dead_code, reason = "shared with the tests of the client")]
#[path = "../client/authority.rs"]
mod authority;
#[cfg(feature = "cli")]
mod usage;
#[cfg(feature = "cli")]
/// Traces, and what can be made of them.
mod trace;
