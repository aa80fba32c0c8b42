//! ID tokens: reading them, holding them against what is expected, and verifying them. What is said of a token follows from
//! the token, wherever it came from.

#[cfg(test)]
mod arbitrary_tests;
pub mod audience;
pub mod claims;
pub mod crypto;
pub mod expect;
pub mod issuer;
pub mod jwt;
pub mod near_miss;
pub mod signature;
pub mod stability;
pub mod subject;
pub mod times;

use crate::clock::Clock;
use crate::secret::Secret;

use claims::Now;
use jwt::UnverifiedClaims;

/// An ID token with less life than this is not sent any more, in seconds: it could expire on its way.
pub const SHORTEST_LIFE: i64 = 30;

/// An ID token that has been read.
#[derive(Debug)]
pub struct Identity {
    /// The ID token.
    pub token: Secret,
    /// Its claims: decoded, and verified only if `verified` says so.
    pub claims: UnverifiedClaims,
    /// True if the signature was checked with the issuer's keys.
    pub verified: bool,
    /// The moment of expiry (Unix time); unknown only without validation.
    pub expiry: Option<i64>,
    /// The platform's clock minus this machine's, in seconds.
    pub skew: Option<i64>,
}

impl Identity {
    /// Returns the time by this machine's clock and by the platform's.
    pub fn now(&self, clock: &dyn Clock) -> Now {
        Now { local: clock.unix_time(), skew: self.skew }
    }

    /// Returns how long it may still be used, in seconds, if that is known.
    pub fn life(&self, clock: &dyn Clock) -> Option<i64> {
        Some(self.expiry?.saturating_sub(self.now(clock).best()))
    }

    /// Tells whether it could expire before somebody exchanges it.
    pub fn is_short(&self, clock: &dyn Clock) -> bool {
        self.life(clock).is_some_and(|life| life <= SHORTEST_LIFE)
    }
}
