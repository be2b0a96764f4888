//! The facts on helloop. A callback is `call_soon`'s.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::{Future, Ready, pending};
use std::io::ErrorKind::WouldBlock;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};

use helloop::coroutine::{
    self, Event, JoinError, Listener, Queue, Readable, ReturnWhen, Semaphore, TaskGroup, Writable,
    yield_now,
};
use helloop::event_loop::Handle;
use helloop::signals::{SIGUSR1, on_signal};

use crate::tools::*;

pub(crate) const ANSWERS: Answers = Answers {
    facts: &[
        ("01", callbacks_in_order),
        ("02", what_a_callback_queues),
        ("03", yielding_for_ever),
        ("04", order_in_a_turn),
        ("05", a_timer_of_zero),
        ("06", timers_by_deadline),
        ("07", timers_of_one_deadline),
        ("08", due_timers_together),
        ("09", a_short_sleep),
        ("09b", never_early),
        ("11", a_cancelled_callback),
        ("12", a_callback_that_fails),
        ("16", woken_by_a_thread),
        ("17", blocking_code),
        ("18", a_new_task_begins),
        ("18b", new_tasks_in_order),
        ("19", awaiting_a_coroutine),
        ("19b", awaiting_a_task_that_ended),
        ("20", sleeping_for_zero),
        ("22", tasks_that_yield),
        ("23", setting_a_promise),
        ("25", awaiting_a_promise_that_is_set),
        ("25b", awaiting_what_is_ready),
        ("26", setting_twice),
        ("27", through_five_tasks),
        ("28", nobody_holds_it),
        ("29", never_awaited),
        ("30", a_lost_failure),
        ("35", results_in_order),
        ("36", gather_makes_tasks),
        ("37", the_way_back_from_gather),
        ("38", gather_of_nothing),
        ("40", the_first_failure),
        ("41", failures_as_values),
        ("43", a_cancelled_gather),
        ("44", cancel_takes_effect),
        ("45", cancelled_before_it_began),
        ("46", handling_every_error),
        ("47", refusing),
        ("48", inner_and_outer),
        ("49", at_the_deadline),
        ("50", a_timeout_of_zero),
        ("50b", what_is_ready_at_zero),
        ("51", swallowing_a_timeout),
        ("53", a_shield),
        ("54", a_failure_in_a_group),
        ("56", the_first_of_two),
        ("58", a_semaphore_serves),
        ("58b", overtaking),
        ("59", released_too_often),
        ("60", an_event_wakes),
        ("61", a_full_queue),
        ("63", fifty_blocking_jobs),
        ("64", a_timeout_over_a_thread),
        ("65", left_at_the_end),
        ("66", a_run_in_a_run),
        ("67", sigint),
        ("69", a_signal_handler),
        ("74", readiness_that_stays),
        ("76", a_regular_file),
        ("77", written_bytes),
        ("81", half_closed),
    ],
    no_meaning: &[("47b", "a cancelled task takes no further step")],
    until_sigint,
};

fn run<T: 'static>(main: impl AsyncFnOnce(Handle) -> T + 'static) -> T {
    coroutine::run(|handle| async move { main(handle).await }).expect("the loop runs")
}

/// Begins a task that nobody awaits.
fn start(h: &Handle, task: impl Future + 'static) {
    drop(h.spawn(task));
}

/// Whether another task runs while `step` is awaited.
async fn gives_way(h: &Handle, step: impl Future) -> Answer {
    let ran = Log::new();
    start(h, ran.clone().append(1));
    step.await;
    either(ran.is_empty(), "goes on", "gives way")
}

fn value<T: Clone>(
    h: &Handle,
    delay: u64,
    item: T,
    ended: Log<T>,
) -> impl Future<Output = T> + use<T> {
    let h = h.clone();
    async move {
        h.sleep(ms(delay)).await;
        ended.push(item.clone());
        item
    }
}

