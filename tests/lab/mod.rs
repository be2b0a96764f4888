//! The lab from outside: its page's protocol, and what it does to a live server.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// Which requests may look, and which may act.
mod access;
/// What the lab's own clients do.
mod traffic;
/// Pausing, stepping, and running until something.
mod gate;
/// A lab, and a page that speaks with it.
mod page;
/// A lab beside a loop of somebody's own.
mod stepped;
/// A simulated world, which goes backwards.
mod simulated;
/// The links for teachers lead to what they say.
mod moments;
/// The handout shows what the lessons say.
mod handout;
/// What a page is shown is what is.
mod shown;
/// Many pages, many connections, and the end.
mod crowds;
