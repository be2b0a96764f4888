//! What goes wrong on a real kernel, done to the built command: `docs/faults.md` is the list.
//!
//! After each episode the server still greets, has as many descriptors as before and hardly more
//! memory, and has said on standard error what was wrong, once and not a thousand times. Where an
//! episode leaves the server nothing to do, the CPU time that it took is looked at: it must not
//! have spun.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// A server under attack, and what /proc says of it.
mod server;
/// A network for a test alone.
mod namespaces;
/// Clients that behave until they are told not to.
mod client;

/// No descriptors, no room.
mod shortage;
/// Peers that say nothing, or very little at a time.
mod silent;
/// Peers that ask and do not read.
mod unread;
/// Standard error that is not read.
mod unheard;
/// Peers that are gone from one moment to the next.
mod vanishing;
/// Peers whose host is gone.
mod vanished_hosts;
/// Name servers that take their time.
mod slow_names;
/// A disk that is full.
mod full_disk;
/// SIGTERM, SIGSTOP and SIGCONT at the worst moment.
mod signals;
/// System calls that fail because strace says so.
mod injected;
/// 100,000 of a thing. Slow, and therefore not run without being asked for.
mod many;
/// `docs/faults.md` says what is so.
mod page;