fn fails(h: &Handle, delay: u64) -> impl Future<Output = Result<u32, Failed>> + use<> {
    let h = h.clone();
    async move {
        h.sleep(ms(delay)).await;
        Err(Failed)
    }
}

/// What a task of a group or a gather fails with.
#[derive(Clone, Debug, PartialEq)]
struct Failed;

impl From<JoinError> for Failed {
    fn from(_: JoinError) -> Failed {
        Failed
    }
}

fn leaves(
    h: &Handle,
    words: &'static str,
    to: Log<&'static str>,
) -> impl Future<Output = ()> + use<> {
    let h = h.clone();
    async move {
        let _end = finally(|| to.push(words));
        h.sleep(LONG).await;
    }
}

/// A destructor cannot await, so that a clean-up which takes time is a task.
fn slow_to_leave(h: &Handle, cleaned: Log<u64>, delay: u64) -> impl Future<Output = ()> + use<> {
    let h = h.clone();
    async move {
        let _end = finally(|| start(&h, value(&h, delay, delay, cleaned.clone())));
        h.sleep(LONG).await;
    }
}

/// Cancels a task once it waits; its value, if it has one all the same.
async fn cancelled<T: 'static>(h: &Handle, task: impl Future<Output = T> + 'static) -> Option<T> {
    let task = h.spawn(task);
    h.sleep(ms(10)).await;
    task.cancel();
    task.await.ok()
}

fn callbacks_in_order() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        for i in 0..10 {
            let got = got.clone();
            h.call_soon(move |_| got.push(i));
        }
        h.sleep(ms(10)).await;
        either(got.is_sorted(), "in order", "not in order")
    })
}

fn what_a_callback_queues() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        let (a, b) = (got.clone(), got.clone());
        h.call_soon(move |h| {
            a.push("a");
            h.call_soon(move |_| a.push("c"));
        });
        h.call_soon(move |_| b.push("b"));
        h.sleep(ms(10)).await;
        let is_after = got.all() == ["a", "b", "c"];
        either(is_after, "after what was queued", "before what was queued")
    })
}

fn yielding_for_ever() -> Answer {
    run(async |h: Handle| {
        let fired = Log::new();
        let fires = fired.clone();
        h.call_later(ms(20), move |_| fires.push(1));
        let (due, mut turns_left) = (Instant::now() + ms(20), 10_000);
        while fired.is_empty() && turns_left > 0 {
            yield_now().await;
            turns_left -= u32::from(Instant::now() > due);
        }
        either(fired.is_empty(), "starves", "fires")
    })
}

fn order_in_a_turn() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut ours = Readable::new(&h, ours).expect("a socket can be polled");
        let (reads, fires, runs) = (got.clone(), got.clone(), got.clone());
        start(&h, async move {
            ours.read_with(|ours| ours.read(&mut [0])).await.expect("a byte");
            reads.push("socket");
        });
        h.sleep(ms(10)).await;
        h.call_later(ms(5), move |_| fires.push("timer"));
        theirs.write_all(b"x").expect("room for a byte");
        thread::sleep(ms(20));
        h.call_soon(move |_| runs.push("callback"));
        h.sleep(ms(30)).await;
        got.all().join(", ").into()
    })
}

fn a_timer_of_zero() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        let (fires, runs) = (got.clone(), got.clone());
        h.call_later(Duration::ZERO, move |_| fires.push("timer first"));
        h.call_soon(move |_| runs.push("callback first"));
        thread::sleep(ms(5));
        h.sleep(ms(10)).await;
        got.all()[0].into()
    })
}

fn timers_by_deadline() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        for delay in [300, 100, 200] {
            let got = got.clone();
            h.call_later(ms(delay), move |_| got.push(delay));
        }
        h.sleep(ms(400)).await;
        either(got.all() == [100, 200, 300], "by deadline", "not by deadline")
    })
}

