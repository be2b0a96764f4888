//! The client against servers that behave, and many that do not.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod bodies;
mod pool;
mod redirects;
mod refusals;
mod simulated;
mod urgent;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "gzip")]
mod codings;
