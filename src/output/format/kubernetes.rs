//! An `ExecCredential` for client-go's exec plugins:
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>.

use crate::credential::Credential;
use crate::error::Error;
use crate::output::request::{Caller, EXEC_CREDENTIAL, EXEC_CREDENTIAL_VERSIONS};
use crate::secret::SecretBytes;

use super::object::Member::{Object, Text};
use super::object::json_line;
use super::{Destination, Format, Keeper, Options};

/// `status.token` with its expiry, in the version that was asked for.
pub(super) struct Kubernetes;

impl Format for Kubernetes {
    fn id(&self) -> &'static str {
        "kubernetes"
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
        let [newest, ..] = EXEC_CREDENTIAL_VERSIONS;
        let expires_at = credential.expires_at_text();
        Ok(json_line(&[
            ("apiVersion", Text(options.api_version.unwrap_or(newest))),
            ("kind", Text(EXEC_CREDENTIAL)),
            (
                "status",
                Object(&[
                    ("token", Text(credential.token.reveal())),
                    // Without it client-go keeps the token until the cluster refuses it.
                    ("expirationTimestamp", Text(&expires_at)),
                ]),
            ),
        ]))
    }

    /// Warns of some clients: client-go passes it on, others put it into their own message (Python's client does,
    /// unless its standard output is a terminal), and `KUBERNETES_EXEC_INFO` does not tell who asks.
    fn keeps_stderr(&self) -> Option<Keeper> {
        Some(Keeper {
            habit: "some Kubernetes clients keep standard error of their plugins to themselves",
            instead: "Write the token into a file in the step, with --format raw --output FILE, and name it as tokenFile in the kubeconfig",
        })
    }

    fn caller(&self) -> Option<Caller> {
        Some(Caller::Kubernetes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn is_an_exec_credential_of_the_version_asked_for() {
        let expected = concat!(
            r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","#,
            r#""status":{"token":"tok.en-._~+/0123456789==","expirationTimestamp":"2026-11-22T04:00:00Z"}}"#,
            "\n"
        );
        assert_eq!(rendered(&Kubernetes, Destination::Stdout, None), expected);
        assert_eq!(
            rendered_id_token(&Kubernetes, Destination::Stdout),
            expected,
            "a cluster may trust the issuer"
        );
        assert_eq!(rendered_unavailable(&Kubernetes), None, "client-go takes no other answer");
    }
}
