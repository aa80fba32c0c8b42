//! What is checked about an ID token before it goes anywhere: its form, its audience and issuer, its times, and
//! whether it belongs to this run.
//!
//! Malformed tokens come by a GitLab job's variable, where nothing but the program stands before the STS; what needs
//! the issuer's clock or a second token comes by GitHub's endpoint.

use crate::support;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use support::job::{AUDIENCE, Job, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::server::Reply;
use support::token::{self, Token};

/// A run that refuses its ID token: the STS never hears of it.
#[track_caller]
fn refused(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing");
    assert_eq!(outcome.report.as_ref().unwrap()["stage"], "claims");
    outcome
}

/// A GitLab job with this in its ID token's variable.
fn holding(token: &str) -> Job {
    Job::gitlab().env(SUBJECT_TOKEN, token)
}

fn with_claim(job: Job, name: &'static str, value: Value) -> Job {
    job.claims(move |claims| match &value {
        Value::Null => drop(claims.remove(name)),
        value => drop(claims.insert(name.to_owned(), value.clone())),
    })
}

mod form {
    use super::*;

    const HEADER: &[u8] = br#"{"alg":"RS256"}"#;

    #[test]
    fn what_is_no_signed_token_is_refused_by_its_own_reason() {
        let good = Job::gitlab().mint();
        let [h, p, s] = *good.split('.').collect::<Vec<_>>() else { panic!("three parts") };
        let standard = STANDARD.encode([0xfb, 0xff, 0xfe].repeat(20));
        for (name, token, reason) in [
            ("one part", h.to_owned(), "dot-separated parts: 1"),
            ("two parts", format!("{h}.{p}"), "dot-separated parts: 2"),
            ("four parts", format!("{good}.{s}"), "dot-separated parts: 4"),
            ("a JWE", format!("{good}.{s}.{s}"), "encrypted"),
            ("six parts", format!("{good}.{s}.{s}.{s}"), "dot-separated parts: 6"),
            ("dots alone", "..".to_owned(), "no signature"),
            ("no signature", format!("{h}.{p}."), "no signature"),
            ("no header", format!(".{p}.{s}"), "header cannot be read: it is empty"),
            ("no payload", format!("{h}..{s}"), "payload cannot be read: it is empty"),
            ("padding", format!("{h}.{p}.{s}=="), "character that no JSON Web Token has: '='"),
            ("padding in the middle", format!("{h}=.{p}.{s}"), "character"),
            ("the other alphabet", format!("{h}.{p}.{standard}"), "character"),
            ("a quotation mark", format!("'{good}'"), "character"),
            ("a letter of another script", good.replacen('A', "\u{391}", 1), "character"),
            ("an invisible character", format!("{good}\u{200b}"), "character"),
            ("a bearer's scheme", format!("Bearer:{good}"), "character"),
            ("a signature of an impossible length", format!("{h}.{p}.AAAAA"), "signature is not base64url"),
            ("spare bits in the signature", format!("{h}.{p}.AB"), "signature is not base64url"),
            ("spare bits in the payload", format!("{h}.e31.{s}"), "payload is not base64url"),
            ("a cut payload", format!("{h}.{}.{s}", &p[..p.len() / 8 * 4]), "payload cannot be read"),
            ("header and payload exchanged", format!("{p}.{h}.{s}"), "id-token-alg"),
        ] {
            println!("case: {name}");
            let code = if reason == "id-token-alg" { reason } else { "id-token-malformed" };
            refused(holding(&token), 4, code).stderr_has(reason);
        }
    }

    #[test]
    fn a_header_or_payload_that_two_programs_could_read_differently_is_refused() {
        let json = |text: &str| text.as_bytes().to_vec();
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
        for (name, payload, reason) in [
            ("an array", json("[]"), "it is an array"),
            ("a text", json("\"x\""), "it is a string"),
            ("null", json("null"), "it is null"),
            ("not JSON", json("{'iss':1}"), "it is not valid JSON"),
            ("cut short", json("{\"iss\":\"x\""), "it is not valid JSON"),
            ("a member twice", json("{\"aud\":\"a\",\"aud\":\"b\"}"), "a member occurs twice"),
            (
                "a member twice, once escaped",
                json("{\"aud\":\"a\",\"\\u0061ud\":\"b\"}"),
                "a member occurs twice",
            ),
            ("a member twice inside", json("{\"x\":{\"a\":1,\"a\":1}}"), "a member occurs twice"),
            ("something after it", json("{}{}"), "something follows"),
            ("a byte-order mark", json("\u{feff}{}"), "byte-order mark"),
            ("UTF-16", b"{\0}\0".to_vec(), "it is not valid JSON"),
            ("not UTF-8", b"{\"iss\":\"\xff\"}".to_vec(), "it is not UTF-8"),
            ("half a character", json("{\"iss\":\"\\ud800\"}"), "it is not valid JSON"),
            ("a number without end", json("{\"exp\":1e400}"), "it is not valid JSON"),
            ("not a number", json("{\"exp\":NaN}"), "it is not valid JSON"),
            ("nested deeply", json(&nested), "it is nested too deeply"),
        ] {
            println!("case: {name}");
            refused(holding(&token::raw(HEADER, &payload)), 4, "id-token-malformed").stderr_has(reason);
            refused(holding(&token::raw(&payload, b"{}")), 4, "id-token-malformed").stderr_has("header");
        }
    }

    #[test]
    fn an_algorithm_that_no_platform_uses_is_refused() {
        for (name, alg, shown) in [
            ("none", json!("none"), "\"none\""),
            ("none in capitals", json!("NONE"), "\"NONE\""),
            ("a shared secret", json!("HS256"), "\"HS256\""),
            ("RS256 in small letters", json!("rs256"), "\"rs256\""),
            ("RSA with SHA-1", json!("RS1"), "\"RS1\""),
            ("nothing", json!(""), "\"\""),
            ("a number", json!(256), "a number"),
            ("a list", json!(["RS256"]), "an array"),
            ("an attack on the log", json!("\u{1b}[2K::add-path::/x"), "\"[2K: :add-path: :/x\""),
        ] {
            println!("case: {name}");
            let job = Job::gitlab().mint_with(move |token| token.header("alg", alg.clone()).mint());
            refused(job, 4, "id-token-alg").stderr_has(&format!("found:    {shown}"));
        }
        let missing = Job::gitlab().mint_with(|token| token.without_header("alg").mint());
        refused(missing, 4, "id-token-alg").stderr_has("(missing)");
        for alg in ["RS256", "PS384", "ES512", "EdDSA"] {
            println!("case: {alg}");
            Job::gitlab().mint_with(move |token| token.header("alg", alg).mint()).run().succeeds();
        }
    }

    #[test]
    fn an_extension_that_has_to_be_understood_is_refused() {
        let job = Job::gitlab().mint_with(|token| token.header("crit", json!(["exp"])).mint());
        refused(job, 4, "id-token-malformed").stderr_has("crit");
    }

    #[test]
    fn keys_in_the_header_are_of_no_interest() {
        let job = Job::gitlab().mint_with(|token| {
            let token = token.header("jku", "https://evil.example/keys").header("typ", 7);
            token.header("jwk", json!({"kty": "oct", "k": "AA"})).header("kid", "../../etc/passwd").mint()
        });
        job.run().succeeds().sts_requests(1).stderr_lacks("evil.example");
    }

    #[test]
    fn a_token_has_at_most_16_kib() {
        let sized = |length: usize| {
            let job = Job::gitlab();
            let claims = token::gitlab_claims(&job.issuer(), AUDIENCE, job.facts());
            let signed = |filling: usize| Token::new(claims.clone()).claim("x", "y".repeat(filling)).mint();
            let mut filling = (length - signed(0).len()) * 3 / 4;
            while signed(filling + 1).len() <= length {
                filling += 1;
            }
            let token = signed(filling);
            assert!(length - token.len() < 2, "{}", token.len());
            job.env(SUBJECT_TOKEN, token)
        };
        sized(16 << 10).run().succeeds().sts_requests(1);
        let huge = holding(&format!("{}.{}.AAAA", "A".repeat(9000), "A".repeat(9000)));
        let outcome = huge.run();
        outcome.fails(4, "id-token-too-large").sts_requests(0);
        outcome.stderr_has("more than 16384 are not accepted");
    }

    #[test]
    fn hostile_claims_cannot_command_the_runner() {
        let evil = "\u{1b}]0;x\u{7}\n::set-env name=PATH::/x\r\n##[add-path]/x \u{202e}txet";
        let job = with_claim(with_claim(Job::github(), "iss", json!(evil)), "sub", json!(evil)).arg("-v");
        let outcome = refused(job, 5, "claim-iss");
        let names: Vec<String> =
            support::runner::commands(&outcome.stderr).into_iter().map(|command| command.name).collect();
        assert_eq!(names, ["add-mask", "error"], "{}", outcome.stderr);
        assert!(!outcome.stderr.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']));
        let report = outcome.report.as_ref().unwrap().to_string();
        assert!(!report.contains("\\u001b") && !report.contains("::") && !report.contains("##["), "{report}");
    }
}

mod audience_and_issuer {
    use super::*;

    #[test]
    fn the_audience_has_to_be_there_to_the_letter() {
        let case = "They differ only in upper and lower case.";
        let slash = "They differ only in a slash at the end.";
        let scheme = "They differ only in the scheme";
        let space = "They differ only in white space.";
        let several = "They differ only in upper and lower case and in white space and in a slash at the end and in the scheme (https://, http:// or none).";
        let other = "Make the audience here, in the CI configuration";
        for (aud, hint) in [
            (json!("https://sts.eqix.equinix.example/Metal"), case),
            (json!("https://sts.eqix.equinix.example/metal/"), slash),
            (json!("http://sts.eqix.equinix.example/metal"), scheme),
            (json!("sts.eqix.equinix.example/metal"), scheme),
            (json!(" https://sts.eqix.equinix.example/metal"), space),
            (json!("https://sts.eqix.equinix.example/metal\n"), space),
            (json!("HTTP://STS.eqix.equinix.example/metal/ "), several),
            (json!(["one", "https://sts.eqix.equinix.example/METAL"]), case),
            (json!("https://sts.eqix.equinix.example"), "It is only the beginning of the expected text."),
            (json!("https://sts.eqix.equinix.example/m\u{435}tal"), other),
            (json!(["one", "two"]), other),
            (json!(""), other),
        ] {
            println!("case: {aud}");
            let outcome = refused(with_claim(Job::gitlab(), "aud", aud.clone()), 5, "claim-aud");
            outcome.stderr_has(&format!("expected: \"{AUDIENCE}\"")).stderr_has(&format!("hint: {hint}"));
            assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], "decoded, not verified");
        }
    }

    #[test]
    fn the_audience_is_a_text_or_a_list_of_texts() {
        for (aud, kind) in [
            (Value::Null, "there is none"),
            (json!([]), "an array"),
            (json!([AUDIENCE, 7]), "an array"),
            (json!({AUDIENCE: true}), "an object"),
            (json!(7), "a number"),
            (json!(true), "a boolean"),
        ] {
            println!("case: {aud}");
            refused(with_claim(Job::gitlab(), "aud", aud), 5, "claim-aud").stderr_has(kind);
        }
        let one = with_claim(Job::gitlab(), "aud", json!([AUDIENCE])).run();
        one.succeeds().stderr_lacks("audiences at once");
        let two = with_claim(Job::gitlab(), "aud", json!(["sigstore", AUDIENCE])).run();
        two.succeeds().stderr_has("warning: the ID token is meant for 2 audiences at once");
    }

    #[test]
    fn an_endpoint_that_ignores_the_audience_is_found_out() {
        let job = with_claim(Job::github(), "aud", json!("https://github.com/octo-org"));
        refused(job, 5, "claim-aud")
            .id_token_requests(1)
            .stderr_has("found:    \"https://github.com/octo-org\"");
    }

    #[test]
    fn another_service_s_audience_is_warned_of_when_it_is_asked_for() {
        let outcome = Job::github().audience("sts.amazonaws.com").run();
        outcome.succeeds().stderr_has("warning: --audience is \"sts.amazonaws.com\", the audience of AWS");
    }

    #[test]
    fn the_issuer_has_to_be_the_platform_s_to_the_letter() {
        let server = Job::gitlab().env("CI_SERVER_URL", "https://gitlab.example");
        refused(with_claim(server, "iss", Value::Null), 5, "claim-iss").stderr_has("(no iss claim)");
        for (iss, hint) in [
            (json!("https://gitlab.example/"), "They differ only in a slash at the end."),
            (json!("http://gitlab.example"), "They differ only in the scheme"),
            (json!("https://GitLab.example"), "They differ only in upper and lower case."),
            (json!("https://gitlab.example:443"), "The expected text is only its beginning."),
            (json!("https://gitlab.com"), "Check which instance issued it"),
            (json!("https://gitlab.example.evil.example"), "The expected text is only its beginning."),
            (json!(["https://gitlab.example"]), "Check which instance issued it"),
            (json!(""), "Check which instance issued it"),
        ] {
            println!("case: {iss}");
            let server = Job::gitlab().env("CI_SERVER_URL", "https://gitlab.example");
            let outcome = refused(with_claim(server, "iss", iss), 5, "claim-iss");
            outcome.stderr_has("expected: \"https://gitlab.example\"").stderr_has(&format!("hint: {hint}"));
        }
    }
}

