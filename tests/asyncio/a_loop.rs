//! A. The loop: ready queue, iterations, timers.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use helloop::coroutine::Call;
use helloop::coroutine::{Event, yield_now};
use helloop::event_loop::{Cause, Context, Flow, Handle};
use helloop::world::{Readiness, Time};

use crate::asyncio::support::*;

#[test]
fn fact_01_call_soon_is_fifo() {
    simulated(|handle| async move {
        for name in ["a", "b", "c"] {
            handle.call_soon(move |_| say!("{name}"));
        }
        yield_now().await;
    });
    printed(["a", "b", "c"]);
}

#[test]
fn fact_02_an_iteration_runs_what_was_ready_when_it_began() {
    simulated(|handle| async move {
        let base = handle.turns();
        let d = move |h: &Handle| say!("d   in iteration {} (scheduled by c)", h.turns() - base);
        let c = move |h: &Handle| {
            say!("c   in iteration {} (scheduled by a)", h.turns() - base);
            h.call_soon(d);
        };
        let b = move |h: &Handle| say!("b   in iteration {}", h.turns() - base);
        let a = move |h: &Handle| {
            say!("a   in iteration {}", h.turns() - base);
            h.call_soon(c);
        };
        handle.call_soon(a);
        handle.call_soon(b);
        handle.sleep(ms(10)).await;
    });
    printed([
        "a   in iteration 1",
        "b   in iteration 1",
        "c   in iteration 2 (scheduled by a)",
        "d   in iteration 3 (scheduled by c)",
    ]);
}

#[test]
fn fact_03_a_callback_that_goes_on_for_ever_starves_nobody() {
    fn again(handle: &Handle, count: &Rc<Cell<u32>>, done: &Event) {
        count.set(count.get() + 1);
        if !done.is_set() {
            let (count, done) = (Rc::clone(count), done.clone());
            handle.call_soon(move |handle| again(handle, &count, &done));
        }
    }
    simulated(|handle| async move {
        let (count, done) = (Rc::new(Cell::new(0)), Event::new(&handle));
        let set = done.clone();
        handle.call_later(ms(20), move |_| set.set());
        again(&handle, &count, &done);
        done.wait().await;
        let often = py(count.get() > 10);
        say!("the timer fired; again() ran more than 10 times: {often}");
    });
    printed(["the timer fired; again() ran more than 10 times: True"]);
}

#[test]
fn fact_04_ready_then_io_then_timers() {
    real(|handle| async move {
        let (ours, mut theirs) = socketpair();
        add_reader(&handle, ours, |source, _| match source.read(&mut [0; 8]) {
            Ok(_) => {
                say!("io");
                Flow::Done
            }
            Err(_) => {
                source.want(Readiness::READABLE);
                Flow::Wait
            }
        });
        yield_now().await;
        handle.call_later(ms(1), |_| say!("timer"));
        theirs.write_all(b"x").unwrap();
        // Both the timer and the socket are due after this.
        thread::sleep(ms(5));
        handle.call_soon(|_| say!("call_soon"));
        handle.sleep(ms(20)).await;
    });
    printed(["call_soon", "io", "timer"]);
}

#[test]
fn fact_05_call_later_of_zero_is_a_timer() {
    simulated(|handle| async move {
        let base = handle.turns();
        handle.call_later(Duration::ZERO, move |h| {
            say!("call_later(0)  iteration {}", h.turns() - base);
        });
        handle.call_soon(move |h| say!("call_soon      iteration {}", h.turns() - base));
        // Delays are not negative here; a deadline may lie in the past.
        assert!(handle.now() > Time::ZERO);
        handle.call_at(Time::ZERO, move |h| {
            say!("call_later(-5) iteration {}", h.turns() - base);
        });
        handle.sleep(ms(10)).await;
    });
    printed([
        "call_soon      iteration 1",
        "call_later(-5) iteration 1",
        "call_later(0)  iteration 1",
    ]);
}

