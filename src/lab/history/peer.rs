//! A client in a simulated world: it plays its script from outside of the loop.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use super::Notes;
use crate::lab::scenario::{
    Note, Scenario, Step, crowd_begins, crowd_ended, is_good, is_whole, shown,
};
use crate::world::sim::{Net, Peer};

/// Bytes that a slow reader takes at once, and that are on their way to it at most.
const NARROW_BYTES: usize = 16 * 1024;

/// Begins a scenario now, as the action with this number.
pub(super) fn begin(
    net: &Net,
    address: SocketAddr,
    scenario: Scenario,
    action: usize,
    notes: &Rc<Notes>,
) {
    if let Some(shortage) = scenario.shortage() {
        net.run_out_of_descriptors(shortage);
    }
    let scripts = scenario.scripts();
    let crowd = scenario.is_crowd().then(|| {
        notes.tell(net, note(0, scenario, "note", crowd_begins()));
        Rc::new(Crowd { left: Cell::new(scripts.len()), good: Cell::new(0) })
    });
    for script in scripts {
        let client = Rc::new(RefCell::new(Client {
            id: if crowd.is_some() { 0 } else { notes.next_client() },
            scenario,
            action,
            steps: script.steps.into(),
            peer: None,
            waits: Waits::Time,
            answer: Vec::new(),
            received_bytes: 0,
            crowd: crowd.clone(),
            notes: Rc::clone(notes),
        }));
        if script.after.is_zero() {
            connect(net, address, &client);
        } else {
            net.at(net.now() + script.after, move |net| connect(net, address, &client));
        }
    }
}

/// Clients that are only counted: how many of them were answered.
struct Crowd {
    left: Cell<usize>,
    good: Cell<usize>,
}

struct Client {
    id: u64,
    scenario: Scenario,
    /// The number of the action that it is of.
    action: usize,
    /// The step that it is at, and those after it.
    steps: VecDeque<Step>,
    /// Its end of the connection, while it is connected.
    peer: Option<Peer>,
    waits: Waits,
    /// What it has received since it last sent; of a crowd's client, everything.
    answer: Vec<u8>,
    received_bytes: usize,
    crowd: Option<Rc<Crowd>>,
    notes: Rc<Notes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Something that happens at its end does not concern it.
    Time,
    Input,
}

/// What comes of a step.
enum Next {
    Step,
    Wait(Waits),
    Ended(&'static str),
}

fn note(id: u64, scenario: Scenario, step: &'static str, bytes: String) -> Note {
    Note { id, scenario: scenario.name(), step, bytes }
}

fn connect(net: &Net, address: SocketAddr, client: &Rc<RefCell<Client>>) {
    let Some(peer) = net.try_connect(address) else {
        return client.borrow_mut().end(net, "failed: connection refused");
    };
    // It is kept alive by what wakes it: a pause, or its own end of the connection.
    let woken = Rc::clone(client);
    peer.watch(move |net| {
        if woken.borrow().waits == Waits::Input {
            go_on(net, &woken);
        }
    });
    let mut connected = client.borrow_mut();
    connected.notes.connected(peer.address().port(), connected.action);
    connected.peer = Some(peer);
    drop(connected);
    go_on(net, client);
}

fn go_on(net: &Net, client: &Rc<RefCell<Client>>) {
    let mut player = client.borrow_mut();
    let peer = loop {
        match player.step(net, client) {
            Next::Step => {}
            Next::Wait(waits) => {
                player.waits = waits;
                return;
            }
            Next::Ended(how) => {
                player.waits = Waits::Time;
                player.end(net, how);
                break player.peer.take();
            }
        }
    };
    // Not under the borrow: its watcher holds the client.
    drop(player);
    drop(peer);
}

impl Client {
    fn step(&mut self, net: &Net, this: &Rc<RefCell<Client>>) -> Next {
        let Some(peer) = &self.peer else { return Next::Wait(Waits::Time) };
        match self.steps.front() {
            None => return Next::Ended("closed"),
            Some(Step::Send(bytes)) => {
                peer.send(bytes);
                let text = shown(bytes);
                self.answer.clear();
                self.tell(net, "sent", text);
            }
            Some(Step::Pause(pause)) => {
                let this = Rc::clone(this);
                net.at(net.now() + *pause, move |net| go_on(net, &this));
                self.steps.pop_front();
                return Next::Wait(Waits::Time);
            }
            Some(Step::Note(text)) => {
                let text = text.clone();
                self.tell(net, "note", text);
            }
            Some(Step::NarrowReceiveBuffer) => peer.widen(NARROW_BYTES),
            Some(Step::ShutWrite) => peer.finish(),
            Some(Step::ReadSome) => {
                self.received_bytes += peer.receive_at_most(NARROW_BYTES).len();
            }
            Some(Step::ReadAnswer | Step::ReadToEnd | Step::CountToEnd) => return self.read(net),
        }
        self.steps.pop_front();
        Next::Step
    }

    fn read(&mut self, net: &Net) -> Next {
        let Some(peer) = &self.peer else { return Next::Wait(Waits::Time) };
        let (bytes, is_end, is_reset) = (peer.receive(), peer.at_end(), peer.is_reset());
        let is_counted = matches!(self.steps.front(), Some(Step::CountToEnd));
        let wants_answer = matches!(self.steps.front(), Some(Step::ReadAnswer));
        self.received_bytes += bytes.len();
        if !is_counted {
            self.answer.extend_from_slice(&bytes);
            if !bytes.is_empty() {
                self.tell(net, "received", shown(&bytes));
            }
        }
        if is_reset {
            return Next::Ended("failed: the connection was reset");
        }
        if (wants_answer && is_whole(&self.answer)) || (!wants_answer && is_end) {
            if is_counted {
                self.tell(net, "received", format!("{} bytes in all", self.received_bytes));
            }
            self.steps.pop_front();
            return Next::Step;
        }
        if is_end {
            return Next::Ended("failed: unexpected end of file");
        }
        Next::Wait(Waits::Input)
    }

    fn tell(&self, net: &Net, step: &'static str, bytes: String) {
        if self.crowd.is_none() {
            self.notes.tell(net, note(self.id, self.scenario, step, bytes));
        }
    }

    fn end(&mut self, net: &Net, how: &'static str) {
        let Some(crowd) = &self.crowd else {
            return self.tell(net, "ended", how.into());
        };
        crowd.good.set(crowd.good.get() + usize::from(is_good(&self.answer)));
        crowd.left.set(crowd.left.get() - 1);
        if crowd.left.get() == 0 {
            let ended = crowd_ended(crowd.good.get());
            self.notes.tell(net, note(0, self.scenario, "ended", ended));
        }
    }
}
