//! The answer to Terraform's data source `external`: one flat object whose values are all strings,
//! <https://github.com/hashicorp/terraform-provider-external/blob/main/docs/data-sources/external.md>.

use serde::Serialize;

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::error::Error;
use crate::request::Asker;
use crate::secret::SecretBytes;
use crate::text::printable;

use super::{Format, Options, Place, json_line, json_size};

/// A flat object of strings; what is asked for comes on standard input.
pub(super) struct TerraformExternal;

#[derive(Serialize)]
struct Answer<'a> {
    available: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    expires_in: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    subject: String,
    issuer: String,
}

#[derive(Serialize)]
struct Unavailable<'a> {
    available: &'static str,
    reason: &'a str,
}

impl Format for TerraformExternal {
    fn id(&self) -> &'static str {
        "terraform-external"
    }

    fn about(&self) -> &'static str {
        "the answer to a Terraform data source external, whose query it reads from standard input"
    }

    fn places(&self, _: bool) -> Vec<Place> {
        vec![Place::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Place) -> Result<SecretBytes, Error> {
        let is = |kind: Kind| credential.kind == kind;
        let answer = Answer {
            available: "true",
            access_token: is(Kind::AccessToken).then(|| credential.token.reveal()),
            token_type: is(Kind::AccessToken).then_some(TOKEN_TYPE),
            id_token: is(Kind::IdToken).then(|| credential.token.reveal()),
            expires_in: credential.expires_in.to_string(),
            expires_at: credential.expires_at_text(),
            // These come from a server or a token, and Terraform shows them to people.
            scope: credential.scope.as_deref().map(printable),
            subject: printable(&credential.subject),
            issuer: printable(&credential.issuer),
        };
        Ok(json_line(&answer, json_size(credential)))
    }

    fn render_unavailable(&self, reason: &str, _: &Options<'_>) -> Option<(Place, SecretBytes)> {
        Some((Place::Stdout, json_line(&Unavailable { available: "false", reason }, 128)))
    }

    fn asker(&self) -> Option<Asker> {
        Some(Asker::Terraform)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn every_value_is_a_string() {
        assert_eq!(
            rendered(&TerraformExternal, Place::Stdout, None),
            concat!(
                r#"{"available":"true","access_token":"tok.en-._~+/0123456789==","token_type":"Bearer","#,
                r#""expires_in":"3600","expires_at":"2026-11-22T04:00:00Z","scope":"roleassignments:org","#,
                r#""subject":"repo:octo-org/octo-repo:ref:refs/heads/main","#,
                r#""issuer":"https://token.actions.githubusercontent.com"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_id_token(&TerraformExternal, Place::Stdout),
            concat!(
                r#"{"available":"true","id_token":"tok.en-._~+/0123456789==","#,
                r#""expires_in":"3600","expires_at":"2026-11-22T04:00:00Z","#,
                r#""subject":"repo:octo-org/octo-repo:ref:refs/heads/main","#,
                r#""issuer":"https://token.actions.githubusercontent.com"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_unavailable(&TerraformExternal).unwrap().1,
            "{\"available\":\"false\",\"reason\":\"fork-pull-request\"}\n"
        );
    }
}
