//! What each of n waiters does once must not cost more because the others are there: eight times as many
//! waiters may take at most twelve times as many steps. A step is a comparison of two places in a line.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::simulated;
use crate::coroutine::line::steps;
use crate::coroutine::{DoneCallback, Event, JoinHandle, Queue, Resolver, Semaphore, yield_now};
use crate::event_loop::Handle;

const FEW: usize = 500;
const MANY: usize = 8 * FEW;
const GROWTH_MAX: u64 = 12;

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

/// Something that many can wait for.
struct Construct {
    /// The next waiter.
    wait: Box<dyn Fn() -> Waiting>,
    /// Ends one wait, or all; called once for each who waits.
    call: Box<dyn Fn()>,
}

fn construct<W: Future<Output = ()> + 'static>(
    wait: impl Fn() -> W + 'static,
    call: impl Fn() + 'static,
) -> Construct {
    Construct { wait: Box::new(move || Box::pin(wait())), call: Box::new(call) }
}

type Make = fn(&Handle) -> Construct;

const CONSTRUCTS: [(&str, Make); 8] = [
    ("Semaphore::acquire", |handle| {
        let semaphore = Rc::new(Semaphore::new(handle, 0));
        let other = Rc::clone(&semaphore);
        let wait = move || {
            let semaphore = Rc::clone(&semaphore);
            async move { std::mem::forget(semaphore.acquire().await) }
        };
        construct(wait, move || other.release())
    }),
    ("Queue::get", |handle| {
        let (queue, other) = two(Queue::new(handle, usize::MAX));
        construct(move || get(queue.clone()), move || other.put_nowait(()).unwrap())
    }),
    ("Queue::put", |handle| {
        let (queue, other) = two(Queue::new(handle, MANY));
        (0..MANY).for_each(|_| queue.put_nowait(()).unwrap());
        let wait = move || {
            let queue = queue.clone();
            async move { queue.put(()).await }
        };
        construct(wait, move || other.get_nowait().unwrap())
    }),
    ("Queue::join", |handle| {
        let (queue, other) = two(Queue::new(handle, 1));
        queue.put_nowait(()).unwrap();
        let wait = move || {
            let queue = queue.clone();
            async move { queue.join().await }
        };
        let is_done = Cell::new(false);
        construct(wait, move || {
            if !is_done.replace(true) {
                other.task_done();
            }
        })
    }),
    ("Event::wait", |handle| {
        let (event, other) = two(Event::new(handle));
        let wait = move || {
            let event = event.clone();
            async move { event.wait().await }
        };
        construct(wait, move || other.set())
    }),
    ("Promise::wait", |handle| {
        let (promise, other) = two(handle.promise());
        let wait = move || {
            let promise = promise.clone();
            async move { promise.wait().await.unwrap() }
        };
        construct(wait, move || _ = other.set(()))
    }),
    ("JoinHandle::add_done_callback", |handle| {
        let (done, other) = two(handle.promise::<()>());
        let task = Rc::new(handle.spawn(async move { done.wait().await }));
        let on_loop = handle.clone();
        let wait = move || {
            let called = on_loop.promise();
            let calls = called.clone();
            let callback = task.add_done_callback(move |_| calls.set(()).unwrap());
            let taken_back = TakenBack { task: Rc::clone(&task), callback };
            async move {
                let _taken_back = taken_back;
                called.wait().await.unwrap();
            }
        };
        construct(wait, move || _ = other.set(()))
    }),
    ("Resolver::resolve", |handle| {
        let (answer, other) = two(handle.promise::<()>());
        let resolver = Resolver::with_look_up(handle, Duration::ZERO, move |_| {
            let answer = answer.clone();
            async move { answer.wait().await.map(|()| Vec::new()).map_err(std::io::Error::other) }
        });
        let wait = move || {
            let resolver = resolver.clone();
            async move { drop(resolver.resolve("a.test").await) }
        };
        construct(wait, move || _ = other.set(()))
    }),
];

fn two<T: Clone>(one: T) -> (T, T) {
    (one.clone(), one)
}

async fn get(queue: Queue<()>) {
    queue.get().await;
}

struct TakenBack<T> {
    task: Rc<JoinHandle<T>>,
    callback: DoneCallback,
}

impl<T> Drop for TakenBack<T> {
    fn drop(&mut self) {
        self.task.remove_done_callback(self.callback);
    }
}

/// In which order they go who give up.
#[derive(Clone, Copy, Debug)]
enum Order {
    OldestFirst,
    NewestFirst,
    Random,
}

impl Order {
    const ALL: [Order; 3] = [Order::OldestFirst, Order::NewestFirst, Order::Random];

    fn of(self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        match self {
            Order::OldestFirst => {}
            Order::NewestFirst => order.reverse(),
            Order::Random => fastrand::Rng::with_seed(1).shuffle(&mut order),
        }
        order
    }
}

/// How a wait ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Called,
    Cancelled(Order),
    TimedOut(Order),
}

/// Steps that it takes to let `count` tasks wait and to end that.
fn steps_of(make: Make, end: End, count: usize) -> u64 {
    simulated(move |handle| async move {
        let construct = make(&handle);
        let mut limits = vec![1; count];
        if let End::TimedOut(order) = end {
            for (after, index) in order.of(count).into_iter().enumerate() {
                limits[index] += after as u64;
            }
        }
        steps::take();
        let begin = handle.now();
        let tasks: Vec<_> = limits
            .into_iter()
            .map(|limit| match end {
                End::TimedOut(_) => {
                    let waits = handle.timeout(Duration::from_secs(limit), (construct.wait)());
                    handle.spawn(async move { assert!(waits.await.is_err()) })
                }
                _ => handle.spawn((construct.wait)()),
            })
            .collect();
        // Some take two turns to begin.
        for _ in 0..5 {
            yield_now().await;
        }
        match end {
            End::Called => (0..count).for_each(|_| (construct.call)()),
            End::Cancelled(order) => {
                order.of(count).into_iter().for_each(|index| assert!(tasks[index].cancel()));
            }
            End::TimedOut(_) => {}
        }
        let is_cancelled = matches!(end, End::Cancelled(_));
        for task in tasks {
            assert_eq!(task.await.is_err(), is_cancelled);
        }
        let has_passed = handle.now().since(begin) >= Duration::from_secs(count as u64);
        assert_eq!(has_passed, matches!(end, End::TimedOut(_)));
        steps::take()
    })
}

fn assert_growth(what: &str, few: u64, many: u64) {
    assert!(few >= FEW as u64 / 2, "{what}: {few} steps cannot be all: something is not counted");
    assert!(many <= GROWTH_MAX * few, "{what}: {few} steps of {FEW} waiters, {many} of {MANY}");
}

#[test]
fn waiting_costs_the_same_however_many_others_wait_and_give_up() {
    let ends = [End::Called].into_iter();
    let ends = ends.chain(Order::ALL.map(End::Cancelled)).chain(Order::ALL.map(End::TimedOut));
    for end in ends {
        for (name, make) in CONSTRUCTS {
            let [few, many] = [FEW, MANY].map(|count| steps_of(make, end, count));
            assert_growth(&format!("{name}, {end:?}"), few, many);
        }
    }
}
