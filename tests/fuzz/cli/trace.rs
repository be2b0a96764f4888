//! Traces in both forms.

#[path = "../../../src/cli/trace/convert.rs"]
pub(crate) mod convert;
#[path = "../../../src/cli/trace/input.rs"]
pub(crate) mod input;
#[path = "../../../src/cli/trace/json.rs"]
pub(crate) mod json;
