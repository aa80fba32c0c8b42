//! The service as its users meet it: through its ports and sockets, its standard streams and its log. What stands behind it is
//! the sandbox, or a server with a script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing test should stop where it fails; clippy.toml permits this in test functions only"
)]

mod support;

mod door;
mod faults;
mod federated;
mod grants;
mod journal;
mod limits;
mod passing;
mod places;
mod standard_streams;
mod tools;
