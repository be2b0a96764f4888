//! Coroutines as tasks: spawning, joining, cancelling.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as PollContext, Poll, Waker, ready};

use super::line::Place;
use super::slot::{DoneCallback, Slot, Value};
use super::waker::{Coroutines, Lent};
use crate::event_loop::{Cause, Context, Description, Flow, Handle, Task};
use crate::id::TaskId;
use crate::panics::caught;

/// Why a task has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It was cancelled, or its loop is gone.
    Cancelled,
    /// It panicked, with these words.
    Panicked(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled => f.write_str("the task was cancelled"),
            JoinError::Panicked(words) => write!(f, "the task panicked: {words}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// What the task and its handle share.
struct Join<T> {
    task: Cell<TaskId>,
    /// The task that awaits it, or has spawned it; the null id if that was no task.
    parent: Cell<TaskId>,
    name: Name,
    /// The task is to be dropped at its next step.
    cancelled: Cell<bool>,
    result: Slot<Result<T, JoinError>>,
}

/// What a task is called. Most are never asked, so the text is made when one is.
struct Name {
    number: u64,
    /// What it was given; else `Task-` and the number.
    text: OnceCell<Box<str>>,
}

impl Name {
    fn given(name: impl Into<String>) -> Name {
        Name { number: 0, text: OnceCell::from(name.into().into_boxed_str()) }
    }

    fn numbered(number: u64) -> Name {
        Name { number, text: OnceCell::new() }
    }

    fn as_str(&self) -> &str {
        self.text.get_or_init(|| format!("Task-{}", self.number).into_boxed_str())
    }
}

impl<T> Join<T> {
    fn awaited_by(&self, task: Option<TaskId>) {
        if let Some(task) = task {
            self.parent.set(task);
        }
    }

    fn cancel(&self) -> bool {
        if self.result.is_done() {
            return false;
        }
        self.cancelled.set(true);
        self.result.handle.wake(self.task.get());
        true
    }
}

/// A task whose value does not matter to what keeps it.
pub(super) trait Member {
    fn cancel(&self) -> bool;
    fn is_finished(&self) -> bool;
    /// The words of its panic, if it panicked and they have not been taken.
    fn panic(&self) -> Option<String>;
}

impl<T> Member for Join<T> {
    fn cancel(&self) -> bool {
        Join::cancel(self)
    }

    fn is_finished(&self) -> bool {
        self.result.is_done()
    }

    fn panic(&self) -> Option<String> {
        self.result.look(|result| match result {
            Value::Set(Err(JoinError::Panicked(words))) => Some(words.clone()),
            _ => None,
        })
    }
}

/// A coroutine on the loop: the state machine that the compiler writes, as a [`Task`].
struct Coroutine<F: Future> {
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
    /// Once a clone of it has been kept, the same for all steps.
    waker: Option<Waker>,
    join: Rc<Join<F::Output>>,
    /// All those of the loop.
    all: Rc<Coroutines>,
    /// Where it was spawned.
    site: &'static Location<'static>,
}

impl<F: Future> Coroutine<F> {
    /// Drops the coroutine, then wakes its awaiter. If a destructor panics, that is the result: an awaiter
    /// must not wait for ever because of it. Returns the words if anything panicked.
    fn settle(&mut self, result: Result<F::Output, JoinError>) -> Option<String> {
        let future = self.future.take();
        let dropped = caught(|| drop(future));
        let result = match (result, dropped) {
            (Err(JoinError::Panicked(first)), _) => Err(JoinError::Panicked(first)),
            (result, Ok(())) => result,
            (lost, Err(words)) => {
                // Its drop may panic as well.
                let _ = caught(|| drop(lost));
                Err(JoinError::Panicked(words))
            }
        };
        let words = match &result {
            Err(JoinError::Panicked(words)) => Some(words.clone()),
            _ => None,
        };
        // Only a task that has ended sets it, and a task ends once.
        let _ = self.join.result.settle(Value::Set(result));
        words
    }

    /// The last thing that a resume does.
    fn end(&mut self, result: Result<F::Output, JoinError>) -> Flow {
        match self.settle(result) {
            None => Flow::Done,
            // The loop logs it, and removes the task. It gets the words only, not the payload, whose
            // drop might panic.
            Some(words) => resume_unwind(Box::new(words)),
        }
    }
}

impl<F: Future> Task for Coroutine<F> {
    fn resume(&mut self, cx: &mut Context<'_>) -> Flow {
        // A cancellation also wakes. So `join` is read only then: it need not be in the cache when a task
        // begins, or when its socket is ready.
        if cx.cause().contains(Cause::WOKEN) && self.join.cancelled.get() {
            return self.end(Err(JoinError::Cancelled));
        }
        let Some(future) = &mut self.future else { return Flow::Done };
        let lent =
            if self.waker.is_none() { Some(self.all.lend(cx.task(), cx.handle())) } else { None };
        let waker = lent.as_ref().map(Lent::waker).or(self.waker.as_ref());
        let waker = waker.expect("it is lent if there is none");
        self.all.polls_with(cx.task(), waker);
        let mut poll_context = PollContext::from_waker(waker);
        let polled = caught(|| future.as_mut().poll(&mut poll_context));
        self.all.polls_no_more();
        if let Some(lent) = lent {
            self.waker = self.all.take_back(lent);
        }
        match polled {
            Ok(Poll::Pending) => Flow::Wait,
            Ok(Poll::Ready(value)) => self.end(Ok(value)),
            Err(words) => self.end(Err(JoinError::Panicked(words))),
        }
    }

    fn kind(&self) -> &'static str {
        "coroutine"
    }

    fn describe(&self) -> Description<'_> {
        let parent = Some(self.join.parent.get()).filter(|parent| *parent != TaskId::default());
        let name = Some(self.join.name.as_str());
        Description { name, site: Some(self.site), parent, ..Description::default() }
    }
}

