//! The completions in the shells that use them, and the manual page in the program that shows it.

#![cfg(unix)]

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::pages::rows;
use crate::tools::{INSTALL, need, need_shell};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        bash_offers_commands_flags_and_their_values,
        fish_offers_commands_flags_and_their_values,
        zsh_offers_commands_flags_and_their_values,
        zsh_takes_them,
        zsh_is_told_what_has_to_come_first,
        powershell_and_elvish_get_every_command,
        another_shell_is_an_error_that_names_those_that_are_known,
        the_manual_page_tells_everything,
        groff_shows_the_manual_page_and_has_nothing_to_say,
        they_are_the_same_in_and_outside_of_a_job
    ]
}

const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");

fn program(args: &[&str]) -> Output {
    Command::new(BIN).args(args).env_clear().output().unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = program(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the help shows.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that is too long for its line goes on further to the right.
    let named = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: Vec<_> = named.filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect();
    assert!(names.len() > 5, "{help}");
    names
}

/// The formats that the help of `token` lists.
fn formats() -> Vec<String> {
    let help = printed(&["token", "--help"]);
    let (_, rest) = help.split_once("--format <").unwrap();
    let (_, rest) = rest.split_once("[values: ").unwrap();
    let (values, _) = rest.split_once(']').unwrap();
    let formats: Vec<_> = values.split(',').map(|value| value.trim().to_owned()).collect();
    assert!(formats.len() > 10, "{help}");
    formats
}

/// What a shell says to this script, with the completions in the file that its first argument names.
fn said(shell: &[&str], script: &str, completions: &str) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("completions");
    fs::write(&file, completions).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).arg(&file).env("HOME", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn words(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split('\t').next().unwrap_or_default().trim()).collect()
}

/// For each line that was typed so far, some of what has to be offered, and what must not be.
fn cases() -> Vec<(&'static str, Vec<String>, &'static str)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        ("equinix-wif ", words(&["token", "exec", "id-token", "doctor", "explain"]), "--scope"),
        ("equinix-wif token --sc", words(&["--scope"]), "--audience"),
        ("equinix-wif token --format ", formats(), "text"),
        ("equinix-wif doctor --format ", words(&["text", "json"]), "raw"),
        ("equinix-wif exec --validation ", words(&["off", "basic", "strict"]), "fail"),
        ("equinix-wif token --provider ", words(&["auto", "github", "gitlab", "kubernetes", "aws"]), "token"),
        ("equinix-wif exec --grant ", words(&["token-exchange", "client-credentials"]), "fail"),
        ("equinix-wif exec --dr", words(&["--dry-run"]), "--renew"),
        ("equinix-wif sandbox --fault ", words(&["rate-limit", "expired-token"]), "github"),
        ("equinix-wif sandbox --platform ", words(&["github", "gitlab", "none"]), "forgejo"),
        ("equinix-wif explain claim-a", words(&["claim-aud"]), "sts-denied"),
        ("equinix-wif completions ", words(&["bash", "fish", "powershell", "zsh"]), "token"),
        ("equinix-wif help ", words(&["token", "exec", "sandbox"]), "bash"),
    ]
}

fn bash_offers_commands_flags_and_their_values() {
    need_shell(&["bash"]);
    let completions = printed(&["completions", "bash"]);
    for (typed, offered, other) in cases() {
        let script = format!(
            r#"source "$0"; read -ra COMP_WORDS <<<'{typed}'; [[ '{typed}' == *' ' ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}
            [[ $(complete -p equinix-wif) =~ -F\ ([^ ]+) ]]
            "${{BASH_REMATCH[1]}}" equinix-wif "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
            printf '%s\n' "${{COMPREPLY[@]}}""#
        );
        let reply = said(&["bash", "-c"], &script, &completions);
        let reply = words(&reply);
        assert!(offered.iter().all(|word| reply.contains(&word.as_str())), "{typed:?}: {reply:?}");
        assert!(!reply.contains(&other), "{typed:?}: {reply:?}");
    }
}

fn fish_offers_commands_flags_and_their_values() {
    need_shell(&["fish"]);
    let completions = printed(&["completions", "fish"]);
    for (typed, offered, other) in cases() {
        let script = format!("source $argv[1]; complete -C '{typed}'");
        let reply = said(&["fish", "--no-config", "-c"], &script, &completions);
        let reply = words(&reply);
        assert!(offered.iter().all(|word| reply.contains(&word.as_str())), "{typed:?}: {reply:?}");
        assert!(!reply.contains(&other), "{typed:?}: {reply:?}");
    }
}

/// The start-up file of a shell at a terminal, which shows what would be offered instead of offering it.
const ZSHRC: &str = r#"
PROMPT= RPROMPT= PS2=
unset zle_bracketed_paste
autoload -Uz compinit; compinit -D -u
source "$HOME/completions"
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  print -rl -- '' offer:$^hits
}
show-end() { print; print -r -- done; zle kill-buffer }
zle -N show-end
bindkey '^X' show-end
bindkey '^I' complete-word
print -r -- done
"#;

