//! Equinix's Security Token Service: where it is, how it is asked, and how its answers are read.
//!
//! The request is a form (`POST /use/token` or `POST /v1/token`). The answer is read strictly, in the other files of this
//! folder.

mod answer;
mod contact;
pub mod policies;
mod refusal;

use crate::clock::Clock;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::grant::answer::Server;
use crate::grant::planned::Planned;
use crate::http::url::Url;
use crate::http::{Client, Peer, Request as HttpRequest, Response};
use crate::identity::jwt::UnverifiedClaims;
use crate::report::console::Console;
use crate::retry::{Attempt, Failure};
use crate::secret::Secret;
use crate::text::quote;

pub use contact::Contact;

/// The default base URL.
pub const DEFAULT_ENDPOINT: &str = "https://sts.eqix.equinix.com";

const PEER: Peer = Peer {
    name: "the STS",
    stage: Stage::Exchange,
    too_large: Code::StsTooLarge,
    not_json: Code::StsNotJson,
};

/// The STS, as its answers are read.
const STS: Server = Server { name: "the STS", not_json: Code::StsNotJson, invalid: Code::StsResponseInvalid };

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

/// The STS that is asked.
#[derive(Debug, Clone)]
pub struct Sts {
    /// Its base URL.
    pub endpoint: Url,
    /// Its API version.
    pub api: Api,
}

impl Sts {
    /// Returns the STS as it is when nobody says otherwise.
    pub fn standard() -> Result<Self, Error> {
        let endpoint = Url::parse(DEFAULT_ENDPOINT)
            .map_err(|why| Error::new(Code::Internal, format!("the default endpoint is wrong: {why}")))?;
        Ok(Self { endpoint, api: Api::default() })
    }

    /// Returns the token endpoint's URL.
    fn token_endpoint(&self) -> Result<Url, Error> {
        self.endpoint.at(self.api.path()).map_err(|why| {
            Error::new(Code::CfgEndpointInvalid, format!("the token endpoint cannot be called: {why}"))
        })
    }

    /// Begins to connect to the token endpoint. Nothing is sent to it.
    pub fn open_ahead(&self, http: &Client, by: Deadline) {
        if let Ok(url) = self.token_endpoint() {
            http.open_ahead(&url, by);
        }
    }

    /// Asks the token endpoint for nothing, to see whether anybody is there: a GET without credentials, which a token
    /// endpoint refuses in one way or another. Never retried.
    pub fn probe(&self, http: &Client, by: Deadline) -> Result<Response, Error> {
        let url = self.token_endpoint()?;
        http.send(PEER, &HttpRequest::get(&url), Attempt::only(by)).map_err(|failure| failure.error)
    }
}

/// The proof of who asks the STS.
pub(super) enum Proof<'a> {
    /// An ID token, which is exchanged.
    IdToken {
        /// The token.
        token: &'a Secret,
        /// Its claims, to explain a refusal with.
        claims: &'a UnverifiedClaims,
    },
    /// The classic access token of a client.
    #[cfg_attr(not(feature = "classic-grants"), expect(dead_code, reason = "no other grant has one"))]
    Caller(&'a Secret),
    /// The handle of a run of `exec --renew`, which stands in for the ID token.
    Handle(&'a Secret),
}

impl Proof<'_> {
    /// Returns who is asked.
    fn peer(&self) -> Peer {
        match self {
            Self::IdToken { .. } | Self::Caller(_) => PEER,
            Self::Handle(_) => Peer { name: "the equinix-wif exec --renew around this command", ..PEER },
        }
    }

    fn secret(&self) -> &Secret {
        match self {
            Self::IdToken { token, .. } | Self::Caller(token) | Self::Handle(token) => token,
        }
    }

    fn claims(&self) -> Option<&UnverifiedClaims> {
        match self {
            Self::IdToken { claims, .. } => Some(claims),
            Self::Caller(_) | Self::Handle(_) => None,
        }
    }

    /// As a sentence about the secret begins.
    fn sentence(&self) -> &'static str {
        match self {
            Self::IdToken { .. } => "The ID token",
            Self::Caller(_) => "The caller's token",
            Self::Handle(_) => "The handle",
        }
    }

    /// As messages call the secret.
    fn name(&self) -> &'static str {
        match self {
            Self::IdToken { .. } => "the ID token",
            Self::Caller(_) => "the caller's token",
            Self::Handle(_) => "the handle",
        }
    }
}

/// The label of the scope in messages.
const SCOPE: &str = "scope";

/// A request to the STS, as it is explained after a refusal.
struct Asked<'a> {
    sts: &'a Sts,
    /// The path that was called.
    path: &'static str,
    /// The name of what is there, for messages.
    endpoint: &'static str,
    /// As messages call the request.
    noun: &'static str,
    proof: &'a Proof<'a>,
    /// The thing that was asked for, with its label.
    target: (&'static str, &'a str),
}

