//! Tells what happened in the main job, for somebody who sees it for the first time.
//!
//! A pure function from what the servers logged and what the child left behind. Tokens are cut out of all of it:
//! first as the runner would do it, by the masks, and then whatever the sandbox itself handed out.

mod handover;
mod log;
mod page;

use serde_json::Value;

pub(super) use self::handover::Handover;
use self::handover::{env_file, outputs};
use self::log::Log;
use self::page::Page;
use super::wire::Entry;
use super::{Fault, SimulatedPlatform};
use crate::env::names;
use crate::text::{self, REDACTED};

/// The number of requests to one server that are told before it becomes tedious.
const MAX_REQUESTS: usize = 5;

/// The facts that are known after the job.
pub(super) struct Story<'a> {
    pub(super) platform: SimulatedPlatform,
    pub(super) fault: Option<Fault>,
    /// The claims of the last ID token, if one was made.
    pub(super) claims: Option<&'a Value>,
    pub(super) issuer_log: &'a [Entry],
    pub(super) sts_log: &'a [Entry],
    pub(super) api_log: &'a [Entry],
    /// The child's exit status.
    pub(super) status: u8,
    pub(super) stdout: &'a str,
    pub(super) stderr: &'a str,
    pub(super) handover: Option<Handover>,
    /// Cuts the secrets of this run out of a line.
    pub(super) scrub: &'a dyn Fn(&str) -> String,
}

/// The whole story.
pub(super) fn tell(story: &Story<'_>) -> String {
    let log = Log::read(story.platform, story.stderr, story.stdout);
    let show = |text: &str| (story.scrub)(&text::clean(text));
    let mut page = Page::default();

    page.line("SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1");
    page.line("only, and end with this command.");
    if let Some(fault) = story.fault {
        page.line(&format!("Made to fail ({}): {}.", fault.id(), fault.about()));
    }

    page.heading("Who the job is");
    page.row("platform", story.platform.title());
    match story.claims {
        Some(claims) => {
            for (label, claim) in [("issuer", "iss"), ("subject", "sub"), ("audience", "aud")] {
                let value = claims.get(claim).and_then(Value::as_str).unwrap_or_default();
                page.row(label, &show(value));
            }
        }
        None if story.platform.has_identity() => page.row("identity", "none, since no ID token was made"),
        None => {
            page.row("identity", "none: a client id and secret, which somebody stored, stand for the job");
        }
    }

    page.heading("What happened");
    match story.platform {
        SimulatedPlatform::Github => page.rows("ID token", requests(story.issuer_log, &show)),
        SimulatedPlatform::Gitlab => {
            page.row("ID token", &format!("came with the job, in {}", names::OWN_SUBJECT_TOKEN));
            page.rows("issuer", requests(story.issuer_log, &show).into_iter().filter(|line| line != NONE));
        }
        #[cfg(feature = "classic-grants")]
        SimulatedPlatform::Nowhere => (),
    }
    if story.platform.has_identity() {
        at_sts(&mut page, story, &show);
    } else {
        page.rows("API", requests(story.api_log, &show));
    }
    match story.platform {
        SimulatedPlatform::Github if log.masks == 0 => page.row("runner", "was told to hide nothing"),
        SimulatedPlatform::Github => {
            let count = log.masks;
            page.row(
                "runner",
                &format!("::add-mask::{REDACTED} ({count}x), not shown; from there on the value is hidden"),
            );
        }
        SimulatedPlatform::Gitlab => {
            page.row("runner", "cannot be told to hide a value, so none is printed");
        }
        #[cfg(feature = "classic-grants")]
        SimulatedPlatform::Nowhere => page.row("runner", "there is none that could hide a value"),
    }

    page.heading("The job's log, as its readers see it");
    for line in &log.lines {
        page.line(&format!("  | {}", show(line)));
    }
    if log.lines.is_empty() {
        page.line("  | (empty)");
    }
    if story.status != 0 {
        page.line(&format!("  The job failed with exit status {}.", story.status));
    }

    if let Some(handover) = &story.handover {
        match story.platform {
            SimulatedPlatform::Github => outputs(&mut page, handover, &show),
            SimulatedPlatform::Gitlab => env_file(&mut page, story.stdout, handover, &show),
            #[cfg(feature = "classic-grants")]
            SimulatedPlatform::Nowhere => (),
        }
    }
    if !story.platform.has_identity() && !story.stdout.is_empty() {
        page.heading("What the caller reads from standard output");
        for line in story.stdout.lines() {
            page.line(&format!("  {}", show(line)));
        }
    }

    let other = if story.platform == SimulatedPlatform::Github {
        SimulatedPlatform::Gitlab
    } else {
        SimulatedPlatform::Github
    };
    let fault = if story.platform.has_identity() { "rate-limit" } else { "wrong-login" };
    let fault = if story.fault.is_none() { format!("--fault {fault}, ") } else { String::new() };
    page.heading(&format!("Try next: equinix-wif sandbox with --platform {}, {fault}or -- CMD", other.id()));
    page.into_text()
}

const NONE: &str = "was not asked";

/// Adds the requests to the STS, or that there were none.
fn at_sts(page: &mut Page, story: &Story<'_>, show: &dyn Fn(&str) -> String) {
    if story.sts_log.is_empty() {
        page.row("checks", "ended here, before the STS was asked; the log tells why");
        return;
    }
    page.row("checks", "issuer, audience and times fit this job (decoded; the STS verifies)");
    page.rows("STS", requests(story.sts_log, show));
    if let Some(scope) = story.sts_log.iter().rev().find_map(|entry| entry.scope.as_deref()) {
        page.row("", &format!("for the scope {}", show(scope)));
    }
}

/// Describes the requests to a server.
fn requests(log: &[Entry], show: &dyn Fn(&str) -> String) -> Vec<String> {
    if log.is_empty() {
        return vec![NONE.to_owned()];
    }
    let mut lines: Vec<String> = log
        .iter()
        .take(MAX_REQUESTS)
        .map(|entry| format!("{} {} -> {}", show(&entry.method), show(&entry.path), entry.status))
        .collect();
    if log.len() > MAX_REQUESTS {
        lines.push(format!("and {} more", log.len() - MAX_REQUESTS));
    }
    lines
}

#[cfg(test)]
mod tests;
