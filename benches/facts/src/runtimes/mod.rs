//! The runtimes in Rust, one file each. Those in other languages are in `runtimes/` beside this folder.

pub(crate) mod tokio;
pub(crate) mod smol;
pub(crate) mod helloop;
