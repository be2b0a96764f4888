//! Which URL is fetched next. Knows limits and moments, but neither clocks nor sockets.
//!
//! URLs wait by host, and only a host that may have another fetch stands in the order from which the next
//! is taken. So whatever is done once for each URL takes a time that grows with the logarithm of their
//! number, however many wait for hosts that are busy or want to be left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use helloop::world::Time;
use url::{Position, Url};

use super::address::Address;

/// URLs that wait here to be begun, as long as they can be begun. At the limit: nothing more is read.
const WAITING_MAX: usize = 1024;

/// URLs that are read in one go where those that wait cannot be begun, because of limits of their
/// hosts: others may be.
const MORE: usize = 256;

/// Bytes that URLs take here, those included that wait for another try. At the limit: nothing more is
/// read. Room for some 300,000, so that a list that is sorted by host has many hosts in it.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that a URL takes besides its text: itself, and its place in the tables.
const JOB_BYTES: usize = size_of::<Job>() + 96;

/// A URL to be fetched.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place in the input, from 0.
    pub(super) number: u64,
    pub(super) url: Address,
    /// The name of the file for its body, if it is to go into one.
    pub(super) file: Option<String>,
    /// Attempts that have begun.
    pub(super) attempts: u32,
}

/// Jobs that are begun, and jobs that wait for it.
///
/// Invariants: at most `running_max` run, and at most `per_host_max` for one origin; none is begun for
/// an origin that is paused.
#[derive(Debug)]
pub(super) struct Schedule {
    running_max: usize,
    per_host_max: Option<usize>,
    /// Otherwise all jobs count as those of one host, which spares the parsing of URLs.
    knows_hosts: bool,
    running: usize,
    /// Jobs in `hosts`, without those that run.
    waiting: usize,
    /// What the jobs in `hosts` and `later` take.
    bytes: usize,
    /// By scheme, host and port. Only those for which jobs wait or run, or that are paused.
    hosts: HashMap<Rc<str>, Host>,
    /// Hosts for which a job may begin, by the number of their oldest.
    ready: BTreeMap<u64, Rc<str>>,
    /// Hosts that are paused, and until when.
    paused: BTreeSet<(Time, Rc<str>)>,
    /// Jobs that are tried again, by moment and number.
    later: BTreeMap<(Time, u64), Job>,
}

#[derive(Debug, Default)]
struct Host {
    running: usize,
    /// By number.
    waiting: BTreeMap<u64, Job>,
    /// It wants to be left alone until then.
    paused_until: Option<Time>,
}

/// The right to run. It must be given back.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket {
    origin: Rc<str>,
}

impl Schedule {
    /// `knows_hosts`: hosts can be [paused](Schedule::pause), or have a limit.
    pub(super) fn new(
        running_max: usize,
        per_host_max: Option<usize>,
        can_pause: bool,
    ) -> Schedule {
        Schedule {
            running_max,
            per_host_max,
            knows_hosts: can_pause || per_host_max.is_some(),
            running: 0,
            waiting: 0,
            bytes: 0,
            hosts: HashMap::new(),
            ready: BTreeMap::new(),
            paused: BTreeSet::new(),
            later: BTreeMap::new(),
        }
    }

    /// How many more are to be read now.
    pub(super) fn room(&self) -> usize {
        let can_begin_none = self.ready.is_empty() && self.running < self.running_max;
        match WAITING_MAX.saturating_sub(self.waiting) {
            _ if self.bytes >= WAITING_BYTES_MAX => 0,
            0 if can_begin_none => MORE,
            room => room,
        }
    }

    pub(super) fn add(&mut self, job: Job) {
        self.bytes += job.bytes();
        self.wait(job);
    }

    /// The job to be begun now, if there is one: the oldest whose host has room. If `only` is given,
    /// that one or none.
    pub(super) fn next(&mut self, now: Time, only: Option<u64>) -> Option<(Job, Ticket)> {
        self.wake(now);
        if self.running >= self.running_max {
            return None;
        }
        let (number, origin) = self.ready.first_key_value()?;
        if only.is_some_and(|only| only != *number) {
            return None;
        }
        let (number, origin) = (*number, Rc::clone(origin));
        let mut job = None;
        self.change(&origin, |host| {
            job = host.waiting.remove(&number);
            host.running += 1;
        });
        let mut job = job?;
        self.waiting -= 1;
        self.running += 1;
        self.bytes -= job.bytes();
        job.attempts += 1;
        Some((job, Ticket { origin }))
    }

    /// A job has ended, or its attempt.
    pub(super) fn end(&mut self, ticket: Ticket) {
        let Ticket { origin } = ticket;
        self.running -= 1;
        self.change(&origin, |host| host.running -= 1);
    }

    /// A job whose attempt has ended is to be begun again, not before `at`.
    pub(super) fn retry(&mut self, job: Job, at: Time) {
        self.bytes += job.bytes();
        self.later.insert((at, job.number), job);
    }

