//! One client of the lab: a connection, and notes of what goes over it.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use helloop::coroutine::{Queue, Stream};
use helloop::event_loop::Handle;
use helloop::world;
use socket2::SockRef;

/// Bytes of an answer that a note shows; the rest is counted.
const SHOWN_BYTES_MAX: usize = 1_000;

/// The receive buffer of a slow reader in the kernel, in bytes: the less it takes, the sooner its
/// server feels it.
const SLOW_READER_BUFFER_BYTES: usize = 16 * 1024;

/// What a client did.
#[derive(Debug)]
pub(super) struct Note {
    /// Of the client: each has one connection.
    pub(super) id: u64,
    pub(super) scenario: &'static str,
    /// `sent`, `received`, `ended`, or `note`.
    pub(super) step: &'static str,
    pub(super) bytes: String,
}

/// A request that asks to close.
pub(super) fn last_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Tells the pages what a client does.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) id: u64,
    pub(super) scenario: &'static str,
    pub(super) notes: Queue<Note>,
}

impl Teller {
    pub(super) fn tell(&self, step: &'static str, bytes: String) {
        let note = Note { id: self.id, scenario: self.scenario, step, bytes };
        // A full queue means that far too much has been reported already.
        let _ = self.notes.put_nowait(note);
    }

    fn tell_bytes(&self, step: &'static str, bytes: &[u8]) {
        let (shown, rest) = bytes.split_at(bytes.len().min(SHOWN_BYTES_MAX));
        let mut text = readable(shown);
        if !rest.is_empty() {
            text += &format!(" ... and {} bytes more", rest.len());
        }
        self.tell(step, text);
    }
}

/// A client that is about to connect.
pub(super) struct Client {
    pub(super) handle: Handle,
    pub(super) target: SocketAddr,
    pub(super) teller: Teller,
}

/// A connection, and where its steps are reported.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) teller: Teller,
    buffer: Box<[u8]>,
    pub(super) received_bytes: u64,
}

impl Client {
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let stream = self.handle.open_connection(self.target).await?;
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        Ok(Connection { stream, teller: self.teller.clone(), buffer, received_bytes: 0 })
    }
}

impl Connection {
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.teller.tell_bytes("sent", bytes);
        Ok(())
    }

    pub(super) async fn read_quietly(&mut self) -> io::Result<usize> {
        let bytes = self.stream.read(&mut self.buffer).await?;
        self.received_bytes += bytes as u64;
        Ok(bytes)
    }

    /// Reads until the server closes.
    pub(super) async fn read_to_end(&mut self) -> io::Result<()> {
        while let bytes @ 1.. = self.read_quietly().await? {
            self.teller.tell_bytes("received", &self.buffer[..bytes]);
        }
        Ok(())
    }

    /// Reads an answer with a Content-Length.
    pub(super) async fn read_answer(&mut self) -> io::Result<()> {
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let bytes = self.read_quietly().await?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.teller.tell_bytes("received", &self.buffer[..bytes]);
            answer.extend_from_slice(&self.buffer[..bytes]);
        }
        Ok(())
    }

    /// As far as the kernel lets it.
    pub(super) fn shrink_receive_buffer(&self) {
        if let world::Stream::Tcp(socket) = self.stream.source().socket() {
            let _ = SockRef::from(socket).set_recv_buffer_size(SLOW_READER_BUFFER_BYTES);
        }
    }
}

/// True if the answer's head is here, and as much after it as that says.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// Bytes as a line that can be read: `\r\n` for the end of one.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    write!(text, "\\u{{{:x}}}", u32::from(control)).expect("a String takes it");
                }
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes it");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_one_line() {
        assert_eq!(readable(b"GET / HTTP/1.1\r\n"), "GET / HTTP/1.1\\r\\n");
        assert_eq!(readable("J\u{fc}rgen \\ \u{1b}".as_bytes()), "J\u{fc}rgen \\\\ \\u{1b}");
        assert_eq!(readable(b"\xff\xfe."), "\\xff\\xfe.");
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(answer));
        assert!(!is_whole(&answer[..answer.len() - 1]));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
    }
}
