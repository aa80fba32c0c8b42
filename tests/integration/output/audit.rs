//! The member `audit` of the report: who asked for what, under which names in the servers' own logs, and where it was put.

use crate::support;

use serde_json::{Value, json};

use support::job::{Job, SCOPE, SUBJECT_TOKEN, sts_error, sts_success};
use support::outcome::Outcome;
use support::server::Reply;
use support::table::each;
use support::token;

fn audit(outcome: &Outcome) -> &Value {
    &outcome.report.as_ref().expect("a report")["audit"]
}

/// Stage, status and ids of each request.
fn requests(outcome: &Outcome) -> Vec<Value> {
    let requests = audit(outcome)["requests"].as_array().expect("a list");
    requests.iter().map(|made| json!([made["stage"], made["status"], made["request_ids"]])).collect()
}

fn named(reply: Reply, id: &str) -> Reply {
    reply.header("X-Request-Id", id)
}

#[test]
fn a_token_leads_to_its_job_and_its_requests() {
    let job = Job::github()
        .claims(|claims| drop(claims.insert("jti".to_owned(), json!("6b1f0c7e"))))
        .sts_reply(named(Reply::status(503), "req-1"))
        .sts_reply(named(Reply::json(&sts_success()), "req-2").header("Traceparent", "00-4bf9-00f0-01"));
    let (issuer, facts) = (job.issuer(), job.facts().clone());
    let outcome = job.run();
    outcome.succeeds();
    let found = audit(&outcome);
    let report = outcome.report.as_ref().unwrap();
    assert_eq!((&found["command"], &found["grant"]), (&json!("token"), &json!("token-exchange")));
    assert_eq!((&found["scope"], &found["token"]["scope"]), (&json!(SCOPE), &json!(SCOPE)));
    assert_eq!((&found["identity"]["iss"], &found["identity"]["jti"]), (&json!(issuer), &json!("6b1f0c7e")));
    assert_eq!(found["identity"]["sub"], report["claims"]["sub"]);
    assert_eq!(found["run"]["run_id"], facts.run_id);
    assert_eq!(found["run"]["run_attempt"], facts.run_attempt);
    assert_eq!(found["token"]["expires_at"], report["expires_at"]);
    assert_eq!(
        requests(&outcome),
        [
            json!(["identity", 200, []]),
            json!(["exchange", 503, ["req-1"]]),
            json!(["exchange", 200, ["req-2", "00-4bf9-00f0-01"]])
        ]
    );
    let moments = found["requests"].as_array().unwrap().iter().map(|made| made["at"].as_str().unwrap());
    let moments: Vec<&str> = found["started_at"].as_str().into_iter().chain(moments).collect();
    assert!(moments.is_sorted() && moments[0].len() == "2026-11-26T09:30:00Z".len(), "{moments:?}");
    assert_eq!(
        found["delivered_to"],
        json!([{
            "to": "runner-file", "format": "github", "name": "GITHUB_OUTPUT", "as": "this step's output access-token",
        }])
    );
}

#[test]
fn a_failure_has_the_same_facts_and_no_place() {
    let refused = || named(sts_error("invalid_scope", "no"), "req-1");
    let outcome = Job::gitlab().sts_reply(refused()).run();
    outcome.fails(6, "sts-scope-denied");
    assert_eq!(requests(&outcome), [json!(["exchange", 400, ["req-1"]])]);
    let found = audit(&outcome);
    assert_eq!((&found["token"], &found["delivered_to"]), (&Value::Null, &json!([])));
    assert!(found["run"]["pipeline_id"].is_string() && found["identity"]["sub"].is_string(), "{found}");

    // Nothing was asked, since there is nothing to ask with.
    let outcome = Job::gitlab().unset(SUBJECT_TOKEN).run();
    outcome.fails(3, "gl-id-tokens-missing");
    let found = audit(&outcome);
    assert_eq!(
        (&found["identity"], &found["requests"], &found["scope"]),
        (&Value::Null, &json!([]), &json!(SCOPE))
    );
    assert!(found["run"]["pipeline_id"].is_string(), "{found}");

    // Nobody answered.
    let nowhere = ["--sts-endpoint", "http://127.0.0.1:1", "--timeout", "1"];
    let outcome = Job::gitlab().without_flag("--sts-endpoint").args(nowhere).run();
    outcome.fails(8, "net-connect");
    let first = &audit(&outcome)["requests"][0];
    assert_eq!(
        (&first["status"], &first["code"], &first["server"]),
        (&Value::Null, &json!("net-connect"), &json!("http://127.0.0.1:1"))
    );
}

