//! E. wait, as_completed, Semaphore, Lock, Event, Queue.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use helloop::coroutine::{
    Event, Full, JoinHandle, Queue, ReturnWhen, Semaphore, as_completed, yield_now,
};
use helloop::event_loop::Handle;

use crate::asyncio::support::*;

/// asyncio's `sleep(delay, result=delay)`.
async fn sleep(handle: Handle, delay: u64, result: &'static str) -> &'static str {
    handle.sleep(ms(delay)).await;
    result
}

#[test]
fn fact_56_wait_gives_two_sets_and_cancels_nothing() {
    simulated(|handle| async move {
        let task = |delay, name| handle.spawn(sleep(handle.clone(), delay, name));
        let tasks = vec![task(10, "0.01"), task(50, "0.05")];
        let (mut done, pending) = handle.wait(tasks, ReturnWhen::FirstCompleted, None).await;
        let results: Vec<_> = done.iter_mut().map(|t| t.take().unwrap().unwrap()).collect();
        let cancelled: Vec<_> = pending.iter().map(|t| py(t.is_cancelled())).collect();
        say!("{} {} cancelled: {}", listed(&results), pending.len(), listed(&cancelled));
        let timeout = Some(ms(1));
        let (done, pending) = handle.wait(pending, ReturnWhen::AllCompleted, timeout).await;
        say!("{} {}", done.len(), pending.len());
        let results = handle.gather(pending).await;
        assert_eq!(results, [Ok(Ok("0.05"))], "it was not cancelled");
    });
    printed(["[0.01] 1 cancelled: [False]", "0 1"]);
}

#[test]
fn fact_57_as_completed_gives_results_as_they_come() {
    simulated(|handle| async move {
        let delays = [(30, "0.03"), (10, "0.01"), (20, "0.02")];
        let coroutines = delays.map(|(delay, name)| sleep(handle.clone(), delay, name));
        let mut results = as_completed(&handle, coroutines);
        while let Some(result) = results.next().await {
            say!("{}", result.unwrap());
        }
    });
    printed(["0.01", "0.02", "0.03"]);
}

#[test]
fn fact_58_a_semaphore_is_fair() {
    simulated(|handle| async move {
        let semaphore = Semaphore::new(&handle, 2);
        let (inside, peak) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let order = Rc::new(RefCell::new(Vec::new()));
        let task = |i: u64| {
            let (handle, semaphore) = (handle.clone(), semaphore.clone());
            let (inside, peak, order) = (Rc::clone(&inside), Rc::clone(&peak), Rc::clone(&order));
            async move {
                let _permit = semaphore.acquire().await;
                order.borrow_mut().push(i);
                inside.set(inside.get() + 1);
                peak.set(peak.get().max(inside.get()));
                handle.sleep(ms(2 * (5 - i % 3))).await;
                inside.set(inside.get() - 1);
            }
        };
        handle.gather((0..8).map(task)).await;
        say!("entered {} peak {}", listed(&order.take()), peak.get());

        let semaphore = Semaphore::new(&handle, 0);
        let log = Rc::new(RefCell::new(Vec::new()));
        let waiter = |name: &'static str| {
            let (semaphore, log) = (semaphore.clone(), Rc::clone(&log));
            handle.spawn(async move {
                let permit = semaphore.acquire().await;
                log.borrow_mut().push(name);
                // It stays taken for as long as this value lives.
                permit
            })
        };
        let a = waiter("waiter");
        yield_now().await;
        semaphore.release();
        let b = waiter("late");
        handle.sleep(ms(10)).await;
        say!("{} locked: {}", quoted(&log.borrow()), py(semaphore.is_locked()));
        semaphore.release();
        drop(b.await.unwrap());
        drop(a);
    });
    printed(["entered [0, 1, 2, 3, 4, 5, 6, 7] peak 2", "['waiter'] locked: True"]);
}

