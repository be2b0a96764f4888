use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::SourceId;
use helloop::world::Time;
use helloop::world::sim::{Net, Peer};

use super::plan::{ClientPlan, Farewell, Reads};
use super::reader::{Ends, Reader};

/// How long a client that is through with its plan waits for a server that does not close.
const PATIENCE: Duration = Duration::from_secs(400);

/// What became of a client: what it saw, and when.
#[derive(Default)]
pub(crate) struct Seen {
    /// Its first attempt; `None` before.
    pub(crate) arrived: Option<Time>,
    /// Nobody listened when it came.
    pub(crate) was_refused: bool,
    /// As which source the server's loop knew it.
    pub(crate) source: Option<SourceId>,
    /// When so many bytes, in all, had been sent.
    pub(crate) sent: Vec<(Time, usize)>,
    pub(crate) reader: Reader,
    /// The server finished, and everything was received.
    pub(crate) at_end: Option<Time>,
    /// The connection was reset, and not by this client.
    pub(crate) was_reset: Option<Time>,
    /// It was the network that reset it.
    pub(crate) was_cut: bool,
    /// It finished sending, with its connection open in the other direction.
    pub(crate) half_closed: Option<Time>,
    /// It closed, or reset, the connection.
    pub(crate) left: Option<Time>,
}

/// A client at work.
pub(super) struct Client {
    plan: ClientPlan,
    address: SocketAddr,
    stream: Vec<u8>,
    sends: VecDeque<(Duration, usize)>,
    peer: Option<Peer>,
    pub(super) seen: Seen,
    /// Told when it is gone.
    done: Box<dyn FnMut()>,
}

pub(super) type Shared = Rc<RefCell<Client>>;

impl Client {
    /// Begins to carry out `plan`; calls `done` when that is over.
    pub(super) fn start(
        net: &Net,
        address: SocketAddr,
        plan: &ClientPlan,
        done: impl FnMut() + 'static,
    ) -> Shared {
        let client = Rc::new(RefCell::new(Client {
            stream: plan.stream(),
            sends: plan.sends.iter().copied().collect(),
            plan: plan.clone(),
            address,
            peer: None,
            seen: Seen::default(),
            done: Box::new(done),
        }));
        let arriving = Rc::clone(&client);
        net.at(Time::ZERO + plan.arrives, move |net| arrive(net, &arriving));
        client
    }

    /// Its end of the connection; it is dropped when the client goes.
    fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    fn is_sent(&self) -> bool {
        self.sends.is_empty()
    }

    /// Every answer that it can expect is here.
    fn is_answered(&self) -> bool {
        let answers = &self.seen.reader.answers;
        answers.len() >= self.plan.asks.len() || answers.last().is_some_and(|last| last.closes)
    }

    fn receive(&mut self, now: Time, bytes_max: usize) {
        let Some(peer) = &self.peer else { return };
        let bytes = peer.receive_at_most(bytes_max);
        let asks = &self.plan.asks;
        let ends = |n: usize| asks.get(n).map_or(Ends::Told, |ask| ask.expected.ends);
        self.seen.reader.take(&bytes, peer.at_end(), ends);
        if peer.is_reset() {
            self.seen.was_reset.get_or_insert(now);
            self.seen.was_cut |= peer.was_cut();
        }
        if peer.at_end() {
            self.seen.at_end.get_or_insert(now);
        }
        self.seen.source = self.seen.source.or(peer.known_as());
    }

    /// Closes the connection.
    fn leave(&mut self, now: Time) {
        let Some(peer) = self.peer.take() else { return };
        self.seen.source = self.seen.source.or(peer.known_as());
        // It may have been reset in this very moment, before anybody could look.
        self.seen.was_cut |= peer.was_cut();
        self.seen.left = Some(now);
        drop(peer);
        (self.done)();
    }
}

fn arrive(net: &Net, client: &Shared) {
    let mut this = client.borrow_mut();
    this.seen.arrived = Some(net.now());
    let Some(peer) = net.try_connect(this.address) else {
        this.seen.was_refused = true;
        return (this.done)();
    };
    let watching = Rc::clone(client);
    peer.watch(move |net| look(net, &watching));
    let reads = this.plan.reads;
    this.peer = Some(peer);
    drop(this);
    send_next(net, client);
    if let Reads::Slowly { period, .. } = reads {
        read_slowly(net, client, period);
    }
}

/// Does something after `pause`, unless the client has gone by then.
fn after(net: &Net, client: &Shared, pause: Duration, what: impl FnOnce(&Net, &Shared) + 'static) {
    let client = Rc::clone(client);
    net.at(net.now() + pause, move |net| {
        let is_here = client.borrow().peer().is_some();
        if is_here {
            what(net, &client);
        }
    });
}

fn send_next(net: &Net, client: &Shared) {
    let next = client.borrow_mut().sends.pop_front();
    let Some((pause, bytes)) = next else { return say_farewell(net, client) };
    after(net, client, pause, move |net, client| {
        {
            let this = &mut *client.borrow_mut();
            let from = this.seen.sent.last().map_or(0, |(_, bytes)| *bytes);
            let to = from + bytes;
            if let Some(peer) = &this.peer {
                peer.send(&this.stream[from..to]);
            }
            this.seen.sent.push((net.now(), to));
        }
        send_next(net, client);
    });
}

/// Everything is sent.
fn say_farewell(net: &Net, client: &Shared) {
    let farewell = client.borrow().plan.farewell;
    match farewell {
        Farewell::HalfCloses => {
            let mut this = client.borrow_mut();
            this.seen.half_closed = Some(net.now());
            if let Some(peer) = &this.peer {
                peer.finish();
            }
        }
        Farewell::Resets(pause) => after(net, client, pause, |net, client| {
            let mut this = client.borrow_mut();
            if let Some(peer) = &this.peer {
                peer.reset();
            }
            this.leave(net.now());
        }),
        Farewell::Leaves(pause) => {
            after(net, client, pause, |net, client| client.borrow_mut().leave(net.now()));
        }
        Farewell::Closes(_) | Farewell::Waits(_) => {}
    }
    // A client that does not read does not see the end either.
    let reads = client.borrow().plan.reads;
    if reads != Reads::Eagerly {
        after(net, client, PATIENCE, |net, client| client.borrow_mut().leave(net.now()));
    }
    look(net, client);
}

/// Something may have happened.
fn look(net: &Net, client: &Shared) {
    let mut this = client.borrow_mut();
    let now = net.now();
    if this.plan.reads == Reads::Eagerly {
        this.receive(now, usize::MAX);
    } else {
        this.receive(now, 0);
    }
    if this.seen.was_reset.is_some() {
        return this.leave(now);
    }
    let is_over = this.seen.at_end.is_some();
    let pause = match this.plan.farewell {
        Farewell::Waits(pause) if is_over => pause,
        _ if is_over => Duration::ZERO,
        Farewell::Closes(pause) if this.is_sent() && this.is_answered() => pause,
        _ => return,
    };
    drop(this);
    after(net, client, pause, |net, client| client.borrow_mut().leave(net.now()));
}

fn read_slowly(net: &Net, client: &Shared, period: Duration) {
    after(net, client, period.max(Duration::from_micros(50)), move |net, client| {
        let reads = client.borrow().plan.reads;
        if let Reads::Slowly { bytes, .. } = reads {
            client.borrow_mut().receive(net.now(), bytes);
        }
        look(net, client);
        read_slowly(net, client, period);
    });
}
