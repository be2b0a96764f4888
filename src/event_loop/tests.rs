use super::*;
use crate::events::Event;
use crate::id::TaskId;
use crate::watch::{Described, Recorder};
use crate::world::sim::{Net, PIPE_BYTES, Sim};
use crate::world::{Stream, Time};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Waker;
use std::thread;
use std::time::Duration;

pub(super) mod ends;
mod steps;

/// A task made of a closure.
struct Script<F>(F);

impl<F: FnMut(&mut Context<'_>) -> Flow> Task for Script<F> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        (self.0)(cx)
    }

    fn kind(&self) -> &'static str {
        "script"
    }
}

fn spawn(handle: &Handle, script: impl FnMut(&mut Context<'_>) -> Flow + 'static) -> TaskId {
    handle.spawn_task(|_| Box::new(Script(script)))
}

/// Lines that tasks leave, with the turn in which they left them.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn line(&self, cx: &Context<'_>, text: &str) {
        self.0.borrow_mut().push(format!("{text} in turn {}", cx.handle().turns()));
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

fn simulated() -> (EventLoop, Net) {
    let world = Sim::new(1);
    let net = world.net();
    (EventLoop::with_world(Box::new(world)), net)
}

const ADDRESS: &str = "127.0.0.1:80";

fn address() -> SocketAddr {
    ADDRESS.parse().unwrap()
}

#[test]
fn a_turn_resumes_what_was_queued_when_phase_4_began() {
    let (mut event_loop, _) = simulated();
    let log = Log::default();
    let outer = log.clone();
    spawn(event_loop.handle(), move |cx| {
        outer.line(cx, "a");
        let inner = outer.clone();
        spawn(cx.handle(), move |cx| {
            inner.line(cx, "c, spawned by a,");
            Flow::Done
        });
        Flow::Done
    });
    let other = log.clone();
    spawn(event_loop.handle(), move |cx| {
        other.line(cx, "b");
        Flow::Done
    });
    assert_eq!(event_loop.turn(None).unwrap(), 2);
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["a in turn 1", "b in turn 1", "c, spawned by a, in turn 2"]);
}

#[test]
fn within_a_turn_come_ready_tasks_then_readiness_then_timers_then_wakes() {
    let (mut event_loop, net) = simulated();
    let log = Log::default();
    let handle = event_loop.handle().clone();
    let listener = handle.listen(address()).unwrap();
    let peer = net.connect(address());
    let mut stream = Some(listener.accept().unwrap().0);
    let (reader, timer, woken) = (log.clone(), log.clone(), log.clone());
    let mut source = None;
    spawn(&handle, move |cx| {
        let source = source.get_or_insert_with(|| {
            let stream = stream.take().unwrap();
            Source::stream(cx.handle(), stream, cx.task()).unwrap()
        });
        if source.read(&mut [0; 9]).is_ok() {
            reader.line(cx, "readable");
            return Flow::Done;
        }
        source.want(Readiness::READABLE);
        Flow::Wait
    });
    let timer_task = spawn(&handle, move |cx| {
        if cx.cause() == Cause::TIMER {
            timer.line(cx, "timer");
            return Flow::Done;
        }
        Flow::Wait
    });
    let woken_task = spawn(&handle, move |cx| {
        if cx.cause() == Cause::WOKEN {
            woken.line(cx, "woken");
            return Flow::Done;
        }
        Flow::Wait
    });
    event_loop.turn(None).unwrap();
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let ready = log.clone();
    spawn(&handle, move |cx| {
        ready.line(cx, "ready");
        Flow::Done
    });
    // Everything at once. The wake comes first, from another thread, and is queued last.
    let remote = event_loop.handle().remote();
    thread::spawn(move || remote.wake(woken_task)).join().unwrap();
    handle.at(handle.now(), timer_task);
    peer.send(b"x");
    event_loop.run().unwrap();
    let lines = log.take();
    let order: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(order, ["ready", "readable", "timer", "woken"], "{lines:?}");
}

