//! Who looks at a loop: folds over its events, and drivers that take its turns step by step.

mod snapshot;
mod stall;

pub use snapshot::{Snapshot, Status, TaskView};
pub use stall::SlowCallbacks;
