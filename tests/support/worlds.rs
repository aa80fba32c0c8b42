//! The jobs and ID tokens of platforms other than GitHub and GitLab, after their documentation and source.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ring::digest;
use serde_json::{Value, json};

#[cfg(unix)]
use super::job::World;
use super::server::{Reply, Request};
use super::token::{self, Facts};

/// What Forgejo's runner sets besides GitHub's variables.
pub fn forgejo_variables(issuer_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("FORGEJO_ACTIONS", "true".to_owned()),
        // The runner is a descendant of Gitea's.
        ("GITEA_ACTIONS", "true".to_owned()),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{issuer_url}/idtoken?placeholder=true")),
    ]
}

/// The claims of Forgejo's token: GitHub's names, and not before it was issued.
pub fn forgejo_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    json!({
        "iss": issuer, "aud": audience, "iat": token::now(), "nbf": token::now(), "exp": token::now() + 3600,
        "sub": format!("repo:{}:ref:refs/heads/{}", facts.repository, facts.branch),
        "actor": facts.actor, "base_ref": "", "event_name": facts.event_name, "head_ref": "",
        "ref": format!("refs/heads/{}", facts.branch), "ref_protected": "true", "ref_type": "branch",
        "repository": facts.repository, "repository_owner": facts.owner(),
        "run_attempt": facts.run_attempt, "run_id": facts.run_id, "run_number": facts.run_number,
        "sha": facts.sha, "workflow": "deploy.yml",
    })
}

/// The lines of a shell that play Buildkite's agent: it notes how it is called, in which environment, and the digests of what
/// it is told to hide.
pub const BUILDKITE_AGENT: &str = r#"
printf '%s\n' "$*" >> "$here/calls"
env | sed 's/=.*//' | sort > "$here/environment"
case "$1 $2" in
"oidc request-token") cat "$here/token" ;;
"redactor add") set -- $(sha256sum); echo "$1" >> "$here/redacted" ;;
*) exit 64 ;;
esac
"#;

/// The lines of a shell that play AWS's program: it notes how it is called and in which environment.
pub const AWS_CLI: &str = r#"
printf '%s\n' "$@" >> "$here/calls"
env | sed 's/=.*//' | sort > "$here/environment"
case "$1 $2" in
"sts get-web-identity-token")
  printf '{\n    "WebIdentityToken": "%s",\n    "Expiration": "2026-11-22T04:05:00+00:00"\n}\n' "$(cat "$here/token")" ;;
*) echo "aws: error: argument operation: Invalid choice" >&2; exit 252 ;;
esac
"#;

/// A build of CodeBuild, whose role is where the SDKs of AWS look for it.
#[cfg(unix)]
pub static AWS: World = World {
    token: None,
    variables: &[
        ("CODEBUILD_BUILD_ID", "metal-app:936a5312-a3b8-4921-8b3f-2cec8baac574"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/936a5312"),
    ],
    sink: None,
    issuer: "https://a1d2b0fd-1177-4468-9351-2fc0ffee0723.tokens.sts.global.api.aws",
    claims: r#"{
        "sub": "arn:aws:iam::123456789012:role/MetalDeployer",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012", "source_region": "eu-central-1",
            "principal_id": "arn:aws:iam::123456789012:role/MetalDeployer",
            "identity_store_user_id": "user-4711"
        }
    }"#,
};

/// Puts a helper program into the folder of a job.
#[cfg(unix)]
pub fn install_helper(folder: &Path, program: &str, lines: &str) {
    fs::create_dir_all(folder).unwrap();
    let text = format!("#!/bin/sh\nhere='{}'\n{lines}", folder.display());
    super::script::executable(&folder.join(program), &text);
}

/// Whether the program that plays the agent has noted that it hides this.
pub fn is_redacted(notes: &Path, secret: &str) -> bool {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    let digest = digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    fs::read_to_string(notes).unwrap_or_default().lines().any(|line| line == digest)
}

