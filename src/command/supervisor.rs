//! Messages for a service manager, as sd_notify(3) describes them: that the server is ready, that it ends, and that its
//! loops turn.
//!
//! The socket is opened once, at the start: a watchdog must be fed when no descriptor is left, too. It is never waited
//! for: a message that finds no room is lost, and the next watchdog's says the same.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use helloop::event_loop::Handle;

/// The service manager, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// The time between two signs of life.
    watchdog: Option<Duration>,
}

/// Shows that a loop turns: it grows.
pub(crate) type Pulse = Arc<AtomicU64>;

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Supervisor {
        let socket =
            env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
                let connected = connect(&name);
                connected
                    .inspect_err(|error| log::warn!("cannot reach NOTIFY_SOCKET: {error}"))
                    .ok()
            });
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let period = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0);
        // sd_watchdog_enabled(3) recommends half of it.
        let watchdog = period.map(|micros| Duration::from_micros(micros) / 2);
        Supervisor { socket, watchdog }
    }

    fn say(&self, text: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(text.as_bytes())) {
            log::debug!("the service manager did not hear {text:?}: {error}");
        }
    }

    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// Another process is the server from now on.
    pub(crate) fn main_process(&self, pid: u32) {
        self.say(&format!("MAINPID={pid}"));
    }

    pub(crate) fn stopping(&self, status: &str) {
        self.say(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// How often each loop is to show that it turns, if anybody wants to know.
    pub(crate) fn period(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// From now on a turn of this loop gives a sign of life each half period, as long as the other loops turn as well:
    /// one that is blocked ends it, and the service manager restarts the program.
    pub(crate) fn feed_watchdog(self: &Rc<Self>, handle: &Handle, others: Vec<Pulse>) {
        if let Some(period) = self.period() {
            feed(Rc::clone(self), handle, period, others, &[]);
        }
    }
}

/// `before`: what the pulses of the others were at the last sign of life.
fn feed(
    supervisor: Rc<Supervisor>,
    handle: &Handle,
    period: Duration,
    others: Vec<Pulse>,
    before: &[u64],
) {
    let now: Vec<u64> = others.iter().map(|pulse| pulse.load(Ordering::Relaxed)).collect();
    if before.iter().zip(&now).all(|(before, now)| before != now) {
        supervisor.say("WATCHDOG=1");
    }
    handle.call_later(period, move |handle| feed(supervisor, handle, period, others, &now));
}

/// From now on this loop shows, twice as often as it is looked at, that it turns.
pub(crate) fn beat(handle: &Handle, period: Duration, pulse: Pulse) {
    pulse.fetch_add(1, Ordering::Relaxed);
    handle.call_later(period / 2, move |handle| beat(handle, period, pulse));
}

/// A name that begins with `@` is abstract (unix(7)).
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use helloop::event_loop::EventLoop;

    /// A service manager that looks, and what it has heard.
    fn supervised(period: Duration) -> (Rc<Supervisor>, UnixDatagram) {
        let (socket, manager) = UnixDatagram::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        manager.set_nonblocking(true).unwrap();
        (Rc::new(Supervisor { socket: Some(socket), watchdog: Some(period) }), manager)
    }

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 200];
        let mut heard = Vec::new();
        while let Ok(length) = manager.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        heard
    }

    #[test]
    fn the_watchdog_is_fed_while_all_loops_turn() {
        let (supervisor, manager) = supervised(Duration::from_millis(1));
        let mut event_loop = EventLoop::new().unwrap();
        let (turning, blocked) = (Pulse::default(), Pulse::default());
        let pulses = vec![Arc::clone(&turning), Arc::clone(&blocked)];
        supervisor.feed_watchdog(event_loop.handle(), pulses);
        assert_eq!(heard(&manager), ["WATCHDOG=1"], "nobody is known to be blocked yet");
        let mut rounds = |beats: &[&Pulse]| {
            for _ in 0..3 {
                beats.iter().for_each(|pulse| _ = pulse.fetch_add(1, Ordering::Relaxed));
                // Until the timer has fired: there is no other.
                while event_loop.turn(None).unwrap() == 0 {}
            }
            heard(&manager).len()
        };
        assert_eq!(rounds(&[&turning, &blocked]), 3);
        assert_eq!(rounds(&[&turning]), 0);
        assert_eq!(rounds(&[&turning, &blocked]), 3);
    }

    #[test]
    fn a_manager_that_does_not_listen_is_not_waited_for() {
        let (supervisor, manager) = supervised(Duration::MAX);
        (0..10_000).for_each(|_| supervisor.ready("x"));
        assert_eq!(heard(&manager)[0], "READY=1\nSTATUS=x");
        drop(manager);
        supervisor.stopping("y");
    }

    #[test]
    fn nobody_supervises_without_being_asked_to() {
        let supervisor = Supervisor { socket: None, watchdog: Some(Duration::from_secs(1)) };
        assert_eq!(supervisor.period(), None);
        supervisor.ready("x");
    }
}
