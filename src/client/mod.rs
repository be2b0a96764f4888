//! An HTTP/1.1 client, written in coroutines, on the same loop as everything else.
//!
//! ```no_run
//! use helloop::client::Client;
//! use helloop::coroutine;
//!
//! let text = coroutine::run(|handle| async move {
//!     let client = Client::new(&handle);
//!     client.get("http://localhost:8080/World").send().await?.text().await
//! })?;
//! println!("{}", text?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Reading order: `request` is the way of a fetch from the URL to the reply, and uses all others:
//! `pool` (which fetches have a connection, and which wait for one), `connect` and `race` (opening one),
//! `exchange` (bytes between the connection and the sans-IO machine of
//! [`http::Reply`](crate::http::Reply)), `redirect`, `reply`. `deadline` is the clock of one fetch.
//!
//! A user name and a password in a URL are sent as Basic authentication, and shown nowhere. Cookies
//! that come with a redirect go along with it, and are forgotten with the fetch.
//!
//! What it does not do: HTTP/2, proxies, cookies beyond a fetch, a cache.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use crate::coroutine::Resolver;
use crate::event_loop::Handle;
use crate::http::AskFields;
use crate::limits::{
    FETCH_CONNECTIONS_MAX, INPUT_BUFFER_BYTES, LOOK_UPS_MAX, REDIRECTS_MAX, REPLY_BODY_BYTES_MAX,
};

mod request;
mod reply;
mod exchange;
mod connect;
mod race;
mod connection;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
#[cfg(feature = "tls")]
mod any_cert;
#[cfg(feature = "tls")]
mod pinned;
mod pool;
mod idle;
mod got;
mod keeper;
mod redirect;
mod cookies;
mod credentials;
mod origin;
mod content;
mod text;
mod deadline;
mod error;

pub use credentials::without_credentials;
pub use deadline::{Timeouts, Timings};
pub use error::{Error, ErrorKind, Phase};
pub use reply::Reply;
pub use request::RequestBuilder;
#[cfg(feature = "tls")]
pub use tls::TlsConfig;

use connect::Opener;
use exchange::Scratch;
use origin::LastOrigin;
use pool::Pool;
use tls::Connector;

#[cfg(not(feature = "tls"))]
use tls::TlsConfig;

/// A client with its pool of connections. Clones are the same client; it stays on one loop.
///
/// When the last clone (and the last [`Reply`] or fetch under way) is dropped, its idle connections
/// are closed.
#[derive(Clone)]
pub struct Client {
    shared: Rc<Shared>,
}

struct Shared {
    opener: Opener,
    pool: Rc<Pool>,
    scratch: Scratch,
    last_origin: LastOrigin,
    timeouts: Rc<Timeouts>,
    /// Sent with every request that does not have them itself.
    headers: Vec<(String, String)>,
    /// The same as bytes, for requests without headers of their own.
    fields: AskFields,
    /// Bodies are decoded: the client itself says which codings it accepts.
    takes_codings_off: bool,
    redirects_max: u32,
    body_bytes_max: u64,
}

/// Fetches one URL with a client of its own: GET, with the defaults.
///
/// # Errors
/// See [`RequestBuilder::send`].
pub fn fetch(handle: &Handle, url: &str) -> impl Future<Output = Result<Reply, Error>> + use<> {
    Client::new(handle).get(url).send()
}

impl Client {
    /// A client with the defaults.
    pub fn new(handle: &Handle) -> Client {
        Client::builder(handle).build().expect("the defaults are good")
    }

    /// A client with other settings.
    pub fn builder(handle: &Handle) -> ClientBuilder {
        ClientBuilder {
            handle: handle.clone(),
            resolver: None,
            timeouts: Timeouts::default(),
            connections_max: FETCH_CONNECTIONS_MAX,
            connections_per_host_max: None,
            redirects_max: REDIRECTS_MAX,
            user_agent: concat!("helloop/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: Vec::new(),
            body_bytes_max: REPLY_BODY_BYTES_MAX,
            tls: TlsConfig::default(),
        }
    }

    /// A GET request.
    pub fn get(&self, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), "GET", url)
    }

    /// A HEAD request.
    pub fn head(&self, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), "HEAD", url)
    }

    /// A POST request.
    pub fn post(&self, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), "POST", url)
    }

    /// A request with any method but CONNECT, in the case in which it is to be sent.
    pub fn request(&self, method: &str, url: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method.to_owned(), url)
    }

    /// Connections that are open and idle.
    pub fn idle_connections(&self) -> usize {
        self.shared.pool.idle_count()
    }
}

/// A client under construction.
#[must_use = "a builder does nothing unless it builds"]
#[derive(Debug)]
pub struct ClientBuilder {
    handle: Handle,
    resolver: Option<Resolver>,
    timeouts: Timeouts,
    connections_max: usize,
    connections_per_host_max: Option<usize>,
    redirects_max: u32,
    user_agent: String,
    headers: Vec<(String, String)>,
    body_bytes_max: u64,
    tls: TlsConfig,
}

