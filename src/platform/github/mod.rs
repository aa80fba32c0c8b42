//! GitHub Actions: <https://docs.github.com/actions/reference/security/oidc>.
//!
//! With `permissions: id-token: write` the runner gives every step a URL and a bearer token; a GET with the audience
//! appended returns `{"value": "<ID token>"}`. Without the permission both variables are absent.

use serde_json::Value;

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Peer, Request, Response};
use crate::identity::claims::{ExpectedIssuer, Finding};
use crate::json::{self, SecretObject};
use crate::retry::Failure;
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

use super::facts::{Audience, Facts, Folder, Supply};
use super::mask::Mask;
use super::{Endpoint, Fetched, Platform, Wanted};

mod no_permission;

use no_permission::no_permission;

/// The variables of GitHub's runner, and of systems that imitate it.
pub mod names {
    crate::env::variables! {
        /// `true` in every GitHub Actions job, and in those of systems that imitate it.
        GITHUB_ACTIONS = "GITHUB_ACTIONS";
        /// `true` in Forgejo jobs, which also set `GITHUB_ACTIONS`.
        FORGEJO_ACTIONS = "FORGEJO_ACTIONS";
        /// `true` in Gitea jobs, which also set `GITHUB_ACTIONS`.
        GITEA_ACTIONS = "GITEA_ACTIONS";
        /// GitHub's ID-token endpoint; set only with `permissions: id-token: write`.
        ACTIONS_ID_TOKEN_REQUEST_URL = "ACTIONS_ID_TOKEN_REQUEST_URL";
        /// The bearer for GitHub's ID-token endpoint. A secret.
        ACTIONS_ID_TOKEN_REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
        /// The GitHub instance, e.g. `https://github.com`: the issuer follows from it.
        GITHUB_SERVER_URL = "GITHUB_SERVER_URL";
        /// `owner/name` of the repository of this run.
        GITHUB_REPOSITORY = "GITHUB_REPOSITORY";
        /// The id of the repository of this run.
        GITHUB_REPOSITORY_ID = "GITHUB_REPOSITORY_ID";
        /// The id of this run.
        GITHUB_RUN_ID = "GITHUB_RUN_ID";
        /// The attempt of this run.
        GITHUB_RUN_ATTEMPT = "GITHUB_RUN_ATTEMPT";
        /// The event that started this run.
        GITHUB_EVENT_NAME = "GITHUB_EVENT_NAME";
        /// The file with the event's payload.
        GITHUB_EVENT_PATH = "GITHUB_EVENT_PATH";
        /// The user who started this run.
        GITHUB_ACTOR = "GITHUB_ACTOR";
        /// The step's `id`; a name that begins with `__` where the step has none.
        GITHUB_ACTION = "GITHUB_ACTION";
        /// The folder of the composite action that this step is a part of.
        GITHUB_ACTION_PATH = "GITHUB_ACTION_PATH";
        /// The checkout of a GitHub job: no token is written there.
        GITHUB_WORKSPACE = "GITHUB_WORKSPACE";
        /// The runner file for step outputs.
        GITHUB_OUTPUT = "GITHUB_OUTPUT";
        /// The runner file for variables of later steps.
        GITHUB_ENV = "GITHUB_ENV";
        /// The runner file for the job summary.
        GITHUB_STEP_SUMMARY = "GITHUB_STEP_SUMMARY";
        /// The runner's folder for temporary files, emptied with each job.
        RUNNER_TEMP = "RUNNER_TEMP";
    }
}

const PEER: Peer = Peer {
    name: "GitHub's ID-token endpoint",
    stage: Stage::Identity,
    too_large: Code::IdTokenTooLarge,
    not_json: Code::IdTokenNotJson,
};

/// GitHub's own servers, cloud and enterprise.
pub(super) struct GitHub;

static FACTS: Facts = Facts {
    id: "github",
    name: "GitHub Actions",
    markers: &[(names::GITHUB_ACTIONS, "true")],
    // They set GitHub's variable as well, but have other issuers and another permission.
    imitators: &[(names::FORGEJO_ACTIONS, "true"), (names::GITEA_ACTIONS, "true")],
    variables: names::ALL,
    secrets: &[names::ACTIONS_ID_TOKEN_REQUEST_TOKEN],
    leads: &[names::ACTIONS_ID_TOKEN_REQUEST_URL],
    reserved: &["GITHUB_", "RUNNER_", "ACTIONS_"],
    temporary: &[Folder { variable: names::RUNNER_TEMP, suffix: "" }],
    workspace: Some(names::GITHUB_WORKSPACE),
    summary: Some(names::GITHUB_STEP_SUMMARY),
    mask: Mask::Line(mask),
    annotation: Some(annotation),
    run: &[
        ("repository", names::GITHUB_REPOSITORY),
        ("repository_id", names::GITHUB_REPOSITORY_ID),
        ("run_id", names::GITHUB_RUN_ID),
        ("run_attempt", names::GITHUB_RUN_ATTEMPT),
    ],
    format: "github",
    supply: Supply::Request,
    audience: Audience::Required,
    renews: true,
    ..Facts::NEUTRAL
};

