//! Urgent data (`MSG_OOB`) from a real kernel: recv(2) stops at its mark, and no edge tells of what is
//! behind. Everything happens on one thread, so all bytes are there before the server reads.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::greeting::Greeting;
use helloop::server::{Attached, Builder, Server};
use socket2::SockRef;

use super::{PATIENCE, connect};

const REQUEST: &[u8] = b"GET /u HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &str = "Hello, u!\n";
/// All that an answer waits for is there, so it takes a turn or two. A connection that has forgotten
/// it looks again when its time is up: 10 s, which are a thousand turns here.
const TURNS_MAX: usize = 100;

fn ways() -> Vec<fn() -> Builder> {
    #[cfg(feature = "twin")]
    return vec![Server::builder, || {
        Server::builder().connections(helloop::server::Connections::Coroutine)
    }];
    #[cfg(not(feature = "twin"))]
    vec![Server::builder]
}

/// A server in the hands of the test.
struct Host {
    event_loop: EventLoop,
    server: Attached,
}

impl Host {
    fn new(builder: Builder) -> Host {
        let event_loop = EventLoop::new().expect("a descriptor for the poller");
        let server = builder.bind("127.0.0.1:0").expect("a free port");
        let server = server.attach(event_loop.handle(), Greeting).expect("the limits agree");
        Host { event_loop, server }
    }

    /// A client whose connection was accepted, and of which the server has heard nothing yet.
    fn visitor(&mut self) -> TcpStream {
        let before = self.server.report().connections;
        let client = connect(self.server.local_addrs()[0]);
        client.set_nonblocking(true).expect("a socket");
        while self.server.report().connections == before {
            self.event_loop.turn(Some(PATIENCE)).expect("a turn");
        }
        while self.event_loop.turn(Some(Duration::ZERO)).expect("a turn") > 0 {}
        client
    }

    /// Turns until so many answers have come.
    #[track_caller]
    fn answers(&mut self, client: &mut TcpStream, count: usize) {
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        let mut turns = 0;
        while text.matches(ANSWER).count() < count {
            self.event_loop.turn(Some(Duration::from_millis(10))).expect("a turn");
            match client.read(&mut buffer) {
                Ok(bytes) => {
                    assert!(bytes > 0, "the end comes after {text:?}");
                    text.push_str(std::str::from_utf8(&buffer[..bytes]).expect("text"));
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "nothing comes after {text:?}");
        }
        assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), count, "{text}");
    }
}

/// Sends `bytes` with an urgent byte before the one at `place`.
fn send_with_urgent(client: &mut TcpStream, bytes: &[u8], place: usize) {
    client.write_all(&bytes[..place]).expect("room");
    let sent = SockRef::from(&*client).send_out_of_band(b"!").expect("room");
    assert_eq!(sent, 1);
    client.write_all(&bytes[place..]).expect("room");
}

#[test]
fn a_request_with_an_urgent_byte_anywhere_is_answered_at_once() {
    for way in ways() {
        let mut host = Host::new(way());
        for place in 0..=REQUEST.len() {
            let mut client = host.visitor();
            send_with_urgent(&mut client, REQUEST, place);
            host.answers(&mut client, 1);
        }
    }
}

#[test]
fn pipelined_requests_with_an_urgent_byte_anywhere_are_answered_at_once() {
    for way in ways() {
        let mut host = Host::new(way());
        let requests = REQUEST.repeat(2);
        for place in 0..=requests.len() {
            let mut client = host.visitor();
            send_with_urgent(&mut client, &requests, place);
            host.answers(&mut client, 2);
            // From then on the connection is one as any other.
            client.write_all(REQUEST).expect("room");
            host.answers(&mut client, 1);
        }
    }
}

/// Urgent data that comes while the answer before it is still to be written, and again and again.
#[test]
fn urgent_bytes_in_every_request_of_a_connection() {
    for way in ways() {
        let mut host = Host::new(way());
        let mut client = host.visitor();
        for place in 0..=REQUEST.len() {
            send_with_urgent(&mut client, REQUEST, place);
            host.answers(&mut client, 1);
        }
    }
}
