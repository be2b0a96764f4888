//! From bytes to answers: what answers requests, and how it is asked, the same for every kind of connection.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::states::TABLE;
use super::drain::Phase;
use super::room::Rest;
use super::{BodyPart, Pending, Shared};
use crate::event_loop::Handle;
use crate::events::{Event, Excerpt};
use crate::http::{
    Announced, Answer, BodyPolicy, Error, Exchange, Found, Headers, Peer, Reason, Request,
    Response, Room, Status, Terms, Want,
};
use crate::id::TaskId;
use crate::panics::caught;

/// What answers requests: a closure `Fn(&Request<'_>, &mut Response)`, or a type.
///
/// It runs on the loop's thread and must not block: nothing else happens meanwhile. One that panics
/// is logged; its peer is answered 500, and that connection is closed.
pub trait Service {
    /// Answers a complete request. `response` is empty, with status 200.
    fn call(&self, request: &Request<'_>, response: &mut Response);

    /// Begins to answer a complete request: by default, calls [`call`](Service::call). A service
    /// that takes its time returns what will be the answer; see [`coroutines`](super::coroutines).
    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        let _ = handle;
        self.call(request, response);
        Start::Done
    }

    /// What to do with the body of a request of which only the head is here (by default: collect
    /// it, up to [`Limits::body_bytes_max`](crate::limits::Limits::body_bytes_max)).
    fn body_policy(&self, head: &Request<'_>) -> BodyPolicy {
        let _ = head;
        BodyPolicy::Collect
    }
}

/// How a service began to answer.
pub enum Start {
    /// The answer is in the response.
    Done,
    /// The answer comes later, from here.
    Later(Box<dyn Pending>),
}

impl<F: Fn(&Request<'_>, &mut Response)> Service for F {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        self(request, response);
    }
}

/// A plain closure as a service: it is `handler` itself. The compiler needs it to know the types of a closure's
/// arguments without being told.
///
/// ```no_run
/// use helloop::server::{Server, service};
///
/// Server::builder().bind("localhost:8080")?.serve_until_signal(service(|request, response| {
///     response.text_of(&["You asked for ", request.path(), ".\n"]);
/// }))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn service<F: Fn(&Request<'_>, &mut Response)>(handler: F) -> F {
    handler
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Start::Done => "Done",
            Start::Later(_) => "Later",
        })
    }
}

/// One answer, for an access log.
///
/// ```
/// use helloop::greeting::Greeting;
/// use helloop::server::{Access, Server};
///
/// let log = |access: &Access<'_>| {
///     let target = access.request.map_or("-", |request| request.target());
///     println!("{} {target:?} {} {}", access.peer, access.status, access.body_bytes);
/// };
/// let running = Server::builder().access_log(log).bind("127.0.0.1:0")?.spawn(Greeting)?;
/// # running.handle().shutdown();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// The peer that asked. The scope of an IPv6 link-local address is not kept. A peer on a Unix socket has none:
    /// [`NO_ADDRESS`](crate::world::NO_ADDRESS).
    pub peer: SocketAddr,
    /// What was asked; `None` if the head could not be read.
    pub request: Option<&'a Request<'a>>,
    /// The status of the answer.
    pub status: Status,
    /// Bytes of the answer's body.
    pub body_bytes: usize,
    /// How long the service took.
    pub service_time: Duration,
    pub(super) caller: Peer<'a>,
}

impl Access<'_> {
    /// The client for whom the peer asked, where a preface or a field said so and may be believed: see
    /// [`Request::client_addr`]. `None`: it asked for itself.
    pub fn client(&self) -> Option<SocketAddr> {
        self.caller.client(self.request.map_or(Headers::default(), Request::headers))
    }
}

/// The peer whose requests are answered.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) task: TaskId,
    pub(super) peer: SocketAddr,
    /// The client, where the preface has named it.
    pub(super) client: Option<SocketAddr>,
}

/// Why no further request is looked at for now.
pub(super) enum Pause {
    /// The exchange has found nothing, before this has come.
    Want(Want),
    /// The service takes its time.
    Later(Box<dyn Pending>),
    /// A batch of requests is answered: the peer must read, or it is the turn of others.
    OthersFirst,
}

/// The service panicked.
struct Panicked;

impl<S: Service> Shared<S> {
    /// Answers what has come, request by request: find it, ask the service, answer. Takes off `rest` what is done
    /// with, and appends the answers to `output`, which must be written before the next step that
    /// [`Pause`] calls for. `eof`: see [`Exchange::next`]. `requests_left`: how many before it is the turn of
    /// others.
    pub(super) fn answer_requests(
        &self,
        exchange: &mut Exchange,
        who: &Who,
        rest: &mut &[u8],
        eof: bool,
        requests_left: &mut usize,
        output: &mut Vec<u8>,
    ) -> Pause {
        let terms = &self.terms();
        let response = &mut *self.response.borrow_mut();
        let caller = self.caller(who);
        loop {
            // Find: the exchange says what is at the front of the input.
            let mut room = Room::new(Some(&caller));
            let mut found = exchange.next(rest, eof, &self.limits, &mut room);
            if let Found::Body(announced) = found {
                let policy = match self.body_policy(&announced) {
                    BodyPolicy::Stream if !self.hands_bodies_on() => BodyPolicy::Collect,
                    policy => policy,
                };
                found = exchange.receive(announced, policy, rest, eof, &self.limits, output);
            }
            let (request, answer, took) = match found {
                // Ask the service, and answer.
                Found::Request(asked) => {
                    let (number, request) = (exchange.requests, &asked.request);
                    let (started, took) = self.ask(who, number, request, response);
                    let answer = match started {
                        Ok(Start::Done) => exchange.answer(asked, response, terms, output),
                        Ok(Start::Later(mut pending)) => {
                            exchange.defer(asked);
                            if !exchange.is_receiving() {
                                pending.take_body(BodyPart::End);
                            }
                            return Pause::Later(pending);
                        }
                        Err(Panicked) => exchange.fail(asked, response, terms, output),
                    };
                    (Some(request), answer, took)
                }
                Found::Wrong(wrong) => {
                    let answer = exchange.refuse(&wrong, response, terms, output);
                    (wrong.request, answer, Duration::ZERO)
                }
                Found::Body(_) => unreachable!("a body was announced, and was received"),
                Found::Nothing(want) => return Pause::Want(want),
            };
            self.answered(who, exchange.requests, request, &answer, took);
            *requests_left = requests_left.saturating_sub(1);
            let is_enough = *requests_left == 0 || output.len() >= self.limits.output_bytes_max;
            if is_enough && !rest.is_empty() && answer.closes.is_none() {
                return Pause::OthersFirst;
            }
        }
    }

