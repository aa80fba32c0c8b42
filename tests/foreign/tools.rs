//! Software that this project did not write, rights that not every user has, and what becomes of a check without them.

#![cfg_attr(not(unix), allow(dead_code, reason = "what is checked here is checked on Unix only"))]

use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::Skipped;

/// Installs whatever a script can install.
pub(crate) const INSTALL: &str = "tests/foreign/install.sh";

/// The answers so far: whether something is there, and its cure.
static KNOWN: Mutex<BTreeMap<String, (bool, &str)>> = Mutex::new(BTreeMap::new());
/// How many checks were skipped.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

fn known() -> MutexGuard<'static, BTreeMap<String, (bool, &'static str)>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the check here, as skipped, unless this command succeeds. Where nothing may be skipped, it fails.
#[track_caller]
pub(crate) fn need(what: &str, command: &mut Command, cure: &'static str) {
    let is_there = {
        let mut known = known();
        let found = known.get(what).map(|(is_there, _)| *is_there);
        found.unwrap_or_else(|| {
            let output = command.stdin(Stdio::null()).output();
            let is_there = output.is_ok_and(|output| output.status.success());
            known.insert(what.to_owned(), (is_there, cure));
            is_there
        })
    };
    if !is_there {
        assert!(!is_everything_required(), "there is no {what}: {cure}");
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        panic::resume_unwind(Box::new(Skipped(format!("there is no {what}"))));
    }
}

/// `EQUINIX_WIF_REQUIRE_INTEROP=1`, which the gate sets, permits no skips. `0` and nothing do.
fn is_everything_required() -> bool {
    std::env::var_os("EQUINIX_WIF_REQUIRE_INTEROP").is_some_and(|value| !value.is_empty() && value != "0")
}

/// How many checks were skipped, why, and what to run; `None` if all were made.
pub(crate) fn summary() -> Option<String> {
    let count = SKIPPED.load(Ordering::Relaxed);
    if count == 0 {
        return None;
    }
    let mut by_cure: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (what, (_, cure)) in known().iter().filter(|(_, (is_there, _))| !is_there) {
        by_cure.entry(cure).or_default().push(what.clone());
    }
    let cures: Vec<String> =
        by_cure.into_iter().map(|(cure, what)| format!("no {}: {cure}", what.join(", "))).collect();
    Some(format!("SKIPPED {count} checks that need more than this machine has; {}", cures.join("; ")))
}

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
