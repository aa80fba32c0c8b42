//! `explain`: an error code's cause, cure and an example, offline.

use std::io::Write;

use crate::cli::commands::Command;
use crate::error::{Code, Error};
use crate::identity::near_miss::closest;
use crate::text::quote;

/// Explains one code, or lists all.
pub fn run(code: Option<&str>, stdout: &mut dyn Write) -> Result<(), Error> {
    let text = match code {
        None => list(),
        Some(typed) => explain(find(typed)?),
    };
    super::print(stdout, &text)
}

/// Finds a code. The specification writes codes in capitals with underscores, and people copy them with their brackets.
pub fn find(typed: &str) -> Result<Code, Error> {
    let name = typed
        .trim_start_matches("error")
        .trim_matches(['[', ']', ':'])
        .to_ascii_lowercase()
        .replace('_', "-");
    Code::by_name(&name).ok_or_else(|| unknown(typed, &name))
}

fn unknown(typed: &str, name: &str) -> Error {
    let close = closest(name, Code::ALL.iter().map(|code| code.name()));
    let hint = if name.starts_with("action-") {
        "Codes that begin with action- come from the GitHub action; docs/reference/github-action.md tells their causes and cures."
            .to_owned()
    } else if let Some(close) = close {
        format!("Did you mean {close}? equinix-wif explain lists all codes.")
    } else {
        "equinix-wif explain lists all codes.".to_owned()
    };
    Error::new(Code::CfgValueInvalid, format!("there is no error code {}", quote(typed))).with_cure(hint)
}

/// The command that `help` is about.
pub fn command(typed: Option<&str>) -> Result<Option<Command>, Error> {
    let Some(name) = typed else { return Ok(None) };
    let unknown = || {
        let close = closest(name, Command::ALL.iter().map(|command| command.name()));
        let hint = match close {
            Some(close) => format!("Did you mean {close}? equinix-wif --help lists commands and flags."),
            None => "equinix-wif --help lists commands and flags.".to_owned(),
        };
        Error::new(Code::CfgUsage, format!("there is no command {}", quote(name))).with_cure(hint)
    };
    Command::by_name(name).map(Some).ok_or_else(unknown)
}

fn list() -> String {
    let width = Code::ALL.iter().map(|code| code.name().len()).max().unwrap_or(0);
    Code::ALL.iter().fold(String::new(), |text, code| {
        text + &format!(
            "{:width$}  exit {:2}  {}\n",
            code.name(),
            code.exit().status(),
            first_sentence(code.cause())
        )
    })
}

/// Returns the beginning of a cause. The list shows what happened; the reasons are in the full text.
fn first_sentence(text: &str) -> &str {
    match text.find([':', ';']).into_iter().chain(text.find(". ")).min() {
        Some(end) => text.get(..end).unwrap_or(text),
        None => text.trim_end_matches('.'),
    }
}

fn explain(code: Code) -> String {
    let exit = code.exit();
    let retry = match exit.again() {
        "yes" => "running the job again may help",
        "perhaps" => "running the job again may help once the cause has gone",
        "report it" => "running the job again does not help, please report it",
        _ => "running the job again does not help",
    };
    format!(
        "{}\n\n  Exit {}: {}; {retry}.\n\nCause\n  {}\n\nCure\n  {}\n\nExample\n  {}\n",
        code.name(),
        exit.status(),
        exit.meaning(),
        code.cause(),
        code.cure().replace('\n', "\n  "),
        code.example().replace('\n', "\n  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: Option<&str>) -> Result<String, Error> {
        let mut out = Vec::new();
        run(code, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        let text = explained(Some("claim-aud")).unwrap();
        assert!(text.starts_with("claim-aud\n\n  Exit 5: a claim or expectation does not hold; running the job again does not help.\n\nCause\n  The ID token is meant"), "{text}");
        assert!(text.ends_with("\n\nExample\n  error[claim-aud]: the ID token is meant for another audience\n    expected: \"my-equinix-audience\"\n    found:    \"https://github.com/octo-org\"\n"), "{text}");
        for spelling in ["CLAIM_AUD", "error[claim-aud]", "error[claim-aud]:", "Claim-Aud"] {
            assert_eq!(explained(Some(spelling)).unwrap(), text);
        }
        for (typed, hint) in [
            ("nonsense", "equinix-wif explain lists all codes."),
            ("cliam-aud", "Did you mean claim-aud? equinix-wif explain lists all codes."),
            (
                "error[action-no-release]",
                "Codes that begin with action- come from the GitHub action; docs/reference/github-action.md tells their causes and cures.",
            ),
        ] {
            let error = explained(Some(typed)).unwrap_err();
            assert_eq!((error.code(), error.cure()), (Code::CfgValueInvalid, hint));
        }
    }

    #[test]
    fn the_list_has_every_code_on_a_line_of_its_own() {
        let text = explained(None).unwrap();
        assert_eq!(text.lines().count(), Code::ALL.len());
        for (line, code) in text.lines().zip(Code::ALL) {
            assert!(line.starts_with(code.name()), "{line}");
        }
    }
}
