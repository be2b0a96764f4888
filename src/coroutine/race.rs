//! The first of two: what asyncio's `wait(…, return_when=FIRST_COMPLETED)` is for, without tasks.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two has ended first, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<L, R> {
    /// The left one.
    Left(L),
    /// The right one.
    Right(R),
}

/// Waits for whichever ends first; the other is dropped, which cancels it. If both are ready, the left one has ended
/// first. To go on with the one that was not ready, hand in `&mut future` (of one that is `Unpin`, see
/// [`pin!`](std::pin::pin)).
///
/// ```
/// use helloop::coroutine::{self, Either, Queue, race};
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     let orders = Queue::new(&handle, 1);
///     orders.put("an order").await;
///     let mut closing_time = handle.sleep(Duration::from_millis(50));
///     let mut served = 0;
///     while let Either::Left(order) = race(orders.get(), &mut closing_time).await {
///         assert_eq!(order, "an order");
///         served += 1;
///     }
///     assert_eq!(served, 1);
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn race<L: Future, R: Future>(left: L, right: R) -> Either<L::Output, R::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

impl<T> Either<T, T> {
    /// The value, whichever has ended first.
    pub fn into_inner(self) -> T {
        match self {
            Either::Left(value) | Either::Right(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::EventLoop;
    use crate::world::sim::Sim;
    use std::future::{pending, ready};
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn the_first_wins_and_the_other_is_dropped() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        let raced = async move {
            assert_eq!(
                race(ready(1), ready(2)).await,
                Either::Left(1),
                "the left one is asked first"
            );
            assert_eq!(race(pending::<i32>(), ready(2)).await.into_inner(), 2);
            let held = Rc::new(());
            let holds = Rc::clone(&held);
            let slow = async move {
                handle.sleep(Duration::from_secs(9)).await;
                drop(holds);
            };
            assert_eq!(race(slow, ready(3)).await, Either::Right(3));
            assert_eq!(Rc::strong_count(&held), 1);
        };
        event_loop.run_until_complete(raced).unwrap();
    }
}
