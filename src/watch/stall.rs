//! The stall detective: which task held the loop up, and which tasks waited meanwhile.
//!
//! The code that runs a loop decides whether it is wanted, as with asyncio's debug mode: it costs a reading of
//! the clock for each resume. All else is worked out afterwards, when a resume or a turn has taken too long.

use std::io;
use std::time::Duration;

use crate::event_loop::{Description, EventLoop, Handle, Task};
use crate::events::Event;
use crate::id::TaskId;
use crate::limits::SLOW_CALLBACK;
use crate::watch::{Described, intern};
use crate::world::Time;

/// Turns a loop, and reports resumes, and turns, that take too long, at WARN and to the observer.
///
/// ```
/// use helloop::event_loop::EventLoop;
/// use helloop::watch::SlowCallbacks;
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.handle().call_soon(|_| std::thread::sleep(Duration::from_millis(20)));
/// let mut slow_callbacks = SlowCallbacks::new(&event_loop).at(Duration::from_millis(10));
/// slow_callbacks.run_until(&mut event_loop, || false)?;
/// assert_eq!(slow_callbacks.count(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SlowCallbacks {
    handle: Handle,
    /// What takes this long is reported. In nanoseconds, as `longest`, because every resume is compared.
    slow_nanos: u64,
    /// Reports so far.
    count: u64,
    /// When the resume before ended, or the turn's wait.
    began: Time,
    /// Of the present turn: tasks to resume, and those that were.
    batch: usize,
    resumed: usize,
    /// Of the present turn: the task whose resume took longest, and nanoseconds that it took.
    longest: (TaskId, u64),
}

impl SlowCallbacks {
    /// Reports what takes [`SLOW_CALLBACK`] or longer on this loop.
    pub fn new(event_loop: &EventLoop) -> SlowCallbacks {
        SlowCallbacks {
            handle: event_loop.handle().clone(),
            slow_nanos: (Time::ZERO + SLOW_CALLBACK).as_nanos(),
            count: 0,
            began: Time::ZERO,
            batch: 0,
            resumed: 0,
            longest: Default::default(),
        }
    }

    /// Reports what takes so long or longer.
    pub fn at(self, slow: Duration) -> SlowCallbacks {
        SlowCallbacks { slow_nanos: (Time::ZERO + slow).as_nanos(), ..self }
    }

    /// Resumes and turns so far that took too long.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// As [`EventLoop::run_until`].
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn run_until(
        &mut self,
        event_loop: &mut EventLoop,
        done: impl FnMut() -> bool,
    ) -> io::Result<bool> {
        event_loop.drive_until(done, |event_loop| self.turn(event_loop, None).map(drop))
    }

    /// As [`EventLoop::turn`].
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn turn(
        &mut self,
        event_loop: &mut EventLoop,
        limit: Option<Duration>,
    ) -> io::Result<usize> {
        let batch = self.begin_turn(event_loop, limit)?;
        while self.resume_next(event_loop) {}
        self.end_turn(event_loop);
        Ok(batch)
    }

    /// As [`EventLoop::begin_turn`].
    ///
    /// # Errors
    /// See [`EventLoop::turn`].
    pub fn begin_turn(
        &mut self,
        event_loop: &mut EventLoop,
        limit: Option<Duration>,
    ) -> io::Result<usize> {
        self.batch = event_loop.begin_turn(limit)?;
        self.began = self.handle.now();
        (self.resumed, self.longest) = Default::default();
        Ok(self.batch)
    }

    /// As [`EventLoop::resume_next`].
    pub fn resume_next(&mut self, event_loop: &mut EventLoop) -> bool {
        event_loop.resume_next_then(|task, boxed| {
            let ended = self.handle.clock();
            let nanos = ended.as_nanos().saturating_sub(self.began.as_nanos());
            self.began = ended;
            self.resumed += 1;
            if nanos > self.longest.1 {
                self.longest = (task, nanos);
            }
            if nanos >= self.slow_nanos {
                self.report_slow(task, boxed, Duration::from_nanos(nanos), ended);
            }
        })
    }

    /// As [`EventLoop::end_turn`].
    pub fn end_turn(&mut self, event_loop: &mut EventLoop) {
        event_loop.end_turn();
        let took = self.began.since(self.handle.now());
        if (Time::ZERO + took).as_nanos() >= self.slow_nanos && self.longest.1 < self.slow_nanos {
            self.report_long_turn(took);
        }
    }

    /// Reports a resume that held the loop up, in asyncio's words and some more.
    #[cold]
    fn report_slow(&mut self, task: TaskId, boxed: &dyn Task, took: Duration, ended: Time) {
        self.count += 1;
        let waiting = self.handle.ready().len();
        let (longest, waited) = self.longest_waiting(ended);
        let (what, seconds) = (Described(boxed), took.as_secs_f64());
        let others = match waited {
            Duration::ZERO => String::new(),
            _ => format!(", task {longest} for {:.3} seconds", waited.as_secs_f64()),
        };
        log::warn!(
            "Executing <{what}> took {seconds:.3} seconds; {waiting} ready tasks waited{others}"
        );
        let kind = boxed.kind();
        self.handle.tell(|| Event::Stall { task, kind, took, waiting });
        let place = place_of(boxed);
        self.handle.tell(|| Event::Blamed { task, place, longest, waited });
    }

