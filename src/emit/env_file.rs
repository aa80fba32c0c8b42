//! POSIX assignments in a private file, for `. "$(equinix-wif token)"`: the log shows a path and no secret.

use super::Place;
use super::script::Script;
use super::shell::SHELL;

/// `export NAME='…'` lines in a new file.
pub(super) const ENV_FILE: Script = Script {
    id: "env-file",
    about: "POSIX export lines in a new private file, its path on standard output",
    place: Place::NewFile,
    ..SHELL
};

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn is_the_shell_format_in_a_file() {
        assert_eq!(ENV_FILE.places(true), [Place::NewFile]);
        assert_eq!(
            rendered(&ENV_FILE, Place::NewFile, Some("X")),
            rendered(&SHELL, Place::Stdout, Some("X"))
        );
        assert_eq!(rendered_unavailable(&ENV_FILE).unwrap().1, rendered_unavailable(&SHELL).unwrap().1);
    }
}
