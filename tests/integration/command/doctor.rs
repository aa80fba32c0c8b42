//! `doctor`: one row for every step between the job and a token, the cure for what fails, and the status of the first
//! failure.

use crate::support;

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use support::job::{Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::signing::{IssuerKey, publishing, signed};
use support::steady::steady;
use support::table::each;
use support::tls::Leaf;
use support::token;

/// A port where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

fn doctor(job: Job) -> Job {
    job.command("doctor")
}

fn github() -> Job {
    signed(Job::github())
}

fn gitlab() -> Job {
    signed(Job::gitlab())
}

/// A row of the JSON form.
struct Row {
    name: String,
    status: String,
    code: Option<String>,
    /// Message, details and cure.
    says: String,
}

/// Runs it in the JSON form. What always holds: the status is that of the first failing row and of the report, no
/// token is left anywhere, and no runner finds a command on stdout.
#[track_caller]
fn diagnose(job: Job) -> (Vec<Row>, Outcome) {
    let outcome = doctor(job).args(["--format", "json"]).run();
    let line = outcome.stdout.strip_suffix('\n').unwrap_or_default();
    outcome.require(!line.is_empty() && !line.contains('\n'), "stdout is one line");
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{}", outcome.context()));
    let rows: Vec<Row> = value["checks"].as_array().unwrap().iter().map(|row| read(row, &outcome)).collect();
    let exit = outcome.status.expect("a status");
    assert_eq!((&value["v"], &value["exit"], &value["ok"]), (&json!(1), &json!(exit), &json!(exit == 0)));
    let first = rows.iter().find(|row| row.status == "fail");
    outcome.require((exit != 0) == first.is_some(), "the status is 0 when nothing fails and only then");
    if let Some(report) = &outcome.report {
        assert_eq!(report["code"], json!(first.and_then(|row| row.code.clone())), "{}", outcome.context());
        assert_eq!(report["exit"], exit);
        assert_eq!(report["retryable"], exit == 8);
    }
    // What fails is a row, and no failure of the command.
    outcome.stderr_lacks("error[").stderr_lacks("::error");
    clean(&outcome);
    (rows, outcome)
}

fn read(row: &Value, outcome: &Outcome) -> Row {
    let text = |name: &str| row[name].as_str().map(str::to_owned);
    let members: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["code", "cure", "details", "message", "name", "status"], "{}", outcome.context());
    let bad = ["fail", "warn"].map(Value::from).contains(&row["status"]);
    outcome.require(bad == row["cure"].is_string(), "a cure for what is wrong and nothing else");
    Row {
        name: text("name").unwrap(),
        status: text("status").unwrap(),
        code: text("code"),
        says: format!("{}\n{}\n{}", row["message"], row["details"], row["cure"]),
    }
}

/// Nothing is handed out.
#[track_caller]
fn clean(outcome: &Outcome) {
    outcome.require(runner::commands(&outcome.stdout).is_empty(), "no command on stdout");
    outcome.require(!outcome.stdout.contains('\u{1b}'), "no escape on stdout");
    for file in [&outcome.output_file, &outcome.env_file, &outcome.summary_file].into_iter().flatten() {
        outcome.require(file.is_empty(), "the runner's files stay empty");
    }
    let log = |path: &std::path::Path| path.ends_with("tmp/log");
    outcome.require(outcome.new_files().into_iter().all(log), "no new file");
}

/// The rows that are not ok, in order: `name status` and, where there is one, the code.
fn odd(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .filter(|row| row.status != "ok")
        // A platform that hands over a ready token has no such URL, and without a permission there is none.
        .filter(|row| (row.name.as_str(), row.status.as_str()) != ("request URL", "skip"))
        .map(|row| {
            let code = row.code.as_ref().map_or(String::new(), |code| format!(" {code}"));
            format!("{} {}{code}", row.name, row.status)
        })
        .collect()
}

const NOT_ASKED: &str = "exchange skip";
/// What is skipped without an ID token.
const NO_TOKEN: [&str; 5] = ["issuer skip", "audience skip", "times skip", "run skip", "signature skip"];

mod snapshots {
    use super::*;

    #[track_caller]
    fn text(job: Job) -> String {
        let servers = [(job.issuer_url(), "ISSUER"), (job.sts_url(), "STS")];
        let outcome = doctor(job).run();
        clean(&outcome);
        steady(&outcome.stdout, &servers.each_ref().map(|(url, name)| (url.as_str(), *name)))
    }

    /// The JSON form with a line for every row.
    #[track_caller]
    fn lines(job: Job) -> String {
        let servers = [(job.issuer_url(), "ISSUER"), (job.sts_url(), "STS")];
        let (_, outcome) = diagnose(job);
        let mut value: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let rows = value["checks"].take();
        let mut text = format!("{value}\n");
        for row in rows.as_array().unwrap() {
            text.push_str(&format!("{row}\n"));
        }
        steady(&text, &servers.each_ref().map(|(url, name)| (url.as_str(), *name)))
    }

