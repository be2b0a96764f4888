//! The two tables of `docs/asyncio.md` that say what awaiting costs, and what cancelling reaches.

use std::future::{Future, pending};

use helloop::coroutine::{
    JoinHandle, Queue, ReturnWhen, Semaphore, TaskGroup, as_completed, yield_now,
};
use helloop::event_loop::Handle;

use crate::asyncio::support::*;

/// Ends one turn after its first step, with the turn.
async fn child(handle: Handle) -> Result<u64, Raised> {
    yield_now().await;
    Ok(handle.turns())
}

#[test]
fn awaiting_takes_so_many_turns() {
    simulated(|handle| async move {
        let (now, new) = (|| handle.turns(), || child(handle.clone()));
        let ended = handle.spawn(new()).await.unwrap().unwrap();
        assert_eq!(now() - ended, 1, "a task");
        let ended = handle.gather([new()]).await.remove(0).unwrap().unwrap();
        assert_eq!(now() - ended, 2, "gather");
        let tasks = vec![handle.spawn(new())];
        let (mut done, _) = handle.wait(tasks, ReturnWhen::FirstCompleted, None).await;
        assert_eq!(now() - done[0].take().unwrap().unwrap().unwrap(), 2, "wait");
        let ended = as_completed(&handle, [new()]).next().await.unwrap().unwrap().unwrap();
        assert_eq!(now() - ended, 2, "as_completed");
        let body = async |group: &TaskGroup<Raised>| Ok(group.spawn(new()));
        let mut task = handle.task_group(body).await.unwrap();
        assert_eq!(now() - task.take().unwrap().unwrap().unwrap(), 2, "task_group");
        let (promise, set) = (handle.promise(), handle.promise::<u64>());
        let sets = promise.clone();
        handle.call_soon(move |handle| sets.set(handle.turns()).unwrap());
        let ended = promise.wait().await.unwrap();
        assert_eq!(now() - ended, 1, "a promise");
        set.set(now()).unwrap();
        let (queue, permits) = (Queue::new(&handle, 1), Semaphore::new(&handle, 1));
        queue.put(1).await;
        let _permit = permits.acquire().await;
        assert_eq!(now() - set.wait().await.unwrap(), 0, "a promise that is set, a free permit");
        queue.get().await;
        assert_eq!(now() - set.get().unwrap(), 0, "an item that is there");
    });
}

/// Cancels a task that awaits what `awaits` makes; gives the number of tasks that are left.
fn left_after_cancelling<F>(awaits: impl FnOnce(Handle, JoinHandle<()>) -> F + 'static) -> usize
where
    F: Future<Output = ()> + 'static,
{
    simulated(|handle| async move {
        let inner = handle.spawn(pending::<()>());
        let outer = handle.spawn(awaits(handle.clone(), inner));
        yield_now().await;
        outer.cancel();
        for _ in 0..5 {
            yield_now().await;
        }
        assert!(outer.is_cancelled());
        // Not this one.
        handle.task_count() - 1
    })
}

#[test]
fn cancelling_goes_down_so_far() {
    let task = left_after_cancelling(|_, inner| async { inner.await.unwrap() });
    assert_eq!(task, 0, "a task");
    let shield = left_after_cancelling(|_, inner| async { inner.shield().await.unwrap() });
    assert_eq!(shield, 1, "shield");
    let timeout = left_after_cancelling(|handle, inner| async move {
        drop(handle.timeout(LONG, inner).await);
    });
    assert_eq!(timeout, 0, "timeout");
    let gather = left_after_cancelling(|handle, inner| async move {
        handle.gather([inner]).await;
    });
    assert_eq!(gather, 0, "gather");
    let group = left_after_cancelling(|handle, inner| async move {
        let body = async move |group: &TaskGroup<Raised>| {
            drop(group.spawn(async { Ok(inner.await?) }));
            Ok(())
        };
        handle.task_group(body).await.unwrap();
    });
    assert_eq!(group, 0, "task_group");
    let sleep = left_after_cancelling(|handle, _inner| async move { handle.sleep(LONG).await });
    assert_eq!(sleep, 1, "a handle that was not awaited");
}

#[test]
fn cancelling_stops_before_wait_and_as_completed() {
    let wait = left_after_cancelling(|handle, inner| async move {
        handle.wait(vec![inner], ReturnWhen::AllCompleted, None).await;
    });
    assert_eq!(wait, 1);
    let completed = left_after_cancelling(|handle, inner| async move {
        as_completed(&handle, [inner]).next().await;
    });
    assert_eq!(completed, 2, "and the task that as_completed made around it");
}
