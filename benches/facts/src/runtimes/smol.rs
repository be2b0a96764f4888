//! The facts on smol's `LocalExecutor`. A callback is a detached task; a gather is `zip`; a timeout is `or`
//! with a timer.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::{Future, pending};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use smol::future::{or, try_zip, yield_now, zip};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::lock::{OnceCell, Semaphore};
use smol::net::unix::UnixStream;
use smol::{Async, LocalExecutor, Task, Timer, channel};

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
        ("74", readiness_that_stays),
        ("76", a_regular_file),
        ("77", written_bytes),
        ("81", half_closed),
    ],
    no_meaning: &[
        ("38", "a zip has two futures"),
        ("47b", "a cancelled task takes no further step"),
        ("54", "there are no groups of tasks"),
        ("69", "signals are another crate's"),
    ],
    until_sigint,
};

/// The executor that all tasks of a fact share.
#[derive(Clone, Copy)]
struct Ex(&'static LocalExecutor<'static>);

impl Ex {
    fn spawn<T: 'static>(self, task: impl Future<Output = T> + 'static) -> Task<T> {
        self.0.spawn(task)
    }

    fn start<T: 'static>(self, task: impl Future<Output = T> + 'static) {
        self.spawn(task).detach();
    }
}

/// As a task, so that it takes part in the order of tasks.
fn run<T: 'static>(main: impl AsyncFnOnce(Ex) -> T + 'static) -> T {
    // Tasks refer to it. It is leaked, so that what is left on it stays, as on an executor of a whole program.
    let ex = Ex(Box::leak(Box::new(LocalExecutor::new())));
    let main = ex.spawn(async move { main(ex).await });
    smol::block_on(ex.0.run(main))
}

/// Counts turns of the queue while `main` runs.
async fn with_turns<T>(ex: Ex, main: impl AsyncFnOnce(Turns) -> T) -> T {
    let turns = Turns::default();
    let counts = turns.clone();
    let spinner = ex.spawn(async move {
        loop {
            counts.add();
            yield_now().await;
        }
    });
    let value = main(turns).await;
    drop::<Task<()>>(spinner);
    value
}

/// What a future has within a time.
async fn timeout<T>(limit: Duration, limited: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    or(async { Some(limited.await) }, late).await
}

/// Whether another task runs while `step` is awaited.
async fn gives_way(ex: Ex, step: impl Future) -> Answer {
    let ran = Log::new();
    ex.start(ran.clone().append(1));
    step.await;
    either(ran.is_empty(), "goes on", "gives way")
}

async fn value<T: Clone>(delay: u64, item: T, ended: Log<T>) -> T {
    Timer::after(ms(delay)).await;
    ended.push(item.clone());
    item
}

async fn fails(delay: u64) -> Result<u32, &'static str> {
    Timer::after(ms(delay)).await;
    Err("it fails")
}

async fn leaves(words: &'static str, to: Log<&'static str>) {
    let _end = finally(|| to.push(words));
    Timer::after(LONG).await;
}

/// A destructor cannot await, so that a clean-up which takes time is a task.
async fn slow_to_leave(ex: Ex, cleaned: Log<u64>, delay: u64) {
    let _end = finally(|| ex.start(value(delay, delay, cleaned.clone())));
    Timer::after(LONG).await;
}

/// Cancels a task once it waits; its value, if it has one all the same.
async fn cancelled<T: 'static>(ex: Ex, task: impl Future<Output = T> + 'static) -> Option<T> {
    let task = ex.spawn(task);
    Timer::after(ms(10)).await;
    task.cancel().await
}

fn callbacks_in_order() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        for i in 0..10 {
            ex.start(got.clone().append(i));
        }
        Timer::after(ms(10)).await;
        either(got.is_sorted(), "in order", "not in order")
    })
}

fn what_a_callback_queues() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        let (a, b) = (got.clone(), got.clone());
        ex.start(async move {
            a.push("a");
            ex.start(a.append("c"));
        });
        ex.start(b.append("b"));
        Timer::after(ms(10)).await;
        let is_after = got.all() == ["a", "b", "c"];
        either(is_after, "after what was queued", "before what was queued")
    })
}

