//! The state that both adapters share: where tokens come from, and what is written down about them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use equinix_wif::service::{
    Clock, Code, Console, Credential, Error, Federation, LocalSts, Observer, Secret, Served, Upstream,
    fingerprint,
};
use serde::Deserialize;
use std::borrow::Cow;

use crate::caller::Caller;
use crate::clients::{Clients, Proof, Turn};
use crate::files::TokenFiles;
use crate::guard::has_type;
use crate::log::{self, HandOut};
use crate::metrics;
use crate::tokens::Tokens;
use crate::upstream::{Answer, Client};

/// The client id of this service itself, for clients that can send nothing but an id and a secret.
pub const OWN_CLIENT: &str = "equinix-wif";

/// Everything that a request may need.
pub struct App {
    /// The origin of the tokens.
    pub origin: Origin,
    /// The bearer, which is also the handle for the STS.
    pub bearer: Arc<Secret>,
    /// The console, which knows the secrets.
    pub console: Arc<Console>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The files of tokens for MCP clients.
    pub files: TokenFiles,
    /// True if MCP results hold the token itself.
    pub reveals_tokens: bool,
    /// The figures.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
}

/// The origin of the tokens.
pub enum Origin {
    /// A grant of this service.
    Federated(Federated),
    /// The API, with what callers send.
    PassThrough(PassThrough),
}

/// A grant of this service.
pub struct Federated {
    /// The grant.
    pub federation: Arc<Federation>,
    /// Its tokens.
    pub tokens: Arc<Tokens>,
    /// The STS that hands them out.
    pub sts: LocalSts,
}

/// What callers send goes to the API.
pub struct PassThrough {
    /// The client.
    pub client: Client,
    /// What is known of clients.
    pub clients: Arc<Clients>,
    /// The service's own id and secret, if it has one.
    pub own: Option<(Secret, Secret)>,
    /// The client that obtained a token last by MCP, with its refresh token.
    pub last: Mutex<Option<Last>>,
}

/// A client that has obtained a token.
pub struct Last {
    /// Its id.
    pub id: Secret,
    /// Its secret.
    pub secret: Secret,
    /// Its refresh token, if it got one.
    pub refresh_token: Option<Secret>,
}

/// The two requests of the classic API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A new token.
    Token,
    /// A token in exchange for a refresh token.
    Refresh,
}

impl Kind {
    /// The path of both, here and at the API.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Token => "/oauth2/v1/token",
            Self::Refresh => "/oauth2/v1/refreshaccesstoken",
        }
    }
}

/// The members of a request that are looked at. There may be others.
#[derive(Deserialize, Default)]
pub struct Sent<'a> {
    /// `grant_type`
    #[serde(borrow, default)]
    pub grant_type: Option<Cow<'a, str>>,
    /// `client_id`
    #[serde(borrow, default)]
    pub client_id: Option<Cow<'a, str>>,
    /// `client_secret`
    #[serde(borrow, default)]
    pub client_secret: Option<Cow<'a, str>>,
    /// `user_name`
    #[serde(borrow, default)]
    pub user_name: Option<Cow<'a, str>>,
    /// `user_password`
    #[serde(borrow, default)]
    pub user_password: Option<Cow<'a, str>>,
    /// `refresh_token`
    #[serde(borrow, default)]
    pub refresh_token: Option<Cow<'a, str>>,
}

impl Sent<'_> {
    /// Digests of what proves who asks. `None` if nothing does.
    pub fn proof(&self, kind: Kind) -> Option<Proof> {
        let pair = fingerprint(
            [&self.client_id, &self.client_secret].map(|member| member.as_deref().unwrap_or_default()),
        );
        let of_user = [&self.user_name, &self.user_password];
        // Only what the API looks at: anything else would make the same client a new one.
        let others: &[_] = match (kind, self.grant_type.as_deref()) {
            (Kind::Refresh, _) => &[&self.refresh_token],
            // Without a grant the API takes it for a user's.
            (Kind::Token, None | Some("password")) => &of_user,
            (Kind::Token, Some(_)) => &[],
        };
        let is_there = [&self.client_id, &self.client_secret]
            .into_iter()
            .chain(others.iter().copied())
            .any(Option::is_some);
        if !is_there {
            return None;
        }
        if others.is_empty() {
            return Some(Proof { pair, whole: pair });
        }
        let others = others.iter().map(|member| member.as_deref().unwrap_or_default());
        let members = [self.client_id.as_deref(), self.client_secret.as_deref()];
        let members = members.into_iter().map(Option::unwrap_or_default);
        Some(Proof { pair, whole: fingerprint(members.chain(others)) })
    }
}

/// The part of the API's answer that is looked at.
#[derive(Deserialize, Default)]
pub struct Granted<'a> {
    /// The token.
    #[serde(borrow, default)]
    pub access_token: Option<Cow<'a, str>>,
    /// Its life in seconds, a text or a number.
    #[serde(default)]
    pub token_timeout: Option<serde_json::Value>,
    /// A refresh token that came along.
    #[serde(borrow, default)]
    pub refresh_token: Option<Cow<'a, str>>,
}

