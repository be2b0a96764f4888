//! The readers of the command. It is a binary, which nobody can use, so these are its files once more.

#[path = "../../../src/command/file_id.rs"]
pub(crate) mod file_id;
/// What `helloop ps` makes of an answer.
#[path = "../../../src/command/ps/page.rs"]
pub(crate) mod page;
pub(crate) mod trace;
