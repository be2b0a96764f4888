//! One request and its reply on one connection: bytes between the connection and the machine that
//! reads replies.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Shared;
use super::connection::Connection;
use super::error::{Error, ErrorKind, Phase};
use super::got::Got;
use super::pool::Lease;
use crate::event_loop::Handle;
use crate::http::{self, Reply as Machine, ReplyError, ReplyEvent, ReplyHead};

/// A reply that ends with its head, although its request may have asked for a body.
const NO_CONTENT: u16 = 204;

/// The other end of no connection.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What is read goes here, for the length of one read: a fetch that waits owns no buffer.
pub(super) type Scratch = Rc<RefCell<Box<[u8]>>>;

/// A request as bytes. Kept until the first byte of the reply, because it may have to be sent again.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    /// The head, and the body if it is small.
    pub(super) head: Vec<u8>,
    /// The body, if it is not.
    pub(super) body: Option<Rc<[u8]>>,
    /// Sending it twice is the same as sending it once.
    pub(super) is_idempotent: bool,
}

/// One request and its reply.
pub(super) struct Exchange {
    pub(super) handle: Handle,
    scratch: Scratch,
    /// [`NOBODY`] as long as there is no connection.
    pub(super) peer: SocketAddr,
    /// `None` when it was given back.
    lease: Option<Lease>,
    message: Message,
    /// Bytes of the message that are on their way.
    written: usize,
    machine: Machine,
    /// The limit of the machine.
    body_bytes_max: u64,
    /// A partial head.
    left: Vec<u8>,
    /// Bytes of the body that have not been taken yet.
    arrived: Vec<u8>,
    /// How it ended, as far as it was read: the end may still come after `arrived`.
    outcome: Option<Result<(), Error>>,
    /// A byte of the reply has come.
    pub(super) is_answered: bool,
    /// The reply has a status without a body, and some servers send one all the same.
    may_have_late_body: bool,
}

impl Message {
    fn len(&self) -> usize {
        self.head.len() + self.body().len()
    }

    /// What follows the first `written` bytes, as far as it is contiguous.
    fn rest(&self, written: usize) -> &[u8] {
        match written.checked_sub(self.head.len()) {
            None => &self.head[written..],
            Some(of_body) => &self.body()[of_body..],
        }
    }

    fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }
}

impl Exchange {
    pub(super) fn new(
        client: &Shared,
        lease: Lease,
        message: Message,
        machine: Machine,
    ) -> Exchange {
        let peer = lease.connection.as_ref().map_or(NOBODY, |connection| connection.peer());
        Exchange {
            handle: client.opener.handle.clone(),
            scratch: Rc::clone(&client.scratch),
            peer,
            lease: Some(lease),
            message,
            written: 0,
            machine,
            body_bytes_max: client.body_bytes_max,
            left: Vec::new(),
            arrived: Vec::new(),
            outcome: None,
            is_answered: false,
            may_have_late_body: false,
        }
    }

    /// Sends the request and reads the head of the reply, with as much of the body as has come.
    ///
    /// The reply is read even while the request is being sent: a server may refuse a body before it
    /// has come, and not read the rest of it.
    pub(super) fn poll_head(&mut self, cx: &Context<'_>) -> Poll<Result<ReplyHead, Error>> {
        let broken = self.send().err();
        if self.is_untouched() {
            // The server has no byte of the request yet, so what comes now is not its reply.
            return match broken {
                Some(error) => Poll::Ready(Err(Error::io(Phase::Head, &self.peer, &error))),
                None => self.wait(Phase::Head, cx),
            };
        }
        loop {
            let read = self.read(Phase::Head);
            match (read, broken.as_ref()) {
                (Poll::Ready(Some(head)), _) => {
                    self.forget_if_sent();
                    return Poll::Ready(Ok(head));
                }
                (Poll::Ready(None), _) => {
                    if let Some(Err(error)) = self.outcome.take() {
                        return Poll::Ready(Err(error));
                    }
                }
                // Nothing was answered before it broke.
                (Poll::Pending, Some(error)) if !self.is_spent() => {
                    return Poll::Ready(Err(Error::io(Phase::Head, &self.peer, error)));
                }
                (Poll::Pending, _) => return self.wait(Phase::Head, cx),
            }
        }
    }

    /// Moves some of the body into `arrived`. False at its end.
    pub(super) fn poll_body(&mut self, cx: &Context<'_>) -> Poll<Result<bool, Error>> {
        // A server may begin to answer before it has everything. If it does not want the rest, that is
        // its business: the reply counts.
        let _ = self.send();
        while self.arrived.is_empty() {
            match &self.outcome {
                Some(Ok(())) => return Poll::Ready(Ok(false)),
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                None => {}
            }
            if self.read(Phase::Body).is_pending() {
                return self.wait(Phase::Body, cx);
            }
        }
        Poll::Ready(Ok(true))
    }

