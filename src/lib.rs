//! Gives a CI job an Equinix access token without any stored secret.
//!
//! One direction of data flow, left to right; no module looks to its left:
//!
//! ```text
//! environment + arguments → identity (CI platform → ID token) → claims (check) → STS (exchange) → credential → emitter (format, sink)
//! ```

pub mod clock;
pub mod console;
pub mod crypto;
pub mod env;
pub mod error;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod text;