mod times {
    use super::*;

    #[test]
    fn have_to_be_plausible_numbers_of_seconds() {
        let now = token::now();
        for (name, claim, value) in [
            ("no exp", "exp", Value::Null),
            ("exp as a text", "exp", json!((now + 300).to_string())),
            ("exp as a date", "exp", json!("2030-01-01T00:00:00Z")),
            ("exp as a boolean", "exp", json!(true)),
            ("exp as a list", "exp", json!([now + 300])),
            ("a negative exp", "exp", json!(-1)),
            ("exp beyond the calendar", "exp", json!(1e15)),
            ("exp in milliseconds", "exp", json!((now + 300) * 1000)),
            ("exp in eleven years", "exp", json!(now + 11 * 366 * 86_400)),
            ("exp at iat", "exp", json!(now - 3600)),
            ("iat as a text", "iat", json!("0")),
            ("a negative iat", "iat", json!(-5)),
            ("iat in milliseconds", "iat", json!(now * 1000)),
            ("nbf as an object", "nbf", json!({})),
            ("nbf as null", "nbf", json!([null])),
        ] {
            println!("case: {name}");
            let job = with_claim(with_claim(Job::gitlab(), "iat", json!(now - 3600)), claim, value);
            refused(job, 5, "claim-time-invalid");
        }
    }

