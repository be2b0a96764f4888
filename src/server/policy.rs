//! What becomes of bodies, for each service apart.

use super::{Service, Start};
use crate::event_loop::Handle;
use crate::http::{BodyPolicy, Request, Response};

/// A service of either kind whose bodies `judge` decides about, by the head alone: how long they may be, or that the
/// service is to answer without them.
///
/// ```
/// use helloop::http::{BodyPolicy, Response, Status};
/// use helloop::server::{Server, coroutines, with_body_policy};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// let upload = coroutines(|request| async move {
///     let mut response = Response::new();
///     match request.header("Authorization") {
///         None => response.status(Status::UNAUTHORIZED).text("who are you?\n"),
///         Some(_) => response.text(format_args!("{} bytes\n", request.body().len())),
///     };
///     response
/// });
/// // A stranger is answered before the body is sent; others may send a megabyte.
/// let judged = with_body_policy(upload, |head| match head.header("Authorization") {
///     None => BodyPolicy::Refuse,
///     Some(_) => BodyPolicy::CollectAtMost(1 << 20),
/// });
/// let running = Server::builder().bind("127.0.0.1:0")?.spawn(judged)?;
/// let mut client = TcpStream::connect(running.local_addrs()[0])?;
/// client.write_all(b"PUT /photo HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 401 "));
/// # running.handle().shutdown();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Limits::body_bytes_max`](crate::limits::Limits::body_bytes_max) holds for all: set it to what the most generous
/// service takes.
pub fn with_body_policy<S, J>(service: S, judge: J) -> WithBodyPolicy<S, J>
where
    S: Service,
    J: Fn(&Request<'_>) -> BodyPolicy,
{
    WithBodyPolicy { service, judge }
}

/// See [`with_body_policy`].
///
/// ```
/// use helloop::greeting::Greeting;
/// use helloop::http::{BodyPolicy, Request};
/// use helloop::server::{WithBodyPolicy, with_body_policy};
///
/// /// A service that can be named.
/// type Short = WithBodyPolicy<Greeting, fn(&Request<'_>) -> BodyPolicy>;
///
/// let short: Short = with_body_policy(Greeting, |_| BodyPolicy::CollectAtMost(100));
/// # drop(short);
/// ```
#[derive(Clone, Debug)]
pub struct WithBodyPolicy<S, J> {
    service: S,
    judge: J,
}

impl<S: Service, J: Fn(&Request<'_>) -> BodyPolicy> Service for WithBodyPolicy<S, J> {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        self.service.call(request, response);
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        self.service.start(request, response, handle)
    }

    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        (self.judge)(head)
    }
}
