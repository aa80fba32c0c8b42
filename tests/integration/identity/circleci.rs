//! The main job on CircleCI: two ready tokens, whose subject names a user, and the file that later steps read.

#![cfg(unix)]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use support::job::{AUDIENCE, Job, World, sts_error};
use support::outcome::Outcome;
use support::ready::{claim, fails, knows_its_issuer, knows_its_run, refuses_what_is_wrong, works};

/// A job as CircleCI starts it.
static WORLD: World = World {
    token: Some("CIRCLE_OIDC_TOKEN_V2"),
    variables: &[
        ("CI", "true"),
        ("CIRCLECI", "true"),
        ("CIRCLE_ORGANIZATION_ID", "5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11"),
        ("CIRCLE_PROJECT_ID", "936a5312-a3b8-4921-8b3f-2cec8baac574"),
        ("CIRCLE_PIPELINE_ID", "c0ffee00-2b1d-4b8e-8f0a-8a4f5a1c9d21"),
        ("CIRCLE_WORKFLOW_ID", "7d1c2b3a-9a60-4a5d-b1de-3f6f5c4e8b10"),
        ("BASH_ENV", "{root}/tmp/.bash_env-7d1c2b3a-0-build"),
    ],
    sink: Some(FILE),
    issuer: "https://oidc.circleci.com/org/5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11",
    claims: r#"{
        "sub": "org/5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11/project/936a5312-a3b8-4921-8b3f-2cec8baac574/user/b4a0d5f2-1111-4c3d-8e2f-7a6b5c4d3e2f/vcs-origin/github.com/octo-org/metal-app/vcs-ref/refs/heads/main",
        "oidc.circleci.com/project-id": "936a5312-a3b8-4921-8b3f-2cec8baac574",
        "oidc.circleci.com/pipeline-id": "c0ffee00-2b1d-4b8e-8f0a-8a4f5a1c9d21",
        "oidc.circleci.com/workflow-id": "7d1c2b3a-9a60-4a5d-b1de-3f6f5c4e8b10",
        "oidc.circleci.com/vcs-origin": "github.com/octo-org/metal-app",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/context-ids": ["e2f1a0b9-2222-4d3c-9b8a-1c2d3e4f5a6b"],
        "oidc.circleci.com/ssh-rerun": false
    }"#,
};

const FILE: &str = "tmp/.bash_env-7d1c2b3a-0-build";
const CHANGES: &str =
    "the subject changes from run to run, since it holds the id of the user who caused the run";

fn job() -> Job {
    Job::of(&WORLD)
}

#[test]
fn the_token_is_left_where_later_steps_read_it() {
    let outcome = works(job(), "circleci");
    outcome.stdout_is("");
    let file = outcome.root().join(FILE);
    let text = String::from_utf8(outcome.files[&file].clone()).unwrap();
    let expected = format!("export EQUINIX_API_TOKEN='{}';\n", outcome.access_token());
    assert!(
        text.starts_with(&expected) && text.contains("\nexport EQUINIX_API_TOKEN_EXPIRES_AT='"),
        "{text}"
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn bash_reads_the_token_in_the_next_step() {
    let next = r#"equinix-wif "$@" && bash -c 'test -n "$EQUINIX_API_TOKEN" && test "$BEFORE" = yes && echo "it is there"'"#;
    let outcome = job().file(FILE, "export BEFORE=yes").wrap_shell(["sh", "-c", next]).run();
    outcome.succeeds().stdout_is("it is there\n").sts_requests(1);
}

#[test]
fn a_file_that_is_none_is_refused_before_the_exchange() {
    fails(job().unset("BASH_ENV"), 9, "out-runner-file-missing").stderr_has("BASH_ENV is not set");
    fails(job().env("BASH_ENV", "/"), 9, "out-open");
    fails(job().args(["--output", "x"]), 2, "cfg-value-invalid").stderr_has("BASH_ENV");
    let job = job();
    std::os::unix::fs::symlink(job.root().join("elsewhere"), job.root().join(FILE)).unwrap();
    fails(job, 10, "out-symlink");
}

#[test]
fn the_newer_token_is_preferred() {
    let older = claim(job(), "sub", "org/o/project/p/user/u").mint();
    let outcome = job().env("CIRCLE_OIDC_TOKEN", &older).run();
    outcome.succeeds();
    assert_ne!(outcome.sts.requests[0].form_value("subject_token"), Some(older.clone()));
    let outcome = job().unset("CIRCLE_OIDC_TOKEN_V2").env("CIRCLE_OIDC_TOKEN", &older).run();
    outcome.succeeds();
    assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(older));
}

#[test]
fn a_token_of_the_cli_is_named_by_its_variable() {
    let job = job();
    let token = job.mint();
    let outcome = job
        .unset("CIRCLE_OIDC_TOKEN_V2")
        .env("METAL_TOKEN", &token)
        .args(["--subject-token-env", "METAL_TOKEN"]);
    let outcome = works(outcome, "circleci");
    assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
    for variable in ["EQUINIX_WIF_SUBJECT_TOKEN", "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"] {
        println!("case: {variable}");
        let (job, token) = (self::job(), self::job().mint());
        let outcome = works(job.env(variable, &token), "circleci");
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
    }
}

/// The audience of the ready tokens.
const ORGANIZATION: &str = "5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11";

/// CircleCI's program, but for its command for ID tokens.
fn circleci(lines: &str) -> String {
    format!(
        r#"printf '%s\n' "$@" > "$here/calls"
        env | sed 's/=.*//' | sort > "$here/environment"
        case "$1 $2 $3 $4" in "run oidc get --claims") {lines} ;; *) exit 64 ;; esac"#
    )
}

