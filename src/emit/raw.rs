//! The token and a line break.

use crate::credential::Credential;
use crate::secret::SecretBytes;

use super::{Format, Options, Place};

/// Nothing but the token.
pub(super) struct Raw;

impl Format for Raw {
    fn id(&self) -> &'static str {
        "raw"
    }

    fn about(&self) -> &'static str {
        "the token and a line break on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Place) -> SecretBytes {
        SecretBytes::new(format!("{}\n", credential.access_token.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rendered;
    use super::*;

    #[test]
    fn is_one_line() {
        assert_eq!(rendered(&Raw, Place::Stdout, None), "tok.en-._~+/0123456789==\n");
    }
}
