use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use helloop::events::Event;
use helloop::http::Reason;
use helloop::limits::MAKE_ROOM_IDLE_MIN;
use helloop::world::Time;
use helloop::world::sim::{HELD_MAX, LATENCY_MAX};
use helloop::{SourceId, TaskId};

use super::ask::Expected;
use super::client::Seen;
use super::plan::{ClientPlan, Plan, Reads};
use super::reader::Got;
use super::run::{Failure, Record};

/// What is sent has arrived, and was seen, after this time.
const SETTLED: Duration =
    LATENCY_MAX.saturating_add(HELD_MAX).saturating_add(Duration::from_millis(100));

/// An answer that comes later, behind all that it had to wait for, waited for something that it
/// should not have: more than any service takes, and less than the shortest timeout, which has a
/// last look at what was forgotten.
const PROMPT: Duration = Duration::from_secs(4);

/// A pause that no timeout of a plan strikes in.
const SHORT_PAUSE: Duration = Duration::from_secs(4);

const REQUEST_TIMEOUT: u16 = 408;

/// What the events tell of one connection.
#[derive(Default)]
struct Facts {
    opened: Time,
    /// Why it ended, and when.
    ending: Option<(&'static str, Time)>,
    /// When its write side was shut.
    shut: Option<Time>,
    /// When it was closed.
    closed: Option<Time>,
    /// A newcomer waited for room then.
    made_room: bool,
    /// When it was answered.
    answered: Vec<Time>,
    /// When something was last written to it.
    wrote: Time,
    /// The same, before each answer: until then those before it, or what of them did not fit, were
    /// on their way.
    wrote_before: Vec<Time>,
}

fn facts_of(record: &Record) -> HashMap<SourceId, Facts> {
    let mut sources: HashMap<TaskId, SourceId> = HashMap::new();
    let mut facts: HashMap<SourceId, Facts> = HashMap::new();
    let mut newcomers: usize = 0;
    for (at, event) in &record.events {
        match *event {
            Event::Opened { source, task } => {
                sources.insert(task, source);
                facts.insert(source, Facts { opened: *at, ..Facts::default() });
            }
            Event::Shut { source } => {
                facts.entry(source).or_default().shut = Some(*at);
            }
            Event::Closed { source } => {
                let facts = facts.entry(source).or_default();
                (facts.closed, facts.made_room) = (Some(*at), newcomers > 0);
            }
            Event::State { to: "full", .. } => newcomers += 1,
            Event::State { from: "full", .. } => newcomers -= 1,
            Event::Wrote { source, .. } => facts.entry(source).or_default().wrote = *at,
            Event::Ending { task, why } => {
                if let Some(facts) = sources.get(&task).and_then(|source| facts.get_mut(source)) {
                    facts.ending = Some((why, *at));
                }
            }
            Event::Response { task, .. } => {
                if let Some(facts) = sources.get(&task).and_then(|source| facts.get_mut(source)) {
                    facts.answered.push(*at);
                    facts.wrote_before.push(facts.wrote);
                }
            }
            _ => {}
        }
    }
    facts
}

/// Whether each client got what it deserves. Gives the number of those that got all they asked for.
pub(super) fn judge(plan: &Plan, record: &Record) -> Result<u64, Failure> {
    let facts = facts_of(record);
    let responses = record.events.iter().filter(|(_, e)| matches!(e, Event::Response { .. }));
    if responses.count() as u64 != record.report.requests {
        let complaint = format!("{} requests", record.report.requests);
        return Err(Failure::new("the report counts right", complaint));
    }
    let (mut satisfied, mut unheard) = (0, 0);
    for (number, (client, seen)) in plan.clients.iter().zip(&record.seen).enumerate() {
        let facts = seen.source.and_then(|source| facts.get(&source));
        let case = Case { plan, record, client, seen, facts };
        let verdict = case.judge().map_err(|failure| {
            let complaint = format!("client {number}: {}", failure.complaint);
            Failure::new(&failure.checker, complaint)
        });
        satisfied += u64::from(verdict?);
        unheard += u64::from(case.was_cut_unheard());
    }
    demand("who is cut is counted", unheard <= record.report.cut, || {
        format!("{unheard} were cut before they were answered; told: {:?}", record.report)
    })?;
    Ok(satisfied)
}

/// One client before the judge.
struct Case<'a> {
    plan: &'a Plan,
    record: &'a Record,
    client: &'a ClientPlan,
    seen: &'a Seen,
    /// `None`: it was never accepted.
    facts: Option<&'a Facts>,
}

