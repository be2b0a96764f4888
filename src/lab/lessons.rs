//! What a lab's server can do besides what it is for: handlers for the lessons of the page.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "client")]
use crate::client::{Client, Error};
use crate::event_loop::Handle;
use crate::http::{BodyPolicy, Request, Response};
use crate::server::{OwnedRequest, Service, Start, coroutines};

/// How long the handler of `/block/` blocks the loop.
const BLOCK: Duration = Duration::from_millis(300);

/// How long the work takes that the handler of `/thread/` leaves to another thread.
const WORK: Duration = Duration::from_secs(1);

/// `/sleep/N` sleeps for at most so many seconds.
const SLEEP_SECONDS_MAX: u64 = 10;

/// How long the handler of `/gather/` waits for what takes too long.
#[cfg(feature = "client")]
const PATIENCE: Duration = Duration::from_secs(2);

/// Has work done elsewhere that takes so long. What it returns ends when that is done.
pub type Elsewhere = dyn Fn(&Handle, Duration) -> Pin<Box<dyn Future<Output = ()>>>;

/// A service, and beside it the lessons below `/sleep/`, `/block/`, `/big/`, `/thread/` and `/gather/` (that with
/// feature `client`).
pub struct Lessons<S> {
    /// What is asked for everything else.
    pub service: S,
    /// Bytes of the answer to `/big/`: more than lies between a server and a client that does not read.
    pub big_bytes: usize,
    /// Blocks the thread for so long: the sin that `/block/` shows. In a simulated world, the clock has to be told.
    pub block: Box<dyn Fn(Duration)>,
    /// Has work done by another thread for so long, which wakes the loop then: what `/thread/` shows. In a simulated
    /// world, something from outside wakes it.
    pub elsewhere: Rc<Elsewhere>,
    /// Where this server listens, once it does.
    pub own_address: Box<dyn Fn() -> Option<SocketAddr>>,
}

impl<S: fmt::Debug> fmt::Debug for Lessons<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lessons").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S: Service> Service for Lessons<S> {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        self.service.call(request, response);
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        let lesson = request.path().strip_prefix('/').and_then(|path| path.split_once('/'));
        if request.method() != "GET" {
            return self.service.start(request, response, handle);
        }
        match lesson {
            Some(("sleep", seconds)) => {
                let seconds = seconds.parse().unwrap_or(1).min(SLEEP_SECONDS_MAX);
                coroutines(move |request| nap(request, seconds)).start(request, response, handle)
            }
            #[cfg(feature = "client")]
            Some(("gather", "")) => {
                let address = (self.own_address)();
                coroutines(move |request| gather(request, address)).start(request, response, handle)
            }
            Some(("block", "")) => {
                // The sin itself: nothing else happens on this thread meanwhile.
                (self.block)(BLOCK);
                response.text(format_args!("Everybody had to wait for {BLOCK:?}.\n"));
                Start::Done
            }
            Some(("thread", "")) => {
                let elsewhere = Rc::clone(&self.elsewhere);
                coroutines(move |request| after_work(elsewhere(request.handle(), WORK)))
                    .start(request, response, handle)
            }
            Some(("big", "")) => {
                let line = "This is a long answer, for a client that reads slowly.\n";
                response.text(line.repeat(self.big_bytes / line.len()));
                Start::Done
            }
            _ => self.service.start(request, response, handle),
        }
    }

    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        self.service.body_policy(head)
    }
}

async fn nap(request: OwnedRequest, seconds: u64) -> Response {
    request.handle().sleep(Duration::from_secs(seconds)).await;
    let mut response = Response::new();
    response.text(format_args!("Nobody else had to wait for these {seconds} s.\n"));
    response
}

async fn after_work(work: impl Future<Output = ()>) -> Response {
    work.await;
    let mut response = Response::new();
    response.text(format_args!("Another thread worked for {WORK:?}.\n"));
    response
}

/// Fetches from its own server: two at once, and then one that is given up.
#[cfg(feature = "client")]
async fn gather(request: OwnedRequest, address: Option<SocketAddr>) -> Response {
    let mut response = Response::new();
    let Some(address) = address else { return response };
    let handle = request.handle();
    let client = Client::new(handle);
    let fetch = |path: &'static str| {
        let ask = client.get(&format!("http://{address}{path}"));
        async move { ask.send().await?.text().await }
    };
    let two = handle.gather([fetch("/World"), fetch("/sleep/1")]).await;
    // What is dropped is cancelled: the fetch, and, because its peer goes away, the handler.
    let given_up = handle.timeout(PATIENCE, handle.gather([fetch("/sleep/9")])).await;
    let texts = two.into_iter().map(|text| match text {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => failed(&error),
        Err(error) => format!("{error}\n"),
    });
    let last = match given_up {
        Ok(_) => "It came after all.\n".into(),
        Err(elapsed) => format!("The third was cancelled: {elapsed}.\n"),
    };
    response.text(texts.chain([last]).collect::<String>());
    response
}

#[cfg(feature = "client")]
fn failed(error: &Error) -> String {
    format!("It failed: {error}.\n")
}
