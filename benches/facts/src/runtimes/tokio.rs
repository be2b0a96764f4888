//! The facts on tokio's current-thread runtime. A callback is a task that nobody awaits; a gather is `join!`.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::{Future, pending};
use std::io::ErrorKind::WouldBlock;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, OnceCell, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{sleep, sleep_until, timeout};

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

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// As a task, so that it takes part in the order of tasks.
fn run<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    runtime().block_on(async { tokio::spawn(main).await.expect("it ends") })
}

/// Counts turns of the queue while `main` runs.
async fn with_turns<T>(main: impl AsyncFnOnce(Turns) -> T) -> T {
    let turns = Turns::default();
    let counts = turns.clone();
    let spinner = tokio::spawn(async move {
        loop {
            counts.add();
            yield_now().await;
        }
    });
    let value = main(turns).await;
    spinner.abort();
    value
}

/// Whether another task runs while `step` is awaited.
async fn gives_way(step: impl Future) -> Answer {
    let ran = Log::new();
    tokio::spawn(ran.clone().append(1));
    step.await;
    either(ran.is_empty(), "goes on", "gives way")
}

async fn value<T: Clone>(delay: u64, item: T, ended: Log<T>) -> T {
    sleep(ms(delay)).await;
    ended.push(item.clone());
    item
}

async fn fails(delay: u64) -> Result<u32, &'static str> {
    sleep(ms(delay)).await;
    Err("it fails")
}

async fn leaves(words: &'static str, to: Log<&'static str>) {
    let _end = finally(|| to.push(words));
    sleep(LONG).await;
}

/// A destructor cannot await, so that a clean-up which takes time is a task.
async fn slow_to_leave(cleaned: Log<u64>, delay: u64) {
    let _end = finally(|| {
        let cleaned = cleaned.clone();
        tokio::spawn(value(delay, delay, cleaned));
    });
    sleep(LONG).await;
}

/// Cancels a task once it waits; its value, if it has one all the same.
async fn cancelled<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let task = tokio::spawn(task);
    sleep(ms(10)).await;
    task.abort();
    task.await.ok()
}

fn callbacks_in_order() -> Answer {
    run(async {
        let got = Log::new();
        for i in 0..10 {
            tokio::spawn(got.clone().append(i));
        }
        sleep(ms(10)).await;
        either(got.is_sorted(), "in order", "not in order")
    })
}

fn what_a_callback_queues() -> Answer {
    run(async {
        let got = Log::new();
        let (a, b) = (got.clone(), got.clone());
        tokio::spawn(async move {
            a.push("a");
            tokio::spawn(a.append("c"));
        });
        tokio::spawn(b.append("b"));
        sleep(ms(10)).await;
        let is_after = got.all() == ["a", "b", "c"];
        either(is_after, "after what was queued", "before what was queued")
    })
}

fn yielding_for_ever() -> Answer {
    run(async {
        let fired = Log::new();
        tokio::spawn(value(20, (), fired.clone()));
        let (due, mut turns_left) = (Instant::now() + ms(20), 10_000);
        while fired.is_empty() && turns_left > 0 {
            yield_now().await;
            turns_left -= u32::from(Instant::now() > due);
        }
        either(fired.is_empty(), "starves", "fires")
    })
}

fn order_in_a_turn() -> Answer {
    run(async {
        let got = Log::new();
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let reads = got.clone();
        tokio::spawn(async move {
            ours.read_u8().await.expect("a byte");
            reads.push("socket");
        });
        sleep(ms(10)).await;
        tokio::spawn(value(5, "timer", got.clone()));
        yield_now().await;
        theirs.try_write(b"x").expect("room for a byte");
        thread::sleep(ms(20));
        tokio::spawn(got.clone().append("callback"));
        sleep(ms(30)).await;
        got.all().join(", ").into()
    })
}

fn a_timer_of_zero() -> Answer {
    run(async {
        let got = Log::new();
        let timer = got.clone();
        let task = tokio::spawn(async move {
            let mut zero = pin!(sleep(Duration::ZERO));
            if poll_once(zero.as_mut()).await.is_none() {
                tokio::spawn(timer.clone().append("callback first"));
                thread::sleep(ms(5));
                zero.await;
            }
            timer.push("timer first");
        });
        task.await.expect("it ends");
        sleep(ms(10)).await;
        got.all()[0].into()
    })
}

fn timers_by_deadline() -> Answer {
    run(async {
        let got = Log::new();
        for delay in [300, 100, 200] {
            tokio::spawn(value(delay, delay, got.clone()));
        }
        sleep(ms(400)).await;
        either(got.all() == [100, 200, 300], "by deadline", "not by deadline")
    })
}

