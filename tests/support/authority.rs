//! An authority that is made here, and servers that it vouches for.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{Peer, Script, script};

/// An authority, and what it signs with.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// What a server for `name` needs.
    pub(crate) fn server(&self, name: &str, is_expired: bool) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = of_server(name, is_expired).signed_by(&key, &self.issuer).unwrap();
        server_config(&certificate, &key)
    }
}

/// What a server for `name` needs that vouches for itself, and its certificate.
pub(crate) fn self_signed(
    name: &str,
    is_ca: bool,
    is_expired: bool,
) -> (Arc<ServerConfig>, String) {
    let mut params = of_server(name, is_expired);
    params.distinguished_name.push(DnType::CommonName, name);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (server_config(&certificate, &key), certificate.pem())
}

fn of_server(name: &str, is_expired: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    params
}

fn server_config(certificate: &Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

pub(crate) type TlsPeer<'a> = StreamOwned<ServerConnection, &'a std::net::TcpStream>;

/// A script behind a handshake; reports whether the handshake reused a session.
pub(crate) fn over_tls(
    config: &Arc<ServerConfig>,
    inside: impl FnOnce(&mut TlsPeer<'_>) + Send + 'static,
) -> Script {
    let config = Arc::clone(config);
    script(move |peer: &mut Peer| {
        let session = ServerConnection::new(config).unwrap();
        let mut tls = StreamOwned::new(session, &peer.stream);
        inside(&mut tls);
        peer.report(&format!("{:?} {:?}", tls.conn.handshake_kind(), tls.conn.alpn_protocol()));
    })
}

/// Reads one request; false if the client has closed.
pub(crate) fn request(tls: &mut TlsPeer<'_>) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match tls.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Answers one request, and says goodbye if `is_polite`.
pub(crate) fn answer(tls: &mut TlsPeer<'_>, answer: &[u8], is_polite: bool) {
    if !request(tls) {
        return;
    }
    tls.write_all(answer).unwrap();
    if is_polite {
        tls.conn.send_close_notify();
    }
    tls.flush().unwrap();
}
