//! The `helloop` command.
fn main() {}
