//! POSIX assignments in a private file, for `. "$(equinix-wif token)"`: the log shows a path and no secret.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::shell::POSIX;
use super::{Format, Options, Place};

/// `export NAME='…'` lines in a new file.
pub(super) struct EnvFile;

impl Format for EnvFile {
    fn id(&self) -> &'static str {
        "env-file"
    }

    fn about(&self) -> &'static str {
        "POSIX export lines in a new private file, its path on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::NewFile]
    }

    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        Ok(POSIX.assignments(credential, options))
    }

    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::NewFile, POSIX.without_token(options)))
    }

    fn is_sourced(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::shell::Shell;
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn is_the_shell_format_in_a_file() {
        assert_eq!(EnvFile.places(true), [Place::NewFile]);
        assert_eq!(rendered(&EnvFile, Place::NewFile, Some("X")), rendered(&Shell, Place::Stdout, Some("X")));
        assert_eq!(rendered_unavailable(&EnvFile).unwrap().1, rendered_unavailable(&Shell).unwrap().1);
    }
}
