//! What lies between the two ends of a connection: packets that take their time, in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::faults::{
    CUT_BYTES_MAX, Faults, LATENCY_MAX, TINY_PIPE_BYTES_MAX, below, duration, strikes,
};
use super::{EndId, Net, PIPE_BYTES, State};
use crate::id::SourceId;
use crate::world::{Readiness, Time};

/// One end of a connection in memory.
pub(super) struct End {
    /// Bytes that have arrived at this end, in order.
    pub(super) inbox: VecDeque<u8>,
    /// The mark of urgent data, after so many bytes of `inbox`: at most all of them. There is only
    /// one; as in TCP, a later one takes its place.
    pub(super) mark: Option<usize>,
    /// Bytes on their way to this end.
    pub(super) in_flight_bytes: usize,
    /// Packets on their way to this end: the next one must not overtake them.
    packets: usize,
    /// When the last of them arrives.
    arrives: Time,
    /// Bytes that may be in flight and in the inbox before writing to this end would block.
    pub(super) pipe_bytes: usize,
    /// How long a packet takes to this end.
    latency: Duration,
    /// Bytes after which the network resets the connection.
    cut_after_bytes: Option<usize>,
    /// The network has reset the connection.
    pub(super) was_cut: bool,
    /// The handshake is under way: nothing can be read or written, and nothing is reported.
    pub(super) connecting: bool,
    /// The other end wrote its last byte; the end of the stream is read after `inbox`.
    pub(super) finished: bool,
    /// The connection was reset; whatever is tried here fails.
    pub(super) reset: bool,
    /// This end has shut its write side.
    pub(super) shut: bool,
    /// This end was dropped.
    pub(super) closed: bool,
    /// Closing this end is a reset.
    pub(super) aborts: bool,
    /// A write of this end would have blocked, and nothing was read by the other end since.
    pub(super) wants_room: bool,
    /// The other end.
    pub(super) other: EndId,
    /// Where readiness is reported: set for ends that a loop has registered, while they are open.
    pub(super) source: Option<SourceId>,
    /// As which source a loop knows, or has known, the other end.
    pub(super) other_source: Option<SourceId>,
    pub(super) address: SocketAddr,
    /// Called when something has happened at this end: set for the outside's ends only.
    pub(super) watcher: Option<Watcher>,
    /// It is going to be called, and has not looked yet.
    is_told: bool,
}

/// What is reported when something has arrived that is not the end.
const ARRIVAL: Readiness = Readiness::READABLE.union(Readiness::PRIORITY);

/// What is run outside when something has happened at an end.
pub(super) type Watcher = Rc<dyn Fn(&Net)>;

/// What travels.
pub(super) enum Packet {
    Bytes(Vec<u8>),
    /// An urgent byte. It takes no room, and no read returns it.
    Urgent,
    /// The sender has shut its write side.
    Finish,
    Reset,
}

impl End {
    fn new(address: SocketAddr, line: Line) -> End {
        End {
            inbox: VecDeque::new(),
            mark: None,
            in_flight_bytes: 0,
            packets: 0,
            arrives: Time::ZERO,
            pipe_bytes: line.pipe_bytes,
            latency: line.latency,
            cut_after_bytes: line.cut_after_bytes,
            was_cut: false,
            connecting: false,
            finished: false,
            reset: false,
            shut: false,
            closed: false,
            aborts: false,
            wants_room: false,
            other: EndId::default(),
            source: None,
            other_source: None,
            address,
            watcher: None,
            is_told: false,
        }
    }

    /// Bytes that can be written to this end before that would block.
    pub(super) fn room_bytes(&self) -> usize {
        self.pipe_bytes.saturating_sub(self.inbox.len() + self.in_flight_bytes)
    }

    /// How long a packet takes to this end.
    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    /// What this end is ready for, as a kernel would report it to a poller that begins to watch it.
    pub(super) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::WRITABLE, !self.connecting);
        let has_mark = self.mark.is_some();
        readiness.set(Readiness::READABLE, !self.inbox.is_empty() || self.finished || has_mark);
        readiness.set(Readiness::PRIORITY, has_mark);
        readiness.set(Readiness::READ_CLOSED, self.finished || self.reset);
        readiness.set(Readiness::WRITE_CLOSED, self.reset);
        readiness
    }
}

/// What a new connection is like.
#[derive(Clone, Copy)]
struct Line {
    pipe_bytes: usize,
    latency: Duration,
    cut_after_bytes: Option<usize>,
}

impl Line {
    fn drawn(random: &mut fastrand::Rng, faults: &Faults) -> Line {
        let is_tiny = strikes(random, faults.tiny_pipe_percent);
        let is_far = strikes(random, faults.latency_percent);
        let is_cut = strikes(random, faults.cut_percent);
        Line {
            // A tiny pipe over a long way would move nothing worth waiting for.
            pipe_bytes: if is_tiny && !is_far {
                1 + below(random, TINY_PIPE_BYTES_MAX)
            } else {
                PIPE_BYTES
            },
            latency: if is_far { duration(random, LATENCY_MAX) } else { Duration::ZERO },
            cut_after_bytes: is_cut.then(|| below(random, CUT_BYTES_MAX)),
        }
    }
}

