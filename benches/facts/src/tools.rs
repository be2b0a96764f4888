//! What the facts of the three Rust runtimes share: a log, a `finally`, and words for what was seen.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader, Read};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// A short word, or why the question has no meaning here.
pub(crate) type Answer = Cow<'static, str>;

/// A question, and the function that finds out its answer.
pub(crate) type Fact = (&'static str, fn() -> Answer);

/// What a runtime answers.
pub(crate) struct Answers {
    pub(crate) facts: &'static [Fact],
    /// Questions that have no meaning there, and why.
    pub(crate) no_meaning: &'static [(&'static str, &'static str)],
    /// A program that waits for a SIGINT: see [`clean_up_at_sigint`].
    pub(crate) until_sigint: fn(),
}

/// The argument that makes this program wait for a SIGINT.
pub(crate) const UNTIL_SIGINT: &str = "--until-sigint";

/// Longer than any fact takes.
pub(crate) const LONG: Duration = Duration::from_secs(9);

/// Trials where chance may play a part.
pub(crate) const TRIALS: usize = 20;

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What happened, in order.
#[derive(Debug)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Log<T> {
        Log(Arc::clone(&self.0))
    }
}

impl<T> Log<T> {
    pub(crate) fn new() -> Log<T> {
        Log(Arc::default())
    }

    fn items(&self) -> MutexGuard<'_, Vec<T>> {
        // A panic on purpose may have poisoned it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, item: T) {
        self.items().push(item);
    }

    pub(crate) fn len(&self) -> usize {
        self.items().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    pub(crate) fn all(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.items().clone()
    }

    pub(crate) fn is_sorted(&self) -> bool
    where
        T: PartialOrd,
    {
        self.items().is_sorted()
    }

    /// A coroutine that pushes an item.
    pub(crate) async fn append(self, item: T) {
        self.push(item);
    }
}

/// Runs a block when it is dropped.
pub(crate) struct Finally<F: FnOnce()>(Option<F>);

pub(crate) fn finally<F: FnOnce()>(block: F) -> Finally<F> {
    Finally(Some(block))
}

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(block) = self.0.take() {
            block();
        }
    }
}

/// The turns that a task which yields in each of them has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<AtomicU64>);

impl Turns {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn turns(count: u64) -> Answer {
    match count {
        0 => "no turn".into(),
        1 => "1 turn".into(),
        _ => format!("{count} turns").into(),
    }
}

/// One of two words.
pub(crate) fn either(condition: bool, yes: &'static str, no: &'static str) -> Answer {
    if condition { yes.into() } else { no.into() }
}

/// The order that all trials had.
pub(crate) fn order(orders: &BTreeSet<Vec<u32>>) -> Answer {
    let in_order = |order: &Vec<u32>| order.iter().copied().eq(0..order.len() as u32);
    match orders.first() {
        Some(only) if orders.len() == 1 => either(in_order(only), "in order", "in another order"),
        _ => "in changing order".into(),
    }
}

/// How three tasks that step three times took turns, in several trials.
pub(crate) fn rounds(orders: &BTreeSet<Vec<u32>>) -> Answer {
    let is_round = |round: &[u32]| (0..3).all(|name| round.contains(&name));
    if !orders.iter().all(|order| order.len() == 9 && order.chunks(3).all(is_round)) {
        return "do not take turns".into();
    }
    match orders.first() {
        Some(only) if orders.len() == 1 => {
            let is_same = only.chunks(3).all(<[u32]>::is_sorted);
            either(is_same, "take turns in order", "take turns in changing order")
        }
        _ => "take turns at random".into(),
    }
}

/// Of how many of two children the clean-up was awaited.
pub(crate) fn awaited(cleaned: usize) -> Answer {
    match cleaned {
        0 => "is not awaited".into(),
        1 => "is awaited of the first".into(),
        _ => "is awaited".into(),
    }
}

/// The fastest but a tenth: slower than the luckiest, faster than what a busy machine holds up.
pub(crate) fn tenth(mut lasted: Vec<Duration>) -> Duration {
    lasted.sort();
    lasted[lasted.len() / 10]
}

/// What a future has after one step.
pub(crate) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Set while a panic is an answer, and not reported.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Whether a block panics.
pub(crate) fn panics(block: impl FnOnce()) -> bool {
    IS_QUIET.store(true, Ordering::SeqCst);
    let result = catch_unwind(AssertUnwindSafe(block));
    IS_QUIET.store(false, Ordering::SeqCst);
    result.is_err()
}

/// Reports the panics that are no answers.
pub(crate) fn report_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !IS_QUIET.load(Ordering::SeqCst) {
            report(info);
        }
    }));
}

/// Blocking jobs that run until they are let go, and how many ran at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jobs {
    running: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Jobs {
    pub(crate) const COUNT: usize = 50;
    /// Long enough for a busy machine to start so many threads.
    pub(crate) const WAIT: Duration = ms(800);

    pub(crate) fn run(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(running, Ordering::SeqCst);
        let (is_open, opened) = &*self.gate;
        let is_open = is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(opened.wait_while(is_open, |is_open| !*is_open));
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn let_go(&self) {
        *self.gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.1.notify_all();
    }

    pub(crate) fn answer(&self) -> Answer {
        let peak = self.peak.load(Ordering::SeqCst);
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        match peak {
            _ if peak == (cpus + 4).min(32) => "cpus + 4".into(),
            _ => peak.to_string().into(),
        }
    }
}

/// Whether a program of this runtime that gets a SIGINT cleans up.
pub(crate) fn clean_up_at_sigint(runtime: &str) -> anyhow::Result<Answer> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--answer", runtime, UNTIL_SIGINT])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut words = BufReader::new(child.stdout.take().context("its output")?);
    words.read_line(&mut String::new())?;
    thread::sleep(ms(50));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let mut rest = String::new();
    words.read_to_string(&mut rest)?;
    child.wait()?;
    Ok(either(rest.contains("cleaned up"), "runs", "does not run"))
}

/// What a program says that waits for a SIGINT.
pub(crate) fn say_when_cleaned_up() -> Finally<impl FnOnce()> {
    println!("ready");
    finally(|| println!("cleaned up"))
}

/// Sends this process a signal that a fact's handler takes.
pub(crate) fn raise_usr1() {
    let sent =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1);
    sent.expect("a process may signal itself");
}

/// Whether the handler of a signal ran after the callback in whose midst it came.
pub(crate) fn signal_order(got: &Log<&'static str>) -> Answer {
    match got.all()[..] {
        ["callback", "handler"] => "after it".into(),
        ["handler", "callback"] => "in its midst".into(),
        _ => "never".into(),
    }
}
