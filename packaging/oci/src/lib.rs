//! An image of containers as a folder ([image layout] of the OCI), written without a daemon.
//!
//! The image holds one static binary and nothing else. The same binary and the same arguments give the same bytes,
//! so the digest of an image says what is in it.
//!
//! [image layout]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md

mod blob;
mod check;
mod elf;
mod write;

pub use check::check;
pub use write::{Build, Content, write};

/// The user that a container runs as: "nobody", who owns no file.
pub const USER: &str = "65534:65534";
