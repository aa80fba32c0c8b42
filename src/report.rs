//! The JSON account of a run (`--report`), for machines. It holds no secret: texts are cleaned and scrubbed, and of the
//! claims only the allow-listed ones are told.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::emit::sink::{NewFile, public_file};
use crate::error::{Code, Error};
use crate::jwt::UnverifiedClaims;
use crate::text::quote;

/// The version of the report's layout. Members may be added without a new one.
const VERSION: u32 = 1;

/// Claims that identify the job without saying anything about persons (S-14).
pub const SHOWN_CLAIMS: [&str; 18] = [
    "iss",
    "aud",
    "sub",
    "iat",
    "nbf",
    "exp",
    "repository",
    "repository_id",
    "ref",
    "ref_protected",
    "environment",
    "job_workflow_ref",
    "project_path",
    "project_id",
    "run_id",
    "run_attempt",
    "pipeline_id",
    "job_id",
];

/// Where the report goes.
pub enum Destination {
    /// Nowhere.
    None,
    /// Standard error.
    Stderr,
    /// A file, opened already.
    File(Box<NewFile>),
}

impl Destination {
    /// Opens the place that `--report` names.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        match path {
            None => Ok(Self::None),
            Some(path) if path.as_os_str() == "-" => Ok(Self::Stderr),
            Some(path) => public_file(path).map(|file| Self::File(Box::new(file))),
        }
    }

    /// Writes the report.
    pub fn write(
        self,
        report: &Report,
        error: Option<&Error>,
        elapsed: Duration,
        console: &Console,
    ) -> Result<(), Error> {
        if matches!(self, Self::None) {
            return Ok(());
        }
        let mut text = report.render(error, elapsed, console).to_string();
        text.push('\n');
        match self {
            Self::None => Ok(()),
            Self::Stderr => {
                console.json(&text);
                Ok(())
            }
            Self::File(file) => file.commit(text.as_bytes()).map(drop),
        }
    }
}

/// What is gathered while a run goes on.
#[derive(Debug, Default)]
pub struct Report {
    /// Settings with their sources.
    pub settings: Map<String, Value>,
    /// The claims of the ID token, once there is one.
    pub claims: Option<UnverifiedClaims>,
    /// Whether their signature was verified.
    pub verified: bool,
    /// The provider that was used.
    pub provider: Option<&'static str>,
    /// The format that was used.
    pub format: Option<&'static str>,
    /// The scope that was granted, once there is an access token.
    pub granted_scope: Option<String>,
    /// When the token that is handed over expires (RFC 3339), once there is one.
    pub expires_at: Option<String>,
    /// Whether there is a token, once that is known; `false` after `--on-unavailable skip`.
    pub available: Option<bool>,
    /// Why there is none, in a word.
    pub reason: Option<&'static str>,
    /// Whether a command was to run (`exec`): then a failure ends with that command's kind of status.
    pub is_exec: bool,
    /// Warnings.
    pub warnings: Vec<String>,
    /// What a run found to fail without failing itself: `doctor` tells of every check.
    pub failure: Option<Error>,
}

impl Report {
    fn render(&self, error: Option<&Error>, elapsed: Duration, console: &Console) -> Value {
        let safe = |text: &str| console.safe_lines(text);
        let message = error.map(|error| {
            let details = error.details().iter().map(|(label, value)| format!("; {label}: {value}"));
            std::iter::once(error.message().to_owned()).chain(details).collect::<String>()
        });
        let echoed = error.is_some_and(Error::echoed_secret)
            || message.as_deref().is_some_and(|message| console.holds_secret(message));
        let code = error.map(Error::code);
        let claims = error.and_then(Error::token_claims).or(self.claims.as_ref());
        json!({
            "v": VERSION,
            "code": code.map(Code::name),
            "exit": code.map_or(0, |code| status(code, self.is_exec)),
            "retryable": code.is_some_and(|code| code.exit().retryable()),
            "stage": error.map(|error| error.stage().name()),
            "message": message.map(|message| safe(&message)),
            "hint": error.map(|error| safe(error.cure())),
            "http_status": error.and_then(Error::http_status),
            "attempts": error.and_then(Error::attempts),
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "oauth_error": error.and_then(Error::oauth_error).map(safe),
            "server_echoed_secret": echoed,
            "claims": claims.map(|claims| shown_claims(claims, console)),
            "claims_status": claims.map(|_| claims_status(self.verified)),
            "provider": self.provider,
            "format": self.format,
            "available": self.available,
            "reason": self.reason,
            "granted_scope": self.granted_scope.as_deref().map(safe),
            "expires_at": self.expires_at,
            "warnings": self.warnings.iter().map(|warning| safe(warning)).collect::<Vec<_>>(),
            "settings": self.settings.iter().map(|(name, value)| (name.clone(), shown_value(value, console))).collect::<Map<_, _>>(),
        })
    }
}