#[test]
fn fact_06_timers_run_by_deadline() {
    simulated(|handle| async move {
        for (delay, name) in [(30, "0.03"), (10, "0.01"), (20, "0.02")] {
            handle.call_later(ms(delay), move |_| say!("{name}"));
        }
        handle.sleep(ms(50)).await;
    });
    printed(["0.01", "0.02", "0.03"]);
}

#[test]
fn differs_07_equal_deadlines_run_in_the_order_of_setting() {
    simulated(|handle| async move {
        for n in [2, 3, 6, 10] {
            let order = Rc::new(RefCell::new(Vec::new()));
            let deadline = handle.now() + ms(5);
            for i in 0..n {
                let order = Rc::clone(&order);
                handle.call_at(deadline, move |_| order.borrow_mut().push(i));
            }
            handle.sleep(ms(20)).await;
            say!("{n} {}", listed(&order.take()));
        }
    });
    printed([
        "2 [0, 1]",
        "3 [0, 1, 2]",
        "6 [0, 1, 2, 3, 4, 5]",
        "10 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
    ]);
}

#[test]
fn fact_08_all_due_timers_run_in_one_iteration() {
    real(|handle| async move {
        let got = Rc::new(RefCell::new(Vec::new()));
        for (delay, name) in [(3, "0.003"), (1, "0.001"), (2, "0.002")] {
            let got = Rc::clone(&got);
            handle.call_later(ms(delay), move |h| got.borrow_mut().push((name, h.turns())));
        }
        thread::sleep(ms(10));
        let base = handle.turns();
        yield_now().await;
        yield_now().await;
        let got = got.take().into_iter().map(|(name, turn)| format!("({name}, {})", turn - base));
        say!("{}", listed(&got.collect::<Vec<_>>()));
    });
    printed(["[(0.001, 1), (0.002, 1), (0.003, 1)]"]);
}

/// Lower bounds only: a machine may be busy. (kqueue counts in nanoseconds, and does not round.)
#[cfg(target_os = "linux")]
#[test]
fn differs_09_the_wait_is_not_rounded_up() {
    real(|handle| async move {
        for (name, nanos) in [("0.0001", 100_000), ("0.0004", 400_000), ("0.0011", 1_100_000)] {
            let delay = Duration::from_nanos(nanos);
            let mut measured = Vec::new();
            for _ in 0..200 {
                let began = handle.clock();
                handle.sleep(delay).await;
                measured.push(handle.clock().since(began));
            }
            measured.sort();
            // The shortest one: how late the others are is for the machine to say. Where the wait is rounded up, it may be
            // over before it begins, if the machine did something else meanwhile: but not half of them.
            let told = if cfg!(feature = "fine-timers") { 0 } else { measured.len() / 2 };
            let rounded = Duration::from_millis(nanos.div_ceil(1_000_000));
            let (early, below) = (py(measured[0] >= delay), py(measured[told] < rounded));
            say!("sleep({name}): never early: {early}; below {rounded:?}: {below}");
        }
    });
    let below = py(cfg!(feature = "fine-timers"));
    printed([
        &format!("sleep(0.0001): never early: True; below 1ms: {below}"),
        &format!("sleep(0.0004): never early: True; below 1ms: {below}"),
        &format!("sleep(0.0011): never early: True; below 2ms: {below}"),
    ]);
}

#[test]
fn differs_10_a_cancelled_timer_is_gone_at_once() {
    simulated_with_timers(|handle, timers| async move {
        for n in [100, 101, 300_u64] {
            let later = |i| handle.call_later(ms(60_000 + i), |_| say!("never"));
            let mut calls: Vec<Call> = (0..n).map(later).collect();
            yield_now().await;
            let before = timers.get();
            calls.drain(calls.len() / 3..).for_each(Call::cancel);
            yield_now().await;
            say!("{n} timers, two thirds cancelled: {before} -> {}", timers.get());
            calls.into_iter().for_each(Call::cancel);
        }
    });
    printed([
        "100 timers, two thirds cancelled: 100 -> 33",
        "101 timers, two thirds cancelled: 101 -> 33",
        "300 timers, two thirds cancelled: 300 -> 100",
    ]);
}

