//! C. gather.

use std::future::Future;

use helloop::coroutine::{JoinError, yield_now};
use helloop::event_loop::Handle;

use crate::asyncio::support::*;

#[test]
fn fact_35_results_come_in_the_order_of_the_arguments() {
    async fn t(handle: Handle, name: &'static str, delay: u64) -> &'static str {
        handle.sleep(ms(delay)).await;
        say!("finished {name}");
        name
    }
    simulated(|handle| async move {
        let t = |name, delay| t(handle.clone(), name, delay);
        let results = handle.gather([t("a", 30), t("b", 10), t("c", 20)]).await;
        say!("{}", quoted(&results.into_iter().map(Result::unwrap).collect::<Vec<_>>()));
    });
    printed(["finished b", "finished c", "finished a", "['a', 'b', 'c']"]);
}

#[test]
fn fact_36_gather_makes_its_tasks_at_the_call() {
    async fn t(name: &'static str) {
        say!("start {name}");
    }
    simulated(|handle| async move {
        let g = handle.gather([t("a"), t("b"), t("c")]);
        say!("gather called, nothing started");
        yield_now().await;
        say!("started without await on g; done: {}", py(g.is_done()));
        g.await;
    });
    printed([
        "gather called, nothing started",
        "start a",
        "start b",
        "start c",
        "started without await on g; done: False",
    ]);
}

#[test]
fn fact_37_gather_costs_two_iterations_on_the_way_back() {
    async fn child(handle: Handle) -> u64 {
        yield_now().await;
        handle.turns()
    }
    simulated(|handle| async move {
        let a = handle.spawn(child(handle.clone())).await.unwrap();
        let x = handle.turns() - a;
        let r = handle.gather([child(handle.clone()), child(handle.clone())]).await;
        let y = handle.turns() - r[1].clone().unwrap();
        say!("task: {x}  gather: {y}");
    });
    printed(["task: 1  gather: 2"]);
}

#[test]
fn fact_38_a_gather_of_nothing_is_done() {
    simulated(|handle| async move {
        let g = handle.gather::<std::future::Ready<u32>>([]);
        say!("Future {}", py(g.is_done()));
        let (results, b) = (g, handle.turns());
        let results = results.await;
        assert_eq!(handle.turns() - b, 0);
        say!("{results:?}");
    });
    printed(["Future True", "[]"]);
}

type Outcome = Result<&'static str, Raised>;

#[test]
fn fact_40_the_first_exception_comes_out_and_the_others_run_on() {
    async fn t(handle: Handle, bad: Option<&'static str>, delay: u64) -> Outcome {
        handle.sleep(ms(delay)).await;
        if let Some(name) = bad {
            return Err(Raised::ValueError(name));
        }
        say!("ok ran to its end");
        Ok("ok")
    }
    simulated(|handle| async move {
        let t = |bad, delay| t(handle.clone(), bad, delay);
        let coroutines = [t(Some("late"), 20), t(None, 30), t(Some("early"), 10)];
        let raised = handle.try_gather(coroutines).await.unwrap_err();
        say!("raised {raised}");
        handle.sleep(ms(50)).await;
        assert_eq!(logged(), [""; 0]);
        say!("no message about the second exception");
    });
    printed([
        "raised ValueError('early')",
        "ok ran to its end",
        "no message about the second exception",
    ]);
}

#[test]
fn fact_41_exceptions_as_values_in_place() {
    async fn t(handle: Handle, n: Option<u32>) -> Result<u32, Raised> {
        let Some(n) = n else { return Err(Raised::ValueError("x")) };
        handle.sleep(ms(10)).await;
        Ok(n)
    }
    simulated(|handle| async move {
        let t = |n| t(handle.clone(), n);
        let results = handle.gather([t(Some(1)), t(None), t(Some(2))]).await;
        let text = results.into_iter().map(|result| match result.unwrap() {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        });
        say!("{}", listed(&text.collect::<Vec<_>>()));
    });
    printed(["[1, ValueError('x'), 2]"]);
}

/// A cancelled task has no arguments here: `CancelledError()`, where asyncio prints `('')` once.
#[test]
fn fact_42_a_cancelled_child_is_a_failure_of_its_own() {
    async fn ok(handle: Handle) -> &'static str {
        handle.sleep(ms(20)).await;
        "ok"
    }
    fn shown(result: Result<&'static str, JoinError>) -> String {
        result.map_or_else(|error| Raised::from(error).to_string(), |value| format!("'{value}'"))
    }
    simulated(|handle| async move {
        let child = || {
            let task = handle.spawn(ok(handle.clone()));
            (task.canceller(), task)
        };
        let ((a, a_task), (b, b_task)) = (child(), child());
        let g = handle.try_gather([a_task, b_task]);
        yield_now().await;
        a.cancel();
        let raised = g.await.unwrap_err();
        say!("False raised {} b.done(): {}", Raised::from(raised), py(b.is_finished()));
        handle.sleep(ms(30)).await;
        assert!(b.is_finished(), "it ran on");

        let ((a, a_task), (_, b_task)) = (child(), child());
        let g = handle.gather([a_task, b_task]);
        yield_now().await;
        a.cancel();
        let results: Vec<_> = g.await.into_iter().map(|r| shown(r.and_then(|r| r))).collect();
        say!("True {}", listed(&results));
    });
    printed(["False raised CancelledError() b.done(): False", "True [CancelledError(), 'ok']"]);
}

/// asyncio's `except CancelledError:` blocks sleep before they raise again; a drop cannot, so the
/// lines "cleaned up" are missing, and nobody waits for them.
#[test]
fn differs_43_a_cancelled_gather_cancels_its_children_and_does_not_wait() {
    fn t(handle: &Handle, name: &'static str) -> impl Future<Output = ()> + use<> {
        let handle = handle.clone();
        async move {
            let _end = finally(|| say!("{name} cancelled"));
            handle.sleep(LONG).await;
        }
    }
    simulated(|handle| async move {
        let inner = handle.clone();
        let x = handle.spawn(async move { inner.gather([t(&inner, "a"), t(&inner, "b")]).await });
        handle.sleep(ms(10)).await;
        x.cancel();
        let outcome = x.await.unwrap_err();
        say!("outer: {}", Raised::from(outcome));
        // The children's done-callbacks run once more.
        yield_now().await;
        assert_eq!(handle.task_count(), 1, "no child is left");
    });
    printed(["a cancelled", "b cancelled", "outer: CancelledError()"]);
}
