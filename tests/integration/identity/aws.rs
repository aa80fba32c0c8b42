//! The main job on AWS, whose own program asks the STS of AWS for ID tokens.

#![cfg(unix)]

use crate::support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use support::job::{AUDIENCE, Job};
use support::outcome::Outcome;
use support::worlds::AWS;

/// A failed run that asks nobody but the program.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    outcome
}

fn notes(outcome: &Outcome, name: &str) -> Vec<String> {
    let file = outcome.files.iter().find(|(path, _)| path.ends_with(Path::new("agent").join(name)));
    let text = file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn hands_the_token_over_in_a_file() {
    let outcome = Job::aws().tls().run();
    outcome.succeeds().sts_requests(1);
    let file = outcome.printed_path().expect("the path of a file");
    assert!(fs::read_to_string(file).unwrap().contains(outcome.access_token()));
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], "aws");
    outcome.stderr_lacks("changes from run to run");
    let calls = notes(&outcome, "calls");
    let (input, flags) = calls.split_last().unwrap();
    let region = ["--region", "eu-central-1", "--cli-input-json"];
    assert_eq!(flags, [&["sts", "get-web-identity-token", "--output", "json"][..], &region].concat());
    let input: Value = serde_json::from_str(input).unwrap();
    assert_eq!(input, json!({"Audience": [AUDIENCE], "SigningAlgorithm": "RS256"}));
}

#[test]
fn any_audience_stays_one_argument() {
    for audience in ["--debug", "file:///etc/passwd", "a \"b\" 'c' $(d)", "[\"x\"]"] {
        println!("case: {audience}");
        let outcome = Job::aws().audience(audience).without_flag("--audience");
        let outcome = outcome.args([format!("--audience={audience}")]).run();
        outcome.succeeds();
        let input: Value = serde_json::from_str(notes(&outcome, "calls").last().unwrap()).unwrap();
        assert_eq!(input["Audience"], json!([audience]));
    }
}

#[test]
fn the_program_gets_what_is_aws_s_and_no_more() {
    let job = Job::aws()
        .env("EQUINIX_API_CLIENTSECRET", "a-long-lived-secret")
        .env("HOME", "/home/octo")
        .env("AWS_PROFILE", "deploy")
        .env("AWS_SECRET_ACCESS_KEY", "the-secret-access-key")
        .secret("a-long-lived-secret")
        .secret("the-secret-access-key");
    let outcome = job.run();
    outcome.succeeds();
    let names = notes(&outcome, "environment");
    for name in [
        "AWS_REGION",
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "HOME",
        "PATH",
    ] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    for name in ["EQUINIX_API_CLIENTSECRET", "CODEBUILD_BUILD_ID"] {
        assert!(!names.iter().any(|found| found == name), "{name} in {names:?}");
    }
}

#[test]
fn a_region_that_is_none_is_not_handed_on() {
    let outcome = Job::aws().env("AWS_REGION", "--endpoint-url=https://evil.example").run();
    outcome.succeeds();
    assert!(
        !notes(&outcome, "calls")
            .iter()
            .any(|argument| argument.contains("region") || argument.contains("evil"))
    );
}

#[test]
fn it_is_only_ever_chosen() {
    let outcome = Job::of(&AWS).run();
    outcome.fails(3, "ambient-not-ci").sts_requests(0);
    let inside = Job::gitlab().env("AWS_REGION", "eu-central-1").run();
    inside.succeeds();
    assert_eq!(inside.report.as_ref().unwrap()["provider"], "gitlab");
}

#[test]
fn what_is_missing_is_told_before_anything_is_asked() {
    let outcome = fails(Job::aws().env("PATH", ".:/usr/bin:/bin"), 3, "id-token-not-offered");
    outcome.stderr_has("aws is in no folder of PATH").stderr_has("Install AWS's command line program");
    let outcome = fails(Job::aws().without_flag("--audience"), 2, "cfg-audience-missing");
    outcome.stderr_has("AWS needs one");
    assert!(notes(&outcome, "calls").is_empty());
    let skipped = Job::aws().env("PATH", "/usr/bin:/bin").args(["--on-unavailable", "skip"]).run();
    skipped.succeeds().sts_requests(0);
}

#[test]
fn each_failure_of_the_program_has_its_code_and_its_cure() {
    let says = |words: &str, status: u8| format!("echo \"{words}\" >&2; exit {status}");
    for (lines, exit, code, text) in [
        (says("Unable to locate credentials.", 253), 3, "id-token-not-offered", "Give the job a role"),
        (says("You must specify a region.", 253), 4, "id-token-helper", "Set AWS_REGION"),
        (
            says("An error occurred (OutboundWebIdentityFederationDisabled) when calling", 254),
            4,
            "id-token-helper",
            "aws iam enable-outbound-web-identity-federation",
        ),
        (
            says("An error occurred (AccessDenied) when calling", 254),
            4,
            "id-token-helper",
            "sts:GetWebIdentityToken",
        ),
        (
            says("argument operation: Invalid choice, valid choices are:", 252),
            4,
            "id-token-helper",
            "Install AWS's",
        ),
        (says("::error::x", 1), 4, "id-token-helper", "ended with 1 and said \": :error: :x\""),
        ("kill -9 $$".to_owned(), 4, "id-token-helper", "ended with 137"),
        ("exit 0".to_owned(), 4, "id-token-not-json", "aws answered with 0 bytes"),
        ("cat \"$here/token\"".to_owned(), 4, "id-token-not-json", "aws answered with"),
        (
            "echo '{\"WebIdentityToken\": null}'".to_owned(),
            4,
            "id-token-malformed",
            "its WebIdentityToken is null",
        ),
        ("echo '{\"WebIdentityToken\": \"x\"}'".to_owned(), 4, "id-token-malformed", "dot-separated parts"),
    ] {
        println!("case: {lines}");
        fails(Job::aws().agent_script(&lines), exit, code).stderr_has(text);
    }
}

#[test]
fn a_program_that_hangs_is_ended_with_the_time() {
    let job = Job::aws().agent_script("sleep 60").args(["--timeout", "2"]);
    fails(job, 8, "deadline").stderr_has("did not end in time").within(Duration::from_secs(3));
}

#[test]
fn a_token_for_somebody_else_is_not_sent() {
    let answer = r#"printf '{"WebIdentityToken": "%s"}' "$(cat "$here/token")""#;
    let other = Job::aws().agent_script(answer).claims(|claims| {
        claims.insert("aud".to_owned(), json!("https://other.example"));
    });
    fails(other, 5, "claim-aud");
}

#[test]
fn inspect_names_the_role_and_no_person() {
    let outcome = Job::aws().command("inspect").without_flag("--sts-endpoint").run();
    outcome.succeeds();
    let text = &outcome.stdout;
    assert!(
        text.contains("AWS (aws)") && text.contains("arn:aws:iam::123456789012:role/MetalDeployer"),
        "{text}"
    );
    assert!(!text.contains("user-4711"), "{text}");
}

/// Without them the command could not work with AWS.
#[test]
fn a_command_gets_the_token_and_keeps_aws_s_credentials() {
    let script = "test -n \"$EQUINIX_API_TOKEN\" && test -n \"$AWS_CONTAINER_AUTHORIZATION_TOKEN\"";
    Job::aws().exec(["sh", "-c", script]).run().succeeds().stdout_is("");
}
