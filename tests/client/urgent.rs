//! Replies with urgent data (`MSG_OOB`) among their bytes. Everything happens on one thread, so all bytes
//! are there before the client reads.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use helloop::client::Client;
use helloop::event_loop::EventLoop;
use socket2::SockRef;

use crate::server::PATIENCE;

const COUNTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";

/// A loop, and a server beside it.
struct Scene {
    event_loop: EventLoop,
    listener: TcpListener,
    url: String,
    client: Client,
}

impl Scene {
    fn new() -> Scene {
        let event_loop = EventLoop::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = Client::new(event_loop.handle());
        Scene { event_loop, listener, url, client }
    }

    /// Turns until `done` gives something.
    #[track_caller]
    fn until<T>(&mut self, mut done: impl FnMut(&mut Scene) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "nothing comes any more");
            self.event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        }
    }

    fn accept(&mut self) -> TcpStream {
        let stream = self.until(|scene| scene.listener.accept().ok()).0;
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    /// Fetches, over `peer` if there is one, and answers with `reply` and an urgent byte before the one
    /// at `place`.
    #[track_caller]
    fn fetch(&mut self, peer: Option<TcpStream>, reply: &[u8], place: usize) -> TcpStream {
        let request = self.client.get(&self.url);
        let text = async move { request.send().await?.text().await };
        let mut task = self.event_loop.handle().spawn(text);
        let mut peer = peer.unwrap_or_else(|| self.accept());
        let mut request = Vec::new();
        self.until(|_| {
            let mut buffer = [0; 4096];
            match peer.read(&mut buffer) {
                Ok(bytes) => request.extend_from_slice(&buffer[..bytes]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            request.ends_with(b"\r\n\r\n").then_some(())
        });
        peer.write_all(&reply[..place]).unwrap();
        assert_eq!(SockRef::from(&peer).send_out_of_band(b"!").unwrap(), 1);
        peer.write_all(&reply[place..]).unwrap();
        let text = self.until(|_| task.take()).unwrap();
        assert_eq!(text.unwrap(), "hello", "with an urgent byte at {place}");
        peer
    }
}

#[test]
fn a_reply_with_an_urgent_byte_anywhere_is_read_at_once() {
    for reply in [COUNTED, CHUNKED] {
        for place in 0..=reply.len() {
            let mut scene = Scene::new();
            scene.fetch(None, reply, place);
        }
    }
}

/// An urgent byte is nothing that nobody asked for: it makes no connection unusable.
#[test]
fn an_urgent_byte_on_an_idle_connection_costs_nothing() {
    let mut scene = Scene::new();
    let mut peer = scene.fetch(None, COUNTED, COUNTED.len());
    for place in 0..=COUNTED.len() {
        assert_eq!(SockRef::from(&peer).send_out_of_band(b"?").unwrap(), 1);
        while scene.event_loop.turn(Some(Duration::ZERO)).unwrap() > 0 {}
        assert_eq!(scene.client.idle_connections(), 1);
        peer = scene.fetch(Some(peer), COUNTED, place);
    }
}
