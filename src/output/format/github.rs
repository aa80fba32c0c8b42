//! Step outputs and, when asked for, variables of later steps, in GitHub's runner files:
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#environment-files>.
//!
//! Always in the heredoc form with a random delimiter: a block that is cut short then makes the runner fail
//! loudly, whereas a cut `NAME=value` would pass as a shorter token.

use crate::credential::{Credential, Kind, TOKEN_TYPE};
use crate::env::Env;
use crate::error::{Code, Error};
use crate::platform::github::{self, names};
use crate::secret::SecretBytes;
use crate::text::printable;

use super::{Destination, Format, Options};

/// Outputs of the step; `GITHUB_ENV` with `--export-env`.
pub(super) struct GitHub;

impl Format for GitHub {
    fn id(&self) -> &'static str {
        "github"
    }

    fn places(&self, export_env: bool) -> Vec<Destination> {
        let mut places = vec![Destination::RunnerFile(names::GITHUB_OUTPUT)];
        if export_env {
            places.push(Destination::RunnerFile(names::GITHUB_ENV));
        }
        places
    }

    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        place: Destination,
    ) -> Result<SecretBytes, Error> {
        let token = credential.token.reveal();
        let expires_at = credential.expires_at_text();
        if place == Destination::RunnerFile(names::GITHUB_ENV) {
            return Ok(block(
                &[(options.env_name, token), (&options.expiry_name(), &expires_at)],
                options.delimiter,
            ));
        }
        // These come from a server or a token and may not add lines to the file.
        let scope = printable(credential.scope.as_deref().unwrap_or_default());
        let [subject, issuer] =
            [&credential.subject, &credential.issuer].map(|text| text.as_deref().map(printable));
        let expires_in = credential.expires_in.to_string();
        // An ID token is no bearer token for anybody but the STS, and its scope is yet to be asked for.
        let is_access_token = credential.kind == Kind::AccessToken;
        let all = [
            (credential.kind.output(), Some(token)),
            ("token-type", is_access_token.then_some(TOKEN_TYPE)),
            ("expires-in", Some(expires_in.as_str())),
            ("expires-at", Some(expires_at.as_str())),
            ("scope", is_access_token.then_some(scope.as_str())),
            ("subject", subject.as_deref()),
            ("issuer", issuer.as_deref()),
            ("available", Some("true")),
        ];
        let pairs: Vec<_> = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(block(&pairs, options.delimiter))
    }

    fn render_unavailable(&self, reason: &str, options: &Options<'_>) -> Option<(Destination, SecretBytes)> {
        let pairs = [("available", "false"), ("reason", reason)];
        Some((Destination::RunnerFile(names::GITHUB_OUTPUT), block(&pairs, options.delimiter)))
    }

    fn name_in(&self, variable: &str, kind: Kind, env_name: &str) -> Option<String> {
        Some(match variable {
            names::GITHUB_ENV => format!("{env_name} of the later steps"),
            _ => format!("this step's output {}", kind.output()),
        })
    }

    fn unreadable(&self, env: &Env, kind: Kind) -> Option<String> {
        github::outputs_are_lost(env).then(|| {
            format!(
                "this step has no id, so no other step can read its output {}: give it one, such as `id: equinix`",
                kind.output()
            )
        })
    }

    /// Leaves the code in the step's outputs: the runner reads those of failed steps as well.
    fn render_failure(&self, code: Code, delimiter: &str) -> Option<(Destination, SecretBytes)> {
        Some((
            Destination::RunnerFile(names::GITHUB_OUTPUT),
            block(&[("error-code", code.name())], delimiter),
        ))
    }
}

/// Lines for a runner file.
fn block(pairs: &[(&str, &str)], delimiter: &str) -> SecretBytes {
    let size = pairs.iter().map(|(name, value)| name.len() + value.len() + 2 * delimiter.len() + 8).sum();
    let mut text = Vec::with_capacity(size);
    for (name, value) in pairs {
        for piece in [name, "<<", delimiter, "\n", value, "\n", delimiter, "\n"] {
            text.extend_from_slice(piece.as_bytes());
        }
    }
    SecretBytes::new(text)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rendered, rendered_id_token, rendered_unavailable};
    use super::*;

    #[test]
    fn writes_the_contract_s_outputs() {
        let text = rendered(&GitHub, Destination::RunnerFile(names::GITHUB_OUTPUT), None);
        let expected = [
            ("access-token", "tok.en-._~+/0123456789=="),
            ("token-type", "Bearer"),
            ("expires-in", "3600"),
            ("expires-at", "2026-11-22T04:00:00Z"),
            ("scope", "roleassignments:org"),
            ("subject", "repo:octo-org/octo-repo:ref:refs/heads/main"),
            ("issuer", "https://token.actions.githubusercontent.com"),
            ("available", "true"),
        ];
        let expected: String =
            expected.map(|(name, value)| format!("{name}<<DELIMITER\n{value}\nDELIMITER\n")).concat();
        assert_eq!(text, expected);
    }

    #[test]
    fn an_id_token_has_neither_a_type_nor_a_scope() {
        let text = rendered_id_token(&GitHub, Destination::RunnerFile(names::GITHUB_OUTPUT));
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix("<<DELIMITER")).collect();
        assert_eq!(names, ["id-token", "expires-in", "expires-at", "subject", "issuer", "available"]);
        assert!(text.starts_with("id-token<<DELIMITER\ntok.en-._~+/0123456789==\nDELIMITER\n"), "{text}");
    }

    #[test]
    fn a_run_without_a_token_says_so_and_why() {
        let (place, text) = rendered_unavailable(&GitHub).unwrap();
        assert_eq!(place, Destination::RunnerFile("GITHUB_OUTPUT"));
        assert_eq!(
            text,
            "available<<DELIMITER\nfalse\nDELIMITER\nreason<<DELIMITER\nfork-pull-request\nDELIMITER\n"
        );
    }

    #[test]
    fn a_failure_leaves_its_code_and_nothing_else() {
        let (place, bytes) = GitHub.render_failure(Code::ClaimAud, "D").unwrap();
        assert_eq!(place, Destination::RunnerFile("GITHUB_OUTPUT"));
        assert_eq!(bytes.reveal(), b"error-code<<D\nclaim-aud\nD\n");
    }

    #[test]
    fn the_variables_go_to_github_env_only_when_asked_for() {
        assert_eq!(GitHub.places(false), [Destination::RunnerFile("GITHUB_OUTPUT")]);
        assert_eq!(
            GitHub.places(true),
            [Destination::RunnerFile("GITHUB_OUTPUT"), Destination::RunnerFile("GITHUB_ENV")]
        );
        assert_eq!(
            rendered(&GitHub, Destination::RunnerFile("GITHUB_ENV"), None),
            "EQUINIX_API_TOKEN<<DELIMITER\ntok.en-._~+/0123456789==\nDELIMITER\nEQUINIX_API_TOKEN_EXPIRES_AT<<DELIMITER\n2026-11-22T04:00:00Z\nDELIMITER\n"
        );
    }
}
