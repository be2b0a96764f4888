//! B. Tasks and futures.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use helloop::coroutine::{InvalidState, JoinHandle, Promise, yield_now};
use helloop::event_loop::Handle;

use crate::asyncio::support::*;

#[test]
fn fact_18_create_task_runs_nothing() {
    simulated(|handle| async move {
        let tasks: Vec<_> = (0..3).map(|n| handle.spawn(async move { say!("task {n}") })).collect();
        say!("created");
        yield_now().await;
        say!("all done: {}", py(tasks.iter().all(JoinHandle::is_finished)));
    });
    printed(["created", "task 0", "task 1", "task 2", "all done: True"]);
}

#[test]
fn fact_19_a_coroutine_is_awaited_inline_and_a_task_through_the_loop() {
    async fn c() -> u32 {
        1
    }
    simulated(|handle| async move {
        let it = || handle.turns();
        let b = it();
        c().await;
        say!("await coroutine: {} iterations", it() - b);
        let b = it();
        handle.spawn(c()).await.unwrap();
        say!("await new task:  {} iterations", it() - b);
        let task = handle.spawn(c());
        yield_now().await;
        yield_now().await;
        let b = it();
        task.await.unwrap();
        say!("await done task: {} iterations", it() - b);
    });
    printed([
        "await coroutine: 0 iterations",
        "await new task:  2 iterations",
        "await done task: 0 iterations",
    ]);
}

#[test]
fn fact_20_sleep_of_zero_is_one_iteration_without_a_timer() {
    simulated_with_timers(|handle, timers| async move {
        // Durations are not negative here: a difference that would be is zero.
        let minus_one = Duration::ZERO.saturating_sub(Duration::from_secs(1));
        for (name, delay) in [("0", Duration::ZERO), ("-1", minus_one)] {
            let b = handle.turns();
            handle.sleep(delay).await;
            let turns = handle.turns() - b;
            say!("sleep({name}): {turns} iteration; timers: {}", timers.get());
        }
    });
    printed(["sleep(0): 1 iteration; timers: 0", "sleep(-1): 1 iteration; timers: 0"]);
}

#[test]
fn fact_21_a_sleeper_runs_in_the_iteration_after_its_timer() {
    simulated(|handle| async move {
        let (b, deadline) = (handle.turns(), handle.now() + ms(10));
        handle.call_at(deadline, move |handle| {
            say!("a timer of the same deadline: iteration {}", handle.turns() - b);
        });
        handle.sleep_until(deadline).await;
        say!("the sleeping task resumes:         iteration {}", handle.turns() - b);
    });
    printed([
        "a timer of the same deadline: iteration 1",
        "the sleeping task resumes:         iteration 2",
    ]);
}

#[test]
fn fact_22_tasks_that_yield_alternate() {
    simulated(|handle| async move {
        let steps = Rc::new(RefCell::new(String::new()));
        let task = |name: &'static str| {
            let steps = Rc::clone(&steps);
            async move {
                for i in 0..3 {
                    steps.borrow_mut().push_str(&format!("{name} {i}; "));
                    yield_now().await;
                }
            }
        };
        handle.gather([task("a"), task("b"), task("c")]).await;
        say!("{}", steps.take());
    });
    printed(["a 0; b 0; c 0; a 1; b 1; c 1; a 2; b 2; c 2; "]);
}

#[test]
fn fact_23_setting_a_promise_runs_nothing() {
    simulated(|handle| async move {
        let promise: Promise<u32> = handle.promise();
        promise.add_done_callback(|_| say!("callback 1"));
        let waits = promise.clone();
        let task = handle.spawn(async move { say!("task got {}", waits.wait().await.unwrap()) });
        yield_now().await;
        promise.add_done_callback(|_| say!("callback 2"));
        promise.set(42).unwrap();
        say!("set_result returned");
        task.await.unwrap();
    });
    printed(["set_result returned", "callback 1", "task got 42", "callback 2"]);
}

#[test]
fn fact_24_a_callback_on_a_promise_that_is_done_is_deferred_too() {
    simulated(|handle| async move {
        let promise = handle.promise();
        promise.set(1).unwrap();
        promise.add_done_callback(|_| say!("callback"));
        say!("added");
        yield_now().await;
    });
    printed(["added", "callback"]);
}

#[test]
fn fact_25_awaiting_a_promise_that_is_done_takes_no_iteration() {
    simulated(|handle| async move {
        let promise = handle.promise();
        promise.set(1).unwrap();
        let b = handle.turns();
        promise.wait().await.unwrap();
        say!("{} iterations", handle.turns() - b);
    });
    printed(["0 iterations"]);
}

