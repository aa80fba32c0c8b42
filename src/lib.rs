//! Gives a CI job an Equinix access token without any stored secret.
//!
//! One direction of data flow, left to right; no module looks to its left:
//!
//! ```text
//! environment + arguments → identity (CI platform → ID token) → claims (check) → STS (exchange) → credential → emitter (format, sink)
//! ```
//!
//! [`run`] is the whole program as a function of its arguments, environment, clock and streams.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

pub mod child;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod command;
pub mod compare;
pub mod config;
pub mod console;
pub mod credential;
pub mod crypto;
pub mod deadline;
pub mod emit;
pub mod env;
pub mod error;
pub mod expect;
pub mod http;
pub mod input;
pub mod job;
pub mod json;
pub mod jwt;
pub mod provider;
pub mod random;
pub mod report;
pub mod request;
pub mod retry;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod scope;
pub mod secret;
pub mod signature;
pub mod sts;
pub mod subject;
pub mod summary;
pub mod text;

use cli::{Cli, Color, Command, SpeechArgs};
use clock::Clock;
use console::{Console, Verbosity};
use env::{Env, names};
use error::{Code, Error};
use report::{Destination, Report};

/// What `--version` prints.
const VERSION: &str = concat!("equinix-wif ", env!("CARGO_PKG_VERSION"), "\n");

/// What standard output leads to, as far as it matters for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutKind {
    /// A file, a pipe or a device.
    Ordinary,
    /// A terminal, where people would see the token.
    Terminal,
    /// Nothing: it was closed when the program started.
    Closed,
}

/// The process's streams, and what is known about them.
pub struct Streams<'a> {
    /// Payload only.
    pub stdout: &'a mut dyn Write,
    /// People, progress, warnings, errors and the runner's commands.
    pub stderr: Box<dyn Write + Send>,
    /// What is known about standard output.
    pub stdout_kind: StdoutKind,
    /// Whether standard input is a terminal, where nobody answers.
    pub stdin_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether standard error leads to a file or nowhere, so that a runner cannot read it.
    pub stderr_is_lost: bool,
}

/// Runs the program and returns its exit status.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    env: &Env,
    clock: &dyn Clock,
    streams: Streams<'_>,
) -> u8 {
    let Streams { stdout, stderr, stdout_kind, stdin_is_terminal, stderr_is_terminal, stderr_is_lost } =
        streams;
    let args: Vec<OsString> = args.into_iter().collect();
    // Asked for by every installer and health check, and answered without building the whole command line.
    if args.get(1).is_some_and(|arg| args.len() == 2 && (arg == "--version" || arg == "-V")) {
        return u8::from(command::print(stdout, VERSION).is_err());
    }
    let parsed = refuse_secrets(&args).and_then(|()| match Cli::try_parse_from(&args) {
        Ok(cli) => Ok(Parsed::Command(cli)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Help(error.render().to_string()))
        }
        Err(error) => Err(usage_error(&error, &args)),
    });
    let speech = match &parsed {
        Ok(Parsed::Command(cli)) => Some(&cli.speech),
        _ => None,
    };
    let console = Console::new(stderr, verbosity(speech), use_color(speech, stderr_is_terminal, env));
    let rest = Rest { stdout, stdout_kind, stdin_is_terminal, stderr_is_lost };
    let is_exec = is_exec(&args);
    let outcome = match parsed {
        Err(error) => {
            account_for_usage(&args, env, &console, &error);
            Err(error)
        }
        Ok(Parsed::Help(text)) => command::print(rest.stdout, &text).map(|()| 0),
        Ok(Parsed::Command(cli)) => dispatch(cli.command, env, clock, &console, rest),
    };
    outcome.unwrap_or_else(|error| {
        console.error(&error);
        if job::masks(env) {
            console.annotate(&error);
        }
        report::status(error.code(), is_exec)
    })
}

