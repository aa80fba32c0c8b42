//! The command line and the settings: what goes to which stream, where a setting comes from, what is refused and how
//! it is said, and the offline explanations.

use crate::support;

use std::path::Path;

use serde_json::{Value, json};

use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::tls;

/// Only these arguments, outside of any job.
fn only(args: &[&str]) -> Outcome {
    Job::bare().only_args(args).run()
}

/// A run that fails before anything is sent.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
    outcome
}

mod help {
    use super::*;

    #[test]
    fn goes_to_stdout() {
        for (args, words) in [
            (&["--help"][..], &["token", "explain", "sandbox", "--quiet", "docs/README.md"][..]),
            (&["-h"], &["token", "explain", "sandbox"]),
            (
                &["token", "--help"],
                &["--scope", "--audience", "--sts-endpoint", "--report", "Identity:", "--quiet"],
            ),
            (&["explain", "--help"], &["claim-aud"]),
            (&["sandbox", "--help"], &["--platform", "--fault", "expired-token", "nothing in it is real"]),
        ] {
            println!("case: {args:?}");
            let outcome = only(args);
            outcome.succeeds();
            assert_eq!(outcome.stderr, "");
            for word in words {
                assert!(outcome.stdout.contains(word), "{word} is in {}", outcome.stdout);
            }
        }
    }

    #[test]
    fn tells_the_version() {
        let expected = concat!("equinix-wif ", env!("CARGO_PKG_VERSION"), "\n");
        for flag in ["--version", "-V", "version"] {
            let outcome = only(&[flag]);
            outcome.succeeds().stdout_is(expected);
            assert_eq!(outcome.stderr, "");
        }
    }

    #[test]
    fn comes_by_a_command_too() {
        for (command, flag) in [
            (&["help"][..], &["--help"][..]),
            (&["help", "token"], &["token", "--help"]),
            (&["-q", "help", "version"], &["version", "--help"]),
        ] {
            let outcome = only(command);
            outcome.succeeds().stdout_is(&only(flag).stdout);
            assert_eq!(outcome.stderr, "");
        }
    }

    #[test]
    fn has_variables_defaults_and_examples_when_it_is_long() {
        let long = only(&["exec", "--help"]).stdout;
        for part in [
            "[env: EQUINIX_WIF_TIMEOUT]",
            "[default: 60]",
            "[values: off, basic, strict]",
            "[env: EQUINIX_WIF_CA_FILE, else SSL_CERT_FILE]",
            "Examples:\n  # ",
        ] {
            assert!(long.contains(part), "{part}: {long}");
        }
        let short = only(&["exec", "-h"]).stdout;
        assert!(!short.contains("[env: ") && !short.contains("Examples:"), "{short}");
        assert!(short.lines().count() * 2 < long.lines().count(), "{short}");
    }

