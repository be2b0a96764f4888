//! What the drill knows: counts for each habit, and the stories of what was lost or doubled.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use helloop::world::Time;

use super::habit::{Habit, Method};
use super::ids::{Ids, Processed};
use super::verdict::{Answer, End, Kind, Seen, Verdict, judge};

/// Stories that are kept of each kind. The others are counted.
const STORIES_MAX: usize = 20;

/// A kept connection that is closed so soon after an answer, unannounced, was not closed for being idle.
const SOON: Duration = Duration::from_millis(300);

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) habit: Habit,
    pub(super) method: Method,
    pub(super) number: u64,
    pub(super) is_repeat: bool,
    pub(super) id: String,
    /// Since when it has been on its way.
    pub(super) sent: Time,
}

impl Request {
    /// Requests of one sort are answered alike: the letter of the method, and whether the path is that of slow readers.
    fn sort(&self) -> (char, bool) {
        (self.method.letter(), self.habit == Habit::SlowReader)
    }
}

/// Requests of one habit. Each is in one of the four, except that a doubled one may also have been answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) answered: u64,
    /// Sent again in the way that RFC 9112 foresees, and answered then.
    pub(super) repeated: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

/// One request that was lost or doubled.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) kind: Kind,
    pub(super) habit: Habit,
    pub(super) number: u64,
    pub(super) is_repeat: bool,
    pub(super) text: String,
}

/// The round that is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// From 1 on; 0 before the first.
    pub(super) number: u32,
    /// When the restart began.
    pub(super) began: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    ids: Ids,
    /// What a restart begins with: `SIGTERM`.
    after_what: String,
    pub(super) round: Round,
    pub(super) tallies: BTreeMap<Habit, Tally>,
    pub(super) kinds: BTreeMap<Kind, u64>,
    pub(super) stories: Vec<Story>,
    /// Connections that were closed soon after an answer which had not announced it.
    pub(super) unannounced: u64,
    /// The longest time between the first and the last refused connection of a round.
    pub(super) longest_gap: Duration,
    /// The present round, if a connection was refused in it, and when.
    refused_since: Option<(u32, Time)>,
    next_number: u64,
    in_flight: u64,
    /// By what distinguishes requests for a server: method and path.
    expected: BTreeMap<(char, bool), Expected>,
}

/// What requests with a method were answered before the first restart.
#[derive(Clone, Copy, Debug)]
struct Expected {
    status: u16,
    /// The answer had the id of its request in it.
    echoes: bool,
}

impl Ledger {
    /// `after_what`: what a restart begins with, `SIGTERM` for example.
    pub(super) fn new(ids: Ids, after_what: String) -> Ledger {
        Ledger {
            ids,
            after_what,
            round: Round::default(),
            tallies: BTreeMap::new(),
            kinds: BTreeMap::new(),
            stories: Vec::new(),
            unannounced: 0,
            longest_gap: Duration::ZERO,
            refused_since: None,
            next_number: 0,
            in_flight: 0,
            expected: BTreeMap::new(),
        }
    }

    /// Before the first restart: what requests like this one are answered.
    pub(super) fn expect(&mut self, request: &Request, status: u16, echoes: bool) {
        self.expected.insert(request.sort(), Expected { status, echoes });
    }

    /// An id that is not counted, for the rehearsal.
    pub(super) fn rehearsal(&mut self, habit: Habit, method: Method, now: Time) -> Request {
        let number = self.next_number;
        self.next_number += 1;
        let id = self.ids.id(method, number, false);
        Request { habit, method, number, is_repeat: false, id, sent: now }
    }

    /// A request is sent.
    pub(super) fn begin(&mut self, habit: Habit, method: Method, now: Time) -> Request {
        self.in_flight += 1;
        self.tallies.entry(habit).or_default().requests += 1;
        self.rehearsal(habit, method, now)
    }

    /// It is sent again.
    pub(super) fn begin_repeat(&mut self, request: &Request, now: Time) -> Request {
        self.in_flight += 1;
        let id = self.ids.id(request.method, request.number, true);
        Request { is_repeat: true, id, sent: now, ..request.clone() }
    }

    /// What an answer means for its request: `has_id` says whether the id stands in it.
    pub(super) fn answered(&self, request: &Request, status: u16, has_id: bool) -> End {
        let expected = self.expected.get(&request.sort());
        let expected = expected.copied().unwrap_or(Expected { status, echoes: false });
        // An error page is nobody's echo.
        let is_anothers = expected.echoes && !has_id && status == expected.status;
        End::Answered(Answer { status, expected: expected.status, is_anothers })
    }

