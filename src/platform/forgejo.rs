//! Forgejo Actions, as of Forgejo 15: <https://forgejo.org/docs/latest/user/actions/openid-connect/>.
//!
//! Its runner has GitHub's variables, runner files and commands, and its servers answer as GitHub's do. A job asks for the
//! permission with `enable-openid-connect: true`; without it both request variables are absent.

use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::Peer;
use crate::identity::claims::ExpectedIssuer;

use super::facts::{Audience, Facts, Folder, Supply};
use super::github::{self, names as github_names};
use super::mask::Mask;
use super::request::RequestEndpoint;
use super::{Platform, inside_exec};

/// The variables of Forgejo's runner that GitHub's does not have.
pub mod names {
    crate::env::variables! {
        /// `true` in Forgejo jobs, which have GitHub's variables as well.
        FORGEJO_ACTIONS = "FORGEJO_ACTIONS";
    }
}

/// Forgejo instances, Codeberg among them.
pub(super) struct Forgejo;

static FACTS: Facts = Facts {
    id: "forgejo",
    name: "Forgejo Actions",
    markers: &[(names::FORGEJO_ACTIONS, "true")],
    variables: names::ALL,
    secrets: &[github_names::ACTIONS_ID_TOKEN_REQUEST_TOKEN],
    leads: &[github_names::ACTIONS_ID_TOKEN_REQUEST_URL],
    reserved: &["FORGEJO_"],
    temporary: &[Folder { variable: github_names::RUNNER_TEMP, suffix: "" }],
    workspace: Some(github_names::GITHUB_WORKSPACE),
    summary: Some(github_names::GITHUB_STEP_SUMMARY),
    // A failure is annotated already, since these jobs are marked as GitHub's too.
    mask: Mask::Line(github::mask),
    format: "github",
    supply: Supply::Endpoint(&ENDPOINT),
    audience: Audience::Required,
    renews: true,
    run: github::RUN,
    ..Facts::NEUTRAL
};

const ENDPOINT: RequestEndpoint = RequestEndpoint {
    owner: "Forgejo",
    says: "Forgejo says",
    peer: Peer {
        name: "Forgejo's ID-token endpoint",
        stage: Stage::Identity,
        too_large: Code::IdTokenTooLarge,
        not_json: Code::IdTokenNotJson,
    },
    missing: not_enabled,
    incomplete: Code::IdTokenNotOffered,
    domain: None,
    // A task that is not running gets 500, which is tried again in any case.
    is_early: |_, _| false,
    advice: |status| match status {
        400 => Some(
            "The request belongs to another run: look for an earlier step that changes ACTIONS_ID_TOKEN_REQUEST_URL.",
        ),
        401 => {
            Some("The request token was not accepted. It is valid in this job only, and while the job runs.")
        }
        404 => Some("There is no such endpoint. Forgejo has it from version 15 on."),
        _ => None,
    },
    ..github::ENDPOINT
};

impl Platform for Forgejo {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let server = env.text(github_names::GITHUB_SERVER_URL)?;
        let issuer = |server: String| format!("{}/api/actions", server.trim_end_matches('/'));
        Ok(server.map(|server| ExpectedIssuer::Exactly(issuer(server))))
    }
}

/// Explains why there is no way to ask.
fn not_enabled(env: &Env) -> Error {
    let error = Error::new(Code::IdTokenNotOffered, "this job may not ask Forgejo for an ID token").with_cure(
        "Add to the workflow or to the job:\n    enable-openid-connect: true\nForgejo has ID tokens from version 15 on, and gives none to pull requests from forks. If it is there, the variables were lost: docker run needs -e ACTIONS_ID_TOKEN_REQUEST_URL -e ACTIONS_ID_TOKEN_REQUEST_TOKEN.",
    );
    inside_exec(error, env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_below_the_instance() {
        let issuer = |server: &str| {
            Forgejo.expected_issuer(&Env::fixed([(github_names::GITHUB_SERVER_URL, server)])).unwrap()
        };
        let expected = |text: &str| Some(ExpectedIssuer::Exactly(text.to_owned()));
        assert_eq!(issuer("https://codeberg.org"), expected("https://codeberg.org/api/actions"));
        assert_eq!(issuer("https://git.example/sub/"), expected("https://git.example/sub/api/actions"));
        assert_eq!(issuer(""), None);
    }

    #[test]
    fn nothing_but_the_marker_of_forgejo_tells_of_it() {
        let here = |pairs: &[(&str, &str)]| Forgejo.here(&Env::fixed(pairs.iter().copied())).is_here;
        assert!(here(&[("FORGEJO_ACTIONS", "true")]));
        assert!(here(&[("FORGEJO_ACTIONS", "true"), ("GITEA_ACTIONS", "true"), ("GITHUB_ACTIONS", "true")]));
        assert!(!here(&[("FORGEJO_ACTIONS", "1"), ("GITHUB_ACTIONS", "true")]));
        assert!(!here(&[("GITEA_ACTIONS", "true"), ("GITHUB_ACTIONS", "true")]));
    }
}
