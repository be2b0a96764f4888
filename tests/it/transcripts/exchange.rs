//! Runs a case straight through an `Exchange`: bytes in, bytes out, no loop.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use helloop::events::Excerpt;
use helloop::greeting::Greeting;
use helloop::http::{
    Answer, BodyPolicy, DateCache, Error, Exchange, Handled, Handler, Request, Response, Stage,
    Want,
};
use helloop::limits::Limits;
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
    held: Vec<u8>,
    output: Vec<u8>,
    response: Response,
    desk: Desk<'a>,
}

fn drive(case: &Case, cuts: &[usize], ending: Ending) -> Outcome {
    let mut driver = Driver {
        case,
        exchange: Exchange::new(),
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
        loop {
            let mut rest = &self.held[..];
            let before = self.output.len();
            let mut output = Vec::new();
            let want = self.exchange.advance(
                &mut rest,
                eof,
                &mut output,
                &mut self.response,
                &mut self.desk,
            );
            // Flush before want.
            self.output.append(&mut output);
            self.held.drain(..self.held.len() - rest.len());
            // The cap is looked at before an answer is made, and one answer may be large.
            let bytes_max = self.case.limits.output_bytes_max + ANSWER_BYTES_MAX;
            assert!(self.output.len() - before < bytes_max, "more output than the cap at once");
            match want {
                Want::Flush => {}
                Want::Read => {
                    assert!(!eof, "nothing more can be read");
                    return;
                }
                Want::Service => unreachable!("these services answer at once"),
                Want::Close(reason) => return self.desk.ending(reason.sentence()),
            }
        }
    }

    /// What a driver does at the end of the silence.
    fn time_out(&mut self) {
        let error = match self.exchange.stage() {
            Stage::Idle => return self.desk.ending("idle for too long"),
            Stage::Head => Error::HeadTimeout,
            Stage::Body => Error::BodyTimeout,
            Stage::Service => unreachable!("these services answer at once"),
            Stage::Closed => return,
        };
        self.desk.date = date(match error {
            Error::HeadTimeout => self.case.limits.head_timeout,
            _ => self.case.limits.body_progress_timeout,
        });
        let (output, response) = (&mut self.output, &mut self.response);
        let Want::Close(reason) = self.exchange.refuse(error, output, response, &mut self.desk)
        else {
            panic!("a refusal closes");
        };
        self.desk.ending(reason.sentence());
    }
}

/// The `Date` field so long after the simulated world began.
fn date(since_begin: Duration) -> [u8; 29] {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    *DateCache::new().at(0, || begin + since_begin)
}

/// The handler: answers as the case says, and writes down what happens.
struct Desk<'a> {
    limits: &'a Limits,
    service: Box<dyn Service>,
    date: [u8; 29],
    requests: u32,
    answers: u32,
    events: Vec<String>,
    is_over: bool,
}

impl Desk<'_> {
    fn new(case: &Case) -> Desk<'_> {
        Desk {
            limits: &case.limits,
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
}

impl Handler for Desk<'_> {
    fn limits(&self) -> &Limits {
        self.limits
    }

    fn date(&mut self) -> &[u8; 29] {
        &self.date
    }

    fn draining(&self) -> bool {
        false
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn body_policy(&mut self, head: &Request<'_>) -> BodyPolicy {
        self.service.body_policy(head)
    }

    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Handled {
        assert!(!self.is_over, "a request after the end");
        self.requests = self.answers + 1;
        let line = Excerpt::of(&[request.method(), " ", request.target()]);
        self.events.push(format!("request {}: {}", self.requests, line.as_str()));
        if panics(request) {
            return Handled::Panicked;
        }
        self.service.call(request, response);
        Handled::Done
    }

    fn answered(&mut self, answer: &Answer<'_>) {
        assert!(!self.is_over, "an answer after the end");
        self.answers += 1;
        let (status, bytes) = (answer.status.code(), answer.body_bytes);
        self.events.push(format!("response {}: {status}, {bytes} bytes", self.answers));
    }
}

/// A closure of ours is not called through the bridge that catches panics.
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
