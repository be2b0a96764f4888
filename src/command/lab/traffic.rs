//! The lab's own clients: they stand on the lab's loop, so they go on while the watched one is held
//! (what they send waits in the kernel), and every byte is reported to the pages.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::Queue;
use helloop::event_loop::Handle;
use helloop::lab::scenario::{Note, Scenario, Script, Step, crowd_begins, crowd_ended, is_good};

use super::client::{Client, Connection, Teller};
use super::shortage::Shortage;

/// How often descriptors that others in the process have closed are taken again, while there are to be none: well before
/// the acceptor tries once more.
const FILLED_EVERY: Duration = Duration::from_millis(20);

/// A client that has no answer by then gives up. Long, because a teacher may explain something while
/// the loop is held.
const GIVES_UP_AFTER: Duration = Duration::from_secs(600);

/// Scenarios at once. At the limit: a further one is refused.
const SCENARIOS_MAX: usize = 16;

/// Notes that may wait for the pages. At the limit: later ones are lost.
const NOTES_MAX: usize = 2_000;

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
    /// While the process is without descriptors.
    shortage: Rc<RefCell<Option<Shortage>>>,
}

impl Traffic {
    pub(super) fn new(handle: &Handle, target: SocketAddr) -> Traffic {
        Traffic {
            handle: handle.clone(),
            target,
            notes: Queue::new(handle, NOTES_MAX),
            running: Rc::default(),
            clients: Rc::default(),
            shortage: Rc::default(),
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
        let scripts = scenario.scripts().into_iter();
        if scenario.is_crowd() {
            return self.crowd(scenario, scripts).await;
        }
        self.handle.gather(scripts.map(|script| self.client(scenario, script))).await;
    }

    /// A client of its own that does what `script` says.
    fn client(&self, scenario: Scenario, script: Script) -> impl Future<Output = ()> + use<> {
        self.clients.set(self.clients.get() + 1);
        let (handle, id) = (self.handle.clone(), self.clients.get());
        let teller = Teller { id, scenario: scenario.name(), notes: self.notes.clone() };
        let client = Client { handle: handle.clone(), target: self.target, teller: teller.clone() };
        let traffic = self.clone();
        let played = async move {
            client.handle.sleep(script.after).await;
            let mut connection = match scenario.shortage() {
                None => client.connect().await?,
                Some(shortage) => traffic.connect_and_run_out(&client, shortage).await?,
            };
            connection.play(&client.handle, script).await
        };
        async move {
            let ended = match handle.timeout(GIVES_UP_AFTER, played).await {
                Ok(Ok(())) => "closed".into(),
                Ok(Err(error)) => format!("failed: {error}"),
                Err(elapsed) => format!("gave up: {elapsed}"),
            };
            teller.tell("ended", ended);
        }
    }

    /// Takes the process's last descriptor for a client, and gives the others back after `shortage`.
    async fn connect_and_run_out(
        &self,
        client: &Client,
        shortage: Duration,
    ) -> io::Result<Connection> {
        // The connection on which the page has asked for this is closed by then: its descriptor would go to the acceptor.
        self.handle.sleep(FILLED_EVERY).await;
        if self.shortage.borrow().is_none() {
            self.shortage.borrow_mut().insert(Shortage::begin()?).spare_one();
            let (handle, over) = (self.handle.clone(), Rc::clone(&self.shortage));
            drop(self.handle.spawn_named("shortage", async move {
                let until = handle.now() + shortage;
                while handle.now() < until {
                    handle.sleep(FILLED_EVERY).await;
                    over.borrow_mut().iter_mut().for_each(Shortage::fill);
                }
                over.take();
            }));
        }
        // Its socket is made at once, before anything else can take the descriptor.
        client.connect().await
    }

    /// Runs clients that are only counted: how many of them got what they asked for.
    async fn crowd(&self, scenario: Scenario, scripts: impl Iterator<Item = Script>) {
        let teller = Teller { id: 0, scenario: scenario.name(), notes: self.notes.clone() };
        teller.tell("note", crowd_begins());
        let answers = self.handle.gather(scripts.map(|script| {
            let asks = ask_quietly(self.handle.clone(), self.target, script);
            let handle = self.handle.clone();
            async move { handle.timeout(GIVES_UP_AFTER, asks).await }
        }));
        let answers = answers.await;
        let good = answers.iter().filter(|answer| matches!(answer, Ok(Ok(Ok(true))))).count();
        teller.tell("ended", crowd_ended(good));
    }
}

/// Whether the answer to what a script sends is good.
async fn ask_quietly(handle: Handle, target: SocketAddr, script: Script) -> io::Result<bool> {
    let mut stream = handle.open_connection(target).await?;
    for step in script.steps {
        if let Step::Send(bytes) = step {
            stream.write_all(&bytes).await?;
        }
    }
    let (mut buffer, mut begin) = ([0; 512], Vec::new());
    while let bytes @ 1.. = stream.read(&mut buffer).await? {
        begin.extend_from_slice(&buffer[..bytes]);
    }
    Ok(is_good(&begin))
}
