//! The form of a handle: what the command of `exec --renew` has in place of an ID token.

/// The beginning of every handle. No JWT begins like this.
pub const PREFIX: &str = "ewh_";

/// The scope under which a token of the classic API is handed out, which knows no scopes. Equinix's clients exchange nothing
/// without one.
#[cfg(feature = "renew")]
pub const WITHOUT_SCOPE: &str = "equinix-wif";

/// The number of base64url characters after it: 256 bits.
const LENGTH: usize = 43;

/// Tells whether a text is a handle.
pub fn is_handle(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == LENGTH && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}
