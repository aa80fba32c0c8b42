//! The token exchange at Equinix's Security Token Service (RFC 8693; `POST /use/token` or `POST /v1/token`).
//!
//! The request is four form fields and nothing else. The answer is read strictly: what a careful server would never
//! send is refused, because it would otherwise end up in a shell, a log or a provider (S-27 to S-32).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::claims::Concern;
use crate::clock::Clock;
use crate::config::ExchangeSettings;
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Client, Peer, Request, Response};
use crate::json;
use crate::jwt::UnverifiedClaims;
use crate::retry::{Attempt, Failure};
use crate::scope;
use crate::secret::Secret;
use crate::subject;
use crate::text::quote;

/// The default base URL.
pub const DEFAULT_ENDPOINT: &str = "https://sts.eqix.equinix.com";

/// The shortest and longest access token that is accepted, in bytes.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=32_768;

/// The longest life that is believed, in seconds: a year.
const MAX_LIFE: f64 = 31_536_000.0;

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

/// The token endpoint's URL.
fn token_endpoint(base: &Url, api: Api) -> Result<Url, Error> {
    base.at(api.path()).map_err(|why| {
        Error::new(Code::CfgEndpointInvalid, format!("the token endpoint cannot be called: {why}"))
    })
}

/// One exchange.
pub struct Exchange<'a> {
    /// The STS's base URL.
    pub endpoint: &'a Url,
    /// Its API version.
    pub api: Api,
    /// The scope to ask for.
    pub scope: &'a str,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
    /// The ID token.
    pub subject_token: &'a Secret,
    /// Its claims, to explain a refusal with.
    pub claims: &'a UnverifiedClaims,
}

