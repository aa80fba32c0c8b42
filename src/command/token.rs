//! `token`, the main job, and `id-token`, which is the main job without the exchange.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::time::Instant;

use crate::Rest;
use crate::cli::{
    ExchangeArgs, IdTokenArgs, IdentityArgs, NetworkArgs, OutputArgs, TokenArgs, UnavailableArgs,
};
use crate::clock::Clock;
use crate::config::{
    ExchangeSettings, IdentitySettings, NetworkSettings, OnUnavailable, OutputSettings, Resolver,
};
use crate::console::Console;
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::emit::sink::{Policy, Sinks};
use crate::emit::{self, Format, Options};
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::input::{self, ReadError};
use crate::job::{Job, masks};
use crate::provider;
use crate::random;
use crate::report::Report;
use crate::request::{self, Asker, Request};

use super::main_job::{
    access_token, account_for, announce, check_is_free, format as format_for, identity, required_scope,
    skipped,
};
use super::{check_masks, check_source, client, shadowing_variable};

/// The arguments of either command.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    identity: &'a IdentityArgs,
    /// Only an access token is exchanged for.
    exchange: Option<&'a ExchangeArgs>,
    output: &'a OutputArgs,
    unavailable: &'a UnavailableArgs,
    network: &'a NetworkArgs,
}

impl<'a> From<&'a TokenArgs> for Args<'a> {
    fn from(args: &'a TokenArgs) -> Self {
        Self {
            identity: &args.identity,
            exchange: Some(&args.exchange),
            output: &args.output,
            unavailable: &args.unavailable,
            network: &args.network,
        }
    }
}

impl<'a> From<&'a IdTokenArgs> for Args<'a> {
    fn from(args: &'a IdTokenArgs) -> Self {
        Self {
            identity: &args.identity,
            exchange: None,
            output: &args.output,
            unavailable: &args.unavailable,
            network: &args.network,
        }
    }
}

impl Args<'_> {
    fn kind(&self) -> Kind {
        if self.exchange.is_some() { Kind::AccessToken } else { Kind::IdToken }
    }
}

/// Runs the main job. What happens on the way is noted in `report`.
pub fn run(
    args: Args<'_>,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: Rest<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let started = clock.now();
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver, env, started, &streams);
    report.settings = resolver.into_report();
    let mut settings = settings?;
    let shadowing = match args.kind() {
        Kind::AccessToken => shadowing_variable(env)?,
        Kind::IdToken => None,
    };
    let handover = Handover {
        kind: args.kind(),
        output: std::mem::take(&mut settings.output),
        api_version: settings.api_version,
        shadowing,
        stdout_kind: streams.stdout_kind,
        env,
        console,
    };
    let choice = settings.on_unavailable;
    let masks_are_lost = streams.stderr_is_lost;
    match handover.with_token(settings, clock, started, masks_are_lost, streams.stdout, report) {
        Ok(()) => Ok(()),
        Err(error) => {
            let reason = skipped(error, choice, console, report)?;
            handover.without_token(reason, streams.stdout, report)
        }
    }
}

struct Settings {
    identity: IdentitySettings,
    exchange: Option<(ExchangeSettings, String)>,
    output: OutputSettings,
    on_unavailable: OnUnavailable,
    network: NetworkSettings,
    api_version: Option<&'static str>,
}

