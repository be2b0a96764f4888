//! The open loop's clock: when each request is to begin.

use std::time::Duration;

use hdrhistogram::Histogram;
use helloop::event_loop::Handle;
use helloop::world::Time;

use super::histogram;
use super::run::Run;

/// Arrivals at random (a Poisson process), the same sequence in every run.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Mean interval, seconds.
    mean: f64,
    random: fastrand::Rng,
    /// When the next request is due; `None` before the first step.
    next: Option<Time>,
    /// Requests that became due in the window.
    due: u64,
    lateness: Histogram<u64>,
    window_start: Time,
}

impl Pacer {
    pub(super) fn new(per_second: f64) -> Pacer {
        Pacer {
            mean: per_second.recip(),
            random: fastrand::Rng::with_seed(5),
            next: None,
            due: 0,
            lateness: histogram(),
            window_start: Time::NEVER,
        }
    }

    pub(super) fn begin_window(&mut self, now: Time) {
        self.window_start = now;
    }

    /// Returns the number of requests that were due in the window, and by how many nanoseconds that
    /// was noticed late.
    pub(super) fn end(self) -> (u64, Histogram<u64>) {
        (self.due, self.lateness)
    }

    /// Hands out what is due.
    pub(super) fn step(&mut self, handle: &Handle, run: &Run) {
        let now = handle.clock();
        let mut next = self.next.unwrap_or(now);
        while next <= now {
            run.due.borrow_mut().push_back(next);
            let free = run.free.borrow_mut().pop();
            if let Some(client) = free {
                handle.wake(client);
            }
            if next >= self.window_start {
                self.due += 1;
                let nanos = u64::try_from(now.since(next).as_nanos()).unwrap_or(u64::MAX);
                self.lateness.saturating_record(nanos.max(1));
            }
            next = next + self.interval();
        }
        self.next = Some(next);
    }

    fn interval(&mut self) -> Duration {
        // 1 - u is never zero.
        Duration::from_secs_f64(-self.mean * (1.0 - self.random.f64()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_the_rate_s_mean_and_are_the_same_in_each_run() {
        let intervals = || {
            let mut pacer = Pacer::new(1_000.0);
            std::iter::repeat_with(move || pacer.interval()).take(100_000)
        };
        let mean = intervals().sum::<Duration>().as_secs_f64() / 100_000.0;
        assert!((mean - 0.001).abs() < 0.00002, "{mean}");
        assert!(intervals().eq(intervals()));
    }
}
