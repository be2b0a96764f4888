//! The service, and the access log: the same for every kind of connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Service, Shared, Start};
use crate::events::{Event, Excerpt};
use crate::http::{Announced, Answer, BodyPolicy, Request, Response, Status, Terms};
use crate::id::TaskId;
use crate::panics::caught;
use crate::world::Time;

/// One answer, for an access log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// The peer that asked. The scope of an IPv6 link-local address is not kept.
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

/// The peer whose requests are answered.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) task: TaskId,
    pub(super) peer: SocketAddr,
}

/// The service panicked.
pub(super) struct Panicked;

impl<S: Service> Shared<S> {
    /// Asks the service for the `number`-th answer of a connection. Returns how it began, and how long that took.
    pub(super) fn ask(
        &self,
        who: Who,
        number: u32,
        request: &Request<'_>,
        response: &mut Response,
    ) -> (Result<Start, Panicked>, Duration) {
        let handle = &self.status.handle;
        handle.tell(|| {
            let line = Excerpt::of(&[request.method(), " ", request.target()]);
            Event::Request { task: who.task, number, line }
        });
        let began = self.is_logged.get().then(|| handle.clock());
        response.clear();
        let started = caught(|| self.service.start(request, response, handle));
        let took = began.map_or(Duration::ZERO, |began| handle.clock().since(began));
        let started = started.map_err(|_words| {
            log::error!("the service panicked at a request of {}, which is told 500", who.peer);
            Panicked
        });
        (started, took)
    }

    /// What the service wants of the body that follows.
    pub(super) fn body_policy(&self, announced: &Announced<'_>) -> BodyPolicy {
        // The panic itself was printed; the service will be asked for the answer, too.
        caught(|| self.service.body_policy(announced.request())).unwrap_or(BodyPolicy::Discard)
    }
}

impl<S> Shared<S> {
    /// Tells of the `number`-th answer of a connection. `took`: how long the service did.
    pub(super) fn answered(
        &self,
        who: Who,
        number: u32,
        request: Option<&Request<'_>>,
        answer: &Answer,
        took: Duration,
    ) {
        self.status.count(|report| report.requests += 1);
        let Answer { status, body_bytes, .. } = *answer;
        let (task, code) = (who.task, status.code());
        self.status.handle.tell(|| Event::Response { task, number, status: code, body_bytes });
        if self.is_logged.get() {
            let Who { peer, .. } = who;
            self.log(&Access { peer, request, status, body_bytes, service_time: took });
        }
    }

    /// The value of the `Date` field at `now`. The wall clock goes on while the loop's clock is held.
    pub(super) fn date(&self, now: Time) -> [u8; 29] {
        let handle = &self.status.handle;
        *self.date.borrow_mut().at(handle.in_world(now).as_nanos(), || handle.wall())
    }

    pub(super) fn terms<'a>(&self, date: &'a [u8; 29]) -> Terms<'a> {
        let requests_max = self.limits.requests_per_connection_max;
        Terms { date, is_draining: self.status.is_ending(), requests_max }
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
