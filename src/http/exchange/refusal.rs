//! Answers to requests that are wrong.

use super::super::framing::Persistence;
use super::super::{Error, Reason, Request};
use super::body::Body;
use super::desk::Desk;
use super::{Exchange, Handler, State};

impl Exchange {
    /// Answers with what is wrong with a request that is whole: the next one may follow.
    pub(super) fn decline<H: Handler>(
        &mut self,
        request: &Request<'_>,
        error: Error,
        persistence: Persistence,
        desk: &mut Desk<'_, H>,
    ) {
        self.requests = self.requests.wrapping_add(1);
        if let Some(reason) = desk.decline(request, error, persistence, self.requests) {
            self.state = State::Closed(reason);
        }
    }

    pub(super) fn refuse_request<H: Handler>(
        &mut self,
        request: &Request<'_>,
        error: Error,
        desk: &mut Desk<'_, H>,
    ) {
        let reason = desk.refuse(Some(request), request.method() == "HEAD", error);
        self.close_answered(reason);
    }

    pub(super) fn close_answered(&mut self, reason: Reason) {
        self.requests = self.requests.wrapping_add(1);
        self.state = State::Closed(reason);
    }
}

/// Answers to what is wrong within a body, or with waiting for it.
pub(super) fn refuse_body<H: Handler>(body: &Body, error: Error, desk: &mut Desk<'_, H>) -> Reason {
    body.with_request(desk.handler.peer(), |request| {
        desk.refuse(Some(request), request.method() == "HEAD", error)
    })
}
