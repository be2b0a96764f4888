//! The command `helloop`: one file or folder for each subcommand, and what they share.
//!
//! Without the feature `cli` there is one subcommand, in [`bare`].

// What serves, with the command line and without it.
mod run;
mod loops;
mod addresses;
mod stderr;
#[path = "../locks.rs"]
mod locks;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "some of it is for the access log"))]
mod line_writer;

#[cfg(not(feature = "cli"))]
mod bare;

// What was typed.
#[cfg(feature = "cli")]
mod arguments;
#[cfg(feature = "cli")]
mod limits;
#[cfg(feature = "cli")]
mod units;

// The subcommands.
#[cfg(feature = "cli")]
mod serve;
#[cfg(feature = "cli")]
mod fetch;
#[cfg(feature = "cli")]
mod lab;
#[cfg(feature = "cli")]
mod trace;
#[cfg(feature = "cli")]
mod explain;
#[cfg(feature = "cli")]
mod ps;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod upgrade;
#[cfg(feature = "cli")]
mod check;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod drill;
#[cfg(feature = "manuals")]
mod manuals;

// What several of them need.
#[cfg(feature = "cli")]
mod access;
#[cfg(feature = "cli")]
mod access_log;
#[cfg(feature = "cli")]
mod admin;
#[cfg(feature = "cli")]
mod agent;
#[cfg(feature = "cli")]
mod compare;
#[cfg(feature = "cli")]
mod content;
#[cfg(feature = "cli")]
mod file_id;
#[cfg(feature = "cli")]
mod incumbent;
#[cfg(feature = "cli")]
mod json;
#[cfg(feature = "cli")]
mod listening;
#[cfg(feature = "cli")]
mod log_file;
#[cfg(feature = "cli")]
mod logging;
#[cfg(feature = "cli")]
mod metrics;
#[cfg(feature = "cli")]
mod supervisor;
#[cfg(feature = "cli")]
#[cfg_attr(not(target_os = "linux"), path = "takeover/no_takeover.rs")]
mod takeover;
#[cfg(feature = "cli")]
mod tracing;
#[cfg(feature = "cli")]
mod trust;
#[cfg(feature = "cli")]
mod version;

#[cfg(feature = "cli")]
pub(crate) use arguments::main;
#[cfg(feature = "cli")]
use arguments::usage;
#[cfg(not(feature = "cli"))]
pub(crate) use bare::main;
