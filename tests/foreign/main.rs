//! The program among software that we did not write, and with rights that not every user has. `tests/README.md` tells
//! which module holds what.
//!
//! A check that needs something which this machine lacks is reported as ignored, and the last line tells how many were
//! and what to run. With `EQUINIX_WIF_REQUIRE_INTEROP=1` it fails instead.

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

mod harness;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod mirror;
mod need;
mod tools;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod world;

mod action;
#[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew"))]
mod api;
mod completions;
mod component;
mod consumers;
#[cfg(all(unix, feature = "sandbox", feature = "classic-grants"))]
mod documents;
mod faults;
mod interop;
mod itself;
mod local_service;
#[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew"))]
mod long_applies;
mod memory;
mod packaging;
mod pages;
#[cfg(all(unix, feature = "classic-grants"))]
mod peers;
#[cfg(unix)]
mod platforms;
mod proxies;
mod readers;
#[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew", feature = "classic-grants"))]
mod recipes;
#[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew", feature = "classic-grants"))]
mod renewal;
mod review;
mod shells;
mod terminals;
mod terraform;
mod workflows;

use std::process::ExitCode;

use harness::{Arguments, Check};

/// The functions of these names, as checks. A function that is in no list is dead code to the compiler.
macro_rules! checks {
    ($($(#[$attribute:meta])* $check:path),+ $(,)?) => {
        Vec::from([$($(#[$attribute])* crate::Check::new(stringify!($check), $check)),+])
    };
}
use checks;

fn modules() -> Vec<(&'static str, Vec<Check>)> {
    Vec::from([
        // The longest check is the first one here, so that the others are made beside it.
        #[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew", feature = "classic-grants"))]
        ("renewal", renewal::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew"))]
        ("long_applies", long_applies::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("action", action::checks()),
        #[cfg(unix)]
        ("completions", completions::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("component", component::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox"))]
        ("consumers", consumers::checks()),
        #[cfg(all(unix, feature = "sandbox", feature = "classic-grants"))]
        ("documents", documents::checks()),
        #[cfg(target_os = "linux")]
        ("faults", faults::checks()),
        #[cfg(unix)]
        ("interop", interop::checks()),
        #[cfg(target_os = "linux")]
        ("itself", itself::checks()),
        #[cfg(target_os = "linux")]
        ("local_service", local_service::checks()),
        #[cfg(target_os = "linux")]
        ("memory", memory::checks()),
        #[cfg(unix)]
        ("platforms", platforms::checks()),
        #[cfg(unix)]
        ("proxies", proxies::checks()),
        #[cfg(all(unix, feature = "classic-grants"))]
        ("peers", peers::checks()),
        #[cfg(target_os = "linux")]
        ("readers", readers::checks()),
        #[cfg(target_os = "linux")]
        ("packaging", packaging::checks()),
        #[cfg(all(unix, feature = "sandbox"))]
        ("pages", pages::checks()),
        #[cfg(all(target_os = "linux", feature = "sandbox", feature = "renew", feature = "classic-grants"))]
        ("recipes", recipes::checks()),
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
    let arguments = match Arguments::of_this_program() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let of_module = |(module, checks): (&str, Vec<Check>)| {
        let named = |check: Check| Check { name: format!("{module}::{}", check.name), ..check };
        checks.into_iter().map(named).collect::<Vec<_>>()
    };
    let have_passed = harness::run(&arguments, modules().into_iter().flat_map(of_module).collect());
    if let Some(summary) = need::summary() {
        println!("{summary}\n");
    }
    // What cargo's harness ends with.
    if have_passed { ExitCode::SUCCESS } else { ExitCode::from(101) }
}