impl Exchange<'_> {
    /// Exchanges once. What is odd about a success goes into `concerns`.
    pub fn run(
        &self,
        http: &Client,
        clock: &dyn Clock,
        attempt: Attempt,
        concerns: &mut Vec<Concern>,
    ) -> Result<Credential, Failure> {
        let url = token_endpoint(self.endpoint, self.api)?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("scope", self.scope),
            ("subject_token", self.subject_token.reveal()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ];
        let response = http.send(PEER, &Request::PostForm { url: &url, fields: &fields }, attempt)?;
        let outcome = if response.status == 200 {
            self.read(&response, clock.unix_time(), concerns).map_err(Failure::permanent)
        } else {
            Err(self.refusal(&response, clock.unix_time()))
        };
        outcome.map_err(|failure| failure.with_echo(response.echoes(self.subject_token)))
    }

    fn refusal(&self, response: &Response, now: i64) -> Failure {
        let status = response.status;
        let oauth = OAuthError::read(response);
        if let Some(code) = response.transient_code() {
            // Equinix's own client takes a conflict for something that passes.
            let code = if status == 409 { Code::StsConflict } else { code };
            let message = match code {
                Code::RateLimited => "the STS asks to slow down (429)".to_owned(),
                Code::StsConflict => "the STS answered with a conflict (409)".to_owned(),
                _ => format!("the STS failed ({status})"),
            };
            let error = self.describe(Error::new(code, message), response, &oauth);
            return Failure::transient(error, response.retry_after(now));
        }
        let path = self.api.path();
        let origin = self.endpoint.origin();
        let error = match status {
            404 | 405 | 410 => {
                let other = self.api.other();
                Error::new(Code::StsEndpointNotFound, format!("there is no token endpoint at {origin}{path} ({status})")).with_cure(
                    format!(
                        "Try --sts-api {} ({}), and check --sts-endpoint. The ID token was not sent to a second path.",
                        other.id(),
                        other.path()
                    ),
                )
            }
            300..=399 => {
                let to = response.redirect_target();
                Error::new(
                    Code::StsRedirect,
                    format!("the STS answered with a redirect ({status}) to {to}, which was not followed"),
                )
            }
            400..=499 => denial(status, &oauth),
            _ => Error::new(
                Code::StsUnexpectedStatus,
                format!("the STS answered with the unexpected status {status}"),
            ),
        };
        Failure::permanent(self.describe(error, response, &oauth))
    }

    /// Adds what the administrator has to compare: what was sent, as it was sent, and what the server said.
    fn describe(&self, error: Error, response: &Response, oauth: &OAuthError) -> Error {
        let permanent = error.code().exit() == crate::error::Exit::Refused;
        let mut error = error.with_http_status(response.status);
        if let Some(name) = &oauth.error {
            error = error.with_oauth_error(quote(name).trim_matches('"'));
        }
        match &oauth.description {
            Some(description) => error = error.with_detail("STS says", quote(description)),
            None if oauth.error.is_none() && !response.body.is_empty() => {
                let kind = response.media_type().map_or_else(|| "no media type".to_owned(), quote);
                error = error.with_detail("answer", format!("{} bytes of {kind}", response.body.len()));
            }
            None => {}
        }
        if !permanent {
            return error;
        }
        let audience = self.claims.audience().unwrap_or_default();
        error = error
            .with_detail("issuer", quote(self.claims.issuer()))
            .with_detail("audience", audience.iter().map(|a| quote(a)).collect::<Vec<_>>().join(", "))
            .with_detail("subject", quote(self.claims.subject()))
            .with_detail("scope", quote(self.scope));
        // What was odd about it before is most likely what is wrong with it.
        for warning in scope::check(self.scope).unwrap_or_default() {
            error = error.with_detail("note", warning);
        }
        match subject::without_ids(self.claims.subject()) {
            Some(older) => error.with_detail(
                "note",
                format!(
                    "this is GitHub's newer subject with ids; if the grant was made for {}, it does not match",
                    quote(&older)
                ),
            ),
            None => error,
        }
    }

    fn read(&self, response: &Response, now: i64, concerns: &mut Vec<Concern>) -> Result<Credential, Error> {
        let with_status = |error: Error| error.with_http_status(200);
        if !response.is_json() {
            let kind = response.media_type().map_or_else(|| "none".to_owned(), quote);
            let message = format!(
                "the STS answered success, but not with JSON: {} bytes of media type {kind}",
                response.body.len()
            );
            return Err(with_status(Error::new(Code::StsNotJson, message)));
        }
        let members = json::parse_object(&response.body).map_err(|why| {
            with_status(Error::new(Code::StsNotJson, format!("the STS's answer cannot be read: {why}")))
        })?;
        self.credential(&members, now, concerns).map_err(with_status)
    }

    fn credential(
        &self,
        members: &Map<String, Value>,
        now: i64,
        concerns: &mut Vec<Concern>,
    ) -> Result<Credential, Error> {
        if members.get("error").is_some_and(|value| !value.is_null()) {
            return Err(Error::new(
                Code::StsResponseAmbiguous,
                "the STS answered with status 200 and an error member",
            )
            .with_detail(
                "error",
                members.get("error").and_then(Value::as_str).map_or("(not a text)".to_owned(), quote),
            ));
        }
        let token_type = text_member(members, "token_type")?;
        if !token_type.eq_ignore_ascii_case("bearer") {
            return Err(Error::new(Code::StsTokenType, "the STS issued a token of another type than Bearer")
                .with_detail("found", quote(token_type)));
        }
        let issued = text_member(members, "issued_token_type")?;
        let expected = Kind::AccessToken.token_type_uri();
        if issued != expected {
            return Err(Error::new(
                Code::StsIssuedTokenType,
                "the STS issued something else than an access token",
            )
            .with_detail("expected", quote(expected))
            .with_detail("found", quote(issued)));
        }
        let access_token = text_member(members, "access_token")?;
        check_b64token(access_token)?;
        // It can do more than the scope says, and it is nothing that a later step should hold.
        if access_token == self.subject_token.reveal() {
            return Err(invalid("the STS gave the ID token back as access_token".to_owned()));
        }
        let expires_in = lifetime(members)?;
        if expires_in < self.min_ttl {
            return Err(Error::new(Code::TokenTtlTooShort, "the access token lives too short")
                .with_detail("expected", format!("at least {} s (--min-ttl)", self.min_ttl))
                .with_detail("found", format!("{expires_in} s")));
        }
        let scope = granted_scope(members, self.scope, concerns)?;
        if members.contains_key("refresh_token") {
            concerns.push(Concern::warning(
                "the STS sent a refresh token that nobody asked for; it was discarded",
            ));
        }
        let expires_at = now.saturating_add(i64::try_from(expires_in).unwrap_or(i64::MAX));
        Ok(Credential {
            kind: Kind::AccessToken,
            token: Secret::new(access_token),
            expires_in,
            expires_at,
            scope: Some(scope),
            issuer: self.claims.issuer().to_owned(),
            subject: self.claims.subject().to_owned(),
        })
    }
}

