//! Assignments for PowerShell:
//! <https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_environment_variables>.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Dialect, Format, Options, Place};

/// `$env:NAME = '…'` lines.
pub(super) struct PowerShell;

const POWERSHELL: Dialect = Dialect {
    set: |lines, name, value| {
        for piece in ["$env:", name, " = '", value, "'\n"] {
            lines.push_str(piece);
        }
    },
    unset: |lines, name| {
        lines.push_str(&format!("Remove-Item -Path Env:{name} -ErrorAction SilentlyContinue\n"));
    },
};

impl Format for PowerShell {
    fn id(&self) -> &'static str {
        "powershell"
    }

    fn about(&self) -> &'static str {
        "PowerShell assignments on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, options: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        Ok(POWERSHELL.assignments(credential, options))
    }

    fn render_unavailable(&self, _: &str, options: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::Stdout, POWERSHELL.without_token(options)))
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
        let lines = "$env:EQUINIX_API_TOKEN = 'tok.en-._~+/0123456789=='\n$env:EQUINIX_API_TOKEN_EXPIRES_AT = '2026-11-22T04:00:00Z'\n";
        assert_eq!(rendered(&PowerShell, Place::Stdout, None), lines);
        assert_eq!(
            rendered(&PowerShell, Place::Stdout, Some("MY_TOKEN")),
            format!("{lines}Remove-Item -Path Env:MY_TOKEN -ErrorAction SilentlyContinue\n")
        );
        assert_eq!(
            rendered_unavailable(&PowerShell).unwrap().1,
            concat!(
                "Remove-Item -Path Env:EQUINIX_API_TOKEN -ErrorAction SilentlyContinue\n",
                "Remove-Item -Path Env:EQUINIX_API_TOKEN_EXPIRES_AT -ErrorAction SilentlyContinue\n"
            )
        );
    }
}