/// Makes sure that a real token does not go to a program on this machine that an earlier step has named.
pub(super) fn check_issuer(
    endpoint: &Url,
    local_issuers_only: Option<&'static str>,
    claims: &UnverifiedClaims,
) -> Result<(), Error> {
    let Some(variable) = local_issuers_only else { return Ok(()) };
    if Url::parse(claims.issuer()).is_ok_and(|issuer| issuer.is_loopback()) {
        return Ok(());
    }
    let origin = endpoint.origin();
    let message =
        format!("{variable} names {origin}, which gets no token of an issuer elsewhere without TLS");
    Err(Error::new(Code::EndpointUntrusted, message)
        .with_detail("issuer", quote(claims.issuer()))
        .with_cure(format!("If this host is right, pass --sts-endpoint {origin}.")))
}

/// One request, as it is sent.
pub(super) struct Request<'a> {
    /// The STS.
    pub(super) sts: &'a Sts,
    /// The scope to ask for.
    pub(super) scope: &'a str,
    /// The shortest acceptable life of the access token, in seconds.
    pub(super) min_ttl: u64,
    /// The proof of who asks.
    pub(super) proof: Proof<'a>,
    /// The place for facts about the answer, and whether the same proof has been taken before.
    pub(super) contact: Option<(&'a Contact, bool)>,
}

impl Request<'_> {
    /// Asks once.
    pub(super) fn send(
        &self,
        http: &Client,
        clock: &dyn Clock,
        console: &Console,
        attempt: Attempt,
    ) -> Result<Credential, Failure> {
        let url = self.sts.token_endpoint()?;
        // The token's life may begin when the request arrives: counted from before it, it never seems longer than it is.
        let asked = clock.unix_time();
        let fields = self.fields();
        let request = HttpRequest::post_form(&url, &fields);
        let request = self.bearer().map_or(request, |token| request.with_bearer(token));
        if let Some((contact, _)) = self.contact {
            contact.asked();
        }
        let response = http.send(self.proof.peer(), &request, attempt)?;
        if let Some((contact, is_second)) = self.contact {
            contact.note(&response, self.scope, is_second);
        }
        let outcome = if response.status == 200 {
            self.read(&response, asked, console).map_err(Failure::permanent)
        } else {
            Err(self.asked().refusal(&response, clock.unix_time()))
        };
        outcome.map_err(|failure| failure.with_echo(response.echoes(self.proof.secret())))
    }

    /// Returns the form.
    fn fields(&self) -> Vec<(&'static str, &str)> {
        match &self.proof {
            Proof::IdToken { token, .. } | Proof::Handle(token) => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("scope", self.scope),
                ("subject_token", token.reveal()),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ],
            Proof::Caller(_) => vec![("grant_type", "client_credentials"), ("scope", self.scope)],
        }
    }

    /// Returns the token for the `Authorization` header.
    fn bearer(&self) -> Option<&Secret> {
        match &self.proof {
            Proof::Caller(token) => Some(token),
            Proof::IdToken { .. } | Proof::Handle(_) => None,
        }
    }

    /// Describes the request, which is not sent.
    pub(super) fn planned(&self) -> Result<Planned, Error> {
        let url = format!("{}{}", self.sts.token_endpoint()?.origin(), self.sts.api.path());
        let name = self.proof.name();
        let planned = Planned::new(url, self.fields(), &[(name, self.proof.secret())]);
        Ok(match self.bearer() {
            Some(_) => planned.with("authorization", format!("Bearer ({name}, not shown)")),
            None => planned,
        })
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            sts: self.sts,
            path: self.sts.api.path(),
            endpoint: "token endpoint",
            noun: match self.proof {
                Proof::IdToken { .. } | Proof::Handle(_) => "exchange",
                Proof::Caller(_) => "request",
            },
            proof: &self.proof,
            target: (SCOPE, self.scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::http::proxy::ProxySettings;
    use crate::report::console::{Verbosity, captured};

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
            sts: &Sts { endpoint, api: Api::Alpha },
            scope: "roleassignments:o",
            min_ttl: 60,
            proof: Proof::IdToken {
                token: &Secret::new("header.payload.signature"),
                claims: &UnverifiedClaims { header: Map::new(), claims },
            },
            contact: None,
        };
        let http = Client::new(ProxySettings::default(), Vec::new());
        let attempt = Attempt::only(Deadline::within(Duration::from_secs(30)));
        let credential =
            request.send(&http, &*clock, &captured::console(Verbosity::Normal, false).0, attempt).unwrap();
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
