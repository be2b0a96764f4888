//! `--agent`: what haproxy's agent-check asks (configuration manual, section 5.2): whether to send requests here, and how
//! many, compared with others. A line for each connection, and nothing is read.

use std::cell::RefCell;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use helloop::coroutine::{Canceller, Readable};
use helloop::event_loop::Handle;
use helloop::server::{BindError, Handover, Server};

use super::listening::bind;
use super::metrics::Figures;

/// With so much of it, or less, a server gets its full share. A request takes some microseconds, so this says that
/// some thousand are ready at a time.
const LAG_FINE: Duration = Duration::from_millis(5);

/// Pause after connections could not be accepted: for want of descriptors, as a rule.
const BACKOFF: Duration = Duration::from_millis(100);

/// Answers balancers.
pub(crate) struct Agent {
    server: Server,
    figures: Vec<Arc<Figures>>,
    is_ending: Arc<AtomicBool>,
}

impl Agent {
    /// Listens at `address`, or on sockets that were taken over, if there are any.
    ///
    /// # Errors
    /// See [`BindError`].
    pub(crate) fn bind(
        address: &str,
        taken: Vec<OwnedFd>,
        figures: Vec<Arc<Figures>>,
        is_ending: &Arc<AtomicBool>,
    ) -> Result<Agent, BindError> {
        let server = bind(Server::builder(), address, taken)?;
        Ok(Agent { server, figures, is_ending: Arc::clone(is_ending) })
    }

    /// Answers on the first loop, apart from what is counted there.
    ///
    /// # Errors
    /// When the loop cannot watch the sockets.
    pub(crate) fn attach(self, handle: &Handle, stderr: &mut dyn Write) -> io::Result<Open> {
        let Agent { server, figures, is_ending } = self;
        let first = figures.first().map(Arc::clone).unwrap_or_default();
        let (held, addresses) = (server.handover()?, server.local_addrs());
        drop(server);
        let answer: Rc<dyn Fn() -> String> = Rc::new(move || {
            let lag = figures.iter().map(|figures| figures.lag()).max().unwrap_or_default();
            line(is_ending.load(Ordering::Relaxed), lag)
        });
        let mut accepting = Vec::new();
        for socket in held.descriptors() {
            let listener = TcpListener::from(socket.try_clone_to_owned()?);
            let listener = Readable::new(handle, listener)?;
            let (handle, answer) = (handle.clone(), Rc::clone(&answer));
            let task = first.apart(|| handle.spawn(answer_all(handle.clone(), listener, answer)));
            accepting.push(task.canceller());
        }
        for address in addresses {
            let _ = stderr.write_all(format!("Agent at {address}\n").as_bytes());
        }
        Ok(Open { held, accepting: RefCell::new(accepting) })
    }
}

async fn answer_all(
    handle: Handle,
    mut listener: Readable<TcpListener>,
    answer: Rc<dyn Fn() -> String>,
) {
    loop {
        match listener.read_with(|listener| listener.accept()).await {
            // A new connection has room for a line, so this does not block; a peer that is gone needs none.
            Ok((mut stream, _)) => _ = stream.write_all(answer().as_bytes()),
            Err(error) => {
                log::debug!("agent: cannot accept: {error}");
                handle.sleep(BACKOFF).await;
            }
        }
    }
}

/// The line for a balancer.
fn line(is_ending: bool, lag: Duration) -> String {
    if is_ending {
        return "drain\n".to_owned();
    }
    // `ready` takes back a `drain` of the process before this one.
    format!("ready up {}%\n", weight(lag))
}

/// The part of the configured weight that it can have: all of it, or less the longer what is ready has to wait.
fn weight(lag: Duration) -> u128 {
    (100 * LAG_FINE.as_nanos() / lag.max(LAG_FINE).as_nanos()).max(1)
}

/// While it answers.
pub(crate) struct Open {
    held: Handover,
    accepting: RefCell<Vec<Canceller>>,
}

impl Open {
    /// Its sockets, once more.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.held.descriptors().map(|fd| fd.try_clone_to_owned()).collect()
    }

    /// Another process answers from now on: this one would ask for a drain.
    pub(crate) fn hand_over(self) {
        self.accepting.take().iter().for_each(|task| _ = task.cancel());
        self.held.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_falls_with_the_lag_and_never_to_nothing() {
        let of = |micros| weight(Duration::from_micros(micros));
        assert_eq!([of(0), of(5_000), of(10_000), of(50_000)], [100, 100, 50, 10]);
        assert_eq!(of(60_000_000), 1);
        assert_eq!(line(false, Duration::ZERO), "ready up 100%\n");
        assert_eq!(line(true, Duration::ZERO), "drain\n");
    }
}
