mod growth;
mod shares;

use super::waker::task_behind;
use super::*;
use crate::world::sim::Sim;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn simulated<T: 'static, F: Future<Output = T> + 'static>(main: impl FnOnce(Handle) -> F) -> T {
    let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
    let main = main(event_loop.handle().clone());
    event_loop.run_until_complete(main).unwrap()
}

#[test]
fn a_new_task_takes_two_turns_and_a_gather_three() {
    simulated(|handle| async move {
        let begin = handle.turns();
        handle.spawn(async {}).await.unwrap();
        assert_eq!(handle.turns() - begin, 2);
        let begin = handle.turns();
        let results = handle.gather([async { 1 }]).await;
        assert_eq!((results, handle.turns() - begin), (vec![Ok(1)], 3));
    });
}

#[test]
fn coroutines_without_a_name_are_numbered() {
    simulated(|handle| async move {
        let tasks = [handle.spawn(async {}), handle.spawn(async {})];
        // The first is the one that spawns them.
        assert_eq!(tasks.each_ref().map(JoinHandle::name), ["Task-2", "Task-3"]);
    });
}

/// A future that waits with another waker than the coroutine's own is woken through that waker.
#[test]
fn a_task_is_known_by_its_own_waker_only() {
    simulated(|handle| async move {
        let other = handle.spawn(std::future::pending::<()>());
        let others = handle.remote().waker(other.id());
        std::future::poll_fn(|cx| {
            assert!(handle.current_task().is_some());
            assert_eq!(task_behind(&handle, cx.waker()), handle.current_task());
            assert_eq!(task_behind(&handle, &others), None);
            assert_eq!(task_behind(&handle, std::task::Waker::noop()), None);
            std::task::Poll::Ready(())
        })
        .await;
    });
}

#[test]
fn a_dropped_timeout_cancels_what_it_awaits() {
    simulated(|handle| async move {
        let task = handle.spawn(std::future::pending::<()>());
        let id = task.id();
        let result = handle.timeout(Duration::from_millis(5), task).await;
        assert_eq!(result, Err(Elapsed { after: Duration::from_millis(5) }));
        yield_now().await;
        yield_now().await;
        handle.wake(id);
        assert_eq!(handle.task_count(), 1, "only this one is left");
    });
}

#[test]
fn a_panic_is_an_error_value_and_the_loop_goes_on() {
    simulated(|handle| async move {
        let task = handle.spawn(async { panic!("planted") });
        let result: Result<(), JoinError> = task.await;
        assert_eq!(result, Err(JoinError::Panicked("planted".into())));
    });
}

#[test]
fn a_clean_up_that_panics_reaches_the_awaiter() {
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            panic!("in the clean-up");
        }
    }
    simulated(|handle| async move {
        let task = handle.spawn(async {
            let _rude = Rude;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await, Err(JoinError::Panicked("in the clean-up".into())));
    });
}

/// A payload of a panic, or a value, that leaves another one when it is dropped, without an end.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Bomb);
    }
}

