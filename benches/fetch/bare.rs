//! The least that a client can do: mio, `httparse`, and a buffer. No pool, no timeouts, no
//! redirects, no names; every reply must have a `Content-Length` and come in pieces of one buffer.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Job;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

struct Client<'a> {
    job: &'a Job,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    /// Fetches that have begun, and that have ended.
    begun: usize,
    ended: usize,
    /// What follows the target in every request.
    tail: String,
    request: Vec<u8>,
    buffer: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    /// What it fetches.
    number: usize,
    state: State,
    /// The beginning of a reply that has not come whole.
    left: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Asked,
    /// Nothing is left to fetch. It stays open, as it would in a pool.
    Idle,
}

/// What was read of a connection.
enum Progress {
    Wait,
    Ended { is_reusable: bool },
}

/// Fetches everything that the job asks for, and checks every body.
pub(crate) fn run(job: &Job) -> Outcome {
    let mut client = Client {
        job,
        poll: Poll::new()?,
        connections: Vec::new(),
        begun: 0,
        ended: 0,
        tail: format!(" HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", job.address),
        request: Vec::new(),
        buffer: vec![0; 64 * 1024].into_boxed_slice(),
    };
    for slot in 0..job.limit.min(job.fetches) {
        let connection = client.open(slot)?;
        client.connections.push(Some(connection));
    }
    let mut events = Events::with_capacity(1024);
    while client.ended < job.fetches {
        client.poll.poll(&mut events, None)?;
        for event in &events {
            client.handle(event)?;
        }
    }
    Ok(())
}

impl Client<'_> {
    /// Begins to connect, for the next fetch.
    fn open(&mut self, slot: usize) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(self.job.address)?;
        stream.set_nodelay(true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), both)?;
        let number = self.begun;
        self.begun += 1;
        Ok(Connection { stream, number, state: State::Connecting, left: Vec::new() })
    }

    fn handle(&mut self, event: &Event) -> Outcome {
        let slot = event.token().0;
        let Some(mut connection) = self.connections[slot].take() else { return Ok(()) };
        if connection.state == State::Connecting && event.is_writable() {
            connection.ask(&self.tail, &mut self.request)?;
        }
        while connection.state == State::Asked && event.is_readable() {
            let Progress::Ended { is_reusable } = connection.read(&mut self.buffer)? else { break };
            self.ended += 1;
            if self.begun == self.job.fetches {
                connection.state = State::Idle;
            } else if is_reusable {
                connection.number = self.begun;
                self.begun += 1;
                connection.ask(&self.tail, &mut self.request)?;
                // The reply will be an event of its own.
                break;
            } else {
                connection = self.open(slot)?;
            }
        }
        self.connections[slot] = Some(connection);
        Ok(())
    }
}

impl Connection {
    fn ask(&mut self, tail: &str, request: &mut Vec<u8>) -> Outcome {
        request.clear();
        let number = self.number;
        write!(request, "GET /{number}{tail}")?;
        if self.stream.write(request)? < request.len() {
            return Err("a request did not fit into the socket".into());
        }
        self.state = State::Asked;
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Outcome<Progress> {
        let before = self.left.len();
        buffer[..before].copy_from_slice(&self.left);
        let bytes = match self.stream.read(&mut buffer[before..]) {
            Ok(0) => return Err(format!("fetch {}: cut off", self.number).into()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Wait),
            Err(error) => return Err(error.into()),
        };
        let input = &buffer[..before + bytes];
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_bytes) = head.parse(input)? else {
            return Ok(self.keep(input));
        };
        let (mut length, mut is_reusable) = (None, true);
        for field in &*head.headers {
            if field.name.eq_ignore_ascii_case("Content-Length") {
                length = Some(str::from_utf8(field.value)?.parse::<usize>()?);
            } else if field.name.eq_ignore_ascii_case("Connection") {
                is_reusable = !field.value.eq_ignore_ascii_case(b"close");
            }
        }
        let length = length.ok_or("a reply without Content-Length")?;
        let Some(body) = input.get(head_bytes..head_bytes + length) else {
            return Ok(self.keep(input));
        };
        if head.code != Some(200) {
            return Err(format!("fetch {}: status {:?}", self.number, head.code).into());
        }
        crate::check(self.number, body)?;
        self.left.clear();
        Ok(Progress::Ended { is_reusable })
    }

    fn keep(&mut self, input: &[u8]) -> Progress {
        self.left = input.to_vec();
        Progress::Wait
    }
}
