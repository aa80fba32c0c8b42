//! What disks, file systems, streams, users and signals can do to a run: it ends with its own status and code, and what was
//! there before is as it was, or whole.
//!
//! Full disks and read-only file systems are mounted in a mount namespace of the run's own, which needs root; elsewhere
//! those tests are skipped, and say so.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "clippy.toml permits this in test functions, but not in the helpers that they share"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::foreign::{python_works, works};
use support::job::{Job, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::table::each;
use support::tls::Leaf;

/// Whether this user may mount and become another one.
fn is_root() -> bool {
    let mut may = Command::new("unshare");
    works(
        "the right to mount file systems",
        may.args(["-m", "setpriv", "--reuid", "12345", "true"]),
        "run as root",
    )
}

/// The program's place among the lines of a script that is run in a mount namespace of its own. `$MOUNT` is a folder for a
/// small file system. What is left in it is listed in `left`, since it goes with the namespace.
fn mounted(job: Job, options: &str, before: &str, after: &str) -> Job {
    let mount = job.root().join("mount");
    fs::create_dir(&mount).unwrap();
    fs::set_permissions(&mount, PermissionsExt::from_mode(0o700)).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=0700,{options} tmpfs \"$MOUNT\" && {before}\nequinix-wif \"$@\"; status=$?; {after}\n\
         ls -A \"$MOUNT\" >\"$TMPDIR/left\"; exit $status"
    );
    job.env("MOUNT", &mount).wrap_shell(["unshare", "-m", "sh", "-ec", &with_plain_errors(&script)])
}

/// `-e` is for what prepares the run, not for the run.
fn with_plain_errors(script: &str) -> String {
    script.replace("\nequinix-wif \"$@\";", "\nset +e; equinix-wif \"$@\";")
}

fn file<'a>(outcome: &'a Outcome, name: &str) -> &'a [u8] {
    &outcome.files[&outcome.root().join(name)]
}

#[track_caller]
fn nobody_was_called(outcome: &Outcome) {
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
}

const FILL: &str = "{ cat /dev/zero >\"$MOUNT/fill\" || :; } 2>/dev/null";

mod a_full_disk {
    use super::*;

    /// A runner file on it, which holds so many bytes, and what becomes of it. Memory is given out in pages of 4096.
    fn runner_file(variable: &'static str, bytes: usize) -> Job {
        let job = Job::github();
        let path = job.root().join("mount/file");
        let before = format!(
            "{{ printf 'a='; head -c {} /dev/zero | tr '\\0' x; echo; }} >\"$MOUNT/file\"; cp \"$MOUNT/file\" \"$TMPDIR/before\"; {FILL}",
            bytes - 3
        );
        mounted(job.env(variable, path), "size=32k", &before, "cp \"$MOUNT/file\" \"$TMPDIR/after\"")
    }

    #[test]
    fn leaves_outputs_as_they_were() {
        if !is_root() {
            return;
        }
        // Not a byte fits; some would.
        for bytes in [4096, 4000, 3000] {
            let outcome = runner_file("GITHUB_OUTPUT", bytes).run();
            outcome.require(outcome.status == Some(9), "the exit status is 9");
            outcome.stderr_has("error[out-full]").sts_requests(1).stdout_is("");
            assert_eq!(outcome.report.as_ref().unwrap()["code"], "out-full");
            // Where there is room for it, the code is left for the next step.
            let added = file(&outcome, "tmp/after").strip_prefix(file(&outcome, "tmp/before")).unwrap();
            let entries = runner::parse(added, false).unwrap();
            assert!(
                entries.iter().all(|entry| *entry == ("error-code".into(), "out-full".into())),
                "{entries:?}"
            );
        }
    }

