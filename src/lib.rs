//! Gives a CI job an Equinix access token without any stored secret.
//!
//! One direction of data flow, left to right; no module looks to its left:
//!
//! ```text
//! environment + arguments → identity (CI platform → ID token) → claims (check) → STS (exchange) → credential → emitter (format, sink)
//! ```

pub mod claims;
pub mod clock;
pub mod console;
pub mod credential;
pub mod emit;
pub mod env;
pub mod error;
pub mod http;
pub mod json;
pub mod jwt;
pub mod provider;
pub mod random;
pub mod retry;
pub mod scope;
pub mod secret;
pub mod sts;
pub mod text;
