//! A real signature: an issuer's ES256 key, and its place in the metadata that the issuer publishes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::job::Job;
use super::server::{Reply, Request};
use super::token::Token;

/// A P-256 key with an id.
pub struct IssuerKey {
    pair: EcdsaKeyPair,
    id: String,
}

impl IssuerKey {
    /// A fresh key.
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pair, id: id.to_owned() }
    }

    /// The token with this key's signature.
    pub fn sign(&self, token: Token) -> String {
        let token = token.header("alg", "ES256").header("kid", self.id.as_str());
        let input = token.signing_input();
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        token.signature(&URL_SAFE_NO_PAD.encode(signature)).mint()
    }

    /// The public half, as an issuer publishes it (RFC 7517).
    pub fn public(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.pair.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": part(&point[1..33]), "y": part(&point[33..]),
        })
    }
}

/// The job's issuer signs with a key of its own and publishes it. Ask after [`Job::tls`].
pub fn signed(job: Job) -> Job {
    let key = IssuerKey::new("2026-11");
    let keys = vec![key.public()];
    publishing(job, keys).mint_with(move |token| key.sign(token))
}

/// The job's issuer publishes these keys.
pub fn publishing(job: Job, keys: Vec<Value>) -> Job {
    let (issuer, jwks_uri) = (job.issuer(), format!("{}/jwks", job.issuer_url()));
    let path = issuer.strip_prefix(&job.issuer_url()).unwrap().to_owned();
    let document = json!({
        "issuer": issuer, "jwks_uri": jwks_uri, "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    });
    job.issuer_with(move |request: &Request| {
        if request.path() == format!("{path}/.well-known/openid-configuration") {
            Some(Reply::json(&document))
        } else if request.path() == "/jwks" {
            Some(Reply::json(&json!({"keys": keys})))
        } else {
            None
        }
    })
}
