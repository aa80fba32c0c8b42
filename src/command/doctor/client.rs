//! The checks of a grant that needs no identity: the client's secrets, the classic API, and an attempt.

use std::sync::Arc;

use crate::cli::settings::GrantSettings;
use crate::command::main_job::refresh_token_file;
use crate::command::pipeline::Pipeline;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::grant::api;
use crate::output::sink::Policy;
use crate::report::Report;
use crate::streams::StdoutKind;

use super::list::{Checks, Status};

impl Checks {
    /// Checks everything from the secrets to the attempt, which only happens when it was asked for.
    pub(super) fn client(
        &mut self,
        job: &Arc<Pipeline>,
        settings: &GrantSettings,
        really: bool,
        masks_can_be_read: bool,
        by: Deadline,
        report: &mut Report,
    ) {
        for warning in &settings.warnings {
            job.warn(warning);
        }
        let facts = settings.grant;
        let text = format!("{} needs {}, and no identity of a platform", facts.name, facts.needs);
        self.add("grant", Status::Ok, text);
        for finding in settings.findings.clone() {
            match finding.judge(job.settings().validation) {
                Ok(text) => self.warn("grant", text, "If it is meant so, say it with a flag."),
                Err(error) => self.fail("grant", error),
            }
        }
        // Making the grant masks its secrets, and where no runner reads the masks they would stay behind in clear text.
        match masks_can_be_read.then(|| job.grant(settings, by)) {
            None => self.add("client", Status::Skip, "the runner would not read the masks of its secrets"),
            Some(Ok(_)) => self.add("client", Status::Ok, "everything that is sent is there"),
            Some(Err(error)) => self.fail("client", error),
        }
        let http = &job.session().http;
        let mut date = None;
        let account = &settings.account;
        match api::probe(http, &account.endpoint, by) {
            Ok(answer) => {
                date = answer.date.map(|date| ("the API", date));
                let tls = answer
                    .tls_version
                    .map_or("without TLS".to_owned(), |tls| format!("{tls}, certificate trusted"));
                let place = account.endpoint.origin();
                self.add("API", Status::Ok, format!("{place} answers ({}, {tls})", answer.status));
            }
            Err(error) => self.fail("API", error),
        }
        if facts.asks_sts() {
            date = self.sts(http, &settings.sts, by).map(|date| ("the STS", date)).or(date);
            self.scope(settings);
        }
        self.clock(&*job.session().clock, None, date);
        if !really {
            let text = "not asked for (--exchange); it spends an attempt, and an account locks after five wrong ones in a row";
            return self.add("exchange", Status::Skip, text);
        }
        if !masks_can_be_read {
            return self.add(
                "exchange",
                Status::Skip,
                "the runner would not read the masks; nothing was sent",
            );
        }
        if self.failed("client") || self.failed("grant") || self.failed("scope") {
            return self.add("exchange", Status::Skip, "what fails above would fail here; nothing was sent");
        }
        match attempt(job, settings, by) {
            Ok(credential) => {
                report.audit.token = Some(credential.account());
                let life = credential.expires_in;
                let text = format!(
                    "a token for {life} s was issued, and dropped; this spent an attempt that worked"
                );
                self.add("exchange", Status::Ok, text);
            }
            Err(error) => self.fail("exchange", error),
        }
    }
}

/// Gets a token, and drops it. A refresh token that comes along is kept: the old one may be worth nothing now.
fn attempt(job: &Arc<Pipeline>, settings: &GrantSettings, by: Deadline) -> Result<Credential, Error> {
    let policy = Policy {
        env: &job.session().env,
        output: None,
        allow_workspace: true,
        accept_artifact_exposure: false,
        force: false,
        stdout: StdoutKind::Ordinary,
    };
    job.keeper().keep_in(refresh_token_file(settings, &policy)?);
    let grant = job.grant(settings, by)?;
    job.obtain(&*grant, by)
}
