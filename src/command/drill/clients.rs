//! The clients: one coroutine for each habit and place, from the first round to the last, and a few that are made
//! for one restart.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::{Event, race, yield_now};
use helloop::event_loop::Handle;
use helloop::http::{Ask, AskError, Reply};

use super::connection::{Connection, Gate, Idle, Pace, reply_to};
use super::habit::{Habit, Method};
use super::ledger::{Ledger, Request};
use super::verdict::{Closing, End, Got};

/// Requests that a pipelining client sends at once.
const PIPELINED: usize = 4;

/// For each restart: connections that were idle and wake up, new connections at the same moment, slow readers.
const WAKING: u32 = 16;
const BURST: u32 = 8;
const SLOW_READERS: u32 = 2;

/// Clients that ask at the idle timeout, and how far from it: 1 ms before, at it, 1 ms after.
const IDLE: u32 = 6;
const IDLE_OFFSETS: u32 = 3;

/// Between two requests of a client, in microseconds.
const THINKING_MICROS: std::ops::Range<u64> = 1_000..4_000;

/// After a connection that did not come about.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// How long a server that said `Connection: close` may take to do it.
const CLOSING_LIMIT: Duration = Duration::from_secs(1);

/// What all clients share.
pub(super) struct Scene {
    pub(super) handle: Handle,
    /// Of the server, or of the balancer in front.
    pub(super) address: SocketAddr,
    /// With `{id}` in it.
    pub(super) path: String,
    /// What slow readers ask for.
    pub(super) slow_path: String,
    pub(super) answer_limit: Duration,
    pub(super) idle_timeout: Option<Duration>,
    /// Clients of each habit that asks all the time.
    pub(super) clients: u32,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) gate: Gate,
    /// The clients are to end.
    pub(super) is_over: Event,
}

/// A client at work.
pub(super) type Running = Pin<Box<dyn Future<Output = ()>>>;

impl Scene {
    /// Asks once with each method, before anything is counted: what such requests are answered.
    ///
    /// # Errors
    /// When there is no answer, or one that says that the server itself is broken.
    pub(super) async fn rehearse(&self) -> Result<(), String> {
        for (habit, method) in [
            (Habit::OneEach, Method::Get),
            (Habit::SlowReader, Method::Get),
            (Habit::Post, Method::Post),
        ] {
            let now = self.handle.clock();
            let request = self.ledger.borrow_mut().rehearsal(habit, method, now);
            let path = self.path_of(habit);
            let ask = self.ask(&request, true);
            let asked = |end: End| format!("{} {path} was not answered: {end}", method.name());
            let mut connection = self.connect(false).await.map_err(asked)?;
            connection.send(&bytes_of(&ask, &request)).await;
            let whole = connection
                .answer(&request, reply_to(&ask), &Pace::Fast, self.answer_limit)
                .await
                .map_err(asked)?;
            if method == Method::Get && whole.status >= 500 {
                return Err(format!(
                    "GET {path} is answered {}: name a path that it serves with --path or --slow-path",
                    whole.status
                ));
            }
            self.ledger.borrow_mut().expect(&request, whole.status, whole.has_id);
        }
        Ok(())
    }

    /// The clients that ask until the scene is over.
    pub(super) fn steady(self: &Rc<Self>) -> Vec<Running> {
        let mut running: Vec<Running> = Vec::new();
        for _ in 0..self.clients {
            let client = |habit| Client::new(self, habit);
            running.push(Box::pin(client(Habit::KeepAlive).ask_on(&[Method::Get], false)));
            running.push(Box::pin(client(Habit::OneEach).ask_on(&[Method::Get], true)));
            running
                .push(Box::pin(client(Habit::Pipelined).ask_on(&[Method::Get; PIPELINED], false)));
            running.push(Box::pin(client(Habit::Post).ask_on(&[Method::Post], false)));
        }
        if let Some(timeout) = self.idle_timeout {
            let client = |number| Client::new(self, Habit::Idle).ask_when_idle(timeout, number);
            running.extend((0..IDLE).map(|number| Box::pin(client(number)) as Running));
        }
        running
    }

    /// The clients of one restart. Each waits at the gate once it is prepared.
    pub(super) fn of_a_restart(self: &Rc<Self>) -> Vec<Running> {
        let client = |habit| Client::new(self, habit);
        let waking =
            (0..WAKING).map(|place| Box::pin(client(Habit::Waking).wake(place)) as Running);
        let burst = (0..BURST).map(|place| Box::pin(client(Habit::OneEach).rush(place)) as Running);
        let slow =
            (0..SLOW_READERS).map(|_| Box::pin(client(Habit::SlowReader).read_slowly()) as Running);
        waking.chain(burst).chain(slow).collect()
    }

