//! `exec`: what the command gets, what it does not get, and that it is otherwise as if it had been run directly.

#![cfg(unix)]

use crate::support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use support::job::{Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::server::Reply;
use support::table::each;

const TOKEN: &str = "EQUINIX_API_TOKEN";
const EXPIRES_AT: &str = "EQUINIX_API_TOKEN_EXPIRES_AT";
const REQUEST: [&str; 2] = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// A command that writes its environment to a file, where a token is expected.
fn showing_environment(job: Job) -> Job {
    job.exec(["sh", "-c", "tr '\\0' '\\n' </proc/self/environ >\"$TMPDIR/environment\""])
        .token_in("tmp/environment")
}

fn environment(outcome: &Outcome) -> BTreeMap<String, String> {
    let bytes = &outcome.files[&outcome.root().join("tmp/environment")];
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

/// A command that leaves a mark when it runs.
fn marking(job: Job) -> Job {
    job.exec(["sh", "-c", ">\"$TMPDIR/mark\""])
}

#[track_caller]
fn has_not_run(outcome: &Outcome) {
    let mark = outcome.root().join("tmp/mark");
    outcome.require(!outcome.files.contains_key(&mark), "the command has not run");
}

/// With every signal as a program has it by default, whatever the caller of the tests ignores (nohup does).
fn with_default_signals(job: Job) -> Job {
    job.wrap_shell(["env", "--default-signal"])
}

mod environment {
    use super::*;

    #[test]
    fn has_the_token_and_its_expiry_and_not_what_gets_id_tokens() {
        let outcome = showing_environment(Job::github()).run();
        outcome.succeeds().stdout_is("").sts_requests(1).id_token_requests(1);
        let found = environment(&outcome);
        assert_eq!(found[TOKEN], outcome.access_token());
        assert_eq!(found[EXPIRES_AT], outcome.report.as_ref().unwrap()["expires_at"]);
        for name in REQUEST {
            assert!(!found.contains_key(name), "{name} is there");
        }
        // By which an inner run tells why it can have no ID token.
        assert_eq!(found["EQUINIX_WIF_EXEC"], "1");
        // Everything else is as it was.
        assert_eq!(found["GITHUB_ACTIONS"], "true");
        assert!(found.contains_key("GITHUB_OUTPUT") && found.contains_key("PATH"));
        // The runner's files and the checkout are untouched.
        assert_eq!(outcome.output_file.as_deref(), Some(&b""[..]));
        assert_eq!(outcome.env_file.as_deref(), Some(&b""[..]));
        assert_eq!(outcome.new_files(), [outcome.root().join("tmp/environment")]);
    }

    #[test]
    fn lacks_the_subject_token_however_it_was_named() {
        type Set = fn(Job, String) -> Job;
        let cases: [(&str, (Set, &str)); 4] = [
            ("by default", (|job, token| job.env(SUBJECT_TOKEN, token), SUBJECT_TOKEN)),
            (
                "by flag",
                (
                    |job, token| job.env("MY_TOKEN", token).args(["--subject-token-env", "MY_TOKEN"]),
                    "MY_TOKEN",
                ),
            ),
            (
                "by variable",
                (
                    |job, token| {
                        job.env("MY_TOKEN", token)
                            .env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "MY_TOKEN")
                    },
                    "MY_TOKEN",
                ),
            ),
            (
                "beside a file",
                (
                    |job, token| {
                        let file = job.root().join("id-token");
                        fs::write(&file, &token).unwrap();
                        job.env(SUBJECT_TOKEN, token).arg("--subject-token-file").arg(file)
                    },
                    SUBJECT_TOKEN,
                ),
            ),
        ];
        each(&cases, |(set, name)| {
            let job = Job::gitlab().unset(SUBJECT_TOKEN);
            let token = job.mint();
            let outcome = showing_environment(set(job, token)).run();
            let found = environment(outcome.succeeds());
            outcome.require(!found.contains_key(*name), "the subject token is not there");
            assert_eq!(found[TOKEN], outcome.access_token());
        });
    }

    #[test]
    fn lacks_what_the_terraform_provider_would_take_for_an_id_token() {
        const NAMING: &str = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        let job = Job::gitlab();
        let (mine, other) = (job.mint(), job.mint());
        let job = job.env("MY_TOKEN", mine).env("OTHER_TOKEN", other).env(NAMING, "OTHER_TOKEN");
        let outcome = showing_environment(job.args(["--subject-token-env", "MY_TOKEN"])).run();
        let found = environment(outcome.succeeds());
        // It would exchange the one that the variable names, and ignore ours.
        for name in ["MY_TOKEN", "OTHER_TOKEN", SUBJECT_TOKEN, NAMING] {
            outcome.require(!found.contains_key(name), &format!("{name} is not there"));
        }
        assert_eq!(found[TOKEN], outcome.access_token());
    }

    #[test]
    fn keeps_what_gets_id_tokens_when_asked_to() {
        let job = Job::github();
        let token = job.mint();
        let job = showing_environment(job)
            .env(SUBJECT_TOKEN, &token)
            .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE)
            .arg("--keep-oidc-env")
            .masks_unchecked();
        // The file holds the bearer too, which the harness would take for a leak: only names are looked at.
        let outcome = job.exec(["sh", "-c", "env | cut -d= -f1 | sort >\"$TMPDIR/names\""]).run();
        outcome
            .succeeds()
            .stderr_has("EQUINIX_TOKEN_EXCHANGE_SCOPE and EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN are both set");
        let names = String::from_utf8(outcome.files[&outcome.root().join("tmp/names")].clone()).unwrap();
        for name in [REQUEST[0], REQUEST[1], SUBJECT_TOKEN, TOKEN] {
            assert!(names.lines().any(|line| line == name), "{name} is not there:\n{names}");
        }
        let outcome = marking(Job::gitlab()).env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE).run();
        outcome.succeeds().stderr_lacks("both set");
    }

    #[test]
    fn has_the_token_under_another_name_and_no_older_one() {
        let job =
            showing_environment(Job::github()).env("METAL_TOKEN", "old").args(["--env-name", "METAL_TOKEN"]);
        let outcome = job.run();
        let found = environment(outcome.succeeds());
        assert_eq!(found["METAL_TOKEN"], outcome.access_token());
        assert!(found.contains_key("METAL_TOKEN_EXPIRES_AT") && !found.contains_key(TOKEN));
        // The ID token's variable and those that change other programs are refused.
        for name in ["PATH", SUBJECT_TOKEN, "LD_PRELOAD"] {
            let outcome = marking(Job::gitlab()).args(["--env-name", name]).run();
            has_not_run(outcome.fails(125, "cfg-env-name-invalid"));
        }
        let job = showing_environment(Job::github()).args(["--env-name", "NODE_PATH", "--force"]);
        let outcome = job.run();
        assert_eq!(environment(outcome.succeeds())["NODE_PATH"], outcome.access_token());
        let job = || Job::gitlab().args(["--subject-token-env", "MY_TOKEN", "--env-name", "MY_TOKEN"]);
        let outcome = marking(job()).run();
        has_not_run(outcome.fails(125, "cfg-env-name-invalid").stderr_has("the ID token is there"));
        job().run().fails(2, "cfg-env-name-invalid").stderr_has("the ID token is there");
    }

    #[test]
    fn passes_on_what_is_not_text() {
        let value = OsString::from_vec(vec![b'x', 0xff, b'y']);
        let job = Job::github().env("ODD", &value).exec(["sh", "-c", "printf %s \"$ODD\""]);
        assert_eq!(job.run().succeeds().stdout_bytes, value.as_bytes());
    }
}

