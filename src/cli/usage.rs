//! Explains a command line that was not understood, and reads as much of it as possible.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::commands::Command;
use crate::cli::definition::{Purpose, definition, typed};
use crate::cli::typed::Typed;
use crate::error::{Code, Error};
use crate::text;

/// Refuses a token among the arguments without an echo: they are visible to every user of the machine. What comes after
/// `--` belongs to another program.
pub fn refuse_secrets(args: &[OsString]) -> Result<(), Error> {
    let own = args.iter().skip(1).take_while(|arg| *arg != "--");
    if own.map(|arg| arg.to_string_lossy()).any(|arg| text::holds_token(&arg)) {
        return Err(Error::new(Code::CfgSecretInArgv, "an argument looks like a token"));
    }
    Ok(())
}

/// Describes the parser's error in our words, with a cure.
pub(super) fn error(error: &clap::Error, typed: &Typed) -> Error {
    let see = match typed.command {
        Some(command) => format!("equinix-wif {} --help lists its flags.", command.name()),
        None => "equinix-wif --help lists commands and flags.".to_owned(),
    };
    let new = plain(error);
    let stray = error.kind() == ErrorKind::UnknownArgument
        && text_of(error, ContextKind::InvalidArg).is_some_and(|arg| !arg.starts_with('-'));
    let runs =
        typed.command.filter(|command| command.facts().operand.as_ref().is_some_and(|own| own.is_command));
    if let Some(command) = runs.filter(|_| stray) {
        let name = command.name();
        return new
            .with_cure(format!("The command to run goes after --, as in equinix-wif {name} -- ls; {see}"));
    }
    let mut tips = similar(error);
    match runs.filter(|_| error.kind() == ErrorKind::UnknownArgument) {
        // The parser would have the flag itself run.
        Some(command) => {
            let name = command.name();
            tips.push(format!(
                "The command to run and its flags go after --, as in equinix-wif {name} -- ls -l"
            ));
        }
        None => tips.extend(suggested(error)),
    }
    tips.push(see);
    new.with_cure(tips.join("; "))
}

fn plain(error: &clap::Error) -> Error {
    Error::new(Code::CfgUsage, text::clean(&message(error)))
}

/// [`error`] for a program without commands. `see` says where its flags are listed.
#[cfg(feature = "service")]
pub fn error_of(error: &clap::Error, see: &str) -> Error {
    let mut tips = similar(error);
    tips.extend(suggested(error));
    tips.push(see.to_owned());
    plain(error).with_cure(tips.join("; "))
}

fn message(error: &clap::Error) -> String {
    let arg = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = text_of(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unrecognized subcommand '{name}'")
        }
        ErrorKind::UnknownArgument => format!("unexpected argument '{arg}' found"),
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("a value is required for '{arg}' but none was supplied")
        }
        ErrorKind::InvalidValue => {
            let known = texts_of(error, ContextKind::ValidValue).join(", ");
            format!("invalid value '{value}' for '{arg}' [possible values: {known}]")
        }
        ErrorKind::TooManyValues => {
            format!("unexpected value '{value}' for '{arg}' found; no more were expected")
        }
        ErrorKind::ArgumentConflict => match texts_of(error, ContextKind::PriorArg).as_slice() {
            [prior] if *prior != arg => format!("the argument '{arg}' cannot be used with '{prior}'"),
            _ => format!("the argument '{arg}' cannot be used multiple times"),
        },
        ErrorKind::MissingRequiredArgument => {
            let missing = texts_of(error, ContextKind::InvalidArg).join(" ");
            format!("the following required arguments were not provided: {missing}")
        }
        kind => kind.as_str().unwrap_or("the command line cannot be read").to_owned(),
    }
}

/// Returns what may have been meant.
fn similar(error: &clap::Error) -> Vec<String> {
    let similar = [
        (ContextKind::SuggestedSubcommand, "subcommand"),
        (ContextKind::SuggestedArg, "argument"),
        (ContextKind::SuggestedValue, "value"),
    ];
    let mut tips = Vec::new();
    for (kind, what) in similar {
        match texts_of(error, kind).as_slice() {
            [] => {}
            [one] => tips.push(format!("a similar {what} exists: '{one}'")),
            several => tips.push(format!("some similar {what}s exist: '{}'", several.join("', '"))),
        }
    }
    tips
}

