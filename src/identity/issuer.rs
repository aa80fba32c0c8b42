//! Knowledge of the ID tokens of certain issuers, as data.
//!
//! Enterprise servers and self-managed instances have hosts of their own, so tokens are told apart by their claims and not
//! by `iss`. Where nothing depends on which issuer it is, all of them count together.

use crate::identity::claims::Finding;
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::stability::{Twin, Unstable};
use crate::identity::subject;

/// The registered claims that tell what a token is for and how long (RFC 7519 section 4.1).
pub const REGISTERED: [&str; 6] = ["iss", "aud", "sub", "iat", "nbf", "exp"];

/// Knowledge of an issuer's tokens. None of the claims may say anything about a person.
struct Issuer {
    /// Claims that the report has.
    reported: &'static [&'static str],
    /// Claims that `inspect` shows, in this order.
    shown: &'static [&'static str],
    /// Claims that `inspect` shows of a public project, whose logs everybody can read.
    public: &'static [&'static str],
    /// The claim that is `public` in tokens of a public project. Empty where no claim tells.
    visibility: &'static str,
    /// Finds out the form of the subject, if the token is this issuer's.
    form: fn(&UnverifiedClaims) -> Option<Form>,
    /// Says what an administrator should know about whom the claims describe.
    remark: fn(&UnverifiedClaims) -> Option<String>,
    /// Says what else a refused subject may have been called, of any text.
    other_name: fn(&str) -> Option<String>,
    /// Finds out what changes in the subject from run to run, if the token is this issuer's.
    changes: fn(&UnverifiedClaims) -> Option<Unstable>,
    /// Finds an oddity of the job that the claims tell.
    oddity: fn(&UnverifiedClaims) -> Option<Finding>,
    /// Finds out the other subject that the same job has at another time, if the token is this issuer's.
    twin: fn(&UnverifiedClaims) -> Option<Twin>,
}

impl Issuer {
    /// An issuer of which nothing is known. Each one names what differs.
    const NEUTRAL: Self = Self {
        reported: &[],
        shown: &[],
        public: &[],
        visibility: "",
        form: |_| None,
        remark: |_| None,
        other_name: |_| None,
        changes: |_| None,
        oddity: |_| None,
        twin: |_| None,
    };
}

/// The form of a subject whose issuer has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The form in words.
    pub about: &'static str,
    /// The same subject in the other form, where the claims allow to say it.
    pub other: Option<String>,
}

