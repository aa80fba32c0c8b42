//! The main job on Azure Pipelines: a POST for the ID token, and commands for the agent.

use crate::support;

use serde_json::{Value, json};

use support::azure::{Step, Variable};
use support::job::Job;
use support::outcome::Outcome;
use support::server::Reply;

const ID: &str = "1f0f3b7e-5a0c-4a52-9b0e-6d7f5f0f2c11";
const TOKEN: &str = "SYSTEM_ACCESSTOKEN";
const URL: &str = "SYSTEM_OIDCREQUESTURI";

/// A failed run: told on stderr, in the report, in one annotation, and nowhere else.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).stdout_is("");
    let annotation = format!("##vso[task.logissue type=error]equinix-wif {code}: ");
    assert_eq!(outcome.stderr.matches(&annotation).count(), 1, "{}", outcome.context());
    outcome
}

/// What the agent makes of a run.
fn step(outcome: &Outcome) -> Step {
    let mut step = Step::default();
    step.read(&outcome.stderr).unwrap();
    step.read(&outcome.stdout).unwrap();
    step
}

#[test]
fn sets_a_secret_output_variable() {
    let outcome = Job::azure().tls().token_on_stdout().run();
    outcome.succeeds().id_token_requests(1).sts_requests(1);
    let step = step(&outcome);
    let expected = Variable { value: outcome.access_token().to_owned(), is_secret: true, is_output: true };
    assert_eq!(step.variables["EQUINIX_API_TOKEN"], expected);
    assert!(!step.variables["EQUINIX_API_TOKEN_EXPIRES_AT"].is_secret);
    assert_eq!(step.variables["available"].value, "true");
    assert_eq!(step.variables.len(), 3);
    assert!(!step.log.contains("##vso"), "{}", step.log);
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], "azure-pipelines");
    assert_eq!(outcome.report.as_ref().unwrap()["format"], "azure-pipelines");
}

#[test]
fn asks_as_the_documentation_says() {
    let outcome = Job::azure().token_on_stdout().run();
    let request = &outcome.issuer.requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/idtoken?api-version=7.1"));
    assert_eq!(request.header("x-tfs-fedauthredirect"), Some("Suppress"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some("0"));
    for job in [
        Job::azure().args(["--service-connection-id", ID]),
        Job::azure().env("EQUINIX_WIF_SERVICE_CONNECTION_ID", ID),
    ] {
        let outcome = job.token_on_stdout().run();
        outcome.succeeds();
        let target = format!("/idtoken?api-version=7.1&serviceConnectionId={ID}");
        assert_eq!(outcome.issuer.requests[0].target, target);
    }
    for id in ["a b", "a&b", "Ä"] {
        let job = Job::azure().args(["--service-connection-id", id]);
        job.run().fails(2, "cfg-value-invalid").id_token_requests(0);
    }
}

#[test]
fn the_audience_is_azure_s_and_no_other() {
    let same = Job::azure().args(["--audience", "api://AzureADTokenExchange"]).token_on_stdout().run();
    same.succeeds();
    fails(Job::azure().args(["--audience", "equinix"]), 5, "claim-aud").sts_requests(0);
    let other = Job::azure().claims(|claims| {
        claims.insert("aud".to_owned(), json!("equinix"));
    });
    fails(other, 5, "claim-aud").sts_requests(0);
}

#[test]
fn the_issuer_is_that_of_an_organization() {
    let with = |issuer: &'static str| {
        Job::azure().claims(move |claims| {
            claims.insert("iss".to_owned(), json!(issuer));
        })
    };
    let entra = "https://login.microsoftonline.com/4a1c/v2.0";
    fails(with(entra), 5, "claim-iss").sts_requests(0);
    let named = with(entra).args(["--expect", &format!("iss={entra}")]).token_on_stdout().run();
    named.succeeds().stderr_has("SYSTEM_COLLECTIONID");
    let another = "https://vstoken.dev.azure.com/0000";
    with(another).token_on_stdout().run().succeeds().stderr_has("SYSTEM_COLLECTIONID");
    fails(with(another).args(["--validation", "strict"]), 5, "claim-run-binding").sts_requests(0);
}

