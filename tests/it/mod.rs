//! Integration tests of helloop: one binary. Start reading at `transcripts`, whose pages in
//! `tests/transcripts` show what the server says to which bytes.

/// Bytes in, bytes and events out: the pages, under every cut and on rough networks.
pub(crate) mod transcripts;
/// Raw requests by category, and what becomes of their connections.
mod catalogue;
/// What would be published.
mod package;
/// Under which licences the crates are that we build on.
mod licences;
/// Whether every public name of the first pages is shown in use.
mod shown;
/// Links, excerpts of sources, and the learner's path.
mod pages;
/// The page that says which clauses of the RFCs are kept.
mod conformance;
/// Every row of the table of what the greeting server answers.
mod greeting;
/// The loop as a trace for Perfetto.
#[cfg(feature = "cli")]
mod perfetto;
/// The life of connections and servers on a virtual clock: timeouts, drains, failures, fairness.
mod lifetimes;
/// Everything at once, from thousands of seeds.
pub(crate) mod hostile;
/// Connections as state machines and as coroutines: the same lives, event for event.
#[cfg(feature = "twin")]
pub(crate) mod twins;
/// What stands before the first request.
mod prefaces;
/// Handlers that are coroutines, and answers in pieces.
mod coroutine_services;
/// Handlers that read a body while it comes.
mod streaming;
/// What becomes of an embedder's mistakes.
mod misuse;
/// The architecture as absences: which module must not use which.
mod levels;
/// How large the loop is, and how far one turn of it goes.
mod house;
/// Real sockets: raw clients, curl, hosts with a loop of their own.
mod loopback;
/// Random inputs against a naive reader.
mod oracles;
