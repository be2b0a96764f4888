//! A body that did not come whole with its head.

use super::super::Error;
use super::super::chunked::{Decoder, Progress};
use super::BodyPolicy;
use super::room::Kept;
use crate::limits::Limits;

/// A request whose body is under way.
#[derive(Debug)]
pub(super) struct Body {
    /// The content in it is what has come so far; it stays empty under `BodyPolicy::Discard`.
    pub(super) kept: Kept,
    pub(super) policy: BodyPolicy,
    /// The peer waits for a final answer and not for us to read: see `BodyPolicy::Discard`.
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
        let Body { kept, policy, coming, .. } = self;
        let mut keep = |data: &[u8]| {
            if *policy == BodyPolicy::Collect {
                kept.content.extend_from_slice(data);
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
}
