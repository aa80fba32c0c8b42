//! The sandbox: the main job, or any command, between a local issuer and STS, on a machine without any CI.

#![cfg(all(unix, feature = "sandbox"))]

use crate::support;

use support::job::Job;
use support::outcome::Outcome;

/// Runs the sandbox. Whatever it does, nothing of it stays behind and no token of its own is shown.
#[track_caller]
fn sandbox(job: Job, args: &[&str]) -> Outcome {
    let outcome = job.only_args(["sandbox"].iter().chain(args)).run();
    clean(&outcome);
    outcome
}

#[track_caller]
fn clean(outcome: &Outcome) {
    let left: Vec<_> = std::fs::read_dir(outcome.root().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "left in TMPDIR: {left:?}");
    for (stream, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        assert!(!text.contains("eyJ"), "a token is on {stream}: {text}");
        // What the sandbox makes up is random base64url; words, paths and addresses have no runs like these.
        let random = |run: &&str| {
            run.len() >= 32
                && run.bytes().any(|b| b.is_ascii_uppercase())
                && run.bytes().any(|b| b.is_ascii_digit())
        };
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let found: Vec<&str> = text.split(|c| !inside(c)).filter(random).collect();
        assert!(found.is_empty(), "random text is on {stream}: {found:?}\n{text}");
    }
    // The job that the harness sets up has an issuer and an STS of its own, which the sandbox has no business with.
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0));
}

#[track_caller]
fn tells(outcome: &Outcome, lines: &[&str]) {
    let mut rest = outcome.stdout.as_str();
    for line in lines {
        let at = rest.find(line);
        outcome.require(at.is_some(), &format!("the story goes on with {line:?}"));
        rest = &rest[at.unwrap() + line.len()..];
    }
}

mod the_story {
    use super::*;

    #[test]
    fn of_a_github_job() {
        for args in [&[][..], &["--platform", "github"]] {
            println!("case: {args:?}");
            let outcome = sandbox(Job::bare(), args);
            outcome.succeeds();
            assert_eq!(outcome.stderr, "");
            tells(
                &outcome,
                &[
                    "SANDBOX: nothing here is real.",
                    "Who the job is\n  platform      GitHub Actions",
                    "subject       repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main",
                    "ID token      GET /_services/pipelines/idtoken -> 200",
                    "STS           POST /use/token -> 200",
                    "::add-mask::*** (2x)",
                    "| equinix-wif: access token for roleassignments:",
                    "What the next step sees (GITHUB_OUTPUT)\n  access-token  ***\n  token-type    Bearer",
                    "available     true",
                    "Try next: equinix-wif sandbox with --platform gitlab",
                ],
            );
        }
    }

    #[test]
    fn of_a_gitlab_job() {
        let outcome = sandbox(Job::bare(), &["--platform", "gitlab"]);
        outcome.succeeds();
        assert_eq!(outcome.stderr, "");
        tells(
            &outcome,
            &[
                "SANDBOX: nothing here is real.",
                "platform      GitLab CI",
                "ID token      came with the job, in EQUINIX_WIF_SUBJECT_TOKEN",
                "STS           POST /use/token -> 200",
                "What the next command sees after . \"$(equinix-wif token)\"",
                "octo-project.tmp/equinix-wif-",
                "mode          0600",
                "exports       EQUINIX_API_TOKEN, EQUINIX_API_TOKEN_EXPIRES_AT",
                "Try next: equinix-wif sandbox with --platform github",
            ],
        );
        assert!(!outcome.stdout.contains("add-mask"));
    }

