//! Where the identity comes from: the platform that is recognised, the one that is asked for, a variable, a file or
//! standard input; and what is said when there is none.

use crate::support;

use serde_json::Value;

use support::job::{Job, SUBJECT_TOKEN};
use support::outcome::Outcome;

/// A run that fails before anything is sent.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
    outcome
}

/// A run outside of any platform that hands its token over as JSON on stdout.
#[track_caller]
fn prints_json(job: Job) -> Outcome {
    let outcome = job.token_on_stdout().run();
    outcome.succeeds().sts_requests(1);
    assert_eq!(outcome.issuer.connections, 0, "a ready token is not asked for");
    let json: Value = serde_json::from_str(&outcome.stdout).expect("JSON on stdout");
    assert_eq!(json["access_token"], outcome.access_token());
    outcome
}

/// A job on GitHub whose environment says GitLab as well, with the same issuer for both.
fn two_platforms() -> Job {
    let job = Job::github();
    let (issuer, token) = (job.issuer(), job.mint());
    job.env("GITLAB_CI", "true").env("CI_SERVER_URL", issuer).env(SUBJECT_TOKEN, token)
}

/// A bare machine with a token in [`SUBJECT_TOKEN`].
fn with_variable() -> Job {
    let job = Job::bare();
    let token = job.mint();
    job.env(SUBJECT_TOKEN, token)
}

mod platforms {
    use super::*;

    #[test]
    fn two_at_once_are_an_error_that_names_both() {
        let outcome = fails(two_platforms(), 2, "cfg-provider-ambiguous");
        outcome.stderr_has("GitHub Actions (github) and GitLab CI (gitlab)");
        outcome.stderr_has(
            "hint: Say whose identity this job should use: --provider github or --provider gitlab.",
        );
        fails(two_platforms().args(["--provider", "auto"]), 2, "cfg-provider-ambiguous");
    }

