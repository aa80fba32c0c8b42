//! The software that takes our tokens: act for GitHub's workflows, gitlab-ci-local for GitLab's pipelines, and Terraform.
//! See `tests/foreign/consumers/README.md`. Each test has a sandbox and a folder of its own.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use crate::support;

use std::fs;

use serde_json::Value;

use crate::mirror::{Mirror, need_terraform};
use crate::world::{Run, World, need_act, need_gitlab_ci_local, suite};
use crate::{Check, checks};
use support::gitlab::{Limits, parse_dotenv};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        act::reads_outputs_and_variables_and_hides_the_tokens,
        act::does_so_with_the_variables_of_forgejo,
        gitlab_ci_local::runs_every_way_to_a_token,
        terraform::takes_the_answer_of_a_data_source,
        terraform::shows_why_there_is_no_token,
        terraform::gets_no_mask_that_it_would_show,
        terraform::has_the_token_in_its_environment_under_exec
    ]
}

const SCOPE: &str = "roleassignments:00000000-0000-4000-8000-000000000001";

mod act {
    use super::*;

    pub(super) fn reads_outputs_and_variables_and_hides_the_tokens() {
        runs_every_way_to_a_token("github", "");
    }

    /// Forgejo's runner is a descendant of act. It sets GitHub's variables, Gitea's marker and its own, and a pair in the query of
    /// the request URL that means nothing.
    pub(super) fn does_so_with_the_variables_of_forgejo() {
        let variables = r#"export FORGEJO_ACTIONS=true GITEA_ACTIONS=true
            export ACTIONS_ID_TOKEN_REQUEST_URL="$ACTIONS_ID_TOKEN_REQUEST_URL&placeholder=true""#;
        runs_every_way_to_a_token("forgejo", variables);
    }

    fn runs_every_way_to_a_token(provider: &str, variables: &str) {
        need_act();
        let world = World::new();
        world.put(".github/workflows/deploy.yml", &suite().join("workflow.yml"));
        world.repository("https://github.example/octo-org/octo-repo.git");
        let run = world.run_act(&[], &["EQUINIX_", "FORGEJO_", "GITEA_"], variables);
        run.ends_with(0).hides(&["output", "variable", "id-token", "exec"]);
        let report: Value = serde_json::from_str(&run.seen["report"]).unwrap();
        assert_eq!(report["provider"], provider);
        assert_eq!(run.token("output"), run.token("variable"));
        assert_ne!(run.token("output"), run.token("exec"), "each run has a token of its own");
        assert!(run.token("id-token").starts_with("eyJ"));
        assert_eq!(run.seen["others"], format!("true Bearer 3600 {SCOPE}\n"));
        assert_eq!(run.seen["code"], "sts-scope-denied\n");
        assert_eq!(run.seen["skipped"], "false missing-permission\n");
        for hidden in
            ["the output is ***", "the variable is ***", "the ID token is ***", "the command has ***"]
        {
            assert!(run.log.contains(hidden), "{hidden}:\n{}", run.log);
        }
        assert!(!run.log.contains("this step has no id"), "{}", run.log);
        let names: Vec<&str> = run.seen["names"].lines().collect();
        assert!(names.contains(&"METAL_TOKEN_EXPIRES_AT"));
        assert!(!names.iter().any(|name| name.starts_with("ACTIONS_ID_TOKEN_REQUEST")), "{names:?}");
    }
}

mod gitlab_ci_local {
    use super::*;

    pub(super) fn runs_every_way_to_a_token() {
        need_gitlab_ci_local();
        let world = World::new();
        world.put(".gitlab-ci.yml", &suite().join("gitlab-ci.yml"));
        world.repository("git@gitlab.example:octo-group/octo-project.git");
        let names = [
            "EQUINIX_WIF_SUBJECT_TOKEN",
            "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
            "EQUINIX_STS_ENDPOINT",
            "EQUINIX_WIF_AUDIENCE",
            "EQUINIX_TOKEN_EXCHANGE_SCOPE",
        ];
        // A job can declare the provider's variable as well.
        let both = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN=$EQUINIX_WIF_SUBJECT_TOKEN";
        let run = world.run_gitlab_ci_local(&[], &names, both);
        run.ends_with(0).hides(&["robust", "short", "exec", "later"]);
        // The subject token would let Terraform ignore ours.
        for way in ["robust", "exec"] {
            assert_eq!(run.seen[way], format!("{} unset", run.token(way)), "{way}");
        }
        // What gitlab-ci-local reads leniently, GitLab reads too, and to the same end.
        let variables = parse_dotenv(run.seen["dotenv"].as_bytes(), Limits::default()).unwrap();
        let expected =
            format!("{} {}", variables["EQUINIX_API_TOKEN"], variables["EQUINIX_API_TOKEN_EXPIRES_AT"]);
        assert_eq!(run.seen["later"], expected);
        assert_eq!(variables.len(), 2);
    }
}