fn settings(
    args: Args<'_>,
    resolver: &mut Resolver<'_>,
    env: &Env,
    started: Instant,
    streams: &Rest<'_>,
) -> Result<Settings, Error> {
    let output = resolver.output(args.output, args.kind())?;
    let on_unavailable = resolver.on_unavailable(args.unavailable.on_unavailable.as_deref())?;
    if let Some(name) = output.format.as_deref().filter(|name| *name != "auto") {
        let format = emit::by_name(name)?;
        if on_unavailable == OnUnavailable::Skip
            && format.render_unavailable("", &Options::default()).is_none()
        {
            let message = format!("the format {name} cannot say that there is no token");
            return Err(Error::new(Code::CfgValueInvalid, message)
                .with_cure("Leave out --on-unavailable skip, or choose another --format."));
        }
        if let Some(asker) = format.asker() {
            let deadline = Deadline::after(started, resolver.timeout(args.network)?);
            let reads_stdin =
                resolver.subject_token_file(args.identity).is_some_and(|path| path == OsStr::new("-"));
            resolver.with_request(ask(asker, env, deadline, reads_stdin, streams)?);
        }
    }
    let exchange = match args.exchange {
        None => None,
        Some(args) => {
            let exchange = resolver.exchange(args)?;
            let scope = required_scope(&exchange)?;
            Some((exchange, scope))
        }
    };
    let identity = resolver.identity(args.identity)?;
    if args.kind() == Kind::AccessToken {
        check_is_free(&output.env_name, &identity)?;
    }
    Ok(Settings {
        identity,
        exchange,
        output,
        on_unavailable,
        network: resolver.network(args.network)?,
        api_version: resolver.api_version(),
    })
}

/// Reads what the program that runs this one asks for.
fn ask(
    asker: Asker,
    env: &Env,
    deadline: Deadline,
    reads_stdin: bool,
    streams: &Rest<'_>,
) -> Result<Request, Error> {
    if asker == Asker::Kubernetes {
        return request::kubernetes_exec_info(env.text(names::KUBERNETES_EXEC_INFO)?.as_deref());
    }
    if reads_stdin {
        let message = "the query and the ID token cannot both come from standard input";
        return Err(Error::new(Code::CfgValueInvalid, message)
            .with_cure("Give the ID token in a file or a variable, or choose another --format."));
    }
    let invalid = |why: &str| Error::new(Code::CfgRequestInvalid, why);
    if streams.stdin_is_terminal {
        return Err(invalid("the query has to come on standard input, and that is a terminal"));
    }
    let read = input::read(request::QUERY_LIMIT, deadline, || Ok(io::stdin()));
    let bytes = read.map_err(|error| match error {
        ReadError::TimedOut => invalid("the query did not end before the time for this run was used up"),
        ReadError::TooLarge => request::too_long(),
        other => invalid(&format!("the query cannot be read: {}", other.message())),
    })?;
    request::terraform_query(&bytes)
}

/// How the token is handed over.
struct Handover<'a> {
    kind: Kind,
    output: OutputSettings,
    api_version: Option<&'static str>,
    shadowing: Option<String>,
    stdout_kind: crate::StdoutKind,
    env: &'a Env,
    console: &'a Console,
}