impl ClientBuilder {
    /// How long things may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> ClientBuilder {
        self.timeouts = timeouts;
        self
    }

    /// What looks names up. The default is a resolver of the client's own, which asks the system for as
    /// many names at a time as there may be connections, but at most [`LOOK_UPS_MAX`].
    pub fn resolver(mut self, resolver: Resolver) -> ClientBuilder {
        self.resolver = Some(resolver);
        self
    }

    /// See [`FETCH_CONNECTIONS_MAX`].
    pub fn connections_max(mut self, connections: usize) -> ClientBuilder {
        self.connections_max = connections;
        self
    }

    /// Busy connections to one origin (scheme, host, port); at the limit, fetches to it wait in order,
    /// and others overtake them. `None`, the default: no such limit.
    pub fn connections_per_host_max(mut self, connections: Option<usize>) -> ClientBuilder {
        self.connections_per_host_max = connections;
        self
    }

    /// See [`REDIRECTS_MAX`]. Zero: a redirect with a `Location` is an error.
    pub fn redirects_max(mut self, redirects: u32) -> ClientBuilder {
        self.redirects_max = redirects;
        self
    }

    /// What the client calls itself; empty: nothing. The default is `helloop/` and the version.
    pub fn user_agent(mut self, name: &str) -> ClientBuilder {
        name.clone_into(&mut self.user_agent);
        self
    }

    /// Appends a header field to every request that does not have it. With an `Accept-Encoding` of your
    /// own, here or with a request, bodies come in the coding in which they are sent.
    ///
    /// # Errors
    /// When it cannot be sent; see [`RequestBuilder::header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<ClientBuilder, Error> {
        let checked = AskFields::default().header(name, value).map(drop);
        checked.map_err(|error| Error::header(name, error))?;
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// Bytes of a body, before and after each of its codings is taken off; see [`REPLY_BODY_BYTES_MAX`]. At the
    /// limit: the fetch fails, even if the body is taken chunk by chunk.
    pub fn body_bytes_max(mut self, bytes: u64) -> ClientBuilder {
        self.body_bytes_max = bytes;
        self
    }

    /// How TLS is done.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: TlsConfig) -> ClientBuilder {
        self.tls = config;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the user agent cannot be sent, or a limit is zero, so that nothing could ever be fetched.
    pub fn build(self) -> Result<Client, Error> {
        if self.connections_max == 0 || self.connections_per_host_max == Some(0) {
            return Err(Error::request("a limit of connections is 0: no fetch could ever begin"));
        }
        let (headers, fields) = self.all_headers()?;
        let per_host_max = self.connections_per_host_max.unwrap_or(usize::MAX);
        let handle = self.handle;
        let resolver = self.resolver.unwrap_or_else(|| {
            let resolver = Resolver::with_defaults(&handle);
            resolver.set_look_ups_max(self.connections_max.min(LOOK_UPS_MAX));
            resolver
        });
        let shared = Shared {
            opener: Opener {
                handle: handle.clone(),
                resolver,
                connector: Connector::new(&handle, self.tls),
            },
            pool: Pool::new(&handle, self.connections_max, per_host_max),
            scratch: handle.local(scratch).0.clone(),
            last_origin: LastOrigin::default(),
            timeouts: Rc::new(self.timeouts),
            takes_codings_off: !has_field(&self.headers, ACCEPT_ENCODING),
            headers,
            fields,
            redirects_max: self.redirects_max,
            body_bytes_max: self.body_bytes_max,
        };
        Ok(Client { shared: Rc::new(shared) })
    }

    fn all_headers(&self) -> Result<(Vec<(String, String)>, AskFields), Error> {
        let accepted = content::accept_encoding();
        let mut all = Vec::new();
        let agent = Some(self.user_agent.as_str()).filter(|agent| !agent.is_empty());
        let own =
            [("User-Agent", agent), ("Accept", Some("*/*")), (ACCEPT_ENCODING, Some(&*accepted))];
        for (name, value) in own {
            if let Some(value) = value.filter(|_| !has_field(&self.headers, name)) {
                all.push((name.to_owned(), value.to_owned()));
            }
        }
        all.extend(self.headers.iter().cloned());
        let mut fields = AskFields::default();
        for (name, value) in &all {
            fields.header(name, value).map_err(|error| Error::header(name, error))?;
        }
        Ok((all, fields))
    }
}

/// What a request says about the codings that its sender can decode.
const ACCEPT_ENCODING: &str = "Accept-Encoding";

fn has_field(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

/// The loop's one buffer for all its clients.
struct LoopScratch(Scratch);

fn scratch() -> LoopScratch {
    LoopScratch(Rc::new(RefCell::new(vec![0; INPUT_BUFFER_BYTES].into_boxed_slice())))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("pool", &self.shared.pool).finish_non_exhaustive()
    }
}
