//! The one type that holds a secret.
//!
//! A [`Secret`] cannot be printed, serialised, compared or cloned by accident: it has no `Display`, `Serialize`,
//! `PartialEq` or `Clone`, and its `Debug` shows nothing of the value. The only way out is [`Secret::reveal`],
//! so that a reviewer finds every place where a secret leaves by searching for that word.
//!
//! The memory is wiped when the value is dropped. That is hygiene, not a defence against code that runs in
//! the same job (see `SECURITY.md`).

use std::fmt;

use ring::digest::{Context, SHA256};

use zeroize::Zeroizing;

/// A secret text: an ID token, an access token, or the bearer that fetches an ID token.
///
/// ```
/// use equinix_wif::secret::Secret;
///
/// let secret = Secret::new("kept to ourselves");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.reveal(), "kept to ourselves");
/// ```
///
/// What would let it slip out does not compile: showing it,
///
/// ```compile_fail,E0277
/// println!("{}", equinix_wif::secret::Secret::new("kept to ourselves"));
/// ```
///
/// serialising it,
///
/// ```compile_fail,E0277
/// serde_json::to_string(&equinix_wif::secret::Secret::new("kept to ourselves"));
/// ```
///
/// comparing it, which could tell something of it by the time it takes or in a failed assertion,
///
/// ```compile_fail,E0369
/// let secret = || equinix_wif::secret::Secret::new("kept to ourselves");
/// secret() == secret();
/// ```
///
/// and copying it.
///
/// ```compile_fail,E0599
/// equinix_wif::secret::Secret::new("kept to ourselves").clone();
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over as a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The secret itself. Each call marks a place where the value leaves the type.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A digest of texts, by which they can be recognised without being kept.
pub fn fingerprint<'t>(texts: impl IntoIterator<Item = &'t str>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for text in texts {
        // With its length, so that no two lists run into the same bytes.
        context.update(&text.len().to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Bytes that hold a secret on their way into a sink. Wiped on drop; `Debug` shows nothing.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes bytes over as a secret.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The bytes themselves. Each call marks a place where they leave the type.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(***)")
    }
}

/// Keeps the memory of this process out of core dumps, and from other processes of the same user unless they are
/// privileged. Programs that take this one's place or are started by it are not affected: the system begins anew with each.
/// Only Linux can do this; that it cannot be done is no reason to fail.
pub fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_kept_out_of_core_dumps() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        keep_memory_private();
        assert!(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let secret = Secret::new("kept-to-ourselves");
        let bytes = SecretBytes::new("kept-to-ourselves");
        assert_eq!(format!("{secret:?} {bytes:?}"), "Secret(***) SecretBytes(***)");
        assert_eq!(secret.reveal(), "kept-to-ourselves");
        assert_eq!(bytes.reveal(), b"kept-to-ourselves");
    }
}
