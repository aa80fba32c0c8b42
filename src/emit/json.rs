//! A JSON object with RFC 8693's names and `expires_at`.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::credential::{ACCESS_TOKEN_TYPE, Credential, TOKEN_TYPE};
use crate::secret::SecretBytes;

use super::{Format, Options, Place};

/// RFC 8693 section 2.2.1, with the moment of expiry added.
pub(super) struct Json;

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    issued_token_type: &'static str,
    token_type: &'static str,
    expires_in: u64,
    expires_at: String,
    scope: &'a str,
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

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Place) -> SecretBytes {
        let answer = Answer {
            access_token: credential.access_token.reveal(),
            issued_token_type: ACCESS_TOKEN_TYPE,
            token_type: TOKEN_TYPE,
            expires_in: credential.expires_in,
            expires_at: credential.expires_at_text(),
            scope: &credential.scope,
        };
        // Room for everything at once, so that no smaller buffer with the token stays behind.
        let mut text =
            Zeroizing::new(Vec::with_capacity(answer.access_token.len() + 6 * answer.scope.len() + 512));
        // Texts and numbers into memory: this cannot fail.
        let _ = serde_json::to_writer(&mut *text, &answer);
        text.push(b'\n');
        SecretBytes::new(std::mem::take(&mut *text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rendered;
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
    }
}
