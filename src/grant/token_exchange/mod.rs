//! The token exchange at Equinix's Security Token Service (RFC 8693; `POST /use/token` or `POST /v1/token`).
//!
//! The request is four form fields and nothing else. The answer is read strictly, in the other files of this folder.

mod answer;
mod refusal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error, Exit, Stage};
use crate::http::url::Url;
use crate::http::{Client, Peer, Request as HttpRequest, Response};
use crate::identity::Identity;
use crate::identity::jwt::UnverifiedClaims;
use crate::retry::{Attempt, Failure, Retry};
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

use super::{Grant, Refused, Renewable};

/// The name of the grant.
pub const NAME: &str = "token-exchange";

/// The default base URL.
pub const DEFAULT_ENDPOINT: &str = "https://sts.eqix.equinix.com";

const PEER: Peer = Peer {
    name: "the STS",
    stage: Stage::Exchange,
    too_large: Code::StsTooLarge,
    not_json: Code::StsNotJson,
};

/// The STS's API version, which decides the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    #[default]
    /// `/use/token`, which Equinix's own SDK and Terraform provider call.
    Alpha,
    /// `/v1/token`, which Equinix's current documentation shows.
    V1,
}

impl Api {
    /// Both versions.
    pub const ALL: [Self; 2] = [Self::Alpha, Self::V1];

    /// The value of `--sts-api`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::V1 => "v1",
        }
    }

    /// The token endpoint's path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Alpha => "/use/token",
            Self::V1 => "/v1/token",
        }
    }

    /// The other version.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Alpha => Self::V1,
            Self::V1 => Self::Alpha,
        }
    }
}

/// The settings of an exchange.
#[derive(Debug, Clone)]
pub struct Config {
    /// The STS's base URL.
    pub endpoint: Url,
    /// The variable that named an STS on this machine without TLS: it gets tokens of issuers on this machine, and no others.
    pub local_issuers_only: Option<&'static str>,
    /// Its API version.
    pub api: Api,
    /// The scope to ask for.
    pub scope: String,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
}

/// The token endpoint's URL.
fn token_endpoint(base: &Url, api: Api) -> Result<Url, Error> {
    base.at(api.path()).map_err(|why| {
        Error::new(Code::CfgEndpointInvalid, format!("the token endpoint cannot be called: {why}"))
    })
}

/// Begins to connect to the token endpoint. Nothing is sent to it.
pub fn open_ahead(http: &Client, endpoint: &Url, api: Api, by: Deadline) {
    if let Ok(url) = token_endpoint(endpoint, api) {
        http.open_ahead(&url, by);
    }
}

/// Asks the token endpoint for nothing, to see whether anybody is there: a GET without credentials, which a token
/// endpoint refuses in one way or another. Never retried.
pub fn probe(http: &Client, endpoint: &Url, api: Api, by: Deadline) -> Result<Response, Error> {
    let url = token_endpoint(endpoint, api)?;
    http.send(PEER, &HttpRequest::GetPublic { url: &url }, Attempt::only(by)).map_err(|failure| failure.error)
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
}

/// The grant `token-exchange`: an ID token for an access token.
pub struct TokenExchange {
    config: Config,
    tokens: Arc<dyn SubjectTokens>,
    state: Mutex<State>,
    refused: Refused,
}

/// The memory between two exchanges.
#[derive(Default)]
struct State {
    /// An ID token that is yet to be used, or the only one that there is.
    identity: Option<Identity>,
    /// The moment when the last one that was used expires (Unix time).
    expiry: Option<i64>,
}

impl TokenExchange {
    /// Creates the grant. Nothing is fetched yet.
    pub fn new(config: Config, tokens: Arc<dyn SubjectTokens>) -> Self {
        Self { config, tokens, state: Mutex::default(), refused: Refused::default() }
    }

