//! The tasks on a loop, and what each of them waits for: a look that changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::Location;

use crate::event_loop::{Cause, Description, Handle, SourceSlot, Task};
use crate::id::{SourceId, TaskId};
use crate::limits::TREE_DEPTH_SHOWN_MAX;
use crate::printable::Printable;
use crate::world::{Readiness, Time};

/// What is on a loop at one moment. Displayed, it is a page for people: the tasks as a tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Turns begun.
    pub turn: u64,
    /// A fresh reading of the loop's clock.
    pub now: Time,
    /// All tasks, in the order of their slots.
    pub tasks: Vec<TaskView>,
    /// All registered sockets.
    pub sources: Vec<SourceView>,
    /// The ready queue, first come first.
    pub ready: Vec<TaskId>,
    /// The timers, in the order in which they will fire.
    pub timers: Vec<(TaskId, Time)>,
}

/// A task in a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// See [`Task::kind`]. `running` for the task that is being resumed: it cannot be asked.
    pub kind: &'static str,
    /// See [`Description::name`](crate::event_loop::Description::name).
    pub name: Option<String>,
    /// See [`Description::state`](crate::event_loop::Description::state).
    pub state: Option<&'static str>,
    /// See [`Task::describe`].
    pub description: String,
    /// See [`Description::site`](crate::event_loop::Description::site).
    pub site: Option<&'static Location<'static>>,
    /// See [`Description::parent`](crate::event_loop::Description::parent). It may be gone.
    pub parent: Option<TaskId>,
    /// What it does at present.
    pub status: Status,
}

/// A registered socket in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceView {
    /// Its id.
    pub id: SourceId,
    /// Its owner; the null id while it connects.
    pub task: TaskId,
    /// What it is ready for, as far as the loop knows.
    pub readiness: Readiness,
    /// What its owner waits for; and, of a source that two tasks share, the other one.
    pub interest: Readiness,
    /// The task that waits for `WRITABLE`, if that is another than `task`.
    pub writer: Option<TaskId>,
}

/// What a task does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being resumed.
    Running,
    /// It is in the ready queue.
    Ready(Cause),
    /// It waits: for these directions of its sources, for its first timer (if it has one), and for
    /// being woken.
    Waiting {
        /// Of all its sources together.
        interest: Readiness,
        /// The deadline.
        timer: Option<Time>,
    },
}

impl Handle {
    /// Looks at everything that is on the loop. Asks every task about itself, so it is for rare
    /// occasions; it may be called from anywhere on the loop's thread.
    pub fn snapshot(&self) -> Snapshot {
        let sources = self.sources().into_iter().map(|(id, slot, writer)| {
            let SourceSlot { readiness, interest, owner, .. } = slot;
            SourceView { id, task: owner, readiness, interest, writer }
        });
        let sources: Vec<SourceView> = sources.collect();
        let (timers, running) = (self.timers(), self.current_task());
        let waits = Waits::new(&sources, &timers);
        let tasks = self.tasks().into_iter().map(|(id, cause)| {
            let status = match cause {
                _ if running == Some(id) => Status::Running,
                cause if cause.is_empty() => waits.of(id),
                cause => Status::Ready(cause),
            };
            self.look_at(id, |task| TaskView::of(id, task, status))
                .unwrap_or_else(|| TaskView::silent(id, status))
        });
        let tasks = tasks.collect();
        Snapshot {
            turn: self.turns(),
            now: self.clock(),
            tasks,
            sources,
            ready: self.ready(),
            timers,
        }
    }
}

/// A task in a report: `connection from 127.0.0.1:50312 (idle)`, `coroutine Task-1 created at src/main.rs:7:5`.
pub(crate) struct Described<'a>(pub(crate) &'a dyn Task);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description { name, peer, state, site, .. } = self.0.describe();
        f.write_str(self.0.kind())?;
        name.map_or(Ok(()), |name| write!(f, " {name}"))?;
        peer.map_or(Ok(()), |peer| write!(f, " from {peer}"))?;
        state.map_or(Ok(()), |state| write!(f, " ({state})"))?;
        site.map_or(Ok(()), |site| write!(f, " created at {site}"))
    }
}

