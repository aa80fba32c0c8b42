//! `--verify-signature`: checks an ID token's signature with the keys that its issuer publishes.
//!
//! The keys come from the issuer alone: its discovery document (OpenID Connect Discovery 1.0 section 4) names the JWKS,
//! and nothing in the token's own header can change that (RFC 8725 section 3.10). Whatever is unclear fails: a signature
//! that was asked for is never quietly skipped.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Client, Peer, Request, Response};
use crate::identity::crypto;
use crate::identity::jwt::UnverifiedClaims;
use crate::json;
use crate::retry::Failure;
use crate::session::Session;
use crate::text::quote;

const PEER: Peer = Peer {
    name: "the issuer",
    stage: Stage::Claims,
    too_large: Code::IssuerMetadata,
    not_json: Code::IssuerMetadata,
};

/// The path of the discovery document, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The longest key id that is looked up, in bytes.
const MAX_KEY_ID: usize = 256;

/// Header members that point to keys. They are never followed.
const KEY_HEADERS: [&str; 5] = ["jku", "jwk", "x5u", "x5c", "x5t#S256"];

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct IssuerKeys {
    /// The algorithms that the issuer says it signs with, if it says so.
    pub algorithms: Option<Vec<String>>,
    /// The keys as published (RFC 7517 section 5).
    pub keys: Vec<Value>,
}

/// Header members of a token that name keys of their own: worth a word, since no platform sends them.
pub fn key_headers(token: &UnverifiedClaims) -> Vec<&'static str> {
    // The certificate's thumbprint alone (`x5t`) is in every GitHub token and leads nowhere.
    KEY_HEADERS.into_iter().filter(|name| token.header.contains_key(*name)).collect()
}

/// Begins to connect to an issuer, once for its metadata and once for its keys, which are nearly always at the same host.
pub fn open_ahead(http: &Client, issuer: &str, by: Deadline) {
    if let Ok(url) = Url::parse(issuer) {
        http.open_ahead(&url, by);
        http.open_ahead(&url, by);
    }
}

/// Fetches the keys of an issuer that has been found to be the expected one.
pub fn fetch_keys(session: &Session, issuer: &str, by: Deadline) -> Result<IssuerKeys, Error> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = Url::parse(&format!("{base}{DISCOVERY}")).map_err(|why| {
        metadata(format!("the issuer {} is not a URL that keys could be fetched from: {why}", quote(issuer)))
    })?;
    let document = get(session, &url, "fetching the issuer's metadata", by)?;
    let named = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if named != issuer {
        return Err(metadata(format!(
            "the metadata at {}{DISCOVERY} belongs to another issuer",
            url.origin()
        ))
        .with_detail("expected", quote(issuer))
        .with_detail("found", quote(named)));
    }
    let jwks_uri = document.get("jwks_uri").and_then(Value::as_str).unwrap_or_default();
    let jwks =
        Url::parse(jwks_uri).ok().filter(|jwks| jwks.is_https() == url.is_https()).ok_or_else(|| {
            metadata("the issuer's metadata names no usable place for its keys".to_owned())
                .with_detail("jwks_uri", quote(jwks_uri))
        })?;
    let algorithms = algorithms(&document)?;
    let set = get(session, &jwks, "fetching the issuer's keys", by)?;
    let Some(Value::Array(keys)) = set.get("keys") else {
        return Err(metadata(format!(
            "what is published at {} is not a set of keys: it has no member keys",
            jwks.origin()
        )));
    };
    Ok(IssuerKeys { algorithms, keys: keys.iter().filter(|key| key.is_object()).cloned().collect() })
}

/// The algorithms that the issuer lists. A list that cannot be read is not the same as none.
fn algorithms(document: &Map<String, Value>) -> Result<Option<Vec<String>>, Error> {
    const NAME: &str = "id_token_signing_alg_values_supported";
    let Some(value) = document.get(NAME) else { return Ok(None) };
    let names =
        value.as_array().and_then(|list| list.iter().map(|name| Some(name.as_str()?.to_owned())).collect());
    match names {
        Some(names) => Ok(Some(names)),
        None => Err(metadata(format!("the issuer's metadata has no list of texts as {NAME}"))),
    }
}

fn metadata(message: String) -> Error {
    Error::new(Code::IssuerMetadata, message)
}

fn get(session: &Session, url: &Url, what: &str, by: Deadline) -> Result<Map<String, Value>, Error> {
    session.retry(what, by, |attempt| {
        let response = session.http.send(PEER, &Request::get(url), attempt)?;
        if response.status != 200 {
            return Err(refusal(&response, url));
        }
        json::parse_object(&response.body).map_err(|why| {
            metadata(format!("what the issuer publishes at {} cannot be read: {why}", url.origin())).into()
        })
    })
}

