//! A lab: a page in the browser that shows an event loop, pauses it and steps it.
//!
//! [`attach`] puts one beside any loop. Tasks and coroutines are shown by name, state, and the line of the source
//! where they were made; the loop is held between two turns, or between two resumes, and its clock stands meanwhile.
//! The page is served by a second loop on a thread of its own, so it answers while the first one is held.
//!
//! ```
//! # #[cfg(feature = "lab")] {
//! use helloop::event_loop::EventLoop;
//! use helloop::lab;
//! use std::time::Duration;
//!
//! let mut event_loop = EventLoop::new()?;
//! let lab = lab::attach(&mut event_loop, "localhost:0")?;
//! println!("Lab at {}", lab.url());
//! // lab.pause();  would hold the loop before its first turn, until a page lets it go
//! let handle = event_loop.handle().clone();
//! let hello = async move {
//!     handle.sleep(Duration::from_millis(1)).await;
//!     "Hello"
//! };
//! assert_eq!(lab.run_until_complete(&mut event_loop, hello)?, "Hello");
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The loop knows nothing of it: [`Lab::turn`] takes its turns in steps, and an observer looks at its events.
//!
//! The same page also shows loops that go backwards: in a simulated world, a moment is reached again by starting anew
//! from the seed ([`history`]).
//!
//! Reading order: `snapshot`, `changes` and `message` are what a page is sent; `tally` is what they need besides the loop itself.
//! `live` is a lab beside a loop that runs, `history` one in a simulated world; `scenario` is what the clients of
//! either do, and `lessons` what they ask for.

mod snapshot;
mod changes;
mod message;
mod tally;
mod orders;
mod listings;
mod glossary;
mod page;
pub mod scenario;
pub mod lessons;
pub mod history;
#[cfg(feature = "lab")]
mod live;

#[cfg(feature = "lab")]
pub use live::{Bound, Builder, CannotBegin, Guide, Lab, Stage, attach};
pub use message::Refused;
pub use page::PAGE;