    #[test]
    fn leaves_outputs_and_variables_as_they_were_if_one_of_them_has_no_room() {
        if !is_root() {
            return;
        }
        for bytes in [4096, 4000] {
            let outcome = runner_file("GITHUB_ENV", bytes).arg("--export-env").run();
            outcome.require(outcome.status == Some(9), "the exit status is 9");
            outcome.stderr_has("error[out-full]: the runner file of GITHUB_ENV cannot be written");
            let expected = [("error-code".to_owned(), "out-full".to_owned())];
            assert_eq!(outcome.outputs(), expected.into());
            assert_eq!(file(&outcome, "tmp/after"), file(&outcome, "tmp/before"), "{bytes}");
        }
    }

    #[test]
    fn leaves_no_new_file_and_keeps_an_old_one() {
        if !is_root() {
            return;
        }
        for (format, old) in [("json", ""), ("raw", "old"), ("env-file", "old"), ("gitlab-dotenv", "")] {
            let write_old =
                if old.is_empty() { String::new() } else { format!("printf {old} >\"$MOUNT/token\"; ") };
            let job = Job::gitlab();
            let path = job.root().join("mount/token");
            let after = "test ! -e \"$MOUNT/token\" || cp \"$MOUNT/token\" \"$TMPDIR/after\"";
            let job = mounted(job, "size=16k", &format!("{write_old}{FILL}"), after)
                .args(["--format", format, "--accept-artifact-exposure", "--output"])
                .arg(path);
            let outcome = job.run();
            outcome.require(outcome.status == Some(9), "the exit status is 9");
            outcome.stderr_has("error[out-full]").stdout_is("").sts_requests(1);
            let left = if old.is_empty() { "fill\n" } else { "fill\ntoken\n" };
            assert_eq!(String::from_utf8_lossy(file(&outcome, "tmp/left")), left);
            if !old.is_empty() {
                assert_eq!(file(&outcome, "tmp/after"), old.as_bytes());
            }
        }
    }

    #[test]
    fn without_room_for_another_file_is_told_before_anything_is_requested() {
        if !is_root() {
            return;
        }
        let job = Job::gitlab();
        let path = job.root().join("mount/token");
        let outcome =
            mounted(job, "nr_inodes=2", "touch \"$MOUNT/other\"", "").arg("--output").arg(path).run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-full]").stdout_is("");
        nobody_was_called(&outcome);
    }

    #[test]
    fn that_cannot_take_the_report_fails_a_run_that_had_succeeded() {
        if !is_root() {
            return;
        }
        let job = Job::gitlab().without_report();
        let path = job.root().join("mount/report.json");
        let job = mounted(job, "size=16k", FILL, "").args(["--format", "raw", "--report"]).arg(path);
        let outcome = job.token_on_stdout().run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-full]");
        assert_eq!(file(&outcome, "tmp/left"), b"fill\n");
    }
}

mod a_read_only_file_system {
    use super::*;

    const READ_ONLY: &str = "mount -o remount,ro \"$MOUNT\"";

    #[test]
    fn is_told_before_anything_is_requested() {
        if !is_root() {
            return;
        }
        let at = |job: &Job| job.root().join("mount/file");
        let output = Job::gitlab();
        let path = at(&output);
        let output = output.arg("--output").arg(path);
        let runner = Job::github();
        let path = at(&runner);
        let runner = runner.env("GITHUB_OUTPUT", path);
        let variables = Job::github();
        let path = at(&variables);
        let variables = variables.env("GITHUB_ENV", path).arg("--export-env");
        for job in [output, runner, variables] {
            let before = format!("echo a=b >\"$MOUNT/file\"; {READ_ONLY}");
            let outcome = mounted(job, "size=16k", &before, "cp \"$MOUNT/file\" \"$TMPDIR/after\"").run();
            outcome.require(outcome.status == Some(9), "the exit status is 9");
            outcome.stderr_has("error[out-open]").stderr_has("read-only").stdout_is("");
            nobody_was_called(&outcome);
            assert_eq!(file(&outcome, "tmp/after"), b"a=b\n");
        }
    }

