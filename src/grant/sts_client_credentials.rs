//! The grant of the STS for a client (`grant_type=client_credentials`): the classic access token says who asks, and the STS
//! issues one for a scope.
//!
//! The STS's OpenAPI document names a bearer scheme for its callers; the classic access token is what Equinix's clients send
//! there.

use std::sync::Arc;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::retry::Retry;
use crate::secret::Secret;
use crate::session::Session;

use super::api::{self, Account};
use super::client_credentials::ClientCredentials;
use super::planned::Planned;
use super::settings::GrantSettings;
use super::sts::{Api, Proof, Request, Sts};
use super::{Facts, Grant, Refused, Renewable};

/// The facts about the grant.
pub(super) const FACTS: Facts = Facts {
    name: "sts-client-credentials",
    needs: "a classic access token in EQUINIX_API_TOKEN, or a client id and secret to get one with",
    flags: &["--scope", "--sts-endpoint", "--sts-api", "--api-endpoint", "--client-secret-file"],
    make: |settings, _| StsClientCredentials::of(settings).map(|grant| Arc::new(grant) as Arc<dyn Grant>),
};

/// The grant `sts-client-credentials`: a classic access token for one of the STS.
struct StsClientCredentials {
    sts: Sts,
    scope: String,
    min_ttl: u64,
    account: Arc<Account>,
    /// The way to the caller's token, where it is not there already.
    classic: ClientCredentials,
    refused: Refused,
}

impl StsClientCredentials {
    fn of(settings: &GrantSettings) -> Result<Self, Error> {
        if settings.sts.api == Api::V1 {
            let message = "the STS's API v1 has no grant for client credentials";
            return Err(Error::new(Code::CfgGrantMismatch, message)
                .with_cure("Use --sts-api alpha, or --grant token-exchange."));
        }
        Ok(Self {
            sts: settings.sts.clone(),
            scope: settings.required_scope()?.to_owned(),
            min_ttl: settings.min_ttl,
            account: Arc::clone(&settings.account),
            // Its life does not matter: it is used once, at once.
            classic: ClientCredentials::of(settings).with_any_life(),
            refused: Refused::default(),
        })
    }

    fn request<'a>(&'a self, caller: &'a Secret) -> Request<'a> {
        Request {
            sts: &self.sts,
            scope: &self.scope,
            min_ttl: self.min_ttl,
            proof: Proof::Caller(caller),
            contact: None,
        }
    }

    fn ask(&self, session: &Session, caller: &Secret, by: Deadline) -> Result<Credential, Error> {
        self.refused.check(caller, "the caller's token")?;
        session.retry("asking the STS for the token", by, |attempt| {
            let request = self.request(caller);
            request.send(&session.http, &*session.clock, &session.console, attempt).inspect_err(|failure| {
                if failure.retry == Retry::Never {
                    self.refused.remember(caller, Code::StsDenied);
                }
            })
        })
    }
}

impl Grant for StsClientCredentials {
    fn ready(&self, session: &Session) -> Result<(), Error> {
        if self.account.caller.is_some() { Ok(()) } else { self.classic.ready(session) }
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        if self.account.caller.is_none() {
            api::open_ahead(&session.http, &self.account.endpoint, by);
        }
        self.sts.open_ahead(&session.http, by);
    }

    fn rehearse(&self, session: &Session, by: Deadline) -> Result<Vec<Planned>, Error> {
        if let Some(caller) = &self.account.caller {
            return Ok(vec![self.request(caller).planned()?]);
        }
        let mut planned = self.classic.rehearse(session, by)?;
        // The token that the first request gives is not there yet.
        planned.push(self.request(&Secret::new("")).planned()?);
        Ok(planned)
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        // A token that was given is the one that counts: another client's might do more than is wanted.
        if let Some(caller) = &self.account.caller {
            return self.ask(session, caller, by);
        }
        let caller = self.classic.obtain(session, by)?;
        session.console.guard(&caller.token);
        self.ask(session, &caller.token, by)
    }

    fn renewable_until(&self) -> Renewable {
        if self.account.caller.is_some() { Renewable::Unknown } else { Renewable::Always }
    }
}