impl State {
    /// Two ends that are connected with each other: the one that asked, and the one that was asked.
    pub(super) fn pair(&mut self, asking: SocketAddr, asked: SocketAddr) -> (EndId, EndId) {
        let line = Line::drawn(&mut self.random, &self.faults);
        let first = self.ends.insert(End::new(asking, line));
        let second = self.ends.insert(End::new(asked, line));
        self.ends[first].other = second;
        self.ends[second].other = first;
        (first, second)
    }

    /// Nothing that is sent to `end` arrives before `time`.
    pub(super) fn not_before(&mut self, end: EndId, time: Time) {
        self.ends[end].arrives = time;
    }

    /// Sends a packet to `end`. It arrives after those that were sent before.
    pub(super) fn transmit(&mut self, to: EndId, packet: Packet) {
        let now = self.clock.now();
        let Some(end) = self.ends.get_mut(to) else { return };
        if let Packet::Bytes(bytes) = &packet {
            end.in_flight_bytes += bytes.len();
        }
        let arrives = (now + end.latency).max(end.arrives);
        end.packets += 1;
        if arrives <= now && end.packets == 1 {
            return self.deliver(to, packet);
        }
        end.arrives = arrives;
        self.later(arrives, move |net| net.state.borrow_mut().deliver(to, packet));
    }

    fn deliver(&mut self, to: EndId, packet: Packet) {
        let Some(end) = self.ends.get_mut(to) else { return };
        end.packets -= 1;
        match packet {
            Packet::Bytes(bytes) => self.deliver_bytes(to, &bytes),
            Packet::Urgent if end.reset || end.closed => {}
            Packet::Urgent => {
                end.mark = Some(end.inbox.len());
                let (source, readiness) = (end.source, end.readiness());
                self.report(source, readiness & ARRIVAL);
            }
            Packet::Finish => {
                end.finished = true;
                let source = end.source;
                self.report(source, Readiness::READABLE | Readiness::READ_CLOSED);
                self.tell_watcher(to);
            }
            Packet::Reset => self.fail(to),
        }
    }

    fn deliver_bytes(&mut self, to: EndId, bytes: &[u8]) {
        let end = &mut self.ends[to];
        end.in_flight_bytes -= bytes.len();
        let other = end.other;
        if end.reset {
            return;
        }
        if end.closed {
            // A kernel answers bytes for a closed socket with a reset.
            return self.transmit(other, Packet::Reset);
        }
        if let Some(left) = &mut end.cut_after_bytes {
            if *left < bytes.len() {
                return self.cut(to);
            }
            *left -= bytes.len();
        }
        if strikes(&mut self.random, self.faults.urgent_percent) {
            end.mark = Some(end.inbox.len() + below(&mut self.random, bytes.len() + 1));
        }
        end.inbox.extend(bytes);
        let (source, readiness) = (end.source, end.readiness());
        self.report(source, readiness & ARRIVAL);
        self.tell_watcher(to);
    }

    /// Has the outside look at `end`, once for all that happens at this moment.
    pub(super) fn tell_watcher(&mut self, end: EndId) {
        let now = self.clock.now();
        let Some(this) = self.ends.get_mut(end) else { return };
        let Some(watcher) = this.watcher.clone().filter(|_| !this.is_told) else { return };
        this.is_told = true;
        self.later(now, move |net| {
            if let Some(end) = net.state.borrow_mut().ends.get_mut(end) {
                end.is_told = false;
            }
            watcher(net);
        });
    }

    /// The network resets the connection of `end`.
    pub(super) fn cut(&mut self, end: EndId) {
        for id in [end, self.ends[end].other] {
            if let Some(end) = self.ends.get_mut(id) {
                end.was_cut = true;
                self.fail(id);
            }
        }
    }

    /// `end` resets its connection: it fails at once, the other end when it hears of it.
    pub(super) fn reset(&mut self, end: EndId) {
        let Some(other) = self.ends.get(end).map(|end| end.other) else { return };
        self.fail(end);
        self.transmit(other, Packet::Reset);
    }

    /// Whatever is tried at `end` fails from now on.
    fn fail(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(id) else { return };
        end.reset = true;
        end.connecting = false;
        end.inbox.clear();
        let source = end.source.filter(|_| !end.closed);
        self.report(source, Readiness::READ_CLOSED | Readiness::WRITE_CLOSED);
        self.tell_watcher(id);
    }

    /// The handshake of the program's own connection is over.
    pub(super) fn connected(&mut self, end: EndId) {
        let Some(end) = self.ends.get_mut(end).filter(|end| !end.reset) else { return };
        end.connecting = false;
        let (source, readiness) = (end.source, end.readiness());
        self.report(source, readiness);
    }

    /// Nobody listens there, or not any more.
    pub(super) fn refuse(&mut self, end: EndId) {
        let other = self.ends[end].other;
        if let Some(other) = self.ends.get_mut(other) {
            other.closed = true;
        }
        self.fail(end);
        self.forget_if_closed(end);
    }

    /// Both ends are dropped: nothing of the connection is left.
    pub(super) fn forget_if_closed(&mut self, end: EndId) {
        let Some(this) = self.ends.get(end).filter(|end| end.closed) else { return };
        let other = this.other;
        if self.ends.get(other).is_none_or(|other| other.closed) {
            self.ends.remove(end);
            self.ends.remove(other);
        }
    }
}
