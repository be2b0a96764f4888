use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::program::Program;

/// What must come comes within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What must not come has not come after this time.
const DOUBT: Duration = Duration::from_secs(1);

/// How long rungs 5 and 6 wait for a client.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

pub(super) const REQUEST: &str = "GET /World HTTP/1.1\r\n\r\n";

/// A client that can wait for an answer without waiting for ever.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer: its status, and its body.
pub(super) type Answer = (u16, String);

impl Client {
    #[track_caller]
    pub(super) fn of(server: &Program) -> Client {
        let stream = server.connect();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    #[track_caller]
    pub(super) fn send(&mut self, text: &str) {
        self.stream().write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn finish(&mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer; `None` at the end.
    pub(super) fn read(&mut self) -> io::Result<Option<Answer>> {
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if let Some(digits) = line.strip_prefix("HTTP/1.1 ") {
                status = digits[..3].parse().ok();
            } else if let Some(digits) = line.strip_prefix("Content-Length: ") {
                length = digits.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(Some((status.ok_or(ErrorKind::InvalidData)?, body)))
    }

    #[track_caller]
    pub(super) fn answer(&mut self) -> Answer {
        self.read().unwrap().expect("an answer, and not the end")
    }

    #[track_caller]
    pub(super) fn ends(&mut self) {
        assert_eq!(self.read().unwrap(), None);
    }

    #[track_caller]
    pub(super) fn greet(&mut self) {
        self.send(REQUEST);
        assert_eq!(self.answer(), (200, "Hello, World!\n".to_owned()));
    }

    /// Whether what it has asked for is answered. Where that must not happen, it is not waited for
    /// long.
    #[track_caller]
    pub(super) fn is_answered(&mut self, must_be: bool) -> bool {
        let patience = if must_be { PATIENCE } else { DOUBT };
        self.stream().set_read_timeout(Some(patience)).unwrap();
        let answer = self.read();
        self.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        match answer {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            answer => {
                assert_eq!(answer.unwrap().unwrap().0, 200);
                true
            }
        }
    }

    /// Whether nothing has come, not even the end.
    pub(super) fn is_open(&self) -> bool {
        self.stream().set_nonblocking(true).unwrap();
        let outcome = self.stream().peek(&mut [0]);
        self.stream().set_nonblocking(false).unwrap();
        outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}
