//! The pipeline that commands share: platform → ID token → checks → exchange.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::claims::{self, Concern, Expected, Now, Validation};
use crate::clock::Clock;
use crate::config::{ExchangeSettings, IdentitySettings};
use crate::console::Console;
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::http::Client;
use crate::jwt::{self, UnverifiedClaims};
use crate::provider::{Context, Provider};
use crate::random;
use crate::retry::{Failure, Retries, Retry};
use crate::secret::Secret;
use crate::signature;
use crate::sts::Exchange;

/// An ID token with less life than this is not sent any more, in seconds: it could expire on its way.
const SHORTEST_LIFE: i64 = 30;

/// The longest time for a check of the signature that was not asked for.
const OPTIONAL_LIMIT: Duration = Duration::from_secs(5);

/// A job on its way from an identity to an access token.
pub struct Job<'a> {
    /// The environment.
    pub env: &'a Env,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The end of the run.
    pub deadline: Deadline,
    /// For warnings, retries and masks.
    pub console: &'a Console,
    /// For requests.
    pub http: &'a Client,
    /// A random number in 0..1.
    random: &'a dyn Fn() -> f64,
    /// Where the identity comes from.
    pub provider: &'static dyn Provider,
    /// Who the job should be.
    pub settings: &'a IdentitySettings,
    /// Whether the runner is told what to hide.
    masks: bool,
    /// What is warned of, for the report.
    warnings: Mutex<Vec<String>>,
}

/// A checked ID token.
#[derive(Debug)]
pub struct Identity {
    /// The ID token.
    pub token: Secret,
    /// Its claims: decoded, and verified only if `verified` says so.
    pub claims: UnverifiedClaims,
    /// Whether the signature was checked with the issuer's keys.
    pub verified: bool,
    /// When it expires (Unix time); unknown only without validation.
    pub expiry: Option<i64>,
    /// The platform's clock minus this machine's, in seconds.
    pub skew: Option<i64>,
}

impl Identity {
    /// How long it may still be used, in seconds, if that is known.
    fn life(&self, clock: &dyn Clock) -> Option<i64> {
        let now = Now { local: clock.unix_time(), skew: self.skew };
        Some(self.expiry?.saturating_sub(now.best()))
    }
}

/// Whether the runner around this process reads `::add-mask::` and other workflow commands from its output. GitHub's does,
/// and so do those that imitate it (Forgejo, Gitea, act), wherever the identity comes from. GitLab's has no such thing.
pub fn masks(env: &Env) -> bool {
    env.is(names::GITHUB_ACTIONS, "true")
}

impl<'a> Job<'a> {
    /// A job that has done nothing yet.
    pub fn new(
        env: &'a Env,
        clock: &'a dyn Clock,
        deadline: Deadline,
        console: &'a Console,
        http: &'a Client,
        provider: &'static dyn Provider,
        settings: &'a IdentitySettings,
    ) -> Self {
        Self {
            env,
            clock,
            deadline,
            console,
            http,
            random: &random::fraction,
            provider,
            settings,
            masks: masks(env),
            warnings: Mutex::new(Vec::new()),
        }
    }

    /// The same job, but for the masks: for a reader of standard error that would show them instead of obeying them.
    #[must_use]
    pub fn without_masks(self) -> Self {
        Self { masks: false, ..self }
    }

