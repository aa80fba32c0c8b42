//! What streams, signals and the environment can do to a run: it ends with its own status and code, and leaves nothing.
//! What needs rights that not every user has is in `tests/foreign/faults.rs`.

#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::support::job::{Job, SUBJECT_TOKEN};
use crate::support::server::Reply;
use crate::support::table::each;

mod streams {
    use super::*;

    #[test]
    fn that_were_closed_at_the_start_get_no_secret_and_cause_no_panic() {
        // What happens with each of them closed, alone and together.
        let closed = ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"];
        let mut cases = Vec::new();
        for redirections in closed {
            for (platform, format) in [("gitlab", "env-file"), ("gitlab", "json"), ("github", "github")] {
                cases.push((format!("{redirections} {platform} {format}"), (redirections, platform, format)));
            }
        }
        each(&cases, |(redirections, platform, format)| {
            let job = if *platform == "github" { Job::github() } else { Job::gitlab() };
            let script = format!("exec equinix-wif \"$@\" {redirections}");
            let outcome =
                job.wrap_shell(["sh", "-c", &script]).args(["--format", format]).token_on_stdout().run();
            let expected = match (*platform, redirections.contains(">&-"), redirections.contains("2>&-")) {
                // The mask would not arrive.
                ("github", _, true) => (10, "mask-undeliverable"),
                _ => (0, ""),
            };
            outcome.require(outcome.status == Some(expected.0), &format!("it ends with {expected:?}"));
            let report = outcome.report.as_ref().unwrap();
            assert_eq!(report["code"].as_str().unwrap_or_default(), expected.1);
            outcome.stderr_lacks("panicked").stderr_lacks("internal");
            if *platform == "gitlab" && redirections.split(' ').any(|part| part == ">&-") {
                let warnings = report["warnings"].to_string();
                outcome.require(warnings.contains("so nobody gets"), "the report says that nobody reads it");
            }
            if expected.0 != 0 {
                outcome.stdout_is("");
                outcome.require(outcome.new_files().is_empty(), "no file is left");
            }
        });
    }
}

mod signals {
    use super::*;

    #[derive(Clone, Copy)]
    enum Phase {
        IdToken,
        Exchange,
        Writing,
    }

    #[test]
    fn end_the_run_at_once_and_leave_nothing() {
        let signals = [("TERM", 15), ("INT", 2), ("HUP", 1), ("KILL", 9)];
        let phases = [
            ("the ID token", Phase::IdToken),
            ("the exchange", Phase::Exchange),
            ("writing", Phase::Writing),
        ];
        let mut cases = Vec::new();
        for (signal, number) in signals {
            for (name, phase) in phases {
                // What goes to a file is written too fast to be met there.
                let formats = if matches!(phase, Phase::Writing) {
                    &["json"][..]
                } else {
                    &["github", "env-file", "json"]
                };
                for format in formats {
                    cases.push((
                        format!("{signal} during {name}, {format}"),
                        (signal, number, phase, *format),
                    ));
                }
            }
        }
        each(&cases, |(signal, number, phase, format)| {
            let job = Job::github().args(["--format", format]).token_on_stdout();
            // The caller of the tests may ignore signals (nohup does).
            let by_default = |job: Job| job.wrap_shell(["env", "--default-signal"]);
            let job = match phase {
                Phase::IdToken => by_default(job.id_token_always(Reply::stall())),
                Phase::Exchange => by_default(job.sts_always(Reply::stall())),
                // Standard output leads into a pipe that is full and that nobody reads.
                Phase::Writing => job.wrap_shell([
                    "sh",
                    "-c",
                    "mkfifo \"$TMPDIR/pipe\"; exec 3<>\"$TMPDIR/pipe\"; rm \"$TMPDIR/pipe\"; \
                     dd if=/dev/zero of=/proc/self/fd/3 oflag=nonblock bs=1 count=70000 2>/dev/null; \
                     exec env --default-signal equinix-wif \"$@\" >&3",
                ]),
            };
            let running = job.start();
            let asked = match phase {
                Phase::IdToken => running.issuer().wait_for_requests(1),
                Phase::Exchange | Phase::Writing => running.sts().wait_for_requests(1),
            };
            assert!(asked, "the run has come so far");
            running.signal(signal);
            let outcome = running.wait();
            outcome.require(outcome.signal == Some(*number), "the signal ended it");
            outcome.within(Duration::from_secs(10)).stdout_is("");
            outcome.require(outcome.new_files().is_empty(), &format!("{:?} is left", outcome.new_files()));
            assert_eq!(outcome.output_file.as_deref(), Some(&b""[..]));
        });
    }
}

mod the_environment {
    use super::*;

    #[test]
    fn may_be_poor() {
        // Sixteen descriptors, and little memory beside what the program itself maps.
        for limit in ["ulimit -n 16", "ulimit -v 65536", "ulimit -n 16 -v 65536", "ulimit -c 0 -s 1024"] {
            let script = format!("{limit}; exec equinix-wif \"$@\"");
            let outcome = Job::github().wrap_shell(["bash", "-ec", &script]).run();
            assert_eq!(outcome.succeeds().outputs()["access-token"], outcome.access_token(), "{limit}");
        }
    }

    #[test]
    fn may_be_odd_or_huge() {
        let huge = "x".repeat(100 * 1024);
        let cases = [
            ("EQUINIX_WIF_AUDIENCE", 2, "cfg-value-invalid"),
            ("EQUINIX_TOKEN_EXCHANGE_SCOPE", 2, "cfg-scope-invalid"),
            ("EQUINIX_WIF_ENV_NAME", 2, "cfg-env-name-invalid"),
            ("EQUINIX_WIF_EXPECT", 2, "cfg-value-invalid"),
            ("EQUINIX_STS_ENDPOINT", 2, "cfg-endpoint-invalid"),
            (SUBJECT_TOKEN, 4, "id-token-too-large"),
            ("CI_SERVER_URL", 5, "claim-iss"),
        ];
        each(&cases.map(|(name, exit, code)| (name, (name, exit, code))), |(name, exit, code)| {
            let flags = ["--audience", "--scope", "--sts-endpoint"];
            let job = flags.iter().fold(Job::gitlab().env(*name, &huge), |job, flag| job.without_flag(flag));
            let job = if *name == "EQUINIX_TOKEN_EXCHANGE_SCOPE" {
                job
            } else {
                job.args(["--scope", "ern:a:b:c:d:e:f"])
            };
            let outcome = job.args(["--timeout", "5"]).run();
            outcome.require(outcome.status == Some(*exit), &format!("the exit status is {exit}"));
            outcome.stderr_has(&format!("error[{code}]"));
            assert!(outcome.stderr.len() < 5000, "what is shown is shortened");
        });
    }
}