mod command {
    use super::*;

    /// What is done to the job, the command, and how the run ends.
    type Missing = (Box<dyn Fn(Job) -> Job + Sync>, &'static str, i32, &'static str);

    #[test]
    fn gets_its_arguments_unchanged() {
        let arguments: Vec<OsString> = [
            &b"a b"[..],
            b"",
            b"two\nlines",
            b"'\"$(id)`id`\\",
            b"--scope",
            b"--",
            b"-q",
            b"*",
            b"\xff\xfe",
            b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl",
        ]
        .map(|bytes| OsString::from_vec(bytes.to_vec()))
        .into();
        let mut expected = Vec::new();
        for argument in &arguments {
            expected.extend_from_slice(argument.as_bytes());
            expected.push(b'|');
        }
        let command = ["printf", "%s|"].map(OsString::from).into_iter().chain(arguments);
        assert_eq!(Job::gitlab().exec(command).run().succeeds().stdout_bytes, expected);
    }

    #[test]
    fn has_this_process_s_place() {
        // The process id, the name as typed, the working directory and the umask.
        let script = "echo $$; tr '\\0' '\\n' </proc/$$/cmdline | head -1; pwd; umask";
        let job = Job::gitlab()
            .wrap_shell(["sh", "-c", "umask 0137; echo $$; exec equinix-wif \"$@\""])
            .exec(["sh", "-c", script]);
        let folder = fs::canonicalize(job.project_dir()).unwrap();
        let outcome = job.run();
        let lines: Vec<&str> = outcome.succeeds().stdout.lines().collect();
        assert_eq!(lines[0], lines[1], "the process is the same: {lines:?}");
        assert_eq!(&lines[2..], ["sh", folder.to_str().unwrap(), "0137"]);
        // No descriptor of ours is open: there are as many as when the same command is run directly.
        let outcome = Job::gitlab()
            .wrap_shell(["sh", "-c", "ls /proc/self/fd; exec equinix-wif \"$@\""])
            .exec(["ls", "/proc/self/fd"])
            .run();
        let lines: Vec<&str> = outcome.succeeds().stdout.lines().collect();
        let (directly, by_us) = lines.split_at(lines.len() / 2);
        assert_eq!(directly, by_us);
    }