    /// Reports a turn that took too long although none of its resumes did.
    #[cold]
    fn report_long_turn(&mut self, took: Duration) {
        self.count += 1;
        let (turn, resumed, (task, most)) = (self.handle.turns(), self.resumed, self.longest);
        let most = Duration::from_nanos(most);
        let (seconds, of_it) = (took.as_secs_f64(), most.as_secs_f64());
        log::warn!(
            "turn {turn} took {seconds:.3} seconds for {resumed} tasks, task {task} {of_it:.3} of it"
        );
        self.handle.tell(|| Event::LongTurn { took, resumed, task, most });
    }

    /// The task that has waited longest, and for how long: the first of the batch that is left has
    /// been ready since the turn's wait ended; a timer that is due since its deadline.
    fn longest_waiting(&self, ended: Time) -> (TaskId, Duration) {
        let queued = self.handle.ready().into_iter().next().filter(|_| self.resumed < self.batch);
        let queued = queued.map(|task| (task, ended.since(self.handle.now())));
        let late = self.handle.timers().into_iter().next();
        let late = late.map(|(task, deadline)| (task, ended.since(deadline)));
        let waiting = queued.into_iter().chain(late);
        waiting.max_by_key(|(_, waited)| *waited).unwrap_or_default()
    }
}

/// Where to look for the reason: the task's state, or else where it was made.
fn place_of(task: &dyn Task) -> &'static str {
    let Description { state, site, .. } = task.describe();
    let state = state.map(|state| format!("in state {state}"));
    let made = || site.map(|site| format!("created at {}:{}", site.file(), site.line()));
    state.or_else(made).and_then(|place| intern(&place)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Recorder;
    use crate::world::sim::{Sim, SimClock};
    use crate::world::{Clock, World};
    use std::rc::Rc;

    /// A loop on which time passes only when a task lets it.
    fn slow_world() -> (EventLoop, Rc<SimClock>, Recorder) {
        let world = Sim::new(1);
        let Clock::Sim(clock) = world.clock() else { unreachable!("it is simulated") };
        let mut event_loop = EventLoop::with_world(Box::new(world));
        let recorder = Recorder::new(1_000);
        event_loop.observe(Some(Box::new(recorder.clone())));
        (event_loop, clock, recorder)
    }

    /// Runs to the end, and returns the number of reports.
    fn run(event_loop: &mut EventLoop) -> u64 {
        let mut slow_callbacks = SlowCallbacks::new(event_loop);
        slow_callbacks.run_until(event_loop, || false).unwrap();
        slow_callbacks.count()
    }

    fn reports(recorder: &Recorder) -> Vec<Event> {
        let events = recorder.events().into_iter().map(|(_, event)| event);
        let is_report = |event: &Event| {
            matches!(event, Event::Stall { .. } | Event::Blamed { .. } | Event::LongTurn { .. })
        };
        events.filter(is_report).collect()
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_stall_says_who_where_and_who_waited() {
        let (mut event_loop, clock, recorder) = slow_world();
        let handle = event_loop.handle().clone();
        let works = Rc::clone(&clock);
        handle.call_soon(move |_| works.jump_to(works.now() + 10 * MILLISECOND));
        let sleeps = Rc::clone(&clock);
        let expected_line = line!() + 1;
        handle.call_soon(move |_| sleeps.jump_to(sleeps.now() + SLOW_CALLBACK));
        handle.call_soon(|_| {});
        handle.call_soon(|_| {});
        run(&mut event_loop);
        let [
            Event::Stall { kind, took, waiting, .. },
            Event::Blamed { place, longest, waited, .. },
        ] = reports(&recorder)[..]
        else {
            panic!("one report, and not {:?}", reports(&recorder))
        };
        let made = format!("created at {}:{expected_line}", file!());
        assert_eq!((kind, place), ("callback", made.as_str()));
        assert_eq!((took, waiting), (SLOW_CALLBACK, 2));
        assert_eq!((longest.to_string().as_str(), waited), ("3", SLOW_CALLBACK + 10 * MILLISECOND));
    }

    #[test]
    fn a_timer_that_is_late_has_waited_too() {
        let (mut event_loop, clock, recorder) = slow_world();
        let handle = event_loop.handle().clone();
        handle.call_later(20 * MILLISECOND, |_| {});
        let sleeps = Rc::clone(&clock);
        handle.call_soon(move |_| sleeps.jump_to(sleeps.now() + 2 * SLOW_CALLBACK));
        run(&mut event_loop);
        let [Event::Stall { waiting, .. }, Event::Blamed { longest, waited, .. }] =
            reports(&recorder)[..]
        else {
            panic!("one report, and not {:?}", reports(&recorder))
        };
        assert_eq!((longest.to_string().as_str(), waiting), ("1", 0));
        assert!(waited >= 2 * SLOW_CALLBACK - 20 * MILLISECOND, "{waited:?}");
        assert!(waited < 2 * SLOW_CALLBACK - 19 * MILLISECOND, "{waited:?}");
    }

    #[test]
    fn a_turn_of_many_short_resumes_is_reported_once() {
        let (mut event_loop, clock, recorder) = slow_world();
        let handle = event_loop.handle().clone();
        for step in 1..=15 {
            let clock = Rc::clone(&clock);
            let millis = if step == 7 { 20 } else { 6 };
            handle.call_soon(move |_| clock.jump_to(clock.now() + millis * MILLISECOND));
        }
        run(&mut event_loop);
        let [Event::LongTurn { took, resumed, task, most }] = reports(&recorder)[..] else {
            panic!("one report, and not {:?}", reports(&recorder))
        };
        assert_eq!((took, resumed), (104 * MILLISECOND, 15));
        assert_eq!((task.to_string().as_str(), most), ("7", 20 * MILLISECOND));
    }
}
