//! `exec`: the main job, and then another program with the token in its environment and nowhere else.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::child;
#[cfg(feature = "renew")]
use crate::cli::renewal_settings::RenewalSettings;
use crate::cli::settings::{GrantSettings, IdentitySettings, NetworkSettings, OnUnavailable, Resolver};
use crate::cli::table::{ALLOW_WORKSPACE, DRY_RUN, KEEP_OIDC_ENV, KEEP_SECRETS};
use crate::cli::typed::Typed;
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::credential::Credential;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::grant::token_exchange::SubjectTokens as _;
use crate::json::object;
use crate::output::format::{Destination, Options};
use crate::output::sink::{self, Policy};
use crate::platform;
use crate::random;
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::Streams;
use crate::text::quote;

use super::dry_run;
use super::main_job::{
    account_for, account_for_grant, announce, check_is_free, format, refresh_token_file, skipped,
};
#[cfg(feature = "renew")]
use super::renewal::{Opened, Renewal, Renewed};
use super::shadowing_variable;
use super::token::warn_of_shadowing;

/// A command that can be started.
pub struct Prepared {
    /// The command.
    pub command: Command,
    /// The source of fresh tokens for as long as it runs, if this process stays beside it.
    #[cfg(feature = "renew")]
    pub renewal: Option<Renewal>,
}

/// Gets the token and prepares the command, which is to run when the report of this run has been written. `None` when it
/// is not to run at all: this job can have no token, and goes on without one.
pub fn run(
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: &Streams<'_>,
    report: &mut Report,
) -> Result<Option<Prepared>, Error> {
    report.is_exec = true;
    let is_dry = typed.has(&DRY_RUN.row);
    report.is_dry = is_dry;
    let mut resolver = Resolver::new(typed, env);
    let settings = settings(&mut resolver);
    report.settings = resolver.into_report();
    let settings = settings?;
    let choice = settings.on_unavailable;
    match prepare(settings, env, clock, console, streams, report) {
        Ok(prepared) => Ok(prepared),
        Err(error) => {
            let reason = skipped(error, choice, console, report)?;
            if !is_dry {
                leave_reason(reason, env)?;
            }
            Ok(None)
        }
    }
}

struct Settings {
    identity: IdentitySettings,
    grant: GrantSettings,
    env_name: String,
    on_unavailable: OnUnavailable,
    network: NetworkSettings,
    /// The command to run, with its arguments.
    command: Vec<OsString>,
    /// True if it gets the variables with which it could get ID tokens itself.
    keep_oidc_env: bool,
    /// True if it gets the variables that hold the client's id and secret.
    keep_secrets: bool,
    /// The settings of a run that stays beside it.
    #[cfg(feature = "renew")]
    renewal: Option<RenewalSettings>,
    /// True if a refresh token may be kept inside the checkout.
    allow_workspace: bool,
    /// True if nothing is to be sent to Equinix.
    is_dry: bool,
}

fn settings(resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    let grant = resolver.grant()?;
    grant.check_scope()?;
    let identity = resolver.identity()?;
    let env_name = resolver.child_env_name()?;
    check_is_free(&env_name, &identity)?;
    Ok(Settings {
        identity,
        grant,
        env_name,
        on_unavailable: resolver.on_unavailable()?,
        network: resolver.network()?,
        command: resolver.operands().to_vec(),
        keep_oidc_env: resolver.get(&KEEP_OIDC_ENV)?.value,
        keep_secrets: resolver.get(&KEEP_SECRETS)?.value,
        #[cfg(feature = "renew")]
        renewal: resolver.renewal()?,
        allow_workspace: resolver.get(&ALLOW_WORKSPACE)?.value,
        is_dry: resolver.get(&DRY_RUN)?.value,
    })
}

fn prepare(
    settings: Settings,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: &Streams<'_>,
    report: &mut Report,
) -> Result<Option<Prepared>, Error> {
    let Settings { identity, grant, env_name, network, command, keep_oidc_env, keep_secrets, .. } = settings;
    let choice = Choice::for_grant(identity, grant.grant, env)?;
    choice.account(report);
    account_for_grant(&grant, report);
    choice.ready()?;

    // What could stop the command is found out before a token exists.
    let (program, arguments) = split(&command)?;
    let found = child::find(program, env.os(names::PATH).as_deref())?;
    choice.check_masks(streams.stderr_is_lost)?;
    let policy = Policy {
        env,
        output: None,
        allow_workspace: settings.allow_workspace,
        accept_artifact_exposure: false,
        force: false,
        stdout: streams.stdout_kind,
    };
    let keeper = refresh_token_file(&grant, &policy)?;
    #[cfg(feature = "renew")]
    let further_scopes = settings.renewal.as_ref().map(|given| given.further_scopes.clone());
    #[cfg(not(feature = "renew"))]
    let further_scopes: Option<Vec<String>> = None;
    // A dry run has nothing to listen for, and no file to keep.
    #[cfg(feature = "renew")]
    let renewal = settings
        .renewal
        .filter(|_| !settings.is_dry)
        .map(|given| Ok::<_, Error>((given, Opened::new(&policy, console)?)))
        .transpose()?;

    let by = network.deadline;
    let job = Pipeline::new(choice, session(network, env, clock, console));
    if keep_oidc_env && let Some(name) = shadowing_variable(env)? {
        warn_of_shadowing(&job, &name, &env_name);
    }
    if settings.is_dry {
        let then = then(&job, &grant, &found, &env_name, further_scopes.as_deref());
        return dry_run::run(&job, &grant, by, &then, report).map(|()| None);
    }
    job.keeper().keep_in(keeper);
    let outcome = job.first_access_token(&grant, by);
    if let Ok((_, credential)) = &outcome
        && further_scopes.is_none()
    {
        warn_of_short_life(&job, credential);
    }
    job.account(report);
    let (obtained_by, credential) = outcome?;
    let credential = Arc::new(credential);
    account_for(&credential, report);
    announce(&credential, &format!("in {env_name} of the command"), console);

    let mut command = Command::new(program);
    command.args(arguments);
    take_away(&mut command, &job, &grant, env, Kept { oidc_env: keep_oidc_env, secrets: keep_secrets });
    let expiry_name = Options { env_name: &env_name, ..Options::default() }.expiry_name();
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    report.audit.delivered_to = vec![object(vec![
        ("to", "environment".into()),
        ("name", env_name.clone().into()),
        ("command", name.into()),
    ])];
    command.env(&env_name, credential.token.reveal()).env(expiry_name, credential.expires_at_text());
    #[cfg(feature = "renew")]
    let renewal = renewal
        .map(|(given, opened)| {
            let renewed = Renewed {
                job: &job,
                grant: obtained_by,
                settings: &grant,
                further_scopes: given.further_scopes,
                timeout: given.timeout,
            };
            renewed.reopen_refresh_token_file(settings.allow_workspace);
            Renewal::start(opened, renewed, &credential, &mut command, report)
        })
        .transpose()?;
    #[cfg(not(feature = "renew"))]
    drop(obtained_by);
    Ok(Some(Prepared {
        command,
        #[cfg(feature = "renew")]
        renewal,
    }))
}

