//! Runs a made-up platform through everything that knows platforms: nothing but its own file has to know it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::choice::Choice;
use super::main_job;
use super::pipeline::Pipeline;
use super::summary;
use crate::cli::settings::IdentitySettings;
use crate::cli::settings::SummaryWhen;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::grant::sts::{Api, Sts};
use crate::grant::token_exchange::{Config, TokenExchange};
use crate::grant::{Grant, Renewable};
use crate::http::url::Url;
use crate::identity::claims::Validation;
use crate::platform::{self, TokenLocation};
use crate::report::Report;
use crate::report::console::captured::Lines;
use crate::session::fixed;

const NOW: i64 = 1_800_000_000;

fn token(change: &Value) -> String {
    let mut claims = json!({
        "iss": "https://made-up.example", "sub": "made-up/7", "aud": "equinix", "iat": NOW, "exp": NOW + 600,
        "run": "7", "stage": "deploy", "person": "somebody",
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(&claims))
}

fn settings(validation: Validation) -> IdentitySettings {
    IdentitySettings {
        audience: None,
        provider: None,
        source: TokenLocation::default(),
        service_connection_id: None,
        expectations: Vec::new(),
        validation,
        verify_signature: false,
        warnings: Vec::new(),
        findings: Vec::new(),
    }
}

/// A job whose token has these claims changed, a moment in which nothing is late, and what it writes on standard error.
fn job(change: &Value, validation: Validation) -> (Result<Arc<Pipeline>, Error>, Deadline, Lines) {
    let token = token(change);
    let pairs = [("MADE_UP", "yes"), ("MADE_UP_TOKEN", &token), ("MADE_UP_RUN", "7")];
    let (session, lines) = fixed::session(&pairs, NOW);
    let by = Deadline::within(Duration::from_secs(60));
    let choice = Choice::new(settings(validation), &session.env);
    let job = choice.and_then(|choice| choice.ready().map(|()| Pipeline::new(choice, session)));
    (job, by, lines)
}

#[test]
fn it_is_detected_and_its_token_is_read_hidden_and_checked() {
    let (job, by, lines) = job(&json!({}), Validation::Strict);
    let job = job.unwrap();
    assert_eq!(job.platform().here(&job.session().env).text, "MADE_UP is \"yes\"");
    let identity = job.identity(by).unwrap();
    assert_eq!((identity.claims.subject(), identity.expiry), ("made-up/7", Some(NOW + 600)));
    let mask = format!("!hide {}\n", token(&json!({})));
    assert!(lines.text().contains(&mask), "{}", lines.text());
}

#[test]
fn the_report_says_nothing_about_persons() {
    let (job, by, _) = job(&json!({"actor": "octocat", "user_email": "o@example.com"}), Validation::Basic);
    let job = job.unwrap();
    job.identity(by).unwrap();
    let mut report = Report::default();
    job.account(&mut report);
    let claims = report.claims.unwrap();
    let names: Vec<&str> = claims.keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "run", "sub"]);
    assert_eq!((&claims["run"], &claims["sub"]), (&json!("7"), &json!("made-up/7")));
}

#[test]
fn a_token_of_another_issuer_or_run_does_not_pass() {
    for (change, code) in [
        (json!({"iss": "https://other.example"}), Code::ClaimIss),
        (json!({"run": "8"}), Code::ClaimRunBinding),
        (json!({"aud": "sts.amazonaws.com"}), Code::ClaimAud),
        (json!({"exp": NOW - 600, "iat": NOW - 900}), Code::ClaimExpired),
    ] {
        let (job, by, _) = job(&change, Validation::Strict);
        let job = job.unwrap();
        assert_eq!(job.identity(by).unwrap_err().code(), code, "{change}");
        let mut report = Report::default();
        job.account(&mut report);
        assert!(report.claims.is_some(), "the claims of a token that was refused are in the report");
    }
}

#[test]
fn without_its_token_it_says_which_variable_it_looked_at() {
    let (session, _) = fixed::session(&[("MADE_UP", "yes")], NOW);
    let error = Choice::new(settings(Validation::Basic), &session.env).unwrap().ready().unwrap_err();
    assert_eq!(error.code(), Code::TokenEnvEmpty);
    assert!(error.message().contains("MADE_UP_TOKEN"), "{error}");
    let (session, _) = fixed::session(&[("MADE_UP", "no")], NOW);
    let error = Choice::new(settings(Validation::Basic), &session.env).err().unwrap();
    assert!(error.details()[0].1.contains("MADE_UP is \"no\" instead of \"yes\""), "{:?}", error.details());
}