    #[test]
    fn may_have_fractions_and_iat_and_nbf_may_be_missing() {
        let change = |claims: &mut Map<String, Value>| {
            claims.insert("exp".to_owned(), json!(f64::from(i32::try_from(token::now()).unwrap()) + 300.75));
            claims.remove("nbf");
            claims.remove("iat");
        };
        Job::gitlab().claims(change).run().succeeds().stderr_lacks("valid only");
    }

    /// Shifts all times of the token.
    fn shifted(job: Job, seconds: i64) -> Job {
        job.claims(move |claims| {
            for name in ["iat", "nbf", "exp"] {
                let time = claims[name].as_i64().unwrap();
                claims.insert(name.to_owned(), json!(time + seconds));
            }
        })
    }

    #[test]
    fn lie_in_the_future_with_patience() {
        // GitLab's tokens begin five seconds early, which leaves the tests room for a slow machine.
        shifted(Job::gitlab(), 30).run().succeeds().stderr_lacks("valid only");
        let early = shifted(Job::gitlab(), 150).run();
        early.succeeds().stderr_has("s from now by this machine's clock; the STS decides");
        let outcome = refused(shifted(Job::gitlab(), 1000), 5, "claim-not-yet-valid");
        outcome.stderr_has("valid from:").stderr_has("by this machine's clock");
        let nbf = with_claim(Job::gitlab(), "nbf", json!(token::now() + 1000));
        refused(nbf, 5, "claim-not-yet-valid");
    }

