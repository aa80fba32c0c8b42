//! Compares what is written about the settings elsewhere with the table: the reference page, the action and the
//! component.

use std::collections::BTreeSet;
use std::path::Path;

use super::commands::Command;
use super::definition::{Purpose, definition};
use super::members;
use super::row::{Arity, Expose, Row};
use super::table::ROWS;
use crate::output::request::QUERY_LIMIT;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the first table below this heading, cells trimmed, without the head.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = file(page);
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let rows =
        lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The flags, each with its rows: two when it means different things to different commands.
fn flags() -> Vec<Vec<&'static Row>> {
    let mut flags: Vec<Vec<&Row>> = Vec::new();
    for row in ROWS {
        match flags.iter_mut().find(|rows| rows[0].flag == row.flag) {
            Some(rows) => rows.push(row),
            None => flags.push(vec![row]),
        }
    }
    flags
}

/// Returns how the page shows a flag.
fn shown(row: &Row) -> String {
    let short = row.short.map_or_else(String::new, |letter| format!("`-{letter}`, "));
    let value = row.arity.value_name().map_or_else(String::new, |name| format!(" {name}"));
    format!("{short}`{}{value}`", row.flag)
}

#[test]
fn the_reference_has_every_flag_with_its_variable_and_default() {
    let page = table("docs/reference/settings.md", "# Settings");
    for rows in flags() {
        let shown = shown(rows[0]);
        let found = page.iter().find(|row| row[0] == shown);
        let found = found.unwrap_or_else(|| panic!("docs/reference/settings.md has no row {shown}"));
        let variables: BTreeSet<&str> = rows.iter().flat_map(|row| [row.var, row.or_var]).flatten().collect();
        let told: BTreeSet<&str> = spans(&found[1])
            .into_iter()
            .filter(|span| !["true", "false", "NO_COLOR"].contains(span))
            .collect();
        assert_eq!(told, variables, "{shown}");
        // What has no default in the table is explained in words.
        let main = rows.iter().max_by_key(|row| row.default.is_some()).unwrap();
        if let Some(default) = main.default {
            let defaults: Vec<_> = rows.iter().filter_map(|row| row.default).map(code).collect();
            assert!(defaults.contains(&found[2]), "{shown} has the default {default}: {}", found[2]);
        } else if main.arity == Arity::Switch {
            assert_eq!(found[2], "off", "{shown}");
        }
        let on: Vec<&str> = Command::ALL
            .iter()
            .filter(|command| rows.iter().any(|row| row.on.contains(command)))
            .map(|command| command.name())
            .collect();
        let expected = if on.len() == Command::ALL.len() { "all".to_owned() } else { on.join(", ") };
        assert_eq!(found[3], expected, "{shown}");
        assert!(!found[4].is_empty(), "{shown}");
    }
    // Those of the library.
    for (flag, commands) in [("`-h`, `--help`", "all"), ("`-V`, `--version`", "none")] {
        assert!(page.iter().any(|row| row[0] == flag && row[3] == commands), "{flag}");
    }
    assert_eq!(page.len(), flags().len() + 2, "a row too many, or one twice");
}

