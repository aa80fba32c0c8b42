//! `inspect`: who the job is and what to enter at Equinix, for people and for programs.
//!
//! Nearly everything on the page comes from a token, so this is also where hostile claims try to reach the log, the
//! runner and the shell into which somebody copies a line.

use crate::support;

use serde_json::{Value, json};

use support::job::{Job, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::signing::{publishing, signed};
use support::steady::steady;
use support::table::each;
use support::token;

/// The command in this job. It has no flag for the STS, which it never asks.
fn inspect(job: Job) -> Job {
    job.command("inspect").without_flag("--sts-endpoint")
}

fn as_json(job: Job) -> Job {
    job.args(["--format", "json"])
}

/// A run that shows something: status 0, nothing sent to the STS, no file but the report, and on GitHub a mask for the
/// token that is shown nowhere.
#[track_caller]
fn shows(job: Job, masked: bool) -> Outcome {
    let outcome = job.run();
    outcome.succeeds();
    assert_eq!(outcome.sts.connections, 0, "{}", outcome.context());
    outcome.require(outcome.new_files().is_empty(), "no new file");
    let mask = format!("::add-mask::{}\n", outcome.id_token());
    outcome.require(outcome.stderr.contains(&mask) == masked, "the ID token is masked where a runner reads");
    outcome.require(runner::commands(&outcome.stdout).is_empty(), "no command on stdout");
    if let Some(file) = &outcome.output_file {
        assert!(file.is_empty(), "GITHUB_OUTPUT stays empty");
    }
    outcome
}

/// The page of a job with everything that differs from run to run replaced.
#[track_caller]
fn page(job: Job, masked: bool) -> String {
    let (issuer, job) = (job.issuer_url(), inspect(job));
    steady(&shows(job, masked).stdout, &[(&issuer, "ISSUER")])
}

/// The same of the JSON form.
#[track_caller]
fn members(job: Job, masked: bool) -> String {
    let (issuer, job) = (job.issuer_url(), as_json(inspect(job)));
    let mut value = json_of(&shows(job, masked));
    let left = value["expires_in"].take().as_i64().unwrap();
    assert!((200..=3600).contains(&left), "{left}");
    steady(&format!("{value:#}"), &[(&issuer, "ISSUER")])
}

#[track_caller]
fn json_of(outcome: &Outcome) -> Value {
    let line = outcome.stdout.strip_suffix('\n').unwrap_or_default();
    outcome.require(!line.contains('\n'), "stdout is one line");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{}", outcome.context()))
}

/// A job of a workflow that another repository shares.
fn reusable() -> Job {
    let shared = "octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3";
    signed(Job::github()).claims(move |claims| drop(claims.insert("job_workflow_ref".into(), json!(shared))))
}

/// A merge request's pipeline in the parent project: the token describes the fork.
fn fork_merge_request() -> Job {
    signed(Job::gitlab()).claims(|claims| {
        for (name, value) in [
            ("sub", "project_path:contributor/metal-app:ref_type:branch:ref:patch-1"),
            ("project_path", "contributor/metal-app"),
            ("project_id", "852963741"),
            ("namespace_path", "contributor"),
            ("ref", "patch-1"),
            ("ref_path", "refs/heads/patch-1"),
            ("ref_protected", "false"),
            ("pipeline_source", "merge_request_event"),
        ] {
            claims.insert(name.to_owned(), json!(value));
        }
    })
}

#[allow(clippy::too_many_lines, reason = "most of them are the snapshot")]
mod snapshots {
    use super::*;

    #[test]
    fn github_branch() {
        insta::assert_snapshot!(page(signed(Job::github()), true), @r#"
        Who this job is (decoded, not verified)
          platform      GitHub Actions (github): GITHUB_ACTIONS is "true"
          issuer        http://ISSUER/_services/token
          audience      https://sts.eqix.equinix.example/metal
          subject       repo:octo-org/metal-app:ref:refs/heads/main
                        GitHub's older default form, without ids
          expires       TIME (in LIFE s)

        Claims
          repository             octo-org/metal-app
          repository_id          741852963
          repository_owner       octo-org
          repository_owner_id    6520147
          repository_visibility  private
          ref                    refs/heads/main
          ref_type               branch
          ref_protected          true
          event_name             push
          workflow_ref           octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main
          job_workflow_ref       octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main
          runner_environment     github-hosted
          run_id                 17430925816
          run_attempt            1
          (11 more with --all-claims)

        What to enter at Equinix
          1 provider    issuerLocation    http://ISSUER/_services/token
                        trustedClientIds  https://sts.eqix.equinix.example/metal
          2 principal   principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main
                        the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented
          3 grant       of a role or an access policy, to that principal
          4 scope       roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013

        The same by API (EQUINIX_API_TOKEN is an administrator's token)
          # OIDC provider
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders' \
            -d '{"idpPrefix":"<a prefix>","issuerLocation":"http://ISSUER/_services/token","name":"<a name>","trustedClientIds":["https://sts.eqix.equinix.example/metal"]}'
          # Grant of a role (scope roleassignments:<org-id>)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/roleAssignments' \
            -d '{"assignmentScope":{"id":"<org-id>","type":"ORGANIZATION"},"principal":"principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main","roleId":"<role-id>"}'
          # Grant of an access policy (scope: that policy's ERN)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants' \
            -d '{"grantee":"principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main"}'
        "#);
        insta::assert_snapshot!(members(signed(Job::github()), true), @r#"
        {
          "audience": [
            "https://sts.eqix.equinix.example/metal"
          ],
          "claims": {
            "event_name": "push",
            "job_workflow_ref": "octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main",
            "ref": "refs/heads/main",
            "ref_protected": "true",
            "ref_type": "branch",
            "repository": "octo-org/metal-app",
            "repository_id": "741852963",
            "repository_owner": "octo-org",
            "repository_owner_id": "6520147",
            "repository_visibility": "private",
            "run_attempt": "1",
            "run_id": "17430925816",
            "runner_environment": "github-hosted",
            "workflow_ref": "octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main"
          },
          "claims_hidden": 11,
          "claims_status": "decoded, not verified",
          "equinix": {
            "issuerLocation": "http://ISSUER/_services/token",
            "principal": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main",
            "requests": [
              {
                "body": {
                  "idpPrefix": "<a prefix>",
                  "issuerLocation": "http://ISSUER/_services/token",
                  "name": "<a name>",
                  "trustedClientIds": [
                    "https://sts.eqix.equinix.example/metal"
                  ]
                },
                "method": "POST",
                "purpose": "OIDC provider",
                "url": "https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders"
              },
              {
                "body": {
                  "assignmentScope": {
                    "id": "<org-id>",
                    "type": "ORGANIZATION"
                  },
                  "principal": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main",
                  "roleId": "<role-id>"
                },
                "method": "POST",
                "purpose": "Grant of a role (scope roleassignments:<org-id>)",
                "url": "https://access.eqix.equinix.com/v1/roleAssignments"
              },
              {
                "body": {
                  "grantee": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main"
                },
                "method": "POST",
                "purpose": "Grant of an access policy (scope: that policy's ERN)",
                "url": "https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants"
              }
            ],
            "scope": "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013",
            "trustedClientIds": [
              "https://sts.eqix.equinix.example/metal"
            ]
          },
          "expires_at": "TIME",
          "expires_in": null,
          "issuer": "http://ISSUER/_services/token",
          "problems": [],
          "provider": {
            "evidence": "GITHUB_ACTIONS is \"true\"",
            "id": "github",
            "name": "GitHub Actions",
            "not": []
          },
          "remarks": [],
          "subject": "repo:octo-org/metal-app:ref:refs/heads/main",
          "subject_form": "GitHub's older default form, without ids",
          "subject_in_other_form": null,
          "v": 1
        }
        "#);
    }

    #[test]
    fn github_fork_pull_request() {
        for form in ["text", "json"] {
            let job = Job::github().pull_request(true).without_id_token_permission();
            let outcome = inspect(job).args(["--format", form]).run();
            outcome
                .fails(3, "gh-fork-pr")
                .stdout_is("")
                .stderr_has("no ID token to a pull request from a fork");
            assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0));
        }
    }

    #[test]
    fn github_reusable_workflow() {
        insta::assert_snapshot!(page(reusable(), true), @r#"
        Who this job is (decoded, not verified)
          platform      GitHub Actions (github): GITHUB_ACTIONS is "true"
          issuer        http://ISSUER/_services/token
          audience      https://sts.eqix.equinix.example/metal
          subject       repo:octo-org/metal-app:ref:refs/heads/main
                        GitHub's older default form, without ids
          expires       TIME (in LIFE s)
          note          this job is defined in a reusable workflow: job_workflow_ref is octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3, while workflow_ref is the caller's octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main

        Claims
          repository             octo-org/metal-app
          repository_id          741852963
          repository_owner       octo-org
          repository_owner_id    6520147
          repository_visibility  private
          ref                    refs/heads/main
          ref_type               branch
          ref_protected          true
          event_name             push
          workflow_ref           octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main
          job_workflow_ref       octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3
          runner_environment     github-hosted
          run_id                 17430925816
          run_attempt            1
          (11 more with --all-claims)

        What to enter at Equinix
          1 provider    issuerLocation    http://ISSUER/_services/token
                        trustedClientIds  https://sts.eqix.equinix.example/metal
          2 principal   principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main
                        the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented
          3 grant       of a role or an access policy, to that principal
          4 scope       roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013

        The same by API (EQUINIX_API_TOKEN is an administrator's token)
          # OIDC provider
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders' \
            -d '{"idpPrefix":"<a prefix>","issuerLocation":"http://ISSUER/_services/token","name":"<a name>","trustedClientIds":["https://sts.eqix.equinix.example/metal"]}'
          # Grant of a role (scope roleassignments:<org-id>)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/roleAssignments' \
            -d '{"assignmentScope":{"id":"<org-id>","type":"ORGANIZATION"},"principal":"principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main","roleId":"<role-id>"}'
          # Grant of an access policy (scope: that policy's ERN)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants' \
            -d '{"grantee":"principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main"}'
        "#);
        insta::assert_snapshot!(members(reusable(), true), @r#"
        {
          "audience": [
            "https://sts.eqix.equinix.example/metal"
          ],
          "claims": {
            "event_name": "push",
            "job_workflow_ref": "octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3",
            "ref": "refs/heads/main",
            "ref_protected": "true",
            "ref_type": "branch",
            "repository": "octo-org/metal-app",
            "repository_id": "741852963",
            "repository_owner": "octo-org",
            "repository_owner_id": "6520147",
            "repository_visibility": "private",
            "run_attempt": "1",
            "run_id": "17430925816",
            "runner_environment": "github-hosted",
            "workflow_ref": "octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main"
          },
          "claims_hidden": 11,
          "claims_status": "decoded, not verified",
          "equinix": {
            "issuerLocation": "http://ISSUER/_services/token",
            "principal": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main",
            "requests": [
              {
                "body": {
                  "idpPrefix": "<a prefix>",
                  "issuerLocation": "http://ISSUER/_services/token",
                  "name": "<a name>",
                  "trustedClientIds": [
                    "https://sts.eqix.equinix.example/metal"
                  ]
                },
                "method": "POST",
                "purpose": "OIDC provider",
                "url": "https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders"
              },
              {
                "body": {
                  "assignmentScope": {
                    "id": "<org-id>",
                    "type": "ORGANIZATION"
                  },
                  "principal": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main",
                  "roleId": "<role-id>"
                },
                "method": "POST",
                "purpose": "Grant of a role (scope roleassignments:<org-id>)",
                "url": "https://access.eqix.equinix.com/v1/roleAssignments"
              },
              {
                "body": {
                  "grantee": "principal:<project-or-org-id>:<idp>:repo:octo-org/metal-app:ref:refs/heads/main"
                },
                "method": "POST",
                "purpose": "Grant of an access policy (scope: that policy's ERN)",
                "url": "https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants"
              }
            ],
            "scope": "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013",
            "trustedClientIds": [
              "https://sts.eqix.equinix.example/metal"
            ]
          },
          "expires_at": "TIME",
          "expires_in": null,
          "issuer": "http://ISSUER/_services/token",
          "problems": [],
          "provider": {
            "evidence": "GITHUB_ACTIONS is \"true\"",
            "id": "github",
            "name": "GitHub Actions",
            "not": []
          },
          "remarks": [
            "this job is defined in a reusable workflow: job_workflow_ref is octo-org/shared/.github/workflows/deploy.yml@refs/tags/v3, while workflow_ref is the caller's octo-org/metal-app/.github/workflows/deploy.yml@refs/heads/main"
          ],
          "subject": "repo:octo-org/metal-app:ref:refs/heads/main",
          "subject_form": "GitHub's older default form, without ids",
          "subject_in_other_form": null,
          "v": 1
        }
        "#);
    }

    #[test]
    fn gitlab_branch() {
        insta::assert_snapshot!(page(signed(Job::gitlab()), false), @r#"
        Who this job is (decoded, not verified)
          platform      GitLab CI (gitlab): GITLAB_CI is "true"
          issuer        http://ISSUER
          audience      https://sts.eqix.equinix.example/metal
          subject       project_path:octo-org/metal-app:ref_type:branch:ref:main
          expires       TIME (in LIFE s)

        Claims
          ref                 main
          ref_type            branch
          ref_protected       true
          runner_environment  gitlab-hosted
          project_path        octo-org/metal-app
          project_id          741852963
          job_project_path    octo-org/metal-app
          job_project_id      741852963
          namespace_path      octo-org
          project_visibility  private
          pipeline_source     push
          ref_path            refs/heads/main
          ci_config_ref_uri   ISSUER/octo-org/metal-app//.gitlab-ci.yml@refs/heads/main
          pipeline_id         17430925816
          job_id              9276154380
          (13 more with --all-claims)

        What to enter at Equinix
          1 provider    issuerLocation    http://ISSUER
                        trustedClientIds  https://sts.eqix.equinix.example/metal
          2 principal   principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main
                        the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented
          3 grant       of a role or an access policy, to that principal
          4 scope       roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013

        The same by API (EQUINIX_API_TOKEN is an administrator's token)
          # OIDC provider
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders' \
            -d '{"idpPrefix":"<a prefix>","issuerLocation":"http://ISSUER","name":"<a name>","trustedClientIds":["https://sts.eqix.equinix.example/metal"]}'
          # Grant of a role (scope roleassignments:<org-id>)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/roleAssignments' \
            -d '{"assignmentScope":{"id":"<org-id>","type":"ORGANIZATION"},"principal":"principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main","roleId":"<role-id>"}'
          # Grant of an access policy (scope: that policy's ERN)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants' \
            -d '{"grantee":"principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main"}'
        "#);
        insta::assert_snapshot!(members(signed(Job::gitlab()), false), @r###"
            {
              "audience": [
                "https://sts.eqix.equinix.example/metal"
              ],
              "claims": {
                "ci_config_ref_uri": "ISSUER/octo-org/metal-app//.gitlab-ci.yml@refs/heads/main",
                "job_id": "9276154380",
                "job_project_id": "741852963",
                "job_project_path": "octo-org/metal-app",
                "namespace_path": "octo-org",
                "pipeline_id": "17430925816",
                "pipeline_source": "push",
                "project_id": "741852963",
                "project_path": "octo-org/metal-app",
                "project_visibility": "private",
                "ref": "main",
                "ref_path": "refs/heads/main",
                "ref_protected": "true",
                "ref_type": "branch",
                "runner_environment": "gitlab-hosted"
              },
              "claims_hidden": 13,
              "claims_status": "decoded, not verified",
              "equinix": {
                "issuerLocation": "http://ISSUER",
                "principal": "principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main",
                "requests": [
                  {
                    "body": {
                      "idpPrefix": "<a prefix>",
                      "issuerLocation": "http://ISSUER",
                      "name": "<a name>",
                      "trustedClientIds": [
                        "https://sts.eqix.equinix.example/metal"
                      ]
                    },
                    "method": "POST",
                    "purpose": "OIDC provider",
                    "url": "https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders"
                  },
                  {
                    "body": {
                      "assignmentScope": {
                        "id": "<org-id>",
                        "type": "ORGANIZATION"
                      },
                      "principal": "principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main",
                      "roleId": "<role-id>"
                    },
                    "method": "POST",
                    "purpose": "Grant of a role (scope roleassignments:<org-id>)",
                    "url": "https://access.eqix.equinix.com/v1/roleAssignments"
                  },
                  {
                    "body": {
                      "grantee": "principal:<project-or-org-id>:<idp>:project_path:octo-org/metal-app:ref_type:branch:ref:main"
                    },
                    "method": "POST",
                    "purpose": "Grant of an access policy (scope: that policy's ERN)",
                    "url": "https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants"
                  }
                ],
                "scope": "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013",
                "trustedClientIds": [
                  "https://sts.eqix.equinix.example/metal"
                ]
              },
              "expires_at": "TIME",
              "expires_in": null,
              "issuer": "http://ISSUER",
              "problems": [],
              "provider": {
                "evidence": "GITLAB_CI is \"true\"",
                "id": "gitlab",
                "name": "GitLab CI",
                "not": []
              },
              "remarks": [],
              "subject": "project_path:octo-org/metal-app:ref_type:branch:ref:main",
              "subject_form": null,
              "subject_in_other_form": null,
              "v": 1
            }
            "###);
    }

    #[test]
    fn gitlab_fork_merge_request() {
        insta::assert_snapshot!(page(fork_merge_request(), false), @r#"
        Who this job is (decoded, not verified)
          platform      GitLab CI (gitlab): GITLAB_CI is "true"
          issuer        http://ISSUER
          audience      https://sts.eqix.equinix.example/metal
          subject       project_path:contributor/metal-app:ref_type:branch:ref:patch-1
          expires       TIME (in LIFE s)
          note          this is a merge request from a fork: project_path and the subject describe the fork (project 852963741), while the job runs in project 741852963

        Claims
          ref                 patch-1
          ref_type            branch
          ref_protected       false
          runner_environment  gitlab-hosted
          project_path        contributor/metal-app
          project_id          852963741
          job_project_path    octo-org/metal-app
          job_project_id      741852963
          namespace_path      contributor
          project_visibility  private
          pipeline_source     merge_request_event
          ref_path            refs/heads/patch-1
          ci_config_ref_uri   ISSUER/octo-org/metal-app//.gitlab-ci.yml@refs/heads/main
          pipeline_id         17430925816
          job_id              9276154380
          (13 more with --all-claims)

        What to enter at Equinix
          1 provider    issuerLocation    http://ISSUER
                        trustedClientIds  https://sts.eqix.equinix.example/metal
          2 principal   principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1
                        the subject stands there as it is in the token; how Equinix encodes : / @ in it is not documented
          3 grant       of a role or an access policy, to that principal
          4 scope       roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013

        The same by API (EQUINIX_API_TOKEN is an administrator's token)
          # OIDC provider
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders' \
            -d '{"idpPrefix":"<a prefix>","issuerLocation":"http://ISSUER","name":"<a name>","trustedClientIds":["https://sts.eqix.equinix.example/metal"]}'
          # Grant of a role (scope roleassignments:<org-id>)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/roleAssignments' \
            -d '{"assignmentScope":{"id":"<org-id>","type":"ORGANIZATION"},"principal":"principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1","roleId":"<role-id>"}'
          # Grant of an access policy (scope: that policy's ERN)
          curl --fail-with-body -H "Authorization: Bearer $EQUINIX_API_TOKEN" -H 'Content-Type: application/json' \
            'https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants' \
            -d '{"grantee":"principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1"}'
        "#);
        insta::assert_snapshot!(members(fork_merge_request(), false), @r###"
            {
              "audience": [
                "https://sts.eqix.equinix.example/metal"
              ],
              "claims": {
                "ci_config_ref_uri": "ISSUER/octo-org/metal-app//.gitlab-ci.yml@refs/heads/main",
                "job_id": "9276154380",
                "job_project_id": "741852963",
                "job_project_path": "octo-org/metal-app",
                "namespace_path": "contributor",
                "pipeline_id": "17430925816",
                "pipeline_source": "merge_request_event",
                "project_id": "852963741",
                "project_path": "contributor/metal-app",
                "project_visibility": "private",
                "ref": "patch-1",
                "ref_path": "refs/heads/patch-1",
                "ref_protected": "false",
                "ref_type": "branch",
                "runner_environment": "gitlab-hosted"
              },
              "claims_hidden": 13,
              "claims_status": "decoded, not verified",
              "equinix": {
                "issuerLocation": "http://ISSUER",
                "principal": "principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1",
                "requests": [
                  {
                    "body": {
                      "idpPrefix": "<a prefix>",
                      "issuerLocation": "http://ISSUER",
                      "name": "<a name>",
                      "trustedClientIds": [
                        "https://sts.eqix.equinix.example/metal"
                      ]
                    },
                    "method": "POST",
                    "purpose": "OIDC provider",
                    "url": "https://sts.eqix.equinix.com/v1/projects/<project-id>/oidcProviders"
                  },
                  {
                    "body": {
                      "assignmentScope": {
                        "id": "<org-id>",
                        "type": "ORGANIZATION"
                      },
                      "principal": "principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1",
                      "roleId": "<role-id>"
                    },
                    "method": "POST",
                    "purpose": "Grant of a role (scope roleassignments:<org-id>)",
                    "url": "https://access.eqix.equinix.com/v1/roleAssignments"
                  },
                  {
                    "body": {
                      "grantee": "principal:<project-or-org-id>:<idp>:project_path:contributor/metal-app:ref_type:branch:ref:patch-1"
                    },
                    "method": "POST",
                    "purpose": "Grant of an access policy (scope: that policy's ERN)",
                    "url": "https://access.eqix.equinix.com/v1/projects/<project-id>/accessPolicies/<access-policy-id>/grants"
                  }
                ],
                "scope": "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013",
                "trustedClientIds": [
                  "https://sts.eqix.equinix.example/metal"
                ]
              },
              "expires_at": "TIME",
              "expires_in": null,
              "issuer": "http://ISSUER",
              "problems": [],
              "provider": {
                "evidence": "GITLAB_CI is \"true\"",
                "id": "gitlab",
                "name": "GitLab CI",
                "not": []
              },
              "remarks": [
                "this is a merge request from a fork: project_path and the subject describe the fork (project 852963741), while the job runs in project 741852963"
              ],
              "subject": "project_path:contributor/metal-app:ref_type:branch:ref:patch-1",
              "subject_form": null,
              "subject_in_other_form": null,
              "v": 1
            }
            "###);
    }
}

mod claims {
    use super::*;

    /// The names of the claims that a run shows.
    fn names(value: &Value) -> Vec<String> {
        value["claims"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn persons_are_shown_only_when_asked_for() {
        type Case = (&'static str, fn() -> Job, &'static [&'static str], bool);
        let cases: [Case; 2] = [
            ("GitHub", Job::github, &["mona", "583231"], true),
            ("GitLab", Job::gitlab, &["mona", "583231", "mona@octo.example", "maintainer"], false),
        ];
        for (name, job, persons, masked) in cases {
            for form in ["text", "json"] {
                println!("case: {name} {form}");
                let run = |job: Job| shows(inspect(job).args(["--format", form]), masked);
                let (few, all) = (run(job()), run(job().arg("--all-claims")));
                for person in persons {
                    few.require(!few.stdout.contains(person), &format!("{person} is not shown"));
                    all.require(all.stdout.contains(person), &format!("{person} is shown with --all-claims"));
                }
                few.require(!few.stderr.contains("mona"), "nor on stderr");
                let report = few.report.as_ref().unwrap().to_string();
                assert!(
                    !report.contains("mona") && !all.report.as_ref().unwrap().to_string().contains("mona")
                );
            }
        }
    }

    #[test]
    fn all_claims_are_all_that_do_not_stand_above() {
        let outcome = shows(as_json(inspect(Job::github().arg("--all-claims"))), true);
        let value = json_of(&outcome);
        let token = token::github_claims("i", "a", &token::Facts::default());
        let mut expected: Vec<String> = token.as_object().unwrap().keys().cloned().collect();
        expected.retain(|name| !["iss", "aud", "sub", "iat", "nbf", "exp"].contains(&name.as_str()));
        assert_eq!(names(&value), expected);
        assert_eq!(value["claims_hidden"], 0);
    }

    #[test]
    fn of_a_public_project_less_is_shown() {
        let short = |job: Job, claim: &'static str, masked: bool| {
            let job = job.claims(move |claims| {
                claims.insert(claim.to_owned(), json!("public"));
                claims.insert("environment".to_owned(), json!("production"));
            });
            let value = json_of(&shows(as_json(inspect(job)), masked));
            assert!(value["claims_hidden"].as_u64().unwrap() > 10);
            names(&value)
        };
        assert_eq!(
            short(Job::github(), "repository_visibility", true),
            ["environment", "job_workflow_ref", "ref", "ref_protected", "repository"]
        );
        assert_eq!(
            short(Job::gitlab(), "project_visibility", false),
            ["environment", "project_path", "ref", "ref_protected"]
        );
        let public = |claims: &mut serde_json::Map<String, Value>| {
            claims.insert("repository_visibility".to_owned(), json!("public"));
        };
        let outcome = shows(inspect(Job::github().claims(public)), true);
        outcome.require(
            outcome.stdout.contains("more with --all-claims; the project is public, and so may be this log"),
            "the reason is told",
        );
        let all = shows(inspect(Job::github().claims(public).arg("--all-claims")), true);
        all.require(all.stdout.contains("mona"), "--all-claims is consent");
    }
}

mod subjects {
    use super::*;

    fn with_subject(subject: &'static str) -> Job {
        // The harness is an Enterprise Server, which has no subjects with ids; this is a token of github.com.
        let issuer = "https://token.actions.githubusercontent.com";
        Job::github().env("GITHUB_SERVER_URL", "https://github.com").claims(move |claims| {
            claims.insert("iss".into(), json!(issuer));
            claims.insert("sub".into(), json!(subject));
        })
    }

    #[test]
    fn each_form_is_named_and_the_other_one_is_shown() {
        let older = "repo:octo-org/metal-app:ref:refs/heads/main";
        let newer = "repo:octo-org@6520147/metal-app@741852963:ref:refs/heads/main";
        let cases = [
            (older, "older default form, without ids", Some(newer)),
            (newer, "newer default form, with the ids", Some(older)),
            ("repository_owner_id:6520147:environment:prod", "made by a template", None),
            ("repo:octo-org/other:ref:refs/heads/main", "made by a template", None),
        ];
        each(&cases.map(|case| (case.0, case)), |(subject, form, other)| {
            let value = json_of(&shows(as_json(inspect(with_subject(subject))), true));
            assert_eq!(value["subject"], *subject);
            assert!(value["subject_form"].as_str().unwrap().contains(form), "{value:#}");
            assert_eq!(value["subject_in_other_form"], json!(other));
            assert_eq!(
                value["equinix"]["principal"],
                format!("principal:<project-or-org-id>:<idp>:{subject}"),
                "the grant is for what the token says"
            );
            let text = shows(inspect(with_subject(subject)), true).stdout;
            assert!(text.contains(form) && text.contains(&format!("subject       {subject}\n")), "{text}");
            assert_eq!(text.contains("other form"), other.is_some(), "{text}");
            assert!(other.is_none_or(|other| text.contains(&format!("other form    {other}\n"))), "{text}");
        });
    }

    #[test]
    fn gitlab_s_subject_has_no_forms() {
        let value = json_of(&shows(as_json(inspect(Job::gitlab())), false));
        assert_eq!((&value["subject_form"], &value["subject_in_other_form"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn known_ids_fill_the_principal_and_the_requests() {
        for idp in ["idp:7f1e", "7f1e"] {
            let job = inspect(Job::gitlab()).args(["--project-id", "prj-42", "--idp-id", idp]);
            let value = json_of(&shows(as_json(job), false));
            let principal = "principal:prj-42:7f1e:project_path:octo-org/metal-app:ref_type:branch:ref:main";
            let equinix = &value["equinix"];
            assert_eq!(equinix["principal"], principal);
            assert_eq!(equinix["requests"][1]["body"]["principal"], principal);
            assert_eq!(equinix["requests"][2]["body"]["grantee"], principal);
            assert_eq!(
                equinix["requests"][0]["url"],
                "https://sts.eqix.equinix.com/v1/projects/prj-42/oidcProviders"
            );
            assert!(equinix["requests"][2]["url"].as_str().unwrap().contains("/projects/prj-42/"));
        }
    }
}

mod problems {
    use super::*;

    /// What is wrong with the token is shown, not a failure: the person has come to see it.
    #[test]
    fn are_shown_and_are_no_failure() {
        type Case = (fn() -> Job, &'static [&'static str], &'static str);
        let expired: fn() -> Job = || {
            Job::gitlab().claims(|claims| {
                claims.insert("iat".into(), json!(token::now() - 4000));
                claims.insert("nbf".into(), json!(token::now() - 4000));
                claims.insert("exp".into(), json!(token::now() - 400));
            })
        };
        let wrong: fn() -> Job = || {
            Job::gitlab().claims(|claims| {
                claims.insert("aud".into(), json!("https://other.example"));
                claims.insert("iss".into(), json!("https://gitlab.example"));
                claims.insert("iat".into(), json!(token::now() - 4000));
                claims.insert("exp".into(), json!(token::now() - 400));
            })
        };
        let other_audience: fn() -> Job =
            || Job::gitlab().claims(|claims| drop(claims.insert("aud".into(), json!("other"))));
        let cases: [(&str, Case); 6] = [
            ("audience", (other_audience, &["claim-aud"], "found: \"other\"")),
            ("expired", (expired, &["claim-expired"], "problem")),
            ("everything", (wrong, &["claim-iss", "claim-aud", "claim-expired"], "https://gitlab.example")),
            (
                "expectation",
                (
                    || Job::gitlab().args(["--expect", "ref=Main"]),
                    &["claim-expectation"],
                    "upper and lower case",
                ),
            ),
            (
                "keys",
                (
                    || Job::gitlab().arg("--verify-signature"),
                    &["issuer-metadata"],
                    "does not publish its metadata",
                ),
            ),
            (
                "signature",
                (
                    || publishing(Job::gitlab(), vec![]).arg("--verify-signature"),
                    &["claim-key-not-found"],
                    "does not publish the key",
                ),
            ),
        ];
        each(&cases, |(job, codes, says)| {
            let value = json_of(&shows(as_json(inspect(job())), false));
            let found: Vec<_> = value["problems"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
            assert_eq!(found, codes.iter().collect::<Vec<_>>(), "{value:#}");
            assert_eq!(value["claims_status"], "decoded, not verified");
            for problem in value["problems"].as_array().unwrap() {
                assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
            }
            let text = shows(inspect(job()), false).stdout;
            assert!(text.contains("Who this job is (decoded, not verified)"), "{text}");
            assert!(text.contains(says) && text.contains("hint: "), "{text}");
            for code in *codes {
                assert!(text.contains(&format!("problem       error[{code}]: ")), "{text}");
            }
        });
    }

    #[test]
    fn every_unmet_expectation_is_told_to_programs_too() {
        let job = Job::gitlab().args(["--expect", "ref=develop", "--expect", "namespace_path=octo"]);
        let value = json_of(&shows(as_json(inspect(job)), false));
        let details = [
            ("claim", "\"ref\""),
            ("expected", "\"develop\""),
            ("found", "\"main\""),
            ("claim", "\"namespace_path\""),
            ("expected", "\"octo\""),
            ("found", "\"octo-org\". The expected text is only its beginning."),
        ];
        assert_eq!(
            value["problems"][0]["details"],
            json!(details.map(|(label, value)| json!({label: value})))
        );
    }

    #[test]
    fn an_expired_token_says_since_when() {
        let job = Job::gitlab().claims(|claims| drop(claims.insert("exp".into(), json!(token::now() - 400))));
        let text = shows(inspect(job.args(["--validation", "off"])), false).stdout;
        let line = text.lines().find(|line| line.contains("expires ")).unwrap().to_owned();
        assert!(line.contains(" s ago)") && !line.contains("(in"), "{line}");
        assert!(!text.contains("problem"), "without validation nothing is held against anything: {text}");
    }

    #[test]
    fn verified_is_said_only_of_what_was_verified() {
        for (flag, words, requests) in
            [(Some("--verify-signature"), "verified", 2), (None, "decoded, not verified", 0)]
        {
            for (job, masked, own) in [(Job::github(), true, 1), (Job::gitlab(), false, 0)] {
                let outcome = shows(as_json(inspect(signed(job)).args(flag)), masked);
                let value = json_of(&outcome);
                assert_eq!((&value["claims_status"], &value["problems"]), (&json!(words), &json!([])));
                assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], words);
                assert_eq!(outcome.issuer.requests.len(), requests + own, "{}", outcome.context());
            }
        }
        let text = shows(inspect(signed(Job::gitlab())).arg("--verify-signature"), false).stdout;
        assert!(text.starts_with("Who this job is (verified)\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_inspected_fails_with_nothing_on_stdout() {
        let github = || inspect(Job::github());
        let cases: [(&str, Job, i32, &str); 8] = [
            ("no CI", inspect(Job::bare()), 3, "ambient-not-ci"),
            ("no permission", github().without_id_token_permission(), 3, "gh-id-token-permission"),
            ("no audience", github().without_flag("--audience"), 2, "cfg-audience-missing"),
            ("no token", inspect(Job::gitlab()).env(SUBJECT_TOKEN, ""), 3, "gl-id-tokens-missing"),
            ("no JWT", inspect(Job::gitlab()).env(SUBJECT_TOKEN, "a.b"), 4, "id-token-malformed"),
            ("refused", github().id_token_reply(Reply::status(401)), 4, "id-token-http"),
            ("another format", github().args(["--format", "yaml"]), 2, "cfg-value-invalid"),
            ("a wrong scope", github().scope("accesspolicy:x"), 2, "cfg-scope-invalid"),
        ];
        for (name, job, exit, code) in cases {
            println!("case: {name}");
            job.run().fails(exit, code).sts_requests(0);
        }
    }

    #[cfg(unix)]
    #[test]
    fn without_a_runner_to_mask_it_no_token_is_fetched() {
        let job = inspect(Job::github()).wrap_shell(["sh", "-c", "\"$0\" \"$@\" 2>\"$TMPDIR/log\""]);
        let outcome = job.run();
        assert_eq!(outcome.status, Some(10), "{}", outcome.context());
        outcome.stdout_is("").id_token_requests(0).sts_requests(0);
        assert_eq!(outcome.report.as_ref().unwrap()["code"], "mask-undeliverable");
    }
}

mod hostile {
    use super::*;

    const SUBJECT: &str = concat!(
        "repo:o/r:'; touch x; ' \"; touch x; \" $(touch x) `touch x` \\ ### !! ##[add-mask]a ##",
        "\u{200b}[warning]b #\u{200b}#[error]c ##vso[task.setvariable]x \u{1b}[31mred\u{7} \u{202e}evil\u{2066}\n",
        "::set-env name=PATH::/evil\r\n::add-mask::main\u{2028}::stop-commands::x\u{85}\t##[group]z'"
    );
    /// [`SUBJECT`] as it may be shown: one line, without what cannot be seen.
    const SHOWN: &str = concat!(
        "repo:o/r:'; touch x; ' \"; touch x; \" $(touch x) `touch x` \\ ### !! ##[add-mask]a ##",
        "[warning]b ##[error]c ##vso[task.setvariable]x [31mred evil ",
        "::set-env name=PATH::/evil  ::add-mask::main ::stop-commands::x  ##[group]z'"
    );

    /// Every claim that is shown is hostile, and so are names of claims.
    fn job(job: Job) -> Job {
        let job = job.claims(|claims| {
            for name in ["sub", "ref", "environment", "workflow_ref", "repository", "project_path"] {
                claims.insert(name.to_owned(), json!(SUBJECT));
            }
            claims.insert("aud".to_owned(), json!([SUBJECT, support::job::AUDIENCE]));
            claims.insert("job_workflow_ref".to_owned(), json!(format!("{SUBJECT}2")));
            claims.insert("project_id".to_owned(), json!(SUBJECT));
            claims.insert(SUBJECT.to_owned(), json!({SUBJECT: [SUBJECT, 1]}));
        });
        inspect(job)
    }

    type Case = (fn() -> Job, Vec<&'static str>, bool);

    fn cases() -> Vec<(String, Case)> {
        let mut cases: Vec<(String, Case)> = Vec::new();
        for (name, platform, masked) in
            [("GitHub", Job::github as fn() -> Job, true), ("GitLab", Job::gitlab as fn() -> Job, false)]
        {
            for flags in [vec![], vec!["--all-claims"], vec!["--project-id", SHOWN, "--idp-id", SHOWN]] {
                cases.push((format!("{name} {flags:?}"), (platform, flags, masked)));
            }
        }
        cases
    }

    #[test]
    fn claims_reach_neither_the_runner_nor_the_terminal() {
        each(&cases(), |(platform, flags, masked)| {
            for form in ["text", "json"] {
                let outcome = shows(job(platform()).args(flags).args(["--format", form]), *masked);
                let odd = |c: char| {
                    (c.is_control() && c != '\n')
                        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                };
                outcome.require(!outcome.stdout.contains(odd), "nothing invisible on stdout");
                outcome.require(
                    !outcome.stdout.contains("##"),
                    "nothing that Azure or GitHub take for a command",
                );
                let own = |name: &str| name == "add-mask";
                let commands = runner::commands(&outcome.stderr);
                outcome.require(commands.iter().all(|command| own(&command.name)), "stderr has masks only");
                outcome.require(commands.len() == usize::from(*masked), "one mask for the one token");
                outcome.require(!outcome.stderr.contains('\u{1b}'), "no escape on stderr");
                if form == "json" {
                    let value = json_of(&outcome);
                    assert_eq!(value["subject"], SHOWN);
                    assert_eq!(value["audience"][0], SHOWN);
                    assert_eq!(value["equinix"]["trustedClientIds"], json!([support::job::AUDIENCE]));
                }
            }
        });
    }

    /// The copied commands, run by a real shell with a `curl` that tells its arguments.
    #[cfg(unix)]
    #[test]
    fn the_commands_to_copy_are_three_requests_and_nothing_else() {
        const CURL: &str = r#"curl() { for word in "$@"; do printf '%s\n' "$word"; done; printf 'END\n'; }"#;
        each(&cases(), |(platform, flags, masked)| {
            let outcome = shows(job(platform()).args(flags), *masked);
            let (_, block) = outcome.stdout.split_once("\nThe same by API").expect("the commands");
            let (_, block) = block.split_once('\n').unwrap();
            let folder = tempfile::tempdir().unwrap();
            let run = std::process::Command::new("sh")
                .args(["-c", &format!("{CURL}\n{block}")])
                .env("EQUINIX_API_TOKEN", "administrator")
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8(run.stdout).unwrap();
            assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(0), &b""[..]), "{said}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was executed");
            let calls: Vec<Vec<&str>> = said
                .split_terminator("END\n")
                .map(|call| call.strip_suffix('\n').unwrap().split('\n').collect())
                .collect();
            assert_eq!(calls.len(), 3, "{said}");
            let id = if flags.contains(&"--project-id") { SHOWN } else { "<project-id>" };
            let owner = if flags.contains(&"--project-id") { SHOWN } else { "<project-or-org-id>" };
            let idp = if flags.contains(&"--idp-id") { SHOWN } else { "<idp>" };
            let principal = format!("principal:{owner}:{idp}:{SHOWN}");
            let urls = [
                format!("https://sts.eqix.equinix.com/v1/projects/{id}/oidcProviders"),
                "https://access.eqix.equinix.com/v1/roleAssignments".to_owned(),
                format!(
                    "https://access.eqix.equinix.com/v1/projects/{id}/accessPolicies/<access-policy-id>/grants"
                ),
            ];
            let mut bodies = Vec::new();
            for (call, url) in calls.iter().zip(&urls) {
                let [fail, h1, bearer, h2, media, place, d, body] = call.as_slice() else {
                    panic!("{call:?}")
                };
                assert_eq!(
                    [*fail, *h1, *bearer, *h2, *media, *place, *d],
                    [
                        "--fail-with-body",
                        "-H",
                        "Authorization: Bearer administrator",
                        "-H",
                        "Content-Type: application/json",
                        url,
                        "-d"
                    ]
                );
                bodies.push(serde_json::from_str::<Value>(body).expect("a JSON body"));
            }
            assert_eq!(bodies[0]["trustedClientIds"], json!([support::job::AUDIENCE]));
            assert_eq!(bodies[1]["principal"], principal);
            assert_eq!(bodies[2], json!({"grantee": principal}));
        });
    }
}
