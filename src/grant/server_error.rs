//! The words of a server about a request that it refused. Everything in it is untrusted.

use serde_json::{Map, Value};

use crate::http::Response;
use crate::json;

/// An error answer, as far as there is one: RFC 6749 section 5.2, and the forms in which gateways and Equinix's other
/// services say the same. Everything in it is untrusted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    /// The name of the error in OAuth's terms.
    pub(super) error: Option<String>,
    /// The server's own sentence.
    pub(super) description: Option<String>,
    /// The server's own code, where it is no name of OAuth's.
    pub(super) code: Option<String>,
    /// True if it has the members that Equinix's APIs use.
    is_api: bool,
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

/// The members by which an error of Equinix's APIs is recognised, in both spellings.
const API_MEMBERS: [&str; 6] =
    ["error_domain", "errorDomain", "error_code", "errorCode", "developer_message", "developerMessage"];

/// The members that name the error, where `error` itself does not.
const NAMES: [&str; 3] = ["errorCode", "error_code", "code"];

impl ServerError {
    /// Reads what there is.
    pub(super) fn read(response: &Response) -> Self {
        match json::parse(&response.body) {
            Ok(value) => Self::in_json(&value),
            Err(_) if response.media_type().is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain")) => {
                let text = String::from_utf8_lossy(&response.body);
                Self {
                    description: Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
                    ..Self::default()
                }
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
        let description = match (sentence, &code) {
            (Some(sentence), Some(code)) => Some(format!("{sentence} ({code})")),
            (sentence, code) => sentence.or(code.clone()),
        };
        let is_api = API_MEMBERS.iter().any(|name| places().any(|place| place.contains_key(*name)));
        Self { error: text(members, "error"), description, code, is_api }
    }

    /// Tells whether Equinix's API itself said this, and not something in front of it.
    #[cfg(feature = "classic-grants")]
    pub(super) fn is_api(&self) -> bool {
        self.is_api
    }

    /// Tells whether the server's sentence has these words, in any case. `word` is in lower case.
    #[cfg(feature = "classic-grants")]
    pub(super) fn says(&self, word: &str) -> bool {
        self.description.as_deref().is_some_and(|text| text.to_lowercase().contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> (Option<String>, Option<String>) {
        let ServerError { error, description, .. } =
            ServerError::in_json(&json::parse(body.as_bytes()).unwrap());
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
