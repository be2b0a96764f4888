//! The built examples from outside, against servers on the loopback: what they print, line by line.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod documents;
mod chat;
mod hostile;
mod scrape;
mod small;
mod services;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod ladder;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

/// A built example with these arguments. `cargo test` as a whole builds them; `cargo test --test`
/// does not, so run `cargo build --examples` before it.
pub(crate) fn example(name: &str, arguments: &[&str]) -> Command {
    let mut path = PathBuf::from(env!("CARGO_BIN_EXE_helloop"));
    path.pop();
    path.extend(["examples", name]);
    assert!(path.is_file(), "no {name}: run `cargo build --examples`");
    crate::program::command_of(&path, arguments)
}

/// An address on which nobody listens.
fn refused() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}
