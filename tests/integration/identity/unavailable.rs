//! `--on-unavailable skip`: a job that can have no ID token goes on without one, and every other failure stays one.

use crate::support;

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use support::job::{Job, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::server::Reply;
use support::table::each;

type Prepare = fn(Job) -> Job;
type Make = fn() -> Job;
/// A code, a job, a reason and a command.
type Case = (&'static str, Make, &'static str, &'static str);

/// Each code of exit class 3: a job that ends with it, and the reason.
const CASES: [(&str, Make, &str); 13] = [
    ("gh-id-token-permission", || Job::github().without_id_token_permission(), "missing-permission"),
    // In a reusable workflow too, whose caller has to grant it.
    (
        "gh-id-token-permission",
        || Job::github().without_id_token_permission().event("workflow_call", json!({})),
        "missing-permission",
    ),
    ("gh-fork-pr", || Job::github().without_id_token_permission().pull_request(true), "fork-pull-request"),
    (
        "gh-fork-pr",
        || {
            let deleted = json!({"pull_request": {"head": {"repo": null}, "base": {"repo": {"id": 1}}}});
            Job::github().without_id_token_permission().event("pull_request", deleted)
        },
        "fork-pull-request",
    ),
    (
        "gh-id-token-permission",
        || Job::github().without_id_token_permission().pull_request(false),
        "missing-permission",
    ),
    (
        "gh-dependabot",
        || Job::github().without_id_token_permission().env("GITHUB_ACTOR", "dependabot[bot]"),
        "dependabot",
    ),
    ("gh-request-incomplete", || Job::github().unset("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "incomplete-request"),
    ("ambient-not-ci", Job::bare, "not-ci"),
    ("gl-id-tokens-missing", || Job::gitlab().unset(SUBJECT_TOKEN), "missing-id-token"),
    ("token-env-empty", || Job::bare().args(["--subject-token-env", "MY_TOKEN"]), "missing-id-token"),
    ("token-env-unexpanded", || Job::gitlab().env(SUBJECT_TOKEN, "$OTHER"), "unexpanded-variable"),
    ("token-env-padded", || Job::gitlab().env(SUBJECT_TOKEN, " a.b.c"), "altered-token"),
    (
        "token-file-unreadable",
        || Job::bare().args(["--subject-token-file", "no-such-file"]),
        "unreadable-file",
    ),
];

/// `id-token` has no use for what is exchanged.
fn command(job: Job, command: &str) -> Job {
    match command {
        "id-token" => job.command(command).without_flag("--scope").without_flag("--sts-endpoint"),
        "exec" => job.exec(["sh", "-c", ">mark"]),
        _ => job.command(command),
    }
}

fn cases() -> Vec<(String, Case)> {
    let all = CASES.iter().flat_map(|(code, job, reason)| {
        ["token", "id-token", "exec"].map(|command| (*code, *job, *reason, command))
    });
    all.map(|case| (format!("{} {}", case.3, case.0), case)).collect()
}

/// The run ended well, said why there is no token, and asked nobody for anything.
#[track_caller]
fn is_skipped(outcome: &Outcome, code: &str, reason: &str) {
    outcome.succeeds().sts_requests(0).id_token_requests(0);
    outcome.stderr_has(&format!("warning: no token ({reason}): ")).stderr_has(&format!("[{code}]"));
    let report = outcome.report.as_ref().unwrap();
    assert_eq!((&report["available"], &report["reason"]), (&json!(false), &json!(reason)));
    let last = report["warnings"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(last.starts_with(&format!("no token ({reason}): ")), "{last}");
    assert_eq!(report["expires_at"], Value::Null);
}

#[test]
fn every_job_without_an_identity_goes_on_and_learns_why() {
    assert_eq!(cases().len(), 39);
    each(&cases(), |(code, job, reason, name)| {
        let outcome = command(job().args(["--on-unavailable", "skip"]), name).run();
        is_skipped(&outcome, code, reason);
        let mark = outcome.files.keys().any(|path| path.ends_with("mark"));
        outcome.require(!mark, "a command is not run");
        if outcome.output_file.is_some() {
            let expected = [("available", "false"), ("reason", reason)];
            let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            assert_eq!(outcome.outputs(), expected);
            outcome.stdout_is("");
            assert_eq!(outcome.env_file.as_deref(), Some(&b""[..]));
        }
    });
}

#[test]
fn without_the_choice_each_of_them_fails() {
    each(&cases(), |(code, job, _, name)| {
        for args in [&[][..], &["--on-unavailable", "fail"]] {
            let outcome = command(job().args(args.iter().copied()), name).run();
            outcome.fails(if *name == "exec" { 125 } else { 3 }, code).sts_requests(0);
            assert_eq!(outcome.report.as_ref().unwrap()["available"], Value::Null);
            if outcome.output_file.is_some() {
                assert_eq!(outcome.reported_error_code().as_deref(), Some(*code));
            }
        }
    });
}

#[test]
fn no_other_failure_is_skipped() {
    let cases: [(&str, (Prepare, i32)); 11] = [
        ("cfg-value-invalid", (|job| job.args(["--timeout", "soon"]), 2)),
        ("cfg-audience-missing", (|job| job.without_flag("--audience"), 2)),
        ("id-token-http", (|job| job.id_token_always(Reply::status(403)), 4)),
        ("id-token-malformed", (|job| job.id_token_always(Reply::json(&json!({"value": "x"}))), 4)),
        ("claim-expectation", (|job| job.args(["--expect", "ref=x"]), 5)),
        ("sts-denied", (|job| job.sts_always(sts_error("invalid_request", "no")), 6)),
        (
            "sts-response-invalid",
            (|job| job.sts_answer(|answer| drop(answer.insert("expires_in".into(), json!("x")))), 7),
        ),
        ("server-error", (|job| job.sts_always(Reply::status(503)).args(["--timeout", "1"]), 8)),
        ("net-reset", (|job| job.sts_always(Reply::reset()).args(["--timeout", "1"]), 8)),
        ("out-runner-file-missing", (|job| job.env("GITHUB_OUTPUT", "/no/such/file"), 9)),
        ("out-in-workspace", (|job| job.args(["--format", "raw", "--output", "token"]), 10)),
    ];
    each(&cases, |(prepare, exit)| {
        let outcome = prepare(Job::github()).args(["--on-unavailable", "skip"]).run();
        outcome.require(outcome.status == Some(*exit), &format!("the exit status is {exit}"));
        outcome.stderr_lacks("no token (");
        let report = outcome.report.as_ref().unwrap();
        assert_eq!((&report["available"], &report["exit"]), (&Value::Null, &json!(exit)));
    });
}

#[test]
fn the_variable_chooses_too_and_other_words_are_refused() {
    let job = || Job::github().without_id_token_permission();
    let outcome = job().env("EQUINIX_WIF_ON_UNAVAILABLE", "skip").run();
    is_skipped(&outcome, "gh-id-token-permission", "missing-permission");
    let setting = &outcome.report.as_ref().unwrap()["settings"]["on-unavailable"];
    assert_eq!(*setting, json!({"value": "skip", "source": "EQUINIX_WIF_ON_UNAVAILABLE"}));
    let outcome = job().env("EQUINIX_WIF_ON_UNAVAILABLE", "skip").args(["--on-unavailable", "fail"]).run();
    outcome.fails(3, "gh-id-token-permission");
    for word in ["Skip", "ignore", "true", "skip "] {
        let outcome = Job::github().args(["--on-unavailable", word]).run();
        outcome.fails(2, "cfg-value-invalid").stderr_has("fail or skip").sts_requests(0);
    }
}

#[test]
fn each_form_says_it_in_its_own_way_or_is_refused() {
    let unset = "unset EQUINIX_API_TOKEN;\nunset EQUINIX_API_TOKEN_EXPIRES_AT;\n";
    let powershell =
        unset.replace("unset ", "Remove-Item -Path Env:").replace(';', " -ErrorAction SilentlyContinue;");
    let expected = [
        ("json", "{\"available\":false,\"reason\":\"missing-id-token\"}\n".to_owned()),
        ("terraform-external", "{\"available\":\"false\",\"reason\":\"missing-id-token\"}\n".to_owned()),
        ("raw", String::new()),
        ("shell", unset.to_owned()),
        ("fish", unset.replace("unset", "set -e")),
        ("powershell", powershell),
    ];
    let job = || Job::gitlab().unset(SUBJECT_TOKEN).args(["--on-unavailable", "skip"]);
    each(&expected.map(|(format, text)| (format, (format, text))), |(format, text)| {
        let outcome = job().stdin("{}").args(["--format", format]).run();
        is_skipped(&outcome, "gl-id-tokens-missing", "missing-id-token");
        outcome.stdout_is(text);
        outcome.require(outcome.new_files().is_empty(), "no file");
    });
    let outcome = job().run();
    is_skipped(&outcome, "gl-id-tokens-missing", "missing-id-token");
    let path = outcome.printed_path().expect("the path of a file is printed");
    assert_eq!(outcome.files[&path], unset.as_bytes());
    let outcome = job().args(["--format", "dotenv"]).run();
    is_skipped(&outcome, "gl-id-tokens-missing", "missing-id-token");
    let path = outcome.printed_path().expect("the path of a file is printed");
    assert_eq!(outcome.files[&path], b"EQUINIX_API_TOKEN=\nEQUINIX_API_TOKEN_EXPIRES_AT=\n");
    let outcome = job().args(["--format", "shell", "--env-name", "METAL_TOKEN"]).run();
    outcome.stdout_is("unset METAL_TOKEN;\nunset METAL_TOKEN_EXPIRES_AT;\n");
    for format in ["credential-process", "kubernetes", "gitlab-dotenv"] {
        let outcome = job().args(["--format", format]).run();
        outcome.fails(2, "cfg-value-invalid").stderr_has("cannot say that there is no token");
        // Also where there would be a token: the choice is wrong either way.
        let outcome = Job::gitlab().args(["--on-unavailable", "skip", "--format", format]).run();
        outcome.fails(2, "cfg-value-invalid").sts_requests(0);
    }
}

#[test]
fn the_place_is_checked_even_so() {
    let job = Job::github().without_id_token_permission().args(["--on-unavailable", "skip"]);
    job.env("GITHUB_OUTPUT", "/no/such/file").run().fails(9, "out-runner-file-missing");
    let job = Job::gitlab().unset(SUBJECT_TOKEN).args(["--on-unavailable", "skip"]);
    let outcome = job.args(["--format", "json", "--output", "none/such"]).run();
    outcome.fails(9, "out-open");
}

#[test]
fn a_command_is_not_run_wherever_the_reason_may_be_left() {
    // Not every runner that imitates GitHub's has outputs.
    let job = || Job::github().without_id_token_permission().args(["--on-unavailable", "skip"]);
    let outcome = command(job().unset("GITHUB_OUTPUT"), "exec").run();
    is_skipped(&outcome, "gh-id-token-permission", "missing-permission");
    // One that is named and not there is an error, as for every other format that writes to it.
    let outcome = command(job().env("GITHUB_OUTPUT", "/no/such/file"), "exec").run();
    outcome.fails(125, "out-runner-file-missing");
}

#[test]
fn the_summary_tells_it() {
    let job = Job::github().without_id_token_permission().pull_request(true);
    let outcome = job.args(["--on-unavailable", "skip", "--summary", "always"]).run();
    is_skipped(&outcome, "gh-fork-pr", "fork-pull-request");
    let summary = String::from_utf8(outcome.summary_file.clone().unwrap()).unwrap();
    assert!(summary.starts_with("### equinix-wif: no token\n"), "{summary}");
    assert!(summary.contains("| reason | fork-pull-request |"), "{summary}");
}

#[test]
fn a_stale_file_is_not_mistaken_for_the_answer() {
    let job = Job::gitlab().unset(SUBJECT_TOKEN);
    let path = job.tmp().join("answer.json");
    fs::write(&path, "{\"access_token\":\"old\"}\n").unwrap();
    let outcome = job.args(["--on-unavailable", "skip", "--format", "json", "--output"]).arg(&path).run();
    outcome.succeeds().stdout_is("");
    assert_eq!(outcome.files[&path], b"{\"available\":false,\"reason\":\"missing-id-token\"}\n");
}
