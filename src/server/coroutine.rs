//! Services that take their time: a handler is a coroutine, as in asyncio's `async def handle`.
//!
//! While it sleeps, fetches, or waits for a queue, the loop serves others. Its answer may be a
//! streamed body, with backpressure. A handler whose peer goes away is cancelled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::str::Utf8Error;
use std::task::{Context, Poll, Waker};

use super::{Service, Start};
use crate::coroutine::JoinHandle;
use crate::event_loop::Handle;
use crate::http::{Error, Headers, Request, RequestBuf, Response, Version};

/// Parts of a body that may wait in memory for the peer to read; then [`BodySender::send`] waits.
pub(super) const PARTS_WAITING_MAX: usize = 4;

/// A request that a coroutine owns, and the loop on which it runs. It says the same, by the same methods, as a
/// [`Request`]; what takes a `Request` takes its [`view`](OwnedRequest::view).
///
/// ```no_run
/// use helloop::http::{Request, Response};
/// use helloop::server::{Server, coroutines};
///
/// /// For handlers of both kinds.
/// fn language(request: &Request<'_>) -> String {
///     request.header("Accept-Language").unwrap_or("en").to_owned()
/// }
///
/// Server::builder().bind("localhost:8080")?.serve_until_signal(coroutines(|request| async move {
///     let mut response = Response::new();
///     response.text(format_args!("{} in {}\n", request.path(), language(&request.view())));
///     response
/// }))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    handle: Handle,
    request: RequestBuf,
}

impl OwnedRequest {
    pub(super) fn new(handle: &Handle, request: impl Into<RequestBuf>) -> OwnedRequest {
        OwnedRequest { handle: handle.clone(), request: request.into() }
    }

    /// The loop, for sleeping, spawning, and whatever else takes time.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The request as plain handlers see it.
    pub fn view(&self) -> Request<'_> {
        self.request.as_request()
    }

    /// See [`Request::method`].
    pub fn method(&self) -> &str {
        self.view().method()
    }

    /// See [`Request::target`].
    pub fn target(&self) -> &str {
        self.view().target()
    }

    /// See [`Request::path`].
    pub fn path(&self) -> &str {
        self.view().path()
    }

    /// See [`Request::query`].
    pub fn query(&self) -> Option<&str> {
        self.view().query()
    }

    /// See [`Request::version`].
    pub fn version(&self) -> Version {
        self.view().version()
    }

    /// See [`Request::headers`].
    pub fn headers(&self) -> Headers<'_> {
        self.view().headers()
    }

    /// See [`Request::header`].
    pub fn header(&self, name: &str) -> Option<&str> {
        self.view().header(name)
    }

    /// See [`Request::body`].
    pub fn body(&self) -> &[u8] {
        self.view().body()
    }

    /// See [`Request::text`].
    ///
    /// # Errors
    /// When the body is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        self.view().text()
    }

    /// See [`Request::peer`].
    pub fn peer(&self) -> Option<SocketAddr> {
        self.view().peer()
    }

    /// See [`Request::client_addr`].
    pub fn client_addr(&self) -> Option<SocketAddr> {
        self.view().client_addr()
    }

    /// See [`Request::query_pairs`].
    #[cfg(feature = "form")]
    pub fn query_pairs(&self) -> form_urlencoded::Parse<'_> {
        self.view().query_pairs()
    }

    /// See [`Request::query_value`].
    #[cfg(feature = "form")]
    pub fn query_value(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.view().query_value(name)
    }

    /// See [`Request::form_pairs`].
    #[cfg(feature = "form")]
    pub fn form_pairs(&self) -> form_urlencoded::Parse<'_> {
        self.view().form_pairs()
    }

    /// See [`Request::cookies`].
    #[cfg(feature = "cookies")]
    pub fn cookies(&self) -> impl Iterator<Item = cookie::Cookie<'_>> {
        self.view().cookies()
    }

    /// See [`Request::cookie`].
    #[cfg(feature = "cookies")]
    pub fn cookie(&self, name: &str) -> Option<cookie::Cookie<'_>> {
        self.view().cookie(name)
    }

    /// See [`Request::json`].
    ///
    /// # Errors
    /// When the body is not JSON, or not of that type.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde_core::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        self.view().json()
    }

    /// See [`Request::param`].
    #[cfg(feature = "router")]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.view().param(name)
    }
}

/// What a coroutine answers.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Whole(Response),
    /// The head; the body is streamed. The response's own body is not sent.
    Streamed(Response, BodyReceiver),
}

