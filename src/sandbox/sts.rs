//! The Security Token Service: exchanges an ID token for an access token, and checks everything that the real
//! one is known to check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};
use crate::identity::jwt;
use crate::identity::signature::{self, IssuerKeys};
use crate::listener::form::Form;
use crate::listener::{Reply, Request};
use crate::secret::Secret;

use super::wire::{ScopedReply, Service, lock};
use super::{Fault, Hush, job, keys, policies};

/// The token endpoint of the older API version, the only one that clients without an ID token may ask.
const ALPHA_PATH: &str = "/use/token";
/// The token endpoints of both API versions.
pub(super) const TOKEN_PATHS: [&str; 2] = [ALPHA_PATH, "/v1/token"];

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const JWKS_PATH: &str = "/jwks";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The type of an ID token.
pub(super) const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const FORM: &str = "application/x-www-form-urlencoded";
const LIFE: i64 = 3600;

/// An OIDC provider as an administrator registers it, with its keys at hand.
pub(super) struct Trust {
    pub(super) issuer: String,
    pub(super) client_ids: Vec<String>,
    pub(super) keys: IssuerKeys,
}

/// A grant to a principal.
pub(super) struct TrustedSubject {
    pub(super) subject: String,
    pub(super) scope: String,
}

/// The classic access tokens with which a client may ask.
pub(super) type Callers = Arc<Mutex<Vec<Secret>>>;

/// A Security Token Service.
pub(super) struct Sts {
    base: String,
    trusted: Vec<Trust>,
    grants: Vec<TrustedSubject>,
    callers: Callers,
    fault: Option<Fault>,
    asked_to_wait: AtomicBool,
    hush: Hush,
}