fn dispatch(
    command: Command,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    rest: Rest<'_>,
) -> Result<u8, Error> {
    let mut report = Report::default();
    match command {
        Command::Explain(args) => command::explain::run(&args, rest.stdout).map(|()| 0),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => command::sandbox::run(&args, env, rest.stdout, console),
        Command::Completions(args) => command::completions::run(&args, rest.stdout).map(|()| 0),
        Command::Man(_) => command::man::run(rest.stdout).map(|()| 0),
        Command::Token(args) => {
            let asked = args.output.format.as_deref();
            accounted(&args.account, env, clock, console, &mut report, |report| {
                command::token::run((&*args).into(), env, clock, console, rest, report)
            })
            .inspect_err(|error| command::main_job::leave_failure(asked, env, error))
            .map(|()| 0)
        }
        Command::IdToken(args) => {
            let asked = args.output.format.as_deref();
            accounted(&args.account, env, clock, console, &mut report, |report| {
                command::token::run((&*args).into(), env, clock, console, rest, report)
            })
            .inspect_err(|error| command::main_job::leave_failure(asked, env, error))
            .map(|()| 0)
        }
        Command::Exec(args) => {
            let account = |report: &mut Report, act: &mut dyn FnMut(&mut Report) -> Result<_, Error>| {
                accounted(&args.account, env, clock, console, report, act)
            };
            account(&mut report, &mut |report| command::exec::run(&args, env, clock, console, &rest, report))
                .and_then(|prepared| match prepared {
                    // The account of the run ends here; what comes now is the command's own. Should it not be able to take
                    // this process's place, although it had been found, the account is written anew.
                    Some(prepared) => child::hand_over(prepared).or_else(|error| {
                        let mut error = Some(error);
                        account(&mut report, &mut |_| error.take().map_or(Ok(None), Err)).map(|_| 0)
                    }),
                    None => Ok(0),
                })
                .inspect_err(|error| command::main_job::leave_failure(Some("auto"), env, error))
        }
        Command::Inspect(args) => accounted(&args.account, env, clock, console, &mut report, |report| {
            command::inspect::run(&args, env, clock, console, rest, report)
        })
        .map(|()| 0),
        Command::Doctor(args) => accounted(&args.account, env, clock, console, &mut report, |report| {
            command::doctor::run(&args, env, clock, console, rest, report)
        }),
    }
}

/// Whether the command line is one of `exec`, whose statuses below 125 belong to the command that it runs.
fn is_exec(args: &[OsString]) -> bool {
    command_name(args).is_some_and(|name| name == "exec")
}

/// The command that was typed, which need not be one.
fn command_name(args: &[OsString]) -> Option<String> {
    // Flags of every command may stand before it.
    let mut own = args.iter().skip(1);
    while let Some(arg) = own.next() {
        match arg.to_string_lossy().as_ref() {
            "--color" => drop(own.next()),
            flag if flag.starts_with('-') && flag != "--" => {}
            command => return Some(command.to_owned()),
        }
    }
    None
}

enum Parsed {
    Command(Cli),
    Help(String),
}

/// What commands need of the streams; standard error belongs to the console.
pub struct Rest<'a> {
    /// Payload only.
    pub stdout: &'a mut dyn Write,
    /// What is known about it.
    pub stdout_kind: StdoutKind,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard error leads to a file or nowhere.
    pub stderr_is_lost: bool,
}

/// A command with its report around it.
fn accounted<T>(
    args: &cli::AccountArgs,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    report: &mut Report,
    act: impl FnOnce(&mut Report) -> Result<T, Error>,
) -> Result<T, Error> {
    let started = clock.now();
    let place = config::report_place(args.report.as_deref(), env);
    let destination = Destination::open(place.as_deref())?;
    // A wrong word is told in the report like every other wrong setting.
    let (summary, outcome) = match summary::When::resolve(args.summary.as_deref(), env) {
        Ok(when) => (when, act(report)),
        Err(error) => (summary::When::Never, Err(error)),
    };
    let elapsed = clock.now().saturating_duration_since(started);
    let error = outcome.as_ref().err().or(report.failure.as_ref());
    summary::write(summary, report, error, env, console);
    let told = destination.write(report, error, elapsed, console);
    // A report that cannot be written is worth a failure of its own only when there is no other.
    outcome.and_then(|value| told.map(|()| value))
}

