//! A body that did not come whole with its head.

use super::super::chunked::{Decoder, Progress};
use super::super::framing::Persistence;
use super::super::head::Head;
use super::super::{Error, Request};
use super::BodyPolicy;
use crate::limits::Limits;
use std::net::SocketAddr;

/// A request whose body is under way.
#[derive(Debug)]
pub(super) struct Body {
    /// The complete head, kept because the input that it came in is reused.
    pub(super) head: Vec<u8>,
    pub(super) persistence: Persistence,
    pub(super) policy: BodyPolicy,
    /// The peer waits for a final answer and not for us to read: see `BodyPolicy::Discard`.
    pub(super) is_answer_due: bool,
    pub(super) coming: Coming,
    /// The content so far; stays empty under `BodyPolicy::Discard`.
    pub(super) content: Vec<u8>,
    /// Bytes of content so far, whether kept or not.
    pub(super) received_bytes: u64,
}

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Coming {
    /// So many bytes.
    Bytes(u64),
    Chunks(Decoder),
}

impl Coming {
    /// A body of known length that is whole in `input` is taken from there without a copy.
    pub(super) fn whole<'a>(&self, input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let Coming::Bytes(bytes) = self else { return None };
        let (content, rest) = input.split_at_checked(usize::try_from(*bytes).ok()?)?;
        *input = rest;
        Some(content)
    }
}

impl Body {
    /// Takes what `input` has of the body.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        limits: &Limits,
    ) -> Result<Progress, Error> {
        let Body { content, received_bytes, policy, coming, .. } = self;
        let mut keep = |data: &[u8]| {
            *received_bytes += data.len() as u64;
            if *policy == BodyPolicy::Collect {
                content.extend_from_slice(data);
            }
        };
        match coming {
            Coming::Chunks(decoder) => decoder.decode(input, limits, keep),
            Coming::Bytes(bytes) => {
                debug_assert!(*bytes > 0, "an empty body is never under way");
                let here = usize::try_from(*bytes).map_or(input.len(), |n| n.min(input.len()));
                let (data, rest) = input.split_at(here);
                keep(data);
                *input = rest;
                *bytes -= data.len() as u64;
                Ok(if *bytes == 0 { Progress::Done } else { Progress::More })
            }
        }
    }

    /// Shows the request with the content that there is.
    pub(super) fn with_request<R>(
        &self,
        peer: Option<SocketAddr>,
        show: impl FnOnce(&Request<'_>) -> R,
    ) -> R {
        let head = Head::parse(&self.head).expect("this head was found good");
        show(&Request { body: &self.content, peer, ..head.request })
    }
}
