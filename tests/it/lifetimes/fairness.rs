use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Duration;

use helloop::TaskId;
use helloop::event_loop::Flow;
use helloop::events::Event;
use helloop::http::{Request, Response};
use helloop::limits::{Limits, REQUESTS_PER_RESUME_MAX};
use helloop::world::sim::{Faults, PIPE_BYTES};

use crate::sim::{Client, House, Tape, echo, get, limits};

/// The statuses and bodies are not looked at here: only who was answered when.
fn answered_tasks(house: &House) -> Vec<String> {
    house.told(|_, event| match event {
        Event::Response { task, .. } => Some(task.to_string()),
        _ => None,
    })
}

#[test]
fn a_flood_of_pipelined_requests_starves_nobody() {
    let mut house = House::calm(Limits::default(), echo);
    let [flood, modest] = [house.connect(), house.connect()];
    house.settle();
    flood.send(&get("/flood").repeat(400));
    modest.send(&get("/modest"));
    house.settle();
    let order = answered_tasks(&house);
    assert_eq!(order.len(), 401);
    let flooding = &order[0];
    let first_of_other = order.iter().position(|task| task != flooding);
    assert_eq!(first_of_other, Some(REQUESTS_PER_RESUME_MAX), "after one batch of the flood");
    assert_eq!(modest.answer().1, "GET /modest \n");
}

#[test]
fn a_flood_on_a_rough_network_loses_nothing_and_reorders_nothing() {
    for seed in 0..4 {
        let mut house = House::new(seed, Faults::ROUGH, Limits::default(), echo);
        let flood = house.connect();
        let requests: String = (0..400).map(|n| get(&format!("/{n}"))).collect();
        flood.send(&requests);
        let mut text = String::new();
        for _ in 0..3 {
            house.settle();
            text += &flood.receive();
        }
        let bodies: Vec<&str> = text.lines().filter(|line| line.starts_with("GET /")).collect();
        let expected: Vec<String> = (0..400).map(|n| format!("GET /{n} ")).collect();
        assert_eq!(bodies, expected);
    }
}

/// `read_bytes_per_resume_max`: a large upload goes to the back of the queue.
#[test]
fn a_large_upload_starves_nobody() {
    let limits = limits(|limits| {
        limits.read_bytes_per_resume_max = 64 * 1024;
        limits.body_bytes_max = 4 << 20;
    });
    let mut house = House::calm(limits, echo);
    let [upload, modest] = [house.connect(), house.connect()];
    house.settle();
    let length = 2 << 20;
    upload.send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    upload.send(&"x".repeat(length));
    modest.send(&get("/modest"));
    house.turn();
    assert_eq!(modest.answer().1, "GET /modest \n", "in the very first turn");
    let again = house.told(|_, event| match event {
        Event::Suspended { flow: Flow::Again, .. } => Some(()),
        _ => None,
    });
    assert_eq!(again.len(), 1);
    house.settle();
    let mut received = 0;
    while received < length {
        let text = upload.receive();
        assert!(!text.is_empty(), "after {received} bytes");
        received += text.len();
        house.settle();
    }
}

/// Pipelining without reading: the output stops at its cap, the input is left to the kernel.
#[test]
fn a_peer_that_never_reads_costs_a_bounded_amount() {
    // A batch of `requests_per_resume_max` answers would be twenty times the cap.
    const BODY_BYTES: usize = 20_000;
    const REQUESTS: usize = 1000;
    // Not `OUTPUT_BYTES_MAX`: a bound that is worked out from the limit does not notice that the
    // limit is none any more.
    const HELD_BYTES_MAX: usize = 64 * 1024;
    let service = |_: &Request<'_>, response: &mut Response| {
        response.text("x".repeat(BODY_BYTES));
    };
    let mut house = House::calm(Limits::default(), service);
    let client = house.connect();
    for _ in 0..10 {
        client.send(&get("/").repeat(REQUESTS / 10));
        house.settle();
    }
    let answers = answered_tasks(&house).len();
    let most = (PIPE_BYTES + HELD_BYTES_MAX) / BODY_BYTES + 1;
    assert!(answers <= most, "{answers} of {REQUESTS} requests were answered into nowhere");
    // `BackPressure` in `checkers` has seen that nothing was read meanwhile. Now the peer reads.
    let mut bytes = 0;
    while bytes < REQUESTS * BODY_BYTES {
        let more = client.receive().len();
        assert!(more > 0, "stuck after {bytes} bytes");
        bytes += more;
        house.settle();
    }
    assert_eq!(answered_tasks(&house).len(), REQUESTS);
}

/// Peers with so many requests each.
const GREEDY: usize = 5;
const PIPELINED: usize = 100_000;

/// What happened on the loop from one moment to the answer of one connection.
#[derive(Debug, Default)]
struct Delay {
    turns: usize,
    /// Resumes of others.
    resumes: usize,
    /// Answers to others.
    answers: usize,
}

impl Delay {
    /// From the event with this index on, until `task` has answered.
    fn since(house: &House, first: usize, task: TaskId) -> Delay {
        let mut delay = Delay::default();
        for (_, event) in &house.tape.events()[first..] {
            match event {
                Event::Response { task: who, .. } if *who == task => return delay,
                Event::Response { .. } => delay.answers += 1,
                Event::Resumed { task: who, .. } if *who != task => delay.resumes += 1,
                Event::TurnBegan { .. } => delay.turns += 1,
                _ => {}
            }
        }
        panic!("task {task} has not answered");
    }
}

/// The task that answered last.
fn last_to_answer(house: &House) -> TaskId {
    let answers = house.told(|_, event| match event {
        Event::Response { task, .. } => Some(*task),
        _ => None,
    });
    *answers.last().expect("an answer")
}