/// Fails unless `holds`.
fn demand(checker: &str, holds: bool, complaint: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(checker, complaint())) }
}

impl Case<'_> {
    /// True if the client got every answer that it asked for.
    fn judge(&self) -> Result<bool, Failure> {
        let reader = &self.seen.reader;
        if let Some(complaint) = &reader.complaint {
            return Err(Failure::new(
                "answers are well-formed, and none follows the last",
                complaint,
            ));
        }
        for (number, got) in reader.answers.iter().enumerate() {
            self.judge_answer(number, got)?;
        }
        self.judge_ending()?;
        self.judge_tail()?;
        self.judge_silence()
    }

    /// When the byte before `bytes` was sent; `None` if it was not.
    fn sent_at(&self, bytes: usize) -> Option<Time> {
        self.seen.sent.iter().find(|(_, sent)| *sent >= bytes).map(|(at, _)| *at)
    }

    /// When something was sent that is part of a request. An empty line before one is idleness.
    fn heard_at(&self) -> impl Iterator<Item = Time> {
        let mut from = 0;
        self.seen.sent.iter().filter_map(move |(at, to)| {
            let mut fresh = std::mem::replace(&mut from, *to)..*to;
            fresh.any(|byte| !self.is_empty_line(byte)).then_some(*at)
        })
    }

    /// Whether this byte of the stream is part of an empty line before a request.
    fn is_empty_line(&self, byte: usize) -> bool {
        let mut begin = 0;
        self.client.asks.iter().any(|ask| {
            let offset = byte.checked_sub(begin);
            begin += ask.bytes.len();
            ask.bytes.starts_with(b"\r\n") && offset.is_some_and(|offset| offset < 2)
        })
    }

    /// Bytes of the stream at which request `number` ends.
    fn end_of(&self, number: usize) -> usize {
        self.client.asks[..=number].iter().map(|ask| ask.bytes.len()).sum()
    }

    /// The end that the events tell of.
    fn ending(&self) -> Option<(&'static str, Time)> {
        self.facts.and_then(|facts| facts.ending)
    }

    fn ended_for(&self, reasons: &[Reason]) -> bool {
        self.ending().is_some_and(|(why, _)| reasons.iter().any(|r| r.sentence() == why))
    }

    /// The client was so slow, or so silent, that a timeout may strike it.
    fn may_time_out(&self) -> bool {
        self.plan.jumps()
            || self.client.longest_pause() >= SHORT_PAUSE
            || self.client.sending_time() >= SHORT_PAUSE
            || self.client.sent_bytes() < self.client.stream().len()
    }

    fn judge_answer(&self, number: usize, got: &Got) -> Result<(), Failure> {
        const RIGHT: &str = "an answer is the right one, in order";
        let name = || self.client.asks.get(number).map_or("nothing", |ask| ask.name);
        let Some(ask) = self.client.asks.get(number) else {
            return Err(Failure::new(RIGHT, format!("answer {number} is one to nothing")));
        };
        let Expected { status, body, closes, is_later, is_refused, .. } = &ask.expected;
        let answered = self.facts.and_then(|facts| facts.answered.get(number)).copied();
        let Some(answered) = answered else {
            return Err(Failure::new(RIGHT, format!("answer {number} was never told of")));
        };
        if got.status == REQUEST_TIMEOUT {
            return self.judge_timeout(number, got, answered);
        }
        demand(RIGHT, got.status == *status, || {
            format!("{} was answered {}, not {status}", name(), got.status)
        })?;
        demand(RIGHT, body.as_ref().is_none_or(|body| *body == got.body), || {
            let (got, body) = (&got.body, body.as_deref().unwrap_or_default());
            let same = got.iter().zip(body).take_while(|(a, b)| a == b).count();
            format!("the {} bytes of {} are wrong behind the first {same}", got.len(), name())
        })?;
        if !is_later {
            self.judge_delay(number, answered)?;
        }
        let is_complete = self.sent_at(self.end_of(number)).is_some();
        demand(RIGHT, is_complete || *is_refused, || {
            format!("{} was answered before it was complete", name())
        })?;
        // An answer in pieces may have been begun before the end was ordered.
        let begun = if *is_later { Time::ZERO } else { answered };
        self.judge_closing(number, got, *closes, [begun, answered])?;
        if *is_later { Ok(()) } else { self.judge_date(got, answered) }
    }

    /// An answer waits for its request, for those before it, and for the peer to read; for nothing
    /// else, unless the service takes its time.
    fn judge_delay(&self, number: usize, answered: Time) -> Result<(), Failure> {
        let (Some(facts), Some(sent)) = (self.facts, self.sent_at(self.end_of(number))) else {
            return Ok(());
        };
        let before = number.checked_sub(1).map(|number| facts.answered[number]);
        let began = sent.max(facts.opened).max(before.unwrap_or_default());
        let began = began.max(facts.wrote_before[number]);
        let is_prompt = answered <= began + PROMPT || self.plan.jumps();
        demand("an answer comes at once", is_prompt, || {
            format!("answer {number} came at {answered}, although nothing happened since {began}")
        })
    }

    fn judge_closing(
        &self,
        number: usize,
        got: &Got,
        closes: bool,
        [begun, answered]: [Time; 2],
    ) -> Result<(), Failure> {
        const CLOSES: &str = "an answer says close exactly if it must";
        let most = self.plan.limits.requests_per_connection_max;
        let is_last = most.is_some_and(|most| number + 1 >= most as usize);
        // The drainer is resumed in the turn after the order: behind a connection that was queued before it,
        // and where the clock jumps that turn is later than the order by as much.
        let is_draining = begun > self.record.ordered + SETTLED && !self.plan.jumps();
        let must = closes || is_last || is_draining;
        let may = must || answered >= self.record.ordered;
        demand(CLOSES, !must || got.closes, || format!("answer {number} does not"))?;
        demand(CLOSES, may || !got.closes, || format!("answer {number} does, for no reason"))
    }

    fn judge_timeout(&self, number: usize, got: &Got, answered: Time) -> Result<(), Failure> {
        const TIMEOUTS: &str = "a timeout strikes who deserves it, in time";
        let began = if number == 0 { 1 } else { self.end_of(number - 1) + 1 };
        let began = self.sent_at(began);
        let limit = self.plan.limits.head_timeout.min(self.plan.limits.body_progress_timeout);
        demand(TIMEOUTS, got.closes && self.may_time_out(), || {
            format!("request {number} was given up without a reason")
        })?;
        demand(TIMEOUTS, began.is_some_and(|began| answered >= began + limit), || {
            format!("request {number} began at {began:?} and was given up at {answered}")
        })
    }

    /// It is rendered once a second: what the wall clock said within the last one will do.
    fn judge_date(&self, got: &Got, answered: Time) -> Result<(), Failure> {
        let told = httpdate::parse_http_date(&got.date).ok();
        let told = told.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).map(|d| d.as_secs());
        let wall = &self.record.wall;
        let until = wall.partition_point(|(at, _)| *at <= answered);
        let second_ago = |at: &Time| *at + Duration::from_secs(1) > answered;
        let recent = wall[..until].iter().rev();
        // The last one before that second was still valid when the second began.
        let mut is_older = false;
        let mut recent = recent.take_while(|(at, _)| {
            let is_taken = !is_older;
            is_older = !second_ago(at);
            is_taken
        });
        demand("Date is the wall clock's", recent.any(|(_, wall)| Some(*wall) == told), || {
            format!("\"{}\" was told at {answered}", got.date)
        })
    }

    fn judge_ending(&self) -> Result<(), Failure> {
        const REASON: &str = "a connection ends for a good reason";
        self.judge_lingering()?;
        let Some((why, at)) = self.ending() else { return Ok(()) };
        let is = |reason: Reason| why == reason.sentence();
        let complain = |holds: bool, what: &str| {
            demand(REASON, holds, || format!("\"{why}\" at {at}, but {what}"))
        };
        let ordered = self.record.ordered;
        let has_left = self.seen.left.is_some_and(|left| left <= at);
        let has_finished = self.seen.half_closed.is_some_and(|finished| finished <= at) || has_left;
        if is(Reason::IoError) {
            complain(false, "nothing of the kind happens here")
        } else if is(Reason::Shutdown) {
            complain(at >= ordered, "nobody had ordered the end")
        } else if is(Reason::Cut) {
            let due = ordered + self.plan.end.drain.unwrap_or_default();
            complain(at >= due, "there was time left")
        } else if is(Reason::PeerReset) {
            complain(has_left || self.seen.was_cut, "nobody had reset it")
        } else if is(Reason::PeerFinished) || is(Reason::PeerFinishedInRequest) {
            complain(has_finished, "the client had not finished")
        } else if is(Reason::PeerGone) {
            complain(has_finished || self.seen.was_cut, "the client was there")
        } else if is(Reason::WriteTimeout) {
            let reads = self.client.reads != Reads::Eagerly;
            complain(reads || self.plan.jumps(), "the client read")
        } else if is(Reason::IdleTimeout) {
            let heard = self.heard_at().filter(|sent| *sent + SETTLED < at).max();
            let opened = self.facts.map(|facts| facts.opened);
            let last = heard.max(opened).unwrap_or_default();
            let is_due = at >= last + self.plan.limits.idle_timeout;
            // What was sent before a jump of the clock may have arrived behind it.
            complain(is_due || self.plan.jumps(), "it was not idle for long enough")
        } else if is(Reason::MadeRoom) {
            // That it was its turn, the fold over the events has seen.
            complain(self.facts.is_some_and(|facts| facts.made_room), "nobody waited")
        } else {
            Ok(())
        }
    }

    fn judge_lingering(&self) -> Result<(), Failure> {
        let times = self.facts.and_then(|facts| facts.shut.zip(facts.closed));
        let Some((shut, closed)) = times else { return Ok(()) };
        let is_in_time = closed <= shut + self.plan.limits.linger_timeout + SETTLED;
        demand("nobody lingers for too long", is_in_time || self.plan.jumps(), || {
            format!("its write side was shut at {shut}, it was closed at {closed}")
        })
    }

    /// Whether the stream ends as it should, behind the answers that are whole.
    fn judge_tail(&self) -> Result<(), Failure> {
        let unfinished = self.seen.reader.unfinished();
        let is_whole = unfinished.is_empty() || self.seen.at_end.is_none();
        let may_break_off = self.ended_for(&[Reason::Cut, Reason::PeerGone]);
        demand("an answer that is finished is whole", is_whole || may_break_off, || {
            format!("the server finished within an answer: \"{}\"", unfinished.escape_ascii())
        })?;
        let Some(reset) = self.seen.was_reset else { return Ok(()) };
        let was_ended_hard = self.ended_for(&[
            Reason::Cut,
            Reason::Shutdown,
            Reason::PeerGone,
            Reason::WriteTimeout,
            Reason::IdleTimeout,
            Reason::MadeRoom,
        ]);
        let is_excused = self.seen.at_end.is_some()
            || self.seen.was_cut
            || self.plan.jumps()
            || self.client.reads != Reads::Eagerly
            || was_ended_hard
            || self.facts.is_none_or(|facts| facts.ending.is_none())
            || self.sent_after_linger()
            || self.sent_behind_last_word();
        demand("no reset destroys an answer", is_excused, || {
            format!("it was reset at {reset}; the server ended it: {:?}", self.ending())
        })
    }

    /// The client went on sending for longer than any server listens after its last word.
    fn sent_after_linger(&self) -> bool {
        let shut = self.facts.and_then(|facts| facts.shut.or(facts.ending.map(|(_, at)| at)));
        let last = self.seen.sent.last().map(|(at, _)| *at);
        // One that lingers is the first to make room.
        let is_short = self.facts.is_some_and(|facts| facts.made_room);
        let linger = if is_short { MAKE_ROOM_IDLE_MIN } else { self.plan.limits.linger_timeout };
        matches!((shut, last), (Some(shut), Some(last)) if last + SETTLED >= shut + linger)
    }

    /// The client said with a request that it was its last one, and sent more behind it all the same,
    /// in another piece: the server, which saw nothing more, had closed at once.
    fn sent_behind_last_word(&self) -> bool {
        let Some(facts) = self.facts else { return false };
        let was_asked = self.ended_for(&[Reason::Asked, Reason::Http10]);
        let Some(last) = facts.answered.len().checked_sub(1) else { return false };
        if !was_asked || facts.shut.is_some() || last >= self.client.asks.len() {
            return false;
        }
        let end = self.end_of(last);
        let sent = || self.seen.sent.iter().map(|(_, bytes)| *bytes);
        sent().any(|bytes| bytes == end) && sent().any(|bytes| bytes > end)
    }

    /// Whether something was not answered that should have been. True if everything was.
    fn judge_silence(&self) -> Result<bool, Failure> {
        let answers = &self.seen.reader.answers;
        let next = answers.len();
        if answers.last().is_some_and(|last| last.closes) {
            return Ok(true);
        }
        if next >= self.client.asks.len() {
            return Ok(!self.client.asks.is_empty());
        }
        let Some(sent) = self.sent_at(self.end_of(next)) else { return Ok(false) };
        let ask = &self.client.asks[next];
        demand("who stays is answered", self.is_excused(sent, ask.expected.is_later), || {
            format!(
                "request {next} ({}), complete at {sent}, was not answered; the server ended the \
                 connection: {:?}; the client closed at {:?}, the end was ordered at {}",
                ask.name,
                self.ending(),
                self.seen.left,
                self.record.ordered,
            )
        })?;
        Ok(false)
    }

    /// True if the first request without an answer, complete at `sent`, need not have one.
    fn is_excused(&self, sent: Time, is_later: bool) -> bool {
        let Case { plan, record, seen, .. } = self;
        let is_cut_off = seen.was_cut;
        let went_by_itself =
            seen.at_end.is_none() && seen.was_reset.is_none() && seen.left.is_some();
        let deadline_came =
            plan.end.drain.is_none_or(|timeout| record.finished >= record.ordered + timeout);
        let Some((_, ended)) = self.ending() else {
            // Never accepted, or the loop was dropped first, or the clock jumped while it was on its way.
            let was_on_its_way = plan.jumps() && plan.faults.latency_percent > 0;
            let came_too_late =
                was_on_its_way || seen.arrived.is_some_and(|at| at + SETTLED >= record.ordered);
            return seen.was_refused
                || is_cut_off
                || went_by_itself
                || came_too_late
                || deadline_came;
        };
        // A last look may be told that nothing is there: then the server knows what is reported.
        let opened = self.facts.map_or(sent, |facts| facts.opened);
        let is_blind = plan.faults.would_block_percent > 0;
        let came_after_end = if is_blind { sent.max(opened) } else { sent } + SETTLED >= ended;
        // Whether the reset was called for was judged before.
        let answered = self.facts.map_or(0, |facts| facts.answered.len());
        let was_destroyed = seen.was_reset.is_some() && answered > seen.reader.answers.len();
        is_cut_off
            || was_destroyed
            || went_by_itself
            || self.ended_for(&[Reason::Cut])
            || (self.ended_for(&[Reason::PeerGone]) && is_later && seen.half_closed.is_some())
            || self.ended_for(&[Reason::WriteTimeout])
            || (self.ended_for(&[Reason::IdleTimeout, Reason::MadeRoom, Reason::Shutdown])
                && (came_after_end || plan.jumps()))
    }

    /// True if it asked in time, stayed, and got no answer because time was up: such connections
    /// must be counted, whether they were accepted or not.
    fn was_cut_unheard(&self) -> bool {
        let Case { plan, record, seen, .. } = self;
        let answers = &seen.reader.answers;
        let is_last = answers.last().is_some_and(|last| last.closes);
        if is_last || answers.len() >= self.client.asks.len() {
            return false;
        }
        let is_in_time = |sent: Time| sent + SETTLED < record.finished;
        let has_asked = self.sent_at(self.end_of(answers.len())).is_some_and(is_in_time);
        let has_stayed = seen.left.is_none_or(|left| left >= record.finished);
        // After a jump of the clock, what was on its way is late, by as much: nobody could see it yet.
        let may_be_on_its_way = plan.jumps() && plan.faults.latency_percent > 0;
        let was_ended = match self.facts {
            Some(_) => self.ended_for(&[Reason::Cut]),
            // Without descriptors nobody can look into the queue.
            None => {
                !seen.was_refused && plan.faults.accept_error_percent == 0 && !may_be_on_its_way
            }
        };
        has_asked && has_stayed && was_ended && !seen.was_cut
    }
}
