//! A server in a simulated world, for tests: connect as a [`Client`], act, look. When a [`House`]
//! is dropped, every checker of [`crate::checkers`] folds over everything that its loop told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::events::Event;
use helloop::limits::Limits;
use helloop::server::{Attached, Builder, Server, Service};
use helloop::world::sim::{Faults, Net, Peer, Sim};
use helloop::world::{Time, World};

use crate::checkers;

/// Where the simulated server listens.
pub(crate) fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

/// The default limits with a change.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Everything that a loop tells, in order.
#[derive(Clone, Default)]
pub(crate) struct Tape(Rc<RefCell<Vec<(Time, Event)>>>);

impl Tape {
    pub(crate) fn events(&self) -> Vec<(Time, Event)> {
        self.0.borrow().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn observer(&self) -> impl FnMut(Time, &Event) + use<> {
        let tape = Rc::clone(&self.0);
        move |at, event| tape.borrow_mut().push((at, *event))
    }
}

/// A server on a loop in a simulated world.
pub(crate) struct House {
    /// `None` only while the house is dropped.
    event_loop: Option<EventLoop>,
    pub(crate) net: Net,
    pub(crate) server: Attached,
    pub(crate) tape: Tape,
}

impl House {
    /// A server in a calm world.
    pub(crate) fn calm(limits: Limits, service: impl Service + 'static) -> House {
        House::new(1, Faults::NONE, limits, service)
    }

    pub(crate) fn new(
        seed: u64,
        faults: Faults,
        limits: Limits,
        service: impl Service + 'static,
    ) -> House {
        let world = Sim::with_faults(seed, faults);
        let net = world.net();
        House::on(Box::new(world), net, limits, service)
    }

    /// A server on `world`, whose outside is `net`.
    pub(crate) fn on(
        world: Box<dyn World>,
        net: Net,
        limits: Limits,
        service: impl Service + 'static,
    ) -> House {
        House::built(Server::builder().limits(limits), world, net, service)
    }

    /// As [`on`](House::on), with everything that a server can be.
    pub(crate) fn built(
        builder: Builder,
        world: Box<dyn World>,
        net: Net,
        service: impl Service + 'static,
    ) -> House {
        let mut event_loop = EventLoop::with_world(world);
        let tape = Tape::default();
        event_loop.observe(Some(Box::new(tape.observer())));
        let handle = event_loop.handle().clone();
        let listener = handle.listen(address()).expect("nobody else is in this world");
        let server = builder.attach(&handle, vec![listener], service).expect("the limits agree");
        House { event_loop: Some(event_loop), net, server, tape }
    }

    pub(crate) fn event_loop(&mut self) -> &mut EventLoop {
        self.event_loop.as_mut().expect("it is taken out only by `drop`")
    }

    pub(crate) fn connect(&self) -> Client {
        Client { peer: self.net.connect(address()), received: RefCell::default() }
    }

    /// One turn that waits a nanosecond if there is nothing to do, so that "the timeout is zero
    /// exactly when work is queued" can be checked. Gives the number of tasks that were resumed.
    pub(crate) fn turn(&mut self) -> usize {
        self.event_loop().turn(Some(Duration::from_nanos(1))).expect("the world can be waited for")
    }

    /// Turns until nothing is left to do at this moment. Gives the number of turns.
    ///
    /// A turn that resumes nobody has taken all readiness that there was, and nobody ran to make
    /// more of it.
    pub(crate) fn settle(&mut self) -> usize {
        const TURNS_MAX: usize = 1_000_000;
        for turns in 1..=TURNS_MAX {
            if self.turn() == 0 {
                return turns;
            }
        }
        panic!("still busy after {TURNS_MAX} turns: the loop spins");
    }

    /// Lets virtual time pass, with everything that happens meanwhile. Gives the number of turns.
    pub(crate) fn pass(&mut self, time: Duration) -> usize {
        let end = self.net.now() + time;
        let mut turns = 0;
        loop {
            let left = end.since(self.net.now());
            if left.is_zero() {
                return turns + self.settle();
            }
            self.event_loop().turn(Some(left)).expect("the world can be waited for");
            turns += 1;
        }
    }

    /// The events so far that `choose` turns into something.
    pub(crate) fn told<T>(&self, choose: impl Fn(Time, &Event) -> Option<T>) -> Vec<T> {
        self.tape.events().iter().filter_map(|(at, event)| choose(*at, event)).collect()
    }

    /// Why connections ended, in order.
    pub(crate) fn endings(&self) -> Vec<&'static str> {
        self.told(|_, event| match event {
            Event::Ending { why, .. } => Some(*why),
            _ => None,
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let lived = self.tape.len();
        drop(self.event_loop.take());
        if let Err(complaint) = checkers::check(&self.tape.events(), lived) {
            panic!("{complaint}");
        }
    }
}

/// The outside's end of a connection, and what it has received so far.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    received: RefCell<VecDeque<u8>>,
}

impl Client {
    pub(crate) fn send(&self, text: &str) {
        self.peer.send(text.as_bytes());
    }

    /// Takes what has arrived as text.
    pub(crate) fn receive(&self) -> String {
        let mut received = self.received.take();
        received.extend(self.peer.receive());
        String::from_utf8(received.into()).expect("these services answer text")
    }

    /// Takes one answer that has arrived: its status and body. Panics if there is none.
    #[track_caller]
    pub(crate) fn answer(&self) -> (u16, String) {
        let text = self.receive();
        let Some(answer) = Answer::first_of(&text) else { panic!("no whole answer: {text:?}") };
        self.received.borrow_mut().extend(text[answer.length..].bytes());
        (answer.status, answer.body.to_owned())
    }

    /// Nothing has arrived, and the connection is open.
    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        let text = self.receive();
        assert_eq!(text, "", "nothing should have been sent");
        assert!(!self.peer.at_end(), "the connection should be open");
        assert!(!self.peer.is_reset(), "the connection should be open, it was reset");
    }

    /// Everything was received and the server has finished sending, without a reset.
    #[track_caller]
    pub(crate) fn assert_end(&self) {
        assert!(!self.peer.is_reset(), "the connection was reset");
        assert!(self.peer.at_end(), "the server has not finished sending");
    }
}

/// An answer with a `Content-Length`, taken apart.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a str,
    /// Bytes of head and body.
    length: usize,
}

impl<'a> Answer<'a> {
    pub(crate) fn first_of(text: &'a str) -> Option<Answer<'a>> {
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(Some(0), |digits| digits.parse().ok())?;
        Some(Answer { status, body: rest.get(..length)?, length: head.len() + 4 + length })
    }
}

/// The service of most tests: says what it was asked, with the body if there is one.
pub(crate) fn echo(request: &helloop::http::Request<'_>, response: &mut helloop::http::Response) {
    let body = String::from_utf8_lossy(request.body());
    response.text(format_args!("{} {} {body}\n", request.method(), request.target()));
}

/// A complete `GET` request.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: sim\r\n\r\n")
}
