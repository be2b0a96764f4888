//! A tiny server that restarts without a loss, and the mistakes that can be planted in it, one at a time.
//!
//! It is a thread for each connection, in a process of its own: this test binary, told by the variable `PLANTED` which
//! mistake to make. On SIGHUP it stops accepting, answers one more request on each connection with `Connection:
//! close`, waits until the clients have closed, and calls exec(2) with the listener as its standard input: new
//! connections wait in the accept queue meanwhile. Nothing in that depends on time.

use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use socket2::SockRef;

/// Bytes of an answer for slow readers: more than the kernels take for them.
const BIG_BYTES: usize = 400_000;

/// Answers after which a server that dies has had enough.
const ANSWERS_OF_A_DYING_SERVER: usize = 20;

/// How long a server with a gap listens nowhere. Clients ask every few milliseconds.
const GAP: Duration = Duration::from_millis(500);

const GLANCE: Duration = Duration::from_millis(1);

/// The mistakes. Unless it says otherwise, they are made from the signal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    None,
    ClosesTheListenerFirst,
    DropsTheAcceptQueue,
    /// When a request is on its way already.
    ClosesIdleConnectionsAtOnce,
    ResetsWithUnreadInput,
    CutsBodies,
    AnswersTwice,
    /// It is processed.
    SwallowsPosts,
    IgnoresTheRest,
    ClosesUnannounced,
    SaysCloseAndGoesOn,
    ExitsBeforeFlushing,
    AnswersOthers,
    AnswersAnError,
    AnswersNonsense,
    /// At any time.
    ProcessesTwice,
    IgnoresTheSignal,
    NeverComesBack,
    ComesBackElsewhere,
    /// After the restart.
    Dies,
}

const ALL: [Mistake; 20] = [
    Mistake::None,
    Mistake::ClosesTheListenerFirst,
    Mistake::DropsTheAcceptQueue,
    Mistake::ClosesIdleConnectionsAtOnce,
    Mistake::ResetsWithUnreadInput,
    Mistake::CutsBodies,
    Mistake::AnswersTwice,
    Mistake::SwallowsPosts,
    Mistake::IgnoresTheRest,
    Mistake::ClosesUnannounced,
    Mistake::SaysCloseAndGoesOn,
    Mistake::ExitsBeforeFlushing,
    Mistake::AnswersOthers,
    Mistake::AnswersAnError,
    Mistake::AnswersNonsense,
    Mistake::ProcessesTwice,
    Mistake::IgnoresTheSignal,
    Mistake::NeverComesBack,
    Mistake::ComesBackElsewhere,
    Mistake::Dies,
];

/// The server with a mistake, as a command line with `{port}` in it.
pub(super) fn typed(mistake: Mistake) -> Vec<String> {
    let program = env::current_exe().unwrap();
    let mut typed: Vec<String> =
        ["env".into(), format!("PLANTED={mistake:?}"), "PLANTED_PORT={port}".into()].into();
    typed.push(program.to_str().unwrap().to_owned());
    typed.extend(ARGUMENTS.map(str::to_owned));
    typed
}

/// What makes this binary the server.
const ARGUMENTS: [&str; 4] = ["--exact", "drill::planted::serve", "--ignored", "--nocapture"];

#[test]
#[ignore = "it is a server, which the tests of this folder start"]
fn serve() {
    let Ok(name) = env::var("PLANTED") else { return };
    let mistake = ALL.into_iter().find(|mistake| format!("{mistake:?}") == name).unwrap();
    let is_successor = env::var_os("PLANTED_SUCCESSOR").is_some();
    let listener = if is_successor && mistake != Mistake::ClosesTheListenerFirst {
        TcpListener::from(io::stdin().as_fd().try_clone_to_owned().unwrap())
    } else {
        let port: u16 = env::var("PLANTED_PORT").unwrap().parse().unwrap();
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    };
    let server = Arc::new(Server { mistake, is_successor, ..Server::default() });
    let mut signals = Signals::new([SIGHUP]).unwrap();
    let accepting = {
        let server = Arc::clone(&server);
        thread::spawn(move || server.accept(listener))
    };
    loop {
        signals.forever().next();
        if mistake != Mistake::IgnoresTheSignal {
            break;
        }
    }
    server.is_ending.store(true, Ordering::SeqCst);
    server.end(accepting.join().unwrap());
}

#[derive(Debug)]
struct Server {
    mistake: Mistake,
    is_successor: bool,
    is_ending: AtomicBool,
    connections: AtomicUsize,
    /// Those of them that wait for a slow reader.
    flushing: AtomicUsize,
    answers: AtomicUsize,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            mistake: Mistake::None,
            is_successor: false,
            is_ending: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            flushing: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
        }
    }
}

struct Request {
    method: String,
    /// What stands after the last `/` of its path.
    id: String,
    is_big: bool,
}

