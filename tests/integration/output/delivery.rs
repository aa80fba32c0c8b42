//! How the token is handed over: formats, the places they are written to, what is refused before any request, masks,
//! and the report.

#![cfg(unix)]

use crate::support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN, sts_error, sts_success};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::table::each;

const EXPIRES_AT: &str = "EQUINIX_API_TOKEN_EXPIRES_AT";

/// No request went out, not even a connection.
#[track_caller]
fn nobody_was_called(outcome: &Outcome) {
    outcome.require(outcome.issuer.connections == 0, "the issuer was not called");
    outcome.require(outcome.sts.connections == 0, "the STS was not called");
}

/// When the token expires, as the program must have worked it out: an hour from now, in RFC 3339.
#[track_caller]
fn is_in_an_hour(outcome: &Outcome, text: &str) {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u16>().unwrap();
    let small = |range| u8::try_from(number(range)).unwrap();
    let date =
        time::Date::from_calendar_date(number(0..4).into(), small(5..7).try_into().unwrap(), small(8..10));
    let moment = date.unwrap().with_hms(small(11..13), small(14..16), small(17..19)).unwrap().assume_utc();
    let distance = moment - time::OffsetDateTime::from(std::time::SystemTime::now());
    let shape = text.replace(|c: char| c.is_ascii_digit(), "0") == "0000-00-00T00:00:00Z";
    let near = (time::Duration::minutes(59)..=time::Duration::minutes(61)).contains(&distance);
    outcome.require(near && shape, &format!("{text} is in an hour, as RFC 3339"));
}

/// A bare machine with an ID token in a variable.
fn bare() -> Job {
    let job = Job::bare();
    let token = job.mint();
    job.env(SUBJECT_TOKEN, token)
}

/// Runs the program in a shell script, with its arguments as `"$@"`.
fn in_shell(job: Job, shell: &str, script: &str) -> Job {
    job.wrap_shell([shell, "-c", script])
}

mod formats {
    use super::*;

