//! The grant of the classic API for a client with an id and a secret (`POST /oauth2/v1/token`).
//!
//! `grant_type` is always sent: where it is missing, the API takes the request for one with a user's password.

use std::sync::Arc;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::http::Member;
use crate::session::Session;

use super::api::{self, Account, Request};
use super::planned::Planned;
use super::settings::GrantSettings;
use super::{Facts, Grant, Refused, Renewable};

/// The facts about the grant.
pub(super) const FACTS: Facts = Facts {
    name: "client-credentials",
    needs: "a client id and secret of the classic API",
    flags: &["--api-endpoint", "--client-secret-file"],
    make: |settings, _| Ok(Arc::new(ClientCredentials::of(settings))),
};

/// The grant `client-credentials`: a client's id and secret for an access token of the classic API.
pub(super) struct ClientCredentials {
    account: Arc<Account>,
    min_ttl: u64,
    refused: Refused,
}

impl ClientCredentials {
    /// Creates the grant of its settings.
    pub(super) fn of(settings: &GrantSettings) -> Self {
        let account = Arc::clone(&settings.account);
        Self { account, min_ttl: settings.min_ttl, refused: Refused::default() }
    }

    /// Accepts a token however soon it expires.
    pub(super) fn with_any_life(self) -> Self {
        Self { min_ttl: 0, ..self }
    }

    fn request(&self) -> Result<Request<'_>, Error> {
        let client = self.account.required_client()?;
        Ok(Request {
            endpoint: &self.account.endpoint,
            path: api::TOKEN,
            members: vec![
                ("grant_type", Member::Text("client_credentials")),
                ("client_id", Member::Text(client.id.reveal())),
                ("client_secret", Member::Text(client.secret.reveal())),
            ],
            secrets: vec![("the client secret", &client.secret)],
            is_retired: false,
            rotates: false,
            min_ttl: self.min_ttl,
        })
    }
}

impl Grant for ClientCredentials {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        self.account.required_client().map(drop)
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        api::open_ahead(&session.http, &self.account.endpoint, by);
    }

    fn rehearse(&self, _: &Session, _: Deadline) -> Result<Vec<Planned>, Error> {
        self.request()?.planned()
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        self.request()?.send(session, &self.refused, by)
    }

    fn renewable_until(&self) -> Renewable {
        Renewable::Always
    }
}
