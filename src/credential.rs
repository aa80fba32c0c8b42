//! What comes out of the exchange and goes into a format.

use crate::secret::Secret;

/// An access token with what the next step may want to know about it.
#[derive(Debug)]
pub struct Credential {
    /// The access token. Its alphabet is that of RFC 6750's b64token, so no format needs to quote it.
    pub access_token: Secret,
    /// Its life in seconds, as the STS said.
    pub expires_in: u64,
    /// When it expires (Unix time), by this machine's clock.
    pub expires_at: i64,
    /// The scope that was granted.
    pub scope: String,
    /// The issuer of the ID token that was exchanged. Decoded, not verified.
    pub issuer: String,
    /// The subject of the ID token that was exchanged. Decoded, not verified.
    pub subject: String,
}

/// The access token's type (RFC 6750): the STS may issue no other.
pub const TOKEN_TYPE: &str = "Bearer";

/// The issued token's type (RFC 8693 section 3): the STS may issue no other.
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
