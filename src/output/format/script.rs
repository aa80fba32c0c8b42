//! Assignments for a shell, for the formats that a shell reads.

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// Lines in the language of a shell. What is set needs no escapes: the token's alphabet and the names have been checked,
/// and the time is ours. The quotation marks are a second lock. Every statement ends with `;` and a line break, so that
/// `eval $(…)` without quotes, which makes blanks of line breaks, reads the same statements.
pub(super) struct Script {
    /// The value of `--format`.
    pub(super) id: &'static str,
    /// The destination of the lines.
    pub(super) place: Destination,
    /// The statement that sets a variable for this shell and its children: what stands before the name, between name and value,
    /// and behind the value.
    pub(super) set: [&'static str; 3],
    /// The statement that unsets a variable, before and behind the name. It does no harm when there is none.
    pub(super) unset: [&'static str; 2],
}

impl Script {
    fn set(&self, lines: &mut String, name: &str, value: &str) {
        let [before, between, behind] = self.set;
        for piece in [before, name, between, value, behind] {
            lines.push_str(piece);
        }
    }

    fn unset(&self, lines: &mut String, name: &str) {
        let [before, behind] = self.unset;
        for piece in [before, name, behind] {
            lines.push_str(piece);
        }
    }
}

impl Format for Script {
    fn id(&self) -> &'static str {
        self.id
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![self.place]
    }

    /// Sets the token and its expiry, and unsets what would shadow the token.
    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        _: Destination,
    ) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        // Room for everything at once, so that no smaller buffer with the token stays behind.
        let mut lines = Zeroizing::new(String::with_capacity(token.len() + 1024));
        self.set(&mut lines, options.env_name, token);
        self.set(&mut lines, &options.expiry_name(), &credential.expires_at_text());
        if let Some(name) = options.shadowing {
            self.unset(&mut lines, name);
        }
        Ok(SecretBytes::new(std::mem::take(&mut *lines)))
    }

    /// Unsets the variables: there is no token, and no older one may be taken for it.
    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        let mut lines = String::new();
        self.unset(&mut lines, options.env_name);
        self.unset(&mut lines, &options.expiry_name());
        Some((self.place, SecretBytes::new(lines)))
    }

    fn is_sourced(&self) -> bool {
        true
    }
}
