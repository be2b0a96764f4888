//! What the lab's greeting server can do besides greeting: handlers for lessons. No other server
//! has them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use helloop::client::{Client, Error};
use helloop::event_loop::Handle;
use helloop::greeting::Greeting;
use helloop::http::{BodyPolicy, Request, Response};
use helloop::server::{OwnedRequest, Service, Start, coroutines};

/// How long the handler of `/block/` blocks the loop.
const BLOCK: Duration = Duration::from_millis(300);

/// `/sleep/N` sleeps for at most so many seconds.
const SLEEP_SECONDS_MAX: u64 = 10;

/// Bytes of the answer to `/big/`: more than the buffers of the kernel take.
const BIG_BYTES: usize = 8 * 1024 * 1024;

/// How long the handler of `/gather/` waits for what takes too long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Greets, and serves the lessons below `/sleep/`, `/block/`, `/big/` and `/gather/`.
#[derive(Debug)]
pub(super) struct Lessons {
    /// Where this server listens, once it does.
    pub(super) own_address: Rc<Cell<Option<SocketAddr>>>,
}

impl Service for Lessons {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        Greeting.call(request, response);
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        let lesson = request.path().strip_prefix('/').and_then(|path| path.split_once('/'));
        if request.method() != "GET" {
            return Greeting.start(request, response, handle);
        }
        match lesson {
            Some(("sleep", seconds)) => {
                let seconds = seconds.parse().unwrap_or(1).min(SLEEP_SECONDS_MAX);
                coroutines(move |request| nap(request, seconds)).start(request, response, handle)
            }
            Some(("gather", "")) => {
                let address = self.own_address.get();
                coroutines(move |request| gather(request, address)).start(request, response, handle)
            }
            Some(("block", "")) => {
                // The sin itself: nothing else happens on this thread meanwhile.
                thread::sleep(BLOCK);
                response.text(format_args!("Everybody had to wait for {BLOCK:?}.\n"));
                Start::Done
            }
            Some(("big", "")) => {
                let line = "This is a long answer, for a client that reads slowly.\n";
                response.text(line.repeat(BIG_BYTES / line.len()));
                Start::Done
            }
            _ => Greeting.start(request, response, handle),
        }
    }

    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        Greeting.body_policy(head)
    }
}

async fn nap(request: OwnedRequest, seconds: u64) -> Response {
    request.handle().sleep(Duration::from_secs(seconds)).await;
    let mut response = Response::new();
    response.text(format_args!("Nobody else had to wait for these {seconds} s.\n"));
    response
}

/// Fetches from its own server: two at once, and then one that is given up.
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

fn failed(error: &Error) -> String {
    format!("It failed: {error}.\n")
}
