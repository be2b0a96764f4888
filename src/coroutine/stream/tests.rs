use super::*;
use crate::coroutine::{Promise, yield_now};
use crate::event_loop::Cause;
use crate::event_loop::EventLoop;
use crate::events::Event;
use crate::limits::OPERATIONS_PER_RESUME_MAX;
use crate::watch::Status;
use crate::watch::{Narrator, Recorder};
use crate::world::Time;
use crate::world::sim::{Faults, Net, Peer, Sim};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

pub(in crate::coroutine) fn address() -> SocketAddr {
    "127.0.0.1:7".parse().unwrap()
}

/// Runs a coroutine in a simulated world, and notes everything that its loop tells.
pub(in crate::coroutine) fn noted<F: Future + 'static>(
    seed: u64,
    faults: Faults,
    main: impl FnOnce(Handle, Net) -> F,
) -> (F::Output, Vec<(Time, Event)>) {
    let world = Sim::with_faults(seed, faults);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let recorder = Recorder::new(10_000_000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    let main = main(event_loop.handle().clone(), net);
    let output = event_loop.run_until_complete(main).unwrap();
    (output, recorder.events())
}

pub(in crate::coroutine) fn simulated<F: Future + 'static>(
    main: impl FnOnce(Handle, Net) -> F,
) -> F::Output {
    noted(1, Faults::NONE, main).0
}

/// A connection that the outside opens: the program's end, and the other one.
pub(in crate::coroutine) async fn connected(handle: &Handle, net: &Net) -> (Stream, Peer) {
    let mut listener = crate::coroutine::Listener::bind(handle, address()).unwrap();
    let peer = net.connect(address());
    (listener.accept().await.0, peer)
}

/// The most that one resume has read and written: bytes, and operations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Most {
    read_bytes: usize,
    reads: usize,
    written_bytes: usize,
    writes: usize,
}

impl Most {
    fn of(events: &[(Time, Event)]) -> Most {
        let (mut most, mut now) = (Most::default(), Most::default());
        for (_, event) in events {
            match event {
                Event::Resumed { .. } => now = Most::default(),
                Event::Read { bytes, .. } => {
                    now.read_bytes += bytes;
                    now.reads += 1;
                }
                Event::Wrote { bytes, .. } => {
                    now.written_bytes += bytes;
                    now.writes += 1;
                }
                _ => {}
            }
            most.read_bytes = most.read_bytes.max(now.read_bytes);
            most.reads = most.reads.max(now.reads);
            most.written_bytes = most.written_bytes.max(now.written_bytes);
            most.writes = most.writes.max(now.writes);
        }
        most
    }
}

/// What became of a firehose.
struct Flood {
    turns: u64,
    /// Of a ticker that wants to be resumed so often, the longest time that it had to wait.
    longest: Duration,
    ticks: usize,
    events: Vec<(Time, Event)>,
}

/// Longer than a few turns, each of which takes a microsecond here.
const TICK: Duration = Duration::from_micros(10);

/// The echo server of the documentation, and a peer that sends so many bytes at once and takes as many.
fn flooded_echo(bytes: usize) -> Flood {
    let (mut flood, events) = noted(1, Faults::NONE, |handle, net| async move {
        let echo = handle.start_server(address(), |mut stream, _| async move {
            let mut buffer = [0; 1024];
            while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..bytes]).await.is_err() {
                    break;
                }
            }
        });
        let _echo = echo.unwrap();
        let ticks = Rc::<RefCell<Vec<Time>>>::default();
        let (ticking, notes) = (handle.clone(), Rc::clone(&ticks));
        let ticker = handle.spawn(async move {
            loop {
                notes.borrow_mut().push(ticking.now());
                ticking.sleep(TICK).await;
            }
        });
        let peer = net.connect(address());
        peer.widen(usize::MAX);
        peer.send(&vec![b'x'; bytes]);
        let (begin, mut echoed) = (handle.turns(), 0);
        while echoed < bytes {
            yield_now().await;
            echoed += peer.receive().len();
        }
        let turns = handle.turns() - begin;
        ticker.cancel();
        let ticks = ticks.take();
        let gaps = ticks.windows(2).map(|pair| pair[1].since(pair[0]));
        let longest = gaps.max().unwrap_or(Duration::MAX);
        Flood { turns, longest, ticks: ticks.len(), events: Vec::new() }
    });
    flood.events = events;
    flood
}

