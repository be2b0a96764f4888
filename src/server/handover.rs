//! Listening sockets for another process, which is to take them over.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::Server;
use crate::world::os;

/// The sockets that a server listens on, once more.
///
/// As long as it exists, they stay open: connections come into their queues even after the server has stopped to
/// accept. So drop it when the server drains, unless another process [has taken them over](Handover::done).
pub struct Handover {
    listeners: Vec<os::Listener>,
}

impl Server {
    /// The sockets that are listened on, to be handed to another process while this one still serves: by SCM_RIGHTS
    /// (unix(7)), or by inheritance. The other one serves them with [`Builder::listeners`](super::Builder::listeners).
    ///
    /// ```
    /// use helloop::greeting::Greeting;
    /// use helloop::server::{Handover, Server};
    /// use std::os::fd::AsFd;
    /// use std::time::Duration;
    ///
    /// let old = Server::builder().bind("127.0.0.1:0")?;
    /// let handover: Handover = old.handover()?;
    /// let old = old.spawn(Greeting)?;
    /// let sockets = handover.descriptors().map(|fd| fd.try_clone_to_owned());
    /// // Usually on the other side of a Unix socket:
    /// let new = Server::builder().listeners(sockets.collect::<Result<Vec<_>, _>>()?)?;
    /// assert_eq!(new.local_addrs(), old.local_addrs());
    /// let new = new.spawn(Greeting)?;
    /// // Only now, when nothing can go wrong any more.
    /// handover.done();
    /// old.handle().drain(Duration::from_secs(25));
    /// old.join()?;
    /// assert!(std::net::TcpStream::connect(new.local_addrs()[0]).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn handover(&self) -> io::Result<Handover> {
        let listeners =
            self.listeners.iter().map(os::Listener::try_clone).collect::<Result<_, _>>()?;
        Ok(Handover { listeners })
    }
}

impl Handover {
    /// The sockets, in the order of the server's listeners.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(AsFd::as_fd)
    }

    /// Another process serves them now: they are closed here, and the files of Unix sockets stay when the server ends.
    pub fn done(self) {
        self.listeners.iter().for_each(os::Listener::leave_file);
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("listeners", &self.listeners.len()).finish_non_exhaustive()
    }
}
