//! The commands, one file each.

pub mod choice;
pub mod dispatch;
pub mod doctor;
mod dry_run;
pub mod exec;
pub mod explain;
pub mod inspect;
mod keeper;
#[cfg(test)]
mod made_up;
pub mod main_job;
#[cfg(feature = "renew")]
mod passing;
pub mod pipeline;
pub mod policies;
#[cfg(feature = "renew")]
pub mod renewal;
pub mod report_file;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod summary;
pub mod token;

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::settings::{Source, invalid};
use crate::env::is_variable_name;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::handle::is_handle;
use crate::output::sink;
use crate::platform::PLATFORMS;
use crate::report::console::Console;
use crate::text::{Carrier, defuse};

/// Writes a payload without secrets to standard output.
pub(crate) fn print(stdout: &mut dyn Write, text: &str) -> Result<(), Error> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(sink::failed(&error, Code::OutWrite, "standard output cannot be written")),
        Ok(()) => Ok(()),
    }
}

/// Puts a failure on the run's page, where a runner around this process has one.
pub(crate) fn annotate(error: &Error, env: &Env, console: &Console) {
    for facts in PLATFORMS.iter().map(|platform| platform.facts()) {
        if let Some(form) = facts.annotation.filter(|_| facts.is_around(env)) {
            console.annotate(error, form);
        }
    }
}

/// Checks whether `--format` of a command that speaks to people or programs asks for JSON.
fn wants_json(format: Option<&str>) -> Result<bool, Error> {
    match format {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(invalid(Source::Flag("--format"), other, "text or json")),
    }
}

/// JSON that a runner does not take for a command.
fn json_text(value: &impl Serialize) -> String {
    // By way of a value, which sorts the members. Texts, numbers and lists into memory: this cannot fail.
    let value = serde_json::to_value(value).unwrap_or_default();
    defuse(&value.to_string(), Carrier::Json)
}

/// The variable that makes the Equinix Terraform provider exchange by itself, if it is set beside a scope.
fn shadowing_variable(env: &Env) -> Result<Option<String>, Error> {
    let name = env.text(names::SUBJECT_TOKEN_ENV_VAR)?.unwrap_or_else(|| names::SUBJECT_TOKEN.to_owned());
    if !env.has(names::SCOPE) || !is_variable_name(&name) {
        return Ok(None);
    }
    // What is exchanged by itself inside a renewing run comes from the same place.
    let is_other = |text: &OsString| !text.to_str().is_some_and(is_handle);
    Ok(env.os(&name).is_some_and(|text| is_other(&text)).then_some(name))
}