/// What Equinix holds an ID token against, in that order, each with the value that this job presented.
const NOT_ACCEPTED: &str = "Compare, to the letter and in this order: issuer with the OIDC provider's issuerLocation; audience with its trustedClientIds; subject with the principal of the grant; scope with what is granted. Check as well that the provider is ENABLED and not SUSPENDED.";

/// A refusal in OAuth's terms (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
fn denial(status: u16, oauth: &OAuthError) -> Error {
    let name = oauth.error.as_deref();
    let code = match name {
        Some("invalid_scope") => Code::StsScopeDenied,
        None if matches!(status, 401 | 403) => Code::StsForbidden,
        _ => Code::StsDenied,
    };
    let what = match name {
        Some(name) => format!("the STS refused the exchange: {} ({status})", quote(name)),
        None => format!("the STS refused the exchange ({status})"),
    };
    let error = Error::new(code, what);
    let hint = match name {
        // RFC 8693 section 2.2.2 uses invalid_request for a subject token that is not acceptable.
        Some("invalid_request" | "invalid_grant" | "invalid_token") => NOT_ACCEPTED,
        Some("invalid_target") => {
            "Equinix does not know the target of this scope. Compare the ERN or id in it with the access policy or organization at Equinix."
        }
        Some("invalid_client" | "unauthorized_client") => {
            "Equinix did not accept the caller. Token exchange needs no client; check --sts-endpoint and whether STS is enabled for your organization (it is in limited availability)."
        }
        Some("unsupported_grant_type") => {
            "This endpoint does not do token exchange. Check --sts-endpoint and --sts-api."
        }
        // An error that tells no more can have any of these causes. A status alone may come from something else.
        Some(_) if code == Code::StsDenied => NOT_ACCEPTED,
        None if status == 400 => NOT_ACCEPTED,
        _ => return error,
    };
    error.with_cure(hint)
}

/// Begins to connect to the token endpoint. Nothing is sent to it.
pub fn open_ahead(http: &Client, settings: &ExchangeSettings, deadline: Deadline) {
    if let Ok(url) = token_endpoint(&settings.sts_endpoint, settings.sts_api) {
        http.open_ahead(&url, deadline);
    }
}

/// Asks the token endpoint for nothing, to see whether anybody is there: a GET without credentials, which a token
/// endpoint refuses in one way or another. Never retried.
pub fn probe(http: &Client, settings: &ExchangeSettings, deadline: Deadline) -> Result<Response, Error> {
    let url = token_endpoint(&settings.sts_endpoint, settings.sts_api)?;
    http.send(PEER, &Request::GetPublic { url: &url }, Attempt::only(deadline))
        .map_err(|failure| failure.error)
}

fn invalid(message: String) -> Error {
    Error::new(Code::StsResponseInvalid, message)
}

fn text_member<'m>(members: &'m Map<String, Value>, name: &str) -> Result<&'m str, Error> {
    match members.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => {
            Err(invalid(format!("the STS's answer has {} as {name} instead of a string", json::kind(other))))
        }
        None => Err(invalid(format!("the STS's answer has no {name}"))),
    }
}

/// The alphabet of RFC 6750 section 2.1. It leaves nothing that a shell, a runner file or a log could misread.
fn check_b64token(token: &str) -> Result<(), Error> {
    if !TOKEN_LENGTH.contains(&token.len()) {
        return Err(invalid(format!(
            "the STS's access_token has {} bytes, which no access token has",
            token.len()
        )));
    }
    let body = token.trim_end_matches('=');
    if body.is_empty() || !body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)) {
        return Err(invalid(
            "the STS's access_token holds a character that no bearer token may hold (RFC 6750)".to_owned(),
        ));
    }
    Ok(())
}

