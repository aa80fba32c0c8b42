//! The answer to a request that succeeded, as Equinix's OpenAPI document has it (`Oauth2TokenResponse`).

use serde_json::{Map, Value};

use crate::credential::{Credential, Kind};
use crate::error::{Code, Error};
use crate::grant::answer::{Server, check_life, guard_tokens};
use crate::http::Response;
use crate::identity::claims::Finding;
use crate::json::{self, SecretObject};
use crate::report::console::Console;
use crate::secret::Secret;
use crate::text::quote;

use super::Request;

/// The server whose answers are read here.
const API: Server =
    Server { name: "the Equinix API", not_json: Code::ApiNotJson, invalid: Code::ApiResponseInvalid };

/// The life of a token whose answer does not tell it, in seconds: Equinix documents 60 minutes, and Equinix's own clients
/// take that as well.
const USUAL_LIFE: u64 = 3600;

impl Request<'_> {
    /// Reads the answer to a request that succeeded. `now` is the time before the request.
    pub(super) fn read(&self, response: &Response, now: i64, console: &Console) -> Result<Credential, Error> {
        let with_status = |error: Error| error.with_http_status(200);
        let mut members = API.members(response).map_err(with_status)?;
        guard_tokens(&members, console);
        self.judge(&mut members, now).map_err(with_status)
    }

    /// Makes a credential of the members. One with a defect has nothing to use but a new refresh token.
    fn judge(&self, members: &mut SecretObject, now: i64) -> Result<Credential, Error> {
        // The server may have given up the old refresh token, whatever else is wrong with its answer.
        let rotated = self.rotated(members);
        match (self.credential(members, now), rotated) {
            (Ok(credential), rotated) => Ok(Credential { rotated, ..credential }),
            (Err(defect), Some(rotated)) => Ok(Credential {
                rotated: Some(rotated),
                defect: Some(defect.with_http_status(200)),
                ..Credential::new(Kind::AccessToken, Secret::new(String::new()), 0, now)
            }),
            (Err(error), None) => Err(error),
        }
    }

    /// Returns the new refresh token of an answer, if it can be one.
    fn rotated(&self, members: &Map<String, Value>) -> Option<Secret> {
        let text = members.get("refresh_token")?.as_str().filter(|_| self.rotates)?;
        API.check_token("refresh_token", text).ok().map(|()| Secret::new(text))
    }

    fn credential(&self, members: &mut SecretObject, now: i64) -> Result<Credential, Error> {
        for name in ["error", "error_code", "errorCode"] {
            if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
                let shown = value.as_str().map_or("(not a text)".to_owned(), quote);
                return Err(API
                    .invalid(format!("the Equinix API answered with status 200 and the member {name}"))
                    .with_detail(name, shown));
            }
        }
        // The document's default is Bearer, so an answer without it means that.
        if members.contains_key("token_type") {
            let token_type = API.text(members, "token_type")?;
            if !token_type.eq_ignore_ascii_case("bearer") {
                let message = "the Equinix API issued a token of another type than Bearer";
                return Err(API.invalid(message).with_detail("found", quote(token_type)));
            }
        }
        let token = API.text(members, "access_token")?;
        API.check_token("access_token", token)?;
        if self.secrets.iter().any(|(_, secret)| secret.reveal() == token) {
            return Err(API.invalid("the Equinix API gave a secret of the request back as access_token"));
        }
        let mut findings = Vec::new();
        let expires_in = life(members, &mut findings)?;
        // Where a refresh token comes along, the caller says so, with the other words about the life.
        if !self.rotates {
            check_life(expires_in, self.min_ttl)?;
        }
        let has_refresh_token = members.get("refresh_token").is_some_and(|value| !value.is_null());
        if has_refresh_token {
            let refresh_token = API.text(members, "refresh_token")?;
            API.check_token("refresh_token", refresh_token)?;
        }
        let missing = || API.missing("access_token");
        let token = members.take_secret("access_token").ok_or_else(missing)?;
        if has_refresh_token && !self.rotates {
            findings.push(Finding::warning(
                "the Equinix API sent a refresh token that nobody asked for; it was discarded",
            ));
        }
        let expires_at = now.saturating_add(i64::try_from(expires_in).unwrap_or(i64::MAX));
        Ok(Credential { findings, ..Credential::new(Kind::AccessToken, token, expires_in, expires_at) })
    }
}

/// Reads `token_timeout`, which is a string in Equinix's document and a number for whoever expects one. Each odd value has
/// one reading:
///
/// - a whole number, also as a string, and also as in the document's default `3599 (60 minutes)`: that many seconds;
/// - missing, or another text: an hour, as Equinix's own clients take it, with a warning;
/// - zero, negative, or more than a year: refused. Equinix's own clients take zero for a token that never expires, and
///   would go on to use it for ever.
fn life(members: &Map<String, Value>, findings: &mut Vec<Finding>) -> Result<u64, Error> {
    const NAME: &str = "token_timeout";
    let mut unknown = |found: String| {
        let text = format!("the Equinix API's token_timeout is {found}; the token is taken to live an hour");
        findings.push(Finding::strict(Code::ApiResponseInvalid, text));
        Ok(USUAL_LIFE)
    };
    match members.get(NAME) {
        None | Some(Value::Null) => unknown("missing".to_owned()),
        Some(Value::Number(number)) => {
            API.life(NAME, number.as_f64().unwrap_or(f64::NAN), &number.to_string())
        }
        Some(Value::String(text)) => match seconds(text) {
            Some(seconds) => API.life(NAME, seconds, &quote(text)),
            None => unknown(quote(text)),
        },
        Some(other) => {
            let kind = json::kind(other);
            Err(API.invalid(format!("the Equinix API's token_timeout is {kind} instead of a string")))
        }
    }
}