fn yielding_for_ever() -> Answer {
    run(async |ex: Ex| {
        let fired = Log::new();
        ex.start(value(20, (), fired.clone()));
        let (due, mut turns_left) = (Instant::now() + ms(20), 10_000);
        while fired.is_empty() && turns_left > 0 {
            yield_now().await;
            turns_left -= u32::from(Instant::now() > due);
        }
        either(fired.is_empty(), "starves", "fires")
    })
}

fn order_in_a_turn() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        let reads = got.clone();
        ex.start(async move {
            ours.read_exact(&mut [0]).await.expect("a byte");
            reads.push("socket");
        });
        Timer::after(ms(10)).await;
        ex.start(value(100, "timer", got.clone()));
        yield_now().await;
        poll_once(theirs.write_all(b"x")).await.expect("room for a byte").expect("it is open");
        // While this thread is blocked, one of smol's own polls. On a busy machine it needs time for that, and
        // what is due before it polls, timers first, would be in the order of its looking.
        thread::sleep(ms(300));
        ex.start(got.clone().append("callback"));
        Timer::after(ms(30)).await;
        got.all().join(", ").into()
    })
}

fn a_timer_of_zero() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        let timer = got.clone();
        let task = ex.spawn(async move {
            let mut zero = pin!(Timer::after(Duration::ZERO));
            if poll_once(zero.as_mut()).await.is_none() {
                ex.start(timer.clone().append("callback first"));
                thread::sleep(ms(5));
                zero.await;
            }
            timer.push("timer first");
        });
        task.await;
        Timer::after(ms(10)).await;
        got.all()[0].into()
    })
}

fn timers_by_deadline() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        for delay in [300, 100, 200] {
            ex.start(value(delay, delay, got.clone()));
        }
        Timer::after(ms(400)).await;
        either(got.all() == [100, 200, 300], "by deadline", "not by deadline")
    })
}

