//! Traces in both forms.

#[path = "../../../src/command/trace/convert.rs"]
pub(crate) mod convert;
#[path = "../../../src/command/trace/input.rs"]
pub(crate) mod input;
