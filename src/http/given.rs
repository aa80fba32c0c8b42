//! Certificates that the user gave, as the servers' own.
//!
//! `openssl req -x509` makes a self-signed certificate that calls itself an authority. The rules for paths (RFC 5280
//! section 6.1) have no place for such a one as a server's, yet whoever gives exactly this certificate trusts exactly this
//! server. Its name and its dates are checked all the same.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Verifies by the trusted roots, and takes a given certificate for its own server's.
#[derive(Debug)]
pub(super) struct GivenCertificates {
    pub(super) by_roots: Arc<WebPkiServerVerifier>,
    pub(super) given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for GivenCertificates {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.by_roots.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if is_authority(&error) && self.given.iter().any(|given| given == certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_roots.supported_verify_schemes()
    }
}

/// Tells whether all that was found wrong is that an authority is the server. The dates have been checked before; the name has
/// not. Everything unknown is another error, so a change of these words in the library can only refuse.
fn is_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why)) if why.0.to_string() == "CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
    use rustls::RootCertStore;

    use super::*;

    /// A certificate as `openssl req -x509 -subj /CN=localhost -addext subjectAltName=DNS:localhost` makes it.
    fn certificate() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn outcome(
        given: &CertificateDer<'static>,
        shown: &CertificateDer<'static>,
        name: &str,
        time: u64,
    ) -> Result<(), CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.add(given.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let by_roots =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let verifier = GivenCertificates { by_roots, given: vec![given.clone()] };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(time));
        match verifier.verify_server_cert(shown, &[], &name, &[], now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(why)) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    const IN_2026: u64 = 1_780_000_000;

    #[test]
    fn a_given_authority_is_its_own_server_and_nobody_else_s() {
        let (given, other) = (certificate(), certificate());
        assert_eq!(outcome(&given, &given, "localhost", IN_2026), Ok(()));
        assert!(outcome(&given, &other, "localhost", IN_2026).is_err(), "of the same name, with another key");
        let elsewhere = outcome(&given, &given, "elsewhere.example", IN_2026).unwrap_err();
        assert!(matches!(elsewhere, CertificateError::NotValidForNameContext { .. }), "{elsewhere:?}");
        let expired = outcome(&given, &given, "localhost", 2_000_000_000).unwrap_err();
        assert!(matches!(expired, CertificateError::ExpiredContext { .. }), "{expired:?}");
        let early = outcome(&given, &given, "localhost", 1_500_000_000).unwrap_err();
        assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
    }
}