/// Types each of its arguments there.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -d -i
until-done() { local line; REPLY=; while zpty -r shell line; do REPLY+=$line; [[ $line == done* ]] && return; done }
until-done
for typed in "$@"; do
  zpty -w -n shell "$typed"$'\t\x18'
  until-done
  for line in ${(f)REPLY}; do [[ $line == offer:* ]] && print -r -- ${${line#offer:}%%$'\r'}; done
  print -r -- '=='
done
zpty -d shell
"#;

fn zsh_offers_commands_flags_and_their_values() {
    need_shell(&["zsh", "-f"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("completions");
    fs::write(&file, printed(&["completions", "zsh"])).unwrap();
    fs::write(folder.path().join(".zshrc"), ZSHRC).unwrap();
    let cases = cases();
    let mut command = Command::new("zsh");
    command.args(["-f", "-c", ZSH, "zsh"]).args(cases.iter().map(|(typed, ..)| typed)).env("TERM", "xterm");
    let output = command.env("HOME", folder.path()).env("ZDOTDIR", folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let replies: Vec<Vec<&str>> = text.split("==\n").map(words).collect();
    assert_eq!(replies.len(), cases.len() + 1, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for ((typed, offered, other), reply) in cases.iter().zip(replies) {
        assert!(offered.iter().all(|word| reply.contains(&word.as_str())), "{typed:?}: {reply:?}");
        assert!(!reply.contains(other), "{typed:?}: {reply:?}");
    }
}

fn zsh_takes_them() {
    need_shell(&["zsh", "-f"]);
    let completions = printed(&["completions", "zsh"]);
    assert!(completions.starts_with("#compdef equinix-wif\n"), "zsh finds it by its first line");
    let script = r#"autoload -Uz compinit; compinit -D -u; source "$1"; print -r -- $_comps[equinix-wif]"#;
    assert_eq!(said(&["zsh", "-f", "-c", script], "zsh", &completions), "_equinix-wif\n");
    for format in formats() {
        assert!(completions.contains(&format), "{format}");
    }
    let functions = completions.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
    for function in functions.filter(|word| word.starts_with("_equinix-wif_")) {
        assert!(completions.contains(&format!("{function}() {{")), "{function} is called and not defined");
    }
}

fn zsh_is_told_what_has_to_come_first() {
    need_shell(&["zsh", "-f"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("completions");
    fs::write(&file, printed(&["completions", "zsh"])).unwrap();
    // As a start-up file has it: each line is run, whatever became of the one before.
    let script = "source \"$1\"\nautoload -Uz compinit; compinit -D -u\nprint -r -- ${_comps[equinix-wif]-nothing}\n\
                  source \"$1\"\nprint -r -- ${_comps[equinix-wif]-nothing}";
    let output =
        Command::new("zsh").args(["-f", "-c", script, "zsh"]).arg(&file).env("HOME", folder.path()).output();
    let output = output.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "nothing\n_equinix-wif\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "equinix-wif: run compinit before these completions are sourced\n");
}

fn powershell_and_elvish_get_every_command() {
    for shell in ["powershell", "elvish"] {
        let completions = printed(&["completions", shell]);
        for command in commands() {
            assert!(completions.contains(&format!("equinix-wif;{command}'")), "{shell}");
        }
    }
}

fn another_shell_is_an_error_that_names_those_that_are_known() {
    let output = program(&["completions", "tcsh"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    assert!(
        stderr.starts_with("error[cfg-value-invalid]: there are no completions for \"tcsh\"\n"),
        "{stderr}"
    );
    assert!(stderr.contains("known: bash, elvish, fish, powershell, zsh"), "{stderr}");
}

fn the_manual_page_tells_everything() {
    let page = printed(&["man"]);
    let plain = page.replace("\\-", "-").replace("\\*(Aq", "'");
    for command in commands() {
        assert!(plain.contains(&format!(".SH {}\n", command.to_uppercase())), "{command}");
        let help = printed(&[&command, "--help"]);
        let flags = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        for flag in flags {
            let flag = flag.trim_end_matches([',', ';']);
            assert!(plain.contains(&format!("\\fB{flag}\\fR")), "{command}: {flag}");
        }
    }
    for row in rows("docs/reference/settings.md", "## Environment variables") {
        let name = row[0].trim_matches('`');
        assert!(plain.contains(&format!("\\fB{name}\\fR")), "{name}");
    }
    for row in rows("docs/reference/commands.md", "## Exit status").iter().skip(1) {
        assert!(plain.contains(&row[1]), "{}", row[1]);
    }
    let codes = printed(&["explain"]);
    let codes = codes.lines().filter_map(|line| line.split_whitespace().next());
    assert!(codes.clone().count() > 50 && codes.clone().all(|code| plain.contains(code)), "each code");
}

fn groff_shows_the_manual_page_and_has_nothing_to_say() {
    need("groff", Command::new("groff").arg("--version"), INSTALL);
    let page = printed(&["man"]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("equinix-wif.1");
    fs::write(&file, &page).unwrap();
    let shown = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(&file).output().unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("equinix-wif(1)"));
    let first = text.lines().find(|line| !line.is_empty()).unwrap();
    assert!(first.contains("User Commands"), "the fields of the title are in their places: {first}");
}

fn they_are_the_same_in_and_outside_of_a_job() {
    for args in [&["completions", "bash"][..], &["man"]] {
        let job = Command::new(BIN)
            .args(args)
            .env_clear()
            .envs([
                ("GITHUB_ACTIONS", "true"),
                ("EQUINIX_WIF_FORMAT", "raw"),
                ("EQUINIX_WIF_AUDIENCE", "a-secret"),
            ])
            .output()
            .unwrap();
        assert_eq!(job.stdout, program(args).stdout);
        assert!(job.status.success() && job.stderr.is_empty(), "{job:?}");
    }
    let explained = printed(&["explain", "internal"]);
    let (_, rest) = explained.split_once("\nCause\n  ").unwrap();
    let cause = rest.lines().next().unwrap();
    assert!(!printed(&["completions", "zsh"]).contains(cause), "codes, not their causes");
}
