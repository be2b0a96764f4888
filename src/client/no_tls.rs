//! The place of TLS in a program that was built without the feature `tls`: every session is refused.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use super::error::{Error, ErrorKind, Phase};
use super::got::Got;
use crate::coroutine::Stream;
use crate::event_loop::Handle;

/// How a client does TLS: not at all.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsConfig(());

/// Makes sessions: none.
#[derive(Debug)]
pub(super) struct Connector(());

/// There is none.
#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Connector {
    pub(super) fn new(_: &Handle, _: TlsConfig) -> Connector {
        Connector(())
    }

    #[allow(clippy::unused_async, reason = "with TLS, it waits for the certificates")]
    pub(super) async fn session(&self, host: &str) -> Result<Session, Error> {
        let message = format!("no TLS handshake with {host}: built without the feature `tls`");
        Err(Error::new(ErrorKind::Tls, Phase::Tls, message))
    }
}

impl Session {
    pub(super) fn poll_handshake(
        &mut self,
        _: &mut Stream,
        _: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    pub(super) fn try_read(&mut self, _: &mut Stream, _: &mut [u8]) -> io::Result<Got> {
        match self.0 {}
    }

    pub(super) fn try_write(&mut self, _: &mut Stream, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(super) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn is_over(&mut self) -> bool {
        match self.0 {}
    }

    pub(super) fn close(&mut self, _: &mut Stream) {
        match self.0 {}
    }
}
