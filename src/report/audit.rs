//! The part of the report for an incident review: who asked for which token, when, under which names in the server's own
//! log, until when the token lives, and where it was put.

use serde_json::{Map, Value, json};

use crate::clock::{Clock, rfc3339};
use crate::credential::Credential;
use crate::http::Made;
use crate::report::console::Console;
use crate::text::quote;

/// The claims that name the ID token and its owner.
const IDENTITY: [&str; 4] = ["iss", "sub", "aud", "jti"];

/// The facts that are gathered while a run goes on.
#[derive(Debug, Default)]
pub struct Audit {
    /// The beginning of the run (Unix time).
    started: Option<i64>,
    /// The command.
    command: Option<&'static str>,
    /// The grant.
    pub grant: Option<&'static str>,
    /// The names of the job and its run, as the platform's variables tell them.
    pub run: Map<String, Value>,
    /// The scope that was asked for.
    pub scope: Option<String>,
    /// The token that was issued.
    pub token: Option<Value>,
    /// The places where it was put.
    pub delivered_to: Vec<Value>,
    /// The newest requests, safe to show.
    pub requests: Vec<Value>,
    /// The number of older requests.
    pub requests_not_listed: u64,
}

impl Audit {
    /// Notes the command and, the first time, the moment.
    pub fn begin(&mut self, command: Option<&'static str>, clock: &dyn Clock) {
        self.command = command;
        self.started.get_or_insert_with(|| clock.unix_time());
    }

    /// Notes a token that was issued.
    pub fn issued(&mut self, credential: &Credential) {
        self.token = Some(json!({
            "kind": credential.kind.member(),
            "scope": credential.scope,
            "expires_in": credential.expires_in,
            "expires_at": credential.expires_at_text(),
        }));
    }

    /// Notes the requests that were made, and the number of older ones.
    pub fn asked(&mut self, (requests, older): (Vec<Made>, u64), console: &Console) {
        self.requests = requests.iter().map(|made| entry(made, console)).collect();
        self.requests_not_listed = older;
    }

    /// The facts as JSON, with the claims of the ID token if there was one.
    pub fn to_json(&self, claims: Option<&Map<String, Value>>) -> Value {
        let identity = claims.map(|claims| {
            let named = IDENTITY.map(|name| (name.to_owned(), claims.get(name).cloned().unwrap_or_default()));
            named.into_iter().collect::<Map<_, _>>()
        });
        json!({
            "started_at": self.started.map(rfc3339),
            "command": self.command,
            "grant": self.grant,
            "identity": identity,
            "run": self.run,
            "scope": self.scope,
            "token": self.token,
            "delivered_to": self.delivered_to,
            "requests": self.requests,
            "requests_not_listed": self.requests_not_listed,
        })
    }
}

/// The names that a server gave a request, safe to show.
pub fn request_ids(made: &Made, console: &Console) -> Vec<String> {
    made.ids.iter().map(|id| console.safe(quote(id).trim_matches('"'))).collect()
}

fn entry(made: &Made, console: &Console) -> Value {
    json!({
        "at": rfc3339(made.at),
        "stage": made.stage.name(),
        "server": made.server,
        "status": made.status,
        "code": made.code.map(crate::error::Code::name),
        "request_ids": request_ids(made, console),
    })
}