/// The variables that a command keeps although it could get tokens with them.
#[derive(Clone, Copy)]
struct Kept {
    /// True for those with which it gets ID tokens.
    oidc_env: bool,
    /// True for those that hold the client's id and secret.
    secrets: bool,
}

/// Takes what the command is not to have out of its environment, and leaves the marker of this run there.
fn take_away(command: &mut Command, job: &Pipeline, grant: &GrantSettings, env: &Env, kept: Kept) {
    if kept.oidc_env {
        // What a run around this one says of the environment stays true.
        if !env.has(names::EXEC) {
            command.env(names::EXEC, names::EXEC_KEEPS);
        }
    } else {
        for name in platform::copies_of_identity(&job.settings().source, env) {
            command.env_remove(name);
        }
        for name in platform::identity_variables(&job.settings().source) {
            command.env_remove(name);
        }
        // Where the Equinix Terraform provider looks for an ID token, whatever a flag says to this program: beside a scope
        // it would exchange that one, and ignore ours.
        if let Some(name) = env.os(names::SUBJECT_TOKEN_ENV_VAR) {
            command.env_remove(name);
        }
        command.env_remove(names::SUBJECT_TOKEN_ENV_VAR);
        command.env_remove(names::SUBJECT_TOKEN_FILE);
        // No secret. An inner run says by it why there is no ID token.
        command.env(names::EXEC, "1");
        // What is handed on by a run around this one is no identity, and lets the command renew.
        if let Some(parent) = &grant.parent {
            command
                .env(names::STS_ENDPOINT, parent.endpoint.origin())
                .env(names::SUBJECT_TOKEN, parent.handle.reveal())
                .envs(grant.scope.as_ref().map(|scope| (names::SCOPE, scope)))
                .env(names::EXEC, names::EXEC_RENEWS);
        }
    }
    if !kept.secrets {
        for name in names::CLIENT_SECRETS {
            command.env_remove(name);
        }
    }
}

/// Returns what would follow in a dry run. `further_scopes` are those of a run that stays beside its command.
fn then(
    job: &Pipeline,
    grant: &GrantSettings,
    program: &Path,
    env_name: &str,
    further_scopes: Option<&[String]>,
) -> String {
    let mut then = format!("run {} with the access token in {env_name}", quote(&program.to_string_lossy()));
    if let Some(further_scopes) = further_scopes {
        let scopes: Vec<&str> = grant.scope.iter().chain(further_scopes).map(String::as_str).collect();
        let is_bounded = grant.grant.takes_identity() && !job.renews();
        let until = if is_bounded { " until the ID token expires" } else { "" };
        let of = if scopes.is_empty() { String::new() } else { format!(" for {}", scopes.join(" and ")) };
        then.push_str(&format!(", stay beside it and renew the token{of}{until}"));
    }
    then
}

fn split(command: &[OsString]) -> Result<(&OsString, &[OsString]), Error> {
    command.split_first().ok_or_else(|| Error::new(Code::CfgUsage, "there is no command behind --"))
}

/// Warns of a token with a short life: nothing renews it while the command runs.
fn warn_of_short_life(job: &Pipeline, credential: &Credential) {
    let (env, now) = (&job.session().env, job.session().clock.unix_time());
    let here = platform::detected(env);
    let left = here.iter().find_map(|platform| Some((platform.facts().name, platform.time_left(env, now)?)));
    if let Some((platform, left)) = left.filter(|(_, left)| *left > credential.expires_in) {
        job.warn(&format!(
            "the access token lives {} s, but {platform} lets this job run for another {left} s: what the command does after {} fails, since nothing renews the token; exec --renew does",
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
        Some((Destination::RunnerFile(variable), bytes)) if env.has(variable) => {
            sink::append(variable, env, bytes.reveal())
        }
        _ => Ok(()),
    }
}