/// `expires_in` as whole seconds. The STS's schema says number, so 3600, 3600.0 and 3.6e3 are the same.
fn lifetime(members: &Map<String, Value>) -> Result<u64, Error> {
    let value =
        members.get("expires_in").ok_or_else(|| invalid("the STS's answer has no expires_in".to_owned()))?;
    match value {
        Value::Number(number) => match number.as_f64() {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range has been checked"
            )]
            Some(seconds) if (1.0..=MAX_LIFE).contains(&seconds) => Ok(seconds.floor() as u64),
            _ => Err(invalid(format!(
                "the STS's expires_in is {number}, which is no life of a token in seconds"
            ))),
        },
        other => Err(invalid(format!("the STS's expires_in is {} instead of a number", json::kind(other)))),
    }
}

/// The granted scope (RFC 8693 section 2.2.1): may be left out when it is the requested one.
fn granted_scope(
    members: &Map<String, Value>,
    requested: &str,
    concerns: &mut Vec<Concern>,
) -> Result<String, Error> {
    let granted = match members.get("scope") {
        None | Some(Value::Null) => return Ok(requested.to_owned()),
        Some(_) => text_member(members, "scope")?,
    };
    let set = |text: &str| {
        text.split(' ').filter(|t| !t.is_empty()).map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    };
    let (asked, got) = (set(requested), set(granted));
    if !got.is_subset(&asked) {
        return Err(Error::new(Code::ScopeMismatch, "the STS granted more than was asked for")
            .with_detail("asked", quote(requested))
            .with_detail("granted", quote(granted)));
    }
    if got != asked {
        let text = format!("the STS granted only {} of {}", quote(granted), quote(requested));
        concerns.push(Concern::strict(Code::ScopeMismatch, text));
    }
    Ok(granted.to_owned())
}

/// An error answer (RFC 6749 section 5.2), as far as there is one. Everything in it is untrusted.
struct OAuthError {
    error: Option<String>,
    description: Option<String>,
}

impl OAuthError {
    fn read(response: &Response) -> Self {
        let members = json::parse_object(&response.body).unwrap_or_default();
        let text =
            |name| members.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(ToOwned::to_owned);
        let description = text("error_description").or_else(|| text("errorDescription"));
        Self { error: text("error"), description }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://sts.eqix.equinix.com";
    const TOKEN: &str = "abcdefghijklmnop0123456789";
    const ID_TOKEN: &str = "header.payload.signature";

    fn with<T>(act: impl FnOnce(&Exchange<'_>) -> T) -> T {
        let endpoint = Url::parse(URL).unwrap();
        let subject_token = Secret::new(ID_TOKEN);
        let claims = json!({"iss": "https://i", "aud": "a", "sub": "repo:o@1/r@2:ref:x"});
        let claims = UnverifiedClaims { header: Map::new(), claims: claims.as_object().unwrap().clone() };
        act(&Exchange {
            endpoint: &endpoint,
            api: Api::Alpha,
            scope: "roleassignments:o",
            min_ttl: 60,
            subject_token: &subject_token,
            claims: &claims,
        })
    }

    fn good() -> Value {
        json!({"access_token": TOKEN, "issued_token_type": Kind::AccessToken.token_type_uri(), "token_type": "Bearer", "expires_in": 3600})
    }

    /// Reads the good answer with one member changed (`null` removes it).
    fn read(name: &str, value: Value) -> Result<(Credential, Vec<Concern>), Error> {
        let mut members = good().as_object().unwrap().clone();
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.to_owned(), value)
        };
        let mut warnings = Vec::new();
        with(|exchange| exchange.credential(&members, 1_000, &mut warnings))
            .map(|credential| (credential, warnings))
    }