/// Returns what the parser suggests in its own words.
fn suggested(error: &clap::Error) -> Vec<String> {
    match error.get(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(others)) => {
            others.iter().map(|tip| text::clean(&tip.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn texts_of(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns what can be read of a command line that was refused: how to speak, where the report goes, and which command it was.
///
/// What the parser does not understand is taken out, one argument after the other. Left alone, it would stop at the first.
pub(super) fn salvage(args: &[OsString]) -> Typed {
    let mut args = args.to_vec();
    let mut is_guessed = false;
    let mut read = definition(Purpose::Salvage).try_get_matches_from(&args);
    while let Err(error) = &read {
        let Some(position) = position(error, &args) else { break };
        if error.kind() == ErrorKind::InvalidSubcommand {
            // Its flags are likely to be those of the main command.
            is_guessed = true;
            args.splice(position..=position, [Command::Token.name().into()]);
        } else {
            args.remove(position);
        }
        read = definition(Purpose::Salvage).try_get_matches_from(&args);
    }
    let read = read.or_else(|_| definition(Purpose::Salvage).ignore_errors(true).try_get_matches_from(&args));
    let mut typed = read.map(|matches| typed(&matches)).unwrap_or_default();
    if is_guessed {
        typed.command = None;
    }
    typed
}

/// The argument that an error is about.
fn position(error: &clap::Error, args: &[OsString]) -> Option<usize> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        // The others concern the command line as a whole.
        ErrorKind::UnknownArgument | ErrorKind::InvalidValue | ErrorKind::TooManyValues => {
            ContextKind::InvalidArg
        }
        // One that is there twice; of two that exclude each other both are understood.
        ErrorKind::ArgumentConflict
            if error.get(ContextKind::PriorArg) == error.get(ContextKind::InvalidArg) =>
        {
            ContextKind::InvalidArg
        }
        _ => return None,
    };
    // A flag that is known is named with the word for its value.
    let bad = text_of(error, kind)?;
    let bad = if bad.starts_with('-') { bad.split(' ').next()? } else { bad };
    let letter = bad.strip_prefix('-').filter(|rest| rest.chars().count() == 1);
    let is_meant = |arg: &str| {
        arg == bad
            || arg.strip_prefix(bad).is_some_and(|rest| rest.starts_with('='))
            || letter
                .is_some_and(|letter| arg.starts_with('-') && !arg.starts_with("--") && arg.contains(letter))
    };
    let own = args.iter().enumerate().skip(1).take_while(|(_, arg)| *arg != "--");
    own.map(|(position, arg)| (position, arg.to_string_lossy()))
        .find(|(_, arg)| is_meant(arg))
        .map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::row::Row;
    use crate::cli::table::{FORMAT, QUIET, REPORT, SUMMARY};

    fn args(list: &[&str]) -> Vec<OsString> {
        std::iter::once("equinix-wif").chain(list.iter().copied()).map(OsString::from).collect()
    }

    #[test]
    fn a_token_among_the_arguments_is_refused_without_an_echo() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln";
        for list in [
            vec!["token", token],
            vec!["token", &format!("--scope={token}")],
            vec!["--subject-token-env", token],
        ] {
            let error = refuse_secrets(&args(&list)).unwrap_err();
            assert_eq!(error.code(), Code::CfgSecretInArgv);
            assert!(!error.message().contains("eyJ"));
        }
        assert!(
            refuse_secrets(&args(&["sandbox", "--", "tool", token])).is_ok(),
            "another program's argument"
        );
        assert!(refuse_secrets(&args(&["token", "--scope", "ern:a:b.c:d.e:f:g:h"])).is_ok());
    }

    #[test]
    fn usage_errors_speak_our_language() {
        let told = |list: &[&str]| {
            let args = args(list);
            error(&definition(Purpose::Parse).try_get_matches_from(&args).unwrap_err(), &salvage(&args))
        };
        let error = told(&["token", "--scpe", "x"]);
        assert_eq!(error.to_string(), "error[cfg-usage]: unexpected argument '--scpe' found");
        assert!(error.cure().contains("a similar argument exists: '--scope'"), "{}", error.cure());
        assert!(error.cure().ends_with("equinix-wif token --help lists its flags."), "{}", error.cure());
        for (list, message) in [
            (&["exec"][..], "the following required arguments were not provided: <CMD>..."),
            (&["completions"], "the following required arguments were not provided: <SHELL>"),
            (&["tokne"], "unrecognized subcommand 'tokne'"),
            (&["token", "--scope"], "a value is required for '--scope <SCOPE>' but none was supplied"),
            (
                &["token", "--scope", "a", "--scope", "b"],
                "the argument '--scope <SCOPE>' cannot be used multiple times",
            ),
            (&["token", "-q", "-v"], "the argument '--quiet' cannot be used with '--verbose'"),
            (
                &["token", "--export-env=true"],
                "unexpected value 'true' for '--export-env' found; no more were expected",
            ),
            (
                &["token", "--color", "blue"],
                "invalid value 'blue' for '--color <WHEN>' [possible values: auto, always, never]",
            ),
        ] {
            assert_eq!(told(list).message(), message, "{list:?}");
        }
        for name in ["exec", "sandbox"] {
            let hint = told(&[name, "ls", "-l"]).cure().to_owned();
            assert!(hint.contains(&format!("goes after --, as in equinix-wif {name} -- ls")), "{hint}");
        }
        // What it gets is in its environment, so there is no format to choose, and a program of that name least of all.
        let hint = told(&["exec", "--format", "json", "--", "true"]).cure().to_owned();
        assert!(!hint.contains("-- --format") && hint.contains("equinix-wif exec -- ls -l"), "{hint}");
        let hint = told(&["tokne"]).cure().to_owned();
        assert!(hint.contains("'token'"), "{hint}");
        assert_eq!(hint.rsplit("; ").next(), Some("equinix-wif --help lists commands and flags."));
    }

    /// Checks that the flags which decide how a failure is reported are read, whatever is wrong with the rest.
    #[test]
    fn what_is_wrong_hides_nothing_else() {
        let report = ["--report", "r.json"];
        for (before, after) in [
            (&["-q", "token"][..], &["--bogus"][..]),
            (&["token", "-q"], &["--bogus=x"]),
            (&["token", "-q", "--bogus", "x"], &["--other", "y", "z"]),
            (&["token", "--scope", "a", "--scope", "b", "-q"], &[]),
            (&["token", "-q", "--export-env=true"], &["--bogus"]),
            (&["token", "-q", "--color", "blue"], &["--bogus"]),
            (&["token", "-q", "--scope"], &["--bogus"]),
            (&["-qx", "--quiet", "token"], &["--help"]),
            (&["token", "--bogus", "-q"], &["--scope"]),
        ] {
            let typed = salvage(&args(&[before, &report, after].concat()));
            let texts = |row: &Row| typed.text(row).map(ToOwned::to_owned);
            assert_eq!(typed.command, Some(Command::Token), "{before:?} {after:?}");
            assert_eq!(texts(&REPORT.row).as_deref(), Some("r.json"), "{before:?} {after:?}");
            assert!(typed.has(&QUIET.row), "{before:?} {after:?}");
        }
        let typed = salvage(&args(&["token", "-q", "-v", "--format", "json", "--summary", "always"]));
        assert_eq!((typed.text(&FORMAT.row), typed.text(&SUMMARY.row)), (Some("json"), Some("always")));
        let exec = salvage(&args(&["exec", "--report", "r", "ls", "--", "--bogus"]));
        assert_eq!((exec.command, exec.text(&REPORT.row)), (Some(Command::Exec), Some("r")));
        let unknown = salvage(&args(&["tokne", "--report", "r"]));
        assert_eq!((unknown.command, unknown.text(&REPORT.row)), (None, Some("r")));
        assert_eq!(salvage(&args(&[])).command, None);
    }
}
