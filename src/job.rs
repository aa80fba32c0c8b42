//! The pipeline that commands share: platform → ID token → checks → exchange.

use std::sync::Mutex;

use crate::claims::{self, Expected, Now};
use crate::clock::Clock;
use crate::console::Console;
use crate::credential::Credential;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::http::Client;
use crate::http::url::Url;
use crate::jwt::{self, UnverifiedClaims};
use crate::provider::{Context, Provider, TokenSource};
use crate::retry::{Deadline, Failure, Law, Retry};
use crate::secret::Secret;
use crate::sts::{Api, Exchange};

/// An ID token with less life than this is not sent any more, in seconds: it could expire on its way.
const SHORTEST_LIFE: i64 = 30;

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
    pub http: &'a Client<'a>,
    /// A random number in 0..1.
    pub random: &'a dyn Fn() -> f64,
    /// Where the identity comes from.
    pub provider: &'static dyn Provider,
    /// Where a ready ID token is.
    pub source: &'a TokenSource,
    /// The audience to ask for and to expect.
    pub audience: Option<&'a str>,
    /// Whether the runner has to be told what to hide.
    pub masks: bool,
    /// What is warned of, for the report.
    pub warnings: Mutex<Vec<String>>,
}

/// A checked ID token.
#[derive(Debug)]
pub struct Identity {
    /// The ID token.
    pub token: Secret,
    /// Its claims. Decoded, not verified.
    pub claims: UnverifiedClaims,
    /// When it expires (Unix time).
    pub expiry: i64,
    /// The platform's clock minus this machine's, in seconds.
    pub skew: Option<i64>,
}

impl Identity {
    /// How long it may still be used, in seconds.
    fn life(&self, clock: &dyn Clock) -> i64 {
        let now = Now { local: clock.unix_time(), skew: self.skew };
        self.expiry.saturating_sub(now.best())
    }
}

impl Job<'_> {
    fn law(&self) -> Law<'_> {
        Law { clock: self.clock, deadline: self.deadline, random: self.random, console: self.console }
    }

    /// Says a warning and keeps it for the report.
    pub fn warn(&self, warning: String) {
        self.console.warn(&warning);
        self.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(warning);
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

    /// Fetches the ID token and checks it.
    pub fn identity(&self) -> Result<Identity, Error> {
        let context = Context {
            env: self.env,
            http: self.http,
            law: &self.law(),
            clock: self.clock,
            deadline: self.deadline,
            console: self.console,
            audience: self.audience,
            source: self.source,
        };
        let fetched = self.provider.fetch(&context)?;
        // Only what has a token's alphabet can be masked; anything else is refused here and goes nowhere.
        self.console.guard(&fetched.token);
        let claims = jwt::decode(fetched.token.reveal())?;
        self.hide(&fetched.token)?;
        let expected = Expected {
            audience: self.audience.map(ToOwned::to_owned),
            issuer: self.provider.expected_issuer(self.env)?,
            run: self.provider.run_bindings(self.env)?,
        };
        let now = Now { local: self.clock.unix_time(), skew: fetched.skew };
        let checked = claims::check(&claims, &expected, now).map_err(|error| self.explain_expiry(error));
        // Claims belong into the account of a refusal as well.
        let checked = checked.map_err(|error| error.claims(claims.clone()));
        for warning in checked? {
            self.warn(warning);
        }
        let expiry = claims::expiry(&claims)?;
        Ok(Identity { token: fetched.token, claims, expiry, skew: fetched.skew })
    }

    fn explain_expiry(&self, error: Error) -> Error {
        match self.provider.advice_on_expiry() {
            Some(advice) if matches!(error.code(), Code::ClaimExpired | Code::IdTokenExpiring) => {
                error.hint(advice)
            }
            _ => error,
        }
    }

    /// Exchanges the identity for an access token, with a fresh ID token where the first one has grown too old or may
    /// have been used in an attempt whose answer was lost.
    pub fn exchange(
        &self,
        identity: &mut Identity,
        request: &ExchangeRequest<'_>,
    ) -> Result<Credential, Error> {
        let mut answer_lost = false;
        let mut warnings = Vec::new();
        let credential = self.law().run("exchanging the token", |_| {
            if self.provider.mints_on_request() && (answer_lost || identity.life(self.clock) <= SHORTEST_LIFE) {
                *identity = self.identity()?;
                answer_lost = false;
            }
            let life = identity.life(self.clock);
            if life <= SHORTEST_LIFE {
                let error = Error::new(Code::IdTokenExpiring, format!("the ID token expires in {life} s, too soon to exchange it"));
                return Err(Failure::permanent(self.explain_expiry(error)));
            }
            let exchange = Exchange {
                endpoint: request.endpoint,
                api: request.api,
                scope: request.scope,
                min_ttl: request.min_ttl,
                subject_token: &identity.token,
                claims: &identity.claims,
            };
            warnings.clear();
            exchange.run(self.http, self.clock, &mut warnings).map_err(|mut failure| {
                if answer_lost && failure.retry == Retry::Never && !self.provider.mints_on_request() {
                    failure.error = failure.error.detail(
                        "but",
                        "the answer to an earlier attempt was lost; if Equinix takes each ID token only once, that attempt used it up",
                    );
                }
                answer_lost |= failure.lost_answer;
                failure
            })
        })?;
        for warning in warnings {
            self.warn(warning);
        }
        Ok(credential)
    }
}

/// What to ask the STS for.
#[derive(Debug)]
pub struct ExchangeRequest<'a> {
    /// The STS's base URL.
    pub endpoint: &'a Url,
    /// Its API version.
    pub api: Api,
    /// The scope.
    pub scope: &'a str,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
}