    #[test]
    fn is_passed_over_where_there_are_other_folders() {
        if !is_root() {
            return;
        }
        let job = Job::gitlab();
        let (mount, project) = (job.root().join("mount"), fs::canonicalize(job.project_tmp()).unwrap());
        let after = "rm -f \"$CI_PROJECT_DIR\".tmp/*.env";
        let outcome = mounted(job.env("RUNNER_TEMP", mount), "size=16k", READ_ONLY, after).run();
        outcome.succeeds();
        assert!(PathBuf::from(outcome.stdout.trim_end()).starts_with(project), "{}", outcome.stdout);
        assert_eq!(file(&outcome, "tmp/left"), b"");
    }
}

mod another_user {
    use super::*;

    /// A job that belongs to a user without a name, and runs as that user.
    fn as_nobody_known(job: Job, prepare: &str) -> Job {
        let script = format!(
            "chown -R 12345:12345 \"$ROOT\"; {prepare}\nexec setpriv --reuid 12345 --regid 12345 --clear-groups equinix-wif \"$@\""
        );
        let root = job.root().to_owned();
        job.env("ROOT", root).wrap_shell(["sh", "-ec", &script])
    }

    #[test]
    fn may_not_have_made_the_runner_s_file() {
        if !is_root() {
            return;
        }
        for (variable, flag) in [("GITHUB_OUTPUT", "-q"), ("GITHUB_ENV", "--export-env")] {
            let prepare = format!("chown 54321 \"${variable}\"; chmod 666 \"${variable}\"");
            let outcome = as_nobody_known(Job::github(), &prepare).arg(flag).run();
            outcome.require(outcome.status == Some(10), "the exit status is 10");
            outcome.stderr_has("error[out-symlink]").stderr_has("belongs to another user");
            nobody_was_called(&outcome);
        }
        // The runner may be root where the step is not, and in a container it is the other way round.
        let outcome =
            as_nobody_known(Job::github(), "chown 0 \"$GITHUB_OUTPUT\"; chmod 666 \"$GITHUB_OUTPUT\"").run();
        assert_eq!(outcome.succeeds().outputs()["access-token"], outcome.access_token());
        let job = Job::github().wrap_shell([
            "sh",
            "-ec",
            "chown 54321 \"$GITHUB_OUTPUT\"; exec equinix-wif \"$@\"",
        ]);
        let outcome = job.run();
        assert_eq!(outcome.succeeds().outputs()["access-token"], outcome.access_token());
    }

