//! Variables in a private file for programs that read `NAME=value` lines by themselves: `docker run --env-file`,
//! systemd's `EnvironmentFile=`, `env $(xargs < FILE)`.
//!
//! They know no `export`, and not all know quotes. None are needed: the alphabets of a token (RFC 6750, section 2.1) and of
//! a time have nothing that one of these readers takes for its own.

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// `NAME=value` lines in a new file.
pub(super) struct Dotenv;

/// The token's line and its expiry's.
fn lines(options: &Options<'_>, token: &str, expires_at: &str) -> SecretBytes {
    let expiry_name = options.expiry_name();
    // Room for everything at once, so that no smaller buffer with the token stays behind.
    let room = options.env_name.len() + token.len() + expiry_name.len() + expires_at.len() + 4;
    let mut lines = Zeroizing::new(String::with_capacity(room));
    for piece in [options.env_name, "=", token, "\n", &expiry_name, "=", expires_at, "\n"] {
        lines.push_str(piece);
    }
    SecretBytes::new(std::mem::take(&mut *lines))
}

impl Format for Dotenv {
    fn id(&self) -> &'static str {
        "dotenv"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::NewFile]
    }

    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        _: Destination,
    ) -> Result<SecretBytes, Error> {
        Ok(lines(options, credential.token.reveal(), &credential.expires_at_text()))
    }

    /// Writes empty values: these readers cannot unset, and no older token may be taken for this one.
    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        Some((Destination::NewFile, lines(options, "", "")))
    }

    /// Says yes: `env $(xargs < "$(equinix-wif …)")` is a command that the shell traces with the token in it.
    fn is_substituted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn has_plain_lines_and_empty_values_without_a_token() {
        assert_eq!(
            rendered(&Dotenv, Destination::NewFile, Some("MY_TOKEN")),
            "EQUINIX_API_TOKEN=tok.en-._~+/0123456789==\nEQUINIX_API_TOKEN_EXPIRES_AT=2026-11-22T04:00:00Z\n"
        );
        let (place, lines) = rendered_unavailable(&Dotenv).unwrap();
        assert_eq!(place, Destination::NewFile);
        assert_eq!(lines, "EQUINIX_API_TOKEN=\nEQUINIX_API_TOKEN_EXPIRES_AT=\n");
    }
}