impl TaskView {
    fn of(id: TaskId, task: &dyn Task, status: Status) -> TaskView {
        let Description { name, state, site, parent, .. } = task.describe();
        let (name, description) = (name.map(str::to_owned), Described(task).to_string());
        TaskView { id, kind: task.kind(), name, state, description, site, parent, status }
    }

    /// One that cannot be asked, because it is being resumed.
    fn silent(id: TaskId, status: Status) -> TaskView {
        let (kind, description) = ("running", "at work".into());
        TaskView {
            id,
            kind,
            name: None,
            state: None,
            description,
            site: None,
            parent: None,
            status,
        }
    }
}

/// What the tasks wait for.
struct Waits(BTreeMap<TaskId, (Readiness, Option<Time>)>);

impl Waits {
    fn new(sources: &[SourceView], timers: &[(TaskId, Time)]) -> Waits {
        let mut waits: BTreeMap<_, (Readiness, Option<Time>)> = BTreeMap::new();
        for source in sources {
            let of_writer = source.interest & Readiness::WRITABLE;
            if let Some(writer) = source.writer {
                waits.entry(writer).or_default().0 |= of_writer;
                waits.entry(source.task).or_default().0 |= source.interest - of_writer;
            } else {
                waits.entry(source.task).or_default().0 |= source.interest;
            }
        }
        for (task, deadline) in timers {
            waits.entry(*task).or_default().1.get_or_insert(*deadline);
        }
        Waits(waits)
    }

    fn of(&self, task: TaskId) -> Status {
        let (interest, timer) = self.0.get(&task).copied().unwrap_or_default();
        Status::Waiting { interest, timer }
    }
}

impl Snapshot {
    /// The tasks as a tree, each once: its depth, and the task. A task stands below its
    /// [parent](TaskView::parent), if that is alive. Tasks that await each other in a circle stand
    /// below the first of them.
    pub fn tree(&self) -> Vec<(usize, &TaskView)> {
        let alive: BTreeSet<TaskId> = self.tasks.iter().map(|task| task.id).collect();
        let mut children: BTreeMap<TaskId, Vec<&TaskView>> = BTreeMap::new();
        let mut roots = Vec::new();
        for task in &self.tasks {
            match task.parent.filter(|parent| alive.contains(parent)) {
                Some(parent) => children.entry(parent).or_default().push(task),
                None => roots.push(task),
            }
        }
        let (mut tree, mut reached) = (Vec::with_capacity(self.tasks.len()), BTreeSet::new());
        // First the roots; then the tasks that were not reached from one.
        for root in roots.into_iter().chain(&self.tasks) {
            let mut path = vec![(0, root)];
            while let Some((depth, task)) = path.pop() {
                if reached.insert(task.id) {
                    tree.push((depth, task));
                    let below = children.remove(&task.id).unwrap_or_default();
                    path.extend(below.into_iter().rev().map(|child| (depth + 1, child)));
                }
            }
        }
        tree
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { turn, tasks, ready, timers, sources, .. } = self;
        let (tasks, ready, timers, sources) =
            (tasks.len(), ready.len(), timers.len(), sources.len());
        writeln!(
            f,
            "turn {turn}: tasks: {tasks}, ready: {ready}, timers: {timers}, sources: {sources}"
        )?;
        for (depth, task) in self.tree() {
            let indent = 2 * depth.min(TREE_DEPTH_SHOWN_MAX) + 2;
            let description = Printable(&task.description);
            write!(f, "{:indent$}task {} ({description}): ", "", task.id)?;
            writeln!(f, "{}", Doing { status: task.status, now: self.now })?;
        }
        Ok(())
    }
}