    /// Only root could replace it, and a run that finds that out in the end has requested a token for nothing.
    #[test]
    fn may_not_have_made_a_file_that_is_to_be_replaced_in_a_folder_of_everybody_s() {
        if !is_root() {
            return;
        }
        let job = || {
            let job = Job::gitlab().args(["--format", "raw"]);
            let folder = job.root().join("open");
            fs::create_dir(&folder).unwrap();
            let path = folder.join("token");
            fs::write(&path, "theirs").unwrap();
            (job.arg("--output").arg(&path).token_in(&path), path)
        };
        let folder_of = |owner: u32| format!("chmod 1777 \"$ROOT/open\"; chown {owner} \"$ROOT/open\"");
        let (other, path) = job();
        let prepare = format!("{}; chown 54321 \"$ROOT/open/token\"", folder_of(0));
        let outcome = as_nobody_known(other, &prepare).run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-open]").stderr_has("belongs to another user");
        nobody_was_called(&outcome);
        assert_eq!(outcome.files[&path], b"theirs");
        // Its own file, or a file in its own folder, this user may replace.
        for prepare in [folder_of(0), format!("{}; chown 54321 \"$ROOT/open/token\"", folder_of(12345))] {
            let (own, path) = job();
            let outcome = as_nobody_known(own, &prepare).run();
            assert_eq!(outcome.succeeds().files[&path], outcome.access_token().as_bytes());
        }
    }

    #[test]
    fn may_own_nothing_on_the_way_to_the_file() {
        if !is_root() {
            return;
        }
        for (prepare, what) in [
            ("chown 54321 \"$ROOT/open\"; chmod 755 \"$ROOT/open\"", "belongs to another user"),
            ("chmod 777 \"$ROOT/open\"", "can be written by other users"),
            ("chown 54321 \"$ROOT/open/link\" -h", "is a symbolic link of another user"),
        ] {
            let job = Job::gitlab().args(["--format", "raw"]);
            let folder = job.root().join("open");
            fs::create_dir_all(folder.join("mine/too")).unwrap();
            std::os::unix::fs::symlink("mine", folder.join("link")).unwrap();
            let job = job.arg("--output").arg(folder.join("link/too/token"));
            let outcome = as_nobody_known(job, prepare).run();
            outcome.require(outcome.status == Some(10), "the exit status is 10");
            outcome.stderr_has("error[out-symlink]").stderr_has(what);
            nobody_was_called(&outcome);
        }
    }

    /// In a container of a GitHub job root runs the steps, and the runner outside is another user.
    #[test]
    fn is_the_runner_where_root_runs_the_step() {
        if !is_root() {
            return;
        }
        let give = "chown -R 1001:1001 \"$RUNNER_TEMP\" \"$RUNNER_TEMP/..\"; exec equinix-wif \"$@\"";
        let outcome = Job::github().args(["--format", "env-file"]).wrap_shell(["sh", "-ec", give]).run();
        let temp = fs::canonicalize(outcome.root().join("work/_temp")).unwrap();
        assert_eq!(outcome.succeeds().printed_path().unwrap().parent(), Some(temp.as_path()));
        let job = Job::github().args(["--format", "raw"]);
        let path = job.runner_temp().join("token");
        let outcome = job.arg("--output").arg(&path).token_in(&path).wrap_shell(["sh", "-ec", give]).run();
        assert_eq!(outcome.succeeds().files[&path], outcome.access_token().as_bytes());
        // It is so for the runner's folder only.
        let give = "chown 1001 \"$TMPDIR\"; exec equinix-wif \"$@\"";
        let job = Job::github().args(["--format", "raw"]);
        let path = job.tmp().join("token");
        let outcome = job.arg("--output").arg(&path).wrap_shell(["sh", "-ec", give]).run();
        outcome.fails(10, "out-symlink").stderr_has("belongs to another user");
        nobody_was_called(&outcome);
    }

    #[test]
    fn without_a_name_a_home_or_a_temporary_folder_gets_a_token() {
        if !is_root() {
            return;
        }
        let job = as_nobody_known(Job::github(), "unset HOME TMPDIR USER LOGNAME");
        let outcome = job.run();
        assert_eq!(outcome.succeeds().outputs()["access-token"], outcome.access_token());
        // Nothing but the folder for the file can be written.
        let job = Job::gitlab();
        let (root, mount) = (job.root().to_owned(), job.root().join("mount"));
        fs::create_dir(&mount).unwrap();
        let script = "mount -o remount,bind,ro / && mount -t tmpfs -o mode=0700,uid=12345 tmpfs \"$RUNNER_TEMP\"\n\
             unset HOME TMPDIR\n\
             file=$(setpriv --reuid 12345 --regid 12345 --clear-groups equinix-wif \"$@\") && cat \"$file\"";
        let outcome = job
            .env("RUNNER_TEMP", &mount)
            .without_report()
            .wrap_shell([
                "unshare",
                "-m",
                "sh",
                "-ec",
                &format!("chmod -R a+rX {}; {script}", root.display()),
            ])
            .token_on_stdout()
            .run();
        outcome.succeeds();
        let expected = format!("export EQUINIX_API_TOKEN='{}'\n", outcome.access_token());
        assert!(outcome.stdout.starts_with(&expected), "{}", outcome.context());
    }
}

/// GitLab's executors docker and kubernetes make the checkout and the folder beside it writable for everybody, and images
/// often have a `/tmp` without the sticky bit.
mod a_container {
    use super::*;

