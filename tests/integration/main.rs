//! The program as its users meet it: a CI job in a temporary folder, an issuer and an STS on loopback, and what comes
//! out. `tests/README.md` tells which module holds what.

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

mod command {
    mod beside;
    mod cli;
    mod doctor;
    mod exec;
    mod first_contact;
    mod inspect;
    mod policies;
    mod renew;
    mod sandbox;
}
mod exchange {
    mod dry_run;
    mod grants;
    mod refusals;
    mod retry;
    mod sts;
}
mod http {
    mod ahead;
    mod deadlines;
    mod transport;
}
mod identity {
    mod aws;
    mod azure_pipelines;
    mod bitbucket;
    mod buildkite;
    mod circleci;
    mod claims;
    mod expect;
    mod forgejo;
    mod github;
    mod gitlab;
    mod google;
    mod hcp_terraform;
    mod hostile_tokens;
    mod kubernetes;
    mod semaphore;
    mod signature;
    mod sources;
    mod spacelift;
    mod unavailable;
    mod vela;
}
mod output {
    mod audit;
    mod delivery;
    mod disguises;
    mod formats;
    mod hostile_values;
    mod runner_files;
    mod summary;
}

mod docs;
mod harness;
mod matrix;
mod questions;
mod surroundings;
