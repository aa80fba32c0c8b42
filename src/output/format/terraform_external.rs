//! The answer to Terraform's data source `external`: one flat object whose values are all strings,
//! <https://github.com/hashicorp/terraform-provider-external/blob/main/docs/data-sources/external.md>.

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::error::Error;
use crate::output::request::Caller;
use crate::secret::SecretBytes;
use crate::text::printable;

use super::object::Member::Text;
use super::object::json_line;
use super::{Destination, Format, Keeper, Options};

/// A flat object of strings; what is asked for comes on standard input.
pub(super) struct TerraformExternal;

impl Format for TerraformExternal {
    fn id(&self) -> &'static str {
        "terraform-external"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Stdout]
    }

    fn render(&self, credential: &Credential, _: &Options<'_>, _: Destination) -> Result<SecretBytes, Error> {
        let expires_in = credential.expires_in.to_string();
        let expires_at = credential.expires_at_text();
        // These come from a server or a token, and Terraform shows them to people.
        let scope = credential.scope.as_deref().map(printable);
        let [subject, issuer] =
            [&credential.subject, &credential.issuer].map(|text| text.as_deref().map(printable));
        let mut members =
            vec![("available", Text("true")), (credential.kind.member(), Text(credential.token.reveal()))];
        if credential.kind == Kind::AccessToken {
            members.push(("token_type", Text(TOKEN_TYPE)));
        }
        members.extend([("expires_in", Text(&expires_in)), ("expires_at", Text(&expires_at))]);
        members.extend(scope.as_deref().map(|scope| ("scope", Text(scope))));
        members.extend(subject.as_deref().map(|subject| ("subject", Text(subject))));
        members.extend(issuer.as_deref().map(|issuer| ("issuer", Text(issuer))));
        Ok(json_line(&members))
    }

    fn render_unavailable(&self, reason: &str, _: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        Some((Destination::Stdout, json_line(&[("available", Text("false")), ("reason", Text(reason))])))
    }

    fn keeps_stderr(&self) -> Option<Keeper> {
        Some(Keeper {
            habit: "Terraform keeps standard error of its programs to itself",
            instead: "Run `equinix-wif exec -- terraform apply` in the step",
        })
    }

    fn caller(&self) -> Option<Caller> {
        Some(Caller::Terraform)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn every_value_is_a_string() {
        assert_eq!(
            rendered(&TerraformExternal, Destination::Stdout, None),
            concat!(
                r#"{"available":"true","access_token":"tok.en-._~+/0123456789==","token_type":"Bearer","#,
                r#""expires_in":"3600","expires_at":"2026-11-22T04:00:00Z","scope":"roleassignments:org","#,
                r#""subject":"repo:octo-org/octo-repo:ref:refs/heads/main","#,
                r#""issuer":"https://token.actions.githubusercontent.com"}"#,
                "\n"
            )
        );
        assert_eq!(
            rendered_id_token(&TerraformExternal, Destination::Stdout),
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