/// A job whose ready token is for the organization, while another audience is wanted.
fn with_program(lines: &str) -> Job {
    let ready = claim(job(), "aud", ORGANIZATION).mint();
    job().env("CIRCLE_OIDC_TOKEN_V2", ready).helper("circleci", lines)
}

fn note(outcome: &Outcome, name: &str) -> String {
    let file = outcome.files.iter().find(|(path, _)| path.ends_with(Path::new("agent").join(name)));
    file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

#[test]
fn another_audience_is_asked_for_with_circleci_s_program() {
    let outcome =
        with_program(&circleci(r#"cat "$here/token""#)).env("CIRCLE_JOB_SOCKET", "x").env("HOME", "/root");
    let outcome =
        outcome.env("EQUINIX_API_CLIENTSECRET", "a-long-lived-secret").secret("a-long-lived-secret").run();
    outcome.succeeds().sts_requests(1).stdout_is("");
    let calls = note(&outcome, "calls");
    let calls: Vec<&str> = calls.lines().collect();
    let (claims, words) = calls.split_last().unwrap();
    assert_eq!(words, ["run", "oidc", "get", "--claims"]);
    assert_eq!(serde_json::from_str::<Value>(claims).unwrap(), json!({"aud": AUDIENCE}));
    let names = note(&outcome, "environment");
    for name in ["CIRCLECI", "CIRCLE_JOB_SOCKET", "CIRCLE_OIDC_TOKEN_V2", "HOME", "PATH"] {
        assert!(names.lines().any(|found| found == name), "{name} in {names}");
    }
    for name in ["EQUINIX_API_CLIENTSECRET", "BASH_ENV", "CI"] {
        assert!(!names.lines().any(|found| found == name), "{name} in {names}");
    }
    outcome.stderr_has(&format!("warning: {CHANGES}"));
}

#[test]
fn the_program_is_left_alone_where_the_token_fits_or_is_named() {
    let fits = job().helper("circleci", &circleci("exit 1"));
    let unasked = with_program(&circleci("exit 1")).without_flag("--audience");
    let named = job().mint();
    let other = with_program(&circleci("exit 1"))
        .env("METAL_TOKEN", &named)
        .args(["--subject-token-env", "METAL_TOKEN"]);
    let own = with_program(&circleci("exit 1")).env("EQUINIX_WIF_SUBJECT_TOKEN", &named);
    for job in [fits, unasked, other, own] {
        let outcome = job.run();
        outcome.succeeds();
        assert_eq!(note(&outcome, "calls"), "");
    }
    // A token that is named is held against the audience as it is.
    let named = claim(job(), "aud", ORGANIZATION).mint();
    fails_early(with_program(&circleci("exit 1")).env("EQUINIX_WIF_SUBJECT_TOKEN", named), 5, "claim-aud");
}

#[track_caller]
fn fails_early(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    outcome
}

#[test]
fn each_failure_of_the_program_has_its_code() {
    let flood = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    for (lines, exit, code, text) in [
        (
            "echo 'not in a job' >&2; exit 1",
            4,
            "id-token-helper",
            "circleci gave no ID token: it ended with 1 and said",
        ),
        ("exit 0", 4, "id-token-malformed", "is empty"),
        ("echo token", 4, "id-token-malformed", "dot-separated parts"),
        (flood, 4, "id-token-too-large", "wrote more than"),
        ("printf '\\377'", 4, "id-token-malformed", "no text"),
    ] {
        println!("case: {lines}");
        fails_early(with_program(lines), exit, code).stderr_has(text);
    }
    let slow = with_program("sleep 60").args(["--timeout", "2"]);
    fails_early(slow, 8, "deadline").stderr_has("did not end in time");
    // Also the program's token is held against everything.
    let other = r#"printf %s "$CIRCLE_OIDC_TOKEN_V2""#;
    fails_early(with_program(other), 5, "claim-aud").stderr_has(AUDIENCE);
}

#[test]
fn without_the_program_the_audience_is_what_is_wrong() {
    let ready = claim(job(), "aud", ORGANIZATION).mint();
    let outcome = fails(job().env("CIRCLE_OIDC_TOKEN_V2", ready), 5, "claim-aud");
    outcome.stderr_has(ORGANIZATION);
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    refuses_what_is_wrong(&WORLD, "Pass secrets to builds from forked pull requests");
    knows_its_issuer(&WORLD);
    knows_its_run(
        &WORLD,
        &[
            ("oidc.circleci.com/project-id", "CIRCLE_PROJECT_ID"),
            ("oidc.circleci.com/pipeline-id", "CIRCLE_PIPELINE_ID"),
            ("oidc.circleci.com/workflow-id", "CIRCLE_WORKFLOW_ID"),
        ],
    );
}

#[test]
fn a_run_with_ssh_is_warned_of() {
    let rerun = || claim(job(), "oidc.circleci.com/ssh-rerun", true);
    rerun().run().succeeds().stderr_has("warning: the ID token says oidc.circleci.com/ssh-rerun");
    fails(rerun().args(["--validation", "strict"]), 5, "claim-debug-job");
    job().run().succeeds().stderr_lacks("ssh-rerun");
}

#[test]
fn a_subject_with_a_user_is_told_with_its_cure() {
    let outcome = job().run();
    outcome.succeeds().stderr_has(&format!("warning: {CHANGES}")).stderr_has("groupMembershipClaim");
    for error in ["access_denied", "invalid_grant", "invalid_request"] {
        println!("case: {error}");
        let outcome = job().sts_reply(sts_error(error, "no")).run();
        outcome.fails(6, "sts-denied");
        let (_, told) = outcome.stderr.split_once("error[sts-denied]").unwrap();
        let (first, rest) = told.split_once('\n').map(|(_, rest)| rest.split_once('\n').unwrap()).unwrap();
        assert!(first.contains("cause:") && first.contains(CHANGES), "{told}");
        assert!(rest.contains("hint: Use a context of CircleCI in the job"), "{told}");
    }
    let outcome = job().sts_reply(sts_error("invalid_scope", "no")).run();
    outcome.fails(6, "sts-scope-denied").stderr_lacks("cause:");
}

#[test]
fn inspect_shows_groups_in_place_of_a_principal() {
    let inspect = || Job::of(&WORLD).command("inspect").without_flag("--sts-endpoint");
    let outcome = inspect().run();
    outcome.succeeds().sts_requests(0);
    assert!(outcome.stdout.contains(&format!("2 principal   none: {CHANGES}")), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("principal:<"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains(r#""groupMembershipClaim":"oidc.circleci.com/context-ids""#));
    let outcome = inspect().args(["--format", "json"]).run();
    let found: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(found["equinix"]["principal"], Value::Null);
    assert_eq!(found["equinix"]["requests"].as_array().unwrap().len(), 1, "nothing can be granted");
    assert_eq!(found["subject_changes"]["part"], "the id of the user who caused the run");
    assert!(found["subject_changes"]["hint"].as_str().unwrap().starts_with("Use a context"));
}
