//! The program among software that we did not write, and with rights that not every user has. `tests/README.md` tells
//! which module holds what.
//!
//! A check that needs something which this machine lacks is reported as ignored, and the last line tells how many were and
//! what to run. With `EQUINIX_WIF_REQUIRE_INTEROP=1` it fails instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_imports,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test should stop where it fails; clippy.toml permits this in test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod mirror;
mod tools;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod world;

mod action;
mod completions;
mod component;
mod consumers;
mod faults;
mod interop;
mod memory;
mod packaging;
mod pages;
mod review;
mod shells;
mod terminals;
mod terraform;
mod workflows;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use tools::Missing;

/// A check by its name.
struct Check {
    name: String,
    run: Box<dyn FnOnce() + Send>,
}

impl Check {
    fn new(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// Runs it. What unwinds because something is missing is no failure.
    fn trial(self, module: &str) -> Trial {
        let name = format!("{module}::{}", self.name);
        Trial::ignorable_test(name.clone(), move || {
            let Err(payload) = catch_unwind(AssertUnwindSafe(self.run)) else {
                return Ok(Completion::Completed);
            };
            match payload.downcast::<Missing>() {
                Ok(missing) => {
                    tools::skipped(&name);
                    Ok(Completion::ignored_with(missing.0))
                }
                Err(failure) => resume_unwind(failure),
            }
        })
    }
}

/// The functions of these names, as checks. A function that is in no list is dead code to the compiler.
macro_rules! checks {
    ($($check:path),+ $(,)?) => {
        vec![$(crate::Check::new(stringify!($check), $check)),+]
    };
}
use checks;

fn modules() -> Vec<(&'static str, Vec<Check>)> {
    Vec::from([
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("action", action::checks()),
        #[cfg(unix)]
        ("completions", completions::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("component", component::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("consumers", consumers::checks()),
        #[cfg(target_os = "linux")]
        ("faults", faults::checks()),
        #[cfg(unix)]
        ("interop", interop::checks()),
        #[cfg(target_os = "linux")]
        ("memory", memory::checks()),
        #[cfg(target_os = "linux")]
        ("packaging", packaging::checks()),
        #[cfg(all(unix, feature = "sandbox"))]
        ("pages", pages::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("review", review::checks()),
        #[cfg(unix)]
        ("shells", shells::checks()),
        #[cfg(target_os = "linux")]
        ("terminals", terminals::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("terraform", terraform::checks()),
        #[cfg(target_os = "linux")]
        ("workflows", workflows::checks()),
    ])
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        let threads = std::env::var("RUST_TEST_THREADS").ok();
        arguments.test_threads = threads.and_then(|threads| threads.parse().ok());
    }
    let trials = modules()
        .into_iter()
        .flat_map(|(module, checks)| checks.into_iter().map(move |check| check.trial(module)))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(summary) = tools::summary() {
        println!("{summary}\n");
    }
    conclusion.exit_code()
}