    #[test]
    fn github_branch() {
        insta::assert_snapshot!(text(github()), @r#"
        ok    platform      GitHub Actions: GITHUB_ACTIONS is "true"
        ok    permission    the job may ask for an ID token
        ok    proxy         none
        ok    trusted CAs   the built-in roots
        ok    request URL   asking for the ID token on this machine: http://ISSUER
        ok    ID token      subject repo:octo-org/metal-app:ref:refs/heads/main (decoded, not verified)
        ok    issuer        http://ISSUER/_services/token
        ok    audience      https://sts.eqix.equinix.example/metal
        ok    times         expires TIME, in LIFE s
        ok    run           the token belongs to this run, as far as it tells
        ok    signature     verified with a key that the issuer publishes
        ok    STS           http://STS/use/token answers (405, without TLS)
        ok    clock         agrees with the STS and the platform to 60 s
        ok    scope         roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013
        skip  exchange      not asked for (--exchange)
        ok    masks         the runner reads standard error
        ok    output        the format github can be written
        ok    Terraform     no variable would make the Equinix provider ignore the token
        "#);
        insta::assert_snapshot!(lines(github()), @r#"
        {"checks":null,"exit":0,"ok":true,"v":1}
        {"code":null,"cure":null,"details":[],"message":"GitHub Actions: GITHUB_ACTIONS is \"true\"","name":"platform","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the job may ask for an ID token","name":"permission","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"none","name":"proxy","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the built-in roots","name":"trusted CAs","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"asking for the ID token on this machine: http://ISSUER","name":"request URL","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"subject repo:octo-org/metal-app:ref:refs/heads/main (decoded, not verified)","name":"ID token","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://ISSUER/_services/token","name":"issuer","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"https://sts.eqix.equinix.example/metal","name":"audience","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"expires TIME, in LIFE s","name":"times","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the token belongs to this run, as far as it tells","name":"run","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"verified with a key that the issuer publishes","name":"signature","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://STS/use/token answers (405, without TLS)","name":"STS","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"agrees with the STS and the platform to 60 s","name":"clock","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013","name":"scope","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"not asked for (--exchange)","name":"exchange","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"the runner reads standard error","name":"masks","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the format github can be written","name":"output","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"no variable would make the Equinix provider ignore the token","name":"Terraform","status":"ok"}
        "#);
    }

    #[test]
    fn github_fork_pull_request() {
        let job = || github().pull_request(true).without_id_token_permission();
        insta::assert_snapshot!(text(job()), @r#"
        ok    platform      GitHub Actions: GITHUB_ACTIONS is "true"
        fail  permission    GitHub gives no ID token to a pull request from a fork [gh-fork-pr]
                            event: "pull_request"
                            actor: "mona"
                            > Skip this step for forks (if: github.event.pull_request.head.repo.full_name == github.repository), or run it after the merge.
        ok    proxy         none
        ok    trusted CAs   the built-in roots
        skip  request URL   there is nothing to ask with
        skip  ID token      it cannot be asked for
        skip  issuer        there is no ID token
        skip  audience      there is no ID token
        skip  times         there is no ID token
        skip  run           there is no ID token
        skip  signature     there is no ID token
        ok    STS           http://STS/use/token answers (405, without TLS)
        ok    clock         agrees with the STS to 60 s
        ok    scope         roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013
        skip  exchange      not asked for (--exchange)
        ok    masks         the runner reads standard error
        ok    output        the format github can be written
        ok    Terraform     no variable would make the Equinix provider ignore the token
        "#);
        insta::assert_snapshot!(lines(job()), @r#"
        {"checks":null,"exit":3,"ok":false,"v":1}
        {"code":null,"cure":null,"details":[],"message":"GitHub Actions: GITHUB_ACTIONS is \"true\"","name":"platform","status":"ok"}
        {"code":"gh-fork-pr","cure":"Skip this step for forks (if: github.event.pull_request.head.repo.full_name == github.repository), or run it after the merge.","details":[{"event":"\"pull_request\""},{"actor":"\"mona\""}],"message":"GitHub gives no ID token to a pull request from a fork","name":"permission","status":"fail"}
        {"code":null,"cure":null,"details":[],"message":"none","name":"proxy","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the built-in roots","name":"trusted CAs","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"there is nothing to ask with","name":"request URL","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"it cannot be asked for","name":"ID token","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"there is no ID token","name":"issuer","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"there is no ID token","name":"audience","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"there is no ID token","name":"times","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"there is no ID token","name":"run","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"there is no ID token","name":"signature","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"http://STS/use/token answers (405, without TLS)","name":"STS","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"agrees with the STS to 60 s","name":"clock","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013","name":"scope","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"not asked for (--exchange)","name":"exchange","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"the runner reads standard error","name":"masks","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the format github can be written","name":"output","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"no variable would make the Equinix provider ignore the token","name":"Terraform","status":"ok"}
        "#);
    }

    #[test]
    fn github_reusable_workflow() {
        let shared = "octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3";
        let job = || {
            github().claims(move |claims| drop(claims.insert("job_workflow_ref".into(), json!(shared)))).args(
                ["--expect", "job_workflow_ref=octo-org/shared/.github/workflows/deploy.yml@refs/tags/v2"],
            )
        };
        insta::assert_snapshot!(text(job()), @r#"
        ok    platform      GitHub Actions: GITHUB_ACTIONS is "true"
        ok    permission    the job may ask for an ID token
        ok    proxy         none
        ok    trusted CAs   the built-in roots
        ok    request URL   asking for the ID token on this machine: http://ISSUER
        ok    ID token      subject repo:octo-org/metal-app:ref:refs/heads/main (decoded, not verified)
        ok    issuer        http://ISSUER/_services/token
        ok    audience      https://sts.eqix.equinix.example/metal
        ok    times         expires TIME, in LIFE s
        ok    run           the token belongs to this run, as far as it tells
        fail  expectations  the claim "job_workflow_ref" is not what is expected [claim-expectation]
                            claim: "job_workflow_ref"
                            expected: "octo-org/shared/.github/workflows/deploy.yml@refs/tags/v2"
                            found: "octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3"
                            > If the job is right, correct the expectation; if the expectation is right, this job should not have this token: check branch, environment and workflow.
        ok    signature     verified with a key that the issuer publishes
        ok    STS           http://STS/use/token answers (405, without TLS)
        ok    clock         agrees with the STS and the platform to 60 s
        ok    scope         roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013
        skip  exchange      not asked for (--exchange)
        ok    masks         the runner reads standard error
        ok    output        the format github can be written
        ok    Terraform     no variable would make the Equinix provider ignore the token
        "#);
        insta::assert_snapshot!(lines(job()), @r#"
        {"checks":null,"exit":5,"ok":false,"v":1}
        {"code":null,"cure":null,"details":[],"message":"GitHub Actions: GITHUB_ACTIONS is \"true\"","name":"platform","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the job may ask for an ID token","name":"permission","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"none","name":"proxy","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the built-in roots","name":"trusted CAs","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"asking for the ID token on this machine: http://ISSUER","name":"request URL","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"subject repo:octo-org/metal-app:ref:refs/heads/main (decoded, not verified)","name":"ID token","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://ISSUER/_services/token","name":"issuer","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"https://sts.eqix.equinix.example/metal","name":"audience","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"expires TIME, in LIFE s","name":"times","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the token belongs to this run, as far as it tells","name":"run","status":"ok"}
        {"code":"claim-expectation","cure":"If the job is right, correct the expectation; if the expectation is right, this job should not have this token: check branch, environment and workflow.","details":[{"claim":"\"job_workflow_ref\""},{"expected":"\"octo-org/shared/.github/workflows/deploy.yml@refs/tags/v2\""},{"found":"\"octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3\""}],"message":"the claim \"job_workflow_ref\" is not what is expected","name":"expectations","status":"fail"}
        {"code":null,"cure":null,"details":[],"message":"verified with a key that the issuer publishes","name":"signature","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://STS/use/token answers (405, without TLS)","name":"STS","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"agrees with the STS and the platform to 60 s","name":"clock","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013","name":"scope","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"not asked for (--exchange)","name":"exchange","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"the runner reads standard error","name":"masks","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the format github can be written","name":"output","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"no variable would make the Equinix provider ignore the token","name":"Terraform","status":"ok"}
        "#);
    }

    #[test]
    fn gitlab_branch() {
        insta::assert_snapshot!(text(gitlab()), @r#"
        ok    platform      GitLab CI: GITLAB_CI is "true"
        ok    permission    the job has been given an ID token
        ok    proxy         none
        ok    trusted CAs   the built-in roots
        skip  request URL   the platform hands over a ready token
        ok    ID token      subject project_path:octo-org/metal-app:ref_type:branch:ref:main (decoded, not verified)
        ok    issuer        http://ISSUER
        ok    audience      https://sts.eqix.equinix.example/metal
        ok    times         expires TIME, in LIFE s
        ok    run           the token belongs to this run, as far as it tells
        ok    signature     verified with a key that the issuer publishes
        ok    STS           http://STS/use/token answers (405, without TLS)
        ok    clock         agrees with the STS to 60 s
        ok    scope         roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013
        skip  exchange      not asked for (--exchange)
        skip  masks         this platform cannot be told to hide a value; none is printed
        ok    output        the format env-file can be written
        ok    Terraform     no variable would make the Equinix provider ignore the token
        "#);
        insta::assert_snapshot!(lines(gitlab()), @r#"
        {"checks":null,"exit":0,"ok":true,"v":1}
        {"code":null,"cure":null,"details":[],"message":"GitLab CI: GITLAB_CI is \"true\"","name":"platform","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the job has been given an ID token","name":"permission","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"none","name":"proxy","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the built-in roots","name":"trusted CAs","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the platform hands over a ready token","name":"request URL","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"subject project_path:octo-org/metal-app:ref_type:branch:ref:main (decoded, not verified)","name":"ID token","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://ISSUER","name":"issuer","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"https://sts.eqix.equinix.example/metal","name":"audience","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"expires TIME, in LIFE s","name":"times","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the token belongs to this run, as far as it tells","name":"run","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"verified with a key that the issuer publishes","name":"signature","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://STS/use/token answers (405, without TLS)","name":"STS","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"agrees with the STS to 60 s","name":"clock","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013","name":"scope","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"not asked for (--exchange)","name":"exchange","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"this platform cannot be told to hide a value; none is printed","name":"masks","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"the format env-file can be written","name":"output","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"no variable would make the Equinix provider ignore the token","name":"Terraform","status":"ok"}
        "#);
    }

    #[test]
    fn gitlab_fork_merge_request() {
        let job = || {
            gitlab().claims(|claims| {
                for (name, value) in [
                    ("sub", "project_path:contributor/metal-app:ref_type:branch:ref:patch-1"),
                    ("project_path", "contributor/metal-app"),
                    ("project_id", "852963741"),
                ] {
                    claims.insert(name.to_owned(), json!(value));
                }
            })
        };
        insta::assert_snapshot!(text(job()), @r#"
        ok    platform      GitLab CI: GITLAB_CI is "true"
        ok    permission    the job has been given an ID token
        ok    proxy         none
        ok    trusted CAs   the built-in roots
        skip  request URL   the platform hands over a ready token
        ok    ID token      subject project_path:contributor/metal-app:ref_type:branch:ref:patch-1 (decoded, not verified)
        ok    issuer        http://ISSUER
        ok    audience      https://sts.eqix.equinix.example/metal
        ok    times         expires TIME, in LIFE s
        ok    run           the token belongs to this run, as far as it tells
        ok    signature     verified with a key that the issuer publishes
        ok    STS           http://STS/use/token answers (405, without TLS)
        ok    clock         agrees with the STS to 60 s
        ok    scope         roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013
        skip  exchange      not asked for (--exchange)
        skip  masks         this platform cannot be told to hide a value; none is printed
        ok    output        the format env-file can be written
        ok    Terraform     no variable would make the Equinix provider ignore the token
        "#);
        insta::assert_snapshot!(lines(job()), @r#"
        {"checks":null,"exit":0,"ok":true,"v":1}
        {"code":null,"cure":null,"details":[],"message":"GitLab CI: GITLAB_CI is \"true\"","name":"platform","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the job has been given an ID token","name":"permission","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"none","name":"proxy","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the built-in roots","name":"trusted CAs","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the platform hands over a ready token","name":"request URL","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"subject project_path:contributor/metal-app:ref_type:branch:ref:patch-1 (decoded, not verified)","name":"ID token","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://ISSUER","name":"issuer","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"https://sts.eqix.equinix.example/metal","name":"audience","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"expires TIME, in LIFE s","name":"times","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"the token belongs to this run, as far as it tells","name":"run","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"verified with a key that the issuer publishes","name":"signature","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"http://STS/use/token answers (405, without TLS)","name":"STS","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"agrees with the STS to 60 s","name":"clock","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013","name":"scope","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"not asked for (--exchange)","name":"exchange","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"this platform cannot be told to hide a value; none is printed","name":"masks","status":"skip"}
        {"code":null,"cure":null,"details":[],"message":"the format env-file can be written","name":"output","status":"ok"}
        {"code":null,"cure":null,"details":[],"message":"no variable would make the Equinix provider ignore the token","name":"Terraform","status":"ok"}
        "#);
    }
}

/// A way to fail: the job, the status, the odd rows, and what the first of them says (message, details, cure).
struct Case {
    job: fn() -> Job,
    exit: i32,
    odd: Vec<&'static str>,
    says: &'static [&'static str],
}

fn case(
    name: &'static str,
    job: fn() -> Job,
    exit: i32,
    odd: &[&'static str],
    says: &'static [&'static str],
) -> (&'static str, Case) {
    (name, Case { job, exit, odd: odd.to_vec(), says })
}

fn without_token(first: &[&'static str]) -> Vec<&'static str> {
    [first, &NO_TOKEN, &[NOT_ASKED]].concat()
}

fn check(case: &Case) {
    let (rows, outcome) = diagnose((case.job)());
    assert_eq!(odd(&rows), case.odd, "{}", outcome.context());
    assert_eq!(outcome.status, Some(case.exit), "{}", outcome.context());
    let first = rows.iter().find(|row| row.status == "fail").or(rows.iter().find(|row| row.status == "warn"));
    for text in case.says {
        let says = &first.expect("a row that is not ok").says;
        outcome.require(says.contains(text), &format!("{says} says {text:?}"));
    }
    let gets = outcome.sts.requests.iter().filter(|request| request.method == "GET").count();
    outcome
        .require(outcome.sts.requests.len() == gets && gets < 2, "the STS is only asked whether it is there");
}

fn claim(job: Job, name: &'static str, value: Value) -> Job {
    job.claims(move |claims| drop(claims.insert(name.to_owned(), value.clone())))
}

fn discovery(job: Job, reply: Reply) -> Job {
    let reply = reply.header("Retry-After", "0");
    Job::issuer_with(job, move |request| request.path().contains("/.well-known/").then(|| reply.clone()))
}

fn dated(seconds: i64) -> String {
    let now = SystemTime::now();
    let time = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now - time } else { now + time })
}

#[test]
fn no_identity() {
    let no = |first: &'static [&'static str]| without_token(first);
    let cases = [
        case(
            "no CI",
            Job::bare,
            3,
            &["platform fail ambient-not-ci", "permission skip", "masks skip"],
            &["no variable that tells a platform is set", "--subject-token-env"],
        ),
        case(
            "two platforms",
            || github().env("GITLAB_CI", "true"),
            2,
            &["platform fail cfg-provider-ambiguous", "permission skip"],
            &["--provider github or --provider gitlab"],
        ),
        case(
            "no permission",
            || github().without_id_token_permission(),
            3,
            &no(&["permission fail gh-id-token-permission", "ID token skip"]),
            &["id-token: write"],
        ),
        case(
            "half a permission",
            || github().unset("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
            3,
            &no(&["permission fail gh-request-incomplete", "ID token skip"]),
            &["ACTIONS_ID_TOKEN_REQUEST_TOKEN is not"],
        ),
        case(
            "Dependabot",
            || github().env("GITHUB_ACTOR", "dependabot[bot]").without_id_token_permission(),
            3,
            &no(&["permission fail gh-dependabot", "ID token skip"]),
            &["dependabot[bot]"],
        ),
        case(
            "no id_tokens",
            || gitlab().env(SUBJECT_TOKEN, ""),
            3,
            &[&no(&["permission fail gl-id-tokens-missing", "ID token skip"])[..], &["masks skip"]].concat(),
            &["id_tokens:"],
        ),
    ];
    each(&cases, check);
}

#[test]
fn no_id_token() {
    const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
    let cases = [
        case(
            "an insecure URL",
            || github().env(URL, "http://pipelines.example/token"),
            10,
            &without_token(&["request URL fail insecure-url", "ID token skip"]),
            &["only loopback addresses"],
        ),
        case(
            "a strange host, strictly",
            || github().env(URL, "https://pipelines.example/token").args(["--validation", "strict"]),
            10,
            &without_token(&["request URL fail endpoint-untrusted", "ID token skip"]),
            &["https://pipelines.example"],
        ),
        case(
            "no audience",
            || github().without_flag("--audience"),
            2,
            &without_token(&["permission fail cfg-audience-missing", "ID token skip"]),
            &["--audience"],
        ),
        case(
            "500",
            || github().args(["--timeout", "2"]).id_token_always(Reply::status(500)),
            8,
            &without_token(&["ID token fail server-error"]),
            &["failed (500)"],
        ),
        case(
            "unreachable",
            || github().args(["--timeout", "2"]).env(URL, format!("{NOWHERE}/idtoken")),
            8,
            &without_token(&["ID token fail net-connect"]),
            &[],
        ),
        case(
            "403",
            || github().id_token_always(Reply::status(403).json_body(&json!({"message": "no"}))),
            4,
            &without_token(&["ID token fail id-token-http"]),
            &["GitHub says", "id-token: write"],
        ),
        case(
            "no JWT",
            || gitlab().env(SUBJECT_TOKEN, "not.a-token"),
            4,
            &[&without_token(&["ID token fail id-token-malformed"])[..], &["masks skip"]].concat(),
            &["dot-separated parts: 2"],
        ),
        case(
            "an algorithm of secrets",
            || Job::gitlab().mint_with(|token| token.header("alg", "HS256").mint()),
            4,
            &[&without_token(&["ID token fail id-token-alg"])[..], &["masks skip"]].concat(),
            &["HS256"],
        ),
    ];
    each(&cases, check);
}

/// The format is that of the platform on which the job runs, also with an identity from elsewhere: as with `token`.
#[test]
fn the_format_is_the_one_that_token_would_use() {
    let job = github();
    let token = job.mint();
    let job = job.env("METAL_ID_TOKEN", token).args(["--subject-token-env", "METAL_ID_TOKEN"]);
    let (rows, outcome) = diagnose(job);
    let output = rows.iter().find(|row| row.name == "output").expect("a row for the output");
    outcome.require(output.status == "ok" && output.says.contains("the format github"), &output.says);
    outcome.id_token_requests(0);
}

#[cfg(unix)]
#[test]
fn variables_that_cannot_be_read_fail_as_with_token() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = std::ffi::OsString::from_vec(b"hunter22\xff".to_vec());
    let named = github().args(["--subject-token-env", SUBJECT_TOKEN, "--provider", "github"]);
    for (name, variable, job, row) in [
        ("the format", "EQUINIX_WIF_FORMAT", github(), "output fail cfg-env-not-utf8"),
        (
            "the variable's name",
            "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
            named,
            "Terraform fail cfg-env-not-utf8",
        ),
    ] {
        println!("case: {name}");
        let (rows, outcome) = diagnose(job.env(variable, &bytes).secret("hunter22"));
        assert_eq!(odd(&rows), [NOT_ASKED, row], "{}", outcome.context());
        assert_eq!(outcome.status, Some(2), "{}", outcome.context());
    }
}

#[test]
fn claims_that_do_not_hold() {
    let cases = [
        case(
            "audience",
            || claim(github(), "aud", json!("other")),
            5,
            &["audience fail claim-aud", NOT_ASKED],
            &["\\\"other\\\"", "trusted client ids"],
        ),
        case(
            "issuer",
            || claim(github(), "iss", json!("https://token.actions.example")),
            5,
            &["issuer fail claim-iss", "signature skip", NOT_ASKED],
            &["https://token.actions.example", "--expect iss="],
        ),
        case(
            "expired",
            || claim(claim(gitlab(), "iat", json!(1_700_000_000)), "exp", json!(1_700_003_600)),
            5,
            &["times fail claim-expired", NOT_ASKED, "masks skip"],
            &["2023-11-14T23:13:20Z", "timeout: 2h"],
        ),
        case(
            "not a time",
            || claim(github(), "nbf", json!("now")),
            5,
            &["times fail claim-time-invalid", NOT_ASKED],
            &["nbf"],
        ),
        case(
            "everything at once",
            || {
                let job = claim(claim(github(), "iss", json!("https://x.example")), "aud", json!("other"));
                claim(claim(job, "exp", json!(1_700_003_600)), "iat", json!(1_700_000_000))
                    .args(["--expect", "ref=main"])
            },
            5,
            &[
                "issuer fail claim-iss",
                "audience fail claim-aud",
                "times fail claim-expired",
                "expectations fail claim-expectation",
                "signature skip",
                NOT_ASKED,
            ],
            &["https://x.example"],
        ),
        case(
            "an unmet expectation",
            || github().args(["--expect", "ref=main", "--expect", "environment=prod"]),
            5,
            &["expectations fail claim-expectation", NOT_ASKED],
            &["refs/heads/ or refs/tags/ in front", "(the token has no such claim)"],
        ),
        case(
            "another run",
            || claim(github(), "run_id", json!("1")),
            0,
            &["run warn", NOT_ASKED],
            &["GITHUB_RUN_ID"],
        ),
        case(
            "another run, strictly",
            || claim(github(), "run_id", json!("1")).args(["--validation", "strict"]),
            5,
            &["run fail claim-run-binding", NOT_ASKED],
            &["GITHUB_RUN_ID"],
        ),
        case(
            "two audiences",
            || claim(github(), "aud", json!([support::job::AUDIENCE, "other"])),
            0,
            &["audience warn", NOT_ASKED],
            &["2 audiences"],
        ),
        case(
            "two audiences, strictly",
            || {
                claim(github(), "aud", json!([support::job::AUDIENCE, "other"]))
                    .args(["--validation", "strict"])
            },
            5,
            &["audience fail claim-aud", NOT_ASKED],
            &["2 audiences"],
        ),
    ];
    each(&cases, check);
}

#[test]
fn signatures_that_do_not_hold() {
    fn other_key(id: &'static str) -> Job {
        let (own, other) = (IssuerKey::new("one"), IssuerKey::new(id));
        publishing(Job::github(), vec![other.public()]).mint_with(move |token| own.sign(token))
    }
    let cases = [
        case(
            "another key of this id",
            || other_key("one"),
            5,
            &["signature fail claim-signature", NOT_ASKED],
            &["somebody else made or changed it"],
        ),
        case(
            "a key that is not published",
            || other_key("two"),
            5,
            &["signature fail claim-key-not-found", NOT_ASKED],
            &["\\\"one\\\"", "\\\"two\\\"", "Fetch a fresh ID token"],
        ),
        case("no metadata", Job::github, 7, &["signature fail issuer-metadata", NOT_ASKED], &["(404)"]),
        case(
            "an issuer that fails",
            || discovery(Job::github(), Reply::status(503)).args(["--timeout", "2"]),
            0,
            &["signature warn", NOT_ASKED],
            &["not verified", "(503)"],
        ),
        case(
            "an issuer that fails although it is needed",
            || discovery(Job::github(), Reply::status(503)).args(["--timeout", "2", "--verify-signature"]),
            8,
            &["signature fail server-error", NOT_ASKED],
            &["(503)"],
        ),
        case(
            "no issuer to believe",
            || {
                let job = Job::bare();
                let token = job.mint();
                job.env(SUBJECT_TOKEN, token)
            },
            0,
            &["signature skip", NOT_ASKED, "masks skip"],
            &[],
        ),
        case(
            "no issuer to believe although it is needed",
            || {
                let job = Job::bare();
                let token = job.mint();
                job.env(SUBJECT_TOKEN, token).arg("--verify-signature")
            },
            2,
            &["signature fail cfg-issuer-missing", NOT_ASKED, "masks skip"],
            &["--expect iss="],
        ),
    ];
    each(&cases, check);
}

#[test]
fn the_sts_from_here() {
    fn elsewhere(job: Job, url: &str) -> Job {
        job.without_flag("--sts-endpoint").args(["--sts-endpoint", url])
    }
    fn certificate(leaf: Leaf) -> Job {
        signed(Job::github().tls().sts_tls(leaf))
    }
    let cases = [
        case("unreachable", || elsewhere(github(), NOWHERE), 8, &["STS fail net-connect", NOT_ASKED], &[]),
        case("expired", || certificate(Leaf::Expired), 10, &["STS fail tls-verify", NOT_ASKED], &[]),
        case("another host's", || certificate(Leaf::WrongHost), 10, &["STS fail tls-verify", NOT_ASKED], &[]),
        case("another CA's", || certificate(Leaf::UntrustedCa), 10, &["STS fail tls-verify", NOT_ASKED], &[]),
        case(
            "404",
            || github().sts_always(Reply::status(404)),
            0,
            &["STS warn", NOT_ASKED],
            &["answers 404", "--sts-api v1"],
        ),
        case(
            "404 of v1",
            || github().args(["--sts-api", "v1"]).sts_always(Reply::status(404)),
            0,
            &["STS warn", NOT_ASKED],
            &["/v1/token answers 404", "--sts-api alpha"],
        ),
        case(
            "503",
            || github().sts_always(Reply::status(503)),
            0,
            &["STS warn", NOT_ASKED],
            &["answers 503"],
        ),
        case(
            "a clock ahead of the STS",
            || github().sts_always(Reply::status(405).header("Date", dated(-600))),
            0,
            &["clock warn", NOT_ASKED],
            &["ahead of the STS", "time synchronisation"],
        ),
        case(
            "a clock behind the platform",
            || {
                let job = github();
                let token = job.mint();
                job.id_token_always(Reply::json(&json!({"value": token})).header("Date", dated(600)))
            },
            0,
            &["clock warn", NOT_ASKED],
            &["behind the platform"],
        ),
    ];
    each(&cases, check);
}

#[test]
fn scope_delivery_and_terraform() {
    let cases = [
        case("no scope", || github().without_flag("--scope"), 0, &["scope warn", NOT_ASKED], &["ern:"]),
        case(
            "no scope's shape",
            || github().scope("accesspolicy:x"),
            2,
            &["scope fail cfg-scope-invalid", NOT_ASKED],
            &["not its ERN"],
        ),
        case(
            "an odd scope",
            || github().scope("roleasignments:x"),
            0,
            &["scope warn", NOT_ASKED],
            &["did you mean roleassignments:?"],
        ),
        case(
            "no GITHUB_OUTPUT",
            || github().unset("GITHUB_OUTPUT"),
            9,
            &[NOT_ASKED, "output fail out-runner-file-missing"],
            &["GITHUB_OUTPUT"],
        ),
        case(
            "variables that take the Terraform provider elsewhere",
            || gitlab().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE),
            0,
            &[NOT_ASKED, "masks skip", "Terraform warn"],
            &["ignores EQUINIX_API_TOKEN", SUBJECT_TOKEN],
        ),
    ];
    each(&cases, check);
}

/// Where no mask can be delivered, no token is fetched, and the exit status says why.
#[cfg(unix)]
#[test]
fn lost_masks_are_told_before_there_is_anything_to_mask() {
    let job = || github().wrap_shell(["sh", "-c", "\"$0\" \"$@\" 2>\"$TMPDIR/log\""]);
    let (rows, outcome) = diagnose(job().arg("--exchange"));
    let expected =
        [&["ID token skip"], &NO_TOKEN[..], &[NOT_ASKED, "masks fail mask-undeliverable"]].concat();
    assert_eq!(odd(&rows), expected, "{}", outcome.context());
    assert_eq!(outcome.status, Some(10));
    outcome.id_token_requests(0).sts_requests(1);
    assert_eq!(outcome.issuer.connections, 0);
}

mod exchange {
    use super::*;

    #[track_caller]
    fn methods(outcome: &Outcome) -> Vec<&str> {
        outcome.sts.requests.iter().map(|request| request.method.as_str()).collect()
    }

    #[test]
    fn without_it_the_sts_gets_one_empty_get() {
        for (job, path) in [(github(), "/use/token"), (gitlab().args(["--sts-api", "v1"]), "/v1/token")] {
            let (_, outcome) = diagnose(job);
            outcome.sts_requests(1);
            let request = &outcome.sts.requests[0];
            assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", path));
            assert_eq!((request.header("authorization"), request.body.len()), (None, 0));
            assert_eq!(outcome.sts.connections, 1);
        }
    }

    #[test]
    fn a_real_one_is_made_once_and_its_token_is_dropped() {
        for (job, masks) in [(github(), 2), (gitlab(), 0), (signed(Job::github().tls()), 2)] {
            let (rows, outcome) = diagnose(job.arg("--exchange").without_report());
            assert_eq!(outcome.status, Some(0), "{}", outcome.context());
            assert_eq!(methods(&outcome), ["GET", "POST"]);
            let row = rows.iter().find(|row| row.name == "exchange").unwrap();
            assert_eq!(row.status, "ok");
            assert!(
                row.says.contains(SCOPE) && row.says.contains("3600 s was issued, and dropped"),
                "{}",
                row.says
            );
            // The harness has looked for it everywhere; it is masked none the less.
            assert_eq!(outcome.stderr.matches("::add-mask::").count(), masks, "{}", outcome.context());
            outcome.require(
                (masks == 0) != outcome.stderr.contains(outcome.access_token()),
                "the access token is masked where there is a runner",
            );
        }
    }

    #[test]
    fn a_token_that_does_not_hold_is_not_sent() {
        type Change = (fn(Job) -> Job, &'static str);
        let cases: [(&str, Change); 7] = [
            ("audience", (|job| claim(job, "aud", json!("other")), "has to hold first")),
            ("issuer", (|job| claim(job, "iss", json!("https://x.example")), "has to hold first")),
            ("expectation", (|job| job.args(["--expect", "ref=x"]), "has to hold first")),
            (
                "strict run",
                (
                    |job| claim(job, "run_id", json!("1")).args(["--validation", "strict"]),
                    "has to hold first",
                ),
            ),
            ("signature", (|job| job.mint_with(|token| token.mint()), "has to hold first")),
            ("no scope", (|job| job.without_flag("--scope"), "no scope")),
            ("a wrong scope", (|job| job.scope("accesspolicy:x"), "the scope cannot be asked for")),
        ];
        each(&cases, |(change, why)| {
            let (rows, outcome) = diagnose(change(github()).arg("--exchange"));
            assert_eq!(methods(&outcome), ["GET"], "{}", outcome.context());
            let row = rows.iter().find(|row| row.name == "exchange").unwrap();
            assert_eq!(row.status, "skip");
            assert!(row.says.contains(why), "{}", row.says);
        });
    }

    #[test]
    fn a_refusal_is_a_row_with_its_cure() {
        let job = gitlab().arg("--exchange").sts_with(|request| {
            (request.method == "POST").then(|| sts_error("invalid_grant", "the provider is suspended"))
        });
        let (rows, outcome) = diagnose(job);
        assert_eq!(odd(&rows), ["exchange fail sts-denied", "masks skip"]);
        assert_eq!((outcome.status, methods(&outcome)), (Some(6), vec!["GET", "POST"]));
        let row = rows.iter().find(|row| row.name == "exchange").unwrap();
        for text in ["the provider is suspended", "issuerLocation", "trustedClientIds", SCOPE] {
            assert!(row.says.contains(text), "{}", row.says);
        }
    }

    /// What a server echoes is cut out of both forms; the harness looks for every piece.
    #[test]
    fn an_echoed_secret_is_in_neither_form() {
        for form in ["text", "json"] {
            let bearer = token::random_text(210);
            let said = format!("you sent {bearer}, did you?");
            let job = github()
                .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &bearer)
                .id_token_always(Reply::status(403).json_body(&json!({"message": said})));
            let outcome = doctor(job).args(["--format", form]).run();
            assert_eq!(outcome.status, Some(4));
            assert!(outcome.stdout.contains("you sent ***, did you?"), "{}", outcome.context());

            let job = gitlab().arg("--exchange").sts_with(|request| {
                let token = request.form_value("subject_token")?;
                let signature = token::signature_of(&token).unwrap_or_default().to_owned();
                Some(sts_error("invalid_request", &format!("bad signature {signature}")))
            });
            let outcome = doctor(job).args(["--format", form]).run();
            assert_eq!(outcome.status, Some(6));
            assert!(outcome.stdout.contains("bad signature ***"), "{}", outcome.context());
        }
    }
}

#[test]
fn over_tls_the_row_names_the_version() {
    let (rows, outcome) = diagnose(signed(Job::github().tls()));
    assert_eq!(odd(&rows), [NOT_ASKED], "{}", outcome.context());
    let sts = rows.iter().find(|row| row.name == "STS").unwrap();
    assert!(sts.says.contains("TLS 1.3, certificate trusted"), "{}", sts.says);
    let roots = rows.iter().find(|row| row.name == "trusted CAs").unwrap();
    assert!(roots.says.contains("the built-in roots and 1 more"), "{}", roots.says);
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let job =
        github().env("HTTPS_PROXY", "http://ci:hush-hush@proxy.example:3128").env("NO_PROXY", "127.0.0.1");
    let (rows, outcome) = diagnose(job);
    assert_eq!(odd(&rows), [NOT_ASKED], "{}", outcome.context());
    let proxy = rows.iter().find(|row| row.name == "proxy").unwrap();
    assert!(
        proxy.says.contains("proxy.example:3128") && proxy.says.contains("HTTPS_PROXY"),
        "{}",
        proxy.says
    );
}

#[test]
fn what_the_token_says_cannot_command_the_runner() {
    let hostile = "x ##[add-mask]main \u{1b}[31m\u{202e}\n::set-env name=PATH::/evil\r::stop-commands::x";
    for form in ["text", "json"] {
        let job = github()
            .claims(move |claims| {
                for name in ["sub", "iss", "aud", "run_id", "ref"] {
                    claims.insert(name.to_owned(), json!(hostile));
                }
            })
            .args(["--expect", "ref=main"]);
        let outcome = doctor(job).args(["--format", form]).run();
        assert_eq!(outcome.status, Some(5), "{}", outcome.context());
        clean(&outcome);
        assert!(!outcome.stdout.contains("##") && !outcome.stdout.contains('\u{202e}'));
        let foreign =
            |log: &str| runner::commands(log).into_iter().filter(|it| it.name != "add-mask").count();
        assert_eq!(foreign(&outcome.stderr), 0, "{}", outcome.context());
    }
}

#[test]
fn a_setting_that_cannot_be_read_ends_it_before_any_request() {
    let cases: [(&str, Job, &str); 3] = [
        ("format", github().args(["--format", "yaml"]), "cfg-value-invalid"),
        ("CA file", github().args(["--ca-file", "/nowhere.pem"]), "cfg-ca-file"),
        ("provider", github().args(["--timeout", "soon"]), "cfg-value-invalid"),
    ];
    for (name, job, code) in cases {
        println!("case: {name}");
        let outcome = doctor(job).run();
        outcome.fails(2, code);
        assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0));
    }
}
