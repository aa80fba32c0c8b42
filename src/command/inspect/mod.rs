//! `inspect`: who this job is, and what an Equinix administrator has to enter to trust it.
//!
//! Everything shown comes from the ID token; the token itself is never shown.

mod findings;
mod json;
mod text;

use std::sync::Arc;

use crate::Streams;
use crate::cli::InspectArgs;
use crate::cli::settings::{IdentitySettings, NetworkSettings, Resolver};
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::env::Env;
use crate::error::Error;
use crate::identity::{Identity, issuer};
use crate::report::Report;
use crate::report::console::Console;
use crate::retry::Deadline;

use findings::Findings;

/// Inspects the identity of this job.
pub fn run(
    args: &InspectArgs,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
    streams: Streams<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver);
    report.settings = resolver.into_report();
    let Settings { identity, network, scope, as_json } = settings?;
    let choice = Choice::new(identity, env)?;
    choice.check()?;
    report.provider = Some(choice.platform().facts().id);
    choice.check_masks(streams.stderr_is_lost)?;
    let by = Deadline::after(&**clock, network.timeout);
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
        all_claims: args.all_claims,
        project_id: args.project_id.as_deref(),
        idp_id: args.idp_id.as_deref(),
    };
    let text = if as_json { json::render(&findings) } else { text::render(&findings) };
    super::print(streams.stdout, &text)
}

struct Settings {
    identity: IdentitySettings,
    network: NetworkSettings,
    scope: Option<String>,
    as_json: bool,
}

fn settings(args: &InspectArgs, resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    Ok(Settings {
        identity: resolver.identity(&args.identity)?,
        network: resolver.network(&args.network)?,
        scope: resolver.scope(args.scope.as_deref())?,
        as_json: super::wants_json(args.format.as_deref())?,
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
