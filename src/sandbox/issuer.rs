//! The CI platform: publishes its keys, and on GitHub makes ID tokens on request.
//!
//! As GitHub it is a GitHub Enterprise Server, because those have their issuer under their own address
//! (`<server>/_services/token`). As GitLab it makes one token before the job starts and none later, and
//! where there is no platform none at all.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::facts::Facts;
use super::job::TOKEN_PATH;
use super::keys::{self, SigningKey};
use super::wire::{ScopedReply, Service, lock};
use super::{Fault, Hush, SimulatedPlatform};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::listener::{Reply, Request, form};
use crate::secret::Secret;

/// The age of the expiry of a token of [`Fault::ExpiredToken`], in seconds.
const EXPIRED_FOR: i64 = 3600;

/// A CI platform's issuer of ID tokens.
pub(super) struct Issuer {
    platform: SimulatedPlatform,
    facts: Facts,
    fault: Option<Fault>,
    base: String,
    key: SigningKey,
    bearer: Secret,
    minted: Mutex<Vec<Value>>,
    hush: Hush,
}

impl Issuer {
    pub(super) fn new(
        platform: SimulatedPlatform,
        fault: Option<Fault>,
        base: &str,
        hush: Hush,
    ) -> Result<Self, Error> {
        let bearer = keys::random_token()?;
        lock(&hush).add(bearer.reveal());
        let facts = Facts::new(platform, base);
        let (base, key, minted) = (base.to_owned(), SigningKey::generate()?, Mutex::default());
        Ok(Self { platform, facts, fault, base, key, bearer, minted, hush })
    }

    /// The `iss` of its tokens.
    pub(super) fn id(&self) -> String {
        if self.platform == SimulatedPlatform::Github {
            format!("{}/_services/token", self.base)
        } else {
            self.base.clone()
        }
    }

    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Returns the bearer that a job needs to ask for an ID token.
    pub(super) fn bearer(&self) -> &Secret {
        &self.bearer
    }

    /// The `sub` of its tokens.
    pub(super) fn subject(&self) -> String {
        self.facts.subject()
    }

    /// The claims of the token that was made last.
    pub(super) fn last_claims(&self) -> Option<Value> {
        lock(&self.minted).last().cloned()
    }

    /// A new ID token. Without an audience it is meant for the platform's default one.
    pub(super) fn mint(&self, audience: Option<&str>) -> Result<Secret, Error> {
        let asked =
            audience.filter(|audience| !audience.is_empty() && self.fault != Some(Fault::WrongAudience));
        let audience = asked.map_or_else(|| self.default_audience(), str::to_owned);
        let (life, before) = self.facts.validity();
        let now = SystemClock.unix_time();
        let issued = if self.fault == Some(Fault::ExpiredToken) { now - EXPIRED_FOR - life } else { now };
        let mut claims = self.facts.claims();
        claims.insert("jti".into(), crate::random::hex()?.into());
        claims.insert("iss".into(), self.id().into());
        claims.insert("aud".into(), audience.into());
        claims.insert("iat".into(), issued.into());
        claims.insert("nbf".into(), (issued - before).into());
        claims.insert("exp".into(), (issued + life).into());
        let claims = Value::from(claims);
        let token = self.key.sign(&claims)?;
        lock(&self.hush).add(token.reveal());
        lock(&self.minted).push(claims);
        Ok(token)
    }

    fn default_audience(&self) -> String {
        if self.platform == SimulatedPlatform::Github {
            format!("{}/{}", self.base, self.facts.get("owner"))
        } else {
            self.base.clone()
        }
    }

    fn jwks_path(&self) -> &'static str {
        if self.platform == SimulatedPlatform::Github {
            "/_services/token/.well-known/jwks"
        } else {
            "/oauth/discovery/keys"
        }
    }

    fn discovery_path(&self) -> &'static str {
        if self.platform == SimulatedPlatform::Github {
            "/_services/token/.well-known/openid-configuration"
        } else {
            "/.well-known/openid-configuration"
        }
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.id(),
            "jwks_uri": format!("{}{}", self.base, self.jwks_path()),
            "subject_types_supported": ["public"],
            "response_types_supported": ["id_token"],
            "scopes_supported": ["openid"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf"],
        })
    }

    /// GitHub's ID-token endpoint.
    fn id_token(&self, call: &Request) -> Reply {
        let scheme_and_token = call.header("authorization").and_then(|value| value.split_once(' '));
        let allowed = scheme_and_token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && token.trim() == self.bearer.reveal()
        });
        if !allowed {
            return Reply::json(401, &json!({ "message": "The request token is missing or not valid." }))
                .with("www-authenticate", "Bearer");
        }
        let query = form::pairs(&call.query).unwrap_or_default();
        let get = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        // The address comes with this parameter, and a client that loses it would fail on the real one.
        if get("api-version").is_none() {
            return Reply::json(400, &json!({ "message": "The api-version parameter is missing." }));
        }
        match self.mint(get("audience")) {
            Ok(token) => Reply::json(200, &json!({ "count": token.reveal().len(), "value": token.reveal() })),
            Err(error) => Reply::json(500, &json!({ "message": error.message() })),
        }
    }
}

