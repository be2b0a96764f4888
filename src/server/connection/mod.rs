//! One connection: an explicit state machine that drives an [`Exchange`] over a socket.
//!
//! ```text
//!         first byte                  head whole
//!    ┌──────┐       ┌────────────────┐        ┌────────────────┐ more than its share ┌───────────┐
//! ──▶│ idle │ ────▶ │ receiving head │ ─────▶ │ receiving body │ ──────────────────▶ │ answering │
//!    └──────┘       └────────────────┘        └────────────────┘                     └───────────┘
//!        ▲                                                                                 │
//!        │  all is written       ┌──────────┐   the socket is full   ┌─────────┐           │
//!        └────────────────────── │ flushing │ ◀───────────────────── │ serving │ ◀─────────┘
//!                                └──────────┘                        └─────────┘  the service takes its time
//!                                     │ that was the last answer
//!                                     ▼
//!                               ┌───────────┐  the peer's end, or 2 s  ┌────────┐
//!                               │ lingering │ ───────────────────────▶ │ closed │
//!                               └───────────┘                          └────────┘
//! ```
//!
//! Every request goes around the ring and passes by what it does not need; see [`states::TABLE`]. Its way through the
//! code is one function, [`Connection::serve_requests`].
//!
//! **Flush before want.** All output is written before the exchange's answer is acted on: the
//! other end of the contract is [`Want`].
//!
//! **An idle connection owns no buffer.** Reads go into the loop's input buffer, answers into its
//! output buffer; what is left over is copied here, and released when it is used up.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use super::asking::{Pause, Who};
use super::{Service, Shared};
use crate::event_loop::{Cause, Context, Flow, Scratch, Source};
use crate::http::{Exchange, Reason, Want};
use crate::id::TaskId;
use crate::lazy_timer::LazyTimer;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::world::{Readiness, Stream, Time};

pub(super) mod ending;
mod introduction;
pub(super) mod serving;
pub(super) mod states;

use introduction::Introduction;
use serving::{PartsLeft, Serving, Work};
use states::{
    ANSWERING, CLOSED, FLUSHING, IDLE, LINGERING, RECEIVING_BODY, RECEIVING_HEAD, SERVING,
};

/// Where a connection is. What a state needs lives in its variant; all else about it is in its row of the
/// [table](states::TABLE).
enum State {
    Idle,
    ReceivingHead {
        /// What has come of it.
        held: Held,
    },
    ReceivingBody {
        /// Bytes of it that arrived in the present window.
        progress: u32,
    },
    Answering {
        /// Requests that have not been looked at.
        held: Held,
    },
    /// Nothing is read meanwhile, but for a body that the service takes while it comes.
    Serving(Box<Serving>),
    /// Nothing is read meanwhile: backpressure.
    Flushing(Box<Unsent>),
    /// The write side is shut (RFC 9112 section 9.6).
    Lingering,
    /// The socket is closed when the task is dropped. Also the placeholder while a step is under way.
    Closed,
}

/// What a connection may still do in the present resume.
struct Budget {
    read_bytes_left: usize,
    requests_left: usize,
    parts_left: PartsLeft,
}

/// What a step of the machine leads to.
enum Next {
    /// On to the next step.
    Step,
    /// Back to the loop.
    Yield(Flow),
}

/// Input that was received and not consumed, if there is any: part of a head, or whole requests
/// after a flush. Boxed, because most connections are idle and have none.
#[allow(clippy::box_collection, reason = "one word in every connection instead of three")]
type Held = Option<Box<Vec<u8>>>;

/// Output that did not fit into the socket.
struct Unsent {
    bytes: Vec<u8>,
    /// `bytes[..sent]` is on its way; less than all.
    sent: usize,
    /// Bytes that the peer took in the present window.
    progress: u32,
    /// What comes once everything is written.
    then: Then,
}

/// Where answers lead, once they are written.
enum Then {
    To(State),
    Close(Reason),
}

pub(super) struct Connection<S> {
    source: Source<Stream>,
    shared: Rc<Shared<S>>,
    exchange: Exchange,
    state: State,
    /// When it must have moved on: extending that is one write.
    due: Time,
    /// It looks whether it has. Set when the first resume ends: a connection that is over by then needs none.
    timer: LazyTimer,
    peer: Peer,
    /// The peer has finished sending.
    eof: bool,
    /// The loop knows that it waits to read, so that it need not be told again.
    waits_to_read: bool,
}

/// A peer's address without an IPv6 scope: 20 bytes instead of 32, in every idle connection.
#[derive(Clone, Copy)]
struct Peer {
    ip: IpAddr,
    port: u16,
    /// It fits into what alignment leaves free.
    introduction: Introduction,
}

impl State {
    fn row(&self) -> usize {
        match self {
            State::Idle => IDLE,
            State::ReceivingHead { .. } => RECEIVING_HEAD,
            State::ReceivingBody { .. } => RECEIVING_BODY,
            State::Answering { .. } => ANSWERING,
            State::Serving(_) => SERVING,
            State::Flushing(_) => FLUSHING,
            State::Lingering => LINGERING,
            State::Closed => CLOSED,
        }
    }
}