impl<F: Future> Drop for Coroutine<F> {
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        // Not a panic again: this may be part of one.
        if let Some(words) = self.settle(Err(JoinError::Cancelled)) {
            log::error!(
                "coroutine {} panicked while it was dropped: {words}",
                self.join.name.as_str()
            );
        }
    }
}

impl Handle {
    /// Makes a task of a coroutine; it takes its first step in the next turn. It is called `Task-1`,
    /// `Task-2`, … in the order of spawning.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.spawn_for(Location::caller(), None, future)
    }

    /// As [`spawn`](Handle::spawn), with a name for logs and observers.
    #[track_caller]
    pub fn spawn_named<F: Future + 'static>(
        &self,
        name: impl Into<String>,
        future: F,
    ) -> JoinHandle<F::Output> {
        self.spawn_at(Name::given(name), future, Location::caller())
    }

    /// Makes a task of a coroutine that was asked for at `site`.
    pub(crate) fn spawn_for<F: Future + 'static>(
        &self,
        site: &'static Location<'static>,
        name: Option<String>,
        future: F,
    ) -> JoinHandle<F::Output> {
        let numbered = || Name::numbered(Coroutines::of(self).count_one());
        self.spawn_at(name.map_or_else(numbered, Name::given), future, site)
    }

    fn spawn_at<F: Future + 'static>(
        &self,
        name: Name,
        future: F,
        site: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        let join = Rc::new(Join {
            task: Cell::default(),
            parent: Cell::new(self.current_task().unwrap_or_default()),
            name,
            cancelled: Cell::new(false),
            result: Slot::new(self),
        });
        let (future, inside, all) =
            (Some(Box::pin(future)), Rc::clone(&join), Coroutines::of(self));
        let task = self
            .spawn_task(|_| Box::new(Coroutine { future, waker: None, join: inside, all, site }));
        join.task.set(task);
        JoinHandle { join, waiting: None, shielded: false }
    }
}