    /// Nothing is begun for the host of `url` before `until`.
    pub(super) fn pause(&mut self, url: &str, until: Time) {
        let origin = self.origin(url);
        let before = self.hosts.get(&origin).and_then(|host| host.paused_until);
        if before.is_some_and(|before| before >= until) {
            return;
        }
        if let Some(before) = before {
            self.paused.remove(&(before, Rc::clone(&origin)));
        }
        self.change(&origin, |host| host.paused_until = Some(until));
        self.paused.insert((until, origin));
    }

    /// When to ask for the [`next`](Schedule::next), even if nothing has ended.
    pub(super) fn next_due(&self) -> Option<Time> {
        let paused = self.paused.first().map(|(until, _)| *until);
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        paused.into_iter().chain(later).min()
    }

    /// Nothing waits, and nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting == 0 && self.later.is_empty()
    }

    /// Forgets the jobs that wait, and returns those of which an attempt was made.
    pub(super) fn clear(&mut self) -> Vec<Job> {
        let later = std::mem::take(&mut self.later).into_values();
        let waiting = self.hosts.values_mut().flat_map(|host| std::mem::take(&mut host.waiting));
        let begun = later.chain(waiting.map(|(_, job)| job)).filter(|job| job.attempts > 0);
        let begun = begun.collect();
        self.hosts.retain(|_, host| host.is_used());
        self.ready.clear();
        (self.waiting, self.bytes) = (0, 0);
        begun
    }

    /// What has waited for a moment that has come waits for nothing but its turn.
    fn wake(&mut self, now: Time) {
        while self.paused.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, origin)) = self.paused.pop_first() else { break };
            self.change(&origin, |host| host.paused_until = None);
        }
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let job = first.remove();
            self.wait(job);
        }
    }

    fn wait(&mut self, job: Job) {
        self.waiting += 1;
        let origin = self.origin(&job.url.shown());
        self.change(&origin, |host| drop(host.waiting.insert(job.number, job)));
    }

    /// Changes a host, and what follows from it. All changes are made here.
    fn change(&mut self, origin: &Rc<str>, change: impl FnOnce(&mut Host)) {
        let host = self.hosts.entry(Rc::clone(origin)).or_default();
        if let Some(oldest) = host.oldest() {
            self.ready.remove(&oldest);
        }
        change(host);
        let has_room = host.running < self.per_host_max.unwrap_or(usize::MAX);
        match host.oldest() {
            Some(oldest) if has_room && host.paused_until.is_none() => {
                self.ready.insert(oldest, Rc::clone(origin));
            }
            _ if host.is_used() => {}
            _ => drop(self.hosts.remove(origin)),
        }
    }

    /// What is no URL has no host, and needs none: it fails at once.
    fn origin(&self, url: &str) -> Rc<str> {
        if !self.knows_hosts {
            return self.hosts.keys().next().cloned().unwrap_or_default();
        }
        let url = Url::parse(url);
        let origin = url.as_ref().map_or("", |url| &url[..Position::BeforePath]);
        self.hosts
            .get_key_value(origin)
            .map_or_else(|| origin.into(), |(known, _)| Rc::clone(known))
    }
}

impl Host {
    fn oldest(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(number, _)| *number)
    }

    fn is_used(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty() || self.paused_until.is_some()
    }
}

impl Job {
    pub(super) fn new(number: u64, url: Address, file: Option<String>) -> Job {
        Job { number, url, file, attempts: 0 }
    }