#[test]
fn wakes_and_direct_queueing_keep_their_order() {
    let (mut event_loop, _) = simulated();
    let log = Log::default();
    let handle = event_loop.handle().clone();
    let sleeper = |name: &'static str| {
        let log = log.clone();
        spawn(&handle, move |cx| {
            if cx.cause() == Cause::SPAWNED {
                return Flow::Wait;
            }
            log.line(cx, name);
            Flow::Done
        })
    };
    let (first, second, third) = (sleeper("first"), sleeper("second"), sleeper("third"));
    let waker: Waker = handle.remote().waker(first);
    spawn(&handle, move |cx| {
        waker.wake_by_ref();
        cx.handle().wake(second);
        cx.handle().remote().waker(third).wake();
        Flow::Done
    });
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["first in turn 2", "second in turn 2", "third in turn 2"]);
}

#[test]
fn causes_that_arrive_together_merge_into_one_resume() {
    let (mut event_loop, _) = simulated();
    let causes = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&causes);
    let task = spawn(event_loop.handle(), move |cx| {
        seen.borrow_mut().push(cx.cause());
        if seen.borrow().len() == 2 { Flow::Done } else { Flow::Wait }
    });
    event_loop.turn(None).unwrap();
    let handle = event_loop.handle();
    handle.wake(task);
    handle.wake(task);
    handle.at(handle.now(), task);
    event_loop.run().unwrap();
    assert_eq!(*causes.borrow(), [Cause::SPAWNED, Cause::WOKEN | Cause::TIMER]);
}

#[test]
fn a_task_that_always_goes_on_starves_nobody() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let finished = Rc::new(RefCell::new(false));
    let (until, set) = (Rc::clone(&finished), Rc::clone(&finished));
    spawn(&handle, move |_| if *until.borrow() { Flow::Done } else { Flow::Again });
    spawn(&handle, move |cx| {
        if cx.cause() == Cause::TIMER {
            *set.borrow_mut() = true;
            return Flow::Done;
        }
        cx.handle().at(cx.now() + Duration::from_micros(50), cx.task());
        Flow::Wait
    });
    event_loop.run().unwrap();
    assert!(*finished.borrow());
}

#[test]
fn a_panicking_task_is_removed_with_its_sources_and_the_loop_goes_on() {
    let (mut event_loop, net) = simulated();
    let recorder = Recorder::new(1000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    let handle = event_loop.handle().clone();
    let listener = handle.listen(address()).unwrap();
    let peer = net.connect(address());
    let mut stream = Some(listener.accept().unwrap().0);
    let bad = spawn(&handle, move |cx| {
        let stream = stream.take().unwrap();
        let _source = Source::stream(cx.handle(), stream, cx.task()).unwrap();
        panic!("planted")
    });
    let log = Log::default();
    let good = log.clone();
    spawn(&handle, move |cx| {
        good.line(cx, "good");
        Flow::Done
    });
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["good in turn 1"]);
    assert!(peer.is_closed());
    let events: Vec<Event> = recorder.events().into_iter().map(|(_, event)| event).collect();
    assert!(events.contains(&Event::Panicked { task: bad, kind: "script" }));
    assert!(events.contains(&Event::Finished { task: bad, kind: "script" }));
    handle.wake(bad);
    assert_eq!(event_loop.next_deadline(), None, "the id of a dead task finds nobody");
}

#[test]
fn a_drop_may_ask_the_loop_for_things_and_may_panic() {
    struct Rude(Handle, Log);
    impl Task for Rude {
        fn resume(&mut self, _: &mut Context<'_>) -> Flow {
            Flow::Done
        }
        fn kind(&self) -> &'static str {
            "rude"
        }
    }
    impl Drop for Rude {
        fn drop(&mut self) {
            let log = self.1.clone();
            spawn(&self.0, move |cx| {
                log.line(cx, "spawned by a drop");
                Flow::Done
            });
            panic!("planted");
        }
    }
    let (mut event_loop, _) = simulated();
    let log = Log::default();
    let handle = event_loop.handle().clone();
    handle.spawn_task(|_| Box::new(Rude(handle.clone(), log.clone())));
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["spawned by a drop in turn 2"]);
}