    /// What has been warned of so far.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn retries(&self) -> Retries<'_> {
        Retries { clock: self.clock, deadline: self.deadline, random: self.random, console: self.console }
    }

    /// Says a warning and keeps it for the report.
    pub fn warn(&self, warning: &str) {
        self.console.warn(warning);
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning.to_owned());
    }

    /// Warns of something odd, or with strict validation takes it as an error.
    pub fn concern(&self, concern: Concern) -> Result<(), Error> {
        let text = concern.judge(self.settings.validation).map_err(|error| {
            let hint = format!("{} --validation basic only warns of this.", error.cure());
            error.with_cure(hint)
        })?;
        self.warn(&text);
        Ok(())
    }

    /// Hides a secret from now on: in every line of ours, and in the runner's log.
    pub fn hide(&self, secret: &Secret) -> Result<(), Error> {
        self.console.guard(secret);
        if !self.masks {
            return Ok(());
        }
        self.console.mask(secret).map_err(|_| {
            Error::new(Code::MaskUndeliverable, "the mask could not be written to standard error")
        })
    }

    /// [`Job::hide`] for an access token. One that is a JWT has its signature hidden as well: other tools break tokens at
    /// their dots, and a mask of the whole does not hide a part. Short pieces are never masked: they would hide innocent
    /// text.
    pub fn hide_access_token(&self, token: &Secret) -> Result<(), Error> {
        self.hide(token)?;
        let parts: Vec<&str> = token.reveal().split('.').collect();
        match parts.as_slice() {
            [_, _, signature] if signature.len() >= 20 => self.hide(&Secret::new(*signature)),
            _ => Ok(()),
        }
    }

    /// Begins to connect to the issuer whose keys will be asked for, if it is known already and the ID token is still to
    /// be waited for. A ready token says at once whom to ask.
    pub fn connect_to_issuer(&self) {
        if !self.provider.mints_on_request() {
            return;
        }
        let expected = self.provider.expected_issuer(self.env).ok().flatten();
        if let Some(issuer) = claims::likely_issuer(expected.as_ref(), &self.settings.expectations) {
            signature::open_ahead(self.http, issuer, self.deadline);
        }
    }

    /// Fetches the ID token and reads it, without holding it against anything.
    pub fn fetch(&self) -> Result<Identity, Error> {
        let context = Context {
            env: self.env,
            http: self.http,
            retries: &self.retries(),
            clock: self.clock,
            deadline: self.deadline,
            console: self.console,
            concern: &|concern| self.concern(concern),
            audience: self.settings.audience.as_deref(),
            source: &self.settings.source,
        };
        let fetched = self.provider.fetch(&context)?;
        // Only what has a token's alphabet can be masked; anything else is refused here and goes nowhere.
        self.console.guard(&fetched.token);
        let claims = match (jwt::decode(fetched.token.reveal()), self.settings.validation) {
            (Err(_), Validation::Off) if jwt::is_harmless(fetched.token.reveal()) => {
                UnverifiedClaims::default()
            }
            (claims, _) => claims?,
        };
        self.hide(&fetched.token)?;
        let expiry = match (claims::expiry(&claims), self.settings.validation) {
            (Err(_), Validation::Off) => None,
            (expiry, _) => Some(expiry.map_err(|error| error.claims(claims.clone()))?),
        };
        Ok(Identity { token: fetched.token, claims, verified: false, expiry, skew: fetched.skew })
    }

    /// What an ID token of this job is held against.
    pub fn expected(&self) -> Result<Expected, Error> {
        Ok(Expected {
            audience: self.settings.audience.clone(),
            issuer: self.provider.expected_issuer(self.env)?,
            run: self.provider.run_bindings(self.env)?,
            expectations: self.settings.expectations.clone(),
            validation: self.settings.validation,
        })
    }

    /// Holds an ID token against what is expected. The result is what is odd about it.
    fn check(&self, identity: &Identity, expected: &Expected) -> Result<Vec<Concern>, Error> {
        let now = Now { local: self.clock.unix_time(), skew: identity.skew };
        // The claims belong into the account of a refusal as well.
        claims::check(&identity.claims, expected, now)
            .map_err(|error| self.explain_expiry(error).claims(identity.claims.clone()))
    }

    /// Fetches the ID token and checks it.
    pub fn identity(&self) -> Result<Identity, Error> {
        // What the environment says is read first, so that no token is fetched for nothing.
        let expected = self.expected()?;
        if self.settings.verify_signature {
            self.connect_to_issuer();
        }
        let mut identity = self.fetch()?;
        for concern in self.check(&identity, &expected)? {
            self.concern(concern).map_err(|error| error.claims(identity.claims.clone()))?;
        }
        if self.settings.verify_signature {
            self.verify(&mut identity).map_err(|error| error.claims(identity.claims.clone()))?;
        }
        Ok(identity)
    }

    /// Verifies the signature with the keys of the issuer that the token has to come from.
    pub fn verify(&self, identity: &mut Identity) -> Result<(), Error> {
        let expected = self.provider.expected_issuer(self.env)?;
        if !claims::is_issuer_known(&identity.claims, expected.as_ref(), &self.settings.expectations) {
            return Err(Error::new(
                Code::CfgIssuerMissing,
                "it is not known whose keys the signature should be verified with",
            ));
        }
        // Nobody asked for it, so an issuer that cannot be reached must not use up the time of what comes after.
        let is_asked_for = self.settings.verify_signature;
        let deadline = if is_asked_for { self.deadline } else { self.deadline.at_most(OPTIONAL_LIMIT) };
        let ignored = signature::key_headers(&identity.claims);
        if !ignored.is_empty() {
            self.warn(&format!(
                "the ID token's header names keys of its own ({}), which were ignored",
                ignored.join(", ")
            ));
        }
        if !self.provider.mints_on_request() {
            signature::open_ahead(self.http, identity.claims.issuer(), deadline);
        }
        let keys = signature::fetch_keys(
            self.http,
            &Retries { deadline, ..self.retries() },
            identity.claims.issuer(),
        )?;
        signature::verify(identity.token.reveal(), &identity.claims, &keys)?;
        identity.verified = true;
        Ok(())
    }

    /// Adds what the platform knows about the life of its tokens.
    pub fn explain_expiry(&self, error: Error) -> Error {
        match self.provider.advice_on_expiry() {
            Some(advice) if matches!(error.code(), Code::ClaimExpired | Code::IdTokenExpiring) => {
                error.with_cure(advice)
            }
            _ => error,
        }
    }

    fn is_short(&self, identity: &Identity) -> bool {
        identity.life(self.clock).is_some_and(|life| life <= SHORTEST_LIFE)
    }

    /// Refuses an ID token that could expire before somebody exchanges it. Without validation the STS decides: this
    /// machine's clock may be what is wrong.
    fn check_life(&self, identity: &Identity) -> Result<(), Error> {
        if self.settings.validation == Validation::Off || !self.is_short(identity) {
            return Ok(());
        }
        let life = identity.life(self.clock).unwrap_or_default();
        let message = format!("the ID token expires in {life} s, too soon to exchange it");
        Err(self.explain_expiry(Error::new(Code::IdTokenExpiring, message)))
    }

    /// The ID token itself as what is handed over. Every form carries its expiry, so that has to be known even without
    /// validation.
    pub fn id_token(&self, identity: Identity) -> Result<Credential, Error> {
        self.check_life(&identity)?;
        let expires_at = claims::expiry(&identity.claims)?;
        let life = Now { local: self.clock.unix_time(), skew: identity.skew };
        Ok(Credential {
            kind: Kind::IdToken,
            expires_in: u64::try_from(expires_at.saturating_sub(life.best())).unwrap_or(0),
            expires_at,
            scope: None,
            issuer: identity.claims.issuer().to_owned(),
            subject: identity.claims.subject().to_owned(),
            token: identity.token,
        })
    }

    /// Exchanges the identity for an access token, with a fresh ID token where the first one has grown too old or may
    /// have been used in an attempt whose answer was lost.
    pub fn exchange(
        &self,
        identity: &mut Identity,
        scope: &str,
        settings: &ExchangeSettings,
    ) -> Result<Credential, Error> {
        let mut answer_lost = false;
        let mut concerns = Vec::new();
        let renewable = self.provider.mints_on_request();
        let credential = self.retries().run("exchanging the token", |attempt| {
            if renewable && (answer_lost || self.is_short(identity)) {
                *identity = self.identity()?;
                answer_lost = false;
            }
            self.check_life(identity)?;
            let exchange = Exchange {
                endpoint: &settings.sts_endpoint,
                api: settings.sts_api,
                scope,
                min_ttl: settings.min_ttl,
                subject_token: &identity.token,
                claims: &identity.claims,
            };
            concerns.clear();
            exchange.run(self.http, self.clock, attempt, &mut concerns).map_err(|mut failure: Failure| {
                if answer_lost && failure.retry == Retry::Never && !renewable {
                    failure.error = failure.error.with_detail(
                        "but",
                        "the answer to an earlier attempt was lost; if Equinix takes each ID token only once, that attempt used it up",
                    );
                }
                answer_lost |= failure.lost_answer;
                failure
            })
        })?;
        for concern in concerns {
            self.concern(concern)?;
        }
        Ok(credential)
    }
}
