//! `token`: the main job.

use std::io::Write;

use crate::Rest;
use crate::cli::TokenArgs;
use crate::clock::Clock;
use crate::config::{ExchangeSettings, IdentitySettings, NetworkSettings, OutputSettings, Resolver};
use crate::console::Console;
use crate::credential::Credential;
use crate::emit::sink::{self, Policy, Sinks};
use crate::emit::{self, Format, Options};
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::job::{Job, masks};
use crate::provider::{self, Provider};
use crate::random;
use crate::report::{Report, claims_status};
use crate::retry::Deadline;
use crate::secret::Secret;

use super::{check_masks, check_source, client, shadowing_variable};

/// Runs the main job. What happens on the way is noted in `report`.
pub fn run(
    args: &TokenArgs,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: Rest<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver);
    report.settings = resolver.into_report();
    let Settings { identity, exchange, output, network, scope } = settings?;
    let provider = provider::select(identity.provider.as_deref(), &identity.source, env)?;
    check_source(&identity, provider)?;
    let format = format(output.format.as_deref(), Some(provider), env)?;
    report.provider = Some(provider.id());
    report.format = Some(format.id());

    // Everything that could stop the delivery is found out before a token exists.
    check_masks(env, streams.stderr_is_lost)?;
    check_trace(format, env, output.force)?;
    let shadowing = shadowing_variable(env)?;
    let sinks = Sinks::open(
        format,
        output.export_env,
        &Policy {
            env,
            output: output.output.as_deref(),
            allow_workspace: output.allow_workspace,
            force: output.force,
            stdout: streams.stdout_kind,
        },
    )?;

    let deadline = Deadline::after(clock, network.timeout);
    let http = client(network, clock, deadline, console);
    let job = Job::new(env, clock, deadline, console, &http, provider, &identity);
    if output.export_env && format.id() != "github" {
        job.warn(&format!(
            "--export-env is for the format github; {} sets no variable for later steps",
            format.id()
        ));
    }
    let outcome = obtain(&job, &scope, &exchange, report);
    report.warnings = job.warnings();
    let credential = outcome?;
    report.granted = Some((credential.scope.clone(), credential.expires_at_text()));
    deliver(&credential, &output, shadowing.as_deref(), sinks, console, streams.stdout)?;
    console.note(&format!(
        "access token for {} is valid until {} ({} s)",
        credential.scope,
        credential.expires_at_text(),
        credential.expires_in
    ));
    Ok(())
}

struct Settings {
    identity: IdentitySettings,
    exchange: ExchangeSettings,
    output: OutputSettings,
    network: NetworkSettings,
    scope: String,
}

fn settings(args: &TokenArgs, resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    let exchange = resolver.exchange(&args.exchange)?;
    let scope = exchange.scope.clone().ok_or_else(|| Error::new(Code::CfgScopeMissing, "no scope is set"))?;
    Ok(Settings {
        scope,
        exchange,
        identity: resolver.identity(&args.identity)?,
        output: resolver.output(&args.output)?,
        network: resolver.network(&args.network)?,
    })
}

/// From the identity to the masked access token.
fn obtain(
    job: &Job<'_>,
    scope: &str,
    exchange: &ExchangeSettings,
    report: &mut Report,
) -> Result<Credential, Error> {
    for warning in exchange.warnings.iter().chain(&job.settings.warnings) {
        job.warn(warning);
    }
    job.console.detail(&format!("identity from {} ({})", job.provider.name(), job.provider.id()));
    let mut identity = job.identity()?;
    report.claims = Some(identity.claims.clone());
    report.verified = identity.verified;
    job.console.detail(&format!(
        "issuer {}, subject {} ({})",
        identity.claims.issuer(),
        identity.claims.subject(),
        claims_status(identity.verified)
    ));
    let credential = job.exchange(&mut identity, scope, exchange)?;
    report.claims = Some(identity.claims);
    job.hide(&credential.access_token)?;
    if let Some(signature) = jwt_signature(&credential.access_token).filter(|_| masks(job.env)) {
        job.hide(&signature)?;
    }
    Ok(credential)
}

/// The signature of an access token that is a JWT: other tools break tokens at their dots, and a mask of the whole does
/// not hide a part. Short pieces are never masked: they would hide innocent text.
fn jwt_signature(token: &Secret) -> Option<Secret> {
    let parts: Vec<&str> = token.reveal().split('.').collect();
    match parts.as_slice() {
        [_, _, signature] if signature.len() >= 20 => Some(Secret::new(*signature)),
        _ => None,
    }
}

fn deliver(
    credential: &Credential,
    settings: &OutputSettings,
    shadowing: Option<&str>,
    sinks: Sinks,
    console: &Console,
    stdout: &mut dyn Write,
) -> Result<(), Error> {
    let format = sinks.format();
    if let Some(name) = shadowing.filter(|_| !format.is_sourced()) {
        console.warn(&format!(
            "{} and {name} are both set: where they still are, the Equinix Terraform provider exchanges by itself and ignores the token in {}",
            names::SCOPE,
            settings.env_name
        ));
    }
    let options = Options {
        env_name: &settings.env_name,
        export_env: settings.export_env,
        shadowing,
        delimiter: &delimiter(credential)?,
    };
    sinks.commit(|place| format.render(credential, &options, place), stdout)
}

/// A delimiter that stands in none of the values. With 128 random bits the first one always does.
fn delimiter(credential: &Credential) -> Result<String, Error> {
    let values =
        [credential.access_token.reveal(), &credential.scope, &credential.issuer, &credential.subject];
    loop {
        let delimiter = format!("equinix-wif-{}", random::hex()?);
        if !values.iter().any(|value| value.contains(&delimiter)) {
            return Ok(delimiter);
        }
    }
}

/// The format that was asked for, else the one that suits the platform on which this process runs, whatever the
/// identity's source.
pub(super) fn format(
    asked: Option<&str>,
    provider: Option<&'static dyn Provider>,
    env: &Env,
) -> Result<&'static dyn Format, Error> {
    if let Some(name) = asked.filter(|name| *name != "auto") {
        return emit::by_name(name);
    }
    let home = match provider::detected(env).as_slice() {
        [only] => Some(*only),
        _ => provider,
    };
    emit::by_name(home.map_or("json", Provider::format))
}

/// Leaves a failed run's code where the next step can read it. Whatever went wrong, the settings may not even have been
/// understood, so only what is needed here is looked at.
pub fn leave_failure(asked: Option<&str>, env: &Env, error: &Error) {
    let asked = asked.map(ToOwned::to_owned).or_else(|| env.text(names::FORMAT).ok().flatten());
    if let Ok(format) = format(asked.as_deref(), None, env) {
        sink::leave_failure(format, error.code(), env);
    }
}

/// A shell that traces its commands writes each assignment into the job log.
fn check_trace(format: &dyn Format, env: &Env, force: bool) -> Result<(), Error> {
    if format.is_sourced() && env.is(names::CI_DEBUG_TRACE, "true") && !force {
        return Err(Error::new(
            Code::OutTraced,
            "CI_DEBUG_TRACE is true, so the shell would write the token into the job log",
        ));
    }
    Ok(())
}
