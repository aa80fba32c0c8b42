//! What a refusal of the STS tells an administrator: the values that the job presented, and what each has to be
//! compared with at Equinix.

use crate::support;

use serde_json::json;

use support::job::{AUDIENCE, Job, SCOPE, sts_error};
use support::outcome::Outcome;
use support::server::Reply;
use support::table::each;

/// A refused exchange: the values as presented stand on stderr, and the hint is the same there, in the report and (on
/// GitHub) in the annotation.
#[track_caller]
fn refused(job: Job, code: &str, subject: &str) -> String {
    let issuer = job.issuer();
    let outcome: Outcome = job.run();
    outcome.fails(6, code).sts_requests(1);
    for (label, value) in
        [("issuer: ", issuer.as_str()), ("audience:", AUDIENCE), ("subject: ", subject), ("scope: ", SCOPE)]
    {
        outcome.require(
            outcome.stderr.lines().any(|line| {
                line.trim_start().starts_with(label.trim_end()) && line.ends_with(&format!(" \"{value}\""))
            }),
            &format!("stderr shows {label} {value}"),
        );
    }
    let hint = outcome.report.as_ref().unwrap()["hint"].as_str().unwrap().to_owned();
    outcome.stderr_has(&format!("hint: {hint}"));
    hint
}

/// The errors with which an identity is not accepted name each comparison, in Equinix's order, and the provider's state.
#[test]
fn an_identity_that_is_not_accepted_is_compared_in_equinix_s_order() {
    let order = ["issuerLocation", "trustedClientIds", "principal of the grant", "scope with", "SUSPENDED"];
    let compared = |hint: &str| {
        let places: Vec<_> =
            order.iter().map(|word| hint.find(word).unwrap_or_else(|| panic!("{word}: {hint}"))).collect();
        assert!(places.is_sorted(), "{hint}");
    };
    let replies = [
        ("invalid_request", sts_error("invalid_request", "no")),
        ("invalid_grant", sts_error("invalid_grant", "no")),
        ("invalid_token", Reply::status(401).json_body(&json!({"error": "invalid_token"}))),
        ("access_denied", Reply::status(403).json_body(&json!({"error": "access_denied"}))),
        ("an error of its own", sts_error("principal_unknown", "no")),
        ("no error at all", Reply::status(400)),
    ];
    each(&replies, |reply| {
        let github = "repo:octo-org/metal-app:ref:refs/heads/main";
        compared(&refused(Job::github().sts_reply(reply.clone()), "sts-denied", github));
        let gitlab = "project_path:octo-org/metal-app:ref_type:branch:ref:main";
        compared(&refused(Job::gitlab().sts_reply(reply.clone()), "sts-denied", gitlab));
    });
}

/// What is wrong with the request and not with the identity: the error, its code, and what the hint names.
#[test]
fn other_refusals_name_what_they_are_about() {
    type Case = (u16, &'static str, &'static [&'static str]);
    let cases: [(&str, Case); 6] = [
        (
            "invalid_scope",
            (400, "sts-scope-denied", &["granted to exactly this subject", "ERN", "organization"]),
        ),
        ("invalid_target", (400, "sts-denied", &["ERN or id", "access policy or organization"])),
        ("invalid_client", (401, "sts-denied", &["--sts-endpoint", "limited availability"])),
        ("unauthorized_client", (400, "sts-denied", &["--sts-endpoint", "limited availability"])),
        ("unsupported_grant_type", (400, "sts-denied", &["--sts-endpoint", "--sts-api"])),
        ("unsupported_token_type", (400, "sts-denied", &["issuerLocation"])),
    ];
    each(&cases.map(|case| (case.0, case)), |(error, (status, code, words))| {
        let reply = Reply::status(*status).json_body(&json!({"error": error}));
        let subject = "project_path:octo-org/metal-app:ref_type:branch:ref:main";
        let hint = refused(Job::gitlab().sts_reply(reply), code, subject);
        for word in *words {
            assert!(hint.contains(word), "{word}: {hint}");
        }
    });
}

/// GitHub's two forms of a subject are the likeliest reason of all, so the other one is shown.
#[test]
fn a_subject_with_ids_is_told_beside_the_older_one() {
    let newer = "repo:octo-org@6520147/metal-app@741852963:ref:refs/heads/main";
    let job = Job::github().claims(move |claims| drop(claims.insert("sub".into(), json!(newer))));
    let outcome = job.sts_reply(sts_error("invalid_grant", "no grant")).run();
    outcome.fails(6, "sts-denied").stderr_has(newer).stderr_has(
        "if the grant was made for \"repo:octo-org/metal-app:ref:refs/heads/main\", it does not match",
    );
}

/// A warning is long gone by when the STS refuses, and an annotation never had it.
#[test]
fn a_scope_that_was_odd_is_told_again_with_the_refusal() {
    let job = Job::gitlab().without_flag("--scope").args(["--scope", "roleasignments:o"]);
    let outcome = job.sts_reply(sts_error("invalid_scope", "no such scope")).run();
    outcome.fails(6, "sts-scope-denied");
    let (_, error) = outcome.stderr.split_once("error[").unwrap();
    outcome.require(error.contains("did you mean roleassignments:?"), "the guess is part of the error");
}

/// A wrong path names the other version of the API in the words of the flag.
#[test]
fn a_wrong_path_names_the_other_version() {
    let mut cases = Vec::new();
    for status in [404, 405] {
        for (api, other) in [("alpha", "--sts-api v1 (/v1/token)"), ("v1", "--sts-api alpha (/use/token)")] {
            cases.push((format!("{status} {api}"), (status, api, other)));
        }
    }
    each(&cases, |(status, api, other)| {
        let job = Job::gitlab().args(["--sts-api", *api]).sts_always(Reply::status(*status));
        let subject = "project_path:octo-org/metal-app:ref_type:branch:ref:main";
        let hint = refused(job, "sts-endpoint-not-found", subject);
        assert!(hint.contains(other) && hint.contains("--sts-endpoint"), "{hint}");
    });
}