#[test]
fn a_firehose_leaves_their_turns_to_others() {
    const BYTES: usize = 4 << 20;
    let [small, large] = [BYTES, 8 * BYTES].map(flooded_echo);
    for (flood, bytes) in [(&small, BYTES), (&large, 8 * BYTES)] {
        let turns_min = (bytes / READ_BYTES_PER_RESUME_MAX) as u64;
        let turns = turns_min..turns_min + 8;
        assert!(turns.contains(&flood.turns), "{} turns for {bytes} bytes", flood.turns);
        let expected = Most {
            read_bytes: READ_BYTES_PER_RESUME_MAX,
            reads: OPERATIONS_PER_RESUME_MAX,
            written_bytes: WRITE_BYTES_PER_RESUME_MAX,
            writes: OPERATIONS_PER_RESUME_MAX,
        };
        assert_eq!(Most::of(&flood.events), expected);
    }
    assert!(large.turns <= 12 * small.turns, "{} and {}", small.turns, large.turns);
    // A sleep takes its timer's turn and one more.
    assert!(large.longest <= TICK + Duration::from_micros(3), "{:?}", large.longest);
    assert!(large.ticks >= 8, "{}", large.ticks);
}

/// The narrator, traces and snapshots say that a task was made to yield.
#[test]
fn whoever_watches_is_told_of_a_task_that_had_its_share() {
    let spent = flooded_echo(1 << 20).events;
    let is_queued = |event: &Event| matches!(event, Event::Queued { cause, .. } if *cause == Cause::BUDGET_SPENT);
    assert_eq!(spent.iter().filter(|(_, event)| is_queued(event)).count(), 4);
    let mut story = Narrator::new(Vec::new());
    spent.iter().for_each(|(at, event)| crate::events::Observer::event(&mut story, *at, event));
    let told = spent.iter().map(|(_, event)| format!("{event}\n")).collect::<String>();
    assert!(told.contains("(coroutine) is resumed: budget spent\n"), "{told}");

    simulated(|handle, net| async move {
        let (mut stream, peer) = connected(&handle, &net).await;
        peer.send(&vec![0; 2 * READ_BYTES_PER_RESUME_MAX]);
        let reader = handle.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(1..) = stream.read(&mut buffer).await {}
        });
        yield_now().await;
        yield_now().await;
        let snapshot = handle.snapshot();
        let view = snapshot.tasks.iter().find(|task| task.id == reader.id()).unwrap();
        assert_eq!(view.status, Status::Ready(Cause::BUDGET_SPENT));
        assert!(snapshot.to_string().contains("ready: budget spent\n"), "{snapshot}");
        reader.cancel();
    });
}

/// However few bytes an operation moves.
#[test]
fn small_reads_and_writes_are_counted_as_well() {
    let (turns, events) = noted(1, Faults::NONE, |handle, net| async move {
        let (mut stream, peer) = connected(&handle, &net).await;
        peer.send(&[b'x'; 4 * OPERATIONS_PER_RESUME_MAX]);
        let begin = handle.turns();
        let mut byte = [0];
        for _ in 0..4 * OPERATIONS_PER_RESUME_MAX {
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
            stream.write_all(&byte).await.unwrap();
        }
        handle.turns() - begin
    });
    assert_eq!(turns, 3, "one after each full share but the last");
    let Most { reads, writes, .. } = Most::of(&events);
    assert_eq!((reads, writes), (OPERATIONS_PER_RESUME_MAX, OPERATIONS_PER_RESUME_MAX));
}

#[test]
fn a_peer_that_takes_everything_is_not_given_everything_at_once() {
    let (turns, events) = noted(1, Faults::NONE, |handle, net| async move {
        let (mut stream, peer) = connected(&handle, &net).await;
        peer.widen(usize::MAX);
        let begin = handle.turns();
        stream.write_all(&vec![b'x'; 10 * WRITE_BYTES_PER_RESUME_MAX]).await.unwrap();
        assert_eq!(peer.receive().len(), 10 * WRITE_BYTES_PER_RESUME_MAX);
        handle.turns() - begin
    });
    assert_eq!(turns, 9);
    assert_eq!(Most::of(&events).written_bytes, WRITE_BYTES_PER_RESUME_MAX);
}

