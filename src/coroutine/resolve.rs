//! Names to addresses: getaddrinfo(3) on threads of its own, because it blocks.
//!
//! A [`Resolver`] looks a name up once for all tasks that ask at that time, only so many names at a time,
//! and in the order in which they were asked for. A look-up that is not awaited any more goes on, since
//! a thread cannot be cancelled, but it makes room for another: a dead name server costs the tasks that
//! asked for its names, and no others.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::look_up_threads::LookUpThreads;
use super::promise::Promise;
use crate::event_loop::Handle;
use crate::limits::{
    LOOK_UP_THREAD_IDLE, LOOK_UPS_GIVEN_UP_MAX, LOOK_UPS_MAX, RESOLVED_KEPT, RESOLVED_NAMES_MAX,
};
use crate::world::Time;

/// The loop's resolver for programs that make none: it remembers nothing.
struct Forgetful(Resolver);

impl Handle {
    /// The addresses of a host, best first, in the order of the system (RFC 6724): asyncio's
    /// `getaddrinfo`. Nothing is remembered; a [`Resolver`] does that.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let resolver = self.local(|| Forgetful(Resolver::new(self, Duration::ZERO)));
        let found = resolver.0.resolve(host).await?;
        Ok(found.iter().map(|address| with_port(*address, port)).collect())
    }
}

/// The same address at another port.
pub(crate) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Why a name has no address: the words of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(Rc<str>);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResolveError {}

/// Addresses of one host, at port 0; at least one.
type Found = Rc<[SocketAddr]>;
type Outcome = Result<Found, ResolveError>;

/// A look-up under way: what [`ToSocketAddrs`] says.
type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

/// Begins a look-up. Fails where the system has no thread for it.
type Begin = Box<dyn Fn(&str) -> io::Result<LookUp>>;

/// Looks names up, and remembers the addresses for a while. A task that asks for a name which is just
/// being looked up shares the answer. Failures are not remembered. Clones are the same resolver.
///
/// ```
/// use helloop::coroutine::{self, ResolveError, Resolver};
/// use std::io;
/// use std::time::Duration;
///
/// coroutine::run(|handle| async move {
///     // A table of hosts, in the place of the system.
///     let resolver = Resolver::with_look_up(&handle, Duration::from_secs(60), |host| async move {
///         match host.as_str() {
///             "printer" => Ok(vec![([192, 0, 2, 7], 0).into()]),
///             _ => Err(io::Error::other("there is no such host")),
///         }
///     });
///     assert_eq!(resolver.resolve("printer").await.map(|found| found.len()), Ok(1));
///     let error: ResolveError = resolver.resolve("scanner").await.unwrap_err();
///     assert!(error.to_string().contains("there is no such host"));
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Resolver {
    inner: Rc<Inner>,
}

struct Inner {
    handle: Handle,
    begin: Begin,
    kept: Duration,
    look_ups_max: Cell<usize>,
    state: RefCell<State>,
}

/// Invariants: a name that is `Asked` for is in the queue or runs; `awaited <= running`.
#[derive(Default)]
struct State {
    names: HashMap<Rc<str>, Name>,
    /// Names that are known, the oldest first, and until when. Some may have been asked for anew since.
    known: VecDeque<(Time, Rc<str>)>,
    /// Look-ups that have not begun, in the order in which they were asked for.
    queue: BTreeMap<u64, Rc<Query>>,
    /// Look-ups ever asked for.
    sequence: u64,
    /// Look-ups that have begun and not ended.
    running: usize,
    /// Those of them that are awaited. Only these are limited by `look_ups_max`.
    awaited: usize,
    /// A callback will look whether another can begin.
    is_called: bool,
}

enum Name {
    /// A look-up is under way, or will be.
    Asked(Rc<Query>),
    Known {
        found: Found,
        until: Time,
    },
}

/// A look-up, and the tasks that wait for it.
struct Query {
    host: Rc<str>,
    /// Its place in the queue.
    number: u64,
    /// Set when it begins.
    begun: Promise<()>,
    answer: Promise<Outcome>,
    /// Those that wait for the answer.
    waiting: Cell<usize>,
}

impl Resolver {
    /// A resolver that asks the system, and remembers addresses for `kept`.
    pub fn new(handle: &Handle, kept: Duration) -> Resolver {
        let on_loop = handle.clone();
        let begin = move |host: &str| -> io::Result<LookUp> {
            let threads = on_loop.local(|| LookUpThreads::new(LOOK_UP_THREAD_IDLE));
            let host = host.to_owned();
            let asked = threads.run(move || (host.as_str(), 0).to_socket_addrs())?;
            Ok(Box::pin(async move { Ok(asked.await.map_err(io::Error::other)??.collect()) }))
        };
        Resolver::beginning(handle, kept, Box::new(begin))
    }

