//! ID tokens as the platforms mint them, and tokens that no platform would.
//!
//! The signature is not one: it is derived from the claims, so that it has as much entropy as a real one and a leak
//! of it is found. A test that verifies signatures brings its own through [`Token::signature`].

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

/// The facts about a run, that its environment and its token agree on. They are others than the sandbox's, so that no test
/// passes by a fact that is built into the program.
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

/// The shape of the platforms' jobs, which the sandbox and the benches take from there too.
static JOBS: LazyLock<Value> = LazyLock::new(|| {
    let jobs = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sandbox/jobs.json"));
    serde_json::from_str(jobs).unwrap()
});

impl Facts {
    /// The variables that this platform sets whatever the job's files and secrets are.
    pub fn variables(&self, platform: &str, server: &str) -> Map<String, Value> {
        object(self.fill(&JOBS[platform]["variables"], server))
    }

    /// The claims of this platform's token.
    fn claims(&self, platform: &str, issuer: &str, audience: &str) -> Map<String, Value> {
        let job = &JOBS[platform];
        let seconds = |name: &str| job[name].as_i64().unwrap();
        let mut claims = object(self.fill(&job["claims"], issuer));
        for (name, value) in [
            ("jti", json!(random_text(16))),
            ("iss", json!(issuer)),
            ("aud", json!(audience)),
            ("iat", json!(now())),
            ("nbf", json!(now() - seconds("valid_before"))),
            ("exp", json!(now() + seconds("life"))),
        ] {
            claims.insert(name.to_owned(), value);
        }
        claims
    }

    /// The value with these facts in the place of their names.
    fn fill(&self, value: &Value, server: &str) -> Value {
        let (scheme, host) = server.split_once("://").unwrap_or(("", server));
        let facts = [
            ("server", server),
            ("scheme", scheme),
            ("host", host),
            ("hostname", host.split(':').next().unwrap()),
            ("owner", self.owner()),
            ("owner_id", &self.owner_id),
            ("name", self.repository.split_once('/').map_or("", |(_, name)| name)),
            ("repository_id", &self.repository_id),
            ("branch", &self.branch),
            ("sha", &self.sha),
            ("event", &self.event_name),
            ("actor", &self.actor),
            ("actor_id", &self.actor_id),
            ("run_id", &self.run_id),
            ("run_number", &self.run_number),
            ("run_attempt", &self.run_attempt),
            ("job_id", &self.job_id),
        ];
        match value {
            Value::String(text) if !text.contains('{') => value.clone(),
            Value::String(text) => {
                let filled =
                    |text: String, (name, fact): &(&str, &str)| text.replace(&format!("{{{name}}}"), fact);
                facts.iter().fold(text.clone(), filled).into()
            }
            Value::Array(items) => items.iter().map(|item| self.fill(item, server)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.fill(value, server))).collect()
            }
            other => other.clone(),
        }
    }
}

/// The claims of a GitHub token: what looks like a number is a string, but for the times. The repository is an older one,
/// whose subject has no ids.
pub fn github_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    let mut claims = facts.claims("github", issuer, audience);
    claims.insert("sub".to_owned(), facts.fill(&JOBS["github"]["subject_without_ids"], issuer));
    claims.into()
}

/// The claims of a GitLab token: `runner_id` is its one number besides the times.
pub fn gitlab_claims(issuer: &str, audience: &str, facts: &Facts) -> Value {
    facts.claims("gitlab", issuer, audience).into()
}

/// The claims of a token that lives for an hour.
pub fn ready_claims(mut claims: Value, issuer: &str, audience: &str) -> Value {
    for (name, value) in [
        ("jti", json!(random_text(16))),
        ("iss", json!(issuer)),
        ("aud", json!(audience)),
        ("iat", json!(now())),
        ("exp", json!(now() + 3600)),
    ] {
        claims.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    claims
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
