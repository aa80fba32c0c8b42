//! The checks of where the token would go.

use std::path::PathBuf;

use crate::command::{main_job, shadowing_variable};
use crate::env::{Env, names};
use crate::output::sink::{Policy, Sinks};
use crate::platform::{Masks, Platform};
use crate::streams::StdoutKind;

use super::list::{Checks, Status};

impl Checks {
    /// Checks whether the platform's own format could be delivered, and masked.
    pub(super) fn delivery(
        &mut self,
        platform: Option<&'static dyn Platform>,
        env: &Env,
        stderr_is_lost: bool,
    ) {
        let masks = Masks::of(env, platform);
        match masks.check(env, stderr_is_lost) {
            Err(error) => self.fail("masks", error),
            Ok(()) if masks.is_empty() => {
                let text = "this platform cannot be told to hide a value; none is printed";
                self.add("masks", Status::Skip, text);
            }
            Ok(()) if masks.need_stderr() => {
                self.add("masks", Status::Ok, "the runner reads standard error");
            }
            Ok(()) => self.add("masks", Status::Ok, "the runner has a program that hides values"),
        }
        // What `token` would use: flags of its own aside, the variables decide.
        let format =
            env.text(names::FORMAT).and_then(|asked| main_job::format(asked.as_deref(), platform, env));
        let output = env.os(names::OUTPUT).map(PathBuf::from);
        let policy = Policy {
            env,
            output: output.as_deref(),
            allow_workspace: false,
            // Consent is given when a token is asked for.
            accept_artifact_exposure: true,
            force: false,
            stdout: StdoutKind::Ordinary,
        };
        // Opening is the check; what was opened is closed, and removed where it was made, when it is dropped.
        match format.and_then(|format| Sinks::open(format, false, &policy).map(|_| format.id())) {
            Ok(id) => self.add("output", Status::Ok, format!("the format {id} can be written")),
            Err(error) => self.fail("output", error),
        }
    }

    /// Checks for a variable that would make the token be ignored.
    pub(super) fn shadowing(&mut self, env: &Env) {
        match shadowing_variable(env) {
            Ok(Some(name)) => {
                let text = format!(
                    "{} and {name} are both set: the Equinix provider exchanges by itself and ignores EQUINIX_API_TOKEN",
                    names::SCOPE
                );
                let cure = "Unset one of them for the Terraform run; the formats that a shell reads unset the second by themselves, and exec does not pass it on.";
                self.warn("Terraform", text, cure);
            }
            Ok(None) => {
                self.add(
                    "Terraform",
                    Status::Ok,
                    "no variable would make the Equinix provider ignore the token",
                );
            }
            Err(error) => self.fail("Terraform", error),
        }
    }
}