    fn bytes(&self) -> usize {
        JOB_BYTES + self.url.len() + self.file.as_ref().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn job(number: u64, url: &str) -> Job {
        Job::new(number, Address::new(url), None)
    }

    fn schedule(running_max: usize, per_host_max: Option<usize>, urls: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(running_max, per_host_max, true);
        for (number, url) in (0..).zip(urls) {
            schedule.add(job(number, url));
        }
        schedule
    }

    fn seconds(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn begin_at(schedule: &mut Schedule, now: Time) -> Vec<(Job, Ticket)> {
        std::iter::from_fn(|| schedule.next(now, None)).collect()
    }

    fn begin(schedule: &mut Schedule) -> Vec<(Job, Ticket)> {
        begin_at(schedule, Time::ZERO)
    }

    fn numbers(begun: &[(Job, Ticket)]) -> Vec<u64> {
        begun.iter().map(|(job, _)| job.number).collect()
    }

    #[test]
    fn no_more_run_than_may() {
        let mut schedule = schedule(2, None, &["http://a/1", "http://a/2", "http://a/3"]);
        let mut begun = begin(&mut schedule);
        assert_eq!(numbers(&begun), [0, 1]);
        schedule.end(begun.pop().unwrap().1);
        assert_eq!(numbers(&begin(&mut schedule)), [2]);
        assert!(!schedule.is_idle());
    }

    #[test]
    fn a_full_host_does_not_hold_up_others() {
        let urls = ["http://a/1", "http://u:p@a/2", "http://A:80/3", "http://a:81/4", "https://b/"];
        let mut schedule = schedule(9, Some(1), &urls);
        let begun = begin(&mut schedule);
        assert_eq!(numbers(&begun), [0, 3, 4]);
        begun.into_iter().for_each(|(_, ticket)| schedule.end(ticket));
        let second = begin(&mut schedule);
        assert_eq!(numbers(&second), [1]);
        second.into_iter().for_each(|(_, ticket)| schedule.end(ticket));
        begin(&mut schedule).into_iter().for_each(|(_, ticket)| schedule.end(ticket));
        assert!(schedule.is_idle() && schedule.hosts.is_empty(), "{schedule:?}");
    }

    #[test]
    fn a_list_is_read_as_far_as_something_can_be_begun() {
        let mut schedule = schedule(2, Some(1), &["http://a/"; WAITING_MAX]);
        assert_eq!(schedule.room(), 0, "one can be begun");
        let begun = begin(&mut schedule);
        assert_eq!((numbers(&begun), schedule.room()), (vec![0], 1));
        schedule.add(job(WAITING_MAX as u64, "http://a/"));
        assert_eq!(schedule.room(), MORE);
        // However far the next host is.
        let mut number = 1 + WAITING_MAX as u64;
        let mut read = |schedule: &mut Schedule, url| {
            (0..MORE as u64).for_each(|more| schedule.add(job(number + more, url)));
            number += MORE as u64;
            number
        };
        while read(&mut schedule, "http://a/") < 100_000 {
            assert_eq!(schedule.room(), MORE);
        }
        read(&mut schedule, "http://b/");
        assert_eq!(schedule.room(), 0);
        assert_eq!(begin(&mut schedule).len(), 1);
        assert_eq!(schedule.room(), 0, "no more may run");
        // But not without limit.
        schedule.end(begun.into_iter().next().unwrap().1);
        assert_eq!(begin(&mut schedule).len(), 1);
        while schedule.bytes < WAITING_BYTES_MAX {
            read(&mut schedule, "http://a/");
        }
        assert_eq!(schedule.room(), 0);
        assert!(schedule.waiting > 200_000, "{}", schedule.waiting);
        assert!(schedule.clear().is_empty());
        assert_eq!((schedule.room(), schedule.bytes), (WAITING_MAX, 0));
    }

    #[test]
    fn a_host_that_wants_to_be_left_alone_is() {
        let urls = ["http://a/0", "http://a/1", "http://a/2", "http://b/3", "http://b/4"];
        let mut schedule = schedule(1, None, &urls);
        let (first, ticket) = schedule.next(Time::ZERO, None).unwrap();
        schedule.end(ticket);
        schedule.pause("http://a/elsewhere", seconds(2));
        schedule.pause("http://a/", seconds(1));
        schedule.retry(first, seconds(1));
        // A job that waits takes no place.
        let (job, other) = schedule.next(Time::ZERO, None).unwrap();
        assert_eq!((job.number, schedule.next_due()), (3, Some(seconds(1))));
        schedule.end(other);
        let (job, other) = schedule.next(seconds(1), None).unwrap();
        assert_eq!((job.number, schedule.next_due()), (4, Some(seconds(2))));
        schedule.end(other);
        assert!(schedule.next(seconds(1), None).is_none());
        let (first, ticket) = schedule.next(seconds(2), None).unwrap();
        assert_eq!((first.number, first.attempts, schedule.next_due()), (0, 2, None));
        schedule.end(ticket);
        assert_eq!(schedule.next(seconds(2), None).unwrap().0.number, 1);
    }

    #[test]
    fn of_what_is_forgotten_only_what_was_begun_is_told() {
        let mut schedule = schedule(9, Some(1), &["http://a/0", "http://a/1", "http://b/2"]);
        let mut begun = begin(&mut schedule);
        let (job, ticket) = begun.pop().unwrap();
        schedule.end(ticket);
        schedule.retry(job, seconds(1));
        assert!(!schedule.is_idle());
        let told: Vec<_> = schedule.clear().iter().map(|job| job.number).collect();
        assert_eq!(told, [2]);
        begun.into_iter().for_each(|(_, ticket)| schedule.end(ticket));
        assert!(schedule.is_idle() && schedule.hosts.is_empty(), "{schedule:?}");
        assert!(begin_at(&mut schedule, seconds(9)).is_empty());
    }

    #[test]
    fn one_may_be_the_only_one_that_may_begin() {
        let mut schedule = schedule(9, Some(1), &["http://a/0", "http://a/1", "http://b/2"]);
        assert!(schedule.next(Time::ZERO, Some(1)).is_none());
        let (_, ticket) = schedule.next(Time::ZERO, Some(0)).unwrap();
        assert!(schedule.next(Time::ZERO, Some(1)).is_none(), "its host is busy");
        schedule.end(ticket);
        assert_eq!(schedule.next(Time::ZERO, Some(1)).unwrap().0.number, 1);
    }
}
