//! A source of tokens from the grant that the settings name.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::command::renewal::{patience, refresh_token_policy, reopen_refresh_token_file};
use crate::command::{inspect, main_job};
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::Error;
use crate::grant::Renewable;
use crate::handle;
use crate::renew::source::{Observer, TokenSource};
use crate::report::console::Console;

use super::command_line::Given;

/// A grant with its settings, and the source of its tokens.
pub struct Federation {
    job: Arc<Pipeline>,
    source: Arc<TokenSource>,
    timeout: Duration,
    rotates: bool,
    takes_identity: bool,
}

/// Passes everything on, and has what has ended forgotten.
struct Forgetting {
    job: Arc<Pipeline>,
    next: Arc<dyn Observer>,
}

impl Observer for Forgetting {
    fn renewed(&self, scope: &Arc<str>, credential: &Arc<Credential>) {
        self.next.renewed(scope, credential);
        self.job.forget_ended();
    }

    fn recovered(&self, scope: &Arc<str>, credential: &Credential) {
        self.next.recovered(scope, credential);
    }

    fn failed(&self, scope: &Arc<str>, error: &Error, before: Option<&Error>) {
        self.next.failed(scope, error, before);
    }

    fn tick(&self) {
        self.next.tick();
        self.job.forget_ended();
    }
}

impl Federation {
    /// Makes the grant of its settings. Nobody is asked for anything yet. `stderr_is_lost` says that no runner reads what is
    /// written there, so that masks are left out.
    pub fn new(
        given: Given,
        env: &Arc<Env>,
        clock: &Arc<dyn Clock>,
        console: &Arc<Console>,
        stderr_is_lost: bool,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let Given { identity, grant: settings, network } = given;
        let choice = Choice::for_grant(identity, settings.grant, env)?;
        let choice = if stderr_is_lost { choice.without_mask_lines() } else { choice };
        choice.check_masks(stderr_is_lost)?;
        choice.ready()?;
        let timeout = network.timeout;
        let job = Pipeline::new(choice, session(network, env, clock, console));
        let takes_identity = settings.grant.takes_identity();
        let of_identity = Some(&job.settings().warnings).filter(|_| takes_identity);
        for warning in settings.warnings.iter().chain(of_identity.into_iter().flatten()) {
            job.warn(warning);
        }
        for finding in settings.findings.clone() {
            job.finding(finding)?;
        }
        let rotates = settings.grant.rotates();
        if rotates {
            let policy = refresh_token_policy(env, false);
            job.keeper().keep_in(main_job::refresh_token_file(&settings, &policy)?);
            reopen_refresh_token_file(&job, &settings, false);
        }
        let grant = job.grant(&settings, Deadline::within(timeout))?;
        if let Renewable::Until(end) = grant.renewable_until() {
            let end = crate::clock::rfc3339(end);
            job.warn(&format!("this job has one ID token: no access token can be obtained after {end}"));
        }
        job.go_on();
        let scope = settings.scope.clone().unwrap_or_else(|| handle::WITHOUT_SCOPE.to_owned());
        let obtaining = Arc::clone(&job);
        let obtain = move |failures| {
            obtaining.token(&*grant, &settings, Deadline::within(patience(timeout, failures)))
        };
        let observer = Arc::new(Forgetting { job: Arc::clone(&job), next: observer });
        let source = TokenSource::new(&scope, false, Arc::clone(clock), Box::new(obtain), observer);
        Ok(Self { job, source, timeout, rotates, takes_identity })
    }

    /// The source of tokens.
    pub fn source(&self) -> &Arc<TokenSource> {
        &self.source
    }

    /// Ends it: nothing is obtained any more. Where each token brings the secret for the next one, a token that is being
    /// obtained is waited for.
    pub fn end(&self) {
        self.source.end(if self.rotates { self.timeout } else { Duration::ZERO });
    }

    /// Tells what `inspect --format json` tells: who this job is, and what an administrator has to enter to trust it. `None` where
    /// the grant needs no identity. Blocks.
    pub fn inspect(&self) -> Option<Result<Value, Error>> {
        self.takes_identity
            .then(|| inspect::facts(&self.job, self.source.scope(), Deadline::within(self.timeout)))
    }
}
