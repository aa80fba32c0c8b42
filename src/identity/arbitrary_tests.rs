//! Arbitrary tokens and claims: nothing panics, and no error shows what it was made of.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::claims::{self, Expected, ExpectedIssuer, Now, RunBinding, Validation};
use super::{expect, jwt};
use crate::error::Error;

/// Returns a token of these bytes.
fn raw(header: &[u8], payload: &[u8]) -> String {
    let [header, payload, signature] =
        [header, payload, &[0xa5; 256]].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{payload}.{signature}")
}

/// Returns everything that an error shows.
fn shown(error: &Error) -> String {
    format!("{error} {} {:?} {}", error.message(), error.details(), error.cure())
}

/// Finds twelve characters in a row of the input that are in the output.
fn echoes(input: &str, output: &str) -> Option<String> {
    let characters: Vec<char> = input.chars().collect();
    let pieces = characters.windows(12).map(|piece| piece.iter().collect::<String>());
    // What the program says by itself is no echo.
    let own = "the ID token's header payload signature cannot be read: it is not valid JSON (line 1, column ";
    pieces.into_iter().find(|piece| output.contains(piece.as_str()) && !own.contains(piece.as_str()))
}

fn expected() -> Expected {
    Expected {
        audience: Some("https://api.equinix.com".to_owned()),
        issuer: Some(ExpectedIssuer::WithSegment("https://gitlab.example".to_owned())),
        run: vec![RunBinding { claim: "job_id", variable: "CI_JOB_ID", value: "7".to_owned() }],
        expectations: expect::parse(["sub=x", "a.b=y", "exp=1"], "--expect").unwrap(),
        validation: Validation::Strict,
    }
}

/// Makes any JSON, with the names that are looked at among the members.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "iss", "aud", "sub", "exp", "iat", "nbf", "job_id", "a", "b", "alg", "kid", "crit"
        ])
        .prop_map(str::to_owned),
        ".{0,10}",
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_or_is_echoed(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = jwt::decode(&text) {
            prop_assert_eq!(echoes(&text, &shown(&error)), None);
        }
    }

    #[test]
    fn no_bytes_in_the_parts_panic_or_are_echoed(
        header in prop_oneof![
            Just(br#"{"alg":"RS256"}"#.to_vec()),
            prop::collection::vec(any::<u8>(), 0..120),
            any_json().prop_map(|json| json.to_string().into_bytes()),
        ],
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[{}\\[\\]\",:0-9eE.+a-u-]{0,120}".prop_map(String::into_bytes),
            any_json().prop_map(|json| json.to_string().into_bytes()),
        ],
    ) {
        let token = raw(&header, &payload);
        match jwt::decode(&token) {
            Err(error) => {
                prop_assert_eq!(echoes(&token, &shown(&error)), None);
                // The algorithm's name alone is shown, for it is what is wrong.
                if error.code().name() != "id-token-alg" {
                    prop_assert_eq!(echoes(&String::from_utf8_lossy(&payload), &shown(&error)), None);
                }
            }
            Ok(claims) => {
                let now = Now { local: 1_800_000_000, skew: Some(-7) };
                for (_, outcome) in claims::checks(&claims, &expected(), now) {
                    let told = match &outcome {
                        Ok(concerns) => concerns.iter().map(|concern| concern.text.clone()).collect::<String>(),
                        Err(error) => shown(error),
                    };
                    prop_assert_eq!(echoes(&token, &told), None);
                }
            }
        }
    }

    #[test]
    fn no_claims_panic(payload in any_json(), local in any::<i64>(), skew in any::<Option<i64>>()) {
        let token = raw(br#"{"alg":"RS256"}"#, json!({"aud": payload, "exp": payload, "iat": payload, "nbf": payload, "iss": payload, "sub": payload, "a": {"b": payload}}).to_string().as_bytes());
        if let Ok(claims) = jwt::decode(&token) {
            for (_, outcome) in claims::checks(&claims, &expected(), Now { local, skew }) {
                if let Err(error) = outcome {
                    prop_assert_eq!(echoes(&token, &shown(&error)), None);
                    let harmless = !shown(&error).contains(['\u{1b}', '\u{202e}']);
                    prop_assert!(harmless, "{}", shown(&error));
                }
            }
        }
    }
}
