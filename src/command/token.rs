//! `token`, the main job, and `id-token`, which is the main job without the exchange.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use crate::cli::members;
use crate::cli::row::Expose;
use crate::cli::settings::{
    GrantSettings, IdentitySettings, NetworkSettings, OnUnavailable, OutputSettings, Resolver,
};
use crate::cli::table::DRY_RUN;
use crate::cli::typed::Typed;
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::input::{self, ReadError};
use crate::output::format::{self, Format, Options};
use crate::output::request::{self, Caller, Request};
use crate::output::sink::{Policy, Sinks};
use crate::platform;
use crate::random;
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::{StdoutKind, Streams};

use super::dry_run;
use super::main_job::{
    account_for, account_for_grant, announce, check_is_free, format as format_for, refresh_token_file,
    skipped,
};
use super::shadowing_variable;

/// Runs the main job. What happens on the way is noted in `report`.
pub fn run(
    kind: Kind,
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: Streams<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let started = clock.now();
    let is_dry = typed.has(&DRY_RUN.row);
    report.is_dry = is_dry;
    let mut resolver = Resolver::new(typed, env);
    let settings = settings(kind, &mut resolver, env, started, &streams);
    report.settings = resolver.into_report();
    let mut settings = settings?;
    let shadowing = match kind {
        Kind::AccessToken => shadowing_variable(env)?,
        Kind::IdToken => None,
    };
    let handover = Handover {
        kind,
        is_dry,
        output: std::mem::take(&mut settings.output),
        api_version: settings.api_version,
        shadowing,
        stdout_kind: streams.stdout_kind,
        env,
        clock,
        console,
    };
    let choice = settings.on_unavailable;
    let masks_are_lost = streams.stderr_is_lost;
    match handover.with_token(settings, started, masks_are_lost, streams.stdout, report) {
        Ok(()) => Ok(()),
        Err(error) => {
            let reason = skipped(error, choice, console, report)?;
            if is_dry {
                return Ok(());
            }
            handover.without_token(reason, streams.stdout, report)
        }
    }
}

struct Settings {
    identity: IdentitySettings,
    grant: Option<GrantSettings>,
    output: OutputSettings,
    on_unavailable: OnUnavailable,
    network: NetworkSettings,
    api_version: Option<&'static str>,
}

fn settings(
    kind: Kind,
    resolver: &mut Resolver<'_>,
    env: &Env,
    started: Instant,
    streams: &Streams<'_>,
) -> Result<Settings, Error> {
    let output = resolver.output(kind)?;
    let on_unavailable = resolver.on_unavailable()?;
    if let Some(name) = output.format.as_deref().filter(|name| *name != "auto") {
        let format = format::by_name(name)?;
        if on_unavailable == OnUnavailable::Skip
            && format.render_unavailable("", &Options::default()).is_none()
        {
            let message = format!("the format {name} cannot say that there is no token");
            return Err(Error::new(Code::CfgValueInvalid, message)
                .with_cure("Leave out --on-unavailable skip, or choose another --format."));
        }
        if let Some(caller) = format.caller() {
            let deadline = Deadline::after(started, resolver.timeout()?);
            let reads_stdin = resolver.subject_token_file().is_some_and(|path| path == OsStr::new("-"))
                || (kind == Kind::AccessToken && resolver.reads_secret_from_stdin());
            resolver.with_request(ask(caller, env, deadline, reads_stdin, streams)?);
        }
    }
    let grant = match kind {
        Kind::IdToken => None,
        Kind::AccessToken => {
            let grant = resolver.grant()?;
            grant.check_scope()?;
            Some(grant)
        }
    };
    let identity = resolver.identity()?;
    if kind == Kind::AccessToken {
        check_is_free(&output.env_name, &identity)?;
    }
    Ok(Settings {
        identity,
        grant,
        output,
        on_unavailable,
        network: resolver.network()?,
        api_version: resolver.api_version(),
    })
}

/// Reads what the program that runs this one asks for.
fn ask(
    caller: Caller,
    env: &Env,
    deadline: Deadline,
    reads_stdin: bool,
    streams: &Streams<'_>,
) -> Result<Request, Error> {
    if caller == Caller::Kubernetes {
        return request::kubernetes_exec_info(
            env.text(names::KUBERNETES_EXEC_INFO)?.as_deref(),
            &members(Expose::Cluster),
        );
    }
    if reads_stdin {
        let message = "the query and a secret cannot both come from standard input";
        return Err(Error::new(Code::CfgValueInvalid, message).with_cure(
            "Give the ID token, or the secret, in a file or a variable, or choose another --format.",
        ));
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
    request::terraform_query(&bytes, &members(Expose::Query))
}

/// The way in which the token is handed over.
struct Handover<'a> {
    kind: Kind,
    /// True if nothing is to be sent to Equinix.
    is_dry: bool,
    output: OutputSettings,
    api_version: Option<&'static str>,
    shadowing: Option<String>,
    stdout_kind: StdoutKind,
    env: &'a Arc<Env>,
    clock: &'a Arc<dyn Clock>,
    console: &'a Arc<Console>,
}