fn timers_of_one_deadline() -> Answer {
    run(async {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (got, deadline) = (Log::new(), tokio::time::Instant::now() + ms(10));
            for i in 0..10 {
                let got = got.clone();
                tokio::spawn(async move {
                    sleep_until(deadline).await;
                    got.push(i);
                });
            }
            sleep(ms(30)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn due_timers_together() -> Answer {
    run(async {
        let got = Log::new();
        for delay in [1, 2, 3] {
            let got = got.clone();
            tokio::spawn(async move {
                sleep(ms(delay)).await;
                got.push("timer");
                tokio::spawn(got.append("other"));
            });
        }
        yield_now().await;
        thread::sleep(ms(10));
        sleep(ms(20)).await;
        let are_together = got.all()[..3] == ["timer"; 3];
        either(are_together, "before anything else", "one by one")
    })
}

async fn lasted(duration: Duration) -> Vec<Duration> {
    let mut lasted = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        sleep(duration).await;
        lasted.push(began.elapsed());
    }
    lasted
}

fn a_short_sleep() -> Answer {
    let lasted = run(lasted(Duration::from_micros(100)));
    either(tenth(lasted) >= Duration::from_micros(500), "is rounded up", "is not")
}

fn never_early() -> Answer {
    let asked = Duration::from_micros(1400);
    let lasted = run(lasted(asked));
    either(lasted.into_iter().all(|lasted| lasted >= asked), "never early", "early")
}

fn a_cancelled_callback() -> Answer {
    run(async {
        let ran = Log::new();
        tokio::spawn(ran.clone().append(1)).abort();
        sleep(ms(10)).await;
        either(ran.is_empty(), "does not run", "runs")
    })
}

/// Whether a loop on which a task has panicked goes on.
fn after_a_panic(is_kept: bool) -> Answer {
    let has_ended = panics(|| {
        run(async move {
            let task: JoinHandle<()> = tokio::spawn(async { panic!("it fails") });
            let task = is_kept.then_some(task);
            sleep(ms(10)).await;
            drop(task);
        });
    });
    either(has_ended, "ends", "goes on")
}

fn a_callback_that_fails() -> Answer {
    after_a_panic(true)
}

fn woken_by_a_thread() -> Answer {
    run(async {
        let (wakes, woken) = oneshot::channel();
        let began = Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(ms(50));
            wakes.send(())
        });
        let _ = timeout(ms(5000), woken).await;
        let answer = either(began.elapsed() < ms(2500), "at once", "at the next timer");
        thread.join().expect("it ends").ok();
        answer
    })
}

fn blocking_code() -> Answer {
    run(async {
        let (began, fired) = (Instant::now(), Log::new());
        let fires = fired.clone();
        tokio::spawn(async move {
            sleep(ms(10)).await;
            fires.push(began.elapsed());
        });
        yield_now().await;
        thread::sleep(ms(100));
        sleep(ms(20)).await;
        either(fired.all()[0] >= ms(100), "waits", "fires")
    })
}

fn a_new_task_begins() -> Answer {
    run(async {
        let ran = Log::new();
        tokio::spawn(ran.clone().append(1));
        either(ran.is_empty(), "later", "at once")
    })
}

fn new_tasks_in_order() -> Answer {
    run(async {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            for i in 0..10 {
                tokio::spawn(got.clone().append(i));
            }
            sleep(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn awaiting_a_coroutine() -> Answer {
    run(gives_way(Log::new().append(1)))
}

fn awaiting_a_task_that_ended() -> Answer {
    run(async {
        let task = tokio::spawn(async {});
        sleep(ms(10)).await;
        gives_way(task).await
    })
}

fn sleeping_for_zero() -> Answer {
    run(with_turns(async |loop_: Turns| {
        sleep(ms(1)).await;
        let before = loop_.count();
        sleep(Duration::ZERO).await;
        let count = loop_.count() - before;
        if count < 2 { turns(count) } else { "until a timer".into() }
    }))
}

fn tasks_that_yield() -> Answer {
    run(async {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            let mut tasks = Vec::new();
            for name in 0..3 {
                let got = got.clone();
                tasks.push(tokio::spawn(async move {
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
    run(async {
        let (sets, promise) = oneshot::channel();
        let got = Log::new();
        let waits = got.clone();
        tokio::spawn(async move { waits.push(promise.await) });
        sleep(ms(10)).await;
        sets.send(1).expect("it is waited for");
        either(got.is_empty(), "later", "at once")
    })
}

fn awaiting_a_promise_that_is_set() -> Answer {
    run(async {
        let (sets, promise) = oneshot::channel();
        sets.send(1).expect("its receiver is here");
        gives_way(promise).await
    })
}

fn awaiting_what_is_ready() -> Answer {
    run(async {
        let (semaphore, ran) = (Semaphore::new(1), Log::new());
        tokio::spawn(ran.clone().append(1));
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
    let promise = OnceCell::new();
    promise.set(1).expect("it is not set");
    match promise.set(2) {
        Err(_) => "is an error".into(),
        Ok(()) => either(promise.get() == Some(&1), "is ignored", "overwrites"),
    }
}

fn via(loop_: Turns, depth: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            yield_now().await;
            return loop_.count();
        }
        tokio::spawn(via(loop_, depth - 1)).await.expect("it ends")
    })
}

fn through_five_tasks() -> Answer {
    run(with_turns(async |loop_: Turns| {
        let at_leaf = via(loop_.clone(), 5).await;
        turns(loop_.count() - at_leaf)
    }))
}

fn nobody_holds_it() -> Answer {
    run(async {
        let ended = Log::new();
        let ends = ended.clone();
        let task = tokio::spawn(async move {
            let _end = finally(|| ends.push(1));
            pending::<()>().await;
        });
        sleep(ms(10)).await;
        drop(task);
        sleep(ms(10)).await;
        either(ended.is_empty(), "goes on", "is cancelled")
    })
}

fn never_awaited() -> Answer {
    run(async {
        let ran = Log::new();
        let coroutine = ran.clone().append(1);
        sleep(ms(10)).await;
        drop(coroutine);
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn a_lost_failure() -> Answer {
    after_a_panic(false)
}

fn results_in_order() -> Answer {
    run(async {
        let ended = Log::new();
        let task = |delay, name| value(delay, name, ended.clone());
        let got = tokio::join!(task(30, "a"), task(10, "b"), task(20, "c"));
        either(got == ("a", "b", "c"), "of the arguments", "of ending")
    })
}

fn gather_makes_tasks() -> Answer {
    run(async {
        let ran = Log::new();
        let (one, two) = (ran.clone(), ran.clone());
        let gathered = async { tokio::join!(one.append(1), two.append(2)) };
        sleep(ms(10)).await;
        let answer = either(ran.is_empty(), "do not begin", "begin");
        gathered.await;
        answer
    })
}

fn the_way_back_from_gather() -> Answer {
    run(with_turns(async |loop_: Turns| {
        let child = async || {
            yield_now().await;
            loop_.count()
        };
        let ended = tokio::join!(child(), child());
        turns(loop_.count() - ended.1)
    }))
}

fn gather_of_nothing() -> Answer {
    run(gives_way(JoinSet::<()>::new().join_all()))
}

fn the_first_failure() -> Answer {
    run(async {
        let ended = Log::new();
        let other = async { Ok(value(100, 1, ended.clone()).await) };
        let failed = tokio::try_join!(fails(10), other);
        failed.expect_err("one failed");
        sleep(ms(150)).await;
        either(ended.is_empty(), "are cancelled", "run on")
    })
}

fn failures_as_values() -> Answer {
    run(async {
        let ok = async |delay, item| Ok::<u32, &str>(value(delay, item, Log::new()).await);
        let got = tokio::join!(ok(10, 1), fails(0), ok(0, 2));
        either(got == (Ok(1), Err("it fails"), Ok(2)), "in place", "elsewhere")
    })
}

fn a_cancelled_gather() -> Answer {
    run(async {
        let cleaned = Log::new();
        let (one, two) = (cleaned.clone(), cleaned.clone());
        cancelled(async { tokio::join!(slow_to_leave(one, 30), slow_to_leave(two, 500)) }).await;
        awaited(cleaned.len())
    })
}

fn cancel_takes_effect() -> Answer {
    run(async {
        let left = Log::new();
        let task = tokio::spawn(leaves("left", left.clone()));
        sleep(ms(10)).await;
        task.abort();
        let answer = either(left.is_empty(), "later", "at the call");
        task.await.expect_err("it was cancelled");
        if left.is_empty() { "never".into() } else { answer }
    })
}

fn cancelled_before_it_began() -> Answer {
    run(async {
        let ran = Log::new();
        let task = tokio::spawn(ran.clone().append(1));
        task.abort();
        let _ = task.await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn handling_every_error() -> Answer {
    run(async {
        let handles = async {
            match timeout(LONG, pending::<()>()).await {
                Ok(()) => "went on",
                Err(_) => "swallows it",
            }
        };
        cancelled(handles).await.unwrap_or("does not see it").into()
    })
}

fn refusing() -> Answer {
    run(async {
        let refuses = async {
            let _end = finally(|| ());
            sleep(LONG).await;
            "yes"
        };
        cancelled(refuses).await.unwrap_or("no").into()
    })
}

fn inner_and_outer() -> Answer {
    run(async {
        let ended = Log::new();
        let (inner, outer) = (ended.clone(), ended.clone());
        cancelled(async move {
            let _end = finally(|| outer.push("outer first"));
            let _ = tokio::spawn(leaves("inner first", inner)).await;
        })
        .await;
        sleep(ms(10)).await;
        if ended.len() == 2 { ended.all()[0].into() } else { "inner runs on".into() }
    })
}

fn at_the_deadline() -> Answer {
    run(async {
        let cleaned = Log::new();
        let late = timeout(ms(10), slow_to_leave(cleaned.clone(), 30)).await;
        late.expect_err("it takes longer");
        either(cleaned.is_empty(), "is not awaited", "is awaited")
    })
}

fn a_timeout_of_zero() -> Answer {
    run(async {
        let ran = Log::new();
        let _ = timeout(Duration::ZERO, ran.clone().append(1)).await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn what_is_ready_at_zero() -> Answer {
    run(async {
        let (sets, promise) = oneshot::channel();
        sets.send(1).expect("its receiver is here");
        let ready = timeout(Duration::ZERO, promise).await;
        either(ready.is_ok(), "is returned", "times out")
    })
}

fn swallowing_a_timeout() -> Answer {
    run(async {
        let swallows = async {
            let _end = finally(|| ());
            sleep(LONG).await;
            "its value"
        };
        timeout(ms(10), swallows).await.unwrap_or("the timeout").into()
    })
}

fn a_shield() -> Answer {
    run(async {
        let ended = Log::new();
        let inner = tokio::spawn(value(100, 1, ended.clone()));
        cancelled(inner).await;
        let answer = either(ended.is_empty(), "leaves at once", "waits for it");
        sleep(ms(150)).await;
        if ended.is_empty() { "it is cancelled".into() } else { answer }
    })
}

fn a_failure_in_a_group() -> Answer {
    run(async {
        let (ended, mut group) = (Log::new(), JoinSet::new());
        let sibling = value(100, 1, ended.clone());
        group.spawn(fails(10));
        group.spawn(async { Ok(sibling.await) });
        while group.join_next().await.is_some() {}
        either(ended.is_empty(), "are cancelled", "run on")
    })
}

fn the_first_of_two() -> Answer {
    run(async {
        let ended = Log::new();
        tokio::select! {
            _ = value(10, 10, ended.clone()) => {}
            _ = value(100, 100, ended.clone()) => {}
        }
        sleep(ms(150)).await;
        either(ended.len() == 2, "runs on", "is cancelled")
    })
}

fn a_semaphore_serves() -> Answer {
    run(async {
        let (semaphore, got) = (Arc::new(Semaphore::new(0)), Log::new());
        for i in 0..8 {
            let (semaphore, got) = (Arc::clone(&semaphore), got.clone());
            tokio::spawn(async move {
                let _permit = semaphore.acquire().await;
                got.push(i);
            });
        }
        sleep(ms(10)).await;
        semaphore.add_permits(1);
        sleep(ms(10)).await;
        order(&BTreeSet::from([got.all()]))
    })
}

fn overtaking() -> Answer {
    run(async {
        let (semaphore, got) = (Arc::new(Semaphore::new(1)), Log::new());
        let enters = |name| {
            let (semaphore, got) = (Arc::clone(&semaphore), got.clone());
            async move {
                let _permit = semaphore.acquire().await;
                got.push(name);
            }
        };
        let permit = semaphore.acquire().await;
        let waiter = tokio::spawn(enters("is served first"));
        sleep(ms(10)).await;
        drop(permit);
        enters("is overtaken").await;
        waiter.await.expect("it ends");
        got.all()[0].into()
    })
}

fn released_too_often() -> Answer {
    let semaphore = Semaphore::new(1);
    if panics(|| semaphore.add_permits(1)) {
        return "is an error".into();
    }
    either(semaphore.available_permits() == 2, "adds a permit", "is ignored")
}

fn an_event_wakes() -> Answer {
    run(async {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (event, got) = (Arc::new(Notify::new()), Log::new());
            for i in 0..8 {
                let (event, got) = (Arc::clone(&event), got.clone());
                tokio::spawn(async move {
                    event.notified().await;
                    got.push(i);
                });
            }
            sleep(ms(2)).await;
            event.notify_waiters();
            sleep(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn a_full_queue() -> Answer {
    let (sends, _receives) = mpsc::channel(2);
    for i in 0..2 {
        sends.try_send(i).expect("there is room");
    }
    either(sends.try_send(2).is_err(), "is an error", "takes it")
}

fn fifty_blocking_jobs() -> Answer {
    run(async {
        let jobs = Jobs::default();
        let start = |_| {
            let jobs = jobs.clone();
            tokio::task::spawn_blocking(move || jobs.run())
        };
        let started: Vec<_> = (0..Jobs::COUNT).map(start).collect();
        sleep(Jobs::WAIT).await;
        jobs.let_go();
        for job in started {
            job.await.expect("it ends");
        }
        jobs.answer()
    })
}

fn a_timeout_over_a_thread() -> Answer {
    run(async {
        let ended = Log::new();
        let ends = ended.clone();
        let job = tokio::task::spawn_blocking(move || {
            thread::sleep(ms(200));
            ends.push(1);
        });
        let _ = timeout(ms(10), job).await;
        either(ended.is_empty(), "leaves at once", "waits for it")
    })
}

fn left_at_the_end() -> Answer {
    let (left, ended) = (Log::new(), Log::new());
    let (leaves, ends) = (left.clone(), ended.clone());
    run(async {
        tokio::spawn(async move {
            let _end = finally(|| leaves.push(1));
            sleep(ms(150)).await;
            ends.push(1);
        });
        sleep(ms(10)).await;
    });
    if !ended.is_empty() {
        return "are waited for".into();
    }
    either(left.is_empty(), "stay as they are", "are cancelled")
}

fn a_run_in_a_run() -> Answer {
    run(async {
        let is_refused = panics(|| runtime().block_on(async {}));
        either(is_refused, "is an error", "is another loop")
    })
}

fn sigint() -> Answer {
    clean_up_at_sigint("tokio").expect("it starts")
}

fn until_sigint() {
    run(async {
        let _end = say_when_cleaned_up();
        sleep(LONG).await;
    });
}

fn a_signal_handler() -> Answer {
    run(async {
        let got = Log::new();
        let mut signals = signal(SignalKind::user_defined1()).expect("it may be handled");
        let handler = got.clone();
        tokio::spawn(async move {
            signals.recv().await;
            handler.push("handler");
        });
        sleep(ms(10)).await;
        let callback = got.clone();
        tokio::spawn(async move {
            raise_usr1();
            thread::sleep(ms(20));
            callback.push("callback");
        });
        sleep(ms(500)).await;
        signal_order(&got)
    })
}

fn readiness_that_stays() -> Answer {
    run(async {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.try_write(b"x").expect("room for a byte");
        ours.readable().await.expect("it is readable");
        // Telling tokio that a read would block is how a program asks for the next readiness.
        let would_block = ours.try_io(Interest::READABLE, || Err::<(), _>(WouldBlock.into()));
        would_block.expect_err("it is handed on");
        let again = timeout(ms(200), ours.readable()).await.is_ok();
        either(again, "again", "once")
    })
}

fn a_regular_file() -> Answer {
    run(async {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        // In the clothes of a socket: no type of tokio's takes files.
        let dressed = StdStream::from(OwnedFd::from(file));
        dressed.set_nonblocking(true).expect("a flag");
        either(UnixStream::from_std(dressed).is_err(), "is refused", "is taken")
    })
}

fn written_bytes() -> Answer {
    run(async {
        let (ours, mut theirs) = StdStream::pair().expect("a pair");
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).expect("a flag");
        }
        let mut ours = UnixStream::from_std(ours).expect("it is registered");
        // It learns only from its first turn that there is room.
        ours.writable().await.expect("there is room");
        let written = poll_once(ours.write_all(b"x")).await.is_some();
        let is_there = theirs.read(&mut [0]).is_ok();
        either(written && is_there, "at once", "later")
    })
}

fn half_closed() -> Answer {
    run(async {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        tokio::spawn(async move {
            ours.read_to_end(&mut Vec::new()).await.expect("a question");
            sleep(ms(30)).await;
            ours.write_all(b"answer").await.expect("it is written");
        });
        theirs.write_all(b"question").await.expect("it is written");
        theirs.shutdown().await.expect("half of it is closed");
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.expect("an end");
        either(answer == b"answer", "arrives", "is lost")
    })
}
