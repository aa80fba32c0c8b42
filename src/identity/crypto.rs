//! The cryptography behind `jsonwebtoken`: ring, which rustls brings along anyway.
//!
//! The crate has no backend of its own here. Until [`install`] was called, its `encode`, `decode` and `verify`
//! panic, so whoever uses them calls [`install`] first; calling it again costs nothing.
//!
//! Verified is everything that ring offers for JSON Web Signatures. Signed is ES256 only, and only the sandbox
//! does so: ring cannot generate RSA keys, and no private key is kept in this repository. Shared-secret
//! algorithms are left out on purpose: a token signed that way proves nothing to a third party.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    self as ring_signature, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use signature::{Error as SignatureError, Signer, Verifier};

/// The shortest RSA modulus that is accepted, in bits.
pub const MIN_RSA_BITS: usize = 2048;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| new_signer(*algorithm, key),
    verifier_factory: |algorithm, key| new_verifier(*algorithm, key),
    // The crate's own stand-ins panic; these return errors for what ring cannot do.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        rsa_pub_components_from_public_key: |_| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        ec_pub_components_from_private_key: ec_public_from_private,
        ed_pub_components_from_private_key: ed_public_from_private,
        compute_digest: |data, hash| digest(data, &hash),
    },
};

/// Makes ring the backend of `jsonwebtoken` for this process.
pub fn install() {
    // An error means that it is installed already.
    PROVIDER.install_default().ok();
}

/// The way in which ring verifies an algorithm. RSA is apart because its keys come as two numbers.
enum Scheme {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

struct RingVerifier {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let verified = match (&self.scheme, self.key.kind()) {
            (Scheme::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n: significant(n), e: significant(e) }
                    .verify(parameters, message, signature)
            }
            (Scheme::Rsa(parameters), DecodingKeyKind::SecretOrDer(der)) => {
                UnparsedPublicKey::new(*parameters, der).verify(message, signature)
            }
            (Scheme::Other(algorithm), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(*algorithm, point).verify(message, signature)
            }
            (Scheme::Other(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(SignatureError::new());
            }
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

struct Es256Signer(EcdsaKeyPair);

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignatureError::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

fn new_verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let scheme = match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Scheme::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&ring_signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Other(&ring_signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Other(&ring_signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Scheme::Other(&ring_signature::ED25519),
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    // ring refuses such keys too, but without a word about the reason.
    if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() {
        let bits =
            significant(n).first().map_or(0, |top| significant(n).len() * 8 - top.leading_zeros() as usize);
        if bits < MIN_RSA_BITS {
            let reason = format!("the RSA key has {bits} bits, fewer than {MIN_RSA_BITS}");
            return Err(new_error(ErrorKind::InvalidRsaKey(reason)));
        }
    }
    Ok(Box::new(RingVerifier { algorithm, scheme, key: key.clone() }))
}

fn new_signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if algorithm != Algorithm::ES256 {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    if key.family() != AlgorithmFamily::Ec {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(Es256Signer(ec_pair(&ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes())?)))
}

fn ec_pair(algorithm: &'static EcdsaSigningAlgorithm, pkcs8: &[u8]) -> Result<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new())
        .map_err(|_| new_error(ErrorKind::InvalidEcdsaKey))
}

fn ec_public_from_private(pkcs8: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    let (signing, curve, width) = match algorithm {
        Algorithm::ES256 => (&ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING, EllipticCurve::P256, 32),
        Algorithm::ES384 => (&ring_signature::ECDSA_P384_SHA384_FIXED_SIGNING, EllipticCurve::P384, 48),
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    let pair = ec_pair(signing, pkcs8)?;
    // An uncompressed point: 4, then x and y.
    let point = pair.public_key().as_ref().strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(width));
    let (x, y) = point.ok_or_else(|| new_error(ErrorKind::InvalidEcdsaKey))?;
    Ok((curve, x.to_vec(), y.to_vec()))
}

fn ed_public_from_private(pkcs8: &[u8], curve: &EllipticCurve) -> Result<Vec<u8>> {
    if !matches!(curve, EllipticCurve::Ed25519) {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
        .map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?;
    Ok(pair.public_key().as_ref().to_vec())
}

fn digest(data: &[u8], hash: &ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &ring::digest::SHA256,
        ThumbprintHash::SHA384 => &ring::digest::SHA384,
        ThumbprintHash::SHA512 => &ring::digest::SHA512,
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(ring::digest::digest(algorithm, data).as_ref().to_vec())
}

/// A number without leading zero bytes. RFC 7518 forbids them, some issuers write them, ring rejects them.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::crypto::{sign, verify};
    use jsonwebtoken::jwk::Jwk;

    use super::*;

    /// A fresh P-256 key: for signing, for verifying.
    fn p256() -> (EncodingKey, DecodingKey) {
        let signing = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        let (_, x, y) = ec_public_from_private(pkcs8.as_ref(), Algorithm::ES256).unwrap();
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        (
            EncodingKey::from_ec_der(pkcs8.as_ref()),
            DecodingKey::from_ec_components(&b64(&x), &b64(&y)).unwrap(),
        )
    }

    #[test]
    fn es256_verifies_what_it_signed_and_nothing_else() {
        install();
        install();
        let (private, public) = p256();
        let signature = sign(b"message", &private, Algorithm::ES256).unwrap();
        let holds = |message: &[u8], signature: &str, key: &DecodingKey| {
            verify(signature, message, key, Algorithm::ES256).unwrap()
        };
        assert!(holds(b"message", &signature, &public));
        assert!(!holds(b"massage", &signature, &public), "tampered message");
        assert!(!holds(b"message", &signature, &p256().1), "another key");
        assert!(!holds(b"message", "", &public), "no signature");
        let mut bytes = URL_SAFE_NO_PAD.decode(&signature).unwrap();
        bytes[40] ^= 1;
        assert!(!holds(b"message", &URL_SAFE_NO_PAD.encode(bytes), &public), "tampered signature");
    }

    #[test]
    fn es384_and_ed25519_verify() {
        install();
        let rng = SystemRandom::new();
        let signing = &ring_signature::ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &rng).unwrap();
        let pair = ec_pair(signing, pkcs8.as_ref()).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(&rng, b"m").unwrap());
        let public = DecodingKey::from_ec_der(pair.public_key().as_ref());
        assert!(verify(&signature, b"m", &public, Algorithm::ES384).unwrap());
        assert!(!verify(&signature, b"m", &public, Algorithm::ES256).unwrap(), "another curve");

        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(b"m"));
        let x =
            URL_SAFE_NO_PAD.encode(ed_public_from_private(pkcs8.as_ref(), &EllipticCurve::Ed25519).unwrap());
        let public = DecodingKey::from_ed_components(&x).unwrap();
        assert!(verify(&signature, b"m", &public, Algorithm::EdDSA).unwrap());
        assert!(!verify(&signature, b"n", &public, Algorithm::EdDSA).unwrap());
    }