    #[test]
    fn of_each_fault_ends_with_its_exit_status() {
        let denied = "| error[sts-scope-denied]: the STS refused the exchange: \"invalid_scope\"";
        for (platform, fault, exit, lines) in [
            (
                "github",
                "rate-limit",
                0,
                &["POST /use/token -> 429", "POST /use/token -> 200", "(rate-limited)", "available     true"]
                    [..],
            ),
            (
                "gitlab",
                "rate-limit",
                0,
                &["POST /use/token -> 429", "POST /use/token -> 200", "mode          0600"],
            ),
            ("github", "expired-token", 5, &["checks        ended here", "| error[claim-expired]: "]),
            ("gitlab", "expired-token", 5, &["checks        ended here", "| error[claim-expired]: "]),
            (
                "github",
                "wrong-audience",
                5,
                &["checks        ended here", "| error[claim-aud]: ", "expected: \"equinix-sandbox\""],
            ),
            (
                "gitlab",
                "wrong-audience",
                5,
                &["checks        ended here", "| error[claim-aud]: ", "expected: \"equinix-sandbox\""],
            ),
            ("github", "refused-scope", 6, &["POST /use/token -> 400", denied]),
            ("gitlab", "refused-scope", 6, &["POST /use/token -> 400", denied]),
            (
                "github",
                "server-error",
                8,
                &["POST /use/token -> 503", "| error[server-error]: the STS failed (503)"],
            ),
        ] {
            println!("case: {fault} on {platform}");
            let outcome = sandbox(Job::bare(), &["--platform", platform, "--fault", fault]);
            assert_eq!(outcome.status, Some(exit), "{}", outcome.context());
            assert_eq!(outcome.stderr, "");
            tells(&outcome, &[&format!("Made to fail ({fault}): ")]);
            tells(&outcome, lines);
            if exit != 0 {
                tells(&outcome, &[&format!("The job failed with exit status {exit}.")]);
                assert!(!outcome.stdout.contains("access-token"), "nothing was handed over");
            }
            if exit == 5 {
                assert!(!outcome.stdout.contains("POST "), "the STS was not asked");
            }
        }
    }

    #[test]
    fn is_the_same_inside_of_a_real_job() {
        let github = sandbox(
            Job::github().env("EQUINIX_STS_ENDPOINT", "https://sts.example"),
            &["--platform", "gitlab"],
        );
        github.succeeds();
        tells(&github, &["platform      GitLab CI", "mode          0600"]);
        assert_eq!(github.output_file.as_deref(), Some(&b""[..]), "the real job's files are left alone");
        let gitlab = sandbox(Job::gitlab().env("HTTPS_PROXY", "http://127.0.0.1:9"), &[]);
        gitlab.succeeds();
        tells(&gitlab, &["platform      GitHub Actions", "available     true"]);
    }

    #[test]
    fn does_not_mind_settings_of_the_environment() {
        let job = [
            ("EQUINIX_WIF_FORMAT", "yaml"),
            ("EQUINIX_TOKEN_EXCHANGE_SCOPE", "x"),
            ("SSL_CERT_FILE", "/no/such/file"),
            ("GITHUB_OUTPUT", "/no/such/file"),
            ("CI_DEBUG_TRACE", "true"),
        ]
        .iter()
        .fold(Job::bare(), |job, (name, value)| job.env(*name, *value));
        sandbox(job, &["--platform", "gitlab"]).succeeds();
    }
}

mod commands {
    use super::*;

    const REMARK: &str =
        "equinix-wif: sandbox: issuer, STS, job and tokens are made up; nothing here is real\n";

