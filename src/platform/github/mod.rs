//! GitHub Actions: <https://docs.github.com/actions/reference/security/oidc>.
//!
//! With `permissions: id-token: write` the runner gives every step a URL and a bearer token; a GET with the audience
//! appended returns `{"value": "<ID token>"}`. Without the permission both variables are absent.

use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::Peer;
use crate::identity::claims::ExpectedIssuer;

use super::facts::{Audience, Facts, Folder, Supply};
use super::mask::Mask;
use super::request::{self, RequestEndpoint};
use super::{Platform, forgejo};

mod no_permission;

use no_permission::no_permission;

/// The variables of GitHub's runner, and of systems that imitate it.
pub mod names {
    crate::env::variables! {
        /// `true` in every GitHub Actions job, and in those of systems that imitate it.
        GITHUB_ACTIONS = "GITHUB_ACTIONS";
        /// `true` in Gitea jobs, which also set `GITHUB_ACTIONS`.
        GITEA_ACTIONS = "GITEA_ACTIONS";
        /// GitHub's ID-token endpoint; set only with `permissions: id-token: write`.
        ACTIONS_ID_TOKEN_REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL";
        /// The bearer for GitHub's ID-token endpoint. A secret.
        ACTIONS_ID_TOKEN_REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
        /// The GitHub instance, e.g. `https://github.com`: the issuer follows from it.
        GITHUB_SERVER_URL = "GITHUB_SERVER_URL";
        /// `owner/name` of the repository of this run.
        GITHUB_REPOSITORY = "GITHUB_REPOSITORY";
        /// The id of the repository of this run.
        GITHUB_REPOSITORY_ID = "GITHUB_REPOSITORY_ID";
        /// The id of this run.
        GITHUB_RUN_ID = "GITHUB_RUN_ID";
        /// The attempt of this run.
        GITHUB_RUN_ATTEMPT = "GITHUB_RUN_ATTEMPT";
        /// The event that started this run.
        GITHUB_EVENT_NAME = "GITHUB_EVENT_NAME";
        /// The file with the event's payload.
        GITHUB_EVENT_PATH = "GITHUB_EVENT_PATH";
        /// The user who started this run.
        GITHUB_ACTOR = "GITHUB_ACTOR";
        /// The step's `id`; a name that begins with `__` where the step has none.
        GITHUB_ACTION = "GITHUB_ACTION";
        /// The folder of the composite action that this step is a part of.
        GITHUB_ACTION_PATH = "GITHUB_ACTION_PATH";
        /// The checkout of a GitHub job: no token is written there.
        GITHUB_WORKSPACE = "GITHUB_WORKSPACE";
        /// The runner file for step outputs.
        GITHUB_OUTPUT = "GITHUB_OUTPUT";
        /// The runner file for variables of later steps.
        GITHUB_ENV = "GITHUB_ENV";
        /// The runner file for the job summary.
        GITHUB_STEP_SUMMARY = "GITHUB_STEP_SUMMARY";
        /// The runner's folder for temporary files, emptied with each job.
        RUNNER_TEMP = "RUNNER_TEMP";
    }
}

/// GitHub's endpoint, which systems that imitate GitHub have as well.
pub(super) const ENDPOINT: RequestEndpoint = RequestEndpoint {
    owner: "GitHub",
    says: "GitHub says",
    peer: Peer {
        name: "GitHub's ID-token endpoint",
        stage: Stage::Identity,
        too_large: Code::IdTokenTooLarge,
        not_json: Code::IdTokenNotJson,
    },
    url: names::ACTIONS_ID_TOKEN_REQUEST_URL,
    bearer: names::ACTIONS_ID_TOKEN_REQUEST_TOKEN,
    missing: |env| no_permission(env).unwrap_or_else(|unreadable| unreadable),
    incomplete: Code::GhRequestIncomplete,
    advice_on_incomplete: None,
    domain: Some("actions.githubusercontent.com"),
    server: names::GITHUB_SERVER_URL,
    request: request::get,
    pairs: &[("audience", "an audience")],
    advice_on_url: "The runner sets this variable. Look for an earlier step that changes it through GITHUB_ENV.",
    members: &["value"],
    // "Can't issue ID_TOKEN for job in 'Pending' state": the server does not see the job as running for a moment.
    is_early: |status, said| status == 403 && (said.contains("Pending") || said.contains("not in progress")),
    advice: |status| match status {
        401 => Some(
            "The request token was not accepted. It is valid for about six hours from the start of the job, and in this job only.",
        ),
        403 => {
            Some("Check that the job has permissions: id-token: write, and that the organization allows it.")
        }
        404 => Some(
            "There is no such endpoint. On GitHub Enterprise Server, check that its version supports OIDC.",
        ),
        _ => None,
    },
};

/// GitHub's own servers, cloud and enterprise.
pub(super) struct GitHub;

