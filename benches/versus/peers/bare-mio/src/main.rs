//! A bare loop on `mio` with `httparse`: the least that can pass for an HTTP/1.1 server.
//!
//! It believes every peer: no limits, no timeouts, no bodies, and no check beyond what
//! `httparse` does.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// The beginning of a request whose end has not come.
    held: Vec<u8>,
    /// What the peer did not take yet.
    unsent: Vec<u8>,
    closing: bool,
}

/// The value of `Date`, written anew once a second.
struct Date {
    text: String,
    until: Instant,
}

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-bare-mio PORT")?.parse()?;
    let mut poll = Poll::new()?;
    let mut listener = listen(port)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections = Slab::new();
    let (mut input, mut output) = (vec![0; 64 * 1024], Vec::with_capacity(64 * 1024));
    let mut date = Date { text: String::new(), until: Instant::now() };
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        date.refresh();
        for event in &events {
            let Token(slot) = event.token();
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections);
            } else if let Some(connection) = connections.get_mut(slot)
                && !matches!(connection.go_on(&mut input, &mut output, &date.text), Ok(true))
            {
                connections.remove(slot);
            }
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
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
            let (held, unsent) = (Vec::new(), Vec::new());
            slot.insert(Connection { stream, held, unsent, closing: false });
        }
    }
}

impl Date {
    fn refresh(&mut self) {
        let now = Instant::now();
        if now >= self.until {
            self.text = httpdate::fmt_http_date(SystemTime::now());
            self.until = now + Duration::from_secs(1);
        }
    }
}

impl Connection {
    /// False, or an error, when the connection has ended.
    fn go_on(&mut self, input: &mut [u8], output: &mut Vec<u8>, date: &str) -> io::Result<bool> {
        if !self.flush()? {
            return Ok(true);
        }
        while !self.closing {
            let read = match self.stream.read(input) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            if self.held.is_empty() {
                let used = self.answer(&input[..read], output, date)?;
                self.held.extend_from_slice(&input[used..read]);
            } else {
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(&input[..read]);
                let used = self.answer(&held, output, date)?;
                drop(held.drain(..used));
                self.held = held;
            }
            let sent = match self.stream.write(output) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                outcome => outcome?,
            };
            self.unsent.extend_from_slice(&output[sent..]);
            output.clear();
            if !self.unsent.is_empty() || (read < input.len() && !self.closing) {
                return Ok(true);
            }
        }
        Ok(!self.unsent.is_empty())
    }

    /// True when nothing is left to be sent.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Answers the complete requests in `bytes`; gives how many bytes they were.
    fn answer(&mut self, bytes: &[u8], output: &mut Vec<u8>, date: &str) -> io::Result<usize> {
        let mut used = 0;
        while used < bytes.len() && !self.closing {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut fields);
            match request.parse(&bytes[used..]) {
                Ok(httparse::Status::Complete(length)) => used += length,
                Ok(httparse::Status::Partial) => break,
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
            self.closing = request.headers.iter().any(|field| {
                field.name.eq_ignore_ascii_case("connection")
                    && field.value.eq_ignore_ascii_case(b"close")
            });
            let name = request.path.and_then(|path| path.strip_prefix('/')).unwrap_or_default();
            let length = "Hello, !\n".len() + name.len();
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {length}\r\nDate: {date}\r\n\r\nHello, {name}!\n"
            )?;
        }
        Ok(used)
    }
}
