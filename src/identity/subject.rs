//! Remarks on a subject, for explanations only. Nothing is ever decided by parsing it: organizations can
//! replace the whole text by a template, and platforms have changed their defaults before.

use crate::error::Code;
use crate::identity::claims::Finding;
use crate::identity::issuer::Form;
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::stability::{Twin, Unstable};
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

/// CircleCI's subjects, `org/…/project/…/user/…`, name the user who caused the run; runs by schedule have another one.
pub(super) fn circleci_changes(token: &UnverifiedClaims) -> Option<Unstable> {
    token.text("oidc.circleci.com/project-id")?;
    token.subject().contains("/user/").then_some(Unstable {
        part: "the id of the user who caused the run",
        cure: Some(
            "Use a context of CircleCI in the job, register oidc.circleci.com/context-ids as groupMembershipClaim of the OIDC provider, and grant to the group that is the context's id.",
        ),
        groups: Some("oidc.circleci.com/context-ids"),
    })
}

/// Warns of a job that was run again with SSH: somebody may be working in it by hand.
pub(super) fn circleci_ssh(token: &UnverifiedClaims) -> Option<Finding> {
    let is_odd = token.claims.get("oidc.circleci.com/ssh-rerun")?.as_bool() == Some(true);
    is_odd.then(|| {
        Finding::strict(
            Code::ClaimDebugJob,
            "the ID token says oidc.circleci.com/ssh-rerun: this job was run again with SSH, so somebody may be working in it by hand",
        )
    })
}

/// Buildkite's issuer, which all of its organizations share.
pub const BUILDKITE: &str = "https://agent.buildkite.com";

/// Buildkite's subjects have the commit in them by default, which is another one in the next build.
pub(super) fn buildkite_changes(token: &UnverifiedClaims) -> Option<Unstable> {
    let changes = token.issuer() == BUILDKITE && token.subject().contains(":commit:");
    changes.then_some(Unstable {
        part: "the commit",
        cure: Some(
            "Set BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM, for instance to pipeline_id, and make the grant for that.",
        ),
        groups: None,
    })
}

/// Bitbucket's subjects end in the id of the step, which is new in each run. No claim is a list, so no group can help.
pub(super) fn bitbucket_changes(token: &UnverifiedClaims) -> Option<Unstable> {
    token.text("repositoryUuid")?;
    let step = token.text("stepUuid")?;
    let part = "the id of the step";
    token.subject().ends_with(step).then_some(Unstable { part, cure: None, groups: None })
}

/// Codefresh's subjects name who started the pipeline: the author of the push, or whoever pressed the button.
pub(super) fn codefresh_changes(token: &UnverifiedClaims) -> Option<Unstable> {
    token.text("pipeline_id")?;
    token.text("account_id")?;
    let part = "the name of the user who caused the run";
    let subject = token.subject();
    let is_named = [":scm_user_name:", ":initiator:"].iter().any(|label| subject.contains(label));
    is_named.then_some(Unstable { part, cure: None, groups: None })
}

/// Fly.io's subjects end in the machine, and each deployment may have a new one.
pub(super) fn fly_changes(token: &UnverifiedClaims) -> Option<Unstable> {
    token.text("app_name")?;
    let names = ["machine_id", "machine_name"].map(|claim| token.text(claim));
    let part = "the name of the machine";
    let is_named = names.into_iter().flatten().any(|name| token.subject().ends_with(&format!(":{name}")));
    is_named.then_some(Unstable { part, cure: None, groups: None })
}

/// HCP Terraform's subjects end in the phase, so each workspace has two of them.
pub(super) fn terraform_s_other_phase(token: &UnverifiedClaims) -> Option<Twin> {
    token.text("terraform_run_phase")?;
    let subject = token.subject();
    let (rest, about, other) = match subject.rsplit_once(":run_phase:")? {
        (rest, "plan") => (rest, "in the apply phase; a grant of its own is needed for it", "apply"),
        (rest, "apply") => (rest, "in the plan phase; a grant of its own is needed for it", "plan"),
        _ => return None,
    };
    Some(Twin { about, subject: format!("{rest}:run_phase:{other}") })
}

