//! Assignments for PowerShell:
//! <https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_environment_variables>.

use super::Destination;
use super::script::Script;

/// `$env:NAME = '…'` lines.
pub(super) const POWERSHELL: Script = Script {
    id: "powershell",
    place: Destination::Stdout,
    set: ["$env:", " = '", "';\n"],
    unset: ["Remove-Item -Path Env:", " -ErrorAction SilentlyContinue;\n"],
};

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn sets_and_unsets() {
        let lines = "$env:EQUINIX_API_TOKEN = 'tok.en-._~+/0123456789==';\n$env:EQUINIX_API_TOKEN_EXPIRES_AT = '2026-11-22T04:00:00Z';\n";
        assert_eq!(rendered(&POWERSHELL, Destination::Stdout, None), lines);
        assert_eq!(
            rendered(&POWERSHELL, Destination::Stdout, Some("MY_TOKEN")),
            format!("{lines}Remove-Item -Path Env:MY_TOKEN -ErrorAction SilentlyContinue;\n")
        );
        assert_eq!(
            rendered_unavailable(&POWERSHELL).unwrap().1,
            concat!(
                "Remove-Item -Path Env:EQUINIX_API_TOKEN -ErrorAction SilentlyContinue;\n",
                "Remove-Item -Path Env:EQUINIX_API_TOKEN_EXPIRES_AT -ErrorAction SilentlyContinue;\n"
            )
        );
    }
}