/// An OAuth error: `error` and `error_description` (RFC 6749 section 5.2).
pub(super) type Refusal = (&'static str, String);

/// Returns the refusal of a request that is not as it must be.
pub(super) fn invalid(description: impl Into<String>) -> Refusal {
    ("invalid_request", description.into())
}

impl Sts {
    pub(super) fn new(
        base: &str,
        trusted: Vec<Trust>,
        mut grants: Vec<TrustedSubject>,
        callers: Callers,
        fault: Option<Fault>,
        hush: Hush,
    ) -> Self {
        if fault == Some(Fault::RefusedScope) {
            // A grant that is gone is how the real one comes to refuse a scope.
            grants.retain(|grant| grant.scope != job::SCOPE);
        }
        let base = base.to_owned();
        Self { base, trusted, grants, callers, fault, asked_to_wait: AtomicBool::new(false), hush }
    }

    /// Tells whether a scope was granted to a principal.
    pub(super) fn is_granted(&self, subject: &str, scope: &str) -> bool {
        self.grants.iter().any(|grant| grant.subject == subject && grant.scope == scope)
    }

    /// The answer of an STS that is not at its best.
    fn disturbed(&self) -> Option<Reply> {
        match self.fault {
            Some(Fault::ServerError) => {
                let page = "<html><head><title>503 Service Unavailable</title></head></html>\n";
                Some(Reply::text(503, "text/html", page.to_owned()))
            }
            Some(Fault::RateLimit) if !self.asked_to_wait.swap(true, Ordering::SeqCst) => {
                Some(Reply::json(429, &json!({ "error": "too_many_requests" })).with("retry-after", "1"))
            }
            _ => None,
        }
    }

    fn token(&self, call: &Request) -> ScopedReply {
        let Some(body) = &call.body else {
            let refusal = json!({ "error": "invalid_request", "error_description": "too large" });
            return Reply::json(413, &refusal).into();
        };
        let form = Form::parse(body).unwrap_or_default();
        let scope = form.get("scope").ok().flatten().unwrap_or_default();
        let reply = match self.grant(call, &form) {
            Ok(token) => token,
            Err((error, description)) => {
                Reply::json(400, &json!({ "error": error, "error_description": description }))
            }
        };
        ScopedReply::for_scope(reply.with("pragma", "no-cache"), scope)
    }

    fn grant(&self, call: &Request, form: &Form) -> Result<Reply, Refusal> {
        let media_type =
            call.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case(FORM) {
            return Err(invalid(format!("the content type must be {FORM}")));
        }
        match form.required("grant_type").map_err(invalid)? {
            GRANT => self.exchange(call, form),
            CLIENT_CREDENTIALS if call.path == ALPHA_PATH => self.for_client(call, form),
            _ => Err(("unsupported_grant_type", format!("the sandbox knows {GRANT} here"))),
        }
    }

    fn exchange(&self, call: &Request, form: &Form) -> Result<Reply, Refusal> {
        if call.has_header("authorization") {
            return Err(invalid("token exchange takes no Authorization header"));
        }
        if form.required("subject_token_type").map_err(invalid)? != ID_TOKEN {
            return Err(invalid(format!("subject_token_type must be {ID_TOKEN}")));
        }
        let subject = self.subject(form.required("subject_token").map_err(invalid)?)?;
        self.issue(form, |wanted| self.is_granted(&subject, wanted))
    }

    /// A client proves itself by an access token of the classic API. It is the same customer's, so it was granted the same.
    fn for_client(&self, call: &Request, form: &Form) -> Result<Reply, Refusal> {
        let caller = call.header("authorization").and_then(|value| value.split_once(' '));
        let is_known = caller.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer")
                && lock(&self.callers).iter().any(|caller| caller.reveal() == token)
        });
        if !is_known {
            return Err(("invalid_client", "a caller needs an access token of the Equinix API".to_owned()));
        }
        self.issue(form, |wanted| self.grants.iter().any(|grant| grant.scope == wanted))
    }

    fn issue(&self, form: &Form, is_granted: impl Fn(&str) -> bool) -> Result<Reply, Refusal> {
        let scope = form.get("scope").map_err(invalid)?.unwrap_or_default();
        if !scope.split(' ').all(is_granted) {
            return Err(("invalid_scope", "the scope is not granted to this principal".to_owned()));
        }
        let token = keys::random_token().map_err(|error| ("server_error", error.message().to_owned()))?;
        lock(&self.hush).add(token.reveal());
        Ok(Reply::json(
            200,
            &json!({
                "access_token": token.reveal(),
                "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer",
                "expires_in": LIFE,
                "scope": scope,
            }),
        ))
    }

    /// Returns the subject of the ID token, if everything about it is right.
    pub(super) fn subject(&self, token: &str) -> Result<String, Refusal> {
        // Nothing is believed yet: this only tells which provider's keys have to fit.
        let claims = jwt::decode(token).map_err(|_| invalid("subject_token is not a JSON Web Token"))?;
        let trust = self
            .trusted
            .iter()
            .find(|trust| trust.issuer == claims.issuer())
            .ok_or_else(|| invalid("no OIDC provider is registered for the issuer of subject_token"))?;
        signature::verify(token, &claims, &trust.keys)
            .map_err(|_| invalid("the signature of subject_token does not verify"))?;
        // Issuer and STS share one clock here, so there is no leeway.
        let now = SystemClock.unix_time();
        let time = |name: &str| {
            let value = claims.claims.get(name).and_then(Value::as_i64);
            value.ok_or_else(|| invalid("subject_token lacks a required claim"))
        };
        if time("exp")? <= now {
            return Err(invalid("subject_token has expired"));
        }
        if time("nbf")? > now {
            return Err(invalid("subject_token is not valid yet"));
        }
        let audience = claims.audience().ok_or_else(|| invalid("subject_token lacks a required claim"))?;
        if !audience.iter().any(|audience| trust.client_ids.iter().any(|id| id == audience)) {
            return Err(invalid("the audience of subject_token is not a trusted client id"));
        }
        match claims.subject() {
            "" => Err(invalid("subject_token lacks a required claim")),
            subject => Ok(subject.to_owned()),
        }
    }

    fn discovery(&self) -> Value {
        // Equinix documents these members in camelCase, unlike OpenID Connect Discovery.
        json!({
            "issuer": self.base,
            "jwksUri": format!("{}{JWKS_PATH}", self.base),
            "tokenEndpoint": format!("{}/v1/token", self.base),
            "claimsSupported": ["iss", "sub", "aud", "exp", "iat"],
            "responseTypesSupported": ["token"],
            "subjectTypesSupported": ["public"],
            "idTokenSigningAlgValuesSupported": ["ES256"],
        })
    }
}

