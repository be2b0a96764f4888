//! The readers of the command. It is a binary, which nobody can use, so these are its files once more.

#[path = "../../../src/cli/file_id.rs"]
pub(crate) mod file_id;
#[path = "../../../src/cli/json.rs"]
pub(crate) mod json;
/// What `helloop ps` makes of an answer.
#[path = "../../../src/cli/ps/page.rs"]
pub(crate) mod page;
pub(crate) mod trace;
