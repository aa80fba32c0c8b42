//! The main job on GitLab CI: `. "$(equinix-wif token)"` in the shells that GitLab's runners use, and every way in
//! which the ID token's variable can be wrong.

#![cfg(unix)]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::token;

/// How GitLab's runner starts each of them: `bash` where there is one, else `sh`, both stopping at the first failure.
const SHELLS: [[&str; 3]; 3] = [["sh", "-e", "-c"], ["dash", "-e", "-c"], ["bash", "-eo", "pipefail"]];
const OWN_SUBJECT_TOKEN: &str = "EQUINIX_WIF_SUBJECT_TOKEN";
const SCOPE_VARIABLE: &str = "EQUINIX_TOKEN_EXCHANGE_SCOPE";

/// Runs a script in which `"$@"` are the program's arguments.
fn script(job: Job, shell: [&str; 3], script: &str) -> Outcome {
    let mut words = shell.to_vec();
    if shell[0] == "bash" {
        words.push("-c");
    }
    words.push(script);
    job.wrap_shell(words).run()
}

/// A failed run: the ID token stays here, and GitLab's server is not asked for anything.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
    outcome
}

mod sourcing {
    use super::*;

    /// The recipe of the documentation. What it sets goes into a file of the test, and its own file's path on stdout.
    const RECIPE: &str = r#"
        . "$(equinix-wif "$@")"
        sh -c 'printf "%s\n%s\n" "$EQUINIX_API_TOKEN" "$EQUINIX_API_TOKEN_EXPIRES_AT"' > "$TMPDIR/seen"
        set -- "$CI_PROJECT_DIR.tmp"/*
        test $# = 1
        printf '%s\n' "$1""#;

    #[test]
    fn sets_the_token_for_the_commands_after_it() {
        for shell in SHELLS {
            println!("case: {shell:?}");
            let outcome = script(Job::gitlab().token_in("tmp/seen"), shell, RECIPE);
            outcome.succeeds().sts_requests(1);
            assert_eq!(outcome.issuer.connections, 0, "GitLab has handed the token over already");
            let seen = String::from_utf8(outcome.files[&outcome.root().join("tmp/seen")].clone()).unwrap();
            let [token, expiry] = *seen.lines().collect::<Vec<_>>() else { panic!("{seen}") };
            assert_eq!(token, outcome.access_token());
            assert!(expiry.len() == 20 && expiry.starts_with("20") && expiry.ends_with('Z'), "{expiry}");

            let path = outcome.printed_path().expect("the file that was sourced");
            assert_eq!(path.parent().unwrap(), outcome.root().join("builds/octo-org/metal-app.tmp"));
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
            assert_eq!(outcome.new_files().len(), 2, "no other file: {:?}", outcome.new_files());
            let expected = format!(
                "export EQUINIX_API_TOKEN='{token}';\nexport EQUINIX_API_TOKEN_EXPIRES_AT='{expiry}';\n"
            );
            assert_eq!(outcome.files[&path], expected.into_bytes());
        }
    }

    #[test]
    fn shows_nothing_secret_in_the_job_s_log() {
        // Both streams in one, as the job's page has them. The harness looks for pieces of all tokens in it.
        let log = r#"{ . "$(equinix-wif "$@")"; echo "script goes on"; } > "$TMPDIR/log" 2>&1
            cat "$TMPDIR/log"
            rm "$CI_PROJECT_DIR.tmp"/*"#;
        for shell in SHELLS {
            println!("case: {shell:?}");
            let outcome = script(Job::gitlab().arg("-v"), shell, log);
            outcome.succeeds();
            assert!(
                outcome.stdout.contains("access token for") && outcome.stdout.ends_with("script goes on\n")
            );
            assert!(!outcome.stdout.contains("add-mask"), "GitLab does not know that command");
        }
    }

    /// A path that is empty cannot be sourced: `sh` and `dash` end with 2, `bash` with 1. What matters is that the
    /// script does not go on without a token.
    #[test]
    fn ends_the_script_when_there_is_no_token() {
        let recipe = r#". "$(equinix-wif "$@")"; echo "the script went on""#;
        for shell in SHELLS {
            println!("case: {shell:?}");
            let job = Job::gitlab().sts_reply(sts_error("invalid_scope", "no"));
            let outcome = script(job, shell, recipe);
            assert_ne!(outcome.status, Some(0), "{}", outcome.context());
            assert_eq!(outcome.stdout, "");
            outcome.stderr_has("error[sts-scope-denied]: ").sts_requests(1);
            assert_eq!(outcome.new_files(), Vec::<&std::path::Path>::new());
        }
    }

    #[test]
    fn sets_nothing_when_there_is_no_token_and_the_script_goes_on() {
        let recipe = r#". "$(equinix-wif "$@")" || :; echo "token: ${EQUINIX_API_TOKEN-none}""#;
        let job = Job::gitlab().sts_reply(sts_error("invalid_scope", "no"));
        let outcome = job.wrap_shell(["bash", "-c", recipe]).run();
        outcome.stderr_has("error[sts-scope-denied]: ").stdout_is("token: none\n");
    }

    #[test]
    fn works_over_tls() {
        let outcome = script(Job::gitlab().tls().token_in("tmp/seen"), SHELLS[0], RECIPE);
        outcome.succeeds().sts_requests(1);
        assert!(outcome.sts.requests[0].tls);
    }

    #[test]
    fn unsets_the_variable_that_would_shadow_the_token_and_no_other() {
        let other = "METAL_ID_TOKEN";
        let named = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        let with_other = |job: Job| {
            let token = job.mint();
            job.env(other, token).env(named, other)
        };
        for (name, job, unset, kept) in [
            ("the scope by variable", Job::gitlab().env(SCOPE_VARIABLE, SCOPE), Some(SUBJECT_TOKEN), None),
            (
                "the scope by variable only",
                Job::gitlab().without_flag("--scope").env(SCOPE_VARIABLE, SCOPE),
                Some(SUBJECT_TOKEN),
                None,
            ),
            ("the scope by flag", Job::gitlab(), None, Some(SUBJECT_TOKEN)),
            ("an empty scope", Job::gitlab().env(SCOPE_VARIABLE, ""), None, Some(SUBJECT_TOKEN)),
            (
                "another variable",
                with_other(Job::gitlab().env(SCOPE_VARIABLE, SCOPE)),
                Some(other),
                Some(SUBJECT_TOKEN),
            ),
        ] {
            println!("case: {name}");
            let recipe = r#". "$(equinix-wif "$@")"
                env | sed -n 's/=.*//p' > "$TMPDIR/names"
                echo "$CI_PROJECT_DIR.tmp"/*"#;
            let outcome = script(job, SHELLS[0], recipe);
            outcome.succeeds().stderr_lacks("warning: EQUINIX_TOKEN");
            let names = String::from_utf8(outcome.files[&outcome.root().join("tmp/names")].clone()).unwrap();
            let is_set = |name: &str| names.lines().any(|line| line == name);
            assert!(is_set("EQUINIX_API_TOKEN"));
            assert!(!unset.is_some_and(is_set), "{unset:?} is unset: {names}");
            assert!(kept.is_none_or(is_set), "{kept:?} is kept: {names}");
        }
    }

    #[test]
    fn a_traced_shell_needs_consent() {
        for format in ["auto", "env-file", "shell"] {
            println!("case: {format}");
            let job = Job::gitlab().env("CI_DEBUG_TRACE", "true").args(["--format", format]);
            fails(job, 10, "out-traced").stderr_has("CI_DEBUG_TRACE");
        }
        Job::gitlab().env("CI_DEBUG_TRACE", "true").arg("--force").run().succeeds().sts_requests(1);
    }

    /// The runner reads its switch as Go reads booleans. What it would not understand counts as on.
    #[test]
    fn every_spelling_of_the_trace_counts() {
        for value in ["1", "t", "T", "true", "TRUE", "True", "yes", "on", "tRUE", " false", "2"] {
            println!("case: {value:?}");
            fails(Job::gitlab().env("CI_DEBUG_TRACE", value), 10, "out-traced")
                .stderr_has("CI_DEBUG_TRACE")
                .stderr_has("debug_trace_disabled");
        }
        for value in ["", "0", "f", "F", "false", "FALSE", "False"] {
            println!("case: {value:?}");
            Job::gitlab().env("CI_DEBUG_TRACE", value).run().succeeds().sts_requests(1);
        }
    }
}

mod the_variable {
    use super::*;

    /// What to put into `.gitlab-ci.yml`, with the variable and the audience of this job.
    fn yaml(variable: &str, audience: &str) -> String {
        format!("    id_tokens:\n      {variable}:\n        aud: {audience}\n")
    }

    #[test]
    fn that_holds_no_token_has_its_own_message_and_cure() {
        let good = Job::gitlab().mint();
        let (missing, unexpanded) = ("gl-id-tokens-missing", "token-env-unexpanded");
        for (name, value, code, message) in [
            ("missing", None, missing, "is not set or empty"),
            ("empty", Some(""), missing, "is not set or empty"),
            ("unexpanded", Some("$METAL_ID_TOKEN"), unexpanded, "\"$METAL_ID_TOKEN\""),
            ("in braces", Some("${METAL_ID_TOKEN}"), unexpanded, "\"${METAL_ID_TOKEN}\""),
            ("of Windows", Some("%METAL_ID_TOKEN%"), unexpanded, "\"%METAL_ID_TOKEN%\""),
            ("with a newline", Some(&format!("{good}\n")), "token-env-padded", "has a line break at the end"),
            ("with a blank", Some(&format!(" {good}")), "token-env-padded", "white space around it"),
            ("folded", Some(&good.replacen('.', ".\n  ", 1)), "token-env-padded", "white space inside it"),
            ("blank", Some("  "), "token-env-padded", "white space"),
        ] {
            println!("case: {name}");
            let job = match value {
                Some(value) => Job::gitlab().env(SUBJECT_TOKEN, value),
                None => Job::gitlab().unset(SUBJECT_TOKEN),
            };
            let outcome = fails(job, 3, code);
            let looked_at = if code == missing { OWN_SUBJECT_TOKEN } else { SUBJECT_TOKEN };
            outcome.stderr_has(&format!("{looked_at} ")).stderr_has(message);
            outcome.stderr_has(&yaml(OWN_SUBJECT_TOKEN, AUDIENCE));
        }
    }

    #[test]
    fn that_holds_something_else_is_refused_without_an_echo() {
        for (name, value, reason) in [
            ("an opaque token", "glpat-0123456789abcdefghij", "dot-separated parts: 1"),
            ("a quoted token", "\"eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl\"", "character"),
            ("a path", "/run/secrets/id-token-of-this-job", "character"),
        ] {
            println!("case: {name}");
            let outcome =
                fails(Job::gitlab().secret(value).env(SUBJECT_TOKEN, value), 4, "id-token-malformed");
            outcome.stderr_has(reason);
        }
    }

    #[test]
    fn of_another_name_is_named_by_flag_or_variable() {
        let named = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        let with = |job: Job| {
            let token = job.mint();
            job.unset(SUBJECT_TOKEN).env("METAL_ID_TOKEN", token)
        };
        for (name, job) in [
            ("by flag", with(Job::gitlab()).args(["--subject-token-env", "METAL_ID_TOKEN"])),
            ("by variable", with(Job::gitlab()).env(named, "METAL_ID_TOKEN")),
            (
                "the flag wins",
                with(Job::gitlab()).env(named, "NOT_SET").args(["--subject-token-env", "METAL_ID_TOKEN"]),
            ),
        ] {
            println!("case: {name}");
            let outcome = job.run();
            outcome.succeeds().sts_requests(1);
            assert!(outcome.printed_path().is_some(), "it is still GitLab, with its format");
        }
        let missing =
            fails(Job::gitlab().args(["--subject-token-env", "METAL_ID_TOKEN"]), 3, "gl-id-tokens-missing");
        missing.stderr_has("METAL_ID_TOKEN is not set").stderr_has(&yaml("METAL_ID_TOKEN", AUDIENCE));
    }

    #[test]
    fn with_a_stale_token_is_told_where_its_life_comes_from() {
        let age = |seconds: i64| {
            Job::gitlab().claims(move |claims| {
                claims.insert("iat".to_owned(), json!(token::now() - seconds - 3600));
                claims.insert("exp".to_owned(), json!(token::now() - seconds));
            })
        };
        for (name, job, code) in [
            ("yesterday's", age(86_400), "claim-expired"),
            ("two minutes old", age(120), "claim-expired"),
            ("within the leeway", age(30), "id-token-expiring"),
            ("about to expire", age(-20), "id-token-expiring"),
        ] {
            println!("case: {name}");
            fails(job, 5, code).stderr_has("    timeout: 2h\n").stderr_has("stale");
        }
        age(-90).run().succeeds();
    }
}

mod claims {
    use super::*;

    fn with_aud(aud: serde_json::Value) -> Job {
        Job::gitlab().claims(move |claims| {
            claims.insert("aud".to_owned(), aud.clone());
        })
    }

    #[test]
    fn another_instance_s_token_is_refused() {
        for issuer in ["https://gitlab.com", "https://gitlab.example/", ""] {
            println!("case: {issuer}");
            let job = Job::gitlab().claims(move |claims| {
                claims.insert("iss".to_owned(), json!(issuer));
            });
            let server = job.issuer_url();
            fails(job, 5, "claim-iss").stderr_has(&format!("expected: \"{server}\""));
        }
    }

    #[test]
    fn an_instance_that_does_not_tell_its_address_is_believed() {
        Job::gitlab().unset("CI_SERVER_URL").run().succeeds().sts_requests(1);
    }

    #[test]
    fn the_audience_need_not_be_named() {
        for aud in [json!("metal"), json!(["metal"])] {
            println!("case: {aud}");
            with_aud(aud).without_flag("--audience").run().succeeds().stderr_lacks("audience");
        }
        let shared = with_aud(json!(["metal", "sts.amazonaws.com"])).without_flag("--audience").run();
        shared.succeeds().stderr_has("meant for 2 audiences at once (\"metal\", \"sts.amazonaws.com\")");
    }

    #[test]
    fn another_service_s_token_is_refused_even_so() {
        for (aud, service) in [
            (json!("sts.amazonaws.com"), "AWS"),
            (json!("api://AzureADTokenExchange"), "Azure"),
            (json!("https://iam.googleapis.com/projects/1/locations/global"), "Google Cloud"),
            (json!("//iam.googleapis.com/projects/1"), "Google Cloud"),
            (json!("sigstore"), "Sigstore"),
            (json!("pypi"), "PyPI"),
            (json!(["sigstore", "pypi"]), "Sigstore"),
            (json!("https://github.com/octo-org"), "GitHub's default audience"),
            (json!("*"), "everybody"),
        ] {
            println!("case: {aud}");
            let outcome = fails(with_aud(aud).without_flag("--audience"), 5, "claim-aud");
            outcome.stderr_has(&format!("meant for {service}")).stderr_has("aud: under id_tokens:");
        }
    }

    #[test]
    fn another_job_s_token_is_warned_of() {
        for (claim, variable) in
            [("job_id", "CI_JOB_ID"), ("pipeline_id", "CI_PIPELINE_ID"), ("job_project_id", "CI_PROJECT_ID")]
        {
            println!("case: {claim}");
            let job = Job::gitlab().claims(move |claims| {
                claims.insert(claim.to_owned(), json!("1"));
            });
            let outcome = job.run();
            outcome.succeeds().sts_requests(1);
            outcome.stderr_has(&format!("warning: the ID token says {claim} \"1\", but {variable} is"));
            let warnings = outcome.report.as_ref().unwrap()["warnings"].to_string();
            assert!(warnings.contains(variable), "{warnings}");
        }
    }

    #[test]
    fn a_fork_s_merge_request_is_not_another_job() {
        let job = Job::gitlab().claims(|claims| {
            claims.insert("project_id".to_owned(), json!("4711"));
            claims.insert("project_path".to_owned(), json!("contributor/metal-app"));
        });
        job.run().succeeds().stderr_lacks("another run");
        let older = Job::gitlab().claims(|claims| {
            claims.remove("job_project_id");
        });
        older.run().succeeds().stderr_lacks("another run");
    }
}

/// Up to version 19.0 GitLab's runner hands its script to bash in a pipeline, as the argument of `eval`: without a word of
/// its own, a failing line ends the job with 1, whatever its status was.
mod the_runner_s_own_form {
    use super::*;

    fn in_the_runner(job: Job, line: &str) -> Outcome {
        let quoted = line.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        let script = format!("set -eo pipefail\nset +o noclobber\n: | eval $'{quoted}\\n'\nexit 0\n");
        job.wrap_shell(["bash", "-c", &script]).run()
    }

    #[test]
    fn keeps_the_status_of_a_line_that_says_exit() {
        let job = |is_exec| if is_exec { Job::gitlab().exec(["true"]) } else { Job::gitlab() };
        let cases = [
            (false, "equinix-wif \"$@\"", 6, 1),
            (false, "file=$(equinix-wif \"$@\")", 6, 1),
            (true, "equinix-wif \"$@\"", 125, 1),
        ];
        for (is_exec, line, kept, bare) in cases {
            for (end, status) in [(" || exit", kept), ("", bare)] {
                println!("case: {line}{end}");
                let job = job(is_exec).sts_reply(sts_error("invalid_scope", "no"));
                let outcome = in_the_runner(job, &format!("{line}{end}\necho 'the script went on'"));
                outcome.require(outcome.status == Some(status), &format!("the job ends with {status}"));
                outcome.stdout_is("").stderr_has("error[sts-scope-denied]: ").sts_requests(1);
            }
        }
    }

    #[test]
    fn has_the_token_after_the_recipe() {
        let recipe = "file=$(equinix-wif \"$@\") || exit\n. \"$file\"\nrm -f \"$file\"\nprintf '%s' \"$EQUINIX_API_TOKEN\"";
        let outcome = in_the_runner(Job::gitlab().token_on_stdout(), recipe);
        outcome.succeeds().stdout_is(outcome.access_token());
        assert_eq!(outcome.new_files(), Vec::<&std::path::Path>::new());
    }
}

/// Nobody but this program reads that variable, so no format unsets it.
mod the_program_s_own_variable {
    use super::*;

    /// GitLab's own hand-over, in the other variable.
    fn job() -> Job {
        let job = Job::gitlab();
        let token = job.mint();
        job.env(OWN_SUBJECT_TOKEN, token).unset(SUBJECT_TOKEN)
    }

    #[test]
    fn is_read_first_and_serves_any_number_of_exchanges() {
        let job = job().env(SCOPE_VARIABLE, SCOPE).env(SUBJECT_TOKEN, "not.a.token");
        let twice = r#". "$(equinix-wif "$@")"; . "$(equinix-wif "$@")"; rm "$CI_PROJECT_DIR.tmp"/*"#;
        script(job, SHELLS[0], twice).succeeds().sts_requests(2);
    }

    #[test]
    fn is_taken_from_what_exec_starts() {
        let outcome = job().exec(["sh", "-c", "env | sed -n 's/=.*//p'"]).run();
        outcome.succeeds();
        assert!(
            outcome.stdout.contains("EQUINIX_API_TOKEN\n") && !outcome.stdout.contains(OWN_SUBJECT_TOKEN)
        );
    }

    #[test]
    fn is_missed_inside_exec_for_another_reason() {
        let inside = Job::gitlab().unset(SUBJECT_TOKEN).env("EQUINIX_WIF_EXEC", "1");
        let outcome = fails(inside, 3, "gl-id-tokens-missing");
        outcome.stderr_has("inside equinix-wif exec").stderr_lacks("id_tokens:");
    }

    #[test]
    fn cannot_hold_the_access_token() {
        fails(job().args(["--env-name", OWN_SUBJECT_TOKEN]), 2, "cfg-env-name-invalid");
    }

    #[test]
    fn is_what_a_second_exchange_is_told_to_use() {
        let outcome = script(
            Job::gitlab().env(SCOPE_VARIABLE, SCOPE),
            SHELLS[0],
            r#". "$(equinix-wif "$@")"; rm "$CI_PROJECT_DIR.tmp"/*; equinix-wif "$@""#,
        );
        outcome.stderr_has("error[gl-id-tokens-missing]: ").sts_requests(1);
        outcome.stderr_has("an access token was set before").stderr_has(OWN_SUBJECT_TOKEN);
    }
}
