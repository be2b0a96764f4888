//! What the parts cost, each alone: `cargo bench --bench micro`. Absolute figures are those of the
//! machine at hand; compare cases of one run.

#![allow(missing_docs, reason = "criterion makes public functions")]

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use helloop::event_loop::{Context, EventLoop, Flow, Task};
use helloop::events::{Event, Observer};
use helloop::greeting::Greeting;
use helloop::http::{
    Ask, Error, Exchange, Found, ReplyEvent, Response, Room, Terms, Want, decode_segment,
};
use helloop::limits::{Limits, ReplyLimits};
use helloop::server::Service;
use helloop::watch::Recorder;
use helloop::watch::SlowCallbacks;
use helloop::world::Time;
use helloop::world::sim::Sim;

/// A driver without sockets: answers with the greeting.
#[derive(Default)]
struct Desk {
    limits: Limits,
    exchange: Exchange,
    response: Response,
    output: Vec<u8>,
}

const TERMS: Terms =
    Terms { date: *b"Sun, 06 Nov 1994 08:49:37 GMT", is_draining: false, requests_max: None };

impl Desk {
    fn advance(&mut self, input: &mut &[u8]) -> Want {
        let Desk { limits, exchange, response, output } = self;
        loop {
            let mut room = Room::new(None);
            let mut found = exchange.next(input, false, limits, &mut room);
            if let Found::Body(announced) = found {
                let policy = Greeting.body_policy(announced.request());
                found = exchange.receive(announced, policy, input, false, limits, output);
            }
            match found {
                Found::Request(asked) => {
                    response.clear();
                    Greeting.call(asked.request(), response);
                    exchange.answer(asked, response, &TERMS, output);
                }
                Found::Wrong(wrong) => {
                    exchange.refuse(&wrong, response, &TERMS, output);
                }
                Found::Body(_) => unreachable!("it was received"),
                Found::Nothing(want) => return want,
            }
        }
    }
}

const SMALL: &[u8] = b"GET /World HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /World HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\
    Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\r\n";

const CHUNKED: &[u8] = b"POST /World HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
    10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

fn exchange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    for (name, bytes) in [("small", SMALL), ("browser", BROWSER), ("chunked", CHUNKED)] {
        let mut desk = Desk::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                desk.output.clear();
                let mut input = black_box(bytes);
                let want = desk.advance(&mut input);
                assert_eq!((want, input.len()), (Want::Request, 0));
            });
        });
    }
    group.bench_function("small, a byte at a time", |bencher| {
        let mut desk = Desk::default();
        bencher.iter(|| {
            desk.output.clear();
            for end in 1..=SMALL.len() {
                let mut input = black_box(&SMALL[..end]);
                let _ = desk.advance(&mut input);
            }
            assert!(!desk.output.is_empty());
        });
    });
    group.finish();
}

/// A head whose body does not come, so that nothing is answered: what a head alone costs.
fn head(criterion: &mut Criterion) {
    let with_body = |head: &[u8]| {
        let (line, fields) = head.split_at(head.iter().position(|&b| b == b'\n').unwrap_or(0) + 1);
        [line, b"Content-Length: 1\r\n", fields].concat()
    };
    let mut group = criterion.benchmark_group("head");
    let mut desk = Desk::default();
    for (name, bytes) in [("small", with_body(SMALL)), ("browser", with_body(BROWSER))] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        // In one piece, and as slowly as a peer can drip it.
        for (how, step) in [("whole", bytes.len()), ("dripped", 1)] {
            group.bench_function(format!("{name}, {how}"), |bencher| {
                bencher.iter(|| {
                    desk.exchange = Exchange::new();
                    let mut want = Want::Request;
                    for end in (step..=bytes.len()).step_by(step) {
                        want = desk.advance(&mut black_box(&bytes[..end]));
                    }
                    assert!(want == Want::Body && desk.output.is_empty());
                });
            });
        }
    }
    group.finish();
}

/// Chunks of a reply are taken off; a body that is counted, of the same size, for comparison.
fn chunks(criterion: &mut Criterion) {
    const BODY_BYTES: usize = 64 * 1024;
    let chunked = |size: usize| {
        let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..BODY_BYTES / size {
            reply.extend_from_slice(format!("{size:x}\r\n{}\r\n", "x".repeat(size)).as_bytes());
        }
        reply.extend_from_slice(b"0\r\n\r\n");
        reply
    };
    let mut counted = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    counted.push_str(&"x".repeat(BODY_BYTES));
    let cases =
        [("none", counted.into_bytes()), ("of 16 bytes", chunked(16)), ("of 1 KiB", chunked(1024))];
    let mut group = criterion.benchmark_group("64 KiB in chunks");
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    let ask = Ask::new("GET", "/", "localhost").expect("a request");
    for (name, bytes) in cases {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reply = ask.reply(ReplyLimits::default());
                let (mut input, mut data) = (black_box(bytes.as_slice()), 0);
                loop {
                    match reply.advance(&mut input, false).expect("a good reply") {
                        ReplyEvent::Data(piece) => data += piece.len(),
                        ReplyEvent::End { .. } => break assert_eq!(data, BODY_BYTES),
                        _ => {}
                    }
                }
            });
        });
    }
    group.finish();
}