fn timers_of_one_deadline() -> Answer {
    run(async |h: Handle| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (got, deadline) = (Log::new(), h.clock() + ms(10));
            for i in 0..10 {
                let got = got.clone();
                h.call_at(deadline, move |_| got.push(i));
            }
            h.sleep(ms(30)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn due_timers_together() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        for delay in [1, 2, 3] {
            let got = got.clone();
            h.call_later(ms(delay), move |h| {
                got.push("timer");
                h.call_soon(move |_| got.push("other"));
            });
        }
        thread::sleep(ms(10));
        h.sleep(ms(20)).await;
        let are_together = got.all()[..3] == ["timer"; 3];
        either(are_together, "before anything else", "one by one")
    })
}

async fn lasted(h: &Handle, duration: Duration) -> Vec<Duration> {
    let mut lasted = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        h.sleep(duration).await;
        lasted.push(began.elapsed());
    }
    lasted
}

fn a_short_sleep() -> Answer {
    let lasted = run(async |h: Handle| lasted(&h, Duration::from_micros(100)).await);
    either(tenth(lasted) >= Duration::from_micros(500), "is rounded up", "is not")
}

fn never_early() -> Answer {
    let asked = Duration::from_micros(1400);
    let lasted = run(async move |h: Handle| lasted(&h, asked).await);
    either(lasted.into_iter().all(|lasted| lasted >= asked), "never early", "early")
}

fn a_cancelled_callback() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        let runs = ran.clone();
        h.call_soon(move |_| runs.push(1)).cancel();
        h.sleep(ms(10)).await;
        either(ran.is_empty(), "does not run", "runs")
    })
}

fn a_callback_that_fails() -> Answer {
    let has_ended = panics(|| {
        run(async |h: Handle| {
            h.call_soon(|_| panic!("it fails"));
            h.sleep(ms(10)).await;
        });
    });
    either(has_ended, "ends", "goes on")
}

fn woken_by_a_thread() -> Answer {
    run(async |h: Handle| {
        // Any crate's channel will do: it wakes by a `Waker`.
        let (wakes, woken) = smol::channel::bounded(1);
        let began = Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(ms(50));
            wakes.send_blocking(())
        });
        let _ = h.timeout(ms(5000), woken.recv()).await;
        let answer = either(began.elapsed() < ms(2500), "at once", "at the next timer");
        thread.join().expect("it ends").ok();
        answer
    })
}

fn blocking_code() -> Answer {
    run(async |h: Handle| {
        let (began, fired) = (Instant::now(), Log::new());
        let fires = fired.clone();
        h.call_later(ms(10), move |_| fires.push(began.elapsed()));
        thread::sleep(ms(100));
        h.sleep(ms(20)).await;
        either(fired.all()[0] >= ms(100), "waits", "fires")
    })
}

fn a_new_task_begins() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        start(&h, ran.clone().append(1));
        either(ran.is_empty(), "later", "at once")
    })
}

