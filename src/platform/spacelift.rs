//! Spacelift: <https://docs.spacelift.io/integrations/cloud-providers/oidc>.
//!
//! Every run of a paid account finds a token in its variables, which says whether the phase reads or writes.

use crate::error::Code;

use super::Platform;
use super::facts::{ANY, Facts, ReadyToken, Supply};

/// The variables of Spacelift's runs.
pub mod names {
    crate::env::variables! {
        /// The id of this run, which Spacelift sets in every run for Terraform.
        SPACELIFT_RUN_ID = "TF_VAR_spacelift_run_id";
        /// Spacelift's ID token of this run. A secret.
        SPACELIFT_OIDC_TOKEN = "SPACELIFT_OIDC_TOKEN";
    }
}

/// Accounts of spacelift.io and installations of one's own.
pub(super) struct Spacelift;

static FACTS: Facts = Facts {
    id: "spacelift",
    name: "Spacelift",
    markers: &[(names::SPACELIFT_RUN_ID, ANY)],
    variables: names::ALL,
    reserved: &["SPACELIFT_", "TF_VAR_SPACELIFT_"],
    format: "env-file",
    supply: Supply::Variable(ReadyToken {
        variables: &[names::SPACELIFT_OIDC_TOKEN],
        missing: Code::TokenEnvEmpty,
        cure: Some(|_| {
            "Spacelift gives a token to the runs of paid accounts. A container or sudo may have lost it; the file has it as well: --subject-token-file /mnt/workspace/spacelift.oidc.".to_owned()
        }),
    }),
    run: &[("runId", names::SPACELIFT_RUN_ID)],
    advice_on_expiry: Some(
        "Spacelift makes the token for a run, and it lives for an hour. Exchange it in the phase that needs it. If the token is fresh, check this machine's clock.",
    ),
    ..Facts::NEUTRAL
};

impl Platform for Spacelift {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }
}
