//! Assignments for a shell, for the formats that a shell reads.

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Format, Options, Place};

/// Lines in the language of a shell. What is set needs no escapes: the token's alphabet and the names have been checked,
/// and the time is ours. The quotation marks are a second lock.
pub(super) struct Script {
    /// The value of `--format`.
    pub(super) id: &'static str,
    /// What it is, for help and docs.
    pub(super) about: &'static str,
    /// Where the lines go.
    pub(super) place: Place,
    /// Appends a line that sets a variable for this shell and its children.
    pub(super) set: fn(&mut String, &str, &str),
    /// Appends a line that unsets a variable; it does no harm when there is none.
    pub(super) unset: fn(&mut String, &str),
}

impl Format for Script {
    fn id(&self) -> &'static str {
        self.id
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![self.place]
    }

    /// The token and its expiry; what would shadow the token is unset.
    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        // Room for everything at once, so that no smaller buffer with the token stays behind.
        let mut lines = Zeroizing::new(String::with_capacity(token.len() + 1024));
        (self.set)(&mut lines, options.env_name, token);
        (self.set)(&mut lines, &options.expiry_name(), &credential.expires_at_text());
        if let Some(name) = options.shadowing {
            (self.unset)(&mut lines, name);
        }
        Ok(SecretBytes::new(std::mem::take(&mut *lines)))
    }

    /// There is no token, and no older one may be taken for it.
    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Place, SecretBytes)> {
        let mut lines = String::new();
        (self.unset)(&mut lines, options.env_name);
        (self.unset)(&mut lines, &options.expiry_name());
        Some((self.place, SecretBytes::new(lines)))
    }

    fn is_sourced(&self) -> bool {
        true
    }
}
