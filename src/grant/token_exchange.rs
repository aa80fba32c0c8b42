//! The token exchange at Equinix's Security Token Service (RFC 8693; `POST /use/token` or `POST /v1/token`).
//!
//! The request is four form fields and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error, Exit};
use crate::identity::Identity;
use crate::report::claims_status;
use crate::retry::{Attempt, Retry};
use crate::session::Session;

use super::planned::Planned;
use super::settings::GrantSettings;
use super::sts::{Contact, Proof, Request, Sts, check_issuer};
use super::{Facts, Grant, Refused, Renewable, Uses};

/// The longest that is waited for the answer to a second exchange of the same ID token.
const SECOND_EXCHANGE: Duration = Duration::from_secs(10);

/// The facts about the grant.
pub const FACTS: Facts = Facts {
    name: "token-exchange",
    needs: "an ID token, which is exchanged (RFC 8693)",
    flags: &[
        "--scope",
        #[cfg(feature = "renew")]
        "--renew-scope",
        "--sts-endpoint",
        "--sts-api",
        "--audience",
        "--provider",
        "--subject-token-env",
        "--subject-token-file",
        "--expect",
        "--verify-signature",
    ],
    make: |settings, tokens| {
        TokenExchange::of(settings, tokens).map(|grant| Arc::new(grant) as Arc<dyn Grant>)
    },
};

/// The settings of an exchange.
#[derive(Debug, Clone)]
pub struct Config {
    /// The STS.
    pub sts: Sts,
    /// The variable that named an STS on this machine without TLS: it gets tokens of issuers on this machine, and no others.
    pub local_issuers_only: Option<&'static str>,
    /// The scope to ask for.
    pub scope: String,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
}

/// The source of the ID tokens that are exchanged.
pub trait SubjectTokens: Send + Sync {
    /// Makes sure that there is a way to an ID token: everything that can be said without asking anybody.
    fn ready(&self) -> Result<(), Error>;

    /// Fetches an ID token and checks it.
    fn fetch(&self, by: Deadline) -> Result<Identity, Error>;

    /// Tells whether another request gives a fresh one.
    fn renews(&self) -> bool;

    /// Refuses one that could expire before somebody exchanges it.
    fn check_life(&self, identity: &Identity) -> Result<(), Error>;

    /// Returns the ID tokens that have been exchanged, by this grant or by another one of the same job.
    fn exchanged(&self) -> &Uses;
}

/// The grant `token-exchange`: an ID token for an access token.
pub struct TokenExchange {
    config: Config,
    tokens: Arc<dyn SubjectTokens>,
    state: Mutex<State>,
    refused: Refused,
    /// The place for facts about the answers, for somebody who wants to know how the STS behaves.
    contact: Option<Arc<Contact>>,
}

/// The memory between two exchanges.
#[derive(Default)]
struct State {
    /// An ID token that is yet to be used, or the only one that there is.
    identity: Option<Identity>,
    /// The moment when the last one that was used expires (Unix time).
    expiry: Option<i64>,
    /// True if an exchange of this grant has succeeded.
    has_exchanged: bool,
}

impl TokenExchange {
    /// Creates the grant of its settings.
    pub fn of(settings: &GrantSettings, tokens: Arc<dyn SubjectTokens>) -> Result<Self, Error> {
        let config = Config {
            sts: settings.sts.clone(),
            local_issuers_only: settings.local_issuers_only,
            scope: settings.required_scope()?.to_owned(),
            min_ttl: settings.min_ttl,
        };
        Ok(Self::new(config, tokens))
    }

    /// Creates the grant. Nothing is fetched yet.
    pub fn new(config: Config, tokens: Arc<dyn SubjectTokens>) -> Self {
        Self { config, tokens, state: Mutex::default(), refused: Refused::default(), contact: None }
    }

    /// Begins with an ID token that has been fetched already.
    #[must_use]
    pub fn starting_with(self, identity: Identity) -> Self {
        self.state().identity = Some(identity);
        self
    }

    /// Notes facts about each answer, and keeps an ID token that was taken, for [`Self::ask_again`].
    #[must_use]
    pub fn noting(self, contact: Option<Arc<Contact>>) -> Self {
        Self { contact, ..self }
    }

    /// Returns the request for an ID token.
    fn request<'a>(&'a self, identity: &'a Identity, is_second: bool) -> Request<'a> {
        Request {
            sts: &self.config.sts,
            scope: &self.config.scope,
            min_ttl: self.config.min_ttl,
            proof: Proof::IdToken { token: &identity.token, claims: &identity.claims },
            contact: self.contact.as_deref().map(|contact| (contact, is_second)),
        }
    }

    /// Makes sure that an ID token may go where it is to go, and lives long enough.
    fn check(&self, identity: &Identity) -> Result<(), Error> {
        check_issuer(&self.config.sts.endpoint, self.config.local_issuers_only, &identity.claims)?;
        self.tokens.check_life(identity)
    }

