//! Equinix's classic API for access tokens: where it is, what is sent there, and how its answers are read.
//!
//! The request is a JSON object (`POST /oauth2/v1/token`, `POST /oauth2/v1/refreshaccesstoken`). What is sent are secrets
//! that live long, and an account locks after five wrong attempts in a row: so a secret is sent once, and not again by
//! this process unless it has worked.

mod account;
mod answer;
mod refusal;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{self, Member, Peer, Request as HttpRequest, Response};
use crate::retry::{Attempt, Failure, Retry};
use crate::secret::Secret;
use crate::session::Session;

use super::Refused;
use super::planned::Planned;

pub use account::{Account, Client, LONGEST, Origin, PasswordEncoding, SecretText};
#[cfg(feature = "service")]
pub use refusal::refuses_login;

/// The default base URL.
pub const DEFAULT_ENDPOINT: &str = "https://api.equinix.com";

/// The path for a new access token.
pub(super) const TOKEN: &str = "/oauth2/v1/token";

/// The path for an access token in exchange for a refresh token.
pub(super) const REFRESH: &str = "/oauth2/v1/refreshaccesstoken";

/// The reason why nothing is sent a second time.
const LOCKS: &str = "not tried again: an account locks after five wrong attempts in a row";

/// The API in messages.
pub const PEER: Peer = Peer {
    name: "the Equinix API",
    stage: Stage::Exchange,
    too_large: Code::ApiTooLarge,
    not_json: Code::ApiNotJson,
};

/// Returns the URL of a path of the API.
fn at(endpoint: &Url, path: &str) -> Result<Url, Error> {
    endpoint.at(path).map_err(|why| {
        Error::new(Code::CfgEndpointInvalid, format!("the Equinix API cannot be called: {why}"))
    })
}

/// Begins to connect to the API. Nothing is sent to it.
pub(super) fn open_ahead(http: &http::Client, endpoint: &Url, by: Deadline) {
    if let Ok(url) = at(endpoint, TOKEN) {
        http.open_ahead(&url, by);
    }
}

/// Asks the API for nothing, to see whether anybody is there: a GET without credentials. Never retried.
pub fn probe(http: &http::Client, endpoint: &Url, by: Deadline) -> Result<Response, Error> {
    let url = at(endpoint, TOKEN)?;
    http.send(PEER, &HttpRequest::get(&url), Attempt::only(by)).map_err(|failure| failure.error)
}

/// One request for an access token, as it is sent.
pub(super) struct Request<'a> {
    /// The API's base URL.
    pub(super) endpoint: &'a Url,
    /// The path.
    pub(super) path: &'static str,
    /// The members of the JSON object.
    pub(super) members: Vec<(&'static str, Member<'a>)>,
    /// The secrets among them, each as messages call it.
    pub(super) secrets: Vec<(&'static str, &'a Secret)>,
    /// True if the vendor has retired the grant.
    pub(super) is_retired: bool,
    /// True if a refresh token belongs into the answer.
    pub(super) rotates: bool,
    /// The shortest acceptable life of the access token, in seconds.
    pub(super) min_ttl: u64,
}

impl Request<'_> {
    /// Describes the request, which is not sent.
    pub(super) fn planned(&self) -> Result<Vec<Planned>, Error> {
        let members = self.members.iter().filter_map(|(name, member)| match member {
            Member::Text(text) => Some((*name, *text)),
            Member::Number(_) => None,
        });
        Ok(vec![Planned::new(
            format!("{}{}", at(self.endpoint, self.path)?.origin(), self.path),
            members,
            &self.secrets,
        )])
    }

    /// Asks once. Only a connection that failed before a byte was sent is tried again.
    pub(super) fn send(
        &self,
        session: &Session,
        refused: &Refused,
        by: Deadline,
    ) -> Result<Credential, Error> {
        for (what, secret) in &self.secrets {
            refused.check(secret, what)?;
        }
        session.retry("asking for the token", by, |attempt| self.attempt(session, refused, attempt))
    }

    fn attempt(&self, session: &Session, refused: &Refused, attempt: Attempt) -> Result<Credential, Failure> {
        let url = at(self.endpoint, self.path)?;
        // Counted from before the request, a life never seems longer than it is.
        let asked = session.clock.unix_time();
        let answer = session.http.send(PEER, &HttpRequest::post_json(&url, &self.members), attempt);
        let response = match answer {
            Ok(response) => response,
            Err(failure) if failure.lost_answer => {
                self.never_again(refused);
                let error = failure.error.with_detail("note", LOCKS);
                return Err(Failure { error, retry: Retry::Never, ..failure });
            }
            Err(failure) => return Err(failure),
        };
        let outcome = if response.status == 200 {
            self.read(&response, asked, &session.console).map_err(|error| error.with_detail("note", LOCKS))
        } else {
            Err(self.refusal(&response).with_detail("note", LOCKS))
        };
        let outcome = outcome.map(|credential| {
            let Some(defect) = credential.defect else { return credential };
            self.never_again(refused);
            Credential { defect: Some(defect.with_detail("note", LOCKS)), ..credential }
        });
        outcome.map_err(|error| {
            self.never_again(refused);
            let echoed = self.secrets.iter().any(|(_, secret)| response.echoes(secret));
            Failure::permanent(error).with_echo(echoed)
        })
    }

    /// Remembers that what was sent did not work, or may not have worked.
    fn never_again(&self, refused: &Refused) {
        for (_, secret) in &self.secrets {
            refused.remember(secret, Code::ApiDenied);
        }
    }
}
