//! GitHub Actions: <https://docs.github.com/actions/reference/security/oidc>.
//!
//! With `permissions: id-token: write` the runner gives every step a URL and a bearer token; a GET with the audience
//! appended returns `{"value": "<ID token>"}`. Without the permission both variables are absent.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::claims::{Concern, ExpectedIssuer, RunBinding};
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Peer, Request, Response};
use crate::input;
use crate::json;
use crate::retry::Failure;
use crate::secret::Secret;
use crate::text::quote;

use super::{Context, Fetched, Provider, TokenSource, flag_evidence};

const PEER: Peer = Peer {
    name: "GitHub's ID-token endpoint",
    stage: Stage::Identity,
    too_large: Code::IdTokenTooLarge,
    not_json: Code::IdTokenNotJson,
};

/// GitHub's own servers, cloud and enterprise.
pub(super) struct GitHub;

impl Provider for GitHub {
    fn id(&self) -> &'static str {
        "github"
    }

    fn name(&self) -> &'static str {
        "GitHub Actions"
    }

    fn is_here(&self, env: &Env) -> bool {
        // Forgejo and Gitea set GitHub's variable as well, but have other issuers and another permission.
        env.is(names::GITHUB_ACTIONS, "true")
            && !env.is(names::FORGEJO_ACTIONS, "true")
            && !env.is(names::GITEA_ACTIONS, "true")
    }

    fn evidence(&self, env: &Env) -> String {
        flag_evidence(env, names::GITHUB_ACTIONS)
    }

    fn ready(&self, env: &Env, _: &TokenSource, _: Option<&str>) -> Result<(), Error> {
        request_variables(env).map(drop)
    }

    fn mints_on_request(&self) -> bool {
        true
    }

    fn fetch(&self, context: &Context<'_>) -> Result<Fetched, Error> {
        let (url, bearer) = request_variables(context.env)?;
        context.console.guard(&bearer);
        let audience = context.audience.ok_or_else(|| {
            Error::new(
                Code::CfgAudienceMissing,
                "GitHub has to be told whom the ID token is for: no audience is set",
            )
        })?;
        let (url, concern) = request_url(&url, context.env)?;
        concern.map_or(Ok(()), context.concern)?;
        let url = url.with_query_pair("audience", audience).map_err(|why| unsafe_url(&why.to_string()))?;
        context.retries.run("fetching the ID token", |attempt| {
            let response = context.http.send(PEER, &Request::Get { url: &url, bearer: &bearer }, attempt)?;
            let now = context.clock.unix_time();
            if response.status != 200 {
                return Err(refusal(&response, &url, now).with_echo(response.echoes(&bearer)));
            }
            let token = read(&response)?;
            Ok(Fetched { token, skew: response.date.map(|date| date.saturating_sub(now)) })
        })
    }

    fn request_host(&self, env: &Env) -> Result<Option<(String, Option<Concern>)>, Error> {
        let (url, _) = request_variables(env)?;
        request_url(&url, env).map(|(url, concern)| Some((url.origin(), concern)))
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let server = env.text(names::GITHUB_SERVER_URL)?.unwrap_or_else(|| "https://github.com".to_owned());
        let server = server.trim_end_matches('/');
        Ok(Some(match server.strip_prefix("https://") {
            Some("github.com") => {
                ExpectedIssuer::WithSegment("https://token.actions.githubusercontent.com".to_owned())
            }
            Some(host) if host.ends_with(".ghe.com") => {
                ExpectedIssuer::WithSegment(format!("https://token.actions.{host}"))
            }
            // GitHub Enterprise Server.
            _ => ExpectedIssuer::Exactly(format!("{server}/_services/token")),
        }))
    }

    fn run_bindings(&self, env: &Env) -> Result<Vec<RunBinding>, Error> {
        let pairs = [
            ("repository", names::GITHUB_REPOSITORY),
            ("repository_id", names::GITHUB_REPOSITORY_ID),
            ("run_id", names::GITHUB_RUN_ID),
            ("run_attempt", names::GITHUB_RUN_ATTEMPT),
        ];
        let mut bindings = Vec::new();
        for (claim, variable) in pairs {
            bindings.extend(env.text(variable)?.map(|value| RunBinding { claim, variable, value }));
        }
        Ok(bindings)
    }

    fn format(&self) -> &'static str {
        "github"
    }

    fn identity_variables<'a>(&self, _: &'a TokenSource) -> Vec<&'a str> {
        vec![names::ACTIONS_ID_TOKEN_REQUEST_URL, names::ACTIONS_ID_TOKEN_REQUEST_TOKEN]
    }

    fn summary_file(&self) -> Option<&'static str> {
        Some(names::GITHUB_STEP_SUMMARY)
    }

    fn workspace(&self) -> Option<&'static str> {
        Some(names::GITHUB_WORKSPACE)
    }
}