/// What Buildkite's agent sets, without its secrets.
pub fn buildkite_variables(facts: &Facts) -> Vec<(&'static str, String)> {
    let name = facts.repository.split_once('/').map_or("", |(_, name)| name);
    [
        ("CI", "true"),
        ("BUILDKITE", "true"),
        ("BUILDKITE_AGENT_ENDPOINT", "https://agent.buildkite.com/v3"),
        ("BUILDKITE_AGENT_JOB_API_SOCKET", "/tmp/job-api/1.sock"),
        ("BUILDKITE_JOB_ID", &facts.job_id),
        ("BUILDKITE_BUILD_NUMBER", &facts.run_number),
        ("BUILDKITE_ORGANIZATION_SLUG", facts.owner()),
        ("BUILDKITE_PIPELINE_SLUG", name),
        ("BUILDKITE_BRANCH", &facts.branch),
        ("BUILDKITE_COMMIT", &facts.sha),
        ("BUILDKITE_STEP_KEY", "deploy"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// The claims of Buildkite's token, with the subject that it has by default.
pub fn buildkite_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    let (owner, name) = facts.repository.split_once('/').unwrap();
    json!({
        "iss": issuer, "aud": audience, "iat": token::now(), "nbf": token::now(), "exp": token::now() + 300,
        "sub": format!(
            "organization:{owner}:pipeline:{name}:ref:refs/heads/{}:commit:{}:step:deploy", facts.branch, facts.sha
        ),
        "organization_slug": owner, "pipeline_slug": name, "build_number": facts.run_number.parse::<u64>().unwrap(),
        "build_branch": facts.branch, "build_commit": facts.sha, "step_key": "deploy", "job_id": facts.job_id,
        "agent_id": "0184990a-4782-42b5-afc1-16715b10b8ff", "build_source": "ui", "runner_environment": "self-hosted",
    })
}

/// What the agent of Azure Pipelines sets, and a step that maps the access token.
pub fn azure_variables(issuer_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("TF_BUILD", "True".to_owned()),
        ("SYSTEM_COLLECTIONURI", format!("{issuer_url}/")),
        ("SYSTEM_COLLECTIONID", AZURE_ORGANIZATION.to_owned()),
        ("SYSTEM_OIDCREQUESTURI", format!("{issuer_url}/idtoken")),
        ("SYSTEM_ACCESSTOKEN", token::random_text(52)),
        ("BUILD_BUILDID", "4711".to_owned()),
    ]
}

/// The id of the organization.
pub const AZURE_ORGANIZATION: &str = "a1e2f3c4-0f6e-4b8f-8b6f-2b7d9c1e5a40";
/// The audience of all tokens of Azure Pipelines.
pub const AZURE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The claims of a token of Azure Pipelines without a service connection.
pub fn azure_claims(issuer: &str, facts: &Facts) -> Value {
    let (owner, name) = facts.repository.split_once('/').unwrap();
    json!({
        "iss": issuer, "aud": AZURE_AUDIENCE, "iat": token::now(), "nbf": token::now(), "exp": token::now() + 600,
        "jti": token::random_text(16), "sub": format!("p://{owner}/{name}/deploy"),
        "rpo_ref": format!("refs/heads/{}", facts.branch),
    })
}

/// Where ID tokens are asked for, on Google's metadata server.
pub const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// What Google's metadata server refuses: a request without its header, and one that has come through a proxy. `None` for a good
/// one.
pub fn metadata_refusal(request: &Request) -> Option<Reply> {
    let page = |status: u16| {
        Some(
            Reply::status(status)
                .header("Content-Type", "text/html; charset=UTF-8")
                .body("<html>Your client does not have permission"),
        )
    };
    let text = |status: u16, text: &str| {
        Some(
            Reply::status(status)
                .header("Metadata-Flavor", "Google")
                .header("Content-Type", "text/plain")
                .body(text),
        )
    };
    if request.header("metadata-flavor") != Some("Google") {
        return page(403);
    }
    if request.header("x-forwarded-for").is_some() {
        return page(403);
    }
    if request.method != "GET" || request.header("host").is_none() {
        return page(405);
    }
    let audience = request.query_value("audience").unwrap_or_default();
    if audience.is_empty() {
        return text(400, "non-empty audience parameter required");
    }
    None
}

/// The answer with a token: a text and nothing else.
pub fn metadata_answer(token: &str) -> Reply {
    Reply::status(200).header("Metadata-Flavor", "Google").header("Content-Type", "text/html").body(token)
}

/// The claims of a service account's token on a virtual machine, with `format=full`.
pub fn google_claims(issuer: &str, audience: &str) -> Value {
    json!({
        "iss": issuer, "aud": audience, "iat": token::now(), "exp": token::now() + 3600,
        "sub": "112233445566778899001", "azp": "112233445566778899001",
        "email": "deployer@metal-app.iam.gserviceaccount.com", "email_verified": true,
        "google": {"compute_engine": {
            "instance_id": "4711", "instance_name": "runner-1", "project_id": "metal-app", "project_number": 739_419_398_126_i64,
            "zone": "europe-west3-c", "instance_creation_timestamp": 1_795_000_000,
        }},
    })
}

/// What Vela's worker sets in a step with `id_request: write`.
pub fn vela_variables(issuer_url: &str, facts: &Facts) -> Vec<(&'static str, String)> {
    vec![
        ("VELA", "true".to_owned()),
        ("VELA_ADDR", issuer_url.to_owned()),
        ("VELA_ID_TOKEN_REQUEST_URL", format!("{issuer_url}/idtoken")),
        ("VELA_ID_TOKEN_REQUEST_TOKEN", token::random_text(180)),
        ("VELA_BUILD_NUMBER", facts.run_number.clone()),
        ("VELA_REPO_FULL_NAME", facts.repository.clone()),
    ]
}

/// The claims of Vela's token.
pub fn vela_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    json!({
        "iss": issuer, "aud": [audience], "iat": token::now(), "exp": token::now() + 300,
        "sub": format!("repo:{}:ref:refs/heads/{}:event:push", facts.repository, facts.branch),
        "build_number": facts.run_number, "build_id": "4711", "actor": facts.actor, "repo": facts.repository,
        "event": "push", "ref": format!("refs/heads/{}", facts.branch), "branch": facts.branch,
        "request": "write", "commands": "true",
    })
}
