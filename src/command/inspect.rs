//! `inspect`: who this job is, and what an Equinix administrator has to enter to trust it.
//!
//! Everything shown comes from the ID token; the token itself is never shown.

use serde_json::{Map, Value, json};

use crate::claims;
use crate::cli::InspectArgs;
use crate::clock::{Clock, rfc3339};
use crate::config::{IdentitySettings, NetworkSettings, Resolver};
use crate::console::Console;
use crate::env::Env;
use crate::error::Error;
use crate::job::{Identity, Job};
use crate::provider::{self, PROVIDERS};
use crate::report::{Report, claims_status};
use crate::subject;
use crate::text::{clean, printable};

use super::{check_masks, check_source, client, json_text};
use crate::Rest;

/// Claims that say which job this is and nothing about persons (S-14), in the order in which they are shown.
const SHOWN: [&str; 28] = [
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "ref",
    "ref_type",
    "ref_protected",
    "environment",
    "event_name",
    "workflow_ref",
    "job_workflow_ref",
    "runner_environment",
    "run_id",
    "run_attempt",
    "project_path",
    "project_id",
    "job_project_path",
    "job_project_id",
    "namespace_path",
    "project_visibility",
    "pipeline_source",
    "ref_path",
    "environment_protected",
    "deployment_tier",
    "ci_config_ref_uri",
    "pipeline_id",
    "job_id",
];

/// The claims that are shown of a public project, whose logs everybody can read.
const SHOWN_IN_PUBLIC: [&str; 6] =
    ["repository", "ref", "environment", "job_workflow_ref", "project_path", "ref_protected"];

/// Inspects the identity of this job.
pub fn run(
    args: &InspectArgs,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: Rest<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver);
    report.settings = resolver.into_report();
    let Settings { identity: wanted, network, scope, as_json } = settings?;
    let provider = provider::select(wanted.provider.as_deref(), &wanted.source, env)?;
    check_source(&wanted, provider)?;
    report.provider = Some(provider.id());
    check_masks(env, streams.stderr_is_lost)?;
    let deadline = network.deadline;
    let http = client(network, console);
    let job = Job::new(env, clock, deadline, console, &http, provider, &wanted);
    let outcome = look(&job, report);
    report.warnings = job.warnings();
    let (identity, problems, remarks) = outcome?;
    let view = View { job: &job, identity: &identity, problems, remarks, scope, args };
    let text = if as_json { format!("{}\n", json_text(&view.json())) } else { view.text() };
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
fn look(job: &Job<'_>, report: &mut Report) -> Result<(Identity, Vec<Error>, Vec<String>), Error> {
    for warning in &job.settings.warnings {
        job.warn(warning);
    }
    if job.settings.verify_signature {
        job.connect_to_issuer();
    }
    let mut identity = job.fetch()?;
    report.claims = Some(identity.claims.clone());
    let now = claims::Now { local: job.clock.unix_time(), skew: identity.skew };
    let mut problems = Vec::new();
    let mut remarks = Vec::new();
    for (_, outcome) in claims::checks(&identity.claims, &job.expected()?, now) {
        match outcome {
            Ok(concerns) => {
                for concern in concerns {
                    match concern.judge(job.settings.validation) {
                        Ok(text) => remarks.push(text),
                        Err(error) => problems.push(error),
                    }
                }
            }
            Err(error) => problems.push(job.explain_expiry(error)),
        }
    }
    if job.settings.verify_signature {
        match job.verify(&mut identity) {
            Ok(()) => report.verified = true,
            Err(error) => problems.push(error),
        }
    }
    remarks.extend(subject::remarks(&identity.claims));
    Ok((identity, problems, remarks))
}

struct View<'a> {
    job: &'a Job<'a>,
    identity: &'a Identity,
    problems: Vec<Error>,
    remarks: Vec<String>,
    scope: Option<String>,
    args: &'a InspectArgs,
}

/// A request that an administrator can send to set up the trust.
struct Setup {
    purpose: &'static str,
    url: String,
    body: Value,
}

