//! The lab's own server: a second event loop on a thread of its own, which speaks with pages while
//! the first one is held.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::access;
use super::answers::{self, nothing_here, of_json, refused, the_page, turned_away};
use super::commands::command;
use super::link::Link;
use super::pages::Open;
use super::stage::{Guide, Stage};
use crate::event_loop::EventLoop;
use crate::http::Status;
use crate::lab::message::{self, Message};
use crate::limits::Limits;
use crate::server::{
    Attached, BindError, BodySender, OwnedRequest, Reply, Server, ServerHandle, coroutines,
    streamed_body,
};

/// Time between two batches of news for the pages.
const NEWS_INTERVAL: Duration = Duration::from_millis(40);

/// A loop of which nothing is heard for so long after a burst sleeps. Longer than the time between two snapshots of one
/// that runs.
const QUIET: Duration = Duration::from_millis(300);

/// Events in a batch; the others come with the next.
const BATCH_EVENTS_MAX: usize = 500;

/// Time after which a page is sent something although nothing happens, which finds those that are
/// gone.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

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

/// Time for a request, and between two of them. At the limit: the connection is closed. Anyone on this
/// machine can take all places without knowing the token, and the owner waits for one; a page
/// and its server on one machine need milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for a peer to close after its last answer. At the limit: the place is free.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// What a lab is to be.
pub(super) struct Plan {
    pub(super) token: String,
    /// Pages may look, and order nothing.
    pub(super) is_read_only: bool,
    pub(super) guide: Option<MakeGuide>,
}

/// Makes a guide, on the lab's own loop.
pub(super) type MakeGuide = Box<dyn FnOnce(Rc<Stage>) -> io::Result<Box<dyn Guide>> + Send>;

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
    Limits::default()
        .connections_max(CONNECTIONS_MAX)
        .body_bytes_max(BODY_BYTES_MAX)
        .head_timeout(REQUEST_TIMEOUT)
        .idle_timeout(REQUEST_TIMEOUT)
        .body_progress_timeout(REQUEST_TIMEOUT)
        .linger_timeout(LINGER_TIMEOUT)
}

