//! G. Debug mode and messages. Slow callbacks are reported where a driver says so; the rest is always done here.

use std::thread;

use helloop::coroutine::yield_now;
use helloop::event_loop::{EventLoop, Handle};
use helloop::limits::SLOW_CALLBACK;
use helloop::watch::SlowCallbacks;

use crate::asyncio::support::*;

/// A line of the log without the column, the time, and what asyncio does not say.
fn without_numbers(line: &str) -> String {
    let (place, rest) = line.split_once('>').unwrap();
    let (place, _column) = place.rsplit_once(':').unwrap();
    let took = rest.strip_prefix(" took ").unwrap();
    let seconds = took.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let (seconds, _waiting) = seconds.split_once(';').unwrap();
    format!("{place}> took …{seconds}")
}

/// `asyncio.run(main, debug=True)`.
#[track_caller]
fn debug<F: Future<Output = ()> + 'static>(main: impl FnOnce(Handle) -> F) {
    begin();
    let mut event_loop = EventLoop::new().unwrap();
    let mut slow = SlowCallbacks::new(&event_loop);
    let main = main(event_loop.handle().clone());
    let turn = |event_loop: &mut EventLoop| slow.turn(event_loop, None).map(drop);
    event_loop.drive_until_complete(main, turn).unwrap();
}

#[test]
fn fact_70_a_slow_callback_is_reported_with_its_place() {
    async fn slow() {
        yield_now().await;
        thread::sleep(ms(150));
    }
    let first = line!() + 3;
    debug(|handle| async move {
        say!("slow_callback_duration {}", SLOW_CALLBACK.as_secs_f64());
        handle.call_soon(|_| thread::sleep(ms(120)));
        handle.spawn(slow()).await.unwrap();
        yield_now().await;
    });
    printed(["slow_callback_duration 0.1"]);
    let (file, second) = (file!(), first + 1);
    let lines: Vec<String> = logged().iter().map(|line| without_numbers(line)).collect();
    let expected = [
        format!("WARN Executing <callback created at {file}:{first}> took … seconds"),
        format!("WARN Executing <coroutine Task-2 created at {file}:{second}> took … seconds"),
    ];
    assert_eq!(lines, expected);
}

/// Debug mode is a driver of the loop, `SlowCallbacks`; without it, nothing is measured.
#[test]
fn fact_71_nothing_is_reported_without_debug_mode() {
    async fn main(_: Handle) {
        thread::sleep(ms(150));
        say!("quiet");
    }
    begin();
    let mut event_loop = EventLoop::new().unwrap();
    let main = main(event_loop.handle().clone());
    event_loop.run_until_complete(main).unwrap();
    assert_eq!(logged(), [""; 0]);
    printed(["quiet"]);
}

/// Every type has this for `()`, and a type that is `Send` for `u8` as well: only of a type that is
/// not `Send` can one say `NotSend<_>` and mean one thing.
trait NotSend<Which> {
    fn stays() {}
}

impl<T: ?Sized> NotSend<()> for T {}
impl<T: ?Sized + Send> NotSend<u8> for T {}

#[test]
fn differs_72_call_soon_from_another_thread_does_not_compile() {
    <Handle as NotSend<_>>::stays();
    <EventLoop as NotSend<_>>::stays();
}
