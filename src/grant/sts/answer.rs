//! The answer to a request that succeeded (RFC 8693 section 2.2.1).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::credential::{Credential, Kind};
use crate::error::{Code, Error};
use crate::grant::answer::{check_life, guard_tokens};
use crate::http::Response;
use crate::identity::claims::Finding;
use crate::json::{self, SecretObject};
use crate::report::console::Console;
use crate::text::quote;

use super::{Request, STS};

impl Request<'_> {
    /// Reads the answer to a request that succeeded.
    pub(super) fn read(&self, response: &Response, now: i64, console: &Console) -> Result<Credential, Error> {
        let with_status = |error: Error| error.with_http_status(200);
        let mut members = STS.members(response).map_err(with_status)?;
        guard_tokens(&members, console);
        self.credential(&mut members, now).map_err(with_status)
    }

    fn credential(&self, members: &mut SecretObject, now: i64) -> Result<Credential, Error> {
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
        let token_type = STS.text(members, "token_type")?;
        if !token_type.eq_ignore_ascii_case("bearer") {
            return Err(Error::new(Code::StsTokenType, "the STS issued a token of another type than Bearer")
                .with_detail("found", quote(token_type)));
        }
        let issued = STS.text(members, "issued_token_type")?;
        let expected = Kind::AccessToken.token_type_uri();
        if issued != expected {
            return Err(Error::new(
                Code::StsIssuedTokenType,
                "the STS issued something else than an access token",
            )
            .with_detail("expected", quote(expected))
            .with_detail("found", quote(issued)));
        }
        let access_token = STS.text(members, "access_token")?;
        STS.check_token("access_token", access_token)?;
        // It can do more than the scope says, and it is nothing that a later step should hold.
        if access_token == self.proof.secret().reveal() {
            return Err(STS.invalid(format!("the STS gave {} back as access_token", self.proof.name())));
        }
        let expires_in = lifetime(members)?;
        check_life(expires_in, self.min_ttl)?;
        let mut findings = Vec::new();
        let scope = granted_scope(members, self.scope, &mut findings)?;
        if members.contains_key("refresh_token") {
            findings.push(Finding::warning(
                "the STS sent a refresh token that nobody asked for; it was discarded",
            ));
        }
        let expires_at = now.saturating_add(i64::try_from(expires_in).unwrap_or(i64::MAX));
        // It is a string, as has been seen above.
        let token = members.take_secret("access_token").ok_or_else(|| STS.missing("access_token"))?;
        Ok(Credential {
            scope: Some(scope),
            issuer: self.proof.claims().map(|claims| claims.issuer().to_owned()),
            subject: self.proof.claims().map(|claims| claims.subject().to_owned()),
            findings,
            ..Credential::new(Kind::AccessToken, token, expires_in, expires_at)
        })
    }
}

/// `expires_in` as whole seconds.
fn lifetime(members: &Map<String, Value>) -> Result<u64, Error> {
    match members.get("expires_in") {
        Some(Value::Number(number)) => {
            STS.life("expires_in", number.as_f64().unwrap_or(f64::NAN), &number.to_string())
        }
        Some(other) => {
            let kind = json::kind(other);
            Err(STS.invalid(format!("the STS's expires_in is {kind} instead of a number")))
        }
        None => Err(STS.missing("expires_in")),
    }
}

/// The granted scope (RFC 8693 section 2.2.1): may be left out when it is the requested one.
fn granted_scope(
    members: &Map<String, Value>,
    requested: &str,
    findings: &mut Vec<Finding>,
) -> Result<String, Error> {
    let granted = match members.get("scope") {
        None | Some(Value::Null) => return Ok(requested.to_owned()),
        Some(_) => STS.text(members, "scope")?,
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
        findings.push(Finding::strict(Code::ScopeMismatch, text));
    }
    Ok(granted.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grant::sts::{Api, Proof, Sts};
    use crate::http::url::Url;
    use crate::identity::jwt::UnverifiedClaims;
    use crate::secret::Secret;

    const URL: &str = "https://sts.eqix.equinix.com";
    const TOKEN: &str = "abcdefghijklmnop0123456789";
    const ID_TOKEN: &str = "header.payload.signature";

    fn with<T>(act: impl FnOnce(&Request<'_>) -> T) -> T {
        let subject_token = Secret::new(ID_TOKEN);
        let claims = json!({"iss": "https://i", "aud": "a", "sub": "repo:o@1/r@2:ref:x"});
        let claims = UnverifiedClaims { header: Map::new(), claims: claims.as_object().unwrap().clone() };
        act(&Request {
            sts: &Sts { endpoint: Url::parse(URL).unwrap(), api: Api::Alpha },
            scope: "roleassignments:o",
            min_ttl: 60,
            proof: Proof::IdToken { token: &subject_token, claims: &claims },
            contact: None,
        })
    }

    fn good() -> Value {
        json!({"access_token": TOKEN, "issued_token_type": Kind::AccessToken.token_type_uri(), "token_type": "Bearer", "expires_in": 3600})
    }

    /// Reads the good answer with one member changed (`null` removes it).
    fn read(name: &str, value: Value) -> Result<(Credential, Vec<Finding>), Error> {
        let mut members = good().as_object().unwrap().clone();
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.to_owned(), value)
        };
        let mut members = SecretObject::parse(Value::Object(members).to_string().as_bytes()).unwrap();
        let mut credential = with(|request| request.credential(&mut members, 1_000))?;
        let findings = std::mem::take(&mut credential.findings);
        Ok((credential, findings))
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
            (credential.scope.as_deref(), credential.issuer.as_deref()),
            (Some("roleassignments:o"), Some("https://i"))
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
}