impl Running {
    /// Starts the thread, and returns when it has begun to serve and to hear signals.
    ///
    /// # Errors
    /// When the system refuses the thread, or what it needs.
    pub(super) fn start(server: Server, link: &Arc<Link>, plan: Plan) -> io::Result<Running> {
        let handle = server.handle();
        let opens = OpensTheGate(Arc::clone(link));
        let (says, began) = channel();
        let thread = thread::Builder::new().name("lab".into()).spawn(move || {
            let (mut event_loop, attached) = match prepare(server, &opens.0, plan) {
                Ok(prepared) => prepared,
                Err(error) => return drop(says.send(Err(error))),
            };
            // The thread that started this one waits for it.
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
fn prepare(server: Server, link: &Arc<Link>, plan: Plan) -> io::Result<(EventLoop, Attached)> {
    let event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    let stage = Stage::new(&handle, link);
    let guide = plan.guide.map(|make| make(Rc::clone(&stage))).transpose()?;
    let desk = Rc::new(Desk::new(stage, plan.token, plan.is_read_only, guide));
    let answers = Rc::clone(&desk);
    let service = coroutines(move |request| answer(Rc::clone(&answers), request));
    let attached = server.attach(&handle, service)?;
    drop(handle.spawn_named("news", news(desk)));
    Ok((event_loop, attached))
}

/// What the answers to all requests share.
struct Desk {
    stage: Rc<Stage>,
    token: String,
    is_read_only: bool,
    guide: Option<Box<dyn Guide>>,
    /// Times that the last page was closed.
    leavings: Cell<u64>,
}

impl Desk {
    fn new(
        stage: Rc<Stage>,
        token: String,
        is_read_only: bool,
        guide: Option<Box<dyn Guide>>,
    ) -> Desk {
        Desk { stage, token, is_read_only, guide, leavings: Cell::new(0) }
    }

    /// What is sent to a page first.
    fn hello(&self) -> Message {
        let of_guide = self.guide.as_ref().map(|guide| guide.facts());
        message::hello(self.is_read_only, of_guide.as_deref())
    }
}

/// Takes what happens on the watched loop to the pages. A loop that sleeps after a burst would leave them with what they
/// were shown in the middle of it: then it is asked for a snapshot.
async fn news(desk: Rc<Desk>) {
    let stage = &desk.stage;
    loop {
        let next = poll_fn(|cx| stage.link.poll_news(cx, BATCH_EVENTS_MAX));
        let news = if stage.is_behind() {
            stage.handle().timeout(QUIET, next).await
        } else {
            Ok(next.await)
        };
        match news {
            Ok(news) => stage.tell_all(news),
            Err(_quiet) => stage.catch_up(),
        }
        stage.handle().sleep(NEWS_INTERVAL).await;
    }
}

/// One request: whether it may be asked, and what the answer is.
async fn answer(desk: Rc<Desk>, request: OwnedRequest) -> Reply {
    let path = match access::admitted(&request, &desk.token) {
        Ok(path) => path,
        Err((status, why)) => return turned_away(status, why),
    };
    match (request.method(), path) {
        ("GET" | "HEAD", "") => the_page(),
        ("GET", "events") => events(&desk),
        ("GET" | "HEAD", "snapshot") => snapshot(&desk).await,
        ("POST", path) => match path.strip_prefix("do/") {
            Some(what) => {
                let (link, guide) = (&desk.stage.link, desk.guide.as_deref());
                command(link, guide, desk.is_read_only, what, &request)
            }
            None => nothing_here(),
        },
        _ => nothing_here(),
    }
}

/// The stream of everything that happens.
fn events(desk: &Rc<Desk>) -> Reply {
    let stage = &desk.stage;
    let open = stage.pages.open(desk.hello());
    stage.link.set_watched(true);
    if let Some(snapshot) = stage.link.ask_for_snapshot() {
        stage.show(&snapshot);
        if let Some(held) = stage.link.held() {
            open.page.tell(&message::gate(Some(&held)), message::gap);
        }
    }
    let (sender, receiver) = streamed_body();
    drop(stage.handle().spawn_named("page", write(Rc::clone(desk), open, sender)));
    answers::stream(receiver)
}

/// Writes to a page what is sent to it, for as long as it is open.
async fn write(desk: Rc<Desk>, open: Open, mut sender: BodySender) {
    loop {
        let next = desk.stage.handle().timeout(HEARTBEAT, open.next()).await;
        let text = next.unwrap_or_else(|_elapsed| ":\n\n".into());
        if sender.send(text.as_bytes()).await.is_err() {
            break;
        }
    }
    drop(open);
    if desk.stage.pages.count() == 0 {
        desk.stage.link.set_watched(false);
        desk.leavings.set(desk.leavings.get() + 1);
        go_on_if_forgotten(&desk).await;
    }
}

/// No page is open any more, and the loop may be held, or slow, or about to be held: a person may have
/// closed the page and forgotten the server behind it.
async fn go_on_if_forgotten(desk: &Desk) {
    let leaving = desk.leavings.get();
    desk.stage.handle().sleep(FORGOTTEN_AFTER).await;
    let is_forgotten = desk.stage.pages.count() == 0 && desk.leavings.get() == leaving;
    if is_forgotten && desk.stage.link.take_orders_back() {
        log::warn!(
            "no page of the lab has been open for {FORGOTTEN_AFTER:?}: the loop goes on by itself"
        );
    }
}

/// The state of the loop, once.
async fn snapshot(desk: &Desk) -> Reply {
    let before = desk.stage.link.snapshots();
    let fresh = match desk.stage.link.ask_for_snapshot() {
        Some(_) => true,
        None => {
            let comes = poll_fn(|cx| desk.stage.link.poll_snapshot(cx, before));
            desk.stage.handle().timeout(SNAPSHOT_TIMEOUT, comes).await.is_ok()
        }
    };
    let Some(latest) = desk.stage.link.latest() else {
        return refused(Status::SERVICE_UNAVAILABLE, "the loop has not turned yet, or is busy");
    };
    let mut object = latest.to_json(desk.stage.dropped());
    object["stale"] = json!(!fresh);
    of_json(Status::OK, &object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::Handle;
    use crate::lab::message::Held;
    use crate::lab::orders::{Going, Until};
    use crate::lab::snapshot::Snapshot;
    use crate::lab::tally::Tally;
    use crate::world::sim::{Peer, Sim};
    use std::time::Instant;

    /// A lab in a simulated world, without a server.
    fn desk(handle: &Handle) -> Rc<Desk> {
        let stage = Stage::new(handle, &Link::new(true));
        Rc::new(Desk::new(stage, "secret".into(), false, None))
    }

    /// Holds another thread, as if it were that of a watched loop.
    fn hold(desk: &Desk) -> JoinHandle<()> {
        let link = Arc::clone(&desk.stage.link);
        let snapshot = Snapshot {
            tally: Tally::default(),
            of_loop: desk.stage.handle().snapshot(),
            now: desk.stage.handle().clock(),
            phase: "between",
            is_paused: true,
            dwell: Duration::ZERO,
        };
        let held = Held { why: "pause", before: "turn 1".into() };
        let thread = thread::spawn(move || link.hold(Going::Paused, held, snapshot));
        let patience = Instant::now() + Duration::from_secs(20);
        while desk.stage.link.held().is_none() && Instant::now() < patience {
            thread::yield_now();
        }
        assert!(desk.stage.link.held().is_some());
        thread
    }

    #[test]
    fn a_loop_that_is_held_and_forgotten_goes_on() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let desk = desk(event_loop.handle());
        let held = hold(&desk);
        let (link, forgotten) = (Arc::clone(&desk.stage.link), Rc::clone(&desk));
        event_loop
            .run_until_complete(async move {
                let soon = FORGOTTEN_AFTER - Duration::from_millis(1);
                let goes_on = go_on_if_forgotten(&forgotten);
                let early = forgotten.stage.handle().timeout(soon, goes_on).await.is_err();
                assert!(early && link.held().is_some(), "not at once: pages are reloaded");
                go_on_if_forgotten(&forgotten).await;
            })
            .unwrap();
        held.join().unwrap();
        assert!(desk.stage.link.held().is_none());
    }

    #[test]
    fn what_a_page_has_ordered_ends_with_the_last_page() {
        let orders = |desk: &Desk| {
            let orders = desk.stage.link.orders().expect("somebody has ordered something");
            (orders.going, orders.dwell)
        };
        let slow = Duration::from_secs(10);
        // Slow motion; a pause that has not come about; one that may come about much later.
        for going in [Going::On, Going::Paused, Going::Until(Until::Stall)] {
            let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
            let desk = desk(event_loop.handle());
            desk.stage.link.slow(slow);
            desk.stage.link.order(going, "a page");
            let forgotten = Rc::clone(&desk);
            event_loop
                .run_until_complete(async move {
                    let open = forgotten.stage.pages.open(forgotten.hello());
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
        let desk = desk(&handle);
        let service = coroutines(move |request| answer(Rc::clone(&desk), request));
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
        let desk = desk(event_loop.handle());
        let held = hold(&desk);
        let _open = desk.stage.pages.open(desk.hello());
        let watching = Rc::clone(&desk);
        let waits = async move { go_on_if_forgotten(&watching).await };
        event_loop.run_until_complete(waits).unwrap();
        assert!(desk.stage.link.held().is_some());
        // Also without a lab.
        drop(OpensTheGate(Arc::clone(&desk.stage.link)));
        held.join().unwrap();
    }
}
