//! Names to addresses: getaddrinfo(3) on a helper thread, because it blocks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use super::promise::Promise;
use crate::event_loop::Handle;
use crate::limits::{RESOLVED_KEPT, RESOLVED_NAMES_MAX};
use crate::world::Time;

impl Handle {
    /// The addresses of a host, best first, in the order of the system (RFC 6724): asyncio's
    /// `getaddrinfo`. Nothing is remembered; a [`Resolver`] does that.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = Resolver::new(self, Duration::ZERO).resolve(host).await?;
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

/// Looks names up, and remembers the addresses for a while. Who asks for a name that is just being
/// looked up shares the answer. Failures are not remembered. Clones are the same resolver.
#[derive(Clone)]
pub struct Resolver {
    inner: Rc<Inner>,
}

struct Inner {
    handle: Handle,
    kept: Duration,
    names: RefCell<HashMap<String, Name>>,
}

enum Name {
    /// A look-up is under way.
    Asked(Promise<Outcome>),
    Known {
        found: Found,
        until: Time,
    },
}

impl Resolver {
    /// A resolver that remembers addresses for `kept`.
    pub fn new(handle: &Handle, kept: Duration) -> Resolver {
        let inner = Inner { handle: handle.clone(), kept, names: RefCell::default() };
        Resolver { inner: Rc::new(inner) }
    }

    /// A resolver that remembers addresses for [`RESOLVED_KEPT`].
    pub fn with_defaults(handle: &Handle) -> Resolver {
        Resolver::new(handle, RESOLVED_KEPT)
    }

    /// The addresses of `host`, best first, with port 0; at least one. It waits without a limit of
    /// its own: the system's look-up has one, of 5 to 30 s as a rule.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, host: &str) -> Result<Rc<[SocketAddr]>, ResolveError> {
        if let Some(found) = self.known(host) {
            return Ok(found);
        }
        let answer = self.ask(host);
        answer.wait().await.unwrap_or_else(|_| Err(ResolveError("the loop ends".into())))
    }

    /// What is known without asking: addresses written out, `localhost` (RFC 6761 section 6.3: it
    /// never leaves the machine, so nobody needs to be asked), and what was found recently.
    pub fn known(&self, host: &str) -> Option<Rc<[SocketAddr]>> {
        if let Some(found) = literal(host) {
            return Some(found);
        }
        match self.inner.names.borrow().get(host)? {
            Name::Known { found, until } if self.inner.handle.now() < *until => {
                Some(Rc::clone(found))
            }
            _ => None,
        }
    }

    /// The answer to come: of the look-up that is under way, or of a new one.
    fn ask(&self, host: &str) -> Promise<Outcome> {
        let Inner { handle, names, .. } = &*self.inner;
        if let Some(Name::Asked(answer)) = names.borrow().get(host) {
            return answer.clone();
        }
        let answer = handle.promise();
        let mut known = names.borrow_mut();
        if known.len() >= RESOLVED_NAMES_MAX {
            // Look-ups that are under way are not lost, only not shared any more.
            known.clear();
        }
        known.insert(host.to_owned(), Name::Asked(answer.clone()));
        drop(known);
        // A task of its own: whoever asked first may be cancelled, the others wait on.
        let (resolver, host, promise) = (self.clone(), host.to_owned(), answer.clone());
        let task = handle.spawn_named(format!("resolve {host}"), async move {
            let outcome = look_up(&resolver.inner.handle, &host).await;
            resolver.remember(host, &outcome);
            // Only this task sets it.
            let _ = promise.set(outcome);
        });
        drop(task);
        answer
    }

    fn remember(&self, host: String, outcome: &Outcome) {
        let mut names = self.inner.names.borrow_mut();
        match outcome {
            Ok(found) if !self.inner.kept.is_zero() => {
                let until = self.inner.handle.now() + self.inner.kept;
                names.insert(host, Name::Known { found: Rc::clone(found), until });
            }
            _ => drop(names.remove(&host)),
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

async fn look_up(handle: &Handle, host: &str) -> Outcome {
    let name = host.to_owned();
    let asked = handle.run_blocking(move || -> io::Result<Vec<SocketAddr>> {
        Ok((name.as_str(), 0).to_socket_addrs()?.collect())
    });
    match asked.await {
        Ok(Ok(found)) if !found.is_empty() => Ok(found.into()),
        Ok(Ok(_)) => Err(ResolveError("the name has no address".into())),
        Ok(Err(error)) => Err(ResolveError(error.to_string().into())),
        Err(error) => Err(ResolveError(error.to_string().into())),
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.inner.names.borrow().len();
        f.debug_struct("Resolver").field("names", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::{run, yield_now};

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
            assert!(first.wait().await.is_ok_and(|outcome| outcome.is_err()));
            let results = results.await;
            assert!(results.iter().all(|result| matches!(result, Ok(Err(_)))), "{results:?}");
            assert!(resolver.inner.names.borrow().is_empty(), "failures are not remembered");
        })
        .unwrap();
    }
}