static FACTS: Facts = Facts {
    id: "github",
    name: "GitHub Actions",
    markers: &[(names::GITHUB_ACTIONS, "true")],
    // They set GitHub's variable as well, but have other issuers and another permission.
    imitators: &[(forgejo::names::FORGEJO_ACTIONS, "true"), (names::GITEA_ACTIONS, "true")],
    variables: names::ALL,
    secrets: &[names::ACTIONS_ID_TOKEN_REQUEST_TOKEN],
    leads: &[names::ACTIONS_ID_TOKEN_REQUEST_URL],
    reserved: &["GITHUB_", "RUNNER_", "ACTIONS_"],
    temporary: &[Folder { variable: names::RUNNER_TEMP, suffix: "" }],
    workspace: Some(names::GITHUB_WORKSPACE),
    summary: Some(names::GITHUB_STEP_SUMMARY),
    mask: Mask::Line(mask),
    annotation: Some(annotation),
    run: RUN,
    format: "github",
    supply: Supply::Endpoint(&ENDPOINT),
    audience: Audience::Required,
    renews: true,
    ..Facts::NEUTRAL
};

/// The claims that tie a token to a run of GitHub, or of a system that imitates it.
pub(super) const RUN: &[(&str, &str)] = &[
    ("repository", names::GITHUB_REPOSITORY),
    ("repository_id", names::GITHUB_REPOSITORY_ID),
    ("run_id", names::GITHUB_RUN_ID),
    ("run_attempt", names::GITHUB_RUN_ATTEMPT),
];

/// Tells whether nobody can read this step's outputs, since it has no `id`. The runner makes up a name then, such as `__run`
/// or `__run_2`, and no expression can begin like that. Inside a composite action the variable is about the step that uses
/// the action, so nothing is known of this one.
pub fn outputs_are_lost(env: &Env) -> bool {
    let name = env.os(names::GITHUB_ACTION);
    name.is_some_and(|name| name.to_string_lossy().starts_with("__")) && !env.has(names::GITHUB_ACTION_PATH)
}

/// The command that hides a value in the log from now on. Its line has to begin at column 0.
pub(super) fn mask(value: &str) -> String {
    const COMMAND: &str = "::add-mask::";
    // With room for all of it, were each character escaped, so that no smaller buffer with the secret stays behind.
    let mut line = String::with_capacity(COMMAND.len() + 3 * value.len() + 2);
    line.push_str(COMMAND);
    for character in value.chars() {
        match character {
            '%' => line.push_str("%25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            other => line.push(other),
        }
    }
    line
}

/// The command that puts a failure on the run's page. Its title is not masked by the runner.
fn annotation(title: &str, text: &str) -> String {
    format!("::error title={title}::{}", escape(text))
}

/// A value in a command's line.
fn escape(value: &str) -> String {
    value.replace('%', "%25").replace('\n', "%0A")
}

impl Platform for GitHub {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let server = env.text(names::GITHUB_SERVER_URL)?.unwrap_or_else(|| "https://github.com".to_owned());
        let server = server.trim_end_matches('/');
        Ok(Some(match server.strip_prefix("https://") {
            Some("github.com") => {
                ExpectedIssuer::WithSegment("https://token.actions.githubusercontent.com".to_owned())
            }
            Some(host) if host.ends_with(".ghe.com") => {
                ExpectedIssuer::WithSegment(format!("https://token.actions.{host}"))
            }
            // GitHub Enterprise Server.
            _ => ExpectedIssuer::Exactly(format!("{server}/_services/token")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(server: Option<&str>) -> ExpectedIssuer {
        let env = Env::fixed(server.map(|url| ("GITHUB_SERVER_URL", url)));
        GitHub.expected_issuer(&env).unwrap().unwrap()
    }

    #[test]
    fn a_command_cannot_be_broken_out_of() {
        assert_eq!(mask("a%b\r\nc"), "::add-mask::a%25b%0D%0Ac");
        assert_eq!(annotation("title", "100% : :x\ny"), "::error title=title::100%25 : :x%0Ay");
    }

    #[test]
    fn the_issuer_follows_from_the_server() {
        let cloud = ExpectedIssuer::WithSegment("https://token.actions.githubusercontent.com".into());
        assert_eq!(issuer(None), cloud);
        assert_eq!(issuer(Some("https://github.com")), cloud);
        assert_eq!(issuer(Some("https://github.com/")), cloud);
        assert_eq!(
            issuer(Some("https://octocorp.ghe.com")),
            ExpectedIssuer::WithSegment("https://token.actions.octocorp.ghe.com".into())
        );
        assert_eq!(
            issuer(Some("https://git.example")),
            ExpectedIssuer::Exactly("https://git.example/_services/token".into())
        );
        assert_eq!(
            issuer(Some("https://github.com.evil.example")),
            ExpectedIssuer::Exactly("https://github.com.evil.example/_services/token".into())
        );
    }
}
