//! What peers that are slow, silent, or never read do to a server, and so to the other clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::processes::Processes;

/// Connections that never ask.
pub(crate) const SILENT: usize = 2_000;
/// Requests of the other client.
const ASKED: usize = 20;
/// After this a request counts as not answered.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(20);
/// What the client that never reads asks for, at most, bytes of requests.
const UNREAD_ASKED_MAX: usize = 32 << 20;
/// A server that takes nothing for so long has stopped reading.
const STALLED: Duration = Duration::from_millis(300);

/// How another client fared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Others {
    /// The longest that a request took, a connection included; the patience where there was no answer.
    pub(crate) slowest: Duration,
    pub(crate) unanswered: usize,
    /// Connections that were in the way.
    pub(crate) beside: usize,
}

/// How another client fares beside one that sends its head byte by byte.
///
/// # Errors
/// When the slow client cannot connect.
pub(crate) fn beside_slow(address: SocketAddr) -> Result<Others> {
    let mut slow = TcpStream::connect_timeout(&address, PATIENCE).context("no connection")?;
    let is_over = AtomicBool::new(false);
    Ok(thread::scope(|scope| {
        scope.spawn(|| {
            let head = b"GET /World HTTP/1.1\r\nHost: h\r\nA: ".iter().chain(b"a".iter().cycle());
            for &byte in head {
                if is_over.load(Ordering::Relaxed) || slow.write_all(&[byte]).is_err() {
                    break;
                }
                thread::sleep(DRIP);
            }
        });
        let others = another_client(address, 1);
        is_over.store(true, Ordering::Relaxed);
        others
    }))
}

/// How another client fares beside many that are silent.
///
/// # Errors
/// When not even one of the silent ones can connect.
pub(crate) fn beside_silent(address: SocketAddr) -> Result<Others> {
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => silent.push(stream),
            // The server takes no more, or this process may have no more.
            Err(error) if silent.is_empty() => return Err(error).context("no connection"),
            Err(_) => break,
        }
    }
    // The last one may have been the last descriptor: the other client needs some.
    silent.truncate(silent.len().saturating_sub(8).max(1));
    Ok(another_client(address, silent.len()))
}

/// Asks one request after another, each on a connection of its own.
fn another_client(address: SocketAddr, beside: usize) -> Others {
    let mut others = Others { slowest: Duration::ZERO, unanswered: 0, beside };
    for _ in 0..ASKED {
        let began = Instant::now();
        let answered = ask(address);
        others.unanswered += usize::from(!answered);
        others.slowest = others.slowest.max(if answered { began.elapsed() } else { PATIENCE });
        if others.unanswered > 2 {
            // It will not become better.
            break;
        }
    }
    others
}

fn ask(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// How much the memory of a server grows by a client that asks and never reads, bytes.
///
/// # Errors
/// When it cannot connect, or the server ends.
pub(crate) fn never_read(address: SocketAddr, processes: &Processes) -> Result<f64> {
    let before = processes.memory()?.anonymous;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("no connection")?;
    stream.set_write_timeout(Some(STALLED))?;
    let requests = b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_000);
    let mut most = before;
    let mut asked = 0;
    while asked < UNREAD_ASKED_MAX {
        match stream.write(&requests) {
            Ok(written) => asked += written,
            Err(_) => break,
        }
        most = most.max(processes.memory()?.anonymous);
    }
    most = most.max(processes.memory()?.anonymous);
    Ok(most.saturating_sub(before) as f64)
}
