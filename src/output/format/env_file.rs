//! POSIX assignments in a private file, for `. "$(equinix-wif token)"`: the log shows a path and no secret.

use super::Destination;
use super::script::Script;
use super::shell::SHELL;

/// `export NAME='…'` lines in a new file.
pub(super) const ENV_FILE: Script = Script { id: "env-file", place: Destination::NewFile, ..SHELL };

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn is_the_shell_format_in_a_file() {
        assert_eq!(ENV_FILE.places(true), [Destination::NewFile]);
        assert_eq!(
            rendered(&ENV_FILE, Destination::NewFile, Some("X")),
            rendered(&SHELL, Destination::Stdout, Some("X"))
        );
        assert_eq!(rendered_unavailable(&ENV_FILE).unwrap().1, rendered_unavailable(&SHELL).unwrap().1);
    }
}
