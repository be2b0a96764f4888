//! What the programs need: a page to print on, worlds to run in, and Python's words for things.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use helloop::TaskId;
use helloop::coroutine::{self, JoinError};
use helloop::event_loop::{Context, EventLoop, Flow, Handle, Source, Task};
use helloop::events::Event;
use helloop::world::sim::Sim;
use helloop::world::{Stream, Time, os};

thread_local! {
    /// What the program of this test, that is of this thread, printed.
    static PRINTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// What was logged on this thread, the programs' `--- stderr`; `None` where no program runs, so that other
    /// tests of this binary keep nothing.
    static LOGGED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// See `say!`.
pub(crate) fn line(text: String) {
    PRINTED.with_borrow_mut(|lines| lines.push(text));
}

/// Compares what was printed since the last time.
#[track_caller]
pub(crate) fn printed<const N: usize>(expected: [&str; N]) {
    assert_eq!(PRINTED.take(), expected);
}

/// What was logged at WARN and above since the last time: `"WARN Executing …"`.
pub(crate) fn logged() -> Vec<String> {
    LOGGED.replace(Some(Vec::new())).unwrap_or_default()
}

struct Pages;

impl log::Log for Pages {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|lines| {
            let Some(lines) = lines else { return };
            lines.push(format!("{} {}", record.level(), record.args()));
        });
    }

    fn flush(&self) {}
}

/// A fresh page, also where tests share a thread.
pub(crate) fn begin() {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Pages).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    PRINTED.take();
    LOGGED.replace(Some(Vec::new()));
}

/// A loop in a simulated world.
pub(crate) fn new_event_loop() -> EventLoop {
    begin();
    EventLoop::with_world(Box::new(Sim::new(1)))
}

/// `asyncio.run`, in a simulated world.
#[track_caller]
pub(crate) fn simulated<F>(main: impl FnOnce(Handle) -> F) -> F::Output
where
    F: Future + 'static,
{
    let mut event_loop = new_event_loop();
    let main = main(event_loop.handle().clone());
    event_loop.run_until_complete(main).unwrap()
}

/// `asyncio.run`, in the real world.
#[track_caller]
pub(crate) fn real<F: Future + 'static>(main: impl FnOnce(Handle) -> F) -> F::Output {
    begin();
    coroutine::run(main).unwrap()
}

/// So many milliseconds.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Longer than any program here: `sleep(9)`.
pub(crate) const LONG: Duration = Duration::from_secs(9);

/// A `finally:` block: what is done when a scope is left, in whatever way.
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

/// Exceptions, printed as Python prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raised {
    ValueError(&'static str),
    Join(JoinError),
}

impl From<JoinError> for Raised {
    fn from(error: JoinError) -> Raised {
        Raised::Join(error)
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raised::ValueError(words) => write!(f, "ValueError('{words}')"),
            Raised::Join(JoinError::Cancelled) => f.write_str("CancelledError()"),
            Raised::Join(JoinError::Panicked(words)) => write!(f, "panic: {words}"),
        }
    }
}

/// `repr` of a `bool`.
pub(crate) fn py(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

/// `repr` of a list of strings.
pub(crate) fn quoted<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("'{item}'")).collect();
    format!("[{}]", items.join(", "))
}

/// `repr` of a list of anything else.
pub(crate) fn listed<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

/// As `simulated`; the program is also given a look at the number of timers at the beginning of the
/// present turn, asyncio's `len(loop._scheduled)`.
#[track_caller]
pub(crate) fn simulated_with_timers<F>(main: impl FnOnce(Handle, Rc<Cell<usize>>) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let mut event_loop = new_event_loop();
    let count = Rc::new(Cell::new(0));
    let counts = Rc::clone(&count);
    event_loop.observe(Some(Box::new(move |_: Time, event: &Event| {
        if let Event::TurnBegan { timers, .. } = event {
            counts.set(*timers);
        }
    })));
    let main = main(event_loop.handle().clone(), count);
    event_loop.run_until_complete(main).unwrap();
}

/// Gives the loop a task that owns a stream. Its first step is the moment of asyncio's
/// `add_reader`: it tries to read, and says what it wants.
pub(crate) fn add_reader<H>(handle: &Handle, stream: Stream, handler: H) -> TaskId
where
    H: FnMut(&mut Source<Stream>, &mut Context<'_>) -> Flow + 'static,
{
    handle.spawn_task(|task| {
        let mut source = Source::stream(handle, stream, task).unwrap();
        let mut handler = handler;
        Box::new(Script(move |cx: &mut Context<'_>| handler(&mut source, cx)))
    })
}

/// Two ends of a connected pair of sockets: ours, and the outside's, which blocks.
pub(crate) fn socketpair() -> (Stream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Stream::Unix(os::UnixStream::from_std(ours)), theirs)
}

/// A task made of a closure.
pub(crate) struct Script<F>(pub(crate) F);

impl<F: FnMut(&mut Context<'_>) -> Flow> Task for Script<F> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        (self.0)(cx)
    }

    fn kind(&self) -> &'static str {
        "script"
    }
}
