//! The arguments of the tools for tokens, and what the service adds to them.

use std::borrow::Cow;

use equinix_wif::service::{self, Code, Secret, quote};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Failure;
use super::tools::{self, RefreshArguments, TokenArguments};
use crate::app::{Kind, PassThrough, Sent};

/// The arguments of both tools for tokens.
#[derive(Default)]
pub(super) struct Given {
    pub(super) grant_type: Option<String>,
    pub(super) client_id: Option<Zeroizing<String>>,
    pub(super) client_secret: Option<Zeroizing<String>>,
    pub(super) user_name: Option<String>,
    user_password: Option<Zeroizing<String>>,
    password_encoding: Option<String>,
    refresh_token: Option<Zeroizing<String>>,
}

impl From<TokenArguments> for Given {
    fn from(given: TokenArguments) -> Self {
        Self {
            grant_type: given.grant_type,
            client_id: given.client_id.map(Zeroizing::new),
            client_secret: given.client_secret.map(Zeroizing::new),
            user_name: given.user_name,
            user_password: given.user_password.map(Zeroizing::new),
            password_encoding: given.password_encoding,
            refresh_token: None,
        }
    }
}

impl From<RefreshArguments> for Given {
    fn from(given: RefreshArguments) -> Self {
        Self {
            client_id: given.client_id.map(Zeroizing::new),
            client_secret: given.client_secret.map(Zeroizing::new),
            refresh_token: given.refresh_token.map(Zeroizing::new),
            ..Self::default()
        }
    }
}

impl Given {
    /// Tells whether there is more than a client.
    pub(super) fn has_other_credentials(&self) -> bool {
        self.user_name.is_some() || self.user_password.is_some() || self.refresh_token.is_some()
    }

    fn members(&self) -> [(&'static str, Option<&str>); 7] {
        fn text(secret: Option<&Zeroizing<String>>) -> Option<&str> {
            secret.map(|secret| secret.as_str())
        }
        [
            ("grant_type", self.grant_type.as_deref()),
            ("client_id", text(self.client_id.as_ref())),
            ("client_secret", text(self.client_secret.as_ref())),
            ("user_name", self.user_name.as_deref()),
            ("user_password", text(self.user_password.as_ref())),
            ("password_encoding", self.password_encoding.as_deref()),
            ("refresh_token", text(self.refresh_token.as_ref())),
        ]
    }

    /// The request to the API.
    pub(super) fn body(&self, kind: Kind) -> String {
        let members = self.members();
        let is_sent = |name: &str| kind == Kind::Token || name != "grant_type";
        let sent = members.iter().filter(|(name, _)| is_sent(name));
        let sent = sent.filter_map(|(name, value)| Some((*name, (*value)?)));
        let parts: Vec<String> =
            sent.map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
        format!("{{{}}}", parts.join(","))
    }

    /// The members that are looked at.
    pub(super) fn sent(&self) -> Sent<'_> {
        let [grant_type, client_id, client_secret, user_name, user_password, _, refresh_token] =
            self.members().map(|(_, value)| value.map(Cow::Borrowed));
        Sent { grant_type, client_id, client_secret, user_name, user_password, refresh_token }
    }

    /// Says what the API said, without anything that was sent.
    pub(super) fn refusal(&self, status: u16, body: &[u8]) -> Failure {
        let mut redactor = service::Redactor::default();
        for (name, value) in self.members() {
            if let Some(value) = value.filter(|_| !["grant_type", "password_encoding"].contains(&name)) {
                redactor.add(value);
            }
        }
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |names: &[&str]| names.iter().find_map(|name| said.get(name)?.as_str());
        let mut message = format!("the Equinix API refused the request ({status})");
        for (label, names) in [
            ("server code", &["error_code", "errorCode", "error"][..]),
            ("server", &["error_message", "errorMessage", "error_description"][..]),
        ] {
            if let Some(text) = text(names) {
                message.push_str(&format!("\n  {label}: {}", redactor.scrub(&quote(text)).0));
            }
        }
        let is_login = service::Upstream::refuses_login(status, Some("application/json"), body);
        Failure::with(if is_login { Code::ApiLoginFailed } else { Code::ApiDenied }, message)
    }
}

/// Adds what the service knows itself: its own client, and the refresh token that came last.
pub(super) fn complete(pass: &PassThrough, kind: Kind, mut given: Given) -> Result<Given, Failure> {
    if given.client_id.is_none() && given.client_secret.is_none() {
        let last = pass.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let copy = |secret: &Secret| Some(Zeroizing::new(secret.reveal().to_owned()));
        match (&*last, &pass.own) {
            (Some(last), _) if kind == Kind::Refresh => {
                (given.client_id, given.client_secret) = (copy(&last.id), copy(&last.secret));
            }
            (_, Some((id, secret))) => (given.client_id, given.client_secret) = (copy(id), copy(secret)),
            _ => {
                return Err(Failure::with(
                    Code::ClientCredentialsMissing,
                    "there is neither a client_id with its client_secret among the arguments, nor a client of the service itself",
                ));
            }
        }
    }
    match kind {
        Kind::Token => {
            // Without it the API takes the request for one with a user's password.
            let is_user = given.user_name.is_some();
            given
                .grant_type
                .get_or_insert_with(|| (if is_user { "password" } else { "client_credentials" }).to_owned());
        }
        Kind::Refresh if given.refresh_token.is_none() => {
            let last = pass.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let own = last
                .as_ref()
                .filter(|last| given.client_id.as_ref().is_some_and(|id| id.as_str() == last.id.reveal()));
            let Some(refresh_token) = own.and_then(|last| last.refresh_token.as_ref()) else {
                return Err(Failure::Tool {
                    code: Code::ClientCredentialsMissing.name(),
                    message: "there is no refresh token: none is among the arguments, and none came with the last token".to_owned(),
                    hint: format!("Call {} for a new token: clients without a user get no refresh token.", tools::GET),
                });
            };
            given.refresh_token = Some(Zeroizing::new(refresh_token.reveal().to_owned()));
        }
        Kind::Refresh => {}
    }
    Ok(given)
}
