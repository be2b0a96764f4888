//! What came back: the head, and the body as it comes or whole.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;

use url::Url;

use super::connect::{Patience, authority};
use super::content::{self, Decoder, Progress};
use super::deadline::Timings;
use super::error::{Error, Phase};
use super::exchange::Exchange;
use super::text;
use crate::coroutine::others_first;
use crate::http::{ReplyHead, Version};
use crate::limits::DECODED_BYTES_PER_RESUME_MAX;

/// A reply whose head is here, and whose body comes when it is asked for.
///
/// Dropped before the end of its body, it closes the connection. A body that came together with the
/// head is here already, and its connection serves other fetches.
pub struct Reply(Box<Inner>);

struct Inner {
    url: Url,
    head: ReplyHead,
    exchange: Box<Exchange>,
    patience: Patience,
    /// `None`: the body needs no decoding.
    decoder: Option<Box<Decoder>>,
    /// The last turn in which anything was decoded, and how much in that turn.
    work: (u64, usize),
    /// The end of the body was read.
    is_over: bool,
    /// Bytes of the body so far, decoded; at most `body_bytes_max`.
    body_bytes: u64,
    body_bytes_max: u64,
}

impl Reply {
    pub(super) fn new(
        url: Url,
        head: ReplyHead,
        exchange: Box<Exchange>,
        mut patience: Patience,
        is_decoded: bool,
        body_bytes_max: u64,
    ) -> Reply {
        patience.watch.enter(Phase::Body);
        let decoder =
            if is_decoded { Decoder::new(&head, exchange.peer, body_bytes_max) } else { None };
        let mut inner = Inner {
            url,
            head,
            exchange,
            patience,
            decoder: decoder.map(Box::new),
            work: (0, 0),
            is_over: false,
            body_bytes: 0,
            body_bytes_max,
        };
        inner.note_end();
        Reply(Box::new(inner))
    }

    /// The status: `200`.
    pub fn status(&self) -> u16 {
        self.0.head.status()
    }

    /// The URL that was fetched in the end, after redirects.
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    /// The version of the reply.
    pub fn version(&self) -> Version {
        self.0.head.version()
    }

    /// The header fields: [`get`](ReplyHead::get), [`text`](ReplyHead::text) and
    /// [`all`](ReplyHead::all) look one up by its name, in any case.
    pub fn headers(&self) -> &ReplyHead {
        &self.0.head
    }

    /// The charset by which [`text`](Reply::text) decodes the body unless it begins with a byte order
    /// mark: what `Content-Type` says, by its name in the encoding standard of WHATWG; `"UTF-8"`
    /// where it says nothing, or nothing that is known.
    pub fn charset(&self) -> &'static str {
        text::encoding(self.0.head.get("Content-Type")).name()
    }

    /// The codings that the body still has, in the order in which they were applied: `gzip`. Only where
    /// the request had an `Accept-Encoding` of its own; otherwise all of them are decoded.
    pub fn codings(&self) -> Vec<String> {
        match self.0.decoder {
            Some(_) => Vec::new(),
            None => content::codings(&self.0.head).map(|c| c.escape_ascii().to_string()).collect(),
        }
    }

    /// The address that answered.
    pub fn peer(&self) -> SocketAddr {
        self.0.exchange.peer
    }

    /// How long each phase took.
    pub fn timings(&self) -> Timings {
        self.0.patience.watch.timings()
    }

    /// The next chunk of the body, decoded (chunked, and the codings of `Content-Encoding`); never
    /// empty. `None`: the body was complete.
    ///
    /// # Errors
    /// When the connection breaks, ends early, or makes no progress; when the bytes are not HTTP; when the
    /// body has an unknown coding, is not what its coding says, or is longer than the client takes.
    /// The chunks before the error stay valid.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let piece = match self.0.decoder {
            None => self.0.raw_chunk().await?,
            Some(_) => self.0.decoded_chunk().await?,
        };
        piece.map(|piece| self.0.count(piece)).transpose()
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`chunk`](Reply::chunk).
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        self.collect().await
    }

    /// The whole body as text: by its byte order mark, else by the charset of `Content-Type`, else as
    /// UTF-8. What cannot be decoded becomes U+FFFD.
    ///
    /// # Errors
    /// As [`chunk`](Reply::chunk).
    pub async fn text(mut self) -> Result<String, Error> {
        let bytes = self.collect().await?;
        Ok(text::decode(self.0.head.get("Content-Type"), bytes))
    }

    /// As [`bytes`](Reply::bytes), without consuming the reply: its timings can be read afterwards.
    ///
    /// # Errors
    /// As [`chunk`](Reply::chunk).
    pub async fn collect(&mut self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if body.is_empty() {
                body = piece;
            } else {
                body.extend_from_slice(&piece);
            }
        }
        Ok(body)
    }
}

impl Inner {
    /// The next bytes as they are on the wire, without the framing of chunks. `None`: that was all.
    async fn raw_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let Inner { exchange, patience, .. } = self;
        let more = poll_fn(|cx| patience.exchange(cx, exchange, Exchange::poll_body)).await;
        match more {
            Ok(Ok(true)) => {
                self.patience.watch.progress();
                let piece = self.exchange.take_arrived();
                self.note_end();
                Ok(Some(piece))
            }
            Ok(Ok(false)) => {
                self.note_end();
                self.is_over = true;
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            Err(timed_out) => Err(timed_out.waiting_for(authority(&self.url))),
        }
    }

    /// The next decoded bytes. `None`: that was all.
    async fn decoded_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let decoder = self.decoder.as_mut().expect("there is something to take off");
            match decoder.advance()? {
                Progress::Plain(piece) => {
                    self.breathe().await?;
                    return Ok(Some(piece));
                }
                Progress::Busy => self.breathe().await?,
                Progress::Read => {
                    let piece = self.raw_chunk().await?;
                    let decoder = self.decoder.as_mut().expect("it is still there");
                    match piece {
                        Some(piece) => decoder.push(piece),
                        None => decoder.end(),
                    }
                }
                Progress::End => return Ok(None),
            }
        }
    }

    /// Gives way to others, and checks the limits, while a large body is decoded: bytes that are here already
    /// need no wait, in which both would happen.
    async fn breathe(&mut self) -> Result<(), Error> {
        let turn = self.exchange.handle.turns();
        let before = if self.work.0 == turn { self.work.1 } else { 0 };
        let work = self.decoder.as_mut().map_or(0, |decoder| decoder.take_work());
        self.work = (turn, before + work);
        if self.work.1 >= DECODED_BYTES_PER_RESUME_MAX {
            others_first(&self.exchange.handle).await;
            let late = self.patience.watch.check_whole();
            late.map_err(|timed_out| timed_out.waiting_for(authority(&self.url)))?;
        }
        Ok(())
    }

    fn count(&mut self, piece: Vec<u8>) -> Result<Vec<u8>, Error> {
        self.body_bytes += piece.len() as u64;
        if self.body_bytes <= self.body_bytes_max {
            return Ok(piece);
        }
        Err(Error::too_long(&self.exchange.peer, self.body_bytes_max))
    }

    /// The watch stops when the last byte was read, not when the caller takes it.
    fn note_end(&mut self) {
        if self.exchange.is_complete() && !self.patience.watch.is_finished() {
            self.patience.watch.finish();
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status())
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}
