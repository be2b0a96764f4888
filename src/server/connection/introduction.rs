//! Connections that begin with a preface.

use super::Connection;
use crate::http::Want;
use crate::server::asking::Who;

/// Whether a peer has said what it has to say before its first request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Introduction {
    /// Nothing is expected, or it came and named nobody.
    Done,
    /// A preface has to come first.
    Awaited,
    /// The preface has named a client, which is kept in a [table](crate::server::preface::Prefaces), so that
    /// connections without one need no room for it.
    Client,
}

impl<S> Connection<S> {
    /// Takes the preface off `rest`, which has all that has come of the connection.
    ///
    /// # Errors
    /// See [`take_preface`](crate::server::Shared::take_preface).
    pub(super) fn introduce(&mut self, who: &mut Who, rest: &mut &[u8]) -> Result<(), Want> {
        self.shared.take_preface(who, rest, self.eof)?;
        self.peer.introduction = match (who.client, &self.shared.prefaces) {
            (Some(client), Some(prefaces)) => {
                prefaces.keep(self.source.id(), client);
                Introduction::Client
            }
            _ => Introduction::Done,
        };
        Ok(())
    }

    /// Nobody needs to know any more who the client was.
    pub(super) fn forget_client(&self) {
        if self.peer.introduction == Introduction::Client
            && let Some(prefaces) = &self.shared.prefaces
        {
            prefaces.forget(self.source.id());
        }
    }
}
