//! A script that completes words in a shell, made from the tables of settings and commands.

use clap::ValueEnum as _;
use clap_complete::Shell;

use crate::cli::commands::Command;
use crate::cli::definition::{PROGRAM, Purpose, definition};
use crate::error::{Code, Error};
use crate::text::quote;

/// The shells that the library writes for, by the names that it reads.
pub const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The script for one shell.
pub fn script(shell: &str) -> Result<String, Error> {
    let shell = Shell::from_str(shell, true).map_err(|_| {
        Error::new(Code::CfgValueInvalid, format!("there are no completions for {}", quote(shell)))
            .with_detail("known", SHELLS.join(", "))
            .with_cure("Name one of the known shells.")
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(Purpose::Complete), PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    // The library writes a program's name with a hyphen in two ways (clap_complete 4.6.11), so that commands are found,
    // but none of their flags. `tests/completions.rs` shows it.
    Ok(match shell {
        Shell::Bash => script.replace("equinix__subcmd__wif", "equinix__wif"),
        // Before compinit there is no compdef, and the shell says only that it does not know it.
        Shell::Zsh => script.replace(
            "\nelse\n    compdef ",
            "\nelif ! (( $+functions[compdef] )); then\n    echo 'equinix-wif: run compinit before these completions are sourced' >&2\nelse\n    compdef ",
        ),
        Shell::Fish => script + &fish_operands(),
        Shell::PowerShell => with_values(&script),
        _ => script,
    })
}

/// Returns the operands with fixed words and their commands.
fn operands() -> impl Iterator<Item = (Command, Vec<&'static str>)> {
    let operands =
        Command::ALL.iter().filter_map(|command| Some((*command, command.facts().operand.as_ref()?)));
    operands.map(|(command, operand)| (command, (operand.words)())).filter(|(_, words)| !words.is_empty())
}

/// Completes the operands, for which the library writes nothing here (`clap_complete` 4.6.11).
fn fish_operands() -> String {
    let line = |(command, words): (Command, Vec<&str>)| {
        let condition = format!("__fish_equinix_wif_using_subcommand {}", command.name());
        format!("complete -c {PROGRAM} -n \"{condition}\" -f -a \"{}\"\n", words.join(" "))
    };
    operands().map(line).collect()
}

/// Adds the values of flags and operands, for which the library writes nothing here (`clap_complete` 4.6.11). They follow the
/// command so far, which the script has found, and the word before the one that is completed.
fn with_values(script: &str) -> String {
    let mut cases = String::new();
    let flags = Command::ALL.iter().flat_map(|command| {
        let rows = command.rows().map(|row| (*command, row.flag, (row.words)()));
        rows.filter(|(_, _, words)| !words.is_empty())
    });
    let operands = operands().map(|(command, words)| (command, command.name(), words));
    for (command, before, words) in flags.chain(operands) {
        let words = words.join("', '");
        cases.push_str(&format!("        '{PROGRAM};{} {before}' {{ '{words}' }}\n", command.name()));
    }
    let values = format!(
        "    $before = $commandElements | Where-Object {{ $_.Extent.EndOffset -lt $cursorPosition }} | Select-Object -Last 1\n    \
         $values = @(switch (\"$command $($before.Extent.Text)\") {{\n{cases}    }})\n    \
         if ($values.Count -gt 0) {{\n        \
         return $values.Where{{ $_ -like \"$wordToComplete*\" }} |\n            \
         ForEach-Object {{ [CompletionResult]::new($_, $_, [CompletionResultType]::ParameterValue, $_) }}\n    \
         }}\n\n"
    );
    let completions = "    $completions = @(switch";
    script.replacen(completions, &format!("{values}{completions}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::format::FORMATS;
    use crate::platform::PLATFORMS;

    #[test]
    fn the_shells_are_those_of_the_library() {
        let values = Shell::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
        assert_eq!(values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>(), SHELLS);
    }

    #[test]
    fn zsh_says_what_it_needs() {
        assert!(script("zsh").unwrap().contains("elif ! (( $+functions[compdef] )); then"));
    }

    #[test]
    fn powershell_has_the_values_of_every_flag_and_operand() {
        let script = script("powershell").unwrap();
        for case in [
            "\n        'equinix-wif;token --sts-api' { 'alpha', 'v1' }\n",
            "\n        'equinix-wif;doctor --format' { 'text', 'json' }\n",
            "\n        'equinix-wif;explain explain' { 'internal', ",
            "\n        'equinix-wif;completions completions' { 'bash', 'elvish', 'fish', 'powershell', 'zsh' }\n",
        ] {
            assert!(script.contains(case), "{case}");
        }
        // They come before the flags, and nothing of it closes more than it has opened.
        let (values, rest) = script.split_once("    $completions = @(switch").unwrap();
        assert!(values.contains("$values = @(switch (\"$command $($before.Extent.Text)\") {\n"));
        assert!(!rest.contains("$values"));
        for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
            assert_eq!(script.matches(open).count(), script.matches(close).count(), "{open}");
        }
    }

    #[test]
    fn every_flag_with_fixed_words_has_them() {
        let cli = definition(Purpose::Complete);
        let words = |command: &str, id: &str| -> Vec<String> {
            let arg = cli.find_subcommand(command).unwrap().get_arguments().find(|arg| arg.get_id() == id);
            arg.unwrap().get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        };
        assert_eq!(words("token", "--on-unavailable"), ["fail", "skip"]);
        assert_eq!(words("exec", "--validation"), ["off", "basic", "strict"]);
        assert_eq!(words("doctor", "--sts-api"), ["alpha", "v1"]);
        assert_eq!(words("inspect", "--summary"), ["never", "on-failure", "always"]);
        assert_eq!(words("doctor", "--format"), ["text", "json"]);
        assert_eq!(words("id-token", "--format").len(), FORMATS.len() + 1);
        assert_eq!(words("token", "--provider").len(), PLATFORMS.len() + 1);
        assert_eq!(words("explain", "operand").len(), Code::ALL.len());
        assert!(words("token", "--scope").is_empty());
    }
}
