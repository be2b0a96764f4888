//! TLS by rustls, on the same loop: rustls knows no sockets, and is fed like the HTTP machine.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::any_cert::AnyCert;
use super::error::{Error, ErrorKind, Phase};
use super::got::Got;
use super::pinned::{Pinned, sentence};
use crate::coroutine::{Promise, Stream};
use crate::event_loop::Handle;
use crate::world::Readiness;

/// How a client does TLS 1.2 and 1.3: which certificate authorities it trusts. By default, those of the
/// system.
///
/// A server must have a certificate for the name (or address) in the URL, valid now and signed by one
/// of them, unless the program asks for [the opposite](TlsConfig::danger_accept_invalid_certs).
///
/// ```
/// use helloop::client::{Client, TlsConfig};
/// use helloop::event_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// // An authority of one's own, in the place of those of the system.
/// let config = TlsConfig::new().without_system_roots();
/// let client = Client::builder(event_loop.handle()).tls(config).build()?;
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    believes_anybody: bool,
    has_system_roots: bool,
    more_roots: Vec<CertificateDer<'static>>,
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig { believes_anybody: false, has_system_roots: true, more_roots: Vec::new() }
    }
}

impl TlsConfig {
    /// The authorities of the system: where it keeps them, or where `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` say. They are read at the first fetch that needs them, on a helper thread.
    pub fn new() -> TlsConfig {
        TlsConfig::default()
    }

    /// Without the authorities of the system.
    #[must_use]
    pub fn without_system_roots(mut self) -> TlsConfig {
        self.has_system_roots = false;
        self
    }

    /// Accepts every certificate: expired, for another name, signed by nobody. Anyone between here and
    /// the server can then read and change what is sent. For a test server whose authority is not
    /// available; where it is, [`add_roots_pem`] is better.
    ///
    /// [`add_roots_pem`]: TlsConfig::add_roots_pem
    #[must_use]
    pub fn danger_accept_invalid_certs(mut self) -> TlsConfig {
        self.believes_anybody = true;
        self
    }

    /// Adds the authorities in the text of a PEM file; what is not a certificate is skipped. A server
    /// whose own certificate is among them is trusted as well, if it is valid now and for its name: a
    /// self-signed one has no other authority.
    ///
    /// # Errors
    /// When there is no certificate in it, or one that is broken.
    pub fn add_roots_pem(mut self, pem: &[u8]) -> Result<TlsConfig, Error> {
        let before = self.more_roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(&format!("bad PEM: {error}")))?;
            // Checked now: at the first fetch, the error could not name the file.
            let added = RootCertStore::empty().add(certificate.clone());
            added.map_err(|error| bad(&format!("not a certificate of an authority: {error}")))?;
            self.more_roots.push(certificate);
        }
        if self.more_roots.len() == before {
            return Err(bad(&"no certificate in the PEM text"));
        }
        Ok(self)
    }

    /// Reads what there is to read; blocks.
    fn load(self) -> Result<Arc<ClientConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(&error))?;
        let believing = if self.believes_anybody {
            let verifier = Arc::new(AnyCert::new(provider));
            versions.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            let (roots, given) = self.roots()?;
            let authorities =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let authorities = authorities.build().map_err(|error| bad(&error))?;
            let verifier = Arc::new(Pinned::new(authorities, given));
            versions.dangerous().with_custom_certificate_verifier(verifier)
        };
        // Sessions are kept for reuse in the configuration, which all connections share.
        let mut config = believing.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// All authorities, and those of them that are not of the system.
    fn roots(self) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
        let mut roots = RootCertStore::empty();
        let mut complaints = Vec::new();
        if self.has_system_roots {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            complaints = system.errors;
        }
        roots.add_parsable_certificates(self.more_roots.iter().cloned());
        if roots.is_empty() {
            let why = complaints.iter().map(|error| format!(": {error}")).collect::<String>();
            return Err(bad(&format!("no certificate authority is trusted{why}")));
        }
        Ok((roots, self.more_roots))
    }

    /// Nothing has to be read from a disk.
    fn is_here(&self) -> bool {
        self.believes_anybody || !self.has_system_roots
    }
}

type Loaded = Result<Arc<ClientConfig>, Error>;

/// Makes sessions.
#[derive(Debug)]
pub(super) struct Connector {
    handle: Handle,
    config: TlsConfig,
    /// Begun by the first fetch that needs it, shared by all.
    loaded: RefCell<Option<Promise<Loaded>>>,
}

