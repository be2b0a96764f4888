//! A connection of the generator: a task.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use helloop::TaskId;
use helloop::event_loop::{Cause, Context, Flow, Handle, Source, Task};
use helloop::world::os::TcpStream;
use helloop::world::{Readiness, Stream, Time};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::run::Run;
use crate::script::Checked;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Asks `depth` requests at once, as soon as all before are answered.
    Closed { depth: usize },
    /// Asks once, waits until the server closes, and connects again.
    PerRequest,
    /// Asks what is due.
    Open,
    /// Asks once and then rests.
    Idle,
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    line: usize,
    began: Time,
}

pub(super) struct Client {
    run: Rc<Run>,
    role: Role,
    source: Source<Stream>,
    state: State,
    /// First asked, first answered.
    asked: VecDeque<Asked>,
    /// The beginning of an answer whose end has not come.
    held: Vec<u8>,
    /// It has had an answer.
    greeted: bool,
}

#[derive(Debug)]
enum State {
    /// Since `began`.
    Connecting {
        began: Time,
    },
    Connected,
    /// So many bytes did not fit into the socket.
    Sending(Vec<u8>),
}

/// Why a client stops.
enum Stop {
    /// There is nothing to do until something comes.
    Wait,
    /// There will be nothing to do any more.
    Done,
    /// The run is worthless.
    Failed(String),
}

type Step = Result<(), Stop>;

impl Client {
    pub(super) fn spawn(handle: &Handle, run: &Rc<Run>, role: Role) -> io::Result<TaskId> {
        handle.try_spawn_task(Cause::SPAWNED, |task| {
            let client = Client {
                run: Rc::clone(run),
                role,
                source: match role {
                    Role::Idle => connect_from(next_address(run), handle, run, task)?,
                    _ => connect(handle, run, task)?,
                },
                state: State::Connecting { began: handle.clock() },
                asked: VecDeque::new(),
                held: Vec::new(),
                greeted: false,
            };
            Ok(Box::new(client) as Box<dyn Task>)
        })
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        match &mut self.state {
            State::Connecting { began } => {
                let began = *began;
                self.finish_connecting()?;
                self.state = State::Connected;
                self.ask(began, cx)
            }
            State::Sending(unsent) => {
                let bytes = std::mem::take(unsent);
                self.state = State::Connected;
                self.send(&bytes)
            }
            State::Connected if self.role == Role::Open && self.asked.is_empty() => {
                self.take_due(cx)
            }
            State::Connected => self.receive(cx),
        }
    }

