//! F. Threads, signals, and `run`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use helloop::coroutine::{self, yield_now};
use helloop::event_loop::Handle;
use helloop::signals::{SIGTERM, on_signal};

use crate::asyncio::support::*;

/// Work that ends when `count` threads do it at the same moment, or have given up hoping.
fn rendezvous(arrived: &AtomicUsize, count: usize) -> String {
    arrived.fetch_add(1, Ordering::SeqCst);
    let began = Instant::now();
    while arrived.load(Ordering::SeqCst) < count && began.elapsed() < Duration::from_secs(10) {
        thread::sleep(ms(1));
    }
    thread::current().name().unwrap().to_owned()
}

/// The times are missing: all work is proven to run at once by meeting.
#[test]
fn fact_63_helper_threads_are_made_when_needed_and_not_too_many() {
    let expected = (thread::available_parallelism().unwrap().get() + 4).min(32);
    let names = real(move |handle| async move {
        let arrived = Arc::new(AtomicUsize::new(0));
        let work = |_| {
            let arrived = Arc::clone(&arrived);
            handle.run_blocking(move || rendezvous(&arrived, expected))
        };
        let names = handle.gather((0..2 * expected).map(work)).await;
        names.into_iter().map(|name| name.unwrap().unwrap()).collect::<BTreeSet<String>>()
    });
    say!("threads {} expected {expected}", names.len());
    say!("{}", names.first().unwrap().rsplit_once('-').unwrap().0);
    printed([&*format!("threads {expected} expected {expected}"), "helloop-blocking"]);
}

#[test]
fn fact_64_a_thread_cannot_be_cancelled() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (main_says, thread_says) = (Arc::clone(&lines), Arc::clone(&lines));
    real(move |handle| async move {
        let work = handle.run_blocking(move || {
            thread::sleep(ms(400));
            thread_says.lock().unwrap().push("the thread ran on");
        });
        assert!(handle.timeout(ms(50), work).await.is_err());
        main_says.lock().unwrap().push("TimeoutError");
    });
    lines.lock().unwrap().push("run() returned");
    assert_eq!(*lines.lock().unwrap(), ["TimeoutError", "the thread ran on", "run() returned"]);
}

#[test]
fn fact_65_run_cancels_what_is_left() {
    async fn t(handle: Handle, name: &'static str, bad: bool) {
        let _end = finally(|| {
            say!("{name} cancelled");
            assert!(!bad, "in the clean-up");
        });
        handle.sleep(LONG).await;
    }
    simulated(|handle| async move {
        drop(handle.spawn(t(handle.clone(), "a", false)));
        drop(handle.spawn(t(handle.clone(), "b", true)));
        yield_now().await;
        say!("main ends");
    });
    say!("run() returned");
    printed(["main ends", "a cancelled", "b cancelled", "run() returned"]);
    let [line] = logged().try_into().unwrap();
    assert!(line.contains("coroutine Task-3 panicked while it was dropped"), "{line}");
    assert!(line.ends_with(": in the clean-up"), "{line}");
}

#[test]
fn differs_66_a_run_inside_a_run_is_another_loop() {
    let text = real(|_| async { coroutine::run(|_| async { "inner" }).unwrap() });
    say!("{text}");
    printed(["inner"]);
}

#[test]
fn fact_69_a_signal_is_an_ordinary_callback() {
    let name = real(|handle| async move {
        let got = handle.promise();
        let sets = got.clone();
        on_signal(&handle, SIGTERM, move || sets.set("SIGTERM").unwrap()).unwrap();
        handle.call_later(ms(10), |_| signal_hook::low_level::raise(SIGTERM).unwrap());
        got.wait().await.unwrap()
    });
    say!("{name}");
    printed(["SIGTERM"]);
}
