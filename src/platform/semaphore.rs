//! Semaphore: <https://docs.semaphoreci.com/reference/openid>.
//!
//! Every job finds a token in its variables. Its audience is the organization's address, as its issuer is.

use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::ExpectedIssuer;

use super::Platform;
use super::facts::{Facts, ReadyToken, Supply};

/// The variables of Semaphore's jobs.
pub mod names {
    crate::env::variables! {
        /// `true` in every Semaphore job.
        SEMAPHORE = "SEMAPHORE";
        /// Semaphore's ID token of this job. A secret.
        SEMAPHORE_OIDC_TOKEN = "SEMAPHORE_OIDC_TOKEN";
        /// The address of the Semaphore organization, which is the issuer.
        SEMAPHORE_ORGANIZATION_URL = "SEMAPHORE_ORGANIZATION_URL";
        /// The id of the Semaphore project.
        SEMAPHORE_PROJECT_ID = "SEMAPHORE_PROJECT_ID";
        /// The id of this run of a Semaphore workflow.
        SEMAPHORE_WORKFLOW_ID = "SEMAPHORE_WORKFLOW_ID";
        /// The id of this Semaphore job.
        SEMAPHORE_JOB_ID = "SEMAPHORE_JOB_ID";
    }
}

/// semaphoreci.com and instances of one's own.
pub(super) struct Semaphore;

static FACTS: Facts = Facts {
    id: "semaphore",
    name: "Semaphore",
    markers: &[(names::SEMAPHORE, "true")],
    variables: names::ALL,
    reserved: &["SEMAPHORE"],
    format: "env-file",
    supply: Supply::Variable(ReadyToken {
        variables: &[names::SEMAPHORE_OIDC_TOKEN],
        missing: Code::TokenEnvEmpty,
        cure: Some(|_| {
            "Semaphore 2.0 gives every job an ID token. A container or sudo may have lost it: docker run needs -e SEMAPHORE_OIDC_TOKEN.".to_owned()
        }),
    }),
    run: &[
        ("prj_id", names::SEMAPHORE_PROJECT_ID),
        ("wf_id", names::SEMAPHORE_WORKFLOW_ID),
        ("job_id", names::SEMAPHORE_JOB_ID),
    ],
    advice_on_expiry: Some(
        "Semaphore makes the token when the job starts. Exchange it earlier in the job. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

impl Platform for Semaphore {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(env.text(names::SEMAPHORE_ORGANIZATION_URL)?.map(ExpectedIssuer::Exactly))
    }
}