    #[test]
    fn github_writes_the_contracts_outputs_and_nothing_else() {
        let prefilled = ["", "a=b\n", "a=b", "a<<E\nx\nE\n", "a<<E\nx\nE", "a=b\n\n"];
        each(&prefilled.map(|before| (format!("{before:?}"), before)), |before| {
            let outcome = Job::github().prefill_output(before).run();
            outcome.succeeds().stdout_is("").sts_requests(1).id_token_requests(1);
            let mut outputs = outcome.outputs();
            is_in_an_hour(&outcome, &outputs.remove("expires-at").unwrap());
            if !before.is_empty() {
                outcome.require(
                    outputs.remove("a").is_some_and(|a| a == "b" || a == "x"),
                    "the earlier output is kept",
                );
            }
            let expected: BTreeMap<String, String> = [
                ("access-token", outcome.access_token()),
                ("token-type", "Bearer"),
                ("expires-in", "3600"),
                ("scope", SCOPE),
                ("subject", "repo:octo-org/metal-app:ref:refs/heads/main"),
                ("issuer", &format!("{}/_services/token", issuer_of(&outcome))),
                ("available", "true"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            outcome.require(outputs == expected, &format!("the outputs are {expected:?}, not {outputs:?}"));
            outcome.require(outcome.env_file.as_deref() == Some(b""), "GITHUB_ENV is untouched");
            outcome.require(outcome.new_files().is_empty(), "no new file");
            // A cut block must make the runner fail, so nothing is in the form NAME=VALUE.
            let added = String::from_utf8(outcome.output_file.clone().unwrap()).unwrap();
            let added = added[before.len()..].trim_start_matches('\n').to_owned();
            outcome.require(
                added.lines().step_by(3).all(|line| line.contains("<<")),
                "every output is a heredoc",
            );
        });
    }

    fn issuer_of(outcome: &Outcome) -> String {
        format!("http://{}", outcome.issuer.requests[0].header("host").unwrap())
    }

    #[test]
    fn github_exports_the_variable_when_asked_to() {
        type Set = fn(Job) -> Job;
        let cases: [(&str, (Set, &str)); 4] = [
            ("the flag", (|job| job.arg("--export-env"), "EQUINIX_API_TOKEN")),
            ("the variable", (|job| job.env("EQUINIX_WIF_EXPORT_ENV", "true"), "EQUINIX_API_TOKEN")),
            ("another name", (|job| job.args(["--export-env", "--env-name", "METAL_TOKEN"]), "METAL_TOKEN")),
            (
                "a file without its last newline",
                (|job| job.arg("--export-env").prefill_env("A=b"), "EQUINIX_API_TOKEN"),
            ),
        ];
        each(&cases, |(set, name)| {
            let outcome = set(Job::github()).run();
            let mut exports = outcome.succeeds().stdout_is("").exports();
            exports.remove("A");
            is_in_an_hour(&outcome, &exports.remove(&format!("{name}_EXPIRES_AT")).unwrap());
            let expected = BTreeMap::from([((*name).to_owned(), outcome.access_token().to_owned())]);
            outcome.require(exports == expected, "the variable and its expiry, and no more");
            outcome.require(
                outcome.outputs()["access-token"] == outcome.access_token(),
                "the outputs are there too",
            );
        });
        let outcome = Job::github().env("EQUINIX_WIF_EXPORT_ENV", "false").run();
        outcome.succeeds();
        outcome.require(outcome.env_file.as_deref() == Some(b""), "GITHUB_ENV is untouched");
    }

    #[test]
    fn gitlab_prints_the_path_of_a_private_file_and_no_secret() {
        let job = Job::gitlab();
        let folder = fs::canonicalize(job.project_tmp()).unwrap();
        let outcome = job.run();
        outcome.succeeds().sts_requests(1);
        let path = outcome.printed_path().expect("stdout is a path");
        outcome.require(path.starts_with(&folder), "it is beside the checkout");
        outcome.require(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777 == 0o600,
            "only for this user",
        );
        outcome.require(outcome.new_files() == [path.as_path()], "there is no other new file");
        check_assignments(&outcome, &outcome.files[&path], "EQUINIX_API_TOKEN", "");
    }

    /// `export` lines for the token and its expiry, and what follows.
    #[track_caller]
    fn check_assignments(outcome: &Outcome, bytes: &[u8], name: &str, then: &str) {
        let text = std::str::from_utf8(bytes).unwrap();
        let rest = text.strip_prefix(&format!(
            "export {name}='{}';\nexport {name}_EXPIRES_AT='",
            outcome.access_token()
        ));
        outcome.require(rest.is_some(), "the token and its expiry are exported");
        let (time, rest) = rest.unwrap().split_once("';\n").unwrap();
        is_in_an_hour(outcome, time);
        outcome.require(rest == then, &format!("then comes {then:?}"));
    }

    #[test]
    fn shell_and_env_file_unset_what_would_shadow_the_token() {
        let unset = format!("unset {SUBJECT_TOKEN};\n");
        for format in ["shell", "env-file"] {
            let job = Job::gitlab()
                .args(["--format", format])
                .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE)
                .token_on_stdout();
            let outcome = job.run();
            // The command that reads it unsets it, so there is nothing to warn of.
            outcome.succeeds().stderr_lacks("both set");
            let bytes = outcome
                .printed_path()
                .map_or(outcome.stdout_bytes.clone(), |path| outcome.files[&path].clone());
            check_assignments(&outcome, &bytes, "EQUINIX_API_TOKEN", &unset);
        }
        let job = Job::gitlab().unset(SUBJECT_TOKEN);
        let token = job.mint();
        let job = job
            .env("MY_TOKEN", token)
            .env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "MY_TOKEN")
            .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE);
        let outcome = job.args(["--format", "shell", "--env-name", "X1_TOKEN"]).token_on_stdout().run();
        check_assignments(outcome.succeeds(), &outcome.stdout_bytes, "X1_TOKEN", "unset MY_TOKEN;\n");
    }

    #[test]
    fn a_variable_that_would_shadow_the_token_is_warned_of_elsewhere() {
        let warning = format!("EQUINIX_TOKEN_EXCHANGE_SCOPE and {SUBJECT_TOKEN} are both set");
        let job = Job::github();
        let token = job.mint();
        let job = job.env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE).env(SUBJECT_TOKEN, token);
        job.run().succeeds().stderr_has(&warning);
        Job::github().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE).run().succeeds().stderr_lacks("both set");
    }

    #[test]
    fn formats_on_stdout_are_exact() {
        each(&["json", "raw", "shell"].map(|format| (format, format)), |format| {
            for job in [Job::github(), Job::gitlab(), bare()] {
                let outcome = job.args(["--format", format]).token_on_stdout().run();
                let token = outcome.succeeds().access_token();
                match *format {
                    "json" => check_json(&outcome),
                    "raw" => {
                        outcome.stdout_is(&format!("{token}\n"));
                    }
                    _ => check_assignments(&outcome, &outcome.stdout_bytes, "EQUINIX_API_TOKEN", ""),
                }
                outcome.require(outcome.new_files().is_empty(), "no file");
                outcome.require(outcome.output_file.as_deref().is_none_or(<[u8]>::is_empty), "no output");
            }
        });
    }

    #[track_caller]
    fn check_json(outcome: &Outcome) {
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let expires_at = answer["expires_at"].as_str().unwrap();
        is_in_an_hour(outcome, expires_at);
        outcome.stdout_is(&format!(
            concat!(
                "{{\"access_token\":\"{}\",\"issued_token_type\":\"urn:ietf:params:oauth:token-type:access_token\",",
                "\"token_type\":\"Bearer\",\"expires_in\":3600,\"expires_at\":\"{}\",\"scope\":\"{}\"}}\n"
            ),
            outcome.access_token(),
            expires_at,
            SCOPE
        ));
    }

    #[test]
    fn auto_follows_the_platform() {
        type Make = fn() -> Job;
        let platforms: [(&str, (Make, &str)); 3] = [
            ("github", (Job::github, "github")),
            ("gitlab", (Job::gitlab, "env-file")),
            ("neither", (bare, "json")),
        ];
        let mut cases = Vec::new();
        for (name, (make, format)) in platforms {
            for asked in ["", "auto by flag", "auto by variable"] {
                cases.push((format!("{name} {asked}"), (make, format, asked)));
            }
        }
        each(&cases, |(make, format, asked)| {
            let job = match *asked {
                "" => make(),
                "auto by flag" => make().args(["--format", "auto"]),
                _ => make().env("EQUINIX_WIF_FORMAT", "auto"),
            };
            let outcome = job.token_on_stdout().run();
            outcome.succeeds();
            match *format {
                "github" => {
                    outcome.stdout_is("");
                    assert_eq!(outcome.outputs()["access-token"], outcome.access_token());
                }
                "env-file" => assert!(outcome.printed_path().is_some()),
                _ => check_json(&outcome),
            }
        });
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_an_unknown_format_is_refused() {
        let outcome =
            Job::github().env("EQUINIX_WIF_FORMAT", "json").args(["--format", "raw"]).token_on_stdout().run();
        outcome.succeeds().stdout_is(&format!("{}\n", outcome.access_token()));
        for format in ["yaml", "JSON", "raw "] {
            let outcome = Job::gitlab().args(["--format", format]).run();
            outcome.fails(2, "cfg-value-invalid").stderr_has("auto, github, env-file, dotenv, shell, bash-env, powershell, fish, gitlab-dotenv, json, credential-process, terraform-external, kubernetes, raw");
            nobody_was_called(&outcome);
        }
    }

    #[test]
    fn names_that_would_change_other_programs_are_refused() {
        let names = [
            "",
            "1A",
            "A-B",
            "A B",
            "A=B",
            "A\nB",
            "É",
            "$A",
            "PATH",
            "path",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "NODE_OPTIONS",
            "BASH_ENV",
            "ENV",
            "IFS",
            "PS4",
            "PROMPT_COMMAND",
            "PYTHONPATH",
            "RUBYOPT",
            "PERL5LIB",
            "GIT_SSH_COMMAND",
            "GITHUB_TOKEN",
            "RUNNER_TEMP",
            "ACTIONS_RUNTIME_TOKEN",
            "CI_JOB_TOKEN",
            "HTTPS_PROXY",
            "https_proxy",
            "SSL_CERT_FILE",
            "HOME",
        ];
        each(&names.map(|name| (format!("{name:?}"), name)), |name| {
            let outcome = Job::github().args(["--export-env", "--env-name", name]).run();
            if name.is_empty() {
                // An empty setting counts as unset.
                outcome.succeeds();
                return;
            }
            outcome.fails(2, "cfg-env-name-invalid");
            nobody_was_called(&outcome);
        });
        for name in ["_token", "equinix_token", "TF_VAR_equinix_token", "METAL_AUTH_TOKEN"] {
            let outcome = Job::github().args(["--export-env", "--env-name", name]).run();
            assert_eq!(outcome.succeeds().exports()[name], outcome.access_token());
        }
    }

    /// What the shells of CI images make of it, character by character.
    #[test]
    fn shells_read_exactly_the_token() {
        let mut cases = Vec::new();
        for shell in ["sh", "dash", "bash"] {
            let there =
                Command::new(shell).args(["-c", "true"]).status().is_ok_and(|status| status.success());
            if !there {
                eprintln!("NOT TESTED: there is no {shell}");
                continue;
            }
            let print = format!(
                "printf '%s|%s|%s' \"$EQUINIX_API_TOKEN\" \"${EXPIRES_AT}\" \"${{{SUBJECT_TOKEN}-unset}}\""
            );
            // What a child sees, so the variables have to be exported.
            let print = format!("{shell} -c '{}'", print.replace('\'', "'\\''"));
            for (how, script) in [
                // The file is the user's to remove; the harness wants no token in a place that nobody named.
                (
                    "source the file",
                    format!(
                        ". \"$(equinix-wif \"$@\")\" && {print} && rm \"$CI_PROJECT_DIR.tmp\"/equinix-wif-*.env"
                    ),
                ),
                ("eval", format!("eval \"$(equinix-wif \"$@\" --format shell)\"; {print}")),
                (
                    "eval, checked",
                    format!("set -eu; out=$(equinix-wif \"$@\" --format shell); eval \"$out\"; {print}"),
                ),
            ] {
                cases.push((format!("{shell}: {how}"), (shell, script)));
            }
        }
        each(&cases, |(shell, script)| {
            let job = in_shell(Job::gitlab(), shell, script).env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE);
            let outcome = job.token_on_stdout().run();
            outcome.require(outcome.status == Some(0), "the script succeeds");
            let parts: Vec<&str> = outcome.stdout.split('|').collect();
            outcome.require(
                parts[0] == outcome.access_token() && parts[2] == "unset",
                "exactly the token, and no shadow",
            );
            is_in_an_hour(&outcome, parts[1]);
            outcome.require(outcome.new_files().is_empty(), "there was no other file");
        });
    }

    #[test]
    fn a_failed_run_gives_a_shell_nothing_to_evaluate() {
        let said = ["$(touch pwned)", "'; touch pwned; '", "`touch pwned`", "\ntouch pwned\n"];
        for shell in ["sh", "bash"] {
            for text in said {
                let script = "out=$(equinix-wif \"$@\" --format shell); code=$?; eval \"$out\"; \
                              echo \"$code [$out] ${EQUINIX_API_TOKEN-unset}\"; ls";
                let outcome =
                    in_shell(Job::gitlab(), shell, script).sts_reply(sts_error("invalid_scope", text)).run();
                outcome.stdout_is("6 [] unset\n").stderr_has("error[sts-scope-denied]").sts_requests(1);
            }
        }
        // A file that is not there stops the script, as `.` does in every POSIX shell.
        let outcome = in_shell(Job::gitlab(), "sh", ". \"$(equinix-wif \"$@\")\"; echo after")
            .sts_reply(sts_error("invalid_scope", "no"))
            .run();
        outcome.require(outcome.status != Some(0) && outcome.stdout.is_empty(), "the script ends");
        outcome.require(outcome.new_files().is_empty(), "no file is left");
    }
}

