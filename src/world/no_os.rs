//! In the place of [`os`](super::os) where there is no operating system that we know, for example in a
//! browser: no socket exists there, and only simulated worlds run.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Clock, Pollable, Readiness, Stream, Time, World};
use crate::id::SourceId;
use crate::world;

/// There is none.
#[derive(Debug)]
pub struct Os(Infallible);

/// There is none.
pub(crate) type LoopDescriptor = ();

/// There is none.
#[derive(Debug)]
pub struct TcpStream(Infallible);

/// There is none.
#[derive(Debug)]
pub struct UnixStream(Infallible);

/// There is none.
#[derive(Debug)]
pub struct Listener(Infallible);

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no sockets on this target"))
}

impl Os {
    /// # Errors
    /// Always: a loop needs a simulated world here
    /// ([`EventLoop::with_world`](crate::event_loop::EventLoop::with_world)).
    pub fn new() -> io::Result<Os> {
        unsupported()
    }
}

impl World for Os {
    fn wait(&mut self, _: Option<Time>, _: &mut Vec<(SourceId, Readiness)>) -> io::Result<Time> {
        match self.0 {}
    }

    fn clock(&self) -> Clock {
        match self.0 {}
    }

    fn alarm(&self) -> Arc<dyn Fn() + Send + Sync> {
        match self.0 {}
    }

    fn listen(&mut self, _: SocketAddr) -> io::Result<world::Listener> {
        match self.0 {}
    }

    fn connect(&mut self, _: SocketAddr) -> io::Result<Stream> {
        match self.0 {}
    }

    fn register(&mut self, _: Pollable<'_>, _: SourceId) -> io::Result<()> {
        match self.0 {}
    }
}

macro_rules! no_stream {
    ($($stream:ident),*) => {$(
        impl $stream {
            pub(super) fn shutdown(&self, _: Shutdown) -> io::Result<()> {
                match self.0 {}
            }

            pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
                match self.0 {}
            }
        }

        impl Read for $stream {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                match self.0 {}
            }
        }

        impl Write for $stream {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                match self.0 {}
            }

            fn flush(&mut self) -> io::Result<()> {
                match self.0 {}
            }
        }
    )*};
}

no_stream!(TcpStream, UnixStream);

impl TcpStream {
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    pub(super) fn abort_on_close(&self, _: bool) {
        match self.0 {}
    }
}

impl Listener {
    pub(super) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self.0 {}
    }

    /// # Errors
    /// There is no listener with which it could be called.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    /// Cannot be called: there is no listener.
    pub fn path(&self) -> Option<PathBuf> {
        match self.0 {}
    }
}

/// Whether an IPv6 listener takes IPv6 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlyV6 {
    /// IPv6 only.
    Always,
    /// IPv4 as well.
    Never,
}

/// # Errors
/// Always.
pub fn listen(_: SocketAddr, _: OnlyV6) -> io::Result<Listener> {
    unsupported()
}

/// # Errors
/// Always.
pub fn listen_sharing(_: SocketAddr, _: OnlyV6) -> io::Result<Listener> {
    unsupported()
}

/// # Errors
/// There is no listener with which it could be called.
pub fn listen_beside(first: &Listener) -> io::Result<Listener> {
    match first.0 {}
}

/// # Errors
/// Always.
pub fn listen_unix(_: &Path, _: Option<u32>) -> io::Result<Listener> {
    unsupported()
}
