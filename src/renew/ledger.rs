//! The account of a renewing run: every renewal and every hand-out, for its report.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::error::Code;

/// The number of renewals and of hand-outs that are listed. Later ones are counted, so that a run of any length needs no
/// more memory.
const LISTED: usize = 1000;

/// The account. It holds no secret.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    renewals: List<Renewal>,
    hand_outs: List<HandOut>,
    wrong_handles: u64,
    refused_scopes: u64,
}

/// The newest entries, and the number of older ones.
#[derive(Debug)]
struct List<T> {
    newest: VecDeque<T>,
    dropped: u64,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { newest: VecDeque::new(), dropped: 0 }
    }
}

impl<T> List<T> {
    fn push(&mut self, entry: T) {
        if self.newest.len() == LISTED {
            self.newest.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.newest.push_back(entry);
    }
}

#[derive(Debug)]
struct Renewal {
    at: i64,
    scope: Arc<str>,
    outcome: Result<i64, Code>,
    /// The names that the servers gave the requests, safe to show.
    request_ids: Vec<String>,
}

impl Renewal {
    fn to_json(&self) -> Value {
        let Self { at, scope, outcome, request_ids } = self;
        let until = outcome.as_ref().ok().map(|until| rfc3339(*until));
        let code = outcome.as_ref().err().map(|code| code.name());
        json!({
            "at": rfc3339(*at), "scope": **scope, "expires_at": until, "code": code, "request_ids": request_ids,
        })
    }
}

#[derive(Debug)]
struct HandOut {
    at: i64,
    scope: Arc<str>,
    until: i64,
    asker: Asker,
}

impl HandOut {
    fn to_json(&self) -> Value {
        let Self { at, scope, until, asker: Asker { pid, uid } } = self;
        json!({"at": rfc3339(*at), "scope": **scope, "expires_at": rfc3339(*until), "pid": pid, "uid": uid})
    }
}

/// A process that asked for a token, as far as the system tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asker {
    /// The process.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
}

impl Ledger {
    /// Notes that a new token has come, or why none could be obtained, and what the servers call the requests for it.
    pub fn tried(&self, at: i64, scope: &Arc<str>, outcome: Result<i64, Code>, request_ids: Vec<String>) {
        self.lock().renewals.push(Renewal { at, scope: Arc::clone(scope), outcome, request_ids });
    }

    /// Notes that a token was handed out.
    pub fn handed_out(&self, at: i64, scope: &Arc<str>, until: i64, asker: Asker) {
        self.lock().hand_outs.push(HandOut { at, scope: Arc::clone(scope), until, asker });
    }

    /// Counts a request without the handle. Returns how many there were.
    pub fn wrong_handle(&self) -> u64 {
        let mut entries = self.lock();
        entries.wrong_handles = entries.wrong_handles.saturating_add(1);
        entries.wrong_handles
    }

    /// Counts a request for a scope that is not allowed. Returns how many there were.
    pub fn refused_scope(&self) -> u64 {
        let mut entries = self.lock();
        entries.refused_scopes = entries.refused_scopes.saturating_add(1);
        entries.refused_scopes
    }

    /// Returns the account for the report.
    pub fn to_json(&self) -> Value {
        let entries = self.lock();
        json!({
            "renewals": entries.renewals.newest.iter().map(Renewal::to_json).collect::<Vec<_>>(),
            "renewals_not_listed": entries.renewals.dropped,
            "hand_outs": entries.hand_outs.newest.iter().map(HandOut::to_json).collect::<Vec<_>>(),
            "hand_outs_not_listed": entries.hand_outs.dropped,
            "wrong_handles": entries.wrong_handles,
            "refused_scopes": entries.refused_scopes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_listed_and_the_others_counted() {
        let (ledger, scope) = (Ledger::default(), Arc::from("s"));
        for at in 0..1_005 {
            ledger.handed_out(at, &scope, 3600, Asker { pid: Some(7), uid: None });
        }
        ledger.tried(5, &scope, Ok(3605), vec!["r-1".to_owned()]);
        ledger.tried(6, &scope, Err(Code::ServerError), Vec::new());
        assert_eq!((ledger.wrong_handle(), ledger.wrong_handle(), ledger.refused_scope()), (1, 2, 1));
        let json = ledger.to_json();
        assert_eq!(json["hand_outs"].as_array().unwrap().len(), LISTED);
        assert_eq!(json["hand_outs_not_listed"], 5);
        assert_eq!(
            json["hand_outs"][0],
            json!({"at": "1970-01-01T00:00:05Z", "scope": "s", "expires_at": "1970-01-01T01:00:00Z", "pid": 7, "uid": null})
        );
        assert_eq!(
            json["renewals"],
            json!([
                {"at": "1970-01-01T00:00:05Z", "scope": "s", "expires_at": "1970-01-01T01:00:05Z", "code": null, "request_ids": ["r-1"]},
                {"at": "1970-01-01T00:00:06Z", "scope": "s", "expires_at": null, "code": "server-error", "request_ids": []},
            ])
        );
        assert_eq!((&json["wrong_handles"], &json["refused_scopes"]), (&json!(2), &json!(1)));
    }
}