#[test]
fn a_maker_that_panics_leaves_no_slot_behind() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    let made = catch_unwind(AssertUnwindSafe(|| handle.spawn_task(|_| panic!("planted"))));
    assert!(made.is_err());
    assert_eq!(handle.task_count(), 0);
    event_loop.run().unwrap();
}

#[test]
fn readiness_that_comes_while_nobody_is_interested_is_not_lost() {
    let (mut event_loop, net) = simulated();
    let handle = event_loop.handle().clone();
    let listener = handle.listen(address()).unwrap();
    let peer = net.connect(address());
    let mut stream = Some(listener.accept().unwrap().0);
    let mut source: Option<Source<Stream>> = None;
    let log = Log::default();
    let reader = log.clone();
    let task = spawn(&handle, move |cx| {
        let Some(source) = &mut source else {
            let stream = stream.take().unwrap();
            let mut new = Source::stream(cx.handle(), stream, cx.task()).unwrap();
            assert_eq!(new.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            source = Some(new);
            return Flow::Wait;
        };
        if cx.cause() == Cause::WOKEN {
            // Only now does it want to read; the byte came long ago.
            source.want(Readiness::READABLE);
            return Flow::Wait;
        }
        assert_eq!(source.read(&mut [0; 8]).unwrap(), 1);
        reader.line(cx, "read");
        Flow::Done
    });
    event_loop.turn(None).unwrap();
    peer.send(b"x");
    for _ in 0..3 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(log.take(), [""; 0]);
    handle.wake(task);
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["read in turn 6"]);
}

#[test]
fn nothing_can_ever_happen_is_an_error_in_a_simulated_world() {
    let (mut event_loop, _) = simulated();
    spawn(event_loop.handle(), |_| Flow::Wait);
    assert_eq!(event_loop.run().unwrap_err().kind(), io::ErrorKind::Deadlock);
}

#[test]
fn the_simulated_clock_jumps_and_timers_are_exact() {
    let (mut event_loop, _) = simulated();
    let at = Rc::new(RefCell::new(Time::ZERO));
    let seen = Rc::clone(&at);
    spawn(event_loop.handle(), move |cx| {
        if cx.cause() == Cause::TIMER {
            *seen.borrow_mut() = cx.now();
            return Flow::Done;
        }
        cx.handle().at(Time::ZERO + Duration::from_secs(3600), cx.task());
        Flow::Wait
    });
    event_loop.run().unwrap();
    assert_eq!(*at.borrow(), Time::ZERO + Duration::from_secs(3600));
}

#[test]
fn shutdown_ends_run_after_the_present_turn() {
    let (mut event_loop, _) = simulated();
    let log = Log::default();
    let (a, b, c) = (log.clone(), log.clone(), log.clone());
    spawn(event_loop.handle(), move |cx| {
        a.line(cx, "a");
        cx.handle().shutdown();
        let c = c.clone();
        spawn(cx.handle(), move |cx| {
            c.line(cx, "c");
            Flow::Done
        });
        Flow::Done
    });
    spawn(event_loop.handle(), move |cx| {
        b.line(cx, "b");
        Flow::Done
    });
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["a in turn 1", "b in turn 1"]);
    event_loop.run().unwrap();
    assert_eq!(log.take(), ["c in turn 2"]);
}

#[test]
fn run_until_stops_when_told_or_when_nothing_is_left() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    spawn(&handle, |_| Flow::Again);
    assert!(event_loop.run_until(|| handle.turns() == 5).unwrap());
    assert_eq!(handle.turns(), 5);
    let (mut empty, _) = simulated();
    assert!(!empty.run_until(|| false).unwrap());
}

