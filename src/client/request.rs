//! What is asked for, and the way from asking to a reply.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use url::Url;

use super::connect::{Opener, Patience, authority};
use super::cookies::{COOKIE, Cookies};
use super::credentials::{self, AUTHORIZATION, without_credentials};
use super::deadline::Watch;
use super::error::{Error, ErrorKind, Phase};
use super::exchange::{Exchange, Message};
use super::origin::LastOrigin;
use super::pool::Lease;
use super::redirect;
use super::reply::Reply;
use super::{ACCEPT_ENCODING, Client, Shared, has_field};
use crate::coroutine::Relay;
use crate::http::{Ask, AskError, Reply as Machine, ReplyHead};
use crate::limits::{REQUEST_BODY_INLINE_BYTES_MAX, ReplyLimits};

/// A request under construction. It does nothing until it is [sent](RequestBuilder::send).
#[must_use = "a request does nothing unless it is sent"]
pub struct RequestBuilder(Result<Box<Job>, Error>);

impl RequestBuilder {
    pub(super) fn new(
        client: Client,
        method: impl Into<Cow<'static, str>>,
        url: &str,
    ) -> RequestBuilder {
        let method = method.into();
        let url = parse_url(url, &client.shared.last_origin);
        let job = |(url, credentials)| Job {
            client,
            method,
            url,
            credentials,
            headers: Vec::new(),
            body: None,
            redirects: 0,
            cookies: Cookies::default(),
        };
        RequestBuilder(url.map(job).map(Box::new))
    }