#[test]
fn each_missing_variable_has_its_cure() {
    for job in [
        Job::azure().unset(TOKEN),
        Job::azure().unset(TOKEN).unset(URL),
        Job::azure().unset(URL),
        Job::azure().env(TOKEN, "$(System.AccessToken)"),
        Job::azure().env(TOKEN, "a b"),
    ] {
        let outcome = fails(job, 3, "id-token-not-offered");
        outcome.stderr_has("SYSTEM_ACCESSTOKEN: $(System.AccessToken)").id_token_requests(0);
    }
    let skipped = Job::azure().unset(TOKEN).args(["--on-unavailable", "skip"]).run();
    skipped.succeeds().sts_requests(0);
    let step = step(&skipped);
    assert_eq!(step.variables["available"].value, "false");
    assert_eq!(step.variables["reason"].value, "missing-permission");
}

#[test]
fn each_refusal_is_told_with_its_cure() {
    let saying =
        |status: u16| Reply::status(status).json_body(&json!({"message": "no ##vso[task.complete]x"}));
    for (reply, exit, code, text) in [
        (saying(400), 4, "id-token-http", "--service-connection-id"),
        (saying(401), 4, "id-token-http", "was not accepted"),
        (saying(403), 4, "id-token-http", "permit the pipeline"),
        (saying(404), 4, "id-token-http", "Azure DevOps Server has no ID tokens"),
        (Reply::status(203).body("<html>sign in</html>"), 4, "id-token-http", "was not accepted"),
        (Reply::status(302).header("Location", "https://login.example/x"), 4, "id-token-redirect", "302"),
        (Reply::status(200).body("<html>"), 4, "id-token-not-json", "of Azure Pipelines"),
        (Reply::json(&json!({"value": "x"})), 4, "id-token-malformed", "its oidcToken is missing"),
        (Reply::json(&json!({"oidcToken": "x"})), 4, "id-token-malformed", ""),
        (Reply::json(&json!({"oidcToken": Value::Null})), 4, "id-token-malformed", "its oidcToken is null"),
    ] {
        let outcome = fails(Job::azure().id_token_reply(reply), exit, code);
        outcome.stderr_has(text).stderr_lacks("##vso[task.complete]").id_token_requests(1).sts_requests(0);
    }
    Job::azure().id_token_reply(Reply::status(500)).token_on_stdout().run().succeeds().id_token_requests(2);
    let down = Job::azure().id_token_always(Reply::status(503)).args(["--timeout", "2"]);
    fails(down, 8, "server-error").sts_requests(0);
}

#[test]
fn the_access_token_goes_to_the_organization() {
    let job = Job::azure().env("SYSTEM_COLLECTIONURI", "https://dev.azure.com/octo/");
    fails(job.args(["--validation", "strict"]), 10, "endpoint-untrusted").id_token_requests(0);
    fails(Job::azure().env(URL, "http://dev.azure.com/x"), 10, "insecure-url").id_token_requests(0);
    let job = Job::azure();
    let url = format!("{}/idtoken?serviceConnectionId=x", job.issuer_url());
    fails(job.env(URL, url), 10, "insecure-url").stderr_has("names a serviceConnectionId already");
}

#[test]
fn a_failed_run_sets_nothing_and_masks_what_it_got() {
    let outcome =
        fails(Job::azure().sts_always(support::job::sts_error("access_denied", "no")), 6, "sts-denied");
    assert_eq!(step(&outcome).variables.len(), 0);
    assert_eq!(outcome.stderr.matches("\n##vso[task.setsecret]").count(), 1);
}

#[test]
fn a_command_gets_the_token_and_not_the_access_token() {
    let script = "test -n \"$EQUINIX_API_TOKEN\" && test -z \"$SYSTEM_ACCESSTOKEN$SYSTEM_OIDCREQUESTURI\"";
    Job::azure().exec(["sh", "-c", script]).run().succeeds().stdout_is("");
}