#[test]
fn two_real_loops_in_one_thread_do_not_know_each_other() {
    let mut loops = [EventLoop::new().unwrap(), EventLoop::new().unwrap()];
    let log = Log::default();
    for event_loop in &loops {
        let log = log.clone();
        let mut left = 3;
        spawn(event_loop.handle(), move |cx| {
            log.line(cx, "resumed");
            left -= 1;
            if left == 0 { Flow::Done } else { Flow::Again }
        });
    }
    while loops.iter().any(|event_loop| event_loop.handle().task_count() > 0) {
        for event_loop in &mut loops {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    }
    let twice = |line| [line, line];
    let expected: Vec<String> = (1..=3)
        .flat_map(|turn| twice(turn).map(|turn| format!("resumed in turn {turn}")))
        .collect();
    assert_eq!(log.take(), expected);
}

#[test]
fn another_thread_wakes_a_task_and_stops_a_real_loop() {
    let (send, receive) = mpsc::channel();
    let (woken, confirm) = mpsc::channel();
    let looping = thread::spawn(move || {
        let mut event_loop = EventLoop::new().unwrap();
        let task = spawn(event_loop.handle(), move |cx| {
            if cx.cause().contains(Cause::WOKEN) {
                woken.send(()).unwrap();
            }
            Flow::Wait
        });
        send.send((event_loop.handle().remote(), task)).unwrap();
        event_loop.run().unwrap();
    });
    let (remote, task) = receive.recv().unwrap();
    remote.wake(task);
    confirm.recv().unwrap();
    remote.waker(task).wake();
    confirm.recv().unwrap();
    remote.shutdown();
    looping.join().unwrap();
}

#[test]
fn a_loop_that_is_dropped_drops_its_tasks() {
    let (event_loop, _) = simulated();
    let held = Rc::new(());
    let handle = event_loop.handle().clone();
    let (inside, handle_inside) = (Rc::clone(&held), handle.clone());
    spawn(&handle, move |_| {
        let _ = (&inside, &handle_inside);
        Flow::Wait
    });
    // What is one per loop may hold the loop as well.
    let (one, loops) = (Rc::clone(&held), handle.clone());
    handle.local(move || (one, loops));
    drop(event_loop);
    assert_eq!(Rc::strong_count(&held), 1);
    handle.wake(TaskId::default());
    assert_eq!(handle.task_count(), 0);
}

#[test]
fn an_observer_may_ask_the_loop_for_things_at_every_event() {
    let (mut event_loop, net) = simulated();
    let handle = event_loop.handle().clone();
    let (asked, told) = (handle.clone(), Rc::new(RefCell::new(0)));
    let count = Rc::clone(&told);
    event_loop.observe(Some(Box::new(move |_: Time, _: &Event| {
        // Every kind of borrow; a panic would remove the observer.
        asked.at(asked.now() + Duration::from_secs(asked.turns()), TaskId::default());
        *count.borrow_mut() += 1;
    })));
    let listener = handle.listen(address()).unwrap();
    let peer = net.connect(address());
    let mut stream = Some(listener.accept().unwrap().0);
    spawn(&handle, move |cx| {
        let mut source = Source::stream(cx.handle(), stream.take().unwrap(), cx.task()).unwrap();
        source.read(&mut [0; 8]).unwrap_err();
        source.write(b"x").unwrap();
        source.want(Readiness::READABLE);
        source.shut_write().unwrap();
        let timer = cx.handle().at(cx.now(), cx.task());
        cx.handle().cancel(timer);
        Flow::Done
    });
    event_loop.run().unwrap();
    assert!(peer.is_closed());
    assert!(*told.borrow() > 15, "{} events", told.borrow());
    assert!(event_loop.observe(None).is_some(), "it was not removed");
}

#[test]
fn a_host_is_told_when_to_turn_again_and_once_to_stop() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    assert_eq!(event_loop.next_deadline(), None, "nothing but the world");
    let task = spawn(&handle, |_| Flow::Wait);
    assert_eq!(event_loop.next_deadline(), Some(handle.now()), "a task is ready");
    event_loop.turn(None).unwrap();
    let hour = Time::ZERO + Duration::from_secs(3600);
    handle.at(hour, task);
    assert_eq!(event_loop.next_deadline(), Some(hour), "the first timer");
    event_loop.turn(None).unwrap();
    assert_eq!((event_loop.next_deadline(), handle.now()), (None, hour));
    event_loop.handle().remote().wake(task);
    assert_eq!(event_loop.next_deadline(), Some(hour), "a task was woken");
    event_loop.turn(None).unwrap();
    assert!(!event_loop.take_shutdown(), "nobody has asked for it");
    event_loop.handle().remote().shutdown();
    assert_eq!(event_loop.next_deadline(), Some(handle.now()), "somebody should ask");
    // The simulated world would refuse to wait for nothing.
    event_loop.turn(None).unwrap();
    event_loop.turn(None).unwrap();
    assert!(event_loop.take_shutdown());
    assert!(!event_loop.take_shutdown(), "once");
    assert_eq!(event_loop.next_deadline(), None);
}

