//! M5: what is no ID token, or none that may be sent: its shape, and its claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Ends::{Badly, Well};
use super::support::job::{AUDIENCE, Job};
use super::{Ends, Row, github, one_each_or_no_exchange};

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The text of a token, changed on its way.
fn shape(change: fn(&str) -> String, ends: Ends) -> Row {
    Row::new(ends, (1, 0), github().mint_with(move |token| change(&token.mint())))
}

/// A token whose header or payload is this text.
fn part(index: usize, text: &'static str, ends: Ends) -> Row {
    let job = github().mint_with(move |token| {
        let (token, part) = (token.mint(), URL_SAFE_NO_PAD.encode(text));
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[index] = &part;
        parts.join(".")
    });
    Row::new(ends, (1, 0), job)
}

fn header(text: &'static str, ends: Ends) -> Row {
    part(0, text, ends)
}

fn payload(text: &'static str, ends: Ends) -> Row {
    part(1, text, ends)
}

/// A token with one other claim; `null` leaves it out.
fn claim(name: &'static str, value: Value, ends: Ends) -> Row {
    claim_in(github(), name, value, ends)
}

/// The same for a job that looks at what could be left out.
fn claim_strictly(name: &'static str, value: Value, ends: Ends) -> Row {
    claim_in(github().args(["--validation", "strict"]), name, value, ends)
}

fn claim_in(job: Job, name: &'static str, value: Value, ends: Ends) -> Row {
    let job = job.claims(move |claims| match &value {
        Value::Null => drop(claims.remove(name)),
        value => drop(claims.insert(name.to_owned(), value.clone())),
    });
    Row::new(ends, one_each_or_no_exchange(ends), job)
}

/// A good token for a job that expects this of it.
fn expectation(expect: &str, ends: Ends) -> Row {
    Row::new(ends, (1, 0), github().args(["--expect", expect]))
}

const MALFORMED: Ends = Badly(4, "id-token-malformed");
const TOO_LARGE: Ends = Badly(4, "id-token-too-large");
const ALG: Ends = Badly(4, "id-token-alg");
const AUD: Ends = Badly(5, "claim-aud");
const ISS: Ends = Badly(5, "claim-iss");
const TIME: Ends = Badly(5, "claim-time-invalid");
const FUTURE: Ends = Badly(5, "claim-not-yet-valid");

faults! {
    m05 {
        nothing: shape(|_| String::new()) => MALFORMED;
        a_word: shape(|_| "token".to_owned()) => MALFORMED;
        two_parts: shape(|token| token.rsplit_once('.').unwrap().0.to_owned()) => MALFORMED;
        four_parts: shape(|token| format!("{token}.x")) => MALFORMED;
        encrypted: shape(|token| format!("{token}.x.y")) => MALFORMED;
        no_signature: shape(|token| format!("{}.", token.rsplit_once('.').unwrap().0)) => MALFORMED;
        padding: shape(|token| format!("{token}=")) => MALFORMED;
        another_base64: shape(|token| format!("{token}+/")) => MALFORMED;
        a_line_feed: shape(|token| format!("{token}\n")) => MALFORMED;
        a_space_within: shape(|token| token.replacen('.', ". ", 1)) => MALFORMED;
        no_ascii: shape(|token| format!("{token}ü")) => MALFORMED;
        too_long: shape(|token| format!("{token}{}", "x".repeat(16 << 10))) => TOO_LARGE;
        a_header_that_is_no_json: header("x") => MALFORMED;
        a_header_that_is_a_list: header("[]") => MALFORMED;
        a_payload_that_is_a_list: payload("[]") => MALFORMED;
        a_claim_twice: payload(r#"{"iss":"a","iss":"b"}"#) => MALFORMED;
        no_algorithm: header(r#"{"typ":"JWT"}"#) => ALG;
        alg_none: header(r#"{"alg":"none"}"#) => ALG;
        a_symmetric_algorithm: header(r#"{"alg":"HS256"}"#) => ALG;
        a_critical_extension: header(r#"{"alg":"RS256","crit":["b64"]}"#) => MALFORMED;
        another_issuer: claim("iss", json!("https://issuer.example")) => ISS;
        no_issuer: claim("iss", Value::Null) => ISS;
        an_issuer_that_is_a_number: claim("iss", json!(1)) => ISS;
        another_audience: claim("aud", json!("https://github.com/octo-org")) => AUD;
        no_audience: claim("aud", Value::Null) => AUD;
        no_audience_in_a_list: claim("aud", json!([])) => AUD;
        an_audience_in_capitals: claim("aud", json!(AUDIENCE.to_uppercase())) => AUD;
        an_audience_that_is_a_number: claim("aud", json!([1])) => AUD;
        one_of_two_audiences: claim("aud", json!([AUDIENCE, "x"])) => Well;
        expired_before_it_was_issued: claim("exp", json!(now() - 3600)) => TIME;
        no_expiry: claim("exp", Value::Null) => TIME;
        an_expiry_as_text: claim("exp", json!("2030-01-01T00:00:00Z")) => TIME;
        an_expiry_in_milliseconds: claim("exp", json!(now() * 1000)) => TIME;
        an_expiry_before_the_beginning: claim("exp", json!(-1)) => TIME;
        valid_in_an_hour: claim("nbf", json!(now() + 3600)) => FUTURE;
        issued_after_its_expiry: claim("iat", json!(now() + 3600)) => TIME;
        another_run: claim("run_id", json!("1")) => Well;
        numbers_as_text: claim("repository_id", json!(741_852_963)) => Well;
        another_run_strictly: claim_strictly("run_id", json!("1")) => Badly(5, "claim-run-binding");
        an_expectation_that_does_not_hold: expectation("ref=refs/tags/v1") => Badly(5, "claim-expectation");
    }
}