    fn finish_connecting(&mut self) -> Step {
        if !self.source.readiness().is_writable() {
            self.source.want(Readiness::WRITABLE);
            return Err(Stop::Wait);
        }
        match self.source.socket().take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(Stop::Failed(format!("connect: {error}"))),
        }
    }

    /// Sends what the role asks next, with `began` as its beginning.
    fn ask(&mut self, began: Time, cx: &mut Context<'_>) -> Step {
        let count = match self.role {
            Role::Closed { depth } => depth,
            Role::PerRequest | Role::Idle => 1,
            Role::Open => return self.take_due(cx),
        };
        let mut bytes = std::mem::take(&mut cx.scratch.output);
        bytes.clear();
        for line in std::iter::from_fn(|| self.run.next_line()).take(count) {
            bytes.extend_from_slice(self.run.script.request(line));
            self.asked.push_back(Asked { line, began });
        }
        let sent = if bytes.is_empty() { Err(Stop::Done) } else { self.send(&bytes) };
        cx.scratch.output = bytes;
        sent
    }

    /// Asks what has been due for longest, or becomes free.
    fn take_due(&mut self, cx: &Context<'_>) -> Step {
        let Some(began) = self.run.due.borrow_mut().pop_front() else {
            let mut free = self.run.free.borrow_mut();
            if !free.contains(&cx.task()) {
                free.push(cx.task());
            }
            return Err(Stop::Wait);
        };
        let Some(line) = self.run.next_line() else { return Err(Stop::Done) };
        self.asked.push_back(Asked { line, began });
        let run = Rc::clone(&self.run);
        self.send(run.script.request(line))
    }

    fn send(&mut self, bytes: &[u8]) -> Step {
        let sent = match self.source.write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(Stop::Failed(format!("write: {error}"))),
        };
        if sent < bytes.len() {
            self.state = State::Sending(bytes[sent..].to_vec());
            self.source.want(Readiness::WRITABLE);
            return Err(Stop::Wait);
        }
        Ok(())
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Step {
        let input = match self.source.read(&mut cx.scratch.input) {
            Ok(0) => return self.reconnect(cx),
            Ok(bytes) => &cx.scratch.input[..bytes],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.source.want(Readiness::READABLE);
                return Err(Stop::Wait);
            }
            Err(error) => return Err(Stop::Failed(format!("read: {error}"))),
        };
        let now = cx.handle().clock();
        if self.held.is_empty() {
            let used = self.check(input, now)?;
            self.held.extend_from_slice(&input[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(input);
            let used = self.check(&held, now)?;
            drop(held.drain(..used));
            self.held = held;
        }
        if !self.asked.is_empty() {
            return Ok(());
        }
        if !self.greeted {
            self.greeted = true;
            self.run.greeted.set(self.run.greeted.get() + 1);
        }
        match self.role {
            Role::Closed { .. } => self.ask(now, cx),
            Role::Open => self.take_due(cx),
            Role::PerRequest => Ok(()),
            Role::Idle => {
                self.run.resting.set(self.run.resting.get() + 1);
                Ok(())
            }
        }
    }

    /// Compares answers with what was asked. Returns how many bytes they were.
    fn check(&mut self, input: &[u8], now: Time) -> Result<usize, Stop> {
        let mut used = 0;
        while used < input.len() {
            let Some(asked) = self.asked.front() else {
                return Err(Stop::Failed("the server answers what nobody asked".into()));
            };
            match self.run.script.check(asked.line, &input[used..]) {
                Checked::Right(bytes) => used += bytes,
                Checked::Partial => break,
                Checked::Wrong(reason) => {
                    return Err(Stop::Failed(format!("a wrong answer, {reason}")));
                }
            }
            self.run.answered(asked.began, now, self.role == Role::Open);
            self.asked.pop_front();
        }
        Ok(used)
    }

    /// The server has closed.
    fn reconnect(&mut self, cx: &Context<'_>) -> Step {
        if self.role != Role::PerRequest || !self.asked.is_empty() || !self.held.is_empty() {
            return Err(Stop::Failed("the server closed a connection too early".into()));
        }
        let began = cx.handle().clock();
        self.source = connect(cx.handle(), &self.run, cx.task())
            .map_err(|error| Stop::Failed(format!("connect: {error}")))?;
        self.state = State::Connecting { began };
        Ok(())
    }
}

fn connect(handle: &Handle, run: &Run, task: TaskId) -> io::Result<Source<Stream>> {
    connecting(handle, handle.connect(run.address)?, task)
}

/// Ready for nothing until something is reported: to write to it now would fail, and not block.
fn connecting(handle: &Handle, stream: Stream, task: TaskId) -> io::Result<Source<Stream>> {
    let source = Source::stream(handle, stream, task)?;
    source.forget_readiness();
    Ok(source)
}

/// Idle connections that come from one address: there are fewer ports than connections.
const IDLE_PER_ADDRESS: usize = 20_000;

/// Where the next idle connection comes from.
fn next_address(run: &Run) -> Ipv4Addr {
    let opened = run.opened.get();
    run.opened.set(opened + 1);
    let last = u8::try_from(2 + opened / IDLE_PER_ADDRESS).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 0, last)
}

fn connect_from(
    local: Ipv4Addr,
    handle: &Handle,
    run: &Run,
    task: TaskId,
) -> io::Result<Source<Stream>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    match socket.connect(&run.address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
            return Err(error);
        }
        _ => {}
    }
    let stream = Stream::Tcp(TcpStream::from_std(socket.into()));
    // Thousands of ports would be in TIME_WAIT when the next run needs them.
    stream.abort_on_close(true);
    connecting(handle, stream, task)
}

impl Task for Client {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        loop {
            match self.step(cx) {
                Ok(()) => {}
                Err(Stop::Wait) => return Flow::Wait,
                Err(Stop::Done) => return Flow::Done,
                Err(Stop::Failed(reason)) => {
                    self.run.fail(reason);
                    return Flow::Done;
                }
            }
        }
    }

    fn kind(&self) -> &'static str {
        "client"
    }
}
