//! ID tokens as the platforms mint them, and tokens that no platform would.
//!
//! The signature is not one: it is derived from the claims, so that it has as much entropy as a real one and a leak
//! of it is found. A test that verifies signatures brings its own through [`Token::signature`].

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

/// The facts about a run, that its environment and its token agree on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `GITHUB_REPOSITORY`, `CI_PROJECT_PATH`: owner (or group) and name.
    pub repository: String,
    /// `GITHUB_REPOSITORY_ID`, `CI_PROJECT_ID`.
    pub repository_id: String,
    /// `GITHUB_REPOSITORY_OWNER_ID`, the group's id.
    pub owner_id: String,
    /// `GITHUB_RUN_ID`, `CI_PIPELINE_ID`.
    pub run_id: String,
    /// `GITHUB_RUN_NUMBER`.
    pub run_number: String,
    /// `GITHUB_RUN_ATTEMPT`.
    pub run_attempt: String,
    /// `CI_JOB_ID`.
    pub job_id: String,
    /// `GITHUB_EVENT_NAME`.
    pub event_name: String,
    /// `GITHUB_ACTOR`, `GITLAB_USER_LOGIN`.
    pub actor: String,
    /// `GITHUB_ACTOR_ID`, `GITLAB_USER_ID`.
    pub actor_id: String,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub sha: String,
}

impl Default for Facts {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            repository: text("octo-org/metal-app"),
            repository_id: text("741852963"),
            owner_id: text("6520147"),
            run_id: text("17430925816"),
            run_number: text("318"),
            run_attempt: text("1"),
            job_id: text("9276154380"),
            event_name: text("push"),
            actor: text("mona"),
            actor_id: text("583231"),
            branch: text("main"),
            sha: text("4f0c1d6b8a93e27550b1c9d84f6e21a7730de915"),
        }
    }
}

impl Facts {
    /// The part of the repository before the `/`.
    pub fn owner(&self) -> &str {
        self.repository.split_once('/').map_or(self.repository.as_str(), |(owner, _)| owner)
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The claims of a GitHub token: what looks like a number is a string, but for the times.
pub fn github_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    let Facts { repository, branch, sha, .. } = facts;
    let reference = format!("refs/heads/{branch}");
    let workflow_ref = format!("{repository}/.github/workflows/deploy.yml@{reference}");
    json!({
        "jti": random_text(16),
        "iss": issuer,
        "sub": format!("repo:{repository}:ref:{reference}"),
        "aud": audience,
        "iat": now(),
        "nbf": now() - 600,
        "exp": now() + 300,
        "actor": facts.actor,
        "actor_id": facts.actor_id,
        "base_ref": "",
        "check_run_id": "49482617350",
        "event_name": facts.event_name,
        "head_ref": "",
        "job_workflow_ref": workflow_ref,
        "job_workflow_sha": sha,
        "ref": reference,
        "ref_protected": "true",
        "ref_type": "branch",
        "repository": repository,
        "repository_id": facts.repository_id,
        "repository_owner": facts.owner(),
        "repository_owner_id": facts.owner_id,
        "repository_visibility": "private",
        "run_attempt": facts.run_attempt,
        "run_id": facts.run_id,
        "run_number": facts.run_number,
        "runner_environment": "github-hosted",
        "sha": sha,
        "workflow": "deploy",
        "workflow_ref": workflow_ref,
        "workflow_sha": sha,
    })
}

/// The claims of a GitLab token: `runner_id` is its one number besides the times.
pub fn gitlab_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    let Facts { repository, repository_id, branch, sha, .. } = facts;
    let host = issuer.split_once("://").map_or(issuer, |(_, host)| host);
    json!({
        "jti": random_text(16),
        "iss": issuer,
        "sub": format!("project_path:{repository}:ref_type:branch:ref:{branch}"),
        "aud": audience,
        "iat": now(),
        "nbf": now() - 5,
        "exp": now() + 3600,
        "namespace_id": facts.owner_id,
        "namespace_path": facts.owner(),
        "project_id": repository_id,
        "project_path": repository,
        "job_project_id": repository_id,
        "job_project_path": repository,
        "job_namespace_id": facts.owner_id,
        "job_namespace_path": facts.owner(),
        "user_id": facts.actor_id,
        "user_login": facts.actor,
        "user_email": "mona@octo.example",
        "user_access_level": "maintainer",
        "pipeline_id": facts.run_id,
        "pipeline_source": "push",
        "job_id": facts.job_id,
        "ref": branch,
        "ref_type": "branch",
        "ref_path": format!("refs/heads/{branch}"),
        "ref_protected": "true",
        "groups_direct": ["octo-org", "octo-org/platform"],
        "runner_id": 12_270_831,
        "runner_environment": "gitlab-hosted",
        "sha": sha,
        "project_visibility": "private",
        "ci_config_ref_uri": format!("{host}/{repository}//.gitlab-ci.yml@refs/heads/{branch}"),
        "ci_config_sha": sha,
        "job_source": "push",
    })
}

/// A token in the making.
#[derive(Debug, Clone)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Option<String>,
}

impl Token {
    /// A token with these claims (a JSON object) and the header that GitHub gives.
    pub fn new(claims: Value) -> Self {
        let kid = "38826b17-6a30-5f9b-b169-8beb8202f723";
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": kid, "x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"});
        Self { header: object(header), claims: object(claims), signature: None }
    }

    /// Sets a header parameter.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// The claims, to change several.
    pub fn claims(&mut self) -> &mut Map<String, Value> {
        &mut self.claims
    }

    /// The third part, verbatim.
    pub fn signature(mut self, signature: &str) -> Self {
        self.signature = Some(signature.to_owned());
        self
    }

    /// The first two parts with the dot between them: what a real signature would be over.
    pub fn signing_input(&self) -> String {
        let part = |map: &Map<String, Value>| URL_SAFE_NO_PAD.encode(serde_json::to_vec(map).unwrap());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }

    /// The token.
    pub fn mint(&self) -> String {
        let input = self.signing_input();
        let signature = self.signature.clone().unwrap_or_else(|| derived_signature(&input));
        format!("{input}.{signature}")
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no JSON object"),
    }
}

/// A token from any bytes: both are encoded, whatever they are.
pub fn raw(header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = derived_signature(&input);
    format!("{input}.{signature}")
}

/// As long as an RS256 signature, and the same for the same input.
pub fn derived_signature(input: &str) -> String {
    let mut bytes = Vec::new();
    for block in 0..8_u8 {
        let seed = [&[block], input.as_bytes()].concat();
        bytes.extend_from_slice(digest::digest(&digest::SHA256, &seed).as_ref());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The third part of a token: the part that is secret.
pub fn signature_of(token: &str) -> Option<&str> {
    token.split('.').nth(2)
}

/// So many random bytes as base64url.
pub fn random_text(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(random(bytes))
}

/// An access token of the STS: a `b64token` with characters from all corners of that grammar (RFC 6750).
pub fn access_token() -> String {
    format!("at.~_-{}", STANDARD.encode(random(97)))
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}
