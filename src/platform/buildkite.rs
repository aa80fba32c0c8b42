//! Buildkite: <https://buildkite.com/docs/agent/v3/cli-oidc>.
//!
//! The agent's own program asks for ID tokens and tells the log what to hide. Its subjects have the commit in them unless
//! `BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM` names another claim, which the agent itself reads.

use crate::child::Helper;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::ExpectedIssuer;
use crate::identity::subject;
use crate::secret::Secret;
use crate::session::Session;

use super::facts::{Audience, Facts, Supply};
use super::helper_program::{self, explain};
use super::mask::Mask;
use super::{Fetched, Platform, Wanted, inside_exec};

/// The variables of Buildkite's agent.
pub mod names {
    crate::env::variables! {
        /// `true` in every Buildkite job.
        BUILDKITE = "BUILDKITE";
        /// The id of this job.
        BUILDKITE_JOB_ID = "BUILDKITE_JOB_ID";
        /// The number of this build.
        BUILDKITE_BUILD_NUMBER = "BUILDKITE_BUILD_NUMBER";
        /// The organization of this job.
        BUILDKITE_ORGANIZATION_SLUG = "BUILDKITE_ORGANIZATION_SLUG";
        /// The pipeline of this job.
        BUILDKITE_PIPELINE_SLUG = "BUILDKITE_PIPELINE_SLUG";
        /// The checkout of a Buildkite job: no token is written there.
        BUILDKITE_BUILD_CHECKOUT_PATH = "BUILDKITE_BUILD_CHECKOUT_PATH";
        /// The agent's token for this job. A secret.
        BUILDKITE_AGENT_ACCESS_TOKEN = "BUILDKITE_AGENT_ACCESS_TOKEN";
        /// The API that the agent speaks to.
        BUILDKITE_AGENT_ENDPOINT = "BUILDKITE_AGENT_ENDPOINT";
        /// The socket on which the agent is told what to hide.
        BUILDKITE_AGENT_JOB_API_SOCKET = "BUILDKITE_AGENT_JOB_API_SOCKET";
        /// The bearer for that socket. A secret.
        BUILDKITE_AGENT_JOB_API_TOKEN = "BUILDKITE_AGENT_JOB_API_TOKEN";
        /// `true` when the agent should speak HTTP/1.1.
        BUILDKITE_NO_HTTP2 = "BUILDKITE_NO_HTTP2";
        /// The claim that Buildkite takes as the subject, such as `pipeline_id`. The agent reads it.
        BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM = "BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM";
        /// Further claims of the ID token, such as `organization_id`. The agent reads it.
        BUILDKITE_OIDC_TOKEN_CLAIMS = "BUILDKITE_OIDC_TOKEN_CLAIMS";
    }
}

/// Buildkite, whose control plane is one for all.
pub(super) struct Buildkite;

static FACTS: Facts = Facts {
    id: "buildkite",
    name: "Buildkite",
    markers: &[(names::BUILDKITE, "true")],
    variables: names::ALL,
    secrets: &[names::BUILDKITE_AGENT_ACCESS_TOKEN],
    reserved: &["BUILDKITE_"],
    workspace: Some(names::BUILDKITE_BUILD_CHECKOUT_PATH),
    mask: Mask::Program(AGENT, &["redactor", "add"]),
    format: "env-file",
    supply: Supply::Request,
    audience: Audience::Required,
    renews: true,
    run: &[
        ("organization_slug", names::BUILDKITE_ORGANIZATION_SLUG),
        ("pipeline_slug", names::BUILDKITE_PIPELINE_SLUG),
        ("build_number", names::BUILDKITE_BUILD_NUMBER),
        ("job_id", names::BUILDKITE_JOB_ID),
    ],
    ..Facts::NEUTRAL
};

const AGENT: Helper = Helper {
    program: "buildkite-agent",
    variables: &[
        names::BUILDKITE_JOB_ID,
        names::BUILDKITE_AGENT_ACCESS_TOKEN,
        names::BUILDKITE_AGENT_ENDPOINT,
        names::BUILDKITE_AGENT_JOB_API_SOCKET,
        names::BUILDKITE_AGENT_JOB_API_TOKEN,
        names::BUILDKITE_NO_HTTP2,
        names::BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM,
        names::BUILDKITE_OIDC_TOKEN_CLAIMS,
    ],
    beginnings: &[],
};

impl Platform for Buildkite {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn ready(&self, env: &Env, _: &Wanted) -> Result<(), Error> {
        for name in [names::BUILDKITE_AGENT_ACCESS_TOKEN, names::BUILDKITE_JOB_ID] {
            if !env.has(name) {
                let message = format!("{name} is not set, and the agent needs it to ask for an ID token");
                return Err(inside_exec(not_offered(message), env));
            }
        }
        AGENT.find(env).map(drop).map_err(|why| explain(&AGENT, &why, NEEDS))
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        self.ready(&session.env, wanted)?;
        for name in [names::BUILDKITE_AGENT_ACCESS_TOKEN, names::BUILDKITE_AGENT_JOB_API_TOKEN] {
            if let Some(secret) = session.env.text(name)? {
                session.console.guard(&Secret::new(secret));
            }
        }
        let audience = wanted.chosen_audience(&FACTS)?;
        // The agent makes several attempts by itself.
        let arguments = ["oidc", "request-token", "--audience", audience];
        let answer = AGENT.run(&session.env, &arguments, None, by);
        let answer = answer.map_err(|why| explain(&AGENT, &why, NEEDS))?;
        Ok(Fetched { token: helper_program::token(&AGENT, &answer)?, skew: None })
    }

    fn expected_issuer(&self, _: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(Some(ExpectedIssuer::Exactly(subject::BUILDKITE.to_owned())))
    }
}

fn not_offered(message: impl Into<String>) -> Error {
    Error::new(Code::IdTokenNotOffered, message).with_cure(NEEDS)
}

const NEEDS: &str = "Buildkite's agent sets its variables in every job, and its program is in the PATH of every job. A container must be given them: the docker plugin has mount-buildkite-agent and propagate-environment.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_needs_is_missed_by_name() {
        let missed = |pairs: &[(&str, &str)]| {
            let env = Env::fixed(pairs.iter().copied());
            let error = Buildkite.ready(&env, &Wanted::default()).unwrap_err();
            assert_eq!(error.code(), Code::IdTokenNotOffered);
            error.message().to_owned()
        };
        let (token, job) = (("BUILDKITE_AGENT_ACCESS_TOKEN", "x"), ("BUILDKITE_JOB_ID", "y"));
        assert!(missed(&[job]).starts_with("BUILDKITE_AGENT_ACCESS_TOKEN is not set"));
        assert!(missed(&[token]).starts_with("BUILDKITE_JOB_ID is not set"));
        assert!(missed(&[token, job, ("PATH", "/nowhere")]).contains("in no folder of PATH"));
    }
}