    /// A resolver that asks the system, and remembers addresses for [`RESOLVED_KEPT`].
    pub fn with_defaults(handle: &Handle) -> Resolver {
        Resolver::new(handle, RESOLVED_KEPT)
    }

    /// A resolver that awaits `look_up` where others ask the system: for a resolver of one's own, a
    /// table of hosts, or a test. It takes a name, and returns the addresses, best first; their ports do
    /// not matter. It is not cancelled when its answer is not awaited any more, so it should have a limit
    /// of its own.
    pub fn with_look_up<L, F>(handle: &Handle, kept: Duration, look_up: L) -> Resolver
    where
        L: Fn(String) -> F + 'static,
        F: Future<Output = io::Result<Vec<SocketAddr>>> + 'static,
    {
        let begin =
            move |host: &str| -> io::Result<LookUp> { Ok(Box::pin(look_up(host.to_owned()))) };
        Resolver::beginning(handle, kept, Box::new(begin))
    }

    fn beginning(handle: &Handle, kept: Duration, begin: Begin) -> Resolver {
        let (look_ups_max, state) = (Cell::new(LOOK_UPS_MAX), RefCell::default());
        Resolver {
            inner: Rc::new(Inner { handle: handle.clone(), begin, kept, look_ups_max, state }),
        }
    }

    /// From now on at most so many names, and at least one, are looked up at a time. The default is
    /// [`LOOK_UPS_MAX`]. At the limit: names wait in the order in which they were asked for.
    pub fn set_look_ups_max(&self, look_ups: usize) {
        self.inner.look_ups_max.set(look_ups.max(1));
    }

    /// The addresses of `host`, best first, with port 0; at least one. It waits without a limit of
    /// its own: the system's look-up has one, of 5 to 30 s as a rule.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, host: &str) -> Result<Rc<[SocketAddr]>, ResolveError> {
        match self.known(host) {
            Some(found) => Ok(found),
            None => self.ask(host).answer().await,
        }
    }

    /// What is known without asking: addresses written out, `localhost` (RFC 6761 section 6.3: it
    /// never leaves the machine, so no name server is needed), and what was found recently.
    pub fn known(&self, host: &str) -> Option<Rc<[SocketAddr]>> {
        if let Some(found) = literal(host) {
            return Some(found);
        }
        match self.inner.state.borrow().names.get(host)? {
            Name::Known { found, until } if self.inner.handle.now() < *until => {
                Some(Rc::clone(found))
            }
            _ => None,
        }
    }

    /// Shares the look-up that is under way, or asks for a new one.
    pub(crate) fn ask(&self, host: &str) -> Asked {
        let (query, is_new) = self.inner.state.borrow_mut().ask(&self.inner.handle, host);
        let asked = Asked { resolver: self.clone(), query };
        if is_new {
            self.begin_some();
        }
        asked
    }

    /// Begins as many look-ups as may be.
    fn begin_some(&self) {
        let Inner { begin, state, .. } = &*self.inner;
        while let Some(query) = self.next_in_queue() {
            match begin(&query.host) {
                Ok(look_up) => self.run(query, look_up),
                // The end of another may give us its thread.
                Err(_) if state.borrow().running > 1 => {
                    let mut state = state.borrow_mut();
                    state.leave(&query);
                    state.queue.insert(query.number, query);
                    return;
                }
                Err(error) => self.end(&query, Err(error)),
            }
        }
    }

    /// Takes the oldest look-up out of the queue, if it may begin; it is counted then.
    fn next_in_queue(&self) -> Option<Rc<Query>> {
        let mut state = self.inner.state.borrow_mut();
        let max = self.inner.look_ups_max.get();
        let running_max = max.saturating_add(LOOK_UPS_GIVEN_UP_MAX);
        let may_begin = state.awaited < max && state.running < running_max;
        let (_, query) = if may_begin { state.queue.pop_first() } else { None }?;
        state.running += 1;
        state.awaited += 1;
        Some(query)
    }

    fn run(&self, query: Rc<Query>, look_up: LookUp) {
        // Nothing else sets it.
        let _ = query.begun.set(());
        let name = format!("resolve {}", query.host);
        let running = Running { resolver: self.clone(), query, outcome: None };
        // A task of its own: the one that asked first may be cancelled, and the others wait on.
        drop(self.inner.handle.spawn_named(name, running.run(look_up)));
    }

    /// A look-up has an outcome.
    fn end(&self, query: &Rc<Query>, outcome: io::Result<Vec<SocketAddr>>) {
        let outcome = match outcome {
            Ok(found) if found.is_empty() => Err(ResolveError("the name has no address".into())),
            Ok(found) => Ok(found.into_iter().map(|address| with_port(address, 0)).collect()),
            Err(error) => Err(ResolveError(error.to_string().into())),
        };
        let mut state = self.inner.state.borrow_mut();
        state.leave(query);
        state.remember(&query.host, &outcome, self.inner.handle.now(), self.inner.kept);
        drop(state);
        // Nothing else sets them. It may end without having begun.
        let _ = (query.begun.set(()), query.answer.set(outcome));
        self.call_next();
    }

    /// Lets the next begin: not now, because the task that gives up may be one of a loop that is dropped.
    fn call_next(&self) {
        let mut state = self.inner.state.borrow_mut();
        if !state.queue.is_empty() && !std::mem::replace(&mut state.is_called, true) {
            drop(state);
            let resolver = self.clone();
            self.inner.handle.call_soon(move |_| {
                resolver.inner.state.borrow_mut().is_called = false;
                resolver.begin_some();
            });
        }
    }
}

