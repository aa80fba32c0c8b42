//! The service before those who are going to use it: the official MCP clients, the inspector and the conformance suite,
//! schemathesis, curl, and Equinix's own Go clients. `judges/install.sh` installs them.
//!
//! A judge that is not installed is reported as ignored, and the last line tells how many were and what to run. With
//! `EQUINIX_WIF_REQUIRE_INTEROP=1` it fails instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test should stop where it fails; clippy.toml permits this in test functions only"
)]

#[path = "../../tests/foreign/harness.rs"]
mod harness;
#[path = "../../tests/foreign/need.rs"]
mod need;

#[path = "judges/cancelled.rs"]
mod cancelled;
#[path = "judges/clients.rs"]
mod clients;
#[path = "judges/http.rs"]
mod http;
#[path = "judges/pages.rs"]
mod pages;
#[path = "judges/service.rs"]
mod service;
#[path = "judges/suites.rs"]
mod suites;

use std::process::ExitCode;

use harness::{Arguments, Check};

/// Installs the judges.
const INSTALL: &str = "serve/tests/judges/install.sh";

fn main() -> ExitCode {
    let arguments = match Arguments::of_this_program() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let checks = [suites::checks(), clients::checks(), cancelled::checks(), http::checks(), pages::checks()];
    let have_passed = harness::run(&arguments, checks.into_iter().flatten().collect());
    if let Some(summary) = need::summary() {
        println!("{summary}\n");
    }
    // What cargo's harness ends with.
    if have_passed { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// A list of checks with their module's name.
fn named<const N: usize>(module: &str, checks: [(&str, fn()); N]) -> Vec<Check> {
    checks.into_iter().map(|(name, check)| Check::new(format!("{module}::{name}"), check)).collect()
}
