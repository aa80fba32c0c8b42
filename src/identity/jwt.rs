//! Reads an ID token without verifying it.
//!
//! Shape and alphabet come first, before any network use: what passes is a compact JWS (RFC 7515 section 7.1)
//! whose header and payload are strict JSON objects. Nothing here checks a signature; the result is called
//! [`UnverifiedClaims`] and may serve for explanations and for refusing, never for granting.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Code, Error};
use crate::json;
use crate::text;

/// The longest ID token that is accepted, in bytes. Real ones are below 4 KiB.
pub const MAX_LENGTH: usize = 16 * 1024;

/// Signature algorithms that an issuer of ID tokens may use (RFC 7518 section 3.1, RFC 8037). No symmetric ones: a
/// platform that shares its key with us could not convince anybody else.
pub const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Header and claims of a token whose signature nobody has checked here.
#[derive(Debug, Clone, Default)]
pub struct UnverifiedClaims {
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The claims set.
    pub claims: Map<String, Value>,
}

impl UnverifiedClaims {
    /// A claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A claim that is a string or a number, as text. Platforms disagree on ids: `run_id` is a string on GitHub,
    /// `runner_id` a number on GitLab.
    pub fn scalar(&self, name: &str) -> Option<String> {
        match self.claims.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The `iss` claim, or nothing.
    pub fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// The `sub` claim, or nothing.
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// The members of the `aud` claim, which is a string or an array of strings (RFC 7519 section 4.1.3). `None` when it
    /// is missing or anything else.
    pub fn audience(&self) -> Option<Vec<&str>> {
        match self.claims.get("aud")? {
            Value::String(one) => Some(vec![one]),
            Value::Array(many) => many.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }
}

/// Tells whether a text has a token's size and alphabet, so that it can be sent and masked without harm. That is all that is
/// asked of an ID token without validation.
pub fn is_harmless(token: &str) -> bool {
    (16..=MAX_LENGTH).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Reads a token. The messages tell what is wrong with it and never show it.
pub fn decode(token: &str) -> Result<UnverifiedClaims, Error> {
    if token.is_empty() {
        return Err(malformed("the ID token is empty"));
    }
    if token.len() > MAX_LENGTH {
        let message =
            format!("the ID token has {} bytes; more than {MAX_LENGTH} are not accepted", token.len());
        return Err(Error::new(Code::IdTokenTooLarge, message));
    }
    if let Some(character) = token.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
        let shown = character.escape_default();
        return Err(malformed(format!(
            "the ID token holds a character that no JSON Web Token has: '{shown}'"
        )));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = *parts.as_slice() else {
        return Err(match parts.len() {
            5 => malformed(
                "the ID token is encrypted (a JWE of five parts); only signed tokens can be exchanged",
            ),
            count => malformed(format!(
                "the ID token has the wrong number of dot-separated parts: {count} instead of 3"
            )),
        });
    };
    if signature.is_empty() {
        return Err(malformed("the ID token has no signature"));
    }
    part("signature", signature)?;
    let header = object("header", header)?;
    check_algorithm(&header)?;
    if header.contains_key("crit") {
        return Err(malformed("the ID token's header demands extensions (crit) that no CI platform uses"));
    }
    Ok(UnverifiedClaims { header, claims: object("payload", payload)? })
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(Code::IdTokenMalformed, message)
}

fn part(name: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| malformed(format!("the ID token's {name} is not base64url")))
}

fn object(name: &str, text: &str) -> Result<Map<String, Value>, Error> {
    json::parse_object(&part(name, text)?)
        .map_err(|why| malformed(format!("the ID token's {name} cannot be read: {why}")))
}

fn check_algorithm(header: &Map<String, Value>) -> Result<(), Error> {
    let found = match header.get("alg") {
        Some(Value::String(alg)) if ALGORITHMS.contains(&alg.as_str()) => return Ok(()),
        Some(Value::String(alg)) => text::quote(alg),
        Some(other) => json::kind(other).to_owned(),
        None => "(missing)".to_owned(),
    };
    Err(Error::new(Code::IdTokenAlg, "the ID token's header names no acceptable signature algorithm")
        .with_detail("expected", "RS256 or another of RS, PS, ES 256/384/512, EdDSA")
        .with_detail("found", found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    const HEADER: &str = r#"{"alg":"RS256"}"#;

    #[test]
    fn a_signed_token_is_read() {
        let read =
            decode(&token(HEADER, r#"{"iss":"i","sub":"s","aud":["a","b"],"run_id":"7","runner_id":7}"#))
                .unwrap();
        assert_eq!((read.issuer(), read.subject()), ("i", "s"));
        assert_eq!(read.audience(), Some(vec!["a", "b"]));
        assert_eq!(
            (read.scalar("run_id").as_deref(), read.scalar("runner_id").as_deref()),
            (Some("7"), Some("7"))
        );
        assert_eq!(decode(&token(HEADER, r#"{"aud":"a"}"#)).unwrap().audience(), Some(vec!["a"]));
        for aud in ["1", "[1]", "null", "{}"] {
            assert_eq!(decode(&token(HEADER, &format!(r#"{{"aud":{aud}}}"#))).unwrap().audience(), None);
        }
    }

    #[test]
    fn what_is_not_a_signed_token_is_refused_by_its_own_reason() {
        let good = token(HEADER, "{}");
        let [h, p, s] = *good.split('.').collect::<Vec<_>>() else { panic!() };
        for (bad, reason) in [
            (String::new(), "is empty"),
            ("$EQUINIX_TOKEN".to_owned(), "character that no JSON Web Token has: '$'"),
            (format!("{good}\n"), "'\\n'"),
            ("opaque".to_owned(), "parts: 1 instead"),
            (format!("{h}.{p}"), "parts: 2 instead"),
            (format!("{h}.{p}.{s}.{s}"), "parts: 4 instead"),
            (format!("{h}.{p}.{s}.{s}.{s}"), "encrypted"),
            (format!("{h}.{p}."), "no signature"),
            (format!("{h}.{p}.a"), "signature is not base64url"),
            (format!("{h}.{p}xx.{s}"), "payload is not base64url"),
            (format!("{h}.{p}x.{s}"), "something follows"),
            (format!("{h}=.{p}.{s}"), "character"),
            // The last character's spare bits must be zero: otherwise two texts mean one token.
            (format!("{h}.{}.{s}", "e31"), "payload is not base64url"),
            (format!("{h}..{s}"), "payload cannot be read: it is empty"),
            (token("[]", "{}"), "header cannot be read: it is an array"),
            (token(HEADER, "\"x\""), "payload cannot be read: it is a string"),
            (token(HEADER, "{\"a\":1,\"a\":1}"), "occurs twice"),
            (token(r#"{"alg":"RS256","crit":["exp"]}"#, "{}"), "crit"),
        ] {
            let error = decode(&bad).unwrap_err();
            assert_eq!(error.code(), Code::IdTokenMalformed, "{bad}");
            assert!(error.message().contains(reason), "{bad}: {error}");
        }
        let huge = decode(&"a".repeat(MAX_LENGTH + 1)).unwrap_err();
        assert_eq!(huge.code(), Code::IdTokenTooLarge);
    }

    #[test]
    fn only_asymmetric_algorithms_are_accepted() {
        for alg in ALGORITHMS {
            assert!(decode(&token(&format!(r#"{{"alg":"{alg}"}}"#), "{}")).is_ok(), "{alg}");
        }
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"rs256"}"#, r#"{"alg":1}"#, "{}"]
        {
            assert_eq!(decode(&token(header, "{}")).unwrap_err().code(), Code::IdTokenAlg, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_or_is_echoed(text in "[A-Za-z0-9_.-]{0,200}|\\PC{0,80}") {
            if let Err(error) = decode(&text) {
                let shown = format!("{error} {:?}", error.details());
                prop_assert!(text.chars().count() < 12 || !shown.contains(&text));
            }
        }
    }
}