    /// The published example of RFC 7515 appendix A.2: its public key and its signature.
    #[test]
    fn rs256_verifies_the_example_of_rfc_7515() {
        install();
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
                 T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
                 dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
                 GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj\
                         Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe\
                         7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8\
                         np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let claims = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        let message =
            [r#"{"alg":"RS256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".").into_bytes();
        let key = DecodingKey::from_rsa_components(n, "AQAB").unwrap();
        assert!(verify(signature, &message, &key, Algorithm::RS256).unwrap());
        for other in
            [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512]
        {
            assert!(!verify(signature, &message, &key, other).unwrap(), "{other:?}");
        }
        let mut padded = vec![0];
        padded.extend(URL_SAFE_NO_PAD.decode(n).unwrap());
        let key = DecodingKey::from_rsa_raw_components(&padded, &[0, 1, 0, 1]);
        assert!(verify(signature, &message, &key, Algorithm::RS256).unwrap(), "leading zeros");
    }

    #[test]
    fn short_rsa_keys_are_refused() {
        install();
        for (bytes, top) in [(256, 0x7f), (128, 0xff), (0, 0)] {
            let mut n = vec![0xff; bytes];
            if let Some(first) = n.first_mut() {
                *first = top;
            }
            let key = DecodingKey::from_rsa_raw_components(&n, &[1, 0, 1]);
            let error = verify("", b"", &key, Algorithm::RS256).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InvalidRsaKey(_)), "{bytes}: {error}");
        }
    }

    #[test]
    fn what_is_not_supported_is_an_error_and_no_panic() {
        install();
        let (private, public) = p256();
        let shared = DecodingKey::from_secret(b"shared");
        assert!(verify("", b"", &shared, Algorithm::HS256).is_err());
        assert!(verify("", b"", &shared, Algorithm::ES256).is_err(), "a shared secret is no public key");
        assert!(verify("", b"", &public, Algorithm::RS256).is_err());
        for other in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES384, Algorithm::EdDSA] {
            assert!(sign(b"", &private, other).is_err());
        }
        assert!(sign(b"", &EncodingKey::from_ec_der(b"no key"), Algorithm::ES256).is_err());
        assert!(sign(b"", &EncodingKey::from_rsa_der(b"no key"), Algorithm::ES256).is_err());
        let utils = &PROVIDER.key_utils;
        assert!((utils.rsa_pub_components_from_public_key)(b"").is_err());
        assert!((utils.rsa_pub_components_from_private_key)(b"").is_err());
        assert!((utils.ec_pub_components_from_private_key)(b"", Algorithm::ES384).is_err());
        assert!((utils.ec_pub_components_from_private_key)(b"", Algorithm::RS256).is_err());
        assert!((utils.ed_pub_components_from_private_key)(b"", &EllipticCurve::Ed25519).is_err());
        assert!((utils.ed_pub_components_from_private_key)(b"", &EllipticCurve::P256).is_err());
    }

    #[test]
    fn key_utilities_make_a_key_s_public_form_and_thumbprint() {
        install();
        let jwk = Jwk::from_encoding_key(&p256().0, Algorithm::ES256).unwrap();
        let lengths: Vec<usize> = [ThumbprintHash::SHA256, ThumbprintHash::SHA384, ThumbprintHash::SHA512]
            .map(|hash| URL_SAFE_NO_PAD.decode(jwk.thumbprint(hash).unwrap()).unwrap().len())
            .into();
        assert_eq!(lengths, [32, 48, 64]);
    }
}