/// An answer that needs no request: what encoding alone costs.
fn encode(criterion: &mut Criterion) {
    let Desk { mut response, mut output, .. } = Desk::default();
    criterion.bench_function("encode a 408", |bencher| {
        bencher.iter(|| {
            output.clear();
            let (mut exchange, mut room) = (Exchange::new(), Room::new(None));
            let Found::Wrong(wrong) = exchange.time_is_up(black_box(Error::HeadTimeout), &mut room)
            else {
                unreachable!("it waits for a head")
            };
            exchange.refuse(&wrong, &mut response, &TERMS, &mut output);
            assert!(output.starts_with(b"HTTP/1.1 408 "));
        });
    });
}

/// Always has more to do.
struct Busy;

impl Task for Busy {
    fn resume(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Again
    }

    fn kind(&self) -> &'static str {
        "busy"
    }
}

/// Waits for ever.
struct Sleeper;

impl Task for Sleeper {
    fn resume(&mut self, _: &mut Context<'_>) -> Flow {
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "sleeper"
    }
}

/// A turn that resumes 64 tasks, on a simulated world: what the loop itself costs.
fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn of 64 tasks");
    let nothing: Box<dyn Observer> = Box::new(|_: Time, _: &Event| {});
    let recorder: Box<dyn Observer> = Box::new(Recorder::new(4096));
    let observers = [
        ("nobody watches", None, false),
        ("slow resumes are reported", None, true),
        ("an observer that does nothing", Some(nothing), false),
        ("recording", Some(recorder), false),
    ];
    for (name, observer, reports_slow) in observers {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let mut slow_callbacks = SlowCallbacks::new(&event_loop);
        event_loop.observe(observer);
        for _ in 0..64 {
            event_loop.handle().spawn_task(|_| Box::new(Busy));
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let turned = if reports_slow {
                    slow_callbacks.turn(&mut event_loop, None)
                } else {
                    event_loop.turn(None)
                };
                turned.expect("a simulated turn works")
            });
        });
    }
    group.finish();
}

fn timers(criterion: &mut Criterion) {
    let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
    let handle = event_loop.handle();
    let task = handle.spawn_task(|_| Box::new(Sleeper));
    for n in 0..100_000 {
        handle.at(handle.now() + Duration::from_micros(n), task);
    }
    let soon = handle.now() + Duration::from_millis(50);
    criterion.bench_function("set and cancel a timer among 100,000", |bencher| {
        bencher.iter(|| handle.cancel(handle.at(black_box(soon), task)));
    });
}

/// Counts how often it is resumed.
struct Counter(Rc<Cell<u32>>);

impl Task for Counter {
    fn resume(&mut self, _: &mut Context<'_>) -> Flow {
        self.0.set(self.0.get() + 1);
        Flow::Wait
    }

    fn kind(&self) -> &'static str {
        "counter"
    }
}

/// How long it takes until a task is resumed whose timer is due after 100 µs, on a loop of the operating system; and from
/// a wake in another thread.
fn waits(criterion: &mut Criterion) {
    let mut event_loop = EventLoop::new().expect("a loop of the operating system");
    let handle = event_loop.handle().clone();
    let resumes = Rc::new(Cell::new(0));
    let task = handle.spawn_task(|_| Box::new(Counter(Rc::clone(&resumes))));
    let mut until_resumed = |prepare: &dyn Fn()| {
        let before = resumes.get();
        prepare();
        event_loop.run_until(|| resumes.get() > before).expect("turns of the operating system");
    };
    until_resumed(&|| ());

    let mut group = criterion.benchmark_group("until a task is resumed");
    group.bench_function("a timer of 100 µs", |bencher| {
        let deadline = || handle.clock() + Duration::from_micros(100);
        bencher.iter(|| until_resumed(&|| _ = handle.at(deadline(), task)));
    });

    let remote = handle.remote();
    let (orders, ordered) = channel::<()>();
    let (wakes, woken) = channel();
    let waker = thread::spawn(move || {
        for () in ordered {
            // The loop is to be waiting by then.
            thread::sleep(Duration::from_micros(200));
            wakes.send(Instant::now()).expect("somebody measures");
            remote.wake(task);
        }
    });
    group.bench_function("a wake in another thread", |bencher| {
        bencher.iter_custom(|iterations| {
            let one = |_| {
                until_resumed(&|| orders.send(()).expect("the thread is there"));
                woken.recv().expect("it has woken").elapsed()
            };
            (0..iterations).map(one).sum()
        });
    });
    group.finish();
    drop(orders);
    waker.join().expect("it does not panic");
}

fn percent(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("percent-decode");
    let long = "%41".repeat(1000);
    for (name, segment) in [("plain", "World"), ("a name", "J%C3%BCrgen"), ("3 kB", &long)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode_segment(black_box(segment)).map(|text| text.len()));
        });
    }
    group.finish();
}

criterion_group!(benches, head, exchange, chunks, encode, turn, timers, waits, percent);
criterion_main!(benches);