/// A peer that asks and does not read costs the others nothing: once the pipes are full, only connections that
/// ask are resumed.
#[test]
fn a_hundred_thousand_unread_requests_delay_nobody() {
    let mut house = House::calm(Limits::default(), echo);
    let modest = house.connect();
    modest.send(&get("/"));
    house.settle();
    let task = last_to_answer(&house);
    let greedy: Vec<Client> = (0..GREEDY).map(|_| house.connect()).collect();
    let requests = get("/").repeat(PIPELINED);
    greedy.iter().for_each(|client| client.send(&requests));
    house.settle();
    for _ in 0..100 {
        modest.send(&get("/"));
        let first = house.tape.len();
        house.settle();
        let delay = Delay::since(&house, first, task);
        assert_eq!((delay.turns, delay.resumes, delay.answers), (1, 0, 0));
    }
}

/// Has `client` ask while another one is being answered.
struct Ambush {
    client: Client,
    tape: Tape,
    /// Answers to others until it asks.
    countdown: Cell<usize>,
    /// The number of events when it asked.
    asked: Cell<Option<usize>>,
}

impl Ambush {
    fn one_is_answered(&self) {
        if self.asked.get().is_none() {
            self.countdown.set(self.countdown.get() - 1);
            if self.countdown.get() == 0 {
                self.client.send(&get("/modest"));
                self.asked.set(Some(self.tape.len()));
            }
        }
    }
}

/// Peers that take their answers keep the loop busy. One more, which asks at any moment, even in the
/// middle of a resume of theirs, waits for the rest of that turn and for its own: each of the others
/// has at most one resume in each, and at most `REQUESTS_PER_RESUME_MAX` answers in a resume.
#[test]
fn a_hundred_thousand_pipelined_requests_delay_others_by_a_turn() {
    let ambush: Rc<OnceCell<Ambush>> = Rc::default();
    let set_later = Rc::clone(&ambush);
    let service = move |request: &Request<'_>, response: &mut Response| {
        if let (Some(ambush), "/greedy") = (set_later.get(), request.path()) {
            ambush.one_is_answered();
        }
        response.text(request.path());
    };
    let mut house = House::calm(Limits::default(), service);
    let client = house.connect();
    client.send(&get("/modest"));
    house.settle();
    client.answer();
    let task = last_to_answer(&house);
    let greedy: Vec<Client> = (0..GREEDY).map(|_| house.connect()).collect();
    let requests = get("/greedy").repeat(PIPELINED);
    greedy.iter().for_each(|client| client.send(&requests));
    let (tape, countdown) = (house.tape.clone(), Cell::new(1));
    let ambush = ambush.get_or_init(|| Ambush { client, tape, countdown, asked: Cell::new(None) });

    let mut random = fastrand::Rng::with_seed(1);
    let mut most = Delay::default();
    for _ in 0..200 {
        ambush.asked.set(None);
        ambush.countdown.set(random.usize(1..=2 * GREEDY * REQUESTS_PER_RESUME_MAX));
        while ambush.client.receive().is_empty() {
            house.turn();
            greedy.iter().for_each(|client| drop(client.receive()));
        }
        let delay = Delay::since(&house, ambush.asked.get().expect("it has asked"), task);
        most.turns = most.turns.max(delay.turns);
        most.resumes = most.resumes.max(delay.resumes);
        most.answers = most.answers.max(delay.answers);
    }
    // A connection that asks while it is answered is resumed once more in the next turn.
    let resumes = 2 * GREEDY - 1;
    assert_eq!((most.turns, most.resumes), (1, resumes), "{most:?}");
    let answers = (resumes + 1) * REQUESTS_PER_RESUME_MAX;
    assert!((answers / 2..=answers).contains(&most.answers), "{most:?}, at most {answers}");
}

/// Work that is always there does not keep timers from firing.
#[test]
fn timers_fire_although_the_loop_is_never_idle() {
    let limits = limits(|limits| limits.idle_timeout = Duration::from_millis(1));
    let mut house = House::calm(limits, echo);
    let [busy, idle] = [house.connect(), house.connect()];
    house.settle();
    let mut turns = 0;
    while !idle.peer.at_end() {
        busy.send(&get("/").repeat(200));
        house.turn();
        busy.receive();
        turns += 1;
        assert!(turns < 10_000, "the idle connection is still open");
    }
    assert_eq!(idle.receive(), "");
}

/// Thousands of turns of everything at once, on rough networks: the checkers look on.
#[test]
fn a_crowd_on_a_rough_network() {
    for seed in 0..6 {
        let mut house = House::new(seed, Faults::ROUGH, Limits::default(), echo);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut clients = Vec::new();
        let (mut asked, mut answered) = (0, 0);
        for _ in 0..300 {
            match random.u8(0..10) {
                0..=2 => clients.push(house.connect()),
                3..=6 if !clients.is_empty() => {
                    let client = random.choice(&clients).expect("there are clients");
                    client.send(&get("/"));
                    asked += 1;
                }
                7 if !clients.is_empty() => {
                    let client = clients.swap_remove(random.usize(..clients.len()));
                    house.settle();
                    answered += client.receive().matches("HTTP/1.1 200 OK").count();
                    if random.bool() {
                        client.peer.reset();
                    }
                }
                _ => drop(house.turn()),
            }
        }
        house.settle();
        for client in &clients {
            answered += client.receive().matches("HTTP/1.1 200 OK").count();
        }
        assert_eq!(answered, asked, "with seed {seed}");
    }
}
