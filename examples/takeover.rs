//! A new process takes the listening socket over from the old one: no connection is refused meanwhile.
//! `cargo run --example takeover`, then `kill -USR2` its process, again and again.
//!
//! The socket goes to the new process as its standard input, which needs no number and no agreement. What systemd
//! passes (sd_listen_fds(3)) is served in the same way.

use std::io::{self, BufRead, BufReader, IsTerminal, stdin};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use helloop::event_loop::EventLoop;
use helloop::limits::DRAIN_TIMEOUT;
use helloop::server::{Server, service};
use helloop::signals::{SIGTERM, SIGUSR2, on_signals};

/// What a process says on its standard output when it serves: the old one waits for it. What people are to read
/// goes to standard error, which all of them share.
const READY: &str = "ready";

/// Starts this program once more on the same socket, and waits until it serves; the loop stands still for so long.
fn start_successor(listener: &OwnedFd) -> io::Result<()> {
    let mut successor = Command::new(std::env::current_exe()?)
        .stdin(Stdio::from(listener.try_clone()?))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = successor.stdout.take().expect("it is a pipe");
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim_end() != READY {
        return Err(io::Error::other(format!("it said {line:?}")));
    }
    eprintln!("process {} takes over", successor.id());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener: OwnedFd = if stdin().is_terminal() || std::env::args().nth(1).is_some() {
        let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
        TcpListener::bind(address)?.into()
    } else {
        stdin().as_fd().try_clone_to_owned()?
    };
    let server = Server::builder().listeners([listener.try_clone()?])?;
    let address = server.local_addrs()[0];

    let mut event_loop = EventLoop::new()?;
    let us = std::process::id();
    let greet = service(move |_, response| {
        response.text(format_args!("This is process {us}.\n"));
    });
    let attached = server.attach(event_loop.handle(), greet)?;
    let handle = attached.handle().clone();
    on_signals(event_loop.handle(), &[SIGTERM, SIGUSR2], move |signal| {
        if signal == SIGUSR2
            && let Err(error) = start_successor(&listener)
        {
            return eprintln!("going on, for there is no successor: {error}");
        }
        handle.drain(DRAIN_TIMEOUT);
    })?;
    eprintln!("Server started at http://{address}/");
    println!("{READY}");
    event_loop.run_until(|| attached.is_finished())?;
    eprintln!("process {us} is done: {} answered", attached.report().requests);
    Ok(())
}