fn new_tasks_in_order() -> Answer {
    run(async |h: Handle| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            for i in 0..10 {
                start(&h, got.clone().append(i));
            }
            h.sleep(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn awaiting_a_coroutine() -> Answer {
    run(async |h: Handle| gives_way(&h, Log::new().append(1)).await)
}

fn awaiting_a_task_that_ended() -> Answer {
    run(async |h: Handle| {
        let task = h.spawn(async {});
        h.sleep(ms(10)).await;
        gives_way(&h, task).await
    })
}

fn sleeping_for_zero() -> Answer {
    run(async |h: Handle| {
        let before = h.turns();
        h.sleep(Duration::ZERO).await;
        let count = h.turns() - before;
        if count < 2 { turns(count) } else { "until a timer".into() }
    })
}

fn tasks_that_yield() -> Answer {
    run(async |h: Handle| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            let mut tasks = Vec::new();
            for name in 0..3 {
                let got = got.clone();
                tasks.push(h.spawn(async move {
                    for _ in 0..3 {
                        got.push(name);
                        yield_now().await;
                    }
                }));
            }
            for task in tasks {
                task.await.expect("it ends");
            }
            orders.insert(got.all());
        }
        rounds(&orders)
    })
}

fn setting_a_promise() -> Answer {
    run(async |h: Handle| {
        let (promise, got) = (h.promise(), Log::new());
        let (awaited, waits) = (promise.clone(), got.clone());
        start(&h, async move { waits.push(awaited.wait().await) });
        h.sleep(ms(10)).await;
        promise.set(1).expect("it is not set");
        either(got.is_empty(), "later", "at once")
    })
}

fn awaiting_a_promise_that_is_set() -> Answer {
    run(async |h: Handle| {
        let promise = h.promise();
        promise.set(1).expect("it is not set");
        gives_way(&h, promise.wait()).await
    })
}

fn awaiting_what_is_ready() -> Answer {
    run(async |h: Handle| {
        let (semaphore, ran) = (Semaphore::new(&h, 1), Log::new());
        start(&h, ran.clone().append(1));
        for _ in 0..100_000 {
            drop(semaphore.acquire().await);
            if !ran.is_empty() {
                break;
            }
        }
        either(ran.is_empty(), "starve", "run meanwhile")
    })
}

fn setting_twice() -> Answer {
    run(async |h: Handle| {
        let promise = h.promise();
        promise.set(1).expect("it is not set");
        match promise.set(2) {
            Err(_) => "is an error".into(),
            Ok(()) => either(promise.get() == Ok(1), "is ignored", "overwrites"),
        }
    })
}

fn via(h: Handle, depth: u32) -> Pin<Box<dyn Future<Output = u64>>> {
    Box::pin(async move {
        if depth == 0 {
            yield_now().await;
            return h.turns();
        }
        h.spawn(via(h.clone(), depth - 1)).await.expect("it ends")
    })
}

fn through_five_tasks() -> Answer {
    run(async |h: Handle| {
        let at_leaf = via(h.clone(), 5).await;
        turns(h.turns() - at_leaf)
    })
}

fn nobody_holds_it() -> Answer {
    run(async |h: Handle| {
        let ended = Log::new();
        let ends = ended.clone();
        let task = h.spawn(async move {
            let _end = finally(|| ends.push(1));
            pending::<()>().await;
        });
        h.sleep(ms(10)).await;
        drop(task);
        h.sleep(ms(10)).await;
        either(ended.is_empty(), "goes on", "is cancelled")
    })
}

fn never_awaited() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        let coroutine = ran.clone().append(1);
        h.sleep(ms(10)).await;
        drop(coroutine);
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn a_lost_failure() -> Answer {
    let has_ended = panics(|| {
        run(async |h: Handle| {
            start(&h, async { panic!("it fails") });
            h.sleep(ms(10)).await;
        });
    });
    either(has_ended, "ends", "goes on")
}

fn results_in_order() -> Answer {
    run(async |h: Handle| {
        let task = |delay, name| value(&h, delay, name, Log::new());
        let got = h.gather([task(30, "a"), task(10, "b"), task(20, "c")]).await;
        let is_in_order = got == ["a", "b", "c"].map(Ok);
        either(is_in_order, "of the arguments", "of ending")
    })
}

fn gather_makes_tasks() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        let gathered = h.gather([ran.clone().append(1), ran.clone().append(2)]);
        h.sleep(ms(10)).await;
        let answer = either(ran.is_empty(), "do not begin", "begin");
        gathered.await;
        answer
    })
}

fn the_way_back_from_gather() -> Answer {
    run(async |h: Handle| {
        let child = |h: Handle| async move {
            yield_now().await;
            h.turns()
        };
        let ended = h.gather([child(h.clone()), child(h.clone())]).await;
        let ended = *ended[1].as_ref().expect("it ends");
        turns(h.turns() - ended)
    })
}

fn gather_of_nothing() -> Answer {
    run(async |h: Handle| {
        let gathered = h.gather(Vec::<Ready<()>>::new());
        gives_way(&h, gathered).await
    })
}

