//! Mutexes after a panic. The library and the command, which are two crates, share this file.

use std::sync::{LockResult, PoisonError};

/// The lock, even if somebody panicked while holding it: what our locks guard is whole between any two statements.
pub(crate) fn unpoisoned<G>(locked: LockResult<G>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}