/// The exit status of a failure.
pub fn status(code: Code, is_exec: bool) -> u8 {
    if is_exec { code.exit().status_under_exec() } else { code.exit().status() }
}

/// How far claims can be believed, in words that are the same everywhere.
pub fn claims_status(verified: bool) -> &'static str {
    if verified { "verified" } else { "decoded, not verified" }
}

fn shown_claims(token: &UnverifiedClaims, console: &Console) -> Map<String, Value> {
    let known = SHOWN_CLAIMS.iter().filter_map(|name| Some(((*name).to_owned(), token.claims.get(*name)?)));
    known.map(|(name, value)| (name, shown_value(value, console))).collect()
}

/// A value whose texts are safe to show. Nothing that is longer than a claim should be gets through.
fn shown_value(value: &Value, console: &Console) -> Value {
    match value {
        Value::String(text) => Value::String(console.safe(quote(text).trim_matches('"'))),
        Value::Array(items) => items.iter().map(|item| shown_value(item, console)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (console.safe(name), shown_value(value, console))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{Verbosity, captured};
    use crate::secret::Secret;

    #[test]
    fn tells_everything_but_secrets_and_persons() {
        let claims = json!({"iss": "i", "sub": "s", "aud": ["a"], "exp": 1, "actor": "octocat", "user_email": "o@example.com"});
        let report = Report {
            claims: Some(UnverifiedClaims {
                header: Map::new(),
                claims: claims.as_object().unwrap().clone(),
            }),
            verified: false,
            provider: Some("github"),
            format: None,
            available: Some(true),
            granted_scope: Some("roleassignments:o".into()),
            expires_at: Some("2026-11-22T04:00:00Z".into()),
            warnings: vec!["w ::set-env::".into()],
            settings: json!({"scope": {"value": "roleassignments:o", "source": "--scope"}})
                .as_object()
                .unwrap()
                .clone(),
            ..Report::default()
        };
        let (console, _) = captured::console(Verbosity::Quiet, false);
        console.guard(&Secret::new("the-bearer-of-this-run"));
        let error = Error::new(Code::RateLimited, "slow down")
            .with_detail("STS says", "you sent the-bearer-of-this-run")
            .with_http_status(429)
            .with_attempts(4)
            .with_oauth_error("slow");
        assert_eq!(
            report.render(Some(&error), Duration::from_millis(12), &console),
            json!({
                "v": 1, "code": "rate-limited", "exit": 8, "retryable": true, "stage": "exchange",
                "message": "slow down; STS says: you sent ***", "hint": Code::RateLimited.cure(), "http_status": 429,
                "attempts": 4, "elapsed_ms": 12, "oauth_error": "slow", "server_echoed_secret": true,
                "claims": {"iss": "i", "sub": "s", "aud": ["a"], "exp": 1}, "claims_status": "decoded, not verified",
                "provider": "github", "format": null, "available": true, "reason": null, "granted_scope": "roleassignments:o", "expires_at": "2026-11-22T04:00:00Z",
                "warnings": ["w : :set-env: :"],
                "settings": {"scope": {"value": "roleassignments:o", "source": "--scope"}},
            })
        );
        let good = Report::default().render(None, Duration::ZERO, &console);
        assert_eq!((&good["code"], &good["exit"], &good["claims"]), (&Value::Null, &json!(0), &Value::Null));
        let under_exec = Report { is_exec: true, ..Report::default() };
        assert_eq!(under_exec.render(Some(&error), Duration::ZERO, &console)["exit"], json!(125));
    }
}