    #[test]
    fn lie_in_the_past_with_little_patience() {
        refused(shifted(Job::gitlab(), -86_400), 5, "claim-expired").stderr_has("s ago)");
        // A minute is tolerated, but what may be over when it arrives is not sent.
        refused(shifted(Job::gitlab(), -3620), 5, "id-token-expiring");
    }
}

/// On GitHub the answer's `Date` tells whose clock is wrong.
mod clocks {
    use super::*;

    /// A GitHub job whose issuer's clock is so far ahead, in its tokens and in its answers.
    fn issuer_ahead_by(seconds: i64, with_date: bool) -> Job {
        let job = Job::github().claims(move |claims| {
            for name in ["iat", "nbf", "exp"] {
                let time = claims[name].as_i64().unwrap();
                claims.insert(name.to_owned(), json!(time + seconds));
            }
        });
        let time = SystemTime::now();
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 { time - offset } else { time + offset };
        let reply = Reply::json(&json!({"value": job.mint()}));
        let reply = if with_date {
            reply.header("Date", httpdate::fmt_http_date(time))
        } else {
            reply.without("date")
        };
        job.id_token_reply(reply)
    }

    #[test]
    fn that_are_wrong_here_do_not_stop_the_job() {
        for (name, seconds, warning) in [
            (
                "ours is two hours ahead",
                -7200,
                "looks expired only because this machine's clock is about 7200 s ahead",
            ),
            (
                "ours is two hours behind",
                7200,
                "looks not yet valid only because this machine's clock is about 7200 s behind",
            ),
            ("ours is a year ahead", -31_536_000, "looks expired only because this machine's clock"),
        ] {
            println!("case: {name}");
            let outcome = issuer_ahead_by(seconds, true).run();
            // One second more or less can pass between the two looks at the clock.
            let near = [warning.to_owned(), warning.replace("7200", "7199"), warning.replace("7200", "7201")];
            assert!(near.iter().any(|warning| outcome.stderr.contains(warning)), "{}", outcome.context());
            outcome.succeeds().id_token_requests(1).sts_requests(1).stderr_has("the STS decides");
        }
    }

