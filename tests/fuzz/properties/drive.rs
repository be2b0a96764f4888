//! A driver of an exchange that is as small as can be, and that looks whether the exchange keeps
//! its side of the contract: flush before want, limits, nothing consumed twice.

use helloop::http::{
    Answer, BodyPolicy, Exchange, Found, Reason, Reply, ReplyEvent, Request, Response, Room,
    Status, Terms, Version, Want,
};
use helloop::limits::{Limits, ReplyLimits};

use super::has;

/// How an input is given to an exchange, and to which.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) policy: BodyPolicy,
    /// The input ends behind its last byte.
    pub(super) eof: bool,
}

/// A head as the driver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// A request as the service saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// An answer as the driver was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) method: Option<String>,
    pub(super) status: Status,
    pub(super) body_bytes: usize,
    pub(super) closes: Option<Reason>,
}

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Of every head that is good.
    pub(super) heads: Vec<Head>,
    /// Every request that the service was asked.
    pub(super) requests: Vec<Understood>,
    pub(super) answers: Vec<Told>,
    /// What was answered, without `100 Continue`, which depends on what has arrived.
    pub(super) output: Vec<u8>,
    /// `None`: it waits for more.
    pub(super) end: Option<Reason>,
    /// Bytes of the input.
    pub(super) consumed: usize,
}

/// No answer of [`answer`] is larger, apart from the target and body that it repeats.
const ANSWER_BYTES_MAX: usize = 1000;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Setup {
    /// Bits: 1 small limits; 2 bodies are discarded; 4 the end of input; 16 two requests.
    pub(super) fn of(bits: u8) -> Setup {
        let mut limits = if has(bits, 1) { small_limits() } else { Limits::default() };
        limits.requests_per_connection_max = has(bits, 16).then_some(2);
        let policy = if has(bits, 2) { BodyPolicy::Discard } else { BodyPolicy::Collect };
        assert_eq!(limits.check(), Ok(()));
        Setup { limits, policy, eof: has(bits, 4) }
    }
}

/// Small limits are reached more often.
fn small_limits() -> Limits {
    crate::sim::limits(|limits| {
        limits.body_bytes_max = 40;
        limits.chunk_overhead_bytes_max = 24;
        limits.fields_max = 6;
        limits.request_line_bytes_max = 60;
        limits.head_bytes_max = 160;
    })
}

/// Gives `input` to an exchange in pieces that end at `cuts`, and whatever it wants.
///
/// # Panics
/// If the exchange breaks the contract.
pub(super) fn run(input: &[u8], cuts: &[usize], setup: &Setup) -> Run {
    let mut driver = Driver {
        exchange: Exchange::new(),
        response: Response::new(),
        desk: Desk { setup, run: Run::default(), is_head_known: false, due: None },
    };
    for to in cuts.iter().copied() {
        driver.advance(&input[..to], false);
    }
    driver.advance(input, setup.eof);
    driver.finish()
}

struct Driver<'a> {
    exchange: Exchange,
    response: Response,
    desk: Desk<'a>,
}

