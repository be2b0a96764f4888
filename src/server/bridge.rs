//! Between an exchange, which knows no loop, and a server, which knows the service.

use std::cell::RefMut;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Pending, Service, Shared, Start};
use crate::events::{Event, Excerpt};
use crate::http::{Answer, BodyPolicy, DateCache, Handled, Handler, Request, Response, Status};
use crate::id::TaskId;
use crate::limits::Limits;
use crate::panics::caught;
use crate::world::Time;

/// One answer, for an access log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// Who asked. The scope of an IPv6 link-local address is not kept.
    pub peer: SocketAddr,
    /// What was asked; `None` if the head could not be read.
    pub request: Option<&'a Request<'a>>,
    /// The status of the answer.
    pub status: Status,
    /// Bytes of the answer's body.
    pub body_bytes: usize,
    /// How long the service took.
    pub service_time: Duration,
}

/// On whose behalf an exchange works.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) peer: SocketAddr,
    pub(super) task: TaskId,
    pub(super) now: Time,
    /// Requests that the connection has answered before.
    pub(super) answered: u32,
    /// Requests that it may answer in this call.
    pub(super) requests_left: usize,
}

/// What an exchange needs from outside, for one call.
pub(super) struct Bridge<'a, S> {
    shared: &'a Shared<S>,
    who: Who,
    date: RefMut<'a, DateCache>,
    /// Set if the service takes its time.
    pending: Option<Box<dyn Pending>>,
    /// Of the request that is being answered.
    service_time: Duration,
}

impl<S: Service> Shared<S> {
    /// Calls `exchange` with the bridge to the service, and with the one reused response. Gives
    /// also the answer that is on its way, if the service takes its time.
    pub(super) fn with_bridge<R>(
        &self,
        who: Who,
        exchange: impl FnOnce(&mut Bridge<'_, S>, &mut Response) -> R,
    ) -> (R, Option<Box<dyn Pending>>) {
        let (date, mut response) = (self.date.borrow_mut(), self.response.borrow_mut());
        let mut bridge =
            Bridge { shared: self, who, date, pending: None, service_time: Duration::ZERO };
        let result = exchange(&mut bridge, &mut response);
        (result, bridge.pending)
    }
}

impl<S: Service> Bridge<'_, S> {
    fn call_service(&mut self, request: &Request<'_>, response: &mut Response) -> Handled {
        let Shared { service, status, .. } = self.shared;
        match caught(|| service.start(request, response, &status.handle)) {
            Ok(Start::Done) => Handled::Done,
            Ok(Start::Later(pending)) => {
                self.pending = Some(pending);
                Handled::Later
            }
            Err(_) => {
                let peer = self.who.peer;
                log::error!("the service panicked at a request of {peer}, which is told 500");
                Handled::Panicked
            }
        }
    }
}

impl<S: Service> Handler for Bridge<'_, S> {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn requests_left(&self) -> usize {
        self.who.requests_left
    }

    fn date(&mut self) -> &[u8; 29] {
        let handle = &self.shared.status.handle;
        // The wall clock goes on while a gate holds the loop.
        self.date.at(handle.in_world(self.who.now).as_nanos(), || handle.wall())
    }

    fn draining(&self) -> bool {
        self.shared.status.is_draining()
    }

    fn peer(&self) -> Option<SocketAddr> {
        Some(self.who.peer)
    }

    fn body_policy(&mut self, head: &Request<'_>) -> BodyPolicy {
        // The panic itself was printed; the service will be asked for the answer, too.
        caught(|| self.shared.service.body_policy(head)).unwrap_or(BodyPolicy::Discard)
    }

    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Handled {
        let (task, number) = (self.who.task, self.who.answered.wrapping_add(1));
        let handle = &self.shared.status.handle;
        handle.tell(|| {
            let line = Excerpt::of(&[request.method(), " ", request.target()]);
            Event::Request { task, number, line }
        });
        if !self.shared.is_logged.get() {
            return self.call_service(request, response);
        }
        let began = handle.clock();
        let handled = self.call_service(request, response);
        self.service_time = handle.clock().since(began);
        handled
    }

    fn answered(&mut self, answer: &Answer<'_>) {
        self.shared.status.count(|report| report.requests += 1);
        self.who.answered = self.who.answered.wrapping_add(1);
        let (task, number) = (self.who.task, self.who.answered);
        let (status, body_bytes) = (answer.status.code(), answer.body_bytes);
        self.shared.status.handle.tell(|| Event::Response { task, number, status, body_bytes });
        if self.shared.is_logged.get() {
            self.shared.log(&Access {
                peer: self.who.peer,
                request: answer.request,
                status: answer.status,
                body_bytes: answer.body_bytes,
                service_time: std::mem::take(&mut self.service_time),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::server::Server;
    use crate::world::sim::Sim;
    use crate::world::{Clock, World};
    use httpdate::parse_http_date;

    #[test]
    fn the_date_is_that_of_the_wall_clock_also_after_a_hold() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let world = Sim::new(1);
        let net = world.net();
        let Clock::Sim(clock) = world.clock() else { unreachable!("it is simulated") };
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let handle = event_loop.handle().clone();
        let service = |_: &Request<'_>, response: &mut Response| {
            response.text("x");
        };
        let listeners = vec![handle.listen(address).unwrap()];
        let _server = Server::builder().attach(&handle, listeners, service).unwrap();
        let peer = net.connect(address);
        for _ in 0..3 {
            let asked = net.wall();
            peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut answer = Vec::new();
            while answer.is_empty() {
                let held = event_loop.hold_clock();
                clock.jump_to(clock.now() + Duration::from_secs(60));
                drop(held);
                event_loop.turn(None).unwrap();
                answer.extend(peer.receive());
            }
            let answer = String::from_utf8(answer).unwrap();
            let date = answer.lines().find_map(|line| line.strip_prefix("Date: ")).unwrap();
            let date = parse_http_date(date).unwrap();
            assert!(asked < date && date <= net.wall(), "{date:?} for what was asked {asked:?}");
        }
    }
}
