//! The floor: an epoll loop that parses nothing.
//!
//! It counts empty lines, answers each with constant bytes, and closes after a read that ends in
//! `close`. What this costs is what the kernel, `mio`, and copying cost.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 14\r\n\r\nHello, World!\n";
const END: &[u8] = b"\r\n\r\n";
const LISTENER: Token = Token(usize::MAX);
/// Pipelined requests that are answered by one write.
const ANSWERS_PER_WRITE_MAX: usize = 256;

struct Connection {
    stream: TcpStream,
    /// Bytes of [`END`] that the last read ended with.
    matched: usize,
    /// What the peer did not take yet.
    unsent: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-floor PORT")?.parse()?;
    let mut poll = Poll::new()?;
    let mut listener = listen(port)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections = Slab::new();
    let mut input = vec![0; 64 * 1024];
    let answers = ANSWER.repeat(ANSWERS_PER_WRITE_MAX);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections);
            } else if let Some(connection) = connections.get_mut(event.token().0)
                && connection.go_on(&mut input, &answers).is_err()
            {
                connections.remove(event.token().0);
            }
        }
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Slab<Connection>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let slot = connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(&mut stream, Token(slot.key()), both).is_ok() {
            slot.insert(Connection { stream, matched: 0, unsent: Vec::new() });
        }
    }
}

/// The connection has ended, for whatever reason.
struct Ended;

impl Connection {
    fn go_on(&mut self, input: &mut [u8], answers: &[u8]) -> Result<(), Ended> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Ended),
            }
        }
        loop {
            let read = match self.stream.read(input) {
                Ok(0) => return Err(Ended),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Ended),
            };
            let bytes = &input[..read];
            let mut requests = self.count(bytes);
            while requests > 0 {
                let batch = requests.min(ANSWERS_PER_WRITE_MAX);
                self.send(&answers[..batch * ANSWER.len()])?;
                requests -= batch;
            }
            if bytes.ends_with(b"close\r\n\r\n") {
                return Err(Ended);
            }
            // A short read has drained the socket; the next byte is a new edge.
            if read < input.len() {
                return Ok(());
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let sent = match self.unsent.is_empty() {
            false => 0,
            true => match self.stream.write(bytes) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(Ended),
            },
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// How many empty lines end in `bytes`.
    fn count(&mut self, bytes: &[u8]) -> usize {
        if self.matched == 0 && bytes.ends_with(END) {
            return memchr::memmem::find_iter(bytes, END).count();
        }
        let mut count = 0;
        for &byte in bytes {
            self.matched = match byte == END[self.matched] {
                true => self.matched + 1,
                false => usize::from(byte == b'\r'),
            };
            if self.matched == END.len() {
                self.matched = 0;
                count += 1;
            }
        }
        count
    }
}
