//! The command line as clap knows it, built from the tables of settings and commands.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::cli::commands::{Command, Operand};
use crate::cli::row::{Arity, Row};
use crate::cli::table::{COLOR, QUIET, ROWS, VERBOSE};
use crate::cli::typed::Typed;

/// The name of the program.
pub(super) const PROGRAM: &str = "equinix-wif";

/// The name and the version, as `--version` prints them.
pub const VERSION: &str = concat!("equinix-wif ", env!("CARGO_PKG_VERSION"));

/// The name of a command's operand inside clap; every flag has its own, with dashes.
const OPERAND: &str = "operand";

/// The use that is made of the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To read a command line, and to print help. Words are checked later, where it is known whether a flag, a variable or a
    /// request has them.
    Parse,
    /// To complete words.
    Complete,
    /// To find what can be read of a command line that was refused: `--help` and `--version` are flags like others.
    Salvage,
}

/// The whole command line.
pub(super) fn definition(purpose: Purpose) -> clap::Command {
    build(purpose, true, &|_| true)
}

/// The command line as far as these arguments can need it: making the flags of every command, and their help, would cost more
/// than all the rest of a run that fails at once.
pub(super) fn definition_for(args: &[OsString]) -> clap::Command {
    let is_named = |command: Command| args.iter().any(|arg| arg == command.name());
    // Without a command clap looks for the one that has the flag.
    let asks_version = args.iter().skip(1).all(|arg| arg == "--version" || arg == "-V");
    let none = !asks_version && !Command::ALL.iter().any(|command| is_named(*command));
    let has_help = args.iter().any(|arg| {
        let arg = arg.as_encoded_bytes();
        arg == b"--help" || arg.first() == Some(&b'-') && arg.get(1) != Some(&b'-') && arg.contains(&b'h')
    });
    build(Purpose::Parse, has_help, &|command| none || is_named(command))
}

fn build(purpose: Purpose, has_help: bool, has_flags: &dyn Fn(Command) -> bool) -> clap::Command {
    let cli = clap::Command::new(PROGRAM)
        .about("Gives a CI job an Equinix access token without any stored secret")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .disable_help_flag(purpose == Purpose::Salvage)
        .disable_version_flag(purpose == Purpose::Salvage)
        .after_help(AFTER_HELP)
        .after_long_help(format!("{}\n\n{AFTER_HELP}", examples(&ROOT_EXAMPLES)))
        .args(ROWS.iter().filter(|row| is_global(row)).map(|row| flag(row, purpose, has_help)));
    let subcommands = Command::ALL.iter().map(|command| {
        let facts = command.facts();
        let new = clap::Command::new(facts.name).about(facts.about);
        if has_flags(*command) { with_flags(new, *command, purpose, has_help) } else { new }
    });
    cli.subcommands(subcommands)
}

const AFTER_HELP: &str = "All pages: docs/README.md. Codes: equinix-wif explain.";

const ROOT_EXAMPLES: [(&str, &str); 2] = [
    (
        "equinix-wif token --audience my-audience --scope roleassignments:<org-id>",
        "in a GitHub job: the token is an output of the step",
    ),
    ("equinix-wif sandbox", "to see it work, without an account"),
];

/// Examples as they stand in the help. A command is not wrapped, so that it can be copied.
fn examples(examples: &[(&str, &str)]) -> String {
    examples
        .iter()
        .fold("Examples:".to_owned(), |text, (line, about)| text + &format!("\n  # {about}\n  {line}"))
}

fn with_flags(new: clap::Command, command: Command, purpose: Purpose, has_help: bool) -> clap::Command {
    let facts = command.facts();
    let own = command.rows().filter(|row| !is_global(row)).map(|row| flag(row, purpose, has_help));
    let new = new
        .after_long_help(if has_help { examples(&facts.examples) } else { String::new() })
        .disable_help_flag(purpose == Purpose::Salvage)
        .args(own);
    match &facts.operand {
        Some(operand) => new.arg(positional(operand, purpose)),
        None => new,
    }
}

/// Tells whether every command has it, before or after its name.
fn is_global(row: &Row) -> bool {
    row.on.len() == Command::ALL.len()
}

