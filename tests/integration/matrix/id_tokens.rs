//! M5: what is no ID token, or none that may be sent: its shape, and its claims.

use serde_json::{Value, json};

use super::support::job::{AUDIENCE, Job};
use super::{Ends, Row, Rows, github};

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The text of a token, changed on its way.
fn shape(name: &str, ends: Ends, change: fn(&str) -> String) -> (String, Row) {
    let make = move || github().mint_with(move |token| change(&token.mint()));
    (name.to_owned(), Row::new(ends, (1, 0), make))
}

/// A token whose header or payload is this text.
fn part(index: usize, text: &str) -> impl Fn(&str) -> String {
    use base64::Engine as _;
    let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    move |token| {
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[index] = &part;
        parts.join(".")
    }
}

fn with_part(name: &str, ends: Ends, index: usize, text: &'static str) -> (String, Row) {
    let make = move || github().mint_with(move |token| part(index, text)(&token.mint()));
    (name.to_owned(), Row::new(ends, (1, 0), make))
}

/// A token with one other claim.
fn claim(name: &str, ends: Ends, claim: &'static str, value: fn() -> Value) -> (String, Row) {
    let requests = if matches!(ends, Ends::Well) { (1, 1) } else { (1, 0) };
    (name.to_owned(), Row::new(ends, requests, move || with_claim(claim, value())))
}

fn with_claim(name: &'static str, value: Value) -> Job {
    github().claims(move |claims| match &value {
        Value::Null => drop(claims.remove(name)),
        value => drop(claims.insert(name.to_owned(), value.clone())),
    })
}

pub(super) fn rows() -> Rows {
    let malformed = Ends::Badly(4, "id-token-malformed");
    let algorithm = Ends::Badly(4, "id-token-alg");
    let audience = Ends::Badly(5, "claim-aud");
    let issuer = Ends::Badly(5, "claim-iss");
    let time = Ends::Badly(5, "claim-time-invalid");
    let future = Ends::Badly(5, "claim-not-yet-valid");
    let mut rows = vec![
        shape("nothing", malformed, |_| String::new()),
        shape("a word", malformed, |_| "token".to_owned()),
        shape("two parts", malformed, |token| token.rsplit_once('.').unwrap().0.to_owned()),
        shape("four parts", malformed, |token| format!("{token}.x")),
        shape("encrypted", malformed, |token| format!("{token}.x.y")),
        shape("no signature", malformed, |token| format!("{}.", token.rsplit_once('.').unwrap().0)),
        shape("padding", malformed, |token| format!("{token}=")),
        shape("another base64", malformed, |token| format!("{token}+/")),
        shape("a line feed", malformed, |token| format!("{token}\n")),
        shape("a space within", malformed, |token| token.replacen('.', ". ", 1)),
        shape("no ASCII", malformed, |token| format!("{token}ü")),
        shape("too long", Ends::Badly(4, "id-token-too-large"), |token| {
            format!("{token}{}", "x".repeat(16 << 10))
        }),
        with_part("a header that is no JSON", malformed, 0, "x"),
        with_part("a header that is a list", malformed, 0, "[]"),
        with_part("a payload that is a list", malformed, 1, "[]"),
        with_part("a claim twice", malformed, 1, r#"{"iss":"a","iss":"b"}"#),
        with_part("no algorithm", algorithm, 0, r#"{"typ":"JWT"}"#),
        with_part("alg none", algorithm, 0, r#"{"alg":"none"}"#),
        with_part("a symmetric algorithm", algorithm, 0, r#"{"alg":"HS256"}"#),
        with_part("a critical extension", malformed, 0, r#"{"alg":"RS256","crit":["b64"]}"#),
        claim("another issuer", issuer, "iss", || json!("https://issuer.example")),
        claim("no issuer", issuer, "iss", || Value::Null),
        claim("an issuer that is a number", issuer, "iss", || json!(1)),
        claim("another audience", audience, "aud", || json!("https://github.com/octo-org")),
        claim("no audience", audience, "aud", || Value::Null),
        claim("no audience in a list", audience, "aud", || json!([])),
        claim("an audience in capitals", audience, "aud", || json!(AUDIENCE.to_uppercase())),
        claim("an audience that is a number", audience, "aud", || json!([1])),
        claim("one of two audiences", Ends::Well, "aud", || json!([AUDIENCE, "x"])),
        claim("expired before it was issued", time, "exp", || json!(now() - 3600)),
        claim("no expiry", time, "exp", || Value::Null),
        claim("an expiry as text", time, "exp", || json!("2030-01-01T00:00:00Z")),
        claim("an expiry in milliseconds", time, "exp", || json!(now() * 1000)),
        claim("an expiry before the beginning", time, "exp", || json!(-1)),
        claim("valid in an hour", future, "nbf", || json!(now() + 3600)),
        claim("issued after its expiry", time, "iat", || json!(now() + 3600)),
        claim("another run", Ends::Well, "run_id", || json!("1")),
        claim("numbers as text", Ends::Well, "repository_id", || json!(741_852_963)),
    ];
    rows.push((
        "another run, strictly".to_owned(),
        Row::new(Ends::Badly(5, "claim-run-binding"), (1, 0), || {
            with_claim("run_id", json!("1")).args(["--validation", "strict"])
        }),
    ));
    rows.push((
        "an expectation that does not hold".to_owned(),
        Row::new(Ends::Badly(5, "claim-expectation"), (1, 0), || {
            github().args(["--expect", "ref=refs/tags/v1"])
        }),
    ));
    rows
}
