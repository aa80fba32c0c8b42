//! `policies`: which access policies are granted to this job, that is, which scopes it may ask for.

use std::sync::Arc;

use serde::Serialize;

use crate::cli::settings::{IdentitySettings, NetworkSettings, Resolver};
use crate::cli::table::VIEW;
use crate::cli::typed::Typed;
use crate::clock::Clock;
use crate::command::choice::{Choice, session};
use crate::command::pipeline::Pipeline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::grant::sts::policies::{Policy, Question};
use crate::grant::sts::{Api, Sts};
use crate::report::Report;
use crate::report::console::Console;
use crate::streams::Streams;
use crate::text::quote;

/// Lists the access policies.
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
    let Settings { identity, network, sts, local_issuers_only, project_id, as_json, warnings } = settings?;
    let choice = Choice::new(identity, env)?;
    choice.account(report);
    choice.ready()?;
    choice.check_masks(streams.stderr_is_lost)?;
    let by = network.deadline;
    let job = Pipeline::new(choice, session(network, env, clock, console));
    for warning in warnings.iter().chain(&job.settings().warnings) {
        job.warn(warning);
    }
    let outcome = job.identity(by).and_then(|identity| {
        let question =
            Question { sts: &sts, local_issuers_only, project_id: &project_id, identity: &identity };
        let policies = question.ask(job.session(), by)?;
        Ok((identity, policies))
    });
    job.account(report);
    let (identity, policies) = outcome?;
    if policies.is_empty() {
        job.warn("no access policy of this project is granted to this job: the trust is missing, it is for another subject, or the OIDC provider is suspended; equinix-wif inspect prints what has to be entered");
    }
    let subject = identity.claims.subject();
    let text = if as_json {
        super::json_text(&Document::new(console, &project_id, subject, &policies)) + "\n"
    } else {
        lines(console, &project_id, subject, &policies)
    };
    super::print(streams.stdout, &text)
}

struct Settings {
    identity: IdentitySettings,
    network: NetworkSettings,
    sts: Sts,
    local_issuers_only: Option<&'static str>,
    project_id: String,
    as_json: bool,
    warnings: Vec<String>,
}

fn settings(resolver: &mut Resolver<'_>) -> Result<Settings, Error> {
    let mut warnings = Vec::new();
    let project_id = resolver.project_id()?.ok_or_else(|| {
        Error::new(Code::CfgValueInvalid, "no project is set")
            .with_cure("Pass --project-id project:<id>: the project whose access policies are meant.")
    })?;
    let (endpoint, local_issuers_only) = resolver.sts_endpoint(&mut warnings)?;
    Ok(Settings {
        identity: resolver.identity()?,
        network: resolver.network()?,
        sts: Sts { endpoint, api: Api::V1 },
        local_issuers_only,
        project_id,
        as_json: super::wants_json(resolver.get(&VIEW)?.value.as_deref())?,
        warnings,
    })
}

/// The list for people: the scope to ask for, and the name.
fn lines(console: &Console, project_id: &str, subject: &str, policies: &[Policy]) -> String {
    let mut lines = vec![format!(
        "access policies of {} that are granted to {} ({})",
        quote(project_id),
        quote(subject),
        policies.len()
    )];
    lines.extend(policies.iter().map(|policy| {
        let name = policy.name.as_deref().map_or_else(String::new, |name| format!("  {name}"));
        match &policy.ern {
            Some(ern) => format!("  {ern}{name}"),
            None => format!("  {}{name} (an id; the scope is this policy's ERN)", policy.id),
        }
    }));
    lines.iter().map(|line| console.safe(line) + "\n").collect()
}

/// The list for programs: `docs/schemas/policies-v1.json`.
#[derive(Serialize)]
struct Document {
    v: u8,
    project_id: String,
    subject: String,
    policies: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    ern: Option<String>,
    name: Option<String>,
}

impl Document {
    fn new(console: &Console, project_id: &str, subject: &str, policies: &[Policy]) -> Self {
        let safe = |text: &String| console.safe(text);
        Self {
            v: 1,
            project_id: console.safe(project_id),
            subject: console.safe(subject),
            policies: policies
                .iter()
                .map(|policy| Entry {
                    id: safe(&policy.id),
                    ern: policy.ern.as_ref().map(safe),
                    name: policy.name.as_ref().map(safe),
                })
                .collect(),
        }
    }
}
