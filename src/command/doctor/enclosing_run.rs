//! The checks inside a run of `exec --renew`: where this is, and that its parent hands out a token.

use std::sync::Arc;

use crate::cli::settings::GrantSettings;
use crate::command::pipeline::Pipeline;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::report::Report;

use super::list::{Checks, Status};

impl Checks {
    /// Checks that a token can be had. The parent has one at hand, so asking costs nothing.
    pub(super) fn enclosing_run(
        &mut self,
        job: &Arc<Pipeline>,
        settings: &GrantSettings,
        masks_can_be_read: bool,
        by: Deadline,
        report: &mut Report,
    ) {
        let place = settings.sts.endpoint.origin();
        let text = format!(
            "this is inside equinix-wif exec --renew at {place}, which keeps the identity of the job and hands out access tokens"
        );
        self.add("run", Status::Ok, text);
        if settings.scope.is_none() {
            return self.fail("token", Error::new(Code::CfgScopeMissing, "no scope is set"));
        }
        if !masks_can_be_read {
            return self.add("token", Status::Skip, "the runner would not read its mask");
        }
        match job.access_token(settings, by) {
            Ok(credential) => {
                report.audit.token = Some(credential.account());
                let scope = credential.scope.as_deref().unwrap_or_default();
                let text = format!(
                    "a token for {scope} was handed out, valid for {} s more, and dropped",
                    credential.expires_in
                );
                self.add("token", Status::Ok, text);
            }
            Err(error) => self.fail("token", error),
        }
    }
}