impl State {
    /// One more waits for `host`. True if that takes a new look-up.
    fn ask(&mut self, handle: &Handle, host: &str) -> (Rc<Query>, bool) {
        if let Some(Name::Asked(query)) = self.names.get(host) {
            let query = Rc::clone(query);
            query.waiting.set(query.waiting.get() + 1);
            // It was given up by others, and is awaited again.
            self.awaited += usize::from(query.begun.is_done() && query.waiting.get() == 1);
            return (query, false);
        }
        self.sequence += 1;
        let (host, waiting): (Rc<str>, _) = (host.into(), Cell::new(1));
        let (begun, answer) = (handle.promise(), handle.promise());
        let query = Query { host: Rc::clone(&host), number: self.sequence, begun, answer, waiting };
        let query = Rc::new(query);
        self.names.insert(host, Name::Asked(Rc::clone(&query)));
        self.queue.insert(query.number, Rc::clone(&query));
        (query, true)
    }

    /// A look-up runs no more.
    fn leave(&mut self, query: &Query) {
        self.running -= 1;
        self.awaited -= usize::from(query.waiting.get() > 0);
    }

    /// `query` is not awaited any more, and has no answer yet.
    fn give_up(&mut self, query: &Query) {
        if query.begun.is_done() {
            self.awaited -= 1;
        } else {
            self.queue.remove(&query.number);
            self.names.remove(&query.host);
        }
    }

    fn remember(&mut self, host: &Rc<str>, outcome: &Outcome, now: Time, kept: Duration) {
        let found = match outcome {
            Ok(found) if !kept.is_zero() => Rc::clone(found),
            _ => return drop(self.names.remove(host)),
        };
        let until = now + kept;
        self.names.insert(Rc::clone(host), Name::Known { found, until });
        self.known.push_back((until, Rc::clone(host)));
        while let Some((oldest, _)) = self.known.front()
            && (*oldest <= now || self.known.len() > RESOLVED_NAMES_MAX)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((oldest, host)) = self.known.pop_front() else { return };
        let is_same = |name: &Name| matches!(name, Name::Known { until, .. } if *until == oldest);
        if self.names.get(&host).is_some_and(is_same) {
            self.names.remove(&host);
        }
    }
}

/// A look-up under way. Dropped, it has ended: with an outcome, or with its loop, or by a panic.
struct Running {
    resolver: Resolver,
    query: Rc<Query>,
    outcome: Option<io::Result<Vec<SocketAddr>>>,
}

impl Running {
    async fn run(mut self, look_up: LookUp) {
        self.outcome = Some(look_up.await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let nobody = || Err(io::Error::other("the look-up was broken off"));
        self.resolver.end(&self.query, self.outcome.take().unwrap_or_else(nobody));
    }
}

/// A waiter for an answer. Dropped, it waits no more.
pub(crate) struct Asked {
    resolver: Resolver,
    query: Rc<Query>,
}

impl Asked {
    /// False while the look-up waits for others to end.
    #[cfg(any(feature = "client", test))]
    pub(crate) fn has_begun(&self) -> bool {
        self.query.begun.is_done()
    }

    /// Waits until the look-up begins: from then on it takes time of its own.
    #[cfg(any(feature = "client", test))]
    pub(crate) async fn begun(&self) {
        self.query.begun.done().await;
    }

