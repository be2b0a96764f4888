//! HTTP/1.1 without I/O: bytes in, bytes out. No sockets, no clock, no log, no globals.
//!
//! Charter: what a peer sent is judged by its bytes and their position alone, never by how the
//! network cut them; and no byte decides framing (where a message ends) that this module has not
//! checked itself.
//!
//! Reading order: [`Exchange`] is the server side of one connection and uses everything else. Below
//! it, a request comes in through `head`, `target`, `framing` and `chunked` and is shown to a
//! service as a [`Request`]; an answer goes out as a [`Response`] through `encode`.

mod exchange;
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

pub use date::DateCache;
pub use error::{Error, Reason};
pub use exchange::{Answer, BodyPolicy, Exchange, Handled, Handler, Stage, Want};
pub use request::{Headers, Request, Version};
pub use response::{HeaderError, Response};
pub use status::Status;
pub use target::{DecodeError, Target, decode_segment};
