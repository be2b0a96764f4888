//! What need not wait leaves turns to others all the same.

use super::*;
use crate::event_loop::Cause;
use crate::events::Event as Told;
use crate::limits::OPERATIONS_PER_RESUME_MAX;
use crate::watch::Recorder;

/// Turns that `count` operations take, of which none has to wait.
fn turns_of<F: Future<Output = ()>>(
    count: usize,
    operations: impl FnOnce(Handle, usize) -> F + 'static,
) -> u64 {
    simulated(move |handle| async move {
        let begin = handle.turns();
        operations(handle.clone(), count).await;
        handle.turns() - begin
    })
}

async fn gets(handle: Handle, count: usize) {
    let queue = Queue::new(&handle, usize::MAX);
    (0..count).for_each(|n| queue.put_nowait(n).unwrap());
    for n in 0..count {
        assert_eq!(queue.get().await, n);
    }
}

async fn puts(handle: Handle, count: usize) {
    let queue = Queue::new(&handle, usize::MAX);
    for n in 0..count {
        queue.put(n).await;
    }
    assert_eq!(queue.len(), count);
}

async fn acquires(handle: Handle, count: usize) {
    let semaphore = Semaphore::new(&handle, 1);
    for _ in 0..count {
        drop(semaphore.acquire().await);
    }
}

async fn waits(handle: Handle, count: usize) {
    let event = Event::new(&handle);
    event.set();
    for _ in 0..count {
        event.wait().await;
    }
}

#[test]
fn what_is_always_there_takes_a_turn_for_each_share() {
    for shares in [4, 32] {
        let (count, expected) = (shares * OPERATIONS_PER_RESUME_MAX, shares as u64 - 1);
        assert_eq!(turns_of(count, gets), expected);
        assert_eq!(turns_of(count, puts), expected);
        assert_eq!(turns_of(count, acquires), expected);
        assert_eq!(turns_of(count, waits), expected);
    }
}

/// Each task has its own share: many that take a little are not slowed down.
#[test]
fn many_tasks_take_their_shares_in_one_turn() {
    const TASKS: usize = 10;
    simulated(|handle| async move {
        let queue = Queue::new(&handle, usize::MAX);
        let count = TASKS * OPERATIONS_PER_RESUME_MAX;
        (0..count).for_each(|n| queue.put_nowait(n).unwrap());
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let queue = queue.clone();
                handle.spawn(async move {
                    for _ in 0..OPERATIONS_PER_RESUME_MAX {
                        queue.get().await;
                    }
                })
            })
            .collect();
        yield_now().await;
        assert!(queue.is_empty());
        assert!(tasks.iter().all(JoinHandle::is_finished));
    });
}

/// A `get` that is dropped while it makes room for others has taken nothing.
#[test]
fn a_get_that_is_given_up_while_others_are_first_loses_no_item() {
    simulated(|handle| async move {
        let queue = Queue::new(&handle, usize::MAX);
        let count = OPERATIONS_PER_RESUME_MAX + 1;
        (0..count).for_each(|n| queue.put_nowait(n).unwrap());
        for _ in 0..OPERATIONS_PER_RESUME_MAX {
            queue.get().await;
        }
        let polls = std::future::poll_fn(|cx| {
            let mut get = Box::pin(queue.get());
            std::task::Poll::Ready(get.as_mut().poll(cx).is_pending())
        });
        assert!(polls.await, "it is the others' turn");
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.get().await, OPERATIONS_PER_RESUME_MAX);
    });
}

#[test]
fn whoever_watches_is_told_why_a_task_did_not_go_on() {
    let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
    let recorder = Recorder::new(1_000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    let handle = event_loop.handle().clone();
    event_loop.run_until_complete(gets(handle, 2 * OPERATIONS_PER_RESUME_MAX)).unwrap();
    let is_told = |event: &Told| matches!(event, Told::Resumed { cause: Cause::BUDGET_SPENT, .. });
    let told = recorder.events().iter().filter(|(_, event)| is_told(event)).count();
    assert_eq!(told, 1);
}