/// Reads a number of seconds out of a text.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let number = match text.split_once('(') {
        Some((number, comment)) if comment.ends_with(')') => number.trim_end(),
        _ => text,
    };
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Origin, SecretText};
    use super::*;
    use crate::http::url::Url;
    use crate::secret::Secret;

    const TOKEN: &str = "qwErtY8zyW1abcdefGHI";

    /// Reads the good answer with these members changed (`null` removes one).
    fn read(rotates: bool, changes: Value) -> Result<Credential, Error> {
        let mut members =
            json!({"access_token": TOKEN, "token_timeout": "3599", "token_type": "Bearer", "user_name": "u"})
                .as_object()
                .unwrap()
                .clone();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let endpoint = Url::parse(super::super::DEFAULT_ENDPOINT).unwrap();
        let secret = Secret::new("a-client-secret-of-ours");
        let request = Request {
            endpoint: &endpoint,
            path: super::super::TOKEN,
            members: Vec::new(),
            secrets: vec![("the client secret", &secret)],
            is_retired: false,
            rotates,
            min_ttl: 60,
        };
        let mut members = SecretObject::parse(Value::Object(members).to_string().as_bytes()).unwrap();
        request.judge(&mut members, 1_000)
    }

    fn code(changes: Value) -> &'static str {
        read(false, changes).map_or_else(|error| error.code().name(), |_| "ok")
    }

    #[test]
    fn a_good_answer_becomes_a_credential() {
        for changes in [json!({}), json!({"user_name": null}), json!({"token_type": null})] {
            let credential = read(false, changes).unwrap();
            assert_eq!(credential.token.reveal(), TOKEN);
            assert_eq!((credential.expires_in, credential.expires_at), (3599, 4599));
            assert!(credential.scope.is_none() && credential.rotated.is_none());
            assert_eq!(credential.findings, []);
        }
    }

    #[test]
    fn every_token_timeout_has_one_reading() {
        let life = |value: Value| {
            read(false, json!({"token_timeout": value}))
                .map(|credential| (credential.expires_in, credential.findings.len()))
                .map_err(|error| error.code().name())
        };
        for (value, seconds) in [
            (json!("3599"), 3599),
            (json!(3599), 3599),
            (json!(3599.9), 3599),
            (json!(" 3600 "), 3600),
            (json!("3599 (60 minutes)"), 3599),
            (json!("31536000"), 31_536_000),
        ] {
            assert_eq!(life(value.clone()), Ok((seconds, 0)), "{value}");
        }
        for value in [json!(null), json!("soon"), json!(""), json!("3.6e3"), json!("1h"), json!("3599 (")] {
            assert_eq!(life(value.clone()), Ok((3600, 1)), "{value}");
        }
        for value in [
            json!("0"),
            json!(0),
            json!("-1"),
            json!(-3600),
            json!(1e9),
            json!("1000000000"),
            json!(true),
            json!([]),
        ] {
            assert_eq!(life(value.clone()), Err("api-response-invalid"), "{value}");
        }
        assert_eq!(life(json!("59")), Err("token-ttl-too-short"));
    }

    #[test]
    fn only_what_can_be_a_bearer_token_is_taken() {
        for (changes, outcome) in [
            (json!({"token_type": "bearer"}), "ok"),
            (json!({"token_type": "MAC"}), "api-response-invalid"),
            (json!({"token_type": 1}), "api-response-invalid"),
            (json!({"access_token": null}), "api-response-invalid"),
            (json!({"access_token": "short"}), "api-response-invalid"),
            (json!({"access_token": "a token with blanks in it"}), "api-response-invalid"),
            (json!({"access_token": "a-client-secret-of-ours"}), "api-response-invalid"),
            (json!({"error_code": "1", "error_message": "x"}), "api-response-invalid"),
            (json!({"errorCode": "S1006"}), "api-response-invalid"),
            (json!({"error": "invalid_client"}), "api-response-invalid"),
        ] {
            assert_eq!(code(changes.clone()), outcome, "{changes}");
        }
    }

    #[test]
    fn a_refresh_token_is_kept_where_one_belongs() {
        let fresh = json!({"refresh_token": "aBiLmo8zsMX345MSaHHI", "refresh_token_timeout": "5182560"});
        let kept = read(true, fresh.clone()).unwrap();
        assert_eq!(kept.rotated.unwrap().reveal(), "aBiLmo8zsMX345MSaHHI");
        let dropped = read(false, fresh).unwrap();
        assert!(dropped.rotated.is_none());
        assert_eq!(dropped.findings.len(), 1);
        assert!(read(true, json!({"refresh_token": "two lines\nof text here"})).is_err());
        let spoilt =
            read(true, json!({"refresh_token": "aBiLmo8zsMX345MSaHHI", "token_timeout": "0"})).unwrap();
        assert_eq!(spoilt.defect.unwrap().code(), Code::ApiResponseInvalid);
        assert_eq!(spoilt.rotated.unwrap().reveal(), "aBiLmo8zsMX345MSaHHI");
        // The longest one that is kept can be read again.
        let longest = "r".repeat(crate::grant::api::LONGEST);
        let kept = read(true, json!({"refresh_token": longest})).unwrap().rotated.unwrap();
        assert!(SecretText::read(kept.reveal().as_bytes(), &Origin::File("--refresh-token-file")).is_ok());
        // Its life is nothing that this program needs, so no value of it spoils the answer.
        assert!(read(true, json!({"refresh_token_timeout": "never"})).is_ok());
    }
}
