//! The shape that AWS's `credential_process` made known, for tools that run a program to get a credential:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.
//!
//! Only the shape: it holds a token and no AWS keys, so AWS's own tools refuse it.

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::error::Error;
use crate::secret::SecretBytes;

use super::object::Member::{Number, Text};
use super::object::json_line;
use super::{Destination, Format, Keeper, Options};

/// `Version`, the token and its `Expiration`.
pub(super) struct CredentialProcess;

impl Format for CredentialProcess {
    fn id(&self) -> &'static str {
        "credential-process"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Destination) -> Result<SecretBytes, Error> {
        let expires_at = credential.expires_at_text();
        let token = Text(credential.token.reveal());
        // The version is the number 1: a text is refused by those who read it.
        let mut members = vec![("Version", Number(1))];
        match credential.kind {
            Kind::AccessToken => members.extend([("AccessToken", token), ("TokenType", Text(TOKEN_TYPE))]),
            Kind::IdToken => members.push(("IdToken", token)),
        }
        members.push(("Expiration", Text(&expires_at)));
        Ok(json_line(&members))
    }

    /// Warns of botocore and others, which put it into the message of the failure, behind words of their own.
    fn keeps_stderr(&self) -> Option<Keeper> {
        Some(Keeper {
            habit: "those who run a credential process keep its standard error to themselves",
            instead: "Run the tool under `equinix-wif exec --` in the step",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn has_the_contract_s_members_in_order() {
        assert_eq!(
            rendered(&CredentialProcess, Destination::Stdout, None),
            concat!(
                r#"{"Version":1,"AccessToken":"tok.en-._~+/0123456789==","TokenType":"Bearer","#,
                r#""Expiration":"2026-11-22T04:00:00Z"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_id_token(&CredentialProcess, Destination::Stdout),
            "{\"Version\":1,\"IdToken\":\"tok.en-._~+/0123456789==\",\"Expiration\":\"2026-11-22T04:00:00Z\"}\n"
        );
        assert_eq!(rendered_unavailable(&CredentialProcess), None, "whoever reads it expects a token");
    }
}