mod places {
    use super::*;

    /// What stood in a file before. No token has a space, so none can be mistaken for it.
    const STALE: &str = "what stood here";

    #[test]
    fn output_takes_the_place_of_stdout() {
        each(&["json", "raw", "shell", "env-file"].map(|format| (format, format)), |format| {
            for (existing, by_variable) in [(false, false), (true, true)] {
                let job = Job::gitlab();
                let path = fs::canonicalize(job.tmp()).unwrap().join("token of mine");
                if existing {
                    fs::write(&path, STALE).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                }
                let job = job.args(["--format", format]).token_in(&path);
                let job = if by_variable {
                    job.env("EQUINIX_WIF_OUTPUT", &path)
                } else {
                    job.arg("--output").arg(&path)
                };
                let outcome = job.run();
                outcome.succeeds();
                let printed =
                    if *format == "env-file" { format!("{}\n", path.display()) } else { String::new() };
                outcome.stdout_is(&printed);
                let text = String::from_utf8(outcome.files[&path].clone()).unwrap();
                outcome.require(
                    text.contains(outcome.access_token()) && !text.contains(STALE),
                    "the file has the token",
                );
                // Who reads a token from a file sends along whatever else is in it.
                outcome.require(*format != "raw" || text == outcome.access_token(), "the token alone");
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                outcome.require(mode == 0o600, &format!("only for this user, not {mode:o}"));
                outcome.require(outcome.new_files().len() == usize::from(!existing), "no other file");
            }
        });
    }

    #[test]
    fn the_mode_does_not_depend_on_the_umask() {
        // The last one takes away more than it should: the owner's right to write.
        for umask in ["000", "022", "077", "277"] {
            let outcome =
                in_shell(Job::gitlab(), "sh", &format!("umask {umask}; exec equinix-wif \"$@\"")).run();
            outcome.require(outcome.status == Some(0), "it succeeds");
            let path = outcome.printed_path().unwrap();
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            outcome.require(mode == 0o600, &format!("the mode is 600, not {mode:o}"));
        }
    }

    /// A place that cannot or may not be used.
    struct Refusal {
        name: &'static str,
        set: fn(Job) -> Job,
        exit: i32,
        code: &'static str,
    }

