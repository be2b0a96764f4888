//! The course of a drill: start, rehearse, restart again and again while clients ask, and let them finish.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::{Event, JoinHandle};
use helloop::event_loop::Handle;
use helloop::world::Time;

use super::clients::{Running, Scene};
use super::connection::Gate;
use super::front::{Behind, Front, NAMES};
use super::habit::Habit;
use super::ids::Ids;
use super::ledger::{Ledger, Round};
use super::said::Said;
use super::server::{Limits, Server, Way};
use super::trouble::{Trouble, last_words};

/// Between two looks at how far the clients are.
const GLANCE: Duration = Duration::from_millis(2);

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// With `{port}`.
    pub(super) typed: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) way: Way,
    pub(super) rounds: u32,
    pub(super) behind: Behind,
    pub(super) health_path: String,
    pub(super) path: String,
    pub(super) slow_path: String,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) answer_limit: Duration,
    pub(super) limits: Limits,
    /// Before each restart, and after the last one.
    pub(super) pause: Duration,
    pub(super) clients: u32,
    /// The server prints its access log.
    pub(super) prints_log: bool,
}

/// What the drill has come to, at any time.
pub(super) struct Drill {
    handle: Handle,
    plan: Plan,
    pub(super) said: Rc<RefCell<Said>>,
    pub(super) ids: Ids,
    /// From the start of the first server on.
    pub(super) scene: RefCell<Option<Rc<Scene>>>,
    /// Restarts after which the server was there again.
    pub(super) restarts: Cell<u32>,
}

impl Drill {
    pub(super) fn new(handle: &Handle, plan: Plan) -> Drill {
        let ids = Ids::new(fastrand::u16(..));
        let processed = plan.prints_log.then(|| ids.processed());
        let said = Rc::new(RefCell::new(Said::new(processed)));
        let (scene, restarts) = (RefCell::default(), Cell::new(0));
        Drill { handle: handle.clone(), plan, said, ids, scene, restarts }
    }

    /// All of it. `news` is called with a line about each round.
    ///
    /// # Errors
    /// When it cannot be carried out. What was seen until then is in the scene's ledger.
    pub(super) async fn run(&self, news: impl Fn(&str)) -> Result<(), Trouble> {
        let mut servers = self.servers()?;
        for server in &mut servers {
            server.start().await?;
        }
        let front = self.front(&servers).await?;
        let address = front.as_ref().map_or(servers[0].address(), |front| front.server.address());
        let scene = self.scene(address);
        *self.scene.borrow_mut() = Some(Rc::clone(&scene));
        scene.rehearse().await.map_err(|text| self.not_answered(text))?;
        let steady = Clients::spawn(&self.handle, scene.steady());
        let mut outcome = Ok(());
        for number in 1..=self.plan.rounds {
            let which = number as usize % servers.len();
            let lost = scene.ledger.borrow().total().lost;
            let began = self.handle.clock();
            outcome = self.round(number, &scene, &mut servers[which], front.as_ref(), which).await;
            if outcome.is_err() {
                break;
            }
            let lost = scene.ledger.borrow().total().lost - lost;
            let (of, took) = (self.plan.rounds, self.handle.clock().since(began));
            news(&format!("round {number} of {of}: {:.1} s, {lost} lost", took.as_secs_f64()));
        }
        scene.is_over.set();
        steady.ended().await;
        for server in &mut servers {
            server.finish().await;
        }
        outcome
    }

    async fn round(
        &self,
        number: u32,
        scene: &Rc<Scene>,
        server: &mut Server,
        front: Option<&Front>,
        which: usize,
    ) -> Result<(), Trouble> {
        scene.ledger.borrow_mut().round = Round { number, began: None };
        server.check().await?;
        self.handle.sleep(self.plan.pause).await;
        server.check().await?;
        if let Err(silence) = self.wait_for_answers(scene).await {
            server.check().await?;
            return Err(silence);
        }
        scene.gate.open.clear();
        scene.gate.waiting.set(0);
        let own = Clients::spawn(&self.handle, scene.of_a_restart());
        self.wait_for(|| scene.gate.waiting.get() >= own.0.len()).await;
        let restarted = server
            .restart(|| {
                let began = Some(self.handle.clock());
                scene.ledger.borrow_mut().round = Round { number, began };
                scene.gate.open.set();
            })
            .await;
        // If it has not begun, nobody else opens the gate.
        scene.gate.open.set();
        let outcome = match (restarted, front) {
            (Ok(()), Some(front)) => front.takes(&self.handle, which).await,
            (outcome, _) => outcome,
        };
        own.ended().await;
        outcome?;
        self.restarts.set(number);
        if number == self.plan.rounds {
            self.handle.sleep(self.plan.pause).await;
            self.wait_for_answers(scene).await?;
        }
        Ok(())
    }

