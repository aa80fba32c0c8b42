//! What disks, file systems, users and addresses can do to a run: it ends with its own status and code, and what was
//! there before is as it was, or whole. What needs no rights is in `tests/integration/surroundings.rs`.
//!
//! Full disks and read-only file systems are mounted in a mount namespace of the run's own, which needs root.

#![cfg(target_os = "linux")]

use crate::support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::tools::{INSTALL, need, need_python, need_root, need_static_program};
use crate::{Check, checks};
use support::job::Job;
use support::outcome::Outcome;
use support::process::Running;
use support::runner;
use support::server::Reply;
use support::table::each;
use support::tls::Leaf;

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        a_full_disk::leaves_outputs_as_they_were,
        a_full_disk::leaves_outputs_and_variables_as_they_were_if_one_of_them_has_no_room,
        a_full_disk::leaves_no_new_file_and_keeps_an_old_one,
        a_full_disk::without_room_for_another_file_is_told_before_anything_is_requested,
        a_full_disk::without_room_for_a_new_refresh_token_leaves_the_old_one_unused,
        a_full_disk::that_cannot_take_the_report_fails_a_run_that_had_succeeded,
        a_read_only_file_system::is_told_before_anything_is_requested,
        a_read_only_file_system::is_passed_over_where_there_are_other_folders,
        another_user::may_not_have_made_the_runner_s_file,
        another_user::a_runner_file_that_may_not_be_written_is_refused_before_any_request,
        another_user::without_a_name_a_home_or_a_temporary_folder_gets_a_token,
        another_user::may_not_have_made_a_file_that_is_to_be_replaced_in_a_folder_of_everybody_s,
        another_user::may_own_nothing_on_the_way_to_the_file,
        another_user::is_the_runner_where_root_runs_the_step,
        another_user::s_runner_file_has_hints_that_work,
        a_container::has_a_private_place_for_the_default_format,
        a_container::takes_the_documented_artifact,
        a_container::has_a_hint_that_works,
        addresses::that_refuse_are_passed_over,
        addresses::that_are_silent_do_not_take_the_whole_time,
        addresses::that_nobody_tells_are_not_waited_for_beyond_the_deadline,
        a_clock_that_is_not_set::is_named_before_anybody_is_blamed,
        the_first_process::is_ended_by_a_signal_in_every_phase,
        the_first_process::leaves_what_its_parent_ignores,
        the_first_process::hands_no_handler_to_a_command,
        the_first_process::beside_a_command_sends_signals_on_and_reaps_orphans,
        an_empty_root::is_enough_with_the_libraries,
        an_empty_root::is_enough_for_the_static_program,
        streams::that_do_not_block_get_everything_from_a_slow_reader
    ]
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

/// The first process of a container: Linux drops signals for it that have no handler.
mod the_first_process {
    use super::*;

    /// Sends a signal to the program, which runs below `unshare`.
    fn signal(running: &Running, name: &str) {
        let parent = running.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let child = children.trim();
        assert!(
            !child.is_empty() && child.bytes().all(|byte| byte.is_ascii_digit()),
            "one child: {children}"
        );
        let sent = Command::new("kill").args([&format!("-{name}"), child]).status().unwrap();
        assert!(sent.success());
    }

    const CONTAINER: [&str; 3] = ["env", "--default-signal", "unshare"];

    fn in_container(job: Job) -> Job {
        job.wrap_shell(CONTAINER.into_iter().chain(["-pf"]))
    }

