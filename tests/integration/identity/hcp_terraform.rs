//! The main job in a run of HCP Terraform: a ready token for each phase, and two principals.

#![cfg(unix)]

use crate::support;

use serde_json::Value;

use support::job::{Job, World};
use support::ready::{claim, knows_its_run, refuses_what_is_wrong, works};

/// A plan as an agent starts it.
static WORLD: World = World {
    token: Some("TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX"),
    variables: &[
        ("TFC_RUN_ID", "run-8bGZqJ2xQ1mTz7Kd"),
        ("TFC_WORKSPACE_NAME", "octo-workspace"),
        ("TFC_AGENT_ENV", "{root}/tmp/agent.env"),
    ],
    sink: None,
    issuer: "https://app.terraform.io",
    claims: r#"{
        "sub": "organization:octo-org:project:Default Project:workspace:octo-workspace:run_phase:plan",
        "terraform_organization_name": "octo-org",
        "terraform_project_name": "Default Project",
        "terraform_workspace_name": "octo-workspace",
        "terraform_workspace_id": "ws-mbsd5E3Ktt5Rg2Xm",
        "terraform_full_workspace": "organization:octo-org:project:Default Project:workspace:octo-workspace",
        "terraform_run_phase": "plan",
        "terraform_run_id": "run-8bGZqJ2xQ1mTz7Kd"
    }"#,
};

const PLAN: &str = "organization:octo-org:project:Default Project:workspace:octo-workspace:run_phase:plan";
const APPLY: &str = "organization:octo-org:project:Default Project:workspace:octo-workspace:run_phase:apply";

#[test]
fn the_token_is_in_a_file_whose_path_is_printed() {
    let outcome = works(Job::of(&WORLD), "hcp-terraform");
    assert!(outcome.printed_path().is_some(), "{}", outcome.context());
    outcome.stderr_lacks("changes from run to run");
}

#[test]
fn the_token_with_the_tag_is_preferred() {
    let job = Job::of(&WORLD);
    let other = job.mint();
    let outcome = job.env("TFC_WORKLOAD_IDENTITY_TOKEN", &other).run();
    outcome.succeeds();
    assert_ne!(outcome.sts.requests[0].form_value("subject_token"), Some(other.clone()));
    let job = Job::of(&WORLD).unset("TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX");
    let outcome = works(job.env("TFC_WORKLOAD_IDENTITY_TOKEN", &other), "hcp-terraform");
    assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(other));
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    refuses_what_is_wrong(&WORLD, "TFC_WORKLOAD_IDENTITY_AUDIENCE_EQUINIX=");
    knows_its_run(&WORLD, &[("terraform_run_id", "TFC_RUN_ID")]);
}

#[test]
fn inspect_shows_the_principals_of_both_phases() {
    for (own, other, when) in [(PLAN, APPLY, "in the apply phase"), (APPLY, PLAN, "in the plan phase")] {
        let inspect = || {
            claim(Job::of(&WORLD), "sub", own).command("inspect").without_flag("--sts-endpoint").args([
                "--project-id",
                "p",
                "--idp-id",
                "i",
            ])
        };
        let page = inspect().run().stdout.clone();
        let principal = |subject: &str| format!("principal:p:i:{subject}");
        assert!(page.contains(&format!("2 principal   {}\n", principal(own))), "{page}");
        assert!(
            page.contains(&format!("                {}\n                {when};", principal(other))),
            "{page}"
        );
        assert!(page.contains("to each of these principals"), "{page}");
        let found: Value = serde_json::from_str(&inspect().args(["--format", "json"]).run().stdout).unwrap();
        assert_eq!(found["equinix"]["principal"], principal(own));
        assert_eq!(found["equinix"]["morePrincipals"][0]["principal"], principal(other));
        assert_eq!(
            found["equinix"]["requests"].as_array().unwrap().len(),
            5,
            "a provider and two grants each"
        );
    }
}

#[test]
fn an_agent_inside_a_job_of_another_system_is_the_run_s() {
    // The agent has inherited the job's variables.
    let inherited =
        || Job::of(&WORLD).env("GITLAB_CI", "true").env("CI_SERVER_URL", "https://gitlab.example");
    works(inherited(), "hcp-terraform");
    // A name alone says nothing.
    let job = Job::gitlab().env("TFC_RUN_ID", "run-8bGZqJ2xQ1mTz7Kd").run();
    job.succeeds();
    assert_eq!(job.report.as_ref().unwrap()["provider"], "gitlab");
}