/// The two variables with which to ask, or why they are not there.
fn request_variables(env: &Env) -> Result<(String, Secret), Error> {
    let url = env.text(names::ACTIONS_ID_TOKEN_REQUEST_URL)?;
    let bearer = env.text(names::ACTIONS_ID_TOKEN_REQUEST_TOKEN)?.map(Secret::new);
    let (url, bearer) = match (url, bearer) {
        (Some(url), Some(bearer)) => (url, bearer),
        (None, None) => return Err(no_permission(env)?),
        (url, _) => {
            let (there, missing) = match url {
                Some(_) => (names::ACTIONS_ID_TOKEN_REQUEST_URL, names::ACTIONS_ID_TOKEN_REQUEST_TOKEN),
                None => (names::ACTIONS_ID_TOKEN_REQUEST_TOKEN, names::ACTIONS_ID_TOKEN_REQUEST_URL),
            };
            return Err(Error::new(
                Code::GhRequestIncomplete,
                format!("{there} is set, but {missing} is not"),
            ));
        }
    };
    if !bearer.reveal().bytes().all(|b| b.is_ascii_graphic()) {
        let name = names::ACTIONS_ID_TOKEN_REQUEST_TOKEN;
        return Err(Error::new(
            Code::GhRequestIncomplete,
            format!("{name} holds a character that no bearer token has"),
        ));
    }
    Ok((url, bearer))
}

/// Where to ask, refused when it is unsafe, with what is unusual about it.
fn request_url(text: &str, env: &Env) -> Result<(Url, Option<Concern>), Error> {
    let name = names::ACTIONS_ID_TOKEN_REQUEST_URL;
    let url = Url::parse(text).map_err(|why| unsafe_url(&why.to_string()))?;
    if url.has_query_pair("audience") {
        return Err(unsafe_url("it names an audience already"));
    }
    let server = env.text(names::GITHUB_SERVER_URL)?.and_then(|text| Url::parse(&text).ok());
    let is_known = url.is_under("actions.githubusercontent.com")
        || server.is_some_and(|server| url.is_under(server.host()));
    let origin = url.origin();
    let concern = if url.is_loopback() {
        Some(Concern::warning(format!("asking for the ID token on this machine: {origin}")))
    } else if is_known {
        None
    } else {
        // A hard list would break enterprise servers, and buys little: the runner sets the variable anew for each step.
        let server = names::GITHUB_SERVER_URL;
        let text =
            format!("{name} leads to {origin}, which is neither GitHub's host nor the one of {server}");
        Some(Concern::strict(Code::EndpointUntrusted, text))
    };
    Ok((url, concern))
}

fn unsafe_url(why: &str) -> Error {
    let name = names::ACTIONS_ID_TOKEN_REQUEST_URL;
    Error::new(Code::InsecureUrl, format!("{name} is not a URL that the request token may be sent to: {why}"))
        .with_stage(Stage::Identity)
        .with_cure(
            "The runner sets this variable. Look for an earlier step that changes it through GITHUB_ENV.",
        )
}

fn read(response: &Response) -> Result<Secret, Error> {
    let members = json::parse_object(&response.body).map_err(|why| {
        let kind = response.media_type().map_or_else(|| "no media type".to_owned(), quote);
        Error::new(
            Code::IdTokenNotJson,
            format!(
                "GitHub's ID-token endpoint answered with {} bytes of {kind}: {why}",
                response.body.len()
            ),
        )
        .with_http_status(200)
    })?;
    match members.get("value") {
        Some(Value::String(token)) => Ok(Secret::new(token.as_str())),
        other => {
            let found = other.map_or("missing", json::kind);
            let message =
                format!("GitHub's ID-token endpoint answered without a token: its value is {found}");
            Err(Error::new(Code::IdTokenMalformed, message).with_stage(Stage::Identity).with_http_status(200))
        }
    }
}

