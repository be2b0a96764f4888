//! One connection of a client. It sees what a library would hide: FIN, RST, and half of an answer.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::{Event, Readable, Stream, Writable};
use helloop::event_loop::Handle;
use helloop::http::{Ask, Reply, ReplyError, ReplyEvent, ReplyHead};
use helloop::limits::ReplyLimits;
use helloop::world::Time;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::ids::has_id;
use super::ledger::Request;
use super::verdict::{Closing, End, Got};

/// What a slow reader lets the kernel take for it, in bytes: as little as it goes.
const NARROW_BYTES: usize = 4096;

/// The segments of a slow reader, in bytes. The server's kernel sizes its buffer by them.
const NARROW_SEGMENT_BYTES: u32 = 536;

/// A slow reader's pieces: bytes, the time between two, and how many there are before it hurries. Together it is
/// slow for 0.3 s, in which a restart has begun.
const PIECE_BYTES: usize = 512;
const PIECE_PAUSE: Duration = Duration::from_millis(5);
const PIECES: u32 = 60;

/// Bytes of a body in which an id is looked for.
const LOOKED_AT_BYTES: usize = 4096;

/// Bytes of a body at which an answer is given up.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

const READ_BYTES: usize = 16 * 1024;

#[derive(Debug)]
enum Wire {
    Usual(Stream),
    /// With small buffers, which have to be set before it is connected.
    Narrow(Readable<Rc<Socket>>),
}

/// How fast a client reads.
pub(super) enum Pace<'a> {
    Fast,
    /// A piece at once; the others, slowly, once the gate is open.
    Slow(&'a Gate),
}

/// Where clients that have prepared themselves wait for a restart to begin.
#[derive(Debug)]
pub(super) struct Gate {
    /// Clients that wait.
    pub(super) waiting: Cell<usize>,
    pub(super) open: Event,
}

impl Gate {
    pub(super) fn new(handle: &Handle) -> Gate {
        Gate { waiting: Cell::new(0), open: Event::new(handle) }
    }

    pub(super) async fn pass(&self) {
        self.waiting.set(self.waiting.get() + 1);
        self.open.wait().await;
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    handle: Handle,
    wire: Wire,
    /// Bytes that came after the last answer.
    input: Vec<u8>,
    /// Answers so far.
    pub(super) answers: u64,
    pub(super) last_answer: Time,
    /// The last of them.
    pub(super) last_request: Option<Request>,
    /// The server has said that it closes after the last answer.
    pub(super) is_closing: bool,
    /// Of the answer that is being read.
    got: Got,
}

/// What a connection that should be idle is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    Open,
    Closed,
    /// Something came that nobody asked for. A 408 does not count: it is how some say that they close.
    Surplus,
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) status: u16,
    pub(super) has_id: bool,
}

impl Connection {
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(
        handle: &Handle,
        address: SocketAddr,
        is_narrow: bool,
        limit: Duration,
    ) -> Result<Connection, End> {
        let opened = handle.timeout(limit, Wire::open(handle, address, is_narrow)).await;
        let wire = match opened {
            Ok(Ok(wire)) => wire,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(End::Refused);
            }
            // It was there, and reset before anybody looked.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(End::Closed { how: Closing::Reset, got: Got::Nothing });
            }
            Ok(Err(error)) => return Err(End::NotConnected(error.to_string())),
            Err(elapsed) => return Err(End::NotConnected(elapsed.to_string())),
        };
        Ok(Connection {
            handle: handle.clone(),
            wire,
            input: Vec::new(),
            answers: 0,
            last_answer: handle.clock(),
            last_request: None,
            is_closing: false,
            got: Got::Nothing,
        })
    }

    /// Sends requests in one write. What goes wrong is seen when their answers are read.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.wire.write_all(bytes).await;
    }

    /// Looks at a connection on which nothing is asked.
    pub(super) fn look(&mut self) -> Idle {
        let mut buffer = [0; 1024];
        if self.input.is_empty() {
            match self.wire.try_read(&mut buffer) {
                Ok(0) => return Idle::Closed,
                Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Idle::Open,
                Err(_) => return Idle::Closed,
            }
        }
        let is_timeout = self.input.get(8..).is_some_and(|rest| rest.starts_with(b" 408"));
        if is_timeout { Idle::Closed } else { Idle::Surplus }
    }

    /// Reads the answer to a request, for at most `limit`.
    ///
    /// # Errors
    /// How the request ended without one.
    pub(super) async fn answer(
        &mut self,
        request: &Request,
        reply: Reply,
        pace: &Pace<'_>,
        limit: Duration,
    ) -> Result<Whole, End> {
        self.got = Got::Nothing;
        let handle = self.handle.clone();
        let whole = match handle.timeout(limit, self.read_answer(request, reply, pace)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(End::Late { limit, got: self.got }),
        };
        self.answers += 1;
        self.last_answer = handle.clock();
        self.last_request = Some(request.clone());
        Ok(whole)
    }

    async fn read_answer(
        &mut self,
        request: &Request,
        mut reply: Reply,
        pace: &Pace<'_>,
    ) -> Result<Whole, End> {
        let mut answer = Reading::default();
        let mut closed = None;
        let mut pieces = 0;
        loop {
            let is_whole = answer.advance(&mut reply, &mut self.input, closed)?;
            self.got = answer.got(self.input.len());
            if let (true, Some(head)) = (is_whole, &answer.head) {
                self.is_closing =
                    head.list("Connection").any(|it| it.eq_ignore_ascii_case(b"close"))
                        || closed.is_some();
                let has_id = has_id(&answer.body, &request.id);
                return Ok(Whole { status: head.status(), has_id });
            }
            let mut buffer = [0; READ_BYTES];
            let buffer = match pace {
                Pace::Slow(_) if pieces < PIECES => &mut buffer[..PIECE_BYTES],
                _ => &mut buffer[..],
            };
            match self.wire.read(buffer).await {
                Ok(0) => closed = Some(Closing::InOrder),
                Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
                Err(_) => closed = Some(Closing::Reset),
            }
            if let Pace::Slow(gate) = pace {
                pieces += 1;
                if pieces == 1 {
                    gate.pass().await;
                } else if pieces < PIECES {
                    self.handle.sleep(PIECE_PAUSE).await;
                }
            }
        }
    }
}