    fn code(name: &str, value: Value) -> &'static str {
        read(name, value).map_or_else(|error| error.code().name(), |_| "ok")
    }

    #[test]
    fn a_good_answer_becomes_a_credential() {
        let (credential, warnings) = read("x", json!("ignored")).unwrap();
        assert_eq!(credential.token.reveal(), TOKEN);
        assert_eq!((credential.expires_in, credential.expires_at), (3600, 4600));
        assert_eq!(credential.expires_at_text(), "1970-01-01T01:16:40Z");
        assert_eq!(
            (credential.scope.as_deref(), credential.issuer.as_str()),
            (Some("roleassignments:o"), "https://i")
        );
        assert_eq!(warnings, []);
    }

    #[test]
    fn any_spelling_of_a_number_of_seconds_is_a_life() {
        for (value, outcome) in [
            ("3600", "ok"),
            ("3600.0", "ok"),
            ("3.6e3", "ok"),
            ("3600.9", "ok"),
            ("31536000", "ok"),
            ("60", "ok"),
            ("59.9", "token-ttl-too-short"),
            ("1", "token-ttl-too-short"),
            ("0", "sts-response-invalid"),
            ("0.5", "sts-response-invalid"),
            ("-1", "sts-response-invalid"),
            ("31536001", "sts-response-invalid"),
            ("1e300", "sts-response-invalid"),
            ("\"3600\"", "sts-response-invalid"),
            ("true", "sts-response-invalid"),
            ("[3600]", "sts-response-invalid"),
            ("null", "sts-response-invalid"),
        ] {
            assert_eq!(code("expires_in", serde_json::from_str(value).unwrap()), outcome, "{value}");
        }
        assert_eq!(read("expires_in", json!(3600.9)).unwrap().0.expires_in, 3600);
    }

    #[test]
    fn only_a_bearer_access_token_is_taken() {
        for (value, outcome) in [
            (json!("Bearer"), "ok"),
            (json!("bearer"), "ok"),
            (json!("BEARER"), "ok"),
            (json!("N_A"), "sts-token-type"),
            (json!("DPoP"), "sts-token-type"),
            (json!(1), "sts-response-invalid"),
            (Value::Null, "sts-response-invalid"),
        ] {
            assert_eq!(code("token_type", value.clone()), outcome, "{value}");
        }
        for (value, outcome) in [
            (json!("urn:ietf:params:oauth:token-type:jwt"), "sts-issued-token-type"),
            (json!(""), "sts-issued-token-type"),
            (Value::Null, "sts-response-invalid"),
        ] {
            assert_eq!(code("issued_token_type", value.clone()), outcome, "{value}");
        }
        assert_eq!(code("error", json!("invalid_request")), "sts-response-ambiguous");
        assert_eq!(read("refresh_token", json!("hush")).unwrap().1.len(), 1);
    }

    #[test]
    fn the_token_s_alphabet_is_closed() {
        assert_eq!(code("access_token", json!("abcdefghij-._~+/0123456789==")), "ok");
        for byte in (0..=255_u8).filter(|b| !(b.is_ascii_alphanumeric() || b"-._~+/".contains(b))) {
            let c = char::from(byte);
            for bad in [format!("{c}{TOKEN}"), format!("abcdefgh{c}ijklmnop"), format!("{TOKEN}{c}")] {
                let expected = if c == '=' && bad.ends_with('=') { "ok" } else { "sts-response-invalid" };
                assert_eq!(code("access_token", json!(bad)), expected, "{byte:#x}");
            }
        }
        for bad in [
            json!(""),
            json!("short"),
            json!("=".repeat(20)),
            json!("a".repeat(32_769)),
            json!(ID_TOKEN),
            json!(7),
            Value::Null,
        ] {
            assert_eq!(code("access_token", bad.clone()), "sts-response-invalid", "{bad}");
        }
    }

    #[test]
    fn more_than_asked_is_refused_and_less_is_warned_of() {
        for (granted, outcome) in [
            (json!("roleassignments:o"), "ok"),
            (json!(" roleassignments:o "), "ok"),
            (json!(""), "ok"),
            (json!("roleassignments:o orgpolicies:o"), "scope-mismatch"),
            (json!("roleassignments:other"), "scope-mismatch"),
            (json!(["roleassignments:o"]), "sts-response-invalid"),
        ] {
            assert_eq!(code("scope", granted.clone()), outcome, "{granted}");
        }
        assert_eq!(read("scope", json!("")).unwrap().1.len(), 1);
        assert_eq!(read("scope", json!("roleassignments:o")).unwrap().1.len(), 0);
    }

    #[test]
    fn both_versions_have_their_path() {
        assert_eq!(
            Api::ALL.map(|api| (api.id(), api.path())),
            [("alpha", "/use/token"), ("v1", "/v1/token")]
        );
    }
}
