//! A server that is all of its program.

use std::cell::Cell;
use std::io;

use super::{Report, Server, Service};
use crate::event_loop::EventLoop;
use crate::limits::DRAIN_TIMEOUT;
use crate::signals::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, on_signals};

impl Server {
    /// As [`serve`](Server::serve), for a server that is all of its program: in a container, as its first
    /// process, too. SIGTERM, SIGINT, SIGQUIT and SIGHUP drain it, for at most [`DRAIN_TIMEOUT`]; a second
    /// SIGINT, from somebody who does not want to wait, ends it at once. A second one of the others changes
    /// nothing, because supervisors repeat themselves. [`Report::cut`] says how many connections were busy
    /// when time was up.
    ///
    /// ```no_run
    /// use helloop::greeting::Greeting;
    /// use helloop::server::Server;
    ///
    /// let report = Server::builder().bind("0.0.0.0:8080")?.serve_until_signal(Greeting)?;
    /// println!("{report:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`serve`](Server::serve), and when there are no descriptors for the signals.
    pub fn serve_until_signal(self, service: impl Service + 'static) -> io::Result<Report> {
        let mut event_loop = EventLoop::new()?;
        let attached = self.attach(event_loop.handle(), service)?;
        let (server, is_draining) = (attached.handle().clone(), Cell::new(false));
        on_signals(event_loop.handle(), &[SIGTERM, SIGINT, SIGQUIT, SIGHUP], move |signal| {
            if !is_draining.replace(true) {
                server.drain(DRAIN_TIMEOUT);
            } else if signal == SIGINT {
                server.shutdown();
            }
        })?;
        event_loop.run_until(|| attached.is_finished())?;
        Ok(attached.report())
    }
}
