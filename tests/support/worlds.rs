//! The jobs and ID tokens of platforms other than GitHub and GitLab, after their documentation and source.

use serde_json::{Value, json};

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
