//! Runs the command that was typed, with its report and its summary around it.

use std::sync::Arc;
use std::time::Duration;

use crate::child;
use crate::cli::commands::Command;
use crate::cli::row::Row;
use crate::cli::settings::{SummaryWhen, report_place, summary_when};
use crate::cli::table::{FORMAT, REPORT, SUMMARY};
use crate::cli::typed::Typed;
use crate::cli::{VERSION, completions, help, man, unknown};
use crate::clock::Clock;
use crate::credential::Kind;
use crate::env::Env;
use crate::error::Error;
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::Streams;

use super::report_file::ReportFile;
use super::{doctor, exec, explain, inspect, main_job, policies, print, summary, token};

/// Runs a command. The result is the exit status.
pub fn run(
    command: Command,
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: Streams<'_>,
) -> Result<u8, Error> {
    let mut report = Report::default();
    if REPORT.row.on.contains(&command)
        && let Some(warning) = unknown::warning(env)
    {
        console.warn(&warning);
        report.warnings.push(warning);
    }
    let outcome = match command {
        Command::Explain => explain::run(typed.operand(), streams.stdout).map(|()| 0),
        #[cfg(feature = "sandbox")]
        Command::Sandbox => super::sandbox::run(typed, env, streams.stdout, console),
        Command::Completions => {
            let script = completions::script(typed.operand().unwrap_or_default())?;
            print(streams.stdout, &script).map(|()| 0)
        }
        Command::Man => print(streams.stdout, &man::page()).map(|()| 0),
        Command::Version => print(streams.stdout, &format!("{VERSION}\n")).map(|()| 0),
        Command::Help => print(streams.stdout, &help(explain::command(typed.operand())?)).map(|()| 0),
        Command::Token | Command::IdToken => {
            let kind = if command == Command::Token { Kind::AccessToken } else { Kind::IdToken };
            reported(typed, env, &**clock, console, &mut report, |report| {
                token::run(kind, typed, env, clock, console, streams, report)
            })
            .map(|()| 0)
        }
        Command::Exec => execute(typed, env, clock, console, &streams, &mut report),
        Command::Inspect => reported(typed, env, &**clock, console, &mut report, |report| {
            inspect::run(typed, env, clock, console, streams, report)
        })
        .map(|()| 0),
        Command::Policies => reported(typed, env, &**clock, console, &mut report, |report| {
            policies::run(typed, env, clock, console, streams, report)
        })
        .map(|()| 0),
        Command::Doctor => reported(typed, env, &**clock, console, &mut report, |report| {
            doctor::run(typed, env, clock, console, streams, report)
        }),
    };
    outcome.inspect_err(|error| leave_failure(typed, env, error))
}

/// Gets the token, ends the report, and then becomes the command, or stays beside it.
fn execute(
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: &Streams<'_>,
    report: &mut Report,
) -> Result<u8, Error> {
    #[cfg(feature = "renew")]
    let started = clock.now();
    let prepared = reported(typed, env, &**clock, console, report, |report| {
        exec::run(typed, env, clock, console, streams, report)
    })?;
    let Some(prepared) = prepared else { return Ok(0) };
    // What comes now is the command's own. Should it not start, although it had been found, the report is written anew.
    let not_started = |error, report: &mut Report| {
        // There is no environment that has the token.
        report.audit.delivered_to.clear();
        reported(typed, env, &**clock, console, report, |_| Err::<u8, _>(error))
    };
    #[cfg(feature = "renew")]
    if let Some(renewal) = prepared.renewal {
        let beside = match child::Beside::start(prepared.command) {
            Ok(beside) => beside,
            Err(error) => {
                renewal.end(report);
                return not_started(error, report);
            }
        };
        let status = beside.wait();
        renewal.end(report);
        let elapsed = clock.now().saturating_duration_since(started);
        // The command has ended as it has: a report that cannot be written changes nothing about that.
        let written = report_file(typed, env).and_then(|file| file.write(report, None, elapsed, console));
        if let Err(error) = written {
            console.error(&error);
        }
        return Ok(status);
    }
    child::hand_over(prepared.command).or_else(|error| not_started(error, report))
}

/// Reports a command line that was not understood like every other failure, as far as it can be read.
pub fn refuse(typed: &Typed, env: &Env, clock: &dyn Clock, console: &Console, error: &Error) {
    let mut report = Report { is_exec: typed.command == Some(Command::Exec), ..Report::default() };
    report.audit.begin(typed.command.map(Command::name), clock);
    let has = |row: &Row| typed.command.is_some_and(|command| row.on.contains(&command));
    if has(&SUMMARY.row)
        && let Ok(when) = summary_when(typed, env)
    {
        summary::write(when, &report, Some(error), env, console);
    }
    if let Ok(destination) = report_file(typed, env) {
        // The usage is the failure; that its report cannot be written is not worth another.
        destination.write(&report, Some(error), Duration::ZERO, console).ok();
    }
    leave_failure(typed, env, error);
}

/// Opens the place of the report.
fn report_file(typed: &Typed, env: &Env) -> Result<ReportFile, Error> {
    crate::cli::places::check_report(typed, env)?;
    ReportFile::open(report_place(typed, env).as_deref())
}

/// Leaves the error's code where later steps read it, for the commands whose token they would read there.
fn leave_failure(typed: &Typed, env: &Env, error: &Error) {
    match typed.command {
        Some(Command::Token | Command::IdToken) => {
            main_job::leave_failure(typed.text(&FORMAT.row), env, error);
        }
        Some(Command::Exec) => main_job::leave_failure(Some("auto"), env, error),
        _ => {}
    }
}

/// Runs a part of a command with the report and the summary around it.
fn reported<T>(
    typed: &Typed,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    report: &mut Report,
    act: impl FnOnce(&mut Report) -> Result<T, Error>,
) -> Result<T, Error> {
    let started = clock.now();
    report.audit.begin(typed.command.map(Command::name), clock);
    let destination = report_file(typed, env)?;
    // A wrong word stands in the report like every other wrong setting.
    let (when, outcome) = match summary_when(typed, env) {
        Ok(when) => (when, act(report).map_err(|error| unknown::explain(error, env))),
        Err(error) => (SummaryWhen::Never, Err(error)),
    };
    let elapsed = clock.now().saturating_duration_since(started);
    let error = outcome.as_ref().err().or(report.failure.as_ref());
    summary::write(when, report, error, env, console);
    let written = destination.write(report, error, elapsed, console);
    // A report that cannot be written is worth a failure of its own only when there is no other.
    outcome.and_then(|value| written.map(|()| value))
}
