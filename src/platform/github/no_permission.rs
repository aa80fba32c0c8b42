//! The reasons for which a GitHub job has no way to ask for an ID token.

use std::fs;
use std::io::Read;

use serde_json::Value;

use crate::env::{Env, names as shared};
use crate::error::{Code, Error};
use crate::text::quote;

use super::names;
use crate::platform::inside_exec;

/// Explains why there is no way to ask, as far as it shows in the event and the actor (the variables are absent in each
/// case).
pub(super) fn no_permission(env: &Env) -> Result<Error, Error> {
    let event = env.text(names::GITHUB_EVENT_NAME)?.unwrap_or_default();
    let actor = env.text(names::GITHUB_ACTOR)?.unwrap_or_default();
    let situation =
        |error: Error| error.with_detail("event", quote(&event)).with_detail("actor", quote(&actor));
    if env.has(shared::EXEC) {
        return Ok(inside_exec(Error::new(Code::GhIdTokenPermission, MESSAGE), env));
    }
    // Secrets and write permissions are withheld for these events only; for all others a missing permission is the cause.
    let is_pull_request = event.starts_with("pull_request") && event != "pull_request_target";
    let from_fork = if is_pull_request { is_from_fork(env) } else { Some(false) };
    if from_fork == Some(true) {
        return Ok(situation(Error::new(
            Code::GhForkPr,
            "GitHub gives no ID token to a pull request from a fork",
        )));
    }
    if actor == "dependabot[bot]" && FOR_DEPENDABOT.contains(&&*event) {
        return Ok(situation(Error::new(
            Code::GhDependabot,
            "GitHub gives no ID token to this run that Dependabot started: the job does not ask for the permission",
        )));
    }
    let error = situation(Error::new(Code::GhIdTokenPermission, MESSAGE));
    Ok(match from_fork {
        Some(_) => error,
        None => error.with_detail(
            "note",
            format!("if the pull request comes from a fork, that is the cause: GitHub gives such a run no ID token ({} could not be read)", names::GITHUB_EVENT_PATH),
        ),
    })
}

const MESSAGE: &str = "this job may not ask GitHub for an ID token";

/// The events for which GitHub restricts runs of Dependabot:
/// <https://docs.github.com/en/code-security/dependabot/troubleshooting-dependabot/troubleshooting-dependabot-on-github-actions>.
const FOR_DEPENDABOT: [&str; 7] = [
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "create",
    "deployment",
    "deployment_status",
];

/// Checks whether the event's payload says that the head of the pull request is in another repository than its base. `None` when
/// there is no payload that could be read.
fn is_from_fork(env: &Env) -> Option<bool> {
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
    let payload = payload()?;
    let head = payload.pointer("/pull_request/head/repo");
    let id = |pointer: &str| payload.pointer(pointer).and_then(Value::as_u64);
    Some(match head {
        None => false,
        // The fork has been deleted since.
        Some(Value::Null) => true,
        Some(repo) => match (id("/pull_request/head/repo/id"), id("/pull_request/base/repo/id")) {
            (Some(head), Some(base)) => head != base,
            _ => repo.get("fork").and_then(Value::as_bool).unwrap_or(false),
        },
    })
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
            ("deployment_status", "dependabot[bot]", None, "gh-dependabot"),
            ("workflow_run", "dependabot[bot]", None, "gh-id-token-permission"),
            ("pull_request_target", "dependabot[bot]", Some(&own), "gh-id-token-permission"),
            ("schedule", "dependabot[bot]", None, "gh-id-token-permission"),
            ("", "dependabot[bot]", None, "gh-id-token-permission"),
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
