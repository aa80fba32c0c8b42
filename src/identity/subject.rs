//! Remarks on a subject, for explanations only. Nothing is ever decided by parsing it: organizations can
//! replace the whole text by a template, and platforms have changed their defaults before.

use crate::identity::issuer::Form;
use crate::identity::jwt::UnverifiedClaims;
use crate::text::quote;

/// GitHub's default until 2026-07-15: `repo:owner/name:…`.
const WITHOUT_IDS: &str = "GitHub's older default form, without ids";

/// GitHub's default for repositories created, renamed or transferred since: `repo:owner@id/name@id:…`.
const WITH_IDS: &str = "GitHub's newer default form, with the ids of owner and repository";

/// Something else, which only a template makes.
const TEMPLATE: &str = "made by a template of the organization or repository";

/// GitHub's older form of a subject that has the ids of owner and repository in it: `repo:o@1/r@2:x` → `repo:o/r:x`.
/// `None` when the subject has no ids.
pub fn without_ids(subject: &str) -> Option<String> {
    let (owner, name, tail) = split(subject)?;
    let strip = |text: &str| {
        let (name, id) = text.rsplit_once('@')?;
        let is_id = !name.is_empty() && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        is_id.then(|| name.to_owned())
    };
    Some(format!("repo:{}/{}:{tail}", strip(owner)?, strip(name)?))
}

/// `repo:OWNER/NAME:TAIL`.
fn split(subject: &str) -> Option<(&str, &str, &str)> {
    let (repository, tail) = subject.strip_prefix("repo:")?.split_once(':')?;
    let (owner, name) = repository.split_once('/')?;
    Some((owner, name, tail))
}

/// Finds out the form of a GitHub token's subject, and the same subject in the other default form where the claims allow to
/// say it. A grant is made for one of the two texts, and a rename or transfer changes which one the tokens carry.
///
/// `None` for tokens without a `repository` claim, and for Forgejo's, which are not GitHub's.
pub(super) fn github_form(token: &UnverifiedClaims) -> Option<Form> {
    let repository = token.text("repository").filter(|_| !token.issuer().ends_with("/api/actions"))?;
    let subject = token.subject();
    if let Some(older) = without_ids(subject) {
        return Some(Form { about: WITH_IDS, other: Some(older) });
    }
    match split(subject) {
        Some((owner, name, tail)) if format!("{owner}/{name}") == repository => {
            let ids = (token.scalar("repository_owner_id"), token.scalar("repository_id"));
            // Enterprise Server has no subjects with ids.
            let is_cloud = token.issuer().is_empty() || token.issuer().starts_with("https://token.actions.");
            let newer = match ids {
                _ if !is_cloud => None,
                (Some(owner_id), Some(id)) => Some(format!("repo:{owner}@{owner_id}/{name}@{id}:{tail}")),
                _ => None,
            };
            Some(Form { about: WITHOUT_IDS, other: newer })
        }
        _ => Some(Form { about: TEMPLATE, other: None }),
    }
}

/// Notes that a grant may have been made for GitHub's older form of this subject.
pub(super) fn older_github_name(subject: &str) -> Option<String> {
    let older = quote(&without_ids(subject)?);
    Some(format!(
        "this is GitHub's newer subject with ids; if the grant was made for {older}, it does not match"
    ))
}

/// Remarks on a GitHub job that another repository's workflow defines.
pub(super) fn reusable_workflow(token: &UnverifiedClaims) -> Option<String> {
    let (called, caller) = (token.text("job_workflow_ref")?, token.text("workflow_ref")?);
    (called != caller).then(|| {
        format!(
            "this job is defined in a reusable workflow: job_workflow_ref is {called}, while workflow_ref is the caller's {caller}"
        )
    })
}

/// Remarks on a GitLab job whose subject is the fork that a merge request comes from.
pub(super) fn merge_request_from_fork(token: &UnverifiedClaims) -> Option<String> {
    let (runs_in, source) = (token.scalar("job_project_id")?, token.scalar("project_id")?);
    (runs_in != source).then(|| {
        format!(
            "this is a merge request from a fork: project_path and the subject describe the fork (project {source}), while the job runs in project {runs_in}"
        )
    })
}

