//! Giving up control: for a time, or for one turn.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::callback::Call;
use crate::event_loop::Handle;
use crate::world::Time;

impl Handle {
    /// Sleeps for at least `duration`. Zero gives up control for exactly one turn, without a timer.
    ///
    /// As in asyncio, the timer runs a callback in one turn, and the coroutine goes on in the next.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let when = if duration.is_zero() { When::NextTurn } else { When::After(duration) };
        Sleep { handle: self.clone(), when, timer: None }
    }

    /// Sleeps until the loop's clock has reached `deadline`.
    pub fn sleep_until(&self, deadline: Time) -> Sleep {
        Sleep { handle: self.clone(), when: When::At(deadline), timer: None }
    }
}

/// Gives up control for exactly one turn: asyncio's `sleep(0)`.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A sleep that begins when it is first awaited. Dropping it takes the timer back.
///
/// ```
/// use helloop::coroutine::{self, Sleep};
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     let begin = handle.now();
///     // It begins when it is awaited.
///     let sleep: Sleep = handle.sleep(Duration::from_millis(2));
///     sleep.await;
///     assert!(handle.now().since(begin) >= Duration::from_millis(2));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    handle: Handle,
    when: When,
    timer: Option<(Call, Rc<RefCell<Alarm>>)>,
}

enum When {
    NextTurn,
    After(Duration),
    At(Time),
    /// The one turn was given up.
    Yielded,
}

/// What the timer's callback and the sleeper share.
enum Alarm {
    /// What to wake.
    Set(Waker),
    Rung,
}

impl Sleep {
    fn set_timer(&mut self, deadline: Time, waker: &Waker) {
        let alarm = Rc::new(RefCell::new(Alarm::Set(waker.clone())));
        let rings = Rc::clone(&alarm);
        let call = self.handle.call_at(deadline, move |_| {
            if let Alarm::Set(waker) = rings.replace(Alarm::Rung) {
                waker.wake();
            }
        });
        self.timer = Some((call, alarm));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, alarm)) = &self.timer {
            let alarm = &mut *alarm.borrow_mut();
            if matches!(alarm, Alarm::Rung) {
                return Poll::Ready(());
            }
            *alarm = Alarm::Set(cx.waker().clone());
            return Poll::Pending;
        }
        let deadline = match self.when {
            When::Yielded => return Poll::Ready(()),
            When::NextTurn => {
                self.when = When::Yielded;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // From the moment of going to sleep: a batch that took long does not count.
            When::After(duration) => self.handle.clock() + duration,
            When::At(deadline) => deadline,
        };
        self.set_timer(deadline, cx.waker());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((call, _)) = self.timer.take() {
            call.cancel();
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.timer.as_ref().and_then(|(call, _)| call.when());
        f.debug_struct("Sleep").field("deadline", &deadline).finish_non_exhaustive()
    }
}