impl Peer {
    fn address(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

impl<S: Service + 'static> Connection<S> {
    /// Makes a task of a new connection.
    ///
    /// # Errors
    /// When the loop cannot watch it; it is closed then.
    pub(super) fn open(shared: &Rc<Shared<S>>, stream: Stream, peer: SocketAddr) -> io::Result<()> {
        let handle = &shared.status.handle;
        let introduction = match &shared.prefaces {
            None => Introduction::Done,
            Some(_) => Introduction::Awaited,
        };
        let peer = Peer { ip: peer.ip(), port: peer.port(), introduction };
        handle.try_spawn_task(Cause::SPAWNED, |task| -> io::Result<_> {
            let source = Source::stream(handle, stream, task)?;
            shared.status.connection_opened(source.id(), task);
            Ok(Box::new(Connection {
                source,
                shared: Rc::clone(shared),
                exchange: Exchange::new(),
                state: State::Idle,
                due: handle.now() + shared.idle_time_limit(),
                timer: LazyTimer::UNSET,
                peer,
                eof: false,
                waits_to_read: false,
            }))
        })?;
        Ok(())
    }
}

impl<S> Connection<S> {
    /// Whose requests are answered.
    fn who(&self, task: TaskId) -> Who {
        let client = match (self.peer.introduction, &self.shared.prefaces) {
            (Introduction::Client, Some(prefaces)) => prefaces.kept(self.source.id()),
            _ => None,
        };
        Who { task, peer: self.peer.address(), client }
    }
}

/// The machine: each step takes a state and leaves the next in its place.
impl<S: Service> Connection<S> {
    #[inline(always)]
    fn run(&mut self, cx: &mut Context<'_>) -> Flow {
        let limits = &self.shared.limits;
        let budget = &mut Budget {
            read_bytes_left: limits.read_bytes_per_resume_max,
            requests_left: limits.requests_per_resume_max,
            parts_left: PartsLeft::ALL,
        };
        loop {
            let from = self.state.row();
            let next = match mem::replace(&mut self.state, State::Closed) {
                State::Idle => self.serve_requests(IDLE, None, 0, budget, cx),
                State::ReceivingHead { held } => {
                    self.serve_requests(RECEIVING_HEAD, held, 0, budget, cx)
                }
                State::ReceivingBody { progress } => {
                    self.serve_requests(RECEIVING_BODY, None, progress, budget, cx)
                }
                State::Answering { held } => self.serve_requests(ANSWERING, held, 0, budget, cx),
                State::Serving(serving) => self.serve_part(serving, budget, cx),
                State::Flushing(unsent) => self.flush(unsent, cx),
                State::Lingering => self.linger(budget, cx),
                State::Closed => Next::Yield(Flow::Done),
            };
            self.shared.tell_state(cx.task(), from, self.state.row());
            if let Next::Yield(flow) = next {
                return flow;
            }
        }
    }

    /// The way of a request, top to bottom: read, [answer](Shared::answer_requests), write. Before it are `held` bytes
    /// that were read earlier, and `progress` bytes of its body in the present window.
    fn serve_requests(
        &mut self,
        from: usize,
        mut held: Held,
        progress: u32,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Next {
        // Read, once, unless there are requests that wait for their turn.
        let mut fresh = 0;
        if from != ANSWERING {
            // Without a request left, a look at what is not there does no harm.
            let is_spent = budget.requests_left == 0 && self.source.readiness().is_readable();
            if is_spent || budget.read_bytes_left == 0 {
                self.state = state_of(from, held, progress);
                return Next::Yield(Flow::Again);
            }
            fresh = match self.source.read(&mut cx.scratch.input) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_to_read(state_of(from, held, progress));
                }
                Err(error) => return self.fail(&error, cx),
            };
            self.eof |= fresh == 0;
            budget.read_bytes_left = budget.read_bytes_left.saturating_sub(fresh);
        }

        // After the preface, if there is to be one, find each request, ask the service, answer.
        let mut who = self.who(cx.task());
        let Scratch { input, output } = &mut *cx.scratch;
        let input = &input[..fresh];
        let all = match &mut held {
            Some(held) => {
                held.extend_from_slice(input);
                held.as_slice()
            }
            None => input,
        };
        let (mut rest, left) = (all, &mut budget.requests_left);
        let begun = match self.peer.introduction {
            Introduction::Awaited => self.introduce(&mut who, &mut rest),
            _ => Ok(()),
        };
        let pause = match begun {
            Ok(()) => {
                let (exchange, eof) = (&mut self.exchange, self.eof);
                self.shared.answer_requests(exchange, &who, &mut rest, eof, left, output)
            }
            Err(want) => Pause::Want(want),
        };

