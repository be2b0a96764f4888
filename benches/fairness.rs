//! What one greedy peer costs the others: `cargo bench --bench fairness`.
//!
//! Well-behaved connections ask one request after the other, and each answer is timed, while peers
//! pipeline flat out: they send without waiting and read as fast as they can. A turn takes at most
//! `REQUESTS_PER_RESUME_MAX` requests of one peer, so the others wait for that long and no longer.
//! Peers need processors, too. So that their load alone is not taken for unfairness, one case has
//! them talk to another server. Cases take turns, and the median of the rounds is printed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use helloop::greeting::Greeting;
use helloop::server::{Running, Server};

const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: localhost\r\n\r\n";
const END_OF_ANSWER: &[u8] = b"Hello, World!\n";
/// Connections that behave.
const WELL_BEHAVED: usize = 16;
/// Requests that a greedy peer writes at once.
const BATCH: usize = 1000;

/// The peers beside the well-behaved ones.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    greedy: usize,
    /// They talk to another server.
    elsewhere: bool,
}

const CASES: [Case; 5] = [
    Case { name: "nobody else", greedy: 0, elsewhere: false },
    Case { name: "1 greedy peer of another server", greedy: 1, elsewhere: true },
    Case { name: "1 greedy peer", greedy: 1, elsewhere: false },
    Case { name: "8 greedy peers of another server", greedy: 8, elsewhere: true },
    Case { name: "8 greedy peers", greedy: 8, elsewhere: false },
];

/// Times to an answer.
#[derive(Clone, Copy)]
struct Percentiles {
    p50: Duration,
    p99: Duration,
}

fn serve() -> io::Result<Running> {
    Server::builder().bind("127.0.0.1:0").map_err(io::Error::other)?.spawn(Greeting)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and reads the one answer. Returns how long that took.
fn ask(stream: &mut TcpStream) -> io::Result<Duration> {
    let (mut answer, mut length) = ([0; 1024], 0);
    let began = Instant::now();
    stream.write_all(REQUEST)?;
    while !answer[..length].ends_with(END_OF_ANSWER) {
        match stream.read(&mut answer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => length += bytes,
        }
    }
    Ok(began.elapsed())
}

/// A peer that pipelines flat out.
struct Greedy {
    stream: TcpStream,
    /// Bytes of the present batch that were written.
    written: usize,
}

impl Greedy {
    fn new(address: SocketAddr) -> io::Result<Greedy> {
        let stream = connect(address)?;
        stream.set_nonblocking(true)?;
        Ok(Greedy { stream, written: 0 })
    }

    /// Writes and reads once, as much as possible. Returns the bytes that were written and read.
    fn push(&mut self, batch: &[u8], buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        let none_if_full = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(0),
            _ => Err(error),
        };
        let written = self.stream.write(&batch[self.written..]).or_else(none_if_full)?;
        self.written = (self.written + written) % batch.len();
        let read = self.stream.read(buffer).or_else(none_if_full)?;
        Ok((written, read))
    }
}

/// All the greedy peers of a case, on one thread: more threads than processors would make the
/// server wait for a processor, and the figures would tell of that.
struct Crowd {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<usize>>,
}

impl Crowd {
    fn start(number: usize, address: SocketAddr) -> io::Result<Crowd> {
        let peers = (0..number).map(|_| Greedy::new(address));
        let mut peers = peers.collect::<io::Result<Vec<Greedy>>>()?;
        let stop = Arc::new(AtomicBool::new(number == 0));
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (batch, mut buffer) = (REQUEST.repeat(BATCH), vec![0; 256 * 1024]);
            let mut total = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mut moved = 0;
                for peer in &mut peers {
                    let (written, read) = peer.push(&batch, &mut buffer)?;
                    moved += written + read;
                    total += read;
                }
                if moved == 0 {
                    thread::yield_now();
                }
            }
            Ok(total)
        });
        Ok(Crowd { stop, thread })
    }

    /// Returns the bytes that they have read.
    fn stop(self) -> io::Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| Err(io::Error::other("the greedy peers panicked"));
        self.thread.join().unwrap_or_else(panicked)
    }
}

/// One round of a case. Also returns the bytes that the greedy peers got per second.
fn round(case: Case, requests: usize) -> io::Result<(Percentiles, f64)> {
    let (server, other) = (serve()?, serve()?);
    let address = server.local_addrs()[0];
    let of_greedy = if case.elsewhere { other.local_addrs()[0] } else { address };
    let streams = (0..WELL_BEHAVED).map(|_| connect(address));
    let mut streams = streams.collect::<io::Result<Vec<TcpStream>>>()?;
    // All peers are at work before anything is measured.
    streams.iter_mut().try_for_each(|stream| ask(stream).map(drop))?;
    let crowd = Crowd::start(case.greedy, of_greedy)?;
    for number in 0..requests / 10 {
        ask(&mut streams[number % WELL_BEHAVED])?;
    }
    let began = Instant::now();
    let times = (0..requests).map(|number| ask(&mut streams[number % WELL_BEHAVED]));
    let mut times = times.collect::<io::Result<Vec<Duration>>>()?;
    let took = began.elapsed();
    let bytes = crowd.stop()?;
    for server in [server, other] {
        server.handle().shutdown();
        server.join()?;
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok((Percentiles { p50: at(50), p99: at(99) }, bytes as f64 / took.as_secs_f64()))
}

fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("no value is NaN"));
    values[values.len() / 2]
}

fn main() -> io::Result<()> {
    // `cargo bench` says so; `cargo test --benches` only wants to see that it works.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, requests) = if is_bench { (7, 10_000) } else { (1, 100) };
    let mut results: [Vec<(Percentiles, f64)>; CASES.len()] = Default::default();
    for _ in 0..rounds {
        for (case, results) in CASES.into_iter().zip(&mut results) {
            results.push(round(case, requests)?);
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!("{rounds} rounds of {requests} requests, {WELL_BEHAVED} well-behaved connections");
    println!("{:<34} {:>10} {:>10} {:>14}", "beside", "p50, us", "p99, us", "greedy, MB/s");
    for (case, results) in CASES.iter().zip(&results) {
        let p50 = median(results.iter().map(|(percentiles, _)| percentiles.p50));
        let p99 = median(results.iter().map(|(percentiles, _)| percentiles.p99));
        let rate = median(results.iter().map(|(_, rate)| *rate)) / 1e6;
        let (p50, p99) = (micros(p50), micros(p99));
        println!("{:<34} {p50:>10.0} {p99:>10.0} {rate:>14.1}", case.name);
    }
    Ok(())
}
