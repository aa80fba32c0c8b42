//! The settings of a run that outlives its token.

use std::time::Duration;

use crate::cli::resolve::Resolver;
use crate::cli::table::{KEEP_OIDC_ENV, RENEW, RENEW_SCOPE};
use crate::error::{Code, Error};
use crate::grant::scope;

/// The settings of a run that stays beside its command.
#[derive(Debug)]
pub struct RenewalSettings {
    /// The scopes besides its own for which the command may ask.
    pub further_scopes: Vec<String>,
    /// The time that a renewal may take.
    pub timeout: Duration,
}

impl Resolver<'_> {
    /// The settings of a run that stays beside its command. `None` if this one does not.
    pub fn renewal(&mut self) -> Result<Option<RenewalSettings>, Error> {
        let usage = |message: &str, cure: &str| Err(Error::new(Code::CfgUsage, message).with_cure(cure));
        let further_scopes = self.list(&RENEW_SCOPE)?.value;
        if !self.get(&RENEW)?.value {
            if further_scopes.is_empty() {
                return Ok(None);
            }
            return usage("--renew-scope is set without --renew", "Add --renew, or leave --renew-scope out.");
        }
        if self.get(&KEEP_OIDC_ENV)?.value {
            return usage(
                "--keep-oidc-env does not go with --renew, which hands out tokens in place of the identity",
                "Leave one of the two out.",
            );
        }
        for scope in &further_scopes {
            scope::check(scope)?;
        }
        Ok(Some(RenewalSettings { further_scopes, timeout: self.timeout()? }))
    }
}