/// Panics when it is polled, and perhaps once more when it is dropped.
struct Explodes(#[allow(dead_code, reason = "its drop matters")] Option<Bomb>);

impl Future for Explodes {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::panic::panic_any(Bomb);
    }
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_is_an_error_value_as_any_other() {
    simulated(|handle| async move {
        let exploded = Err(JoinError::Panicked("no words".into()));
        assert_eq!(handle.spawn(Explodes(None)).await, exploded);
        assert_eq!(handle.spawn(Explodes(Some(Bomb))).await, exploded);
        let ended = handle.spawn(async {
            let _guard = Bomb;
        });
        assert_eq!(ended.await, exploded);
        let discarded = handle.spawn(async {
            let _guard = Bomb;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        handle.discard(discarded.id());
        assert_eq!(discarded.await, exploded);
        let results = handle.gather([Explodes(None), Explodes(Some(Bomb))]).await;
        assert_eq!(results, [exploded.clone(), exploded]);
        assert_eq!(handle.task_count(), 1);
    });
}

#[test]
fn a_helper_thread_survives_payloads_and_values_that_panic_when_dropped() {
    run(|_| async move {
        let executor = Executor::new(1);
        let exploded = executor.run(|| std::panic::panic_any(Bomb)).await;
        assert_eq!(exploded.map(|()| 0), Err(JoinError::Panicked("no words".into())));
        // Dropped on the thread, because nobody is there to take it.
        let (go, goes) = std::sync::mpsc::channel::<()>();
        drop(executor.run(move || goes.recv().map(|()| Bomb)));
        go.send(()).unwrap();
        assert_eq!(executor.run(|| 1).await, Ok(1));
    })
    .unwrap();
}

/// Neither the values of those that have ended, nor anything with those that have not.
#[test]
fn who_stops_waiting_for_many_keeps_nothing_of_them() {
    simulated(|handle| async move {
        let value = Rc::new(());
        let child = |kind: usize| {
            let value = Rc::clone(&value);
            async move {
                match kind {
                    0 => Ok(value),
                    1 => Err(JoinError::Cancelled),
                    _ => std::future::pending().await,
                }
            }
        };
        let failed = handle.try_gather((0..3).map(child)).await;
        assert_eq!(failed, Err::<Vec<_>, _>(JoinError::Cancelled));
        // The one that runs on has its own.
        assert_eq!(Rc::strong_count(&value), 1 + 1);
        let never_awaited = handle.gather((0..3).map(child));
        let mut results = as_completed(&handle, (0..3).map(child));
        assert!(results.next().await.is_some());
        yield_now().await;
        drop((never_awaited, results));
        yield_now().await;
        assert_eq!(Rc::strong_count(&value), 1 + 3);
        assert_eq!(handle.task_count(), 1 + 3);
    });
}

#[test]
fn a_cancelled_waiter_passes_its_permit_on() {
    let order = simulated(|handle| async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        let semaphore = Semaphore::new(&handle, 0);
        let waiter = |name: &'static str| {
            let (order, semaphore) = (Rc::clone(&order), semaphore.clone());
            handle.spawn(async move {
                let permit = semaphore.acquire().await;
                order.borrow_mut().push(name);
                std::mem::forget(permit);
            })
        };
        let (first, second) = (waiter("first"), waiter("second"));
        yield_now().await;
        // The first is handed the permit, and cancelled before it runs.
        semaphore.release();
        first.cancel();
        second.await.unwrap();
        assert_eq!(first.await, Err(JoinError::Cancelled));
        order.take()
    });
    assert_eq!(order, ["second"]);
}

#[test]
fn a_group_ends_with_all_failures_and_no_task_left() {
    simulated(|handle| async move {
        let inner = handle.clone();
        let result: Result<(), GroupError<String>> = handle
            .task_group(async |group: &TaskGroup<String>| {
                let _idle = group.spawn(std::future::pending::<Result<(), String>>());
                for text in ["one", "two"] {
                    let handle = inner.clone();
                    let _bad = group.spawn(async move {
                        handle.sleep(Duration::from_millis(1)).await;
                        Err::<(), _>(text.to_owned())
                    });
                }
                std::future::pending().await
            })
            .await;
        assert_eq!(result.unwrap_err().failures, ["one", "two"]);
        assert_eq!(handle.task_count(), 1);
    });
}

impl From<JoinError> for String {
    fn from(error: JoinError) -> String {
        error.to_string()
    }
}

#[test]
fn blocking_work_comes_back_through_the_waker() {
    let value = run(|handle| async move { handle.run_blocking(|| 6 * 7).await }).unwrap();
    assert_eq!(value, Ok(42));
}

#[test]
fn an_executor_of_one_thread_does_one_thing_after_the_other() {
    let seen = run(|handle| async move {
        let (executor, seen) = (Executor::new(1), Arc::new(Mutex::new(Vec::new())));
        let work = |number| {
            let seen = Arc::clone(&seen);
            executor.run(move || seen.lock().unwrap().push(number))
        };
        let results = handle.gather((0..100).map(work)).await;
        assert!(results.iter().all(|result| matches!(result, Ok(Ok(())))));
        seen.lock().unwrap().clone()
    })
    .unwrap();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

#[test]
fn work_that_panics_is_an_error_and_its_thread_lives_on() {
    run(|_| async move {
        let executor = Executor::new(1);
        let panicked = executor.run(|| panic!("the work")).await;
        assert_eq!(panicked.map(|()| 0), Err(JoinError::Panicked("the work".into())));
        assert_eq!(executor.run(|| 1).await, Ok(1));
    })
    .unwrap();
}

/// One waker goes from task to task as long as nobody keeps it; whoever does gets it for good.
#[test]
fn a_waker_that_somebody_keeps_wakes_its_task_and_no_other() {
    simulated(|handle| async move {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let resumed = Rc::new(RefCell::new(Vec::new()));
        let make = |number: usize, keeps: bool| {
            let (kept, resumed) = (Rc::clone(&kept), Rc::clone(&resumed));
            std::future::poll_fn(move |cx| {
                resumed.borrow_mut().push(number);
                if keeps {
                    kept.borrow_mut().push(cx.waker().clone());
                } else {
                    drop(cx.waker().clone());
                }
                std::task::Poll::<()>::Pending
            })
        };
        let tasks: Vec<_> = (0..6).map(|n| handle.spawn(make(n, n % 2 == 0))).collect();
        yield_now().await;
        assert_eq!(resumed.take(), [0, 1, 2, 3, 4, 5]);
        let wakers = kept.take();
        wakers.iter().rev().for_each(std::task::Waker::wake_by_ref);
        yield_now().await;
        assert_eq!(resumed.take(), [4, 2, 0], "who kept none is not resumed");
        assert!(kept.take().iter().rev().zip(&wakers).all(|(now, then)| now.will_wake(then)));
        handle.wake(tasks[1].id());
        yield_now().await;
        assert_eq!(resumed.take(), [1]);
    });
}

#[test]
fn a_coroutine_stands_below_who_awaits_it() {
    let handle_of_main = |handle: Handle| async move {
        let inner = handle.clone();
        let child = handle.spawn_named("child", async move {
            inner.gather([std::future::pending::<()>(), std::future::pending()]).await;
        });
        let asked = handle.clone();
        let mother = handle.spawn_named("mother", child);
        handle.sleep(Duration::from_secs(1)).await;
        let snapshot = asked.snapshot();
        let line = |(depth, task): (usize, &crate::watch::TaskView)| {
            (depth, task.name.clone().unwrap_or_default())
        };
        drop(mother);
        snapshot.tree().into_iter().map(line).collect::<Vec<_>>()
    };
    let tree = simulated(handle_of_main);
    let named = |depth, name: &str| (depth, name.to_owned());
    let expected = [
        // The one that looks is at work, and cannot be asked.
        named(0, ""),
        named(1, "mother"),
        named(2, "child"),
        named(3, "Task-2"),
        named(3, "Task-3"),
    ];
    assert_eq!(tree, expected);
}

/// What the coroutines wait for when the loop has nothing left to do: true if it is certain that nothing can
/// ever happen again.
fn is_deadlocked<F: Future<Output = ()> + 'static>(main: impl FnOnce(Handle) -> F) -> bool {
    let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
    drop(event_loop.handle().spawn(main(event_loop.handle().clone())));
    for _ in 0..10 {
        event_loop.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    event_loop.is_deadlocked()
}

#[test]
fn a_promise_that_nobody_can_set_is_a_deadlock_and_what_may_be_woken_is_none() {
    let never = |handle: &Handle| {
        let promise = handle.promise::<()>();
        async move {
            let _ = promise.done().await;
        }
    };
    assert!(is_deadlocked(|handle| never(&handle)));
    // A task that waits for one that waits, and several of them.
    assert!(is_deadlocked(|handle| async move {
        let _ = handle.spawn(never(&handle)).await;
    }));
    assert!(is_deadlocked(|handle| async move {
        let all = [never(&handle), never(&handle)];
        drop(handle.gather(all).await);
    }));
    // Somebody outside may wake it, or time.
    assert!(!is_deadlocked(|_| async {
        let mut kept = None;
        std::future::poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            std::task::Poll::<()>::Pending
        })
        .await;
    }));
    assert!(!is_deadlocked(|handle| async move {
        handle.sleep(std::time::Duration::from_secs(1)).await;
    }));
}