/// A command line that was not understood is accounted for like every other failure, as far as it can be read.
fn account_for_usage(args: &[OsString], env: &Env, console: &Console, error: &Error) {
    let raw = |flag: &str| {
        // What may be a token names no file.
        if error.code() == Code::CfgSecretInArgv {
            return None;
        }
        let glued = format!("{flag}=");
        let mut own = args.iter().skip(1).take_while(|arg| *arg != "--").map(|arg| arg.to_string_lossy());
        while let Some(arg) = own.next() {
            if let Some(value) = arg.strip_prefix(&glued) {
                return Some(value.to_owned());
            } else if arg == flag {
                return own.next().map(std::borrow::Cow::into_owned);
            }
        }
        None
    };
    let place = config::report_place(raw("--report").map(std::path::PathBuf::from).as_deref(), env);
    let is_exec = is_exec(args);
    if let Ok(destination) = Destination::open(place.as_deref()) {
        let report = Report { is_exec, ..Report::default() };
        destination.write(&report, Some(error), Duration::ZERO, console).ok();
    }
    if is_exec {
        command::main_job::leave_failure(Some("auto"), env, error);
    } else if args.get(1).is_some_and(|command| command == "token" || command == "id-token") {
        command::main_job::leave_failure(raw("--format").as_deref(), env, error);
    }
}

/// Arguments are visible to every user of the machine, so a token among them is refused without an echo (S-06). What
/// stands behind `--` belongs to another program.
fn refuse_secrets(args: &[OsString]) -> Result<(), Error> {
    let looks_like_a_token = |arg: &OsStr| {
        // Also behind a flag's `=`, in quotation marks or after `Bearer`.
        let text = arg.to_string_lossy();
        text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
            .any(|word| word.starts_with("eyJ") && word.len() > 20 && word.matches('.').count() >= 2)
    };
    if args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| looks_like_a_token(arg)) {
        return Err(Error::new(Code::CfgSecretInArgv, "an argument looks like a token"));
    }
    Ok(())
}

/// The argument parser's complaint in our own form: its first line, and its tips as the hint.
fn usage_error(error: &clap::Error, args: &[OsString]) -> Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let mut first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    // What is missing stands on lines of its own.
    if first.ends_with(':') {
        for line in lines.take_while(|line| !line.is_empty()) {
            first.push(' ');
            first.push_str(line);
        }
    }
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "no command was given".to_owned()
        }
        _ => text::clean(&first),
    };
    let tips: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).map(text::clean).collect();
    let typed = command_name(args).filter(|name| Command::has_subcommand(name));
    let see = match &typed {
        Some(name) => format!("equinix-wif {name} --help lists its flags."),
        None => "equinix-wif --help lists commands and flags.".to_owned(),
    };
    let stray = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) => !arg.starts_with('-'),
        _ => false,
    };
    if let Some(name) = typed.filter(|name| stray && (name == "exec" || name == "sandbox")) {
        let hint = format!("The command to run stands behind --, as in equinix-wif {name} -- ls; {see}");
        return Error::new(Code::CfgUsage, message).with_cure(hint);
    }
    let hint = if tips.is_empty() { see } else { format!("{}; {see}", tips.join("; ")) };
    Error::new(Code::CfgUsage, message).with_cure(hint)
}

fn verbosity(speech: Option<&SpeechArgs>) -> Verbosity {
    match speech {
        Some(SpeechArgs { quiet: true, .. }) => Verbosity::Quiet,
        Some(SpeechArgs { verbose: true, .. }) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}

fn use_color(speech: Option<&SpeechArgs>, stderr_is_terminal: bool, env: &Env) -> bool {
    match speech.map_or(Color::Auto, |speech| speech.color) {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => stderr_is_terminal && !env.has(names::NO_COLOR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_short_way_to_the_version_says_the_same() {
        let error = Cli::try_parse_from(args(&["--version"])).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::DisplayVersion, VERSION));
    }

    #[test]
    fn usage_errors_speak_our_language() {
        let told = |list: &[&str]| usage_error(&Cli::try_parse_from(args(list)).unwrap_err(), &args(list));
        let error = told(&["token", "--scpe", "x"]);
        assert_eq!(error.to_string(), "error[cfg-usage]: unexpected argument '--scpe' found");
        assert!(error.cure().contains("a similar argument exists: '--scope'"), "{}", error.cure());
        assert!(error.cure().ends_with("equinix-wif token --help lists its flags."), "{}", error.cure());
        let none = told(&[]);
        assert_eq!(none.message(), "no command was given");
        let bare = told(&["exec"]);
        assert_eq!(bare.message(), "the following required arguments were not provided: <CMD>...");
        for name in ["exec", "sandbox"] {
            let hint = told(&[name, "ls", "-l"]).cure().to_owned();
            assert!(hint.contains(&format!("stands behind --, as in equinix-wif {name} -- ls")), "{hint}");
        }
        assert_eq!(
            told(&["tokne"]).cure().rsplit("; ").next(),
            Some("equinix-wif --help lists commands and flags.")
        );
    }
}