impl Reply {
    /// An answer of the media type `content_type` whose body `write` sends, in a task of its own. It must
    /// [finish](BodySender::finish) the body, if that has an end.
    ///
    /// ```no_run
    /// use helloop::server::{Reply, Server, coroutines};
    /// use std::time::Duration;
    ///
    /// Server::builder().bind("localhost:8080")?.serve(coroutines(|request| async move {
    ///     Reply::stream(request, "text/event-stream", |request, mut body| async move {
    ///         // Until the peer is gone.
    ///         while body.send("data: tick\n\n").await.is_ok() {
    ///             request.handle().sleep(Duration::from_secs(1)).await;
    ///         }
    ///     })
    /// }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If `content_type` has a control character.
    #[track_caller]
    pub fn stream<W, C>(request: OwnedRequest, content_type: &str, write: W) -> Reply
    where
        W: FnOnce(OwnedRequest, BodySender) -> C,
        C: Future<Output = ()> + 'static,
    {
        let (sender, receiver) = streamed_body();
        let mut response = Response::new();
        response.header("Content-Type", content_type).expect("a media type");
        let handle = request.handle.clone();
        drop(handle.spawn(write(request, sender)));
        Reply::Streamed(response, receiver)
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Reply {
        Reply::Whole(response)
    }
}

/// Makes a service of a coroutine function.
///
/// ```no_run
/// use helloop::http::Response;
/// use helloop::server::{Server, coroutines};
/// use std::time::Duration;
///
/// let server = Server::builder().bind("localhost:8080")?;
/// server.serve(coroutines(|request| async move {
///     request.handle().sleep(Duration::from_secs(1)).await;
///     let mut response = Response::new();
///     response.text("Hello, after a second!\n");
///     response
/// }))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A handler that panics is answered with 500, and its connection is closed. One whose peer closes
/// its side of the connection meanwhile is cancelled, even if that peer would still read; one that had
/// closed it together with its request is answered.
#[track_caller]
pub fn coroutines<F, C>(handler: F) -> Coroutines<F>
where
    F: Fn(OwnedRequest) -> C,
    C: Future<Output: Into<Reply>> + 'static,
{
    Coroutines { handler, site: Location::caller() }
}

/// See [`coroutines`].
#[derive(Clone, Debug)]
pub struct Coroutines<F> {
    handler: F,
    /// Where it was made: what its coroutines are known by.
    site: &'static Location<'static>,
}

impl<F, C> Service for Coroutines<F>
where
    F: Fn(OwnedRequest) -> C,
    C: Future<Output: Into<Reply>> + 'static,
{
    fn call(&self, _: &Request<'_>, _: &mut Response) {
        unreachable!("`start` spawns a coroutine, and does not call");
    }

    fn start(&self, request: &Request<'_>, _: &mut Response, handle: &Handle) -> Start {
        let answer = (self.handler)(OwnedRequest::new(handle, request));
        let task = handle.spawn_for(self.site, None, async { answer.await.into() });
        Start::Later(Box::new(Answering::Task(task)))
    }
}

/// An answer on its way. Dropping it cancels the coroutine that works on it.
///
/// ```
/// use helloop::event_loop::Handle;
/// use helloop::http::{Request, Response};
/// use helloop::server::{BodyPart, Part, Pending, Service, Start};
/// use std::task::{Context, Poll};
///
/// /// Answers later, and needs no coroutine for it.
/// struct Later;
///
/// impl Service for Later {
///     fn call(&self, _: &Request<'_>, _: &mut Response) {
///         unreachable!("`start` does not call it");
///     }
///
///     fn start(&self, _: &Request<'_>, _: &mut Response, _: &Handle) -> Start {
///         Start::Later(Box::new(Answer { is_asked: false }))
///     }
/// }
///
/// struct Answer {
///     is_asked: bool,
/// }
///
/// impl Pending for Answer {
///     fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
///         if std::mem::replace(&mut self.is_asked, true) {
///             return Poll::Ready(Part::Whole(Response::new()));
///         }
///         // Something else would wake it, at its time.
///         cx.waker().wake_by_ref();
///         Poll::Pending
///     }
///
///     fn take_body(&mut self, part: BodyPart) {
///         // The body was collected, and is in the request.
///         assert!(matches!(part, BodyPart::End));
///     }
/// }
/// let mut response = Response::new();
/// # let event_loop = helloop::event_loop::EventLoop::new()?;
/// # let start = Later.start(&Request::new("GET", "/").unwrap(), &mut response, event_loop.handle());
/// # let Start::Later(mut pending) = start else { unreachable!() };
/// # let mut cx = Context::from_waker(std::task::Waker::noop());
/// # assert!(pending.poll_part(&mut cx).is_pending() && pending.poll_part(&mut cx).is_ready());
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Pending {
    /// The next part, or `Poll::Pending`; the waker is woken when there is more.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part>;

    /// Where the policy was [`BodyPolicy::Stream`](crate::http::BodyPolicy::Stream): whether there is room for more of the
    /// request's body. `Poll::Pending` if not: then nothing more is read of the peer; the waker is woken when there is
    /// room. By default there never is.
    fn poll_wants_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Takes a part of the request's body. Called with [`BodyPart::End`] even if there is none.
    fn take_body(&mut self, part: BodyPart) {
        drop(part);
    }
}

/// Part of the body of a request.
#[derive(Debug)]
pub enum BodyPart {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// It is complete.
    End,
    /// It will not be: this is wrong with it, or with waiting for it.
    Failed(Error),
}

/// Part of an answer that comes later.
#[derive(Debug)]
pub enum Part {
    /// All of it.
    Whole(Response),
    /// The head; the body is streamed.
    Head(Response),
    /// The next bytes of the body.
    Bytes(Vec<u8>),
    /// The body is complete.
    End,
    /// The service failed.
    Failed,
}

pub(super) enum Answering {
    /// The handler is at work.
    Task(JoinHandle<Reply>),
    /// It has answered with a streamed body.
    Streamed(BodyReceiver),
}

impl Pending for Answering {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        match self {
            Answering::Task(task) => Pin::new(task).poll(cx).map(|answer| match answer {
                Ok(Reply::Whole(response)) => Part::Whole(response),
                Ok(Reply::Streamed(response, body)) => {
                    *self = Answering::Streamed(body);
                    Part::Head(response)
                }
                Err(_) => Part::Failed,
            }),
            Answering::Streamed(body) => body.poll_bytes(cx),
        }
    }
}