impl<'a> Granted<'a> {
    /// Reads it from the API's answer. `None` if that is no JSON object: a list would pass for the members in their order.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        is_object.then(|| serde_json::from_slice(body).ok()).flatten()
    }

    /// The life of the token in seconds, if it can be read.
    pub fn life(&self) -> Option<i64> {
        match self.token_timeout.as_ref()? {
            // The published form is `3599 (60 minutes)`.
            serde_json::Value::String(text) => text.split(' ').next()?.parse().ok(),
            number => number.as_i64(),
        }
    }
}

/// The reason why a request was not answered by the API.
pub enum NotPassed {
    /// The client is blocked for so long.
    Blocked(Duration),
    /// The API could not be reached, or answered what cannot be passed on.
    Failed(Error),
}

impl PassThrough {
    /// Sends a request to the API, unless its client was refused a moment ago.
    pub async fn send(&self, kind: Kind, sent: &Sent<'_>, body: Bytes) -> Result<Answer, NotPassed> {
        let Some(proof) = sent.proof(kind) else { return ask(&self.client, kind, body, None).await };
        let turn = self.clients.turn(&proof).await.map_err(NotPassed::Blocked)?;
        if !turn.has_to_end {
            return ask(&self.client, kind, body, Some(turn)).await;
        }
        let client = self.client.clone();
        let asking = tokio::spawn(async move { ask(&client, kind, body, Some(turn)).await });
        asking.await.unwrap_or_else(|_| {
            Err(NotPassed::Failed(Error::new(Code::Internal, "the request to the API was broken off")))
        })
    }

    /// Remembers the client that has obtained a token.
    pub fn remember(&self, last: Last) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Asks the API, and notes what its answer says of the client.
async fn ask(client: &Client, kind: Kind, body: Bytes, turn: Option<Turn>) -> Result<Answer, NotPassed> {
    let begun = Instant::now();
    let answer = client.post(kind.path(), body).await;
    metrics::exchanged(begun.elapsed());
    let outcome = answer.and_then(|answer| Ok((judge(&answer)?, answer)));
    if let Some(turn) = turn {
        match &outcome {
            Ok((Said::Granted, _)) => turn.accept(),
            Ok((Said::LoginFailed, _)) => turn.refuse(),
            Ok((Said::Other, _)) | Err(_) => turn.leave(),
        }
    }
    outcome.map(|(_, answer)| answer).map_err(NotPassed::Failed)
}

/// The meaning of an answer for the client.
enum Said {
    Granted,
    LoginFailed,
    Other,
}

/// Holds an answer against what the API answers.
fn judge(answer: &Answer) -> Result<Said, Error> {
    let status = answer.status.as_u16();
    match status {
        200 if has_type(&answer.headers, "application/json") => Ok(Said::Granted),
        200 => Err(Upstream::not_passed_on(status, "without JSON")),
        100..400 => Err(Upstream::not_passed_on(
            status,
            "where it answers with a token or an error; something in between may have answered",
        )),
        _ if Upstream::refuses_login(status, answer.media_type(), &answer.body) => Ok(Said::LoginFailed),
        _ => Ok(Said::Other),
    }
}

impl App {
    /// Writes down that a token was handed out.
    pub async fn handed_out(
        &self,
        route: &'static str,
        scope: &str,
        until: Option<i64>,
        caller: Option<&Caller>,
    ) {
        let asker = match caller {
            Some(caller) => caller.asker().await,
            None => crate::caller::Asker::default(),
        };
        log::hand_out(&HandOut { route, scope, until, asker });
    }

    /// The end of a token that lives for so many seconds from now.
    pub fn end_of(&self, life: Option<i64>) -> Option<i64> {
        life.map(|life| self.clock.unix_time().saturating_add(life))
    }
}

impl Federated {
    /// The scope of its tokens.
    pub fn scope(&self) -> &str {
        self.tokens.source().scope()
    }

    /// A token, or a new one.
    pub async fn token(&self, kind: Kind) -> Result<Served, equinix_wif::service::Unavailable> {
        match kind {
            Kind::Token => self.tokens.token().await,
            Kind::Refresh => self.tokens.renewed().await,
        }
    }
}

/// Writes down what happens to the tokens of the grant.
pub struct Journal {
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Observer for Journal {
    fn renewed(&self, scope: &Arc<str>, credential: &Arc<Credential>) {
        metrics::token(credential, self.clock.unix_time());
        tracing::info!(
            event = "renewed",
            scope = &**scope,
            expires_at = credential.expires_at_text(),
            "there is a new token"
        );
    }

    fn recovered(&self, scope: &Arc<str>, _: &Credential) {
        tracing::info!(event = "recovered", scope = &**scope, "obtaining tokens works again");
    }

    fn failed(&self, scope: &Arc<str>, error: &Error, before: Option<&Error>) {
        metrics::refresh_failed(error.code());
        if before.is_some_and(|before| before.code() == error.code()) {
            return;
        }
        let mut details = String::new();
        for (label, value) in error.details() {
            details.push_str(&format!("; {label}: {value}"));
        }
        tracing::warn!(
            event = "refresh-failed",
            scope = &**scope,
            code = error.code().name(),
            hint = error.cure(),
            "no new token: {}{details}",
            error.message()
        );
    }

    fn tick(&self) {}
}
