//! The grant of the classic API for a user's name and password (`POST /oauth2/v1/token`). Equinix has retired it on
//! 2025-01-07; it is here for whoever still has to use it, with consent.

use std::sync::Arc;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::http::Member;
use crate::secret::Secret;
use crate::session::Session;

use super::api::{self, Account, Request};
use super::planned::Planned;
use super::settings::GrantSettings;
use super::{Facts, Grant, Refused, Renewable};

/// The facts about the grant.
pub(super) const FACTS: Facts = Facts {
    name: "password",
    needs: "a client id and secret, and a user's name and password; retired by Equinix, so only with --force",
    flags: &[
        "--api-endpoint",
        "--client-secret-file",
        "--user-name",
        "--password-file",
        "--password-encoding",
        "--refresh-token-output",
    ],
    make: |settings, _| Password::of(settings).map(|grant| Arc::new(grant) as Arc<dyn Grant>),
};

/// The grant `password`.
struct Password {
    account: Arc<Account>,
    min_ttl: u64,
    refused: Refused,
}

impl Password {
    fn of(settings: &GrantSettings) -> Result<Self, Error> {
        if !settings.account.force {
            let message = "the grant password was retired by Equinix in January 2025";
            return Err(Error::new(Code::CfgGrantRetired, message));
        }
        let account = Arc::clone(&settings.account);
        Ok(Self { account, min_ttl: settings.min_ttl, refused: Refused::default() })
    }

    fn user(&self) -> Result<(&str, &Secret), Error> {
        let missing = |what: &str, cure: &str| {
            Error::new(Code::ClientCredentialsMissing, format!("there is no {what}")).with_cure(cure)
        };
        let name = self
            .account
            .user_name
            .as_deref()
            .ok_or_else(|| missing("user name", "Set EQUINIX_API_USERNAME or pass --user-name."))?;
        let password = self.account.password.as_ref().ok_or_else(|| {
            missing(
                "password",
                "Name the file that holds it with --password-file PATH (- is standard input).",
            )
        })?;
        Ok((name, password))
    }

    /// Makes the request, with the password in the form in which it is sent.
    fn with_request<T>(
        &self,
        session: &Session,
        act: impl FnOnce(&Request<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let client = self.account.required_client()?;
        let (name, password) = self.user()?;
        let encoded = self.account.encoding.map(|encoding| encoding.encode(password));
        let sent = encoded.as_ref().unwrap_or(password);
        // Whoever has the digest can log in with it.
        session.console.guard(sent);
        let mut members = vec![
            ("grant_type", Member::Text("password")),
            ("client_id", Member::Text(client.id.reveal())),
            ("client_secret", Member::Text(client.secret.reveal())),
            ("user_name", Member::Text(name)),
            ("user_password", Member::Text(sent.reveal())),
        ];
        if let Some(encoding) = self.account.encoding {
            members.push(("password_encoding", Member::Text(encoding.id())));
        }
        act(&Request {
            endpoint: &self.account.endpoint,
            path: api::TOKEN,
            members,
            secrets: vec![("the client secret", &client.secret), ("the password", sent)],
            is_retired: true,
            rotates: true,
            min_ttl: self.min_ttl,
        })
    }
}

impl Grant for Password {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        self.account.required_client()?;
        self.user().map(drop)
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        api::open_ahead(&session.http, &self.account.endpoint, by);
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is not general enough in its lifetime"
    )]
    fn rehearse(&self, session: &Session, _: Deadline) -> Result<Vec<Planned>, Error> {
        self.with_request(session, |request| request.planned())
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        self.with_request(session, |request| request.send(session, &self.refused, by))
    }

    fn renewable_until(&self) -> Renewable {
        Renewable::Always
    }
}
