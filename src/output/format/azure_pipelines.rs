//! Secret output variables of a step of Azure Pipelines:
//! <https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands>.
//!
//! The agent obeys each command when it reads the line, so the token is a secret before it is a variable.

use crate::credential::Credential;
use crate::error::Error;
use crate::secret::SecretBytes;

use super::{Destination, Format, Options};

/// `##vso[…]` commands on standard output.
pub(super) struct AzurePipelines;

impl Format for AzurePipelines {
    fn id(&self) -> &'static str {
        "azure-pipelines"
    }

    fn places(&self, _: bool) -> Vec<Destination> {
        vec![Destination::Stdout]
    }

    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        _: Destination,
    ) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        let (expires_at, expiry) = (credential.expires_at_text(), options.expiry_name());
        // Names of variables have nothing that would end a property.
        let pieces = [
            "##vso[task.setsecret]",
            token,
            "\n##vso[task.setvariable variable=",
            options.env_name,
            ";issecret=true;isoutput=true]",
            token,
            "\n##vso[task.setvariable variable=",
            &expiry,
            ";isoutput=true]",
            &expires_at,
            "\n##vso[task.setvariable variable=available;isoutput=true]true\n",
        ];
        Ok(joined(&pieces))
    }

    fn render_unavailable(&self, reason: &str, _: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        let pieces = [
            "##vso[task.setvariable variable=available;isoutput=true]false",
            "\n##vso[task.setvariable variable=reason;isoutput=true]",
            reason,
            "\n",
        ];
        Some((Destination::Stdout, joined(&pieces)))
    }
}

/// Joins the pieces, with percent signs as the agent reads them. The room is taken at once, so that no copy of the token stays
/// behind.
fn joined(pieces: &[&str]) -> SecretBytes {
    const PERCENT: &[u8] = b"%AZP25";
    let size: usize = pieces.iter().map(|piece| piece.len() * PERCENT.len()).sum();
    let mut text = Vec::with_capacity(size);
    for byte in pieces.iter().flat_map(|piece| piece.bytes()) {
        if byte == b'%' { text.extend_from_slice(PERCENT) } else { text.push(byte) }
    }
    SecretBytes::new(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn the_token_is_a_secret_before_it_is_a_variable() {
        let text = rendered(&AzurePipelines, Destination::Stdout, None);
        let expected = "##vso[task.setsecret]tok.en-._~+/0123456789==\n\
                        ##vso[task.setvariable variable=EQUINIX_API_TOKEN;issecret=true;isoutput=true]tok.en-._~+/0123456789==\n\
                        ##vso[task.setvariable variable=EQUINIX_API_TOKEN_EXPIRES_AT;isoutput=true]2026-11-22T04:00:00Z\n\
                        ##vso[task.setvariable variable=available;isoutput=true]true\n";
        assert_eq!(text, expected);
        assert!(
            rendered_id_token(&AzurePipelines, Destination::Stdout).starts_with("##vso[task.setsecret]tok")
        );
    }

    #[test]
    fn a_run_without_a_token_says_so_and_why() {
        let (place, text) = rendered_unavailable(&AzurePipelines).unwrap();
        assert_eq!(place, Destination::Stdout);
        let set = |name: &str, value: &str| {
            format!("##vso[task.setvariable variable={name};isoutput=true]{value}\n")
        };
        assert_eq!(text, set("available", "false") + &set("reason", "fork-pull-request"));
    }

    #[test]
    fn percent_signs_are_escaped_as_the_agent_reads_them() {
        let bytes = joined(&["a%b", "\n"]);
        assert_eq!(bytes.reveal(), b"a%AZP25b\n");
    }
}