#[test]
fn the_reference_has_every_command() {
    let typed = |command: &Command| {
        let operand = match &command.facts().operand {
            None => String::new(),
            Some(own) if own.is_command && own.is_required => format!(" -- {}…", own.name),
            Some(own) if own.is_command => format!(" [-- {}…]", own.name),
            Some(own) if own.is_required => format!(" {}", own.name),
            Some(own) => format!(" [{}]", own.name),
        };
        code(&format!("equinix-wif {}{operand}", command.name()))
    };
    let expected: Vec<_> = Command::ALL.iter().map(typed).collect();
    let found: Vec<_> =
        table("docs/reference/commands.md", "# Commands").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_reference_has_the_members_of_the_query() {
    let text = file("docs/reference/formats.md");
    let (_, section) = text.split_once("\n## `terraform-external`\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for member in members(Expose::Query) {
        assert!(spans(section).contains(&member.name.as_str()), "{}", member.name);
        assert_eq!(member.name.replace('_', "-"), member.flag.trim_start_matches('-'));
    }
    assert!(section.contains(&format!("{} KiB", QUERY_LIMIT >> 10)));
}

#[test]
fn no_page_has_an_unknown_flag() {
    let mut known: BTreeSet<String> = ROWS.iter().map(|row| row.name().to_owned()).collect();
    known.extend(["help", "version"].map(ToOwned::to_owned));
    // Those of the local service, whose tests hold this table against it.
    let of_service = table("docs/reference/local-service.md", "## Flags");
    known.extend(
        of_service
            .iter()
            .map(|row| spans(&row[0])[0].trim_start_matches("--").split(' ').next().unwrap().to_owned()),
    );
    // Those of cargo, circleci, curl, docker, git, gh, jq, kubectl, pulumi, timeout and the MCP inspector, and a mistake in
    // an example.
    let others = "arg no-cache root rev git cap-drop check claims cli data-urlencode deny-self-hosted-runners env env-file fail \
                  fail-with-body features foreground from header ignore-missing lib location-trusted \
                  locked manifest-path mask method mount no-default-features nocapture pattern \
                  preserve-env profile raw read-only record release repo request rm root-issuer scpe secret \
                  show-error sign signer-workflow silent source-ref stack strict target test tool-name \
                  transport unix-socket yes";
    known.extend(others.split_whitespace().map(ToOwned::to_owned));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let docs = ["docs", "docs/reference", "docs/reference/platforms"].into_iter().flat_map(files);
    let pages = docs.chain(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|page| root.join(page)));
    for path in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(&path).unwrap().replace("<!--", "").replace("-->", "");
        for (at, _) in text.match_indices("--") {
            let before = text[..at].chars().next_back();
            let name: String =
                text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            if before.is_some_and(|c| c == '-' || c == '|')
                || !name.starts_with(|c: char| c.is_ascii_lowercase())
            {
                continue;
            }
            assert!(known.contains(&name), "{}: there is no flag --{name}", path.display());
        }
    }
}

/// The names of the inputs in a YAML file, one indented by this much a line.
fn inputs(path: &str, start: &str, indent: usize) -> BTreeSet<String> {
    let text = file(path);
    let (_, rest) = text.split_once(start).unwrap();
    let depth = |line: &str| line.len() - line.trim_start().len();
    rest.lines()
        .take_while(|line| line.is_empty() || depth(line) >= indent)
        .filter(|line| depth(line) == indent)
        .filter_map(|line| line.trim().strip_suffix(':'))
        .map(ToOwned::to_owned)
        .collect()
}

fn exposed(place: Expose) -> Vec<&'static Row> {
    ROWS.iter().copied().filter(|row| row.expose.contains(&place)).collect()
}

/// Checks the action, which is the format `github`, which has no place of its own choice and needs no consent.
#[test]
fn the_action_passes_on_its_inputs() {
    let mut found = inputs("action.yml", "\ninputs:\n", 2);
    for own in ["version", "sha256", "mirror-url", "binary-path", "install-only"] {
        assert!(found.remove(own), "{own}");
    }
    let rows = exposed(Expose::Action);
    assert_eq!(found, rows.iter().map(|row| row.name().to_owned()).collect());
    let (action, script) = (file("action.yml"), file("action/token.sh"));
    let (_, unset) = script.split_once("\nunset ").unwrap();
    let (unset, _) = unset.split_once("\n\n").unwrap();
    for row in rows {
        assert!(row.on.contains(&Command::Token), "{}: the action runs token", row.flag);
        let name = row.name();
        let variable = format!("WITH_{}", name.to_uppercase().replace('-', "_"));
        assert!(action.contains(&format!("        {variable}: ${{{{ inputs.{name} }}}}\n")), "{variable}");
        let line = match (row.arity, row.var) {
            (Arity::List(_), _) => format!("value {name} \"$line\"\ndone <<<\"${{{variable}-}}\"\n"),
            // A variable that the script unsets has nothing to say that an input would have to win over.
            (Arity::Switch, Some(own)) if !unset.contains(own) => {
                format!("switch {name} \"${{{variable}-}}\" {own}\n")
            }
            (Arity::Switch, _) => format!("switch {name} \"${{{variable}-}}\"\n"),
            _ => format!("value {name} \"${{{variable}-}}\"\n"),
        };
        assert!(script.contains(&line), "{line}");
    }
    let not_exposed: Vec<_> = Command::Token
        .rows()
        .filter(|row| row.on.len() < Command::ALL.len() && !row.expose.contains(&Expose::Action))
        .map(Row::name)
        // GitHub has no service connections, and a step of the action is there for its token.
        .filter(|name| !["service-connection-id", "dry-run"].contains(name))
        .collect();
    let consent = ["format", "output", "force", "allow-workspace", "accept-artifact-exposure"];
    // What holds a secret, or a name, of a grant is given in the step's environment.
    let of_client = [
        "client-secret-file",
        "refresh-token-file",
        "refresh-token-output",
        "user-name",
        "password-file",
        "password-encoding",
    ];
    let (found_client, found_consent): (Vec<&str>, Vec<&str>) =
        not_exposed.into_iter().partition(|name| of_client.contains(name));
    assert_eq!(found_consent, consent);
    assert!(found_client.is_empty() || found_client == of_client, "{found_client:?}");
}

