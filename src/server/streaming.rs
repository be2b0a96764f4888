//! Handlers that read the body of their request while it comes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::coroutine::{Answering, PARTS_WAITING_MAX, wake};
use super::{BodyPart, OwnedRequest, Part, Pending, Reply, Service, Start};
use crate::event_loop::Handle;
use crate::http::{BodyPolicy, Error, Request, RequestBuf, Response};

/// As [`coroutines`](super::coroutines), for a handler that is given the body while it comes. As long as it does not take
/// what is there, no more than a few pieces are read of the peer (backpressure); so a body that is larger than memory
/// can go through. [`Limits::body_bytes_max`](crate::limits::Limits::body_bytes_max) holds, and the times for a body do
/// while the handler waits for it.
///
/// A handler may answer before it has read all. Then the connection closes after the answer.
///
/// ```
/// use helloop::http::Response;
/// use helloop::server::{Server, streaming};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// let count = streaming(|_request, mut body| async move {
///     let (mut bytes, mut response) = (0, Response::new());
///     loop {
///         match body.next().await {
///             Ok(Some(piece)) => bytes += piece.len(),
///             Ok(None) => break response.text(format_args!("{bytes} bytes\n")),
///             // The peer was too slow, for example; its error says which status that is.
///             Err(error) => break response.status(error.status()).text(error),
///         };
///     }
///     .clone()
/// });
/// let running = Server::builder().bind("127.0.0.1:0")?.spawn(count)?;
/// let mut client = TcpStream::connect(running.local_addrs()[0])?;
/// client.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nhel")?;
/// client.write_all(b"lo\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("\r\n\r\n6 bytes\n"));
/// # running.handle().shutdown();
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn streaming<F, C>(handler: F) -> Streaming<F>
where
    F: Fn(OwnedRequest, RequestBody) -> C,
    C: Future<Output: Into<Reply>> + 'static,
{
    Streaming { handler, site: Location::caller() }
}

/// See [`streaming`].
///
/// ```
/// use helloop::http::Response;
/// use helloop::server::{OwnedRequest, RequestBody, Streaming, streaming};
/// use std::future::{Ready, ready};
///
/// /// A service that can be named.
/// type Refuses = Streaming<fn(OwnedRequest, RequestBody) -> Ready<Response>>;
///
/// fn refuse(_: OwnedRequest, _: RequestBody) -> Ready<Response> {
///     ready(Response::new())
/// }
/// let refuses: Refuses = streaming(refuse);
/// # drop(refuses);
/// ```
#[derive(Clone, Debug)]
pub struct Streaming<F> {
    handler: F,
    /// Where it was made: what its coroutines are known by.
    site: &'static Location<'static>,
}

impl<F, C> Service for Streaming<F>
where
    F: Fn(OwnedRequest, RequestBody) -> C,
    C: Future<Output: Into<Reply>> + 'static,
{
    fn call(&self, _: &Request<'_>, _: &mut Response) {
        unreachable!("`start` spawns a coroutine, and does not call");
    }

    fn start(&self, request: &Request<'_>, _: &mut Response, handle: &Handle) -> Start {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        if !request.body().is_empty() {
            // All of it is here already.
            inbox.borrow_mut().waiting.push_back(request.body().to_vec());
        }
        let owned = RequestBuf::from(request).with_body(Vec::new());
        let body = RequestBody { inbox: Rc::clone(&inbox) };
        let answer = (self.handler)(OwnedRequest::new(handle, owned), body);
        let task = handle.spawn_for(self.site, None, async { answer.await.into() });
        Start::Later(Box::new(Receiving { answering: Answering::Task(task), inbox }))
    }

    fn body_policy(&self, _: &Request<'_>) -> BodyPolicy {
        BodyPolicy::Stream
    }
}

/// The body of a request, on its way. Dropping it reads nothing more.
#[derive(Debug)]
pub struct RequestBody {
    inbox: Rc<RefCell<Inbox>>,
}

#[derive(Default)]
struct Inbox {
    /// At most [`PARTS_WAITING_MAX`].
    waiting: VecDeque<Vec<u8>>,
    /// How it ended.
    end: Option<Result<(), Error>>,
    reader_is_gone: bool,
    /// The handler, if it waits for more, and the connection, if it waits for room.
    reader: Option<Waker>,
    connection: Option<Waker>,
}

impl RequestBody {
    /// The next bytes, as they came; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the body, or that the peer was too slow. The connection closes after the answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        poll_fn(|cx| {
            let mut inbox = self.inbox.borrow_mut();
            if let Some(piece) = inbox.waiting.pop_front() {
                wake(&mut inbox.connection);
                return Poll::Ready(Ok(Some(piece)));
            }
            match inbox.end {
                Some(end) => Poll::Ready(end.map(|()| None)),
                None => {
                    inbox.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut inbox = self.inbox.borrow_mut();
        inbox.reader_is_gone = true;
        inbox.waiting.clear();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.len();
        f.debug_struct("Inbox").field("waiting", &waiting).field("end", &self.end).finish()
    }
}

/// An answer on its way, and a body on its way to the handler.
struct Receiving {
    answering: Answering,
    inbox: Rc<RefCell<Inbox>>,
}

impl Pending for Receiving {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        self.answering.poll_part(cx)
    }

    fn poll_wants_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.reader_is_gone || inbox.waiting.len() >= PARTS_WAITING_MAX {
            inbox.connection = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn take_body(&mut self, part: BodyPart) {
        let mut inbox = self.inbox.borrow_mut();
        match part {
            BodyPart::Bytes(bytes) => inbox.waiting.push_back(bytes),
            BodyPart::End => inbox.end = Some(Ok(())),
            BodyPart::Failed(error) => inbox.end = Some(Err(error)),
        }
        wake(&mut inbox.reader);
    }
}