impl Driver<'_> {
    /// Lets the exchange work until it wants more than there is of the input by now.
    fn advance(&mut self, so_far: &[u8], eof: bool) {
        let mut rest = &so_far[self.desk.run.consumed..];
        loop {
            let before = rest;
            let (want, output) = self.step(&mut rest, eof);
            self.desk.run.consumed += before.len() - rest.len();
            let has_moved = rest.len() < before.len() || !output.is_empty();
            self.keep(&output);
            match want {
                None => assert!(has_moved, "it has answered, and has said nothing"),
                Some(Want::Service) => self.serve(&mut rest, eof),
                Some(Want::Close(reason)) => return self.close(reason, so_far, eof),
                Some(want) => {
                    assert!(!eof, "nothing more can be read");
                    return self.check_wait(want, rest);
                }
            }
        }
    }

    /// Finds one request and answers it. Gives what is wanted if there is none, and what was said.
    fn step(&mut self, rest: &mut &[u8], eof: bool) -> (Option<Want>, Vec<u8>) {
        let so_far = self.desk.run.consumed + rest.len();
        let before = *rest;
        let (mut output, limits) = (Vec::new(), &self.desk.setup.limits);
        let Driver { exchange, response, desk } = self;
        let terms = desk.terms();
        let mut room = Room::new(None);
        let mut found = exchange.next(rest, eof, limits, &mut room);
        if let Found::Body(announced) = found {
            let policy = desk.body_policy(announced.request());
            found = exchange.receive(announced, policy, rest, eof, limits, &mut output);
        }
        response.clear();
        let want = match found {
            Found::Request(asked) => {
                let request = asked.request();
                let answer = match desk.respond(request, response) {
                    Served::Now => Some(exchange.answer(asked, response, &terms, &mut output)),
                    Served::Panicked => Some(exchange.fail(asked, response, &terms, &mut output)),
                    Served::Later => {
                        exchange.defer(asked);
                        None
                    }
                };
                if let Some(answer) = answer {
                    desk.answered(Some(request), &answer);
                }
                None
            }
            Found::Wrong(wrong) => {
                let answer = exchange.refuse(&wrong, response, &terms, &mut output);
                desk.answered(wrong.request(), &answer);
                None
            }
            Found::Body(_) => unreachable!("it was received"),
            Found::Nothing(want) => Some(want),
        };
        assert!(before.ends_with(rest), "what is left is not the end of what was given");
        // What is repeated is not longer than what has come, and bytes that are no UTF-8 become three.
        assert!(output.len() < ANSWER_BYTES_MAX + 3 * so_far, "{} bytes at once", output.len());
        (want, output)
    }

    fn keep(&mut self, output: &[u8]) {
        // It is never followed by anything in one call, and no answer of ours ends like it.
        let output = output.strip_suffix(CONTINUE).unwrap_or(output);
        self.desk.run.output.extend_from_slice(output);
    }

    /// The input is used up, apart from a partial head within its limit.
    fn check_wait(&self, want: Want, rest: &[u8]) {
        let most = self.desk.setup.limits.head_bytes_max;
        assert!(rest.len() < most, "{} bytes are held", rest.len());
        match want {
            Want::Head => {}
            want => assert_eq!(rest, b"", "it wants more and has some: {want:?}"),
        }
    }

    /// Gives the answer for which the service took its time.
    fn serve(&mut self, rest: &mut &[u8], eof: bool) {
        let before = rest.len();
        let again = self.step(rest, eof);
        assert_eq!(again, (Some(Want::Service), Vec::new()), "the service is at work");
        assert_eq!(rest.len(), before, "nothing is consumed while the service is at work");
        let due = self.desk.due.take().expect("a service was asked and took its time");
        let Driver { exchange, response, desk } = self;
        let (mut output, terms) = (Vec::new(), desk.terms());
        response.clear();
        let mut room = Room::new(None);
        let answered = match due {
            Due::Whole(text) => {
                response.text(text);
                let asked = exchange.deferred(&mut room).expect("it was deferred");
                Some((asked, exchange.answer(asked, response, &terms, &mut output)))
            }
            Due::Pieces(text) => {
                exchange.answer_streamed(response, &terms, &mut output);
                for piece in [&text[..], "", "and more"] {
                    assert!(exchange.is_streaming());
                    exchange.stream(piece.as_bytes(), &mut output);
                }
                exchange.end_stream(&mut output, &mut room)
            }
        };
        let (asked, answer) = answered.expect("it was due");
        desk.answered(Some(asked.request()), &answer);
        self.keep(&output);
    }

    /// Over is over.
    fn close(&mut self, reason: Reason, so_far: &[u8], eof: bool) {
        let end = self.desk.run.end.get_or_insert(reason);
        assert_eq!(*end, reason, "it ends for one reason");
        let mut rest = &so_far[self.desk.run.consumed..];
        let before = rest.len();
        assert_eq!(self.step(&mut rest, eof), (Some(Want::Close(reason)), Vec::new()));
        assert_eq!(rest.len(), before, "nothing is consumed behind the end");
    }

    fn finish(self) -> Run {
        let run = self.desk.run;
        assert_eq!(self.exchange.requests() as usize, run.answers.len(), "answers are counted");
        let closing = run.answers.last().and_then(|told| told.closes);
        assert!(closing.is_none() || closing == run.end, "{closing:?} was told, {:?}", run.end);
        run
    }
}

