//! H. I/O.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::{BufReader, yield_now};
use helloop::event_loop::{Cause, EventLoop, Flow, Source};
use helloop::events::Event;
use helloop::greeting::Greeting;
use helloop::limits::READ_BYTES_PER_RESUME_MAX;
use helloop::server::Server;
use helloop::watch::Recorder;
use helloop::world::sim::{Net, Peer, Sim};
use helloop::world::{Readiness, Stream, os};

use crate::asyncio::support::*;

#[test]
fn differs_74_readiness_is_told_once() {
    real(|handle| async move {
        let (ours, mut theirs) = socketpair();
        theirs.write_all(b"x").unwrap();
        let calls = Rc::new(Cell::new(0));
        let counts = Rc::clone(&calls);
        let task = add_reader(&handle, ours, move |source, cx| {
            if cx.cause().contains(Cause::SPAWNED) {
                source.want(Readiness::READABLE);
            } else if cx.cause() == Cause::READABLE {
                counts.set(counts.get() + 1);
            } else {
                say!("and is not lost: {}", source.read(&mut [0; 8]).unwrap());
            }
            Flow::Wait
        });
        for _ in 0..5 {
            yield_now().await;
        }
        say!("5 iterations: {} call", calls.get());
        handle.wake(task);
        yield_now().await;
    });
    printed(["5 iterations: 1 call", "and is not lost: 1"]);
}

#[test]
fn differs_75_readable_and_writable_are_one_resume() {
    real(|handle| async move {
        let (ours, mut theirs) = socketpair();
        theirs.write_all(b"x").unwrap();
        add_reader(&handle, ours, |source, cx| {
            if cx.cause() == Cause::SPAWNED {
                source.want(Readiness::READABLE | Readiness::WRITABLE);
                return Flow::Wait;
            }
            assert_eq!(cx.cause(), Cause::READABLE | Cause::WRITABLE);
            say!("one resume, in which the task chooses the order");
            Flow::Done
        });
        handle.sleep(ms(10)).await;
    });
    printed(["one resume, in which the task chooses the order"]);
}

/// Through a file in the clothes of a socket: the types know no other way. (kqueue takes files.)
#[cfg(target_os = "linux")]
#[test]
fn fact_76_a_regular_file_cannot_be_polled() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let file = OwnedFd::from(File::open(file!()).unwrap());
    let dressed = Stream::Unix(os::UnixStream::from_std(UnixStream::from(file)));
    let outcome = handle.try_spawn_task(Cause::SPAWNED, |task| {
        let source = Source::stream(handle, dressed, task)?;
        Err(io::Error::other(format!("it was taken: {source:?}")))
    });
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::PermissionDenied, Some(1)));
    assert!(error.to_string().starts_with("Operation not permitted"));
}

#[test]
fn differs_77_what_was_not_written_stays_with_its_owner() {
    real(|handle| async move {
        let (ours, mut theirs) = socketpair();
        add_reader(&handle, ours, move |source, _| {
            source.write(b"hello").unwrap();
            let mut bytes = [0; 10];
            let n = theirs.read(&mut bytes).unwrap();
            say!("peer has it without any iteration: {}", bytes[..n].escape_ascii());
            let written = source.write(&[b'x'; 5_000_000]).unwrap();
            say!("the rest is given back: {}", py(written < 5_000_000));
            let more = source.write(b"x").unwrap_err();
            say!("{:?}", more.kind());
            Flow::Done
        });
        handle.sleep(ms(10)).await;
    });
    printed([
        "peer has it without any iteration: hello",
        "the rest is given back: True",
        "WouldBlock",
    ]);
}

/// A greeting server in a simulated world, and what happens there.
struct Served {
    event_loop: EventLoop,
    net: Net,
    recorder: Recorder,
}

const ADDRESS: &str = "127.0.0.1:80";