impl View<'_> {
    fn is_public(&self) -> bool {
        let claims = &self.identity.claims;
        ["repository_visibility", "project_visibility"].iter().any(|name| claims.text(name) == Some("public"))
    }

    /// The claims that may be shown, and how many are held back.
    fn claims(&self) -> (Vec<(String, Value)>, usize) {
        const ABOVE: [&str; 6] = ["iss", "aud", "sub", "iat", "nbf", "exp"];
        let all = &self.identity.claims.claims;
        let others = all.keys().filter(|name| !ABOVE.contains(&name.as_str())).count();
        let shown: Vec<(String, Value)> = if self.args.all_claims {
            let rest = all.iter().filter(|(name, _)| !ABOVE.contains(&name.as_str()));
            rest.map(|(name, value)| (name.clone(), value.clone())).collect()
        } else {
            let names: &[&str] = if self.is_public() { &SHOWN_IN_PUBLIC } else { &SHOWN };
            names.iter().filter_map(|name| Some(((*name).to_owned(), all.get(*name)?.clone()))).collect()
        };
        let hidden = others.saturating_sub(shown.len());
        (shown, hidden)
    }

    fn audience(&self) -> Vec<&str> {
        self.identity.claims.audience().unwrap_or_default()
    }

    /// What to trust: the audience that this job is meant to ask for, else the one that its token has.
    fn client_ids(&self) -> Vec<String> {
        match &self.job.settings.audience {
            Some(audience) => vec![printable(audience)],
            None => self.audience().iter().map(|audience| printable(audience)).collect(),
        }
    }

    /// `principal:<owner>:<idp>:<sub>`, the subject as it stands in the token.
    fn principal(&self) -> String {
        let owner = self.args.project_id.as_deref().unwrap_or("<project-or-org-id>");
        let idp = self.args.idp_id.as_deref().map_or("<idp>", |id| id.strip_prefix("idp:").unwrap_or(id));
        format!(
            "principal:{}:{}:{}",
            printable(owner),
            printable(idp),
            printable(self.identity.claims.subject())
        )
    }

    fn setups(&self) -> [Setup; 3] {
        let project = printable(self.args.project_id.as_deref().unwrap_or("<project-id>"));
        let principal = self.principal();
        [
            Setup {
                purpose: "OIDC provider",
                url: format!("https://sts.eqix.equinix.com/v1/projects/{project}/oidcProviders"),
                body: json!({
                    "name": "<a name>",
                    "issuerLocation": printable(self.identity.claims.issuer()),
                    "idpPrefix": "<a prefix>",
                    "trustedClientIds": self.client_ids(),
                }),
            },
            Setup {
                purpose: "Grant of a role (scope roleassignments:<org-id>)",
                url: "https://access.eqix.equinix.com/v1/roleAssignments".to_owned(),
                body: json!({"principal": principal, "roleId": "<role-id>", "assignmentScope": "<org or project>"}),
            },
            Setup {
                purpose: "Grant of an access policy (scope: that policy's ERN)",
                url: format!(
                    "https://access.eqix.equinix.com/v1/projects/{project}/accessPolicies/<access-policy-id>/grants"
                ),
                body: json!({"grantee": principal}),
            },
        ]
    }

    fn lifetime(&self) -> Option<(i64, i64)> {
        let expiry = self.identity.expiry?;
        Some((expiry, expiry.saturating_sub(self.job.clock.unix_time())))
    }

    fn json(&self) -> Value {
        let token = &self.identity.claims;
        let (claims, hidden) = self.claims();
        let form = subject::github(token);
        let requests: Vec<Value> = self
            .setups()
            .into_iter()
            .map(|setup| json!({"purpose": setup.purpose, "method": "POST", "url": setup.url, "body": setup.body}))
            .collect();
        let problem = |error: &Error| {
            // A list, since several unmet expectations have labels of the same name.
            let details: Vec<_> =
                error.details().iter().map(|(label, value)| json!({*label: printable(value)})).collect();
            json!({"code": error.code().name(), "message": printable(error.message()), "details": details, "hint": error.cure()})
        };
        json!({
            "v": 1,
            "provider": {
                "id": self.job.provider.id(),
                "name": self.job.provider.name(),
                "evidence": printable(&self.job.provider.evidence(self.job.env)),
                "not": self.others().into_iter().map(|(id, why)| json!({"id": id, "evidence": printable(&why)})).collect::<Vec<_>>(),
            },
            "claims_status": claims_status(self.identity.verified),
            "issuer": printable(token.issuer()),
            "audience": self.audience().iter().map(|audience| printable(audience)).collect::<Vec<_>>(),
            "subject": printable(token.subject()),
            "subject_form": form.as_ref().map(|(form, _)| form.about()),
            "subject_in_other_form": form.and_then(|(_, other)| other).map(|other| printable(&other)),
            "expires_at": self.lifetime().map(|(expiry, _)| rfc3339(expiry)),
            "expires_in": self.lifetime().map(|(_, left)| left),
            "claims": claims.into_iter().map(|(name, value)| (printable(&name), shown(&value))).collect::<Map<_, _>>(),
            "claims_hidden": hidden,
            "remarks": self.remarks.iter().map(|remark| printable(remark)).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "equinix": {
                "issuerLocation": printable(token.issuer()),
                "trustedClientIds": self.client_ids(),
                "principal": self.principal(),
                "scope": self.scope.clone().unwrap_or_else(|| "roleassignments:<org-id>".to_owned()),
                "requests": requests,
            },
        })
    }

    /// The platforms that this job does not run on, with the reason. Those that are only ever chosen say nothing.
    fn others(&self) -> Vec<(&'static str, String)> {
        PROVIDERS
            .iter()
            .filter(|other| other.id() != self.job.provider.id() && other.workspace().is_some())
            .map(|other| (other.id(), other.evidence(self.job.env)))
            .collect()
    }

    fn text(&self) -> String {
        let token = &self.identity.claims;
        let mut page = Page::default();
        page.title(&format!("Who this job is ({})", claims_status(self.identity.verified)));
        let provider = self.job.provider;
        page.row(
            "platform",
            &format!("{} ({}): {}", provider.name(), provider.id(), provider.evidence(self.job.env)),
        );
        for (id, why) in self.others() {
            page.row("", &format!("not {id}: {why}"));
        }
        page.row("issuer", token.issuer());
        page.row("audience", &self.audience().join(", "));
        page.row("subject", token.subject());
        if let Some((form, other)) = subject::github(token) {
            page.row("", form.about());
            if let Some(other) = other {
                page.row("other form", &other);
                page.row("", "a grant names one of the two, to the letter; after a rename or transfer neither may match");
            }
        }
        if let Some((expiry, left)) = self.lifetime() {
            let when =
                if left < 0 { format!("{} s ago", left.unsigned_abs()) } else { format!("in {left} s") };
            page.row("expires", &format!("{} ({when})", rfc3339(expiry)));
        }
        for remark in &self.remarks {
            page.row("note", remark);
        }
        for problem in &self.problems {
            page.row("problem", &format!("error[{}]: {}", problem.code().name(), problem.message()));
            for (label, value) in problem.details() {
                page.row("", &format!("{label}: {value}"));
            }
            page.row("", &format!("hint: {}", problem.cure().replace('\n', " ")));
        }
        let (claims, hidden) = self.claims();
        if !claims.is_empty() {
            page.title("Claims");
        }
        let width = claims.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &claims {
            page.line(&format!("  {name:width$}  {}", plain(value)));
        }
        if hidden > 0 {
            let why = if self.is_public() { "; the project is public, and so may be this log" } else { "" };
            page.line(&format!("  ({hidden} more with --all-claims{why})"));
        }
        page.title("What to enter at Equinix");
        page.row("1 provider", &format!("issuerLocation    {}", token.issuer()));
        page.row("", &format!("trustedClientIds  {}", self.client_ids().join(", ")));
        page.row("2 principal", &self.principal());
        page.row("", "the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented");
        page.row("3 grant", "of a role or an access policy, to that principal");
        page.row(
            "4 scope",
            self.scope.as_deref().unwrap_or("roleassignments:<org-id>, or the ERN of an access policy"),
        );
        page.title("The same by API (EQUINIX_API_TOKEN is an administrator's token)");
        for setup in self.setups() {
            page.line(&format!("  # {}", setup.purpose));
            page.line(
                r#"  curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \"#,
            );
            // What comes from the token stands in quotation marks that it cannot end: a branch may be called anything.
            page.raw(&format!("    {} \\\n    -d {}\n", quoted(&setup.url), quoted(&json_text(&setup.body))));
        }
        page.0
    }
}

/// A text for a POSIX shell that means exactly itself.
fn quoted(text: &str) -> String {
    // Number signs are kept apart by ended quotations: two together begin a runner's command anywhere in a line.
    format!("'{}'", printable(text).replace('\'', r"'\''").replace("##", "#''#''"))
}

/// A claim's value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A claim's value with nothing in its texts that a log could misread.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(text)),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (printable(name), shown(value))).collect()
        }
        other => other.clone(),
    }
}

/// Lines for people. Every one is cleaned, since nearly everything on them comes from a token.
#[derive(Default)]
struct Page(String);

impl Page {
    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(title);
    }

    fn row(&mut self, label: &str, value: &str) {
        self.line(&format!("  {label:13} {value}"));
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(clean(line).trim_end());
        self.0.push('\n');
    }

    /// Lines that have to stay as they are to work when they are copied. They are cleaned but for `::`, and begin with
    /// white space and a quotation mark, so that no runner takes them for a command.
    fn raw(&mut self, lines: &str) {
        self.0.push_str(lines);
    }
}
