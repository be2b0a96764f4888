//! A body that did not come whole with its head.

use super::super::Error;
use super::super::chunked::{ChunkLimits, Decoder, Progress};
use super::BodyPolicy;
use super::room::Kept;
use crate::limits::Limits;

/// A request whose body is under way.
#[derive(Debug)]
pub(super) struct Body {
    /// The content in it is what has come so far; it stays empty unless the policy is to collect it.
    pub(super) kept: Kept,
    pub(super) policy: BodyPolicy,
    /// The peer is answered before its body is here: see `BodyPolicy::Discard`.
    pub(super) is_answer_due: bool,
    pub(super) coming: Coming,
}

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Coming {
    /// So many bytes.
    Bytes(u64),
    Chunks(Decoder),
}

impl BodyPolicy {
    pub(super) fn collects(self) -> bool {
        matches!(self, BodyPolicy::Collect | BodyPolicy::CollectAtMost(_))
    }

    /// How long a body may be.
    pub(super) fn bytes_max(self, limits: &Limits) -> u64 {
        match self {
            BodyPolicy::CollectAtMost(bytes) => bytes.min(limits.body_bytes_max),
            _ => limits.body_bytes_max,
        }
    }
}

impl Coming {
    /// Takes what `input` has of the body, and passes it to `sink`.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        limits: impl Into<ChunkLimits>,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Progress, Error> {
        match self {
            Coming::Chunks(decoder) => decoder.decode(input, limits, sink),
            Coming::Bytes(bytes) => {
                debug_assert!(*bytes > 0, "an empty body is never under way");
                let here = usize::try_from(*bytes).map_or(input.len(), |n| n.min(input.len()));
                let (data, rest) = input.split_at(here);
                sink(data);
                *input = rest;
                *bytes -= data.len() as u64;
                Ok(if *bytes == 0 { Progress::Done } else { Progress::More })
            }
        }
    }

    /// True if that is known beforehand.
    pub(super) fn is_longer_than(&self, bytes_max: u64) -> bool {
        matches!(self, Coming::Bytes(bytes) if *bytes > bytes_max)
    }

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
        let Body { kept, policy, coming, .. } = self;
        let keep = |data: &[u8]| {
            if policy.collects() {
                kept.content.extend_from_slice(data);
            }
        };
        let body_bytes_max = policy.bytes_max(limits);
        let limits = ChunkLimits { body_bytes_max, ..limits.into() };
        coming.receive(input, limits, keep)
    }
}
