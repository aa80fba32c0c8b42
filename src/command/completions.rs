//! `completions`: a script for a shell, made from the definition of the command line and from the tables behind it.

use std::io::Write;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::claims::Validation;
use crate::cli::{Cli, CompletionsArgs};
use crate::config::OnUnavailable;
use crate::emit::FORMATS;
use crate::error::{Code, Error};
use crate::provider::PROVIDERS;
use crate::sts::Api;
use crate::summary::When;
use crate::text::quote;

/// Prints the script for one shell.
pub fn run(args: &CompletionsArgs, stdout: &mut dyn Write) -> Result<(), Error> {
    let shell = Shell::from_str(&args.shell, true).map_err(|_| {
        Error::new(Code::CfgValueInvalid, format!("there are no completions for {}", quote(&args.shell)))
            .with_detail("known", SHELLS.join(", "))
            .with_cure("Name one of the known shells.")
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_values(Cli::command()), "equinix-wif", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // The library writes a program's name with a hyphen in two ways (clap_complete 4.6.11), so that commands are found,
        // but none of their flags. `tests/completions.rs` shows it.
        script = script.replace("equinix__subcmd__wif", "equinix__wif");
    }
    super::print(stdout, &script)
}

/// The shells that the library writes for, by the names that it reads.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The command line with the words that its flags take. The program itself checks them elsewhere, where it also knows
/// whether a flag or a variable has them.
fn with_values(mut cli: clap::Command) -> clap::Command {
    cli.build();
    cli.mut_subcommands(|command| {
        let speaks = matches!(command.get_name(), "inspect" | "doctor");
        command.mut_args(|arg| {
            let words: Vec<&'static str> = match arg.get_id().as_str() {
                "format" if speaks => vec!["text", "json"],
                "format" => with_auto(FORMATS.iter().map(|format| format.id())),
                "provider" => with_auto(PROVIDERS.iter().map(|provider| provider.id())),
                "validation" => Validation::ALL.iter().map(|mode| mode.id()).collect(),
                "sts_api" => Api::ALL.iter().map(|api| api.id()).collect(),
                "on_unavailable" => OnUnavailable::ALL.iter().map(|what| what.id()).collect(),
                "summary" => When::ALL.iter().map(|when| when.id()).collect(),
                "code" => Code::ALL.iter().map(|code| code.name()).collect(),
                #[cfg(feature = "sandbox")]
                "platform" => crate::sandbox::Platform::ALL.iter().map(|platform| platform.id()).collect(),
                #[cfg(feature = "sandbox")]
                "fault" => crate::sandbox::Fault::ALL.iter().map(|fault| fault.id()).collect(),
                "shell" => SHELLS.to_vec(),
                _ => return arg,
            };
            arg.value_parser(PossibleValuesParser::new(words))
        })
    })
}

fn with_auto(ids: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    std::iter::once("auto").chain(ids).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shells_are_those_of_the_library() {
        let values = Shell::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        assert_eq!(values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>(), SHELLS);
    }

    #[test]
    fn every_flag_with_fixed_words_has_them() {
        let cli = with_values(Cli::command());
        let words = |command: &str, id: &str| -> Vec<String> {
            let arg = cli.find_subcommand(command).unwrap().get_arguments().find(|arg| arg.get_id() == id);
            arg.unwrap().get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        };
        assert_eq!(words("token", "on_unavailable"), ["fail", "skip"]);
        assert_eq!(words("exec", "validation"), ["off", "basic", "strict"]);
        assert_eq!(words("doctor", "sts_api"), ["alpha", "v1"]);
        assert_eq!(words("inspect", "summary"), ["never", "on-failure", "always"]);
        assert_eq!(words("doctor", "format"), ["text", "json"]);
        assert_eq!(words("id-token", "format").len(), FORMATS.len() + 1);
        assert_eq!(words("token", "provider").len(), PROVIDERS.len() + 1);
        assert_eq!(words("explain", "code").len(), Code::ALL.len());
        assert!(words("token", "scope").is_empty());
    }
}
