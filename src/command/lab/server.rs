//! The lab's own server: a second event loop on a thread of its own, which speaks with pages while
//! the first one is held.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use helloop::event_loop::{EventLoop, Handle};
use helloop::http::{Response, Status};
use helloop::limits::Limits;
use helloop::server::{
    Attached, BindError, OwnedRequest, PieceSender, Reply, Server, ServerHandle, coroutines, pieces,
};
use helloop::signals::on_signals;
use serde_json::{Value, json};

use super::access;
use super::commands::command;
use super::link::{Link, News};
use super::message;
use super::page::PAGE;
use super::pages::{Message, Open, Pages};
use super::traffic::Traffic;
use crate::command::run::signals_that_drain;

/// Time between two batches of news for the pages.
const NEWS_INTERVAL: Duration = Duration::from_millis(40);

/// Events in a batch; the others come with the next.
const BATCH_EVENTS_MAX: usize = 500;

/// Time after which a page is sent something although nothing happens, which finds those that are
/// gone.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A loop that is held or slowed, or that is to be held later, and whose last page was closed, goes on
/// by itself after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// A loop that does not come to its gate within this time is busy: there is no fresh snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pages, and commands, that may be connected at once; more wait. The process has its descriptors for
/// the watched server.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a command's body, of which none is needed.
const BODY_BYTES_MAX: u64 = 512;

/// Time for a request, and between two of them. At the limit: the connection is closed. Whoever is on
/// this machine can take all places without knowing the token, and the owner waits for one; a page
/// and its server on one machine need milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for a peer to close after its last answer. At the limit: the place is free.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// What does not change while a lab lives.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) token: String,
    /// Where the watched server is found.
    pub(super) url: String,
    pub(super) target: SocketAddr,
    pub(super) is_read_only: bool,
    /// The watched server knows the paths of the lessons.
    pub(super) has_lessons: bool,
}

/// A lab at work.
#[derive(Debug)]
pub(super) struct Running {
    server: ServerHandle,
    thread: JoinHandle<()>,
}

/// Listens for pages.
///
/// # Errors
/// See [`BindError`].
pub(super) fn bind(address: &str) -> Result<Server, BindError> {
    Server::builder().limits(limits()).bind(address)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.connections_max = Some(CONNECTIONS_MAX);
    limits.body_bytes_max = BODY_BYTES_MAX;
    limits.head_timeout = REQUEST_TIMEOUT;
    limits.idle_timeout = REQUEST_TIMEOUT;
    limits.body_progress_timeout = REQUEST_TIMEOUT;
    limits.linger_timeout = LINGER_TIMEOUT;
    limits
}

impl Running {
    /// Starts the thread, and returns when it has begun to serve and to hear signals.
    ///
    /// # Errors
    /// When the system refuses the thread, or what it needs.
    pub(super) fn start(server: Server, link: &Arc<Link>, facts: Facts) -> io::Result<Running> {
        let handle = server.handle();
        let opens = OpensTheGate(Arc::clone(link));
        let (says, began) = channel();
        let thread = thread::Builder::new().name("lab".into()).spawn(move || {
            let (mut event_loop, attached) = match prepare(server, &opens.0, facts) {
                Ok(prepared) => prepared,
                Err(error) => return drop(says.send(Err(error))),
            };
            // Who started us waits for it.
            let _ = says.send(Ok(()));
            if let Err(error) = event_loop.run_until(|| attached.is_finished()) {
                log::error!("the lab is over, and the server goes on: {error}");
            }
        })?;
        let panicked = || Err(io::Error::other("the lab panicked"));
        began.recv().unwrap_or_else(|_gone| panicked())?;
        Ok(Running { server: handle, thread })
    }

    /// Ends the lab: pages find that it is gone.
    pub(super) fn finish(self) {
        self.server.shutdown();
        if self.thread.join().is_err() {
            log::error!("the lab panicked");
        }
    }
}

/// Whatever becomes of the lab, the watched loop is not held for ever.
struct OpensTheGate(Arc<Link>);

impl Drop for OpensTheGate {
    fn drop(&mut self) {
        self.0.set_watched(false);
        self.0.open_for_good();
    }
}

/// The lab's loop, with everything on it.
fn prepare(server: Server, link: &Arc<Link>, facts: Facts) -> io::Result<(EventLoop, Attached)> {
    let event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    let lab = Rc::new(Lab {
        pages: Pages::new(&handle),
        traffic: Traffic::new(&handle, facts.target),
        handle: handle.clone(),
        link: Arc::clone(link),
        facts,
        dropped: Cell::new(0),
        leavings: Cell::new(0),
    });
    let answers = Rc::clone(&lab);
    let service = coroutines(move |request| answer(Rc::clone(&answers), request));
    let attached = server.attach(&handle, service)?;
    // The watched loop has the same signals in a socket of its own, and reads them when it turns.
    let opens = Arc::clone(link);
    on_signals(&handle, &signals_that_drain(), move |_| opens.open_for_good())?;
    drop(handle.spawn_named("news", news(Rc::clone(&lab))));
    drop(handle.spawn_named("traffic notes", traffic_notes(lab)));
    Ok((event_loop, attached))
}