fn refusal(response: &Response, url: &Url) -> Failure {
    let status = response.status;
    if let Some(code) = response.transient_code() {
        let error = Error::new(code, format!("the issuer at {} failed ({status})", url.origin()));
        let error = error.with_stage(Stage::Claims).with_http_status(status);
        let after = response.date.and_then(|date| response.retry_after(date));
        return Failure::transient(error, after);
    }
    Failure::permanent(
        metadata(format!("the issuer at {} does not publish its metadata ({status})", url.origin()))
            .with_http_status(status),
    )
}

/// Checks a token's signature with an issuer's keys.
pub fn verify(token: &str, claims: &UnverifiedClaims, keys: &IssuerKeys) -> Result<(), Error> {
    let (signed, signature) =
        token.rsplit_once('.').ok_or_else(|| refused("the ID token has no signature".to_owned()))?;
    check(&claims.header, signed, signature, keys)
}

fn refused(message: String) -> Error {
    Error::new(Code::ClaimSignature, message)
}

/// Checks a JWS signature over `signed` (RFC 7515 section 5.2).
fn check(header: &Map<String, Value>, signed: &str, signature: &str, keys: &IssuerKeys) -> Result<(), Error> {
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    if let Some(listed) = keys.algorithms.as_ref().filter(|listed| !listed.iter().any(|one| one == name)) {
        return Err(refused(
            "the issuer does not sign with the algorithm that the ID token names".to_owned(),
        )
        .with_detail("expected", quote(&listed.join(", ")))
        .with_detail("found", quote(name)));
    }
    let algorithm = name.parse::<Algorithm>().ok().filter(|one| !is_symmetric(*one)).ok_or_else(|| {
        refused(format!("signatures of the algorithm {} cannot be checked by this program", quote(name)))
    })?;
    let key = find_key(header, algorithm, keys)?;
    crypto::install();
    match jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, algorithm) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(refused("the ID token's signature is wrong: somebody else made or changed it".to_owned()))
        }
        Err(error) => {
            Err(refused(format!("the signature could not be checked: {}", quote(&error.to_string()))))
        }
    }
}

/// Tells whether everybody who can check a signature could make it as well. No issuer of ID tokens signs so.
fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The one key that the token can have been signed with. Two that fit are refused rather than tried in turn.
fn find_key(
    header: &Map<String, Value>,
    algorithm: Algorithm,
    keys: &IssuerKeys,
) -> Result<DecodingKey, Error> {
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_KEY_ID => Some(id.as_str()),
        Some(_) => return Err(refused("the ID token's key id (kid) is not a short text".to_owned())),
    };
    let named: Vec<_> = keys.keys.iter().filter(|key| id.is_none() || id_of(key) == id).collect();
    let describe = |error: Error| {
        let published: Vec<_> = keys.keys.iter().filter_map(id_of).take(10).map(quote).collect();
        error.with_detail("key id", id.map_or_else(|| "(none)".to_owned(), quote)).with_detail(
            "published",
            if published.is_empty() { "(no key ids)".to_owned() } else { published.join(", ") },
        )
    };
    if named.is_empty() {
        let message = "the issuer does not publish the key that the ID token names (any more)";
        return Err(describe(Error::new(Code::ClaimKeyNotFound, message)));
    }
    let unfit = || {
        let message =
            format!("the issuer's key of this id is malformed or not one for {algorithm:?} signatures");
        describe(refused(message))
    };
    // Key by key: one that cannot be read takes no other along.
    let readable = named.into_iter().filter_map(|key| Jwk::deserialize(key).ok());
    let fitting: Vec<_> = readable.filter(|key| fits(key, algorithm)).collect();
    match fitting.as_slice() {
        [only] => DecodingKey::from_jwk(only).map_err(|_| unfit()),
        [] => Err(unfit()),
        _ => Err(describe(refused(
            "the issuer publishes several keys that fit, so it is unclear which one counts".to_owned(),
        ))),
    }
}

fn id_of(key: &Value) -> Option<&str> {
    key.get("kid").and_then(Value::as_str)
}