const ISSUERS: &[Issuer] = &[
    // GitHub.
    Issuer {
        reported: &[
            "repository",
            "repository_id",
            "ref",
            "ref_protected",
            "environment",
            "job_workflow_ref",
            "run_id",
            "run_attempt",
        ],
        shown: &[
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "repository_visibility",
            "ref",
            "ref_type",
            "ref_protected",
            "environment",
            "event_name",
            "workflow_ref",
            "job_workflow_ref",
            "runner_environment",
            "run_id",
            "run_attempt",
        ],
        public: &["repository", "ref", "environment", "job_workflow_ref"],
        visibility: "repository_visibility",
        form: subject::github_form,
        remark: subject::reusable_workflow,
        other_name: subject::older_github_name,
        ..Issuer::NEUTRAL
    },
    // GitLab.
    Issuer {
        reported: &[
            "project_path",
            "project_id",
            "ref",
            "ref_protected",
            "environment",
            "pipeline_id",
            "job_id",
        ],
        shown: &[
            "project_path",
            "project_id",
            "job_project_path",
            "job_project_id",
            "namespace_path",
            "project_visibility",
            "pipeline_source",
            "ref",
            "ref_type",
            "ref_path",
            "ref_protected",
            "environment",
            "environment_protected",
            "deployment_tier",
            "runner_environment",
            "ci_config_ref_uri",
            "pipeline_id",
            "job_id",
        ],
        public: &["project_path", "ref", "environment", "ref_protected"],
        visibility: "project_visibility",
        remark: subject::merge_request_from_fork,
        ..Issuer::NEUTRAL
    },
    // CircleCI.
    Issuer {
        reported: &[
            "oidc.circleci.com/project-id",
            "oidc.circleci.com/pipeline-id",
            "oidc.circleci.com/workflow-id",
            "oidc.circleci.com/vcs-origin",
            "oidc.circleci.com/vcs-ref",
            "oidc.circleci.com/context-ids",
            "oidc.circleci.com/ssh-rerun",
        ],
        shown: &[
            "oidc.circleci.com/org-id",
            "oidc.circleci.com/project-id",
            "oidc.circleci.com/pipeline-definition-id",
            "oidc.circleci.com/pipeline-id",
            "oidc.circleci.com/workflow-id",
            "oidc.circleci.com/job-id",
            "oidc.circleci.com/vcs-origin",
            "oidc.circleci.com/vcs-ref",
            "oidc.circleci.com/context-ids",
            "oidc.circleci.com/ssh-rerun",
        ],
        public: &["oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref"],
        changes: subject::circleci_changes,
        oddity: subject::circleci_ssh,
        ..Issuer::NEUTRAL
    },
    // Bitbucket.
    Issuer {
        reported: &["repositoryUuid", "pipelineUuid", "stepUuid", "branchName"],
        shown: &[
            "workspaceUuid",
            "repositoryUuid",
            "deploymentEnvironmentUuid",
            "branchName",
            "pipelineUuid",
            "pipelineRunUuid",
            "stepUuid",
        ],
        changes: subject::bitbucket_changes,
        ..Issuer::NEUTRAL
    },
    // Codefresh, whose tokens come in a variable.
    Issuer {
        reported: &["account_id", "pipeline_id", "workflow_id", "scm_ref"],
        shown: &[
            "account_id",
            "account_name",
            "pipeline_id",
            "pipeline_name",
            "scm_repo_url",
            "scm_ref",
            "workflow_id",
        ],
        changes: subject::codefresh_changes,
        ..Issuer::NEUTRAL
    },
    // Fly.io, whose tokens come in a file.
    Issuer {
        reported: &["app_name", "machine_id"],
        shown: &["org_name", "app_name", "app_id", "machine_name", "machine_id", "region"],
        changes: subject::fly_changes,
        ..Issuer::NEUTRAL
    },
    // HCP Terraform.
    Issuer {
        reported: &[
            "terraform_full_workspace",
            "terraform_workspace_id",
            "terraform_run_phase",
            "terraform_run_id",
        ],
        shown: &[
            "terraform_organization_name",
            "terraform_organization_id",
            "terraform_project_name",
            "terraform_project_id",
            "terraform_workspace_name",
            "terraform_workspace_id",
            "terraform_full_workspace",
            "terraform_run_phase",
            "terraform_run_id",
        ],
        twin: subject::terraform_s_other_phase,
        ..Issuer::NEUTRAL
    },
    // Kubernetes.
    Issuer { reported: &["kubernetes.io"], shown: &["kubernetes.io"], ..Issuer::NEUTRAL },
    // Spacelift.
    Issuer {
        reported: &["spaceId", "callerType", "callerId", "runType", "runId", "scope"],
        shown: &["spaceId", "callerType", "callerId", "runType", "runId", "scope"],
        twin: subject::spacelift_s_other_scope,
        ..Issuer::NEUTRAL
    },
    // Semaphore.
    Issuer {
        reported: &["prj_id", "repo", "ref", "wf_id", "job_id", "job_type"],
        shown: &[
            "org",
            "org_id",
            "prj",
            "prj_id",
            "repo",
            "repo_slug",
            "ref",
            "ref_type",
            "branch",
            "tag",
            "pr",
            "pr_branch",
            "wf_id",
            "ppl_id",
            "job_id",
            "job_type",
        ],
        oddity: subject::semaphore_debug,
        ..Issuer::NEUTRAL
    },
    // Buildkite.
    Issuer {
        reported: &["organization_slug", "pipeline_slug", "build_number"],
        shown: &[
            "organization_slug",
            "organization_id",
            "pipeline_slug",
            "pipeline_id",
            "cluster_id",
            "build_number",
            "build_branch",
            "build_tag",
            "build_source",
            "step_key",
        ],
        changes: subject::buildkite_changes,
        ..Issuer::NEUTRAL
    },
    // Azure Pipelines.
    Issuer { reported: &["rpo_ref"], shown: &["rpo_ref"], ..Issuer::NEUTRAL },
    // Vela.
    Issuer {
        reported: &["repo", "build_number", "ref"],
        shown: &["repo", "build_number", "event", "ref", "branch", "request"],
        ..Issuer::NEUTRAL
    },
    // Google Cloud.
    Issuer { reported: &["google"], shown: &["google"], ..Issuer::NEUTRAL },
    #[cfg(test)]
    Issuer {
        reported: &["run"],
        shown: &["run", "stage"],
        public: &["stage"],
        visibility: "made_up_visibility",
        changes: |token| {
            let nonce = token.text("nonce_of_run")?;
            let part = "a nonce";
            token.subject().ends_with(&format!("/{nonce}")).then_some(Unstable {
                part,
                cure: None,
                groups: None,
            })
        },
        ..Issuer::NEUTRAL
    },
];