    #[test]
    fn reads_standard_input_and_writes_the_streams_itself() {
        let outcome = Job::github().stdin("in\0put\n").exec(["sh", "-c", "cat; echo err >&2"]).run();
        assert_eq!(outcome.succeeds().stdout_bytes, b"in\0put\n");
        assert!(outcome.stderr.ends_with("err\n"));
    }

    #[test]
    fn has_every_exit_status_to_itself() {
        let statuses: Vec<(u8, u8)> = (0..=255).map(|status| (status, status)).collect();
        each(&statuses, |status| {
            let outcome = Job::gitlab().exec(["sh", "-c", &format!("exit {status}")]).run();
            outcome.require(outcome.status == Some(i32::from(*status)), "the status is the command's");
            assert_eq!(outcome.report.as_ref().unwrap()["exit"], 0, "the account ends before the command");
        });
    }

    #[test]
    fn has_every_signal_to_itself() {
        let signals = [("HUP", 1), ("INT", 2), ("KILL", 9), ("USR1", 10), ("PIPE", 13), ("TERM", 15)];
        each(&signals.map(|(name, number)| (name, (name, number))), |(name, number)| {
            // Raised by itself.
            let job = || with_default_signals(Job::gitlab());
            let outcome = job().exec(["sh", "-c", &format!("kill -{name} $$; exit 3")]).run();
            outcome.require(outcome.signal == Some(*number), "it was ended by the signal");
            // Sent from outside, to the process that was started.
            let running = job().exec(["sh", "-c", "echo ready >&2; exec sleep 60"]).start();
            assert!(running.stderr_gets("ready\n"));
            running.signal(name);
            let outcome = running.wait();
            outcome.require(outcome.signal == Some(*number), "it was ended by the signal");
        });
        let trap = "trap 'exit 44' TERM; echo ready >&2; while :; do sleep 0.02; done";
        let running = with_default_signals(Job::gitlab()).exec(["sh", "-c", trap]).start();
        assert!(running.stderr_gets("ready\n"));
        running.signal("TERM");
        assert_eq!(running.wait().status, Some(44), "it may handle the signal");
    }

