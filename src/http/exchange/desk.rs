//! Where answers are written.

use super::super::encode::{Connection, encode};
use super::super::framing::Persistence;
use super::super::{Error, Reason, Request, Response, Status};
use super::{Answer, Handled, Handler};

/// What the driver lends for one call.
pub(super) struct Desk<'a, H> {
    pub(super) output: &'a mut Vec<u8>,
    pub(super) response: &'a mut Response,
    pub(super) handler: &'a mut H,
}

impl<H: Handler> Desk<'_, H> {
    /// Whether the next request must wait: for the peer to read, or for other connections.
    pub(super) fn is_full(&self, requests: u32) -> bool {
        let limits = self.handler.limits();
        self.output.len() >= limits.output_bytes_max
            || requests as usize >= limits.requests_per_resume_max
    }

    /// Has the service answer `request`, the `number`-th of its connection. Gives the reason to
    /// close after it, if there is one.
    pub(super) fn respond(
        &mut self,
        request: &Request<'_>,
        persistence: Persistence,
        unread: Option<Reason>,
        number: u32,
    ) -> Option<Reason> {
        self.response.clear();
        let reason = match self.handler.respond(request, self.response) {
            Handled::Done => unread.or_else(|| self.reason_to_close(persistence, number)),
            Handled::Panicked => {
                self.response.clear();
                self.response.status(Status::INTERNAL_SERVER_ERROR).text("the service failed\n");
                Some(Reason::ServicePanicked)
            }
        };
        let connection = match (reason, persistence) {
            (Some(_), _) => Connection::Close,
            (None, Persistence::Echoed) => Connection::KeepAlive,
            (None, _) => Connection::Implied,
        };
        self.send(Some(request), request.method() == "HEAD", connection, reason);
        reason
    }

    /// The request's own wish first, because it is what a reader of logs looks for.
    fn reason_to_close(&self, persistence: Persistence, number: u32) -> Option<Reason> {
        let requests_max = self.handler.limits().requests_per_connection_max;
        match persistence {
            Persistence::CloseAsked => Some(Reason::Asked),
            Persistence::CloseHttp10 => Some(Reason::Http10),
            _ if self.response.close => Some(Reason::ServiceAsked),
            _ if requests_max.is_some_and(|most| number >= most) => Some(Reason::RequestLimit),
            _ if self.handler.draining() => Some(Reason::Draining),
            Persistence::Implied | Persistence::Echoed => None,
        }
    }

    /// Answers with what is wrong and gives the reason to close. `request` is known only if its head
    /// is good; `is_head` may be known earlier.
    pub(super) fn refuse(
        &mut self,
        request: Option<&Request<'_>>,
        is_head: bool,
        error: Error,
    ) -> Reason {
        let reason = Reason::Refused(error);
        self.response.clear();
        self.response.status(error.status()).text(format_args!("{error}\n"));
        self.send(request, is_head, Connection::Close, Some(reason));
        reason
    }

    fn send(
        &mut self,
        request: Option<&Request<'_>>,
        is_head: bool,
        connection: Connection,
        closes: Option<Reason>,
    ) {
        let date = self.handler.date();
        let body_bytes = encode(self.response, is_head, connection, date, self.output);
        let status = self.response.status;
        self.handler.answered(&Answer { request, status, body_bytes, closes });
    }
}
