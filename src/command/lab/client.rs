//! One client of the lab: a connection, and notes of what goes over it.

use std::io;
use std::net::SocketAddr;

use helloop::coroutine::{Queue, Stream};
use helloop::event_loop::Handle;
use helloop::lab::scenario::{Note, Script, Step, is_whole, shown};
use helloop::world;
use socket2::SockRef;

/// The receive buffer of a slow reader in the kernel, in bytes: the less it takes, the sooner its
/// server feels it.
const SLOW_READER_BUFFER_BYTES: usize = 16 * 1024;

/// Tells the pages what a client does.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) id: u64,
    pub(super) scenario: &'static str,
    pub(super) notes: Queue<Note>,
}

impl Teller {
    pub(super) fn tell(&self, step: &'static str, bytes: String) {
        let note = Note { id: self.id, scenario: self.scenario, step, bytes };
        // A full queue means that far too much has been reported already.
        let _ = self.notes.put_nowait(note);
    }

    fn tell_bytes(&self, step: &'static str, bytes: &[u8]) {
        self.tell(step, shown(bytes));
    }
}

/// A client that is about to connect.
pub(super) struct Client {
    pub(super) handle: Handle,
    pub(super) target: SocketAddr,
    pub(super) teller: Teller,
}

/// A connection, and where its steps are reported.
pub(super) struct Connection {
    stream: Stream,
    teller: Teller,
    buffer: Box<[u8]>,
    received_bytes: u64,
}

impl Client {
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let stream = self.handle.open_connection(self.target).await?;
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        Ok(Connection { stream, teller: self.teller.clone(), buffer, received_bytes: 0 })
    }
}

impl Connection {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.teller.tell_bytes("sent", bytes);
        Ok(())
    }

    async fn read_quietly(&mut self) -> io::Result<usize> {
        let bytes = self.stream.read(&mut self.buffer).await?;
        self.received_bytes += bytes as u64;
        Ok(bytes)
    }

    /// Reads until the server closes.
    async fn read_to_end(&mut self) -> io::Result<()> {
        while let bytes @ 1.. = self.read_quietly().await? {
            self.teller.tell_bytes("received", &self.buffer[..bytes]);
        }
        Ok(())
    }

    /// Reads an answer with a Content-Length.
    async fn read_answer(&mut self) -> io::Result<()> {
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let bytes = self.read_quietly().await?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.teller.tell_bytes("received", &self.buffer[..bytes]);
            answer.extend_from_slice(&self.buffer[..bytes]);
        }
        Ok(())
    }

    /// Takes the steps of a script, after it has connected.
    pub(super) async fn play(&mut self, handle: &Handle, script: Script) -> io::Result<()> {
        for step in script.steps {
            match step {
                Step::Send(bytes) => self.send(&bytes).await?,
                Step::Pause(pause) => handle.sleep(pause).await,
                Step::Note(text) => self.teller.tell("note", text),
                Step::NarrowReceiveBuffer => self.shrink_receive_buffer(),
                Step::ShutWrite => self.stream.shut_write()?,
                Step::ReadAnswer => self.read_answer().await?,
                Step::ReadSome => drop(self.read_quietly().await?),
                Step::ReadToEnd => self.read_to_end().await?,
                Step::CountToEnd => {
                    while self.read_quietly().await? > 0 {}
                    self.teller.tell("received", format!("{} bytes in all", self.received_bytes));
                }
            }
        }
        Ok(())
    }

    /// As far as the kernel lets it.
    fn shrink_receive_buffer(&self) {
        if let world::Stream::Tcp(socket) = self.stream.source().socket() {
            let _ = SockRef::from(socket).set_recv_buffer_size(SLOW_READER_BUFFER_BYTES);
        }
    }
}
