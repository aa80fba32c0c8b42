//! A JSON object with RFC 8693's names and `expires_at`.

use serde::Serialize;

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Format, Options, Place, json_line, json_size};

/// RFC 8693 section 2.2.1, with the moment of expiry added.
pub(super) struct Json;

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    issued_token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    expires_in: u64,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

#[derive(Serialize)]
struct Unavailable<'a> {
    available: bool,
    reason: &'a str,
}

impl Format for Json {
    fn id(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "a JSON object with RFC 8693's names on standard output"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        let is = |kind: Kind| credential.kind == kind;
        let answer = Answer {
            access_token: is(Kind::AccessToken).then(|| credential.token.reveal()),
            id_token: is(Kind::IdToken).then(|| credential.token.reveal()),
            issued_token_type: credential.kind.token_type_uri(),
            token_type: is(Kind::AccessToken).then_some(TOKEN_TYPE),
            expires_in: credential.expires_in,
            expires_at: credential.expires_at_text(),
            scope: credential.scope.as_deref(),
        };
        Ok(json_line(&answer, json_size(credential)))
    }

    fn render_unavailable(&self, reason: &str, _: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::Stdout, json_line(&Unavailable { available: false, reason }, 128)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn has_the_contract_s_members_in_order() {
        assert_eq!(
            rendered(&Json, Place::Stdout, None),
            concat!(
                r#"{"access_token":"tok.en-._~+/0123456789==","#,
                r#""issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","#,
                r#""expires_in":3600,"expires_at":"2026-11-22T04:00:00Z","scope":"roleassignments:org"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_id_token(&Json, Place::Stdout),
            concat!(
                r#"{"id_token":"tok.en-._~+/0123456789==","#,
                r#""issued_token_type":"urn:ietf:params:oauth:token-type:id_token","#,
                r#""expires_in":3600,"expires_at":"2026-11-22T04:00:00Z"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_unavailable(&Json).unwrap().1,
            "{\"available\":false,\"reason\":\"fork-pull-request\"}\n"
        );
    }
}