/// Buildkite's issuer, which all of its organizations share.
pub const BUILDKITE: &str = "https://agent.buildkite.com";

/// Remarks on a Buildkite job whose subject is another one in the next build: by default the commit is in it.
pub fn buildkite_changes(token: &UnverifiedClaims) -> Option<String> {
    let (_, tail) = token.subject().split_once(":commit:")?;
    let commit = tail.split(':').next().unwrap_or_default();
    (token.issuer() == BUILDKITE).then(|| {
        format!(
            "the subject has the commit in it ({}), so a grant for it matches no build of another commit: set BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM, for instance to pipeline_id, and make the grant for that",
            quote(commit)
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::issuer::remarks;

    fn token(claims: &Value) -> UnverifiedClaims {
        UnverifiedClaims { header: serde_json::Map::new(), claims: claims.as_object().unwrap().clone() }
    }

    #[test]
    fn github_s_subject_with_ids_is_recognised() {
        assert_eq!(
            without_ids("repo:octo@12/web@34:ref:refs/heads/main").as_deref(),
            Some("repo:octo/web:ref:refs/heads/main")
        );
        for other in [
            "repo:octo/web:ref:refs/heads/a@1",
            "repo:octo@12/web:x",
            "repo:octo@a/web@1:x",
            "project_path:a@1/b@2:x",
            "repo:",
        ] {
            assert_eq!(without_ids(other), None, "{other}");
        }
    }

    #[test]
    fn both_forms_of_a_github_subject_are_told() {
        let with = |subject: &str| {
            let form = github_form(&token(&json!({
                "sub": subject, "repository": "octo/web", "repository_id": "34", "repository_owner_id": 12
            })));
            form.map(|form| (form.about, form.other)).unwrap()
        };
        assert_eq!(
            with("repo:octo/web:pull_request"),
            (WITHOUT_IDS, Some("repo:octo@12/web@34:pull_request".into()))
        );
        assert_eq!(
            with("repo:octo@12/web@34:pull_request"),
            (WITH_IDS, Some("repo:octo/web:pull_request".into()))
        );
        assert_eq!(with("repository_id:34"), (TEMPLATE, None));
        assert_eq!(with("repo:other/web:x"), (TEMPLATE, None), "not this repository's default");
        let bare = json!({"sub": "repo:octo/web:x", "repository": "octo/web"});
        assert_eq!(github_form(&token(&bare)), Some(Form { about: WITHOUT_IDS, other: None }));
        assert_eq!(github_form(&token(&json!({"sub": "project_path:g/p:x"}))), None);
        let forgejo = json!({"iss": "https://codeberg.org/api/actions", "sub": "repo:octo/web:x", "repository": "octo/web"});
        assert_eq!(github_form(&token(&forgejo)), None);
    }

    #[test]
    fn a_buildkite_subject_with_a_commit_is_remarked_on() {
        let with = |issuer: &str, subject: &str| {
            remarks(&token(&json!({"iss": issuer, "sub": subject}))).into_iter().next()
        };
        let usual = "organization:octo:pipeline:web:ref:refs/heads/main:commit:4f0c1d:step:deploy";
        let text = with(BUILDKITE, usual).unwrap();
        assert!(
            text.contains("(\"4f0c1d\")") && text.contains("BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM"),
            "{text}"
        );
        assert_eq!(with(BUILDKITE, "0184990a-477b-4fa8-9968-496074483cee"), None);
        assert_eq!(with("https://other.example", usual), None);
    }

    #[test]
    fn reusable_workflows_and_forks_are_remarked_on() {
        let one = json!({"job_workflow_ref": "o/shared/.github/workflows/d.yml@v1", "workflow_ref": "o/r/.github/workflows/c.yml@main"});
        assert!(remarks(&token(&one))[0].contains("reusable workflow"));
        let fork = json!({"job_project_id": "1", "project_id": "2"});
        assert!(remarks(&token(&fork))[0].contains("describe the fork (project 2)"));
        let plain =
            json!({"job_workflow_ref": "x", "workflow_ref": "x", "job_project_id": "1", "project_id": "1"});
        assert!(remarks(&token(&plain)).is_empty());
    }
}