#[test]
fn a_named_variable_takes_the_place_of_its_own() {
    let token = token(&json!({}));
    let (session, _) = fixed::session(&[("MADE_UP", "yes"), ("MINE", &token)], NOW);
    let source = TokenLocation { variable: Some("MINE".to_owned()), file: None };
    let settings = IdentitySettings { source, ..settings(Validation::Basic) };
    let choice = Choice::new(settings, &session.env).unwrap();
    assert_eq!((choice.platform().facts().id, choice.ready().is_ok()), ("made-up", true));
}

#[test]
fn its_format_summary_trace_and_variables_follow_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary");
    std::fs::write(&file, "").unwrap();
    let pairs = [("MADE_UP", "yes"), ("MADE_UP_SUMMARY", file.to_str().unwrap()), ("MADE_UP_TRACE", "yes")];
    let (session, _) = fixed::session(&pairs, NOW);

    assert_eq!(main_job::format(None, None, &session.env).unwrap().id(), "shell");
    summary::write(SummaryWhen::Always, &Report::default(), None, &session.env, &session.console);
    assert!(std::fs::read_to_string(&file).unwrap().contains("equinix-wif"));
    let (trace, value) = platform::trace(&session.env).unwrap();
    assert_eq!((trace.variable, value.as_str()), ("MADE_UP_TRACE", "\"yes\""));
    assert!(platform::identity_variables(&TokenLocation::default()).contains(&"MADE_UP_TOKEN"));
    assert!(platform::is_reserved("MADE_UP_ANYTHING") && !platform::is_reserved("MADEUP"));
    assert!(platform::variables().any(|(name, _)| *name == "MADE_UP_RUN"));
}

#[test]
fn its_grant_can_renew_until_the_only_token_ends() {
    let (job, by, _) = job(&json!({}), Validation::Basic);
    let job = job.unwrap();
    let config = Config {
        // Nobody listens there, and that is known at once.
        sts: Sts { endpoint: Url::parse("http://127.0.0.1:1").unwrap(), api: Api::Alpha },
        local_issuers_only: None,
        scope: "roleassignments:o".to_owned(),
        min_ttl: 60,
    };
    let grant = TokenExchange::new(config, job.clone());
    assert!(grant.ready(job.session()).is_ok());
    assert_eq!(grant.renewable_until(), Renewable::Unknown);
    let error = job.obtain(&grant, by).unwrap_err();
    assert_eq!(error.code(), Code::NetConnect);
    assert_eq!(grant.renewable_until(), Renewable::Until(NOW + 600));
}

/// Answers one request after another on a port of this machine, each with the next status and body.
#[cfg(feature = "renew")]
fn answers(script: Vec<(u16, Value)>) -> (Url, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        for (status, body) in script {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"token-type%3Aid_token") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}",
                body.len()
            );
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    (url, server)
}

#[cfg(feature = "renew")]
#[test]
fn a_refused_id_token_is_sent_again_only_by_a_run_that_goes_on() {
    let refused = || (403, json!({"error": "access_denied"}));
    let granted = |token: &str| {
        let access_token_type = crate::credential::Kind::AccessToken.token_type_uri();
        let answer = json!({"access_token": token, "issued_token_type": access_token_type, "token_type": "Bearer", "expires_in": 3600});
        (200, answer)
    };
    let script = vec![
        refused(),
        granted("the-first-access-token"),
        (400, json!({"error": "invalid_grant"})),
        granted("another-access-token"),
        (400, json!({"error": "invalid_grant"})),
    ];
    let (endpoint, server) = answers(script);
    let (job, by, _) = job(&json!({}), Validation::Basic);
    let job = job.unwrap();
    let config = Config {
        sts: Sts { endpoint, api: Api::Alpha },
        local_issuers_only: None,
        scope: "roleassignments:o".to_owned(),
        min_ttl: 60,
    };
    let code = |grant: &TokenExchange| job.obtain(grant, by).map(drop).unwrap_err().code();
    let short = TokenExchange::new(config.clone(), job.clone());
    assert_eq!(code(&short), Code::StsDenied);
    assert_eq!(
        job.obtain(&short, by).unwrap_err().message(),
        "the ID token was refused before, so it was not sent again"
    );
    job.go_on();
    let long = TokenExchange::new(config, job.clone());
    assert!(job.obtain(&long, by).is_ok());
    assert_eq!(code(&long), Code::StsIdTokenUsed, "taken once");
    assert!(job.obtain(&long, by).is_ok());
    assert_eq!(code(&long), Code::StsDenied, "taken twice, so that is not the reason");
    server.join().unwrap();
}