/// Spacelift's subjects end in the scope: planning reads and applying writes.
pub(super) fn spacelift_s_other_scope(token: &UnverifiedClaims) -> Option<Twin> {
    token.text("spaceId")?;
    let subject = token.subject();
    let (rest, about, other) = match subject.rsplit_once(":scope:")? {
        (rest, "read") => (rest, "while it applies; a grant of its own is needed for it", "write"),
        (rest, "write") => (rest, "while it plans; a grant of its own is needed for it", "read"),
        _ => return None,
    };
    Some(Twin { about, subject: format!("{rest}:scope:{other}") })
}

/// Warns of Semaphore's debug sessions, in which somebody works by hand.
pub(super) fn semaphore_debug(token: &UnverifiedClaims) -> Option<Finding> {
    token.text("ppl_id")?;
    let kind = token.text("job_type").filter(|kind| ["debug_job", "project_debug_job"].contains(kind))?;
    let text = format!(
        "the ID token says job_type {}: this is a debug session, so somebody may be working in it by hand",
        quote(kind)
    );
    Some(Finding::strict(Code::ClaimDebugJob, text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::issuer::{remarks, twin};
    use crate::identity::stability::unstable;

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
    fn a_buildkite_subject_with_a_commit_changes() {
        let with = |issuer: &str, subject: &str| {
            unstable(&token(&json!({"iss": issuer, "sub": subject}))).map(|unstable| unstable.part)
        };
        let usual = "organization:octo:pipeline:web:ref:refs/heads/main:commit:4f0c1d:step:deploy";
        assert_eq!(with(BUILDKITE, usual), Some("the commit"));
        assert_eq!(with(BUILDKITE, "0184990a-477b-4fa8-9968-496074483cee"), None);
        assert_eq!(with("https://other.example", usual), None);
    }

    #[test]
    fn what_changes_is_told_by_the_claims() {
        let part = |claims: &Value| unstable(&token(claims)).map(|unstable| unstable.part);
        let of = |sub: &str, (name, value): (&str, &str), (other, text): (&str, &str)| json!({"sub": sub, name: value, other: text});
        let (project, repository) = (("oidc.circleci.com/project-id", "p"), ("repositoryUuid", "{r}"));
        let (step, none) = (("stepUuid", "{s}"), ("x", "y"));
        let (account, pipeline) = (("account_id", "a"), ("pipeline_id", "p"));
        let (app, machine) = (("app_name", "a"), ("machine_name", "m"));
        for (claims, expected) in [
            (of("org/o/project/p/user/u", project, none), Some("the id of the user who caused the run")),
            (of("org/o/project/p", project, none), None),
            (of("org/o/project/p/user/u", none, none), None),
            (of("{r}:{s}", repository, step), Some("the id of the step")),
            (of("{r}:{e}:{s}", repository, step), Some("the id of the step")),
            (of("{r}", repository, step), None),
            (of("{r}:{s}", step, none), None),
            (
                of("account:a:pipeline:p:scm_repo_url:u:scm_user_name:n:scm_ref:main", account, pipeline),
                Some("the name of the user who caused the run"),
            ),
            (
                of("account:a:pipeline:p:initiator:n", account, pipeline),
                Some("the name of the user who caused the run"),
            ),
            (of("account:a:pipeline:p", account, pipeline), None),
            (of("o:a:m", app, machine), Some("the name of the machine")),
            (of("o:a", app, machine), None),
        ] {
            assert_eq!(part(&claims), expected, "{claims}");
        }
    }

    #[test]
    fn the_other_subject_is_told_by_the_claims() {
        let other = |claims: &Value| twin(&token(claims)).map(|twin| twin.subject);
        for (claims, expected) in [
            (json!({"sub": "o:run_phase:plan", "terraform_run_phase": "plan"}), Some("o:run_phase:apply")),
            (json!({"sub": "o:run_phase:apply", "terraform_run_phase": "apply"}), Some("o:run_phase:plan")),
            (json!({"sub": "organization:o:module:m:operation:test_run", "terraform_run_phase": "x"}), None),
            (json!({"sub": "o:run_phase:plan"}), None),
            (json!({"sub": "space:s:scope:read", "spaceId": "s"}), Some("space:s:scope:write")),
            (json!({"sub": "space:s:scope:write", "spaceId": "s"}), Some("space:s:scope:read")),
            (json!({"sub": "space:s:scope:read"}), None),
            (json!({"sub": "template", "spaceId": "s"}), None),
        ] {
            assert_eq!(other(&claims).as_deref(), expected, "{claims}");
        }
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
