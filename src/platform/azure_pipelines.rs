//! Azure Pipelines: <https://learn.microsoft.com/azure/devops/pipelines/build/variables>.
//!
//! A POST to the URL that the agent gives, with the job's access token, returns `{"oidcToken": "<ID token>"}`. The audience is always
//! the same. The access token is in the environment only where a step maps it. The agent reads `##vso[…]` commands from what a step
//! writes to standard output and to standard error.

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Peer, Request};
use crate::identity::claims::{ExpectedIssuer, RunBinding};
use crate::session::Session;

use super::facts::{Audience, Facts, Folder, Supply};
use super::mask::Mask;
use super::request::RequestEndpoint;
use super::{Fetched, Platform, Wanted, inside_exec};

/// The variables of the agent of Azure Pipelines.
mod names {
    crate::env::variables! {
        /// `True` in every job of Azure Pipelines.
        TF_BUILD = "TF_BUILD";
        /// The ID-token endpoint of Azure Pipelines.
        SYSTEM_OIDCREQUESTURI = "SYSTEM_OIDCREQUESTURI";
        /// The job's access token, which is the bearer for that endpoint: set only where a step maps it. A secret.
        SYSTEM_ACCESSTOKEN = "SYSTEM_ACCESSTOKEN";
        /// The address of the organization, such as `https://dev.azure.com/octo/`.
        SYSTEM_COLLECTIONURI = "SYSTEM_COLLECTIONURI";
        /// The id of the organization.
        SYSTEM_COLLECTIONID = "SYSTEM_COLLECTIONID";
        /// The agent's folder for temporary files, emptied with each job.
        AGENT_TEMPDIRECTORY = "AGENT_TEMPDIRECTORY";
        /// The checkout of a job of Azure Pipelines: no token is written there.
        BUILD_SOURCESDIRECTORY = "BUILD_SOURCESDIRECTORY";
    }
}

/// Azure DevOps Services.
pub(super) struct AzurePipelines;

/// The issuer of an organization, but for its id.
const ISSUER: &str = "https://vstoken.dev.azure.com";

static FACTS: Facts = Facts {
    id: "azure-pipelines",
    name: "Azure Pipelines",
    markers: &[(names::TF_BUILD, "True")],
    variables: names::ALL,
    secrets: &[names::SYSTEM_ACCESSTOKEN],
    leads: &[names::SYSTEM_OIDCREQUESTURI],
    reserved: &["SYSTEM_"],
    temporary: &[Folder { variable: names::AGENT_TEMPDIRECTORY, suffix: "" }],
    workspace: Some(names::BUILD_SOURCESDIRECTORY),
    mask: Mask::Line(mask),
    annotation: Some(|title, text| format!("##vso[task.logissue type=error]{title}: {}", escape(text))),
    format: "azure-pipelines",
    supply: Supply::Endpoint(&ENDPOINT),
    audience: Audience::Fixed("api://AzureADTokenExchange"),
    renews: true,
    ..Facts::NEUTRAL
};

const MAP_THE_TOKEN: &str = "Map the access token into this step; no step has it by itself:\n    env:\n      SYSTEM_ACCESSTOKEN: $(System.AccessToken)\nA container must be given both variables.";

const ENDPOINT: RequestEndpoint = RequestEndpoint {
    owner: "Azure Pipelines",
    says: "Azure says",
    peer: Peer {
        name: "the ID-token endpoint of Azure Pipelines",
        stage: Stage::Identity,
        too_large: Code::IdTokenTooLarge,
        not_json: Code::IdTokenNotJson,
    },
    url: names::SYSTEM_OIDCREQUESTURI,
    bearer: names::SYSTEM_ACCESSTOKEN,
    missing: |env| {
        let message = "neither SYSTEM_OIDCREQUESTURI nor SYSTEM_ACCESSTOKEN is set";
        let error = Error::new(Code::IdTokenNotOffered, message).with_cure(MAP_THE_TOKEN);
        inside_exec(error, env)
    },
    incomplete: Code::IdTokenNotOffered,
    advice_on_incomplete: Some(MAP_THE_TOKEN),
    domain: Some("dev.azure.com"),
    server: names::SYSTEM_COLLECTIONURI,
    request: post,
    pairs: &[("api-version", "an api-version"), ("serviceConnectionId", "a serviceConnectionId")],
    advice_on_url: "The agent sets this variable. Look for an earlier step that changes it with task.setvariable.",
    members: &["oidcToken"],
    is_early: |_, _| false,
    advice: |status| match status {
        203 | 401 => Some(
            "The access token was not accepted. Map it as SYSTEM_ACCESSTOKEN: $(System.AccessToken) in this step: it is valid in this job only, and while the job runs.",
        ),
        400 | 403 => Some(
            "Name a service connection that this stage refers to (--service-connection-id), and permit the pipeline to use it.",
        ),
        404 => Some(
            "There is no such endpoint or service connection. Check --service-connection-id; Azure DevOps Server has no ID tokens.",
        ),
        _ => None,
    },
};

