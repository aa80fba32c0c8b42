//! CircleCI: <https://circleci.com/docs/guides/permissions-authentication/openid-connect-tokens/>.
//!
//! Every job finds two tokens in its variables; they differ in the subject only. Their audience is the organization's id. CircleCI's
//! own program gets one with another audience: <https://circleci.com/docs/oidc-tokens-with-custom-claims/>.

use serde_json::json;

use crate::child::Helper;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::ExpectedIssuer;
use crate::identity::jwt;
use crate::secret::Secret;
use crate::session::Session;

use super::facts::{Facts, ReadyToken, Supply};
use super::helper_program;
use super::{Fetched, Platform, SUBJECT_TOKENS, Wanted};

/// The variables of CircleCI's jobs.
pub mod names {
    crate::env::variables! {
        /// `true` in every CircleCI job.
        CIRCLECI = "CIRCLECI";
        /// CircleCI's ID token with the newer subject, which names repository and ref. A secret.
        CIRCLE_OIDC_TOKEN_V2 = "CIRCLE_OIDC_TOKEN_V2";
        /// CircleCI's ID token with the older subject. A secret.
        CIRCLE_OIDC_TOKEN = "CIRCLE_OIDC_TOKEN";
        /// The id of the CircleCI organization, which is part of the issuer.
        CIRCLE_ORGANIZATION_ID = "CIRCLE_ORGANIZATION_ID";
        /// The id of the CircleCI project.
        CIRCLE_PROJECT_ID = "CIRCLE_PROJECT_ID";
        /// The id of this CircleCI pipeline.
        CIRCLE_PIPELINE_ID = "CIRCLE_PIPELINE_ID";
        /// The id of this run of a CircleCI workflow.
        CIRCLE_WORKFLOW_ID = "CIRCLE_WORKFLOW_ID";
        /// The file that bash reads before each later step of a CircleCI job.
        BASH_ENV = "BASH_ENV";
    }
}

/// circleci.com and its servers.
pub(super) struct CircleCi;

static FACTS: Facts = Facts {
    id: "circleci",
    name: "CircleCI",
    markers: &[(names::CIRCLECI, "true")],
    variables: names::ALL,
    reserved: &["CIRCLE_", "CIRCLECI"],
    format: "bash-env",
    supply: Supply::Variable(ReadyToken {
        variables: &[names::CIRCLE_OIDC_TOKEN_V2, names::CIRCLE_OIDC_TOKEN],
        missing: Code::TokenEnvEmpty,
        cure: Some(|_| {
            "CircleCI gives every job an ID token, but builds of pull requests from forks only if \"Pass secrets to builds from forked pull requests\" is on. A container, sudo or ssh may have lost it: docker run needs -e CIRCLE_OIDC_TOKEN_V2. With another variable, pass --subject-token-env.".to_owned()
        }),
    }),
    run: &[
        ("oidc.circleci.com/project-id", names::CIRCLE_PROJECT_ID),
        ("oidc.circleci.com/pipeline-id", names::CIRCLE_PIPELINE_ID),
        ("oidc.circleci.com/workflow-id", names::CIRCLE_WORKFLOW_ID),
    ],
    advice_on_expiry: Some(
        "CircleCI makes the token when the job starts, and it lives for an hour. Exchange it earlier in the job, or get a fresh one: circleci run oidc get. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

/// CircleCI's program, which is in every job. What it needs of the job is not documented, so it gets all that is CircleCI's.
const CLI: Helper = Helper { program: "circleci", variables: &[], beginnings: &["CIRCLE"] };

impl Platform for CircleCi {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    /// Takes the ready token, unless one for another audience is asked for. Where CircleCI's program is missing, the check of the
    /// audience says what is wrong.
    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        let env = &*session.env;
        let ready = FACTS.supply.read(env, wanted)?;
        let Some(audience) = other_audience(&ready.token, env, wanted).filter(|_| CLI.find(env).is_ok())
        else {
            return Ok(ready);
        };
        let claims = json!({"aud": audience}).to_string();
        let answer = CLI.run(env, &["run", "oidc", "get", "--claims", &claims], None, by);
        let answer =
            answer.map_err(|why| helper_program::explain(&CLI, &why, Code::IdTokenNotOffered.cure()))?;
        Ok(Fetched { token: helper_program::token(&CLI, &answer)?, skew: None })
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let organization = env.text(names::CIRCLE_ORGANIZATION_ID)?;
        Ok(organization.map(|id| ExpectedIssuer::Exactly(format!("https://oidc.circleci.com/org/{id}"))))
    }
}

/// Returns the audience that is wanted, if the platform's own token has another one. A token that the user has named stays the one.
fn other_audience<'w>(token: &Secret, env: &Env, wanted: &'w Wanted) -> Option<&'w str> {
    let audience = wanted.audience.as_deref()?;
    let is_named = wanted.location.variable.is_some() || SUBJECT_TOKENS.iter().any(|name| env.has(name));
    let claims = jwt::decode(token.reveal()).ok().filter(|_| !is_named)?;
    let is_for_it = claims.audience().is_some_and(|members| members.contains(&audience));
    (!is_for_it).then_some(audience)
}
