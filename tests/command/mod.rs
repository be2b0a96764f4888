//! The built command from outside, as a user meets it: its words, its exit codes, its signals.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod catalogue;
mod listening;
mod signals;

#[cfg(not(feature = "cli"))]
mod bare;
#[cfg(feature = "cli")]
mod access_log;
#[cfg(feature = "cli")]
mod admin;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "cli")]
mod content;
#[cfg(feature = "cli")]
mod ending;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod fetch;
#[cfg(feature = "cli")]
mod logs;
#[cfg(feature = "cli")]
mod loops;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod packaging;
#[cfg(feature = "cli")]
mod pages;
#[cfg(feature = "cli")]
mod proxies;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod sockets;
#[cfg(feature = "cli")]
mod supervised;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub(crate) mod upgrade;
#[cfg(feature = "cli")]
mod usage;
#[cfg(feature = "cli")]
/// Traces, and what can be made of them.
mod trace;
