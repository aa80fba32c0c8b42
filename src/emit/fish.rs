//! Assignments for fish: <https://fishshell.com/docs/current/cmds/set.html>.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Dialect, Format, Options, Place};

/// `set -gx NAME '…'` lines.
pub(super) struct Fish;

const FISH: Dialect = Dialect {
    set: |lines, name, value| {
        for piece in ["set -gx ", name, " '", value, "'\n"] {
            lines.push_str(piece);
        }
    },
    // It fails for a variable that is not set, and says nothing.
    unset: |lines, name| lines.push_str(&format!("set -e {name}\n")),
};

impl Format for Fish {
    fn id(&self) -> &'static str {
        "fish"
    }

    fn about(&self) -> &'static str {
        "fish set lines on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        Ok(FISH.assignments(credential, options))
    }

    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::Stdout, FISH.without_token(options)))
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
    fn sets_and_unsets() {
        let lines = "set -gx EQUINIX_API_TOKEN 'tok.en-._~+/0123456789=='\nset -gx EQUINIX_API_TOKEN_EXPIRES_AT '2026-11-22T04:00:00Z'\n";
        assert_eq!(rendered(&Fish, Place::Stdout, None), lines);
        assert_eq!(rendered(&Fish, Place::Stdout, Some("MY_TOKEN")), format!("{lines}set -e MY_TOKEN\n"));
        assert_eq!(
            rendered_unavailable(&Fish).unwrap().1,
            "set -e EQUINIX_API_TOKEN\nset -e EQUINIX_API_TOKEN_EXPIRES_AT\n"
        );
    }
}