    /// A job in such a container; `prepare` comes before the run, with `/dev/shm` and all that is below `/tmp` as it is there.
    fn container(job: Job, prepare: &str, after: &str) -> Job {
        let script = format!(
            "mount --bind \"$ROOT\" /mnt; mount -t tmpfs -o mode=0777 tmpfs /tmp; mkdir -p \"$ROOT\"; mount --move /mnt \"$ROOT\"\n\
             mount -t tmpfs -o mode=1777 tmpfs /dev/shm\n\
             chmod 777 \"$ROOT\" \"$ROOT\"/builds \"$ROOT\"/builds/* \"$ROOT\"/builds/*/*; cd \"$CI_PROJECT_DIR\"; unset TMPDIR\n\
             {prepare}\nequinix-wif \"$@\"{after}"
        );
        let root = job.root().to_owned();
        job.env("ROOT", root).wrap_shell(["unshare", "-m", "sh", "-ec", &script])
    }

    #[test]
    fn has_a_private_place_for_the_default_format() {
        if !is_root() {
            return;
        }
        let cases = [
            ("/dev/shm", ""),
            ("/root", "export HOME=/root"),
            ("/run/user/0", "export XDG_RUNTIME_DIR=/run/user/0"),
            ("/dev/shm", "export HOME=/"),
            ("/dev/shm", "export HOME=\"$CI_PROJECT_DIR\""),
        ];
        each(
            &cases.map(|(place, prepare)| (format!("{place}, {prepare}"), (place, prepare))),
            |(place, prepare)| {
                let fresh = format!(
                    "mount -t tmpfs -o mode=0700 tmpfs /root; mount -t tmpfs tmpfs /run; mkdir -p -m 700 /run/user/0\n{prepare}"
                );
                let after = " >\"$ROOT/path\"; file=$(cat \"$ROOT/path\"); stat -c '%a %n' \"$file\" >\"$ROOT/mode\"; cat \"$file\"";
                let outcome = container(Job::gitlab(), &fresh, after).token_on_stdout().run();
                outcome.succeeds();
                let expected = format!("export EQUINIX_API_TOKEN='{}'\n", outcome.access_token());
                outcome.require(outcome.stdout.starts_with(&expected), "the file has the token");
                let mode = String::from_utf8_lossy(file(&outcome, "mode")).into_owned();
                outcome.require(mode.starts_with(&format!("600 {place}/equinix-wif-")), &mode);
            },
        );
    }

    #[test]
    fn takes_the_documented_artifact() {
        if !is_root() {
            return;
        }
        let job = Job::gitlab().token_in("builds/octo-org/metal-app/equinix.env");
        let flags = ["--format", "gitlab-dotenv", "--output", "equinix.env", "--accept-artifact-exposure"];
        let outcome = container(job.args(flags), "", "").run();
        let text = String::from_utf8_lossy(file(outcome.succeeds(), "builds/octo-org/metal-app/equinix.env"))
            .into_owned();
        let expected = format!("EQUINIX_API_TOKEN={}\n", outcome.access_token());
        outcome.require(text.starts_with(&expected), "the file has the token");
    }

    /// The hint's own words are run.
    #[test]
    fn has_a_hint_that_works() {
        if !is_root() {
            return;
        }
        let nothing = "mount -t tmpfs -o mode=0777 tmpfs /dev/shm";
        let outcome = container(Job::gitlab(), nothing, "").run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-open]: there is no temporary folder");
        outcome.stderr_has("eval \"$(equinix-wif token --output -)\"");
        nobody_was_called(&outcome);
        let after = " --output - >/dev/null; eval \"$(equinix-wif \"$@\" --output -)\"; printf %s \"$EQUINIX_API_TOKEN\"";
        let outcome = container(Job::gitlab(), nothing, after).token_on_stdout().run();
        let issued: Vec<String> = outcome
            .succeeds()
            .sts
            .replies
            .iter()
            .flat_map(|reply| {
                support::leak::members(&String::from_utf8_lossy(reply.payload()), "access_token")
            })
            .collect();
        assert_eq!(issued.last(), Some(&outcome.stdout));
        // Where there is a place, the hint of a refused path names it.
        let outcome = container(Job::gitlab().args(["--format", "raw", "--output", "token"]), "", "").run();
        outcome.require(outcome.status == Some(10), "the exit status is 10");
        outcome.stderr_has("--output \"/dev/shm/token\"").stderr_lacks("--allow-workspace");
        nobody_was_called(&outcome);
        let job = Job::gitlab().args(["--format", "raw", "--output", "/dev/shm/token"]);
        let outcome = container(job, "", "; cat /dev/shm/token").token_on_stdout().run();
        outcome.succeeds().stdout_is(outcome.access_token());
    }
}

