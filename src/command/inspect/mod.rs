//! `inspect`: who this job is, and what an Equinix administrator has to enter to trust it.
//!
//! Everything shown comes from the ID token; the token itself is never shown.

mod findings;
mod json;
mod text;

use std::sync::Arc;

use crate::cli::settings::{IdentitySettings, NetworkSettings, Resolver};
use crate::cli::table::{ALL_CLAIMS, IDP_ID, VIEW};
use crate::cli::typed::Typed;
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::Error;
use crate::identity::{Identity, issuer};
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::Streams;

use findings::Findings;

/// Inspects the identity of this job.
pub fn run(
    typed: &Typed,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: Streams<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut resolver = Resolver::new(typed, env);
    let settings = settings(&mut resolver);
    report.settings = resolver.into_report();
    let Settings { identity, network, scope, as_json, all_claims, project_id, idp_id } = settings?;
    let choice = Choice::new(identity, env)?;
    choice.check()?;
    choice.account(report);
    choice.check_masks(streams.stderr_is_lost)?;
    let by = network.deadline;
    let job = Pipeline::new(choice, session(network, env, clock, console));
    let outcome = look(&job, by);
    job.account(report);
    let (identity, problems, remarks) = outcome?;
    let findings = Findings {
        job: &job,
        identity: &identity,
        problems,
        remarks,
        scope,
        all_claims,
        project_id: project_id.as_deref(),
        idp_id: idp_id.as_deref(),
    };
    let text = if as_json { json::render(&findings) } else { text::render(&findings) };
    super::print(streams.stdout, &text)
}

/// Tells what `inspect --format json` tells of a job.
#[cfg(feature = "service")]
pub fn facts(job: &Pipeline, scope: &str, by: Deadline) -> Result<serde_json::Value, Error> {
    let (identity, problems, remarks) = look(job, by)?;
    let scope = Some(scope.to_owned());
    let findings = Findings {
        job,
        identity: &identity,
        problems,
        remarks,
        scope,
        all_claims: false,
        project_id: None,
        idp_id: None,
    };
    Ok(json::value(&findings))
}

struct Settings {
    identity: IdentitySettings,
    network: NetworkSettings,
    scope: Option<String>,
    as_json: bool,
    all_claims: bool,
    project_id: Option<String>,
    idp_id: Option<String>,
}

fn settings(resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    Ok(Settings {
        identity: resolver.identity()?,
        network: resolver.network()?,
        scope: resolver.scope()?,
        as_json: super::wants_json(resolver.get(&VIEW)?.value.as_deref())?,
        all_claims: resolver.get(&ALL_CLAIMS)?.value,
        project_id: resolver.project_id()?,
        idp_id: resolver.get(&IDP_ID)?.value,
    })
}

/// Fetches the identity and holds it against what is expected; what does not hold is shown instead of ending the run.
fn look(job: &Pipeline, by: Deadline) -> Result<(Identity, Vec<Error>, Vec<String>), Error> {
    for warning in &job.settings().warnings {
        job.warn(warning);
    }
    if job.settings().verify_signature {
        job.connect_to_issuer(by);
    }
    let mut identity = job.fetch(by)?;
    let mut problems = Vec::new();
    let mut remarks = Vec::new();
    for (_, outcome) in job.checks(&identity, &job.expected()?) {
        match outcome {
            Ok(findings) => {
                for finding in findings {
                    match finding.judge(job.settings().validation) {
                        Ok(text) => remarks.push(text),
                        Err(error) => problems.push(error),
                    }
                }
            }
            Err(error) => problems.push(error),
        }
    }
    if job.settings().verify_signature
        && let Err(error) = job.verify(&mut identity, by)
    {
        problems.push(error);
    }
    remarks.extend(issuer::remarks(&identity.claims));
    Ok((identity, problems, remarks))
}
