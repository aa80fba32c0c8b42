//! The one place that makes untrusted text safe to show.
//!
//! Untrusted is everything that a server, a token or the environment says. Four things can go wrong when it is
//! printed into a CI log: it can carry terminal or bidi controls, it can be read by the runner as a command
//! ([`defuse`]), it can be huge, and it can contain a secret that was sent a moment ago. [`quote`] and [`clean`] take
//! care of the first three, [`Redactor`] of the last.
//!
//! What a text says that cannot be shown is not repaired: it is cut out or withheld.

mod disguise;
#[cfg(test)]
mod disguise_tests;
mod redact;
mod sanitize;
mod token;

#[cfg(feature = "sandbox")]
pub use redact::REDACTED;
pub use redact::{Redactor, WITHHELD};
pub use sanitize::{Carrier, brief, clean, defuse, defuse_into, printable, quote};
pub use token::{holds_token, is_reference};
