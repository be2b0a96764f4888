//! The life of connections and servers in a simulated world with a virtual clock. Nothing sleeps:
//! when everybody waits, the clock jumps.

/// Connections that are closed because nothing, or too little, moves.
mod timeouts;
/// Readiness that comes later than a deadline, though the bytes were in time.
mod late;
/// Urgent data, which stops a read before the end of what is there.
mod urgent;
/// How connections end: lingering, half-closes, limits, panics.
mod endings;
/// Drains and shutdowns.
mod drains;
/// Accepting: failures, and a full house.
mod accepting;
/// A full server and newcomers.
mod room;
/// Nobody starves, and nobody costs more than a bounded amount of memory.
mod fairness;
