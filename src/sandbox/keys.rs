//! The issuer's signing key, and random texts. Everything is made afresh in every run.
//!
//! Real CI platforms sign with RS256. ring cannot generate RSA keys, and a private key that lies in a
//! repository is worth nothing, so the sandbox signs with ES256 and a P-256 key of its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::failed;
use crate::error::Error;
use crate::identity::crypto;
use crate::identity::signature::IssuerKeys;
use crate::secret::Secret;

/// A P-256 key.
pub(super) struct SigningKey {
    private: EncodingKey,
    /// The public key as published (RFC 7517).
    public: Value,
    id: String,
}

impl SigningKey {
    pub(super) fn generate() -> Result<Self, Error> {
        crypto::install();
        let random = SystemRandom::new();
        let unusable = |error: &dyn std::fmt::Display| failed("no signing key can be made", error);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|error| unusable(&error))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
            .map_err(|error| unusable(&error))?;
        // SEC 1 section 2.3.3: the byte 4, then both coordinates of the point.
        let point = pair.public_key().as_ref();
        let (x, y) = match point {
            [4, coordinates @ ..] if coordinates.len() == 64 => coordinates.split_at(32),
            _ => return Err(unusable(&"its public part has an unexpected form")),
        };
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let id = crate::random::hex()?;
        let public =
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": id});
        Ok(Self { private: EncodingKey::from_ec_der(pkcs8.as_ref()), public, id })
    }

    /// A signed token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> Result<Secret, Error> {
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": self.id});
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, Algorithm::ES256)
            .map_err(|error| failed("a token cannot be signed", &error))?;
        Ok(Secret::new(format!("{signed}.{signature}")))
    }

    /// The key set to publish.
    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    /// The key set as somebody has it who fetched it.
    pub(super) fn published(&self) -> IssuerKeys {
        IssuerKeys { keys: vec![self.public.clone()], algorithms: None }
    }
}

/// An opaque token of 256 random bits, whose characters RFC 6750 allows in a bearer token.
pub(super) fn random_token() -> Result<Secret, Error> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|error| failed("no random numbers can be had", &error))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn keys_are_fresh_and_verify_their_own_tokens_only() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(one.id, other.id);
        let token = one.sign(&json!({ "exp": 4_000_000_000_i64 })).unwrap();
        let validation = Validation::new(Algorithm::ES256);
        let read = |key: &SigningKey| {
            let jwk: Jwk = serde_json::from_value(key.set()["keys"][0].clone()).unwrap();
            decode::<Value>(token.reveal(), &DecodingKey::from_jwk(&jwk).unwrap(), &validation)
        };
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
        assert_ne!(random_token().unwrap().reveal(), random_token().unwrap().reveal());
    }
}
