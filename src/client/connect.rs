//! From a URL to a connection: look the name up, connect, shake hands.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use url::Url;

use super::connection::Connection;
use super::deadline::{TimedOut, Watch};
use super::error::{Error, ErrorKind, Phase};
use super::exchange::Exchange;
use super::race::Race;
use super::tls::{Connector, Session};
use crate::coroutine::{Relay, Resolver, Stream, with_port};
use crate::event_loop::Handle;

/// What opening a connection needs of a client.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) handle: Handle,
    pub(super) resolver: Resolver,
    pub(super) connector: Connector,
}

/// The clock of a fetch, and the task that is resumed when it rings.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) watch: Watch,
    pub(super) relay: Relay,
}

impl Patience {
    /// Awaits `future`, within the limits of the present phase.
    pub(super) async fn limit<F: Future>(&mut self, future: F) -> Result<F::Output, TimedOut> {
        let mut future = pin!(future);
        poll_fn(|cx| self.or_wait(cx, |cx| future.as_mut().poll(cx))).await
    }

    /// One step of something, within the limits of the present phase.
    pub(super) fn or_wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TimedOut>> {
        if let Poll::Ready(value) = poll(cx) {
            return Poll::Ready(Ok(value));
        }
        match self.watch.check(cx, &mut self.relay) {
            Ok(()) => Poll::Pending,
            Err(timed_out) => Poll::Ready(Err(timed_out)),
        }
    }
}

impl Patience {
    /// One step of an exchange, within the limits of the present phase. Before a limit is enforced,
    /// the kernel is asked once more: what it has may wait behind many other events.
    pub(super) fn exchange<T>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        poll: fn(&mut Exchange, &Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TimedOut>> {
        let outcome = self.or_wait(cx, |cx| poll(exchange, cx));
        let Poll::Ready(Err(timed_out)) = outcome else { return outcome };
        exchange.look_again();
        match poll(exchange, cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => Poll::Ready(Err(timed_out)),
        }
    }
}

impl TimedOut {
    pub(super) fn waiting_for(self, host: &str) -> Error {
        Error::timeout(self.phase, host, self.limit, self.is_whole)
    }
}

/// Host and port of a URL, for people and for `Host`: `localhost:8080`.
pub(super) fn authority(url: &Url) -> &str {
    &url[url::Position::BeforeHost..url::Position::AfterPort]
}

impl Opener {
    /// Opens a connection for `url`.
    pub(super) async fn open(
        &self,
        url: &Url,
        patience: &mut Patience,
    ) -> Result<Box<Connection>, Error> {
        let addresses = self.addresses(url, patience).await?;
        let (peer, mut stream) = self.connect(url, &addresses, patience).await?;
        let session = match url.scheme() {
            "https" => Some(self.secure(url, &mut stream, patience).await?),
            _ => None,
        };
        Ok(Box::new(Connection::new(stream, session, peer)))
    }

    async fn addresses(
        &self,
        url: &Url,
        patience: &mut Patience,
    ) -> Result<Rc<[SocketAddr]>, Error> {
        let host = url.host_str().unwrap_or_default();
        if let Some(known) = self.resolver.known(host) {
            return Ok(known);
        }
        let asked = self.resolver.ask(host);
        if !asked.has_begun() {
            // Waiting for other names' look-ups does not count as time for this one.
            patience.watch.enter(Phase::Queue);
            let begun = patience.limit(asked.begun()).await;
            begun.map_err(|timed_out| timed_out.waiting_for(host))?;
        }
        patience.watch.enter(Phase::Resolve);
        let answer = patience.limit(asked.answer()).await;
        let answer = answer.map_err(|timed_out| timed_out.waiting_for(host))?;
        answer.map_err(|error| {
            let message = format!("cannot resolve {host}: {error}");
            Error::new(ErrorKind::Resolve, Phase::Resolve, message)
        })
    }

    async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
        patience: &mut Patience,
    ) -> Result<(SocketAddr, Stream), Error> {
        patience.watch.enter(Phase::Connect);
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses: Vec<_> = addresses.iter().map(|known| with_port(*known, port)).collect();
        let mut race = Race::new(&self.handle, &addresses);
        let winner = poll_fn(|cx| patience.or_wait(cx, |cx| race.poll(cx))).await;
        let host = authority(url);
        match winner {
            Ok(Some(winner)) => Ok(winner),
            Ok(None) => {
                let message = format!("cannot connect to {host} ({})", race.failures());
                Err(Error::new(ErrorKind::Connect, Phase::Connect, message))
            }
            Err(timed_out) => Err(timed_out.waiting_for(&format!("{host} ({})", race.failures()))),
        }
    }

    async fn secure(
        &self,
        url: &Url,
        stream: &mut Stream,
        patience: &mut Patience,
    ) -> Result<Session, Error> {
        patience.watch.enter(Phase::Tls);
        let host = url.host_str().unwrap_or_default();
        let session = patience.limit(self.connector.session(host)).await;
        let mut session = session.map_err(|timed_out| timed_out.waiting_for(host))??;
        let shaken =
            poll_fn(|cx| patience.or_wait(cx, |cx| session.poll_handshake(stream, cx))).await;
        match shaken {
            Ok(Ok(())) => Ok(session),
            Ok(Err(error)) => {
                let message = format!("TLS handshake with {}: {error}", authority(url));
                Err(Error::new(ErrorKind::Tls, Phase::Tls, message))
            }
            Err(timed_out) => Err(timed_out.waiting_for(authority(url))),
        }
    }
}
