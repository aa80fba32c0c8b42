//! GitLab CI: <https://docs.gitlab.com/ci/secrets/id_token_authentication/>.
//!
//! A job that declares `id_tokens:` finds the token in a variable of the name that it chose. The token is made once,
//! when the job is handed to the runner, and cannot be renewed.

use crate::clock;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::{ExpectedIssuer, RunBinding};
use crate::session::Session;

use super::facts::{Facts, Folder, ReadyToken, Supply, Trace};
use super::{Fetched, Platform, SUBJECT_TOKENS, Wanted, bind};

/// The variables of GitLab's runner.
pub mod names {
    crate::env::variables! {
        /// `true` in every GitLab job.
        GITLAB_CI = "GITLAB_CI";
        /// The GitLab instance, which is also the issuer unless an administrator changed it.
        CI_SERVER_URL = "CI_SERVER_URL";
        /// The id of this job.
        CI_JOB_ID = "CI_JOB_ID";
        /// The id of this pipeline.
        CI_PIPELINE_ID = "CI_PIPELINE_ID";
        /// The id of the project that this job runs in.
        CI_PROJECT_ID = "CI_PROJECT_ID";
        /// The checkout of a GitLab job: no token is written there.
        CI_PROJECT_DIR = "CI_PROJECT_DIR";
        /// The time that this job may run, in seconds.
        CI_JOB_TIMEOUT = "CI_JOB_TIMEOUT";
        /// The moment when this job started (RFC 3339).
        CI_JOB_STARTED_AT = "CI_JOB_STARTED_AT";
        /// `true` when GitLab's runner traces every command with its variables into the job log.
        CI_DEBUG_TRACE = "CI_DEBUG_TRACE";
    }
}

/// gitlab.com and self-managed instances.
pub(super) struct GitLab;

static FACTS: Facts = Facts {
    id: "gitlab",
    name: "GitLab CI",
    markers: &[(names::GITLAB_CI, "true")],
    variables: names::ALL,
    reserved: &["CI_", "GITLAB_"],
    // GitLab's runner keeps its own files there, beside the checkout.
    temporary: &[Folder { variable: names::CI_PROJECT_DIR, suffix: ".tmp" }],
    workspace: Some(names::CI_PROJECT_DIR),
    trace: Some(Trace {
        variable: names::CI_DEBUG_TRACE,
        // The runner reads it with Go's strconv.ParseBool.
        off: &["0", "f", "F", "false", "FALSE", "False"],
        cure: "Remove CI_DEBUG_TRACE from the job, or consent with --force. A runner whose configuration has debug_trace_disabled traces nothing, so with such a runner --force shows no token.",
    }),
    format: "env-file",
    supply: Supply::Variable(TOKEN),
    advice_on_expiry: Some(
        "GitLab makes the token when the job starts, and it lives as long as the job may run. Exchange it in the job that declares it, early, or give the job more time:\n    timeout: 2h\nA token that comes from another job, a cache or a pipeline variable is stale. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

const TOKEN: ReadyToken =
    ReadyToken { variables: SUBJECT_TOKENS, missing: Code::GlIdTokensMissing, cure: Some(id_tokens) };

impl Platform for GitLab {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn ready(&self, env: &Env, wanted: &Wanted) -> Result<(), Error> {
        TOKEN.read(env, wanted).map(drop)
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, _: Deadline) -> Result<Fetched, Error> {
        TOKEN.read(&session.env, wanted)
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(env.text(names::CI_SERVER_URL)?.map(ExpectedIssuer::Exactly))
    }

    fn run_bindings(&self, env: &Env) -> Result<Vec<RunBinding>, Error> {
        // `project_id` describes the fork in a merge request from one, so the project is compared by
        // `job_project_id`, which GitLab has since 18.4.
        bind(
            env,
            &[
                ("job_id", names::CI_JOB_ID),
                ("pipeline_id", names::CI_PIPELINE_ID),
                ("job_project_id", names::CI_PROJECT_ID),
            ],
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
}

/// The lines of YAML that put the token into its variable.
fn id_tokens(wanted: &Wanted) -> String {
    let variable = wanted.location.variables().next().unwrap_or_default();
    let audience = wanted.audience.as_deref();
    format!(
        "Declare the token in this job; a copy of it under variables: is not expanded.\n    id_tokens:\n      {variable}:\n        aud: {}\nIf another name is used there, pass it with --subject-token-env. A container, sudo or ssh may have lost it: docker run needs -e {variable}.",
        audience.unwrap_or("<a trusted client id of your OIDC provider at Equinix>")
    )
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
