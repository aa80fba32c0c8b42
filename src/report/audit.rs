//! The part of the report for an incident review: who asked for which token, when, under which names in the server's own
//! log, until when the token lives, and where it was put.

use serde_json::{Map, Value};

use crate::clock::{Clock, rfc3339};
use crate::error::{Code, Stage};
use crate::json::object;
use crate::report::console::Console;
use crate::text::brief;

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

/// A request that was made: nothing of what was sent, and of the answer only how it is known to the server.
#[derive(Debug, Clone)]
pub struct Made {
    /// The moment before it was sent (Unix time).
    pub at: i64,
    /// The part of the data flow that it belongs to.
    pub stage: Stage,
    /// The origin of the server.
    pub server: String,
    /// The method and the path, of a request to Equinix. Elsewhere a path may be nobody's business.
    pub what: Option<(&'static str, String)>,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// The code of the failure, if none came.
    pub code: Option<Code>,
    /// The names that the server gave the request. Untrusted.
    pub ids: Vec<String>,
}

impl Audit {
    /// Notes the command and, the first time, the moment.
    pub fn begin(&mut self, command: Option<&'static str>, clock: &dyn Clock) {
        self.command = command;
        self.started.get_or_insert_with(|| clock.unix_time());
    }

    /// Notes the requests that were made, and the number of older ones.
    pub fn asked(&mut self, (requests, older): (Vec<Made>, u64), console: &Console) {
        self.requests = requests.iter().map(|made| entry(made, console)).collect();
        self.requests_not_listed = older;
    }

    /// The facts as JSON, with the claims of the ID token if there was one.
    pub fn to_json(&self, claims: Option<&Map<String, Value>>) -> Value {
        let identity = claims.map(|claims| {
            let claim = |name| (name, claims.get(name).cloned().unwrap_or_default());
            object(IDENTITY.map(claim).into())
        });
        object(vec![
            ("started_at", self.started.map(rfc3339).into()),
            ("command", self.command.into()),
            ("grant", self.grant.into()),
            ("identity", identity.into()),
            ("run", Value::Object(self.run.clone())),
            ("scope", self.scope.clone().into()),
            ("token", self.token.clone().into()),
            ("delivered_to", Value::Array(self.delivered_to.clone())),
            ("requests", Value::Array(self.requests.clone())),
            ("requests_not_listed", self.requests_not_listed.into()),
        ])
    }
}

/// The names that a server gave a request, safe to show.
pub fn request_ids(made: &Made, console: &Console) -> Vec<String> {
    made.ids.iter().map(|id| console.safe(&brief(id))).collect()
}

fn entry(made: &Made, console: &Console) -> Value {
    object(vec![
        ("at", rfc3339(made.at).into()),
        ("stage", made.stage.name().into()),
        ("server", made.server.clone().into()),
        ("method", made.what.as_ref().map(|(method, _)| *method).into()),
        ("path", made.what.as_ref().map(|(_, path)| console.safe(&brief(path))).into()),
        ("status", made.status.into()),
        ("code", made.code.map(Code::name).into()),
        ("request_ids", request_ids(made, console).into()),
    ])
}