fn the_first_failure() -> Answer {
    run(async |h: Handle| {
        let (ended, inner) = (Log::new(), h.clone());
        let ends = ended.clone();
        let child = move |is_bad| {
            let (h, ended) = (inner.clone(), ends.clone());
            async move {
                match is_bad {
                    true => fails(&h, 10).await,
                    false => Ok(value(&h, 100, 1, ended).await),
                }
            }
        };
        h.try_gather([child(true), child(false)]).await.expect_err("one failed");
        h.sleep(ms(150)).await;
        either(ended.is_empty(), "are cancelled", "run on")
    })
}

fn failures_as_values() -> Answer {
    run(async |h: Handle| {
        let child = |delay, item: Option<u32>| {
            let h = h.clone();
            async move {
                h.sleep(ms(delay)).await;
                item.ok_or(Failed)
            }
        };
        let got = h.gather([child(10, Some(1)), child(0, None), child(0, Some(2))]).await;
        let are_in_place = got == [Ok(Ok(1)), Ok(Err(Failed)), Ok(Ok(2))];
        either(are_in_place, "in place", "elsewhere")
    })
}

fn a_cancelled_gather() -> Answer {
    run(async |h: Handle| {
        let cleaned = Log::new();
        let children = [30, 500].map(|delay| slow_to_leave(&h, cleaned.clone(), delay));
        let inner = h.clone();
        cancelled(&h, async move { inner.gather(children).await }).await;
        awaited(cleaned.len())
    })
}

fn cancel_takes_effect() -> Answer {
    run(async |h: Handle| {
        let left = Log::new();
        let task = h.spawn(leaves(&h, "left", left.clone()));
        h.sleep(ms(10)).await;
        task.cancel();
        let answer = either(left.is_empty(), "later", "at the call");
        task.await.expect_err("it was cancelled");
        if left.is_empty() { "never".into() } else { answer }
    })
}

fn cancelled_before_it_began() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        let task = h.spawn(ran.clone().append(1));
        task.cancel();
        let _ = task.await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn handling_every_error() -> Answer {
    run(async |h: Handle| {
        let inner = h.clone();
        let handles = async move {
            match inner.timeout(LONG, pending::<()>()).await {
                Ok(()) => "went on",
                Err(_) => "swallows it",
            }
        };
        cancelled(&h, handles).await.unwrap_or("does not see it").into()
    })
}

fn refusing() -> Answer {
    run(async |h: Handle| {
        let inner = h.clone();
        let refuses = async move {
            let _end = finally(|| ());
            inner.sleep(LONG).await;
            "yes"
        };
        cancelled(&h, refuses).await.unwrap_or("no").into()
    })
}

fn inner_and_outer() -> Answer {
    run(async |h: Handle| {
        let (ended, spawns) = (Log::new(), h.clone());
        let (inner, outer) = (ended.clone(), ended.clone());
        cancelled(&h, async move {
            let _end = finally(|| outer.push("outer first"));
            let _ = spawns.spawn(leaves(&spawns, "inner first", inner)).await;
        })
        .await;
        h.sleep(ms(10)).await;
        if ended.len() == 2 { ended.all()[0].into() } else { "inner runs on".into() }
    })
}

fn at_the_deadline() -> Answer {
    run(async |h: Handle| {
        let cleaned = Log::new();
        let late = h.timeout(ms(10), slow_to_leave(&h, cleaned.clone(), 30)).await;
        late.expect_err("it takes longer");
        either(cleaned.is_empty(), "is not awaited", "is awaited")
    })
}

