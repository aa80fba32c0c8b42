//! HCP Terraform and Terraform Enterprise:
//! <https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/manual-generation>.
//!
//! A run finds a token in its variables when the workspace names an audience: one for the plan and another for the apply.

use crate::error::Code;

use super::facts::{ANY, Facts, ReadyToken, Supply};
use super::{Platform, Wanted};

/// The variables of HCP Terraform's runs.
pub mod names {
    crate::env::variables! {
        /// The id of this run, set in every run of HCP Terraform.
        TFC_RUN_ID = "TFC_RUN_ID";
        /// HCP Terraform's ID token for the audience of the tag `EQUINIX`. A secret.
        TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX = "TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX";
        /// HCP Terraform's ID token for the audience without a tag. A secret.
        TFC_WORKLOAD_IDENTITY_TOKEN = "TFC_WORKLOAD_IDENTITY_TOKEN";
    }
}

/// HCP Terraform and Terraform Enterprise.
pub(super) struct HcpTerraform;

static FACTS: Facts = Facts {
    id: "hcp-terraform",
    name: "HCP Terraform",
    markers: &[(names::TFC_RUN_ID, ANY)],
    is_inside_others: true,
    variables: names::ALL,
    reserved: &["TFC_AGENT_", "TFC_CONFIGURATION_", "TFC_RUN_", "TFC_WORKLOAD_", "TFC_WORKSPACE_"],
    format: "env-file",
    supply: Supply::Variable(ReadyToken {
        variables: &[names::TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX, names::TFC_WORKLOAD_IDENTITY_TOKEN],
        missing: Code::TokenEnvEmpty,
        cure: Some(workspace),
    }),
    run: &[("terraform_run_id", names::TFC_RUN_ID)],
    advice_on_expiry: Some(
        "HCP Terraform makes the token when the plan or the apply starts, and it lives as long as that may take. Exchange it in the phase that it was made for. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

impl Platform for HcpTerraform {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }
}

/// The variable of the workspace that gives its runs a token.
fn workspace(wanted: &Wanted) -> String {
    format!(
        "Set an environment variable of the workspace:\n    TFC_WORKLOAD_IDENTITY_AUDIENCE_EQUINIX={}\nAgents have to be 1.7.0 or newer.",
        wanted.audience.as_deref().unwrap_or("<a trusted client id of your OIDC provider at Equinix>")
    )
}