    #[test]
    fn the_one_that_is_asked_for_decides() {
        let variable = "EQUINIX_WIF_PROVIDER";
        for (name, job) in [
            ("by flag", two_platforms().args(["--provider", "github"])),
            ("by variable", two_platforms().env(variable, "github")),
            ("the flag wins", two_platforms().env(variable, "gitlab").args(["--provider", "github"])),
        ] {
            println!("case: {name}");
            let outcome = job.run();
            outcome.succeeds().stdout_is("").id_token_requests(1).sts_requests(1);
            assert_eq!(outcome.outputs()["access-token"], outcome.access_token());
        }
        // GitHub's runner reads this log, whoever the identity comes from: masks are still needed.
        let outcome = two_platforms().args(["--provider", "gitlab"]).run();
        outcome.succeeds().id_token_requests(0).sts_requests(1);
        assert!(outcome.printed_path().is_some(), "GitLab's format");
        assert_eq!(outcome.stderr.matches("\n::add-mask::").count(), 2);
        assert_eq!(outcome.output_file.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn one_that_does_not_exist_is_an_error_that_lists_them() {
        for id in ["jenkins", "GitHub", "github ", "a\u{1b}[31m::b"] {
            println!("case: {id}");
            let outcome = fails(Job::github().args(["--provider", id]), 2, "cfg-value-invalid");
            outcome
                .stderr_has("known: auto, github, gitlab, circleci, bitbucket, hcp-terraform, kubernetes, spacelift, semaphore, forgejo, buildkite, azure-pipelines, vela, google, aws, env, file")
                .stderr_lacks("\u{1b}");
        }
    }

    #[test]
    fn one_that_is_not_here_says_what_it_misses() {
        let elsewhere = |id: &str| Job::bare().args(["--format", "json", "--provider", id]);
        fails(elsewhere("github"), 3, "gh-id-token-permission");
        fails(elsewhere("gitlab"), 3, "gl-id-tokens-missing");
    }

    #[test]
    fn a_near_miss_is_none() {
        for value in ["", "TRUE", "True", "1", "yes", "false", "true "] {
            println!("case: {value:?}");
            let job = Job::bare().env("GITHUB_ACTIONS", value).env("GITLAB_CI", value);
            let outcome = fails(job, 3, "ambient-not-ci");
            if value.is_empty() {
                outcome.stderr_has("looked at: no variable that tells a platform is set");
            } else {
                outcome.stderr_has("looked at: GITHUB_ACTIONS is ");
                outcome.stderr_has(&format!("GITLAB_CI is \"{value}\" instead of \"true\""));
            }
        }
    }

    #[test]
    fn no_ci_is_told_with_what_can_be_done_there() {
        let outcome = fails(Job::bare(), 3, "ambient-not-ci");
        outcome.stderr_has("--subject-token-env").stderr_has("equinix-wif sandbox");
        assert_eq!(outcome.report.as_ref().unwrap()["retryable"], false);
    }

    #[test]
    fn systems_without_id_tokens_are_told_what_to_use_instead() {
        for (name, value, system) in [
            ("CI", "woodpecker", "a Woodpecker job"),
            ("DRONE", "true", "a Drone job"),
            ("TRAVIS", "true", "a Travis CI job"),
            ("TEAMCITY_VERSION", "2026.1 (build 208117)", "a TeamCity build"),
        ] {
            println!("case: {name}");
            let outcome = fails(Job::bare().env(name, value), 3, "ambient-not-ci");
            outcome.stderr_has(system).stderr_has("no ID tokens").stderr_has("a grant with a stored secret");
            // A token of another system is as good there as anywhere.
            prints_json(with_variable().env(name, value));
        }
    }

    #[test]
    fn gitea_is_not_github_although_it_says_so() {
        let outcome = fails(Job::github().env("GITEA_ACTIONS", "true"), 3, "ambient-not-ci");
        outcome.stderr_has("a Gitea job: Gitea gives jobs no ID tokens");
        for variable in ["FORGEJO_ACTIONS", "GITEA_ACTIONS"] {
            let asked = Job::github().env(variable, "false").run();
            asked.succeeds().id_token_requests(1);
        }
    }
}

mod variables {
    use super::*;

    #[test]
    fn serve_where_there_is_no_platform() {
        for (name, job) in [
            ("the usual one by itself", with_variable()),
            ("by provider", with_variable().args(["--provider", "env"])),
            ("by flag", with_variable().args(["--subject-token-env", SUBJECT_TOKEN])),
            ("without an audience", with_variable().without_flag("--audience")),
        ] {
            println!("case: {name}");
            prints_json(job);
        }
    }

    #[test]
    fn win_over_a_platform_that_would_have_to_be_asked() {
        let job = Job::github();
        let token = job.mint();
        let outcome = job.env("METAL_ID_TOKEN", &token).args(["--subject-token-env", "METAL_ID_TOKEN"]).run();
        outcome.succeeds().stdout_is("").id_token_requests(0).sts_requests(1);
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
        assert_eq!(outcome.outputs()["available"], "true", "still GitHub's format");
    }

    #[test]
    fn that_hold_no_token_have_their_own_messages() {
        let good = Job::bare().mint();
        for (name, value, exit, code) in [
            ("missing", None, 3, "token-env-empty"),
            ("empty", Some(String::new()), 3, "token-env-empty"),
            ("unexpanded", Some("${OTHER}".to_owned()), 3, "token-env-unexpanded"),
            ("padded", Some(format!("{good}\n")), 3, "token-env-padded"),
            ("something else", Some("not-a-token-at-all".to_owned()), 4, "id-token-malformed"),
        ] {
            println!("case: {name}");
            let job = Job::bare().args(["--subject-token-env", "METAL_ID_TOKEN"]);
            let job = match value {
                Some(value) => job.env("METAL_ID_TOKEN", value),
                None => job,
            };
            let outcome = fails(job, exit, code);
            outcome.stderr_lacks("not-a-token-at-all");
            if exit == 3 {
                outcome.stderr_has("the variable METAL_ID_TOKEN");
            }
        }
    }

    #[test]
    fn are_named_and_not_quoted() {
        let token = Job::bare().mint();
        for name in ["$METAL_ID_TOKEN", "1A", "A-B", "A B", ""] {
            println!("case: {name}");
            let job = with_variable().args(["--subject-token-env", name]);
            if name.is_empty() {
                prints_json(job);
            } else {
                fails(job, 2, "cfg-value-invalid").stderr_has("the name of a variable, not its value");
            }
        }
        let variable = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        let outcome = fails(Job::bare().env(variable, token), 2, "cfg-value-invalid");
        outcome.stderr_has(variable);
    }
}

mod files {
    use super::*;

    /// A bare machine with this in the file that `--subject-token-file` names.
    fn with_file(content: impl AsRef<[u8]>) -> Job {
        let job = Job::bare().file("id-token", content);
        let path = job.root().join("id-token");
        job.arg("--subject-token-file").arg(path)
    }

    #[test]
    fn may_end_with_one_line_break() {
        let token = Job::bare().mint();
        for end in ["", "\n", "\r\n"] {
            println!("case: {end:?}");
            let job = Job::bare();
            let token = job.mint();
            let path = job.root().join("id-token");
            let job = job.file("id-token", format!("{token}{end}")).arg("--subject-token-file").arg(path);
            let outcome = prints_json(job);
            assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
        }
        for (name, content) in [
            ("two line breaks", format!("{token}\n\n")),
            ("CR alone", format!("{token}\r")),
            ("a blank before it", format!(" {token}")),
            ("a blank after it", format!("{token} ")),
            ("a byte-order mark", format!("\u{feff}{token}")),
            ("quotation marks", format!("\"{token}\"")),
            ("NUL", format!("{token}\0")),
        ] {
            println!("case: {name}");
            fails(with_file(content), 4, "id-token-malformed")
                .stderr_has("character that no JSON Web Token has");
        }
    }

    #[test]
    fn that_hold_no_token_have_their_own_messages() {
        for (name, content, exit, code, message) in [
            ("empty", Vec::new(), 3, "token-file-unreadable", "it is empty"),
            ("a line break", b"\n".to_vec(), 3, "token-file-unreadable", "it is empty"),
            ("not text", b"\xff\xfe".to_vec(), 3, "token-file-unreadable", "it is not text"),
            ("too large", vec![b'a'; 17 << 10], 4, "id-token-too-large", "16 KiB"),
            ("huge", vec![b'a'; 1 << 20], 4, "id-token-too-large", "16 KiB"),
            ("something else", b"hunter22".to_vec(), 4, "id-token-malformed", "dot-separated parts: 1"),
        ] {
            println!("case: {name}");
            fails(with_file(content).secret("hunter22"), exit, code).stderr_has(message);
        }
    }

    #[test]
    fn that_are_none_have_their_own_messages() {
        let folder = Job::bare();
        let path = folder.tmp();
        for (name, job, message) in [
            ("missing", Job::bare().args(["--subject-token-file", "/no/such/file"]), "there is no such file"),
            ("a folder", folder.arg("--subject-token-file").arg(path), "it is not a regular file"),
            (
                "below a file",
                Job::bare().args(["--subject-token-file", "/dev/null/x"]),
                "no ID token could be read",
            ),
            ("a device", Job::bare().args(["--subject-token-file", "/dev/zero"]), "it is not a regular file"),
        ] {
            println!("case: {name}");
            fails(job, 3, "token-file-unreadable").stderr_has(message);
        }
    }

    #[cfg(unix)]
    #[test]
    fn may_be_symbolic_links() {
        let job = Job::bare();
        let token = job.mint();
        let (link, target) = (job.root().join("link"), job.root().join("..data"));
        std::fs::write(&target, token).unwrap();
        std::os::unix::fs::symlink("..data", &link).unwrap();
        prints_json(job.arg("--subject-token-file").arg(link));
    }

    #[cfg(unix)]
    #[test]
    fn that_are_pipes_do_not_hang() {
        let make = |script: &str| {
            let job = Job::bare().without_report();
            let script = format!("mkfifo \"$TMPDIR/pipe\" && {script}");
            job.arg("--subject-token-file").wrap_shell(["sh", "-c", &script])
        };
        // Nobody has the other end of this one, so opening it would wait for ever.
        let outcome = make(r#"equinix-wif "$@" "$TMPDIR/pipe""#).run();
        outcome.fails(3, "token-file-unreadable").stderr_has("use --subject-token-file -").sts_requests(0);
        // And this one stays open without a word.
        let silent = r#"exec 3<>"$TMPDIR/pipe" && equinix-wif "$@" - --timeout 1 <&3 3<&-"#;
        let outcome = make(silent).run();
        outcome.fails(3, "token-file-unreadable").stderr_has("standard input").sts_requests(0);
        outcome.within(std::time::Duration::from_secs(10));
    }

    #[test]
    fn may_be_standard_input() {
        for end in ["", "\n", "\r\n"] {
            println!("case: {end:?}");
            let job = Job::bare();
            let token = job.mint();
            prints_json(job.args(["--subject-token-file", "-"]).stdin(format!("{token}{end}")));
        }
        let variable = Job::bare();
        let token = variable.mint();
        prints_json(variable.env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", "-").stdin(token));
        let empty = Job::bare().args(["--subject-token-file", "-"]);
        fails(empty, 3, "token-file-unreadable").stderr_has("standard input: it is empty");
        let much = Job::bare().args(["--subject-token-file", "-"]).stdin(vec![b'a'; 1 << 20]);
        fails(much, 4, "id-token-too-large");
    }

    #[test]
    fn win_over_platforms_and_variables() {
        let job = Job::github();
        let token = job.mint();
        let path = job.root().join("id-token");
        let job =
            job.file("id-token", &token).env(SUBJECT_TOKEN, "other").arg("--subject-token-file").arg(path);
        let outcome = job.run();
        outcome.succeeds().id_token_requests(0).sts_requests(1);
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
    }

    #[test]
    fn contradict_another_provider() {
        for provider in ["github", "gitlab", "env"] {
            println!("case: {provider}");
            let job = Job::github().args(["--subject-token-file", "x", "--provider", provider]);
            let outcome = fails(job, 2, "cfg-value-invalid");
            outcome.stderr_has("--subject-token-file is set, but the provider");
        }
        let missing = fails(Job::github().args(["--provider", "file"]), 2, "cfg-value-invalid");
        missing.stderr_has("needs --subject-token-file");
    }
}

#[test]
fn where_the_issuer_is_not_known_any_but_none_is_accepted() {
    let with_iss = |iss: Value| {
        let job = Job::bare().claims(move |claims| {
            claims.insert("iss".to_owned(), iss.clone());
        });
        let token = job.mint();
        job.env(SUBJECT_TOKEN, token)
    };
    prints_json(with_iss("https://jenkins.example/oidc".into()));
    for iss in [Value::Null, "".into(), 7.into()] {
        println!("case: {iss}");
        fails(with_iss(iss), 5, "claim-iss").stderr_has("names no issuer");
    }
}
