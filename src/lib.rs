//! A hand-written, single-threaded event loop on `mio`, and what lives on it: a greeting HTTP/1.1
//! server whose connections are explicit state machines, and coroutines in the shape of asyncio's.
//!
//! # The tour
//!
//! The modules below are in reading order; `docs/learn.md` leads through the loop in an hour.
//!
//! 1. [`event_loop`]: [`turn`](event_loop::EventLoop::turn) is one function with four numbered phases.
//!    A [`Task`](event_loop::Task) is a state machine that says what it waits for.
//! 2. [`world`]: what the loop needs from outside, as one trait. The operating system implements it,
//!    and so does a simulation with a seed and a clock that jumps.
//! 3. [`events`]: everything that happens, as one vocabulary of events, and who listens.
//! 4. [`server`]: acceptors, connections and a drainer, all of them tasks.
//! 5. [`http`]: messages as bytes, without I/O.
//! 6. [`coroutine`]: `async` on the same loop: spawn, sleep, gather, and asyncio's other words.
//! 7. `client` (feature `client`): fetching over HTTP and HTTPS, written in coroutines.
//! 8. [`greeting`]: the service that says hello.
//! 9. [`watch`]: a narrator, a recorder, traces and snapshots of a loop, and reports of what held it up.
//! 10. `lab` (feature `lab`): a page that shows a loop, pauses and steps it, and in a simulated world (feature
//!     `history`) goes backwards.
//! 11. [`limits`]: every number that bounds something, with its reason.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `json`, `form`, `cookies`, `router`, `http-types`; `web` is all of them | what handlers of a service need, and conversions from and to the crate `http` |
//! | `client`; `tls`, `gzip`, `brotli`, `zstd` | fetching over HTTP; HTTPS; compressed replies |
//! | `proxies` | who the client is, behind proxies: the PROXY protocol, `X-Forwarded-For`, `Forwarded` |
//! | `lab`, `history` | a page that shows a loop; a simulated loop that goes backwards |
//! | `fine-timers` | timers below a millisecond; part of the default |
//! | `twin` | connections as coroutines, to be compared with the state machines |
//! | `cli` | the command `helloop`, with all but `web`; the two together are the default |
//!
//! # A server in your program
//!
//! ```no_run
//! use helloop::greeting::Greeting;
//! use helloop::server::Server;
//!
//! let server = Server::builder().bind("localhost:8080")?;
//! println!("Server started at http://{}/", server.local_addrs()[0]);
//! server.serve(Greeting)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A program of coroutines
//!
//! ```
//! use helloop::coroutine;
//! use std::time::Duration;
//!
//! let greetings = coroutine::run(|handle| async move {
//!     let greet = |name: &'static str, pause| {
//!         let handle = handle.clone();
//!         async move {
//!             handle.sleep(Duration::from_millis(pause)).await;
//!             format!("Hello, {name}!")
//!         }
//!     };
//!     handle.gather([greet("World", 2), greet("Jürgen", 1)]).await
//! })?;
//! assert_eq!(greetings, [Ok("Hello, World!".to_owned()), Ok("Hello, Jürgen!".to_owned())]);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod event_loop;
pub mod world;
pub mod events;
pub mod server;
pub mod http;
pub mod coroutine;
#[cfg(feature = "client")]
pub mod client;
pub mod greeting;
#[cfg(unix)]
pub mod signals;
pub mod watch;
#[cfg(feature = "history")]
pub mod lab;
pub mod limits;
mod printable;
mod id;
mod panics;
mod locks;
mod lazy_timer;
mod accepting;

pub use id::{NotAnId, SourceId, TaskId};
pub use printable::{Printable, PrintableLines};

/// The programs of the pages compile.
#[cfg(all(doctest, feature = "client", feature = "proxies", feature = "web"))]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/embed.md")]
#[doc = include_str!("../docs/lines.md")]
struct Pages;
