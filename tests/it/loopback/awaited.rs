use super::{PATIENCE, ask, connect, read_greeting};

use std::future::Future;
use std::io::Write;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use helloop::greeting::Greeting;
use helloop::limits::Limits;
use helloop::server::Server;

/// The smallest runtime that knows nothing of helloop.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for `future` on this thread, for at most [`PATIENCE`].
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it is never ready");
        thread::park_timeout(left);
    }
}

#[test]
fn a_foreign_runtime_awaits_the_drain_and_the_end() {
    let running = Server::builder().bind("127.0.0.1:0").unwrap().spawn(Greeting).unwrap();
    let handle = running.handle().clone();
    let waits = thread::spawn(move || {
        block_on(handle.draining());
        assert!(handle.is_draining());
        block_on(handle.finished());
        assert!(handle.is_finished());
    });
    let mut client = connect(running.local_addrs()[0]);
    client.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    read_greeting(&mut client);
    assert!(ask(running.local_addrs()[0], "/World").contains("Hello"));
    assert!(running.open_connections() >= 1, "one is kept");
    let report = running.report();
    assert_eq!((report.connections, report.requests), (2, 2));
    assert!(!running.is_draining() && !waits.is_finished());

    running.handle().drain(PATIENCE);
    assert!(running.is_draining());
    block_on(running.finished());
    waits.join().unwrap();
    assert_eq!((running.open_connections(), running.report().requests), (0, 2));
    // Reached long ago.
    block_on(running.handle().draining());
    running.join().unwrap();
}

#[test]
fn an_announced_end_is_no_drain_yet() {
    let running = Server::builder().bind("127.0.0.1:0").unwrap().spawn(Greeting).unwrap();
    running.handle().drain_after(Duration::from_secs(3600), PATIENCE);
    let mut draining = running.handle().draining();
    let early = Pin::new(&mut draining).poll(&mut Context::from_waker(Waker::noop()));
    assert!(early.is_pending() && !running.is_draining());
    assert!(ask(running.local_addrs()[0], "/World").contains("Hello"));
    running.handle().shutdown();
    block_on(draining);
    running.join().unwrap();
}

#[test]
fn what_never_begins_is_finished_as_well() {
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    let handle = server.handle();
    assert!(!handle.is_finished());
    drop(server);
    block_on(handle.finished());
    assert!(handle.is_draining(), "it does not serve");

    let limits = Limits::default().head_bytes_max(0);
    let server = Server::builder().limits(limits).bind("127.0.0.1:0").unwrap();
    let running = server.spawn(Greeting).unwrap();
    block_on(running.finished());
    running.join().unwrap_err();
}