    /// Asks once more with the ID token that was taken, to see whether it is taken twice. Only what is noted of the answer
    /// matters: a token that comes is dropped, and a failure is none.
    pub fn ask_again(&self, session: &Session, by: Deadline) {
        let state = self.state();
        let Some(identity) = state.identity.as_ref().filter(|_| state.has_exchanged) else { return };
        let attempt = Attempt::only(by.at_most(SECOND_EXCHANGE));
        let request = self.request(identity, true);
        if let Ok(credential) = request.send(&session.http, &*session.clock, &session.console, attempt) {
            session.console.guard(&credential.token);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what a refusal may mean for an ID token that was exchanged before. Nothing documents whether the STS takes one
    /// twice; the vendor's own Terraform provider relies on it. One that was taken twice shows that it does.
    fn explain_second_use(&self, error: Error, identity: &Identity) -> Error {
        if error.oauth_error() != Some("invalid_grant") || self.tokens.exchanged().count(&identity.token) != 1
        {
            return error;
        }
        if self.state().has_exchanged {
            return second_use(&error);
        }
        error.with_detail(
            "note",
            "this ID token has been exchanged for another scope before; if the STS takes each one only once, that is why",
        )
    }

    /// Exchanges an ID token, with a fresh one where the first has grown too old or may have been used in an attempt whose
    /// answer was lost.
    fn exchange(
        &self,
        session: &Session,
        identity: &mut Identity,
        by: Deadline,
    ) -> Result<Credential, Error> {
        let mut answer_lost = false;
        let renews = self.tokens.renews();
        session.retry("exchanging the token", by, |attempt| {
            if renews && (answer_lost || identity.is_short(&*session.clock)) {
                let fresh = self.tokens.fetch(by)?;
                // A file may still hold the same.
                answer_lost &= fresh.token.reveal() == identity.token.reveal();
                *identity = fresh;
            }
            self.check(identity)?;
            self.refused.check(&identity.token, "the ID token")?;
            let request = self.request(identity, false);
            request.send(&session.http, &*session.clock, &session.console, attempt).map_err(|mut failure| {
                if failure.error.code().exit() == Exit::Refused {
                    failure.error = self.explain_second_use(failure.error, identity);
                    // A run that goes on for hours asks again, seldom: what was refused can be mended at Equinix meanwhile,
                    // and no account is locked by an ID token.
                    if !session.is_in_background() {
                        self.refused.remember(&identity.token, failure.error.code());
                    }
                }
                if answer_lost && failure.retry == Retry::Never {
                    failure.error = failure.error.with_detail(
                        "but",
                        "the answer to an earlier attempt was lost; if Equinix takes each ID token only once, that attempt used it up",
                    );
                }
                answer_lost |= failure.lost_answer;
                failure
            })
        })
    }
}

/// The error of an ID token that the STS has taken once.
fn second_use(error: &Error) -> Error {
    let mut own = Error::new(
        Code::StsIdTokenUsed,
        "the STS has exchanged this ID token before, and refuses it now: \"invalid_grant\"",
    )
    .with_oauth_error("invalid_grant");
    if let Some(status) = error.http_status() {
        own = own.with_http_status(status);
    }
    for (label, value) in error.details() {
        own = own.with_detail(label, value.clone());
    }
    own
}

impl Grant for TokenExchange {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        self.tokens.ready()
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        self.config.sts.open_ahead(&session.http, by);
    }

    fn rehearse(&self, session: &Session, by: Deadline) -> Result<Vec<Planned>, Error> {
        let identity = self.tokens.fetch(by)?;
        self.check(&identity)?;
        let claims = &identity.claims;
        let status = claims_status(identity.verified);
        let life = identity.life(&*session.clock);
        let planned = self
            .request(&identity, false)
            .planned()?
            .with("issuer", format!("{} ({status})", claims.issuer()))
            .with("subject", claims.subject())
            .with("audience", claims.audience().unwrap_or_default().join(", "));
        Ok(vec![match life {
            Some(life) => planned.with("expires", format!("in {life} s")),
            None => planned,
        }])
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        let waiting = self.state().identity.take();
        let mut identity = match waiting {
            Some(identity) => identity,
            None => self.tokens.fetch(by)?,
        };
        let outcome = self.exchange(session, &mut identity, by);
        let mut state = self.state();
        if outcome.is_ok() {
            self.tokens.exchanged().add(&identity.token);
            state.has_exchanged = true;
        }
        state.expiry = identity.expiry;
        // Each further credential is made of a fresh ID token where there is one.
        state.identity = (!self.tokens.renews() || self.contact.is_some()).then_some(identity);
        outcome
    }

    fn renewable_until(&self) -> Renewable {
        if self.tokens.renews() {
            return Renewable::Always;
        }
        let state = self.state();
        let expiry = state.identity.as_ref().and_then(|identity| identity.expiry).or(state.expiry);
        expiry.map_or(Renewable::Unknown, Renewable::Until)
    }
}