    /// Everything is opened before the first request, so no token is made for nothing.
    #[allow(clippy::too_many_lines, reason = "it is one table")]
    #[test]
    fn unusable_places_are_refused_before_any_request() {
        fn output(job: Job, path: impl Into<PathBuf>) -> Job {
            job.args(["--format", "raw"]).arg("--output").arg(path.into())
        }
        fn at(job: &Job, name: &str) -> PathBuf {
            job.root().join(name)
        }
        /// A variable that names a runner file, made by this.
        fn runner_file(job: Job, variable: &str, make: impl FnOnce(&PathBuf)) -> Job {
            let path = at(&job, "work/_temp/runner-file");
            make(&path);
            job.env(variable, path)
        }
        let refusals = [
            Refusal {
                name: "GITHUB_OUTPUT unset",
                set: |job| job.unset("GITHUB_OUTPUT"),
                exit: 9,
                code: "out-runner-file-missing",
            },
            Refusal {
                name: "GITHUB_OUTPUT empty",
                set: |job| job.env("GITHUB_OUTPUT", ""),
                exit: 9,
                code: "out-runner-file-missing",
            },
            Refusal {
                name: "GITHUB_OUTPUT missing",
                set: |job| runner_file(job, "GITHUB_OUTPUT", |_| ()),
                exit: 9,
                code: "out-runner-file-missing",
            },
            Refusal {
                name: "GITHUB_OUTPUT a folder",
                set: |job| runner_file(job, "GITHUB_OUTPUT", |path| fs::create_dir(path).unwrap()),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_OUTPUT a link",
                set: |job| {
                    let real = job.output_path();
                    runner_file(job, "GITHUB_OUTPUT", |path| symlink(real, path).unwrap())
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "GITHUB_OUTPUT a dangling link",
                set: |job| runner_file(job, "GITHUB_OUTPUT", |path| symlink("/nowhere", path).unwrap()),
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "GITHUB_OUTPUT a FIFO",
                set: |job| {
                    runner_file(job, "GITHUB_OUTPUT", |path| {
                        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
                    })
                },
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_OUTPUT a device",
                set: |job| job.env("GITHUB_OUTPUT", "/dev/null"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_OUTPUT a full device",
                set: |job| job.env("GITHUB_OUTPUT", "/dev/full"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_OUTPUT below a file",
                set: |job| {
                    let below = job.env_path().join("x");
                    job.env("GITHUB_OUTPUT", below)
                },
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_ENV unset",
                set: |job| job.arg("--export-env").unset("GITHUB_ENV"),
                exit: 9,
                code: "out-runner-file-missing",
            },
            Refusal {
                name: "GITHUB_ENV missing",
                set: |job| runner_file(job.arg("--export-env"), "GITHUB_ENV", |_| ()),
                exit: 9,
                code: "out-runner-file-missing",
            },
            Refusal {
                name: "GITHUB_ENV a link",
                set: |job| {
                    let real = job.env_path();
                    runner_file(job.arg("--export-env"), "GITHUB_ENV", |path| symlink(real, path).unwrap())
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "--output in the checkout",
                set: |job| {
                    let path = job.workspace().join("token");
                    output(job, path)
                },
                exit: 10,
                code: "out-in-workspace",
            },
            Refusal {
                name: "--output in the checkout, relative",
                set: |job| output(job, "token"),
                exit: 10,
                code: "out-in-workspace",
            },
            Refusal {
                name: "--output below the checkout",
                set: |job| {
                    let folder = job.workspace().join("a/b");
                    fs::create_dir_all(&folder).unwrap();
                    output(job, folder.join("token"))
                },
                exit: 10,
                code: "out-in-workspace",
            },
            Refusal {
                name: "--output in the checkout, around a corner",
                set: |job| {
                    let path = job.runner_temp().join("../metal-app/metal-app/token");
                    output(job, path)
                },
                exit: 10,
                code: "out-in-workspace",
            },
            Refusal {
                name: "--output in the checkout, through a linked folder",
                set: |job| {
                    let link = at(&job, "link");
                    symlink(job.workspace(), &link).unwrap();
                    output(job, link.join("token"))
                },
                exit: 10,
                code: "out-in-workspace",
            },
            Refusal {
                name: "--output a link",
                set: |job| {
                    let link = job.tmp().join("link");
                    symlink(job.tmp().join("target"), &link).unwrap();
                    output(job, link)
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "--output /dev/null",
                set: |job| output(job, "/dev/null"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "--output /dev/stdout",
                set: |job| output(job, "/dev/stdout"),
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "--output a folder",
                set: |job| {
                    let path = job.tmp();
                    output(job, path)
                },
                exit: 9,
                code: "out-open",
            },
            Refusal { name: "--output /", set: |job| output(job, "/"), exit: 9, code: "out-open" },
            Refusal {
                name: "--output in a missing folder",
                set: |job| {
                    let path = at(&job, "none/token");
                    output(job, path)
                },
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "--output below a file",
                set: |job| {
                    let path = job.output_path().join("token");
                    output(job, path)
                },
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "--output where all may write",
                set: |job| {
                    let folder = at(&job, "open");
                    fs::create_dir(&folder).unwrap();
                    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
                    output(job, folder.join("token"))
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "--output where the group may write",
                set: |job| {
                    let folder = at(&job, "shared");
                    fs::create_dir(&folder).unwrap();
                    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
                    output(job, folder.join("token"))
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "--output below where all may write",
                set: |job| {
                    let folder = at(&job, "open/mine/too");
                    fs::create_dir_all(&folder).unwrap();
                    fs::set_permissions(at(&job, "open"), fs::Permissions::from_mode(0o777)).unwrap();
                    output(job, folder.join("token"))
                },
                exit: 10,
                code: "out-symlink",
            },
            Refusal {
                name: "GITHUB_OUTPUT in UTF-16",
                set: |job| job.prefill_output(b"\xff\xfea\0=\0b\0\n\0"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_OUTPUT with an open block",
                set: |job| job.prefill_output("a<<E\nx\n"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "GITHUB_ENV with an open block",
                set: |job| job.arg("--export-env").prefill_env("a<<E\nx\n"),
                exit: 9,
                code: "out-open",
            },
            Refusal {
                name: "--output with the format github",
                set: |job| {
                    let path = job.tmp().join("token");
                    job.arg("--output").arg(path)
                },
                exit: 2,
                code: "cfg-value-invalid",
            },
        ];
        let cases: Vec<_> = refusals.into_iter().map(|refusal| (refusal.name, refusal)).collect();
        each(&cases, |refusal| {
            let outcome = (refusal.set)(Job::github()).run();
            outcome.fails(refusal.exit, refusal.code);
            nobody_was_called(&outcome);
            outcome.require(!outcome.stderr.contains("::add-mask::"), "there is nothing to mask yet");
        });
    }

    #[test]
    fn the_checkout_can_be_consented_to() {
        let job = Job::gitlab();
        let path = fs::canonicalize(job.project_dir()).unwrap().join("token.env");
        let job = job.arg("--output").arg(&path).arg("--allow-workspace").token_in(&path);
        job.run().succeeds().stdout_is(&format!("{}\n", path.display()));
        let job = Job::gitlab();
        let path = job.project_dir().join("token.env");
        let outcome = job.arg("--output").arg(path).run();
        outcome.fails(10, "out-in-workspace").stderr_has("--allow-workspace");
        nobody_was_called(&outcome);
    }

    /// `RUNNER_TEMP`, the folder beside the checkout, `TMPDIR`, `/tmp`: the first that is there and private enough.
    #[test]
    fn env_file_chooses_a_private_folder() {
        type Set = fn(Job) -> Job;
        let cases: [(&str, (Set, &str)); 5] = [
            ("beside the checkout", (|job| job, "builds/octo-org/metal-app.tmp")),
            (
                "RUNNER_TEMP",
                (
                    |job| {
                        let temp = job.runner_temp();
                        job.env("RUNNER_TEMP", temp)
                    },
                    "work/_temp",
                ),
            ),
            (
                "TMPDIR",
                (
                    |job| {
                        fs::remove_dir(job.project_tmp()).unwrap();
                        job
                    },
                    "tmp",
                ),
            ),
            (
                "not where all may write",
                (
                    |job| {
                        fs::set_permissions(job.project_tmp(), fs::Permissions::from_mode(0o777)).unwrap();
                        job
                    },
                    "tmp",
                ),
            ),
            (
                "not in the checkout",
                (
                    |job| {
                        let inside = job.project_dir().join("tmp");
                        fs::create_dir(&inside).unwrap();
                        job.env("RUNNER_TEMP", inside)
                    },
                    "builds/octo-org/metal-app.tmp",
                ),
            ),
        ];
        each(&cases, |(set, folder)| {
            let outcome = set(Job::gitlab()).run();
            let path = outcome.succeeds().printed_path().expect("stdout is a path");
            let expected = fs::canonicalize(outcome.root().join(folder)).unwrap();
            outcome.require(
                path.parent() == Some(expected.as_path()),
                &format!("it is in {}", expected.display()),
            );
        });
    }

    /// The file system's limit for this process stands in for a full disk.
    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let limited = |blocks: u32| format!("trap '' XFSZ; ulimit -f {blocks}; exec equinix-wif \"$@\"");
        // Not a byte fits.
        let outcome =
            in_shell(Job::github(), "sh", &limited(0)).without_report().prefill_output("a=b\n").run();
        outcome.fails(9, "out-write").stderr_has("the runner file of GITHUB_OUTPUT cannot be written");
        assert_eq!(outcome.output_file.as_deref(), Some(&b"a=b\n"[..]));
        // Only the beginning fits, and is not written.
        let outcome =
            in_shell(Job::github(), "dash", &limited(1)).without_report().prefill_output("a=b\n").run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-write]: the runner file of GITHUB_OUTPUT cannot be written");
        let expected = [("a", "b"), ("error-code", "out-write")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(outcome.outputs(), BTreeMap::from(expected), "nothing of the token is left");
        // A new file.
        let outcome = in_shell(Job::gitlab(), "sh", &limited(0)).without_report().run();
        outcome.fails(9, "out-write").sts_requests(1);
        outcome.require(outcome.new_files().is_empty(), "no file is left");
    }

    /// What can be known before the first place is written stops the run there.
    #[test]
    fn a_second_place_that_would_fail_leaves_the_first_as_it_was() {
        // GITHUB_ENV is longer than the limit already; GITHUB_OUTPUT is not.
        let script = "trap '' XFSZ; ulimit -f 8; exec equinix-wif \"$@\"";
        let before = format!("A={}\n", "x".repeat(8 * 1024));
        let outcome = in_shell(Job::github(), "dash", script)
            .without_report()
            .arg("--export-env")
            .prefill_env(&before)
            .run();
        outcome.fails(9, "out-write").stderr_has("the runner file of GITHUB_ENV cannot be written");
        assert_eq!(outcome.env_file.as_deref(), Some(before.as_bytes()));
    }

    #[test]
    fn a_dash_is_standard_output() {
        each(&["json", "raw", "shell", "env-file"].map(|format| (format, format)), |format| {
            for by_variable in [false, true] {
                let job = Job::gitlab().args(["--format", format]).token_on_stdout();
                let job = if by_variable {
                    job.env("EQUINIX_WIF_OUTPUT", "-")
                } else {
                    job.args(["--output", "-"])
                };
                let outcome = job.run();
                outcome.succeeds();
                outcome.require(outcome.stdout.contains(outcome.access_token()), "the token is printed");
                outcome.require(outcome.stdout.ends_with('\n'), "and a line break");
                outcome.require(outcome.new_files().is_empty(), "there is no file of that name");
            }
        });
        let artifact = ["--format", "gitlab-dotenv", "--accept-artifact-exposure", "--output", "-"];
        for job in [Job::github().args(["--output", "-"]), Job::gitlab().args(artifact)] {
            let outcome = job.run();
            outcome.fails(2, "cfg-value-invalid");
            nobody_was_called(&outcome);
        }
    }

    /// The hint of a refusal names a command line that succeeds.
    #[test]
    fn what_a_hint_names_works() {
        let opened = |job: &Job, name: &str| {
            let folder = job.root().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            folder
        };
        for inside in [true, false] {
            let job = Job::gitlab().args(["--format", "raw"]);
            opened(&job, "builds/octo-org/metal-app.tmp");
            let folder = if inside { job.project_dir() } else { opened(&job, "open") };
            let outcome = job.arg("--output").arg(folder.join("token")).run();
            outcome.fails(10, if inside { "out-in-workspace" } else { "out-symlink" });
            nobody_was_called(&outcome);
            let hint = outcome.report.as_ref().unwrap()["hint"].as_str().unwrap().to_owned();
            let (_, named) = hint.split_once("--output \"").expect("a path is named");
            let named = PathBuf::from(named.split_once('"').unwrap().0);
            let name = named.strip_prefix(fs::canonicalize(outcome.root()).unwrap()).unwrap().to_owned();
            // The same job once more, in a folder of its own.
            let job = Job::gitlab().args(["--format", "raw"]);
            opened(&job, "builds/octo-org/metal-app.tmp");
            let path = fs::canonicalize(job.root()).unwrap().join(name);
            let outcome = job.arg("--output").arg(&path).token_in(&path).run();
            outcome.succeeds();
            assert_eq!(outcome.files[&path], outcome.access_token().as_bytes());
        }
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_full_device_is_told() {
        for format in ["raw", "json", "shell"] {
            let script = format!("exec equinix-wif \"$@\" --format {format} > /dev/full");
            let outcome = in_shell(Job::gitlab(), "sh", &script).run();
            outcome.fails(9, "out-full").stderr_has("standard output cannot be written").sts_requests(1);
        }
        // A path that cannot be told of would leave a token that nobody knows of.
        let outcome = in_shell(Job::gitlab(), "sh", "exec equinix-wif \"$@\" > /dev/full").run();
        outcome.fails(9, "out-full");
        // What holds no secret is no different.
        for text in ["man", "explain", "completions bash"] {
            let script = format!("exec equinix-wif {text} > /dev/full");
            let outcome = in_shell(Job::bare().without_report(), "sh", &script).run();
            outcome.require(outcome.status == Some(9), "the status is that of a delivery");
            outcome.stderr_has("error[out-full]: standard output cannot be written: there is no space left");
        }
        outcome.require(outcome.new_files().is_empty(), "no file is left");
    }

    #[test]
    fn a_reader_that_has_gone_is_told_without_a_panic() {
        each(&["raw", "json", "shell", "env-file"].map(|format| (format, format)), |format| {
            // The reader is gone for sure before the program starts.
            let script = format!(
                "mkfifo \"$TMPDIR/p\"; : < \"$TMPDIR/p\" & exec 3> \"$TMPDIR/p\"; wait; rm \"$TMPDIR/p\"; \
                 exec equinix-wif \"$@\" --format {format} >&3"
            );
            let outcome = in_shell(Job::gitlab(), "sh", &script).run();
            outcome
                .fails(9, "out-closed")
                .stderr_has("standard output was closed by its reader")
                .stderr_lacks("panicked")
                .sts_requests(1);
            outcome.require(outcome.new_files().is_empty(), "no file is left");
            outcome.require(outcome.signal.is_none(), "no signal ended it");
        });
    }

    #[test]
    fn a_closed_or_discarded_stdout_is_told() {
        // `<>` opens for reading and writing, as other programs do when they discard, and as the runtime does for a closed
        // one.
        for way in [">&-", ">/dev/null", "1<>/dev/null"] {
            for (format, what) in [
                ("raw", "the token"),
                ("env-file", "the token: its file, whose path would be lost, is not made"),
            ] {
                let script = format!("exec equinix-wif \"$@\" --format {format} {way}");
                let outcome = in_shell(Job::gitlab(), "sh", &script).run();
                let warning = format!("or leads to the null device, so nobody gets {what}\n");
                outcome.succeeds().stderr_has(&warning);
                outcome.require(outcome.new_files().is_empty(), "no file is left that nobody knows of");
                assert_eq!(outcome.stderr.matches("null device").count(), 1, "{}", outcome.stderr);
            }
            // Whoever named the place, or has one that is not standard output, misses nothing.
            let script = format!("exec equinix-wif \"$@\" {way}");
            in_shell(Job::github(), "sh", &script).run().succeeds().stderr_lacks("null device");
            for format in ["raw", "env-file"] {
                let job = in_shell(Job::gitlab(), "sh", &script);
                let file = job.tmp().join("token");
                let job = job.args(["--format", format, "--output"]).arg(&file).token_in(&file);
                job.run().succeeds().stderr_lacks("null device");
            }
        }
    }

    #[test]
    fn a_traced_shell_gets_no_token_unless_forced() {
        for format in ["shell", "env-file"] {
            let outcome = Job::gitlab().env("CI_DEBUG_TRACE", "true").args(["--format", format]).run();
            outcome.fails(10, "out-traced").stderr_has("CI_DEBUG_TRACE");
            nobody_was_called(&outcome);
            let job = Job::gitlab().env("CI_DEBUG_TRACE", "true").args(["--format", format, "--force"]);
            job.token_on_stdout().run().succeeds();
        }
    }

    /// `TOKEN=$(equinix-wif token --format raw)` is traced with its value like any other assignment.
    #[test]
    fn nor_does_one_that_takes_standard_output_into_a_variable() {
        for format in ["raw", "json"] {
            let job = || Job::gitlab().env("CI_DEBUG_TRACE", "true").args(["--format", format]);
            nobody_was_called(job().run().fails(10, "out-traced").stderr_has("debug_trace_disabled"));
            job().arg("--force").token_on_stdout().run().succeeds();
            let job = job();
            let path = job.root().join("tmp/token");
            job.arg("--output").arg(&path).token_in(&path).run().succeeds();
        }
        // A program reads these.
        let job = Job::gitlab().env("CI_DEBUG_TRACE", "true").args(["--format", "credential-process"]);
        job.token_on_stdout().run().succeeds();
    }

    /// Where a mask cannot reach the runner, nothing may come into being that would need it.
    #[test]
    fn on_github_masks_have_to_arrive() {
        let cases = [
            ("the null device", "2> /dev/null"),
            ("a file", "2> \"$RUNNER_TEMP/log\""),
            ("a file, appended", "2>> \"$RUNNER_TEMP/log\""),
            ("closed", "2>&-"),
        ];
        let mut all = Vec::new();
        for (name, redirection) in cases {
            for format in ["github", "json", "raw", "shell", "env-file"] {
                all.push((format!("{name}, {format}"), (redirection, format)));
            }
        }
        each(&all, |(redirection, format)| {
            let script = format!("exec equinix-wif \"$@\" --format {format} {redirection}");
            let outcome = in_shell(Job::github(), "sh", &script).run();
            outcome.require(outcome.status == Some(10), "the exit status is 10");
            outcome.require(
                outcome.report.as_ref().unwrap()["code"] == "mask-undeliverable",
                "the report says why",
            );
            outcome.require(outcome.stdout.is_empty(), "stdout is empty");
            let code = if *format == "github" { Some("mask-undeliverable".to_owned()) } else { None };
            outcome.require(outcome.reported_error_code() == code, "the next step can read why");
            nobody_was_called(&outcome);
        });
    }

    /// A container that was given the request variables writes into the log of the same step.
    #[test]
    fn what_leads_to_the_id_token_brings_the_masks_along() {
        let inside = || Job::github().unset("GITHUB_ACTIONS").args(["--format", "json"]).token_on_stdout();
        let outcome = inside().args(["--provider", "github"]).run();
        outcome.succeeds();
        let masks: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.data).collect();
        assert_eq!(masks, [outcome.id_token(), outcome.access_token().to_owned()]);
        let script = "exec equinix-wif \"$@\" --provider github 2> \"$RUNNER_TEMP/log\"";
        let outcome = in_shell(inside(), "sh", script).run();
        outcome.require(
            outcome.report.as_ref().unwrap()["code"] == "mask-undeliverable",
            "and a log that no runner reads is refused",
        );
        nobody_was_called(&outcome);
    }

    #[test]
    fn elsewhere_stderr_may_go_anywhere() {
        for redirection in ["2> /dev/null", "2> \"$TMPDIR/log\"", "2>&-"] {
            let outcome =
                in_shell(Job::gitlab(), "sh", &format!("exec equinix-wif \"$@\" {redirection}")).run();
            outcome.require(outcome.status == Some(0), "it succeeds");
            outcome.require(outcome.printed_path().is_some(), "the path is printed");
        }
    }

    /// A pipe without a reader is found out by the first mask: the ID token is there by then, but goes nowhere.
    #[test]
    fn a_mask_that_cannot_be_written_ends_the_run() {
        let script = "mkfifo \"$TMPDIR/p\"; : < \"$TMPDIR/p\" & exec 3> \"$TMPDIR/p\"; wait; rm \"$TMPDIR/p\"; \
                      exec equinix-wif \"$@\" 2>&3";
        let outcome = in_shell(Job::github(), "sh", script).run();
        outcome.require(outcome.status == Some(10), "the exit status is 10");
        outcome
            .require(outcome.report.as_ref().unwrap()["code"] == "mask-undeliverable", "the report says why");
        outcome.id_token_requests(1).sts_requests(0).stdout_is("");
        assert_eq!(outcome.reported_error_code().as_deref(), Some("mask-undeliverable"));
    }

    #[test]
    fn masks_come_in_order_and_hide_the_token_from_then_on() {
        let script = "equinix-wif \"$@\" && cat \"$GITHUB_OUTPUT\" >&2";
        let outcome = in_shell(Job::github(), "sh", script).token_on_stderr().run();
        let masks: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.data).collect();
        assert_eq!(masks, [outcome.id_token(), outcome.access_token().to_owned()]);
        let log = outcome.visible_log();
        outcome.require(
            log.contains("access-token<<") && !log.contains(outcome.access_token()),
            "the log shows ***",
        );
        // At column 0, each on a line of its own.
        let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("add-mask")).collect();
        outcome.require(
            lines.iter().all(|line| line.starts_with("::add-mask::")) && lines.len() == 2,
            "whole lines",
        );
    }

    #[test]
    fn a_line_that_somebody_has_begun_does_not_spoil_a_mask() {
        let script = "printf 'Getting a token ... ' >&2; exec equinix-wif \"$@\"";
        let outcome = Job::github().wrap_shell(["sh", "-c", script]).run();
        outcome.succeeds();
        let masks: Vec<String> = runner::commands(&outcome.stderr)
            .into_iter()
            .filter(|command| command.name == "add-mask")
            .map(|command| command.data)
            .collect();
        assert_eq!(masks, [outcome.id_token(), outcome.access_token().to_owned()]);
        // Each brings its own line break, whatever was written before it.
        assert_eq!(outcome.stderr.matches("\n\n::add-mask::").count(), 2, "{}", outcome.stderr);
    }

    #[test]
    fn quiet_runs_and_colours_do_not_change_the_masks() {
        for flags in [&["-q"][..], &["--color", "always"], &["-v", "--color", "always"]] {
            let outcome = Job::github().args(flags.iter().copied()).run();
            outcome.succeeds();
            let masks: Vec<String> =
                runner::commands(&outcome.stderr).into_iter().map(|command| command.data).collect();
            assert_eq!(masks, [outcome.id_token(), outcome.access_token().to_owned()]);
        }
        let outcome = Job::github().arg("-q").run();
        let others = outcome.stderr.replace("\n::add-mask::", "::add-mask::");
        let others = others.lines().filter(|line| !line.starts_with("::add-mask::")).count();
        outcome.require(others == 0, "quiet is quiet");
    }

    /// A JWT is cut at its dots by other tools, so its signature is masked by itself as well.
    #[test]
    fn the_signature_of_a_jwt_is_masked_too() {
        // Its first parts look like no ID token's, or the harness would take the one for the other.
        let part = |name: &str| json!({name: support::token::random_text(20)}).to_string();
        let token = support::token::raw(part("k").as_bytes(), part("n").as_bytes());
        let signature = support::token::signature_of(&token).unwrap().to_owned();
        let jwt = token.clone();
        let outcome = Job::github()
            .sts_answer(move |answer| {
                answer.insert("access_token".to_owned(), json!(jwt));
            })
            .run();
        assert_eq!(outcome.succeeds().outputs()["access-token"], token);
        let masks: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.data).collect();
        assert_eq!(masks, [outcome.id_token(), token, signature]);
    }
}

mod failures {
    use super::*;

    #[test]
    fn the_next_step_can_read_the_code_and_nothing_else() {
        let prefilled = ["", "a=b\n", "a=b"];
        each(&prefilled.map(|before| (format!("{before:?}"), before)), |before| {
            let job = Job::github().prefill_output(before).arg("--export-env");
            let outcome = job.sts_reply(sts_error("invalid_scope", "no")).run();
            outcome.fails(6, "sts-scope-denied");
            let mut outputs = outcome.outputs();
            outputs.remove("a");
            let expected = BTreeMap::from([("error-code".to_owned(), "sts-scope-denied".to_owned())]);
            outcome.require(outputs == expected, "the code and nothing else");
            outcome.require(outcome.env_file.as_deref() == Some(b""), "GITHUB_ENV is untouched");
        });
    }

    #[test]
    fn one_annotation_stands_on_the_runs_page() {
        let outcome = Job::github().sts_reply(sts_error("invalid_scope", "50% off\nand more")).run();
        outcome.fails(6, "sts-scope-denied");
        let errors: Vec<_> =
            runner::commands(&outcome.stderr).into_iter().filter(|c| c.name == "error").collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].properties["title"], "equinix-wif sts-scope-denied");
        for text in ["the STS refused the exchange", "50% off and more", SCOPE, "\nhint: "] {
            outcome.require(errors[0].data.contains(text), &format!("the annotation has {text:?}"));
        }
        let outcome = Job::gitlab().sts_reply(sts_error("invalid_scope", "no")).run();
        outcome.fails(6, "sts-scope-denied").stderr_lacks("::error");
    }

    #[test]
    fn other_formats_leave_nothing_when_a_run_fails() {
        each(&["json", "raw", "shell", "env-file"].map(|format| (format, format)), |format| {
            let job = Job::gitlab().args(["--format", format]);
            let outcome = job.sts_reply(sts_error("invalid_scope", "no")).run();
            outcome.fails(6, "sts-scope-denied");
            let job = Job::gitlab();
            let path = job.tmp().join("token");
            fs::write(&path, "what was there before").unwrap();
            let job = job.args(["--format", format]).arg("--output").arg(path);
            // `fails` compares every file: the old one is as it was, and no temporary one stays beside it.
            job.sts_reply(Reply::json(&json!({}))).run().fails(7, "sts-response-invalid");
        });
    }
}

mod reports {
    use super::*;

    const MEMBERS: [&str; 26] = [
        "attempts",
        "audit",
        "available",
        "claims",
        "claims_status",
        "code",
        "dry_run",
        "elapsed_ms",
        "exit",
        "expires_at",
        "first_contact",
        "format",
        "granted_scope",
        "hint",
        "http_status",
        "message",
        "oauth_error",
        "provider",
        "reason",
        "renewal",
        "retryable",
        "server_echoed_secret",
        "settings",
        "stage",
        "v",
        "warnings",
    ];

    #[track_caller]
    fn check_members(report: &Value) {
        let names: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, MEMBERS);
    }

    #[test]
    fn a_success_is_accounted_for() {
        let outcome = Job::github().env("EQUINIX_WIF_MIN_TTL", "90").env("EQUINIX_WIF_TIMEOUT", "30").run();
        let report = outcome.succeeds().report.as_ref().unwrap();
        check_members(report);
        assert_eq!(
            (&report["v"], &report["exit"], &report["retryable"]),
            (&json!(1), &json!(0), &json!(false))
        );
        for name in ["code", "stage", "message", "hint", "http_status", "oauth_error"] {
            assert_eq!(report[name], Value::Null, "{name}");
        }
        assert!(
            report["elapsed_ms"].as_u64().is_some_and(|ms| u128::from(ms) <= outcome.elapsed.as_millis())
        );
        assert_eq!(report["claims_status"], "decoded, not verified");
        let claims = report["claims"].as_object().unwrap();
        assert_eq!(claims["aud"], AUDIENCE);
        assert_eq!(claims["repository"], "octo-org/metal-app");
        // Who started it is nobody's business in a public log.
        for name in ["actor", "actor_id", "user_email", "user_login"] {
            assert!(!claims.contains_key(name), "{name}");
        }
        let settings = &report["settings"];
        assert_eq!(settings["scope"], json!({"value": SCOPE, "source": "--scope"}));
        assert_eq!(settings["min-ttl"], json!({"value": 90, "source": "EQUINIX_WIF_MIN_TTL"}));
        assert_eq!(settings["timeout"], json!({"value": 30, "source": "EQUINIX_WIF_TIMEOUT"}));
        assert_eq!(settings["export-env"], json!({"value": false, "source": "default"}));
        assert_eq!(report["warnings"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_failure_is_accounted_for_at_every_stage() {
        type Case = (fn(Job) -> Job, i32, &'static str, &'static str);
        let cases: [(&str, Case); 6] = [
            ("config", (|job| job.args(["--min-ttl", "soon"]), 2, "cfg-value-invalid", "config")),
            ("identity", (Job::without_id_token_permission, 3, "gh-id-token-permission", "identity")),
            (
                "claims",
                (
                    |job| {
                        job.claims(|claims| {
                            claims.insert("aud".to_owned(), json!("x"));
                        })
                    },
                    5,
                    "claim-aud",
                    "claims",
                ),
            ),
            (
                "exchange",
                (|job| job.sts_reply(sts_error("invalid_grant", "no")), 6, "sts-denied", "exchange"),
            ),
            ("protocol", (|job| job.sts_reply(Reply::status(200)), 7, "sts-not-json", "exchange")),
            ("delivery", (|job| job.unset("GITHUB_OUTPUT"), 9, "out-runner-file-missing", "delivery")),
        ];
        each(&cases, |(set, exit, code, stage)| {
            let outcome = set(Job::github()).run();
            let report = outcome.fails(*exit, code).report.as_ref().unwrap();
            check_members(report);
            outcome.require(report["stage"] == *stage, "the stage is right");
            outcome.require(report["retryable"] == false, "it is permanent");
            // The settings that were looked at are told even where one of them is wrong.
            outcome.require(report["settings"]["scope"]["value"] == SCOPE, "the settings are told");
            let knows_claims = ["claims", "exchange"].contains(stage);
            outcome.require(
                report["claims"].is_object() == knows_claims,
                "the claims are told as soon as they are known",
            );
        });
    }

    #[test]
    fn stderr_can_have_it() {
        for failing in [false, true] {
            let job = Job::gitlab().without_report().args(["--report", "-", "-q"]);
            let job = if failing { job.sts_reply(sts_error("invalid_scope", "no")) } else { job };
            let outcome = job.run();
            outcome.require(outcome.status == Some(if failing { 6 } else { 0 }), "the exit status is right");
            let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with('{')).collect();
            outcome.require(lines.len() == 1, "one line of JSON");
            let report: Value = serde_json::from_str(lines[0]).unwrap();
            check_members(&report);
            outcome.require(report["exit"] == outcome.status.unwrap(), "it is this run's");
        }
    }

    #[test]
    fn the_variable_names_it_too_and_an_old_one_is_replaced() {
        let job = Job::gitlab().without_report();
        let path = job.tmp().join("account.json");
        fs::write(&path, "x".repeat(10_000)).unwrap();
        let outcome = job.env("EQUINIX_WIF_REPORT", &path).sts_reply(sts_error("invalid_scope", "no")).run();
        assert_eq!(outcome.status, Some(6));
        let report: Value = serde_json::from_slice(&outcome.files[&path]).unwrap();
        check_members(&report);
        assert_eq!(report["code"], "sts-scope-denied");
    }

    /// It holds no secret, so unlike a token it may lie in the checkout, where artifacts are made from.
    /// The report of a run that had written the token there would have taken its place.
    #[test]
    fn it_is_written_over_no_token() {
        let refused = |job: Job| {
            let outcome = job.run();
            outcome.require(outcome.status == Some(2), "one file for two things");
            outcome.sts_requests(0).stderr_has("error[cfg-value-invalid]").stderr_has("name the same file");
            outcome
        };
        let raw = || Job::gitlab().args(["--format", "raw"]).without_report();
        let path = |job: &Job| job.tmp().join("token");
        let job = raw();
        let place = path(&job);
        refused(job.arg("--output").arg(&place).arg("--report").arg(job_dots(&place)));
        let job = raw();
        let place = path(&job);
        refused(job.env("EQUINIX_WIF_OUTPUT", &place).env("EQUINIX_WIF_REPORT", &place));
        for flag in ["--report", "--output"] {
            let job = raw();
            let place = path(&job);
            let job = job.file(&place, "the ID token").arg("--subject-token-file").arg(&place);
            let outcome = refused(job.arg(flag).arg(&place));
            assert_eq!(outcome.files[&place], b"the ID token");
        }
    }

    /// The same place by another way.
    fn job_dots(path: &std::path::Path) -> std::path::PathBuf {
        let parent = path.parent().unwrap();
        parent.join("..").join(parent.file_name().unwrap()).join(path.file_name().unwrap())
    }

    #[test]
    fn it_may_lie_in_the_checkout() {
        let job = Job::gitlab().without_report();
        let path = job.project_dir().join("account.json");
        let outcome = job.args(["--report", "account.json"]).run();
        assert_eq!(outcome.status, Some(0));
        check_members(&serde_json::from_slice(&outcome.files[&path]).unwrap());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_before_any_request() {
        type Place = fn(&Job) -> PathBuf;
        let cases: [(&str, (Place, i32, &str)); 6] = [
            ("a missing folder", (|job| job.root().join("none/report.json"), 9, "out-open")),
            ("a folder", (|job| job.tmp(), 9, "out-open")),
            ("a device", (|_| "/dev/null".into(), 9, "out-open")),
            ("a full device", (|_| "/dev/full".into(), 9, "out-open")),
            ("below a file", (|job| job.output_path().join("x"), 9, "out-open")),
            (
                "a link",
                (
                    |job| {
                        let link = job.tmp().join("link");
                        symlink(job.tmp().join("target"), &link).unwrap();
                        link
                    },
                    10,
                    "out-symlink",
                ),
            ),
        ];
        each(&cases, |(place, exit, code)| {
            let job = Job::github().without_report();
            let path = place(&job);
            let outcome = job.arg("--report").arg(path).run();
            outcome.fails(*exit, code);
            nobody_was_called(&outcome);
            outcome.require(
                outcome.reported_error_code().as_deref() == Some(*code),
                "the next step can read why",
            );
        });
    }

    #[test]
    fn a_report_that_cannot_be_finished_fails_a_run_that_had_succeeded() {
        // The report's file is opened before the limit is reached, and written after it.
        let script = "trap '' XFSZ; ulimit -f 1; exec equinix-wif \"$@\" --format raw";
        let outcome = in_shell(Job::gitlab(), "dash", script).token_on_stdout().run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-").sts_requests(1);
        outcome.require(
            outcome.report.is_none() && outcome.new_files().is_empty(),
            "no half of a report is left",
        );
    }
}

/// All requests of a run go to the issuer and the STS; what is in the environment is not asked.
#[test]
fn no_third_host_is_called() {
    let other = support::server::Server::start(|_: &_| Reply::json(&sts_success()));
    let url = other.url();
    let outcome = Job::github()
        .env("EQUINIX_STS_ENDPOINT", &url)
        .env("GITHUB_API_URL", &url)
        .env("ACTIONS_RUNTIME_URL", &url)
        .env("ACTIONS_RESULTS_URL", &url)
        .env("HTTP_PROXY", &url)
        .env("ALL_PROXY", &url)
        .claims(|claims| {
            claims.insert("jku".to_owned(), json!("http://127.0.0.1:1/keys"));
        })
        .run();
    outcome.succeeds().sts_requests(1).id_token_requests(1).nothing_secret_at(&other);
    assert_eq!((outcome.issuer.requests.len(), outcome.sts.requests.len(), other.connections()), (1, 1, 0));
}
