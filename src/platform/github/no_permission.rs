//! The reasons for which a GitHub job has no way to ask for an ID token.

use std::fs;
use std::io::Read;

use serde_json::Value;

use crate::env::Env;
use crate::error::{Code, Error};
use crate::text::quote;

use super::names;

/// Why there is no way to ask: told from the event and the actor (the variables are absent in each case).
pub(super) fn no_permission(env: &Env) -> Result<Error, Error> {
    let event = env.text(names::GITHUB_EVENT_NAME)?.unwrap_or_default();
    let actor = env.text(names::GITHUB_ACTOR)?.unwrap_or_default();
    let situation =
        |error: Error| error.with_detail("event", quote(&event)).with_detail("actor", quote(&actor));
    // Secrets and write permissions are withheld for these events only; for all others a missing permission is the cause.
    let is_pull_request = event.starts_with("pull_request") && event != "pull_request_target";
    if is_pull_request && is_from_fork(env) {
        return Ok(situation(Error::new(
            Code::GhForkPr,
            "GitHub gives no ID token to a pull request from a fork",
        )));
    }
    if actor == "dependabot[bot]" {
        return Ok(situation(Error::new(
            Code::GhDependabot,
            "GitHub gives no ID token to a run that Dependabot started",
        )));
    }
    Ok(situation(Error::new(Code::GhIdTokenPermission, "this job may not ask GitHub for an ID token")))
}

/// Whether the event's payload says that the head of the pull request is in another repository than its base.
fn is_from_fork(env: &Env) -> bool {
    // Payloads can be large, but this one is only read to explain a failure.
    const LIMIT: u64 = 32 * 1024 * 1024;
    let payload = || -> Option<Value> {
        let path = env.os(names::GITHUB_EVENT_PATH)?;
        // Anything but a file could hold up the run.
        fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let mut content = Vec::new();
        fs::File::open(path).ok()?.take(LIMIT).read_to_end(&mut content).ok()?;
        serde_json::from_slice(&content).ok()
    };
    let Some(payload) = payload() else { return false };
    let head = payload.pointer("/pull_request/head/repo");
    let id = |pointer: &str| payload.pointer(pointer).and_then(Value::as_u64);
    match head {
        None => false,
        // The fork has been deleted since.
        Some(Value::Null) => true,
        Some(repo) => match (id("/pull_request/head/repo/id"), id("/pull_request/base/repo/id")) {
            (Some(head), Some(base)) => head != base,
            _ => repo.get("fork").and_then(Value::as_bool).unwrap_or(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(event: &str, actor: &str, payload: Option<&str>) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        if let Some(payload) = payload {
            fs::write(&path, payload).unwrap();
        }
        let env = Env::fixed([
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_ACTOR", actor),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
        ]);
        no_permission(&env).unwrap().code().name()
    }

    #[test]
    fn a_missing_permission_is_told_from_forks_and_dependabot() {
        let pull = |head: &str| {
            format!(r#"{{"pull_request":{{"head":{{"repo":{head}}},"base":{{"repo":{{"id":1}}}}}}}}"#)
        };
        let fork = pull(r#"{"id":2,"fork":true}"#);
        let own = pull(r#"{"id":1,"fork":false}"#);
        // A fork that is itself the base of an internal pull request is not foreign.
        let fork_of_others = pull(r#"{"id":1,"fork":true}"#);
        for (event, actor, payload, code) in [
            ("pull_request", "octocat", Some(&fork), "gh-fork-pr"),
            ("pull_request", "octocat", Some(&pull("null")), "gh-fork-pr"),
            ("pull_request", "octocat", Some(&pull(r#"{"fork":true}"#)), "gh-fork-pr"),
            ("pull_request_review", "octocat", Some(&fork), "gh-fork-pr"),
            ("pull_request", "dependabot[bot]", Some(&fork), "gh-fork-pr"),
            ("pull_request", "dependabot[bot]", Some(&own), "gh-dependabot"),
            ("push", "dependabot[bot]", None, "gh-dependabot"),
            ("pull_request", "octocat", Some(&own), "gh-id-token-permission"),
            ("pull_request", "octocat", Some(&fork_of_others), "gh-id-token-permission"),
            ("pull_request_target", "octocat", Some(&fork), "gh-id-token-permission"),
            ("pull_request", "octocat", Some(&"not json".to_owned()), "gh-id-token-permission"),
            ("pull_request", "octocat", None, "gh-id-token-permission"),
            ("push", "octocat", None, "gh-id-token-permission"),
        ] {
            assert_eq!(cause(event, actor, payload.map(String::as_str)), code, "{event} {actor} {payload:?}");
        }
    }
}
