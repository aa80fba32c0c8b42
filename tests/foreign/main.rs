//! The program among software that we did not write, and with rights that not every user has. `tests/README.md` tells
//! which module holds what.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test should stop where it fails; clippy.toml permits this in test functions only"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod mirror;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod world;

mod action;
mod completions;
mod component;
mod consumers;
mod faults;
mod interop;
mod packaging;
mod review;
mod shells;
mod terraform;
mod workflows;
