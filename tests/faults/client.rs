use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

pub(crate) const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n";
const END_OF_ANSWER: &[u8] = b"\r\n\r\nHello, World!\n";

/// A connection that is kept.
pub(crate) struct Client {
    stream: TcpStream,
    /// What has arrived and was not looked at.
    received: Vec<u8>,
}

/// How a client that was being talked to came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server finished.
    Finished,
    /// The connection was reset.
    Reset,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        Client { stream, received: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the server and the two kernels take, and gives how much that was: it ends
    /// when for a while nothing more is taken, or when the server has had enough.
    pub(crate) fn send_until_it_stalls(&mut self, bytes: &[u8]) -> usize {
        const WHILE: Duration = Duration::from_millis(200);
        self.stream.set_write_timeout(Some(WHILE)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match retry(|| self.stream.write(&bytes[sent..])) {
                Ok(taken) => sent += taken,
                Err(error) => {
                    use ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
                    let is_over = matches!(error.kind(), WouldBlock | ConnectionReset | BrokenPipe);
                    assert!(is_over, "{error}");
                    break;
                }
            }
        }
        self.stream.set_write_timeout(None).unwrap();
        sent
    }

    /// Waits for one greeting, or the end of the connection.
    pub(crate) fn answer(&mut self) -> Result<String, End> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.received, END_OF_ANSWER) {
                let answer = self.received.drain(..at + END_OF_ANSWER.len()).collect();
                return Ok(String::from_utf8(answer).unwrap());
            }
            self.receive()?;
        }
    }

    /// Waits for something.
    fn receive(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        match retry(|| self.stream.read(&mut buffer)) {
            Ok(0) => Err(End::Finished),
            Ok(bytes) => {
                self.received.extend_from_slice(&buffer[..bytes]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.received)),
        }
    }

    /// Asks, and waits for the greeting.
    #[track_caller]
    pub(crate) fn greet(&mut self) {
        self.send(REQUEST);
        assert!(self.answer().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    }

    /// Sends `rest` and reads so many greetings, both at once.
    pub(crate) fn takes_all(mut self, rest: &[u8], answers: usize) {
        let mut writer = self.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(rest).unwrap());
            for number in 0..answers {
                self.answer().unwrap_or_else(|end| panic!("{end:?} after {number} answers"));
            }
        });
        assert_eq!(self.received, b"", "more answers than requests");
    }

    /// Waits for the end, and gives everything that came before it.
    pub(crate) fn until_end(&mut self) -> (String, End) {
        loop {
            if let Err(end) = self.receive() {
                let text = String::from_utf8(std::mem::take(&mut self.received)).unwrap();
                return (text, end);
            }
        }
    }

    /// Sends one byte and looks whether the end has come. For talking very slowly.
    pub(crate) fn dribble(&mut self, byte: u8) -> Option<End> {
        self.stream.set_nonblocking(true).unwrap();
        // A server that does not listen any more has said why.
        let _ = self.stream.write(&[byte]);
        let mut buffer = [0; 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Some(End::Finished),
            Ok(bytes) => {
                self.received.extend_from_slice(&buffer[..bytes]);
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(End::Reset),
        }
    }

    /// Neither bytes nor the end have arrived since somebody looked.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let heard = self.stream.peek(&mut [0; 1]);
        self.stream.set_nonblocking(false).unwrap();
        heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// What has arrived so far.
    pub(crate) fn received(&self) -> String {
        String::from_utf8(self.received.clone()).unwrap()
    }

    /// Says that nothing more will be sent.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Goes away with a reset in place of an orderly end.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// signal(7): with a timeout on the socket, who was stopped for a moment reads `Interrupted`.
fn retry(mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