    /// Asks the service for the `number`-th answer of a connection. Returns how it began, and how long that took.
    fn ask(
        &self,
        who: &Who,
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

    /// Whether connections read a body while the service is at work. As coroutines they collect it: they would need a
    /// second place to wait at, beside that for the answer.
    fn hands_bodies_on(&self) -> bool {
        #[cfg(feature = "twin")]
        return self.connections == super::Connections::StateMachine;
        #[cfg(not(feature = "twin"))]
        true
    }

    /// What the service wants of the body that follows.
    fn body_policy(&self, announced: &Announced<'_>) -> BodyPolicy {
        // The panic itself was printed; the service will be asked for the answer, too.
        caught(|| self.service.body_policy(&announced.request)).unwrap_or(BodyPolicy::Discard)
    }
}

impl<S> Shared<S> {
    /// A peer was silent for too long within a request, which is refused with `error`. Returns why the connection
    /// ends when that is written.
    pub(super) fn time_is_up(
        &self,
        exchange: &mut Exchange,
        who: &Who,
        error: Error,
        output: &mut Vec<u8>,
    ) -> Reason {
        let caller = self.caller(who);
        let mut room = Room::new(Some(&caller));
        match exchange.time_is_up(error, &mut room) {
            Found::Wrong(wrong) => {
                let response = &mut self.response.borrow_mut();
                let answer = exchange.refuse(&wrong, response, &self.terms(), output);
                let number = exchange.requests;
                self.answered(who, number, wrong.request, &answer, Duration::ZERO);
                Reason::Refused(error)
            }
            Found::Nothing(Want::Close(reason)) => reason,
            _ => unreachable!("it waits for its peer"),
        }
    }

    /// Tells the loop's observer where a step of a connection has led: to another row of the [`TABLE`].
    pub(super) fn tell_state(&self, task: TaskId, from: usize, to: usize) {
        if from != to {
            let (from, to) = (TABLE[from].is.name, TABLE[to].is.name);
            self.status.handle.tell(|| Event::State { task, from, to });
        }
    }

    /// Tells of the end of a connection.
    pub(super) fn tell_ending(&self, who: &Who, reason: Reason) {
        let (Who { task, peer, .. }, why) = (*who, reason.sentence());
        self.status.handle.tell(|| Event::Ending { task, why });
        log::debug!("connection {task} from {peer} ends: {why}");
    }

    /// The server is stopped, or a drain took too long: counts a connection that had something to do. Returns why
    /// it ends. `has_unread`: whether something has come that was not read.
    pub(super) fn cut(&self, rest: Rest, has_unread: impl FnOnce() -> bool) -> Reason {
        let was_busy = match rest {
            Rest::Busy => true,
            Rest::Idle => has_unread(),
            Rest::Lingering => false,
        };
        self.status.count(|report| report.cut += u64::from(was_busy));
        if was_busy { Reason::Cut } else { Reason::Shutdown }
    }

    /// Tells of the `number`-th answer of a connection. `took`: how long the service did.
    pub(super) fn answered(
        &self,
        who: &Who,
        number: u32,
        request: Option<&Request<'_>>,
        answer: &Answer,
        took: Duration,
    ) {
        self.status.count_request();
        let Answer { status, body_bytes, .. } = *answer;
        let task = who.task;
        self.status.handle.tell(|| Event::Response {
            task,
            number,
            status: status.code(),
            body_bytes,
        });
        if self.is_logged.get() {
            self.log_answer(who, request, answer, took);
        }
    }

    /// Apart, so that [`answered`](Shared::answered) needs no room for it.
    #[inline(never)]
    fn log_answer(
        &self,
        who: &Who,
        request: Option<&Request<'_>>,
        answer: &Answer,
        took: Duration,
    ) {
        let Answer { status, body_bytes, .. } = *answer;
        let caller = self.caller(who);
        let peer = caller.address;
        self.log(&Access { peer, request, status, body_bytes, service_time: took, caller });
    }

    /// Who asks, as requests show it.
    pub(super) fn caller(&self, who: &Who) -> Peer<'_> {
        Peer { address: who.peer, client: who.client, rule: self.client_rule.as_deref() }
    }

    /// What all answers of this moment have in common.
    pub(super) fn terms(&self) -> Terms {
        let handle = &self.status.handle;
        // The wall clock goes on while the loop's clock is held.
        let now = handle.loop_clock().in_world(handle.now());
        Terms {
            date: *self.date.borrow_mut().at(now.as_nanos(), || handle.wall()),
            is_draining: self.status.phase.get() > Phase::Serving,
            requests_max: self.limits.requests_per_connection_max,
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
                event_loop.hold_clock(|_| clock.jump_to(clock.now() + Duration::from_secs(60)));
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
