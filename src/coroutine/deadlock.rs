//! A program that waits for nothing: what Go calls "all goroutines are asleep".

use std::fmt::Write as _;
use std::sync::Arc;

use super::waker::Coroutines;
use crate::event_loop::{Description, EventLoop, Handle};
use crate::limits::DEADLOCK_TASKS_NAMED_MAX;

impl EventLoop {
    /// True if it is certain that no task of this loop will ever be resumed again: nothing is ready, and no
    /// timer is set. What could still resume one is a source of which something is wanted, or a waker or a
    /// [`Remote`](crate::event_loop::Remote) that is held somewhere: by a helper thread, say. A task of this loop
    /// may hold one, too, and never use it; that cannot be known, and then this returns false.
    ///
    /// [`run_until_complete`](EventLoop::run_until_complete) asks before every turn, and reports it, once. A host
    /// with turns of its own may ask as well.
    pub fn is_deadlocked(&self) -> bool {
        let handle = self.handle();
        // Readiness that came while no task wanted it is found when one does, and that takes a resume.
        handle.wanted_sources() == 0 && self.next_deadline().is_none() && !is_reachable(handle)
    }
}

/// Whether anything can reach the loop besides the loop itself and what is asked with here.
fn is_reachable(handle: &Handle) -> bool {
    let spare = usize::from(Coroutines::of(handle).has_spare());
    Arc::strong_count(&handle.remote()) > 2 + spare
}

/// Says, instead of waiting in silence, that nothing can ever happen again. Named are as many tasks as a reader of
/// a log can use; a deadlock of ten thousand is one line, too.
pub(super) fn report(handle: &Handle) -> String {
    let tasks = handle.tasks();
    let mut report = format!(
        "nothing can ever happen on this loop again: no task is ready, no timer is set, no socket is waited for, \
         and nobody outside the loop can wake a task. Tasks that wait to be woken: {}",
        tasks.len()
    );
    for (task, _) in tasks.into_iter().take(DEADLOCK_TASKS_NAMED_MAX) {
        let _ = handle.look_at(task, |boxed| {
            let Description { name, site, .. } = boxed.describe();
            write!(report, "; task {task} ({}", boxed.kind())?;
            name.map_or(Ok(()), |name| write!(report, " {name}"))?;
            site.map_or(Ok(()), |site| write!(report, " created at {site}"))?;
            write!(report, ")")
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::{Context, Flow, Source, Task};
    use crate::id::TaskId;
    use crate::world::sim::Sim;
    use crate::world::{Listener, Readiness};
    use std::time::Duration;

    /// Waits for ever: for a listener, or for nothing.
    struct Waits(Option<Source<Listener>>);

    impl Task for Waits {
        fn resume(&mut self, _: &mut Context<'_>) -> Flow {
            if let Some(source) = &mut self.0 {
                assert!(source.accept().is_err());
                source.want(Readiness::READABLE);
            }
            Flow::Wait
        }

        fn kind(&self) -> &'static str {
            "waits"
        }
    }

    fn spawn_one_that_waits(handle: &Handle) -> TaskId {
        handle.spawn_task(|_| Box::new(Waits(None)))
    }

    /// True if it is one, once there is nothing to do.
    fn is_deadlocked(event_loop: &mut EventLoop) -> bool {
        for _ in 0..3 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        event_loop.is_deadlocked()
    }

    #[test]
    fn a_loop_that_can_be_woken_is_in_no_deadlock() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        // By a source of which something is wanted.
        let listening = handle.spawn_task(|task| {
            let listener = handle.listen("127.0.0.1:80".parse().unwrap()).unwrap();
            Box::new(Waits(Some(Source::listener(&handle, listener, task).unwrap())))
        });
        assert!(!is_deadlocked(&mut event_loop));
        // The source goes with its task, and what was wanted of it.
        let waiting = spawn_one_that_waits(&handle);
        handle.discard(listening);
        assert!(is_deadlocked(&mut event_loop));
        // By somebody who holds a waker, or can reach the loop.
        let waker = handle.remote().waker(waiting);
        assert!(!is_deadlocked(&mut event_loop));
        drop(waker);
        let remote = handle.remote();
        assert!(!is_deadlocked(&mut event_loop));
        drop(remote);
        assert!(is_deadlocked(&mut event_loop));
    }

    #[test]
    fn a_report_names_some_of_the_tasks() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        drop(handle.spawn(std::future::pending::<()>()));
        event_loop.turn(None).unwrap();
        let tasks: Vec<TaskId> = (0..1_000).map(|_| spawn_one_that_waits(&handle)).collect();
        let report = report(&handle);
        assert!(report.contains(" woken: 1001; task "), "{report}");
        assert!(
            report.contains("(coroutine Task-1 created at src/coroutine/deadlock.rs:"),
            "{report}"
        );
        assert!(report.contains(&format!("; task {} (waits)", tasks[0])), "{report}");
        assert_eq!(report.matches("; task ").count(), DEADLOCK_TASKS_NAMED_MAX);
    }

    #[test]
    fn a_program_that_waits_for_nothing_is_noticed_before_the_world_is_waited_for() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let mut turns = 0;
        let ended = event_loop.drive_until_complete(std::future::pending::<()>(), |event_loop| {
            turns += 1;
            assert_eq!(event_loop.is_deadlocked(), turns > 1);
            event_loop.turn(None).map(drop)
        });
        // The simulated world refuses to wait; a real one would wait for ever.
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::Deadlock);
        assert_eq!(turns, 2);
    }
}
