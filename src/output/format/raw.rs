//! The token, and where people and shells read it a line break.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// Nothing but the token.
pub(super) struct Raw;

impl Format for Raw {
    fn id(&self) -> &'static str {
        "raw"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Stdout]
    }

    /// Writes a line break on standard output only: a file is read whole by those who take a token from one
    /// (`AWS_WEB_IDENTITY_TOKEN_FILE` and its like), and they send a line break along.
    fn render(
        &self,
        credential: &Credential,
        _: &Options<'_>,
        place: Destination,
    ) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        let mut line = Vec::with_capacity(token.len() + 1);
        line.extend_from_slice(token.as_bytes());
        if place != Destination::File {
            line.push(b'\n');
        }
        Ok(SecretBytes::new(line))
    }

    /// Writes nothing: `TOKEN=$(equinix-wif token …)` then leaves the variable empty.
    fn render_unavailable(&self, _: &str, _: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        Some((Destination::Stdout, SecretBytes::new(Vec::new())))
    }

    fn is_substituted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn is_one_line_the_token_alone_or_nothing() {
        assert_eq!(rendered(&Raw, Destination::Stdout, None), "tok.en-._~+/0123456789==\n");
        assert_eq!(rendered_id_token(&Raw, Destination::Stdout), "tok.en-._~+/0123456789==\n");
        assert_eq!(rendered(&Raw, Destination::File, None), "tok.en-._~+/0123456789==");
        assert_eq!(rendered_id_token(&Raw, Destination::File), "tok.en-._~+/0123456789==");
        assert_eq!(rendered_unavailable(&Raw).unwrap().1, "");
    }
}