/// Polls both futures whenever it is polled, always in this order.
async fn both(
    mut one: impl Future<Output = ()> + Unpin,
    mut other: impl Future<Output = ()> + Unpin,
) {
    let mut done = (false, false);
    poll_fn(|cx| {
        done.0 = done.0 || std::pin::Pin::new(&mut one).poll(cx).is_ready();
        done.1 = done.1 || std::pin::Pin::new(&mut other).poll(cx).is_ready();
        if done == (true, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A task that reads two firehoses hears both of them: each has a share of its own.
#[test]
fn two_firehoses_of_one_task_are_read_alike() {
    simulated(|handle, net| async move {
        let mut listener = crate::coroutine::Listener::bind(&handle, address()).unwrap();
        let peers = [net.connect(address()), net.connect(address())];
        let streams = [listener.accept().await.0, listener.accept().await.0];
        peers.iter().for_each(|peer| peer.send(&vec![0; 8 * READ_BYTES_PER_RESUME_MAX]));
        let read = Rc::new([Cell::new(0), Cell::new(0)]);
        let counts = Rc::clone(&read);
        let task = handle.spawn(async move {
            let [one, other] = [0, 1].map(|at| {
                let counts = Rc::clone(&counts);
                move |mut stream: Stream| {
                    Box::pin(async move {
                        let mut buffer = vec![0; 10_000];
                        while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                            counts[at].set(counts[at].get() + bytes);
                        }
                    })
                }
            });
            let [first, second] = streams;
            both(one(first), other(second)).await;
        });
        for turn in 1..=8 {
            yield_now().await;
            let expected = turn * READ_BYTES_PER_RESUME_MAX;
            assert_eq!([read[0].get(), read[1].get()], [expected, expected]);
        }
        task.cancel();
    });
}

/// The code that turns the loop has no turn to give up.
#[test]
fn outside_of_a_task_nobody_is_made_to_yield() {
    let world = Sim::new(1);
    let net = world.net();
    let mut event_loop = EventLoop::with_world(Box::new(world));
    let handle = event_loop.handle().clone();
    let (mut stream, peer) =
        event_loop.run_until_complete(async move { connected(&handle, &net).await }).unwrap();
    peer.send(&vec![0; 3 * READ_BYTES_PER_RESUME_MAX]);
    let (mut buffer, mut read) = (vec![0; 1000], 0);
    while let Ok(bytes) = stream.try_read(&mut buffer) {
        read += bytes;
    }
    assert_eq!(read, 3 * READ_BYTES_PER_RESUME_MAX);
}

type Shared = Rc<RefCell<Stream>>;

fn poll_shared(stream: &Shared) -> impl Future<Output = io::Result<usize>> + use<> {
    let stream = Rc::clone(stream);
    let mut buffer = [0; 10];
    poll_fn(move |cx| stream.borrow_mut().poll_read(cx, &mut buffer))
}

/// What no type forbids: the stream in a cell, and two tasks that poll it.
#[test]
fn a_second_task_is_refused_and_the_first_is_not_forgotten() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let stream = Rc::new(RefCell::new(stream));
        let reader = handle.spawn(poll_shared(&stream));
        yield_now().await;
        let writes = Rc::clone(&stream);
        let writer = handle.spawn(async move {
            loop {
                poll_fn(|cx| writes.borrow_mut().poll_write(cx, &[0; 60_000])).await?;
            }
            #[allow(unreachable_code, reason = "it says what the error is")]
            Ok::<(), io::Error>(())
        });
        let reader_id = reader.id();
        let refused = writer.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        let words = refused.to_string();
        assert!(words.starts_with(&format!("task {reader_id} waits for it already")), "{words}");
        assert!(words.contains("Stream::split"), "{words}");
        // A second reader, too.
        let refused = handle.spawn(poll_shared(&stream)).await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        // Several at once.
        let [one, other] = [(); 2].map(|()| handle.spawn(poll_shared(&stream)));
        for task in [one, other] {
            let refused = task.await.unwrap().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        }
        assert!(!reader.is_finished());
        peer.send(b"word");
        assert_eq!(reader.await.unwrap().unwrap(), 4);
        // And now it is free.
        peer.send(b"more");
        assert_eq!(handle.spawn(poll_shared(&stream)).await.unwrap().unwrap(), 4);
    });
}