    /// Between two requests, unless it is over.
    async fn pause(&self, pause: Duration) {
        race(self.handle.sleep(pause), self.is_over.wait()).await;
    }

    async fn connect(&self, is_narrow: bool) -> Result<Connection, End> {
        Connection::open(&self.handle, self.address, is_narrow, self.answer_limit).await
    }

    fn path_of(&self, habit: Habit) -> &str {
        if habit == Habit::SlowReader { &self.slow_path } else { &self.path }
    }

    fn ask(&self, request: &Request, is_last: bool) -> Ask {
        let path = self.path_of(request.habit);
        let host = self.address.to_string();
        let mut ask = ask_for(request.method, path, &host, &request.id).expect("it was checked");
        if is_last {
            ask.close();
        }
        ask
    }
}

/// The head of a request for `path`, with an id.
///
/// # Errors
/// When the path cannot be asked for.
pub(super) fn ask_for(method: Method, path: &str, host: &str, id: &str) -> Result<Ask, AskError> {
    let mut ask = Ask::new(method.name(), &path.replace("{id}", id), host)?;
    if method == Method::Post {
        ask.body_bytes(id.len() as u64);
    }
    Ok(ask)
}

/// The body of a POST is its id.
fn bytes_of(ask: &Ask, request: &Request) -> Vec<u8> {
    let mut bytes = ask.clone().into_bytes();
    if request.method == Method::Post {
        bytes.extend_from_slice(request.id.as_bytes());
    }
    bytes
}

struct Client {
    scene: Rc<Scene>,
    habit: Habit,
    /// The one that is kept.
    connection: Option<Connection>,
}

impl Client {
    fn new(scene: &Rc<Scene>, habit: Habit) -> Client {
        Client { scene: Rc::clone(scene), habit, connection: None }
    }

    async fn ask_on(mut self, methods: &[Method], is_last: bool) {
        while !self.scene.is_over.is_set() {
            let has_connected = self.ask(methods, is_last, &Pace::Fast).await;
            let thinking = Duration::from_micros(fastrand::u64(THINKING_MICROS));
            let pause = if has_connected { thinking } else { REFUSED_PAUSE };
            self.scene.pause(pause).await;
        }
    }

    async fn ask_when_idle(mut self, timeout: Duration, number: u32) {
        let milli = Duration::from_millis(1);
        let wait = (timeout + number % IDLE_OFFSETS * milli).saturating_sub(milli);
        while !self.scene.is_over.is_set() {
            let has_connected = self.ask(&[Method::Get], false, &Pace::Fast).await;
            let pause = if has_connected { wait } else { REFUSED_PAUSE };
            self.scene.pause(pause).await;
        }
    }

    /// A connection that is idle when the restart begins carries a POST then, or a little later.
    async fn wake(mut self, place: u32) {
        self.ask(&[Method::Get], false, &Pace::Fast).await;
        self.scene.gate.pass().await;
        self.wait_for_place(place, WAKING).await;
        self.ask(&[Method::Post], false, &Pace::Fast).await;
    }

    async fn rush(mut self, place: u32) {
        self.scene.gate.pass().await;
        self.wait_for_place(place, BURST).await;
        self.ask(&[Method::Get], true, &Pace::Fast).await;
    }

    /// The first half of the clients are some microseconds apart: a turn of the loop each. The others come after
    /// 1 ms, 2 ms, 4 ms, and so on.
    async fn wait_for_place(&self, place: u32, places: u32) {
        match place.checked_sub(places / 2) {
            None => {
                for _ in 0..place {
                    yield_now().await;
                }
            }
            Some(late) => self.scene.handle.sleep(Duration::from_millis(1 << late)).await,
        }
    }

    async fn read_slowly(mut self) {
        let scene = Rc::clone(&self.scene);
        let gate = Pace::Slow(&scene.gate);
        if !self.ask(&[Method::Get; 2], false, &gate).await {
            scene.gate.pass().await;
        }
    }

