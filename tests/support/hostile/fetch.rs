use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use helloop::client::{Client, Error, ErrorKind};
use helloop::event_loop::{EventLoop, Handle};
use helloop::events::{Event, Observer};
use helloop::limits::{FETCH_WHOLE_TIMEOUT, Limits};
use helloop::server::Server;
use helloop::world::Time;
use helloop::world::sim::{LATENCY_MAX, Sim};
use helloop::{SourceId, TaskId};

use super::fetch_plan::{Fetch, FetchPlan, SITES, ours_address};
use super::looks::Looks;
use super::pace::Pace;
use super::run::{Failure, Tally, no_task_panicked, unless_it_panics, what_is_left};
use super::script::{Fate, POISON_STATUS, Scripts, site_address, welcome};
use super::service::Mixed;
use crate::checkers::{self, Checker, demand};

/// What came of a fetch: the status and the body.
type Outcome = Result<(u16, Vec<u8>), Error>;

async fn fetch(client: Client, fetch: Fetch) -> Outcome {
    let mut request = client.request(fetch.method, &fetch.url());
    if let Some(body) = fetch.body {
        request = request.body(body);
    }
    let mut reply = request.send().await?;
    let body = reply.collect().await?;
    Ok((reply.status(), body))
}

/// When each fetch ended, and how; `None`: it was given up.
type Ends = Rc<RefCell<Vec<Option<(Time, Option<Outcome>)>>>>;

async fn fetch_all(handle: Handle, plan: FetchPlan, ends: Ends) {
    let client = Client::builder(&handle)
        .connections_max(plan.connections_max)
        .connections_per_host_max(plan.per_host_max)
        .build()
        .expect("the limits are not zero");
    let fetches = plan.fetches.into_iter().enumerate().map(|(number, one)| {
        let (handle, client, ends) = (handle.clone(), client.clone(), Rc::clone(&ends));
        async move {
            handle.sleep(one.begins).await;
            let outcome = match one.gives_up {
                Some(pause) => handle.timeout(pause, fetch(client, one)).await.ok(),
                None => Some(fetch(client, one).await),
            };
            ends.borrow_mut()[number] = Some((handle.now(), outcome));
        }
    });
    handle.gather(fetches).await;
}

/// Carries out a plan, and judges what came of it, before an audience if there is one.
pub(crate) fn run_fetches(
    plan: &FetchPlan,
    audience: Option<Box<dyn Observer>>,
) -> Result<Tally, Failure> {
    unless_it_panics(|| run_and_judge(plan, audience))?
}

