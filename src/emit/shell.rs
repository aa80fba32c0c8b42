//! POSIX assignments on standard output, for `eval`.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Dialect, Format, Options, Place};

/// `export NAME='…'` lines.
pub(super) struct Shell;

/// POSIX.1-2024, Shell Command Language, sections 2.2.2 (single quotes) and 2.15 (export, unset).
pub(super) const POSIX: Dialect = Dialect {
    set: |lines, name, value| {
        for piece in ["export ", name, "='", value, "'\n"] {
            lines.push_str(piece);
        }
    },
    unset: |lines, name| lines.push_str(&format!("unset {name}\n")),
};

impl Format for Shell {
    fn id(&self) -> &'static str {
        "shell"
    }

    fn about(&self) -> &'static str {
        "POSIX export lines on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        Ok(POSIX.assignments(credential, options))
    }

    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::Stdout, POSIX.without_token(options)))
    }

    fn is_sourced(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn exports_the_token_and_its_expiry() {
        assert_eq!(
            rendered(&Shell, Place::Stdout, None),
            "export EQUINIX_API_TOKEN='tok.en-._~+/0123456789=='\nexport EQUINIX_API_TOKEN_EXPIRES_AT='2026-11-22T04:00:00Z'\n"
        );
    }

    #[test]
    fn unsets_what_would_shadow_the_token_or_be_taken_for_it() {
        assert!(rendered(&Shell, Place::Stdout, Some("MY_TOKEN")).ends_with("'\nunset MY_TOKEN\n"));
        assert_eq!(
            rendered_unavailable(&Shell).unwrap().1,
            "unset EQUINIX_API_TOKEN\nunset EQUINIX_API_TOKEN_EXPIRES_AT\n"
        );
    }
}
