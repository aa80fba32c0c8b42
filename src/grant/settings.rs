//! The settings of a grant.

use std::path::PathBuf;
#[cfg(feature = "classic-grants")]
use std::sync::Arc;

use crate::error::{Code, Error};
use crate::identity::claims::Finding;
use crate::secret::Secret;

use super::Facts;
#[cfg(feature = "classic-grants")]
use super::api::Account;
use super::enclosing_run::Parent;
use super::sts::Sts;

/// The settings of a grant: what is asked for, where, and as whom.
#[derive(Debug, Clone)]
pub struct GrantSettings {
    /// The grant.
    pub grant: &'static Facts,
    /// The scope to ask for. The classic API knows none.
    pub scope: Option<String>,
    /// The STS.
    pub sts: Sts,
    /// The variable that named an STS on this machine without TLS: it gets tokens of issuers on this machine, and no others.
    pub local_issuers_only: Option<&'static str>,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
    /// The project whose access policies are asked for after a refusal.
    pub project_id: Option<String>,
    /// The place for a refresh token that comes with the access token.
    pub refresh_token_output: Option<PathBuf>,
    /// The classic API, and what is sent there.
    #[cfg(feature = "classic-grants")]
    pub account: Arc<Account>,
    /// The run of `exec --renew` around this one, if that is who is asked.
    pub parent: Option<Parent>,
    /// Warnings about these settings.
    pub warnings: Vec<String>,
    /// Oddities of these settings.
    pub findings: Vec<Finding>,
}

impl GrantSettings {
    /// Makes sure that there is a scope, if the grant cannot do without one.
    pub fn check_scope(&self) -> Result<(), Error> {
        if self.grant.takes_scope() { self.required_scope().map(drop) } else { Ok(()) }
    }

    /// Returns every stored secret that the grant sends, to be hidden before the first one is sent.
    #[cfg_attr(not(feature = "classic-grants"), expect(clippy::unused_self, reason = "no secret"))]
    pub fn secrets(&self) -> Vec<&Secret> {
        #[cfg(feature = "classic-grants")]
        return self.account.secrets().collect();
        #[cfg(not(feature = "classic-grants"))]
        Vec::new()
    }

    /// Returns the scope, for a grant that cannot do without one.
    pub fn required_scope(&self) -> Result<&str, Error> {
        self.scope.as_deref().ok_or_else(|| Error::new(Code::CfgScopeMissing, "no scope is set"))
    }
}