fn a_timeout_of_zero() -> Answer {
    run(async |h: Handle| {
        let ran = Log::new();
        let _ = h.timeout(Duration::ZERO, ran.clone().append(1)).await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn what_is_ready_at_zero() -> Answer {
    run(async |h: Handle| {
        let promise = h.promise();
        promise.set(1).expect("it is not set");
        let ready = h.timeout(Duration::ZERO, promise.wait()).await;
        either(ready.is_ok(), "is returned", "times out")
    })
}

fn swallowing_a_timeout() -> Answer {
    run(async |h: Handle| {
        let swallows = async {
            let _end = finally(|| ());
            h.sleep(LONG).await;
            "its value"
        };
        h.timeout(ms(10), swallows).await.unwrap_or("the timeout").into()
    })
}

fn a_shield() -> Answer {
    run(async |h: Handle| {
        let ended = Log::new();
        let inner = h.spawn(value(&h, 100, 1, ended.clone()));
        cancelled(&h, async move { inner.shield().await }).await;
        let answer = either(ended.is_empty(), "leaves at once", "waits for it");
        h.sleep(ms(150)).await;
        if ended.is_empty() { "it is cancelled".into() } else { answer }
    })
}

fn a_failure_in_a_group() -> Answer {
    run(async |h: Handle| {
        let ended = Log::new();
        let sibling = value(&h, 100, 1, ended.clone());
        let group = h.task_group(async |group: &TaskGroup<Failed>| {
            drop(group.spawn(fails(&h, 10)));
            drop(group.spawn(async { Ok(sibling.await) }));
            Ok(())
        });
        group.await.expect_err("one failed");
        h.sleep(ms(150)).await;
        either(ended.is_empty(), "are cancelled", "run on")
    })
}

fn the_first_of_two() -> Answer {
    run(async |h: Handle| {
        let ended = Log::new();
        let tasks = [10, 100].map(|delay| h.spawn(value(&h, delay, delay, ended.clone())));
        let tasks = h.wait(tasks.into(), ReturnWhen::FirstCompleted, None).await;
        h.sleep(ms(150)).await;
        drop(tasks);
        either(ended.len() == 2, "runs on", "is cancelled")
    })
}

fn a_semaphore_serves() -> Answer {
    run(async |h: Handle| {
        let (semaphore, got) = (Semaphore::new(&h, 0), Log::new());
        for i in 0..8 {
            let (semaphore, got) = (semaphore.clone(), got.clone());
            start(&h, async move {
                let _permit = semaphore.acquire().await;
                got.push(i);
            });
        }
        h.sleep(ms(10)).await;
        semaphore.release();
        h.sleep(ms(10)).await;
        order(&BTreeSet::from([got.all()]))
    })
}

fn overtaking() -> Answer {
    run(async |h: Handle| {
        let (semaphore, got) = (Semaphore::new(&h, 1), Log::new());
        let enters = |name| {
            let (semaphore, got) = (semaphore.clone(), got.clone());
            async move {
                let _permit = semaphore.acquire().await;
                got.push(name);
            }
        };
        let permit = semaphore.acquire().await;
        let waiter = h.spawn(enters("is served first"));
        h.sleep(ms(10)).await;
        drop(permit);
        enters("is overtaken").await;
        waiter.await.expect("it ends");
        got.all()[0].into()
    })
}

fn released_too_often() -> Answer {
    run(async |h: Handle| {
        let semaphore = Semaphore::new(&h, 1);
        if panics(|| semaphore.release()) {
            return "is an error".into();
        }
        either(semaphore.available() == 2, "adds a permit", "is ignored")
    })
}

fn an_event_wakes() -> Answer {
    run(async |h: Handle| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (event, got) = (Event::new(&h), Log::new());
            for i in 0..8 {
                let (event, got) = (event.clone(), got.clone());
                start(&h, async move {
                    event.wait().await;
                    got.push(i);
                });
            }
            h.sleep(ms(2)).await;
            event.set();
            h.sleep(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn a_full_queue() -> Answer {
    run(async |h: Handle| {
        let queue = Queue::new(&h, 2);
        for i in 0..2 {
            queue.put_nowait(i).expect("there is room");
        }
        either(queue.put_nowait(2).is_err(), "is an error", "takes it")
    })
}

fn fifty_blocking_jobs() -> Answer {
    run(async |h: Handle| {
        let jobs = Jobs::default();
        let start = |_| {
            let jobs = jobs.clone();
            h.run_blocking(move || jobs.run())
        };
        let started: Vec<_> = (0..Jobs::COUNT).map(start).collect();
        h.sleep(Jobs::WAIT).await;
        jobs.let_go();
        for job in started {
            job.await.expect("it ends");
        }
        jobs.answer()
    })
}

fn a_timeout_over_a_thread() -> Answer {
    run(async |h: Handle| {
        let ended = Log::new();
        let ends = ended.clone();
        let job = h.run_blocking(move || {
            thread::sleep(ms(200));
            ends.push(1);
        });
        let _ = h.timeout(ms(10), job).await;
        either(ended.is_empty(), "leaves at once", "waits for it")
    })
}

fn left_at_the_end() -> Answer {
    let (left, ended) = (Log::new(), Log::new());
    let (leaves, ends) = (left.clone(), ended.clone());
    run(async move |h: Handle| {
        let inner = h.clone();
        start(&h, async move {
            let _end = finally(|| leaves.push(1));
            inner.sleep(ms(150)).await;
            ends.push(1);
        });
        h.sleep(ms(10)).await;
    });
    if !ended.is_empty() {
        return "are waited for".into();
    }
    either(left.is_empty(), "stay as they are", "are cancelled")
}

fn a_run_in_a_run() -> Answer {
    run(async |_: Handle| {
        let is_refused = panics(|| run(async |_: Handle| ()));
        either(is_refused, "is an error", "is another loop")
    })
}

fn sigint() -> Answer {
    clean_up_at_sigint("helloop").expect("it starts")
}

fn until_sigint() {
    run(async |h: Handle| {
        let _end = say_when_cleaned_up();
        h.sleep(LONG).await;
    });
}

fn a_signal_handler() -> Answer {
    run(async |h: Handle| {
        let got = Log::new();
        let (handler, callback) = (got.clone(), got.clone());
        on_signal(&h, SIGUSR1, move || handler.push("handler")).expect("it may be handled");
        h.call_soon(move |_| {
            raise_usr1();
            thread::sleep(ms(20));
            callback.push("callback");
        });
        h.sleep(ms(500)).await;
        signal_order(&got)
    })
}

fn readiness_that_stays() -> Answer {
    run(async |h: Handle| {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut ours = Readable::new(&h, ours).expect("a socket can be polled");
        let calls = Log::new();
        let called = calls.clone();
        start(&h, async move {
            // Saying that a read would block is how a program asks for the next readiness.
            let never = ours.read_with(|_| -> io::Result<()> {
                called.push(1);
                Err(WouldBlock.into())
            });
            never.await
        });
        h.sleep(ms(10)).await;
        let before = calls.len();
        theirs.write_all(b"x").expect("room for a byte");
        h.sleep(ms(200)).await;
        match calls.len() - before {
            0 => "never".into(),
            1 => "once".into(),
            _ => "again".into(),
        }
    })
}

fn a_regular_file() -> Answer {
    run(async |h: Handle| {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        either(Readable::new(&h, file).is_err(), "is refused", "is taken")
    })
}

fn written_bytes() -> Answer {
    run(async |h: Handle| {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("a flag");
        let mut ours = Writable::new(&h, ours).expect("a socket can be polled");
        let written = poll_once(ours.write_with(|ours| ours.write(b"x"))).await.is_some();
        let is_there = theirs.read(&mut [0]).is_ok();
        either(written && is_there, "at once", "later")
    })
}

fn half_closed() -> Answer {
    run(async |h: Handle| {
        let inner = h.clone();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = Listener::bind(&h, address).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        start(&h, async move {
            let (mut ours, _) = listener.accept().await;
            while ours.read(&mut [0; 64]).await.expect("a question") > 0 {}
            inner.sleep(ms(30)).await;
            ours.write_all(b"answer").await.expect("it is written");
        });
        let mut theirs = h.open_connection(address).await.expect("it listens");
        theirs.write_all(b"question").await.expect("it is written");
        theirs.shut_write().expect("half of it is closed");
        let mut answer = [0; 64];
        let read = theirs.read(&mut answer).await.expect("an end");
        either(&answer[..read] == b"answer", "arrives", "is lost")
    })
}