fn run_and_judge(plan: &FetchPlan, audience: Option<Box<dyn Observer>>) -> Result<Tally, Failure> {
    let sim = Sim::with_faults(plan.seed, plan.faults);
    let net = sim.net();
    let mut event_loop = EventLoop::with_world(Box::new(sim));
    let events: Rc<RefCell<Vec<(Time, Event)>>> = Rc::default();
    let (mut pace, looks) = (Pace::default(), Looks::new(&net));
    let (tape, mut audience) = (Rc::clone(&events), audience);
    let (meter, looking) = (pace.meter(), Rc::clone(&looks));
    event_loop.observe(Some(Box::new(move |at: Time, event: &Event| {
        meter(event);
        looking.borrow_mut().event(event);
        tape.borrow_mut().push((at, *event));
        if let Some(audience) = &mut audience {
            audience.event(at, event);
        }
    })));
    let handle = event_loop.handle().clone();
    let mut limits = Limits::default();
    limits.connections_max = Some(1000);
    let listener = handle.listen(ours_address()).expect("nobody else is in this world");
    let builder = Server::builder().limits(limits);
    let server = builder.attach(&handle, vec![listener], Mixed).expect("the limits agree");
    let replies = plan.fetches.iter().map(|fetch| (fetch.target.clone(), fetch.script.clone()));
    let scripts = Scripts::new(replies.collect());
    for site in 0..SITES {
        let scripts = Rc::clone(&scripts);
        net.serve(site_address(site), move |net, peer| welcome(net, peer, &scripts));
    }

    let ends: Ends = Rc::new(RefCell::new(plan.fetches.iter().map(|_| None).collect()));
    let orders = server.handle().clone();
    let fetching = fetch_all(handle.clone(), plan.clone(), Rc::clone(&ends));
    let is_done = Rc::new(Cell::new(false));
    let done = Rc::clone(&is_done);
    let _task = handle.spawn(async move {
        fetching.await;
        done.set(true);
        orders.drain(Duration::from_secs(5));
    });

    // Connections that were never answered, and packets under way, need a while to be forgotten.
    let is_over = || is_done.get() && handle.task_count() == 0;
    let mut over = None;
    let trouble = loop {
        if is_over() {
            let over = *over.get_or_insert(net.now());
            if net.open_ends() == 0 || net.now() > over + PATIENCE {
                break what_is_left(&event_loop, &net);
            }
        }
        let limit = is_over().then_some(Duration::from_secs(1));
        if let Err(error) = event_loop.turn(limit) {
            break Some(error.to_string());
        }
        if let Some(complaint) = pace.turn() {
            break Some(complaint);
        }
    };
    let lived = events.borrow().len();
    let report = server.report();
    drop((_task, server));
    drop((event_loop, handle));
    let (events, ends) = (events.take(), ends.take());
    if let Err(complaint) = checkers::check(&events, lived) {
        let (checker, complaint) = complaint.split_once(": ").unwrap_or(("", &complaint));
        return Err(Failure::new(checker, complaint));
    }
    let name = "a client keeps its limit of connections";
    let pool = Pool { most: plan.connections_max, ..Pool::default() };
    checkers::run(name, pool, &events).map_err(|complaint| Failure::new(name, complaint))?;
    if let Some(trouble) = trouble {
        return Err(Failure::new("every run comes to its end", trouble));
    }
    no_task_panicked(&events)?;
    let twice = scripts.asked.borrow().iter().find_map(|(line, times)| {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let fetch =
            plan.fetches.iter().find(|fetch| target.trim_end_matches("/again") == fetch.target);
        // Somebody else may have been given the redirect, and have followed it.
        let is_strays = |f: &Fetch| plan.is_poisoned(f.site) && target.ends_with("/again");
        let may_be =
            method != "POST" || fetch.is_some_and(|f| f.script.is_circular || is_strays(f));
        (*times > 1 && !may_be).then(|| format!("{line} came {times} times"))
    });
    if let Some(complaint) = twice {
        return Err(Failure::new("what must not be sent twice is not", complaint));
    }
    looks.borrow().judge(&scripts)?;
    let satisfied = judge(plan, ends)?;
    Ok(Tally {
        runs: 1,
        events: events.len() as u64,
        connections: report.connections,
        answers: report.requests,
        satisfied,
        time: events.last().map_or(Duration::ZERO, |(at, _)| at.since(Time::ZERO)),
    })
}

/// Hostile servers let go of their connections after this time.
const PATIENCE: Duration = Duration::from_secs(900).saturating_add(LATENCY_MAX);

/// Whether each fetch ended as it must. Gives the number of those that got what they asked for.
fn judge(plan: &FetchPlan, ends: Vec<Option<(Time, Option<Outcome>)>>) -> Result<u64, Failure> {
    let mut satisfied = 0;
    for (number, (fetch, end)) in plan.fetches.iter().zip(ends).enumerate() {
        let what =
            || format!("fetch {number} ({} {}, {})", fetch.method, fetch.url(), fetch.script);
        let Some((at, outcome)) = end else {
            return Err(Failure::new("every fetch ends", what()));
        };
        // Within its limit, and what the network and the clock may add to it.
        let most = Time::ZERO + fetch.begins + FETCH_WHOLE_TIMEOUT + Duration::from_secs(1);
        let in_time = at <= most || plan.faults.clock_jump_percent > 0;
        if !in_time {
            let complaint = format!("{} ended at {at} only", what());
            return Err(Failure::new("every fetch ends", complaint));
        }
        let Some(outcome) = outcome else { continue };
        satisfied += u64::from(outcome.is_ok());
        judge_outcome(plan, fetch, &outcome).map_err(|complaint| {
            let complaint = format!("{}: {complaint}", what());
            Failure::new("a fetch gives what was sent, or says why not", complaint)
        })?;
    }
    Ok(satisfied)
}