/// A status as of a moment.
struct Doing {
    status: Status,
    now: Time,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interest, timer) = match self.status {
            Status::Running => return f.write_str("running"),
            Status::Ready(cause) => return write!(f, "ready: {cause}"),
            Status::Waiting { interest, timer } => (interest, timer),
        };
        f.write_str("waits for ")?;
        let mut separator = "";
        for (name, _) in interest.iter_names() {
            write!(f, "{separator}{}", name.to_ascii_lowercase())?;
            separator = " or ";
        }
        if let Some(deadline) = timer {
            let left = deadline.since(self.now).as_secs_f64();
            write!(f, "{separator}a timer in {left:.3} s")?;
            separator = " or ";
        }
        if separator.is_empty() { f.write_str("being woken") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::{Context, EventLoop, Flow};
    use crate::world::sim::Sim;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    struct Node {
        parent: Option<TaskId>,
    }

    impl Task for Node {
        fn resume(&mut self, _: &mut Context<'_>) -> Flow {
            Flow::Wait
        }

        fn kind(&self) -> &'static str {
            "node"
        }

        fn describe(&self) -> Description<'_> {
            Description { parent: self.parent, ..Description::default() }
        }
    }

    fn node(handle: &Handle, parent: Option<TaskId>) -> TaskId {
        handle.spawn_task(|_| Box::new(Node { parent }))
    }

    fn depths(handle: &Handle) -> Vec<(usize, TaskId)> {
        handle.snapshot().tree().into_iter().map(|(depth, task)| (depth, task.id)).collect()
    }

    #[test]
    fn a_tree_has_each_task_once() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle();
        let root = node(handle, None);
        let child = node(handle, Some(root));
        let orphan = node(handle, Some(TaskId::default()));
        let grandchild = node(handle, Some(child));
        let second = node(handle, Some(root));
        let expected = [(0, root), (1, child), (2, grandchild), (1, second), (0, orphan)];
        assert_eq!(depths(handle), expected);
        handle.discard(child);
        assert_eq!(depths(handle), [(0, root), (1, second), (0, orphan), (0, grandchild)]);
    }

    #[test]
    fn a_deep_tree_is_shown_in_a_text_that_is_linear_in_its_tasks() {
        let bytes = |tasks: u64| {
            let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
            let handle = event_loop.handle();
            (0..tasks).fold(None, |parent, _| Some(node(handle, parent)));
            handle.snapshot().to_string().len() as u64
        };
        let (few, many) = (bytes(500), bytes(4_000));
        assert!(many <= 12 * few, "{few} bytes, then {many}");
    }

    #[test]
    fn a_circle_ends() {
        let event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle();
        // Ids are given in order, so the first may name the second before that is there.
        let first = handle.spawn_task(|id| {
            let next = TaskId::from_bits(id.to_bits() + 1);
            Box::new(Node { parent: Some(next) })
        });
        let second = node(handle, Some(first));
        let below = node(handle, Some(second));
        let itself = handle.spawn_task(|id| Box::new(Node { parent: Some(id) }));
        let root = node(handle, None);
        let expected = [(0, root), (0, first), (1, second), (2, below), (0, itself)];
        assert_eq!(depths(handle), expected);
    }

    #[test]
    fn a_snapshot_says_what_each_waits_for_and_changes_nothing() {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let handle = event_loop.handle().clone();
        let idle = node(&handle, None);
        let timed = node(&handle, None);
        event_loop.turn(None).unwrap();
        let deadline = handle.now() + Duration::from_secs(2);
        handle.at(deadline, timed);
        let queued = node(&handle, None);
        let seen = Rc::new(Cell::new(None));
        let sets = Rc::clone(&seen);
        let call = move |handle: &Handle| sets.set(Some(handle.snapshot()));
        handle.call_soon(call);
        let before = handle.snapshot();
        let status = |id| before.tasks.iter().find(|task| task.id == id).unwrap().status;
        let interest = Readiness::empty();
        assert_eq!(status(idle), Status::Waiting { interest, timer: None });
        assert_eq!(status(timed), Status::Waiting { interest, timer: Some(deadline) });
        assert_eq!(status(queued), Status::Ready(Cause::SPAWNED));
        assert_eq!((before.ready.len(), before.timers.len()), (2, 1));
        let text = before.to_string();
        assert!(text.contains("(node): waits for being woken\n"), "{text}");
        assert!(text.contains("waits for a timer in 2.000 s\n"), "{text}");
        assert!(text.contains("ready: spawned\n"), "{text}");
        assert!(text.contains("(callback created at src/watch/snapshot.rs:"), "{text}");
        event_loop.turn(None).unwrap();
        let within = seen.take().expect("the callback ran");
        let running = within.tasks.iter().filter(|task| task.status == Status::Running);
        assert_eq!(running.map(|task| task.kind).collect::<Vec<_>>(), ["running"]);
        assert_eq!(handle.task_count(), 3);
    }
}
