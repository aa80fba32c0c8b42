//! The main job on Bitbucket Pipelines: a ready token, whose subject no grant can match tomorrow.

#![cfg(unix)]

use crate::support;

use serde_json::Value;

use support::job::{Job, World, sts_error};
use support::ready::{knows_its_issuer, knows_its_run, refuses_what_is_wrong, works};

/// A step as Bitbucket starts it, with `oidc:` in its YAML.
static WORLD: World = World {
    token: Some("BITBUCKET_STEP_OIDC_TOKEN"),
    variables: &[
        ("CI", "true"),
        ("BITBUCKET_BUILD_NUMBER", "318"),
        ("BITBUCKET_WORKSPACE", "octo-org"),
        ("BITBUCKET_STEP_UUID", "{4b2d9f10-3333-4f5e-8a7b-9c8d7e6f5a4b}"),
        ("BITBUCKET_REPO_UUID", "{936a5312-a3b8-4921-8b3f-2cec8baac574}"),
        ("BITBUCKET_CLONE_DIR", "{root}/builds/octo-org/metal-app"),
    ],
    sink: None,
    issuer: "https://api.bitbucket.org/2.0/workspaces/octo-org/pipelines-config/identity/oidc",
    claims: r#"{
        "sub": "{936a5312-a3b8-4921-8b3f-2cec8baac574}:{4b2d9f10-3333-4f5e-8a7b-9c8d7e6f5a4b}",
        "accountUuid": "{b4a0d5f2-1111-4c3d-8e2f-7a6b5c4d3e2f}",
        "workspaceUuid": "{5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11}",
        "repositoryUuid": "{936a5312-a3b8-4921-8b3f-2cec8baac574}",
        "pipelineUuid": "{c0ffee00-2b1d-4b8e-8f0a-8a4f5a1c9d21}",
        "stepUuid": "{4b2d9f10-3333-4f5e-8a7b-9c8d7e6f5a4b}",
        "branchName": "main"
    }"#,
};

const CHANGES: &str = "the subject changes from run to run, since it holds the id of the step; Equinix compares the whole subject, so no grant can match it in another run";

#[test]
fn the_token_is_in_a_file_whose_path_is_printed() {
    let outcome = works(Job::of(&WORLD), "bitbucket");
    assert!(outcome.printed_path().is_some(), "{}", outcome.context());
    let report = outcome.report.as_ref().unwrap();
    assert_eq!(report["claims"]["branchName"], "main");
    assert_eq!(report["claims"].get("accountUuid"), None);
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    refuses_what_is_wrong(&WORLD, "oidc:");
    knows_its_issuer(&WORLD);
    knows_its_run(&WORLD, &[("stepUuid", "BITBUCKET_STEP_UUID"), ("repositoryUuid", "BITBUCKET_REPO_UUID")]);
}

#[test]
fn a_token_for_several_audiences_is_accepted_with_a_warning() {
    let several = || {
        Job::of(&WORLD).claims(|claims| {
            let own = claims["aud"].clone();
            claims.insert("aud".to_owned(), vec![own, "other".into()].into());
        })
    };
    several().run().succeeds().stderr_has("2 audiences at once");
    several().args(["--validation", "strict"]).run().fails(5, "claim-aud");
}

#[test]
fn nobody_is_told_to_grant_to_a_step() {
    Job::of(&WORLD).run().succeeds().stderr_has(&format!("warning: {CHANGES}\n"));
    let outcome = Job::of(&WORLD).sts_reply(sts_error("access_denied", "no")).run();
    outcome.fails(6, "sts-denied").stderr_has(&format!("cause:    {CHANGES}"));
    outcome.stderr_has("hint: There is no way to grant anything to jobs of this platform yet");
    let inspect = || Job::of(&WORLD).command("inspect").without_flag("--sts-endpoint");
    let outcome = inspect().run();
    outcome.succeeds();
    assert!(outcome.stdout.contains(&format!("2 principal   none: {CHANGES}")), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("3 grant       none\n") && !outcome.stdout.contains("principal:<"));
    let found: Value = serde_json::from_str(&inspect().args(["--format", "json"]).run().stdout).unwrap();
    assert_eq!(found["equinix"]["principal"], Value::Null);
    assert_eq!(found["subject_changes"]["message"], CHANGES);
}