impl Service for Sts {
    fn answer(&self, call: &Request) -> ScopedReply {
        let path = call.path.as_str();
        let is_list = path == policies::PATH;
        if is_list || TOKEN_PATHS.contains(&path) {
            if call.method != "POST" {
                return Reply::method_not_allowed("POST").into();
            }
            return match self.disturbed() {
                Some(reply) => reply.into(),
                None if is_list => self.policies(call).into(),
                None => self.token(call),
            };
        }
        let reply = match path {
            DISCOVERY_PATH | JWKS_PATH if call.method != "GET" => Reply::method_not_allowed("GET"),
            DISCOVERY_PATH => Reply::json(200, &self.discovery()),
            // The access tokens of the sandbox are opaque: there is no key to verify them with.
            JWKS_PATH => Reply::json(200, &json!({ "keys": [] })),
            _ => Reply::not_found(),
        };
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::wire::client::{Answer, get, send};
    use crate::sandbox::{Sandbox, SimulatedPlatform, job};
    use crate::secret::Secret;

    const TYPE: (&str, &str) = ("content-type", FORM);

    fn start(fault: Option<Fault>) -> Sandbox {
        Sandbox::start(SimulatedPlatform::Github, fault).unwrap()
    }

    fn encoded(fields: &[(&str, &str)]) -> String {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let pairs: Vec<String> = fields.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect();
        pairs.join("&")
    }

    fn post(sandbox: &Sandbox, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        send("POST", &format!("{}/use/token", sandbox.sts.base), headers, &encoded(fields))
    }

    fn fields<'a>(token: &'a str, scope: &'a str) -> [(&'static str, &'a str); 4] {
        [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", ID_TOKEN), ("scope", scope)]
    }

    fn id_token(sandbox: &Sandbox) -> Secret {
        sandbox.issuer.service.mint(Some(job::AUDIENCE)).unwrap()
    }

    /// The OAuth error of an answer with status 400.
    fn refusal(answer: &Answer) -> (String, String) {
        assert_eq!(answer.status, 400, "{}", answer.body);
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        (text("error"), text("error_description"))
    }

    #[test]
    fn both_paths_exchange_a_good_token() {
        let sandbox = start(None);
        for path in TOKEN_PATHS {
            let token = id_token(&sandbox);
            let body = encoded(&fields(token.reveal(), job::SCOPE));
            let url = format!("{}{path}", sandbox.sts.base);
            let answer = send("POST", &url, &[("content-type", &format!("{FORM}; charset=utf-8"))], &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let answer = answer.json();
            assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
            assert_eq!(answer["token_type"], "Bearer");
            assert_eq!(answer["expires_in"], 3600);
            assert_eq!(answer["scope"], job::SCOPE);
            let access = answer["access_token"].as_str().unwrap();
            assert_eq!(lock(&sandbox.hush).scrub(access).0, "***", "it is known as a secret");
        }
        let log: Vec<_> = sandbox.sts.log().into_iter().map(|e| (e.path, e.scope, e.status)).collect();
        let scope = Some(job::SCOPE.to_owned());
        assert_eq!(log, [("/use/token".into(), scope.clone(), 200), ("/v1/token".into(), scope, 200)]);
    }

    #[test]
    fn a_request_that_is_not_a_token_exchange_is_refused() {
        let sandbox = start(None);
        let token = id_token(&sandbox);
        let good = fields(token.reveal(), job::SCOPE);
        let with = |name: &str, value: &'static str| {
            good.map(|(known, old)| (known, if known == name { value } else { old }))
        };
        let say =
            |headers: &[(&str, &str)], fields: &[(&str, &str)]| refusal(&post(&sandbox, headers, fields));
        let refused = |(error, description): (String, String), expected: &str, about: &str| {
            assert!(error == expected && description.contains(about), "{error}: {description}");
        };
        refused(say(&[TYPE, ("authorization", "Bearer x")], &good), "invalid_request", "Authorization");
        refused(say(&[("content-type", "application/json")], &good), "invalid_request", "content type");
        refused(say(&[], &good), "invalid_request", "content type");
        refused(say(&[TYPE], &with("grant_type", "password")), "unsupported_grant_type", "knows");
        refused(say(&[TYPE], &with("subject_token_type", "x")), "invalid_request", "subject_token_type");
        refused(say(&[TYPE], &with("scope", "orgpolicies:other")), "invalid_scope", "scope");
        refused(say(&[TYPE], &good[..3]), "invalid_scope", "scope");
        for missing in 0..3 {
            let mut fewer = good.to_vec();
            let (name, _) = fewer.remove(missing);
            refused(say(&[TYPE], &fewer), "invalid_request", &format!("{name} is missing"));
        }
        let twice = [good.as_slice(), &good[..1]].concat();
        refused(say(&[TYPE], &twice), "invalid_request", "more than once");
        let two = format!("{} orgpolicies:other", job::SCOPE);
        refused(say(&[TYPE], &fields(token.reveal(), &two)), "invalid_scope", "scope");
        let client = &[("grant_type", CLIENT_CREDENTIALS), ("scope", job::SCOPE)][..];
        refused(say(&[TYPE], client), "invalid_client", "access token of the Equinix API");
        refused(say(&[TYPE, ("authorization", "Bearer x")], client), "invalid_client", "access token");
        let large = "x".repeat(70_000);
        assert_eq!(post(&sandbox, &[TYPE], &fields(&large, job::SCOPE)).status, 413);
    }

    #[test]
    fn a_client_is_known_by_its_classic_token_and_at_one_path_only() {
        let sandbox = start(None);
        lock(&sandbox.sts.service.callers).push(Secret::new("a-classic-token"));
        let headers = [TYPE, ("authorization", "Bearer a-classic-token")];
        let fields = [("grant_type", CLIENT_CREDENTIALS), ("scope", job::SCOPE)];
        let answer = post(&sandbox, &headers, &fields);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["scope"], job::SCOPE);
        let other = [fields[0], ("scope", "orgpolicies:other")];
        assert_eq!(refusal(&post(&sandbox, &headers, &other)).0, "invalid_scope");
        assert_eq!(refusal(&post(&sandbox, &headers, &fields[..1])).0, "invalid_scope");
        let url = format!("{}/v1/token", sandbox.sts.base);
        let answer = send("POST", &url, &headers, &encoded(&fields));
        assert_eq!(refusal(&answer).0, "unsupported_grant_type");
    }

