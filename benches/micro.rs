//! What the parts cost, each alone: `cargo bench --bench micro`. Absolute figures are those of the
//! machine at hand; compare cases of one run.

#![allow(missing_docs, reason = "criterion makes public functions")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use helloop::event_loop::{Context, EventLoop, Flow, Task};
use helloop::greeting::Greeting;
use helloop::http::{Answer, BodyPolicy, Exchange, Handled, Handler, Request, Response, Want};
use helloop::limits::Limits;
use helloop::observe::Recorder;
use helloop::server::Service;
use helloop::world::sim::Sim;

/// A driver without sockets: answers with the greeting.
#[derive(Default)]
struct Desk {
    limits: Limits,
}

impl Handler for Desk {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn date(&mut self) -> &[u8; 29] {
        b"Sun, 06 Nov 1994 08:49:37 GMT"
    }

    fn draining(&self) -> bool {
        false
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn body_policy(&mut self, head: &Request<'_>) -> BodyPolicy {
        Greeting.body_policy(head)
    }

    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Handled {
        Greeting.call(request, response);
        Handled::Done
    }

    fn answered(&mut self, _: &Answer<'_>) {}
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
        let (mut desk, mut response, mut output) = (Desk::default(), Response::new(), Vec::new());
        let mut machine = Exchange::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                output.clear();
                let mut input = black_box(bytes);
                let want =
                    machine.advance(&mut input, false, &mut output, &mut response, &mut desk);
                assert_eq!((want, input.len()), (Want::Read, 0));
            });
        });
    }
    group.bench_function("small, a byte at a time", |bencher| {
        let (mut desk, mut response, mut output) = (Desk::default(), Response::new(), Vec::new());
        let mut machine = Exchange::new();
        bencher.iter(|| {
            output.clear();
            for end in 1..=SMALL.len() {
                let mut input = black_box(&SMALL[..end]);
                let _ = machine.advance(&mut input, false, &mut output, &mut response, &mut desk);
            }
            assert!(!output.is_empty());
        });
    });
    group.finish();
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
    let observers: [(&str, Option<Recorder>, Duration); 3] = [
        ("nobody watches", None, Duration::ZERO),
        ("slow resumes are reported", None, Duration::from_millis(100)),
        ("recording", Some(Recorder::new(4096)), Duration::ZERO),
    ];
    for (name, recorder, slow) in observers {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        event_loop.set_slow_callback(slow);
        event_loop.observe(recorder.map(|recorder| Box::new(recorder) as _));
        for _ in 0..64 {
            event_loop.handle().spawn_task(|_| Box::new(Busy));
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| event_loop.turn(None).expect("a simulated turn works"));
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
    criterion.bench_function("percent-decode a name", |bencher| {
        bencher.iter_batched(
            || "J%C3%BCrgen",
            |name| helloop::http::decode_segment(black_box(name)).map(|name| name.len()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, exchange, turn, timers);
criterion_main!(benches);
