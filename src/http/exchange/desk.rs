//! Where answers are written.

use super::super::encode::{Connection, encode, encode_head_of_pieces};
use super::super::framing::Persistence;
use super::super::{Error, Reason, Request, Response, Status, Version};
use super::later::{PieceFraming, Pieces};
use super::{Answer, Handled, Handler};

/// What was asked, apart from the request itself.
pub(super) struct Asked<'a> {
    /// The complete head.
    pub(super) head: &'a [u8],
    pub(super) persistence: Persistence,
    /// Set if the body was not waited for.
    pub(super) unread: Option<Reason>,
}

/// How a request was answered.
pub(super) enum Responded {
    /// With the reason to close after it, if there is one.
    Now(Option<Reason>),
    /// Not yet.
    Later,
}

/// What the driver lends for one call.
pub(super) struct Desk<'a, H> {
    pub(super) output: &'a mut Vec<u8>,
    pub(super) response: &'a mut Response,
    pub(super) handler: &'a mut H,
}

impl<H: Handler> Desk<'_, H> {
    /// Whether the next request must wait: for the peer to read, or for other connections.
    pub(super) fn is_full(&self, requests: u32) -> bool {
        self.output.len() >= self.handler.limits().output_bytes_max
            || requests as usize >= self.handler.requests_left()
    }

    /// Has the service answer `request`, the `number`-th of its connection.
    pub(super) fn respond(
        &mut self,
        request: &Request<'_>,
        asked: &Asked<'_>,
        number: u32,
    ) -> Responded {
        self.response.clear();
        match self.handler.respond(request, self.response) {
            Handled::Later => Responded::Later,
            handled => {
                let Asked { persistence, unread, .. } = *asked;
                Responded::Now(self.conclude(request, handled, persistence, unread, number))
            }
        }
    }

    /// Sends the answer that is there. Gives the reason to close after it, if there is one.
    pub(super) fn conclude(
        &mut self,
        request: &Request<'_>,
        handled: Handled,
        persistence: Persistence,
        unread: Option<Reason>,
        number: u32,
    ) -> Option<Reason> {
        let reason = match handled {
            Handled::Done | Handled::Later => {
                unread.or_else(|| self.reason_to_close(persistence, number))
            }
            Handled::Panicked => {
                self.response.clear();
                self.response.status(Status::INTERNAL_SERVER_ERROR).text("the service failed\n");
                Some(Reason::ServicePanicked)
            }
        };
        let connection = connection_field(reason, persistence);
        self.send(Some(request), request.method() == "HEAD", connection, reason);
        reason
    }

    /// Sends the head of an answer whose body comes in pieces.
    pub(super) fn begin_pieces(
        &mut self,
        request: &Request<'_>,
        persistence: Persistence,
        unread: Option<Reason>,
        number: u32,
    ) -> Pieces {
        let status = self.response.status;
        let framing = match request.version() {
            _ if !status.allows_body() || request.method() == "HEAD" => PieceFraming::Nothing,
            Version::Http11 => PieceFraming::Chunked,
            Version::Http10 => PieceFraming::UntilClose,
        };
        let unframed = (framing == PieceFraming::UntilClose).then_some(Reason::Unframed);
        let closes = unread.or_else(|| self.reason_to_close(persistence, number)).or(unframed);
        let connection = connection_field(closes, persistence);
        let is_chunked = status.allows_body() && request.version() == Version::Http11;
        let date = self.handler.date();
        encode_head_of_pieces(self.response, is_chunked, connection, date, self.output);
        Pieces { framing, status, closes, body_bytes: 0 }
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
        self.write_error(error);
        self.send(request, is_head, Connection::Close, Some(reason));
        reason
    }

    /// As [`refuse`](Desk::refuse), where the connection can go on: gives the reason to close, if there
    /// is another one.
    pub(super) fn decline(
        &mut self,
        request: &Request<'_>,
        error: Error,
        persistence: Persistence,
        number: u32,
    ) -> Option<Reason> {
        self.write_error(error);
        self.conclude(request, Handled::Done, persistence, None, number)
    }

    fn write_error(&mut self, error: Error) {
        self.response.clear();
        self.response.status(error.status()).text(format_args!("{error}\n"));
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

fn connection_field(closes: Option<Reason>, persistence: Persistence) -> Connection {
    match (closes, persistence) {
        (Some(_), _) => Connection::Close,
        (None, Persistence::Echoed) => Connection::KeepAlive,
        (None, _) => Connection::Implied,
    }
}
