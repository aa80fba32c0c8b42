//! `doctor`: every step between this job and a token, one line each, with the cure for what fails.
//!
//! It goes on after a failure wherever a later check still means something, and hands out nothing.

#[cfg(feature = "classic-grants")]
mod client;
mod delivery;
mod enclosing_run;
mod identity;
mod list;
mod network;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::cli::settings::{GrantSettings, IdentitySettings, NetworkSettings, Resolver, report_place};
use crate::cli::table::{EXCHANGE, VIEW};
use crate::cli::typed::Typed;
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::main_job::account_for_grant;
use crate::command::pipeline::Pipeline;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::Error;
use crate::grant::sts::{Contact, Sts};
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::{Identity, issuer};
use crate::json::object;
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::Streams;

use list::{Checks, Status};

/// Runs all checks. The result is the exit status: that of the first failing check, or 0.
pub fn run(
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: Streams<'_>,
    report: &mut Report,
) -> Result<u8, Error> {
    let mut resolver = Resolver::new(typed, env);
    let as_json = super::wants_json(resolver.get(&VIEW)?.value.as_deref())?;
    let does_exchange = resolver.get(&EXCHANGE)?.value;
    let settings = settings(&mut resolver);
    report.settings = resolver.into_report();
    let (identity, grant, network) = settings?;
    account_for_grant(&grant, report);
    let mut checks = Checks::default();

    let by = network.deadline;
    if !grant.grant.takes_identity() {
        checks.network(&network);
        let choice = Choice::for_grant(identity, grant.grant, env)?;
        choice.account(report);
        let platform = report.provider.map(|_| choice.platform());
        let masks_can_be_read = choice.check_masks(streams.stderr_is_lost).is_ok();
        let job = Pipeline::new(choice, session(network, env, clock, console));
        if grant.parent.is_some() {
            checks.enclosing_run(&job, &grant, masks_can_be_read, by, report);
        }
        #[cfg(feature = "classic-grants")]
        if grant.grant.asks_api() {
            checks.client(&job, &grant, does_exchange, masks_can_be_read, by, report);
        }
        job.account(report);
        checks.delivery(platform, env, streams.stderr_is_lost);
        // What a run around this one has set shadows nothing.
        if grant.parent.is_none() {
            checks.shadowing(env);
        }
        return finish(checks.explained(env), as_json, console, streams, report);
    }
    let choice = checks.platform(identity, env);
    checks.network(&network);
    if let Some(choice) = &choice {
        choice.account(report);
        checks.endpoint(choice, env);
    }
    let platform = choice.as_ref().map(Choice::platform);
    let session = session(network, env, clock, console);
    if let Some(choice) = choice {
        let masks_can_be_read = choice.check_masks(streams.stderr_is_lost).is_ok();
        let job = Pipeline::new(choice, session);
        for warning in grant.warnings.iter().chain(&job.settings().warnings) {
            job.warn(warning);
        }
        let wish = Wish {
            does_exchange,
            // Whoever wants an account of the run wants to know how the STS behaves.
            contact: report_place(typed, env).map(|_| Arc::default()),
        };
        checks.job(&job, &grant, &wish, masks_can_be_read, by, report);
        job.account(report);
    } else {
        checks.sts(&session.http, &grant.sts, by);
        checks.scope(&grant);
    }
    checks.delivery(platform, env, streams.stderr_is_lost);
    checks.shadowing(env);

    finish(checks.explained(env), as_json, console, streams, report)
}

/// Shows the list, and returns the exit status.
fn finish(
    checks: Checks,
    as_json: bool,
    console: &Console,
    streams: Streams<'_>,
    report: &mut Report,
) -> Result<u8, Error> {
    let text = if as_json { checks.json(console) } else { checks.text(console) };
    super::print(streams.stdout, &text)?;
    let exit = checks.exit();
    report.failure = checks.into_failure();
    Ok(exit)
}

/// The wish for an exchange.
struct Wish {
    /// True if there is to be one.
    does_exchange: bool,
    /// The place for facts about the answers.
    contact: Option<Arc<Contact>>,
}

type AllSettings = (IdentitySettings, GrantSettings, NetworkSettings);