fn flag(row: &Row, purpose: Purpose, has_help: bool) -> Arg {
    let mut arg = Arg::new(row.flag).long(row.name()).short(row.short).global(is_global(row));
    if has_help {
        arg = arg.help(row.help).long_help(long_help(row)).help_heading(row.heading.title());
    }
    arg = match row.arity {
        Arity::Switch => arg.action(ArgAction::SetTrue),
        Arity::Path(_) => arg.action(ArgAction::Set).value_parser(value_parser!(std::path::PathBuf)),
        Arity::Text(_) | Arity::Number(_) => arg.action(ArgAction::Set).value_parser(value_parser!(String)),
        Arity::List(_) => arg.action(ArgAction::Append).value_parser(value_parser!(String)),
    };
    if let Some(name) = row.arity.value_name() {
        arg = arg.value_name(name);
    }
    // How errors are shown has to be known before one can be.
    if purpose == Purpose::Complete || row.flag == COLOR.row.flag {
        arg = with_words(arg, (row.words)()).hide_possible_values(purpose != Purpose::Complete);
    }
    if row.flag == QUIET.row.flag { arg.conflicts_with(VERBOSE.row.flag) } else { arg }
}

fn positional(operand: &Operand, purpose: Purpose) -> Arg {
    let arg = Arg::new(OPERAND).value_name(operand.name).help(operand.help).required(operand.is_required);
    if operand.is_command {
        arg.last(true).action(ArgAction::Append).value_parser(value_parser!(OsString))
    } else if purpose == Purpose::Complete {
        with_words(arg, (operand.words)())
    } else {
        arg.value_parser(value_parser!(String))
    }
}

fn with_words(arg: Arg, words: Vec<&'static str>) -> Arg {
    if words.is_empty() { arg } else { arg.value_parser(PossibleValuesParser::new(words)) }
}

/// Returns what `--help` says of a flag: also its variable, its default and its words.
fn long_help(row: &Row) -> String {
    let variables: Vec<_> = [row.var, row.or_var].into_iter().flatten().collect();
    let mut facts = Vec::new();
    if !variables.is_empty() {
        facts.push(format!("[env: {}]", variables.join(", else ")));
    }
    facts.extend(row.default.map(|default| format!("[default: {default}]")));
    let words = (row.words)();
    if !words.is_empty() {
        facts.push(format!("[values: {}]", words.join(", ")));
    }
    if facts.is_empty() { row.help.to_owned() } else { format!("{}\n{}", row.help, facts.join("\n")) }
}

/// Returns what was typed, from what clap has read.
pub(super) fn typed(matches: &ArgMatches) -> Typed {
    let (command, own) = match matches.subcommand() {
        Some((name, own)) => (Command::by_name(name), own),
        None => (None, matches),
    };
    let mut typed = typed_rows(own, command, |row| match command {
        Some(command) => row.on.contains(&command),
        None => is_global(row),
    });
    if command.is_some_and(|command| command.facts().operand.is_some()) {
        typed.operands = own.get_raw(OPERAND).into_iter().flatten().map(ToOwned::to_owned).collect();
    }
    typed
}

/// Makes the flags of these rows, for a program that takes them over.
#[cfg(feature = "service")]
pub fn flags(is_wanted: fn(&Row) -> bool) -> impl Iterator<Item = Arg> {
    let rows = ROWS.iter().filter(move |row| is_wanted(row));
    rows.map(|row| flag(row, Purpose::Parse, true).global(false))
}

/// Returns what was typed for these rows.
pub fn typed_rows(own: &ArgMatches, command: Option<Command>, is_wanted: impl Fn(&Row) -> bool) -> Typed {
    let mut typed = Typed { command, ..Typed::default() };
    for row in ROWS.iter().filter(|row| is_wanted(row)) {
        if row.arity == Arity::Switch {
            // A command line that was refused may have no value even for a switch.
            if own.try_get_one(row.flag).is_ok_and(|on| on == Some(&true)) {
                typed.values.insert(row.flag, Vec::new());
            }
        } else if let Some(values) = own.get_raw(row.flag) {
            typed.values.insert(row.flag, values.map(ToOwned::to_owned).collect());
        }
    }
    typed
}

/// The help of the program or of one command, as `--help` prints it.
pub fn help(command: Option<Command>) -> String {
    let mut cli = definition(Purpose::Parse);
    cli.build();
    match command.and_then(|command| cli.find_subcommand_mut(command.name())) {
        Some(own) => own.render_long_help().to_string(),
        None => cli.render_long_help().to_string(),
    }
}