    #[test]
    fn has_the_dispositions_of_its_caller() {
        // Bit n-1 stands for signal n. The standard library ignores SIGPIPE for itself, and the command must not.
        let show = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
        let outcome = Job::gitlab().exec(show).run();
        let text = &outcome.succeeds().stdout;
        let set = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!((set("SigBlk:"), set("SigIgn:") & (1 << 12)), (0, 0), "{text}");
        let ignoring = "trap '' HUP INT; exec equinix-wif \"$@\"";
        let outcome = Job::gitlab().wrap_shell(["sh", "-c", ignoring]).exec(show).run();
        let line = outcome.succeeds().stdout.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(line.trim(), 16).unwrap();
        assert_eq!(ignored & 0b11, 0b11, "what was ignored stays ignored: {line}");
    }

    #[test]
    fn is_looked_for_before_anything_is_requested() {
        let file = |mode: u32, name: &'static str, text: &'static str| {
            move |job: Job| {
                let path = job.project_dir().join(name);
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
                job
            }
        };
        let cases: Vec<(&str, Missing)> = vec![
            ("nowhere", (Box::new(|job| job), "no-such-command-anywhere", 127, "cmd-not-found")),
            ("a path", (Box::new(|job| job), "./no-such-command", 127, "cmd-not-found")),
            ("a folder", (Box::new(|job| job), "/", 126, "cmd-not-executable")),
            ("no program", (Box::new(file(0o644, "plain", "x")), "./plain", 126, "cmd-not-executable")),
            ("an empty PATH", (Box::new(|job: Job| job.env("PATH", "/nowhere")), "sh", 127, "cmd-not-found")),
            ("an empty name", (Box::new(|job| job), "", 127, "cmd-not-found")),
            ("a part of the shell", (Box::new(|job| job), "cd", 127, "cmd-not-found")),
            ("a line", (Box::new(|job| job), "echo hi | cat", 127, "cmd-not-found")),
            ("an assignment", (Box::new(|job| job), "FOO=bar", 127, "cmd-not-found")),
            (
                "no interpreter",
                (Box::new(file(0o755, "script", "exit 7\n")), "./script", 126, "cmd-not-executable"),
            ),
            (
                "no such interpreter",
                (
                    Box::new(file(0o755, "script", "#!/no/such/interpreter\n")),
                    "./script",
                    127,
                    "cmd-not-found",
                ),
            ),
            (
                "a carriage return",
                (Box::new(file(0o755, "script", "#!/bin/sh\r\n")), "./script", 127, "cmd-not-found"),
            ),
        ];
        each(&cases, |(prepare, program, exit, code)| {
            let outcome = prepare(Job::gitlab()).exec([*program]).run();
            outcome.fails(*exit, code);
            assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0));
        });
        // An interpreter that cannot be run shows only when the command is started.
        let job = file(0o755, "script", "#!/etc/passwd\n")(Job::gitlab());
        let outcome = job.exec(["./script"]).run();
        outcome.fails(126, "cmd-not-executable").sts_requests(1).stderr_has("this user may not run it");
        let report = outcome.report.as_ref().unwrap();
        assert_eq!(report["granted_scope"], SCOPE, "the account is that of the whole run");
        // Without PATH the system's folders count.
        assert_eq!(Job::gitlab().unset("PATH").exec(["sh", "-c", "exit 8"]).run().status, Some(8));
    }
}

mod failures {
    use super::*;

