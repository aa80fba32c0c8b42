//! Bitbucket Pipelines:
//! <https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/>.
//!
//! A step with `oidc:` finds its token in a variable. It cannot be asked for, and its subject ends in the id of the step.

use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::ExpectedIssuer;

use super::facts::{ANY, Facts, ReadyToken, Supply};
use super::{Platform, Wanted};

/// The variables of Bitbucket's pipelines.
pub mod names {
    crate::env::variables! {
        /// The number of this run, set in every step of Bitbucket Pipelines.
        BITBUCKET_BUILD_NUMBER = "BITBUCKET_BUILD_NUMBER";
        /// Bitbucket's ID token of this step. A secret.
        BITBUCKET_STEP_OIDC_TOKEN = "BITBUCKET_STEP_OIDC_TOKEN";
        /// The name of the Bitbucket workspace, which is part of the issuer.
        BITBUCKET_WORKSPACE = "BITBUCKET_WORKSPACE";
        /// The id of this step of a Bitbucket pipeline.
        BITBUCKET_STEP_UUID = "BITBUCKET_STEP_UUID";
        /// The id of the Bitbucket repository.
        BITBUCKET_REPO_UUID = "BITBUCKET_REPO_UUID";
        /// The checkout of a Bitbucket step: no token is written there.
        BITBUCKET_CLONE_DIR = "BITBUCKET_CLONE_DIR";
    }
}

/// bitbucket.org.
pub(super) struct Bitbucket;

static FACTS: Facts = Facts {
    id: "bitbucket",
    name: "Bitbucket Pipelines",
    markers: &[(names::BITBUCKET_BUILD_NUMBER, ANY)],
    variables: names::ALL,
    reserved: &["BITBUCKET_"],
    workspace: Some(names::BITBUCKET_CLONE_DIR),
    format: "env-file",
    supply: Supply::Variable(ReadyToken {
        variables: &[names::BITBUCKET_STEP_OIDC_TOKEN],
        missing: Code::TokenEnvEmpty,
        cure: Some(oidc),
    }),
    run: &[("stepUuid", names::BITBUCKET_STEP_UUID), ("repositoryUuid", names::BITBUCKET_REPO_UUID)],
    advice_on_expiry: Some(
        "Bitbucket makes the token when the step starts, and it lives for an hour. Exchange it earlier in the step. A token that comes from another step or a cache is stale. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

impl Platform for Bitbucket {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let issuer = |workspace| {
            format!("https://api.bitbucket.org/2.0/workspaces/{workspace}/pipelines-config/identity/oidc")
        };
        Ok(env.text(names::BITBUCKET_WORKSPACE)?.map(|workspace| ExpectedIssuer::Exactly(issuer(workspace))))
    }
}

/// The lines of YAML that give the step a token.
fn oidc(wanted: &Wanted) -> String {
    format!(
        "Declare the token in this step of bitbucket-pipelines.yml:\n    - step:\n        oidc:\n          audiences:\n            - {}\nA container may have lost it: docker run needs -e BITBUCKET_STEP_OIDC_TOKEN.",
        wanted.audience.as_deref().unwrap_or("<a trusted client id of your OIDC provider at Equinix>")
    )
}