    /// A request is over. Returns whether it is to be sent again.
    pub(super) fn end(
        &mut self,
        request: &Request,
        answers_before: u64,
        end: End,
        now: Time,
    ) -> bool {
        self.in_flight -= 1;
        let is_idempotent = request.method == Method::Get;
        let seen = Seen { is_idempotent, answers_before, end };
        let verdict = judge(&seen);
        let tally = self.tallies.entry(request.habit).or_default();
        match verdict {
            Verdict::Answered if request.is_repeat => tally.repeated += 1,
            Verdict::Answered => tally.answered += 1,
            Verdict::Repeat => return true,
            Verdict::Lost(kind) => {
                tally.lost += 1;
                self.tell(kind, request, &seen, now);
            }
            Verdict::Doubled(kind) => {
                tally.doubled += 1;
                self.tell(kind, request, &seen, now);
            }
        }
        false
    }

    /// A second answer came to the last request of a connection.
    pub(super) fn answered_twice(&mut self, habit: Habit, last: &Request, now: Time) {
        self.tallies.entry(habit).or_default().doubled += 1;
        let seen = "bytes came after the end of its answer, while nothing else was asked";
        let text = format!("{}: {seen}", self.place(last, now));
        self.add(Kind::AnsweredTwice, last, text);
    }

    /// A kept connection was found closed, so long after its last answer.
    pub(super) fn found_closed(&mut self, after: Duration) {
        self.unannounced += u64::from(after < SOON);
    }

    fn refused(&mut self, now: Time) {
        let number = self.round.number;
        let (_, since) = *self.refused_since.get_or_insert((number, now));
        if self.refused_since != Some((number, since)) {
            self.refused_since = Some((number, now));
        } else {
            self.longest_gap = self.longest_gap.max(now.since(since));
        }
    }

    /// What the log of the server says, after the drill.
    pub(super) fn compare(&mut self, processed: &Processed) {
        for story in &mut self.stories {
            let was = processed.has(story.number, story.is_repeat);
            story.text += if was { "; it was processed" } else { "; it was not processed" };
        }
        for number in processed.posts_twice() {
            // Which habit it was of is not kept for all that went well.
            self.tallies.entry(Habit::Post).or_default().doubled += 1;
            let id = self.ids.id(Method::Post, *number, false);
            let request = Request {
                habit: Habit::Post,
                method: Method::Post,
                number: *number,
                is_repeat: false,
                sent: Time::ZERO,
                id: id.clone(),
            };
            self.add(Kind::ProcessedTwice, &request, format!("{id}: more than one line has it"));
        }
    }

    pub(super) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.tallies.values() {
            total.requests += tally.requests;
            total.answered += tally.answered;
            total.repeated += tally.repeated;
            total.lost += tally.lost;
            total.doubled += tally.doubled;
        }
        total
    }

    fn tell(&mut self, kind: Kind, request: &Request, seen: &Seen, now: Time) {
        let mut text = format!("{}: {}", self.place(request, now), seen.end);
        if !matches!(seen.end, End::Refused | End::NotConnected(_)) {
            let waited = Milliseconds(now.since(request.sent));
            let _ = write!(text, ", {waited} after it was sent");
            let _ = match seen.answers_before {
                0 => write!(text, " on a new connection"),
                1 => write!(text, "; the connection had carried one answer"),
                answers => write!(text, "; the connection had carried {answers} answers"),
            };
        }
        let _ = write!(text, "; in flight besides: {}", self.in_flight);
        self.add(kind, request, text);
        if kind == Kind::Refused {
            self.refused(now);
        }
    }

    /// Which request, and when it ended: "round 3, 1.8 ms after SIGTERM, POST drill3fa2-p417".
    fn place(&self, request: &Request, now: Time) -> String {
        let Round { number, began } = self.round;
        let when = began.map_or_else(String::new, |began| {
            format!(", {} after {}", Milliseconds(now.since(began)), self.after_what)
        });
        format!("round {number}{when}, {} {}", request.method.name(), request.id)
    }

    fn add(&mut self, kind: Kind, request: &Request, text: String) {
        let count = self.kinds.entry(kind).or_default();
        *count += 1;
        if *count <= STORIES_MAX as u64 {
            let Request { habit, number, is_repeat, .. } = *request;
            self.stories.push(Story { kind, habit, number, is_repeat, text });
        }
    }
}

