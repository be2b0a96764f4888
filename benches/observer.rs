//! What watching costs: `cargo bench --bench observer`. It needs valgrind.
//!
//! callgrind counts the instructions of a run of twice so many steps and of one of once so many; the
//! difference, for each step, has no beginning and no end in it, and no noise of the machine. It
//! sees user space alone, and takes reading the clock for a system call. So CPU time is shown, too:
//! rounds take turns, and the median is printed. What it would cost to have no observers at all is
//! found by making `Watch::tell` empty and running this again.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use helloop::event_loop::{Context, EventLoop, Flow, Task};
use helloop::events::{Event, Observer};
use helloop::greeting::Greeting;
use helloop::server::Server;
use helloop::watch::Recorder;
use helloop::world::Time;
use helloop::world::sim::Sim;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

/// Connections that ask, and tasks that are resumed, in a turn.
const AT_ONCE: usize = 64;
/// Turns of the smaller run.
const TURNS: usize = 100;
/// Turns of a run whose CPU time is looked at, and how often it is repeated.
const TIMED_TURNS: usize = 2000;
const ROUNDS: usize = 7;
/// Events that the recorder keeps. Its ring is full after a few turns, as it always is in use.
const RING: usize = 1024;
/// The instructions of a run, in the summary of callgrind.
const COLLECTED: &str = "Collected :";

const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const END_OF_ANSWER: &[u8] = b"\r\n\r\nHello, World!\n";

/// Takes so many turns on a loop.
type Steps = fn(EventLoop, usize) -> io::Result<()>;

const CASES: [(&str, Steps); 2] = [("resume of a task", resumes), ("keep-alive request", requests)];
const OBSERVERS: [&str; 3] = ["absent", "that does nothing", "that records into a ring"];

/// The observer of this name.
fn observer(name: &str) -> Option<Box<dyn Observer>> {
    match name {
        "absent" => None,
        "that does nothing" => Some(Box::new(|_: Time, _: &Event| {})),
        _ => Some(Box::new(Recorder::new(RING))),
    }
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

fn resumes(mut event_loop: EventLoop, turns: usize) -> io::Result<()> {
    for _ in 0..AT_ONCE {
        event_loop.handle().spawn_task(|_| Box::new(Busy));
    }
    for _ in 0..turns {
        assert_eq!(event_loop.turn(None)?, AT_ONCE);
    }
    Ok(())
}

/// Server and clients on one thread, so that every turn is the same: all have asked. The two calls
/// of a client for each request, [`write`](Write::write) and [`read`](Read::read), are counted too.
fn requests(mut event_loop: EventLoop, turns: usize) -> io::Result<()> {
    let server = Server::builder().bind("127.0.0.1:0").map_err(io::Error::other)?;
    let server = server.attach(event_loop.handle(), Greeting)?;
    let address: SocketAddr = server.local_addrs()[0];
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(TcpStream::connect(address)?);
    }
    let mut answer = [0; 1024];
    for turn in 1..=turns as u64 {
        clients.iter_mut().try_for_each(|client| client.write_all(REQUEST))?;
        while server.report().requests < turn * AT_ONCE as u64 {
            event_loop.turn(None)?;
        }
        for client in &mut clients {
            let length = client.read(&mut answer)?;
            assert!(answer[..length].ends_with(END_OF_ANSWER));
        }
    }
    Ok(())
}

fn run(case: usize, observer_name: &str, turns: usize) -> io::Result<()> {
    let (_, steps) = CASES[case];
    let mut event_loop = match case {
        0 => EventLoop::with_world(Box::new(Sim::new(1))),
        _ => EventLoop::new()?,
    };
    event_loop.observe(observer(observer_name));
    steps(event_loop, turns)
}

/// The instructions of a run of this program.
fn count(program: &Path, case: usize, observer: &str, turns: usize) -> io::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    valgrind.args(["--run", &case.to_string(), observer, &turns.to_string()]);
    let output = valgrind.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once(COLLECTED));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.filter(|_| output.status.success()).ok_or_else(|| io::Error::other(said.into_owned()))
}

/// CPU time of a run of this program, user and system, in nanoseconds for each step.
fn time(program: &Path, case: usize, observer: &str) -> io::Result<f64> {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let micros = |time: TimeVal| time.num_microseconds() as f64;
        io::Result::Ok(micros(usage.user_time()) + micros(usage.system_time()))
    };
    let before = used()?;
    let turns = TIMED_TURNS.to_string();
    let status =
        Command::new(program).args(["--run", &case.to_string(), observer, &turns]).status()?;
    assert!(status.success());
    Ok((used()? - before) * 1e3 / (TIMED_TURNS * AT_ONCE) as f64)
}

fn compare_times(program: &Path, case: usize) -> io::Result<()> {
    let mut times: [Vec<f64>; OBSERVERS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (times, observer) in times.iter_mut().zip(OBSERVERS) {
            times.push(time(program, case, observer)?);
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    let absent = times[0][ROUNDS / 2];
    for (times, observer) in times.iter().zip(OBSERVERS) {
        let each = times[ROUNDS / 2];
        let more = 100.0 * (each / absent - 1.0);
        println!("{:<20} {observer:<26} {each:>8.0} {more:>+7.1} %", CASES[case].0);
    }
    Ok(())
}

fn compare() -> io::Result<()> {
    let program = std::env::current_exe()?;
    println!("instructions for each, with an observer");
    for (case, (name, _)) in CASES.iter().enumerate() {
        let mut absent = None;
        for observer in OBSERVERS {
            let [once, twice] =
                [TURNS, 2 * TURNS].map(|turns| count(&program, case, observer, turns));
            let each = (twice? - once?) as f64 / (TURNS * AT_ONCE) as f64;
            let more = 100.0 * (each / *absent.get_or_insert(each) - 1.0);
            println!("{name:<20} {observer:<26} {each:>8.1} {more:>+7.1} %");
        }
    }
    println!("nanoseconds of CPU, those of the clients and of the kernel included");
    compare_times(&program, 1)
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--run", case, observer, turns] => {
            let number = |text: &str| text.parse().map_err(io::Error::other);
            run(number(case)?, observer, number(turns)?)
        }
        // `cargo bench` says so; `cargo test --benches` only wants to see that it works.
        arguments if arguments.contains(&"--bench") => compare(),
        _ => (0..CASES.len())
            .try_for_each(|case| OBSERVERS.iter().try_for_each(|observer| run(case, observer, 2))),
    }
}