    /// A word is not broken, however narrow the terminal.
    #[test]
    fn is_wrapped_to_the_width() {
        let bare = only(&["--help"]).stdout;
        let names =
            bare.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|l| !l.is_empty());
        let commands = names.filter_map(|line| line.split_whitespace().next());
        for command in std::iter::once("").chain(commands) {
            for flag in ["-h", "--help"] {
                let args: Vec<&str> = [command, flag].into_iter().filter(|word| !word.is_empty()).collect();
                let help = |width: &str| Job::bare().env("COLUMNS", width).only_args(&args).run().stdout;
                let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
                let wide = help("100");
                for width in [80, 40] {
                    let narrow = help(&width.to_string());
                    assert_eq!(words(&narrow), words(&wide), "{args:?} at {width}");
                    // A line is longer only where it is a single word, after what stands before the column of texts. How
                    // a command is called is never wrapped.
                    let lines = narrow.lines().filter(|line| !line.starts_with("Usage: "));
                    for line in lines.filter(|line| line.chars().count() > width) {
                        let text = line.trim_start().rsplit("  ").next().unwrap_or_default();
                        assert!(!text.trim().contains(' '), "{args:?} at {width}: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn shows_no_value_of_the_environment() {
        let job = Job::github().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", "scope-of-the-environment");
        let outcome = job.only_args(["token", "--help"]).run();
        outcome.succeeds();
        assert!(!outcome.stdout.contains("scope-of-the-environment"));
    }
}

mod usage {
    use super::*;

    #[test]
    fn errors_go_to_stderr() {
        for (args, message, hint) in [
            (&["tokn"][..], "unrecognized subcommand 'tokn'", "'token'"),
            (&["token", "--scpe", "x"], "unexpected argument '--scpe'", "'--scope'"),
            (&["token", "extra"], "unexpected argument 'extra'", "--help"),
            (&["token", "--scope"], "a value is required for '--scope <SCOPE>'", "--help"),
            (&["token", "--scope", "a:b", "--scope", "c:d"], "cannot be used multiple times", "--help"),
            (&["token", "--export-env=true"], "unexpected value 'true' for '--export-env'", "--help"),
            (&["token", "-q", "-v"], "cannot be used with", "--help"),
            (&["token", "--color", "sometimes"], "invalid value 'sometimes'", "--help"),
            (&["help", "tokn"], "there is no command \"tokn\"", "Did you mean token?"),
            (&["help", "--bogus"], "unexpected argument '--bogus'", "equinix-wif help --help"),
            (&["version", "x"], "unexpected argument 'x'", "--help"),
            (
                &["sandbox", "ls"],
                "unexpected argument 'ls'",
                "goes after --, as in equinix-wif sandbox -- ls",
            ),
            (&["explain", "a", "b"], "unexpected argument 'b'", "--help"),
            (&["token", "--subject-token", "x"], "unexpected argument '--subject-token'", "--help"),
            (&["token", "\u{1b}]0;x\u{7}\n::add-path::/x"], "unexpected argument ']0;x", "--help"),
        ] {
            println!("case: {args:?}");
            let outcome = only(args);
            outcome.fails(2, "cfg-usage").stderr_has(message);
            let line = outcome.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
            assert!(line.contains(hint), "{line}");
            assert!(!outcome.stderr.contains(['\u{1b}', '\u{7}']));
        }
    }

    #[test]
    fn no_command_is_answered_with_the_next_step_from_here() {
        let nothing = |job: Job| job.only_args([""; 0]).run();
        for (job, step) in [
            (
                Job::bare(),
                "hint: No CI platform was recognised. Run: equinix-wif doctor, which says what it looked at\n",
            ),
            (
                Job::github()
                    .env("EQUINIX_WIF_AUDIENCE", "a")
                    .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", "roleassignments:o"),
                "hint: The identity comes from GitHub Actions. Run: equinix-wif token\n",
            ),
            (
                Job::gitlab(),
                "hint: The identity comes from GitLab CI. No scope is set. Run: equinix-wif doctor --scope SCOPE\n",
            ),
        ] {
            let outcome = nothing(job);
            outcome
                .fails(2, "cfg-usage")
                .stderr_has("error[cfg-usage]: no command was given\n")
                .stderr_has(step);
        }
    }

    #[test]
    fn errors_are_annotated_on_github() {
        let outcome = Job::github().only_args(["token", "--scpe", "x"]).run();
        outcome
            .fails(2, "cfg-usage")
            .stderr_has("\n::error title=equinix-wif cfg-usage::unexpected argument");
        assert!(!only(&["token", "--scpe", "x"]).stderr.contains("::error"));
    }

    #[test]
    fn errors_are_accounted_for_like_every_other_failure() {
        for args in [&["token", "--scpe", "x", "--report", "-"][..], &["token", "--report=-", "--scpe=x"]] {
            let outcome = Job::github().only_args(args).run();
            outcome.fails(2, "cfg-usage").stderr_has(r#""code":"cfg-usage""#);
            assert_eq!(outcome.outputs()["error-code"], "cfg-usage");
        }
        // Wherever the mistake is, and whatever stands before the command.
        for args in [
            &["-q", "token", "--bogus", "--report", "-"][..],
            &["--bogus", "--color", "never", "token", "--report", "-"],
            &["token", "--bogus", "--other=x", "stray", "--report", "-"],
            &["token", "--export-env=true", "--report", "-"],
            &["token", "-q", "-v", "--report", "-"],
            &["token", "--report", "-", "--scope"],
        ] {
            let outcome = Job::github().only_args(args).run();
            outcome.fails(2, "cfg-usage").stderr_has(r#""code":"cfg-usage""#);
            assert_eq!(outcome.outputs()["error-code"], "cfg-usage", "{args:?}");
        }
        let exec = Job::github().only_args(["-q", "exec", "--bogus", "--report", "-", "--", "true"]).run();
        exec.fails(125, "cfg-usage").stderr_has(r#""exit":125"#);
        assert_eq!(exec.outputs()["error-code"], "cfg-usage");
        let elsewhere = Job::github().only_args(["token", "--scpe", "x", "--format", "json"]).run();
        assert_eq!(elsewhere.output_file.as_deref(), Some(&b""[..]), "json leaves no output");
        let other = Job::github().only_args(["explain", "a", "b"]).run();
        assert_eq!(other.fails(2, "cfg-usage").output_file.as_deref(), Some(&b""[..]));
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_that_is_not_utf8_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;
        let bytes = std::ffi::OsString::from_vec(b"roleassignments:\xff".to_vec());
        let job = Job::bare().only_args([std::ffi::OsString::from("token"), "--scope".into(), bytes]);
        job.run().fails(2, "cfg-usage");
    }

    #[test]
    fn a_token_among_the_arguments_is_refused_and_not_repeated() {
        let token = Job::bare().mint();
        for (name, args) in [
            ("as a value", vec!["token", "--scope", &token]),
            ("glued to its flag", vec!["token", &format!("--audience={token}")]),
            ("in quotation marks", vec!["token", "--scope", &format!("\"{token}\"")]),
            ("with its scheme", vec!["token", "--audience", &format!("Bearer {token}")]),
            ("as a word", vec!["token", &token]),
            ("as the command", vec![token.as_str()]),
            ("as a variable's name", vec!["token", "--subject-token-env", &token]),
            ("as a path", vec!["token", "--subject-token-file", &token]),
            ("after an error", vec!["tokn", "--x", &token]),
            ("for explain", vec!["explain", &token]),
            ("of a command that is no child's", vec!["sandbox", "--platform", &token]),
        ] {
            println!("case: {name}");
            // The harness looks for pieces of the signature in every output.
            let job = Job::github().secret(token.rsplit('.').next().unwrap());
            let outcome = job.env("EQUINIX_WIF_REPORT", "-").only_args(args).run();
            outcome
                .fails(2, "cfg-secret-in-argv")
                .stderr_has("treat the one that was on the command line as disclosed")
                .stderr_has(r#""code":"cfg-secret-in-argv""#);
            outcome.stderr_lacks("eyJ");
        }
    }
}

mod settings {
    use super::*;

    const REPORT: &str = "EQUINIX_WIF_REPORT";

    /// What the report says of a setting.
    #[track_caller]
    fn reported(outcome: &Outcome, name: &str) -> (Value, String) {
        let setting = &outcome.report.as_ref().unwrap()["settings"][name];
        (setting["value"].clone(), setting["source"].as_str().unwrap_or("(not told)").to_owned())
    }

    /// A setting with two values that a GitHub job accepts, and how to see that one took effect.
    struct Case {
        flag: &'static str,
        variable: &'static str,
        values: [String; 2],
        effect: fn(&Outcome, &str) -> bool,
    }

    /// A GitHub job with a second ID token in two variables and in two files.
    fn job() -> Job {
        let job = Job::github().token_in("one.json").token_in("two.json");
        let token = job.mint();
        let job = ["ONE", "TWO"].iter().fold(job, |job, name| job.env(format!("TOKEN_{name}"), &token));
        job.file("token-one", &token).file("token-two", &token)
    }

    fn cases(job: &Job) -> Vec<Case> {
        let path = |name: &str| job.root().join(name).display().to_string();
        let two = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let case = |flag, variable, values, effect| Case { flag, variable, values, effect };
        vec![
            case(
                "--scope",
                "EQUINIX_TOKEN_EXCHANGE_SCOPE",
                two("orgpolicies:a", "projectpolicies:b"),
                |outcome, value| outcome.sts.requests[0].form_value("scope").as_deref() == Some(value),
            ),
            case("--audience", "EQUINIX_WIF_AUDIENCE", two("one", "two"), |outcome, value| {
                outcome.issuer.requests[0].query_value("audience").as_deref() == Some(value)
            }),
            case("--provider", "EQUINIX_WIF_PROVIDER", two("github", "auto"), |outcome, _| {
                outcome.issuer.requests.len() == 1
            }),
            case(
                "--subject-token-env",
                "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
                two("TOKEN_ONE", "TOKEN_TWO"),
                |outcome, _| outcome.issuer.requests.is_empty(),
            ),
            case(
                "--subject-token-file",
                "EQUINIX_WIF_SUBJECT_TOKEN_FILE",
                [path("token-one"), path("token-two")],
                |outcome, _| outcome.issuer.requests.is_empty(),
            ),
            case("--sts-api", "EQUINIX_STS_API", two("v1", "alpha"), |outcome, value| {
                let path = if value == "v1" { "/v1/token" } else { "/use/token" };
                outcome.sts.requests[0].target == path
            }),
            case("--format", "EQUINIX_WIF_FORMAT", two("github", "auto"), |outcome, _| {
                outcome.outputs()["available"] == "true"
            }),
            case("--env-name", "EQUINIX_WIF_ENV_NAME", two("TOKEN_A", "TOKEN_B"), |outcome, value| {
                outcome.exports().contains_key(value)
            }),
            case("--min-ttl", "EQUINIX_WIF_MIN_TTL", two("3599", "0"), |_, _| true),
            case("--timeout", "EQUINIX_WIF_TIMEOUT", two("50", "3600"), |_, _| true),
        ]
    }

    fn number_or_text(value: &str) -> Value {
        value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number))
    }

    #[test]
    fn come_by_flag_or_variable_and_the_flag_wins() {
        for number in 0..cases(&job()).len() {
            let run = |by_flag: Option<usize>, by_variable: Option<&dyn Fn(&Case) -> String>| {
                let job = job().arg("--export-env");
                let case = cases(&job).swap_remove(number);
                println!("case: {} flag {by_flag:?}, variable {}", case.flag, by_variable.is_some());
                let mut job = job.without_flag(case.flag);
                if let Some(value) = by_variable {
                    job = job.env(case.variable, value(&case));
                }
                if let Some(value) = by_flag {
                    job = job.arg(case.flag).arg(&case.values[value]);
                }
                (job.run(), case)
            };
            let first = |case: &Case| case.values[0].clone();
            let empty = |_: &Case| String::new();
            for (by_flag, by_variable, wanted) in [
                (Some(0), None, 0),
                (Some(0), Some(&empty as &dyn Fn(&Case) -> String), 0),
                (None, Some(&first), 0),
                (Some(1), Some(&first), 1),
            ] {
                let (outcome, case) = run(by_flag, by_variable);
                outcome.succeeds();
                let value = &case.values[wanted];
                let source = if by_flag.is_some() { case.flag } else { case.variable };
                let name = case.flag.trim_start_matches('-');
                assert_eq!(reported(&outcome, name), (number_or_text(value), source.to_owned()), "{name}");
                assert!(
                    (case.effect)(&outcome, value),
                    "{name}={value} has no effect\n{}",
                    outcome.context()
                );
            }
        }
    }

    #[test]
    fn that_are_switches_are_true_or_false() {
        let job = |value: &str| Job::github().env("EQUINIX_WIF_EXPORT_ENV", value);
        for (name, job, exported, source) in [
            ("unset", Job::github(), false, "default"),
            ("empty", job(""), false, "default"),
            ("true", job("true"), true, "EQUINIX_WIF_EXPORT_ENV"),
            ("1", job("1"), true, "EQUINIX_WIF_EXPORT_ENV"),
            ("false", job("false"), false, "EQUINIX_WIF_EXPORT_ENV"),
            ("0", job("0"), false, "EQUINIX_WIF_EXPORT_ENV"),
            ("the flag wins", job("false").arg("--export-env"), true, "--export-env"),
        ] {
            println!("case: {name}");
            let outcome = job.run();
            outcome.succeeds();
            assert_eq!(outcome.exports().contains_key("EQUINIX_API_TOKEN"), exported);
            assert_eq!(reported(&outcome, "export-env"), (json!(exported), source.to_owned()));
        }
    }

    #[test]
    fn for_the_endpoint_come_by_variable_too() {
        let job = Job::github().without_flag("--sts-endpoint");
        let url = job.sts_url();
        let outcome = job.env("EQUINIX_STS_ENDPOINT", format!("{url}/")).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(reported(&outcome, "sts-endpoint").1, "EQUINIX_STS_ENDPOINT");
        // The flag wins over a variable that would be refused.
        let outcome = Job::github().env("EQUINIX_STS_ENDPOINT", "https://evil.example").run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(reported(&outcome, "sts-endpoint").1, "--sts-endpoint");
    }

    #[test]
    fn for_certificates_come_by_either_of_two_variables() {
        for (name, variables, source) in [
            ("ours", &["EQUINIX_WIF_CA_FILE"][..], "EQUINIX_WIF_CA_FILE"),
            ("everybody's", &["SSL_CERT_FILE"], "SSL_CERT_FILE"),
            ("both", &["EQUINIX_WIF_CA_FILE", "SSL_CERT_FILE"], "EQUINIX_WIF_CA_FILE"),
        ] {
            println!("case: {name}");
            let job = Job::github().tls().without_flag("--ca-file");
            let path = tls::write_ca(job.root());
            let job = variables.iter().enumerate().fold(job, |job, (number, variable)| {
                job.env(*variable, if number == 0 { path.as_path() } else { Path::new("/no/such/file") })
            });
            let outcome = job.run();
            outcome.succeeds().sts_requests(1);
            assert_eq!(reported(&outcome, "ca-file").1, source);
        }
        for (name, job) in [
            ("missing", Job::github().args(["--ca-file", "/no/such/file"])),
            ("missing, by variable", Job::github().env("SSL_CERT_FILE", "/no/such/file")),
            ("a folder", Job::github().args(["--ca-file", "/"])),
            ("empty", Job::github().args(["--ca-file", "/dev/null"])),
        ] {
            println!("case: {name}");
            fails(job, 2, "cfg-ca-file");
        }
    }

    #[test]
    fn for_the_report_come_by_variable_too() {
        let job = Job::github().without_report();
        let path = job.root().join("by-variable.json");
        let outcome = job.env(REPORT, &path).run();
        outcome.succeeds();
        let report: Value = serde_json::from_slice(&outcome.files[&path]).unwrap();
        assert_eq!((&report["v"], &report["code"]), (&json!(1), &Value::Null));

        let on_stderr = Job::github().without_report().args(["--report", "-"]).run();
        on_stderr.succeeds().stdout_is("");
        let line = on_stderr.stderr.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["exit"], 0);

        let nowhere = Job::github().without_report().args(["--report", "/no/such/folder/report.json"]);
        nowhere.run().fails(9, "out-open").sts_requests(0).id_token_requests(0);
    }

    #[test]
    fn for_the_output_come_by_flag_or_variable() {
        for by_flag in [true, false] {
            println!("case: by flag: {by_flag}");
            let job = Job::github().token_in("one.json").args(["--format", "json"]);
            let path = job.root().join("one.json");
            let job = if by_flag {
                job.arg("--output").arg(&path).env("EQUINIX_WIF_OUTPUT", "/no/such/folder/two.json")
            } else {
                job.env("EQUINIX_WIF_OUTPUT", &path)
            };
            let outcome = job.run();
            outcome.succeeds().stdout_is("");
            let json: Value = serde_json::from_slice(&outcome.files[&path]).unwrap();
            assert_eq!(json["access_token"], outcome.access_token());
            let source = if by_flag { "--output" } else { "EQUINIX_WIF_OUTPUT" };
            assert_eq!(reported(&outcome, "output").1, source);
        }
    }

    #[test]
    fn that_are_left_alone_are_reported_as_defaults() {
        let outcome = Job::github().run();
        outcome.succeeds();
        for (name, value) in [
            ("timeout", json!(60)),
            ("min-ttl", json!(60)),
            ("export-env", json!(false)),
            ("provider", json!("auto")),
            ("sts-api", json!("alpha")),
            ("format", json!("auto")),
            ("env-name", json!("EQUINIX_API_TOKEN")),
        ] {
            assert_eq!(reported(&outcome, name), (value, "default".to_owned()), "{name}");
        }
        assert_eq!(reported(&outcome, "scope"), (json!(SCOPE), "--scope".to_owned()));
        assert_eq!(reported(&outcome, "audience"), (json!(AUDIENCE), "--audience".to_owned()));
    }

    #[test]
    fn for_the_endpoint_default_to_the_real_sts() {
        // Nothing is asked of it: the run has no identity.
        let outcome = fails(Job::bare().without_flag("--sts-endpoint"), 3, "ambient-not-ci");
        let sts = json!("https://sts.eqix.equinix.com");
        assert_eq!(reported(&outcome, "sts-endpoint"), (sts, "default".to_owned()));
    }

    #[test]
    fn are_reported_when_the_run_fails_as_well() {
        let outcome = fails(Job::github().args(["--min-ttl", "x"]), 2, "cfg-value-invalid");
        assert_eq!(reported(&outcome, "scope"), (json!(SCOPE), "--scope".to_owned()));
        assert_eq!(outcome.report.as_ref().unwrap()["stage"], "config");
    }

    #[test]
    fn with_values_that_are_not_allowed_name_the_setting_and_what_is() {
        let seconds = |range: &str| format!("a whole number of seconds from {range}");
        let ttl = seconds("0 to 86400");
        let timeout = seconds("1 to 3600");
        let long = "a".repeat(1025);
        for (flag, variable, value, allowed) in [
            ("--min-ttl", "EQUINIX_WIF_MIN_TTL", "-1", ttl.as_str()),
            ("--min-ttl", "EQUINIX_WIF_MIN_TTL", "1.5", &ttl),
            ("--min-ttl", "EQUINIX_WIF_MIN_TTL", "86401", &ttl),
            ("--min-ttl", "EQUINIX_WIF_MIN_TTL", "60s", &ttl),
            ("--min-ttl", "EQUINIX_WIF_MIN_TTL", " 60", &ttl),
            ("--timeout", "EQUINIX_WIF_TIMEOUT", "0", &timeout),
            ("--timeout", "EQUINIX_WIF_TIMEOUT", "3601", &timeout),
            ("--timeout", "EQUINIX_WIF_TIMEOUT", "1e3", &timeout),
            ("--timeout", "EQUINIX_WIF_TIMEOUT", "99999999999999999999", &timeout),
            ("--sts-api", "EQUINIX_STS_API", "v2", "alpha or v1"),
            ("--sts-api", "EQUINIX_STS_API", "V1", "alpha or v1"),
            (
                "--format",
                "EQUINIX_WIF_FORMAT",
                "yaml",
                "auto, github, env-file, dotenv, shell, bash-env, powershell, fish, gitlab-dotenv, json, credential-process, terraform-external, kubernetes, raw, azure-pipelines, tfvars",
            ),
            (
                "--provider",
                "EQUINIX_WIF_PROVIDER",
                "travis",
                "auto, github, gitlab, circleci, bitbucket, hcp-terraform, kubernetes, spacelift, semaphore, forgejo, buildkite, azure-pipelines, vela, google, aws, env, file",
            ),
            ("--audience", "EQUINIX_WIF_AUDIENCE", "a\nb", "at most 1024 characters on one line"),
            ("--audience", "EQUINIX_WIF_AUDIENCE", "a\u{7f}", "at most 1024 characters on one line"),
            ("--audience", "EQUINIX_WIF_AUDIENCE", &long, "at most 1024 characters on one line"),
        ] {
            println!("case: {flag} {value:?}");
            let job = || Job::github().without_flag(flag);
            let by_flag = fails(job().arg(format!("{flag}={value}")), 2, "cfg-value-invalid");
            by_flag.stderr_has(allowed);
            let by_variable = fails(job().env(variable, value), 2, "cfg-value-invalid");
            by_variable.stderr_has(allowed);
            if !["--format", "--provider"].contains(&flag) {
                by_flag.stderr_has(&format!("{flag} has a value"));
                by_variable.stderr_has(&format!("{variable} has a value"));
            }
        }
        let switch = Job::github().env("EQUINIX_WIF_EXPORT_ENV", "yes");
        fails(switch, 2, "cfg-value-invalid")
            .stderr_has("EQUINIX_WIF_EXPORT_ENV")
            .stderr_has("true or false");
    }

    #[cfg(unix)]
    #[test]
    fn that_are_not_utf8_are_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt as _;
        let bytes = std::ffi::OsString::from_vec(b"hunter22\xff".to_vec());
        for variable in [
            "EQUINIX_TOKEN_EXCHANGE_SCOPE",
            "EQUINIX_WIF_AUDIENCE",
            "EQUINIX_WIF_PROVIDER",
            "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
            "EQUINIX_STS_ENDPOINT",
            "EQUINIX_STS_API",
            "EQUINIX_WIF_FORMAT",
            "EQUINIX_WIF_ENV_NAME",
            "EQUINIX_WIF_EXPORT_ENV",
            "EQUINIX_WIF_MIN_TTL",
            "EQUINIX_WIF_TIMEOUT",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "HTTPS_PROXY",
        ] {
            println!("case: {variable}");
            let job = ["--scope", "--audience", "--sts-endpoint"]
                .into_iter()
                .fold(Job::github(), Job::without_flag);
            let needed = [("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE), ("EQUINIX_WIF_AUDIENCE", AUDIENCE)];
            let job = needed.iter().fold(job, |job, (name, value)| job.env(*name, *value));
            let job = job.env(variable, &bytes).secret("hunter22");
            let outcome = fails(job, 2, "cfg-env-not-utf8");
            outcome.stderr_has(&format!("the environment variable {variable} is not valid UTF-8"));
        }
        let gitlab = Job::gitlab().env(SUBJECT_TOKEN, &bytes).secret("hunter22");
        fails(gitlab, 2, "cfg-env-not-utf8").stderr_has(SUBJECT_TOKEN);
        // The Terraform provider reads this one, whatever the flag says: found out before a token exists.
        let named = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        let flag = Job::gitlab().env(named, &bytes).args(["--subject-token-env", SUBJECT_TOKEN]);
        fails(flag.secret("hunter22"), 2, "cfg-env-not-utf8").stderr_has(named).sts_requests(0);
        Job::github().env("UNRELATED", &bytes).run().succeeds();
    }
}

mod names_of_variables {
    use super::*;

    #[test]
    fn that_would_change_other_programs_are_refused() {
        let long = "A".repeat(129);
        for name in [
            "PATH",
            "Path",
            "IFS",
            "ENV",
            "BASH_ENV",
            "PS4",
            "HOME",
            "CI",
            "PROMPT_COMMAND",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "NODE_OPTIONS",
            "JAVA_TOOL_OPTIONS",
            "PYTHONPATH",
            "RUBYOPT",
            "PERL5LIB",
            "GIT_SSH_COMMAND",
            "GITHUB_TOKEN",
            "GITHUB_ENV",
            "RUNNER_TEMP",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "CI_JOB_TOKEN",
            "GITLAB_CI",
            "HTTPS_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
            "EQUINIX_WIF_AUDIENCE",
            "EQUINIX_STS_ENDPOINT",
            "SSL_CERT_DIR",
            "GLIBC_TUNABLES",
            "RUSTC_WRAPPER",
            "DOTNET_STARTUP_HOOKS",
            "METAL",
            "VAULT_TOKEN",
            "1A",
            "A-B",
            "A B",
            "A=B",
            "A\nB",
            "A;id",
            "$(id)",
            "Ä",
            &long,
        ] {
            println!("case: {name:?}");
            let by_flag = fails(Job::gitlab().args(["--env-name", name]), 2, "cfg-env-name-invalid");
            by_flag.stderr_has("--env-name cannot be");
            let by_variable =
                fails(Job::gitlab().env("EQUINIX_WIF_ENV_NAME", name), 2, "cfg-env-name-invalid");
            by_variable.stderr_has("EQUINIX_WIF_ENV_NAME cannot be");
        }
    }

    #[test]
    fn that_change_nothing_are_accepted() {
        let long = "TOKEN_".to_owned() + &"A".repeat(122);
        for (name, flags) in [
            ("METAL_TOKEN", &[][..]),
            ("_token", &[]),
            ("a1equinix", &[]),
            ("TF_VAR_equinix_token", &[]),
            (&long, &[]),
            // With consent any other name is, too.
            ("_t", &["--force"]),
            ("NODE_PATH", &["--force"]),
        ] {
            println!("case: {name}");
            let outcome = Job::gitlab().args(["--env-name", name]).args(flags.iter().copied()).run();
            outcome.succeeds();
            let file = String::from_utf8(outcome.files[&outcome.printed_path().unwrap()].clone()).unwrap();
            assert!(file.starts_with(&format!("export {name}='")), "{name}");
            assert!(file.contains(&format!("\nexport {name}_EXPIRES_AT='20")), "{name}");
        }
    }
}

mod unknown_settings {
    use super::*;

    const SLIP: &str = "EQUINIX_WIF_AUDIENC";
    const WARNING: &str =
        "warning: set, but no setting: EQUINIX_WIF_AUDIENC (did you mean EQUINIX_WIF_AUDIENCE?)\n";
    const VALUE: &str = "a-value-that-is-never-shown";

    fn warnings(outcome: &Outcome) -> usize {
        outcome.stderr.matches("set, but no setting").count()
    }

    #[test]
    fn are_named_in_one_line_and_in_the_report_without_their_values() {
        for job in [Job::github(), Job::github().exec(["true"])] {
            let outcome = job.env(SLIP, VALUE).run();
            outcome.succeeds().stderr_has(WARNING).stderr_lacks(VALUE);
            assert_eq!(warnings(&outcome), 1, "{}", outcome.context());
            let report = outcome.report.as_ref().unwrap();
            let listed = report["warnings"].as_array().unwrap().iter().filter(|text| {
                text.as_str().is_some_and(|text| WARNING.contains(text) && text.contains(SLIP))
            });
            assert_eq!(listed.count(), 1, "{report}");
            assert!(!report.to_string().contains(VALUE));
        }
        let outcome = only(&["explain", "claim-aud"]);
        assert_eq!(warnings(&outcome), 0, "nothing is set for it");
    }

    #[test]
    fn are_named_by_the_error_of_the_setting_that_is_missing() {
        let note = "did you mean EQUINIX_WIF_AUDIENCE?";
        let outcome =
            fails(Job::github().without_flag("--audience").env(SLIP, VALUE), 2, "cfg-audience-missing");
        outcome.stderr_has(&format!("  note: {SLIP} is set; {note}\n"));
        let message = outcome.report.as_ref().unwrap()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(note), "{message}");
        let doctor = Job::github().command("doctor").without_flag("--audience").env(SLIP, VALUE).run();
        assert!(doctor.stdout.contains(&format!("note: {SLIP} is set; {note}")), "{}", doctor.context());
    }

    /// Whether or not the command has an identity of its own.
    #[test]
    fn are_not_named_again_inside() {
        let program = env!("CARGO_BIN_EXE_equinix-wif");
        for flag in ["--keep-oidc-env", "--keep-secrets"] {
            let job = Job::gitlab().env(SLIP, VALUE).arg(flag);
            let outcome = job.exec(["sh", "-c", "\"$0\" doctor >/dev/null; true", program]).run();
            outcome.succeeds();
            assert_eq!(warnings(&outcome), 1, "{flag}: {}", outcome.context());
        }
    }
}

mod scopes {
    use super::*;

    #[test]
    fn that_cannot_be_one_are_refused_with_the_cure() {
        let long = format!("roleassignments:{}", "x".repeat(4096));
        for (scope, message, cure) in [
            ("roleassignments", "has no prefix", "roleassignments:<org-id>"),
            ("0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013", "has no prefix", "roleassignments:<org-id>"),
            ("roleassignments:", "ends after the prefix", "roleassignments:<organization id>"),
            ("roleassignments:<org-id>", "still has a placeholder in it", "Put your own id"),
            ("accesspolicy:deploy", "not its ERN", "begins with ern:"),
            ("ern:eqix:sts:global:p:t", "5 parts after ern: instead of 6", "ern:<cloud>"),
            ("ern:ern:eqix:sts:global:p:t:r", "7 parts", "ern:<cloud>"),
            ("ern:eqix::global:p:t:r", "has an empty part", "ern:<cloud>"),
            ("orgpolicies:o  roleassignments:o", "a space too many", "exactly one space"),
            (" orgpolicies:o", "a space too many", "exactly one space"),
            ("orgpolicies:o ", "a space too many", "exactly one space"),
            ("orgpolicies:o\nx", "a character that no scope may hold", "ern:"),
            ("orgpolicies:\u{1b}[31m", "a character that no scope may hold", "ern:"),
            ("orgpolicies:\"o\"", "a character that no scope may hold", "ern:"),
            ("orgpolicies:ö", "a character that no scope may hold", "ern:"),
            (&long, "longer than 4096", "ern:"),
        ] {
            println!("case: {scope:?}");
            let outcome = fails(Job::github().scope(scope), 2, "cfg-scope-invalid");
            outcome.stderr_has(message);
            let hint = outcome.report.as_ref().unwrap()["hint"].as_str().unwrap();
            assert!(hint.contains(cure), "{hint}");
        }
        for job in [
            Job::github().without_flag("--scope"),
            Job::github().scope(""),
            Job::github().without_flag("--scope").env("EQUINIX_TOKEN_EXCHANGE_SCOPE", ""),
        ] {
            fails(job, 2, "cfg-scope-missing").stderr_has("EQUINIX_TOKEN_EXCHANGE_SCOPE");
        }
    }

    #[test]
    fn of_an_unknown_form_pass_with_a_warning_and_a_guess() {
        for (scope, guess) in [
            ("roleassignment:o", "did you mean roleassignments:?"),
            ("RoleAssignments:o", "did you mean roleassignments:?"),
            ("orgploicies:o", "did you mean orgpolicies:?"),
            ("urn:x", "did you mean ern:?"),
            ("futurepolicies:o", "known forms are ern:<cloud>"),
        ] {
            println!("case: {scope}");
            let outcome = Job::github().scope(scope).run();
            outcome.succeeds().sts_requests(1).stderr_has("warning: the scope").stderr_has(guess);
            assert_eq!(outcome.sts.requests[0].form_value("scope").as_deref(), Some(scope));
        }
        for scope in [
            "ern:eqix:equinix/sts:global:abc-123:AccessPolicy:res-id",
            "projectpolicies:p",
            "orgpolicies:o roleassignments:o",
        ] {
            println!("case: {scope}");
            let outcome = Job::github().scope(scope).run();
            outcome.succeeds().stderr_lacks("warning: the scope");
            assert_eq!(outcome.sts.requests[0].form_value("scope").as_deref(), Some(scope));
        }
    }
}

mod endpoints {
    use super::*;

    #[test]
    fn that_are_no_plain_base_url_are_refused_wherever_they_come_from() {
        for (url, exit, code) in [
            ("http://sts.eqix.equinix.com", 10, "insecure-url"),
            ("http://127.0.0.1.example", 10, "insecure-url"),
            ("http://0x7f000001", 10, "insecure-url"),
            ("https://sts.eqix.equinix.com/use/token", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com//", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com?", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com?x=1", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com#x", 2, "cfg-endpoint-invalid"),
            ("https://user:hunter22@sts.eqix.equinix.com", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com@evil.example", 2, "cfg-endpoint-invalid"),
            ("https://evil.example\\.equinix.com", 2, "cfg-endpoint-invalid"),
            ("https://evil.example%2f.equinix.com", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com:0", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com:x", 2, "cfg-endpoint-invalid"),
            ("https://", 2, "cfg-endpoint-invalid"),
            ("https://\u{435}quinix.com", 2, "cfg-endpoint-invalid"),
            ("ftp://sts.eqix.equinix.com", 2, "cfg-endpoint-invalid"),
            ("sts.eqix.equinix.com", 2, "cfg-endpoint-invalid"),
            ("//sts.eqix.equinix.com", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com ", 2, "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com\r\nHost: evil.example", 2, "cfg-endpoint-invalid"),
        ] {
            println!("case: {url}");
            let job = || Job::github().without_flag("--sts-endpoint").secret("hunter22");
            fails(job().args(["--sts-endpoint", url]), exit, code).stderr_has("--sts-endpoint");
            fails(job().env("EQUINIX_STS_ENDPOINT", url), exit, code).stderr_has("EQUINIX_STS_ENDPOINT");
        }
    }

    #[test]
    fn outside_of_equinix_are_not_taken_from_a_variable() {
        for url in [
            "https://sts.example",
            "https://equinix.com.evil.example",
            "https://notequinix.com",
            "https://10.0.0.1",
            "https://xn--quinix-4of.com",
        ] {
            println!("case: {url}");
            let job = Job::github().without_flag("--sts-endpoint").env("EQUINIX_STS_ENDPOINT", url);
            let outcome = fails(job, 10, "endpoint-untrusted");
            outcome.stderr_has(&format!("pass --sts-endpoint {url}"));
        }
    }

    #[test]
    fn on_this_machine_by_a_variable_get_no_token_of_an_issuer_elsewhere() {
        let issuer = "https://gitlab.example";
        let job = || {
            let job = Job::gitlab().env("CI_SERVER_URL", issuer).claims(|claims| {
                claims.insert("iss".to_owned(), json!("https://gitlab.example"));
            });
            let (token, url) = (job.mint(), job.sts_url());
            let job = job.without_flag("--sts-endpoint").env("EQUINIX_STS_ENDPOINT", &url);
            (job.env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", token), url)
        };
        let (planted, url) = job();
        let outcome = fails(planted, 10, "endpoint-untrusted");
        outcome.sts_requests(0).stderr_has(issuer).stderr_has(&format!("pass --sts-endpoint {url}"));
        let (named, url) = job();
        named.args(["--sts-endpoint", &url]).run().succeeds().sts_requests(1);
    }

    /// What is under `equinix.com` is not asked here: a proxy that refuses stands before it.
    #[test]
    fn of_equinix_are_taken_from_a_variable() {
        use support::server::{Reply, Request, Server};
        for url in
            ["https://sts.eqix.equinix.com", "https://STS.uat.Equinix.com:8443/", "https://equinix.com"]
        {
            println!("case: {url}");
            let proxy = Server::start(|_: &Request| Reply::status(407));
            let job = Job::github().without_flag("--sts-endpoint").env("EQUINIX_STS_ENDPOINT", url);
            let outcome = job.env("HTTPS_PROXY", proxy.url()).run();
            outcome.fails(2, "proxy-auth").id_token_requests(1);
            let host = url.to_lowercase().replace("https://", "").replace('/', "");
            let target = if host.contains(':') { host } else { format!("{host}:443") };
            assert_eq!(proxy.requests()[0].target.to_lowercase(), target);
            outcome.nothing_secret_at(&proxy);
        }
    }

    #[test]
    fn on_this_machine_are_announced() {
        let outcome = Job::github().run();
        let url = outcome.sts.requests[0].header("host").unwrap().to_owned();
        outcome.stderr_has(&format!("warning: the STS is on this machine: http://{url}"));
    }
}

mod speech {
    use super::*;

    fn without_masks(outcome: &Outcome) -> String {
        // Each mask brings the line break before it.
        let text = outcome.stderr.replace("\n::add-mask::", "::add-mask::");
        let lines = text.split_inclusive('\n');
        lines.filter(|line| !line.starts_with("::add-mask::")).map(str::to_owned).collect()
    }

    #[test]
    fn may_be_quiet_but_for_masks_and_errors() {
        for flag in ["-q", "--quiet"] {
            let outcome = Job::github().arg(flag).run();
            outcome.succeeds();
            assert_eq!(without_masks(&outcome), "");
            assert_eq!(outcome.stderr.lines().filter(|line| !line.is_empty()).count(), 2);
        }
        let failed = fails(Job::bare().arg("-q"), 3, "ambient-not-ci");
        assert!(failed.stderr.starts_with("error[ambient-not-ci]: "));
        let before_the_command = Job::bare().only_args(["-q", "explain", "claim-aud"]).run();
        before_the_command.succeeds();
        assert!(before_the_command.stdout.starts_with("claim-aud"));
    }

    #[test]
    fn may_be_verbose() {
        let normal = Job::github().run();
        let verbose = Job::github().arg("-v").run();
        verbose.succeeds().stderr_has("equinix-wif: identity from GitHub Actions (github)");
        verbose.stderr_has("subject repo:octo-org/metal-app:ref:refs/heads/main (decoded, not verified)");
        normal.stderr_lacks("identity from");
        assert!(verbose.stderr.lines().count() > normal.stderr.lines().count());
        let verified = verbose.stderr.matches("verified").count();
        assert_eq!(verbose.stderr.matches("not verified").count(), verified, "decoded is not verified");
    }

    #[test]
    fn is_coloured_only_where_it_is_asked_for() {
        let colored = |job: Job| job.run().stderr.contains("\u{1b}[1;31merror[ambient-not-ci]: \u{1b}[0m");
        assert!(!colored(Job::bare()), "a pipe is no terminal");
        assert!(colored(Job::bare().args(["--color", "always"])));
        assert!(colored(Job::bare().args(["--color", "always"]).env("NO_COLOR", "1")), "the flag wins");
        assert!(!colored(Job::bare().args(["--color", "never"])));
        let masks = Job::github().args(["--color", "always"]).run();
        masks.succeeds();
        assert_eq!(masks.stderr.matches("\n::add-mask::").count(), 2, "the runner's lines have no colours");
        assert!(
            !only(&["--color", "always", "explain", "claim-aud"]).stdout.contains('\u{1b}'),
            "nor has stdout"
        );
    }
}

mod explain {
    use super::*;

    #[test]
    fn tells_a_code_s_cause_and_cure() {
        let expected = only(&["explain", "claim-aud"]);
        expected.succeeds();
        assert_eq!(expected.stderr, "");
        assert!(expected.stdout.starts_with("claim-aud\n\n  Exit 5: "), "{}", expected.stdout);
        assert!(expected.stdout.contains("\nCause\n  ") && expected.stdout.contains("\nCure\n  "));
        for spelling in ["CLAIM_AUD", "Claim-Aud", "error[claim-aud]", "error[claim-aud]:", "[claim-aud]"] {
            println!("case: {spelling}");
            only(&["explain", spelling]).succeeds().stdout_is(&expected.stdout);
        }
    }

    #[test]
    fn lists_every_code_and_explains_each() {
        let list = only(&["explain"]);
        list.succeeds();
        assert_eq!(list.stderr, "");
        let codes: Vec<(&str, &str)> = list
            .stdout
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(words[1], "exit", "{line}");
                assert!(words.len() > 4, "{line}");
                (words[0], words[2])
            })
            .collect();
        let classes: std::collections::BTreeSet<&str> = codes.iter().map(|(_, exit)| *exit).collect();
        assert_eq!(classes, ["1", "10", "126", "127", "2", "3", "4", "5", "6", "7", "8", "9"].into());
        for (code, exit) in codes {
            println!("case: {code}");
            let outcome = only(&["explain", code]);
            outcome.succeeds();
            assert!(outcome.stdout.starts_with(&format!("{code}\n\n  Exit {exit}: ")), "{}", outcome.stdout);
        }
    }

    #[test]
    fn of_an_unknown_code_is_an_error() {
        for code in ["claim-audience", "", "error", "\u{1b}[31m::x"] {
            println!("case: {code:?}");
            let outcome = only(&["explain", code]);
            outcome.fails(2, "cfg-value-invalid").stderr_has("hint: equinix-wif explain lists all codes.");
            assert!(!outcome.stderr.contains('\u{1b}'));
        }
    }

    #[cfg(unix)]
    #[test]
    fn does_not_mind_a_reader_that_has_seen_enough() {
        let shell = ["bash", "-c", "set -o pipefail; equinix-wif explain | head -1"];
        let outcome = Job::bare().without_report().wrap_shell(shell).run();
        outcome.succeeds();
        assert_eq!((outcome.stdout.lines().count(), outcome.stderr.as_str()), (1, ""));
        // Without a race: this reader is gone before the program starts.
        for args in [&["explain"][..], &["explain", "claim-aud"], &["--help"], &["--version"]] {
            println!("case: {args:?}");
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_equinix-wif"));
            let output = command.args(args).env_clear().stdout(writer).output().unwrap();
            assert_eq!(
                (output.status.code(), String::from_utf8(output.stderr).unwrap()),
                (Some(0), String::new())
            );
        }
    }
}
