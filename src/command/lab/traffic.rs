//! The lab's own clients: they stand on the lab's loop, so they go on while the watched one is held
//! (what they send waits in the kernel), and every byte is reported to the pages.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::Queue;
use helloop::event_loop::Handle;

use super::client::{Client, Note, Teller, last_request};

/// A client that has no answer by then gives up. Long, because a teacher may explain something while
/// the loop is held.
const GIVES_UP_AFTER: Duration = Duration::from_secs(600);

/// Scenarios at once. At the limit: a further one is refused.
const SCENARIOS_MAX: usize = 16;

/// Notes that may wait for the pages. At the limit: later ones are lost.
const NOTES_MAX: usize = 2_000;

/// Pause between two bytes of a dribbled request.
const DRIBBLE_PAUSE: Duration = Duration::from_millis(100);

/// How long a slow reader reads nothing.
const STANDSTILL: Duration = Duration::from_secs(2);

/// How long a connection stays open for another request, which does not come.
const IDLE: Duration = Duration::from_secs(3);

/// A head start.
const MOMENT: Duration = Duration::from_millis(100);

/// What clients can be made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A request, and a pause in which the connection is idle.
    One,
    /// Two requests at once on one connection.
    Pair,
    /// A request byte by byte.
    Dribble,
    /// A long answer, and a client that does not read it.
    SlowReader,
    /// A hundred connections at once.
    Hundred,
    /// A request, and then the end of sending.
    HalfClose,
    /// A request within a request, for servers that disagree about where the first one ends.
    Smuggle,
    /// A handler that sleeps, and others.
    Sleep,
    /// A handler that blocks, and others.
    Block,
    /// A handler that fetches from its own server.
    Gather,
}

impl Scenario {
    const ALL: [Scenario; 10] = [
        Scenario::One,
        Scenario::Pair,
        Scenario::Dribble,
        Scenario::SlowReader,
        Scenario::Hundred,
        Scenario::HalfClose,
        Scenario::Smuggle,
        Scenario::Sleep,
        Scenario::Block,
        Scenario::Gather,
    ];

    fn name(self) -> &'static str {
        match self {
            Scenario::One => "one",
            Scenario::Pair => "pair",
            Scenario::Dribble => "dribble",
            Scenario::SlowReader => "slow-reader",
            Scenario::Hundred => "hundred",
            Scenario::HalfClose => "half-close",
            Scenario::Smuggle => "smuggle",
            Scenario::Sleep => "sleep",
            Scenario::Block => "block",
            Scenario::Gather => "gather",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// It asks for a path that only the lab's own server knows.
    pub(super) fn needs_lessons(self) -> bool {
        use Scenario::{Block, Gather, Sleep, SlowReader};
        matches!(self, SlowReader | Sleep | Block | Gather)
    }
}

/// Too much is under way.
pub(super) struct Busy;

#[derive(Clone, Debug)]
pub(super) struct Traffic {
    handle: Handle,
    target: SocketAddr,
    notes: Queue<Note>,
    /// Scenarios under way.
    running: Rc<Cell<usize>>,
    /// Clients so far.
    clients: Rc<Cell<u64>>,
}

impl Traffic {
    pub(super) fn new(handle: &Handle, target: SocketAddr) -> Traffic {
        Traffic {
            handle: handle.clone(),
            target,
            notes: Queue::new(handle, NOTES_MAX),
            running: Rc::default(),
            clients: Rc::default(),
        }
    }

    /// Waits for something that a client did.
    pub(super) async fn next_note(&self) -> Note {
        self.notes.get().await
    }

    /// Begins a scenario, which ends by itself.
    ///
    /// # Errors
    /// [`Busy`].
    pub(super) fn start(&self, scenario: Scenario) -> Result<(), Busy> {
        if self.running.get() >= SCENARIOS_MAX {
            return Err(Busy);
        }
        self.running.set(self.running.get() + 1);
        let traffic = self.clone();
        drop(self.handle.spawn_named(scenario.name(), async move {
            traffic.play(scenario).await;
            traffic.running.set(traffic.running.get() - 1);
        }));
        Ok(())
    }

    async fn play(&self, scenario: Scenario) {
        let asks = |path: &'static str| self.ask(scenario, path, Duration::ZERO);
        let later = |path: &'static str| self.ask(scenario, path, MOMENT);
        match scenario {
            Scenario::One => self.one(scenario).await,
            Scenario::Pair => self.pair(scenario).await,
            Scenario::Dribble => self.dribble(scenario).await,
            Scenario::SlowReader => self.slow_reader(scenario).await,
            Scenario::Hundred => self.hundred(scenario).await,
            Scenario::HalfClose => self.half_close(scenario).await,
            Scenario::Smuggle => self.smuggle(scenario).await,
            Scenario::Gather => asks("/gather/").await,
            Scenario::Sleep => {
                self.handle.gather([asks("/sleep/2"), later("/World"), later("/Others")]).await;
            }
            Scenario::Block => {
                self.handle.gather([asks("/block/"), later("/World"), later("/Others")]).await;
            }
        }
    }