/// Tells whether nobody can read this step's outputs, since it has no `id`. The runner makes up a name then, such as `__run`
/// or `__run_2`, and no expression can begin like that. Inside a composite action the variable is about the step that uses
/// the action, so nothing is known of this one.
pub fn outputs_are_lost(env: &Env) -> bool {
    let name = env.os(names::GITHUB_ACTION);
    name.is_some_and(|name| name.to_string_lossy().starts_with("__")) && !env.has(names::GITHUB_ACTION_PATH)
}

/// The command that hides a value in the log from now on. Its line has to begin at column 0.
fn mask(value: &str) -> String {
    const COMMAND: &str = "::add-mask::";
    // With room for all of it, were each character escaped, so that no smaller buffer with the secret stays behind.
    let mut line = String::with_capacity(COMMAND.len() + 3 * value.len() + 2);
    line.push_str(COMMAND);
    for character in value.chars() {
        match character {
            '%' => line.push_str("%25"),
            '\r' => line.push_str("%0D"),
            '\n' => line.push_str("%0A"),
            other => line.push(other),
        }
    }
    line
}

/// The command that puts a failure on the run's page. Its title is not masked by the runner.
fn annotation(title: &str, text: &str) -> String {
    format!("::error title={title}::{}", escape(text))
}

/// A value in a command's line.
fn escape(value: &str) -> String {
    value.replace('%', "%25").replace('\n', "%0A")
}

impl Platform for GitHub {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn ready(&self, env: &Env, _: &Wanted) -> Result<(), Error> {
        request_variables(env).map(drop)
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        let (url, bearer) = request_variables(&session.env)?;
        session.console.guard(&bearer);
        let audience = wanted.audience.as_deref().ok_or_else(|| {
            Error::new(
                Code::CfgAudienceMissing,
                "no audience is set, and GitHub needs one to issue an ID token",
            )
        })?;
        let (url, _) = request_url(&url, &session.env)?;
        let url = url.with_query_pair("audience", audience).map_err(|why| unsafe_url(&why.to_string()))?;
        session.retry("fetching the ID token", by, |attempt| {
            let response = session.http.send(PEER, &Request::get(&url).with_bearer(&bearer), attempt)?;
            let now = session.clock.unix_time();
            if response.status != 200 {
                return Err(refusal(&response, &url, now).with_echo(response.echoes(&bearer)));
            }
            let token = read(&response)?;
            Ok(Fetched { token, skew: response.date.map(|date| date.saturating_sub(now)) })
        })
    }

    fn endpoint(&self, env: &Env) -> Result<Option<Endpoint>, Error> {
        let (url, _) = request_variables(env)?;
        request_url(&url, env).map(|(url, finding)| Some(Endpoint { origin: url.origin(), finding }))
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

/// Returns the URL to ask, with what is unusual about it. An unsafe one is refused.
fn request_url(text: &str, env: &Env) -> Result<(Url, Option<Finding>), Error> {
    let name = names::ACTIONS_ID_TOKEN_REQUEST_URL;
    let url = Url::parse(text).map_err(|why| unsafe_url(&why.to_string()))?;
    if url.has_query_pair("audience") {
        return Err(unsafe_url("it names an audience already"));
    }
    let server = env.text(names::GITHUB_SERVER_URL)?.and_then(|text| Url::parse(&text).ok());
    let is_known = url.is_under("actions.githubusercontent.com")
        || server.is_some_and(|server| url.is_under(server.host()));
    let origin = url.origin();
    let finding = if is_known {
        url.is_loopback()
            .then(|| Finding::warning(format!("asking for the ID token on this machine: {origin}")))
    } else {
        // A hard list would break enterprise servers, and buys little: the runner sets the variable anew for each step.
        let server = names::GITHUB_SERVER_URL;
        let text =
            format!("{name} leads to {origin}, which is neither GitHub's host nor the one of {server}");
        Some(Finding::strict(Code::EndpointUntrusted, text))
    };
    Ok((url, finding))
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
    let mut members = SecretObject::parse(&response.body).map_err(|why| {
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
    members.take_secret("value").ok_or_else(|| {
        let found = members.get("value").map_or("missing", json::kind);
        let message = format!("GitHub's ID-token endpoint answered without a token: its value is {found}");
        Error::new(Code::IdTokenMalformed, message).with_stage(Stage::Identity).with_http_status(200)
    })
}

/// Explains a status other than 200.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(server: Option<&str>) -> ExpectedIssuer {
        let env = Env::fixed(server.map(|url| ("GITHUB_SERVER_URL", url)));
        GitHub.expected_issuer(&env).unwrap().unwrap()
    }

    #[test]
    fn a_command_cannot_be_broken_out_of() {
        assert_eq!(mask("a%b\r\nc"), "::add-mask::a%25b%0D%0Ac");
        assert_eq!(annotation("title", "100% : :x\ny"), "::error title=title::100%25 : :x%0Ay");
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
}
