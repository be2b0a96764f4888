//! HTTP/1.1 without I/O: bytes in, bytes out. No sockets, no clock, no log, no globals.
//!
//! Charter: what a peer sent is judged by its bytes and their position alone, never by how the
//! network cut them; and no byte decides framing (where a message ends) that this module has not
//! checked itself.
//!
//! Reading order: [`Exchange`] is the server side of one connection and uses almost all the rest.
//! Below it, a request comes in through `head`, `target`, `framing` and `chunked` and is shown to a
//! service as a [`Request`]; an answer goes out as a [`Response`] through `encode`. [`Ask`] and
//! [`Reply`] are the client side of one exchange, on the same grammar, framing and chunks.
//!
//! A driver in a nutshell, without a socket:
//!
//! ```
//! use helloop::http::*;
//! use helloop::limits::Limits;
//! use std::net::SocketAddr;
//! use std::time::SystemTime;
//!
//! struct Hello(Limits, DateCache);
//!
//! impl Handler for Hello {
//!     fn limits(&self) -> &Limits {
//!         &self.0
//!     }
//!     fn date(&mut self) -> &[u8; 29] {
//!         self.1.at(0, SystemTime::now)
//!     }
//!     fn draining(&self) -> bool {
//!         false
//!     }
//!     fn peer(&self) -> Option<SocketAddr> {
//!         None
//!     }
//!     fn body_policy(&mut self, _head: &Request<'_>) -> BodyPolicy {
//!         BodyPolicy::Discard
//!     }
//!     fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Handled {
//!         response.text(format_args!("Hello from {}!\n", request.path()));
//!         Handled::Done
//!     }
//!     fn answered(&mut self, answer: &Answer<'_>) {
//!         assert_eq!(answer.status, Status::OK);
//!     }
//! }
//!
//! let mut hello = Hello(Limits::default(), DateCache::new());
//! let (mut exchange, mut response, mut output) = (Exchange::new(), Response::new(), Vec::new());
//!
//! // One request and the beginning of the next.
//! let mut input = &b"GET /here HTTP/1.1\r\nHost: a\r\n\r\nGET /th"[..];
//! let want = exchange.advance(&mut input, false, &mut output, &mut response, &mut hello);
//! assert!(output.ends_with(b"\r\n\r\nHello from /here!\n"));
//!
//! // First the output is written; then, because more input is wanted, what is left is kept.
//! assert_eq!(want, Want::Read);
//! assert_eq!(input, b"GET /th");
//! assert_eq!(exchange.stage(), Stage::Head);
//! ```

mod exchange;
mod ask;
mod reply;
mod head;
mod target;
mod framing;
mod chunked;
mod request;
mod response;
mod encode;
mod date;
mod status;
mod error;
mod grammar;

pub use ask::{Ask, AskError, AskFields};
pub use date::DateCache;
pub use error::{Error, Reason};
pub use exchange::{Answer, BodyPolicy, Exchange, Handled, Handler, Stage, Want};
pub use reply::{Reply, ReplyError, ReplyEvent, ReplyHead};
pub use request::{Headers, Request, Version};
pub use response::{HeaderError, Response};
pub use status::Status;
pub use target::{DecodeError, Target, decode_segment};
