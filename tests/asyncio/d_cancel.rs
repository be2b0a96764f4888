//! D. Cancellation, timeouts, shield, and groups.

use std::time::Duration;

use helloop::coroutine::{Elapsed, GroupError, JoinError, TaskGroup, yield_now};
use helloop::event_loop::Handle;

use crate::asyncio::support::*;

/// Sleeps for long, and says so when it is left.
async fn sleeper(handle: Handle, last_words: &'static str) {
    let _end = finally(|| say!("{last_words}"));
    handle.sleep(LONG).await;
}

/// `cancelling()`, the number of requests, is missing: asking twice is asking once.
#[test]
fn fact_44_cancelling_takes_effect_at_the_next_step() {
    simulated(|handle| async move {
        let x = handle.spawn(sleeper(handle.clone(), "thrown in"));
        yield_now().await;
        let asked = py(x.cancel());
        say!("cancel() -> {asked} cancelled(): {}", py(x.is_cancelled()));
        yield_now().await;
        let (cancelled, again) = (py(x.is_cancelled()), py(x.cancel()));
        say!("one iteration later: cancelled(): {cancelled}  cancel() -> {again}");
    });
    printed([
        "cancel() -> True cancelled(): False",
        "thrown in",
        "one iteration later: cancelled(): True  cancel() -> False",
    ]);
}

#[test]
fn fact_45_cancelled_before_its_first_step_it_never_runs() {
    simulated(|handle| async move {
        let x = handle.spawn(async {
            let _end = finally(|| say!("never"));
            say!("never");
        });
        x.cancel();
        yield_now().await;
        yield_now().await;
        say!("{}", py(x.is_cancelled()));
    });
    printed(["True"]);
}

/// `BaseException` has no word: a cancellation is no value that passes through the coroutine.
#[test]
fn fact_46_handling_every_error_does_not_swallow_a_cancellation() {
    async fn download(handle: &Handle) -> Result<(), Raised> {
        handle.sleep(LONG).await;
        Err(Raised::ValueError("no such host"))
    }
    simulated(|handle| async move {
        let inner = handle.clone();
        let x = handle.spawn(async move {
            if let Err(error) = download(&inner).await {
                say!("not reached {error}");
            }
        });
        yield_now().await;
        x.cancel();
        say!("{}", py(x.await == Err(JoinError::Cancelled)));
    });
    printed(["True"]);
}

#[test]
fn differs_47_a_cancellation_cannot_be_swallowed() {
    simulated(|handle| async move {
        let inner = handle.clone();
        let x = handle.spawn(async move {
            // What comes nearest to `except CancelledError: return`.
            let _end = finally(|| say!("a guard runs, and cannot return"));
            inner.sleep(LONG).await;
            "went on"
        });
        yield_now().await;
        x.cancel();
        say!("{:?}", x.await);
    });
    printed(["a guard runs, and cannot return", "Err(Cancelled)"]);
}

#[test]
fn differs_48_the_outer_task_ends_before_the_inner() {
    simulated(|handle| async move {
        let inner = handle.clone();
        let x = handle.spawn(async move {
            let t = inner.spawn(sleeper(inner.clone(), "inner ends"));
            let watched = t.canceller();
            let _end = finally(move || {
                say!("outer ends; inner finished: {}", py(watched.is_finished()));
            });
            t.await.unwrap();
        });
        handle.sleep(ms(10)).await;
        x.cancel();
        assert_eq!(x.await, Err(JoinError::Cancelled));
        yield_now().await;
        assert_eq!(handle.task_count(), 1, "the cancellation went down");
    });
    printed(["outer ends; inner finished: False", "inner ends"]);
}

#[test]
fn differs_49_a_timeout_drops_the_inner_at_once() {
    simulated(|handle| async move {
        let began = handle.now();
        let inner = sleeper(handle.clone(), "inner ends");
        let result = handle.timeout(ms(50), inner).await;
        let error = result.unwrap_err();
        // asyncio's error has no text; this one says how long was waited.
        say!("'{error}' after {:?}", handle.now().since(began).as_millis());
    });
    printed(["inner ends", "'no result after 50ms' after 50"]);
}

