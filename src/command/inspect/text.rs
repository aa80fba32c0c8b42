//! The findings for people.

use serde_json::Value;

use crate::clock::rfc3339;
use crate::command::json_text;
use crate::identity::issuer;
use crate::report::claims_status;
use crate::text::{Carrier, clean, defuse, printable};

use super::findings::Findings;

/// Writes the findings as a page.
pub(super) fn render(findings: &Findings<'_>) -> String {
    let token = &findings.identity.claims;
    let mut page = Page::default();
    page.title(&format!("Who this job is ({})", claims_status(findings.identity.verified)));
    let facts = findings.job.platform().facts();
    page.row("platform", &format!("{} ({}): {}", facts.name, facts.id, findings.evidence()));
    for (id, why) in findings.others() {
        page.row("", &format!("not {id}: {why}"));
    }
    page.row("issuer", token.issuer());
    page.row("audience", &findings.audience().join(", "));
    page.row("subject", token.subject());
    if let Some(form) = issuer::form(token) {
        page.row("", form.about);
        if let Some(other) = form.other {
            page.row("other form", &other);
            page.row(
                "",
                "a grant names exactly one of the two; after a rename or transfer neither may match",
            );
        }
    }
    if let Some((expiry, left)) = findings.lifetime() {
        let when = if left < 0 { format!("{} s ago", left.unsigned_abs()) } else { format!("in {left} s") };
        page.row("expires", &format!("{} ({when})", rfc3339(expiry)));
    }
    for remark in &findings.remarks {
        page.row("note", remark);
    }
    for problem in &findings.problems {
        page.row("problem", &format!("error[{}]: {}", problem.code().name(), problem.message()));
        for (label, value) in problem.details() {
            page.row("", &format!("{label}: {value}"));
        }
        page.row("", &format!("hint: {}", problem.cure().replace('\n', " ")));
    }
    let (claims, hidden) = findings.claims();
    if !claims.is_empty() {
        page.title("Claims");
    }
    let width = claims.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &claims {
        page.line(&format!("  {name:width$}  {}", plain(value)));
    }
    if hidden > 0 {
        let why = if findings.is_public() { "; the project is public, and so may be this log" } else { "" };
        page.line(&format!("  ({hidden} more with --all-claims{why})"));
    }
    page.title("What to enter at Equinix");
    page.row("1 provider", &format!("issuerLocation    {}", token.issuer()));
    page.row("", &format!("trustedClientIds  {}", findings.client_ids().join(", ")));
    let principals = findings.principals();
    if let Some(unstable) = findings.unstable() {
        page.row("2 principal", &format!("none: {}", unstable.sentence()));
        page.row("", &format!("hint: {}", unstable.advice()));
        let groups = unstable.groups.is_some();
        page.row("3 grant", if groups { "of a role or an access policy, to that group" } else { "none" });
    } else {
        for (about, principal) in &principals {
            page.row(if about.is_none() { "2 principal" } else { "" }, principal);
            if let Some(about) = about {
                page.row("", about);
            }
        }
        page.row(
            "",
            "the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented",
        );
        let all = if principals.len() > 1 { "to each of these principals" } else { "to that principal" };
        page.row("3 grant", &format!("of a role or an access policy, {all}"));
    }
    page.row(
        "4 scope",
        findings.scope.as_deref().unwrap_or("roleassignments:<org-id>, or the ERN of an access policy"),
    );
    page.title("The same by API (EQUINIX_API_TOKEN is an administrator's token)");
    for setup in findings.setups() {
        page.line(&format!("  # {}", setup.purpose));
        page.line(
            r#"  curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \"#,
        );
        // What comes from the token stands in quotation marks that it cannot end: a branch may be called anything.
        page.raw(&format!("    {} \\\n    -d {}\n", quoted(&setup.url), quoted(&json_text(&setup.body))));
    }
    page.0
}

/// A text for a POSIX shell that means exactly itself.
fn quoted(text: &str) -> String {
    // Number signs are kept apart by ended quotations: two together begin a runner's command anywhere in a line.
    format!("'{}'", defuse(&printable(text).replace('\'', r"'\''"), Carrier::SingleQuotes))
}

/// A claim's value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
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