/// Tells whether a key's type, curve and purpose allow it to check such signatures (RFC 7517 section 4, RFC 7518 section 3.1,
/// RFC 8037).
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let of_type = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => true,
        _ => false,
    };
    let common = &key.common;
    of_type
        && common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_algorithm.is_none_or(|own| own == algorithm.into())
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7520 section 3.3: the RSA public key.
    fn rsa_key() -> Value {
        json!({
            "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB",
            "n": concat!(
                "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqV",
                "wGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde",
                "3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5g",
                "HdrNP5zw"
            )
        })
    }

    /// RFC 7520 section 4: the payload of its signature examples.
    const PAYLOAD: &str = concat!(
        "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBk",
        "b24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
    );

    /// RFC 7520 section 4.1: RS256.
    const RS256_HEADER: &str =
        concat!("eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZX", "hhbXBsZSJ9");
    const RS256_SIGNATURE: &str = concat!(
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4J",
        "IwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluP",
        "xUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
    );

    /// RFC 7515 appendix A.3: the ES256 key and signature (RFC 7520 has none of this algorithm alone).
    fn ec_key() -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": "a3",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
        })
    }
    const ES256_SIGNED: &str = concat!(
        "eyJhbGciOiJFUzI1NiJ9",
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    );
    const ES256_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn keys(list: Value) -> IssuerKeys {
        IssuerKeys { keys: list.as_array().unwrap().clone(), algorithms: None }
    }

    fn header(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// The RFC's RS256 example with another header (only what this module reads of it) and other keys.
    fn rs256(head: Value, list: Value) -> &'static str {
        let signed = format!("{RS256_HEADER}.{PAYLOAD}");
        let outcome = check(&header(head), &signed, RS256_SIGNATURE, &keys(list));
        outcome.map_or_else(|error| error.code().name(), |()| "ok")
    }

    /// Checks that a secret which is published, as in a bad key set, does not verify anything.
    #[test]
    fn no_key_makes_a_symmetric_algorithm_acceptable() {
        let secret = json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75", "alg": "HS256"});
        for name in ["HS256", "HS384", "HS512"] {
            let head = header(json!({"alg": name}));
            let error = check(&head, "e30.e30", "AAAA", &keys(json!([secret, rsa_key()]))).unwrap_err();
            assert_eq!(error.code(), Code::ClaimSignature);
            assert!(error.message().ends_with("cannot be checked by this program"), "{}", error.message());
        }
    }

    fn changed(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn the_rfcs_examples_verify_and_tampered_ones_do_not() {
        let bilbo = json!({"alg": "RS256", "kid": "bilbo.baggins@hobbiton.example"});
        assert_eq!(rs256(bilbo.clone(), json!([rsa_key()])), "ok");
        assert_eq!(
            rs256(json!({"alg": "RS256"}), json!([rsa_key()])),
            "ok",
            "without a key id, the only key counts"
        );
        let ec = header(json!({"alg": "ES256", "kid": "a3"}));
        assert!(check(&ec, ES256_SIGNED, ES256_SIGNATURE, &keys(json!([rsa_key(), ec_key()]))).is_ok());
        for at in [0, 5, 50] {
            let tampered = |text: &str| {
                let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                format!("{}{other}{}", &text[..at], &text[at + 1..])
            };
            let signed = format!("{RS256_HEADER}.{PAYLOAD}");
            for (signed, signature) in
                [(tampered(&signed), RS256_SIGNATURE.to_owned()), (signed.clone(), tampered(RS256_SIGNATURE))]
            {
                let error = check(&header(bilbo.clone()), &signed, &signature, &keys(json!([rsa_key()])))
                    .unwrap_err();
                assert_eq!(error.code(), Code::ClaimSignature);
            }
            let error =
                check(&ec, &tampered(ES256_SIGNED), ES256_SIGNATURE, &keys(json!([ec_key()]))).unwrap_err();
            assert_eq!(error.code(), Code::ClaimSignature);
        }
    }

    #[test]
    fn only_the_one_fitting_key_of_the_issuer_counts() {
        let kid = || json!("bilbo.baggins@hobbiton.example");
        let bilbo = || json!({"alg": "RS256", "kid": kid()});
        let short = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe";
        for (case, head, list, outcome) in [
            ("no keys at all", bilbo(), json!([]), "claim-key-not-found"),
            ("another id", json!({"alg": "RS256", "kid": "x"}), json!([rsa_key()]), "claim-key-not-found"),
            ("two of the same id", bilbo(), json!([rsa_key(), rsa_key()]), "claim-signature"),
            (
                "two without an id asked for",
                json!({"alg": "RS256"}),
                json!([rsa_key(), rsa_key()]),
                "claim-signature",
            ),
            ("same id, other type", bilbo(), json!([rsa_key(), changed(ec_key(), "kid", kid())]), "ok"),
            (
                "beside keys that cannot be read",
                bilbo(),
                json!([
                    {"kty": "XYZ", "kid": kid()},
                    {"kty": 7, "kid": kid(), "use": 7, "key_ops": "verify"},
                    {"kid": kid()},
                    rsa_key()
                ]),
                "ok",
            ),
            (
                "two that fit, one of them malformed",
                bilbo(),
                json!([changed(rsa_key(), "n", json!("%%")), rsa_key()]),
                "claim-signature",
            ),
            ("only another type", bilbo(), json!([changed(ec_key(), "kid", kid())]), "claim-signature"),
            ("for encryption", bilbo(), json!([changed(rsa_key(), "use", json!("enc"))]), "claim-signature"),
            (
                "for another algorithm",
                bilbo(),
                json!([changed(rsa_key(), "alg", json!("RS512"))]),
                "claim-signature",
            ),
            ("for this algorithm", bilbo(), json!([changed(rsa_key(), "alg", json!("RS256"))]), "ok"),
            (
                "not for verifying",
                bilbo(),
                json!([changed(rsa_key(), "key_ops", json!(["sign"]))]),
                "claim-signature",
            ),
            ("for verifying", bilbo(), json!([changed(rsa_key(), "key_ops", json!(["verify"]))]), "ok"),
            ("too short", bilbo(), json!([changed(rsa_key(), "n", json!(short))]), "claim-signature"),
            ("malformed number", bilbo(), json!([changed(rsa_key(), "n", json!("%%"))]), "claim-signature"),
            ("missing number", bilbo(), json!([changed(rsa_key(), "n", Value::Null)]), "claim-signature"),
            (
                "algorithm confusion",
                json!({"alg": "ES256", "kid": kid()}),
                json!([rsa_key()]),
                "claim-signature",
            ),
            ("shared secret", json!({"alg": "HS256", "kid": kid()}), json!([rsa_key()]), "claim-signature"),
            ("none", json!({"alg": "none", "kid": kid()}), json!([rsa_key()]), "claim-signature"),
            (
                "not offered here",
                json!({"alg": "ES512", "kid": kid()}),
                json!([rsa_key()]),
                "claim-signature",
            ),
            ("no algorithm", json!({"kid": kid()}), json!([rsa_key()]), "claim-signature"),
            ("id of another type", json!({"alg": "RS256", "kid": 7}), json!([rsa_key()]), "claim-signature"),
            ("empty id", json!({"alg": "RS256", "kid": ""}), json!([rsa_key()]), "claim-signature"),
            (
                "huge id",
                json!({"alg": "RS256", "kid": "x".repeat(257)}),
                json!([rsa_key()]),
                "claim-signature",
            ),
            (
                "id as a path",
                json!({"alg": "RS256", "kid": "../../key"}),
                json!([rsa_key()]),
                "claim-key-not-found",
            ),
        ] {
            assert_eq!(rs256(head, list), outcome, "{case}");
        }
    }

    #[test]
    fn the_issuer_s_list_of_algorithms_counts() {
        let mut published = keys(json!([rsa_key()]));
        let signed = format!("{RS256_HEADER}.{PAYLOAD}");
        let head = header(json!({"alg": "RS256"}));
        published.algorithms = Some(vec!["ES256".to_owned()]);
        let error = check(&head, &signed, RS256_SIGNATURE, &published).unwrap_err();
        assert_eq!(
            error.details(),
            [("expected", "\"ES256\"".to_owned()), ("found", "\"RS256\"".to_owned())]
        );
        published.algorithms = Some(vec!["ES256".to_owned(), "RS256".to_owned()]);
        assert!(check(&head, &signed, RS256_SIGNATURE, &published).is_ok());
    }

    #[test]
    fn a_list_of_algorithms_that_cannot_be_read_is_not_none() {
        let read =
            |value: Value| algorithms(&header(json!({"id_token_signing_alg_values_supported": value})));
        assert_eq!(read(json!(["RS256"])).unwrap(), Some(vec!["RS256".to_owned()]));
        for value in [json!("RS256"), json!(["RS256", 1]), Value::Null] {
            assert_eq!(read(value).unwrap_err().code(), Code::IssuerMetadata);
        }
        assert_eq!(algorithms(&Map::new()).unwrap(), None);
    }

    #[test]
    fn keys_in_the_token_s_header_are_noticed() {
        let with = |head: Value| UnverifiedClaims { header: header(head), claims: Map::new() };
        assert_eq!(key_headers(&with(json!({"alg": "RS256", "x5t": "a", "kid": "b"}))), Vec::<&str>::new());
        assert_eq!(
            key_headers(&with(json!({"jku": "https://evil.example", "jwk": {}, "x5c": []}))),
            ["jku", "jwk", "x5c"]
        );
    }
}
