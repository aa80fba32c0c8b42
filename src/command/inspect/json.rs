//! The findings for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::rfc3339;
use crate::command::json_text;
use crate::error::Error;
use crate::identity::issuer;
use crate::report::claims_status;
use crate::text::printable;

use super::findings::{Findings, SCOPE, Setup};

#[derive(Serialize)]
struct Document<'a> {
    v: u32,
    provider: Provider,
    claims_status: &'static str,
    issuer: String,
    audience: Vec<String>,
    subject: String,
    subject_form: Option<&'static str>,
    subject_in_other_form: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_changes: Option<Changes>,
    expires_at: Option<String>,
    expires_in: Option<i64>,
    claims: Map<String, Value>,
    claims_hidden: usize,
    remarks: Vec<String>,
    problems: Vec<Problem<'a>>,
    equinix: Equinix,
}

#[derive(Serialize)]
struct Provider {
    id: &'static str,
    name: &'static str,
    evidence: String,
    not: Vec<Other>,
}

#[derive(Serialize)]
struct Other {
    id: &'static str,
    evidence: String,
}

#[derive(Serialize)]
struct Problem<'a> {
    code: &'static str,
    message: String,
    /// A list, since several unmet expectations have labels of the same name.
    details: Vec<BTreeMap<&'static str, String>>,
    hint: &'a str,
}

impl<'a> From<&'a Error> for Problem<'a> {
    fn from(error: &'a Error) -> Self {
        let details = error.details().iter().map(|(label, value)| (*label, printable(value)));
        Self {
            code: error.code().name(),
            message: printable(error.message()),
            details: details.map(|detail| BTreeMap::from([detail])).collect(),
            hint: error.cure(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Equinix {
    issuer_location: String,
    trusted_client_ids: Vec<String>,
    /// None if the subject changes from run to run.
    principal: Option<String>,
    /// The same for another subject that the job has at another time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_principals: Vec<More>,
    scope: String,
    requests: Vec<Setup>,
}

#[derive(Serialize)]
struct More {
    about: &'static str,
    principal: String,
}

/// A subject that cannot be granted to.
#[derive(Serialize)]
struct Changes {
    part: &'static str,
    message: String,
    hint: &'static str,
}

/// Writes the findings as a line of JSON.
pub(super) fn render(findings: &Findings<'_>) -> String {
    with_document(findings, |document| json_text(&document) + "\n")
}

/// Returns the findings as a JSON object.
#[cfg(feature = "service")]
pub(super) fn value(findings: &Findings<'_>) -> Value {
    // Texts, numbers and lists: this cannot fail.
    with_document(findings, |document| serde_json::to_value(document).unwrap_or_default())
}

fn with_document<T>(findings: &Findings<'_>, act: impl FnOnce(Document<'_>) -> T) -> T {
    let token = &findings.identity.claims;
    let (claims, claims_hidden) = findings.claims();
    let form = issuer::form(token);
    let facts = findings.job.platform().facts();
    let other = |(id, why): (_, String)| Other { id, evidence: printable(&why) };
    let mut principals = findings.principals().into_iter();
    let principal = principals.next().map(|(_, principal)| principal);
    let more = |(about, principal): (Option<_>, _)| More { about: about.unwrap_or_default(), principal };
    let more_principals = principals.map(more).collect();
    let document = Document {
        v: 1,
        provider: Provider {
            id: facts.id,
            name: facts.name,
            evidence: printable(&findings.evidence()),
            not: findings.others().into_iter().map(other).collect(),
        },
        claims_status: claims_status(findings.identity.verified),
        issuer: printable(token.issuer()),
        audience: findings.audience().into_iter().map(printable).collect(),
        subject: printable(token.subject()),
        subject_form: form.as_ref().map(|form| form.about),
        subject_in_other_form: form.and_then(|form| form.other).map(|other| printable(&other)),
        subject_changes: findings.unstable().map(|unstable| Changes {
            part: unstable.part,
            message: unstable.sentence(),
            hint: unstable.advice(),
        }),
        expires_at: findings.lifetime().map(|(expiry, _)| rfc3339(expiry)),
        expires_in: findings.lifetime().map(|(_, left)| left),
        claims: claims.into_iter().map(|(name, value)| (printable(&name), shown(&value))).collect(),
        claims_hidden,
        remarks: findings.remarks.iter().map(|remark| printable(remark)).collect(),
        problems: findings.problems.iter().map(Problem::from).collect(),
        equinix: Equinix {
            issuer_location: printable(token.issuer()),
            trusted_client_ids: findings.client_ids(),
            principal,
            more_principals,
            scope: findings.scope.clone().unwrap_or_else(|| SCOPE.to_owned()),
            requests: findings.setups(),
        },
    };
    act(document)
}

/// Returns a claim's value with nothing in its texts that a log could misread.
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
