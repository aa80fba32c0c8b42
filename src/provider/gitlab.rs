//! GitLab CI: <https://docs.gitlab.com/ci/secrets/id_token_authentication/>.
//!
//! A job that declares `id_tokens:` finds the token in a variable of the name that it chose. The token is made once,
//! when the job is handed to the runner, and cannot be renewed.

use crate::claims::{ExpectedIssuer, RunBinding};
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::secret::Secret;

use super::{Context, Fetched, Provider, TokenSource, flag_evidence, token_from_variable};

/// gitlab.com and self-managed instances.
pub(super) struct GitLab;

impl Provider for GitLab {
    fn id(&self) -> &'static str {
        "gitlab"
    }

    fn name(&self) -> &'static str {
        "GitLab CI"
    }

    fn is_here(&self, env: &Env) -> bool {
        env.is(names::GITLAB_CI, "true")
    }

    fn evidence(&self, env: &Env) -> String {
        flag_evidence(env, names::GITLAB_CI)
    }

    fn ready(&self, env: &Env, source: &TokenSource, audience: Option<&str>) -> Result<(), Error> {
        token(env, source, audience).map(drop)
    }

    fn mints_on_request(&self) -> bool {
        false
    }

    fn fetch(&self, context: &Context<'_>) -> Result<Fetched, Error> {
        Ok(Fetched { token: token(context.env, context.source, context.audience)?, skew: None })
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(env.text(names::CI_SERVER_URL)?.map(ExpectedIssuer::Exactly))
    }

    fn run_bindings(&self, env: &Env) -> Result<Vec<RunBinding>, Error> {
        // `project_id` describes the fork in a merge request from one, so the project is compared by
        // `job_project_id`, which GitLab has since 18.4.
        let pairs = [
            ("job_id", names::CI_JOB_ID),
            ("pipeline_id", names::CI_PIPELINE_ID),
            ("job_project_id", names::CI_PROJECT_ID),
        ];
        let mut bindings = Vec::new();
        for (claim, variable) in pairs {
            bindings.extend(env.text(variable)?.map(|value| RunBinding { claim, variable, value }));
        }
        Ok(bindings)
    }

    fn advice_on_expiry(&self) -> Option<&'static str> {
        Some(
            "GitLab makes the token when the job starts, and it lives as long as the job may run. Exchange it in the job that declares it, early, or give the job more time:\n    timeout: 2h\nA token that comes from another job, a cache or a pipeline variable is stale. If the token is fresh, check this machine's clock.",
        )
    }

    fn format(&self) -> &'static str {
        "env-file"
    }

    fn workspace(&self) -> Option<&'static str> {
        Some(names::CI_PROJECT_DIR)
    }
}

/// The token in its variable, or the YAML that puts it there.
fn token(env: &Env, source: &TokenSource, audience: Option<&str>) -> Result<Secret, Error> {
    let variable = source.variable();
    let cure = format!(
        "Declare the token in this job; a copy of it under variables: is not expanded.\n    id_tokens:\n      {variable}:\n        aud: {}\nIf another name is used there, pass it with --subject-token-env.",
        audience.unwrap_or("<a trusted client id of your OIDC provider at Equinix>")
    );
    token_from_variable(env, variable, Code::GlIdTokensMissing, Some(&cure))
}
