//! POSIX assignments in the file of `BASH_ENV`, which bash reads before each later step of a CircleCI job:
//! <https://circleci.com/docs/guides/security/env-vars/>.

use crate::platform::circleci::names;

use super::Destination;
use super::script::Script;
use super::shell::SHELL;

/// `export NAME='…'` lines, appended.
pub(super) const BASH_ENV: Script =
    Script { id: "bash-env", place: Destination::SourcedFile(names::BASH_ENV), ..SHELL };

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{rendered, rendered_unavailable};
    use super::*;

    #[test]
    fn is_the_shell_format_in_the_file_of_the_variable() {
        let place = Destination::SourcedFile("BASH_ENV");
        assert_eq!(BASH_ENV.places(true), [place]);
        assert_eq!(rendered(&BASH_ENV, place, Some("X")), rendered(&SHELL, Destination::Stdout, Some("X")));
        assert_eq!(rendered_unavailable(&BASH_ENV).unwrap().0, place);
    }
}
