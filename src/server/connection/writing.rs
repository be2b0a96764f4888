//! Answers on their way to the socket, and what comes after them.

use std::io;
use std::mem;

use super::{Connection, Next, State};
use crate::event_loop::{Context, Flow, Source};
use crate::http::Reason;
use crate::limits::BUFFER_BYTES_KEPT_MAX;
use crate::server::Service;
use crate::world::{Readiness, Stream};

/// Output that did not fit into the socket.
pub(super) struct Unsent {
    bytes: Vec<u8>,
    /// `bytes[..sent]` is on its way; less than all.
    sent: usize,
    /// Bytes that the peer took in the present window.
    pub(super) progress: u32,
    /// What comes once everything is written.
    then: Then,
}

/// Where answers lead, once they are written.
pub(super) enum Then {
    To(State),
    Close(Reason),
}

impl<S: Service> Connection<S> {
    /// Writes the output buffer, then goes on: flush before want.
    pub(super) fn deliver(&mut self, then: Then, came_whole: bool, cx: &mut Context<'_>) -> Next {
        let output = &mut cx.scratch.output;
        if !output.is_empty() {
            let sent = match write_all(&mut self.source, output) {
                Ok(sent) => sent,
                Err(error) => return self.fail(&error, cx),
            };
            if sent < output.len() {
                let bytes = output[sent..].to_vec();
                output.clear();
                return self.wait_to_write(Box::new(Unsent { bytes, sent: 0, progress: 0, then }));
            }
            output.clear();
            output.shrink_to(BUFFER_BYTES_KEPT_MAX);
        }
        self.go_on(then, came_whole, cx)
    }

    /// Goes on with what did not fit before.
    pub(super) fn flush(&mut self, mut unsent: Box<Unsent>, cx: &Context<'_>) -> Next {
        let sent = match write_all(&mut self.source, &unsent.bytes[unsent.sent..]) {
            Ok(sent) => sent,
            Err(error) => return self.fail(&error, cx),
        };
        unsent.sent += sent;
        if unsent.sent < unsent.bytes.len() {
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            unsent.progress = unsent.progress.saturating_add(sent);
            return self.wait_to_write(unsent);
        }
        self.go_on(unsent.then, false, cx)
    }

    /// Everything is written.
    fn go_on(&mut self, then: Then, came_whole: bool, cx: &Context<'_>) -> Next {
        match then {
            Then::Close(reason) => self.close(reason, came_whole, cx),
            Then::To(state @ State::Answering { .. }) => {
                self.state = state;
                Next::Yield(Flow::Again)
            }
            Then::To(state @ State::Serving(_)) => {
                self.state = state;
                Next::Step
            }
            Then::To(state) => {
                debug_assert!(!self.eof, "after the end there is nothing to read");
                if !self.source.readiness().is_readable() {
                    return self.wait_to_read(state);
                }
                self.state = state;
                Next::Step
            }
        }
    }

    pub(super) fn wait_to_read(&mut self, state: State) -> Next {
        self.state = state;
        self.want_to_read();
        Next::Yield(Flow::Wait)
    }

    fn wait_to_write(&mut self, unsent: Box<Unsent>) -> Next {
        self.state = State::Flushing(unsent);
        self.waits_to_read = false;
        self.source.want(Readiness::WRITABLE);
        Next::Yield(Flow::Wait)
    }

    pub(super) fn want_to_read(&mut self) {
        if !mem::replace(&mut self.waits_to_read, true) {
            self.source.want(Readiness::READABLE);
        }
    }
}

/// Writes until everything is written or the socket is full; returns the number of bytes written.
fn write_all(source: &mut Source<Stream>, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match source.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
