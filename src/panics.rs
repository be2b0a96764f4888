//! What becomes of a panic that is caught.
//!
//! A payload may be of any type (`std::panic::panic_any`), so its drop can panic as well: a bomb that goes
//! off where the payload is dropped, after the `catch_unwind` that was to contain it. So every panic of
//! foreign code is caught here, and only its words leave.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`. If it panics, its panic ends here.
///
/// # Errors
/// What the panic said; see [`panic_text`].
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let words = panic_text(payload.as_ref()).to_owned();
        drop_payload(payload);
        words
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// Drops what a panic left, and does not panic. What a bomb leaves in its turn is leaked: it may be
/// another bomb, and there may be any number of them.
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    if let Err(bomb) = dropped {
        log::error!("what a panic left panicked when it was dropped: {}", panic_text(&*bomb));
        std::mem::forget(bomb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;
    use std::sync::Arc;

    /// Leaves another one, without an end.
    struct Bomb(#[allow(dead_code, reason = "held")] Arc<()>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb(Arc::clone(&self.0)));
        }
    }

    #[test]
    fn a_panic_is_its_words() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| panic!("planted")), Err::<(), _>("planted".to_owned()));
        assert_eq!(caught(|| panic!("number {}", 2)), Err::<(), _>("number 2".to_owned()));
        assert_eq!(caught(|| panic_any(3)), Err::<(), _>("no words".to_owned()));
    }

    #[test]
    fn a_payload_is_dropped() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        assert!(caught(|| panic_any(inside)).is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_payload_whose_drop_panics_harms_nobody() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        assert_eq!(caught(|| panic_any(Bomb(inside))), Err::<(), _>("no words".to_owned()));
        assert_eq!(Arc::strong_count(&held), 2, "the second one is leaked, and there is no third");
    }
}
