//! The issuer's signing key, and random texts. Everything is made afresh in every run.
//!
//! Real CI platforms sign with RS256. ring cannot generate RSA keys, and a private key that lies in a
//! repository is worth nothing, so the sandbox signs with ES256 and a P-256 key of its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::failed;
use crate::crypto;
use crate::error::Error;
use crate::secret::Secret;

/// A P-256 key.
pub(super) struct SigningKey {
    private: EncodingKey,
    public: Jwk,
    id: String,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, Error> {
        crypto::install();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|error| failed("no signing key can be made", &error))?;
        let private = EncodingKey::from_ec_der(pkcs8.as_ref());
        let unusable = |error| failed("the new signing key cannot be used", &error);
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(unusable)?;
        let id = public.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { private, public, id })
    }

    /// A signed token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<Secret, Error> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.private)
            .map(Secret::new)
            .map_err(|error| failed("a token cannot be signed", &error))
    }

    /// The key set to publish.
    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    /// The key to verify with.
    pub(super) fn public(&self) -> Result<DecodingKey, Error> {
        DecodingKey::from_jwk(&self.public)
            .map_err(|error| failed("the new signing key cannot be used", &error))
    }
}

/// `N` random bytes.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|error| failed("no random numbers can be had", &error))?;
    Ok(bytes)
}

/// An opaque token of 256 random bits, whose characters RFC 6750 allows in a bearer token.
pub(super) fn random_token() -> Result<Secret, Error> {
    random::<32>().map(|bytes| Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// 128 random bits in hexadecimal digits, for names.
pub(super) fn random_name() -> Result<String, Error> {
    random::<16>().map(|bytes| format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Validation, decode};

    use super::*;

    #[test]
    fn keys_are_fresh_and_verify_their_own_tokens_only() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(one.id, other.id);
        let token = one.sign(&json!({ "exp": 4_000_000_000_i64 })).unwrap();
        let validation = Validation::new(Algorithm::ES256);
        let read = |key: &SigningKey| decode::<Value>(token.reveal(), &key.public().unwrap(), &validation);
        assert_eq!(read(&one).unwrap().header.kid.as_ref(), Some(&one.id));
        assert!(read(&other).is_err());
        let published = &one.set()["keys"][0];
        assert_eq!(published["kid"], one.id.as_str());
        assert_eq!(
            (&published["kty"], &published["crv"], &published["alg"], &published["use"]),
            (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig"))
        );
        assert!(published.get("d").is_none(), "the private part stays here");
    }

    #[test]
    fn random_texts_have_their_length() {
        assert_eq!(random_token().unwrap().reveal().len(), 43);
        assert_eq!(random_name().unwrap().len(), 32);
        assert_ne!(random_name().unwrap(), random_name().unwrap());
    }
}