    pub(super) fn is_ended_by_a_signal_in_every_phase() {
        need_root();
        for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("QUIT", 3), ("USR1", 10)] {
            for exchange in [false, true] {
                let job = Job::github().args(["--format", "env-file"]);
                let job = if exchange {
                    job.sts_always(Reply::stall())
                } else {
                    job.id_token_always(Reply::stall())
                };
                let running = in_container(job).start();
                let end = if exchange { running.sts() } else { running.issuer() };
                assert!(end.wait_for_requests(1), "the run has come so far");
                signal(&running, name);
                let outcome = running.wait();
                outcome.require(outcome.status == Some(128 + number), &format!("{name} ended it"));
                outcome.within(Duration::from_secs(10)).stdout_is("");
                outcome
                    .require(outcome.new_files().is_empty(), &format!("{:?} is left", outcome.new_files()));
            }
        }
    }

    pub(super) fn leaves_what_its_parent_ignores() {
        need_root();
        let ignoring = ["env", "--ignore-signal=HUP", "unshare", "-pf"];
        let running = Job::github().sts_always(Reply::stall()).wrap_shell(ignoring).start();
        assert!(running.sts().wait_for_requests(1), "the run has come so far");
        signal(&running, "HUP");
        signal(&running, "TERM");
        let outcome = running.wait();
        outcome.require(outcome.status == Some(128 + 15), "the second one ended it");
    }

    pub(super) fn hands_no_handler_to_a_command() {
        need_root();
        let show = "while read name value; do case $name in SigIgn:|SigCgt:|SigBlk:) echo $name $value; esac; done </proc/self/status";
        let seen = |job: Job| job.run().succeeds().stdout.clone();
        let command = ["bash", "-c", show];
        let inside = seen(in_container(Job::github().exec(command)));
        let outside = seen(Job::github().exec(command).wrap_shell(["env", "--default-signal"]));
        assert!(inside.lines().count() == 3, "{inside}");
        assert_eq!(inside, outside);
    }

    pub(super) fn beside_a_command_sends_signals_on_and_reaps_orphans() {
        need_root();
        // The orphan of the inner shell ends first, and the command does not wait for it. Then only its own status is left.
        let script = "for name in HUP INT QUIT TERM USR1 ALRM; do trap \"echo $name\" $name; done; trap 'exit 7' USR2\n\
            sh -c ': & echo $! >\"$TMPDIR/orphan\"'; orphan=$(cat \"$TMPDIR/orphan\"); while test -e /proc/$orphan; do sleep 0.02; done\n\
            echo $PPID ready >&2; while :; do sleep 0.02 & wait $!; done";
        let container = CONTAINER.into_iter().chain(["-pf", "--mount-proc"]);
        let running =
            Job::github().arg("--renew").wrap_shell(container.clone()).exec(["bash", "-c", script]).start();
        assert!(running.stderr_gets("1 ready\n"), "the first process reaps what is not its own");
        for name in ["HUP", "INT", "QUIT", "TERM", "USR1", "ALRM", "USR2"] {
            signal(&running, name);
            assert!(name == "USR2" || running.stdout_gets(&format!("{name}\n")));
        }
        let outcome = running.wait();
        outcome.require(outcome.status == Some(7), "the status is the command's");
        outcome.stdout_is("HUP\nINT\nQUIT\nTERM\nUSR1\nALRM\n");
        for (script, status) in [("kill -KILL $$", 128 + 9), ("exit 3", 3)] {
            let job = Job::github().arg("--renew").wrap_shell(container.clone());
            let outcome = job.exec(["sh", "-c", script]).run();
            outcome.require(outcome.status == Some(status), "the status tells the command's end");
        }
    }
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

    pub(super) fn leaves_outputs_as_they_were() {
        need_root();
        // Not a byte fits; some do, and are taken back.
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

    pub(super) fn leaves_outputs_and_variables_as_they_were_if_one_of_them_has_no_room() {
        need_root();
        for bytes in [4096, 4000] {
            let outcome = runner_file("GITHUB_ENV", bytes).arg("--export-env").run();
            outcome.require(outcome.status == Some(9), "the exit status is 9");
            outcome.stderr_has("error[out-full]: the runner file of GITHUB_ENV cannot be written");
            let expected = [("error-code".to_owned(), "out-full".to_owned())];
            assert_eq!(outcome.outputs(), expected.into());
            assert_eq!(file(&outcome, "tmp/after"), file(&outcome, "tmp/before"), "{bytes}");
        }
    }

    pub(super) fn without_room_for_a_new_refresh_token_leaves_the_old_one_unused() {
        const OLD: &str = "aBiLmo8zsMX345MSaHHI-qwErtY8";
        need_root();
        if !cfg!(feature = "classic-grants") {
            return;
        }
        let job = Job::bare().grant("refresh-token").client().stored_secret(OLD);
        let path = job.root().join("mount/token");
        let before = format!("printf {OLD} >\"$MOUNT/token\"; {FILL}");
        // The token itself may be in no other file, so the comparison is the shell's.
        let after = format!("test \"$(cat \"$MOUNT/token\")\" = {OLD} && echo same >\"$TMPDIR/after\"");
        let job = mounted(job, "size=64k", &before, &after);
        let outcome = job.arg("--refresh-token-file").arg(path).run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-full]").stdout_is("").sts_requests(0);
        assert_eq!(file(&outcome, "tmp/after"), b"same\n");
    }

    pub(super) fn leaves_no_new_file_and_keeps_an_old_one() {
        need_root();
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

    pub(super) fn without_room_for_another_file_is_told_before_anything_is_requested() {
        need_root();
        let job = Job::gitlab();
        let path = job.root().join("mount/token");
        let outcome =
            mounted(job, "nr_inodes=2", "touch \"$MOUNT/other\"", "").arg("--output").arg(path).run();
        outcome.require(outcome.status == Some(9), "the exit status is 9");
        outcome.stderr_has("error[out-full]").stdout_is("");
        nobody_was_called(&outcome);
    }

    pub(super) fn that_cannot_take_the_report_fails_a_run_that_had_succeeded() {
        need_root();
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

    pub(super) fn is_told_before_anything_is_requested() {
        need_root();
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

    pub(super) fn is_passed_over_where_there_are_other_folders() {
        need_root();
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

    pub(super) fn may_not_have_made_the_runner_s_file() {
        need_root();
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

    pub(super) fn a_runner_file_that_may_not_be_written_is_refused_before_any_request() {
        need_root();
        let outcome = as_nobody_known(Job::github(), "chmod 444 \"$GITHUB_OUTPUT\"").run();
        outcome.fails(9, "out-open").stderr_has("this user may not");
        nobody_was_called(&outcome);
    }

    pub(super) fn without_a_name_a_home_or_a_temporary_folder_gets_a_token() {
        need_root();
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
        let expected = format!("export EQUINIX_API_TOKEN='{}';\n", outcome.access_token());
        assert!(outcome.stdout.starts_with(&expected), "{}", outcome.context());
    }

    /// Only root could replace it, and a run that finds that out in the end has requested a token for nothing.
    pub(super) fn may_not_have_made_a_file_that_is_to_be_replaced_in_a_folder_of_everybody_s() {
        need_root();
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

    pub(super) fn may_own_nothing_on_the_way_to_the_file() {
        need_root();
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

    /// The step runs in a container as somebody else than the runner.
    pub(super) fn s_runner_file_has_hints_that_work() {
        need_root();
        let theirs = "chown 54321 \"$GITHUB_OUTPUT\"";
        for (prepare, status) in
            [(format!("{theirs}; chmod 666 \"$GITHUB_OUTPUT\""), 10), (theirs.to_owned(), 9)]
        {
            let outcome = as_nobody_known(Job::github(), &prepare).run();
            outcome.require(outcome.status == Some(status), "nothing is written there");
            outcome.stderr_has(
                "hint: Run the container as the user that the file belongs to or as root (docker run --user), or use exec, which writes no file.",
            );
            nobody_was_called(&outcome);
            as_nobody_known(Job::github().exec(["true"]), &prepare).run().succeeds().sts_requests(1);
        }
        for user in ["54321", "0"] {
            let script = format!(
                "chown -R {user} \"$ROOT\"; {theirs}; exec setpriv --reuid {user} --regid {user} --clear-groups equinix-wif \"$@\""
            );
            let job = Job::github();
            let root = job.root().to_owned();
            let outcome = job.env("ROOT", root).wrap_shell(["sh", "-ec", &script]).run();
            assert_eq!(outcome.succeeds().outputs()["access-token"], outcome.access_token());
        }
    }

    /// In a container of a GitHub job root runs the steps, and the runner outside is another user.
    pub(super) fn is_the_runner_where_root_runs_the_step() {
        need_root();
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
}

/// The clock of a machine without a battery.
mod a_clock_that_is_not_set {
    use super::*;

    /// Takes the place of the C library's function.
    const CLOCK: &str = "#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    if (id == CLOCK_REALTIME) time->tv_sec = 3 * 24 * 3600;
    return result;
}
";

    fn in_1970(job: Job) -> Job {
        let library = job.root().join("clock.so");
        let job = job.file("clock.c", CLOCK);
        let source = job.root().join("clock.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(made.unwrap().success());
        job.env("LD_PRELOAD", library)
    }

    pub(super) fn is_named_before_anybody_is_blamed() {
        need("C compiler", Command::new("cc").arg("--version"), "install gcc");
        let message = ": this machine's clock says 1970-01-04T00:00:00Z: it is not set\n";
        for (job, exit, code) in [
            (Job::gitlab(), 5, "claim-not-yet-valid"),
            // No certificate is valid yet either.
            (Job::github().tls(), 10, "tls-verify"),
            (Job::gitlab().tls().args(["--validation", "off"]), 10, "tls-verify"),
        ] {
            let outcome = in_1970(job).run();
            outcome.require(outcome.status == Some(exit), code);
            outcome
                .stderr_has(&format!("error[{code}]{message}"))
                .stderr_has("hint: Set this machine's clock");
            outcome.sts_requests(0).stdout_is("");
        }
    }
}

/// GitLab's executors docker and kubernetes make the checkout and the folder beside it writable for everybody, and images
/// often have a `/tmp` without the sticky bit.
mod a_container {
    use super::*;

    /// A job in such a container; `prepare` comes before the run, with `/dev/shm` and all that is below `/tmp` as it is there.
    /// The program is a copy, since its own folder may be below `/tmp` and out of sight then; so it is hidden everywhere.
    fn container(job: Job, prepare: &str, after: &str) -> Job {
        let script = format!(
            "program=$(command -v equinix-wif); exec 9<\"$program\"\n\
             mount -t tmpfs -o mode=0755 tmpfs /mnt; mkdir /mnt/bin /mnt/root; cat <&9 >/mnt/bin/equinix-wif; exec 9<&-\n\
             chmod 755 /mnt/bin/equinix-wif; mount -t tmpfs tmpfs \"${{program%/*}}\"; PATH=/mnt/bin:$PATH\n\
             mount --bind \"$ROOT\" /mnt/root; mount -t tmpfs -o mode=0777 tmpfs /tmp\n\
             mount -t tmpfs -o mode=1777 tmpfs /dev/shm; mkdir -p \"$ROOT\"; mount --move /mnt/root \"$ROOT\"\n\
             chmod 777 \"$ROOT\" \"$ROOT\"/builds \"$ROOT\"/builds/* \"$ROOT\"/builds/*/*; cd \"$CI_PROJECT_DIR\"; unset TMPDIR\n\
             {prepare}\nequinix-wif \"$@\"{after}"
        );
        let root = job.root().to_owned();
        job.env("ROOT", root).wrap_shell(["unshare", "-m", "sh", "-ec", &script])
    }

    pub(super) fn has_a_private_place_for_the_default_format() {
        need_root();
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
                let expected = format!("export EQUINIX_API_TOKEN='{}';\n", outcome.access_token());
                outcome.require(outcome.stdout.starts_with(&expected), "the file has the token");
                let mode = String::from_utf8_lossy(file(&outcome, "mode")).into_owned();
                outcome.require(mode.starts_with(&format!("600 {place}/equinix-wif-")), &mode);
            },
        );
    }

    pub(super) fn takes_the_documented_artifact() {
        need_root();
        let job = Job::gitlab().token_in("builds/octo-org/metal-app/equinix.env");
        let flags = ["--format", "gitlab-dotenv", "--output", "equinix.env", "--accept-artifact-exposure"];
        let outcome = container(job.args(flags), "", "").run();
        let text = String::from_utf8_lossy(file(outcome.succeeds(), "builds/octo-org/metal-app/equinix.env"))
            .into_owned();
        let expected = format!("EQUINIX_API_TOKEN={}\n", outcome.access_token());
        outcome.require(text.starts_with(&expected), "the file has the token");
    }

    /// The hint's own words are run.
    pub(super) fn has_a_hint_that_works() {
        need_root();
        let nothing = "chmod 777 /dev/shm; chmod -t /dev/shm";
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

    pub(super) fn that_refuse_are_passed_over() {
        need_root();
        job("").run().succeeds().sts_requests(1).stderr_lacks("trying again");
    }

    /// The C library asks a name server that never answers, for five seconds each time.
    pub(super) fn that_nobody_tells_are_not_waited_for_beyond_the_deadline() {
        need_root();
        need_python();
        need("ip", Command::new("ip").arg("-V"), INSTALL);
        let silent = "import os, signal, socket; \
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('127.0.0.1', 53)); \
            open(os.environ['TMPDIR'] + '/silent', 'w').close(); signal.pause()";
        let script = format!(
            "ip link set lo up; printf 'nameserver 127.0.0.1\\n' >\"$TMPDIR/names\"; printf 'hosts: dns\\n' >\"$TMPDIR/switch\"\n\
             mount --bind \"$TMPDIR/names\" /etc/resolv.conf; mount --bind \"$TMPDIR/switch\" /etc/nsswitch.conf\n\
             python3 -c \"{silent}\" & silent=$!; until test -e \"$TMPDIR/silent\"; do sleep 0.01; done\n\
             begin=$(date +%s%N); status=0; equinix-wif \"$@\" || status=$?; end=$(date +%s%N); kill $silent\n\
             rm \"$TMPDIR\"/*; echo $(((end - begin) / 1000000)); exit $status"
        );
        let job =
            Job::gitlab().without_flag("--sts-endpoint").args(["--sts-endpoint", "https://sts.example"]);
        let outcome = job.args(["--timeout", "2"]).wrap_shell(["unshare", "-mn", "sh", "-ec", &script]).run();
        outcome.require(outcome.status == Some(8), "it is transient");
        outcome.stderr_has("error[deadline]");
        let milliseconds: u32 = outcome.stdout.trim().parse().unwrap();
        outcome.require(
            (1_900..3_000).contains(&milliseconds),
            &format!("{milliseconds} ms are the time limit"),
        );
    }

    pub(super) fn that_are_silent_do_not_take_the_whole_time() {
        need_root();
        need_python();
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

    pub(super) fn is_enough_with_the_libraries() {
        need_root();
        is_enough(&job);
    }

    pub(super) fn is_enough_for_the_static_program() {
        need_root();
        let program = need_static_program();
        is_enough(&|| job().env("PROGRAM", &program));
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

    pub(super) fn that_do_not_block_get_everything_from_a_slow_reader() {
        need_python();
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
