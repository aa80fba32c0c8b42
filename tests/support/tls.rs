//! A private CA and server certificates: a good one, and one for each way to be wrong.
//!
//! The CA is made once per process and trusted by nobody; a job passes it with `--ca-file`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

/// A server certificate, named by what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Valid for `localhost` and 127.0.0.1.
    Good,
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// For `elsewhere.example`.
    WrongHost,
    /// For client authentication only.
    WrongUse,
    /// Signed by its own key.
    SelfSigned,
    /// From another CA, which has the same name as the right one.
    UntrustedCa,
    /// For `localhost` by its common name alone, which RFC 9110, section 4.3.4, no longer counts.
    CommonNameOnly,
    /// Signed by another server's certificate, which is no CA.
    UnderAServer,
}

impl Leaf {
    /// Those that no client may accept.
    pub const BAD: [Self; 8] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::WrongUse,
        Self::SelfSigned,
        Self::UntrustedCa,
        Self::CommonNameOnly,
        Self::UnderAServer,
    ];
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(new_ca)
}

fn new_ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "equinix-wif test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ca::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The CA's certificate.
pub fn ca_pem() -> String {
    ca().pem()
}

/// Writes the CA's certificate into this folder.
pub fn write_ca(folder: &Path) -> PathBuf {
    let path = folder.join("ca.pem");
    fs::write(&path, ca_pem()).unwrap();
    path
}

/// A server's side with this certificate.
pub fn server_config(leaf: Leaf) -> Arc<ServerConfig> {
    let (chain, key) = issue(leaf);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// A client's side that trusts the CA and nothing else, to test the harness itself.
pub fn client_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn issue(leaf: Leaf) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let names: &[&str] = match leaf {
        Leaf::WrongHost => &["elsewhere.example"],
        Leaf::CommonNameOnly => &[],
        _ => &["localhost", "127.0.0.1"],
    };
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let name = if leaf == Leaf::CommonNameOnly { "localhost" } else { "equinix-wif test server" };
    params.distinguished_name.push(DnType::CommonName, name);
    let usage = match leaf {
        Leaf::WrongUse => ExtendedKeyUsagePurpose::ClientAuth,
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    };
    params.insert_extended_key_usage(usage);
    let (begin, end) = match leaf {
        Leaf::Expired => (-30, -1),
        Leaf::NotYetValid => (1, 30),
        _ => (-1, 30),
    };
    let now = OffsetDateTime::from(std::time::SystemTime::now());
    params.not_before = now + Duration::days(begin);
    params.not_after = now + Duration::days(end);

    let key = KeyPair::generate().unwrap();
    let mut chain = Vec::new();
    let certificate = match leaf {
        Leaf::SelfSigned => params.self_signed(&key),
        Leaf::UntrustedCa => params.signed_by(&key, &new_ca()),
        Leaf::UnderAServer => {
            let server = KeyPair::generate().unwrap();
            let mut above = params.clone();
            above.distinguished_name.push(DnType::CommonName, "equinix-wif test server above");
            chain.push(above.signed_by(&server, ca()).unwrap().der().clone());
            params.signed_by(&key, &Issuer::from_params(&above, server))
        }
        _ => params.signed_by(&key, ca()),
    };
    chain.insert(0, certificate.unwrap().der().clone());
    (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}