/// `1.8 ms`
pub(super) struct Milliseconds(pub(super) Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::drill::verdict::{Closing, Got};

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Ids::new(1), "SIGTERM".to_owned());
        let get = ledger.rehearsal(Habit::OneEach, Method::Get, at(0));
        ledger.expect(&get, 200, true);
        let post = ledger.rehearsal(Habit::Post, Method::Post, at(0));
        ledger.expect(&post, 405, false);
        ledger.next_number = 0;
        ledger.round = Round { number: 3, began: Some(at(100)) };
        ledger
    }

    const CROSSED: End = End::Closed { how: Closing::Reset, got: Got::Nothing };

    #[test]
    fn the_story_says_who_closed_and_when_and_what_was_in_flight() {
        let mut ledger = ledger();
        let post = ledger.begin(Habit::Post, Method::Post, at(101));
        let _other = ledger.begin(Habit::KeepAlive, Method::Get, at(102));
        assert!(!ledger.end(&post, 17, CROSSED, at(103)));
        let [story] = &ledger.stories[..] else { panic!("{:?}", ledger.stories) };
        assert_eq!((story.kind, story.habit), (Kind::Crossed, Habit::Post));
        let expected = "round 3, 3.0 ms after SIGTERM, POST drill0001-p0: reset by the server, \
            no byte of an answer had come, 2.0 ms after it was sent; the connection had carried 17 answers; \
            in flight besides: 1";
        assert_eq!(story.text, expected);
        let total = ledger.total();
        assert_eq!((total.requests, total.lost), (2, 1));
    }

    #[test]
    fn a_repeated_request_counts_once() {
        let mut ledger = ledger();
        let get = ledger.begin(Habit::Pipelined, Method::Get, at(101));
        assert!(ledger.end(&get, 1, CROSSED, at(102)));
        let again = ledger.begin_repeat(&get, at(103));
        assert_eq!(again.id, "drill0001-g0r");
        let end = ledger.answered(&again, 200, true);
        assert!(!ledger.end(&again, 0, end, at(104)));
        let expected = Tally { requests: 1, repeated: 1, ..Tally::default() };
        assert_eq!(ledger.tallies[&Habit::Pipelined], expected);
        assert!(ledger.stories.is_empty());
    }

    #[test]
    fn an_answer_is_held_against_the_rehearsal() {
        let mut ledger = ledger();
        let get = ledger.begin(Habit::OneEach, Method::Get, at(101));
        let post = ledger.begin(Habit::Post, Method::Post, at(101));
        let anothers = |end: End| matches!(end, End::Answered(answer) if answer.is_anothers);
        assert!(anothers(ledger.answered(&get, 200, false)));
        assert!(!anothers(ledger.answered(&get, 200, true)));
        assert!(!anothers(ledger.answered(&get, 503, false)), "it is an error page");
        assert!(!anothers(ledger.answered(&post, 405, false)), "these never have it");
        let slow = ledger.begin(Habit::SlowReader, Method::Get, at(101));
        assert!(!anothers(ledger.answered(&slow, 200, false)), "it is another path");
    }

    #[test]
    fn stories_are_bounded_and_counts_are_not() {
        let mut ledger = ledger();
        for _ in 0..50 {
            let get = ledger.begin(Habit::OneEach, Method::Get, at(101));
            ledger.end(&get, 0, End::Refused, at(101));
        }
        assert_eq!(ledger.kinds[&Kind::Refused], 50);
        assert_eq!(ledger.longest_gap, Duration::ZERO);
        for (round, millis) in [(3, 141), (4, 200), (4, 230)] {
            ledger.round.number = round;
            let get = ledger.begin(Habit::OneEach, Method::Get, at(millis));
            ledger.end(&get, 0, End::Refused, at(millis));
        }
        assert_eq!(ledger.longest_gap, Duration::from_millis(40), "from 101 to 141 in round 3");
        assert_eq!(ledger.stories.len(), STORIES_MAX);
    }

    #[test]
    fn a_log_adds_to_the_stories_and_finds_what_was_doubled() {
        let mut ledger = ledger();
        for _ in 0..3 {
            let post = ledger.begin(Habit::Post, Method::Post, at(101));
            ledger.end(&post, 1, CROSSED, at(102));
        }
        let mut processed = ledger.ids.processed();
        for line in ["/drill0001-p0", "/drill0001-p1", "/drill0001-p1"] {
            processed.line(line.as_bytes());
        }
        ledger.compare(&processed);
        let ends = |place: usize, text: &str| ledger.stories[place].text.ends_with(text);
        assert!(ends(0, "it was processed") && ends(2, "it was not processed"));
        assert_eq!(ledger.kinds[&Kind::ProcessedTwice], 1);
        assert_eq!(ledger.total().doubled, 1);
    }

    #[test]
    fn a_connection_that_was_long_idle_may_be_closed() {
        let mut ledger = ledger();
        ledger.found_closed(Duration::from_secs(2));
        assert_eq!(ledger.unannounced, 0);
        ledger.found_closed(Duration::ZERO);
        assert_eq!(ledger.unannounced, 1);
    }
}
