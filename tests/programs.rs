//! What is asked of built programs, from outside: one binary, so that what its tests share is compiled once.
//! `README.md` says which folder answers which question.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// What several of the folders need.
mod support {
    /// A running program, and what can be done to it.
    #[allow(dead_code, reason = "the bare command needs less")]
    pub(crate) mod program;
    /// The system calls of a program.
    #[cfg(all(feature = "cli", target_os = "linux"))]
    pub(crate) mod strace;
    /// Bytes as text, for the pages.
    #[allow(dead_code, reason = "also used by the tests of the library")]
    pub(crate) mod text;
    /// The pages of the catalogue.
    pub(crate) mod catalogue;
    /// What Perfetto asks of a trace.
    #[cfg(feature = "cli")]
    pub(crate) mod perfetto_rules;
    /// Servers that follow a script.
    #[cfg(feature = "cli")]
    #[allow(dead_code, reason = "also used by the tests of the client")]
    pub(crate) mod server;
    /// A certificate authority.
    #[cfg(feature = "cli")]
    #[allow(dead_code, reason = "also used by the tests of the client")]
    pub(crate) mod authority;
}

#[cfg(all(feature = "cli", target_os = "linux"))]
use support::strace;
#[cfg(feature = "cli")]
use support::{authority, perfetto_rules, server};
use support::{program, text};

mod command;
#[cfg(feature = "cli")]
mod lab;
#[cfg(feature = "cli")]
mod browser;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod faults;
#[cfg(feature = "cli")]
mod fronts;
#[cfg(feature = "cli")]
mod examples;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod drill;
