//! The main job on Buildkite, whose agent's program makes ID tokens and hides values.

#![cfg(unix)]

use crate::support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use support::job::Job;
use support::outcome::Outcome;
use support::worlds::BUILDKITE_AGENT;

/// A failed run that asks nobody but the agent.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    outcome
}

/// The well-behaved agent, but for one of its calls.
fn agent(call: &str, lines: &str) -> String {
    format!("if [ \"$1\" = {call} ]; then {lines}\nfi\n{BUILDKITE_AGENT}")
}

fn notes(outcome: &Outcome, name: &str) -> String {
    let file = outcome.files.iter().find(|(path, _)| path.ends_with(Path::new("agent").join(name)));
    file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

#[test]
fn hands_the_token_over_in_a_file() {
    let outcome = Job::buildkite().tls().run();
    outcome.succeeds().sts_requests(1).id_token_requests(0);
    let file = outcome.printed_path().expect("the path of a file");
    assert!(fs::read_to_string(file).unwrap().contains(outcome.access_token()));
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], "buildkite");
    let calls = notes(&outcome, "calls");
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls[0], "oidc request-token --audience https://sts.eqix.equinix.example/metal");
    assert!(calls.len() >= 3 && calls[1..].iter().all(|call| *call == "redactor add"), "{calls:?}");
    outcome.stderr_lacks("::add-mask::");
}

#[test]
fn the_agent_gets_what_it_needs_and_no_more() {
    let job = Job::buildkite()
        .env("EQUINIX_API_CLIENTSECRET", "a-long-lived-secret")
        .env("HOME", "/home/octo")
        .env("NO_PROXY", "agent.buildkite.com")
        .env("BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM", "pipeline_id")
        .secret("a-long-lived-secret");
    let outcome = job.run();
    outcome.succeeds();
    let names = notes(&outcome, "environment");
    for name in [
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "BUILDKITE_AGENT_ENDPOINT",
        "BUILDKITE_AGENT_JOB_API_SOCKET",
        "BUILDKITE_AGENT_JOB_API_TOKEN",
        "BUILDKITE_JOB_ID",
        "BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM",
        "HOME",
        "NO_PROXY",
        "PATH",
    ] {
        assert!(names.lines().any(|found| found == name), "{name} in {names}");
    }
    for name in ["EQUINIX_API_CLIENTSECRET", "BUILDKITE_BRANCH", "CI"] {
        assert!(!names.lines().any(|found| found == name), "{name} in {names}");
    }
}

#[test]
fn a_subject_with_a_commit_is_warned_of_before_the_exchange() {
    let refused = Job::buildkite().sts_always(support::job::sts_error("access_denied", "no")).run();
    refused.fails(6, "sts-denied");
    refused.stderr_has("warning: the subject changes from run to run, since it holds the commit");
    let warning = refused.stderr.find("BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM").unwrap();
    assert!(warning < refused.stderr.find("error[").unwrap());
    let stable = Job::buildkite().claims(|claims| {
        claims.insert("sub".to_owned(), json!("0184990a-477b-4fa8-9968-496074483cee"));
    });
    stable.run().succeeds().stderr_lacks("commit");
    let inspected = Job::buildkite().command("inspect").without_flag("--sts-endpoint").run();
    inspected.succeeds();
    assert!(
        inspected.stdout.contains("organization_slug")
            && inspected.stdout.contains("since it holds the commit")
    );
}

#[test]
fn what_is_missing_is_told_before_anything_is_asked() {
    for name in ["BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_JOB_ID"] {
        let outcome = fails(Job::buildkite().unset(name), 3, "id-token-not-offered");
        outcome.stderr_has(&format!("{name} is not set")).stderr_has("propagate-environment");
        assert_eq!(notes(&outcome, "calls"), "");
    }
    let outcome = fails(Job::buildkite().without_flag("--audience"), 2, "cfg-audience-missing");
    assert_eq!(notes(&outcome, "calls"), "");
    let skipped = Job::buildkite().unset("BUILDKITE_JOB_ID").args(["--on-unavailable", "skip"]).run();
    skipped.succeeds().sts_requests(0);
}

