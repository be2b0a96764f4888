//! A loop on which nothing can ever happen again says so, instead of waiting in silence: what Go calls
//! "all goroutines are asleep".

use std::fmt::Write as _;

use super::Handle;
use super::snapshot::Doing;
use crate::limits::DEADLOCK_TASKS_NAMED_MAX;

impl Handle {
    /// True if it is certain that no task of this loop will ever be resumed again. Asked when the loop is
    /// about to wait for ever: nothing is ready, and no timer is set.
    ///
    /// What could still resume one is a source of which something is wanted, and whoever holds a waker or a
    /// [`Remote`](super::Remote): a helper thread, say. Whoever holds one may be a task of this loop, too,
    /// which will never use it; that cannot be known, and then this says nothing.
    pub(super) fn is_deadlocked(&self) -> bool {
        let spare = self.shared.spare_waker.take();
        let own_references = 1 + usize::from(spare.is_some());
        self.shared.spare_waker.set(spare);
        let core = self.shared.core.borrow();
        core.wanted_sources == 0
            && !core.tasks.is_empty()
            && self.shared.wakes.are_unreachable(own_references)
    }

    /// Says who waits for what.
    #[cold]
    pub(super) fn report_deadlock(&self) {
        let snapshot = self.snapshot();
        let (tree, mut who) = (snapshot.tree(), String::new());
        for (_, task) in tree.iter().take(DEADLOCK_TASKS_NAMED_MAX) {
            let doing = Doing { status: task.status, now: snapshot.now };
            let _ = write!(who, "; task {} ({}) {doing}", task.id, task.description);
            if let Some(parent) = task.parent.filter(|_| task.kind == "coroutine") {
                let _ = write!(who, ", for task {parent}");
            }
        }
        let rest = tree.len().saturating_sub(DEADLOCK_TASKS_NAMED_MAX);
        if rest > 0 {
            let _ = write!(who, "; and {rest} more");
        }
        log::warn!(
            "nothing can ever happen on this loop again: no task is ready, no timer is set, no socket is \
             waited for, and nobody outside the loop can wake a task{who}"
        );
    }
}