/// A token is put where it is told to have been put.
#[cfg(unix)]
#[test]
fn each_place_is_told() {
    type Case = (fn() -> Job, Value);
    let cases: [(&str, Case); 4] = [
        (
            "stdout",
            (
                || Job::gitlab().args(["--format", "json"]).token_on_stdout(),
                json!([{"to": "standard-output", "format": "json"}]),
            ),
        ),
        (
            "environment",
            (
                || Job::gitlab().exec(["/bin/true", "a secret argument"]),
                json!([{"to": "environment", "name": "EQUINIX_API_TOKEN", "command": "true"}]),
            ),
        ),
        (
            "both of GitHub's files",
            (
                || Job::github().args(["--export-env", "--env-name", "MY_TOKEN"]),
                json!([
                    {"to": "runner-file", "format": "github", "name": "GITHUB_OUTPUT", "as": "this step's output access-token"},
                    {"to": "runner-file", "format": "github", "name": "GITHUB_ENV", "as": "MY_TOKEN of the later steps"},
                ]),
            ),
        ),
        (
            "dropped",
            (|| support::signing::signed(Job::gitlab()).command("doctor").arg("--exchange"), json!([])),
        ),
    ];
    each(&cases, |(job, places)| {
        let outcome = job().run();
        outcome.succeeds();
        assert_eq!(audit(&outcome)["delivered_to"], *places, "{}", outcome.context());
        assert_eq!(audit(&outcome)["token"]["kind"], "access_token");
    });
    let job = Job::gitlab();
    let path = job.tmp().join("token");
    let outcome = job.args(["--format", "raw"]).arg("--output").arg(&path).token_in(&path).run();
    outcome.succeeds();
    assert_eq!(audit(&outcome)["delivered_to"], json!([{"to": "file", "format": "raw", "path": path}]));
    let outcome = Job::gitlab().command("id-token").without_flag("--scope").without_flag("--sts-endpoint");
    let outcome = outcome.args(["--format", "json"]).token_on_stdout().run();
    let found = audit(outcome.succeeds());
    assert_eq!((&found["token"]["kind"], &found["grant"]), (&json!("id_token"), &Value::Null));
}

/// The harness looks for every secret in the report, also in pieces.
#[test]
fn what_a_server_calls_a_request_is_made_safe() {
    let outcome = Job::gitlab()
        .sts_with(|request| {
            let token = request.form_value("subject_token")?;
            let signature = token::signature_of(&token).unwrap_or_default().to_owned();
            Some(
                sts_error("invalid_request", "no")
                    .header("X-Request-Id", signature)
                    .header("X-Correlation-Id", "::error::x"),
            )
        })
        .run();
    outcome.fails(6, "sts-denied");
    assert_eq!(requests(&outcome), [json!(["exchange", 400, ["***…", ": :error: :x"]])]);
    let long = "r".repeat(2000);
    let outcome = Job::gitlab().sts_reply(named(Reply::status(403), &long)).run();
    let shown = requests(&outcome)[0][2][0].as_str().unwrap().to_owned();
    assert!(shown.len() < 320 && shown.ends_with('…'), "{shown}");
}

#[cfg(feature = "classic-grants")]
#[test]
fn a_stored_secret_has_no_identity_and_is_not_told() {
    use support::job::classic_success;
    let reply = named(Reply::json(&classic_success()), "req-1");
    let outcome = Job::github().grant("client-credentials").client().sts_reply(reply).run();
    let found = audit(outcome.succeeds());
    assert_eq!((&found["grant"], &found["identity"]), (&json!("client-credentials"), &Value::Null));
    assert_eq!(requests(&outcome), [json!(["exchange", 200, ["req-1"]])]);
    assert!(found["run"]["run_id"].is_string(), "{found}");
    assert!(found["token"]["expires_at"].is_string(), "{found}");
}

#[cfg(all(target_os = "linux", feature = "renew"))]
#[test]
fn a_renewal_has_its_own_requests() {
    use support::renewing::Live;
    const OTHER: &str = "roleassignments:6c1b9e7a-54d3-4e0f-9d2a-7b8f3c21e5d6";
    let job = Job::gitlab().args(["--renew-scope", OTHER]).sts_with(|request| {
        let id = if request.form_value("scope")? == OTHER { "req-2" } else { "req-1" };
        Some(named(Reply::json(&sts_success()), id))
    });
    let live = Live::start(job);
    live.client.ask_for(OTHER).token();
    let outcome = live.ends(0);
    let report = outcome.succeeds().report.as_ref().unwrap();
    let renewals = report["renewal"]["renewals"].as_array().unwrap();
    let ids: Vec<&Value> = renewals.iter().map(|renewal| &renewal["request_ids"]).collect();
    assert_eq!(ids, [&json!(["req-1"]), &json!(["req-2"])]);
    assert_eq!(requests(&outcome), [json!(["exchange", 200, ["req-1"]])]);
    let places = audit(&outcome)["delivered_to"].as_array().unwrap();
    let places: Vec<&Value> = places.iter().map(|place| &place["to"]).collect();
    assert_eq!(places, ["environment", "file"]);
}
