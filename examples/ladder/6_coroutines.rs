//! Rung 6: **the compiler writes the states.** The loop is that of rung 5, unchanged. A `Future` is a
//! task: to poll it is to resume it. Between two polls it is a value that the compiler has made of an
//! `async fn`: an `enum` with a variant for each `await`, and what lives across it.
//!
//! So the conversation can be read in order again, as in rung 1. What it cannot do: be looked into.
//! Press Enter: a future does not say where it is. Nor does the source say what it keeps: a buffer of
//! 4 KiB that lives across an `await` is 4 KiB more for each connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::{ErrorKind, Result};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mio::event::Source as Socket;
use mio::net::{TcpListener, TcpStream};

mod event_loop;
mod http;

use event_loop::{EventLoop, Flow, LOOKOUT, NOTHING, READ, Ready, Source, Task, WRITE};

/// How long a client may take to send a request, or to take the answers to what it has sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the acceptor rests after accepting has failed, mostly for want of descriptors.
const REST: Duration = Duration::from_millis(100);

/// Operations after which it is the others' turn.
const OPERATIONS_MAX: usize = 16;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address.parse().map_err(std::io::Error::other)?)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    let mut event_loop = EventLoop::new()?;
    spawn(&mut event_loop, listener, serve)?;
    let lookout = event_loop.waker(LOOKOUT);
    std::thread::spawn(move || std::io::stdin().lines().for_each(|_| lookout.wake_by_ref()));
    event_loop.run()
}

async fn serve(mut listener: Source<TcpListener>, desk: Rc<Desk>) -> Result<()> {
    loop {
        match desk.wait_for(READ, || listener.accept()).await {
            Ok(stream) => desk.accepted.borrow_mut().push(stream),
            Err(_) => desk.sleep(REST).await,
        }
    }
}

/// Rung 1, with `await` wherever it waited.
async fn converse(mut stream: Source<TcpStream>, desk: Rc<Desk>) -> Result<()> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        // One limit for a whole request, in however many pieces it comes.
        let answering = async {
            loop {
                desk.wait_for(READ, || read(&mut stream, &mut input)).await?;
                let goes_on = http::answer(&mut input, &mut output);
                if !output.is_empty() {
                    return Ok(goes_on);
                }
            }
        };
        let goes_on = desk.timeout(PATIENCE, answering).await?;
        while !output.is_empty() {
            let writing = desk.wait_for(WRITE, || stream.write(&output));
            let bytes = desk.timeout(PATIENCE, writing).await?;
            output.drain(..bytes);
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// No `async fn`: its buffer must not live across an `await`. The end of the stream is an error,
/// which ends the conversation.
fn read(stream: &mut Source<TcpStream>, input: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 4096];
    let bytes = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..bytes]);
    if bytes == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// What lies between a coroutine and its task. A future is polled without the loop, so it writes down
/// here what it waits for, and which clients it has accepted.
struct Desk {
    /// The time of this turn.
    now: Cell<Instant>,
    flow: Cell<Flow>,
    /// Operations in this resume.
    operations: Cell<usize>,
    accepted: RefCell<Vec<TcpStream>>,
}

impl Desk {
    /// The result of `operation`, as soon as it does not block.
    async fn wait_for<T>(
        &self,
        want: Ready,
        mut operation: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        poll_fn(|_| {
            if self.operations.get() == OPERATIONS_MAX {
                self.flow.set(Flow::Again);
                return Poll::Pending;
            }
            self.operations.set(self.operations.get() + 1);
            match operation() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.flow.set(Flow::Wait { want, until: None });
                    Poll::Pending
                }
                outcome => Poll::Ready(outcome),
            }
        })
        .await
    }

    /// "Readable, *or* after five seconds": adds a time to whatever the future waits for.
    async fn timeout<T>(
        &self,
        time: Duration,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (until, mut future) = (self.now.get() + time, pin!(future));
        poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            if let (Poll::Pending, Flow::Wait { want, .. }) = (&polled, self.flow.get()) {
                if self.now.get() >= until {
                    return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                }
                self.flow.set(Flow::Wait { want, until: Some(until) });
            }
            polled
        })
        .await
    }

    async fn sleep(&self, time: Duration) {
        // It times out: nothing else can happen.
        let _ = self.timeout(time, pending::<Result<()>>()).await;
    }
}

struct Coroutine {
    future: Pin<Box<dyn Future<Output = Result<()>>>>,
    desk: Rc<Desk>,
    waker: Waker,
}

fn spawn<S: Socket, F: Future<Output = Result<()>> + 'static>(
    event_loop: &mut EventLoop,
    socket: S,
    coroutine: impl FnOnce(Source<S>, Rc<Desk>) -> F,
) -> Result<()> {
    let now = Cell::new(event_loop.now);
    event_loop.spawn(socket, |source, waker| {
        let (flow, operations) = (Cell::new(Flow::Again), Cell::new(0));
        let desk = Rc::new(Desk { now, flow, operations, accepted: RefCell::default() });
        let future = Box::pin(coroutine(source, Rc::clone(&desk)));
        Coroutine { future, desk, waker }
    })
}

impl Task for Coroutine {
    fn resume(&mut self, event_loop: &mut EventLoop) -> Flow {
        self.desk.now.set(event_loop.now);
        self.desk.operations.set(0);
        self.desk.flow.set(Flow::Wait { want: NOTHING, until: None });
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&self.waker));
        for stream in self.desk.accepted.take() {
            // If the kernel will not watch it, it is dropped, and so closed.
            let _ = spawn(event_loop, stream, converse);
        }
        if polled.is_ready() { Flow::Done } else { self.desk.flow.get() }
    }

    /// A future does not say more.
    fn state(&self) -> &'static str {
        "suspended"
    }
}