    #[test]
    fn that_nobody_can_compare_are_taken_as_right() {
        refused(issuer_ahead_by(-7200, false), 5, "claim-expired").id_token_requests(1);
        refused(issuer_ahead_by(7200, false), 5, "claim-not-yet-valid").id_token_requests(1);
    }

    #[test]
    fn that_agree_leave_the_token_to_blame() {
        let stale = Job::github().claims(|claims| {
            claims.insert("iat".to_owned(), json!(token::now() - 7500));
            claims.insert("exp".to_owned(), json!(token::now() - 7200));
        });
        refused(stale, 5, "claim-expired").id_token_requests(1).stderr_has("(720");
    }

    #[test]
    fn that_are_nonsense_are_no_clocks() {
        for date in ["", "yesterday", "Sun, 99 Nov 2026 99:99:99 GMT", "0"] {
            println!("case: {date:?}");
            let job = Job::github();
            let reply = Reply::json(&json!({"value": job.mint()})).header("Date", date);
            job.id_token_reply(reply).run().succeeds().stderr_lacks("clock");
        }
    }
}

mod this_run {
    use super::*;

    #[test]
    fn another_run_s_token_is_warned_of() {
        for (claim, variable) in [
            ("repository", "GITHUB_REPOSITORY"),
            ("repository_id", "GITHUB_REPOSITORY_ID"),
            ("run_id", "GITHUB_RUN_ID"),
            ("run_attempt", "GITHUB_RUN_ATTEMPT"),
        ] {
            println!("case: {claim}");
            let outcome = with_claim(Job::github(), claim, json!("another")).run();
            outcome.succeeds().sts_requests(1);
            let warning = format!("the ID token says {claim} \"another\", but {variable} is \"");
            outcome.stderr_has(&format!("warning: {warning}"));
            let warnings = outcome.report.as_ref().unwrap()["warnings"].as_array().unwrap().clone();
            assert!(warnings.iter().any(|told| told.as_str().unwrap().starts_with(&warning)), "{warnings:?}");
        }
    }

