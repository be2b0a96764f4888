use std::collections::{HashMap, VecDeque};

use helloop::TaskId;
use helloop::events::{Event, Timeout};
use helloop::http::Reason;
use helloop::limits::MAKE_ROOM_IDLE_MIN;
use helloop::world::Time;

use crate::checkers::{Checker, demand};

/// Whether a full server makes room for newcomers: by whom, and for whom first.
#[derive(Default)]
pub(super) struct Room {
    connections: HashMap<TaskId, Doing>,
    /// Acceptors with a newcomer in the hand, in the order in which they began to wait.
    full: VecDeque<TaskId>,
    /// Those of them that were overtaken in this turn. That is fair if there is room for them as well:
    /// then they come in before the turn is over.
    overtaken: Vec<TaskId>,
    /// Times that a connection became idle.
    sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Something,
    Nothing { since: Time, sequence: u64 },
    Lingering { since: Time },
}

impl Room {
    fn is_idle(&mut self, task: TaskId, since: Time) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.connections.insert(task, Doing::Nothing { since, sequence });
    }

    fn changed(&mut self, at: Time, task: TaskId, from: &str, to: &str) -> Result<(), String> {
        if to == "full" {
            self.full.push_back(task);
        } else if from == "full" {
            let place = self.full.iter().position(|acceptor| *acceptor == task);
            let place = place.ok_or_else(|| format!("{task} did not wait"))?;
            self.overtaken.extend(self.full.range(..place));
            self.full.remove(place);
            self.overtaken.retain(|acceptor| *acceptor != task);
        }
        match (to, self.connections.get_mut(&task)) {
            (_, None) => {}
            ("idle", Some(_)) => self.is_idle(task, at),
            ("lingering", Some(doing)) => *doing = Doing::Lingering { since: at },
            (_, Some(doing)) => *doing = Doing::Something,
        }
        Ok(())
    }

    /// The loop is about to wait. A connection that has done nothing for long enough must be gone by
    /// then, if somebody waits for room. One exception: those that linger go first, even if they
    /// have not lingered for long enough yet.
    fn look_round(&self, at: Time) -> Result<(), String> {
        let is_ripe = |since: Time| at >= since + MAKE_ROOM_IDLE_MIN;
        let (mut ripe, mut unripe_lingering) = (None, 0);
        for (task, doing) in &self.connections {
            match doing {
                Doing::Lingering { since } if is_ripe(*since) && !self.full.is_empty() => {
                    return Err(format!("{task} lingers since {since}, and somebody waits"));
                }
                Doing::Lingering { .. } => unripe_lingering += 1,
                Doing::Nothing { since, .. } if is_ripe(*since) => ripe = Some((task, since)),
                _ => {}
            }
        }
        let Some((task, since)) = ripe else { return Ok(()) };
        demand(unripe_lingering >= self.full.len(), || {
            format!("{task} has been idle since {since}, and somebody waits")
        })
    }

    /// A connection made room: those that had been idle for longer must be about to do so, too.
    fn made_room(&self, task: TaskId) -> Result<(), String> {
        let Some(Doing::Nothing { sequence, .. }) = self.connections.get(&task) else {
            return Err(format!("{task} was not idle"));
        };
        let is_longer = |doing: &&Doing| match doing {
            Doing::Nothing { sequence: other, .. } => other < sequence,
            _ => false,
        };
        let longer = self.connections.values().filter(is_longer).count();
        demand(longer < self.full.len(), || {
            format!("{longer} were idle for longer, and {} newcomers wait", self.full.len())
        })
    }
}

impl Checker for Room {
    fn event(&mut self, at: Time, event: &Event) -> Result<(), String> {
        match *event {
            Event::Spawned { task, kind: "connection" } => self.is_idle(task, at),
            Event::Response { task, .. } => {
                if let Some(Doing::Nothing { .. }) = self.connections.get(&task) {
                    self.is_idle(task, at);
                }
            }
            Event::State { task, from, to } => return self.changed(at, task, from, to),
            Event::Ending { task, why } if why == Reason::MadeRoom.sentence() => {
                return self.made_room(task);
            }
            Event::Waiting { .. } if !self.overtaken.is_empty() => {
                let overtaken = &self.overtaken;
                return Err(format!(
                    "others came in, those of {overtaken:?} had waited for longer"
                ));
            }
            Event::Finished { task, .. } => {
                self.connections.remove(&task);
                self.overtaken.retain(|acceptor| *acceptor != task);
                self.full.retain(|acceptor| *acceptor != task);
            }
            Event::Waiting { timeout } if timeout != Timeout::Zero => return self.look_round(at),
            _ => {}
        }
        Ok(())
    }
}