mod addresses {
    use super::*;

    /// The name that the other certificate is for, with an IPv6 address before the one that the STS listens on.
    const HOST: &str = "elsewhere.example";

    fn job(before: &str) -> Job {
        let job = Job::gitlab().sts_tls(Leaf::WrongHost).args(["--format", "raw"]);
        let url = job.sts_url();
        let (_, port) = url.rsplit_once(':').unwrap();
        let script = format!(
            "printf '::1 {HOST}\\n127.0.0.1 {HOST}\\n' >\"$TMPDIR/hosts\"; mount --bind \"$TMPDIR/hosts\" /etc/hosts; {before}\n\
             status=0; equinix-wif \"$@\" || status=$?; rm \"$TMPDIR\"/*; exit $status"
        );
        job.env("PORT", port)
            .without_flag("--sts-endpoint")
            .args(["--sts-endpoint", &format!("https://{HOST}:{port}")])
            .wrap_shell(["unshare", "-m", "sh", "-ec", &script])
            .token_on_stdout()
    }

    #[test]
    fn that_refuse_are_passed_over() {
        if !is_root() {
            return;
        }
        job("").run().succeeds().sts_requests(1).stderr_lacks("trying again");
    }

    #[test]
    fn that_are_silent_do_not_take_the_whole_time() {
        if !is_root() || !python_works() {
            return;
        }
        // A listener whose queue is full answers nobody any more.
        let silent = "import os, signal, socket; port = int(os.environ['PORT']); \
            server = socket.socket(socket.AF_INET6); server.bind(('::1', port)); server.listen(0); \
            fill = [socket.socket(socket.AF_INET6) for _ in range(4)]; \
            [each.setblocking(False) or each.connect_ex(('::1', port)) for each in fill]; \
            open(os.environ['TMPDIR'] + '/silent', 'w').close(); signal.pause()";
        let before = format!(
            "python3 -c \"{silent}\" & silent=$!; trap 'kill $silent' EXIT; until test -e \"$TMPDIR/silent\"; do sleep 0.01; done"
        );
        let outcome = job(&before).run();
        outcome.succeeds().sts_requests(1).within(Duration::from_secs(15));
    }
}

mod an_empty_root {
    use super::*;

    /// The program alone with its libraries: no user, no folder for temporary files, no device, and no `/proc`.
    const SCRIPT: &str = "mkdir \"$ROOT\"; program=${PROGRAM:-$(command -v equinix-wif)}; cp \"$program\" \"$ROOT/equinix-wif\"\n\
        for library in $(ldd \"$program\" | grep -o '/[^ ]*'); do mkdir -p \"$ROOT${library%/*}\"; cp \"$library\" \"$ROOT$library\"; done\n\
        status=0; chroot \"$ROOT\" /equinix-wif \"$@\" || status=$?\n\
        rm -r \"$ROOT/equinix-wif\" \"$ROOT\"/lib* \"$ROOT/usr\" 2>/dev/null || :\n\
        exit $status";

    fn job() -> Job {
        let job = Job::gitlab().without_report().unset("TMPDIR");
        let root = job.root().join("empty");
        job.env("ROOT", root).wrap_shell(["sh", "-ec", SCRIPT])
    }