    #[test]
    fn a_server_that_tells_less_is_not() {
        let quiet = Job::github().claims(|claims| {
            for claim in ["repository", "repository_id", "run_id", "run_attempt"] {
                claims.remove(claim);
            }
        });
        quiet.run().succeeds().stderr_lacks("another run");
        let number = with_claim(Job::github(), "run_id", json!(17_430_925_816_u64));
        number.run().succeeds().stderr_lacks("another run");
        let unset = with_claim(Job::github(), "run_id", json!("7")).unset("GITHUB_RUN_ID");
        unset.run().succeeds().stderr_lacks("another run");
    }
}

mod life {
    use super::*;

    /// A GitHub job whose first ID tokens live so long, in seconds, and whose later ones are as usual.
    fn first_ones_live(lives: &[i64]) -> Job {
        let job = Job::github();
        let issuer = job.issuer();
        lives.iter().fold(job, |job, life| {
            let claims = token::github_claims(&issuer, AUDIENCE, job.facts());
            let token = Token::new(claims).claim("iat", token::now() - 300).claim("exp", token::now() + life);
            job.id_token_reply(Reply::json(&json!({"value": token.mint()})))
        })
    }

    #[test]
    fn that_is_nearly_over_is_renewed_where_the_platform_can() {
        let outcome = first_ones_live(&[20]).run();
        outcome.succeeds().id_token_requests(2).sts_requests(1);
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(outcome.id_token()));
        assert_eq!(outcome.stderr.matches("\n::add-mask::").count(), 3, "both ID tokens are masked");
        let enough = first_ones_live(&[120]).run();
        enough.succeeds().id_token_requests(1).sts_requests(1);
    }

    #[test]
    fn that_is_always_nearly_over_is_an_error() {
        let outcome = refused(first_ones_live(&[20, 20]), 5, "id-token-expiring");
        outcome.id_token_requests(2);
    }

    #[test]
    fn that_is_nearly_over_is_an_error_where_there_is_one_token_a_job() {
        let job = with_claim(Job::gitlab(), "exp", json!(token::now() + 20));
        refused(job, 5, "id-token-expiring").stderr_has("too soon to exchange it");
    }
}

#[test]
fn a_refused_token_s_claims_are_reported_without_persons() {
    let outcome = refused(with_claim(Job::gitlab(), "aud", json!("other")), 5, "claim-aud");
    let report = outcome.report.as_ref().unwrap();
    let claims = &report["claims"];
    assert_eq!((&claims["aud"], &claims["job_id"]), (&json!("other"), &json!("9276154380")));
    for person in ["mona", "user_email", "user_login", "groups_direct"] {
        assert!(!report.to_string().contains(person), "{person}");
        outcome.stderr_lacks(person);
    }
}

#[test]
fn no_claim_shows_the_encoded_token() {
    // A claim that holds a token of its own is shown without it.
    let inner = Token::new(json!({"iss": "inner"})).mint();
    let job = with_claim(Job::gitlab().secret(token::signature_of(&inner).unwrap()), "iss", json!(inner));
    let outcome = refused(job, 5, "claim-iss");
    outcome.stderr_has("found:    \"***\"");
    let encoded = URL_SAFE_NO_PAD.encode(b"{\"iss\":\"inner\"}");
    outcome.stderr_lacks(&encoded);
    assert_eq!(outcome.report.as_ref().unwrap()["claims"]["iss"], "***");
}
