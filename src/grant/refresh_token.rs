//! The grant of the classic API for a refresh token (`POST /oauth2/v1/refreshaccesstoken`). There is no `grant_type`.

use std::sync::{Arc, Mutex, PoisonError};

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::http::Member;
use crate::secret::Secret;
use crate::session::Session;

use super::api::{self, Account, Client, Request};
use super::planned::Planned;
use super::settings::GrantSettings;
use super::{Facts, Grant, Refused, Renewable};

/// The facts about the grant.
pub(super) const FACTS: Facts = Facts {
    name: "refresh-token",
    needs: "a client id and secret, and a refresh token of the same client",
    flags: &["--api-endpoint", "--client-secret-file", "--refresh-token-file", "--refresh-token-output"],
    make: |settings, _| Ok(Arc::new(RefreshToken::of(settings))),
};

/// The grant `refresh-token`.
struct RefreshToken {
    account: Arc<Account>,
    min_ttl: u64,
    refused: Refused,
    /// The refresh token of the last answer, which has taken the place of the one in the settings.
    newer: Mutex<Option<Secret>>,
}

impl RefreshToken {
    fn of(settings: &GrantSettings) -> Self {
        let account = Arc::clone(&settings.account);
        Self { account, min_ttl: settings.min_ttl, refused: Refused::default(), newer: Mutex::default() }
    }

    fn configured(&self) -> Result<&Secret, Error> {
        self.account.refresh_token.as_ref().ok_or_else(|| {
            Error::new(Code::ClientCredentialsMissing, "there is no refresh token").with_cure(
                "Name the file that holds it with --refresh-token-file PATH (- is standard input).",
            )
        })
    }

    fn request<'a>(&'a self, client: &'a Client, refresh_token: &'a Secret) -> Request<'a> {
        Request {
            endpoint: &self.account.endpoint,
            path: api::REFRESH,
            members: vec![
                ("client_id", Member::Text(client.id.reveal())),
                ("client_secret", Member::Text(client.secret.reveal())),
                ("refresh_token", Member::Text(refresh_token.reveal())),
            ],
            secrets: vec![("the client secret", &client.secret), ("the refresh token", refresh_token)],
            is_retired: false,
            rotates: true,
            min_ttl: self.min_ttl,
        }
    }
}

impl Grant for RefreshToken {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        self.account.required_client()?;
        self.configured().map(drop)
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        api::open_ahead(&session.http, &self.account.endpoint, by);
    }

    fn rehearse(&self, _: &Session, _: Deadline) -> Result<Vec<Planned>, Error> {
        self.request(self.account.required_client()?, self.configured()?).planned()
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        let client = self.account.required_client()?;
        let mut newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        let refresh_token = match newer.as_ref() {
            Some(newer) => newer,
            None => self.configured()?,
        };
        let credential = self.request(client, refresh_token).send(session, &self.refused, by)?;
        if let Some(rotated) = &credential.rotated {
            *newer = Some(Secret::new(rotated.reveal()));
        }
        Ok(credential)
    }

    fn renewable_until(&self) -> Renewable {
        Renewable::Always
    }
}