/// What there is of an answer.
#[derive(Default)]
struct Reading {
    head: Option<ReplyHead>,
    /// The beginning of the body.
    body: Vec<u8>,
    body_bytes: u64,
}

impl Reading {
    /// Takes what `input` has of the answer; true: it is whole.
    fn advance(
        &mut self,
        reply: &mut Reply,
        input: &mut Vec<u8>,
        closed: Option<Closing>,
    ) -> Result<bool, End> {
        let mut rest = &input[..];
        let outcome = loop {
            match reply.advance(&mut rest, closed.is_some()) {
                Ok(ReplyEvent::Head(head)) => self.head = Some(head),
                Ok(ReplyEvent::Data(data)) => {
                    self.body_bytes += data.len() as u64;
                    let room = LOOKED_AT_BYTES.saturating_sub(self.body.len()).min(data.len());
                    self.body.extend_from_slice(&data[..room]);
                }
                Ok(ReplyEvent::Read) => break Ok(false),
                // A body without an end of its own ends in order, or not at all.
                Ok(ReplyEvent::End { .. }) if closed == Some(Closing::Reset) => {
                    break Err(End::Closed { how: Closing::Reset, got: self.got(0) });
                }
                Ok(ReplyEvent::End { .. }) => break Ok(true),
                Err(error) => break Err(self.end_of(error, closed)),
            }
        };
        let taken = input.len() - rest.len();
        input.drain(..taken);
        outcome
    }

    fn end_of(&self, error: ReplyError, closed: Option<Closing>) -> End {
        let got = match error {
            ReplyError::NoReply => Got::Nothing,
            ReplyError::HeadTruncated { bytes } => Got::Head(bytes),
            ReplyError::BodyTruncated { received, announced } => {
                Got::Body { received, announced: Some(announced) }
            }
            ReplyError::ChunksTruncated { received, .. } => Got::Body { received, announced: None },
            error => return End::NotHttp(error.to_string()),
        };
        End::Closed { how: closed.unwrap_or(Closing::InOrder), got }
    }

    fn got(&self, head_bytes: usize) -> Got {
        match (&self.head, head_bytes) {
            (None, 0) => Got::Nothing,
            (None, bytes) => Got::Head(bytes),
            (Some(head), _) => {
                let announced = head.text("Content-Length").and_then(|text| text.parse().ok());
                Got::Body { received: self.body_bytes, announced }
            }
        }
    }
}

/// The machine that reads the answer to `ask`.
pub(super) fn reply_to(ask: &Ask) -> Reply {
    ask.reply(ReplyLimits::default().body_bytes_max(BODY_BYTES_MAX))
}

impl Wire {
    async fn open(handle: &Handle, address: SocketAddr, is_narrow: bool) -> io::Result<Wire> {
        if !is_narrow {
            return handle.open_connection(address).await.map(Wire::Usual);
        }
        let kind = Type::STREAM.nonblocking();
        let socket = Rc::new(Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?);
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        socket.set_tcp_mss(NARROW_SEGMENT_BYTES)?;
        match socket.connect(&address.into()) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            outcome => outcome?,
        }
        let mut connecting = Writable::new(handle, Rc::clone(&socket))?;
        connecting
            .write_with(|socket| match (socket.take_error()?, socket.peer_addr()) {
                (Some(error), _) => Err(error),
                (None, Ok(_)) => Ok(()),
                (None, Err(_)) => Err(io::ErrorKind::WouldBlock.into()),
            })
            .await?;
        drop(connecting);
        Readable::new(handle, socket).map(Wire::Narrow)
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Usual(stream) => stream.read(buffer).await,
            Wire::Narrow(socket) => {
                socket.read_with(|socket| io::Read::read(&mut &**socket, buffer)).await
            }
        }
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Usual(stream) => stream.try_read(buffer),
            Wire::Narrow(socket) => io::Read::read(&mut &**socket.get_ref(), buffer),
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Wire::Usual(stream) => stream.write_all(bytes).await,
            // Two requests always fit into the buffer of a new socket.
            Wire::Narrow(socket) => io::Write::write_all(&mut &**socket.get_ref(), bytes),
        }
    }
}
