//! Ways to watch a loop: folds over its [events](crate::events), and drivers that take its turns step by
//! step.
//!
//! A [`Narrator`] tells the events as a story, a [`Recorder`] keeps the last of them, a
//! [`trace`] keeps them all in a file, [`Perfetto`] draws them. A [`Snapshot`] is what is on a loop at one moment;
//! [`SlowCallbacks`] reports what held it up.

mod text;
mod narrate;
mod recorder;
mod snapshot;
mod stall;
mod fields;
mod words;
#[cfg(feature = "json")]
pub mod json;
pub mod trace;
mod perfetto;

pub use fields::{BuildError, Kind, Value};
pub use narrate::{Narrator, Palette};
pub use perfetto::Perfetto;
pub use recorder::Recorder;
pub(crate) use snapshot::Described;
pub use snapshot::{Snapshot, SourceView, Status, TaskView};
pub use stall::SlowCallbacks;
pub use words::{WORD_BYTES_MAX, WORDS_MAX, intern};