    /// Waits until clients of each habit that asks all the time have had an answer.
    async fn wait_for_answers(&self, scene: &Rc<Scene>) -> Result<(), Trouble> {
        let steady = [Habit::KeepAlive, Habit::OneEach, Habit::Pipelined, Habit::Post];
        let answered = || {
            let ledger = scene.ledger.borrow();
            steady.map(|habit| {
                ledger.tallies.get(&habit).map_or(0, |tally| tally.answered + tally.repeated)
            })
        };
        let before = answered();
        let is_answered = || answered().iter().zip(before).all(|(now, before)| *now > before);
        if self.wait_for(is_answered).await {
            return Ok(());
        }
        let still = answered().into_iter().zip(before).zip(steady);
        let silent: Vec<&str> = still
            .filter(|((now, before), _)| now == before)
            .map(|(_, habit)| habit.name())
            .collect();
        let limit = self.plan.answer_limit;
        let text = format!("no answer within {limit:?} for these habits: {}", silent.join(", "));
        Err(self.not_answered(text))
    }

    /// Waits until it is so, for as long as an answer may take.
    async fn wait_for(&self, mut is_so: impl FnMut() -> bool) -> bool {
        let deadline: Time = self.handle.clock() + self.plan.answer_limit;
        while !is_so() {
            if self.handle.clock() >= deadline {
                return false;
            }
            self.handle.sleep(GLANCE).await;
        }
        true
    }

    fn not_answered(&self, text: String) -> Trouble {
        Trouble::NotAnswered { text, said: last_words(&self.said.borrow()) }
    }

    fn servers(&self) -> Result<Vec<Server>, Trouble> {
        let count = if self.plan.behind == Behind::None { 1 } else { NAMES.len() };
        let ports = match self.plan.port {
            Some(port) => vec![port],
            None => free_ports(count)?,
        };
        let server = |port: &u16| {
            let typed = self.plan.typed.iter();
            let typed = typed.map(|text| text.replace("{port}", &port.to_string())).collect();
            let (limits, way) = (self.plan.limits, self.plan.way.clone());
            let mut server = Server::new(&self.handle, typed, *port, limits, way, &self.said);
            server.ports.clone_from(&ports);
            server
        };
        Ok(ports.iter().map(server).collect())
    }

    async fn front(&self, servers: &[Server]) -> Result<Option<Front>, Trouble> {
        let [a, b] = servers else { return Ok(None) };
        let (kind, limits) = (self.plan.behind, self.plan.limits);
        let port = free_ports(1)?[0];
        let ports = [a.port, b.port];
        let front =
            Front::start(&self.handle, kind, port, ports, &self.plan.health_path, limits).await?;
        for number in 0..NAMES.len() {
            front.takes(&self.handle, number).await?;
        }
        Ok(Some(front))
    }

    fn scene(&self, address: SocketAddr) -> Rc<Scene> {
        let plan = &self.plan;
        let after_what = match plan.way {
            Way::Anew(signal) => signal.name(),
            Way::Command(_) => "the restart began",
        };
        Rc::new(Scene {
            handle: self.handle.clone(),
            address,
            path: plan.path.clone(),
            slow_path: plan.slow_path.clone(),
            answer_limit: plan.answer_limit,
            idle_timeout: plan.idle_timeout,
            clients: plan.clients,
            ledger: RefCell::new(Ledger::new(self.ids.clone(), after_what.to_owned())),
            gate: Gate::new(&self.handle),
            is_over: Event::new(&self.handle),
        })
    }
}

/// Clients at work. Dropped, they stop where they are: what a drill does to its server after the end, they must not see.
struct Clients(Vec<JoinHandle<()>>);

impl Clients {
    fn spawn(handle: &Handle, clients: Vec<Running>) -> Clients {
        Clients(clients.into_iter().map(|client| handle.spawn(client)).collect())
    }

    async fn ended(mut self) {
        for client in &mut self.0 {
            let _ = client.await;
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &self.0 {
            client.cancel();
        }
    }
}

/// Ports on which nobody listens now.
fn free_ports(count: usize) -> Result<Vec<u16>, Trouble> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Result<Vec<TcpListener>, std::io::Error> = (0..count).map(bind).collect();
    // All are held until each has its number.
    let ports = listeners.and_then(|listeners| {
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
    });
    ports.map_err(|error: std::io::Error| Trouble::System(format!("no free port: {error}")))
}