    #[test]
    fn of_ours_end_with_125_and_the_command_does_not_run() {
        type Prepare = fn(Job) -> Job;
        let cases: [(&str, (Prepare, &str)); 9] = [
            ("usage", (|job| job.arg("--no-such-flag"), "cfg-usage")),
            ("a setting", (|job| job.args(["--min-ttl", "soon"]), "cfg-value-invalid")),
            ("no scope", (|job| job.without_flag("--scope"), "cfg-scope-missing")),
            ("no identity", (Job::without_id_token_permission, "gh-id-token-permission")),
            (
                "an ID token that cannot be read",
                (|job| job.id_token_always(Reply::json(&json!({"value": "x"}))), "id-token-malformed"),
            ),
            ("an expectation", (|job| job.args(["--expect", "ref=x"]), "claim-expectation")),
            ("a refusal", (|job| job.sts_always(sts_error("invalid_scope", "no")), "sts-scope-denied")),
            (
                "a wrong answer",
                (
                    |job| {
                        job.sts_always(Reply::status(200).header("content-type", "text/html").body("<html>"))
                    },
                    "sts-not-json",
                ),
            ),
            (
                "a transient failure",
                (|job| job.sts_always(Reply::status(503)).args(["--timeout", "1"]), "server-error"),
            ),
        ];
        each(&cases, |(prepare, code)| {
            let outcome = marking(prepare(Job::github().env(TOKEN, "an-older-token"))).run();
            has_not_run(outcome.fails(125, code));
            assert_eq!(outcome.report.as_ref().unwrap()["exit"], 125);
            assert_eq!(outcome.reported_error_code().as_deref(), Some(*code));
        });
        let outcome = Job::github().only_args(["-q", "exec"]).run();
        outcome.fails(125, "cfg-usage").stderr_has("arguments were not provided: <CMD>...");
        let outcome = Job::github().only_args(["--color", "never", "exec", "--nonsense", "--", "true"]).run();
        outcome.fails(125, "cfg-usage");
        let help = Job::github().only_args(["exec", "--help"]).run();
        assert!(help.succeeds().stdout.contains("<CMD>..."));
    }

    #[test]
    fn to_hide_the_token_end_the_run() {
        let job = Job::github().wrap_shell(["sh", "-c", "exec equinix-wif \"$@\" 2>/dev/null"]);
        let outcome = marking(job).run();
        outcome.require(outcome.status == Some(125), "the exit status is 125");
        assert_eq!(outcome.report.as_ref().unwrap()["code"], "mask-undeliverable");
        has_not_run(&outcome);
        outcome.sts_requests(0).id_token_requests(0);
    }

    #[test]
    fn by_a_signal_leave_nothing() {
        for signal in ["TERM", "INT", "HUP"] {
            let job = with_default_signals(marking(Job::gitlab()));
            let running = job.sts_always(Reply::stall()).start();
            assert!(running.sts().wait_for_requests(1));
            running.signal(signal);
            let outcome = running.wait();
            outcome.require(outcome.signal.is_some(), "the signal ended it");
            outcome.require(outcome.new_files().is_empty(), "no file is left");
        }
    }
}

mod masks {
    use super::*;

    #[test]
    fn are_out_before_the_command_starts() {
        // What the command itself shows is hidden from then on.
        let outcome = Job::github()
            .exec(["sh", "-c", "echo \"the token is $EQUINIX_API_TOKEN\" >&2"])
            .token_on_stderr()
            .run();
        let log = outcome.succeeds().visible_log();
        assert!(log.contains("the token is ***\n"), "{log}");
        assert!(!log.contains(outcome.access_token()));
        assert!(outcome.stderr.contains(&format!("\n::add-mask::{}\n", outcome.access_token())));
    }
}

mod life {
    use super::*;

    #[test]
    fn of_the_token_is_compared_with_the_job_s() {
        let at = |seconds: i64| {
            let moment = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
            moment.format(&time::format_description::well_known::Rfc3339).unwrap()
        };
        let cases = [
            ("no more than the token", "3000", None, false),
            ("longer", "7200", None, true),
            ("longer, but nearly over", "7200", Some(at(-5000)), false),
            ("longer, from now on", "7200", Some(at(-60)), true),
            ("a start that is no time", "7200", Some("soon".to_owned()), true),
            ("a timeout that is no number", "2h", None, false),
            ("a start in the future", "3000", Some(at(600)), false),
        ];
        each(&cases.map(|(name, timeout, start, warns)| (name, (timeout, start, warns))), |case| {
            let (timeout, start, warns) = case;
            let mut job = marking(Job::gitlab()).env("CI_JOB_TIMEOUT", timeout);
            if let Some(start) = start {
                job = job.env("CI_JOB_STARTED_AT", start);
            }
            let outcome = job.run();
            let warned = outcome.succeeds().stderr.contains("nothing renews the token");
            outcome.require(warned == *warns, &format!("it warns: {warns}"));
        });
        marking(Job::github()).run().succeeds().stderr_lacks("renews");
    }
}