    /// A client of its own that does what `script` says with its connection.
    fn client<C, F>(&self, scenario: Scenario, script: C) -> impl Future<Output = ()> + use<C, F>
    where
        C: FnOnce(Client) -> F,
        F: Future<Output = io::Result<()>>,
    {
        self.clients.set(self.clients.get() + 1);
        let (handle, id) = (self.handle.clone(), self.clients.get());
        let teller = Teller { id, scenario: scenario.name(), notes: self.notes.clone() };
        let client = Client { handle: handle.clone(), target: self.target, teller: teller.clone() };
        let played = script(client);
        async move {
            let ended = match handle.timeout(GIVES_UP_AFTER, played).await {
                Ok(Ok(())) => "closed".into(),
                Ok(Err(error)) => format!("failed: {error}"),
                Err(elapsed) => format!("gave up: {elapsed}"),
            };
            teller.tell("ended", ended);
        }
    }

    fn ask(
        &self,
        scenario: Scenario,
        path: &'static str,
        after: Duration,
    ) -> impl Future<Output = ()> + use<> {
        self.client(scenario, async move |client| {
            client.handle.sleep(after).await;
            let mut connection = client.connect().await?;
            connection.send(&last_request(path)).await?;
            connection.read_to_end().await
        })
    }

    async fn one(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            connection.send(b"GET /World HTTP/1.1\r\nHost: lab\r\n\r\n").await?;
            connection.read_answer().await?;
            connection.teller.tell("note", format!("stays open for {IDLE:?}, and asks no more"));
            client.handle.sleep(IDLE).await;
            Ok(())
        };
        self.client(scenario, script).await;
    }

    async fn pair(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            let mut both = b"GET /first HTTP/1.1\r\nHost: lab\r\n\r\n".to_vec();
            both.extend(last_request("/second"));
            connection.send(&both).await?;
            connection.read_to_end().await
        };
        self.client(scenario, script).await;
    }

    async fn dribble(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            for byte in last_request("/Dribble") {
                connection.send(&[byte]).await?;
                client.handle.sleep(DRIBBLE_PAUSE).await;
            }
            connection.read_to_end().await
        };
        self.client(scenario, script).await;
    }

    async fn slow_reader(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            connection.shrink_receive_buffer();
            connection.send(&last_request("/big/")).await?;
            let teller = connection.teller.clone();
            teller.tell("note", format!("reads nothing for {STANDSTILL:?}"));
            client.handle.sleep(STANDSTILL).await;
            teller.tell("note", "reads a little, now and then".into());
            for _ in 0..20 {
                connection.read_quietly().await?;
                client.handle.sleep(MOMENT).await;
            }
            teller.tell("note", "reads as fast as it can".into());
            while connection.read_quietly().await? > 0 {}
            teller.tell("received", format!("{} bytes in all", connection.received_bytes));
            Ok(())
        };
        self.client(scenario, script).await;
    }

    async fn hundred(&self, scenario: Scenario) {
        let teller = Teller { id: 0, scenario: scenario.name(), notes: self.notes.clone() };
        teller.tell("note", "100 clients connect and ask".into());
        let (handle, target) = (self.handle.clone(), self.target);
        let answers = self.handle.gather((0..100).map(|number| {
            let (handle, target) = (handle.clone(), target);
            let asks = async move {
                let mut stream = handle.open_connection(target).await?;
                stream.write_all(&last_request(&format!("/number-{number}"))).await?;
                let (mut buffer, mut begin) = ([0; 512], Vec::new());
                while let bytes @ 1.. = stream.read(&mut buffer).await? {
                    begin.extend_from_slice(&buffer[..bytes]);
                }
                Ok::<bool, io::Error>(begin.starts_with(b"HTTP/1.1 200 "))
            };
            let handle = self.handle.clone();
            async move { handle.timeout(GIVES_UP_AFTER, asks).await }
        }));
        let answers = answers.await;
        let good = answers.iter().filter(|answer| matches!(answer, Ok(Ok(Ok(true))))).count();
        teller.tell("ended", format!("{good} of 100 were answered 200"));
    }

    async fn half_close(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            connection.send(b"GET /World HTTP/1.1\r\nHost: lab\r\n\r\n").await?;
            connection.stream.shut_write()?;
            connection.teller.tell("note", "sends no more, and reads on".into());
            connection.read_to_end().await
        };
        self.client(scenario, script).await;
    }

    async fn smuggle(&self, scenario: Scenario) {
        let script = async |client: Client| {
            let mut connection = client.connect().await?;
            let request = b"POST /World HTTP/1.1\r\nHost: lab\r\nContent-Length: 36\r\n\
                Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nX: ";
            connection.send(request).await?;
            connection.read_to_end().await
        };
        self.client(scenario, script).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::of_name(scenario.name()), Some(scenario));
        }
        assert_eq!(Scenario::of_name("two"), None);
    }
}
