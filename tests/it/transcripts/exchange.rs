//! Runs a case straight through an `Exchange`: bytes in, bytes out, no loop.

use std::time::{Duration, SystemTime};

use helloop::events::Excerpt;
use helloop::greeting::Greeting;
use helloop::http::{
    Answer, DateCache, Error, Exchange, Found, Request, Response, Room, Terms, Want,
};
use helloop::server::Service;

use super::page::{Answering, Case};
use super::{CLOSES, Outcome, STAYS_OPEN};
use crate::sim::echo;

/// Inputs up to this length are cut at every one and every two places.
const EVERY_TWO_CUTS_BYTES_MAX: usize = 260;

/// Of longer inputs, so many pairs of cuts are tried.
const TWO_CUTS_SAMPLED: usize = 400;

/// No service of these pages answers more.
const ANSWER_BYTES_MAX: usize = 6000;

/// Of longer inputs, at most so many single cuts are tried.
const ONE_CUTS_MAX: usize = 1500;

/// The input in one piece.
pub(super) fn whole(case: &Case) -> Outcome {
    drive(case, &[], Ending::WithLastPiece)
}

/// What comes of the input in pieces, and in which. Empty if the case forbids cuts.
pub(super) fn outcomes_of_cuts(case: &Case) -> impl Iterator<Item = (String, Outcome)> {
    let cuts = if case.cuts { cuts(case) } else { Vec::new() };
    cuts.into_iter().flat_map(move |cuts| {
        let endings =
            if case.eof { &[Ending::WithLastPiece, Ending::Alone][..] } else { &[Ending::Alone] };
        endings.iter().map(move |ending| {
            (format!("cut at {}, {ending:?}", show(&cuts)), drive(case, &cuts, *ending))
        })
    })
}

fn show(cuts: &[usize]) -> String {
    if cuts.len() > 2 { "every byte".into() } else { format!("{cuts:?}") }
}

fn cuts(case: &Case) -> Vec<Vec<usize>> {
    let length = case.input.len();
    let mut all: Vec<Vec<usize>> = vec![vec![], (1..length).collect()];
    let step = length.div_ceil(ONE_CUTS_MAX).max(1);
    all.extend((1..length).step_by(step).map(|cut| vec![cut]));
    if length <= EVERY_TWO_CUTS_BYTES_MAX {
        all.extend((1..length).flat_map(|a| (a + 1..length).map(move |b| vec![a, b])));
    } else {
        let mut random = fastrand::Rng::with_seed(length as u64);
        all.extend((0..TWO_CUTS_SAMPLED).map(|_| {
            let (a, b) = (random.usize(1..length), random.usize(1..length));
            vec![a.min(b), a.max(b)]
        }));
    }
    all
}

/// How the end of input is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    WithLastPiece,
    Alone,
}

/// A driver as small as can be: keeps what was not consumed, and obeys the exchange.
struct Driver<'a> {
    case: &'a Case,
    exchange: Exchange,
    /// What the exchange waits for; `None` before it was asked.
    want: Option<Want>,
    held: Vec<u8>,
    output: Vec<u8>,
    response: Response,
    desk: Desk,
}

fn drive(case: &Case, cuts: &[usize], ending: Ending) -> Outcome {
    let mut driver = Driver {
        case,
        exchange: Exchange::new(),
        want: None,
        held: Vec::new(),
        output: Vec::new(),
        response: Response::new(),
        desk: Desk::new(case),
    };
    let mut from = 0;
    for to in cuts.iter().copied().chain([case.input.len()]) {
        driver.held.extend_from_slice(&case.input[from..to]);
        from = to;
        let is_last = to == case.input.len();
        driver.advance(is_last && case.eof && ending == Ending::WithLastPiece);
    }
    if case.eof && ending == Ending::Alone {
        driver.advance(true);
    }
    if case.silence.is_some() {
        driver.time_out();
    }
    driver.desk.finish(driver.output)
}