impl Handover<'_> {
    fn with_token(
        &self,
        settings: Settings,
        started: Instant,
        masks_are_lost: bool,
        stdout: &mut dyn Write,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Settings { identity, grant, network, .. } = settings;
        let choice = match &grant {
            Some(grant) => Choice::for_grant(identity, grant.grant, self.env)?,
            None => Choice::new(identity, self.env)?,
        };
        choice.account(report);
        if let Some(grant) = &grant {
            account_for_grant(grant, report);
        }
        let format = format_for(self.output.format.as_deref(), Some(choice.platform()), self.env)?;
        report.format = Some(format.id());
        choice.ready()?;

        // Everything that could stop the delivery is found out before a token exists.
        let choice = self.with_reader(format, choice)?;
        choice.check_masks(masks_are_lost)?;
        self.check_trace(format)?;
        let sinks = Sinks::open(format, self.output.export_env, &self.policy())?;
        let keeper = grant.as_ref().map(|grant| refresh_token_file(grant, &self.policy())).transpose()?;

        let by = Deadline::after(started, network.timeout);
        let job = Pipeline::new(choice, session(network, self.env, self.clock, self.console));
        self.warn(&job, format);
        if self.stdout_kind == StdoutKind::Discarded
            && let Some(what) = sinks.told()
        {
            job.warn(&format!(
                "standard output is closed or leads to the null device, so nobody gets {what}"
            ));
        }
        let place = sinks.whereabouts(self.kind, &self.output.env_name);
        if let Some(grant) = grant.as_ref().filter(|_| self.is_dry) {
            let then = format!("hand over the access token in the format {}, {place}", format.id());
            return dry_run::run(&job, grant, by, &then, report);
        }
        job.keeper().keep_in(keeper.flatten());
        let outcome = match &grant {
            Some(grant) => job.access_token(grant, by),
            None => job.id_token(by),
        };
        job.account(report);
        let credential = outcome?;
        account_for(&credential, report);
        let delimiter = delimiter(&credential)?;
        let options = self.options(&delimiter);
        let mut places = sinks.to_json(self.kind, &self.output.env_name);
        let mut written = 0;
        let outcome = sinks.commit(|place| format.render(&credential, &options, place), stdout, &mut written);
        places.truncate(written);
        report.audit.delivered_to = places;
        outcome?;
        announce(&credential, &place, self.console);
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

    /// Takes into account who reads standard error. A program that shows it when this run fails would show masks, which are
    /// secrets, and the runner would never obey them.
    fn with_reader(&self, format: &dyn Format, choice: Choice) -> Result<Choice, Error> {
        let Some(keeper) = format.keeps_stderr().filter(|_| choice.masks().need_stderr()) else {
            return Ok(choice);
        };
        if self.output.force {
            return Ok(choice.without_mask_lines());
        }
        let message = format!("{}, so the runner cannot be told to hide the token", keeper.habit);
        let cure = format!(
            "{} instead, or consent to a token that the log does not hide with --force.",
            keeper.instead
        );
        Err(Error::new(Code::MaskUndeliverable, message).with_cure(cure))
    }

    /// Makes sure that no shell traces its commands: it would write each assignment into the job log.
    fn check_trace(&self, format: &dyn Format) -> Result<(), Error> {
        let is_substituted = format.is_substituted() && self.output.output.is_none();
        let Some((trace, value)) =
            platform::trace(self.env).filter(|_| format.is_sourced() || is_substituted)
        else {
            return Ok(());
        };
        if self.output.force {
            return Ok(());
        }
        let message = format!(
            "{} is {}, so the shell would write the token into the job log",
            trace.variable,
            value.trim_matches('"')
        );
        Err(Error::new(Code::OutTraced, message).with_cure(trace.cure))
    }

    /// Warns of what may surprise later.
    fn warn(&self, job: &Pipeline, format: &dyn Format) {
        let id = format.id();
        // Which place it is only the format knows.
        if self.output.export_env && format.places(true) == format.places(false) {
            job.warn(&format!(
                "--export-env is for the format github; {id} sets no variable for later steps"
            ));
        }
        if let Some(warning) = format.unreadable(self.env, self.kind).filter(|_| !self.output.export_env) {
            job.warn(&warning);
        }
        if format.caller() == Some(Caller::Terraform) {
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

/// Warns that the token would be ignored.
pub(super) fn warn_of_shadowing(job: &Pipeline, name: &str, env_name: &str) {
    job.warn(&format!(
        "{} and {name} are both set: where they still are, the Equinix Terraform provider exchanges by itself and ignores the token in {env_name}",
        names::SCOPE
    ));
}

/// A delimiter that stands in none of the values. With 128 random bits the first one always does.
fn delimiter(credential: &Credential) -> Result<String, Error> {
    let texts = [&credential.scope, &credential.issuer, &credential.subject];
    loop {
        let delimiter = random::delimiter()?;
        let mut values = texts.into_iter().flatten().map(String::as_str).chain([credential.token.reveal()]);
        if !values.any(|value| value.contains(&delimiter)) {
            return Ok(delimiter);
        }
    }
}
