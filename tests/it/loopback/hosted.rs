use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::greeting::Greeting;
use helloop::limits::IDLE_TIMEOUT;
use helloop::server::{Attached, Server};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{PATIENCE, connect, read_greeting};

/// A host program: it waits for the loop's descriptor or its deadline, and turns it without
/// letting it wait.
struct Host {
    event_loop: EventLoop,
    server: Attached,
}

impl Host {
    fn new() -> Host {
        let event_loop = EventLoop::new().expect("a descriptor for the poller");
        let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
        let server = server.attach(event_loop.handle(), Greeting).expect("the limits agree");
        Host { event_loop, server }
    }

    /// Waits in the host's own poll, for as long as the loop allows.
    fn wait(&self) -> usize {
        let now = self.event_loop.handle().clock();
        let left = self.event_loop.next_deadline().map(|deadline| deadline.since(now));
        let left = Timespec::try_from(left.unwrap_or(PATIENCE).min(PATIENCE)).expect("short");
        let mut descriptors = [PollFd::new(&self.event_loop, PollFlags::IN)];
        poll(&mut descriptors, Some(&left)).expect("a descriptor that can be waited for")
    }

    /// Waits and turns until `done`. Gives the number of waits.
    fn run_until(&mut self, done: impl Fn(&Attached) -> bool) -> usize {
        let mut waits = 0;
        while !done(&self.server) {
            self.wait();
            self.event_loop.turn(Some(Duration::ZERO)).expect("a turn");
            waits += 1;
        }
        waits
    }
}

#[test]
fn a_host_with_a_loop_of_its_own_serves() {
    let mut host = Host::new();
    let mut client = connect(host.server.local_addrs()[0]);
    for request in 1..=20 {
        client.write_all(b"GET /host HTTP/1.1\r\nHost: x\r\n\r\n").expect("the socket has room");
        let waits = host.run_until(|server| server.report().requests == request);
        assert!(waits < 20, "{waits} waits for a request: the descriptor lies");
        assert!(read_greeting(&mut client).ends_with("Hello, host!\n"));
    }
}

/// Nothing is ready: the descriptor is silent, and the deadline is that of the idle connection.
#[test]
fn an_idle_loop_lets_its_host_sleep() {
    let mut host = Host::new();
    let _client = connect(host.server.local_addrs()[0]);
    host.run_until(|server| server.open_connections() == 1);
    while host.event_loop.turn(Some(Duration::ZERO)).expect("a turn") > 0 {}
    let mut descriptors = [PollFd::new(&host.event_loop, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(poll(&mut descriptors, Some(&at_once)).expect("a poll"), 0);
    let now = host.event_loop.handle().clock();
    let deadline = host.event_loop.next_deadline().expect("the idle timeout");
    let left = deadline.since(now);
    assert!(!left.is_zero() && left <= IDLE_TIMEOUT, "{left:?}");
}

/// An order from another thread makes the descriptor readable.
#[test]
fn a_drain_wakes_the_host() {
    let mut host = Host::new();
    while host.event_loop.turn(Some(Duration::ZERO)).expect("a turn") > 0 {}
    let handle = host.server.handle().clone();
    let thread = std::thread::spawn(move || handle.drain(PATIENCE));
    host.run_until(Attached::is_finished);
    thread.join().expect("it only gives an order");
    assert_eq!(host.event_loop.handle().task_count(), 0);
}

#[test]
fn the_descriptor_stays_the_same() {
    let host = Host::new();
    let (first, second) = (host.event_loop.as_fd(), host.event_loop.as_fd());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

/// Two servers on one loop: one drains, the other goes on.
#[test]
fn two_servers_on_one_loop() {
    let mut host = Host::new();
    let other = Server::builder().bind("127.0.0.1:0").expect("a free port");
    let other = other.attach(host.event_loop.handle(), Greeting).expect("the limits agree");
    other.handle().drain(PATIENCE);
    while !other.is_finished() {
        host.wait();
        host.event_loop.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let mut client = connect(host.server.local_addrs()[0]);
    client.write_all(b"GET /still HTTP/1.1\r\nHost: x\r\n\r\n").expect("the socket has room");
    host.run_until(|server| server.report().requests == 1);
    assert!(read_greeting(&mut client).ends_with("Hello, still!\n"));
}
