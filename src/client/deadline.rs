//! How long each phase of a fetch may take, and how long it took.

use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::error::Phase;
use crate::coroutine::Relay;
use crate::event_loop::Handle;
use crate::lazy_timer::LazyAlarm;
use crate::limits::{
    FETCH_BODY_PROGRESS_TIMEOUT, FETCH_CONNECT_TIMEOUT, FETCH_HEAD_TIMEOUT, FETCH_RESOLVE_TIMEOUT,
    FETCH_TLS_TIMEOUT, FETCH_WHOLE_TIMEOUT,
};
use crate::world::Time;

/// How long a fetch may take. `Timeouts::default()` holds the constants of
/// [`limits`](crate::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the name up, from the beginning of the look-up; see [`FETCH_RESOLVE_TIMEOUT`].
    pub resolve: Duration,
    /// Connecting, over all addresses of the name; see [`FETCH_CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// The TLS handshake; see [`FETCH_TLS_TIMEOUT`].
    pub tls: Duration,
    /// From the first byte of the request to the end of the reply's head; see
    /// [`FETCH_HEAD_TIMEOUT`].
    pub head: Duration,
    /// Between two chunks of the body; see [`FETCH_BODY_PROGRESS_TIMEOUT`].
    pub body_progress: Duration,
    /// From `send` to the last byte of the body, redirects and waiting for a free connection or
    /// look-up included; see [`FETCH_WHOLE_TIMEOUT`]. `None`: no limit.
    pub whole: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            resolve: FETCH_RESOLVE_TIMEOUT,
            connect: FETCH_CONNECT_TIMEOUT,
            tls: FETCH_TLS_TIMEOUT,
            head: FETCH_HEAD_TIMEOUT,
            body_progress: FETCH_BODY_PROGRESS_TIMEOUT,
            whole: Some(FETCH_WHOLE_TIMEOUT),
        }
    }
}

impl Timeouts {
    /// The limit of one phase; `None`: that of the whole.
    fn of(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Queue => None,
            Phase::Resolve => Some(self.resolve),
            Phase::Connect => Some(self.connect),
            Phase::Tls => Some(self.tls),
            Phase::Head => Some(self.head),
            Phase::Body => Some(self.body_progress),
        }
    }
}

/// How long the phases of a fetch took, by the loop's clock, which is read once a turn. Redirects
/// and a retry are added up.
///
/// ```
/// use helloop::client::{Client, ClientBuilder, ErrorKind, Phase, RequestBuilder, Timings};
/// use helloop::coroutine;
/// use helloop::greeting::Greeting;
/// use helloop::server::Server;
///
/// let running = Server::builder().bind("127.0.0.1:0")?.spawn(Greeting)?;
/// let url = format!("http://{}/World", running.local_addrs()[0]);
/// coroutine::run(|handle| async move {
///     let builder: ClientBuilder = Client::builder(&handle).redirects_max(0);
///     let client = builder.build()?;
///     let request: RequestBuilder = client.get(&url).header("Accept", "text/plain");
///     let mut reply = request.send().await?;
///     reply.collect().await?;
///     let timings: Timings = reply.timings();
///     assert!(timings.body.is_some());
///
///     // Nobody will listen there any more.
///     running.handle().shutdown();
///     running.finished().await;
///     let error = client.get(&url).send().await.unwrap_err();
///     assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Phase::Connect));
///     Ok::<(), helloop::client::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting because of the limits of connections and look-ups.
    pub queued: Duration,
    /// Looking the name up; zero if it was known, or a connection was there.
    pub resolve: Duration,
    /// Connecting; zero if a connection was there.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// Sending the request and waiting for the head of the reply.
    pub head: Duration,
    /// Reading the body; `None` until its end was read.
    pub body: Option<Duration>,
}

impl Timings {
    /// All phases together.
    pub fn total(&self) -> Duration {
        let Timings { queued, resolve, connect, tls, head, body } = *self;
        queued + resolve + connect + tls + head + body.unwrap_or_default()
    }
}

/// Nanoseconds that the phases took, in their order. Half the size of [`Timings`]: every fetch that
/// waits has them.
type Spent = [u64; Phase::Body as usize + 1];

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimedOut {
    pub(super) phase: Phase,
    pub(super) limit: Duration,
    /// The limit of the whole fetch, not that of the phase.
    pub(super) is_whole: bool,
}

