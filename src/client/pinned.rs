//! Certificates that were given themselves: a self-signed one has no authority but itself.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Trusts authorities, as every verifier does; and a server whose own certificate is one of those that were
/// given, if it is valid now and for its name. curl does the same.
#[derive(Debug)]
pub(super) struct Pinned {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Pinned {
    pub(super) fn new(
        authorities: Arc<WebPkiServerVerifier>,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Pinned {
        Pinned { authorities, certificates }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let Err(error) = verified else { return verified };
        // Both are looked for when the certificate is known to be valid now: an expired one is called that.
        // Its name has not been looked at.
        let lacks_an_authority = is_of_nobody(&error) || is_of_an_authority(&error);
        if !lacks_an_authority || !self.certificates.contains(end_entity) {
            return Err(error);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// What is wrong, for people. Where rustls only has a name for it, the text says what can be done.
pub(super) fn sentence(error: &Error) -> String {
    let remedy = "if you know the server, trust that certificate or its authority: --cacert FILE \
                  (in a program, TlsConfig::add_roots_pem)";
    // A certificate of the same name that was signed by another: that of yesterday, perhaps.
    let is_of_another = matches!(error, Error::InvalidCertificate(CertificateError::BadSignature));
    if is_of_nobody(error) || is_of_another {
        format!("its certificate is signed by no trusted authority; {remedy}")
    } else if is_of_an_authority(error) {
        format!("its certificate is that of an authority, and not of a server; {remedy}")
    } else {
        error.to_string()
    }
}

fn is_of_nobody(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

/// Many self-signed certificates say that they are authorities, because the tools that make them say so
/// unless they are told otherwise. rustls does not name this error, and hands on that of its library.
fn is_of_an_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    other.to_string() == "CaUsedAsEndEntity"
}
