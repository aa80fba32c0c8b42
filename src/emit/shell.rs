//! POSIX assignments on standard output, for `eval`.

use crate::credential::Credential;
use crate::secret::SecretBytes;

use super::{Format, Options, Place};

/// `export NAME='…'` lines.
pub(super) struct Shell;

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

    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> SecretBytes {
        assignments(credential, options)
    }

    fn is_sourced(&self) -> bool {
        true
    }
}

/// The lines. Nothing in them needs quoting: the token's alphabet and the names have been checked, and the time is ours.
/// The quotation marks are a second lock.
pub(super) fn assignments(credential: &Credential, options: &Options<'_>) -> SecretBytes {
    let mut lines = format!(
        "export {}='{}'\nexport {}='{}'\n",
        options.env_name,
        credential.access_token.reveal(),
        options.expiry_name(),
        credential.expires_at_text()
    );
    if let Some(name) = options.shadowing {
        lines.push_str(&format!("unset {name}\n"));
    }
    SecretBytes::new(lines)
}

#[cfg(test)]
mod tests {
    use super::super::tests::rendered;
    use super::*;

    #[test]
    fn exports_the_token_and_its_expiry() {
        assert_eq!(
            rendered(&Shell, Place::Stdout, None),
            "export EQUINIX_API_TOKEN='tok.en-._~+/0123456789=='\nexport EQUINIX_API_TOKEN_EXPIRES_AT='2026-11-22T04:00:00Z'\n"
        );
    }

    #[test]
    fn unsets_what_would_shadow_the_token() {
        assert!(rendered(&Shell, Place::Stdout, Some("MY_ID_TOKEN")).ends_with("Z'\nunset MY_ID_TOKEN\n"));
    }
}
