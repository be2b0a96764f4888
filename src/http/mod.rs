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
//!
//! let (limits, date) = (Limits::default(), *b"Sun, 06 Nov 1994 08:49:37 GMT");
//! let terms = Terms { date, is_draining: false, requests_max: None };
//! let (mut exchange, mut response, mut output) = (Exchange::new(), Response::new(), Vec::new());
//!
//! // One request and the beginning of the next.
//! let mut input = &b"GET /here HTTP/1.1\r\nHost: a\r\n\r\nGET /th"[..];
//! let want = loop {
//!     let mut room = Room::new(None);
//!     match exchange.next(&mut input, false, &limits, &mut room) {
//!         Found::Request(asked) => {
//!             response.clear();
//!             response.text(format_args!("Hello from {}!\n", asked.request().path()));
//!             exchange.answer(asked, &response, &terms, &mut output);
//!         }
//!         Found::Wrong(wrong) => {
//!             exchange.refuse(&wrong, &mut response, &terms, &mut output);
//!         }
//!         Found::Body(_) => unimplemented!("GET has none, as a rule: see `Exchange::receive`"),
//!         Found::Nothing(want) => break want,
//!     }
//! };
//! assert!(output.ends_with(b"\r\n\r\nHello from /here!\n"));
//!
//! // First the output is written; then, because more of a head is wanted, what is left is kept.
//! assert_eq!(want, Want::Head);
//! assert_eq!(input, b"GET /th");
//! ```

mod exchange;
mod ask;
mod reply;
mod head;
mod framing;
mod chunked;
mod peer;
mod request;
mod headers;
mod request_buf;
mod content;
#[cfg(feature = "http-types")]
mod convert;
mod response;
mod encode;
mod error;
mod grammar;

pub use ask::{Ask, AskError, AskFields};
pub use encode::DateCache;
pub use error::{Error, Reason};
pub use exchange::{
    Announced, Answer, Asked, BodyPolicy, Exchange, Found, Room, Terms, Want, Wrong,
};
pub use headers::Headers;
pub use peer::{ClientRule, Peer};
pub use reply::{Reply, ReplyError, ReplyEvent, ReplyHead};
#[cfg(feature = "router")]
pub(crate) use request::Params;
use request::Target;
pub use request::{DecodeError, Request, Version, decode_segment};
pub use request_buf::RequestBuf;
pub use response::{HeaderError, Response, Status};