/// Joins lists, each name once.
fn union(list: fn(&Issuer) -> &'static [&'static str]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for name in ISSUERS.iter().flat_map(list) {
        if !all.contains(name) {
            all.push(*name);
        }
    }
    all
}

/// Returns the claims that the report has.
pub fn reported() -> Vec<&'static str> {
    let mut all = REGISTERED.to_vec();
    // The name of the token itself, by which the issuer's and Equinix's records know it.
    all.push("jti");
    all.extend(union(|issuer| issuer.reported));
    all
}

/// Returns the claims that may be shown besides the registered ones: fewer where everybody can read them.
pub fn shown(is_public: bool) -> Vec<&'static str> {
    if is_public { union(|issuer| issuer.public) } else { union(|issuer| issuer.shown) }
}

/// Tells whether the token is of a public project, so that its job log may be public as well.
pub fn is_public(token: &UnverifiedClaims) -> bool {
    ISSUERS.iter().any(|issuer| token.text(issuer.visibility) == Some("public"))
}

/// Returns the form of the token's subject, if its issuer has several.
pub fn form(token: &UnverifiedClaims) -> Option<Form> {
    ISSUERS.iter().find_map(|issuer| (issuer.form)(token))
}

/// Returns what an administrator should know about whom these claims describe.
pub fn remarks(token: &UnverifiedClaims) -> Vec<String> {
    ISSUERS.iter().filter_map(|issuer| (issuer.remark)(token)).collect()
}

/// Returns what changes in the token's subject from run to run, if anything is known to.
pub(super) fn changes(token: &UnverifiedClaims) -> Option<Unstable> {
    ISSUERS.iter().find_map(|issuer| (issuer.changes)(token))
}

/// Returns what is odd about the job, as its token tells.
pub(super) fn oddities(token: &UnverifiedClaims) -> Vec<Finding> {
    ISSUERS.iter().filter_map(|issuer| (issuer.oddity)(token)).collect()
}

/// Returns the other subject that the same job has at another time, if there is one.
pub fn twin(token: &UnverifiedClaims) -> Option<Twin> {
    ISSUERS.iter().find_map(|issuer| (issuer.twin)(token))
}

/// Returns a note on a subject that was refused: what else it may have been called when the grant was made.
pub fn other_name(subject: &str) -> Option<String> {
    ISSUERS.iter().find_map(|issuer| (issuer.other_name)(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_claim_is_listed_once_and_fewer_are_public() {
        for list in [reported(), shown(false), shown(true)] {
            let unique: std::collections::BTreeSet<_> = list.iter().collect();
            assert_eq!(unique.len(), list.len(), "{list:?}");
        }
        assert!(shown(true).iter().all(|name| shown(false).contains(name)));
        for personal in ["actor", "actor_id", "user_login", "user_email", "user_id"] {
            assert!(!shown(false).contains(&personal) && !reported().contains(&personal), "{personal}");
        }
    }
}
