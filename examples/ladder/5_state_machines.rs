//! Rung 5: **a state says what it waits for, and until when.** Everything on the loop is a task, and a
//! task is an `enum`: a variant for each thing that it can wait for, with the data that it needs
//! there. The loop can ask where a task is, and a time limit is part of waiting. Press Enter to see.
//!
//! What it cannot do: be read in order. The conversation of rung 1 is here, cut into pieces, with its
//! loop turned inside out.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

mod event_loop;
mod http;

use event_loop::{EventLoop, Flow, LOOKOUT, NOTHING, READ, Source, Task, WRITE};

/// How long a client may take to send a request, or to take the answers to what it has sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the acceptor rests after accepting has failed, mostly for want of descriptors.
const REST: Duration = Duration::from_millis(100);

/// Steps after which it is the others' turn.
const STEPS_MAX: usize = 16;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address.parse().map_err(io::Error::other)?)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    let mut event_loop = EventLoop::new()?;
    event_loop.spawn(listener, |listener, _| Acceptor { listener, is_resting: false })?;
    let lookout = event_loop.waker(LOOKOUT);
    thread::spawn(move || io::stdin().lines().for_each(|_| lookout.wake_by_ref()));
    event_loop.run()
}

struct Acceptor {
    listener: Source<TcpListener>,
    is_resting: bool,
}

impl Task for Acceptor {
    fn resume(&mut self, event_loop: &mut EventLoop) -> Flow {
        self.is_resting = false;
        for _ in 0..STEPS_MAX {
            match self.listener.accept() {
                // If the kernel will not watch it, it is dropped, and so closed.
                Ok(stream) => {
                    let now = event_loop.now;
                    let _ = event_loop.spawn(stream, |source, _| Connection::new(source, now));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Flow::Wait { want: READ, until: None };
                }
                // Clients that wait have been reported, and will not be reported again. So a timer
                // must resume this task.
                Err(_) => {
                    self.is_resting = true;
                    return Flow::Wait { want: NOTHING, until: Some(event_loop.now + REST) };
                }
            }
        }
        Flow::Again
    }

    fn state(&self) -> &'static str {
        if self.is_resting { "resting" } else { "accepting" }
    }
}

struct Connection {
    source: Source<TcpStream>,
    state: State,
    /// When the client's time for this is over.
    until: Instant,
}

enum State {
    /// Waits for a request. `input` is what has come of it.
    Reading { input: Vec<u8> },
    /// Waits until the client has taken `output`. `input` has come after the requests that `output`
    /// answers; `None`: nothing more will be answered.
    Writing { output: Vec<u8>, input: Option<Vec<u8>> },
}

impl Connection {
    fn new(source: Source<TcpStream>, now: Instant) -> Connection {
        Connection { source, state: State::Reading { input: Vec::new() }, until: now + PATIENCE }
    }

    /// One operation, and where it leads. Returns false at the end.
    fn step(&mut self, now: Instant) -> io::Result<bool> {
        match &mut self.state {
            State::Reading { input } => {
                let mut buffer = [0; 4096];
                let bytes = self.source.read(&mut buffer)?;
                if bytes == 0 {
                    return Ok(false);
                }
                input.extend_from_slice(&buffer[..bytes]);
                let mut output = Vec::new();
                let goes_on = http::answer(input, &mut output);
                // A part of a request changes nothing, and does not extend the time for the rest.
                if !output.is_empty() {
                    let input = goes_on.then(|| std::mem::take(input));
                    self.enter(State::Writing { output, input }, now);
                }
            }
            State::Writing { output, input } => {
                let bytes = self.source.write(output)?;
                output.drain(..bytes);
                if output.is_empty() {
                    let Some(input) = input.take() else { return Ok(false) };
                    self.enter(State::Reading { input }, now);
                }
            }
        }
        Ok(true)
    }

    fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.until) = (state, now + PATIENCE);
    }
}

impl Task for Connection {
    fn resume(&mut self, event_loop: &mut EventLoop) -> Flow {
        let now = event_loop.now;
        for _ in 0..STEPS_MAX {
            match self.step(now) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && now < self.until => {
                    let want = match self.state {
                        State::Reading { .. } => READ,
                        State::Writing { .. } => WRITE,
                    };
                    return Flow::Wait { want, until: Some(self.until) };
                }
                // The client has finished, or failed, or its time is over.
                _ => return Flow::Done,
            }
        }
        // A client that always has more to say is interrupted here.
        Flow::Again
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Reading { .. } => "reading",
            State::Writing { .. } => "writing",
        }
    }
}
