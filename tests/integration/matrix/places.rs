//! M8: where the token should go and cannot, or can although it looks odd. What cannot be written is found out before
//! anybody is asked, as far as opening can tell.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::Ends::{Badly, Well};
use super::support::job::Job;
use super::{Ends, Row};

type Prepare = fn(&Path);

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn socket(path: &Path) {
    std::mem::forget(std::os::unix::net::UnixListener::bind(path).unwrap());
}

fn link(path: &Path) {
    fs::write(path.with_extension("real"), "").unwrap();
    symlink(path.with_extension("real"), path).unwrap();
}

fn megabyte(path: &Path) {
    fs::write(path, "a=b\n".repeat(1 << 18)).unwrap();
}

/// Somebody else may swap what is in it.
fn open_folder(path: &Path) {
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o777)).unwrap();
}

/// Requests when the place is looked at before anybody is asked.
fn all_or_none(ends: Ends) -> (usize, usize) {
    if matches!(ends, Well) { (1, 1) } else { (0, 0) }
}

/// What stands where a runner file should be.
fn runner_file(variable: &'static str, prepare: Prepare, ends: Ends) -> Row {
    let job = Job::github().arg("--export-env");
    let path = job.runner_temp().join("odd");
    prepare(&path);
    Row::new(ends, all_or_none(ends), job.env(variable, path))
}

/// What stands where `--output` points to, in a folder of this job.
fn output(path: &str, prepare: Prepare, ends: Ends) -> Row {
    let job = Job::github().args(["--format", "json", "--output"]);
    let path = job.tmp().join(path);
    prepare(&path);
    Row::new(ends, all_or_none(ends), job.token_in(&path).arg(path))
}

/// A path for `--output` below the checkout.
fn output_in_the_checkout(path: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), Job::github().args(["--format", "json", "--output", path]))
}

/// Standard output redirected by a shell, whose descriptor 3 is a pipe without a reader.
fn standard_output(format: &str, redirection: &str, exchanges: usize, ends: Ends) -> Row {
    let script = format!(
        "mkfifo \"$TMPDIR/p\"; : <\"$TMPDIR/p\" & exec 3>\"$TMPDIR/p\"; wait; rm \"$TMPDIR/p\"; \
         exec equinix-wif \"$@\" {redirection}"
    );
    let job = Job::gitlab().args(["--format", format]).wrap_shell(["sh", "-c", &script]);
    Row::new(ends, (0, exchanges), job)
}

const OPEN: Ends = Badly(9, "out-open");
const MISSING: Ends = Badly(9, "out-runner-file-missing");
const LINK: Ends = Badly(10, "out-symlink");
const IN_WORKSPACE: Ends = Badly(10, "out-in-workspace");
const CLOSED: Ends = Badly(9, "out-closed");
const FULL: Ends = Badly(9, "out-full");

faults! {
    m08 {
        runner_file_is(&'static str: github_output = "GITHUB_OUTPUT", github_env = "GITHUB_ENV") {
            nothing: runner_file(|_| {}) => MISSING;
            a_folder: runner_file(|path| fs::create_dir(path).unwrap()) => OPEN;
            a_pipe: runner_file(fifo) => OPEN;
            a_socket: runner_file(socket) => OPEN;
            a_link: runner_file(link) => LINK;
            a_link_to_nothing: runner_file(|path| symlink("none", path).unwrap()) => LINK;
            a_link_to_the_null_device: runner_file(|path| symlink("/dev/null", path).unwrap()) => LINK;
            an_empty_file: runner_file(|path| fs::write(path, "").unwrap()) => Well;
            a_line_without_its_end: runner_file(|path| fs::write(path, "a=b").unwrap()) => Well;
            a_line_with_crlf: runner_file(|path| fs::write(path, "a=b\r\n").unwrap()) => Well;
            a_byte_order_mark: runner_file(|path| fs::write(path, "\u{feff}").unwrap()) => Well;
            a_megabyte_of_lines: runner_file(megabyte) => Well;
        }
        output_is {
            in_no_folder: output("none/token", |_| {}) => OPEN;
            a_folder: output("token", |path| fs::create_dir(path).unwrap()) => OPEN;
            a_pipe: output("token", fifo) => OPEN;
            a_socket: output("token", socket) => OPEN;
            a_link: output("token", |path| symlink("/etc/passwd", path).unwrap()) => LINK;
            a_link_to_nothing: output("token", |path| symlink("none", path).unwrap()) => LINK;
            the_null_device: output("/dev/null", |_| {}) => OPEN;
            below_a_file: output("file/token", |path| fs::write(path.parent().unwrap(), "").unwrap()) => OPEN;
            too_long_a_name: output(&"n".repeat(300), |_| {}) => OPEN;
            the_root: output("/", |_| {}) => OPEN;
            in_a_folder_of_everybodys: output("open/token", open_folder) => LINK;
            new: output("token", |_| {}) => Well;
            there_already: output("token", |path| fs::write(path, "old").unwrap()) => Well;
            in_the_checkout: output_in_the_checkout("token") => IN_WORKSPACE;
        }
        standard_output_is {
            closed: standard_output("json", ">&-", 1) => Well;
            closed_for_a_path: standard_output("env-file", ">&-", 1) => Well;
            the_null_device_for_reading_too: standard_output("json", "1<>/dev/null", 1) => Well;
            full: standard_output("json", ">/dev/full", 1) => FULL;
            full_for_a_path: standard_output("env-file", ">/dev/full", 1) => FULL;
            a_pipe_without_a_reader: standard_output("json", ">&3", 1) => CLOSED;
            the_null_device: standard_output("json", ">/dev/null", 1) => Well;
        }
    }
}