/// Without this header a refusal is a redirect to a page for people.
fn post(url: &Url) -> Request<'_> {
    Request::post_blank(url, ("X-TFS-FedAuthRedirect", "Suppress"))
}

/// A value in the text of a command.
fn escape(value: &str) -> String {
    value.replace('%', "%AZP25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The command that hides a value in the log from now on.
fn mask(value: &str) -> String {
    const COMMAND: &str = "##vso[task.setsecret]";
    // With room for all of it, were each character escaped, so that no smaller buffer with the secret stays behind.
    let mut line = String::with_capacity(COMMAND.len() + 6 * value.len() + 2);
    line.push_str(COMMAND);
    for character in value.chars() {
        match character {
            '%' => line.push_str("%AZP25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            other => line.push(other),
        }
    }
    line
}

impl Platform for AzurePipelines {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn ready(&self, env: &Env, _: &Wanted) -> Result<(), Error> {
        // What is not defined stays as it is written.
        if env.os(names::SYSTEM_ACCESSTOKEN).is_some_and(|value| value.to_string_lossy().starts_with("$(")) {
            let message = "SYSTEM_ACCESSTOKEN holds the unexpanded text of another variable";
            return Err(Error::new(Code::IdTokenNotOffered, message).with_cure(MAP_THE_TOKEN));
        }
        ENDPOINT.variables(env).map(drop)
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        self.ready(&session.env, wanted)?;
        let mut pairs = vec![("api-version", "7.1")];
        pairs.extend(wanted.service_connection_id.as_deref().map(|id| ("serviceConnectionId", id)));
        ENDPOINT.fetch(session, &pairs, by)
    }

    fn expected_issuer(&self, _: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(Some(ExpectedIssuer::WithSegment(ISSUER.to_owned())))
    }

    fn run_bindings(&self, env: &Env) -> Result<Vec<RunBinding>, Error> {
        let id = env.text(names::SYSTEM_COLLECTIONID)?;
        Ok(id
            .map(|id| RunBinding {
                claim: "iss",
                variable: names::SYSTEM_COLLECTIONID,
                value: format!("{ISSUER}/{id}"),
            })
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_be_broken_out_of() {
        assert_eq!(mask("a%b\r\nc;]"), "##vso[task.setsecret]a%AZP25b%0D%0Ac;]");
        assert_eq!(escape("a%b\r\nc"), "a%AZP25b%0D%0Ac");
        let annotation = FACTS.annotation.unwrap();
        assert_eq!(annotation("title", "100%\ny"), "##vso[task.logissue type=error]title: 100%AZP25%0Ay");
    }

    #[test]
    fn the_marker_is_exact() {
        let here = |value: &str| AzurePipelines.here(&Env::fixed([("TF_BUILD", value)])).is_here;
        assert!(here("True") && !here("true") && !here("1"));
    }

    #[test]
    fn an_access_token_that_is_not_mapped_has_its_cure() {
        for pairs in [
            &[][..],
            &[("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/o/x")],
            &[
                ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/o/x"),
                ("SYSTEM_ACCESSTOKEN", "$(System.AccessToken)"),
            ],
        ] {
            let env = Env::fixed(pairs.iter().copied());
            let error = AzurePipelines.ready(&env, &Wanted::default()).unwrap_err();
            assert_eq!(error.code(), Code::IdTokenNotOffered);
            assert!(error.cure().contains("SYSTEM_ACCESSTOKEN: $(System.AccessToken)"), "{error}");
        }
    }
}
