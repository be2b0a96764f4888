//! Sending a case, and watching what comes of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::answers::{Received, take_apart};
use super::cases::{Case, Piece, Seen, Then};

/// How long a server may take to answer, and to close.
const PATIENCE: Duration = Duration::from_secs(2);
/// After the last expected answer: how long one too many may take.
const QUIET: Duration = Duration::from_millis(40);
/// Asked when all is answered, to see whether the connection goes on.
const NEXT: &[u8] = b"GET /World HTTP/1.1\r\nHost: next\r\n\r\n";

/// A connection, with all that was received on it.
struct Watched {
    stream: TcpStream,
    arrivals: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Watched {
    fn connect(address: SocketAddr) -> Result<Watched> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context("no connection")?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (send, arrivals) = channel();
        let mut reader = stream.try_clone()?;
        // Ends with the connection, which is shut down when this is dropped.
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Watched { stream, arrivals, bytes: Vec::new(), has_ended: false })
    }

    /// Sends as much as the server takes: it may close early.
    fn send(&mut self, pieces: &[Piece], methods: &[String]) {
        for piece in pieces {
            let sent = match piece {
                Piece::Bytes { bytes, times } => self.stream.write_all(&bytes.repeat(*times)),
                Piece::Wait(time) => {
                    thread::sleep(*time);
                    Ok(())
                }
                Piece::Answers(wanted) => {
                    self.wait(methods, *wanted);
                    Ok(())
                }
                Piece::End => self.stream.shutdown(Shutdown::Write),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// Waits for `wanted` answers, and then a little for more; or for the end; or without success.
    fn wait(&mut self, methods: &[String], wanted: usize) -> Received {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = take_apart(&self.bytes, methods, self.has_ended);
            if self.has_ended || received.nonsense.is_some() {
                return received;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let is_enough = wanted > 0 && received.answers.len() >= wanted;
            match self.arrivals.recv_timeout(if is_enough { QUIET } else { left }) {
                Ok(bytes) => self.bytes.extend_from_slice(&bytes),
                Err(RecvTimeoutError::Disconnected) => self.has_ended = true,
                Err(RecvTimeoutError::Timeout) => return received,
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Sends a case to the server at `address`, and sees what it does.
///
/// # Errors
/// When it cannot be connected to.
pub(super) fn observe(case: &Case, address: SocketAddr) -> Result<Seen> {
    let mut watched = Watched::connect(address)?;
    watched.send(&case.send, &case.methods);
    let first = watched.wait(&case.methods, case.answers_at_most());
    let mut seen = Seen { answers: first.answers, then: Then::Any, nonsense: first.nonsense };
    if watched.has_ended {
        seen.then = Then::Closed;
    } else if seen.nonsense.is_none() && case.asks_what_then(&seen.answers) {
        (seen.then, seen.nonsense) = what_then(&mut watched, case, seen.answers.len());
    }
    Ok(seen)
}

/// What becomes of a connection after its answers.
fn what_then(watched: &mut Watched, case: &Case, before: usize) -> (Then, Option<String>) {
    if case.half_closes() {
        let after = watched.wait(&case.methods, 0);
        let then = if watched.has_ended { Then::Closed } else { Then::Silent };
        return (then, after.nonsense);
    }
    watched.send(&[Piece::Bytes { bytes: NEXT.to_vec(), times: 1 }], &case.methods);
    let after = watched.wait(&case.methods, before + 1);
    let more: Vec<u16> = after.answers[before..].iter().map(|answer| answer.status).collect();
    match more.as_slice() {
        [200..300] => (Then::Kept, after.nonsense),
        [] if watched.has_ended => (Then::Closed, after.nonsense),
        [] => (Then::Silent, after.nonsense),
        _ => (Then::Any, Some(format!("the next request was answered by {more:?}"))),
    }
}
