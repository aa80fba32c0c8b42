//! What can be said about a subject, for explanations only. Nothing is ever decided by parsing it: organizations can
//! replace the whole text by a template, and platforms have changed their defaults before.

use crate::identity::jwt::UnverifiedClaims;

/// The form of a GitHub subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `repo:owner/name:…`, the default until 2026-07-15.
    WithoutIds,
    /// `repo:owner@id/name@id:…`, the default of repositories created, renamed or transferred since.
    WithIds,
    /// Something else: the organization or repository uses a template.
    Template,
}

impl Form {
    /// In words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::WithoutIds => "GitHub's older default form, without ids",
            Self::WithIds => "GitHub's newer default form, with the ids of owner and repository",
            Self::Template => "made by a template of the organization or repository",
        }
    }
}

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

/// The form of a GitHub token's subject, and the same subject in the other default form where the claims allow to say it.
/// A grant is made for one of the two texts, and a rename or transfer changes which one the tokens carry.
///
/// `None` for tokens without a `repository` claim, which are not GitHub's.
pub fn github(token: &UnverifiedClaims) -> Option<(Form, Option<String>)> {
    let repository = token.text("repository")?;
    let subject = token.subject();
    if let Some(older) = without_ids(subject) {
        return Some((Form::WithIds, Some(older)));
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
            Some((Form::WithoutIds, newer))
        }
        _ => Some((Form::Template, None)),
    }
}

/// What an administrator should know about whom these claims describe.
pub fn remarks(token: &UnverifiedClaims) -> Vec<String> {
    let mut remarks = Vec::new();
    let called = token.text("job_workflow_ref");
    if let (Some(called), Some(caller)) = (called, token.text("workflow_ref"))
        && called != caller
    {
        remarks.push(format!(
            "this job is defined in a reusable workflow: job_workflow_ref is {called}, while workflow_ref is the caller's {caller}"
        ));
    }
    let (runs_in, source) = (token.scalar("job_project_id"), token.scalar("project_id"));
    if let (Some(runs_in), Some(source)) = (runs_in, source)
        && runs_in != source
    {
        remarks.push(format!(
            "this is a merge request from a fork: project_path and the subject describe the fork (project {source}), while the job runs in project {runs_in}"
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
            github(&token(&json!({
                "sub": subject, "repository": "octo/web", "repository_id": "34", "repository_owner_id": 12
            })))
            .unwrap()
        };
        assert_eq!(
            with("repo:octo/web:pull_request"),
            (Form::WithoutIds, Some("repo:octo@12/web@34:pull_request".into()))
        );
        assert_eq!(
            with("repo:octo@12/web@34:pull_request"),
            (Form::WithIds, Some("repo:octo/web:pull_request".into()))
        );
        assert_eq!(with("repository_id:34"), (Form::Template, None));
        assert_eq!(with("repo:other/web:x"), (Form::Template, None), "not this repository's default");
        let bare = json!({"sub": "repo:octo/web:x", "repository": "octo/web"});
        assert_eq!(github(&token(&bare)), Some((Form::WithoutIds, None)));
        assert_eq!(github(&token(&json!({"sub": "project_path:g/p:x"}))), None);
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
