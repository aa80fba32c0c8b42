//! Assignments for fish: <https://fishshell.com/docs/current/cmds/set.html>.

use super::Destination;
use super::script::Script;

/// `set -gx NAME '…'` lines.
pub(super) const FISH: Script = Script {
    id: "fish",
    place: Destination::Stdout,
    set: ["set -gx ", " '", "';\n"],
    // It fails for a variable that is not set, and says nothing.
    unset: ["set -e ", ";\n"],
};

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn sets_and_unsets() {
        let lines = "set -gx EQUINIX_API_TOKEN 'tok.en-._~+/0123456789==';\nset -gx EQUINIX_API_TOKEN_EXPIRES_AT '2026-11-22T04:00:00Z';\n";
        assert_eq!(rendered(&FISH, Destination::Stdout, None), lines);
        assert_eq!(
            rendered(&FISH, Destination::Stdout, Some("MY_TOKEN")),
            format!("{lines}set -e MY_TOKEN;\n")
        );
        assert_eq!(
            rendered_unavailable(&FISH).unwrap().1,
            "set -e EQUINIX_API_TOKEN;\nset -e EQUINIX_API_TOKEN_EXPIRES_AT;\n"
        );
    }
}
