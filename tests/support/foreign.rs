//! Software that this project did not write, and rights that not every user has.

use std::process::{Command, Stdio};

/// Whether this command succeeds here. Where it does not, the test says so and goes without, but never where nothing may
/// be skipped (`EQUINIX_WIF_REQUIRE_INTEROP=1`, which `.ci/run` sets).
#[track_caller]
pub fn works(what: &str, command: &mut Command, cure: &str) -> bool {
    let output = command.stdin(Stdio::null()).output();
    let works = output.is_ok_and(|output| output.status.success());
    if !works {
        assert!(std::env::var_os("EQUINIX_WIF_REQUIRE_INTEROP").is_none(), "{what} is missing: {cure}");
        eprintln!("SKIPPED: {what} is missing: {cure}");
    }
    works
}

/// Python, for what a shell cannot do: terminals and pipes of a certain kind.
#[track_caller]
pub fn python_works() -> bool {
    works("python3", Command::new("python3").arg("--version"), "install it")
}