fn timers_of_one_deadline() -> Answer {
    run(async |ex: Ex| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (got, deadline) = (Log::new(), Instant::now() + ms(10));
            for i in 0..10 {
                let got = got.clone();
                ex.start(async move {
                    Timer::at(deadline).await;
                    got.push(i);
                });
            }
            Timer::after(ms(30)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn due_timers_together() -> Answer {
    run(async |ex: Ex| {
        let got = Log::new();
        for delay in [1, 2, 3] {
            let got = got.clone();
            ex.start(async move {
                Timer::after(ms(delay)).await;
                got.push("timer");
                ex.start(got.append("other"));
            });
        }
        yield_now().await;
        thread::sleep(ms(10));
        Timer::after(ms(20)).await;
        let are_together = got.all()[..3] == ["timer"; 3];
        either(are_together, "before anything else", "one by one")
    })
}

async fn lasted(duration: Duration) -> Vec<Duration> {
    let mut lasted = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        Timer::after(duration).await;
        lasted.push(began.elapsed());
    }
    lasted
}

fn a_short_sleep() -> Answer {
    let lasted = run(async |_: Ex| lasted(Duration::from_micros(100)).await);
    either(tenth(lasted) >= Duration::from_micros(500), "is rounded up", "is not")
}

fn never_early() -> Answer {
    let asked = Duration::from_micros(1400);
    let lasted = run(async move |_: Ex| lasted(asked).await);
    either(lasted.into_iter().all(|lasted| lasted >= asked), "never early", "early")
}

fn a_cancelled_callback() -> Answer {
    run(async |ex: Ex| {
        let ran = Log::new();
        drop(ex.spawn(ran.clone().append(1)));
        Timer::after(ms(10)).await;
        either(ran.is_empty(), "does not run", "runs")
    })
}

/// Whether a loop on which a task has panicked goes on.
fn after_a_panic(is_kept: bool) -> Answer {
    let has_ended = panics(|| {
        run(async move |ex: Ex| {
            let task: Task<()> = ex.spawn(async { panic!("it fails") });
            let mut kept = Some(task);
            if let Some(task) = kept.take_if(|_| !is_kept) {
                task.detach();
            }
            Timer::after(ms(10)).await;
        });
    });
    either(has_ended, "ends", "goes on")
}

fn a_callback_that_fails() -> Answer {
    after_a_panic(true)
}

fn woken_by_a_thread() -> Answer {
    run(async |_: Ex| {
        let (wakes, woken) = channel::bounded(1);
        let began = Instant::now();
        let thread = thread::spawn(move || {
            thread::sleep(ms(50));
            wakes.send_blocking(())
        });
        let _ = timeout(ms(5000), woken.recv()).await;
        let answer = either(began.elapsed() < ms(2500), "at once", "at the next timer");
        thread.join().expect("it ends").ok();
        answer
    })
}

fn blocking_code() -> Answer {
    run(async |ex: Ex| {
        let (began, fired) = (Instant::now(), Log::new());
        let fires = fired.clone();
        ex.start(async move {
            Timer::after(ms(10)).await;
            fires.push(began.elapsed());
        });
        yield_now().await;
        thread::sleep(ms(100));
        Timer::after(ms(20)).await;
        either(fired.all()[0] >= ms(100), "waits", "fires")
    })
}

fn a_new_task_begins() -> Answer {
    run(async |ex: Ex| {
        let ran = Log::new();
        ex.start(ran.clone().append(1));
        either(ran.is_empty(), "later", "at once")
    })
}

fn new_tasks_in_order() -> Answer {
    run(async |ex: Ex| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            for i in 0..10 {
                ex.start(got.clone().append(i));
            }
            Timer::after(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn awaiting_a_coroutine() -> Answer {
    run(async |ex: Ex| gives_way(ex, Log::new().append(1)).await)
}

fn awaiting_a_task_that_ended() -> Answer {
    run(async |ex: Ex| {
        let task = ex.spawn(async {});
        Timer::after(ms(10)).await;
        gives_way(ex, task).await
    })
}

fn sleeping_for_zero() -> Answer {
    run(async |ex: Ex| {
        with_turns(ex, async |loop_: Turns| {
            Timer::after(ms(1)).await;
            let before = loop_.count();
            Timer::after(Duration::ZERO).await;
            let count = loop_.count() - before;
            if count < 2 { turns(count) } else { "until a timer".into() }
        })
        .await
    })
}

fn tasks_that_yield() -> Answer {
    run(async |ex: Ex| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let got = Log::new();
            let mut tasks = Vec::new();
            for name in 0..3 {
                let got = got.clone();
                tasks.push(ex.spawn(async move {
                    for _ in 0..3 {
                        got.push(name);
                        yield_now().await;
                    }
                }));
            }
            for task in tasks {
                task.await;
            }
            orders.insert(got.all());
        }
        rounds(&orders)
    })
}

fn setting_a_promise() -> Answer {
    run(async |ex: Ex| {
        let (promise, got) = (Rc::new(OnceCell::new()), Log::new());
        let (awaited, waits) = (Rc::clone(&promise), got.clone());
        ex.start(async move { waits.push(*awaited.wait().await) });
        Timer::after(ms(10)).await;
        poll_once(promise.set(1)).await.expect("nobody else sets it").expect("it is not set");
        either(got.is_empty(), "later", "at once")
    })
}

fn awaiting_a_promise_that_is_set() -> Answer {
    run(async |ex: Ex| {
        let promise = OnceCell::from(1);
        gives_way(ex, promise.wait()).await
    })
}

fn awaiting_what_is_ready() -> Answer {
    run(async |ex: Ex| {
        let (semaphore, ran) = (Semaphore::new(1), Log::new());
        ex.start(ran.clone().append(1));
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
    run(async |_: Ex| {
        let promise = OnceCell::new();
        promise.set(1).await.expect("it is not set");
        match promise.set(2).await {
            Err(_) => "is an error".into(),
            Ok(_) => either(promise.get() == Some(&1), "is ignored", "overwrites"),
        }
    })
}

fn via(ex: Ex, loop_: Turns, depth: u32) -> Pin<Box<dyn Future<Output = u64>>> {
    Box::pin(async move {
        if depth == 0 {
            yield_now().await;
            return loop_.count();
        }
        ex.spawn(via(ex, loop_, depth - 1)).await
    })
}

fn through_five_tasks() -> Answer {
    run(async |ex: Ex| {
        with_turns(ex, async |loop_: Turns| {
            let at_leaf = via(ex, loop_.clone(), 5).await;
            turns(loop_.count() - at_leaf)
        })
        .await
    })
}

fn nobody_holds_it() -> Answer {
    run(async |ex: Ex| {
        let ended = Log::new();
        let ends = ended.clone();
        let task = ex.spawn(async move {
            let _end = finally(|| ends.push(1));
            pending::<()>().await;
        });
        Timer::after(ms(10)).await;
        drop(task);
        Timer::after(ms(10)).await;
        either(ended.is_empty(), "goes on", "is cancelled")
    })
}

fn never_awaited() -> Answer {
    run(async |_: Ex| {
        let ran = Log::new();
        let coroutine = ran.clone().append(1);
        Timer::after(ms(10)).await;
        drop(coroutine);
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn a_lost_failure() -> Answer {
    after_a_panic(false)
}

fn results_in_order() -> Answer {
    run(async |_: Ex| {
        let ended = Log::new();
        let task = |delay, name| value(delay, name, ended.clone());
        let got = zip(zip(task(30, "a"), task(10, "b")), task(20, "c")).await;
        either(got == (("a", "b"), "c"), "of the arguments", "of ending")
    })
}

fn gather_makes_tasks() -> Answer {
    run(async |_: Ex| {
        let ran = Log::new();
        let gathered = zip(ran.clone().append(1), ran.clone().append(2));
        Timer::after(ms(10)).await;
        let answer = either(ran.is_empty(), "do not begin", "begin");
        gathered.await;
        answer
    })
}

fn the_way_back_from_gather() -> Answer {
    run(async |ex: Ex| {
        with_turns(ex, async |loop_: Turns| {
            let child = async || {
                yield_now().await;
                loop_.count()
            };
            let ended = zip(child(), child()).await;
            turns(loop_.count() - ended.1)
        })
        .await
    })
}

fn the_first_failure() -> Answer {
    run(async |_: Ex| {
        let ended = Log::new();
        let other = async { Ok(value(100, 1, ended.clone()).await) };
        let failed = try_zip(fails(10), other).await;
        failed.expect_err("one failed");
        Timer::after(ms(150)).await;
        either(ended.is_empty(), "are cancelled", "run on")
    })
}

fn failures_as_values() -> Answer {
    run(async |_: Ex| {
        let ok = async |delay, item| Ok::<u32, &str>(value(delay, item, Log::new()).await);
        let got = zip(zip(ok(10, 1), fails(0)), ok(0, 2)).await;
        either(got == ((Ok(1), Err("it fails")), Ok(2)), "in place", "elsewhere")
    })
}

fn a_cancelled_gather() -> Answer {
    run(async |ex: Ex| {
        let cleaned = Log::new();
        let (one, two) = (cleaned.clone(), cleaned.clone());
        cancelled(ex, zip(slow_to_leave(ex, one, 30), slow_to_leave(ex, two, 500))).await;
        awaited(cleaned.len())
    })
}

fn cancel_takes_effect() -> Answer {
    run(async |ex: Ex| {
        let left = Log::new();
        let task = ex.spawn(leaves("left", left.clone()));
        Timer::after(ms(10)).await;
        let mut cancelling = pin!(task.cancel());
        assert!(poll_once(cancelling.as_mut()).await.is_none(), "it has a value");
        let answer = either(left.is_empty(), "later", "at the call");
        yield_now().await;
        if left.is_empty() { "never".into() } else { answer }
    })
}

fn cancelled_before_it_began() -> Answer {
    run(async |ex: Ex| {
        let ran = Log::new();
        ex.spawn(ran.clone().append(1)).cancel().await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn handling_every_error() -> Answer {
    run(async |ex: Ex| {
        let handles = async {
            match timeout(LONG, pending::<()>()).await {
                Some(()) => "went on",
                None => "swallows it",
            }
        };
        cancelled(ex, handles).await.unwrap_or("does not see it").into()
    })
}

fn refusing() -> Answer {
    run(async |ex: Ex| {
        let refuses = async {
            let _end = finally(|| ());
            Timer::after(LONG).await;
            "yes"
        };
        cancelled(ex, refuses).await.unwrap_or("no").into()
    })
}

fn inner_and_outer() -> Answer {
    run(async |ex: Ex| {
        let ended = Log::new();
        let (inner, outer) = (ended.clone(), ended.clone());
        cancelled(ex, async move {
            let _end = finally(|| outer.push("outer first"));
            ex.spawn(leaves("inner first", inner)).await;
        })
        .await;
        Timer::after(ms(10)).await;
        if ended.len() == 2 { ended.all()[0].into() } else { "inner runs on".into() }
    })
}

fn at_the_deadline() -> Answer {
    run(async |ex: Ex| {
        let cleaned = Log::new();
        let late = timeout(ms(10), slow_to_leave(ex, cleaned.clone(), 30)).await;
        assert!(late.is_none(), "it takes longer");
        either(cleaned.is_empty(), "is not awaited", "is awaited")
    })
}

fn a_timeout_of_zero() -> Answer {
    run(async |_: Ex| {
        let ran = Log::new();
        let _ = timeout(Duration::ZERO, ran.clone().append(1)).await;
        either(ran.is_empty(), "never begins", "begins")
    })
}

fn what_is_ready_at_zero() -> Answer {
    run(async |_: Ex| {
        let promise = OnceCell::from(1);
        let ready = timeout(Duration::ZERO, promise.wait()).await;
        either(ready.is_some(), "is returned", "times out")
    })
}

fn swallowing_a_timeout() -> Answer {
    run(async |_: Ex| {
        let swallows = async {
            let _end = finally(|| ());
            Timer::after(LONG).await;
            "its value"
        };
        timeout(ms(10), swallows).await.unwrap_or("the timeout").into()
    })
}

/// Dropping a task cancels it, so that what shall go on is detached, and tells by a channel when it has ended.
fn a_shield() -> Answer {
    run(async |ex: Ex| {
        let (ended, (tells, told)) = (Log::new(), channel::bounded(1));
        let inner = value(100, 1, ended.clone());
        ex.start(async move { tells.send(inner.await).await });
        cancelled(ex, async move { told.recv().await }).await;
        let answer = either(ended.is_empty(), "leaves at once", "waits for it");
        Timer::after(ms(150)).await;
        if ended.is_empty() { "it is cancelled".into() } else { answer }
    })
}

fn the_first_of_two() -> Answer {
    run(async |_: Ex| {
        let ended = Log::new();
        or(value(10, 10, ended.clone()), value(100, 100, ended.clone())).await;
        Timer::after(ms(150)).await;
        either(ended.len() == 2, "runs on", "is cancelled")
    })
}

fn a_semaphore_serves() -> Answer {
    run(async |ex: Ex| {
        let (semaphore, got) = (Rc::new(Semaphore::new(0)), Log::new());
        for i in 0..8 {
            let (semaphore, got) = (Rc::clone(&semaphore), got.clone());
            ex.start(async move {
                let _permit = semaphore.acquire().await;
                got.push(i);
            });
        }
        Timer::after(ms(10)).await;
        semaphore.add_permits(1);
        Timer::after(ms(10)).await;
        order(&BTreeSet::from([got.all()]))
    })
}

fn overtaking() -> Answer {
    run(async |ex: Ex| {
        let (semaphore, got) = (Rc::new(Semaphore::new(1)), Log::new());
        let enters = |name| {
            let (semaphore, got) = (Rc::clone(&semaphore), got.clone());
            async move {
                let _permit = semaphore.acquire().await;
                got.push(name);
            }
        };
        let permit = semaphore.acquire().await;
        let waiter = ex.spawn(enters("is served first"));
        Timer::after(ms(10)).await;
        drop(permit);
        enters("is overtaken").await;
        waiter.await;
        got.all()[0].into()
    })
}

fn released_too_often() -> Answer {
    let semaphore = Semaphore::new(1);
    if panics(|| semaphore.add_permits(1)) {
        return "is an error".into();
    }
    let permits = [(); 3].map(|()| semaphore.try_acquire());
    either(permits.iter().flatten().count() == 2, "adds a permit", "is ignored")
}

fn an_event_wakes() -> Answer {
    run(async |ex: Ex| {
        let mut orders = BTreeSet::new();
        for _ in 0..TRIALS {
            let (event, got) = (Rc::new(OnceCell::new()), Log::new());
            for i in 0..8 {
                let (event, got) = (Rc::clone(&event), got.clone());
                ex.start(async move {
                    event.wait().await;
                    got.push(i);
                });
            }
            Timer::after(ms(2)).await;
            event.set(()).await.expect("it is not set");
            Timer::after(ms(2)).await;
            orders.insert(got.all());
        }
        order(&orders)
    })
}

fn a_full_queue() -> Answer {
    let (sends, _receives) = channel::bounded(2);
    for i in 0..2 {
        sends.try_send(i).expect("there is room");
    }
    either(sends.try_send(2).is_err(), "is an error", "takes it")
}

fn fifty_blocking_jobs() -> Answer {
    run(async |_: Ex| {
        let jobs = Jobs::default();
        let start = |_| {
            let jobs = jobs.clone();
            smol::unblock(move || jobs.run())
        };
        let started: Vec<_> = (0..Jobs::COUNT).map(start).collect();
        Timer::after(Jobs::WAIT).await;
        jobs.let_go();
        for job in started {
            job.await;
        }
        jobs.answer()
    })
}

fn a_timeout_over_a_thread() -> Answer {
    run(async |_: Ex| {
        let ended = Log::new();
        let ends = ended.clone();
        let job = smol::unblock(move || {
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
    run(async move |ex: Ex| {
        ex.start(async move {
            let _end = finally(|| leaves.push(1));
            Timer::after(ms(150)).await;
            ends.push(1);
        });
        Timer::after(ms(10)).await;
    });
    if !ended.is_empty() {
        return "are waited for".into();
    }
    either(left.is_empty(), "stay as they are", "are cancelled")
}

fn a_run_in_a_run() -> Answer {
    run(async |_: Ex| {
        let is_refused = panics(|| smol::block_on(async {}));
        either(is_refused, "is an error", "is another loop")
    })
}

fn sigint() -> Answer {
    clean_up_at_sigint("smol").expect("it starts")
}

fn until_sigint() {
    run(async |_: Ex| {
        let _end = say_when_cleaned_up();
        Timer::after(LONG).await;
    });
}

fn readiness_that_stays() -> Answer {
    run(async |_: Ex| {
        let (ours, mut theirs) = StdStream::pair().expect("a pair");
        theirs.write_all(b"x").expect("room for a byte");
        let ours = Async::new(ours).expect("a socket can be polled");
        ours.readable().await.expect("it is readable");
        let again = timeout(ms(200), ours.readable()).await.is_some();
        either(again, "again", "once")
    })
}

fn a_regular_file() -> Answer {
    run(async |_: Ex| {
        let file = std::env::current_exe().and_then(File::open).expect("this program");
        either(Async::new(file).is_err(), "is refused", "is taken")
    })
}

fn written_bytes() -> Answer {
    run(async |_: Ex| {
        let (ours, mut theirs) = StdStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("a flag");
        let mut ours = Async::new(ours).expect("a socket can be polled");
        let written = poll_once(ours.write_all(b"x")).await.is_some();
        let is_there = theirs.read(&mut [0]).is_ok();
        either(written && is_there, "at once", "later")
    })
}

fn half_closed() -> Answer {
    run(async |ex: Ex| {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        ex.start(async move {
            ours.read_to_end(&mut Vec::new()).await.expect("a question");
            Timer::after(ms(30)).await;
            ours.write_all(b"answer").await.expect("it is written");
        });
        theirs.write_all(b"question").await.expect("it is written");
        theirs.shutdown(Shutdown::Write).expect("half of it is closed");
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.expect("an end");
        either(answer == b"answer", "arrives", "is lost")
    })
}