fn judge_outcome(plan: &FetchPlan, fetch: &Fetch, outcome: &Outcome) -> Result<(), String> {
    match (&fetch.script.fate, outcome) {
        // Whether the client could have known better was judged before.
        (_, Ok((status, body))) if plan.may_be_misplaced(fetch, *status, body) => Ok(()),
        (_, Ok((POISON_STATUS, _))) => Err("it was given what nobody sent".into()),
        // To our server, the clock's jump looks like a slow request.
        (_, Ok((408, _))) if fetch.site.is_none() && plan.faults.clock_jump_percent > 0 => Ok(()),
        (Fate::Right(right) | Fate::Either(right), Ok((_, body))) => demand(right == body, || {
            let same = right.iter().zip(body).take_while(|(a, b)| a == b).count();
            format!("{} bytes came, wrong behind the first {same}", body.len())
        }),
        (Fate::Wrong, Ok((status, body))) => {
            Err(format!("it succeeded, with {status} and {} bytes", body.len()))
        }
        (Fate::Wrong | Fate::Either(_), Err(error)) => says_why(error),
        (Fate::Right(_), Err(error)) => {
            says_why(error)?;
            let is_late = error.kind() == ErrorKind::Timeout && plan.is_slow();
            // What must not be sent twice fails with the kept connection that it was sent on.
            let is_closed = matches!(error.kind(), ErrorKind::Reset | ErrorKind::Truncated);
            let was_kept = is_closed && fetch.method == "POST" && fetch.site.is_some();
            let is_excused =
                plan.is_unreliable() || is_late || was_kept || plan.is_poisoned(fetch.site);
            demand(is_excused, || format!("it failed: {error}"))
        }
    }
}

fn says_why(error: &Error) -> Result<(), String> {
    demand(error.to_string().len() > 10, || format!("it does not say why: {error:?}"))
}

/// Counts the sockets of a client.
#[derive(Default)]
struct Pool {
    most: usize,
    /// Tasks that have been spawned.
    tasks: HashSet<TaskId>,
    open: HashSet<SourceId>,
}

impl Pool {
    fn is_clients(&self, owner: TaskId) -> bool {
        owner == TaskId::default() || self.tasks.contains(&owner)
    }
}

impl Checker for Pool {
    fn event(&mut self, _: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Spawned { task, .. } | Event::Resumed { task, .. } => {
                self.tasks.insert(task);
            }
            // The server's tasks open their sources before they are spawned; a client's begin to
            // connect before anybody owns them.
            Event::Opened { source, task } if self.is_clients(task) => {
                self.open.insert(source);
                let (open, most) = (self.open.len(), self.most);
                demand(open <= most, || format!("{open} are open, above {most}"))?;
            }
            Event::Closed { source } => drop(self.open.remove(&source)),
            _ => {}
        }
        Ok(())
    }
}

/// Looks for a smaller plan that fails in the same way. Gives the smallest found, and how it fails.
pub(crate) fn shrink_fetches(plan: &FetchPlan, failure: &Failure) -> (FetchPlan, Failure) {
    let (mut best, mut how) = (plan.clone(), failure.clone());
    loop {
        let failing = best.smaller().into_iter().find_map(|plan| {
            let failure = run_fetches(&plan, None).err()?;
            (failure.checker == how.checker).then_some((plan, failure))
        });
        match failing {
            Some(found) => (best, how) = found,
            None => return (best, how),
        }
    }
}