    #[test]
    fn a_token_that_does_not_hold_is_refused() {
        let sandbox = start(None);
        let say = |token: &str| {
            let (error, description) = refusal(&post(&sandbox, &[TYPE], &fields(token, job::SCOPE)));
            assert_eq!(error, "invalid_request");
            description
        };
        let good = id_token(&sandbox);
        let claims = sandbox.issuer.service.last_claims().unwrap();
        let signed = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            sandbox.issuer.service.key().sign(&claims).unwrap()
        };
        let saying = |name: &str, value: Value| say(signed(name, value).reveal());
        let now = claims["iat"].as_i64().unwrap();
        assert!(saying("exp", json!(now - 10)).contains("expired"));
        assert!(saying("nbf", json!(now + 1000)).contains("not valid yet"));
        assert!(saying("aud", json!("somebody-else")).contains("audience"));
        assert!(saying("aud", Value::Null).contains("required claim"));
        assert!(saying("iss", json!("https://elsewhere.example")).contains("no OIDC provider"));
        assert!(saying("sub", Value::Null).contains("required claim"));
        assert!(say("nonsense").contains("not a JSON Web Token"));

        let other = keys::SigningKey::generate().unwrap().sign(&claims).unwrap();
        assert!(say(other.reveal()).contains("signature"), "somebody else's key");
        let (rest, _) = good.reveal().rsplit_once('.').unwrap();
        assert!(say(&format!("{rest}.")).contains("not a JSON Web Token"), "no signature");
        assert!(say(&format!("{rest}.c2ln")).contains("signature"), "another signature");
        let several = signed("aud", json!(["somebody-else", job::AUDIENCE]));
        assert_eq!(post(&sandbox, &[TYPE], &fields(several.reveal(), job::SCOPE)).status, 200);
        let stranger = signed("sub", json!("repo:somebody/else:ref:refs/heads/main"));
        let answer = post(&sandbox, &[TYPE], &fields(stranger.reveal(), job::SCOPE));
        assert_eq!(refusal(&answer).0, "invalid_scope", "nothing is granted to another subject");
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let sandbox = start(None);
        let base = &sandbox.sts.base;
        for path in TOKEN_PATHS {
            let answer = get(&format!("{base}{path}"));
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        }
        let answer = send("POST", &format!("{base}/jwks"), &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
        let answer = get(&format!("{base}/token"));
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")));
        let discovery = get(&format!("{base}{DISCOVERY_PATH}")).json();
        assert_eq!(discovery["tokenEndpoint"], format!("{base}/v1/token"));
        assert_eq!(get(discovery["jwksUri"].as_str().unwrap()).json()["keys"], json!([]));
    }

    #[test]
    fn each_fault_shows_at_the_sts() {
        let exchange = |sandbox: &Sandbox| {
            let token = id_token(sandbox);
            post(sandbox, &[TYPE], &fields(token.reveal(), job::SCOPE))
        };
        let sandbox = start(Some(Fault::RateLimit));
        let first = exchange(&sandbox);
        assert_eq!((first.status, first.header("retry-after")), (429, Some("1")));
        assert_eq!(exchange(&sandbox).status, 200);

        let sandbox = start(Some(Fault::ServerError));
        for _ in 0..3 {
            let answer = exchange(&sandbox);
            assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html")));
        }
        let refused = |fault| refusal(&exchange(&start(Some(fault))));
        assert!(refused(Fault::ExpiredToken).1.contains("expired"));
        assert!(refused(Fault::WrongAudience).1.contains("audience"));
        assert_eq!(refused(Fault::RefusedScope).0, "invalid_scope");
    }
}