/// A promise of a `Result`. It has no second reading, `exception()`: that line is missing.
#[test]
fn fact_26_a_promise_is_set_once() {
    fn report(outcome: Result<(), InvalidState>) {
        match outcome {
            Ok(()) => say!("ok"),
            Err(error) => say!("InvalidStateError | {error}"),
        }
    }
    simulated(|handle| async move {
        let promise: Promise<Result<u32, Raised>> = handle.promise();
        report(promise.get().map(drop));
        report(promise.set(Ok(1)));
        report(promise.set(Ok(2)));
        report(promise.set(Err(Raised::ValueError(""))));
        assert_eq!(promise.get(), Ok(Ok(1)), "the first stays");
    });
    printed([
        "InvalidStateError | Result is not set.",
        "ok",
        "InvalidStateError | invalid state",
        "InvalidStateError | invalid state",
    ]);
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

#[test]
fn fact_27_every_task_on_the_way_back_costs_one_iteration() {
    async fn leaf(handle: &Handle) -> u64 {
        yield_now().await;
        handle.turns()
    }
    fn via_coroutines(handle: Handle, n: u32) -> Boxed<u64> {
        Box::pin(async move {
            match n {
                0 => leaf(&handle).await,
                _ => via_coroutines(handle, n - 1).await,
            }
        })
    }
    fn via_tasks(handle: Handle, n: u32) -> Boxed<u64> {
        Box::pin(async move {
            match n {
                0 => leaf(&handle).await,
                _ => handle.spawn(via_tasks(handle.clone(), n - 1)).await.unwrap(),
            }
        })
    }
    simulated(|handle| async move {
        for n in [0, 1, 5] {
            let a = via_coroutines(handle.clone(), n).await;
            let x = handle.turns() - a;
            let b = via_tasks(handle.clone(), n).await;
            let y = handle.turns() - b;
            say!("depth {n}: iterations from the leaf to the root: coroutines {x}, tasks {y}");
        }
    });
    printed([
        "depth 0: iterations from the leaf to the root: coroutines 0, tasks 0",
        "depth 1: iterations from the leaf to the root: coroutines 0, tasks 1",
        "depth 5: iterations from the leaf to the root: coroutines 0, tasks 5",
    ]);
}

#[test]
fn differs_28_the_loop_holds_its_tasks() {
    simulated(|handle| async move {
        drop(handle.spawn(pending::<()>()));
        yield_now().await;
        say!("not collected; tasks left: {}", handle.task_count());
    });
    assert_eq!(logged(), [""; 0]);
    printed(["not collected; tasks left: 2"]);
}

#[test]
fn fact_29_a_coroutine_that_nobody_awaits_never_runs() {
    async fn c() {
        say!("never");
    }
    simulated(|_| async move {
        // The warning comes from the compiler, and the build fails here if it does not.
        #[expect(unused_must_use)]
        c();
        say!("went on");
    });
    printed(["went on"]);
}

#[test]
fn differs_30_a_panic_is_reported_when_it_happens() {
    simulated(|handle| async move {
        let task = handle.spawn(async { panic!("lost") });
        handle.sleep(ms(10)).await;
        let [line] = logged().try_into().unwrap();
        assert!(line.contains("(coroutine) panicked") && line.ends_with(": lost"), "{line}");
        say!("main goes on");
        drop(task);
        say!("end of main");
    });
    assert_eq!(logged(), [""; 0], "and not again");
    printed(["main goes on", "end of main"]);
}

#[test]
fn differs_32_who_awaits_itself_waits_until_it_is_cancelled() {
    type Slot = Rc<RefCell<Option<JoinHandle<()>>>>;
    fn awaits(handle: &Handle, slot: &Slot) -> JoinHandle<()> {
        let slot = Rc::clone(slot);
        handle.spawn(async move {
            let task = slot.take().unwrap();
            task.await.unwrap();
        })
    }
    simulated(|handle| async move {
        let (itself, one, other) = (Slot::default(), Slot::default(), Slot::default());
        let tasks = [awaits(&handle, &itself), awaits(&handle, &other), awaits(&handle, &one)];
        let cancellers = tasks.each_ref().map(JoinHandle::canceller);
        for (slot, task) in [itself, one, other].iter().zip(tasks) {
            slot.replace(Some(task));
        }
        handle.sleep(ms(50)).await;
        let done = || cancellers.iter().filter(|task| task.is_finished()).count();
        say!("done {}", done());
        cancellers[0].cancel();
        cancellers[1].cancel();
        yield_now().await;
        yield_now().await;
        say!("done {}", done());
    });
    printed(["done 0", "done 3"]);
}

#[test]
fn fact_33_tasks_are_numbered_in_the_order_of_creation() {
    let mut event_loop = new_event_loop();
    let handle = event_loop.handle().clone();
    // Spawned by hand: `run_until_complete` keeps the handle, and with it the name, to itself.
    let mut main = event_loop.handle().spawn(async move {
        let numbered = [handle.spawn(async {}), handle.spawn(async {})];
        let named = handle.spawn_named("x", async {});
        let names = quoted(&numbered.each_ref().map(JoinHandle::name));
        format!("{names} {}", named.name())
    });
    event_loop.run().unwrap();
    let rest = main.take().unwrap().unwrap();
    say!("{} {rest}", main.name());
    printed(["Task-1 ['Task-2', 'Task-3'] x"]);
}
