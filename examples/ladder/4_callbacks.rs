//! Rung 4: **the loop calls back, and the callback owns its connection.** The loop knows nothing of
//! connections any more: it keeps functions, and calls each of them once, when its socket is ready.
//! Such a function has everything it needs with it. It goes on with its conversation, and hands the
//! loop another function for what comes next.
//!
//! What it cannot do: end by time. "When it is readable, *or* after five seconds" would be two
//! functions, and a connection has one owner. So an accept that failed is not tried again later
//! either. And the loop cannot say where a conversation is: a function does not say what it will do.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

mod http;

/// Called once, and gone. It takes the loop as an argument, so nothing has to be shared.
type Callback = Box<dyn FnOnce(&mut EventLoop)>;

struct EventLoop {
    poll: Poll,
    /// By token, what is called when the socket is ready for something.
    waiting: HashMap<Token, Callback>,
    /// What is called in this turn, or in the next.
    queue: VecDeque<Callback>,
    last: Token,
}

impl EventLoop {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = (!self.queue.is_empty()).then_some(Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            let ready = events.iter().filter_map(|event| self.waiting.remove(&event.token()));
            self.queue.extend(ready);
            // Exactly those that are in the queue now. What they queue waits for the next turn, after
            // the sockets have been looked at: otherwise one client that always has more to say
            // would keep the loop to itself.
            for _ in 0..self.queue.len() {
                if let Some(callback) = self.queue.pop_front() {
                    callback(self);
                }
            }
        }
    }

    fn register(&mut self, socket: &mut impl Source) -> io::Result<Token> {
        self.last = Token(self.last.0 + 1);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, self.last, both)?;
        Ok(self.last)
    }

    /// To be called after an operation would have had to wait, never before it was tried: an event
    /// that came earlier is not reported again.
    fn when_ready(&mut self, token: Token, callback: impl FnOnce(&mut EventLoop) + 'static) {
        self.waiting.insert(token, Box::new(callback));
    }

    fn call_soon(&mut self, callback: impl FnOnce(&mut EventLoop) + 'static) {
        self.queue.push_back(Box::new(callback));
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mut listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    let (poll, waiting, queue) = (Poll::new()?, HashMap::new(), VecDeque::new());
    let mut event_loop = EventLoop { poll, waiting, queue, last: Token(0) };
    let token = event_loop.register(&mut listener)?;
    accept(listener, token, &mut event_loop);
    event_loop.run()
}

fn accept(listener: TcpListener, token: Token, event_loop: &mut EventLoop) {
    while let Ok((mut stream, _)) = listener.accept() {
        if let Ok(token) = event_loop.register(&mut stream) {
            let (input, output) = (Vec::new(), Vec::new());
            let connection = Connection { stream, token, input, output, goes_on: true };
            event_loop.call_soon(|event_loop| read(connection, event_loop));
        }
    }
    event_loop.when_ready(token, move |event_loop| accept(listener, token, event_loop));
}

/// It travels from callback to callback. A callback that does not hand it on drops it, and so closes it.
struct Connection {
    stream: TcpStream,
    token: Token,
    input: Vec<u8>,
    output: Vec<u8>,
    goes_on: bool,
}

fn read(mut connection: Connection, event_loop: &mut EventLoop) {
    let mut buffer = [0; 4096];
    match connection.stream.read(&mut buffer) {
        Ok(bytes) if bytes > 0 => {
            connection.input.extend_from_slice(&buffer[..bytes]);
            connection.goes_on = http::answer(&mut connection.input, &mut connection.output);
            write(connection, event_loop);
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            event_loop.when_ready(connection.token, |event_loop| read(connection, event_loop));
        }
        _ => {}
    }
}

fn write(mut connection: Connection, event_loop: &mut EventLoop) {
    match connection.stream.write(&connection.output) {
        Ok(bytes) => {
            connection.output.drain(..bytes);
            if !connection.output.is_empty() {
                event_loop.call_soon(|event_loop| write(connection, event_loop));
            } else if connection.goes_on {
                event_loop.call_soon(|event_loop| read(connection, event_loop));
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            event_loop.when_ready(connection.token, |event_loop| write(connection, event_loop));
        }
        Err(_) => {}
    }
}
