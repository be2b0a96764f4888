use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use helloop::event_loop::EventLoop;
use helloop::events::{Event, Observer};
use helloop::limits::Limits;
use helloop::server::{Attached, Builder, Report, Server};
use helloop::world::Time;
use helloop::world::sim::{LATENCY_MAX, Net, Sim};

use super::bounds::Bounds;
use super::client::{Client, Seen, Shared};
use super::judge;
use super::pace::Pace;
use super::plan::{ClientPlan, Plan};
use super::room::Room;
use super::service::Mixed;
use crate::checkers;

/// By then every plan is over, or somebody waits for what never comes.
const TIME_MAX: Duration = Duration::from_secs(20 * 3600);

/// What a run left behind.
pub(crate) struct Record {
    /// All that the loop told, and how much of it before the loop was dropped.
    pub(crate) events: Vec<(Time, Event)>,
    pub(crate) lived: usize,
    /// Of each client, in the plan's order.
    pub(crate) seen: Vec<Seen>,
    /// The wall clock's seconds since 1970, from these moments on.
    pub(crate) wall: Vec<(Time, u64)>,
    /// When the end of the server was ordered.
    pub(crate) ordered: Time,
    /// When nothing of the server was left.
    pub(crate) finished: Time,
    pub(crate) report: Report,
    /// What went wrong with the run as a whole, if something did.
    pub(crate) trouble: Option<String>,
}

/// What runs came to, for those who wonder whether anything happened at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) events: u64,
    pub(crate) connections: u64,
    pub(crate) answers: u64,
    /// Clients that had a claim to every answer, and got it.
    pub(crate) satisfied: u64,
    /// Virtual time.
    pub(crate) time: Duration,
}

/// A run that went wrong: which checker says so, and what.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The name of the checker: a smaller plan fails in the same way if it is the same.
    pub(crate) checker: String,
    pub(crate) complaint: String,
}

impl Failure {
    pub(crate) fn new(checker: &str, complaint: impl Into<String>) -> Failure {
        Failure { checker: checker.to_owned(), complaint: complaint.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.complaint)
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.runs += other.runs;
        self.events += other.events;
        self.connections += other.connections;
        self.answers += other.answers;
        self.satisfied += other.satisfied;
        self.time += other.time;
    }
}

/// Carries out a plan, and judges what came of it.
pub(crate) fn run(plan: &Plan) -> Result<Tally, Failure> {
    run_before(plan, None)
}

/// As [`run`], before an audience that sees everything as it happens.
pub(crate) fn run_before(
    plan: &Plan,
    audience: Option<Box<dyn Observer>>,
) -> Result<Tally, Failure> {
    let record = unless_it_panics(|| record(plan, audience))?;
    let Record { events, lived, trouble, .. } = &record;
    if let Err(complaint) = checkers::check(events, *lived) {
        let (checker, complaint) = complaint.split_once(": ").unwrap_or(("", &complaint));
        return Err(Failure::new(checker, complaint));
    }
    let bounds = checkers::run("the limits hold", Bounds::new(&plan.limits), &events[..*lived]);
    bounds.map_err(|complaint| Failure::new("the limits hold", complaint))?;
    let room = checkers::run(MAKES_ROOM, Room::default(), &events[..*lived]);
    room.map_err(|complaint| Failure::new(MAKES_ROOM, complaint))?;
    if let Some(trouble) = trouble {
        return Err(Failure::new("every run comes to its end", trouble.clone()));
    }
    no_task_panicked(events)?;
    let satisfied = judge::judge(plan, &record)?;
    Ok(Tally {
        runs: 1,
        events: events.len() as u64,
        connections: record.report.connections,
        answers: record.report.requests,
        satisfied,
        time: events.last().map_or(Duration::ZERO, |(at, _)| at.since(Time::ZERO)),
    })
}

/// The loop itself must not panic either.
pub(super) fn unless_it_panics<T>(run: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Failure::new(NOBODY_PANICS, text.unwrap_or_default())
    })
}

const MAKES_ROOM: &str = "a full server makes room, and who waited longest comes in first";

const NOBODY_PANICS: &str = "nobody panics";

/// Services panic as planned, and are caught before the loop sees it.
pub(super) fn no_task_panicked(events: &[(Time, Event)]) -> Result<(), Failure> {
    let panicked = events.iter().find(|(_, event)| match event {
        Event::Panicked { kind, .. } => *kind != "coroutine",
        _ => false,
    });
    match panicked {
        Some((at, event)) => Err(Failure::new(NOBODY_PANICS, format!("{at} {event}"))),
        None => Ok(()),
    }
}

/// Notes everything, and tells somebody else as well if somebody wants to know.
struct Tape {
    events: Rc<RefCell<Vec<(Time, Event)>>>,
    wall: Rc<RefCell<Vec<(Time, u64)>>>,
    net: Net,
    audience: Option<Box<dyn Observer>>,
    meter: Box<dyn Fn(&Event)>,
}

impl Observer for Tape {
    fn event(&mut self, at: Time, event: &Event) {
        (self.meter)(event);
        self.events.borrow_mut().push((at, *event));
        if let Event::Waited { .. } = event {
            let wall = self.net.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let mut walls = self.wall.borrow_mut();
            if walls.last().is_none_or(|(_, last)| *last != wall) {
                walls.push((at, wall));
            }
        }
        if let Some(audience) = &mut self.audience {
            audience.event(at, event);
        }
    }
}

/// Where the listener with this number listens.
fn address(listener: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, listener + 1], 8080))
}

