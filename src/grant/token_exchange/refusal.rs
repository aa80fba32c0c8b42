//! The answer to an exchange that was refused (RFC 6749 section 5.2, RFC 8693 section 2.2.2), and what to compare then.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Exit};
use crate::grant::scope;
use crate::http::Response;
use crate::identity::issuer;
use crate::json;
use crate::retry::Failure;
use crate::text::quote;

use super::Request;

impl Request<'_> {
    /// Says what an answer with another status than 200 means.
    pub(super) fn refusal(&self, response: &Response, now: i64) -> Failure {
        let status = response.status;
        let oauth = ServerError::read(response);
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
    fn describe(&self, error: Error, response: &Response, oauth: &ServerError) -> Error {
        let permanent = error.code().exit() == Exit::Refused;
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
        if let Some(challenge) = response.challenge().filter(|_| response.status == 401) {
            error = error.with_detail("challenge", quote(challenge));
        }
        for (header, id) in response.request_ids() {
            error = error.with_detail(header, quote(id));
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
        match issuer::other_name(self.claims.subject()) {
            Some(note) => error.with_detail("note", note),
            None => error,
        }
    }
}

/// The advice that lists what Equinix compares an ID token with, in its order, each with the value that this job presented.
const NOT_ACCEPTED: &str = "Compare exactly, and in this order: issuer with the OIDC provider's issuerLocation; audience with its trustedClientIds; subject with the principal of the grant; scope with what is granted. Check as well that the provider is ENABLED and not SUSPENDED.";

/// A refusal in OAuth's terms (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
fn denial(status: u16, oauth: &ServerError) -> Error {
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

/// An error answer, as far as there is one: RFC 6749 section 5.2, and the forms in which gateways and Equinix's other
/// services say the same. Everything in it is untrusted.
#[derive(Debug, Default, PartialEq, Eq)]
struct ServerError {
    error: Option<String>,
    description: Option<String>,
}

/// The members that hold a sentence for people: RFC 6749, its spelling in other services, and RFC 9457 (`detail`, `title`).
const SENTENCES: [&str; 9] = [
    "error_description",
    "errorDescription",
    "errorMessage",
    "error_message",
    "message",
    "detail",
    "title",
    "error_title",
    "errorTitle",
];

/// The members that name the error, where `error` itself does not.
const NAMES: [&str; 3] = ["errorCode", "error_code", "code"];

impl ServerError {
    fn read(response: &Response) -> Self {
        match json::parse(&response.body) {
            Ok(value) => Self::in_json(&value),
            Err(_) if response.media_type().is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain")) => {
                let text = String::from_utf8_lossy(&response.body);
                Self { error: None, description: Some(text.trim().to_owned()).filter(|t| !t.is_empty()) }
            }
            Err(_) => Self::default(),
        }
    }

    fn in_json(value: &Value) -> Self {
        // Equinix's API services answer with a list of errors.
        let members = match value {
            Value::Array(all) => all.first().and_then(Value::as_object),
            other => other.as_object(),
        };
        let Some(members) = members else { return Self::default() };
        let inner = members.get("error").and_then(Value::as_object);
        let text = |from: &Map<String, Value>, name: &str| {
            from.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(ToOwned::to_owned)
        };
        let places = || [Some(members), inner].into_iter().flatten();
        let sentence = SENTENCES.iter().find_map(|name| places().find_map(|place| text(place, name)));
        let code = NAMES.iter().find_map(|name| places().find_map(|place| text(place, name)));
        // A name that is no error of OAuth decides nothing, so it is only shown.
        let description = match (sentence, code) {
            (Some(sentence), Some(code)) => Some(format!("{sentence} ({code})")),
            (sentence, code) => sentence.or(code),
        };
        Self { error: text(members, "error"), description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> (Option<String>, Option<String>) {
        let ServerError { error, description } = ServerError::in_json(&json::parse(body.as_bytes()).unwrap());
        (error, description)
    }

    #[test]
    fn the_reason_is_found_in_every_published_form() {
        for (body, error, description) in [
            (r#"{"error":"invalid_grant","error_description":"why"}"#, Some("invalid_grant"), Some("why")),
            (r#"{"error":"invalid_grant","errorDescription":"why"}"#, Some("invalid_grant"), Some("why")),
            (r#"{"error":{"errorCode":"EQ-1"}}"#, None, Some("EQ-1")),
            (r#"{"error":{"message":"why","code":403}}"#, None, Some("why")),
            (r#"[{"errorCode":"EQ-1","errorMessage":"why"}]"#, None, Some("why (EQ-1)")),
            (r#"{"message":"why"}"#, None, Some("why")),
            (r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"why"}"#, None, Some("why")),
            (r#"{"title":"Forbidden","status":403}"#, None, Some("Forbidden")),
            (
                r#"{"error_domain":"apps","error_title":"t","error_code":"4001","error_message":"why"}"#,
                None,
                Some("why (4001)"),
            ),
            (r#"{"error":"denied","message":"why"}"#, Some("denied"), Some("why")),
            (r#"{"message":{"nested":"x"},"error":[]}"#, None, None),
            ("[]", None, None),
            ("[1]", None, None),
            ("\"why\"", None, None),
        ] {
            assert_eq!(
                said(body),
                (error.map(ToOwned::to_owned), description.map(ToOwned::to_owned)),
                "{body}"
            );
        }
    }
}
