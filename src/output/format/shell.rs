//! POSIX assignments on standard output, for `eval`.

use super::Destination;
use super::script::Script;

/// `export NAME='…'` lines: POSIX.1-2024, Shell Command Language, sections 2.2.2 (single quotes) and 2.15 (export, unset).
pub(super) const SHELL: Script = Script {
    id: "shell",
    place: Destination::Stdout,
    set: ["export ", "='", "';\n"],
    unset: ["unset ", ";\n"],
};

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn exports_the_token_and_its_expiry() {
        assert_eq!(
            rendered(&SHELL, Destination::Stdout, None),
            "export EQUINIX_API_TOKEN='tok.en-._~+/0123456789==';\nexport EQUINIX_API_TOKEN_EXPIRES_AT='2026-11-22T04:00:00Z';\n"
        );
    }

    #[test]
    fn unsets_what_would_shadow_the_token_or_be_taken_for_it() {
        assert!(rendered(&SHELL, Destination::Stdout, Some("MY_TOKEN")).ends_with("';\nunset MY_TOKEN;\n"));
        assert_eq!(
            rendered_unavailable(&SHELL).unwrap().1,
            "unset EQUINIX_API_TOKEN;\nunset EQUINIX_API_TOKEN_EXPIRES_AT;\n"
        );
    }
}
