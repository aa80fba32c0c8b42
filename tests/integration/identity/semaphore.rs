//! The main job on Semaphore: a ready token, whose audience is the organization's address.

#![cfg(unix)]

use crate::support;

use support::job::{Job, World};
use support::ready::{claim, fails, knows_its_issuer, knows_its_run, refuses_what_is_wrong, works};

/// A job as Semaphore starts it.
static WORLD: World = World {
    token: Some("SEMAPHORE_OIDC_TOKEN"),
    variables: &[
        ("CI", "true"),
        ("SEMAPHORE", "true"),
        ("SEMAPHORE_ORGANIZATION_URL", "https://octo-org.semaphoreci.com"),
        ("SEMAPHORE_PROJECT_ID", "936a5312-a3b8-4921-8b3f-2cec8baac574"),
        ("SEMAPHORE_WORKFLOW_ID", "65c9bb1c-aeb6-41f0-b8d9-6fa177241cdf"),
        ("SEMAPHORE_JOB_ID", "a26d42cf-89ac-4c3f-9e2d-51bb231897bf"),
    ],
    sink: None,
    issuer: "https://octo-org.semaphoreci.com",
    claims: r#"{
        "sub": "org:octo-org:project:936a5312-a3b8-4921-8b3f-2cec8baac574:repo:metal-app:ref_type:branch:ref:refs/heads/main",
        "org": "octo-org",
        "prj": "metal-app",
        "prj_id": "936a5312-a3b8-4921-8b3f-2cec8baac574",
        "repo": "metal-app",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "wf_id": "65c9bb1c-aeb6-41f0-b8d9-6fa177241cdf",
        "ppl_id": "c0ffee00-2b1d-4b8e-8f0a-8a4f5a1c9d21",
        "job_id": "a26d42cf-89ac-4c3f-9e2d-51bb231897bf",
        "job_type": "pipeline_job"
    }"#,
};

#[test]
fn the_token_is_in_a_file_whose_path_is_printed() {
    let outcome = works(Job::of(&WORLD), "semaphore");
    assert!(outcome.printed_path().is_some(), "{}", outcome.context());
    outcome.stderr_lacks("changes from run to run");
    // What the platform gives by default.
    let own = "https://octo-org.semaphoreci.com";
    works(claim(Job::of(&WORLD), "aud", own).audience(own), "semaphore");
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    refuses_what_is_wrong(&WORLD, "docker run needs -e SEMAPHORE_OIDC_TOKEN");
    knows_its_issuer(&WORLD);
    knows_its_run(
        &WORLD,
        &[
            ("prj_id", "SEMAPHORE_PROJECT_ID"),
            ("wf_id", "SEMAPHORE_WORKFLOW_ID"),
            ("job_id", "SEMAPHORE_JOB_ID"),
        ],
    );
}

#[test]
fn a_debug_session_is_warned_of() {
    for kind in ["debug_job", "project_debug_job"] {
        println!("case: {kind}");
        let session = || claim(Job::of(&WORLD), "job_type", kind);
        session().run().succeeds().stderr_has(&format!("the ID token says job_type \"{kind}\""));
        fails(session().args(["--validation", "strict"]), 5, "claim-debug-job");
    }
    Job::of(&WORLD).run().succeeds().stderr_lacks("debug session");
}
