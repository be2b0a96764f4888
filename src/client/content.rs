//! Decoding the content of a reply (RFC 9110 section 8.4), chunk by chunk.
//!
//! `Content-Encoding` names the codings in the order in which they were applied, so the last one is
//! decoded first. Each has a layer here. The output of a layer waits in front of the next one, and only
//! the innermost layer that has something to do works. So however large a body becomes, and however
//! many codings it has, only a few chunks of it are in memory.
//!
//! Nothing is guessed: an unknown coding is an error as soon as the first byte comes, and so is a body
//! that ends within its coding, or goes on after it. An undecoded body would look like a success.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use super::error::{Error, ErrorKind, Phase};
use crate::http::ReplyHead;
use crate::limits::CONTENT_CODINGS_MAX;

#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

/// Bytes that one step of a layer decodes at most, apart from what its coding can only decode as a
/// whole: a block of zstd (128 KiB), or 1 KiB of gzip (at most about a megabyte).
#[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes of an unknown coding's name that are shown.
const SHOWN_BYTES_MAX: usize = 40;

/// The codings that are known here, in the order of preference.
const NAMES: &[&str] = &[
    #[cfg(feature = "gzip")]
    "gzip",
    #[cfg(feature = "gzip")]
    "deflate",
    #[cfg(feature = "brotli")]
    "br",
    #[cfg(feature = "zstd")]
    "zstd",
];

/// What a request says that it accepts: what is decoded here, and nothing else. Without the field, a
/// server might send any coding (RFC 9110 section 12.5.3).
pub(super) fn accept_encoding() -> String {
    if NAMES.is_empty() { "identity".to_owned() } else { NAMES.join(", ") }
}

/// The codings that `head` names for its content, in the order in which they were applied.
pub(super) fn codings(head: &ReplyHead) -> impl Iterator<Item = &[u8]> {
    head.list("Content-Encoding").filter(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// One coding that is decoded.
trait Coding {
    /// Decodes some of `coded`, which begins where the last call stopped, and appends it to `plain`.
    fn decode(&mut self, coded: &[u8], plain: &mut Vec<u8>) -> Result<Step, Flaw>;

    /// The input has ended, and [`decode`](Coding::decode) can do no more: appends what was held back.
    ///
    /// # Errors
    /// When the coding has not ended.
    fn finish(&mut self, plain: &mut Vec<u8>) -> Result<(), Flaw>;
}

/// How far [`Coding::decode`] has come.
struct Step {
    /// Bytes of the input that are used up.
    taken: usize,
    /// Nothing more comes without more input.
    is_starved: bool,
}

/// What is wrong with a body.
type Flaw = Cow<'static, str>;

/// It is less than its coding needs.
const IN_THE_MIDDLE: Flaw = Cow::Borrowed("it ends in the middle");

/// The coding with this name.
fn coding(name: &[u8]) -> Option<(&'static str, Box<dyn Coding>)> {
    match &*name.to_ascii_lowercase() {
        // The two are the same (RFC 9110 section 8.4.1.3).
        #[cfg(feature = "gzip")]
        b"gzip" | b"x-gzip" => Some(("gzip", Box::new(gzip::Gzip::default()))),
        #[cfg(feature = "gzip")]
        b"deflate" => Some(("deflate", Box::new(gzip::Deflate::default()))),
        #[cfg(feature = "brotli")]
        b"br" => Some(("br", Box::new(brotli::Brotli::new()))),
        #[cfg(feature = "zstd")]
        b"zstd" => Some(("zstd", Box::new(zstd::Zstd::new()))),
        _ => None,
    }
}

/// The content of one reply on its way through its codings.
pub(super) struct Decoder {
    peer: SocketAddr,
    /// Bytes that the output of any layer may have.
    bytes_max: u64,
    /// From the outside in. Empty only if it is to be `refused`.
    layers: Vec<Layer>,
    /// No more input will come.
    is_over: bool,
    /// Bytes that were decoded, and bytes that came out, since this was last asked for.
    work_bytes: usize,
    /// Why it fails at the first byte: a reply without content has nothing wrong.
    refused: Option<Error>,
    failed: Option<Error>,
}

/// What [`Decoder::advance`] has achieved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A chunk of the content; never empty.
    Plain(Vec<u8>),
    /// Some progress, and no output yet.
    Busy,
    /// Nothing: it needs more input, by [`Decoder::push`], or [`Decoder::end`].
    Read,
    /// The content was complete.
    End,
}

struct Layer {
    name: &'static str,
    coding: Box<dyn Coding>,
    waiting: Waiting,
    /// Bytes that came out of it.
    passed_bytes: u64,
    has_begun: bool,
    is_starved: bool,
    is_over: bool,
}

/// Input of a layer: `bytes[at..]` is still to be decoded.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    at: usize,
}

impl Decoder {
    /// For a reply from `peer`. `None`: its content has no coding. Before and after each coding, the
    /// content may have `bytes_max` bytes.
    pub(super) fn new(head: &ReplyHead, peer: SocketAddr, bytes_max: u64) -> Option<Decoder> {
        let names: Vec<_> = codings(head).collect();
        if names.is_empty() {
            return None;
        }
        let layers = layers(&names);
        let (layers, refused) = layers.map_or_else(
            |flaw| {
                let message = format!("cannot decode the body from {peer}: {flaw}");
                (Vec::new(), Some(Error::new(ErrorKind::Protocol, Phase::Body, message)))
            },
            |layers| (layers, None),
        );
        let (is_over, work_bytes, failed) = (false, 0, None);
        Some(Decoder { peer, bytes_max, layers, is_over, work_bytes, refused, failed })
    }

