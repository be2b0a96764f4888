//! Traces: events as JSON.

#[allow(dead_code, reason = "the commands that read and write traces come next")]
pub(crate) mod json;
