//! The harness: a service that runs as its users run it, clients that write to raw sockets, and scripted servers behind it.
//!
//! Start with [`service::Setup`]. Whenever a service ends, the harness checks by itself that it ended well, that its private
//! folder is gone, and that no secret is in its log; and with every answer, that nothing may store it and no page read it.

#![allow(dead_code, reason = "parts of it belong to the tests of the small program as well")]

#[path = "../../../../tests/support/leak.rs"]
pub mod leak;
#[path = "../../../../tests/support/server.rs"]
pub mod server;
#[path = "../../../../tests/support/tls.rs"]
pub mod tls;

pub mod client;
pub mod hanging;
pub mod mcp;
pub mod service;
pub mod sts;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

/// More than anything takes that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Text that nobody can guess, of letters and digits.
pub fn random_text(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    while text.len() < length {
        let mut number = RandomState::new().build_hasher().finish();
        for _ in 0..8 {
            text.push(char::from(LETTERS[usize::try_from(number % 62).unwrap()]));
            number /= 62;
        }
    }
    text.truncate(length);
    text
}

/// Waits for something that no stream tells.
#[track_caller]
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}