    #[test]
    fn pass_their_exit_status_on() {
        for (script, status) in [("exit 7", 7), ("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143)] {
            println!("case: {script}");
            let outcome = sandbox(Job::bare(), &["--", "sh", "-c", script]);
            assert_eq!(outcome.status, Some(status), "{}", outcome.context());
            assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", REMARK));
        }
    }

    #[test]
    fn that_cannot_run_have_a_shell_s_status() {
        for (command, status, message) in [
            ("no-such-command-anywhere", 127, "was not found"),
            ("/no/such/command", 127, "was not found"),
            ("/dev/null", 126, "cannot be run"),
            ("/", 126, "cannot be run"),
        ] {
            println!("case: {command}");
            let outcome = sandbox(Job::bare(), &["--", command]);
            assert_eq!(outcome.status, Some(status), "{}", outcome.context());
            outcome
                .stdout_is("")
                .stderr_has(&format!("the command \"{command}\" {message}"))
                .stderr_has("hint: ");
        }
    }

    #[test]
    fn have_all_streams_to_themselves() {
        let job = Job::bare().stdin("one line\nand another\n");
        let outcome = sandbox(job, &["--", "sh", "-c", "cat; echo to stderr >&2"]);
        outcome.succeeds().stdout_is("one line\nand another\n");
        assert_eq!(outcome.stderr, format!("{REMARK}to stderr\n"));
        let quiet = sandbox(Job::bare(), &["-q", "--", "true"]);
        quiet.succeeds();
        assert_eq!(quiet.stderr, "");
    }

    #[test]
    fn get_their_arguments_as_they_are() {
        let script = r#"for argument; do printf '<%s>' "$argument"; done"#;
        let outcome =
            sandbox(Job::bare(), &["--", "sh", "-c", script, "sh", "-v", "--", "--help", "a b", "", "'\"$x"]);
        outcome.succeeds().stdout_is("<-v><--><--help><a b><><'\"$x>");
    }

    #[test]
    fn may_get_a_token_as_an_argument_of_theirs() {
        let token = Job::bare().mint();
        sandbox(Job::bare(), &["--", "true", &token]).succeeds().stdout_is("");
    }

    #[test]
    fn find_the_documented_gitlab_recipe_working() {
        let recipe = r#". "$(equinix-wif token)" && test -n "$EQUINIX_API_TOKEN" && test -n "$EQUINIX_API_TOKEN_EXPIRES_AT" &&
            test "$GITLAB_CI" = true && . "$(equinix-wif token)""#;
        for shell in ["sh", "dash", "bash"] {
            println!("case: {shell}");
            let outcome = sandbox(Job::bare(), &["--platform", "gitlab", "--", shell, "-c", recipe]);
            outcome.succeeds().stdout_is("");
            let exchanges = outcome.stderr.matches("equinix-wif: access token for").count();
            outcome.require(exchanges == 2, "what is sourced leaves the ID token for a second exchange");
        }
    }

    /// As `docs/reference/commands.md` shows it.
    #[test]
    fn may_be_a_dry_run() {
        let outcome =
            sandbox(Job::bare(), &["--platform", "gitlab", "--", "equinix-wif", "token", "--dry-run"]);
        outcome.succeeds().stdout_is("").stderr_has("would send: POST http://127.0.0.1:");
        outcome.stderr_has("  audience:           equinix-sandbox\n");
    }

    #[test]
    fn find_github_s_files() {
        // The runner has to be able to read stderr, so it goes to a pipe here and not to a file.
        let script = r#"equinix-wif token --export-env 2>&1 > "$RUNNER_TEMP/out" | cat > "$RUNNER_TEMP/log"
            test ! -s "$RUNNER_TEMP/out" || echo "something on stdout"
            grep -c '^::add-mask::' "$RUNNER_TEMP/log"
            grep -c '^access-token<<' "$GITHUB_OUTPUT"
            grep -c '^EQUINIX_API_TOKEN<<' "$GITHUB_ENV""#;
        sandbox(Job::bare(), &["--", "sh", "-c", script]).stdout_is("2\n1\n1\n");
        let script = r#"equinix-wif token 2> "$RUNNER_TEMP/log"
            grep -c '^error.mask-undeliverable.: ' "$RUNNER_TEMP/log"
            grep -c '^access-token<<' "$GITHUB_OUTPUT""#;
        sandbox(Job::bare(), &["--", "sh", "-c", script]).stdout_is("1\n0\n");
    }

    #[test]
    fn meet_the_fault_that_was_asked_for() {
        let args = ["--platform", "gitlab", "--fault", "refused-scope", "--", "equinix-wif", "token", "-q"];
        let outcome = sandbox(Job::bare(), &args);
        assert_eq!(outcome.status, Some(6), "{}", outcome.context());
        outcome.stdout_is("").stderr_has("nothing here is real (the STS has no grant for the scope)");
        outcome.stderr_has("error[sts-scope-denied]: ");
    }

    #[test]
    fn may_ask_for_the_other_api_version() {
        let args = [
            "--platform",
            "gitlab",
            "--",
            "equinix-wif",
            "token",
            "--sts-api",
            "v1",
            "--output",
            "/dev/null/x",
        ];
        let refused = sandbox(Job::bare(), &args);
        assert_eq!(refused.status, Some(9), "{}", refused.context());
        let script = r#"test -s "$(equinix-wif token --sts-api v1)""#;
        sandbox(Job::bare(), &["--platform", "gitlab", "--", "sh", "-c", script]).succeeds();
    }

    #[test]
    fn do_not_see_the_real_job() {
        let script =
            "env | grep -c -e ^GITHUB_ -e ^ACTIONS_ -e ^RUNNER_; echo \"$CI_JOB_ID $EQUINIX_WIF_REPORT\"";
        let job = Job::github().env("EQUINIX_WIF_REPORT", "/real");
        let outcome = sandbox(job, &["--platform", "gitlab", "--", "sh", "-c", script]);
        outcome.stdout_is("0\n302 \n");
    }
}

/// The grants that need a stored secret, each with one command.
#[cfg(feature = "classic-grants")]
mod classic {
    use super::*;

