//! The main job on Vela.

use crate::support;

use std::fs;

use serde_json::{Value, json};

use support::job::Job;
use support::outcome::Outcome;
use support::server::Reply;

const URL: &str = "VELA_ID_TOKEN_REQUEST_URL";
const BEARER: &str = "VELA_ID_TOKEN_REQUEST_TOKEN";

#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    outcome
}

#[test]
fn hands_the_token_over_in_a_file() {
    let outcome = Job::vela().tls().run();
    outcome.succeeds().id_token_requests(1).sts_requests(1);
    let file = outcome.printed_path().expect("the path of a file");
    assert!(fs::read_to_string(file).unwrap().contains(outcome.access_token()));
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], "vela");
    outcome.stderr_lacks("::add-mask::").stderr_lacks("##vso");
    let request = &outcome.issuer.requests[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/idtoken?audience=https%3A%2F%2Fsts.eqix.equinix.example%2Fmetal");
}

#[test]
fn an_older_server_says_value_and_the_first_that_is_there_counts() {
    for (name, members) in [
        ("older", json!({"value": ""})),
        ("both", json!({"value": "x", "token": ""})),
        ("a token that is no text", json!({"token": null, "value": ""})),
    ] {
        println!("case: {name}");
        let job = Job::vela();
        let token = job.mint();
        let mut members = members;
        for value in members.as_object_mut().unwrap().values_mut().filter(|value| **value == json!("")) {
            *value = json!(token);
        }
        job.id_token_reply(Reply::json(&members)).run().succeeds().id_token_requests(1);
    }
}

#[test]
fn each_missing_variable_has_its_cure() {
    for job in [Job::vela().unset(URL).unset(BEARER), Job::vela().unset(URL), Job::vela().unset(BEARER)] {
        fails(job, 3, "id-token-not-offered").stderr_has("id_request: write").id_token_requests(0);
    }
    let outcome = fails(Job::vela().without_flag("--audience"), 2, "cfg-audience-missing");
    outcome.stderr_has("Vela needs one").id_token_requests(0);
    let skipped = Job::vela().unset(URL).unset(BEARER).args(["--on-unavailable", "skip"]).run();
    skipped.succeeds().sts_requests(0);
}

#[test]
fn each_refusal_is_told_with_its_cure() {
    let saying = |status: u16| Reply::status(status).json_body(&json!({"error": "no"}));
    for (reply, exit, code, text) in [
        (saying(400), 4, "id-token-http", "refused the request (400)"),
        (saying(401), 4, "id-token-http", "was not accepted"),
        (saying(403), 4, "id-token-http", "refused the request (403)"),
        (saying(404), 4, "id-token-http", "supports OpenID Connect"),
        (Reply::status(302).header("Location", "https://login.example/x"), 4, "id-token-redirect", "302"),
        (Reply::status(200).body("<html>"), 4, "id-token-not-json", "Vela's ID-token endpoint"),
        (Reply::json(&json!({})), 4, "id-token-malformed", "its token is missing, its value is missing"),
        (Reply::json(&json!({"token": "x"})), 4, "id-token-malformed", ""),
        (Reply::json(&json!({"token": Value::Null})), 4, "id-token-malformed", "its token is null"),
    ] {
        fails(Job::vela().id_token_reply(reply), exit, code).stderr_has(text).id_token_requests(1);
    }
    Job::vela().id_token_reply(Reply::status(500)).run().succeeds().id_token_requests(2);
    let down = Job::vela().id_token_always(Reply::status(503)).args(["--timeout", "2"]);
    fails(down, 8, "server-error");
}

#[test]
fn the_request_token_goes_to_the_server() {
    let job = Job::vela().env("VELA_ADDR", "https://vela.example");
    fails(job.args(["--validation", "strict"]), 10, "endpoint-untrusted").id_token_requests(0);
    fails(Job::vela().env(URL, "http://vela.example/x"), 10, "insecure-url").id_token_requests(0);
}

#[test]
fn the_issuer_and_the_build_are_those_of_the_server() {
    let with = |name: &'static str, value: &'static str| {
        Job::vela().claims(move |claims| {
            claims.insert(name.to_owned(), json!(value));
        })
    };
    fails(with("iss", "https://vela.example/_services/token"), 5, "claim-iss");
    with("build_number", "1").run().succeeds().stderr_has("VELA_BUILD_NUMBER");
    fails(with("repo", "a/b").args(["--validation", "strict"]), 5, "claim-run-binding");
    let inspected = Job::vela().command("inspect").without_flag("--sts-endpoint").run();
    inspected.succeeds();
    assert!(
        inspected.stdout.contains("Vela (vela)") && !inspected.stdout.contains("mona"),
        "{}",
        inspected.stdout
    );
}

#[test]
fn a_command_gets_the_token_and_no_way_to_the_identity() {
    let script = "test -n \"$EQUINIX_API_TOKEN\" && test -z \"$VELA_ID_TOKEN_REQUEST_TOKEN$VELA_ID_TOKEN_REQUEST_URL\"";
    Job::vela().exec(["sh", "-c", script]).run().succeeds().stdout_is("");
}
