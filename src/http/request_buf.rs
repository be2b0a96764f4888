//! A request that owns its bytes.

use super::{Headers, Peer, Request, Target, Version};

/// What a [`Request`] borrows, for handlers that outlive the input.
#[derive(Clone, Debug)]
pub struct RequestBuf {
    method: String,
    target: String,
    version: Version,
    /// Good field lines, as in [`Headers`].
    lines: Vec<u8>,
    fields: usize,
    body: Vec<u8>,
    /// Its client was worked out.
    peer: Option<Peer<'static>>,
    #[cfg(feature = "router")]
    params: Option<super::request::Params>,
}

impl RequestBuf {
    /// With this body, for calling a service without a connection.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> RequestBuf {
        self.body = body.into();
        self
    }

    /// The request. All its methods are there.
    pub fn as_request(&self) -> Request<'_> {
        let RequestBuf { method, target, .. } = self;
        let parts = Target::parse(method, target).expect("it was found good");
        Request {
            method,
            target_text: target,
            path: parts.path(),
            query: parts.query(),
            version: self.version,
            headers: Headers { lines: &self.lines, count: self.fields },
            body: &self.body,
            peer: self.peer.as_ref(),
            #[cfg(feature = "router")]
            params: self.params.as_ref(),
        }
    }
}

/// ```
/// use helloop::http::{Request, RequestBuf};
///
/// let kept = RequestBuf::from(&Request::new("GET", "/here?now")?);
/// assert_eq!(kept.as_request().query(), Some("now"));
/// # Ok::<(), helloop::http::Error>(())
/// ```
impl From<&Request<'_>> for RequestBuf {
    fn from(request: &Request<'_>) -> RequestBuf {
        RequestBuf {
            method: request.method.to_owned(),
            target: request.target_text.to_owned(),
            version: request.version,
            lines: request.headers.lines.to_vec(),
            fields: request.headers.count,
            body: request.body.to_vec(),
            peer: request.peer.map(|peer| {
                let client = peer.client(request.headers);
                Peer { address: peer.address, client, rule: None }
            }),
            #[cfg(feature = "router")]
            params: request.params.cloned(),
        }
    }
}