#[test]
fn fact_11_a_cancelled_callback_does_not_run() {
    simulated(|handle| async move {
        let dropped = Rc::new(Cell::new(false));
        let drops = Rc::clone(&dropped);
        let end = finally(move || drops.set(true));
        let call = handle.call_soon(move |_| {
            say!("never");
            drop(end);
        });
        // Only a timer has a "when".
        assert_eq!(call.when(), None);
        // A call is cancelled by giving it back: nothing is left that could be asked or printed.
        call.cancel();
        say!("{}", py(dropped.get()));
        yield_now().await;
        say!("nothing was printed");
    });
    assert_eq!(logged(), [""; 0]);
    printed(["True", "nothing was printed"]);
}

#[test]
fn fact_12_an_exception_in_a_callback_does_not_stop_the_loop() {
    simulated(|handle| async move {
        handle.call_soon(|_| panic!("division by zero"));
        handle.call_soon(|_| say!("the next callback runs"));
        yield_now().await;
    });
    printed(["the next callback runs"]);
    let [line] = logged().try_into().unwrap();
    assert!(line.starts_with("ERROR") && line.contains("(callback) panicked"), "{line}");
    assert!(line.ends_with(": division by zero"), "{line}");
}

#[test]
fn fact_14_stop_lets_the_iteration_finish() {
    let mut event_loop = new_event_loop();
    let handle = event_loop.handle().clone();
    handle.call_soon(|handle| {
        say!("a");
        handle.shutdown();
        handle.call_soon(|_| say!("scheduled by a"));
    });
    handle.call_soon(|_| say!("b"));
    event_loop.run().unwrap();
    say!("stopped, queued: {}", handle.task_count());
    handle.call_soon(Handle::shutdown);
    event_loop.run().unwrap();
    printed(["a", "b", "stopped, queued: 1", "scheduled by a"]);
}

#[test]
fn fact_15_stop_before_run_is_one_iteration_that_does_not_wait() {
    let mut event_loop = new_event_loop();
    let handle = event_loop.handle().clone();
    let hour = handle.call_later(Duration::from_secs(3600), |_| say!("too late"));
    handle.call_soon(|_| say!("ran"));
    handle.shutdown();
    event_loop.run().unwrap();
    say!("returned");
    assert_eq!(handle.turns(), 1);
    assert!(handle.now() < hour.when().unwrap());
    printed(["ran", "returned"]);
}

/// The fact's first half, `call_soon` from another thread, does not compile: see 72.
#[test]
fn fact_16_another_thread_wakes_a_sleeping_loop() {
    real(|handle| async move {
        let began = handle.clock();
        let ended = handle.promise();
        let ends = ended.clone();
        let task = handle.spawn_task(|_| {
            Box::new(Script(move |cx: &mut Context<'_>| {
                if cx.cause() != Cause::WOKEN {
                    return Flow::Wait;
                }
                assert!(cx.handle().clock().since(began) >= ms(100));
                say!("call_soon_threadsafe  after about 0.1 s");
                ends.set(()).unwrap();
                Flow::Done
            }))
        });
        let remote = handle.remote();
        let thread = thread::spawn(move || {
            thread::sleep(ms(100));
            remote.wake(task);
        });
        // Without the wake, nothing would end the loop's wait but this minute.
        handle.timeout(Duration::from_secs(60), ended.wait()).await.unwrap().unwrap();
        thread.join().unwrap();
    });
    printed(["call_soon_threadsafe  after about 0.1 s"]);
}

#[test]
fn fact_17_code_that_blocks_blocks_everything() {
    real(|handle| async move {
        let began = handle.clock();
        handle.call_later(ms(10), move |handle| {
            let after = handle.clock().since(began);
            say!("timer after 0.2 s: {}", py(after >= ms(200)));
        });
        thread::sleep(ms(200));
        handle.sleep(ms(10)).await;
    });
    printed(["timer after 0.2 s: True"]);
}
