//! The short Markdown report in the platform's job summary (`--summary`), the cure first.
//!
//! A summary is read by everybody who can see the run, and rendered: so nothing from a server or a token is Markdown or
//! HTML in it, and it holds no secret.

use serde_json::Value;

use crate::cli::settings::SummaryWhen;
use crate::env::Env;
use crate::error::Error;
use crate::output::sink;
use crate::platform;
use crate::report::console::Console;
use crate::report::{Report, claims_status};

/// Writes the summary where the platform has a place for it. A summary that cannot be written is worth a warning, since
/// the run itself has succeeded or failed already.
pub fn write(when: SummaryWhen, report: &Report, error: Option<&Error>, env: &Env, console: &Console) {
    if when == SummaryWhen::Never || (when == SummaryWhen::OnFailure && error.is_none()) {
        return;
    }
    let place = platform::detected(env).into_iter().find_map(|platform| platform.facts().summary);
    let Some(variable) = place.filter(|variable| env.has(variable)) else {
        console.detail("there is no job summary to write to");
        return;
    };
    let text = match error {
        Some(error) => failure(error, console),
        None => success(report, console),
    };
    if let Err(error) = sink::append(variable, env, text.as_bytes()) {
        console.warn(&format!("the job summary was not written: {}", error.message()));
    }
}

fn failure(error: &Error, console: &Console) -> String {
    let cure: Vec<String> = error.cure().split('\n').map(|line| plain(line, console)).collect();
    let mut text = format!("### equinix-wif: {}\n\n", error.code().name());
    text.push_str(&format!("**What to do:** {}\n\n", cure.join("<br>")));
    text.push_str(&format!("What happened: {}\n\n", plain(error.message(), console)));
    table(&mut text, error.details().iter().map(|(label, value)| (*label, value.as_str())), console);
    text
}

fn success(report: &Report, console: &Console) -> String {
    let title = match (report.available, &report.granted_scope) {
        (None, _) if report.is_dry => "dry run, nothing was sent to Equinix",
        (Some(false), _) => "no token",
        (_, Some(_)) => "access token issued",
        (Some(true), None) => "ID token handed over",
        (None, None) => "identity checked",
    };
    let mut text = format!("### equinix-wif: {title}\n\n");
    let mut rows: Vec<(&str, String)> = Vec::new();
    let known = [("scope", &report.granted_scope), ("expires", &report.expires_at)];
    rows.extend(known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    rows.extend(report.reason.map(|reason| ("reason", reason.to_owned())));
    if let Some(claims) = &report.claims {
        let text = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        rows.push(("subject", text("sub")));
        rows.push(("issuer", text("iss")));
        rows.push(("claims", claims_status(report.verified).to_owned()));
    }
    for warning in &report.warnings {
        rows.push(("warning", warning.clone()));
    }
    table(&mut text, rows.iter().map(|(label, value)| (*label, value.as_str())), console);
    text
}

fn table<'t>(text: &mut String, rows: impl Iterator<Item = (&'t str, &'t str)>, console: &Console) {
    let rows: Vec<String> = rows
        .map(|(label, value)| format!("| {} | {} |\n", plain(label, console), plain(value, console)))
        .collect();
    if !rows.is_empty() {
        text.push_str(&format!("| | |\n|---|---|\n{}\n", rows.concat()));
    }
}

/// A text that is nothing but text in Markdown: everything that could mean something is written as a character reference.
fn plain(line: &str, console: &Console) -> String {
    console.safe(line).chars().fold(String::new(), |mut text, character| {
        match character {
            '&' | '<' | '>' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '!' | '#' | '\\' | '~'
            | '$' | '@' | ':' => {
                text.push_str(&format!("&#{};", u32::from(character)));
            }
            // GitHub makes a link of what begins with www. and has no scheme.
            '.' if text.ends_with("www") => text.push_str("&#46;"),
            other => text.push(other),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Code;
    use crate::report::console::{Verbosity, captured};
    use crate::secret::Secret;

    #[test]
    fn a_failure_has_its_cure_first_and_no_markup_from_outside() {
        let (console, _) = captured::console(Verbosity::Quiet, false);
        console.guard(&Secret::new("the-bearer-of-this-run"));
        let error = Error::new(Code::StsDenied, "refused <img src=x>")
            .with_detail("STS says", "[click](https://www.evil.example) | `x` the-bearer-of-this-run @team")
            .with_cure("do this\nand that");
        assert_eq!(
            failure(&error, &console),
            concat!(
                "### equinix-wif: sts-denied\n\n**What to do:** do this<br>and that\n\n",
                "What happened: refused &#60;img src=x&#62;\n\n| | |\n|---|---|\n",
                "| STS says | &#91;click&#93;&#40;https&#58;//www&#46;evil.example&#41; &#124; &#96;x&#96; &#42;&#42;&#42; &#64;team |\n\n",
            )
        );
    }

    #[test]
    fn a_success_tells_what_was_granted_and_how_far_the_claims_can_be_believed() {
        let (console, _) = captured::console(Verbosity::Quiet, false);
        let claims = json!({"iss": "i", "sub": "s"});
        let report = Report {
            granted_scope: Some("roleassignments:o".into()),
            expires_at: Some("2026-11-22T04:00:00Z".into()),
            claims: claims.as_object().cloned(),
            ..Report::default()
        };
        let text = success(&report, &console);
        assert!(text.starts_with("### equinix-wif: access token issued\n\n| | |\n|---|---|\n| scope | roleassignments&#58;o |\n"), "{text}");
        assert!(text.contains("| claims | decoded, not verified |"), "{text}");
        assert!(success(&Report::default(), &console).starts_with("### equinix-wif: identity checked"));
    }

    #[test]
    fn it_is_written_only_when_asked_for_and_where_there_is_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary");
        std::fs::write(&path, "before\n").unwrap();
        let env = Env::fixed([("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", path.to_str().unwrap())]);
        let (console, lines) = captured::console(Verbosity::Normal, false);
        let error = Error::new(Code::ClaimAud, "x");
        let length = |when, error: Option<&Error>| {
            std::fs::write(&path, "before\n").unwrap();
            write(when, &Report::default(), error, &env, &console);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("before\n"));
            text.lines().count()
        };
        assert_eq!(length(SummaryWhen::Never, Some(&error)), 1);
        assert_eq!(length(SummaryWhen::OnFailure, None), 1);
        assert!(length(SummaryWhen::OnFailure, Some(&error)) > 3);
        assert!(length(SummaryWhen::Always, None) > 1);
        write(SummaryWhen::Always, &Report::default(), None, &Env::fixed([("GITLAB_CI", "true")]), &console);
        assert_eq!(lines.text(), "");
    }
}
