//! `policies`, and what a refused exchange says of the scopes that the job may ask for.

use serde_json::{Value, json};

use crate::support;
use support::job::{Job, sts_error};
use support::outcome::Outcome;
use support::server::{Reply, Request};
use support::signing::signed;

const PROJECT: &str = "project:0f1d5c9b";
const ERN: &str = "ern:eqix:equinix/sts:global:p-1:accesspolicy:web";

/// Answers for the list with these pages, one after the other.
fn pages(job: Job, pages: Vec<Value>) -> Job {
    let mut pages = pages.into_iter();
    job.sts_with(move |request| {
        (request.path() == "/v1/accessPoliciesGranted").then(|| Reply::json(&pages.next().unwrap()))
    })
}

fn policies(job: Job) -> Job {
    job.command("policies").without_flag("--scope").args(["--project-id", PROJECT])
}

fn asked(outcome: &Outcome) -> Vec<Value> {
    let list = outcome.sts.requests.iter().filter(|request| request.path() == "/v1/accessPoliciesGranted");
    list.map(|request| request.json().unwrap()).collect()
}

#[test]
fn all_pages_are_listed_for_people() {
    let first = json!({"list": [{"accessPolicyId": "accesspolicy:a", "accessPolicyErn": ERN, "name": "web"}], "nextPageToken": "two"});
    let second = json!({"list": [{"accessPolicyId": "accesspolicy:b"}]});
    for job in [Job::github(), Job::gitlab()] {
        let outcome = policies(pages(job, vec![first.clone(), second.clone()])).run();
        outcome.require(outcome.status == Some(0), "the exit status is 0");
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert!(lines[0].starts_with(&format!("access policies of \"{PROJECT}\" that are granted to \"")));
        assert!(lines[0].ends_with("(2)"), "{}", lines[0]);
        assert_eq!(lines[1], format!("  {ERN}  web"));
        assert_eq!(lines[2], "  accesspolicy:b (an id; the scope is this policy's ERN)");
        let asked = asked(&outcome);
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0]["projectId"], PROJECT);
        assert_eq!(asked[0]["subjectTokenType"], "urn:ietf:params:oauth:token-type:id_token");
        assert_eq!((&asked[0]["pageSize"], &asked[0]["pageToken"]), (&json!(100), &Value::Null));
        assert_eq!(asked[1]["pageToken"], "two");
        assert!(
            outcome.sts.requests.iter().all(|request: &Request| request.header("authorization").is_none())
        );
    }
}

#[test]
fn programs_get_a_document_and_nothing_of_it_is_a_runner_s_command() {
    let page = json!({"list": [{"accessPolicyId": "::error::x", "name": "a\u{202e}b"}]});
    let outcome = policies(pages(Job::github(), vec![page])).args(["--format", "json"]).run();
    let line = outcome.stdout.trim_end();
    let document: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&document["v"], &document["project_id"]), (&json!(1), &json!(PROJECT)));
    assert_eq!(document["policies"].as_array().unwrap().len(), 1);
    assert_eq!(document["policies"][0]["ern"], Value::Null);
    assert!(!line.contains("::error") && !line.contains('\u{202e}'), "{line}");
}

#[test]
fn an_empty_list_says_what_it_can_mean() {
    let outcome = policies(pages(Job::github(), vec![json!({"list": []})])).run();
    assert_eq!(outcome.status, Some(0));
    outcome.stderr_has("the trust is missing, it is for another subject, or the OIDC provider is suspended");
}

#[test]
fn failures_have_the_codes_of_the_sts() {
    for (reply, exit, code) in [
        (Reply::status(400).json_body(&json!({"error": "invalid_request"})), 6, "sts-denied"),
        (
            Reply::status(404).json_body(&json!({"error": {"errorCode": "not-found"}})),
            6,
            "sts-endpoint-not-found",
        ),
        (Reply::status(302).header("Location", "https://x.example/"), 6, "sts-redirect"),
        (Reply::json(&json!({"list": 1})), 7, "sts-response-invalid"),
        (Reply::status(200).body("x"), 7, "sts-not-json"),
    ] {
        let outcome = policies(Job::github().sts_always(reply)).run();
        outcome.fails(exit, code).sts_requests(1);
    }
    // A list that never ends.
    let endless =
        Job::github().sts_with(|_| Some(Reply::json(&json!({"list": [], "nextPageToken": "same"}))));
    let outcome = policies(endless).run();
    outcome.fails(7, "sts-response-invalid").sts_requests(2);
    let outcome = Job::github().only_args(["policies", "--audience", "a"]).run();
    assert_eq!(outcome.status, Some(2));
    outcome.stderr_has("error[cfg-value-invalid]: no project is set");
    let outcome = policies(Job::github().without_id_token_permission()).run();
    outcome.fails(3, "gh-id-token-permission").sts_requests(0);
}

mod after_a_refusal {
    use super::*;

    fn refused(job: Job) -> Job {
        let job = pages(job, vec![json!({"list": [{"accessPolicyId": "x", "accessPolicyErn": ERN}]})]);
        job.sts_with(|request| {
            (request.path() == "/use/token").then(|| sts_error("invalid_scope", "not granted"))
        })
        .scope("ern:eqix:equinix/sts:global:p-2:accesspolicy:web")
    }

    #[test]
    fn the_error_says_what_the_job_may_ask_for() {
        for job in [Job::github(), Job::gitlab()] {
            let outcome = refused(job).args(["--project-id", PROJECT]).run();
            outcome.fails(6, "sts-scope-denied");
            outcome.stderr_has(&format!("may ask for: \"{ERN}\""));
            outcome.stderr_has(&format!("closest:     \"{ERN}\""));
            assert_eq!(asked(&outcome).len(), 1);
        }
        let outcome = refused(Job::github()).env("EQUINIX_WIF_PROJECT_ID", PROJECT).run();
        outcome.fails(6, "sts-scope-denied").stderr_has("may ask for:");
        let outcome = refused(signed(Job::github()))
            .command("doctor")
            .args(["--exchange", "--project-id", PROJECT])
            .run();
        outcome.require(outcome.status == Some(6), "the exit status is 6");
        assert!(outcome.stdout.contains("may ask for"), "{}", outcome.stdout);
    }

    #[test]
    fn nobody_asks_without_a_project_or_after_a_success() {
        let outcome = refused(Job::github()).run();
        outcome.fails(6, "sts-scope-denied").sts_requests(1);
        outcome.stderr_lacks("may ask for");
        let outcome = Job::github().args(["--project-id", PROJECT]).run();
        outcome.succeeds().sts_requests(1).id_token_requests(1);
    }

    #[test]
    fn a_list_that_fails_too_does_not_hide_the_refusal() {
        let job = Job::github()
            .sts_with(|request| {
                Some(match request.path() {
                    "/use/token" => sts_error("invalid_scope", "not granted"),
                    _ => Reply::status(403),
                })
            })
            .args(["--project-id", PROJECT]);
        let outcome = job.run();
        outcome.fails(6, "sts-scope-denied").stderr_has("the list could not be obtained");
    }
}
