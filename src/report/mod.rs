//! The JSON report of a run (`--report`), for machines. It holds no secret: texts are cleaned and scrubbed, and of the
//! claims only the allow-listed ones are told.

pub mod audit;
pub mod console;
pub mod countdown;
pub mod late;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::error::{Code, Error};
use crate::report::audit::Audit;
use crate::report::console::Console;
use crate::text::brief;

/// The version of the report's layout. Members may be added without a new one.
const VERSION: u32 = 1;

/// The facts that are gathered while a run goes on.
#[derive(Debug, Default)]
pub struct Report {
    /// Settings with their sources.
    pub settings: Map<String, Value>,
    /// The claims of the ID token that identify the job and say nothing about persons, once there is a token.
    pub claims: Option<Map<String, Value>>,
    /// True if their signature was verified.
    pub verified: bool,
    /// The provider that was used.
    pub provider: Option<&'static str>,
    /// The format that was used.
    pub format: Option<&'static str>,
    /// True if nothing was to be sent to Equinix (`--dry-run`).
    pub is_dry: bool,
    /// The scope that was granted, once there is an access token.
    pub granted_scope: Option<String>,
    /// The moment when the token that is handed over expires (RFC 3339), once there is one.
    pub expires_at: Option<String>,
    /// True if there is a token, once that is known; `false` after `--on-unavailable skip`.
    pub available: Option<bool>,
    /// The reason for which there is none, in a word.
    pub reason: Option<&'static str>,
    /// True if a command was to run (`exec`): then a failure ends with that command's kind of status.
    pub is_exec: bool,
    /// Warnings.
    pub warnings: Vec<String>,
    /// The facts for an incident review.
    pub audit: Audit,
    /// The facts about the answers of an STS, of a `doctor` that asks it.
    pub first_contact: Option<Value>,
    /// The renewals and hand-outs of a run that stays beside its command.
    pub renewal: Option<Value>,
    /// True while the command of a renewing run is still to run.
    pub is_interim: bool,
    /// A failure that the run found without failing itself: `doctor` tells of every check.
    pub failure: Option<Error>,
}

impl Report {
    /// The report as JSON.
    pub fn render(&self, error: Option<&Error>, elapsed: Duration, console: &Console) -> Value {
        let safe = |text: &str| console.safe_lines(text);
        // Each by itself: what has to be withheld of one leaves the others.
        let message = error.map(|error| {
            let details = error.details().iter().map(|(label, value)| format!("; {label}: {}", safe(value)));
            std::iter::once(safe(error.message())).chain(details).collect::<String>()
        });
        let echoed = error.is_some_and(|error| {
            let mut texts = std::iter::once(error.message())
                .chain(error.details().iter().map(|(_, value)| value.as_str()));
            error.echoed_secret() || texts.any(|text| console.holds_secret(text))
        });
        let code = error.map(Error::code);
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
            "claims": self.claims.as_ref().map(|claims| Shown::new(console).members(claims)),
            "claims_status": self.claims.as_ref().map(|_| claims_status(self.verified)),
            "provider": self.provider,
            "format": self.format,
            "dry_run": self.is_dry,
            "available": self.available,
            "reason": self.reason,
            "granted_scope": self.granted_scope.as_deref().map(safe),
            "expires_at": self.expires_at,
            "warnings": self.warnings.iter().map(|warning| safe(warning)).collect::<Vec<_>>(),
            "audit": Shown::new(console).value(&self.audit.to_json(self.claims.as_ref())),
            "first_contact": self.first_contact.as_ref().map(|facts| Shown::new(console).value(facts)),
            "renewal": self.renewal.as_ref().map(|renewal| Shown::new(console).value(renewal)),
            "settings": Shown::new(console).members(&self.settings),
        })
    }
}

/// The exit status of a failure.
pub fn status(code: Code, is_exec: bool) -> u8 {
    if is_exec { code.exit().status_under_exec() } else { code.exit().status() }
}

/// Tells how far claims can be believed, in words that are the same everywhere.
pub fn claims_status(verified: bool) -> &'static str {
    if verified { "verified" } else { "decoded, not verified" }
}

/// Makes texts safe to show, each once: that takes its time, and a long list has few that differ.
struct Shown<'a> {
    console: &'a Console,
    known: BTreeMap<String, String>,
}

impl<'a> Shown<'a> {
    fn new(console: &'a Console) -> Self {
        Self { console, known: BTreeMap::new() }
    }

    fn text(&mut self, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let safe = self.console.safe(text);
        self.known.insert(text.to_owned(), safe.clone());
        safe
    }

    fn members(&mut self, members: &Map<String, Value>) -> Map<String, Value> {
        members.iter().map(|(name, value)| (name.clone(), self.value(value))).collect()
    }

    /// A value whose texts are safe to show. Nothing that is longer than a claim should be gets through.
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&brief(text))),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (self.text(name), self.value(value))).collect()
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::{Verbosity, captured};
    use crate::secret::Secret;

    #[test]
    fn looks_through_a_text_once_however_often_it_comes() {
        let (console, _) = captured::console(Verbosity::Quiet, false);
        console.guard(&Secret::new("the-bearer-of-this-run"));
        let mut shown = Shown::new(&console);
        let entry = json!({"scope": "with the-bearer-of-this-run", "pid": 7});
        let list = shown.value(&json!(vec![entry; 1000]));
        assert_eq!(list.as_array().map(Vec::len), Some(1000));
        assert_eq!((&list[0], &list[999]), (&json!({"scope": "with ***", "pid": 7}), &list[0]));
        assert_eq!(shown.known.len(), 3, "scope, its value, and pid");
    }

    #[test]
    fn tells_everything_but_secrets() {
        let claims = json!({"iss": "i", "sub": "s", "aud": ["a"], "exp": 1});
        let report = Report {
            claims: claims.as_object().cloned(),
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
                "provider": "github", "format": null, "dry_run": false, "available": true, "reason": null, "granted_scope": "roleassignments:o", "expires_at": "2026-11-22T04:00:00Z",
                "warnings": ["w : :set-env: :"],
                "audit": {
                    "started_at": null, "command": null, "grant": null,
                    "identity": {"iss": "i", "sub": "s", "aud": ["a"], "jti": null}, "run": {}, "scope": null,
                    "token": null, "delivered_to": [], "requests": [], "requests_not_listed": 0,
                },
                "first_contact": null, "renewal": null, "settings": {"scope": {"value": "roleassignments:o", "source": "--scope"}},
            })
        );
        let good = Report::default().render(None, Duration::ZERO, &console);
        assert_eq!((&good["code"], &good["exit"], &good["claims"]), (&Value::Null, &json!(0), &Value::Null));
        let under_exec = Report { is_exec: true, ..Report::default() };
        assert_eq!(under_exec.render(Some(&error), Duration::ZERO, &console)["exit"], json!(125));
    }
}