    /// Runs a script on a laptop. Tokens go nowhere.
    fn laptop(fault: &[&str], script: &str) -> Outcome {
        let args = [&["--platform", "none"], fault, &["--", "sh", "-ec", script]].concat();
        sandbox(Job::bare(), &args)
    }

    #[test]
    fn the_story_of_a_laptop() {
        let outcome = sandbox(Job::bare(), &["--platform", "none"]);
        outcome.succeeds();
        assert_eq!(outcome.stderr, "");
        tells(
            &outcome,
            &[
                "platform      none",
                "API           POST /oauth2/v1/token -> 200",
                "| equinix-wif: access token is valid until",
                "What the caller reads from standard output\n  {\"access_token\":\"***\"",
                "Try next: equinix-wif sandbox with --platform github, --fault wrong-login",
            ],
        );
        for (fault, answer, error) in [
            ("wrong-login", "POST /oauth2/v1/token -> 500", "| error[api-login-failed]: "),
            ("locked-account", "POST /oauth2/v1/token -> 400", "| error[api-account-locked]: "),
        ] {
            let outcome = sandbox(Job::bare(), &["--platform", "none", "--fault", fault]);
            assert_eq!(outcome.status, Some(6), "{}", outcome.context());
            let failed = "The job failed with exit status 6.";
            tells(&outcome, &[&format!("Made to fail ({fault}): "), answer, error, failed]);
            assert!(!outcome.stdout.contains("access_token"), "nothing was handed over");
        }
    }

    #[test]
    fn a_fault_that_the_main_job_cannot_meet_is_refused() {
        for (platform, fault, known) in [
            ("none", "rate-limit", "Use --platform github or --platform gitlab, or"),
            ("github", "wrong-login", "Use --platform none, or"),
        ] {
            let outcome = sandbox(Job::bare(), &["--platform", platform, "--fault", fault]);
            outcome.fails(2, "cfg-value-invalid").stderr_has(known);
        }
        let args = ["--platform", "github", "--fault", "wrong-login", "--", "true"];
        sandbox(Job::bare(), &args).succeeds();
    }

    #[test]
    fn each_grant_works_on_a_laptop() {
        for grant in ["client-credentials", "sts-client-credentials"] {
            laptop(&[], &format!("equinix-wif token --grant {grant} > /dev/null")).succeeds();
        }
        let password =
            r#"equinix-wif token --grant password --force --password-file "$EQUINIX_SANDBOX_PASSWORD_FILE""#;
        laptop(&[], &format!("{password} > /dev/null")).succeeds();
        let encoded = format!("{password} --password-encoding md5-b64 --user-name octo-user > /dev/null");
        laptop(&[], &encoded).succeeds();
    }

    #[test]
    fn a_refresh_token_is_replaced_each_time() {
        let script = r#"
            file="$EQUINIX_SANDBOX_REFRESH_TOKEN_FILE"
            refresh() { equinix-wif token --grant refresh-token --refresh-token-file "$1" > /dev/null; }
            cp "$file" old
            refresh "$file"
            ! cmp -s "$file" old
            refresh "$file"
            refresh old 2> log || echo "exit $?"
            grep -c "Please enter a valid refresh token" log
        "#;
        let outcome = laptop(
            &[],
            &format!("cd \"$(mktemp -d \"$TMPDIR/x.XXXXXX\")\"; trap 'rm -r \"$PWD\"' EXIT; {script}"),
        );
        outcome.succeeds().stdout_is("exit 6\n1\n");
    }

    #[test]
    fn five_wrong_attempts_lock_the_account() {
        let script = r"
            for attempt in 1 2 3 4 5; do
                EQUINIX_API_CLIENTSECRET=not-the-secret equinix-wif token --grant client-credentials || :
            done
            equinix-wif token --grant client-credentials
        ";
        let outcome = laptop(&[], script);
        assert_eq!(outcome.status, Some(6), "{}", outcome.context());
        let count = |code: &str| outcome.stderr.matches(&format!("error[{code}]")).count();
        assert_eq!((count("api-login-failed"), count("api-account-locked")), (5, 1), "{}", outcome.context());
    }