/// What a status other than 200 means.
fn refusal(response: &Response, url: &Url, now: i64) -> Failure {
    let status = response.status;
    let said = json::parse_object(&response.body)
        .ok()
        .and_then(|members| members.get("message").and_then(Value::as_str).map(ToOwned::to_owned));
    let finish = |error: Error| {
        let error = error.with_stage(Stage::Identity).with_http_status(status);
        match &said {
            Some(message) => error.with_detail("GitHub says", quote(message)),
            None => error,
        }
    };
    // "Can't issue ID_TOKEN for job in 'Pending' state": the server does not see the job as running for a moment.
    if status == 403
        && said.as_deref().is_some_and(|text| text.contains("Pending") || text.contains("not in progress"))
    {
        let error =
            finish(Error::new(Code::IdTokenNotReady, "GitHub does not see this job as running yet (403)"));
        return Failure::transient(error, None);
    }
    if let Some(code) = response.transient_code() {
        let what = if code == Code::RateLimited { "asks to slow down" } else { "failed" };
        let error = finish(Error::new(code, format!("GitHub's ID-token endpoint {what} ({status})")));
        return Failure::transient(error, response.retry_after(now));
    }
    if (300..400).contains(&status) {
        let to = response.redirect_target();
        let message = format!(
            "GitHub's ID-token endpoint answered with a redirect ({status}) to {to}, which was not followed"
        );
        return Failure::permanent(finish(Error::new(Code::IdTokenRedirect, message)));
    }
    let error = finish(Error::new(
        Code::IdTokenHttp,
        format!("GitHub's ID-token endpoint at {} refused the request ({status})", url.origin()),
    ));
    Failure::permanent(match status {
        401 => error.with_cure("The request token was not accepted. It is valid for about six hours from the start of the job, and in this job only."),
        403 => error.with_cure("Check that the job has permissions: id-token: write, and that the organization allows it."),
        404 => error.with_cure("There is no such endpoint. On GitHub Enterprise Server, check that its version supports OIDC."),
        _ => error,
    })
}

/// Why there is no way to ask: told from the event and the actor (the variables are absent in each case).
fn no_permission(env: &Env) -> Result<Error, Error> {
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
    const LIMIT: usize = 32 * 1024 * 1024;
    const TIME: Duration = Duration::from_secs(2);
    let payload = || -> Option<Value> {
        let path = env.os(names::GITHUB_EVENT_PATH)?;
        let deadline = Deadline::within(TIME);
        let content = input::read_file(Path::new(&path), input::Kind::Regular, LIMIT, deadline).ok()?;
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

    fn issuer(server: Option<&str>) -> ExpectedIssuer {
        let env = Env::fixed(server.map(|url| ("GITHUB_SERVER_URL", url)));
        GitHub.expected_issuer(&env).unwrap().unwrap()
    }

    #[test]
    fn the_issuer_follows_from_the_server() {
        let cloud = ExpectedIssuer::WithSegment("https://token.actions.githubusercontent.com".into());
        assert_eq!(issuer(None), cloud);
        assert_eq!(issuer(Some("https://github.com")), cloud);
        assert_eq!(issuer(Some("https://github.com/")), cloud);
        assert_eq!(
            issuer(Some("https://octocorp.ghe.com")),
            ExpectedIssuer::WithSegment("https://token.actions.octocorp.ghe.com".into())
        );
        assert_eq!(
            issuer(Some("https://git.example")),
            ExpectedIssuer::Exactly("https://git.example/_services/token".into())
        );
        assert_eq!(
            issuer(Some("https://github.com.evil.example")),
            ExpectedIssuer::Exactly("https://github.com.evil.example/_services/token".into())
        );
    }

    fn cause(event: &str, actor: &str, payload: Option<&str>) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        if let Some(payload) = payload {
            std::fs::write(&path, payload).unwrap();
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