    /// Appends a header field. It replaces the client's own fields with this name. One that cannot be
    /// sent (not a token; a line break in the value; one that belongs to the connection,
    /// such as `Host` or `Content-Length`) makes [`send`](RequestBuilder::send) fail.
    pub fn header(mut self, name: &str, value: &str) -> RequestBuilder {
        if let Ok(job) = &mut self.0 {
            job.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sets the body. Give its `Content-Type`, too. A TRACE must not have one (RFC 9110 section
    /// 9.3.8): [`send`](RequestBuilder::send) fails.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> RequestBuilder {
        if let Ok(job) = &mut self.0 {
            job.body = Some(Rc::from(body.into()));
        }
        self
    }

    /// Sends the request, follows redirects, and waits for the head of the reply. Every status that
    /// is not a redirect is a reply, even 404 and 500.
    ///
    /// A GET, or another idempotent request (RFC 9110 section 9.2.2), whose kept connection turns out
    /// to be closed is sent once more, on a new connection. Any other is, too, as long as nothing of
    /// it has been sent.
    ///
    /// # Errors
    /// [`Error`] says which.
    pub async fn send(self) -> Result<Reply, Error> {
        self.0?.run().await
    }
}

/// A fetch under way. In boxes: what awaits it, and what waits for a connection, stays small.
pub(super) struct Job {
    client: Client,
    pub(super) method: Cow<'static, str>,
    /// Without user name and password.
    pub(super) url: Url,
    /// The field that these become, unless the caller sets that field.
    credentials: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Rc<[u8]>>,
    redirects: u32,
    cookies: Cookies,
}

impl Job {
    async fn run(mut self: Box<Self>) -> Result<Reply, Error> {
        if let Some(value) = self.credentials.take()
            && !self.has_header(AUTHORIZATION)
        {
            self.headers.push((AUTHORIZATION.to_owned(), value));
        }
        let handle = &self.client.shared.opener.handle;
        let watch = Watch::start(handle, &self.client.shared.timeouts);
        let mut patience = Patience { watch, relay: Relay::default() };
        loop {
            let lease = self.lease(&mut patience).await?;
            let (head, exchange) = self.converse(lease, &mut patience).await?;
            let Some(next) = redirect::target(&head, &self.url) else {
                return Ok((*self).reply(head, exchange, patience));
            };
            self.count_redirect()?;
            self.cookies.take(&head, &self.url, self.client.shared.opener.handle.wall());
            self.redirect(head.status(), next?);
            // Its connection, if it is not given back already, makes room for the next.
            drop(exchange);
            patience.watch.enter(Phase::Queue);
        }
    }

    async fn lease(&self, patience: &mut Patience) -> Result<Lease, Error> {
        let origin = &self.url[..url::Position::BeforePath];
        let Shared { pool, opener: Opener { handle, .. }, .. } = &*self.client.shared;
        let mut acquire = pool.acquire(origin);
        let granted = poll_fn(|cx| {
            let task = patience.relay.task(handle, cx);
            patience.or_wait(cx, |_| acquire.poll(task))
        });
        granted.await.map_err(|timed_out| timed_out.waiting_for(authority(&self.url)))
    }

    /// One request and the head of its reply; with the retry on a new connection.
    async fn converse(
        &self,
        lease: Lease,
        patience: &mut Patience,
    ) -> Result<(ReplyHead, Box<Exchange>), Error> {
        let mut exchange = self.exchange(lease, self.message()?)?;
        loop {
            if !exchange.is_connected() {
                // In a box that is gone when the connection is there.
                let opening = self.client.shared.opener.open(&self.url, patience);
                exchange.connect(Box::pin(opening).await?);
            }
            patience.watch.enter(Phase::Head);
            let error = match self.head(&mut exchange, patience).await {
                Ok(head) => return Ok((head, exchange)),
                Err(error) => error,
            };
            let is_closed = matches!(error.kind(), ErrorKind::Reset | ErrorKind::Truncated);
            let may_be_repeated = self.is_idempotent() && !exchange.is_answered;
            if !(is_closed && (may_be_repeated || exchange.is_untouched())) {
                return Err(error);
            }
            let Some((mut lease, message)) = exchange.into_parts() else { return Err(error) };
            lease.start_afresh();
            exchange = self.exchange(lease, message)?;
        }
    }

    async fn head(
        &self,
        exchange: &mut Exchange,
        patience: &mut Patience,
    ) -> Result<ReplyHead, Error> {
        let head = poll_fn(|cx| patience.exchange(cx, exchange, Exchange::poll_head)).await;
        head.map_err(|timed_out| timed_out.waiting_for(authority(&self.url)))?
    }

    /// In a box, because it goes on into the reply.
    fn exchange(&self, lease: Lease, message: Message) -> Result<Box<Exchange>, Error> {
        let shared = &self.client.shared;
        let limits = ReplyLimits { body_bytes_max: shared.body_bytes_max, ..Default::default() };
        let machine = Machine::new(&self.method, limits).map_err(bad)?;
        Ok(Box::new(Exchange::new(shared, lease, message, machine)))
    }

    /// The request as bytes.
    fn message(&self) -> Result<Message, Error> {
        let target = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut ask = Ask::new(&self.method, target, authority(&self.url)).map_err(bad)?;
        if self.method == "TRACE" && self.body.is_some() {
            return Err(Error::request("bad request: a TRACE has no body"));
        }
        self.add_headers(&mut ask)?;
        let is_idempotent = self.is_idempotent();
        let Some(body) = &self.body else {
            return Ok(Message { head: ask.into_bytes(), body: None, is_idempotent });
        };
        ask.body_bytes(body.len() as u64);
        let mut message = Message { head: ask.into_bytes(), body: None, is_idempotent };
        if body.len() <= REQUEST_BODY_INLINE_BYTES_MAX {
            message.head.extend_from_slice(body);
        } else {
            message.body = Some(Rc::clone(body));
        }
        Ok(message)
    }

    fn add_headers(&self, ask: &mut Ask) -> Result<(), Error> {
        let shared = &self.client.shared;
        if self.headers.is_empty() && self.cookies.is_empty() {
            ask.fields(&shared.fields);
            return Ok(());
        }
        let own = shared.headers.iter().filter(|(name, _)| !self.has_header(name));
        let (given, mut others): (Vec<_>, Vec<_>) = own
            .chain(&self.headers)
            .map(|(name, value)| (&**name, &**value))
            .partition(|(name, _)| name.eq_ignore_ascii_case(COOKIE));
        let values: Vec<_> = given.iter().map(|(_, value)| *value).collect();
        let cookies = self.cookies.field(&self.url, &values);
        match &cookies {
            Some(all) => others.push((COOKIE, all)),
            None => others.extend(given),
        }
        for (name, value) in others {
            ask.header(name, value).map_err(|error| Error::header(name, error))?;
        }
        Ok(())
    }

    fn has_header(&self, name: &str) -> bool {
        has_field(&self.headers, name)
    }

    fn reply(self, head: ReplyHead, exchange: Box<Exchange>, patience: Patience) -> Reply {
        // A caller that asks for a coding itself wants the body as it is sent.
        let Shared { takes_codings_off, body_bytes_max, .. } = *self.client.shared;
        let is_decoded = takes_codings_off && !self.has_header(ACCEPT_ENCODING);
        Reply::new(self.url, head, exchange, patience, is_decoded, body_bytes_max)
    }

    /// Makes this the request that follows a redirect with `status` to `next`.
    ///
    /// Secrets go to the origin for which they were given, and to no other, not even the same host without TLS.
    fn redirect(&mut self, status: u16, next: Url) {
        if redirect::becomes_get(status, &self.method) {
            self.method = "GET".into();
            self.body = None;
            self.drop_headers(&redirect::OF_BODY);
        }
        if next.origin() != self.url.origin() {
            self.drop_headers(&redirect::SECRETS);
        }
        self.url = next;
    }

    fn drop_headers(&mut self, names: &[&str]) {
        self.headers.retain(|(name, _)| !names.iter().any(|drop| drop.eq_ignore_ascii_case(name)));
    }

    fn count_redirect(&mut self) -> Result<(), Error> {
        let max = self.client.shared.redirects_max;
        if self.redirects == max {
            let message = format!("{} redirects: already {max} were followed", self.url);
            return Err(Error::new(ErrorKind::Redirect, Phase::Head, message));
        }
        self.redirects += 1;
        Ok(())
    }

    /// Whether sending it twice is the same as sending it once.
    fn is_idempotent(&self) -> bool {
        matches!(&*self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

fn bad(error: AskError) -> Error {
    Error::request(format!("bad request: {error}"))
}

/// A URL that can be fetched, and the field that user name and password become.
fn parse_url(text: &str, last_origin: &LastOrigin) -> Result<(Url, Option<String>), Error> {
    let refuse = |why: &dyn fmt::Display| {
        let shown = without_credentials(text);
        Error::url(format!("`{}` is not a URL of the web: {why}", shown.escape_debug()))
    };
    let mut url = last_origin.parse(text).map_err(|error| refuse(&error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(&"it does not begin with http:// or https://"));
    }
    let credentials = credentials::take_from(&mut url);
    Ok((url, credentials))
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequestBuilder");
        match &self.0 {
            Ok(job) => shown.field("method", &job.method).field("url", &job.url.as_str()),
            Err(error) => shown.field("error", error),
        };
        shown.finish_non_exhaustive()
    }
}
