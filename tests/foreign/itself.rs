//! The harness of this program: it takes the arguments that cargo's takes, and a skip shows.

#![cfg(target_os = "linux")]

use std::process::{Command, Output, Stdio};

use crate::tools::{INSTALL, need};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        arguments_choose_as_in_other_programs,
        a_skip_shows_with_its_cure_unless_everything_is_required,
        wrong_arguments_are_refused,
        probe
    ]
}

/// Tells the probe that it is being watched; otherwise it has nothing to do.
const WATCHED: &str = "EQUINIX_WIF_TESTS_PROBE";

/// What the others look at: it needs something that no machine has.
fn probe() {
    if std::env::var_os(WATCHED).is_some() {
        need("such thing", &mut Command::new("/no/such/thing"), INSTALL);
    }
}

fn this_program(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).stdin(Stdio::null()).env_remove("EQUINIX_WIF_REQUIRE_INTEROP");
    command
}

fn text(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn arguments_choose_as_in_other_programs() {
    let listed = |arguments: &[&str]| {
        let (status, text) = text(&this_program(arguments).output().unwrap());
        assert_eq!(status, Some(0), "{arguments:?}");
        text
    };
    let one = "itself::probe: test\n\n1 tests, 0 benchmarks\n";
    assert_eq!(listed(&["--list", "itself::probe"]), one);
    assert_eq!(listed(&["--list", "--exact", "itself::probe"]), one);
    assert_eq!(
        listed(&["--list", "itself::", "--skip", "arguments", "--skip=a_skip", "--skip", "wrong_"]),
        one
    );
    assert_eq!(listed(&["--list", "--format", "terse", "itself::probe"]), "itself::probe: test\n");
    assert_eq!(listed(&["--list", "--exact", "itself::pro", "--format=terse"]), "");
    assert_eq!(listed(&["--list", "--ignored", "--format=terse"]), "");
    let all =
        ["-q", "--nocapture", "--show-output", "--color", "never", "--test-threads=1", "--include-ignored"];
    let told = listed(&[&all[..], &["itself::probe", "no such check"]].concat());
    assert!(
        told.starts_with("\nrunning 1 tests\ntest itself::probe ... ok\n\ntest result: ok. 1 passed;"),
        "{told}"
    );
}

fn a_skip_shows_with_its_cure_unless_everything_is_required() {
    let run = |required: Option<&str>| {
        let mut command = this_program(&["--exact", "itself::probe"]);
        command.env(WATCHED, "1").envs(required.map(|value| ("EQUINIX_WIF_REQUIRE_INTEROP", value)));
        text(&command.output().unwrap())
    };
    for not in [None, Some("0"), Some("")] {
        let (status, told) = run(not);
        assert_eq!(status, Some(0), "{not:?}: {told}");
        assert!(told.contains("test itself::probe ... ignored, there is no such thing\n"), "{not:?}: {told}");
        assert!(told.contains("test result: ok. 0 passed; 0 failed; 1 ignored;"), "{not:?}: {told}");
        let last = told.trim_end().lines().last().unwrap();
        let cure = format!("no such thing: {INSTALL}");
        assert!(last.starts_with("SKIPPED 1 ") && last.ends_with(&cure), "{not:?}: {told}");
    }
    let (status, told) = run(Some("1"));
    assert_eq!(status, Some(101), "{told}");
    assert!(told.contains(&format!("there is no such thing: {INSTALL}")), "{told}");
    assert!(
        told.trim_end().lines().last().unwrap().starts_with("test result: FAILED. 0 passed; 1 failed;"),
        "{told}"
    );
}

fn wrong_arguments_are_refused() {
    for wrong in [&["--no-such-flag"][..], &["--test-threads", "0"], &["--skip"]] {
        let (status, told) = text(&this_program(wrong).output().unwrap());
        assert_eq!((status, told.as_str()), (Some(1), ""), "{wrong:?}");
    }
}