/// A channel for the body of one answer.
pub fn streamed_body() -> (BodySender, BodyReceiver) {
    let channel = Rc::new(RefCell::new(Channel::default()));
    (BodySender { channel: Rc::clone(&channel) }, BodyReceiver { channel })
}

#[derive(Debug, Default)]
struct Channel {
    /// At most [`PARTS_WAITING_MAX`].
    waiting: VecDeque<Vec<u8>>,
    /// The body is complete.
    is_complete: bool,
    sender_is_gone: bool,
    receiver_is_gone: bool,
    /// The one that waits for bytes, and the one that waits for room.
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

/// Sends the body of an answer, to its [end](BodySender::finish). Dropped before that, by a panic for
/// example, it leaves an answer that is truncated, and the peer sees that it is: the last chunk is
/// not sent, and the connection is closed; in HTTP/1.0, which knows no chunks, it is reset (RFC 9112
/// section 8).
#[derive(Debug)]
pub struct BodySender {
    channel: Rc<RefCell<Channel>>,
}

/// The connection is gone: the peer does not read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is gone")
    }
}

impl std::error::Error for Gone {}

impl BodySender {
    /// Sends bytes of the body; waits while the peer reads too slowly (backpressure). No bytes are no
    /// part of the body.
    ///
    /// # Errors
    /// [`Gone`] when the connection is.
    pub async fn send(&mut self, piece: impl Into<Vec<u8>>) -> Result<(), Gone> {
        let mut piece = Some(piece.into());
        poll_fn(|cx| {
            let mut channel = self.channel.borrow_mut();
            if channel.receiver_is_gone {
                return Poll::Ready(Err(Gone));
            }
            if channel.waiting.len() >= PARTS_WAITING_MAX {
                channel.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
            channel.waiting.extend(piece.take());
            wake(&mut channel.receiver);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The answer is complete.
    pub fn finish(self) {
        self.channel.borrow_mut().is_complete = true;
    }

    /// True once the connection is gone.
    pub fn is_gone(&self) -> bool {
        self.channel.borrow().receiver_is_gone
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        let mut channel = self.channel.borrow_mut();
        channel.sender_is_gone = true;
        wake(&mut channel.receiver);
    }
}

/// The connection's end of [`streamed_body`]; goes into [`Reply::Streamed`].
///
/// ```
/// use helloop::http::Response;
/// use helloop::server::{BodyReceiver, BodySender, Coroutines, OwnedRequest, Reply, coroutines, streamed_body};
///
/// /// A service that can be named.
/// type Streams = Coroutines<fn(OwnedRequest) -> std::future::Ready<Reply>>;
///
/// fn numbers(request: OwnedRequest) -> std::future::Ready<Reply> {
///     let (mut sender, receiver): (BodySender, BodyReceiver) = streamed_body();
///     drop(request.handle().spawn(async move {
///         for number in 0..10 {
///             if sender.send(format!("{number}\n")).await.is_err() {
///                 return;
///             }
///         }
///         sender.finish();
///     }));
///     std::future::ready(Reply::Streamed(Response::new(), receiver))
/// }
///
/// let streams: Streams = coroutines(numbers);
/// # drop(streams);
/// ```
#[derive(Debug)]
pub struct BodyReceiver {
    channel: Rc<RefCell<Channel>>,
}

impl BodyReceiver {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let mut channel = self.channel.borrow_mut();
        if let Some(piece) = channel.waiting.pop_front() {
            wake(&mut channel.sender);
            return Poll::Ready(Part::Bytes(piece));
        }
        if channel.sender_is_gone {
            return Poll::Ready(if channel.is_complete { Part::End } else { Part::Failed });
        }
        channel.receiver = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut channel = self.channel.borrow_mut();
        channel.receiver_is_gone = true;
        channel.waiting.clear();
        wake(&mut channel.sender);
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