#[test]
fn the_component_passes_on_its_inputs() {
    const PATH: &str = "templates/equinix-wif.yml";
    let mut found = inputs(PATH, "\n  inputs:\n", 4);
    let own = [
        "template-name",
        "job-name",
        "script",
        "stage",
        "image",
        "version",
        "sha256",
        "mirror-url",
        "binary-path",
    ];
    for own in own {
        assert!(found.remove(own), "{own}");
    }
    let rows = exposed(Expose::Component);
    assert_eq!(found, rows.iter().map(|row| row.name().to_owned()).collect());
    let text = file(PATH);
    for row in rows {
        let line = format!("    {}:\n      value: \"$[[ inputs.{} ]]\"\n", row.var.unwrap(), row.name());
        assert!(text.contains(&line), "{line}");
        // A default in the component is the program's.
        let (_, input) = text.split_once(&format!("\n    {}:\n", row.name())).unwrap();
        let default = input
            .lines()
            .take_while(|line| line.starts_with("      "))
            .find_map(|line| line.strip_prefix("      default: "));
        let own = default.map(|text| text.trim_matches('"')).filter(|text| !text.is_empty());
        assert!(own.is_none() || own == row.default, "{}: {own:?}", row.flag);
    }
}

/// Checks that the manual page has everything that the help of a command shows.
#[test]
fn the_manual_page_has_everything() {
    let plain = super::man::page().replace("\\-", "-").replace("\\*(Aq", "'");
    for command in Command::ALL {
        assert!(plain.contains(&format!(".SH {}\n", command.name().to_uppercase())), "{command:?}");
        assert!(plain.contains(&format!("\n{}\n", command.facts().about)), "{command:?}");
    }
    for row in ROWS {
        assert!(plain.contains(&format!("\\fB{}\\fR", row.flag)), "{}", row.flag);
    }
    for (name, _) in crate::env::names::ALL {
        assert!(plain.contains(&format!("\\fB{name}\\fR")), "{name}");
    }
    for exit in crate::error::Exit::ALL {
        assert!(plain.contains(exit.meaning()), "{}", exit.meaning());
    }
}

/// Checks that the long help of a flag follows from its row.
#[test]
fn the_help_has_variables_defaults_and_words() {
    let mut cli = definition(Purpose::Parse);
    cli.build();
    for command in Command::ALL {
        let help =
            cli.find_subcommand_mut(command.name()).unwrap().clone().term_width(1000).render_long_help();
        let help = help.to_string();
        for row in command.rows() {
            let (_, own) = help
                .split_once(&format!(
                    "{}{}\n",
                    row.flag,
                    row.arity.value_name().map_or_else(String::new, |name| format!(" <{name}>"))
                ))
                .unwrap();
            let (own, _) = own.split_once("\n\n").unwrap_or((own, ""));
            for (label, text) in [
                ("env: ", row.var),
                ("else ", row.or_var),
                ("default: ", row.default),
                ("", (row.words)().last().copied()),
            ] {
                assert!(
                    text.is_none_or(|text| own.contains(&format!("{label}{text}"))),
                    "{}: {own}",
                    row.flag
                );
            }
        }
    }
}