fn serve() -> Served {
    begin();
    let world = Sim::new(1);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let handle = event_loop.handle().clone();
    let listener = handle.listen(ADDRESS.parse().unwrap()).unwrap();
    Server::builder().attach(&handle, vec![listener], Greeting).unwrap();
    // It has begun to listen before the first connection comes.
    for _ in 0..3 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    let recorder = Recorder::new(10_000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    Served { event_loop, net, recorder }
}

impl Served {
    /// Turns so often without waiting, and gives what happened, turn by turn.
    fn turns(&mut self, count: usize) -> Vec<Vec<Event>> {
        let mut turn = || {
            self.event_loop.turn(Some(Duration::ZERO)).unwrap();
            self.recorder.take().into_iter().map(|(_, event)| event).collect()
        };
        (0..count).map(|_| turn()).collect()
    }
}

/// asyncio reads once, up to 256 KiB. Here a read takes 64 KiB at most, and so many are made before
/// the connection goes to the back of the queue that it is 256 KiB again: a piece is a resume.
#[test]
fn fact_78_a_connection_reads_so_much_and_then_goes_back_to_the_loop() {
    let mut served = serve();
    let peer = served.net.connect(ADDRESS.parse().unwrap());
    let head = "GET /World HTTP/1.1\r\nHost: x\r\nContent-Length: 699924\r\n\r\n";
    let mut message = head.as_bytes().to_vec();
    message.resize(700_000, b'x');
    peer.send(&message);
    let read = |event: &Event| match event {
        Event::Read { bytes, .. } => *bytes,
        _ => 0,
    };
    let pieces = served.turns(10).into_iter().map(|turn| turn.iter().map(read).sum());
    let pieces: Vec<usize> = pieces.collect();
    let (max, all) = (pieces.iter().max().unwrap(), pieces.iter().sum::<usize>());
    let (limit, all) = (READ_BYTES_PER_RESUME_MAX, py(all == message.len()));
    say!("sent {} max piece {max} limit {limit} all: {all}", message.len());
    printed(["sent 700000 max piece 262144 limit 262144 all: True"]);
}

/// The order is asyncio's; the turns are fewer, because no task stands between accept and made.
#[test]
fn fact_79_a_line_beyond_the_limit_is_an_error() {
    real(|handle| async move {
        let server = handle.start_server("localhost:0", |mut stream, _| async move {
            stream.write_all(&[b'x'; 1_000_000]).await.unwrap_err();
        });
        let stream = handle.open_connection(server.unwrap().local_addr()).await.unwrap();
        let mut lines = BufReader::new(stream);
        let error = lines.read_line(&mut String::new()).await.unwrap_err();
        // asyncio's limit, too.
        assert_eq!(error.to_string(), "a line has more than 65536 bytes");
        assert_eq!(lines.read(&mut [0; 100]).await.unwrap(), 100);
    });
}

#[test]
fn differs_80_a_connection_reads_one_turn_after_it_was_accepted() {
    let mut served = serve();
    let connect = |_| served.net.connect(ADDRESS.parse().unwrap());
    let peers: Vec<Peer> = (0..3).map(connect).collect();
    peers.iter().for_each(|peer| peer.send(b"x"));
    let (mut made, mut data) = (0, 0);
    for (turn, events) in served.turns(5).iter().enumerate() {
        for event in events {
            let (what, count) = match event {
                Event::Accepted { .. } => ("made", &mut made),
                Event::Read { .. } => ("data", &mut data),
                _ => continue,
            };
            *count += 1;
            say!("('{what}', {count}, {})", turn + 1);
        }
    }
    printed([
        "('made', 1, 1)",
        "('made', 2, 1)",
        "('made', 3, 1)",
        "('data', 1, 2)",
        "('data', 2, 2)",
        "('data', 3, 2)",
    ]);
}

#[test]
fn differs_81_the_end_of_the_input_closes_nothing() {
    real(|handle| async move {
        let (ours, mut theirs) = socketpair();
        theirs.write_all(b"request").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        add_reader(&handle, ours, |source, cx| {
            if cx.cause().contains(Cause::TIMER) {
                say!("late write");
                source.write(b"late;").unwrap();
                return Flow::Done;
            }
            assert_eq!(source.read(&mut cx.scratch.input).unwrap(), 7);
            source.write(b"at once;").unwrap();
            cx.handle().at(cx.now() + ms(20), cx.task());
            assert_eq!(source.read(&mut cx.scratch.input).unwrap(), 0);
            say!("eof_received");
            Flow::Wait
        });
        handle.sleep(ms(50)).await;
        let mut received = String::new();
        theirs.read_to_string(&mut received).unwrap();
        say!("peer received {received}");
    });
    printed(["eof_received", "late write", "peer received at once;late;"]);
}