/// What the lab's coroutines share.
pub(super) struct Lab {
    handle: Handle,
    pub(super) link: Arc<Link>,
    pages: Rc<Pages>,
    pub(super) traffic: Traffic,
    pub(super) facts: Facts,
    /// Events that no page was told.
    dropped: Cell<u64>,
    /// Times that the last page was closed.
    leavings: Cell<u64>,
}

/// Takes what happens on the watched loop to the pages.
async fn news(lab: Rc<Lab>) {
    loop {
        let news = poll_fn(|cx| lab.link.poll_news(cx, BATCH_EVENTS_MAX)).await;
        lab.tell_all(news);
        lab.handle.sleep(NEWS_INTERVAL).await;
    }
}

/// Takes what the lab's own clients do to the pages.
async fn traffic_notes(lab: Rc<Lab>) {
    loop {
        let note = lab.traffic.next_note().await;
        let at = lab.link.now();
        lab.tell(&message::traffic(note.id, note.scenario, note.step, &note.bytes, at));
    }
}

impl Lab {
    fn tell_all(&self, news: Vec<News>) {
        let mut events = Vec::new();
        for one in news {
            if let News::Event(at, event) = one {
                events.push((at, event));
                continue;
            }
            self.tell_events(&mut events);
            match one {
                News::Event(..) => {}
                News::Gap(dropped) => {
                    self.dropped.set(self.dropped.get() + dropped);
                    self.tell(&message::gap(dropped));
                }
                News::Snapshot(snapshot) => {
                    self.tell(&message::snapshot(&snapshot, self.dropped.get()));
                }
                News::Held(held) => self.tell(&message::gate(Some(&held))),
                News::Released => self.tell(&message::gate(None)),
            }
        }
        self.tell_events(&mut events);
    }

    fn tell_events(&self, events: &mut Vec<(helloop::world::Time, helloop::events::Event)>) {
        if !events.is_empty() {
            self.tell(&message::batch(events));
            events.clear();
        }
    }

    /// Tells every page. For one that is too slow, a snapshot will follow.
    fn tell(&self, message: &Message) {
        if self.pages.tell(message, message::gap)
            && let Some(snapshot) = self.link.ask_for_snapshot()
        {
            self.pages.tell(&message::snapshot(&snapshot, self.dropped.get()), message::gap);
        }
    }
}

/// One request: who may ask, and what.
async fn answer(lab: Rc<Lab>, request: OwnedRequest) -> Reply {
    if !access::is_for_this_machine(&request) {
        return turned_away(Status::FORBIDDEN, "the lab is for this machine alone");
    }
    let path = request.path().strip_prefix('/').and_then(|path| path.split_once('/'));
    let Some((_, path)) = path.filter(|(token, _)| *token == lab.facts.token) else {
        let why = "there is nothing here: the address has a secret part";
        return turned_away(Status::NOT_FOUND, why);
    };
    match (request.method(), path) {
        ("GET" | "HEAD", "") => the_page(),
        ("GET", "events") => events(&lab),
        ("GET" | "HEAD", "snapshot") => snapshot(&lab).await,
        ("POST", path) => match path.strip_prefix("do/") {
            Some(what) => command(&lab, what, &request),
            None => nothing_here(),
        },
        _ => nothing_here(),
    }
}

/// The page may run its own script, talk with its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn the_page() -> Reply {
    let mut response = Response::new();
    response.body("text/html; charset=utf-8", PAGE.as_bytes()).expect("a constant type");
    // The address is a secret, and told to nobody.
    for (name, value) in [("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")] {
        response.header(name, value).expect("a constant field");
    }
    no_store(&mut response);
    response.into()
}

pub(super) fn nothing_here() -> Reply {
    refused(Status::NOT_FOUND, "there is nothing here")
}

