//! Where a request is while a driver looks at it.

use super::super::framing::Persistence;
use super::super::head::Head;
use super::super::{Peer, Reason, Request};

/// A place on the driver's stack for one request, so that the request borrows the input or this place, and never
/// the exchange, which must learn how it was answered.
#[derive(Debug)]
pub struct Room<'r> {
    pub(super) peer: Option<&'r Peer<'r>>,
    /// The head, and perhaps a body, of a request that did not come at once.
    kept: Option<Kept>,
    pub(super) asked: Option<Asked<'r>>,
}

/// A request that is whole, and what its answer depends on.
#[derive(Debug)]
pub struct Asked<'r> {
    pub(crate) request: Request<'r>,
    /// The complete head.
    pub(super) head: &'r [u8],
    pub(super) persistence: Persistence,
    /// Set if the body was not waited for.
    pub(super) unread: Option<Reason>,
}

/// What is kept of a request when its input is gone.
#[derive(Debug)]
pub(super) struct Kept {
    /// The complete head, which was found good.
    pub(super) head: Vec<u8>,
    /// The body, as far as it came and is to be collected.
    pub(super) content: Vec<u8>,
    pub(super) persistence: Persistence,
    /// See [`Asked::unread`].
    pub(super) unread: Option<Reason>,
}

impl<'r> Room<'r> {
    /// An empty one. `peer`: the other end, for [`Request::peer`] and [`Request::client_addr`].
    pub fn new(peer: Option<&'r Peer<'r>>) -> Room<'r> {
        Room { peer, kept: None, asked: None }
    }

    /// Shows a request that was kept.
    pub(super) fn keep(&'r mut self, kept: Kept) -> &'r Asked<'r> {
        let Room { peer, kept: place, asked } = self;
        let kept: &'r Kept = place.insert(kept);
        let request = Head::parse(&kept.head).expect("this head was found good").request;
        asked.insert(Asked {
            request: Request { body: &kept.content, peer: *peer, ..request },
            head: &kept.head,
            persistence: kept.persistence,
            unread: kept.unread,
        })
    }

    /// Shows a request that is good as far as it goes, and is to be refused.
    pub(super) fn keep_request(&'r mut self, request: Request<'r>) -> &'r Asked<'r> {
        let persistence = Persistence::CloseAsked;
        self.asked.insert(Asked { request, head: b"", persistence, unread: None })
    }
}

impl<'r> Asked<'r> {
    /// The request itself.
    pub fn request(&self) -> &Request<'r> {
        &self.request
    }
}

impl Kept {
    pub(super) fn new(head: &[u8], persistence: Persistence) -> Kept {
        Kept { head: head.to_vec(), content: Vec::new(), persistence, unread: None }
    }
}

/// Nothing: what is left where it was taken from.
impl Default for Kept {
    fn default() -> Kept {
        Kept::new(b"", Persistence::Implied)
    }
}