    /// More of the body has come; `piece` is not empty.
    pub(super) fn push(&mut self, piece: Vec<u8>) {
        match self.layers.first_mut() {
            Some(outermost) => outermost.push(piece),
            None => self.failed = self.refused.clone(),
        }
    }

    /// The body has ended.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Decodes a little.
    ///
    /// # Errors
    /// When a coding is not known, or the body is not what it claims to be, or becomes too large; from
    /// then on always. Never before the first byte: a reply to HEAD, or one without content, has the
    /// field but nothing to decode.
    pub(super) fn advance(&mut self) -> Result<Progress, Error> {
        let progress = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.advance_layers(),
        };
        if let Err(error) = &progress {
            self.failed = Some(error.clone());
        }
        progress
    }

    /// Bytes that went into layers and came out of them since the last call.
    pub(super) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work_bytes)
    }

    fn advance_layers(&mut self) -> Result<Progress, Error> {
        if let Some(at) = self.layers.iter().rposition(|layer| !layer.is_starved) {
            let (taken, plain) = self.layers[at].step()?;
            self.work_bytes += taken + plain.len();
            return self.pass(at, plain);
        }
        if !self.is_over {
            return Ok(Progress::Read);
        }
        // From the outside in: the end of a layer is the end of the next one's input.
        match self.layers.iter().position(|layer| !layer.is_over) {
            Some(at) => {
                let plain = self.layers[at].finish()?;
                self.pass(at, plain)
            }
            None => Ok(Progress::End),
        }
    }

    /// Hands on what came out of the layer with this number.
    fn pass(&mut self, at: usize, plain: Vec<u8>) -> Result<Progress, Error> {
        if plain.is_empty() {
            return Ok(Progress::Busy);
        }
        self.layers[at].passed_bytes += plain.len() as u64;
        if self.layers[at].passed_bytes > self.bytes_max {
            return Err(Error::too_long(&self.peer, self.bytes_max));
        }
        match self.layers.get_mut(at + 1) {
            Some(next) => {
                next.push(plain);
                Ok(Progress::Busy)
            }
            None => Ok(Progress::Plain(plain)),
        }
    }
}

/// A layer for each of these codings, the last one first.
fn layers(names: &[&[u8]]) -> Result<Vec<Layer>, Flaw> {
    if names.len() > CONTENT_CODINGS_MAX {
        let number = names.len();
        let flaw =
            format!("{number} codings are on it, and at most {CONTENT_CODINGS_MAX} come off");
        return Err(flaw.into());
    }
    let layer = |name: &&[u8]| match coding(name) {
        Some((name, coding)) => Ok(Layer::new(name, coding)),
        None => {
            let shown = name[..name.len().min(SHOWN_BYTES_MAX)].escape_ascii();
            let known = if NAMES.is_empty() { "none".into() } else { NAMES.join(", ") };
            Err(Flaw::from(format!(
                "its coding `{shown}` is not known here (known: {known}); a request with its own \
                 header Accept-Encoding gets it as it is"
            )))
        }
    };
    names.iter().rev().map(layer).collect()
}

impl Layer {
    fn new(name: &'static str, coding: Box<dyn Coding>) -> Layer {
        let (waiting, passed_bytes) = (Waiting::default(), 0);
        Layer {
            name,
            coding,
            waiting,
            passed_bytes,
            has_begun: false,
            is_starved: true,
            is_over: false,
        }
    }

    fn push(&mut self, piece: Vec<u8>) {
        self.waiting.push(piece);
        (self.has_begun, self.is_starved) = (true, false);
    }

    /// How much of the input was taken, and how much came out.
    fn step(&mut self) -> Result<(usize, Vec<u8>), Error> {
        let mut plain = Vec::new();
        let coded = &self.waiting.bytes[self.waiting.at..];
        let step = self.coding.decode(coded, &mut plain).map_err(|flaw| bad(self.name, &flaw))?;
        self.waiting.at += step.taken;
        self.is_starved = step.is_starved;
        Ok((step.taken, plain))
    }

    fn finish(&mut self) -> Result<Vec<u8>, Error> {
        self.is_over = true;
        let mut plain = Vec::new();
        let has_rest = self.waiting.at < self.waiting.bytes.len();
        let finished = match (self.has_begun, has_rest) {
            (false, _) => Ok(()),
            (true, true) => Err(IN_THE_MIDDLE),
            (true, false) => self.coding.finish(&mut plain),
        };
        finished.map_err(|flaw| bad(self.name, &flaw))?;
        Ok(plain)
    }
}

impl Waiting {
    fn push(&mut self, piece: Vec<u8>) {
        if self.at == self.bytes.len() {
            (self.bytes, self.at) = (piece, 0);
        } else {
            // What is left is less than a block of its coding.
            self.bytes.drain(..self.at);
            self.at = 0;
            self.bytes.extend_from_slice(&piece);
        }
    }
}

fn bad(coding: &str, flaw: &Flaw) -> Error {
    let message = format!("the body is not the {coding} that it claims to be: {flaw}");
    Error::new(ErrorKind::Protocol, Phase::Body, message)
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.layers.iter().map(|layer| layer.name).collect();
        f.debug_struct("Decoder").field("layers", &names).finish_non_exhaustive()
    }
}
