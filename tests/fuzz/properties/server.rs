//! A whole server in a simulated world, and bytes that say what happens to it. When the world is
//! taken down, every checker folds over everything that its loop told.

use std::time::Duration;

use helloop::events::Event;
use helloop::greeting::Greeting;
use helloop::http::{Reply, ReplyError, ReplyEvent, Request, Response};
use helloop::limits::{Limits, ReplyLimits};
use helloop::server::{OwnedRequest, Reply as Answer, coroutines, streamed_body};
use helloop::world::sim::{Faults, LATENCY_MAX, Net, Peer};

use super::{BeginsWith, Property, choice, has};
use crate::sim::{House, address, get, limits};

pub(super) const PROPERTY: Property =
    Property { name: "server", hold, seed, begins_with: BeginsWith::Requests };

/// Operations of one input; more would only make it slow.
const OPERATIONS_MAX: usize = 200;
const GUESTS_MAX: usize = 6;

/// Longer than any timeout of the server.
const LONG: Duration = Duration::from_secs(100);

/// Something that happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation<'a> {
    Connect,
    Send(&'a [u8]),
    Receive,
    Finish,
    Reset,
    /// The client's end is closed, with whatever it has not read.
    Close,
    /// One turn of the loop.
    Turn,
    /// As many turns as there is something to do.
    Settle,
    Pass(Duration),
    /// The next accept fails with this errno.
    FailAccept(i32),
    /// The server ends within so long; nobody can connect any more.
    Drain(Duration),
}

/// A client, and what has come to it.
struct Guest {
    /// `None` once its end is closed.
    peer: Option<Peer>,
    sent: Vec<u8>,
    received: Vec<u8>,
}

/// The server and who knows it.
struct Scene {
    house: House,
    guests: Vec<Guest>,
    /// How long a drain that was ordered may take.
    drained: Option<Duration>,
}

/// The first byte: 1 a rough network; 2 answers that may be large; 4 coroutines; 8 small limits; 16
/// faults of every kind, each as frequent as the next seventeen bytes say; all of it is the seed.
/// Operations follow.
fn hold(data: &[u8]) {
    let (bits, mut rest) = choice(data);
    let faults = match bits & 17 {
        0 => Faults::NONE,
        1 => Faults::ROUGH,
        _ => next_faults(&mut rest),
    };
    let mut scene = Scene { house: house(bits, faults), guests: Vec::new(), drained: None };
    for _ in 0..OPERATIONS_MAX {
        let Some((number, operation)) = next_operation(&mut rest) else { break };
        scene.perform(operation, number);
    }
    // Connections stay as they are.
    scene.house.net.set_faults(Faults::NONE);
    scene.house.settle();
    scene.guests.iter_mut().for_each(Guest::check);
    match scene.drained {
        Some(timeout) => scene.check_drained(timeout),
        None => scene.check_alive(),
    }
}

/// How frequent each fault is at most, in percent. Above, hardly anything would happen any more.
const FAULTS_MAX: [u8; 17] = [90, 50, 50, 30, 50, 30, 100, 30, 50, 100, 20, 20, 20, 10, 2, 20, 20];

/// Takes them from the front of `rest`; those for which there are no bytes are absent.
fn next_faults(rest: &mut &[u8]) -> Faults {
    let mut faults = Faults::NONE;
    for ((_, percent), most) in faults.by_name().into_iter().zip(FAULTS_MAX) {
        let Some((byte, after)) = rest.split_first() else { break };
        *rest = after;
        *percent = byte % (most + 1);
    }
    faults
}

fn house(bits: u8, faults: Faults) -> House {
    let limits = if has(bits, 8) { small_limits() } else { Limits::default() };
    let seed = u64::from(bits);
    match bits & 6 {
        0 => House::new(seed, faults, limits, Greeting),
        2 => House::new(seed, faults, limits, large),
        _ => House::new(seed, faults, limits, coroutines(handle)),
    }
}