mod terraform {
    use super::*;

    /// The configuration, and the provider in a filesystem mirror.
    fn external() -> World {
        let mut mirror = Mirror::for_terraform();
        let world = World::new();
        world.put("main.tf", &suite().join("external.tf"));
        mirror.add("example.test/project/external", "1.0.0", &suite().join("provider.py"));
        mirror.write(&world);
        world
    }

    /// The scope and the audience are in the query, so that it is what counts.
    const APPLY: &str = r#"
        export TF_CLI_CONFIG_FILE="$PWD/cli.tfrc" TF_VAR_scope="$EQUINIX_TOKEN_EXCHANGE_SCOPE"
        unset EQUINIX_TOKEN_EXCHANGE_SCOPE EQUINIX_WIF_AUDIENCE
        terraform init -no-color -input=false >/dev/null
        terraform apply -no-color -input=false -auto-approve
    "#;

    pub(super) fn takes_the_answer_of_a_data_source() {
        let world = external();
        let run = world.run("gitlab", &[], APPLY);
        run.ends_with(0).hides(&["token"]);
        assert!(run.log.contains("expires_at = \"20"), "{}", run.log);
        // It is in the state, as the warning says.
        let state = fs::read_to_string(world.path("terraform.tfstate")).unwrap();
        assert!(state.contains(run.token("token")) && state.contains(&format!("\"scope\": \"{SCOPE}\"")));
    }

    pub(super) fn shows_why_there_is_no_token() {
        let world = external();
        let run = world.run("gitlab", &["--fault", "refused-scope"], APPLY);
        run.ends_with(1);
        // Terraform wraps lines.
        let log = run.log.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in
            ["External Program Execution Failed", "error[sts-scope-denied]", "hint: ", "exit status 6"]
        {
            assert!(log.contains(text), "{text}:\n{log}");
        }
        assert!(!log.contains("eyJ") && run.seen.is_empty(), "{log}");
    }

    pub(super) fn gets_no_mask_that_it_would_show() {
        let world = external();
        // In a GitHub job it is refused; consent goes without masks, which stand in no error of Terraform's then.
        let run = world.run("github", &[], APPLY);
        run.ends_with(1);
        assert!(run.log.contains("error[mask-undeliverable]") && run.seen.is_empty(), "{}", run.log);
        let forced = format!("export TF_VAR_flags='[\"--force\"]'\n{APPLY}");
        let run = world.run("github", &["--fault", "refused-scope"], &forced);
        run.ends_with(1);
        assert!(run.log.contains("error[sts-scope-denied]"), "{}", run.log);
        assert!(!run.log.contains("add-mask") && !run.log.contains("eyJ"), "{}", run.log);
        world.run("github", &[], &forced).ends_with(0).hides(&["token"]);
    }

    pub(super) fn has_the_token_in_its_environment_under_exec() {
        need_terraform();
        for platform in ["github", "gitlab"] {
            let world = World::new();
            world.put("main.tf", &suite().join("exec.tf"));
            // Standard error has to reach somebody, so it goes through a pipe.
            let script =
                "equinix-wif exec -- terraform apply -no-color -input=false -auto-approve 2>&1 | cat";
            let run = world.run(platform, &[], script);
            // The masks are for a runner.
            let masked: String = run.log.lines().filter(|line| !line.starts_with("::add-mask::")).collect();
            let run = Run { log: masked, ..run };
            run.ends_with(0).hides(&["token"]);
            let state = fs::read_to_string(world.path("terraform.tfstate")).unwrap();
            assert!(!state.contains(run.token("token")), "no token is in the state");
            let names: Vec<&str> = run.seen["names"].lines().collect();
            for name in [
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "EQUINIX_WIF_SUBJECT_TOKEN",
                "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
            ] {
                assert!(!names.contains(&name), "{name}");
            }
            // Its exit status is Terraform's.
            let failing = "equinix-wif exec -- terraform apply -no-such-flag 2>&1 | cat";
            let run = world.run(platform, &[], &format!("bash -o pipefail -c '{failing}'"));
            run.ends_with(1);
        }
    }
}