impl Driver<'_> {
    /// Lets the exchange work until it wants more input.
    fn advance(&mut self, eof: bool) {
        let limits = &self.case.limits;
        let mut rest = &self.held[..];
        let want = loop {
            let before = self.output.len();
            let (date, requests_max) = (self.desk.date, limits.requests_per_connection_max);
            let terms = Terms { date, is_draining: false, requests_max };
            let mut room = Room::new(None);
            let (exchange, output) = (&mut self.exchange, &mut self.output);
            let mut found = exchange.next(&mut rest, eof, limits, &mut room);
            if let Found::Body(announced) = found {
                let policy = self.desk.service.body_policy(announced.request());
                found = exchange.receive(announced, policy, &mut rest, eof, limits, output);
            }
            let answer = match found {
                Found::Request(asked) => {
                    self.response.clear();
                    self.desk.asked(asked.request());
                    if panics(asked.request()) {
                        exchange.fail(asked, &mut self.response, &terms, output)
                    } else {
                        self.desk.service.call(asked.request(), &mut self.response);
                        exchange.answer(asked, &self.response, &terms, output)
                    }
                }
                Found::Wrong(wrong) => exchange.refuse(&wrong, &mut self.response, &terms, output),
                Found::Body(_) => unreachable!("it was received"),
                Found::Nothing(want) => break want,
            };
            self.desk.answered(&answer);
            assert!(self.output.len() - before < ANSWER_BYTES_MAX, "more output than an answer");
        };
        let consumed = self.held.len() - rest.len();
        self.held.drain(..consumed);
        match want {
            Want::Request | Want::Head | Want::Body => assert!(!eof, "nothing more can be read"),
            Want::Service => unreachable!("these services answer at once"),
            Want::Close(reason) => self.desk.ending(reason.sentence()),
        }
        self.want = Some(want);
    }

    /// What a driver does at the end of the silence.
    fn time_out(&mut self) {
        let error = match self.want {
            Some(Want::Request) | None => return self.desk.ending("idle for too long"),
            Some(Want::Head) => Error::HeadTimeout,
            Some(Want::Body) => Error::BodyTimeout,
            Some(Want::Service) => unreachable!("these services answer at once"),
            Some(Want::Close(_)) => return,
        };
        let date = date(match error {
            Error::HeadTimeout => self.case.limits.head_timeout,
            _ => self.case.limits.body_progress_timeout,
        });
        let terms = Terms { date, is_draining: false, requests_max: None };
        let mut room = Room::new(None);
        let Found::Wrong(wrong) = self.exchange.time_is_up(error, &mut room) else {
            panic!("it waits for its peer");
        };
        let (output, response) = (&mut self.output, &mut self.response);
        let answer = self.exchange.refuse(&wrong, response, &terms, output);
        self.desk.answered(&answer);
        self.desk.ending(answer.closes.expect("a refusal closes").sentence());
    }
}

/// The `Date` field so long after the simulated world began.
fn date(since_begin: Duration) -> [u8; 29] {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    *DateCache::new().at(0, || begin + since_begin)
}

/// The service of the case, and what happens.
struct Desk {
    service: Box<dyn Service>,
    date: [u8; 29],
    requests: u32,
    answers: u32,
    events: Vec<String>,
    is_over: bool,
}

impl Desk {
    fn new(case: &Case) -> Desk {
        Desk {
            service: service(case.service),
            date: date(Duration::ZERO),
            requests: 0,
            answers: 0,
            events: Vec::new(),
            is_over: false,
        }
    }

    /// Told again and again when a closed exchange is given more: once is enough.
    fn ending(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.events.push(format!("ends: {why}"));
        }
    }

    fn finish(mut self, output: Vec<u8>) -> Outcome {
        self.events.push(if self.is_over { CLOSES } else { STAYS_OPEN }.into());
        Outcome { output, events: self.events }
    }

    fn asked(&mut self, request: &Request<'_>) {
        assert!(!self.is_over, "a request after the end");
        self.requests = self.answers + 1;
        let line = Excerpt::of(&[request.method(), " ", request.target()]);
        self.events.push(format!("request {}: {}", self.requests, line.as_str()));
    }

    fn answered(&mut self, answer: &Answer) {
        assert!(!self.is_over, "an answer after the end");
        self.answers += 1;
        let (status, bytes) = (answer.status.code(), answer.body_bytes);
        self.events.push(format!("response {}: {status}, {bytes} bytes", self.answers));
    }
}

/// A closure of ours is not called by the server, which catches panics.
fn panics(request: &Request<'_>) -> bool {
    request.target() == "/panic"
}

/// The service of a case.
pub(super) fn service(answering: Answering) -> Box<dyn Service> {
    match answering {
        Answering::Greeting => Box::new(Greeting),
        Answering::Echo => Box::new(echo),
        Answering::Special => Box::new(special),
    }
}

/// Does what the path says, where a service may do something unusual.
fn special(request: &Request<'_>, response: &mut Response) {
    use helloop::http::Status;
    match request.path() {
        "/panic" => panic!("as the page asked"),
        "/close" => drop(response.text("bye\n").close()),
        "/no-content" => drop(response.status(Status::NO_CONTENT).text("dropped\n")),
        "/not-modified" => drop(response.status(Status::NOT_MODIFIED).text("dropped\n")),
        "/forge" => {
            let refused = response.header("X-Name", "a\r\nSet-Cookie: b").is_err();
            let reserved = response.header("Content-Length", "0").is_err();
            response.text(format_args!("refused: {refused}, reserved: {reserved}\n"));
        }
        "/big" => drop(response.text("x".repeat(5000))),
        _ => drop(response.text("ok\n")),
    }
}