    /// Begins with an ID token that has been fetched already.
    #[must_use]
    pub fn starting_with(self, identity: Identity) -> Self {
        self.state().identity = Some(identity);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that a real token does not go to a program on this machine that an earlier step has named.
    fn check_issuer(&self, identity: &Identity) -> Result<(), Error> {
        let Some(variable) = self.config.local_issuers_only else { return Ok(()) };
        if Url::parse(identity.claims.issuer()).is_ok_and(|issuer| issuer.is_loopback()) {
            return Ok(());
        }
        let origin = self.config.endpoint.origin();
        let message =
            format!("{variable} names {origin}, which gets no token of an issuer elsewhere without TLS");
        Err(Error::new(Code::EndpointUntrusted, message)
            .with_detail("issuer", quote(identity.claims.issuer()))
            .with_cure(format!("If this host is right, pass --sts-endpoint {origin}.")))
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
                *identity = self.tokens.fetch(by)?;
                answer_lost = false;
            }
            self.check_issuer(identity)?;
            self.tokens.check_life(identity)?;
            self.refused.check(&identity.token, "the ID token")?;
            let request = Request {
                endpoint: &self.config.endpoint,
                api: self.config.api,
                scope: &self.config.scope,
                min_ttl: self.config.min_ttl,
                subject_token: &identity.token,
                claims: &identity.claims,
            };
            request.send(&session.http, &*session.clock, attempt).map_err(|mut failure| {
                if failure.error.code().exit() == Exit::Refused {
                    self.refused.remember(&identity.token);
                }
                if answer_lost && failure.retry == Retry::Never && !renews {
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

impl Grant for TokenExchange {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        self.tokens.ready()
    }

    fn prepare(&self, session: &Session, by: Deadline) {
        open_ahead(&session.http, &self.config.endpoint, self.config.api, by);
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        let waiting = self.state().identity.take();
        let mut identity = match waiting {
            Some(identity) => identity,
            None => self.tokens.fetch(by)?,
        };
        let outcome = self.exchange(session, &mut identity, by);
        let mut state = self.state();
        state.expiry = identity.expiry;
        // Each further credential is made of a fresh ID token where there is one.
        state.identity = (!self.tokens.renews()).then_some(identity);
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

/// One exchange, as it is sent.
struct Request<'a> {
    endpoint: &'a Url,
    api: Api,
    scope: &'a str,
    min_ttl: u64,
    subject_token: &'a Secret,
    /// The ID token's claims, to explain a refusal with.
    claims: &'a UnverifiedClaims,
}

impl Request<'_> {
    /// Exchanges once.
    fn send(&self, http: &Client, clock: &dyn Clock, attempt: Attempt) -> Result<Credential, Failure> {
        let url = token_endpoint(self.endpoint, self.api)?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("scope", self.scope),
            ("subject_token", self.subject_token.reveal()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ];
        // The token's life may begin when the request arrives: counted from before it, it never seems longer than it is.
        let asked = clock.unix_time();
        let response = http.send(PEER, &HttpRequest::PostForm { url: &url, fields: &fields }, attempt)?;
        let outcome = if response.status == 200 {
            self.read(&response, asked).map_err(Failure::permanent)
        } else {
            Err(self.refusal(&response, clock.unix_time()))
        };
        outcome.map_err(|failure| failure.with_echo(response.echoes(self.subject_token)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::http::proxy::ProxySettings;

    /// An answer that is long on its way does not make the token live longer.
    #[test]
    fn a_token_s_life_counts_from_before_the_request() {
        const BEGIN: i64 = 1_000;
        let clock = Arc::new(FixedClock::at(BEGIN));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let slow = Arc::clone(&clock);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"token-type%3Aid_token") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            slow.sleep(Duration::from_secs(40));
            let body = json!({
                "access_token": "abcdefghijklmnop0123456789",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": 3600,
            })
            .to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}",
                body.len()
            );
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        });
        let claims = json!({"iss": "https://i", "aud": "a", "sub": "s"}).as_object().unwrap().clone();
        let request = Request {
            endpoint: &endpoint,
            api: Api::Alpha,
            scope: "roleassignments:o",
            min_ttl: 60,
            subject_token: &Secret::new("header.payload.signature"),
            claims: &UnverifiedClaims { header: Map::new(), claims },
        };
        let http = Client::new(ProxySettings::default(), Vec::new());
        let attempt = Attempt::only(Deadline::within(Duration::from_secs(30)));
        let credential = request.send(&http, &*clock, attempt).unwrap();
        server.join().unwrap();
        assert_eq!(clock.unix_time(), BEGIN + 40);
        assert_eq!(credential.expires_at, BEGIN + 3600);
    }

    #[test]
    fn both_versions_have_their_path() {
        assert_eq!(
            Api::ALL.map(|api| (api.id(), api.path())),
            [("alpha", "/use/token"), ("v1", "/v1/token")]
        );
    }
}