impl Handover<'_> {
    fn with_token(
        &self,
        settings: Settings,
        clock: &dyn Clock,
        started: Instant,
        masks_are_lost: bool,
        stdout: &mut dyn Write,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Settings { identity: wanted, exchange, network, .. } = settings;
        let provider = provider::select(wanted.provider.as_deref(), &wanted.source, self.env)?;
        report.provider = Some(provider.id());
        let format = format_for(self.output.format.as_deref(), Some(provider), self.env)?;
        report.format = Some(format.id());
        check_source(&wanted, provider)?;
        provider.ready(self.env, &wanted.source, wanted.audience.as_deref())?;

        // Everything that could stop the delivery is found out before a token exists.
        let is_captured = self.is_captured(format)?;
        if !is_captured {
            check_masks(self.env, masks_are_lost)?;
        }
        check_trace(format, self.env, self.output.force)?;
        let sinks = Sinks::open(format, self.output.export_env, &self.policy())?;

        let deadline = Deadline::after(started, network.timeout);
        let http = client(network, self.console);
        let job = Job::new(self.env, clock, deadline, self.console, &http, provider, &wanted);
        let job = if is_captured { job.without_masks() } else { job };
        self.warn(&job, format);
        let outcome = match &exchange {
            Some((exchange, scope)) => access_token(&job, scope, exchange, report),
            None => identity(&job, report).and_then(|identity| job.id_token(identity)),
        };
        report.warnings = job.warnings();
        let credential = outcome?;
        account_for(&credential, report);
        let delimiter = delimiter(&credential)?;
        let options = self.options(&delimiter);
        sinks.commit(|place| format.render(&credential, &options, place), stdout)?;
        announce(&credential, self.console);
        Ok(())
    }

    /// Leaves what the next step needs to go on without a token.
    fn without_token(
        &self,
        reason: &'static str,
        stdout: &mut dyn Write,
        report: &mut Report,
    ) -> Result<(), Error> {
        let format = format_for(self.output.format.as_deref(), None, self.env)?;
        report.format = Some(format.id());
        let delimiter = random::delimiter()?;
        let Some((place, bytes)) = format.render_unavailable(reason, &self.options(&delimiter)) else {
            return Ok(());
        };
        // Nothing of it is secret.
        let policy = Policy { force: true, ..self.policy() };
        Sinks::open(format, false, &policy)?.commit_one(place, &bytes, stdout)
    }

    fn policy(&self) -> Policy<'_> {
        Policy {
            env: self.env,
            output: self.output.output.as_deref(),
            allow_workspace: self.output.allow_workspace,
            accept_artifact_exposure: self.output.accept_artifact_exposure,
            force: self.output.force,
            stdout: self.stdout_kind,
        }
    }

    fn options<'o>(&'o self, delimiter: &'o str) -> Options<'o> {
        Options {
            env_name: &self.output.env_name,
            shadowing: self.shadowing.as_deref(),
            delimiter,
            api_version: self.api_version,
        }
    }

    /// Whether standard error is read by a program that shows it when this run fails. Masks are secrets there, and the
    /// runner never obeys them.
    fn is_captured(&self, format: &dyn Format) -> Result<bool, Error> {
        if format.asker() != Some(Asker::Terraform) || !masks(self.env) {
            return Ok(false);
        }
        if self.output.force {
            return Ok(true);
        }
        let message = "Terraform keeps standard error of its programs to itself, so the runner cannot be told to hide the token";
        Err(Error::new(Code::MaskUndeliverable, message).with_cure(
            "Run `equinix-wif exec -- terraform apply` in the step instead, or consent to a token that the log does not hide with --force.",
        ))
    }

    /// What may surprise later.
    fn warn(&self, job: &Job<'_>, format: &dyn Format) {
        let id = format.id();
        if self.output.export_env && id != "github" {
            job.warn(&format!(
                "--export-env is for the format github; {id} sets no variable for later steps"
            ));
        }
        if format.asker() == Some(Asker::Terraform) {
            job.warn(&format!(
                "Terraform keeps the answer of a data source in its state, in clear text: whoever can read the state can use the {} until it expires; `equinix-wif exec -- terraform apply` leaves none there",
                self.kind.name()
            ));
        }
        if let Some(name) = self.shadowing.as_deref().filter(|_| !format.is_sourced()) {
            warn_of_shadowing(job, name, &self.output.env_name);
        }
    }
}

/// The token that is made would be ignored.
pub(super) fn warn_of_shadowing(job: &Job<'_>, name: &str, env_name: &str) {
    job.warn(&format!(
        "{} and {name} are both set: where they still are, the Equinix Terraform provider exchanges by itself and ignores the token in {env_name}",
        names::SCOPE
    ));
}

/// A delimiter that stands in none of the values. With 128 random bits the first one always does.
fn delimiter(credential: &Credential) -> Result<String, Error> {
    let scope = credential.scope.as_deref().unwrap_or_default();
    let values = [credential.token.reveal(), scope, &credential.issuer, &credential.subject];
    loop {
        let delimiter = random::delimiter()?;
        if !values.iter().any(|value| value.contains(&delimiter)) {
            return Ok(delimiter);
        }
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