/// The stream of everything that happens.
fn events(lab: &Rc<Lab>) -> Reply {
    let open = lab.pages.open(message::hello(&lab.facts));
    lab.link.set_watched(true);
    if let Some(snapshot) = lab.link.ask_for_snapshot() {
        open.page.tell(&message::snapshot(&snapshot, lab.dropped.get()), message::gap);
        if let Some(held) = lab.link.held() {
            open.page.tell(&message::gate(Some(&held)), message::gap);
        }
    }
    let (sender, receiver) = pieces();
    drop(lab.handle.spawn_named("page", stream(Rc::clone(lab), open, sender)));
    let mut response = Response::new();
    response.header("Content-Type", "text/event-stream").expect("a constant field");
    no_store(&mut response);
    Reply::Pieces(response, receiver)
}

/// Writes a page what it is told, for as long as it is there.
async fn stream(lab: Rc<Lab>, open: Open, mut sender: PieceSender) {
    loop {
        let next = lab.handle.timeout(HEARTBEAT, open.next()).await;
        let text = next.unwrap_or_else(|_elapsed| ":\n\n".into());
        if sender.send(text.as_bytes()).await.is_err() {
            break;
        }
    }
    drop(open);
    if lab.pages.count() == 0 {
        lab.link.set_watched(false);
        lab.leavings.set(lab.leavings.get() + 1);
        go_on_if_forgotten(&lab).await;
    }
}

/// Nobody looks any more, and the loop may be held, or slow, or about to be held: somebody may have
/// closed the page and forgotten the server behind it.
async fn go_on_if_forgotten(lab: &Lab) {
    let leaving = lab.leavings.get();
    lab.handle.sleep(FORGOTTEN_AFTER).await;
    let is_forgotten = lab.pages.count() == 0 && lab.leavings.get() == leaving;
    if is_forgotten && lab.link.take_orders_back() {
        log::warn!(
            "no page of the lab has been open for {FORGOTTEN_AFTER:?}: the loop goes on by itself"
        );
    }
}

/// The state of the loop, once.
async fn snapshot(lab: &Lab) -> Reply {
    let before = lab.link.snapshots();
    let fresh = match lab.link.ask_for_snapshot() {
        Some(_) => true,
        None => {
            let comes = poll_fn(|cx| lab.link.poll_snapshot(cx, before));
            lab.handle.timeout(SNAPSHOT_TIMEOUT, comes).await.is_ok()
        }
    };
    let Some(latest) = lab.link.latest() else {
        return refused(Status::SERVICE_UNAVAILABLE, "the loop has not turned yet, or is busy");
    };
    let mut object = latest.to_json(lab.dropped.get());
    object["stale"] = json!(!fresh);
    of_json(Status::OK, &object)
}

/// Refuses a stranger, whose connection is not kept.
fn turned_away(status: Status, error: &str) -> Reply {
    let mut response = json_response(status, &json!({"error": error}));
    response.close();
    response.into()
}

pub(super) fn refused(status: Status, error: &str) -> Reply {
    of_json(status, &json!({"error": error}))
}

pub(super) fn of_json(status: Status, value: &Value) -> Reply {
    json_response(status, value).into()
}