impl Service for Issuer {
    fn answer(&self, call: &Request) -> ScopedReply {
        let path = call.path.as_str();
        let known = [self.discovery_path(), self.jwks_path()].contains(&path)
            || self.platform == SimulatedPlatform::Github && path == TOKEN_PATH;
        let reply = if !known {
            Reply::not_found()
        } else if call.method != "GET" {
            Reply::method_not_allowed("GET")
        } else if path == self.discovery_path() {
            Reply::json(200, &self.discovery())
        } else if path == self.jwks_path() {
            Reply::json(200, &self.key.set())
        } else {
            self.id_token(call)
        };
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    use super::*;
    use crate::sandbox::job;
    use crate::sandbox::wire::client::{get, send};
    use crate::sandbox::wire::{Running, serve};

    fn start(platform: SimulatedPlatform, fault: Option<Fault>) -> Running<Issuer> {
        serve(|base| Issuer::new(platform, fault, base, Hush::default())).unwrap()
    }

    /// The token's claims, verified with the key that discovery leads to.
    fn verified(issuer: &Running<Issuer>, token: &str) -> Value {
        let discovery = get(&format!("{}/.well-known/openid-configuration", issuer.service.id())).json();
        assert_eq!(discovery["issuer"], issuer.service.id());
        let keys: JwkSet = serde_json::from_str(&get(discovery["jwks_uri"].as_str().unwrap()).body).unwrap();
        let key = keys.find(&decode_header(token).unwrap().kid.unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_aud = false;
        validation.validate_exp = false;
        decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
    }

    fn request(issuer: &Running<Issuer>, scheme: &str, query: &str) -> (u16, Value) {
        let url = format!("{}{}?{query}", issuer.base, TOKEN_PATH);
        let authorization = format!("{scheme} {}", issuer.service.bearer().reveal());
        let answer = send("GET", &url, &[("authorization", &authorization)], "");
        (answer.status, answer.json())
    }

    #[test]
    fn github_makes_a_token_for_the_audience_that_is_asked_for() {
        let issuer = start(SimulatedPlatform::Github, None);
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let (status, answer) = request(&issuer, scheme, "api-version=2.0&audience=a%20b%2Fc");
            assert_eq!(status, 200);
            let token = answer["value"].as_str().unwrap();
            assert_eq!(answer["count"], token.len());
            let claims = verified(&issuer, token);
            assert_eq!(claims["aud"], "a b/c");
            assert_eq!(claims["iss"], format!("{}/_services/token", issuer.base));
            assert_eq!(claims["sub"], "repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main");
            let time = |name: &str| claims[name].as_i64().unwrap();
            assert_eq!((time("exp") - time("iat"), time("iat") - time("nbf")), (300, 600));
            assert_eq!(issuer.service.last_claims().unwrap(), claims);
            let text = |name: &str| claims[name].is_string();
            assert!(["run_id", "repository_id", "ref_protected"].into_iter().all(text), "{claims}");
        }
    }

    #[test]
    fn github_s_default_audience_is_the_owner() {
        let issuer = start(SimulatedPlatform::Github, None);
        for query in ["api-version=2.0", "api-version=2.0&audience="] {
            let (_, answer) = request(&issuer, "Bearer", query);
            let claims = verified(&issuer, answer["value"].as_str().unwrap());
            assert_eq!(claims["aud"], format!("{}/octo-org", issuer.base));
        }
    }

    #[test]
    fn github_refuses_everybody_else() {
        let issuer = start(SimulatedPlatform::Github, None);
        let url = format!("{}{}?api-version=2.0", issuer.base, TOKEN_PATH);
        for authorization in ["", "Bearer", "Bearer wrong", "Basic wrong"] {
            let answer = send("GET", &url, &[("authorization", authorization)], "");
            assert_eq!(answer.status, 401, "{authorization}");
            assert!(answer.json()["message"].is_string());
        }
        assert_eq!(get(&url).status, 401);
        assert_eq!(request(&issuer, "Bearer", "audience=x").0, 400, "the address lost its query");
        assert_eq!(request(&issuer, "Token", "api-version=2.0").0, 401);
        let post = send("POST", &url, &[], "");
        assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
        assert_eq!(get(&format!("{}/elsewhere", issuer.base)).status, 404);
        assert!(issuer.service.last_claims().is_none());
    }

    #[test]
    fn gitlab_makes_its_token_beforehand() {
        let issuer = start(SimulatedPlatform::Gitlab, None);
        let claims = verified(&issuer, issuer.service.mint(Some(job::AUDIENCE)).unwrap().reveal());
        assert_eq!(claims["aud"], job::AUDIENCE);
        assert_eq!(claims["iss"], issuer.base);
        assert_eq!(claims["sub"], "project_path:octo-group/octo-project:ref_type:branch:ref:main");
        let time = |name: &str| claims[name].as_i64().unwrap();
        assert_eq!((time("exp") - time("iat"), time("iat") - time("nbf")), (3600, 5));
        assert!(claims["runner_id"].is_number() && claims["job_id"].is_string());
        assert_eq!(get(&format!("{}{}", issuer.base, TOKEN_PATH)).status, 404);
    }

    #[test]
    fn faulty_issuers_make_faulty_tokens() {
        let expired = start(SimulatedPlatform::Github, Some(Fault::ExpiredToken));
        let (_, answer) = request(&expired, "Bearer", "api-version=2.0&audience=x");
        let claims = verified(&expired, answer["value"].as_str().unwrap());
        let past = SystemClock.unix_time() - claims["exp"].as_i64().unwrap();
        assert!((3600..3660).contains(&past), "{past}");

        for platform in SimulatedPlatform::ALL.iter().copied().filter(|platform| platform.has_identity()) {
            let wrong = start(platform, Some(Fault::WrongAudience));
            let claims = verified(&wrong, wrong.service.mint(Some(job::AUDIENCE)).unwrap().reveal());
            assert_eq!(claims["aud"], wrong.service.default_audience());
        }
    }
}