    #[test]
    fn a_platform_s_job_needs_the_endpoints_as_flags() {
        let token = "equinix-wif token --grant client-credentials";
        let refused = sandbox(Job::bare(), &["--platform", "gitlab", "--", "sh", "-c", token]);
        refused.fails(10, "endpoint-untrusted").stderr_has("--api-endpoint http://127.0.0.1:");
        for grant in ["client-credentials", "sts-client-credentials --sts-endpoint \"$EQUINIX_STS_ENDPOINT\""]
        {
            let script = format!(
                r#"test -s "$(equinix-wif token --validation strict --api-endpoint "$EQUINIX_API_ENDPOINT" --grant {grant})""#
            );
            let outcome = sandbox(Job::bare(), &["--platform", "gitlab", "--", "sh", "-c", &script]);
            outcome.succeeds().stderr_lacks("earlier step");
        }
    }

    #[test]
    fn a_run_with_an_identity_has_no_use_for_them() {
        let script = r#"
            test -n "$EQUINIX_API_CLIENTID" && test -n "$EQUINIX_API_CLIENTSECRET" && test -n "$EQUINIX_API_ENDPOINT"
            equinix-wif exec -- sh -c 'echo "${EQUINIX_API_CLIENTSECRET-gone}"'"#;
        let outcome = sandbox(Job::bare(), &["--platform", "gitlab", "--", "sh", "-ec", script]);
        outcome.succeeds().stdout_is("gone\n");
    }
}

#[test]
fn the_access_policies_of_a_job_are_listed() {
    for (platform, subject) in [("github", "repo:octo-org"), ("gitlab", "project_path:octo-group")] {
        println!("case: {platform}");
        // Somebody has to read the mask of the ID token, or there is no list.
        let script = "{ equinix-wif policies 2>&1 >&3 | grep -v ^::add-mask:: >&2; } 3>&1";
        let outcome = sandbox(Job::bare(), &["--platform", platform, "--", "sh", "-c", script]);
        outcome.succeeds();
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "{}", outcome.stdout);
        assert!(
            lines[0].starts_with("access policies of \"project:") && lines[0].ends_with(" (3)"),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains(&format!("granted to \"{subject}")), "{}", lines[0]);
        assert!(lines[1].starts_with("  ern:eqix:") && lines[1].contains(":accessPolicy:fabric-operator"));
        assert!(
            lines[2].starts_with("  ern:eqix:") && lines[2].contains(":accessPolicy:network-edge-viewer")
        );
        assert!(lines[3].starts_with("  accesspolicy:metro-reader (an id; "), "{}", lines[3]);
    }
}

#[test]
fn what_it_does_not_know_is_refused_with_what_it_knows() {
    for (args, message, known) in [
        (&["--platform", "jenkins"][..], "the sandbox has no platform \"jenkins\"", "known: github, gitlab"),
        (&["--platform", "GitHub"], "the sandbox has no platform \"GitHub\"", "known: github, gitlab"),
        (
            &["--fault", "fire"],
            "the sandbox has no fault \"fire\"",
            "rate-limit, expired-token, wrong-audience",
        ),
        (&["--fault", "Fire"], "the sandbox has no fault \"Fire\"", "refused-scope, server-error"),
        (&["--fault", "fire", "--", "true"], "the sandbox has no fault", "rate-limit"),
    ] {
        println!("case: {args:?}");
        let outcome = sandbox(Job::bare(), args);
        outcome.fails(2, "cfg-value-invalid").stderr_has(message).stderr_has(known);
    }
    sandbox(Job::bare(), &["true"]).fails(2, "cfg-usage");
}

#[test]
fn a_temporary_folder_that_cannot_be_used_is_an_error() {
    let outcome = Job::bare().env("TMPDIR", "/dev/null").only_args(["sandbox"]).run();
    outcome.fails(1, "sandbox-failed").stderr_has("/dev/null");
}

#[test]
fn a_story_that_nobody_reads_is_no_success() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_equinix-wif"));
    let command = command.arg("sandbox").env_clear().env("TMPDIR", folder.path());
    let output = command.stdout(writer).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(9), "{stderr}");
    assert!(stderr.starts_with("error[out-closed]: "), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
