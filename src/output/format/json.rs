//! A JSON object with RFC 8693's names and `expires_at`.

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::error::Error;
use crate::secret::SecretBytes;

use super::object::Member::{Flag, Number, Text};
use super::object::json_line;
use super::{Destination, Format, Options};

/// RFC 8693 section 2.2.1, with the moment of expiry added.
pub(super) struct Json;

impl Format for Json {
    fn id(&self) -> &'static str {
        "json"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Destination) -> Result<SecretBytes, Error> {
        let expires_at = credential.expires_at_text();
        let mut members = vec![
            (credential.kind.member(), Text(credential.token.reveal())),
            ("issued_token_type", Text(credential.kind.token_type_uri())),
        ];
        // An ID token is no bearer token for anybody but the STS.
        if credential.kind == Kind::AccessToken {
            members.push(("token_type", Text(TOKEN_TYPE)));
        }
        members.extend([("expires_in", Number(credential.expires_in)), ("expires_at", Text(&expires_at))]);
        members.extend(credential.scope.as_deref().map(|scope| ("scope", Text(scope))));
        Ok(json_line(&members))
    }

    fn render_unavailable(&self, reason: &str, _: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        Some((Destination::Stdout, json_line(&[("available", Flag(false)), ("reason", Text(reason))])))
    }

    fn is_substituted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn has_the_contract_s_members_in_order() {
        assert_eq!(
            rendered(&Json, Destination::Stdout, None),
            concat!(
                r#"{"access_token":"tok.en-._~+/0123456789==","#,
                r#""issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","#,
                r#""expires_in":3600,"expires_at":"2026-11-22T04:00:00Z","scope":"roleassignments:org"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_id_token(&Json, Destination::Stdout),
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