fn small_limits() -> Limits {
    limits(|limits| {
        limits.head_bytes_max = 200;
        limits.request_line_bytes_max = 80;
        limits.fields_max = 6;
        limits.body_bytes_max = 60;
        limits.chunk_overhead_bytes_max = 24;
        limits.output_bytes_max = 200;
        limits.read_bytes_per_resume_max = 64;
        limits.requests_per_resume_max = 2;
        limits.accepts_per_resume_max = 1;
        limits.requests_per_connection_max = Some(5);
        limits.connections_max = Some(2);
    })
}

/// A service with answers that fill the pipe, under `/b`.
fn large(request: &Request<'_>, response: &mut Response) {
    let repeats = if request.path() == "/b" { 20_000 } else { 1 };
    response.text("x".repeat(repeats));
    if request.path() == "/close" {
        response.close();
    }
}

/// A service that takes its time under `/n`, and answers in pieces under `/p`.
async fn handle(request: OwnedRequest) -> Answer {
    let mut response = Response::new();
    match request.path() {
        "/n" => request.handle().sleep(Duration::from_millis(500)).await,
        "/p" => return in_pieces(&request, response),
        "/panic" => panic!("as the path asked"),
        _ => {}
    }
    response.text(format_args!("{} {}\n", request.method(), request.target()));
    response.into()
}

fn in_pieces(request: &OwnedRequest, response: Response) -> Answer {
    let (mut sender, receiver) = streamed_body();
    let nap = request.handle().sleep(Duration::from_millis(500));
    let task = request.handle().spawn(async move {
        for piece in ["one, ", "", "two"] {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        nap.await;
        // A peer that does not read is found out by the write that would block.
        for _ in 0..4 {
            if sender.send(vec![b'x'; 20_000]).await.is_err() {
                return;
            }
        }
    });
    // It ends by itself, when nobody reads any more.
    drop(task.shield());
    Answer::Streamed(response, receiver)
}

/// An operation and the number of a guest from the front of `rest`. The low half of the first byte
/// is the kind, the high half the guest or an argument.
fn next_operation<'a>(rest: &mut &'a [u8]) -> Option<(usize, Operation<'a>)> {
    let mut next = || {
        let (first, after) = rest.split_first()?;
        *rest = after;
        Some(*first)
    };
    let first = next()?;
    let number = usize::from(first >> 4);
    let operation = match first & 15 {
        0..=2 => {
            let bytes = usize::from(next()?).min(rest.len());
            let (text, after) = rest.split_at(bytes);
            *rest = after;
            Operation::Send(text)
        }
        3 | 4 => Operation::Connect,
        5 => Operation::Receive,
        6 => Operation::Finish,
        7 => Operation::Reset,
        8 => Operation::Close,
        9 => Operation::Turn,
        10 | 11 => Operation::Settle,
        12 => Operation::Pass(Duration::from_millis(1 << number)),
        13 => Operation::Pass(Duration::from_secs(2 * number as u64 + 1)),
        14 => Operation::FailAccept(ERRNOS[number % ERRNOS.len()]),
        _ => Operation::Drain(Duration::from_secs(number as u64)),
    };
    Some((number, operation))
}

/// EINTR, ENOMEM, ENFILE, EMFILE, ECONNABORTED, ENOBUFS, on Linux.
const ERRNOS: [i32; 6] = [4, 12, 23, 24, 103, 105];

impl Scene {
    fn perform(&mut self, operation: Operation<'_>, number: usize) {
        let Scene { house, guests, drained } = self;
        match operation {
            Operation::Connect if drained.is_some() || guests.len() == GUESTS_MAX => {}
            Operation::Connect => guests.push(Guest::new(&house.net)),
            Operation::Turn => drop(house.turn()),
            Operation::Settle => drop(house.settle()),
            Operation::Pass(time) => drop(house.pass(time)),
            Operation::FailAccept(_) if drained.is_some() => {}
            Operation::FailAccept(errno) => house.net.fail_accept(address(), errno),
            Operation::Drain(_) if house.server.is_finished() => {}
            Operation::Drain(time) => {
                house.server.handle().drain(time);
                // A second call changes nothing.
                drained.get_or_insert(time);
            }
            _ => {
                let index = number % guests.len().max(1);
                if let Some(guest) = guests.get_mut(index) {
                    guest.perform(operation);
                }
            }
        }
    }

