//! Where `helloop serve` listens: at addresses, and on sockets that somebody else has opened.

use std::env;
use std::io;
use std::os::fd::OwnedFd;

use helloop::server::{BindError, Builder, Server};

use crate::command::run::Outcome;

/// What stands before the number of a descriptor.
const FD: &str = "fd:";

/// The first descriptor that a service manager hands over: SD_LISTEN_FDS_START of sd_listen_fds(3).
const FIRST: i32 = 3;

/// A server at `address`, or on sockets that were taken over, if there are any: the address led to them before.
///
/// # Errors
/// See [`BindError`].
pub(crate) fn bind(
    builder: Builder,
    address: &str,
    taken: Vec<OwnedFd>,
) -> Result<Server, BindError> {
    if taken.is_empty() { builder.bind(address) } else { builder.listeners(taken) }
}

/// Where to listen.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// `HOST:PORT` and `unix:PATH`.
    pub(crate) addresses: Vec<String>,
    /// Numbers of descriptors.
    descriptors: Vec<i32>,
}

impl Listening {
    /// Takes `fd:3` from what was typed, and leaves the rest.
    ///
    /// # Errors
    /// When what follows is no number: a sentence.
    pub(crate) fn new(typed: &[String]) -> Result<Listening, String> {
        let mut listening = Listening::default();
        for text in typed {
            match text.strip_prefix(FD) {
                None => listening.addresses.push(text.clone()),
                Some(number) => listening.descriptors.push(number_of(number).ok_or_else(|| {
                    format!("`{text}` is no descriptor: a number was expected, for example fd:3")
                })?),
            }
        }
        Ok(listening)
    }

    /// Adds what a service manager has handed over to this process, as sd_listen_fds(3) describes it.
    ///
    /// # Errors
    /// When the environment makes no sense: a sentence.
    pub(crate) fn add_activated(&mut self) -> Result<(), String> {
        let variable = |name| env::var(name).unwrap_or_default();
        let (pid, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
        self.descriptors.extend(activated(&pid, &count, std::process::id())?);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.descriptors.is_empty()
    }

    /// The sockets among them, each once more: the descriptors themselves stay with whoever has opened them, and are open
    /// until this process ends.
    ///
    /// # Errors
    /// When one of them is no listening socket; the outcome names it.
    pub(crate) fn take(&self) -> Result<Vec<OwnedFd>, Outcome> {
        let cannot = |number: i32, why: &str| {
            Outcome::CannotListen(format!("cannot listen on {FD}{number}: {why}"))
        };
        let take = |&number: &i32| {
            let taken = duplicate(number).map_err(|error| cannot(number, &error.to_string()))?;
            let again = taken.try_clone().map_err(Outcome::Failed)?;
            // The library names the number of the duplicate, which nobody knows.
            Server::builder().listeners([again]).map_err(|error| {
                let error = error.to_string();
                cannot(number, error.split_once(": ").map_or(&*error, |(_, why)| why))
            })?;
            Ok(taken)
        };
        self.descriptors.iter().map(take).collect()
    }
}

fn number_of(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| *number >= 0 && !text.starts_with('+'))
}

/// The descriptors that are meant for the process `own`.
fn activated(pid: &str, count: &str, own: u32) -> Result<std::ops::Range<i32>, String> {
    if pid.parse() != Ok(own) || count.is_empty() {
        return Ok(FIRST..FIRST);
    }
    let last = number_of(count).and_then(|count| FIRST.checked_add(count)).ok_or_else(|| {
        format!("the environment variable LISTEN_FDS is {count:?}: a number was expected")
    })?;
    Ok(FIRST..last)
}

/// Another descriptor for what the number stands for. Rust owns descriptors, and a number proves no ownership: so the
/// kernel is asked, as for a descriptor of another process (pidfd_getfd(2)).
#[cfg(target_os = "linux")]
fn duplicate(number: i32) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(this_process, number, PidfdGetfdFlags::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn duplicate(_: i32) -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "sockets are taken over on Linux only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_told_from_addresses() {
        let typed = ["localhost:80", "fd:3", "unix:/run/fd:4", "fd:0"].map(str::to_owned);
        let listening = Listening::new(&typed).unwrap();
        assert_eq!(listening.addresses, ["localhost:80", "unix:/run/fd:4"]);
        assert_eq!(listening.descriptors, [3, 0]);
        for text in ["fd:", "fd:-1", "fd:+3", "fd:x", "fd:99999999999"] {
            let error = Listening::new(&[text.to_owned()]).unwrap_err();
            assert!(error.starts_with(&format!("`{text}` is no descriptor")), "{error}");
        }
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        assert_eq!(activated("7", "2", 7), Ok(3..5));
        for (pid, count) in [("8", "2"), ("", "2"), ("7", ""), ("x", "2"), ("7", "0")] {
            assert_eq!(activated(pid, count, 7), Ok(3..3), "{pid} {count}");
        }
        for count in ["two", "-1", "2147483647"] {
            assert!(activated("7", count, 7).unwrap_err().contains(&format!("{count:?}")));
        }
    }
}