    /// The program with its libraries inside it, as `.ci/build-static --release` makes it.
    fn static_program() -> PathBuf {
        let targets = Path::new(env!("CARGO_BIN_EXE_equinix-wif")).ancestors().nth(2).unwrap();
        targets.join(format!("{}-unknown-linux-gnu/release/equinix-wif", std::env::consts::ARCH))
    }

    #[test]
    fn is_enough_with_the_libraries() {
        if is_root() {
            is_enough(&job);
        }
    }

    #[test]
    fn is_enough_for_the_static_program() {
        let program = static_program();
        if is_root()
            && works(
                "the static program",
                Command::new(&program).arg("--version"),
                "run .ci/build-static --release",
            )
        {
            is_enough(&|| job().env("PROGRAM", &program));
        }
    }

    fn is_enough(job: &dyn Fn() -> Job) {
        let outcome = job().args(["--format", "raw"]).token_on_stdout().run();
        outcome.succeeds().stdout_is(&format!("{}\n", outcome.access_token()));
        // A file that has no name yet gets it through /proc; without that it is written under a name of its own.
        let outcome = job().args(["--format", "raw", "--output", "/token"]).token_in("empty/token").run();
        outcome.succeeds().stdout_is("");
        assert_eq!(file(&outcome, "empty/token"), outcome.access_token().as_bytes());
        assert_eq!(outcome.new_files(), [outcome.root().join("empty/token")]);
        let outcome = job().run();
        outcome.require(outcome.status == Some(9), "there is no folder for the file");
        outcome.stderr_has("error[out-open]").stderr_has("there is no temporary folder");
        nobody_was_called(&outcome);
    }
}

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
                ("gitlab", _, _) if redirections.split(' ').any(|part| part == ">&-") => (9, "out-closed"),
                _ => (0, ""),
            };
            outcome.require(outcome.status == Some(expected.0), &format!("it ends with {expected:?}"));
            let report = outcome.report.as_ref().unwrap();
            assert_eq!(report["code"].as_str().unwrap_or_default(), expected.1);
            outcome.stderr_lacks("panicked").stderr_lacks("internal");
            if expected.0 != 0 {
                outcome.stdout_is("");
                outcome.require(outcome.new_files().is_empty(), "no file is left");
            }
        });
    }

    /// Starts the program with both streams on full pipes that do not block, and reads them only when it waits for that.
    const SLOW_READER: &str = r"
import fcntl, os, subprocess, sys, threading
def full_pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) | os.O_NONBLOCK)
    filled = 0
    try:
        while True: filled += os.write(writer, b'.' * 4096)
    except BlockingIOError: pass
    try:
        while True: filled += os.write(writer, b'.')
    except BlockingIOError: pass
    return reader, writer, filled
out, err = full_pipe(), full_pipe()
child = subprocess.Popen(sys.argv[1:], stdout=out[1], stderr=err[1])
os.close(out[1]); os.close(err[1])
def waits():
    # Each attempt to write gives the processor up once.
    with open(f'/proc/{child.pid}/status') as status:
        return any(line.startswith('voluntary') and int(line.split()[1]) > 20 for line in status)
while child.poll() is None and not waits(): os.sched_yield()
def drain(pipe, to):
    data = b''
    while more := os.read(pipe[0], 65536): data += more
    os.write(to, data[pipe[2]:])
threads = [threading.Thread(target=drain, args=each) for each in ((out, 1), (err, 2))]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(child.wait())
";

    #[test]
    fn that_do_not_block_get_everything_from_a_slow_reader() {
        if !python_works() {
            return;
        }
        let job = Job::github().args(["--format", "json"]).wrap_shell(["python3", "-c", SLOW_READER]);
        // This reader keeps everything to the end, so the masks cannot be seen in time.
        let outcome = job.token_on_stdout().masks_unchecked().run();
        outcome.succeeds();
        let answer: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(answer["access_token"], outcome.access_token());
        for token in [outcome.access_token(), &outcome.id_token()] {
            assert!(outcome.stderr.contains(&format!("::add-mask::{token}\n")), "the masks are whole");
        }
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