#[test]
fn differs_50_a_timeout_of_zero_looks_once() {
    simulated(|handle| async move {
        let inner = handle.clone();
        let looked_at = async move {
            say!("the first step");
            inner.sleep(LONG).await;
        };
        let result = handle.timeout(Duration::ZERO, looked_at).await;
        say!("TimeoutError(): {}", py(result == Err(Elapsed { after: Duration::ZERO })));
        let promise = handle.promise();
        promise.set("done").unwrap();
        say!("{}", handle.timeout(Duration::ZERO, promise.wait()).await.unwrap().unwrap());
    });
    printed(["the first step", "TimeoutError(): True", "done"]);
}

#[test]
fn differs_51_a_timeout_has_no_second_result() {
    simulated(|handle| async move {
        let inner = handle.clone();
        let v = async move {
            let _end = finally(|| say!("left"));
            inner.sleep(LONG).await;
            "value"
        };
        say!("{:?}", handle.timeout(ms(10), v).await);
    });
    printed(["left", "Err(Elapsed { after: 10ms })"]);
}

#[test]
fn fact_52_a_timeout_ends_a_block_of_the_current_task() {
    simulated(|handle| async move {
        let task = handle.current_task();
        let block = async {
            assert_eq!(handle.current_task(), task, "no task of its own");
            let _end = finally(|| say!("inside: CancelledError"));
            handle.sleep(LONG).await;
        };
        let result = handle.timeout(ms(10), block).await;
        let expired = result == Err(Elapsed { after: ms(10) });
        say!("outside: TimeoutError() {}", py(expired));
    });
    printed(["inside: CancelledError", "outside: TimeoutError() True"]);
}

/// A handle has one owner, so that `main` gets the value through a promise.
#[test]
fn fact_53_a_shielded_task_goes_on() {
    simulated(|handle| async move {
        let (value, inner) = (handle.promise(), handle.clone());
        let sets = value.clone();
        let i = handle.spawn(async move {
            inner.sleep(ms(20)).await;
            say!("inner done");
            sets.set(1).unwrap();
        });
        let watched = i.canceller();
        let x = handle.spawn(async move { i.shield().await });
        handle.sleep(ms(10)).await;
        x.cancel();
        assert_eq!(x.await, Err(JoinError::Cancelled));
        say!("outer cancelled, inner done: {}", py(watched.is_finished()));
        say!("{}", value.wait().await.unwrap());
    });
    printed(["outer cancelled, inner done: False", "inner done", "1"]);
}

#[test]
fn fact_54_a_failure_cancels_the_group() {
    type Outcome = Result<(), Raised>;
    async fn ok(handle: Handle) -> Outcome {
        sleeper(handle, "sibling cancelled").await;
        Ok(())
    }
    async fn bad(handle: Handle, words: &'static str) -> Outcome {
        handle.sleep(ms(10)).await;
        Err(Raised::ValueError(words))
    }
    simulated(|handle| async move {
        let body = async |group: &TaskGroup<Raised>| {
            drop(group.spawn(ok(handle.clone())));
            drop(group.spawn(bad(handle.clone(), "one")));
            drop(group.spawn(bad(handle.clone(), "two")));
            sleeper(handle.clone(), "body cancelled").await;
            Ok(())
        };
        let GroupError { failures } = handle.task_group(body).await.unwrap_err();
        say!("ExceptionGroup('unhandled errors in a TaskGroup', {})", listed(&failures));
    });
    printed([
        "sibling cancelled",
        "body cancelled",
        "ExceptionGroup('unhandled errors in a TaskGroup', [ValueError('one'), ValueError('two')])",
    ]);
}

#[test]
fn fact_55_a_group_waits_for_late_tasks_too() {
    simulated(|handle| async move {
        let began = handle.now();
        let body = async |group: &TaskGroup<Raised>| {
            let (adds, inner) = (group.clone(), handle.clone());
            let a = group.spawn(async move {
                drop(adds.spawn(async move {
                    inner.sleep(ms(20)).await;
                    Ok(())
                }));
                Ok("c")
            });
            say!("end of the body; a.done(): {}", py(a.is_finished()));
            Ok(a)
        };
        let mut a = handle.task_group(body).await.unwrap();
        assert!(handle.now().since(began) >= ms(20), "the late one was waited for");
        say!("{}", a.take().unwrap().unwrap().unwrap());
    });
    printed(["end of the body; a.done(): False", "c"]);
}