const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);

#[test]
fn what_comes_back_short_would_have_blocked_next() {
    let (event_loop, net) = simulated();
    let handle = event_loop.handle();
    let listener = handle.listen(address()).unwrap();
    let task = spawn(handle, |_| Flow::Wait);
    let mut listener = Source::listener(handle, listener, task).unwrap();
    assert_eq!(listener.readiness(), Readiness::READABLE, "until an accept says otherwise");
    let peer = net.connect(address());
    let mut source = Source::stream(handle, listener.accept().unwrap().0, task).unwrap();
    assert_eq!(listener.readiness(), Readiness::READABLE, "there may be more");
    assert_eq!(peer.known_as(), Some(source.id()));
    assert!(listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    assert_eq!(listener.readiness(), Readiness::empty());

    assert_eq!(source.readiness(), BOTH, "until an operation says otherwise");
    peer.send(b"abc");
    assert_eq!(source.read(&mut [0; 2]).unwrap(), 2);
    assert_eq!(source.readiness(), BOTH, "there may be more");
    assert_eq!(source.read(&mut [0; 2]).unwrap(), 1);
    assert_eq!(source.readiness(), Readiness::WRITABLE, "there is no more");
    // Without asking: the bit says so.
    peer.send(b"d");
    assert!(source.read(&mut [0; 2]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));

    assert_eq!(source.write(&vec![b'x'; PIPE_BYTES]).unwrap(), PIPE_BYTES);
    assert_eq!(source.readiness(), Readiness::WRITABLE, "all was taken");
    assert_eq!(peer.receive_at_most(10).len(), 10);
    assert_eq!(source.write(&[b'x'; 11]).unwrap(), 10);
    assert_eq!(source.readiness(), Readiness::empty(), "not all was taken");
    source.assume_ready();
    assert_eq!(source.readiness(), BOTH);
    assert_eq!(source.read(&mut [0; 2]).unwrap(), 1);
    source.assume_ready();
    assert!(source.read(&mut [0; 2]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    assert_eq!(source.readiness(), Readiness::WRITABLE);
    assert!(source.write(b"x").is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    assert_eq!(source.readiness(), Readiness::empty());
    source.assume_ready();
    source.forget_readiness();
    assert_eq!(source.readiness(), Readiness::empty());
}

#[test]
fn only_who_is_resumed_is_the_current_task() {
    let (mut event_loop, _) = simulated();
    let handle = event_loop.handle().clone();
    spawn(&handle, |cx| {
        assert_eq!(cx.handle().current_task(), Some(cx.task()));
        Flow::Done
    });
    assert_eq!(handle.current_task(), None);
    event_loop.run().unwrap();
    assert_eq!(handle.current_task(), None);
}

#[test]
fn a_task_describes_itself_by_its_kind() {
    let script = Script(|_: &mut Context<'_>| Flow::Done);
    assert_eq!(Described(&script).to_string(), "script");
}
