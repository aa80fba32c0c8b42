//! The command line: the tables that it is built from, what was typed, and what the settings mean.

#[cfg(feature = "classic-grants")]
mod account_settings;
pub mod commands;
pub mod completions;
pub(crate) mod definition;
pub mod env_name;
mod grant_settings;
pub mod man;
pub mod next_step;
pub mod places;
#[cfg(feature = "renew")]
pub mod renewal_settings;
mod resolve;
pub mod row;
pub mod settings;
pub mod speech;
pub mod table;
pub mod typed;
pub mod unknown;
pub(crate) mod usage;

#[cfg(test)]
mod pages_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::error::Error;
use crate::output::request::Member;
use commands::Command;
use definition::definition_for;
use row::Expose;
use table::ROWS;
use typed::Typed;

pub use definition::{VERSION, help};

/// The action that a command line asks for.
pub enum Action {
    /// A command.
    Run(Command),
    /// A text about the program.
    Print(String),
}

/// Reads a command line. What was typed is there even when it was refused, as far as it can be read. `no_command` makes the
/// error of one without a command.
pub fn parse(args: &[OsString], no_command: impl FnOnce() -> Error) -> (Typed, Result<Action, Error>) {
    let read = definition_for(args).try_get_matches_from(args);
    if let Err(error) = usage::refuse_secrets(args) {
        return (usage::salvage(args).without_texts(), Err(error));
    }
    match read {
        Ok(matches) => {
            let typed = definition::typed(&matches);
            let action = typed.command.map_or_else(|| Action::Print(help(None)), Action::Run);
            (typed, Ok(action))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            (Typed::default(), Ok(Action::Print(error.render().to_string())))
        }
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            (usage::salvage(args), Err(no_command()))
        }
        Err(error) => {
            let typed = usage::salvage(args);
            let error = usage::error(&error, &typed);
            (typed, Err(error))
        }
    }
}

/// The settings that can be given in this place, by their names there.
pub fn members(place: Expose) -> Vec<Member> {
    let rows = ROWS.iter().filter(|row| row.expose.contains(&place));
    rows.map(|row| Member { name: row.member(), flag: row.flag }).collect()
}
