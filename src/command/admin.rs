//! `--admin`: a second server on the first loop, for those who run the first one.
//!
//! It answers as long as the loop turns, to the last turn of the drain: a supervisor that asks whether the program lives
//! must not be told no because it ends in good order.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use helloop::event_loop::EventLoop;
use helloop::http::{Request, Response, Status};
use helloop::limits::Limits;
use helloop::server::{BindError, Handover, Server, ServerHandle, Service};

use super::content::say_whether_ready;
use super::listening::bind;
use super::metrics::{CONTENT_TYPE, Figures, Page};
use super::version;
use crate::command::addresses;

/// Connections of the second server. Probes and scrapes are few; the descriptors are for the first.
const CONNECTIONS_MAX: usize = 16;

/// Descriptors that it may need: for connections, two listeners (twice, for a successor), and what each has in
/// its hand.
pub(crate) const DESCRIPTORS: usize = CONNECTIONS_MAX + 6;

/// Time without a request after which a connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Time for answers that are on their way when another process takes over.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(1);

/// What is found at `/`.
const INDEX: &str = "\
/live     200 while the loop turns
/ready    200, or 503 once the server drains
/metrics  figures for Prometheus
/version  which helloop this is
";

/// The second server, and the figures that it shows.
pub(crate) struct Admin {
    server: Server,
    /// One for each loop.
    figures: Vec<Arc<Figures>>,
    is_ending: Arc<AtomicBool>,
}

impl Admin {
    /// Listens at `address`, to show these figures; or on sockets that were taken over, if there are any.
    ///
    /// # Errors
    /// See [`BindError`].
    pub(crate) fn bind(
        address: &str,
        taken: Vec<OwnedFd>,
        figures: Vec<Arc<Figures>>,
        is_ending: &Arc<AtomicBool>,
    ) -> Result<Admin, BindError> {
        let mut limits = Limits::default();
        limits.connections_max = Some(CONNECTIONS_MAX);
        limits.idle_timeout = IDLE_TIMEOUT;
        let server = bind(Server::builder().limits(limits), address, taken)?;
        Ok(Admin { server, figures, is_ending: Arc::clone(is_ending) })
    }

    /// Serves on the first loop.
    ///
    /// # Errors
    /// When the loop cannot watch the listeners.
    pub(crate) fn attach(self, event_loop: &EventLoop, stderr: &mut dyn Write) -> io::Result<Open> {
        let Admin { server, figures, is_ending } = self;
        let urls = server.local_addrs().into_iter().map(|address| format!("http://{address}/"));
        let places: Vec<String> = urls.chain(addresses::unix(&server.local_paths())).collect();
        let first = figures.first().map(Arc::clone).unwrap_or_default();
        let page = Page { loops: figures, is_ending, started: since_1970() };
        let (held, handle) = (server.handover()?, server.handle());
        first.apart(|| server.attach(event_loop.handle(), Answers(page)))?;
        for place in places {
            // Whole lines, because others may write there as well.
            let _ = stderr.write_all(format!("Admin at {place}\n").as_bytes());
        }
        Ok(Open { held, handle })
    }
}

/// The second server while it serves.
pub(crate) struct Open {
    held: Handover,
    handle: ServerHandle,
}

impl Open {
    /// Its sockets, once more.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.held.descriptors().map(|fd| fd.try_clone_to_owned()).collect()
    }

    /// Another process answers from now on: this one would say that it is not ready.
    pub(crate) fn hand_over(self) {
        self.held.done();
        self.handle.drain(HANDOVER_TIMEOUT);
    }
}

fn since_1970() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// What it answers.
struct Answers(Page);

impl Service for Answers {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        if !matches!(request.method(), "GET" | "HEAD") {
            response.header("Allow", "GET, HEAD").expect("a good field");
            response
                .status(Status::METHOD_NOT_ALLOWED)
                .text_of(&["Only GET and HEAD are allowed.\n"]);
            return;
        }
        match request.path() {
            "/" => _ = response.text_of(&[INDEX]),
            "/live" => _ = response.text_of(&["alive\n"]),
            "/ready" => say_whether_ready(self.0.is_ending.load(Ordering::Relaxed), response),
            "/version" => _ = response.text_of(&["helloop ", &*version::LONG, "\n"]),
            "/metrics" => {
                let text = self.0.render();
                response.body(CONTENT_TYPE, text.as_bytes()).expect("a good type");
            }
            _ => {
                response.status(Status::NOT_FOUND);
                response.text_of(&["There is nothing here. Try / or /metrics.\n"]);
            }
        }
    }
}