impl Connector {
    pub(super) fn new(handle: &Handle, config: TlsConfig) -> Connector {
        Connector { handle: handle.clone(), config, loaded: RefCell::default() }
    }

    /// A session with `host`, before its handshake.
    pub(super) async fn session(&self, host: &str) -> Result<Session, Error> {
        let config = self.loaded().wait().await.map_err(|_| bad(&"the loop ends"))??;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A name with the dot of the root is the same without it in certificates.
        let name = bare.strip_suffix('.').unwrap_or(bare).to_owned();
        let name = ServerName::try_from(name)
            .map_err(|error| bad(&format!("no certificate can be for `{host}`: {error}")))?;
        let session = ClientConnection::new(config, name).map_err(|error| bad(&error))?;
        Ok(Session(Box::new(session)))
    }

    fn loaded(&self) -> Promise<Loaded> {
        let mut loaded = self.loaded.borrow_mut();
        // A failure is not kept: files can be repaired.
        let is_good = |promise: &Promise<Loaded>| !matches!(promise.get(), Ok(Err(_)));
        if let Some(promise) = loaded.as_ref().filter(|promise| is_good(promise)) {
            return promise.clone();
        }
        let promise = self.handle.promise();
        *loaded = Some(promise.clone());
        self.load(promise.clone());
        promise
    }

    fn load(&self, promise: Promise<Loaded>) {
        let config = self.config.clone();
        if config.is_here() {
            // Nothing else sets it.
            let _ = promise.set(config.load());
            return;
        }
        let read = self.handle.run_blocking(move || config.load());
        // A task of its own: the fetch that needed it first may be cancelled, and the others wait on.
        let task = self.handle.spawn_named("certificates", async move {
            let outcome = read.await.unwrap_or_else(|error| Err(bad(&error)));
            let _ = promise.set(outcome);
        });
        drop(task);
    }
}

fn bad(what: &dyn fmt::Display) -> Error {
    Error::new(ErrorKind::Tls, Phase::Tls, format!("TLS: {what}"))
}

/// The session of one connection. In a box: connections without TLS have no room for it.
#[derive(Debug)]
pub(super) struct Session(Box<ClientConnection>);

impl Session {
    pub(super) fn poll_handshake(
        &mut self,
        stream: &mut Stream,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self.shake_hands(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let writable =
                    if self.wants_write() { Readiness::WRITABLE } else { Readiness::empty() };
                stream.want(cx, Readiness::READABLE | writable)?;
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }

    fn shake_hands(&mut self, stream: &mut Stream) -> io::Result<()> {
        loop {
            self.flush(stream)?;
            if !self.0.is_handshaking() {
                return Ok(());
            }
            if self.receive(stream)? == 0 {
                let text = "the server closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }

    pub(super) fn try_read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<Got> {
        // What was taken to be written, and did not fit then.
        self.flush(stream)?;
        loop {
            match self.0.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(bytes) => return Ok(Got::Bytes(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Got::Cut),
                Err(error) => return Err(error),
            }
            self.receive(stream)?;
        }
    }

    /// Takes what fits into the session's own buffer, and writes as much of that as fits.
    pub(super) fn try_write(&mut self, stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(stream)?;
        if self.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.0.writer().write(bytes)?;
        self.flush(stream)?;
        Ok(taken)
    }

    pub(super) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Whether something is in it that belongs to no request of ours: bytes, or the end.
    pub(super) fn is_over(&mut self) -> bool {
        let state = self.0.process_new_packets();
        state.map_or(true, |state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }

    /// Sends `close_notify`, if it can be sent at once.
    pub(super) fn close(&mut self, stream: &mut Stream) {
        self.0.send_close_notify();
        // Nothing waits for it.
        let _ = self.flush(stream);
    }

    /// Reads once from the socket, and deciphers. Zero: the socket has ended.
    fn receive(&mut self, stream: &mut Stream) -> io::Result<usize> {
        let bytes = self.0.read_tls(&mut Socket(stream))?;
        if let Err(error) = self.0.process_new_packets() {
            // The alert that says what was wrong; whether it arrives matters less than the error.
            let _ = self.flush(stream);
            return Err(io::Error::new(io::ErrorKind::InvalidData, sentence(&error)));
        }
        Ok(bytes)
    }

    /// Writes what is ready to be written, as far as it fits.
    fn flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Socket(stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A stream as rustls wants it.
struct Socket<'a>(&'a mut Stream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("believes_anybody", &self.believes_anybody)
            .field("has_system_roots", &self.has_system_roots)
            .field("more_roots", &self.more_roots.len())
            .finish()
    }
}