fn json_response(status: Status, value: &Value) -> Response {
    let mut response = Response::new();
    let text = format!("{value}\n");
    response.status(status).body("application/json", text.as_bytes()).expect("a constant type");
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response) {
    for (name, value) in [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")] {
        response.header(name, value).expect("a constant field");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lab::link::{Going, Held, Until};
    use crate::command::lab::snapshot::{Counts, Snapshot};
    use helloop::events::Timeout;
    use helloop::world::sim::{Peer, Sim};
    use std::time::Instant;

    /// A lab in a simulated world, without a server.
    fn lab(handle: &Handle) -> Rc<Lab> {
        let target = ([127, 0, 0, 1], 1).into();
        Rc::new(Lab {
            handle: handle.clone(),
            link: Link::new(true),
            pages: Pages::new(handle),
            traffic: Traffic::new(handle, target),
            facts: Facts {
                token: "secret".into(),
                url: "http://localhost:1/".into(),
                target,
                is_read_only: false,
                has_lessons: true,
            },
            dropped: Cell::new(0),
            leavings: Cell::new(0),
        })
    }

    /// Holds another thread, as if it were that of a watched loop.
    fn hold(lab: &Lab) -> JoinHandle<()> {
        let link = Arc::clone(&lab.link);
        let snapshot = Snapshot {
            births: std::collections::BTreeMap::new(),
            of_loop: lab.handle.snapshot(),
            now: lab.handle.clock(),
            phase: "between",
            is_paused: true,
            dwell: Duration::ZERO,
            timeout: Timeout::Forever,
            counts: Counts::default(),
        };
        let held = Held { why: "pause", before: "turn 1".into() };
        let thread = thread::spawn(move || link.hold(Going::Paused, held, snapshot));
        let patience = Instant::now() + Duration::from_secs(20);
        while lab.link.held().is_none() && Instant::now() < patience {
            thread::yield_now();
        }
        assert!(lab.link.held().is_some());
        thread
    }

    #[test]
    fn a_loop_that_is_held_and_forgotten_goes_on() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let lab = lab(event_loop.handle());
        let held = hold(&lab);
        let (link, forgotten) = (Arc::clone(&lab.link), Rc::clone(&lab));
        event_loop
            .run_until_complete(async move {
                let soon = FORGOTTEN_AFTER - Duration::from_millis(1);
                let goes_on = go_on_if_forgotten(&forgotten);
                let early = forgotten.handle.timeout(soon, goes_on).await.is_err();
                assert!(early && link.held().is_some(), "not at once: pages are reloaded");
                go_on_if_forgotten(&forgotten).await;
            })
            .unwrap();
        held.join().unwrap();
        assert!(lab.link.held().is_none());
    }

    #[test]
    fn what_a_page_has_ordered_ends_with_the_last_page() {
        let orders = |lab: &Lab| {
            let orders = lab.link.orders().expect("somebody has ordered something");
            (orders.going, orders.dwell)
        };
        let slow = Duration::from_secs(10);
        // Slow motion; a pause that has not come about; one that may come about much later.
        for going in [Going::On, Going::Paused, Going::Until(Until::Stall)] {
            let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
            let lab = lab(event_loop.handle());
            lab.link.slow(slow);
            lab.link.order(going, "a page");
            let forgotten = Rc::clone(&lab);
            event_loop
                .run_until_complete(async move {
                    let open = forgotten.pages.open(message::hello(&forgotten.facts));
                    go_on_if_forgotten(&forgotten).await;
                    assert_eq!(orders(&forgotten), (going, slow), "a page is open");
                    drop(open);
                    go_on_if_forgotten(&forgotten).await;
                    assert_eq!(orders(&forgotten), (Going::On, Duration::ZERO));
                })
                .unwrap();
        }
    }

    const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8081);

    /// The time after which the owner is shown the page if so many strangers were there before, each
    /// of whom has sent one of these beginnings and does nothing more.
    fn waited(strangers: usize, beginnings: &[&str]) -> Duration {
        let world = Sim::new(1);
        let net = world.net();
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let handle = event_loop.handle().clone();
        let lab = lab(&handle);
        let service = coroutines(move |request| answer(Rc::clone(&lab), request));
        let listener = handle.listen(ADDRESS.into()).unwrap();
        let builder = Server::builder().limits(limits());
        let server = builder.attach(&handle, vec![listener], service).unwrap();
        let connect = |begins: &str| {
            let peer = net.connect(ADDRESS.into());
            peer.send(begins.as_bytes());
            peer
        };
        let _strangers: Vec<Peer> =
            (0..strangers).map(|n| connect(beginnings[n % beginnings.len()])).collect();
        for _ in 0..100 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(server.open_connections(), strangers.min(CONNECTIONS_MAX));
        let owner = connect("GET /secret/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let began = net.now();
        let mut answer = String::new();
        while answer.is_empty() {
            event_loop.turn(Some(Duration::from_millis(10))).unwrap();
            answer = String::from_utf8(owner.receive()).unwrap();
            assert!(net.now().since(began) < Duration::from_secs(600), "it is never shown");
        }
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        net.now().since(began)
    }

    #[test]
    fn strangers_do_not_keep_the_owner_waiting() {
        let silent = "";
        let half_a_head = "GET / HTTP/1.1\r\n";
        let half_a_body = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 512\r\n\r\nx";
        let turned_away = "GET /guess/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let of_elsewhere = "GET /secret/ HTTP/1.1\r\nHost: evil.example\r\n\r\n";
        let all = [silent, half_a_head, half_a_body, turned_away, of_elsewhere];
        let a_place = REQUEST_TIMEOUT + LINGER_TIMEOUT + Duration::from_millis(20);
        for beginning in all {
            let waited = waited(CONNECTIONS_MAX, &[beginning]);
            assert!(waited <= a_place, "{waited:?}: {beginning}");
        }
        let waited = waited(2 * CONNECTIONS_MAX, &all);
        assert!(waited <= 2 * a_place, "{waited:?}");
    }

    #[test]
    fn a_loop_that_is_held_before_a_page_stays_held() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let lab = lab(event_loop.handle());
        let held = hold(&lab);
        let _open = lab.pages.open(message::hello(&lab.facts));
        let watching = Rc::clone(&lab);
        let waits = async move { go_on_if_forgotten(&watching).await };
        event_loop.run_until_complete(waits).unwrap();
        assert!(lab.link.held().is_some());
        // Also without a lab.
        drop(OpensTheGate(Arc::clone(&lab.link)));
        held.join().unwrap();
    }
}