/// The bound is a way of releasing here, and not another class.
#[test]
fn fact_59_a_semaphore_can_be_released_too_often_and_a_bounded_one_cannot() {
    simulated(|handle| async move {
        let semaphore = Semaphore::new(&handle, 1);
        semaphore.release();
        say!("{}", semaphore.available());
        let bounded = Semaphore::new(&handle, 1);
        let error = bounded.release_bounded().unwrap_err();
        assert_eq!(bounded.available(), 1);
        say!("ValueError('Bounded {error}')");
        let permit = bounded.acquire().await;
        bounded.release_bounded().unwrap();
        std::mem::forget(permit);
    });
    printed(["2", "ValueError('Bounded semaphore released too many times')"]);
}

/// A lock is a semaphore of one.
#[test]
fn fact_60_events_and_locks_serve_in_the_order_of_asking() {
    simulated(|handle| async move {
        let (event, lock) = (Event::new(&handle), Semaphore::new(&handle, 1));
        let out = Rc::new(RefCell::new(Vec::new()));
        let waits = |i| {
            let (event, out) = (event.clone(), Rc::clone(&out));
            handle.spawn(async move {
                event.wait().await;
                out.borrow_mut().push(i);
            })
        };
        let tasks: Vec<JoinHandle<()>> = (0..4).map(waits).collect();
        yield_now().await;
        event.set();
        handle.gather(tasks).await;
        say!("{}", listed(&out.take()));
        let locks = |i| {
            let (lock, out) = (lock.clone(), Rc::clone(&out));
            async move {
                let _permit = lock.acquire().await;
                out.borrow_mut().push(i);
                yield_now().await;
            }
        };
        handle.gather((0..4).map(locks)).await;
        say!("{}", listed(&out.take()));
    });
    printed(["[0, 1, 2, 3]", "[0, 1, 2, 3]"]);
}

#[test]
fn fact_61_a_queue_serves_in_the_order_of_asking() {
    simulated(|handle| async move {
        let queue = Queue::new(&handle, 2);
        let out = Rc::new(RefCell::new(Vec::new()));
        for i in 0..2 {
            let (queue, out) = (queue.clone(), Rc::clone(&out));
            drop(handle.spawn(async move {
                let item: &str = queue.get().await;
                out.borrow_mut().push(format!("({i}, '{item}')"));
                queue.task_done();
            }));
        }
        yield_now().await;
        for item in ["a", "b"] {
            queue.put_nowait(item).unwrap();
        }
        if let Err(Full("c")) = queue.put_nowait("c") {
            say!("QueueFull()");
        }
        queue.join().await;
        say!("{}", listed(&out.take()));
    });
    printed(["QueueFull()", "[(0, 'a'), (1, 'b')]"]);
}

#[test]
fn fact_62_a_thousand_tasks_or_ten_workers() {
    simulated(|handle| async move {
        let semaphore = Semaphore::new(&handle, 10);
        let fetch = |_| {
            let (handle, semaphore) = (handle.clone(), semaphore.clone());
            handle.clone().spawn(async move {
                let _permit = semaphore.acquire().await;
                handle.sleep(ms(1)).await;
            })
        };
        let tasks: Vec<_> = (0..1000).map(fetch).collect();
        yield_now().await;
        let alive = tasks.iter().filter(|task| !task.is_finished()).count();
        say!("tasks alive with a semaphore: {alive}");
        handle.gather(tasks).await;

        let work = Rc::new(RefCell::new(0..1000));
        let worker = |_| {
            let work = Rc::clone(&work);
            handle.spawn(async move {
                while let Some(_item) = { work.borrow_mut().next() } {
                    yield_now().await;
                }
            })
        };
        let tasks: Vec<_> = (0..10).map(worker).collect();
        yield_now().await;
        say!("tasks alive with workers: {}", handle.task_count() - 1);
        handle.gather(tasks).await;
    });
    printed(["tasks alive with a semaphore: 1000", "tasks alive with workers: 10"]);
}
