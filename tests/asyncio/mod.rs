//! asyncio, fact by fact: what `docs/asyncio.md` says, as programs.
//!
//! Each test is one observed program of CPython 3.11, in Rust, and expects the lines that CPython
//! printed, in their order, with the numbers of the iterations where there were some. A `fact_NN_…`
//! prints what asyncio prints. A `differs_NN_…` pins down what happens here instead, where that was
//! chosen; the reason is in the table.
//!
//! Programs run in a simulated world, where time is virtual, unless the fact is about a kernel, a
//! thread, or code that blocks. Words that Rust lacks are put into the obvious others: a `finally:`
//! is a guard's drop, an exception is an `Err`, `it()` is `handle.turns()`.
#![allow(clippy::unwrap_used, reason = "these are tests")]

/// Prints a line, as the programs of the facts do.
macro_rules! say {
    ($($words:tt)*) => { $crate::asyncio::support::line(format!($($words)*)) };
}

mod support;
mod a_loop;
mod b_tasks;
mod c_gather;
mod d_cancel;
mod e_sync;
mod f_threads;
mod g_debug;
mod h_io;
mod semantics;
mod table;
