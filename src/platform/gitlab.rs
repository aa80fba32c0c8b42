//! GitLab CI: <https://docs.gitlab.com/ci/secrets/id_token_authentication/>.
//!
//! A job that declares `id_tokens:` finds the token in a variable of the name that it chose. The token is made once,
//! when the job is handed to the runner, and cannot be renewed.

use crate::clock;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::identity::claims::{ExpectedIssuer, RunBinding};
use crate::secret::Secret;

use super::{Context, Fetched, Platform, TokenLocation, flag_evidence, token_from_variable};

/// gitlab.com and self-managed instances.
pub(super) struct GitLab;

impl Platform for GitLab {
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

    fn ready(&self, env: &Env, source: &TokenLocation, audience: Option<&str>) -> Result<(), Error> {
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

    fn time_left(&self, env: &Env, now: i64) -> Option<u64> {
        let seconds = |name: &str| env.text(name).ok().flatten()?.parse::<u64>().ok();
        let timeout = seconds(names::CI_JOB_TIMEOUT)?;
        let started = env.text(names::CI_JOB_STARTED_AT).ok().flatten();
        // Without the start the whole time is the best that can be said.
        let elapsed = started.and_then(|text| clock::parse_rfc3339(&text)).map_or(0, |start| now - start);
        Some(timeout.saturating_sub(u64::try_from(elapsed).unwrap_or(0)))
    }

    fn format(&self) -> &'static str {
        "env-file"
    }

    fn workspace(&self) -> Option<&'static str> {
        Some(names::CI_PROJECT_DIR)
    }
}

/// The token in its variable, or the YAML that puts it there.
fn token(env: &Env, source: &TokenLocation, audience: Option<&str>) -> Result<Secret, Error> {
    let variable = source.variable();
    let cure = format!(
        "Declare the token in this job; a copy of it under variables: is not expanded.\n    id_tokens:\n      {variable}:\n        aud: {}\nIf another name is used there, pass it with --subject-token-env.",
        audience.unwrap_or("<a trusted client id of your OIDC provider at Equinix>")
    );
    token_from_variable(env, variable, Code::GlIdTokensMissing, Some(&cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_job_s_start() {
        let left =
            |pairs: &[(&str, &str)]| GitLab.time_left(&Env::fixed(pairs.iter().copied()), 1_795_320_000);
        let timeout = ("CI_JOB_TIMEOUT", "3600");
        let started = |at| ("CI_JOB_STARTED_AT", at);
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[started("2026-11-22T03:50:00Z")]), None);
        assert_eq!(left(&[("CI_JOB_TIMEOUT", "1h")]), None);
        for (at, expected) in [
            ("2026-11-22T03:50:00Z", 3000),
            ("2026-11-22T05:50:00+02:00", 3000),
            ("2026-11-22T02:00:00Z", 0),
            ("2026-11-22T04:10:00Z", 3600), // a clock that goes differently
            ("yesterday", 3600),
        ] {
            assert_eq!(left(&[timeout, started(at)]), Some(expected), "{at}");
        }
        assert_eq!(left(&[timeout]), Some(3600));
    }
}