    /// What has come of the body since the last call.
    pub(super) fn take_arrived(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.arrived)
    }

    /// True when the end of the body was read, although some of it may not have been taken.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.outcome, Some(Ok(())))
    }

    /// The connection has carried another request before this one, of which nothing is sent: another
    /// connection will do as well, whatever is asked for.
    pub(super) fn is_untouched(&self) -> bool {
        let is_reused = self.lease.as_ref().is_some_and(|lease| lease.is_reused);
        is_reused && self.written == 0 && self.message.len() > 0
    }

    /// Whether it has a connection, or had one and has given it back.
    pub(super) fn is_connected(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.connection.is_some())
    }

    /// Goes on with this connection.
    pub(super) fn connect(&mut self, connection: Box<Connection>) {
        self.peer = connection.peer();
        if let Some(lease) = &mut self.lease {
            lease.connection = Some(connection);
        }
    }

    /// For a retry. `None` if this connection has carried no other request before, or was given back.
    pub(super) fn into_parts(self) -> Option<(Lease, Message)> {
        let lease = self.lease.filter(|lease| lease.is_reused)?;
        Some((lease, self.message))
    }

    /// A last look before a deadline is enforced: what the kernel has may not have been reported.
    pub(super) fn look_again(&mut self) {
        if let Some(connection) = self.connection() {
            connection.assume_ready();
        }
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        self.lease.as_mut()?.connection.as_deref_mut()
    }

    /// Sends as much as fits. A kept connection is looked at before the first byte, at every attempt:
    /// what is there now was not asked for, and would be taken for the reply.
    fn send(&mut self) -> io::Result<()> {
        let is_untouched = self.is_untouched();
        let Some(connection) = self.lease.as_mut().and_then(|lease| lease.connection.as_mut())
        else {
            return Ok(());
        };
        if is_untouched {
            let is_stale = if self.message.is_idempotent {
                connection.is_stale()
            } else {
                // It will not be sent twice, so the kernel is asked in any case.
                connection.is_stale_for_sure()
            };
            if is_stale {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        while self.written < self.message.len() {
            match connection.try_write(self.message.rest(self.written)) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One read, and what the machine says about it: a head, if it is complete. Ready with none: look
    /// at `arrived` and `outcome`, and read on.
    fn read(&mut self, phase: Phase) -> Poll<Option<ReplyHead>> {
        let scratch = Rc::clone(&self.scratch);
        let buffer = &mut **scratch.borrow_mut();
        let left = std::mem::take(&mut self.left);
        debug_assert!(left.len() < buffer.len(), "the machine refuses a longer head");
        let (front, back) = buffer.split_at_mut(left.len());
        front.copy_from_slice(&left);
        let got = ready!(self.receive(phase, left, back));
        let (filled, is_end) = match got {
            Some(Got::Bytes(bytes)) => (front.len() + bytes, false),
            Some(Got::End) => (front.len(), true),
            Some(Got::Cut) => {
                self.outcome = Some(Err(self.cut(phase)));
                return Poll::Ready(None);
            }
            None => return Poll::Ready(None),
        };
        self.is_answered |= filled > 0;
        Poll::Ready(self.digest(phase, &buffer[..filled], is_end))
    }

    /// Appends what it reads to what is `left`, which is kept if nothing comes. `None`: it failed, see
    /// `outcome`.
    fn receive(&mut self, phase: Phase, left: Vec<u8>, buffer: &mut [u8]) -> Poll<Option<Got>> {
        let Some(connection) = self.lease.as_mut().and_then(|lease| lease.connection.as_mut())
        else {
            return Poll::Ready(None);
        };
        match connection.try_read(buffer) {
            Ok(got) => Poll::Ready(Some(got)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.left = left;
                Poll::Pending
            }
            Err(error) => {
                self.outcome = Some(Err(Error::io(phase, &self.peer, &error)));
                Poll::Ready(None)
            }
        }
    }

    /// Feeds the machine. An error after the head is reported after the head.
    fn digest(&mut self, phase: Phase, mut input: &[u8], is_end: bool) -> Option<ReplyHead> {
        let mut found = None;
        loop {
            match self.machine.advance(&mut input, is_end) {
                Ok(ReplyEvent::Head(head)) => {
                    self.may_have_late_body = head.status() == NO_CONTENT;
                    found = Some(head);
                }
                Ok(ReplyEvent::Data(data)) => self.arrived.extend_from_slice(data),
                Ok(ReplyEvent::Read) => {
                    self.left = input.to_vec();
                    return found;
                }
                Ok(ReplyEvent::End { reusable }) => {
                    self.finish(reusable);
                    return found;
                }
                Err(ReplyError::Message(http::Error::BodyTooLong)) => {
                    self.outcome = Some(Err(Error::too_long(&self.peer, self.body_bytes_max)));
                    return found;
                }
                Err(error) => {
                    self.outcome = Some(Err(Error::reply(phase, &self.peer, error)));
                    return found;
                }
            }
        }
    }

    /// The reply is complete: the connection goes to the next fetch.
    fn finish(&mut self, is_reusable: bool) {
        self.outcome = Some(Ok(()));
        let is_sent = self.written == self.message.len();
        // Otherwise it is dropped, and closed: the server would take the rest for a request.
        if let Some(lease) = self.lease.take().filter(|_| is_reusable && is_sent) {
            if self.may_have_late_body { lease.let_rest() } else { lease.give_back() }
        }
    }

    /// It will not be sent again: part of the reply is here.
    fn forget_if_sent(&mut self) {
        if self.written == self.message.len() {
            (self.message, self.written) = (Message::default(), 0);
        }
    }

    fn wait<T>(&mut self, phase: Phase, cx: &Context<'_>) -> Poll<Result<T, Error>> {
        let has_output = self.written < self.message.len();
        let waits = match self.connection() {
            Some(connection) => connection.wait(cx, has_output),
            None => Ok(()),
        };
        match waits {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(Error::io(phase, &self.peer, &error))),
        }
    }

    /// Nothing came because it is the others' turn, and not because there is nothing.
    fn is_spent(&mut self) -> bool {
        self.connection().is_some_and(|connection| connection.is_spent())
    }

    fn cut(&self, phase: Phase) -> Error {
        let message = format!(
            "bad reply from {}: the connection ended without the close_notify of TLS",
            self.peer
        );
        Error::new(ErrorKind::Truncated, phase, message)
    }
}