#[test]
fn a_program_of_the_checkout_is_not_the_agent() {
    let planted = Job::buildkite().env("PATH", ".:/usr/bin:/bin");
    let place = planted.workspace().join("buildkite-agent");
    let planted = planted.file(&place, "#!/bin/sh\ntouch planted\n");
    fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let outcome = fails(planted, 3, "id-token-not-offered");
    outcome.stderr_has("buildkite-agent is in no folder of PATH");
    assert!(!outcome.files.keys().any(|path| path.ends_with("planted")));
}

#[test]
fn each_failure_of_the_agent_has_its_code() {
    let flood = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    for (lines, exit, code, text) in [
        (
            "echo 'fatal: no audience' >&2; exit 1",
            4,
            "id-token-helper",
            "ended with 1 and said \"fatal: no audience\"",
        ),
        (
            "printf '::error::x\\n\\033[31m' >&2; exit 2",
            4,
            "id-token-helper",
            "ended with 2 and said \": :error: :x",
        ),
        ("kill -9 $$", 4, "id-token-helper", "ended with 137"),
        (flood, 4, "id-token-too-large", "wrote more than 65536 bytes"),
        ("head -c 17000 /dev/zero | tr '\\0' x; exit", 4, "id-token-too-large", ""),
        ("exit 0", 4, "id-token-malformed", ""),
        ("echo '{\"token\":\"x\"}'; exit", 4, "id-token-malformed", ""),
        ("printf '\\377\\376'; exit", 4, "id-token-malformed", "no text"),
        ("cat \"$here/token\" \"$here/token\"; exit", 4, "id-token-malformed", ""),
    ] {
        println!("case: {lines}");
        fails(Job::buildkite().agent_script(&agent("oidc", lines)), exit, code).stderr_has(text);
    }
}

#[test]
fn an_agent_that_hangs_is_ended_with_the_time() {
    let lines = "echo $$ > \"$here/pid\"; sleep 60 & echo $! >> \"$here/pid\"; wait";
    let job = Job::buildkite().agent_script(&agent("oidc", lines)).args(["--timeout", "2"]);
    let outcome = fails(job, 8, "deadline");
    outcome.stderr_has("did not end in time").within(Duration::from_secs(3));
    #[cfg(target_os = "linux")]
    for pid in notes(&outcome, "pid").lines() {
        // Who has started it is gone, so it may still be there for whoever reaps orphans.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
}

#[test]
fn nothing_is_sent_or_handed_over_that_is_not_hidden() {
    for lines in ["echo 'no job API' >&2; exit 1", "exec <&-; exit 1", "kill -9 $$"] {
        println!("case: {lines}");
        fails(Job::buildkite().agent_script(&agent("redactor", lines)), 10, "mask-undeliverable");
    }
    // The ID token is hidden, and then the access token is not.
    let lines = "if test -e \"$here/redacted\"; then exit 1; fi";
    let outcome = Job::buildkite().agent_script(&agent("redactor", lines)).run();
    outcome.fails(10, "mask-undeliverable").sts_requests(1).stdout_is("");
}

#[test]
fn a_command_gets_the_token_and_not_the_agent_s() {
    let outcome = Job::buildkite()
        .exec(["sh", "-c", "test -n \"$EQUINIX_API_TOKEN\" && test -z \"$BUILDKITE_AGENT_ACCESS_TOKEN\""])
        .run();
    outcome.succeeds();
}

#[test]
fn another_identity_in_a_buildkite_job_is_hidden_there_too() {
    let job = Job::buildkite();
    let token = job.mint();
    let outcome = job.env("EQUINIX_WIF_SUBJECT_TOKEN", token).args(["--provider", "env"]).run();
    outcome.succeeds();
    assert!(notes(&outcome, "calls").lines().all(|call| call == "redactor add"));
}
