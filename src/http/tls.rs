//! TLS: the trusted roots, and the handshake over a connection.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::error::{Code, Error};

use super::connection::Connection;
use super::fault::Fault;
use super::given::GivenCertificates;

/// TLS 1.2 and 1.3 with ring, the built-in roots and the additional ones. There is no way to switch checks off.
pub(super) fn config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    let provider = CryptoProvider { key_provider: &NoClientKeys, ..rustls::crypto::ring::default_provider() };
    let provider = Arc::new(provider);
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if extra_roots.is_empty() {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let by_roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|why| rustls::Error::General(why.to_string()))?;
        let verifier = GivenCertificates { by_roots, given: extra_roots.to_vec() };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    };
    // No connection is made twice, so there is nothing to resume.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// This program never shows a certificate of its own. Without ring's reader of private keys, the code for signing with
/// them is not even in the binary.
#[derive(Debug)]
struct NoClientKeys;

impl KeyProvider for NoClientKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("there are no client certificates".to_owned()))
    }
}

/// Agrees on TLS with this host. `connection` bounds the time.
pub(super) fn start(
    mut connection: Connection,
    config: Arc<ClientConfig>,
    host: &str,
) -> Result<Connection, Fault> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| Fault::Unsendable)?;
    let mut client = ClientConnection::new(config, name).map_err(Fault::Tls)?;
    client.complete_io(&mut connection).map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Fault::Tls(tls.clone()),
            None => Fault::HandshakeBroken(error.kind()),
        }
    })?;
    Ok(Connection::Tls(Box::new(StreamOwned::new(client, connection))))
}

/// Reads certificates from a PEM text. What could not be a root is left out.
///
/// Fails when it holds none that could be a root; `source` is how the setting is called in the message.
pub fn parse_roots(pem: &[u8], source: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let is_usable =
        |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).filter(is_usable).collect();
    if certificates.is_empty() {
        return Err(Error::new(Code::CfgCaFile, format!("{source} holds no certificate that could be read")));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_come_from_pem_and_must_be_there() {
        let ca = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem();
        assert_eq!(parse_roots(ca.as_bytes(), "x").unwrap().len(), 1);
        assert_eq!(parse_roots(format!("text\n{ca}{ca}").as_bytes(), "x").unwrap().len(), 2);
        let junk = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
        assert_eq!(parse_roots(format!("{junk}{ca}").as_bytes(), "x").unwrap().len(), 1, "only what counts");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for none in ["", "no pem", broken] {
            let error = parse_roots(none.as_bytes(), "--ca-file x.pem").unwrap_err();
            assert_eq!(error.code(), Code::CfgCaFile);
            assert!(error.message().starts_with("--ca-file x.pem holds no certificate"), "{error}");
        }
    }
}
