//! The list of checks and its two forms.

use serde::Serialize;
use serde_json::json;

use crate::cli::unknown;
use crate::command::json_text;
use crate::env::Env;
use crate::error::Error;
use crate::report::console::Console;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

struct Check {
    name: &'static str,
    status: Status,
    text: String,
    cure: Option<String>,
    error: Option<Error>,
}

/// Everything that has been checked so far.
#[derive(Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Adds a check that needs no cure.
    pub(super) fn add(&mut self, name: &'static str, status: Status, text: impl Into<String>) {
        self.0.push(Check { name, status, text: text.into(), cure: None, error: None });
    }

    /// Adds something that is odd.
    pub(super) fn warn(&mut self, name: &'static str, text: impl Into<String>, cure: &str) {
        let cure = Some(cure.to_owned());
        self.0.push(Check { name, status: Status::Warn, text: text.into(), cure, error: None });
    }

    /// Adds something that would end a run.
    pub(super) fn fail(&mut self, name: &'static str, error: Error) {
        self.0.push(Check {
            name,
            status: Status::Fail,
            text: error.message().to_owned(),
            cure: Some(error.cure().to_owned()),
            error: Some(error),
        });
    }

    /// Adds to each failure what was probably meant for a setting that is missing.
    pub(super) fn explained(self, env: &Env) -> Self {
        let explain = |error| unknown::explain(error, env);
        Self(self.0.into_iter().map(|check| Check { error: check.error.map(explain), ..check }).collect())
    }

    /// Tells whether a check of this name has failed.
    pub(super) fn failed(&self, name: &str) -> bool {
        self.0.iter().any(|check| check.name == name && check.status == Status::Fail)
    }

    /// Returns the first failure.
    pub(super) fn into_failure(self) -> Option<Error> {
        self.0.into_iter().find_map(|check| check.error)
    }

    /// Returns the exit status: that of the first failure, or 0.
    pub(super) fn exit(&self) -> u8 {
        self.0.iter().find_map(|check| check.error.as_ref()).map_or(0, |error| error.code().exit().status())
    }

    /// Writes the list for people.
    pub(super) fn text(&self, console: &Console) -> String {
        let mut text = String::new();
        for check in &self.0 {
            let code =
                check.error.as_ref().map_or_else(String::new, |error| format!(" [{}]", error.code().name()));
            let line = format!("{:4}  {:12}  {}{code}", check.status.name(), check.name, check.text);
            text.push_str(&console.safe(&line));
            text.push('\n');
            for (label, value) in check.error.iter().flat_map(Error::details) {
                text.push_str(&console.safe(&format!("                    {label}: {value}")));
                text.push('\n');
            }
            for line in check.cure.iter().flat_map(|cure| cure.split('\n')) {
                text.push_str(&console.safe(&format!("                    > {line}")));
                text.push('\n');
            }
        }
        text
    }

    /// Writes the list for programs. Scrubbed like the text: a server may have echoed a secret into an error.
    pub(super) fn json(&self, console: &Console) -> String {
        let checks: Vec<_> = self
            .0
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "status": check.status,
                    "message": console.safe(&check.text),
                    "details": check.error.iter().flat_map(Error::details).map(|(label, value)| json!({*label: console.safe(value)})).collect::<Vec<_>>(),
                    "code": check.error.as_ref().map(|error| error.code().name()),
                    "cure": check.cure.as_deref().map(|cure| console.safe_lines(cure)),
                })
            })
            .collect();
        let document = json!({"v": 1, "ok": self.exit() == 0, "exit": self.exit(), "checks": checks});
        format!("{}\n", json_text(&document))
    }
}