/// A task that was spawned: awaiting it returns its value.
///
/// Dropped before it was awaited, it lets the task go on by itself. Dropped *while* it is awaited
/// (because the awaiting coroutine is cancelled, or a timeout is over), it cancels the task.
///
/// ```
/// use helloop::coroutine::{self, Canceller, DoneCallback, JoinError, JoinHandle, Shield};
/// use std::future::pending;
///
/// coroutine::run(|handle| async move {
///     let task: JoinHandle<i32> = handle.spawn(async { 42 });
///     let callback: DoneCallback = task.add_done_callback(|_| unreachable!("it was taken back"));
///     task.remove_done_callback(callback);
///     // Whoever awaits a shield and gives up does not cancel the task.
///     let shield: Shield<i32> = task.shield();
///     assert_eq!(shield.await, Ok(42));
///
///     let never = handle.spawn(pending::<()>());
///     let canceller: Canceller = never.canceller();
///     handle.call_soon(move |_| drop(canceller.cancel()));
///     assert_eq!(never.await, Err(JoinError::Cancelled));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a task that is not awaited keeps its value, and its panic, to itself"]
pub struct JoinHandle<T> {
    join: Rc<Join<T>>,
    /// Its place among the waiters, while it is awaited.
    waiting: Option<Place>,
    shielded: bool,
}

impl<T> JoinHandle<T> {
    /// Asks the task to end: at its next step it is dropped, and its awaiter gets
    /// [`JoinError::Cancelled`]. False if it has ended already.
    pub fn cancel(&self) -> bool {
        self.join.cancel()
    }

    /// True once the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        self.join.result.is_done()
    }

    /// True once the task has ended because it was cancelled, until its result is taken.
    pub fn is_cancelled(&self) -> bool {
        self.join.result.look(|result| matches!(result, Value::Set(Err(JoinError::Cancelled))))
    }

    /// Its name: `Task-2`, or what it was given.
    pub fn name(&self) -> &str {
        self.join.name.as_str()
    }

    /// Its id on the loop.
    pub fn id(&self) -> TaskId {
        self.join.task.get()
    }

    /// Hands `callback` to the loop when the task has ended.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Handle) + 'static) -> DoneCallback {
        self.join.result.add_done_callback(callback)
    }

    /// Takes back a callback that was added to this task. False if the task had ended before, and the
    /// callback has run or will.
    pub fn remove_done_callback(&self, callback: DoneCallback) -> bool {
        self.join.result.remove_done_callback(callback)
    }

    /// Lets the task go on when this is dropped while it is awaited: asyncio's `shield`.
    pub fn shield(mut self) -> Shield<T> {
        self.shielded = true;
        Shield(self)
    }

    /// The right to cancel the task, for code that does not await it.
    pub fn canceller(&self) -> Canceller
    where
        T: 'static,
    {
        Canceller(self.member())
    }

    pub(super) fn member(&self) -> Rc<dyn Member>
    where
        T: 'static,
    {
        Rc::clone(&self.join) as Rc<dyn Member>
    }

    /// True if it has ended, without a value that `is_value` accepts.
    pub(super) fn has_failed(&self, is_value: impl FnOnce(&T) -> bool) -> bool {
        self.join.result.look(|result| match result {
            Value::Set(Ok(value)) => !is_value(value),
            Value::Set(Err(_)) => true,
            _ => false,
        })
    }

    /// The value, if the task has ended and it has not been taken.
    pub fn take(&mut self) -> Option<Result<T, JoinError>> {
        let taken = self.join.result.take()?;
        Some(taken.unwrap_or(Err(JoinError::Cancelled)))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If the value was taken before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.waiting.is_none() {
            this.join.awaited_by(this.join.result.handle.current_task());
        }
        ready!(this.join.result.poll_done(&mut this.waiting, cx));
        Poll::Ready(this.take().expect("a task is not awaited again after its value"))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let Some(waiting) = self.waiting else { return };
        self.join.result.leave(waiting);
        if !self.shielded {
            self.join.cancel();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_finished() { "finished" } else { "pending" };
        write!(f, "<Task {state} name='{}'>", self.name())
    }
}

/// Cancels a task whose handle is elsewhere. Clones are for the same task.
#[derive(Clone)]
pub struct Canceller(Rc<dyn Member>);

impl Canceller {
    /// See [`JoinHandle::cancel`].
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// See [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// A task that outlives its awaiter.
#[derive(Debug)]
pub struct Shield<T>(JoinHandle<T>);

impl<T> Future for Shield<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}
