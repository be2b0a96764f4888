//! helloop (work in progress)
#![forbid(unsafe_code)]

pub mod greeting;
#[cfg(feature = "client")]
pub mod client;
pub mod server;
pub mod coroutine;
pub mod event_loop;
pub mod observe;
pub mod world;
pub mod limits;
pub mod http;
pub mod signals;
mod id;

pub use id::{SourceId, TaskId};