#[test]
fn two_tasks_do_not_accept_from_one_listener() {
    simulated(|handle, net| async move {
        let listener =
            Rc::new(RefCell::new(crate::coroutine::Listener::bind(&handle, address()).unwrap()));
        let [first, second] = [(); 2].map(|()| {
            let listener = Rc::clone(&listener);
            handle.spawn(poll_fn(move |cx| listener.borrow_mut().poll_accept(cx)))
        });
        let panicked = second.await.unwrap_err().to_string();
        assert!(panicked.contains("two tasks accept from one listener: task"), "{panicked}");
        let peer = net.connect(address());
        assert_eq!(first.await.unwrap().1, peer.address());
    });
}

/// A future that is dropped says nothing to a stream in a cell; the next task that waits finds out.
#[test]
fn whoever_gave_up_is_not_in_the_way() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let stream = Rc::new(RefCell::new(stream));
        let (first, ends) = (Rc::clone(&stream), handle.clone());
        let over = handle.promise();
        let waits: Promise<()> = over.clone();
        let gives_up = handle.spawn(async move {
            let limit = Duration::from_millis(1);
            ends.timeout(limit, poll_shared(&first)).await.unwrap_err();
            let _ = waits.wait().await;
        });
        handle.sleep(Duration::from_millis(2)).await;
        // One of the two takes the place, and the other one is refused.
        let tasks = [(); 2].map(|()| handle.spawn(poll_shared(&stream)));
        for _ in 0..20 {
            yield_now().await;
        }
        let [waits, refused] = tasks.map(|mut task| (task.take(), task)).map(|(ended, task)| {
            let kind = ended.map(|outcome| outcome.unwrap().unwrap_err().kind());
            (kind, task)
        });
        let (waiting, refused) =
            if waits.0.is_none() { (waits.1, refused.0) } else { (refused.1, waits.0) };
        assert_eq!(refused, Some(io::ErrorKind::ResourceBusy));
        peer.send(b"word");
        assert_eq!(waiting.await.unwrap().unwrap(), 4);
        over.set(()).unwrap();
        gives_up.await.unwrap();
    });
}

/// The methods that await say so when they are dropped, so that the next task need not ask.
#[test]
fn an_await_that_is_dropped_leaves_the_stream_free_at_once() {
    let (id, events) = noted(1, Faults::NONE, |handle, net| async move {
        let (mut stream, peer) = connected(&handle, &net).await;
        let given_up = handle.timeout(Duration::from_millis(1), stream.read(&mut [0; 9])).await;
        assert!(given_up.is_err());
        let second = handle.spawn(async move { stream.read(&mut [0; 9]).await });
        let id = second.id();
        handle.sleep(Duration::from_millis(1)).await;
        peer.send(b"word");
        assert_eq!(second.await.unwrap().unwrap(), 4);
        id
    });
    // Spawned, and readable: not woken to ask again.
    let second = events.iter().filter_map(|(_, event)| match event {
        Event::Resumed { task, cause, .. } if *task == id => Some(*cause),
        _ => None,
    });
    assert_eq!(second.collect::<Vec<_>>(), [Cause::SPAWNED, Cause::READABLE]);
}

/// What one task wants in one resume adds up.
#[test]
fn one_task_may_wait_for_both_directions() {
    simulated(|handle, net| async move {
        let (stream, peer) = connected(&handle, &net).await;
        let stream = Rc::new(RefCell::new(stream));
        let task = handle.spawn(async move {
            let read = Box::pin(async {
                assert_eq!(poll_shared(&stream).await.unwrap(), 4);
            });
            let write = Box::pin(async {
                let (bytes, mut written) = ([0; 100_000], 0);
                while written < bytes.len() {
                    let rest = &bytes[written..];
                    written +=
                        poll_fn(|cx| stream.borrow_mut().poll_write(cx, rest)).await.unwrap();
                }
            });
            both(read, write).await;
        });
        handle.sleep(Duration::from_millis(1)).await;
        peer.send(b"word");
        handle.sleep(Duration::from_millis(1)).await;
        assert!(!task.is_finished());
        while !task.is_finished() {
            peer.receive();
            handle.sleep(Duration::from_millis(1)).await;
        }
    });
}
