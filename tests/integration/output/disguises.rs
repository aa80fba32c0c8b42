//! Servers that give a secret back in disguise, and secrets that stand where nobody expects them: nothing is shown of them.

use crate::support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use support::job::{Job, sts_error};
use support::outcome::Outcome;
use support::server::Reply;
use support::table::each;
use support::token;

const WITHHELD: &str = "(withheld: it held a secret in disguise)";

fn per_character(text: &str, act: impl Fn(char) -> String) -> String {
    text.chars().map(act).collect()
}

fn every(text: &str, size: usize, between: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(size).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>().join(between)
}

/// A few of those that the redactor's own tests have, one of each kind.
fn disguise(name: &str, secret: &str) -> String {
    match name {
        "hex" => per_character(secret, |c| format!("{:02x}", c as u32)),
        "percent" => per_character(secret, |c| format!("%{:02X}", c as u32)),
        "base64 twice" => STANDARD.encode(STANDARD.encode(secret)),
        "base64 in lines of 8" => every(&STANDARD.encode(secret), 8, "\n"),
        "backwards" => secret.chars().rev().collect(),
        "a bar every 11 characters" => every(secret, 11, "|"),
        "full-width" => {
            per_character(secret, |c| char::from_u32(c as u32 - 0x21 + 0xff01).unwrap().to_string())
        }
        "upper case" => secret.to_uppercase(),
        "combining marks" => every(secret, 1, "\u{301}"),
        "JSON escapes twice" => per_character(secret, |c| format!("\\\\u{:04x}", c as u32)),
        "HTML entities" => per_character(secret, |c| format!("&#{};", c as u32)),
        other => panic!("no disguise is called {other}"),
    }
}

const NAMES: [&str; 11] = [
    "hex",
    "percent",
    "base64 twice",
    "base64 in lines of 8",
    "backwards",
    "a bar every 11 characters",
    "full-width",
    "upper case",
    "combining marks",
    "JSON escapes twice",
    "HTML entities",
];

#[track_caller]
fn withholds(outcome: &Outcome, label: &str) {
    outcome.stderr_has(&format!("  {label}: ")).stderr_has(WITHHELD);
    let report = outcome.report.as_ref().unwrap();
    outcome.require(report["server_echoed_secret"] == json!(true), "the report tells of the echo");
    let message = report["message"].as_str().unwrap();
    outcome.require(message.contains(WITHHELD), "the report withholds it, too");
}

#[test]
fn a_disguised_id_token_is_withheld() {
    each(&NAMES.map(|name| (name, name)), |name| {
        let name = *name;
        let outcome = Job::gitlab()
            .sts_with(move |request| {
                let token = request.form_value("subject_token").unwrap();
                // Its signature alone: what stands before it looks like a token to everybody.
                let text = disguise(name, token::signature_of(&token).unwrap());
                Some(sts_error("invalid_grant", &format!("no: {text}")))
            })
            .run();
        outcome.fails(6, "sts-denied").stderr_has("invalid_grant");
        withholds(&outcome, "STS says");
    });
}

#[test]
fn a_disguised_request_token_is_withheld() {
    each(&NAMES.map(|name| (name, name)), |name| {
        let bearer = token::random_text(60);
        let reply = Reply::status(401).json_body(&json!({"message": disguise(name, &bearer)}));
        let outcome =
            Job::github().env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer).id_token_always(reply).run();
        outcome.fails(4, "id-token-http");
        withholds(&outcome, "GitHub says");
    });
}

/// However its JSON is written, a token is recognised: as an argument, and when a server sends somebody else's.
#[test]
fn a_token_without_the_usual_beginning_is_recognised() {
    let headers = ["{ \"alg\":\"RS256\"}", "{\n\"alg\":\"RS256\"}", "{\t\"alg\":\"RS256\"}"];
    each(&headers.map(|header| (header, header)), |header| {
        let foreign = format!(
            "{}.{}.c2lnbmF0dXJl",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode("{\"sub\":\"x\"}")
        );
        let refused = Job::gitlab().arg(format!("--scope={foreign}")).without_report().run();
        refused.fails(2, "cfg-secret-in-argv").stderr_lacks(&foreign[..12]).sts_requests(0);
        let description = format!("got {foreign} instead");
        let outcome = Job::gitlab().sts_reply(sts_error("invalid_grant", &description)).run();
        outcome.fails(6, "sts-denied").stderr_has("got *** instead").stderr_lacks(&foreign[..12]);
    });
}

/// Before anything is fetched, or even chosen, a message may quote a setting into which a secret was pasted.
#[test]
fn secrets_of_the_environment_are_guarded_before_the_settings_are_read() {
    let variables = [
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
        "EQUINIX_WIF_SUBJECT_TOKEN",
        "EQUINIX_API_TOKEN",
        "EQUINIX_API_CLIENTSECRET",
        "EQUINIX_CLIENT_SECRET",
        "NAMED_BY_THE_SETTING",
    ];
    each(&variables.map(|name| (name, name)), |name| {
        let secret = token::random_text(40);
        let outcome = Job::github()
            .env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "NAMED_BY_THE_SETTING")
            .env(*name, &secret)
            .secret(&secret)
            .args(["--provider", &secret])
            .run();
        outcome.stderr_has("error[cfg-").stderr_has("***").stderr_lacks(&secret).sts_requests(0);
    });
}

#[test]
fn the_password_of_a_proxy_is_guarded_before_the_settings_are_read() {
    const PASSWORD: &str = "hush-28459045-of-the-proxy";
    let proxy = format!("http://ci:{PASSWORD}@proxy.example:3128");
    let outcome = Job::github().env("HTTPS_PROXY", proxy).args(["--provider", PASSWORD]).run();
    outcome.stderr_has("error[cfg-").stderr_has("***").stderr_lacks(PASSWORD).sts_requests(0);
}

#[test]
fn nothing_of_a_proxy_with_an_unencoded_sign_in_its_password_is_shown() {
    each(&["/", "?", "#"].map(|sign| (sign, sign)), |sign| {
        let outcome = Job::gitlab()
            .env("HTTPS_PROXY", format!("http://user:2718{sign}hush-28459045@proxy.example:3128"))
            .arg("-v")
            .run();
        outcome.fails(2, "cfg-proxy-invalid").stderr_lacks("2718").stderr_lacks("hush").sts_requests(0);
    });
}