/// The clock of one fetch: which phase it is in, until when, and what the phases took.
///
/// To begin a phase or to make progress writes two fields; see [`LazyAlarm`].
#[derive(Debug)]
pub(super) struct Watch {
    handle: Handle,
    timeouts: Rc<Timeouts>,
    phase: Phase,
    began: Time,
    /// When the phase is over; `Time::NEVER` if it has no limit.
    phase_end: Time,
    /// When everything is over.
    whole_end: Time,
    alarm: LazyAlarm,
    spent: Spent,
    /// The end of the body was read.
    is_finished: bool,
}

impl Watch {
    /// Begins with [`Phase::Queue`].
    pub(super) fn start(handle: &Handle, timeouts: &Rc<Timeouts>) -> Watch {
        let began = handle.now();
        Watch {
            handle: handle.clone(),
            timeouts: Rc::clone(timeouts),
            phase: Phase::Queue,
            began,
            phase_end: Time::NEVER,
            whole_end: timeouts.whole.map_or(Time::NEVER, |whole| began + whole),
            alarm: LazyAlarm::unset(),
            spent: Spent::default(),
            is_finished: false,
        }
    }

    pub(super) fn timings(&self) -> Timings {
        let spent = |phase: Phase| Duration::from_nanos(self.spent[phase as usize]);
        Timings {
            queued: spent(Phase::Queue),
            resolve: spent(Phase::Resolve),
            connect: spent(Phase::Connect),
            tls: spent(Phase::Tls),
            head: spent(Phase::Head),
            body: self.is_finished.then(|| spent(Phase::Body)),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Ends the present phase and begins another.
    pub(super) fn enter(&mut self, phase: Phase) {
        let now = self.handle.now();
        self.spend(now);
        (self.phase, self.began) = (phase, now);
        self.extend(now);
    }

    /// There was progress: the limit of the phase begins anew.
    pub(super) fn progress(&mut self) {
        self.extend(self.handle.now());
    }

    /// The last byte of the body was read.
    pub(super) fn finish(&mut self) {
        debug_assert_eq!(self.phase, Phase::Body);
        self.spend(self.handle.now());
        self.is_finished = true;
        self.alarm.cancel(&self.handle);
    }

    /// Call before waiting: fails if the limit has passed, otherwise arms a timer for it.
    pub(super) fn check(&mut self, cx: &Context<'_>, relay: &mut Relay) -> Result<(), TimedOut> {
        let (end, now) = (self.phase_end.min(self.whole_end), self.handle.now());
        if now >= end {
            return Err(self.timed_out());
        }
        if end == Time::NEVER {
            return Ok(());
        }
        let task = relay.task(&self.handle, cx);
        let time = end.min(self.no_later_than_the_next_phase(now));
        self.alarm.arm(time, &self.handle, task);
        Ok(())
    }

    /// Call while busy for long without waiting: fails if the limit of the whole has passed.
    pub(super) fn check_whole(&self) -> Result<(), TimedOut> {
        match self.timeouts.whole {
            Some(limit) if self.handle.now() >= self.whole_end => {
                Err(TimedOut { phase: self.phase, limit, is_whole: true })
            }
            _ => Ok(()),
        }
    }

    /// A fetch that waits in a queue will, as a rule, need an earlier timer when its turn has come. A
    /// timer that is early from the beginning need not be cancelled then.
    fn no_later_than_the_next_phase(&self, now: Time) -> Time {
        match self.phase {
            Phase::Queue => now + self.timeouts.connect.min(self.timeouts.head),
            _ => Time::NEVER,
        }
    }

    fn timed_out(&self) -> TimedOut {
        let phase_limit = self.timeouts.of(self.phase);
        let (limit, is_whole) = match (phase_limit, self.timeouts.whole) {
            (Some(limit), _) if self.phase_end <= self.whole_end => (limit, false),
            (_, whole) => (whole.unwrap_or_default(), true),
        };
        TimedOut { phase: self.phase, limit, is_whole }
    }

    fn extend(&mut self, now: Time) {
        self.phase_end = self.timeouts.of(self.phase).map_or(Time::NEVER, |limit| now + limit);
    }

    /// Counts the present phase, which ends `now`.
    fn spend(&mut self, now: Time) {
        self.spent[self.phase as usize] += now.as_nanos() - self.began.as_nanos();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.alarm.cancel(&self.handle);
    }
}
