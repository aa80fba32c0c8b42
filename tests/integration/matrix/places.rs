//! M8: where the token should go and cannot, or can although it looks odd. What cannot be written is found out before
//! anybody is asked, as far as opening can tell.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::support::job::Job;
use super::{Ends, Row, Rows};

type Prepare = fn(&PathBuf);

fn fifo(path: &PathBuf) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn socket(path: &PathBuf) {
    std::mem::forget(std::os::unix::net::UnixListener::bind(path).unwrap());
}

/// What stands where a runner file should be.
fn runner_files() -> [(&'static str, Prepare, Ends); 12] {
    let open = Ends::Badly(9, "out-open");
    let missing = Ends::Badly(9, "out-runner-file-missing");
    let link = Ends::Badly(10, "out-symlink");
    [
        ("nothing", |_| {}, missing),
        ("a folder", |path| fs::create_dir(path).unwrap(), open),
        ("a pipe", fifo, open),
        ("a socket", socket, open),
        (
            "a link",
            |path| {
                fs::write(path.with_extension("real"), "").unwrap();
                symlink(path.with_extension("real"), path).unwrap();
            },
            link,
        ),
        ("a link to nothing", |path| symlink("none", path).unwrap(), link),
        ("a link to the null device", |path| symlink("/dev/null", path).unwrap(), link),
        ("an empty file", |path| fs::write(path, "").unwrap(), Ends::Well),
        ("a line without its end", |path| fs::write(path, "a=b").unwrap(), Ends::Well),
        ("a line with CRLF", |path| fs::write(path, "a=b\r\n").unwrap(), Ends::Well),
        ("a byte-order mark", |path| fs::write(path, "\u{feff}").unwrap(), Ends::Well),
        ("a megabyte of lines", |path| fs::write(path, "a=b\n".repeat(1 << 18)).unwrap(), Ends::Well),
    ]
}

pub(super) fn rows() -> Rows {
    let asked = |ends: Ends| if matches!(ends, Ends::Well) { (1, 1) } else { (0, 0) };
    let mut rows = Rows::new();
    for variable in ["GITHUB_OUTPUT", "GITHUB_ENV"] {
        for (name, prepare, ends) in runner_files() {
            let row = Row::new(ends, asked(ends), move || {
                let job = Job::github().arg("--export-env");
                let path = job.runner_temp().join("odd");
                prepare(&path);
                job.env(variable, path)
            });
            rows.push((format!("{variable} is {name}"), row));
        }
    }
    let open = Ends::Badly(9, "out-open");
    let link = Ends::Badly(10, "out-symlink");
    let files: [(&str, &str, Prepare, Ends); 13] = [
        ("in no folder", "none/token", |_| {}, open),
        ("a folder", "token", |path| fs::create_dir(path).unwrap(), open),
        ("a pipe", "token", fifo, open),
        ("a socket", "token", socket, open),
        ("a link", "token", |path| symlink("/etc/passwd", path).unwrap(), link),
        ("a link to nothing", "token", |path| symlink("none", path).unwrap(), link),
        ("the null device", "/dev/null", |_| {}, open),
        ("below a file", "file/token", |path| fs::write(path.parent().unwrap(), "").unwrap(), open),
        ("too long a name", &"n".repeat(300).leak()[..], |_| {}, open),
        ("the root", "/", |_| {}, open),
        (
            "in a folder of everybody's",
            "open/token",
            |path| {
                fs::create_dir(path.parent().unwrap()).unwrap();
                fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o777)).unwrap();
            },
            link,
        ),
        ("new", "token", |_| {}, Ends::Well),
        ("there already", "token", |path| fs::write(path, "old").unwrap(), Ends::Well),
    ];
    for (name, path, prepare, ends) in files {
        let row = Row::new(ends, asked(ends), move || {
            let job = Job::github().args(["--format", "json", "--output"]);
            let path = job.tmp().join(path);
            prepare(&path);
            job.token_in(&path).arg(path)
        });
        rows.push((format!("--output is {name}"), row));
    }
    let checkout = Row::new(Ends::Badly(10, "out-in-workspace"), (0, 0), || {
        Job::github().args(["--format", "json", "--output", "token"])
    });
    rows.push(("--output is in the checkout".to_owned(), checkout));
    for (name, format, redirection, ends, requests) in [
        ("closed", "json", ">&-", Ends::Badly(9, "out-closed"), (0, 0)),
        ("closed, for a path", "env-file", ">&-", Ends::Badly(9, "out-closed"), (0, 0)),
        ("full", "json", ">/dev/full", Ends::Badly(9, "out-full"), (0, 1)),
        ("full, for a path", "env-file", ">/dev/full", Ends::Badly(9, "out-full"), (0, 1)),
        ("a pipe without a reader", "json", ">&3", Ends::Badly(9, "out-closed"), (0, 1)),
        ("the null device", "json", ">/dev/null", Ends::Well, (0, 1)),
    ] {
        let make = move || {
            let script = format!(
                "mkfifo \"$TMPDIR/p\"; : <\"$TMPDIR/p\" & exec 3>\"$TMPDIR/p\"; wait; rm \"$TMPDIR/p\"; \
                 exec equinix-wif \"$@\" {redirection}"
            );
            Job::gitlab().args(["--format", format]).wrap_shell(["sh", "-c", &script])
        };
        rows.push((format!("standard output is {name}"), Row::new(ends, requests, make)));
    }
    rows
}