    /// Waits for the answer.
    pub(crate) async fn answer(&self) -> Outcome {
        let answer = self.query.answer.wait().await;
        answer.expect("nobody cancels it, and it is set when the look-up ends")
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let query = &self.query;
        query.waiting.set(query.waiting.get() - 1);
        if query.waiting.get() == 0 && !query.answer.is_done() {
            self.resolver.inner.state.borrow_mut().give_up(query);
            self.resolver.call_next();
        }
    }
}

/// Hosts that need no look-up.
fn literal(host: &str) -> Option<Found> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some([SocketAddr::new(ip, 0)].into());
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost").then(|| {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        both.map(|ip| SocketAddr::new(ip, 0)).into()
    })
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.borrow();
        f.debug_struct("Resolver")
            .field("names", &state.names.len())
            .field("waiting", &state.queue.len())
            .field("running", &state.running)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::{run, yield_now};
    use crate::event_loop::EventLoop;
    use crate::world::sim::Sim;

    #[test]
    fn literals_and_localhost_need_nobody() {
        let texts =
            |host| literal(host).map(|found| found.iter().map(|a| a.ip().to_string()).collect());
        let list = |texts: &[&str]| Some(texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(texts("127.0.0.1"), list(&["127.0.0.1"]));
        assert_eq!(texts("[::1]"), list(&["::1"]));
        for host in ["localhost", "LOCALHOST.", "a.localhost"] {
            assert_eq!(texts(host), list(&["127.0.0.1", "::1"]), "{host}");
        }
        assert_eq!(texts("notlocalhost"), None);
        assert_eq!(texts(""), None);
    }

    #[test]
    fn who_asks_for_the_same_name_shares_the_look_up() {
        run(|handle| async move {
            let resolver = Resolver::with_defaults(&handle);
            // RFC 6761 section 6.4: it never exists.
            let ask = || {
                let resolver = resolver.clone();
                async move { resolver.resolve("nonexistent.invalid").await }
            };
            let tasks = handle.task_count();
            let first = resolver.ask("nonexistent.invalid");
            let results = handle.gather([ask(), ask()]);
            assert_eq!(handle.task_count(), tasks + 1 + 2, "one look-up, two who ask");
            yield_now().await;
            assert_eq!(handle.task_count(), tasks + 1 + 2, "no other look-up");
            assert!(first.answer().await.is_err());
            let results = results.await;
            assert!(results.iter().all(|result| matches!(result, Ok(Err(_)))), "{results:?}");
            assert!(resolver.inner.state.borrow().names.is_empty(), "failures are not remembered");
        })
        .unwrap();
    }

    fn simulated<F: Future<Output: 'static> + 'static>(
        test: impl FnOnce(Handle) -> F,
    ) -> F::Output {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let test = test(event_loop.handle().clone());
        event_loop.run_until_complete(test).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// What was asked for, and when, in seconds.
    type Asks = Rc<RefCell<Vec<(String, u64)>>>;

    /// A name server that takes as many seconds as the first label says, or for ever.
    fn slow(handle: &Handle) -> (Resolver, Asks) {
        let asks = Asks::default();
        let (clock, seen, began) = (handle.clone(), Rc::clone(&asks), handle.now());
        let look_up = move |host: String| {
            let clock = clock.clone();
            let seconds = host.split('.').next().unwrap().parse().ok();
            seen.borrow_mut().push((host, clock.now().since(began).as_secs()));
            async move {
                match seconds {
                    Some(seconds) => clock.sleep(Duration::from_secs(seconds)).await,
                    None => std::future::pending().await,
                }
                Ok(vec!["192.0.2.1:9".parse().unwrap()])
            }
        };
        (Resolver::with_look_up(handle, RESOLVED_KEPT, look_up), asks)
    }

    fn asks(asks: &[(&str, u64)]) -> Vec<(String, u64)> {
        asks.iter().map(|(host, at)| ((*host).to_owned(), *at)).collect()
    }

    #[test]
    fn so_many_names_are_looked_up_at_a_time_in_order() {
        simulated(|handle| async move {
            let (resolver, seen) = slow(&handle);
            resolver.set_look_ups_max(2);
            let names = ["3.a", "1.b", "1.c", "1.d", "1.c"];
            let resolve = |host: &'static str| {
                let resolver = resolver.clone();
                async move { resolver.resolve(host).await }
            };
            let found = handle.gather(names.map(resolve)).await;
            let expected: [SocketAddr; 1] = ["192.0.2.1:0".parse().unwrap()];
            assert!(
                found.iter().all(|found| matches!(found, Ok(Ok(found)) if **found == expected))
            );
            assert_eq!(*seen.borrow(), asks(&[("3.a", 0), ("1.b", 0), ("1.c", 1), ("1.d", 2)]));
        });
    }

    #[test]
    fn what_nobody_waits_for_makes_room_and_is_shared_all_the_same() {
        simulated(|handle| async move {
            let (resolver, seen) = slow(&handle);
            resolver.set_look_ups_max(1);
            let (late, never) = (resolver.ask("5.late"), resolver.ask("dead"));
            let waiting = resolver.ask("1.good");
            assert!(late.has_begun() && !never.has_begun());
            handle.sleep(SECOND).await;
            // One that has not begun is not begun for nobody; one that has makes room.
            drop((late, never));
            waiting.answer().await.unwrap();
            assert_eq!(*seen.borrow(), asks(&[("5.late", 0), ("1.good", 1)]));
            // A second question for the same name joins the first, and counts again.
            let again = resolver.ask("5.late");
            let behind = resolver.ask("1.behind");
            assert!(again.has_begun() && !behind.has_begun());
            drop(again);
            behind.begun().await;
            handle.sleep(3 * SECOND).await;
            assert!(resolver.known("5.late").is_some(), "a late answer is an answer");
            assert_eq!(seen.borrow().len(), 3);
            let state = resolver.inner.state.borrow();
            assert_eq!((state.running, state.awaited, state.queue.len()), (0, 0, 0));
        });
    }

    #[test]
    fn look_ups_that_hang_are_not_begun_without_limit() {
        simulated(|handle| async move {
            let (resolver, seen) = slow(&handle);
            resolver.set_look_ups_max(1);
            for number in 0..=LOOK_UPS_GIVEN_UP_MAX {
                let asked = resolver.ask(&format!("dead{number}"));
                asked.begun().await;
            }
            let one_more = resolver.ask("1.good");
            handle.sleep(SECOND).await;
            assert!(!one_more.has_begun());
            assert_eq!(seen.borrow().len(), LOOK_UPS_GIVEN_UP_MAX + 1);
        });
    }

    #[test]
    fn at_the_limit_the_oldest_name_is_forgotten_and_no_other() {
        simulated(|handle| async move {
            let (resolver, seen) = slow(&handle);
            let under_way = resolver.ask("9.slow");
            for number in 0..=RESOLVED_NAMES_MAX {
                resolver.resolve(&format!("0.{number}")).await.unwrap();
            }
            let known = |number: usize| resolver.known(&format!("0.{number}")).is_some();
            assert_eq!((0..=RESOLVED_NAMES_MAX).filter(|n| !known(*n)).collect::<Vec<_>>(), [0]);
            let begun = seen.borrow().len();
            resolver.resolve("9.slow").await.unwrap();
            assert_eq!(seen.borrow().len(), begun, "it is shared still");
            handle.sleep(RESOLVED_KEPT).await;
            resolver.resolve("0.again").await.unwrap();
            let state = resolver.inner.state.borrow();
            assert_eq!((state.names.len(), state.known.len()), (1, 1), "the old are not kept");
            drop(under_way);
        });
    }

    #[test]
    fn where_there_are_no_threads_names_wait_for_those_that_are_there() {
        simulated(|handle| async move {
            let free = Rc::new(Cell::new(1_u32));
            let (clock, left) = (handle.clone(), Rc::clone(&free));
            let begin = move |_: &str| -> io::Result<LookUp> {
                let rest = left.get().checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
                left.set(rest);
                let (clock, left) = (clock.clone(), Rc::clone(&left));
                Ok(Box::pin(async move {
                    clock.sleep(SECOND).await;
                    left.set(left.get() + 1);
                    Ok(vec!["192.0.2.1:0".parse().unwrap()])
                }))
            };
            let resolver = Resolver::beginning(&handle, RESOLVED_KEPT, Box::new(begin));
            let asked = ["a", "b", "c"].map(|host| resolver.ask(host));
            for one in &asked {
                assert!(one.answer().await.is_ok());
            }
            assert_eq!(handle.now().since(Time::ZERO).as_secs(), 3);
            free.set(0);
            // Nobody's end could help.
            let error = resolver.resolve("d").await.unwrap_err();
            assert_eq!(error.to_string(), io::Error::from(io::ErrorKind::WouldBlock).to_string());
        });
    }

    #[test]
    fn a_look_up_that_panics_fails() {
        simulated(|handle| async move {
            let look_up = |_| async { panic!("no") };
            let resolver = Resolver::with_look_up(&handle, RESOLVED_KEPT, look_up);
            let error = resolver.resolve("a").await.unwrap_err();
            assert_eq!(error.to_string(), "the look-up was broken off");
            assert_eq!(resolver.inner.state.borrow().running, 0);
        });
    }
}
