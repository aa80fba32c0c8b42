//! `token`: the main job.

use std::io::Write;
use std::sync::Mutex;

use crate::Rest;
use crate::cli::TokenArgs;
use crate::clock::Clock;
use crate::config::{Config, Resolver};
use crate::console::Console;
use crate::credential::Credential;
use crate::emit::sink::{self, Policy, Sinks};
use crate::emit::{self, Format, Options};
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::http::Client;
use crate::http::proxy::ProxySettings;
use crate::job::{ExchangeRequest, Job};
use crate::provider::{self, Provider};
use crate::random;
use crate::report::Report;
use crate::retry::Deadline;
use crate::secret::Secret;

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
    let timeout = resolver.timeout(args.network.timeout.as_deref());
    let config = timeout.and_then(|timeout| Ok((timeout, resolver.token(args)?)));
    report.settings = resolver.into_report();
    let (timeout, config) = config?;
    let deadline = Deadline::after(clock, timeout);

    let provider = provider::select(config.provider.as_deref(), &config.token_source, env)?;
    check_source(&config, provider)?;
    let format = format(config.format.as_deref(), Some(provider), env)?;
    let proxies = if config.no_proxy { ProxySettings::default() } else { ProxySettings::from_env(env)? };
    if let Some(proxy) = proxies.proxy() {
        if let Some(password) = &proxy.password {
            console.guard(password);
        }
        console.detail(&format!("proxy {} ({})", proxy.shown, proxy.variable));
    }
    if !config.extra_roots.is_empty() {
        console.detail(&format!(
            "trusting {} certificates besides the built-in roots",
            config.extra_roots.len()
        ));
    }

    // Everything that could stop the delivery is found out before a token exists.
    let masks = provider::detected(env).iter().any(|provider| provider.reads_workflow_commands());
    if masks && streams.stderr_is_lost {
        return Err(Error::new(
            Code::MaskUndeliverable,
            "standard error of this step does not reach the runner",
        ));
    }
    check_trace(format, env, config.force)?;
    let sinks = Sinks::open(
        format,
        config.export_env,
        &Policy {
            env,
            output: config.output.as_deref(),
            allow_workspace: config.allow_workspace,
            force: config.force,
            stdout_is_terminal: streams.stdout_is_terminal,
        },
    )?;

    let http = Client::new(clock, deadline, proxies, config.extra_roots.clone());
    let job = Job {
        env,
        clock,
        deadline,
        console,
        http: &http,
        random: &random::fraction,
        provider,
        source: &config.token_source,
        audience: config.audience.as_deref(),
        masks,
        warnings: Mutex::new(Vec::new()),
    };
    let outcome = exchange(&job, &config, report);
    report.warnings = job.warnings.into_inner().unwrap_or_default();
    let credential = outcome?;
    deliver(&credential, &config, env, sinks, console, streams.stdout)?;
    console.note(&format!(
        "access token for {} is valid until {} ({} s)",
        credential.scope,
        credential.expires_at_text(),
        credential.expires_in
    ));
    Ok(())
}

/// From the identity to the masked access token.
fn exchange(job: &Job<'_>, config: &Config, report: &mut Report) -> Result<Credential, Error> {
    for warning in &config.warnings {
        job.warn(warning.clone());
    }
    job.console.detail(&format!("identity from {} ({})", job.provider.name(), job.provider.id()));
    let mut identity = job.identity()?;
    report.claims = Some(identity.claims.clone());
    job.console.detail(&format!(
        "issuer {}, subject {} (decoded, not verified)",
        identity.claims.issuer(),
        identity.claims.subject()
    ));
    let request = ExchangeRequest {
        endpoint: &config.sts_endpoint,
        api: config.sts_api,
        scope: &config.scope,
        min_ttl: config.min_ttl,
    };
    let credential = job.exchange(&mut identity, &request)?;
    report.claims = Some(identity.claims);
    job.hide(&credential.access_token)?;
    if let Some(signature) = jwt_signature(&credential.access_token).filter(|_| job.masks) {
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
    config: &Config,
    env: &Env,
    sinks: Sinks,
    console: &Console,
    stdout: &mut dyn Write,
) -> Result<(), Error> {
    let format = sinks.format();
    let shadowing = shadowing_variable(env)?;
    if let Some(name) = shadowing.as_ref().filter(|_| !format.is_sourced()) {
        console.warn(&format!(
            "{} and {name} are both set: where they still are, the Equinix Terraform provider exchanges by itself and ignores the token in {}",
            names::SCOPE,
            config.env_name
        ));
    }
    let options = Options {
        env_name: &config.env_name,
        export_env: config.export_env,
        shadowing: shadowing.as_deref(),
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

/// The variable that makes the Equinix Terraform provider exchange by itself, if it is set beside a scope.
fn shadowing_variable(env: &Env) -> Result<Option<String>, Error> {
    let name = env.text(names::SUBJECT_TOKEN_ENV_VAR)?.unwrap_or_else(|| names::SUBJECT_TOKEN.to_owned());
    let is_set = env.has(names::SCOPE) && crate::config::is_variable_name(&name) && env.has(&name);
    Ok(is_set.then_some(name))
}

/// The format that was asked for, else the one that suits the platform on which this process runs, whatever the
/// identity's source.
fn format(
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
pub fn leave_failure(args: &TokenArgs, env: &Env, error: &Error) {
    let asked = args.output.format.clone().or_else(|| env.text(names::FORMAT).ok().flatten());
    if let Ok(format) = format(asked.as_deref(), None, env) {
        sink::leave_failure(format, error.code(), env);
    }
}

/// Settings that contradict the provider.
fn check_source(config: &Config, provider: &'static dyn Provider) -> Result<(), Error> {
    if provider.mints_on_request() && config.audience.is_none() {
        let message =
            format!("{} has to be told whom the ID token is for, and no audience is set", provider.name());
        return Err(Error::new(Code::CfgAudienceMissing, message));
    }
    let file_is_unused = config.token_source.file.is_some() && provider.id() != "file";
    if file_is_unused {
        let message =
            format!("--subject-token-file is set, but the provider {} does not read it", provider.id());
        return Err(
            Error::new(Code::CfgValueInvalid, message).hint("Leave out --provider or --subject-token-file.")
        );
    }
    if provider.id() == "file" && config.token_source.file.is_none() {
        return Err(Error::new(Code::CfgValueInvalid, "the provider file needs --subject-token-file"));
    }
    Ok(())
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