    /// Whatever happened, the next one is greeted, and nothing is left over at the end.
    fn check_alive(mut self) {
        self.guests.clear();
        // Errors that were ordered make the acceptor pause, each of them.
        self.house.pass(LONG);
        assert_eq!(self.house.server.open_connections(), 0, "after everybody has gone");
        let mut last = Guest::new(&self.house.net);
        last.perform(Operation::Send(get("/World").as_bytes()));
        self.house.settle();
        last.check();
        assert!(last.received.starts_with(b"HTTP/1.1 200 OK\r\n"), "nobody is greeted any more");
        last.perform(Operation::Close);
        self.house.pass(LONG);
        assert_eq!(self.house.server.open_connections(), 0, "after the last one has gone");
        assert_eq!(self.house.net.open_ends(), 0);
    }

    /// A drain comes to its end, whoever stays.
    fn check_drained(mut self, timeout: Duration) {
        // The clock may have jumped between the order and the turn that heard of it.
        let heard = self.house.told(|at, event| match event {
            Event::State { from: "serving", to: "draining", .. } => Some(at),
            _ => None,
        });
        let now = self.house.net.now();
        let deadline = heard.first().copied().unwrap_or(now) + timeout;
        self.house.pass(deadline.since(now) + Duration::from_millis(1));
        assert!(self.house.server.is_finished(), "the drain has no end");
        self.guests.iter_mut().for_each(Guest::check);
        self.guests.clear();
        // Connections that were still on the way are refused on arrival.
        self.house.pass(LATENCY_MAX);
        assert_eq!(self.house.net.open_ends(), 0);
    }
}

impl Guest {
    fn new(net: &Net) -> Guest {
        let peer = Some(net.connect(address()));
        Guest { peer, sent: Vec::new(), received: Vec::new() }
    }

    fn perform(&mut self, operation: Operation<'_>) {
        let Some(peer) = &self.peer else { return };
        match operation {
            Operation::Send(bytes) => {
                self.sent.extend_from_slice(bytes);
                peer.send(bytes);
            }
            Operation::Receive => self.received.extend(peer.receive()),
            Operation::Finish => peer.finish(),
            Operation::Reset => peer.reset(),
            Operation::Close => self.peer = None,
            _ => unreachable!("{operation:?} is nothing that a guest does"),
        }
    }

    /// What has come are good replies, of which the last may be cut.
    fn check(&mut self) {
        self.perform(Operation::Receive);
        // Which answers have no body, only who knows the requests could tell.
        if self.sent.windows(4).any(|four| four == b"HEAD") {
            return;
        }
        let mut rest = &self.received[..];
        while !rest.is_empty() && read_reply(&mut rest) {}
    }
}

/// Takes a reply from the front of `rest`; false if it is cut.
fn read_reply(rest: &mut &[u8]) -> bool {
    let mut reply = Reply::new("GET", ReplyLimits::default()).expect("a method");
    loop {
        match reply.advance(rest, true) {
            Ok(ReplyEvent::End { .. }) => return true,
            Ok(_) => {}
            Err(
                ReplyError::HeadTruncated { .. }
                | ReplyError::BodyTruncated { .. }
                | ReplyError::ChunksTruncated { .. },
            ) => return false,
            Err(error) => panic!("the server does not speak HTTP: {error}"),
        }
    }
}

/// Two guests send it, one of them after the other has connected, then time passes.
fn seed(sent: &[u8]) -> Vec<u8> {
    let mut operations = vec![0, 0x03];
    let halves = sent.split_at(sent.len() / 2);
    for (half, behind) in [(halves.0, &[0x1a, 0x03, 0x05][..]), (halves.1, &[0x1a, 0x05])] {
        for piece in half.chunks(250).take(8) {
            operations.push(0x00);
            operations.push(u8::try_from(piece.len()).expect("at most 250"));
            operations.extend_from_slice(piece);
        }
        operations.extend_from_slice(behind);
    }
    operations.extend_from_slice(&[0x06, 0x5d]);
    operations
}
