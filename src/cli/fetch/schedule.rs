//! Which URL is fetched next. Knows limits, but neither clocks nor sockets.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use url::{Position, Url};

/// URLs that may wait here to be begun. More of them let more hosts be busy at once where each host
/// has a limit. At the limit: nothing more is read.
const WAITING_MAX: usize = 1024;

/// A URL to be fetched.
#[derive(Debug)]
pub(super) struct Job {
    /// Its place in the input, from 0.
    pub(super) number: u64,
    pub(super) url: String,
    /// The name of the file for its body, if it is to go into one.
    pub(super) file: Option<String>,
}

/// Jobs that are begun, and jobs that wait for it.
///
/// Invariant: at most `running_max` run, and at most `per_host_max` for one origin.
#[derive(Debug)]
pub(super) struct Schedule {
    running_max: usize,
    per_host_max: Option<usize>,
    running: usize,
    waiting: VecDeque<(Job, Host)>,
    /// By scheme, host and port. Only those of jobs that wait or run.
    hosts: HashMap<String, Host>,
}

/// How many jobs run for an origin; shared with all its jobs.
type Host = Rc<Cell<usize>>;

/// The right to run. It must be given back.
#[derive(Debug)]
#[must_use]
pub(super) struct Ticket {
    origin: Option<(String, Host)>,
}

impl Schedule {
    pub(super) fn new(running_max: usize, per_host_max: Option<usize>) -> Schedule {
        Schedule {
            running_max,
            per_host_max,
            running: 0,
            waiting: VecDeque::new(),
            hosts: HashMap::new(),
        }
    }

    /// How many more may be added now.
    pub(super) fn room(&self) -> usize {
        WAITING_MAX.saturating_sub(self.waiting.len())
    }

    pub(super) fn add(&mut self, job: Job) {
        let host = match self.per_host_max {
            None => Host::default(),
            Some(_) => Rc::clone(self.hosts.entry(origin(&job.url)).or_default()),
        };
        self.waiting.push_back((job, host));
    }

    /// The job to be begun now, if there is one: the oldest whose host has room.
    pub(super) fn next(&mut self) -> Option<(Job, Ticket)> {
        if self.running >= self.running_max {
            return None;
        }
        let max = self.per_host_max.unwrap_or(usize::MAX);
        let at = self.waiting.iter().position(|(_, host)| host.get() < max)?;
        let (job, host) = self.waiting.remove(at)?;
        self.running += 1;
        let origin = self.per_host_max.map(|_| {
            host.set(host.get() + 1);
            (origin(&job.url), host)
        });
        Some((job, Ticket { origin }))
    }

    /// A job has ended.
    pub(super) fn end(&mut self, ticket: Ticket) {
        self.running -= 1;
        let Some((origin, host)) = ticket.origin else { return };
        host.set(host.get() - 1);
        // The map's own, and this one.
        if Rc::strong_count(&host) == 2 {
            self.hosts.remove(&origin);
        }
    }

    /// Nothing waits, and nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Jobs that run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Forgets the jobs that wait.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// What is no URL has no host, and needs none: it fails at once.
fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url[..Position::BeforePath].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(running_max: usize, per_host_max: Option<usize>, urls: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(running_max, per_host_max);
        for (number, url) in (0..).zip(urls) {
            schedule.add(Job { number, url: (*url).into(), file: None });
        }
        schedule
    }

    fn begin(schedule: &mut Schedule) -> Vec<(u64, Ticket)> {
        std::iter::from_fn(|| schedule.next()).map(|(job, ticket)| (job.number, ticket)).collect()
    }

    fn numbers(begun: &[(u64, Ticket)]) -> Vec<u64> {
        begun.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn no_more_run_than_may() {
        let mut schedule = schedule(2, None, &["http://a/1", "http://a/2", "http://a/3"]);
        let mut begun = begin(&mut schedule);
        assert_eq!((numbers(&begun), schedule.running()), (vec![0, 1], 2));
        schedule.end(begun.pop().unwrap().1);
        assert_eq!(numbers(&begin(&mut schedule)), [2]);
        assert!(!schedule.is_idle());
    }

    #[test]
    fn a_full_host_does_not_hold_up_others() {
        let urls = ["http://a/1", "http://a/2", "http://A:80/3", "http://a:81/4", "https://b/"];
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
    fn it_takes_only_so_many() {
        let mut schedule = schedule(1, None, &["http://a/"; WAITING_MAX]);
        assert_eq!(schedule.room(), 0);
        assert_eq!(begin(&mut schedule).len(), 1);
        assert_eq!(schedule.room(), 1);
        schedule.clear();
        assert_eq!((schedule.room(), schedule.waiting()), (WAITING_MAX, 0));
    }
}
