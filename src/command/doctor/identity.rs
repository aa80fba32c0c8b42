//! The checks from the platform to the ID token's signature.

use std::sync::Arc;

use crate::cli::settings::{GrantSettings, IdentitySettings};
use crate::clock::rfc3339;
use crate::command::choice::Choice;
use crate::command::pipeline::Pipeline;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Exit};
use crate::identity::{Identity, signature};
use crate::platform::Endpoint;
use crate::report::claims_status;

use super::list::{Checks, Status};

/// Checks without which there is no ID token.
const NEEDED: [&str; 2] = ["permission", "request URL"];

/// Says why no signature could be checked.
fn no_issuer_to_believe(job: &Pipeline) -> &'static str {
    if job.settings().expectations.iter().any(|expectation| expectation.claim == "iss") {
        "the issuer is not the expected one, so its keys are not asked for"
    } else {
        "it is not known whose keys to believe (--expect iss=…)"
    }
}

impl Checks {
    /// Checks the platform, and whether it can give an ID token at all.
    pub(super) fn platform(&mut self, identity: IdentitySettings, env: &Arc<Env>) -> Option<Choice> {
        let choice = match Choice::new(identity, env) {
            Ok(choice) => choice,
            Err(error) => {
                self.fail("platform", error);
                self.add("permission", Status::Skip, "there is no platform to ask");
                return None;
            }
        };
        let facts = choice.platform().facts();
        self.add("platform", Status::Ok, format!("{}: {}", facts.name, choice.platform().here(env).text));
        match choice.ready() {
            Ok(()) if facts.is_asked() => {
                self.add("permission", Status::Ok, "the job may ask for an ID token");
            }
            Ok(()) => self.add("permission", Status::Ok, "the job has been given an ID token"),
            Err(error) => self.fail("permission", error),
        }
        Some(choice)
    }

    /// Checks where the platform is asked, which an earlier step could have changed.
    pub(super) fn endpoint(&mut self, choice: &Choice, env: &Env) {
        const NAME: &str = "request URL";
        if self.failed("permission") {
            return self.add(NAME, Status::Skip, "there is nothing to ask with");
        }
        match choice.platform().endpoint(env) {
            Err(error) => self.fail(NAME, error),
            Ok(None) => self.add(NAME, Status::Skip, "the platform hands over a ready token"),
            Ok(Some(Endpoint { origin, finding: None })) => self.add(NAME, Status::Ok, origin),
            Ok(Some(Endpoint { finding: Some(finding), .. })) => {
                let strict_only = finding.code.is_some();
                match finding.judge(choice.settings().validation) {
                    Err(error) => self.fail(NAME, error),
                    Ok(text) if strict_only => {
                        self.warn(NAME, text, "The runner sets it; look for a step that changes it.");
                    }
                    Ok(text) => self.add(NAME, Status::Ok, text),
                }
            }
        }
    }

    /// Fetches the ID token, unless an earlier check says that there is no way to it.
    pub(super) fn id_token(
        &mut self,
        job: &Pipeline,
        grant: &GrantSettings,
        really: bool,
        masks_can_be_read: bool,
        by: Deadline,
    ) -> Option<Identity> {
        if NEEDED.iter().any(|name| self.failed(name)) {
            self.add("ID token", Status::Skip, "it cannot be asked for");
            return None;
        }
        if !masks_can_be_read {
            self.add(
                "ID token",
                Status::Skip,
                "it could not be masked: standard error does not reach the runner",
            );
            return None;
        }
        // Who is asked later on is connected to meanwhile.
        job.connect_to_issuer(by);
        for _ in 0..=usize::from(really) {
            let http = &job.session().http;
            grant.sts.open_ahead(http, by);
        }
        match job.fetch(by) {
            Ok(identity) => {
                let subject = identity.claims.subject();
                self.add("ID token", Status::Ok, format!("subject {subject} ({})", claims_status(false)));
                Some(identity)
            }
            Err(error) => {
                self.fail("ID token", error);
                None
            }
        }
    }

    /// Checks each claim on a line of its own. The result is whether the token may be sent.
    pub(super) fn claims(&mut self, job: &Pipeline, identity: &Identity) -> bool {
        let expected = match job.expected() {
            Ok(expected) => expected,
            Err(error) => {
                self.fail("issuer", error);
                return false;
            }
        };
        let now = identity.now(&*job.session().clock);
        let mut sound = true;
        for (name, outcome) in job.checks(identity, &expected) {
            match outcome {
                Err(error) => {
                    sound = false;
                    self.fail(name, error);
                }
                Ok(findings) if findings.is_empty() => {
                    let text = match name {
                        "issuer" => identity.claims.issuer().to_owned(),
                        "audience" => identity.claims.audience().unwrap_or_default().join(", "),
                        "times" => identity.expiry.map_or_else(String::new, |expiry| {
                            format!("expires {}, in {} s", rfc3339(expiry), expiry.saturating_sub(now.best()))
                        }),
                        "run" => "the token belongs to this run, as far as it tells".to_owned(),
                        _ => "all hold".to_owned(),
                    };
                    self.add(name, Status::Ok, text);
                }
                Ok(findings) => {
                    for finding in findings {
                        match finding.judge(job.settings().validation) {
                            Ok(text) => self.warn(name, text, "It is only odd; the STS decides."),
                            Err(error) => {
                                sound = false;
                                self.fail(name, error);
                            }
                        }
                    }
                }
            }
        }
        sound
    }

    /// Checks discovery and signature, as a diagnosis: Equinix needs both. The result is whether the token may be sent.
    pub(super) fn signature(&mut self, job: &Pipeline, identity: &mut Identity, by: Deadline) -> bool {
        match job.verify(identity, by) {
            Ok(()) => {
                let ignored = signature::key_headers(&identity.claims);
                let text = if ignored.is_empty() {
                    "verified with a key that the issuer publishes".to_owned()
                } else {
                    format!("verified; the keys in the token's header ({}) were ignored", ignored.join(", "))
                };
                self.add("signature", Status::Ok, text);
                true
            }
            // Asked for, it would end `token` as well.
            Err(error) if error.code() == Code::CfgIssuerMissing && !job.settings().verify_signature => {
                self.add("signature", Status::Skip, no_issuer_to_believe(job));
                true
            }
            // An issuer that this machine cannot reach may still be reached by Equinix.
            Err(error) if error.code().exit() == Exit::Transient && !job.settings().verify_signature => {
                self.warn("signature", format!("not verified: {}", error.message()), error.cure());
                true
            }
            Err(error) => {
                self.fail("signature", error);
                false
            }
        }
    }
}
