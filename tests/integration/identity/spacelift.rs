//! The main job in a run of Spacelift: a ready token, and two principals.

#![cfg(unix)]

use crate::support;

use serde_json::Value;

use support::job::{Job, World};
use support::ready::{claim, knows_its_run, refuses_what_is_wrong, works};

/// A hook before the plan of a stack.
static WORLD: World = World {
    token: Some("SPACELIFT_OIDC_TOKEN"),
    variables: &[
        ("TF_VAR_spacelift_run_id", "01HZX3M9K2T4V6W8Y0B1C2D3E4"),
        ("TF_VAR_spacelift_stack_id", "octo-stack"),
    ],
    sink: None,
    issuer: "https://octo-org.app.spacelift.io",
    claims: r#"{
        "sub": "space:root:stack:octo-stack:run_type:TRACKED:scope:read",
        "nbf": 1700000000,
        "spaceId": "root",
        "callerType": "stack",
        "callerId": "octo-stack",
        "runType": "TRACKED",
        "runId": "01HZX3M9K2T4V6W8Y0B1C2D3E4",
        "scope": "read"
    }"#,
};

#[test]
fn the_token_is_in_a_file_whose_path_is_printed() {
    let outcome = works(Job::of(&WORLD), "spacelift");
    assert!(outcome.printed_path().is_some(), "{}", outcome.context());
    outcome.stderr_lacks("changes from run to run");
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    refuses_what_is_wrong(&WORLD, "--subject-token-file /mnt/workspace/spacelift.oidc");
    knows_its_run(&WORLD, &[("runId", "TF_VAR_spacelift_run_id")]);
}

#[test]
fn inspect_shows_the_principals_of_both_scopes() {
    let subject = |scope: &str| format!("space:root:stack:octo-stack:run_type:TRACKED:scope:{scope}");
    for (own, other) in [("read", "write"), ("write", "read")] {
        let job =
            claim(Job::of(&WORLD), "sub", subject(own)).command("inspect").without_flag("--sts-endpoint");
        let found: Value = serde_json::from_str(&job.args(["--format", "json"]).run().stdout).unwrap();
        assert!(found["equinix"]["principal"].as_str().unwrap().ends_with(&subject(own)));
        let more = found["equinix"]["morePrincipals"][0]["principal"].as_str().unwrap();
        assert!(more.ends_with(&subject(other)), "{more}");
    }
    // A template of the account makes other subjects, of which nothing is known.
    let job =
        claim(Job::of(&WORLD), "sub", "stack/octo-stack").command("inspect").without_flag("--sts-endpoint");
    let found: Value = serde_json::from_str(&job.args(["--format", "json"]).run().stdout).unwrap();
    assert_eq!(found["equinix"].get("morePrincipals"), None);
}