impl Server {
    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == mistake && self.is_ending()
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst)
    }

    /// Until the signal. Returns the listener.
    fn accept(self: &Arc<Self>, listener: TcpListener) -> TcpListener {
        listener.set_nonblocking(true).unwrap();
        while !self.is_ending() {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(GLANCE);
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            self.connections.fetch_add(1, Ordering::SeqCst);
            let server = Arc::clone(self);
            thread::spawn(move || {
                // A client that is gone is no news.
                let _ = server.converse(stream);
                server.connections.fetch_sub(1, Ordering::SeqCst);
            });
        }
        listener
    }

    /// Waits for the connections, and becomes its own successor.
    fn end(&self, listener: TcpListener) {
        if self.mistake == Mistake::NeverComesBack {
            exit(0);
        }
        let mut listener = Some(listener);
        if self.mistake == Mistake::ClosesTheListenerFirst {
            listener = None;
            thread::sleep(GAP);
        }
        if self.mistake == Mistake::DropsTheAcceptQueue {
            let old = listener.take().unwrap();
            // A client is in the queue.
            poll(&mut [PollFd::new(&old, PollFlags::IN)], None).unwrap();
            let address = old.local_addr().unwrap();
            drop(old);
            listener = TcpListener::bind(address).ok();
        }
        let is_waited_for = || {
            let flushing = match self.mistake {
                Mistake::ExitsBeforeFlushing => self.flushing.load(Ordering::SeqCst),
                _ => 0,
            };
            self.connections.load(Ordering::SeqCst) > flushing
        };
        while is_waited_for() {
            thread::sleep(GLANCE);
        }
        let mut successor = Command::new(env::current_exe().unwrap());
        successor.args(ARGUMENTS).env("PLANTED_SUCCESSOR", "1");
        if self.mistake == Mistake::ComesBackElsewhere {
            listener = TcpListener::bind(("127.0.0.1", 0)).ok();
        }
        if let Some(listener) = listener {
            successor.stdin(Stdio::from(OwnedFd::from(listener)));
        }
        panic!("{}", successor.exec());
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let (mut input, mut answers) = (Vec::new(), 0);
        loop {
            let is_idle = answers > 0 && input.is_empty();
            if is_idle
                && stream.peek(&mut [0])? > 0
                && self.is(Mistake::ClosesIdleConnectionsAtOnce)
            {
                // What has come is not read: the close is a reset.
                return Ok(());
            }
            let Some(request) = self.read(&mut stream, &mut input)? else { return Ok(()) };
            self.print(&request);
            let is_last = self.answer(&mut stream, &request, !input.is_empty())?;
            answers += 1;
            let all = self.answers.fetch_add(1, Ordering::SeqCst);
            if self.mistake == Mistake::Dies && self.is_successor && all > ANSWERS_OF_A_DYING_SERVER
            {
                exit(9);
            }
            if self.is(Mistake::ResetsWithUnreadInput) && request.is_big {
                return Ok(());
            }
            if is_last {
                return drain(&mut stream);
            }
        }
    }

    /// Its access log.
    fn print(&self, request: &Request) {
        let Request { method, id, .. } = request;
        let is_twice = self.mistake == Mistake::ProcessesTwice && method == "POST";
        for _ in 0..1 + usize::from(is_twice) {
            println!("{method} /{id}");
        }
    }

    /// True: it was the last one.
    fn answer(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        has_more: bool,
    ) -> io::Result<bool> {
        let is_ending = self.is_ending();
        let id = if self.is(Mistake::AnswersOthers) { "somebody" } else { &request.id };
        let mut body = format!("Hello, {id}!\n");
        if request.is_big {
            body.extend(std::iter::repeat_n('x', BIG_BYTES));
        }
        let status =
            if self.is(Mistake::AnswersAnError) { "503 Service Unavailable" } else { "200 OK" };
        let is_silent = self.is(Mistake::ClosesUnannounced)
            || self.is(Mistake::AnswersTwice)
            || (self.is(Mistake::IgnoresTheRest) && has_more);
        let close = if is_ending && !is_silent { "Connection: close\r\n" } else { "" };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{close}\r\n");
        match self.mistake {
            Mistake::SwallowsPosts if is_ending && request.method == "POST" => {
                return Ok(true);
            }
            Mistake::AnswersNonsense if is_ending => {
                stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
                return Ok(true);
            }
            Mistake::CutsBodies if is_ending => {
                stream.write_all(format!("{head}{}", &body[..length / 2]).as_bytes())?;
                return Ok(true);
            }
            Mistake::AnswersTwice if is_ending => {
                stream.write_all(format!("{head}{body}{head}{body}").as_bytes())?;
                return Ok(false);
            }
            // The answer and the end are one segment.
            Mistake::ClosesUnannounced if is_ending => {
                SockRef::from(&*stream).set_tcp_cork(true)?;
            }
            _ => {}
        }
        self.flushing.fetch_add(usize::from(request.is_big), Ordering::SeqCst);
        let written = stream.write_all(format!("{head}{body}").as_bytes());
        self.flushing.fetch_sub(usize::from(request.is_big), Ordering::SeqCst);
        written?;
        if self.is(Mistake::IgnoresTheRest) && has_more {
            io::copy(stream, &mut io::sink())?;
        }
        Ok(is_ending && self.mistake != Mistake::SaysCloseAndGoesOn)
    }

    fn read(&self, stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Request>> {
        // One that reads no more than it needs leaves the next request in the kernel.
        let at_once = if self.mistake == Mistake::ResetsWithUnreadInput { 1 } else { 8192 };
        let mut buffer = vec![0; at_once];
        loop {
            if let Some((request, bytes)) = parse(input) {
                input.drain(..bytes);
                return Ok(Some(request));
            }
            match stream.read(&mut buffer)? {
                0 => return Ok(None),
                bytes => input.extend_from_slice(&buffer[..bytes]),
            }
        }
    }
}

/// A request that is whole, with its bytes.
fn parse(input: &[u8]) -> Option<(Request, usize)> {
    let text = str::from_utf8(input).unwrap();
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let bytes = head.len() + 4 + length.map_or(0, |length| length.parse().unwrap());
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?);
    let id = path.rsplit('/').next()?.to_owned();
    let is_big = path.starts_with("/big/");
    (input.len() >= bytes).then_some((Request { method, id, is_big }, bytes))
}

/// Closes in order: says that nothing more comes, and reads until the client has closed, too.
fn drain(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    io::copy(stream, &mut io::sink()).map(drop)
}
