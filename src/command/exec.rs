//! `exec`: the main job, and then another program with the token in its environment and nowhere else.

use std::ffi::OsString;
use std::process::Command;

use crate::Rest;
use crate::child;
use crate::cli::ExecArgs;
use crate::clock::Clock;
use crate::config::{ExchangeSettings, IdentitySettings, NetworkSettings, OnUnavailable, Resolver};
use crate::console::Console;
use crate::credential::{Credential, Kind};
use crate::emit::{Options, Place, sink};
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::job::Job;
use crate::provider::{self, PROVIDERS, TokenSource};
use crate::random;
use crate::report::Report;

use super::main_job::{access_token, account_for, announce, check_is_free, format, required_scope, skipped};
use super::token::warn_of_shadowing;
use super::{check_masks, check_source, client, shadowing_variable};

/// Gets the token and prepares the command, which is to run when the account of this run has been written. `None` when it
/// is not to run at all: this job can have no token, and goes on without one.
pub fn run(
    args: &ExecArgs,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: &Rest<'_>,
    report: &mut Report,
) -> Result<Option<Command>, Error> {
    report.is_exec = true;
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver);
    report.settings = resolver.into_report();
    let settings = settings?;
    let choice = settings.on_unavailable;
    match prepare(args, settings, env, clock, console, streams, report) {
        Ok(command) => Ok(Some(command)),
        Err(error) => {
            let reason = skipped(error, choice, console, report)?;
            leave_reason(reason, env)?;
            Ok(None)
        }
    }
}

struct Settings {
    identity: IdentitySettings,
    exchange: ExchangeSettings,
    scope: String,
    env_name: String,
    on_unavailable: OnUnavailable,
    network: NetworkSettings,
}

fn settings(args: &ExecArgs, resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    let exchange = resolver.exchange(&args.exchange)?;
    let scope = required_scope(&exchange)?;
    let identity = resolver.identity(&args.identity)?;
    let env_name = resolver.env_name(args.child.env_name.as_deref(), Kind::AccessToken)?;
    check_is_free(&env_name, &identity)?;
    Ok(Settings {
        identity,
        exchange,
        scope,
        env_name,
        on_unavailable: resolver.on_unavailable(args.unavailable.on_unavailable.as_deref())?,
        network: resolver.network(&args.network)?,
    })
}

fn prepare(
    args: &ExecArgs,
    settings: Settings,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: &Rest<'_>,
    report: &mut Report,
) -> Result<Command, Error> {
    let Settings { identity, exchange, scope, env_name, network, .. } = settings;
    let provider = provider::select(identity.provider.as_deref(), &identity.source, env)?;
    report.provider = Some(provider.id());
    check_source(&identity, provider)?;
    provider.ready(env, &identity.source, identity.audience.as_deref())?;

    // What could stop the command is found out before a token exists.
    let (program, arguments) = split(&args.command)?;
    child::find(program, env.os(names::PATH).as_deref())?;
    check_masks(env, streams.stderr_is_lost)?;

    let deadline = network.deadline;
    let http = client(network, console);
    let job = Job::new(env, clock, deadline, console, &http, provider, &identity);
    if args.child.keep_oidc_env
        && let Some(name) = shadowing_variable(env)?
    {
        warn_of_shadowing(&job, &name, &env_name);
    }
    let outcome = access_token(&job, &scope, &exchange, report);
    if let Ok(credential) = &outcome {
        warn_of_short_life(&job, credential);
    }
    report.warnings = job.warnings();
    let credential = outcome?;
    account_for(&credential, report);
    announce(&credential, console);

    let mut command = Command::new(program);
    command.args(arguments);
    if !args.child.keep_oidc_env {
        for name in identity_variables(&identity.source) {
            command.env_remove(name);
        }
    }
    let expiry_name = Options { env_name: &env_name, ..Options::default() }.expiry_name();
    command.env(&env_name, credential.token.reveal()).env(expiry_name, credential.expires_at_text());
    Ok(command)
}

fn split(command: &[OsString]) -> Result<(&OsString, &[OsString]), Error> {
    command.split_first().ok_or_else(|| Error::new(Code::CfgUsage, "there is no command behind --"))
}

/// The variables with which the command could get ID tokens itself, for other services too: of every platform, since the
/// identity need not come from the one around this process.
fn identity_variables(source: &TokenSource) -> Vec<&str> {
    let mut names: Vec<&str> =
        PROVIDERS.iter().flat_map(|provider| provider.identity_variables(source)).collect();
    names.push(names::SUBJECT_TOKEN);
    names
}

/// Nothing renews the token while the command runs.
fn warn_of_short_life(job: &Job<'_>, credential: &Credential) {
    let here = provider::detected(job.env);
    let left = here
        .iter()
        .find_map(|provider| Some((provider.name(), provider.time_left(job.env, job.clock.unix_time())?)));
    if let Some((platform, left)) = left.filter(|(_, left)| *left > credential.expires_in) {
        job.warn(&format!(
            "the access token lives {} s, but {platform} lets this job run for another {left} s: what the command does after {} fails, since nothing renews the token",
            credential.expires_in,
            credential.expires_at_text()
        ));
    }
}

/// Leaves the reason where later steps read it, if the platform has such a place. The command has no say in that: it is
/// not run.
fn leave_reason(reason: &str, env: &Env) -> Result<(), Error> {
    let delimiter = random::delimiter()?;
    let options = Options { delimiter: &delimiter, ..Options::default() };
    match format(None, None, env)?.render_unavailable(reason, &options) {
        Some((Place::RunnerFile(variable), bytes)) if env.has(variable) => {
            sink::append(variable, env, bytes.reveal())
        }
        _ => Ok(()),
    }
}
