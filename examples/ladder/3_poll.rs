//! Rung 3: **wait for all at once, and keep in a struct what the stack kept.** One thread asks the
//! kernel which of its sockets are ready, and goes on with those conversations until each of them
//! would have to wait. A conversation that waits is a few bytes in a map, and no stack.
//!
//! What it cannot do: share. A client that always has more to say is served as long as it has, and the
//! others wait meanwhile. Nothing ends by time either, so a client that never says anything stays. And
//! when there are no descriptors left, clients that wait to be accepted are forgotten.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

mod http;

/// What rung 1 had in the variables of a function.
struct Connection {
    stream: TcpStream,
    /// The beginning of a request whose end has not come.
    input: Vec<u8>,
    /// What the kernel has not taken yet.
    output: Vec<u8>,
    /// False: closed as soon as `output` has been sent.
    goes_on: bool,
}

fn main() -> io::Result<()> {
    const LISTENER: Token = Token(0);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: HashMap<Token, Connection> = HashMap::new();
    // No token is used twice: an event that comes late, for a connection that has ended, finds nothing.
    let mut last = LISTENER;
    loop {
        // The only place in this program that waits.
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                // mio is edge-triggered: that *something* has come is reported once. So everything is
                // taken, until `accept` would have to wait. (Or until it fails, for want of
                // descriptors perhaps; then the rest stays until yet another client comes.)
                LISTENER => {
                    while let Ok((mut stream, _)) = listener.accept() {
                        last = Token(last.0 + 1);
                        // Once and for all. A conversation that has no use for an event finds out itself.
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, last, both)?;
                        let (input, output) = (Vec::new(), Vec::new());
                        connections
                            .insert(last, Connection { stream, input, output, goes_on: true });
                    }
                }
                token => {
                    if let Some(connection) = connections.get_mut(&token)
                        && !connection.go_on().unwrap_or(false)
                    {
                        // Dropped, and so closed.
                        connections.remove(&token);
                    }
                }
            }
        }
    }
}

impl Connection {
    /// The conversation of rung 1, from wherever it was. Returns true where it would have to wait,
    /// and false at its end.
    fn go_on(&mut self) -> io::Result<bool> {
        loop {
            // First what is to be said: from a client that does not take its answers, no more
            // requests are taken.
            while !self.output.is_empty() {
                match self.stream.write(&self.output) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    written => drop(self.output.drain(..written?)),
                }
            }
            if !self.goes_on {
                return Ok(false);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                bytes => self.input.extend_from_slice(&buffer[..bytes?]),
            }
            self.goes_on = http::answer(&mut self.input, &mut self.output);
        }
    }
}
