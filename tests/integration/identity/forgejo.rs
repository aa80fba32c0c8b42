//! The main job on Forgejo, which has GitHub's variables, and is not GitHub.

use crate::support;

use serde_json::{Value, json};

use support::job::Job;
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";

/// A failed run: told on stderr, in the report, in the outputs, and in exactly one annotation.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code);
    assert_eq!(outcome.reported_error_code().as_deref(), Some(code), "error-code in GITHUB_OUTPUT");
    let annotations = runner::commands(&outcome.stderr);
    let annotations: Vec<_> = annotations.iter().filter(|command| command.name == "error").collect();
    assert_eq!(annotations.len(), 1, "one annotation\n{}", outcome.context());
    outcome
}

#[test]
fn hands_the_token_to_the_next_step() {
    let outcome = Job::forgejo().tls().run();
    outcome.succeeds().stdout_is("").id_token_requests(1).sts_requests(1);
    let outputs = outcome.outputs();
    assert_eq!(outputs["access-token"], outcome.access_token());
    assert_eq!(outputs["subject"], "repo:octo-org/metal-app:ref:refs/heads/main");
    assert!(outputs["issuer"].ends_with("/api/actions"), "{outputs:?}");
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], "forgejo");
    // One mask for each token, not one for each runner that would obey it.
    assert_eq!(outcome.stderr.matches("\n::add-mask::").count(), 2);
    let request = &outcome.issuer.requests[0];
    assert_eq!(request.method, "GET");
    assert_eq!(
        request.target,
        "/idtoken?placeholder=true&audience=https%3A%2F%2Fsts.eqix.equinix.example%2Fmetal"
    );
}

#[test]
fn asked_for_as_github_it_still_masks_once_and_refuses_the_issuer() {
    let outcome = Job::forgejo().args(["--provider", "github"]).run();
    outcome.fails(5, "claim-iss").id_token_requests(1).sts_requests(0);
    assert_eq!(outcome.stderr.matches("\n::add-mask::").count(), 1);
}

#[test]
fn the_marker_is_needed_or_the_provider() {
    let outcome = Job::forgejo().unset("FORGEJO_ACTIONS").run();
    outcome.fails(3, "ambient-not-ci").stderr_has("Gitea gives jobs no ID tokens");
    let asked = Job::forgejo().unset("FORGEJO_ACTIONS").args(["--provider", "forgejo"]);
    asked.args(["--format", "github"]).run().succeeds().id_token_requests(1);
}

#[test]
fn each_missing_variable_has_its_cause_and_cure() {
    let job = || Job::forgejo().arg("-v");
    let outcome = fails(job().without_id_token_permission(), 3, "id-token-not-offered");
    outcome.stderr_has("enable-openid-connect: true").stderr_lacks("id-token: write");
    for (missing, there) in [(URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", URL)]
    {
        let outcome = fails(job().unset(missing), 3, "id-token-not-offered");
        outcome.stderr_has(&format!("{there} is set, but {missing} is not")).id_token_requests(0);
    }
    let outcome = job().without_flag("--audience").run();
    outcome.fails(2, "cfg-audience-missing").stderr_has("Forgejo Actions needs one").id_token_requests(0);
    let skipped = job().without_id_token_permission().args(["--on-unavailable", "skip"]).run();
    skipped.succeeds();
    assert_eq!(skipped.outputs()["reason"], "missing-permission");
}

#[test]
fn each_refusal_is_told_with_its_cure() {
    let saying = |status: u16| Reply::status(status).json_body(&json!({"message": "no\n::debug::x"}));
    for (reply, exit, code, text) in [
        (saying(400), 4, "id-token-http", "another run"),
        (saying(401), 4, "id-token-http", "was not accepted"),
        (saying(403), 4, "id-token-http", "refused the request (403)"),
        (saying(404), 4, "id-token-http", "from version 15 on"),
        (Reply::status(302).header("Location", "https://login.example/x"), 4, "id-token-redirect", "302"),
        (Reply::status(200).body("<html>"), 4, "id-token-not-json", "Forgejo's ID-token endpoint"),
        (Reply::json(&json!({"token": "x"})), 4, "id-token-malformed", "its value is missing"),
        (Reply::json(&json!({"value": "x"})), 4, "id-token-malformed", ""),
        (Reply::json(&json!({"value": Value::Null})), 4, "id-token-malformed", "its value is null"),
    ] {
        let outcome = fails(Job::forgejo().id_token_reply(reply), exit, code);
        outcome.stderr_has(text).stderr_lacks("GitHub's").id_token_requests(1).sts_requests(0);
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    Job::forgejo().id_token_reply(Reply::status(500)).run().succeeds().id_token_requests(2);
    let outcome =
        fails(Job::forgejo().id_token_always(Reply::status(503)).args(["--timeout", "2"]), 8, "server-error");
    outcome.stderr_has("Forgejo's ID-token endpoint failed (503)").sts_requests(0);
}

#[test]
fn the_request_token_goes_to_the_instance() {
    let job = Job::forgejo().env("GITHUB_SERVER_URL", "https://forge.example");
    let outcome = fails(job.args(["--validation", "strict"]), 10, "endpoint-untrusted");
    outcome.stderr_has("which is not the host of GITHUB_SERVER_URL").id_token_requests(0);
    let outcome = fails(Job::forgejo().env(URL, "http://forge.example/x"), 10, "insecure-url");
    outcome.id_token_requests(0);
    let job = Job::forgejo();
    let url = format!("{}/idtoken?audience=x", job.issuer_url());
    fails(job.env(URL, url), 10, "insecure-url").stderr_has("names an audience already");
}

#[test]
fn inspect_does_not_take_it_for_github() {
    let outcome = Job::forgejo().command("inspect").without_flag("--sts-endpoint").run();
    outcome.succeeds();
    assert!(outcome.stdout.contains("Forgejo Actions (forgejo)"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("/api/actions") && !outcome.stdout.contains("GitHub's older"));
}
