//! Servers for the tests: scripts on threads of their own, byte for byte. Nothing here sleeps for luck;
//! what waits, waits for the other side, and gives up after [`PATIENCE`].

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use helloop::client::{Client, ClientBuilder, Error, Reply};
use helloop::coroutine;
use helloop::event_loop::Handle;

/// At the limit a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on a loop of its own, for at most [`PATIENCE`].
pub(crate) fn run<F: Future + 'static>(test: impl FnOnce(Handle) -> F + 'static) -> F::Output {
    let limited = |handle: Handle| async move {
        let test = test(handle.clone());
        handle.timeout(PATIENCE, test).await.expect("the test takes too long")
    };
    coroutine::run(limited).unwrap()
}

/// Fetches one URL with a client that `build` has changed, and collects the body.
pub(crate) fn get(
    url: String,
    build: impl FnOnce(ClientBuilder) -> ClientBuilder + 'static,
) -> Result<(Reply, Vec<u8>), Error> {
    run(|handle| async move {
        let client = build(Client::builder(&handle)).build()?;
        let mut reply = client.get(&url).send().await?;
        let body = reply.collect().await?;
        Ok((reply, body))
    })
}

/// A listener whose connections go, one after the other, through the scripts that it was given.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What the scripts report: usually the requests that they saw.
    pub(crate) seen: Receiver<String>,
}

/// One connection, on the side of a server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    seen: Sender<String>,
}

pub(crate) type Script = Box<dyn FnOnce(&mut Peer) + Send>;

/// A script, for lists of them.
pub(crate) fn script(script: impl FnOnce(&mut Peer) + Send + 'static) -> Script {
    Box::new(script)
}

impl Server {
    /// The first connection is for the first script, and so on. Scripts run at the same time, each as
    /// soon as its connection is there.
    pub(crate) fn start(scripts: Vec<Script>) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Server::on(listener, scripts)
    }

    pub(crate) fn on(listener: TcpListener, scripts: Vec<Script>) -> Server {
        let address = listener.local_addr().unwrap();
        let (sender, seen) = channel();
        thread::spawn(move || {
            for script in scripts {
                let Ok((stream, _)) = listener.accept() else { return };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut peer = Peer { stream, seen: sender.clone() };
                thread::spawn(move || script(&mut peer));
            }
        });
        Server { address, seen }
    }

    /// A server that answers every connection's one request with these bytes, and closes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(vec![script(move |peer| {
            peer.request();
            peer.send(&answer);
        })])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next report of a script.
    pub(crate) fn next_seen(&self) -> String {
        self.seen.recv_timeout(PATIENCE).expect("a script reports something")
    }
}

impl Peer {
    /// Reads one request without a body, and reports it. Empty: the client has closed.
    pub(crate) fn request(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("a script gets no request: {error}"),
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.report(&head);
        head
    }

    /// Reads so many bytes of a body.
    pub(crate) fn body(&mut self, bytes: usize) -> Vec<u8> {
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    pub(crate) fn report(&self, text: &str) {
        // A test may have seen enough.
        let _ = self.seen.send(text.to_owned());
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A client may have heard enough.
        let _ = self.stream.write_all(bytes);
    }

    /// An answer with a length.
    pub(crate) fn answer(&mut self, body: &str) {
        let length = body.len();
        self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
    }

    /// Waits until the client has closed.
    pub(crate) fn wait_for_close(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }

    /// Closes with a reset, whatever was read.
    pub(crate) fn reset(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        // The close that follows sends it.
    }
}