        // What is left over is kept; then everything that was said is written.
        let consumed = all.len() - rest.len();
        let held = left_over(held, input, consumed);
        let came_whole = from == IDLE && held.is_none();
        let then = match pause {
            Pause::OthersFirst => Then::To(State::Answering { held }),
            Pause::Later(pending) => {
                let work = Work::new(pending, &self.source);
                Then::To(State::Serving(Box::new(Serving::new(work, held))))
            }
            Pause::Want(Want::Request) => Then::To(State::Idle),
            Pause::Want(Want::Head) => Then::To(State::ReceivingHead { held }),
            Pause::Want(Want::Body) => {
                let fresh = u32::try_from(fresh).unwrap_or(u32::MAX);
                Then::To(State::ReceivingBody { progress: progress.saturating_add(fresh) })
            }
            Pause::Want(Want::Service) => Then::Close(Reason::ServicePanicked),
            Pause::Want(Want::Close(reason)) => Then::Close(reason),
        };
        self.deliver(then, came_whole, cx)
    }
}

/// A state in which input is waited for.
fn state_of(row: usize, held: Held, progress: u32) -> State {
    match row {
        RECEIVING_HEAD => State::ReceivingHead { held },
        RECEIVING_BODY => State::ReceivingBody { progress },
        _ => State::Idle,
    }
}

/// Answers on their way to the socket.
impl<S: Service> Connection<S> {
    /// Writes the output buffer, then goes on: flush before want.
    fn deliver(&mut self, then: Then, came_whole: bool, cx: &mut Context<'_>) -> Next {
        let output = &mut cx.scratch.output;
        if !output.is_empty() {
            let sent = match write_all(&mut self.source, output) {
                Ok(sent) => sent,
                Err(error) => return self.fail(&error, cx),
            };
            if sent < output.len() {
                let bytes = output[sent..].to_vec();
                output.clear();
                return self.wait_to_write(Box::new(Unsent { bytes, sent: 0, progress: 0, then }));
            }
            output.clear();
            output.shrink_to(BUFFER_BYTES_KEPT_MAX);
        }
        self.go_on(then, came_whole, cx)
    }

    /// Goes on with what did not fit before.
    fn flush(&mut self, mut unsent: Box<Unsent>, cx: &Context<'_>) -> Next {
        let sent = match write_all(&mut self.source, &unsent.bytes[unsent.sent..]) {
            Ok(sent) => sent,
            Err(error) => return self.fail(&error, cx),
        };
        unsent.sent += sent;
        if unsent.sent < unsent.bytes.len() {
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            unsent.progress = unsent.progress.saturating_add(sent);
            return self.wait_to_write(unsent);
        }
        self.go_on(unsent.then, false, cx)
    }

    /// Everything is written.
    fn go_on(&mut self, then: Then, came_whole: bool, cx: &Context<'_>) -> Next {
        match then {
            Then::Close(reason) => self.close(reason, came_whole, cx),
            Then::To(state @ State::Answering { .. }) => {
                self.state = state;
                Next::Yield(Flow::Again)
            }
            Then::To(state @ State::Serving(_)) => {
                self.state = state;
                Next::Step
            }
            Then::To(state) => {
                debug_assert!(!self.eof, "after the end there is nothing to read");
                if !self.source.readiness().is_readable() {
                    return self.wait_to_read(state);
                }
                self.state = state;
                Next::Step
            }
        }
    }

    fn wait_to_read(&mut self, state: State) -> Next {
        self.state = state;
        if !mem::replace(&mut self.waits_to_read, true) {
            self.source.want(Readiness::READABLE);
        }
        Next::Yield(Flow::Wait)
    }

    fn wait_to_write(&mut self, unsent: Box<Unsent>) -> Next {
        self.state = State::Flushing(unsent);
        self.waits_to_read = false;
        self.source.want(Readiness::WRITABLE);
        Next::Yield(Flow::Wait)
    }
}

/// What follows the first `consumed` bytes of `held`, or of `input` if nothing was held.
fn left_over(held: Held, input: &[u8], consumed: usize) -> Held {
    match held {
        Some(mut held) => {
            held.drain(..consumed);
            Some(held).filter(|held| !held.is_empty())
        }
        None if consumed < input.len() => Some(Box::new(input[consumed..].to_vec())),
        None => None,
    }
}

/// Writes until everything is written or the socket is full; returns the number of bytes written.
fn write_all(source: &mut Source<Stream>, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match source.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        type Closure = fn(&crate::http::Request<'_>, &mut crate::http::Response);
        // In debug builds mio's sockets remember their poller, in one more word.
        let debug_bytes = if cfg!(debug_assertions) { size_of::<usize>() } else { 0 };
        let bytes = size_of::<Connection<Closure>>();
        assert!(bytes <= 128 + debug_bytes, "{bytes} bytes");
        assert!(size_of::<State>() <= 16);
    }

    #[test]
    fn a_peer_is_as_small_as_its_address() {
        assert_eq!(size_of::<Peer>(), 20);
    }

    #[test]
    fn what_is_left_over_is_kept_and_nothing_else() {
        assert_eq!(left_over(None, b"abc", 3), None);
        assert_eq!(left_over(None, b"abc", 1), Some(Box::new(b"bc".to_vec())));
        let held = || Some(Box::new(b"abcd".to_vec()));
        assert_eq!(left_over(held(), b"cd", 4), None);
        assert_eq!(left_over(held(), b"cd", 3), Some(Box::new(b"d".to_vec())));
    }
}