/// Answers as the path says, and writes down what happens.
struct Desk<'a> {
    setup: &'a Setup,
    run: Run,
    /// The head of the request at hand is written down.
    is_head_known: bool,
    due: Option<Due>,
}

/// What the service will answer later.
enum Due {
    Whole(String),
    Pieces(String),
}

impl Desk<'_> {
    fn head(&mut self, request: &Request<'_>) {
        let fields = request.headers();
        assert!(fields.len() <= self.setup.limits.fields_max, "{} fields", fields.len());
        let head = Head {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            version: request.version(),
            fields: fields.iter().map(|(name, value)| (name.into(), value.to_vec())).collect(),
        };
        if std::mem::replace(&mut self.is_head_known, true) {
            assert_eq!(self.run.heads.last(), Some(&head), "a head changed on its way");
        } else {
            self.run.heads.push(head);
        }
    }

    fn terms(&self) -> Terms {
        let date = *b"Thu, 01 Jan 2026 00:00:00 GMT";
        let requests_max = self.setup.limits.requests_per_connection_max;
        Terms { date, is_draining: false, requests_max }
    }

    fn body_policy(&mut self, head: &Request<'_>) -> BodyPolicy {
        assert!(!self.is_head_known, "it is asked once per request");
        self.head(head);
        self.setup.policy
    }

    fn respond(&mut self, request: &Request<'_>, response: &mut Response) -> Served {
        assert_eq!(self.run.end, None, "a request behind the end");
        self.head(request);
        let body = request.body();
        assert!(body.len() as u64 <= self.setup.limits.body_bytes_max, "{} bytes", body.len());
        self.run.requests.push(Understood {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            body: body.to_vec(),
        });
        answer(request, response, &mut self.due)
    }

    fn answered(&mut self, request: Option<&Request<'_>>, answer: &Answer) {
        if let Some(request) = request {
            self.head(request);
        }
        self.is_head_known = false;
        let Answer { status, body_bytes, closes } = *answer;
        let method = request.map(|request| request.method().to_owned());
        self.run.answers.push(Told { method, status, body_bytes, closes });
    }
}

/// What the service comes to.
enum Served {
    Now,
    Panicked,
    Later,
}

/// The service.
fn answer(request: &Request<'_>, response: &mut Response, due: &mut Option<Due>) -> Served {
    let body = String::from_utf8_lossy(request.body());
    let text = format!("{} {} {body}.\n", request.method(), request.target());
    match request.path() {
        "/panic" => return Served::Panicked,
        "/later" => *due = Some(Due::Whole(text)),
        "/pieces" => *due = Some(Due::Pieces(text)),
        "/close" => drop(response.text(text).close()),
        "/no-content" => drop(response.status(Status::NO_CONTENT).text(text)),
        "/not-modified" => drop(response.status(Status::NOT_MODIFIED).text(text)),
        _ => drop(response.text(text)),
    }
    if due.is_some() { Served::Later } else { Served::Now }
}

/// What was answered is what was told, to a client that reads it.
pub(super) fn check_output(run: &Run) {
    let mut rest = &run.output[..];
    for told in &run.answers {
        // Where the request is not known, only the missing body tells that it was HEAD.
        let is_head = told.method.as_ref().map_or(told.body_bytes == 0, |method| method == "HEAD");
        let method = if is_head { "HEAD" } else { "GET" };
        let limits = ReplyLimits::default();
        let mut reply = Reply::new(method, limits).expect("a method");
        let mut body_bytes = 0;
        loop {
            match reply.advance(&mut rest, true).expect("our answers are good replies") {
                ReplyEvent::Head(head) => {
                    assert_eq!(head.status(), told.status.code());
                    let says_close = head.get("Connection") == Some(b"close");
                    assert_eq!(says_close, told.closes.is_some(), "{told:?}");
                }
                ReplyEvent::Data(data) => body_bytes += data.len(),
                ReplyEvent::End { .. } => break,
                ReplyEvent::Read => unreachable!("the input has ended"),
            }
        }
        assert_eq!(body_bytes, told.body_bytes, "{told:?}");
    }
    assert_eq!(rest.escape_ascii().to_string(), "", "behind the last answer");
}
