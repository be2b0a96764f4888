//! A lab that shows a simulated world: the same page, and the same server, without a second loop.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::Bound;
use super::access;
use super::answers::{self, nothing_here, obeyed, refused, the_page, turned_away};
use super::pages::{Open, Pages};
use super::server::HEARTBEAT;
use crate::coroutine::Event;
use crate::event_loop::Handle;
use crate::http::Status;
use crate::lab::history::Show;
use crate::lab::message;
use crate::server::{Attached, BodySender, OwnedRequest, Reply, coroutines, streamed_body};

/// The least time between two ticks: what happens meanwhile is sent together.
const TICK_MIN: Duration = Duration::from_millis(4);

/// What the answers to all requests share, and the world's own coroutine.
struct Desk {
    handle: Handle,
    token: String,
    is_read_only: bool,
    show: RefCell<Show>,
    pages: Rc<Pages>,
    /// Set by a command: the world may have to go on.
    is_ordered: Event,
}

impl Bound {
    /// Serves pages that show a simulated world, on a loop that the caller turns. All pages see the same one.
    ///
    /// # Errors
    /// When the loop cannot watch the listeners.
    pub fn simulate(self, handle: &Handle, show: Show) -> io::Result<Attached> {
        let desk = Rc::new(Desk {
            handle: handle.clone(),
            token: self.token,
            is_read_only: self.options.is_read_only,
            show: RefCell::new(show),
            pages: Pages::new(handle),
            is_ordered: Event::new(handle),
        });
        let answers = Rc::clone(&desk);
        let service = coroutines(move |request| answer(Rc::clone(&answers), request));
        let attached = self.server.attach(handle, service)?;
        drop(handle.spawn_named("simulated world", play(desk)));
        Ok(attached)
    }
}

/// Lets the world go on.
async fn play(desk: Rc<Desk>) {
    loop {
        let next = desk.show.borrow_mut().tick(desk.now());
        desk.tell();
        let ordered = desk.is_ordered.wait();
        match next {
            None => ordered.await,
            Some(next) => drop(desk.handle.timeout(next.max(TICK_MIN), ordered).await),
        }
        desk.is_ordered.clear();
    }
}

impl Desk {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.handle.clock().as_nanos())
    }

    /// Tells every page what is new. If one is too slow, all are told everything anew.
    fn tell(&self) {
        let mut show = self.show.borrow_mut();
        let mut is_one_lost = false;
        for message in show.take_messages() {
            is_one_lost |= self.pages.tell(&message, message::gap);
        }
        if is_one_lost {
            self.pages.tell(&show.anew(), message::gap);
        }
    }
}

async fn answer(desk: Rc<Desk>, request: OwnedRequest) -> Reply {
    let path = match access::admitted(&request, &desk.token) {
        Ok(path) => path,
        Err((status, why)) => return turned_away(status, why),
    };
    match (request.method(), path) {
        ("GET" | "HEAD", "") => the_page(),
        ("GET", "events") => events(&desk),
        ("POST", path) => match path.strip_prefix("do/") {
            Some(what) => command(&desk, what, &request),
            None => nothing_here(),
        },
        _ => nothing_here(),
    }
}

fn command(desk: &Desk, what: &str, request: &OwnedRequest) -> Reply {
    if let Some(why) = access::may_not_order(request, desk.is_read_only) {
        return refused(Status::FORBIDDEN, why);
    }
    let query = request.query().unwrap_or_default();
    let done = desk.show.borrow_mut().command(what, query, desk.now());
    desk.tell();
    desk.is_ordered.set();
    obeyed(done)
}

/// The stream of everything that happens, everything that has happened first.
fn events(desk: &Rc<Desk>) -> Reply {
    desk.show.borrow_mut().catch_up(desk.now());
    desk.tell();
    let mut show = desk.show.borrow_mut();
    let open = desk.pages.open(show.hello(desk.is_read_only));
    open.page.tell(&show.anew(), message::gap);
    let (sender, receiver) = streamed_body();
    drop(desk.handle.spawn_named("page", write(desk.handle.clone(), open, sender)));
    answers::stream(receiver)
}

/// Writes to a page what is sent to it, for as long as it is open.
async fn write(handle: Handle, open: Open, mut sender: BodySender) {
    loop {
        let next = handle.timeout(HEARTBEAT, open.next()).await;
        let text = next.unwrap_or_else(|_elapsed| ":\n\n".into());
        if sender.send(text.as_bytes()).await.is_err() {
            return;
        }
    }
}