    /// Sends requests together, and sees what becomes of them. False: there was no connection.
    async fn ask(&mut self, methods: &[Method], is_last: bool, pace: &Pace<'_>) -> bool {
        let scene = Rc::clone(&self.scene);
        let Some(mut connection) = self.connection(methods[0]).await else { return false };
        let (mut bytes, mut asked) = (Vec::new(), Vec::new());
        for method in methods {
            let now = scene.handle.clock();
            let request = scene.ledger.borrow_mut().begin(self.habit, *method, now);
            let ask = scene.ask(&request, is_last);
            bytes.extend(bytes_of(&ask, &request));
            asked.push((request, reply_to(&ask)));
        }
        connection.send(&bytes).await;
        let (mut course, mut repeats) = (Course::default(), Vec::new());
        for (request, reply) in asked {
            let (before, end) = course.next(&scene, &mut connection, &request, reply, pace).await;
            let now = scene.handle.clock();
            if scene.ledger.borrow_mut().end(&request, before, end, now) {
                repeats.push(request);
            }
        }
        // Otherwise it is closed before anything is repeated: the server may wait for that.
        self.connection = Some(connection).filter(|_| !course.is_over() && !is_last);
        for request in repeats {
            self.repeat(&request).await;
        }
        true
    }

    /// The kept connection, or a new one. If there is none, that is noted for a request with this method; others that
    /// would have been sent with it are not begun.
    async fn connection(&mut self, method: Method) -> Option<Connection> {
        if let Some(connection) = self.kept() {
            return Some(connection);
        }
        let scene = &self.scene;
        let began = scene.handle.clock();
        match scene.connect(self.habit == Habit::SlowReader).await {
            Ok(connection) => Some(connection),
            Err(end) => {
                let mut ledger = scene.ledger.borrow_mut();
                let request = ledger.begin(self.habit, method, began);
                ledger.end(&request, 0, end, scene.handle.clock());
                None
            }
        }
    }

    /// The kept connection, if it is still good.
    fn kept(&mut self) -> Option<Connection> {
        let mut connection = self.connection.take()?;
        let now = self.scene.handle.clock();
        let mut ledger = self.scene.ledger.borrow_mut();
        match connection.look() {
            Idle::Open => return Some(connection),
            Idle::Closed => ledger.found_closed(now.since(connection.last_answer)),
            Idle::Surplus => {
                let last = connection.last_request.as_ref().expect("a kept connection had one");
                ledger.answered_twice(self.habit, last, now);
            }
        }
        None
    }

    async fn repeat(&self, request: &Request) {
        let (scene, handle) = (&self.scene, &self.scene.handle);
        let request = scene.ledger.borrow_mut().begin_repeat(request, handle.clock());
        let end = match scene.connect(false).await {
            Ok(mut connection) => {
                let ask = scene.ask(&request, true);
                connection.send(&bytes_of(&ask, &request)).await;
                let reply = reply_to(&ask);
                let limit = scene.answer_limit;
                match connection.answer(&request, reply, &Pace::Fast, limit).await {
                    Ok(whole) => {
                        scene.ledger.borrow().answered(&request, whole.status, whole.has_id)
                    }
                    Err(end) => end,
                }
            }
            Err(end) => end,
        };
        scene.ledger.borrow_mut().end(&request, 0, end, handle.clock());
    }
}

/// How it goes with requests that were sent together.
#[derive(Default)]
struct Course {
    /// One has ended without an answer: how those after it end, and 1 if something had come on the connection, so
    /// that it is no new one for them.
    broken: Option<(End, u64)>,
    /// An answer said `Connection: close`.
    has_said_close: bool,
}

impl Course {
    fn is_over(&self) -> bool {
        self.broken.is_some() || self.has_said_close
    }

    /// Waits for the end of the next request. Returns also how many answers had come on the connection before.
    async fn next(
        &mut self,
        scene: &Scene,
        connection: &mut Connection,
        request: &Request,
        reply: Reply,
        pace: &Pace<'_>,
    ) -> (u64, End) {
        let before = connection.answers;
        if let Some((end, got)) = &self.broken {
            return (before.max(*got), end.clone());
        }
        if self.has_said_close {
            let answer = connection.answer(request, reply, &Pace::Fast, CLOSING_LIMIT).await;
            if answer.is_ok() {
                return (before, End::AnsweredAfterClose);
            }
            self.broken = Some((End::AfterClose, 0));
            return (before, End::AfterClose);
        }
        let answer = connection.answer(request, reply, pace, scene.answer_limit).await;
        self.has_said_close = connection.is_closing;
        match answer {
            Ok(whole) => {
                (before, scene.ledger.borrow().answered(request, whole.status, whole.has_id))
            }
            Err(end) => {
                self.broken = Some(of_the_rest(&end));
                (before, end)
            }
        }
    }
}

/// See [`Course::broken`].
fn of_the_rest(end: &End) -> (End, u64) {
    let nothing = |how| End::Closed { how, got: Got::Nothing };
    match end {
        End::Closed { how, got } => (nothing(*how), u64::from(*got != Got::Nothing)),
        End::Late { .. } => (end.clone(), 0),
        _ => (nothing(Closing::InOrder), 1),
    }
}
