//! Software that this project did not write, and rights that not every user has.

#![cfg_attr(not(unix), allow(dead_code, reason = "what is checked here is checked on Unix only"))]

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use crate::need::need;

/// Installs whatever a script can install.
pub(crate) const INSTALL: &str = "tests/foreign/install.sh";

/// Python, for what a shell cannot do: terminals and pipes of a certain kind.
#[track_caller]
pub(crate) fn need_python() {
    need("python3", Command::new("python3").arg("--version"), INSTALL);
}

/// `script` of util-linux, which gives a program a terminal.
#[track_caller]
pub(crate) fn need_script() {
    need("script", Command::new("script").arg("--version"), INSTALL);
}

/// A shell with the arguments before its script.
#[track_caller]
pub(crate) fn need_shell(shell: &[&str]) {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", ":"]);
    need(&shell.join(" "), &mut command, INSTALL);
}

/// The right to mount file systems and to become another user.
#[track_caller]
pub(crate) fn need_root() {
    let mut may = Command::new("unshare");
    may.args(["-m", "setpriv", "--reuid", "12345", "true"]);
    need("right to mount file systems and to become another user", &mut may, "run as root");
}

/// The program with its libraries inside it.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn need_static_program() -> PathBuf {
    let targets = Path::new(env!("CARGO_BIN_EXE_equinix-wif")).ancestors().nth(2).unwrap();
    let program = targets.join(format!("{}-unknown-linux-gnu/release/equinix-wif", std::env::consts::ARCH));
    need("static program", Command::new(&program).arg("--version"), ".ci/build-static --release");
    program
}

/// A Git checkout, where files are looked for.
#[track_caller]
pub(crate) fn need_checkout() {
    let mut git = Command::new("git");
    git.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(["rev-parse", "--git-dir"]);
    need("Git checkout", &mut git, "git clone");
}
