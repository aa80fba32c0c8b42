//! The schemas of `docs/schemas` in the hands of a validator that we did not write, over the JSON that the program writes in the
//! tests. `src/schemas_tests.rs` compares them with the program's tables.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::need::is_everything_required;
use crate::support::documents;
#[cfg(feature = "classic-grants")]
use crate::support::job::classic_success;
use crate::support::job::{Job, sts_error};
use crate::support::server::Reply;
use crate::support::signing::signed;
use crate::tools::{INSTALL, need};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        hold_for_what_the_tests_made_the_program_write,
        hold_for_what_readers_were_shown,
        refuse_what_would_break_a_reader
    ]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files with a document on each line.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension() == Some(OsStr::new("jsonl"))).collect();
    files.sort();
    files
}

/// Has the documents judged.
#[track_caller]
fn judge(task: &str, files: &[PathBuf]) -> Value {
    // Its own environment, so that nothing is installed twice.
    let python = root().join("tests/foreign/workflows/.venv/bin/python");
    need("jsonschema for Python", Command::new(&python).args(["-c", "import jsonschema"]), INSTALL);
    let suite = root().join("tests/foreign/schemas");
    let mut command = Command::new(python);
    command.arg(suite.join("judge.py")).arg(root().join("docs/schemas")).arg(task).args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = verdict["wrong"].as_array().unwrap();
    assert!(wrong.is_empty(), "{} things are wrong:\n{wrong:#?}", verdict["all"]);
    for (schema, count) in verdict["counts"].as_object().unwrap() {
        assert_ne!(count, 0, "there is no document of {schema}");
    }
    verdict
}

/// The other tests leave documents behind, when they are run: `cargo test` runs them before. Here are some of each kind in any
/// case, so that no schema goes unjudged.
fn hold_for_what_the_tests_made_the_program_write() {
    // Each command without the flags that it has no use for.
    let of = |job: Job, command: &str, format: &str| {
        let job = match command {
            "inspect" => job.without_flag("--sts-endpoint"),
            "id-token" => job.without_flag("--sts-endpoint").without_flag("--scope"),
            "policies" => job.without_flag("--scope"),
            _ => job,
        };
        job.command(command).args(["--format", format]).token_on_stdout()
    };
    let json = |job: Job, command: &str| of(job, command, "json");
    let job = || signed(Job::github());
    for (command, flag) in
        [("doctor", "--exchange"), ("inspect", "--all-claims"), ("token", "-q"), ("id-token", "-v")]
    {
        json(job().arg(flag), command).run().succeeds();
    }
    json(job(), "doctor").claims(|claims| drop(claims.insert("aud".to_owned(), json!("x")))).run();
    json(job(), "inspect").claims(|claims| drop(claims.insert("aud".to_owned(), json!("x")))).run();
    let list = json!({"list": [{"accessPolicyId": "a"}, {"accessPolicyId": "b", "accessPolicyErn": "ern:x", "name": "n"}]});
    let policies = Job::gitlab().args(["--project-id", "project:x"]);
    json(policies.sts_reply(Reply::json(&list)), "policies").run().succeeds();
    let fork = || Job::github().pull_request(true).args(["--on-unavailable", "skip"]);
    json(fork().without_id_token_permission(), "token").run().succeeds();
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}"#;
    for format in ["credential-process", "kubernetes", "terraform-external"] {
        for command in ["token", "id-token"] {
            of(Job::gitlab(), command, format).env("KUBERNETES_EXEC_INFO", info).stdin("{}").run().succeeds();
        }
    }
    Job::github().run().succeeds();
    Job::github().exec(["true"]).run().succeeds();
    Job::gitlab().sts_reply(sts_error("invalid_scope", "no")).run().fails(6, "sts-scope-denied");
    Job::gitlab().sts_always(Reply::status(503)).args(["--timeout", "1"]).run().fails(8, "server-error");
    Job::gitlab().args(["--scpe", "x"]).run().fails(2, "cfg-usage");
    #[cfg(all(target_os = "linux", feature = "renew"))]
    Job::gitlab().renew().exec(["true"]).run().succeeds();
    #[cfg(feature = "classic-grants")]
    Job::bare().client().sts_reply(Reply::json(&classic_success())).run();
    let jobs = fs::read(root().join("src/sandbox/jobs.json")).unwrap();
    documents::keep("sandbox-jobs-v1", &jobs);
    let files = files(&documents::folder());
    let verdict = judge("documents", &files);
    println!("documents of {} runs of test programs: {}", files.len(), verdict["counts"]);
    // Those of an earlier run of these checks may lie there as well.
    let is_own = |file: &PathBuf| {
        !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("integration-"))
    };
    if files.iter().all(is_own) {
        let missing = "what the program writes in our own tests; cargo test --test integration comes before";
        assert!(!is_everything_required(), "{missing}");
        println!("NOT JUDGED: {missing}");
    }
}

/// Documents of the first day of each layout. A change of a schema that refuses one of them breaks whoever reads it.
fn hold_for_what_readers_were_shown() {
    judge("documents", &files(&root().join("tests/foreign/schemas")));
}

fn refuse_what_would_break_a_reader() {
    let verdict = judge("strict", &files(&root().join("tests/foreign/schemas")));
    assert!(verdict["tried"].as_u64() > Some(500), "{verdict}");
}
