//! The integration-test harness: a CI job in a temporary folder, with an issuer and an STS on loopback.
//!
//! Both test programs include it. Start with [`job::Job`]; the rest is there to bend what the job
//! meets. Every run checks by itself that no secret went where it does not belong, so a test cannot forget to.
//!
//! ```text
//! Job::github().sts_reply(Reply::status(503)).run().fails(8, "server-error");
//! ```

#![allow(dead_code, reason = "two programs include this tree, and each uses another part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test should stop where it fails; clippy.toml permits this in test functions only"
)]

pub mod azure;
pub mod documents;
pub mod end;
pub mod gitlab;
pub mod job;
pub mod leak;
pub mod outcome;
pub mod pages;
pub mod process;
pub mod program;
pub mod ready;
#[cfg(all(target_os = "linux", feature = "renew"))]
pub mod renewing;
pub mod runner;
pub mod scratch;
#[cfg(unix)]
pub mod script;
pub mod server;
pub mod signing;
pub mod steady;
pub mod table;
pub mod tls;
pub mod token;
pub mod turns;
pub mod worlds;
