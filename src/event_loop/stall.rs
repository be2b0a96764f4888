//! The stall detective: who held the loop up, and who waited meanwhile. All of it is worked out
//! afterwards, when a resume or a turn has taken too long.

use std::time::Duration;

use super::Handle;
use super::task::{Described, Task};
use crate::id::TaskId;
use crate::observe::{Event, intern};
use crate::world::Time;

/// What is known of the resumes of the present turn.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    /// Tasks of the batch that are still to be resumed.
    pub(super) left: usize,
    /// The task whose resume took longest, and how long.
    longest: (TaskId, Duration),
}

impl Resumes {
    pub(super) fn new(batch: usize) -> Resumes {
        Resumes { left: batch, longest: Default::default() }
    }

    /// How long the longest took.
    pub(super) fn longest(&self) -> Duration {
        self.longest.1
    }

    /// Notes a resume that has ended.
    #[inline]
    pub(super) fn took(&mut self, task: TaskId, took: Duration) {
        if took > self.longest.1 {
            self.longest = (task, took);
        }
    }
}

impl Handle {
    /// Resumes and turns so far that took longer than they should: see
    /// [`SLOW_CALLBACK`](crate::limits::SLOW_CALLBACK).
    pub fn stalls(&self) -> u64 {
        self.shared.core.borrow().stalls
    }

    /// Reports a resume that held everybody up, in asyncio's words and some more.
    #[cold]
    pub(super) fn report_slow(
        &self,
        task: TaskId,
        boxed: &dyn Task,
        took: Duration,
        resumes: &Resumes,
        ended: Time,
    ) {
        self.shared.core.borrow_mut().stalls += 1;
        let (waiting, (longest, waited)) =
            (self.ready_count(), self.longest_waiting(resumes, ended));
        let (what, seconds) = (Described(boxed), took.as_secs_f64());
        let others = match waited {
            Duration::ZERO => String::new(),
            _ => format!(", task {longest} for {:.3} seconds", waited.as_secs_f64()),
        };
        log::warn!(
            "Executing <{what}> took {seconds:.3} seconds; {waiting} ready tasks waited{others}"
        );
        let kind = boxed.kind();
        self.watch().tell(|| Event::Stall { task, kind, took, waiting });
        let place = place_of(boxed);
        self.watch().tell(|| Event::Blamed { task, place, longest, waited });
    }

    /// Reports a turn that took too long although none of its resumes did.
    #[cold]
    pub(super) fn report_long_turn(&self, took: Duration, resumed: usize, resumes: &Resumes) {
        let turn = {
            let core = &mut *self.shared.core.borrow_mut();
            core.stalls += 1;
            core.turn
        };
        let (task, most) = resumes.longest;
        let (seconds, of_it) = (took.as_secs_f64(), most.as_secs_f64());
        log::warn!(
            "turn {turn} took {seconds:.3} seconds for {resumed} tasks, task {task} {of_it:.3} of it"
        );
        self.watch().tell(|| Event::LongTurn { took, resumed, task, most });
    }

    /// The task that has waited longest, and for how long: the first of the batch that is left has
    /// been ready since the turn's wait ended; a timer that is due since its deadline.
    fn longest_waiting(&self, resumes: &Resumes, ended: Time) -> (TaskId, Duration) {
        let core = self.shared.core.borrow();
        let queued = core.ready.first().filter(|_| resumes.left > 0);
        let queued = queued.map(|task| (task, ended.since(core.now)));
        let late = core.timers.iter().next().map(|(task, deadline)| (task, ended.since(deadline)));
        let waiting = queued.into_iter().chain(late);
        waiting.max_by_key(|(_, waited)| *waited).unwrap_or_default()
    }
}

/// Where to look for the reason: the task's state, or else where it was made.
fn place_of(task: &dyn Task) -> &'static str {
    let state = task.state().map(|state| format!("in state {state}"));
    let made = || task.site().map(|site| format!("made at {}:{}", site.file(), site.line()));
    state.or_else(made).and_then(|place| intern(&place)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::limits::SLOW_CALLBACK;
    use crate::observe::Recorder;
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
        event_loop.run().unwrap();
        let [
            Event::Stall { kind, took, waiting, .. },
            Event::Blamed { place, longest, waited, .. },
        ] = reports(&recorder)[..]
        else {
            panic!("one report, and not {:?}", reports(&recorder))
        };
        let made = format!("made at {}:{expected_line}", file!());
        assert_eq!((kind, place), ("callback", made.as_str()));
        assert_eq!((took, waiting), (SLOW_CALLBACK, 2));
        assert_eq!((longest.to_string().as_str(), waited), ("3", SLOW_CALLBACK + 10 * MILLISECOND));
        assert_eq!(handle.stalls(), 1);
    }

    #[test]
    fn a_timer_that_is_late_has_waited_too() {
        let (mut event_loop, clock, recorder) = slow_world();
        let handle = event_loop.handle().clone();
        handle.call_later(20 * MILLISECOND, |_| {});
        let sleeps = Rc::clone(&clock);
        handle.call_soon(move |_| sleeps.jump_to(sleeps.now() + 2 * SLOW_CALLBACK));
        event_loop.run().unwrap();
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
        event_loop.run().unwrap();
        let [Event::LongTurn { took, resumed, task, most }] = reports(&recorder)[..] else {
            panic!("one report, and not {:?}", reports(&recorder))
        };
        assert_eq!((took, resumed), (104 * MILLISECOND, 15));
        assert_eq!((task.to_string().as_str(), most), ("7", 20 * MILLISECOND));
        assert_eq!(handle.stalls(), 1);
    }

    #[test]
    fn who_does_not_want_reports_gets_none() {
        let (mut event_loop, clock, recorder) = slow_world();
        event_loop.set_slow_callback(Duration::ZERO);
        event_loop.handle().call_soon(move |_| clock.jump_to(clock.now() + 5 * SLOW_CALLBACK));
        event_loop.run().unwrap();
        assert_eq!((reports(&recorder).len(), event_loop.handle().stalls()), (0, 0));
    }
}
