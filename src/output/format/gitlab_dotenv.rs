//! Variables for later jobs of a GitLab pipeline, in the form of `artifacts:reports:dotenv`:
//! <https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv>.
//!
//! GitLab's parser is strict: a line without `=`, a blank one too, makes it refuse the whole file. It knows no quotes and
//! no escapes, and where the variables are used, `$` begins the name of another one unless it is doubled.

use crate::credential::Credential;
use crate::error::{Code, Error};
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// A dotenv file has to be smaller than this, in bytes: the limit of gitlab.com, and the default elsewhere.
const SIZE_LIMIT: usize = 5120;

/// `NAME=value` lines in an artifact.
pub(super) struct GitLabDotenv;

impl Format for GitLabDotenv {
    fn id(&self) -> &'static str {
        "gitlab-dotenv"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Artifact]
    }

    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        _: Destination,
    ) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        let expires_at = credential.expires_at_text();
        let pairs = [(options.env_name, token), (&options.expiry_name(), expires_at.as_str())];
        let size = pairs.iter().map(|(name, value)| name.len() + 2 * value.len() + 2).sum();
        let mut lines = Vec::with_capacity(size);
        for (name, value) in pairs {
            lines.extend_from_slice(name.as_bytes());
            lines.push(b'=');
            for byte in value.bytes() {
                lines.extend(std::iter::repeat_n(byte, if byte == b'$' { 2 } else { 1 }));
            }
            lines.push(b'\n');
        }
        let lines = SecretBytes::new(lines);
        let size = lines.reveal().len();
        if size >= SIZE_LIMIT {
            return Err(Error::new(
                Code::DotenvTooLarge,
                format!("the {} is too long for a dotenv report", credential.kind.name()),
            )
            .with_detail("expected", format!("fewer than {SIZE_LIMIT} bytes"))
            .with_detail("found", format!("{size} bytes")));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{credential, options, rendered, rendered_unavailable, text};
    use super::*;
    use crate::credential::Kind;
    use crate::secret::Secret;

    #[test]
    fn has_a_line_for_each_variable_and_no_other() {
        assert_eq!(
            rendered(&GitLabDotenv, Destination::Artifact, None),
            "EQUINIX_API_TOKEN=tok.en-._~+/0123456789==\nEQUINIX_API_TOKEN_EXPIRES_AT=2026-11-22T04:00:00Z\n"
        );
        assert_eq!(
            rendered_unavailable(&GitLabDotenv),
            None,
            "an empty report could not be told from a lost one"
        );
    }

    fn sized(token: &str) -> Result<SecretBytes, Error> {
        let credential = Credential { token: Secret::new(token), ..credential(Kind::AccessToken) };
        GitLabDotenv.render(&credential, &options(None), Destination::Artifact)
    }

    #[test]
    fn a_dollar_stays_one_where_the_variable_is_used() {
        assert!(text(&sized("a$b$$").unwrap()).starts_with("EQUINIX_API_TOKEN=a$$b$$$$\n"));
    }

    #[test]
    fn it_has_to_be_smaller_than_gitlab_s_limit() {
        let rest = sized("").unwrap().reveal().len();
        let largest = sized(&"x".repeat(SIZE_LIMIT - 1 - rest)).unwrap();
        assert_eq!(largest.reveal().len(), SIZE_LIMIT - 1);
        let error = sized(&"x".repeat(SIZE_LIMIT - rest)).unwrap_err();
        assert_eq!(error.code(), Code::DotenvTooLarge);
        assert_eq!(error.details()[1].1, "5120 bytes");
        assert_eq!(sized(&"$".repeat(SIZE_LIMIT / 2)).unwrap_err().code(), Code::DotenvTooLarge);
    }
}