/// The world of a plan at its beginning: a server on its loop, and its clients outside.
pub(crate) struct Scene {
    pub(crate) event_loop: EventLoop,
    pub(crate) net: Net,
    server: Attached,
    clients: Vec<Shared>,
    /// Clients that have not gone yet.
    left: Rc<Cell<usize>>,
    /// When the end of the server was ordered.
    ordered: Rc<Cell<Option<Time>>>,
}

impl Scene {
    /// With a server of the builder's kind, before an observer that sees everything.
    pub(crate) fn set(
        builder: Builder,
        plan: &Plan,
        observer: impl FnOnce(&Net) -> Box<dyn Observer>,
    ) -> Scene {
        let sim = Sim::with_faults(plan.seed, plan.faults);
        let net = sim.net();
        let mut event_loop = EventLoop::with_world(Box::new(sim));
        event_loop.observe(Some(observer(&net)));
        let handle = event_loop.handle().clone();
        let listen = |number| handle.listen(address(number)).expect("nobody else is in this world");
        let listeners = (0..plan.listeners).map(listen).collect();
        let builder = builder.limits(Limits::clone(&plan.limits));
        let server = builder.attach(&handle, listeners, Mixed).expect("the limits agree");

        let (end, orders, ordered) = (plan.end, server.handle().clone(), Rc::new(Cell::new(None)));
        let order = {
            let ordered = Rc::clone(&ordered);
            move |net: &Net| {
                if ordered.get().is_none() {
                    ordered.set(Some(net.now()));
                    match end.drain {
                        Some(timeout) => orders.drain(timeout),
                        None => orders.shutdown(),
                    }
                }
            }
        };
        if let Some(at) = end.at {
            net.at(Time::ZERO + at, order.clone());
        }
        let left = Rc::new(Cell::new(plan.clients.len()));
        let clients: Vec<_> = plan
            .clients
            .iter()
            .map(|client| {
                let (left, order, net) = (Rc::clone(&left), order.clone(), net.clone());
                let start = net.clone();
                Client::start(&start, address(client.listener), client, move || {
                    left.set(left.get() - 1);
                    if left.get() == 0 {
                        // Not now: this may be in the middle of something.
                        net.at(net.now(), order.clone());
                    }
                })
            })
            .collect();
        if plan.clients.is_empty() {
            net.at(Time::ZERO, order);
        }
        Scene { event_loop, net, server, clients, left, ordered }
    }

    /// The loop, what is outside of it, and what has to live as long as they do.
    pub(crate) fn apart(self) -> (EventLoop, Net, Box<dyn Any>) {
        (self.event_loop, self.net, Box::new((self.server, self.clients)))
    }
}

/// Carries out a plan.
pub(crate) fn record(plan: &Plan, audience: Option<Box<dyn Observer>>) -> Record {
    record_of(Server::builder(), plan, audience)
}

/// Carries out a plan with a server of the builder's kind.
pub(crate) fn record_of(
    builder: Builder,
    plan: &Plan,
    audience: Option<Box<dyn Observer>>,
) -> Record {
    let (events, wall, mut pace) = (Rc::default(), Rc::default(), Pace::default());
    let tape = |net: &Net| {
        Box::new(Tape {
            events: Rc::clone(&events),
            wall: Rc::clone(&wall),
            audience,
            net: net.clone(),
            meter: Box::new(pace.meter()),
        }) as Box<dyn Observer>
    };
    let Scene { mut event_loop, net, server, clients, left, ordered } =
        Scene::set(builder, plan, tape);
    let handle = event_loop.handle().clone();

    let mut trouble = None;
    let is_over = || server.is_finished() && left.get() == 0 && handle.task_count() == 0;
    // Packets of those that have left may still be under way.
    let is_quiet_by = |over: Time| net.open_ends() == 0 || net.now() > over + LATENCY_MAX * 4;
    let (mut over, mut finished) = (None, None);
    loop {
        if is_over() && is_quiet_by(*over.get_or_insert(net.now())) {
            break;
        }
        if server.is_finished() {
            finished.get_or_insert(net.now());
        }
        let limit = server.is_finished().then_some(Duration::from_secs(1));
        let turned = event_loop.turn(limit);
        trouble = match turned {
            Err(error) => Some(error.to_string()),
            Ok(_) if net.now() > Time::ZERO + TIME_MAX => Some(stuck(&plan.clients, &left)),
            Ok(_) => match pace.turn() {
                None => continue,
                spins => spins,
            },
        };
        break;
    }
    let trouble = trouble.or_else(|| what_is_left(&event_loop, &net));
    let lived = events.borrow().len();
    let report = server.report();
    drop(server);
    drop((event_loop, handle));
    let seen = clients.iter().map(|client| std::mem::take(&mut client.borrow_mut().seen));
    let seen = seen.collect();
    Record {
        events: events.take(),
        lived,
        seen,
        wall: wall.take(),
        ordered: ordered.get().unwrap_or(Time::NEVER),
        finished: finished.unwrap_or(Time::NEVER),
        report,
        trouble,
    }
}

/// What is there although nothing should be.
pub(super) fn what_is_left(event_loop: &EventLoop, net: &Net) -> Option<String> {
    let ends = net.open_ends();
    if ends > 0 {
        return Some(format!("{ends} ends of connections are open after the end"));
    }
    let deadline = event_loop.next_deadline()?;
    Some(format!("a timer is set for {deadline} after the end"))
}

fn stuck(clients: &[ClientPlan], left: &Cell<usize>) -> String {
    format!("{} of {} clients still wait after {TIME_MAX:?}", left.get(), clients.len())
}