fn settings(resolver: &mut Resolver<'_>) -> Result<AllSettings, Error> {
    Ok((resolver.identity()?, resolver.grant_with_any_scope()?, resolver.network()?))
}

impl Checks {
    /// Checks everything from the ID token to the exchange.
    fn job(
        &mut self,
        job: &Arc<Pipeline>,
        grant: &GrantSettings,
        wish: &Wish,
        masks_can_be_read: bool,
        by: Deadline,
        report: &mut Report,
    ) {
        let really = wish.does_exchange;
        let identity = self.id_token(job, grant, really, masks_can_be_read, by);
        let skew = identity.as_ref().and_then(|identity| identity.skew);
        let mut sound = false;
        let identity = identity.map(|mut identity| {
            sound = self.claims(job, &identity);
            sound &= self.signature(job, &mut identity, by);
            identity
        });
        if identity.is_none() {
            for name in ["issuer", "audience", "times", "run", "signature"] {
                self.add(name, Status::Skip, "there is no ID token");
            }
        }
        let session = job.session();
        let date = self.sts(&session.http, &grant.sts, by);
        self.clock(&*session.clock, skew, date.map(|date| ("the STS", date)));
        self.scope(grant);
        match (identity, grant.scope.as_deref()) {
            _ if !really => self.add("exchange", Status::Skip, "not asked for (--exchange)"),
            (None, _) => self.add("exchange", Status::Skip, "there is no ID token"),
            (_, None) => self.add("exchange", Status::Skip, "there is no scope"),
            (Some(_), _) if !sound => {
                self.add("exchange", Status::Skip, "the ID token has to hold first; it was not sent");
            }
            _ if self.failed("scope") => {
                self.add("exchange", Status::Skip, "the scope cannot be asked for; nothing was sent");
            }
            (Some(identity), Some(_)) => self.exchange(job, identity, grant, wish, by, report),
        }
    }

    /// Exchanges the ID token, and drops what comes of it.
    fn exchange(
        &mut self,
        job: &Arc<Pipeline>,
        identity: Identity,
        settings: &GrantSettings,
        wish: &Wish,
        by: Deadline,
        report: &mut Report,
    ) {
        let subject = subject_facts(&identity.claims);
        let contact = wish.contact.clone();
        let grant = job.token_exchange(settings);
        let grant = grant.map(|grant| grant.noting(contact.clone()).starting_with(identity));
        let outcome = grant.and_then(|grant| {
            let credential = job.obtain(&grant, by)?;
            if contact.is_some() {
                grant.ask_again(job.session(), by);
            }
            Ok(credential)
        });
        report.first_contact = contact.map(|contact| {
            let Sts { endpoint, api } = &settings.sts;
            let (requests, answers) = contact.found();
            object(vec![
                ("sts", endpoint.origin().into()),
                ("sts_api", api.id().into()),
                ("subject", subject),
                ("requests", requests.into()),
                ("answers", answers.into()),
            ])
        });
        match outcome.map_err(|error| job.explain_refusal(error, settings, by)) {
            Ok(credential) => {
                report.audit.token = Some(credential.account());
                let granted = credential.scope.as_deref().unwrap_or_default();
                let twice = if report.first_contact.is_some() {
                    "; for the report the ID token was sent once more"
                } else {
                    ""
                };
                let text = format!(
                    "a token for {granted} and {} s was issued, and dropped{twice}",
                    credential.expires_in
                );
                self.add("exchange", Status::Ok, text);
            }
            Err(error) => self.fail("exchange", error),
        }
    }
}

/// Facts about the subject that was sent, without the subject: the STS compares it as a whole.
fn subject_facts(claims: &UnverifiedClaims) -> Value {
    let subject = claims.subject();
    let marks: BTreeSet<char> = subject.chars().filter(|c| !c.is_ascii_alphanumeric()).take(1000).collect();
    object(vec![
        ("characters", subject.chars().count().into()),
        ("marks", marks.into_iter().take(20).collect::<String>().into()),
        ("has_upper_case", subject.chars().any(char::is_uppercase).into()),
        ("form", issuer::form(claims).map(|form| form.about).into()),
    ])
}
