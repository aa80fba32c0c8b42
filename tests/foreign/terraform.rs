//! The examples below `docs/examples/terraform`, as they stand there: with the real Terraform, in act's and
//! gitlab-ci-local's jobs, against the sandbox's STS. The providers are stand-ins, since none can be downloaded: the data
//! source `external` of `tests/foreign/consumers/provider.py`, and `tests/foreign/terraform/provider.py` for Equinix's.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use crate::support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::mirror::Mirror;
use crate::world::{Run, World, need_act, need_gitlab_ci_local, suite};
use crate::{Check, checks};
use support::job::Job;

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        every_example_is_formatted_and_valid,
        exec::gives_the_token_to_one_command_on_each_platform,
        exec::leaves_no_token_in_a_saved_plan,
        exec::wins_against_the_provider_s_own_way_only_without_the_subject_token,
        external::hands_over_a_value_that_is_in_the_state,
        external::is_in_a_saved_plan_too_and_is_not_made_anew,
        external::gets_nothing_on_github,
        provider_exchange::works_with_the_id_token_of_each_platform,
        provider_exchange::leaves_no_token_in_a_saved_plan,
        provider_exchange::checks_nothing_by_itself,
        ephemeral::keeps_the_variable_out_of_plan_and_state,
        ephemeral::two_tokens_can_be_had_for_one_command,
        ephemeral::a_file_of_variables_is_read_and_kept_nowhere,
        hcp::the_provider_exchanges_in_each_phase,
        hcp::a_hook_tells_who_the_run_is_and_ends_one_that_is_not_trusted,
        hcp::a_token_for_other_tools_can_be_had_inside_the_run,
        hcp::a_hook_hands_a_token_over,
        hcp::subjects_may_have_spaces,
        the_guide_shows_parts_of_the_examples
    ]
}

pub(crate) const SCOPE: &str = "roleassignments:00000000-0000-4000-8000-000000000001";

/// What an example has in place of a reader's own values.
const PLACEHOLDERS: [(&str, &str); 2] =
    [("roleassignments:<org-id>", SCOPE), ("my-equinix-audience", "equinix-sandbox")];

/// The variables of the sandbox's job that an example does not bring along itself, and those of the real Terraform.
const GIVEN: [&str; 5] =
    ["EQUINIX_STS_ENDPOINT", "TF_CLI_CONFIG_FILE", "TF_CLI_ARGS_apply", "CHECKPOINT_DISABLE", "HOME"];

/// The variable in which the sandbox's job finds its ID token, and the one that the provider reads.
const OWN: &str = "EQUINIX_WIF_SUBJECT_TOKEN";
const OF_THE_PROVIDER: &str = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN";

/// A script in a job that declares the provider's variable.
fn with_the_provider_s(script: &str) -> String {
    format!("export {OF_THE_PROVIDER}=${OWN}\n{script}")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/terraform")
}

/// The names of all examples.
fn names() -> Vec<String> {
    let folders = fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn adapted(text: &str) -> String {
    PLACEHOLDERS.iter().fold(text.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}

/// A folder with an example's files and the providers. The configuration is the example's to the letter; elsewhere the
/// placeholders are filled in.
pub(crate) fn example(name: &str, files: &[(&str, &str)]) -> World {
    let world = World::new();
    let folder = examples().join(name);
    world.put("main.tf", &folder.join("main.tf"));
    for (from, to) in files {
        world.write_script(to, &adapted(&fs::read_to_string(folder.join(from)).unwrap()));
    }
    write_providers(&world);
    world
}

/// Puts the providers into a folder, in a mirror, and the settings with which Terraform finds them there.
pub(crate) fn write_providers(world: &World) {
    let mut mirror = Mirror::for_terraform();
    // Terraform's own host for providers that are named without one.
    let host = ["registry", "terraform", "io"].join(".");
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/terraform/provider.py");
    mirror.add(&format!("{host}/equinix/equinix"), "4.8.0", &stand_in);
    mirror.add(&format!("{host}/hashicorp/external"), "2.3.5", &suite().join("provider.py"));
    mirror.write(world);
}

/// The lines before every script: Terraform finds its providers, and its state is kept where it can be looked at.
fn prepared(world: &World, script: &str) -> String {
    format!(
        "export TF_CLI_CONFIG_FILE='{}' TF_CLI_ARGS_apply='-state={}'\n{script}",
        world.path("cli.tfrc").display(),
        world.path("terraform.tfstate").display()
    )
}

/// Runs an example's own pipeline in its platform's emulator.
fn in_emulator(name: &str, platform: &str, sandbox: &[&str]) -> (World, Run) {
    let files = if platform == "github" {
        [("github.yml", pipeline(platform))]
    } else {
        [("gitlab-ci.yml", pipeline(platform))]
    };
    let world = example(name, &files);
    let run = emulate(&world, platform, sandbox);
    (world, run)
}

/// Where a platform finds its pipelines.
pub(crate) fn pipeline(platform: &str) -> &'static str {
    if platform == "github" { ".github/workflows/deploy.yml" } else { ".gitlab-ci.yml" }
}

/// Runs the pipeline in a folder in its platform's emulator.
pub(crate) fn emulate(world: &World, platform: &str, sandbox: &[&str]) -> Run {
    world.write(".gitignore", "/*\n!/.git*\n!/main.tf\n");
    // The pipeline brings them along.
    let first = prepared(world, "unset EQUINIX_TOKEN_EXCHANGE_SCOPE EQUINIX_WIF_AUDIENCE");
    if platform == "github" {
        need_act();
        world.repository("https://github.example/octo-org/octo-repo.git");
        world.run_act(sandbox, &GIVEN, &first)
    } else {
        need_gitlab_ci_local();
        world.repository("git@gitlab.example:octo-group/octo-project.git");
        // The sandbox has one name for the ID token; the provider alone reads another.
        let declared = format!("    {OF_THE_PROVIDER}:\n");
        let pipeline = fs::read_to_string(world.path(pipeline(platform))).unwrap();
        let name = if pipeline.contains(&declared) { OF_THE_PROVIDER } else { OWN };
        let given: Vec<&str> = [name].into_iter().chain(GIVEN).collect();
        world.run_gitlab_ci_local(sandbox, &given, &format!("{first}\n{name}=${OWN}"))
    }
}

/// What the stand-in did: every time it needed a token.
pub(crate) struct Use {
    way: String,
    token: String,
    variables: Vec<String>,
}

fn uses(run: &Run) -> Vec<Use> {
    let text = run.seen.get("uses").map_or("", String::as_str);
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Use {
            way: text(&line["way"]),
            token: text(&line["token"]),
            variables: line["variables"].as_array().unwrap().iter().map(text).collect(),
        }
    };
    text.lines().map(read).collect()
}

/// Every use was by this way, with a token as the sandbox's STS makes them, and nothing of it is in the log.
#[track_caller]
pub(crate) fn used(run: &Run, way: &str, times: usize) -> Vec<Use> {
    let uses = uses(run);
    assert_eq!(uses.len(), times, "{}", run.log);
    for used in &uses {
        assert_eq!(used.way, way, "{}", run.log);
        let is_ours = used.token.len() == 43
            && used.token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        assert!(is_ours, "this is none of the sandbox's tokens: {:?}", used.token);
        assert!(!shows(&run.log, &used.token), "the log has a piece of a token:\n{}", run.log);
    }
    uses
}

pub(crate) fn shows(text: &str, token: &str) -> bool {
    let mut pieces = token.as_bytes().windows(16).map(|piece| std::str::from_utf8(piece).unwrap());
    pieces.any(|piece| text.contains(piece))
}

pub(crate) fn has(used: &Use, name: &str) -> bool {
    used.variables.iter().any(|variable| variable == name)
}

fn state(world: &World) -> String {
    fs::read_to_string(world.path("terraform.tfstate")).unwrap()
}

/// Everything in a saved plan, which is an archive: the changes, the state before them and the configuration.
fn plan(world: &World) -> String {
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n[sys.stdout.buffer.write(z.read(n)) for n in z.namelist()]";
    let python = suite().join(".venv/bin/python");
    let output =
        Command::new(python).args(["-c", script]).arg(world.path("changes.tfplan")).output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 500, "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A state is there, with what the data source gave, and nothing of a token.
#[track_caller]
pub(crate) fn keeps_no_token(world: &World, uses: &[Use]) {
    let state = state(world);
    assert!(state.contains("equinix_fabric_metros") && state.contains("FR"), "{state}");
    for used in uses {
        assert!(!shows(&state, &used.token), "{state}");
    }
    assert!(!state.contains("eyJ"), "no ID token either: {state}");
}

fn every_example_is_formatted_and_valid() {
    assert_eq!(names(), ["ephemeral", "exec", "external", "hcp", "hcp-agent", "provider-exchange"]);
    for name in names() {
        let world = example(&name, &[]);
        let script = "terraform fmt -check -diff\nterraform init -input=false >/dev/null\nterraform validate";
        let run = world.run("gitlab", &[], &prepared(&world, script));
        assert!(run.ends_with(0).log.contains("The configuration is valid."), "{name}: {}", run.log);
    }
}

mod exec {
    use super::*;

    pub(super) fn gives_the_token_to_one_command_on_each_platform() {
        for platform in ["github", "gitlab"] {
            let (world, run) = in_emulator("exec", platform, &[]);
            run.ends_with(0);
            let uses = used(&run, "token", 1);
            assert!(has(&uses[0], "EQUINIX_API_TOKEN_EXPIRES_AT"));
            // With the scope beside it, either would lead the provider to the other way, or to other clouds.
            assert!(has(&uses[0], "EQUINIX_TOKEN_EXCHANGE_SCOPE"));
            for name in ["EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
                assert!(!has(&uses[0], name), "{platform}: {name}");
            }
            keeps_no_token(&world, &uses);
            // Where the STS refuses, Terraform does not run.
            let (_, run) = in_emulator("exec", platform, &["--fault", "refused-scope"]);
            assert_ne!(run.status, Some(0), "{}", run.log);
            assert!(run.has_said("error[sts-scope-denied]") && uses_none(&run), "{}", run.log);
            assert!(!run.log.contains("fabric_metros"), "{}", run.log);
        }
    }

    fn uses_none(run: &Run) -> bool {
        super::uses(run).is_empty()
    }

    /// The masks tell which token the job's runner was told to hide: it is the one that Terraform had.
    pub(super) fn leaves_no_token_in_a_saved_plan() {
        let world = example("exec", &[]);
        let script = "terraform init -input=false >/dev/null
            # The most that Terraform itself can be made to say.
            export TF_LOG=trace TF_LOG_PATH=trace.log
            equinix-wif exec -- terraform plan -input=false -out=changes.tfplan 2>&1 | cat
            equinix-wif exec -- terraform apply -input=false changes.tfplan 2>&1 | cat";
        let run = world.run("github", &[], &prepared(&world, script));
        run.ends_with(0);
        let (masks, log): (Vec<&str>, Vec<&str>) =
            run.log.lines().partition(|line| line.starts_with("::add-mask::"));
        let run = Run { log: log.join("\n"), status: run.status, seen: run.seen.clone() };
        // The data source is read when it is planned.
        let uses = used(&run, "token", 1);
        assert!(masks.contains(&format!("::add-mask::{}", uses[0].token).as_str()));
        assert!(!shows(&plan(&world), &uses[0].token));
        let trace = fs::read_to_string(world.path("trace.log")).unwrap();
        assert!(trace.contains("[TRACE]") && !shows(&trace, &uses[0].token));
        keeps_no_token(&world, &uses);
    }

    pub(super) fn wins_against_the_provider_s_own_way_only_without_the_subject_token() {
        let world = example("exec", &[]);
        let apply = "terraform apply -input=false -auto-approve";
        for (command, way) in [
            (format!("equinix-wif exec -- {apply}"), "token"),
            (format!("equinix-wif exec --keep-oidc-env -- {apply}"), "exchange"),
            (format!("file=$(equinix-wif token)\n. \"$file\"\n{apply}"), "token"),
            (format!("EQUINIX_API_TOKEN=stale-token {apply}"), "exchange"),
        ] {
            fs::remove_file(world.path("seen/uses")).ok();
            let script = with_the_provider_s(&format!("terraform init -input=false >/dev/null\n{command}"));
            let run = world.run("gitlab", &[], &prepared(&world, &script));
            run.ends_with(0);
            keeps_no_token(&world, &used(&run, way, 1));
            let warns = run.log.contains("exchanges by itself and ignores the token in EQUINIX_API_TOKEN");
            assert_eq!(warns, command.contains("keep-oidc-env"), "{}", run.log);
        }
    }
}

mod external {
    use super::*;

    pub(super) fn hands_over_a_value_that_is_in_the_state() {
        let (world, run) = in_emulator("external", "gitlab", &[]);
        run.ends_with(0);
        let uses = used(&run, "token", 1);
        assert!(!has(&uses[0], "EQUINIX_API_TOKEN"), "the provider has it from its argument");
        let state = state(&world);
        assert!(state.contains(&format!("\"access_token\": \"{}\"", uses[0].token)), "{state}");
        assert!(!state.contains("eyJ"), "{state}");
        assert!(run.log.contains("expires_at = \"20"), "{}", run.log);
    }

    pub(super) fn is_in_a_saved_plan_too_and_is_not_made_anew() {
        let world = example("external", &[]);
        let script = "export TF_VAR_audience=$EQUINIX_WIF_AUDIENCE TF_VAR_scope=$EQUINIX_TOKEN_EXCHANGE_SCOPE
            unset EQUINIX_TOKEN_EXCHANGE_SCOPE EQUINIX_WIF_AUDIENCE
            terraform init -input=false >/dev/null
            terraform plan -input=false -out=changes.tfplan
            # Nobody could exchange now.
            unset EQUINIX_WIF_SUBJECT_TOKEN GITLAB_CI
            terraform apply -input=false changes.tfplan";
        let run = world.run("gitlab", &[], &prepared(&world, script));
        run.ends_with(0);
        let uses = used(&run, "token", 1);
        assert!(plan(&world).contains(&uses[0].token), "the plan has it");
        assert!(state(&world).contains(&uses[0].token), "and so has the state");
    }

    pub(super) fn gets_nothing_on_github() {
        let world = example("external", &[]);
        let script = format!(
            "export TF_VAR_audience=$EQUINIX_WIF_AUDIENCE TF_VAR_scope={SCOPE}
            terraform init -input=false >/dev/null
            terraform apply -input=false -auto-approve"
        );
        let run = world.run("github", &[], &prepared(&world, &script));
        assert!(run.ends_with(1).log.contains("error[mask-undeliverable]"), "{}", run.log);
        assert!(uses(&run).is_empty());
    }
}

mod provider_exchange {
    use super::*;

    pub(super) fn works_with_the_id_token_of_each_platform() {
        for platform in ["github", "gitlab"] {
            let (world, run) = in_emulator("provider-exchange", platform, &[]);
            run.ends_with(0);
            let uses = used(&run, "exchange", 1);
            assert!(
                has(&uses[0], "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN") && !has(&uses[0], "EQUINIX_API_TOKEN")
            );
            keeps_no_token(&world, &uses);
            assert!(!run.log.contains("eyJ"), "the log has an ID token:\n{}", run.log);
            // What is wrong comes up in Terraform, and what the STS says is shown as it is.
            let (_, run) = in_emulator("provider-exchange", platform, &["--fault", "refused-scope"]);
            assert_ne!(run.status, Some(0), "{}", run.log);
            assert!(run.log.contains("STS token exchange failed with status 400"), "{}", run.log);
        }
    }

    pub(super) fn leaves_no_token_in_a_saved_plan() {
        let world = example("provider-exchange", &[]);
        let script = "terraform init -input=false >/dev/null
            terraform plan -input=false -out=changes.tfplan
            terraform apply -input=false changes.tfplan";
        let run = world.run("gitlab", &[], &prepared(&world, &with_the_provider_s(script)));
        let uses = used(run.ends_with(0), "exchange", 1);
        let plan = plan(&world);
        assert!(!shows(&plan, &uses[0].token) && !plan.contains("eyJ"));
        keeps_no_token(&world, &uses);
    }

    /// Without a check beforehand, an expired ID token is sent, and the STS is who says so.
    pub(super) fn checks_nothing_by_itself() {
        let script = with_the_provider_s(
            "terraform init -input=false >/dev/null\nterraform apply -input=false -auto-approve",
        );
        let fault = ["--fault", "expired-token"];
        let world = example("provider-exchange", &[]);
        let run = world.run("gitlab", &fault, &prepared(&world, &script));
        assert!(run.ends_with(1).log.contains("subject_token has expired"), "{}", run.log);
        let checked = format!("equinix-wif id-token --format json >/dev/null\n{script}");
        let run = world.run("gitlab", &fault, &prepared(&world, &checked));
        assert!(run.ends_with(5).log.contains("error[claim-expired]"), "{}", run.log);
        assert!(!run.log.contains("subject_token has expired"), "{}", run.log);
    }
}

mod ephemeral {
    use super::*;

    pub(super) fn keeps_the_variable_out_of_plan_and_state() {
        for platform in ["github", "gitlab"] {
            let (world, run) = in_emulator("ephemeral", platform, &[]);
            run.ends_with(0);
            let uses = used(&run, "token", 1);
            assert!(has(&uses[0], "TF_VAR_equinix_token") && !has(&uses[0], "EQUINIX_API_TOKEN"));
            keeps_no_token(&world, &uses);
        }
        let world = example("ephemeral", &[]);
        let exec = "equinix-wif exec --env-name TF_VAR_equinix_token -- terraform";
        let script = format!(
            "terraform init -input=false >/dev/null
            {exec} plan -input=false -out=changes.tfplan
            ! terraform apply -input=false changes.tfplan || exit 42
            {exec} apply -input=false changes.tfplan"
        );
        let run = world.run("gitlab", &[], &prepared(&world, &script));
        let uses = used(run.ends_with(0), "token", 1);
        assert!(!shows(&plan(&world), &uses[0].token));
        assert!(run.log.contains("No value for required variable"), "{}", run.log);
        keeps_no_token(&world, &uses);
    }

    /// What `--format tfvars` writes is what Terraform reads, without a warning, in both phases of a saved plan.
    pub(super) fn a_file_of_variables_is_read_and_kept_nowhere() {
        let world = World::new();
        world.write("main.tf", "variable \"equinix_api_token\" {\n  type = string\n}\n");
        let script = r#"file=$(equinix-wif token --format tfvars)
            printf 'var.equinix_api_token\n' | terraform console -var-file="$file" >"$SEEN/read" 2>"$SEEN/warnings"
            sed -n 's/^equinix_api_token = //p' "$file" >"$SEEN/written""#;
        let run = world.run("gitlab", &[], script);
        run.ends_with(0);
        assert_eq!(run.seen["read"], run.seen["written"]);
        assert!(run.seen["read"].len() > 40 && run.seen["warnings"].is_empty(), "{}", run.seen["warnings"]);
        let world = example("ephemeral", &[]);
        let file = "file=$(equinix-wif token --format tfvars --env-name TF_VAR_equinix_token)";
        let script = format!(
            r#"terraform init -input=false >/dev/null
            {file}
            terraform plan -input=false -var-file="$file" -out=changes.tfplan
            rm -f "$file"
            {file}
            terraform apply -input=false -var-file="$file" changes.tfplan
            rm -f "$file""#
        );
        let run = world.run("gitlab", &[], &prepared(&world, &script));
        let uses = used(run.ends_with(0), "token", 1);
        assert!(!run.log.contains("undeclared"), "{}", run.log);
        assert!(!shows(&plan(&world), &uses[0].token));
        keeps_no_token(&world, &uses);
    }

    /// One `exec` around another: a token for each of two providers.
    pub(super) fn two_tokens_can_be_had_for_one_command() {
        let world = example("ephemeral", &[]);
        let script = "equinix-wif exec --env-name TF_VAR_first_token --keep-oidc-env -- \
            equinix-wif exec --env-name TF_VAR_second_token -- \
            sh -c 'printf %s \"$TF_VAR_first_token\" >\"$SEEN/first\"; printf %s \"$TF_VAR_second_token\" >\"$SEEN/second\"'";
        for platform in ["github", "gitlab"] {
            // Standard error has to reach somebody.
            let run = world.run(platform, &[], &format!("{script} 2>&1 | cat"));
            assert_ne!(run.ends_with(0).token("first"), run.token("second"));
        }
    }
}

mod hcp {
    use super::*;

    /// The environment of a run: the workspace's variables, and what the platform adds. The ID token is the one of a
    /// GitLab job; nothing else of that job is there.
    fn run(world: &World, sandbox: &[&str], script: &str) -> Run {
        let script = format!(
            r#"
            sed -i "s|https://app.terraform.io|$CI_SERVER_URL|" pre-plan
            exec env -i $(grep -v '^#' workspace.env) TFC_RUN_ID=run-1 HOME="$HOME" PATH="$PATH" SEEN="$SEEN" CHECKPOINT_DISABLE=1 TFC_AGENT_ENV="$PWD/agent.env" \
                TF_CLI_CONFIG_FILE="$TF_CLI_CONFIG_FILE" EQUINIX_STS_ENDPOINT="$EQUINIX_STS_ENDPOINT" \
                TFC_WORKLOAD_IDENTITY_TOKEN="$EQUINIX_WIF_SUBJECT_TOKEN" sh -ec '{script}'
            "#
        );
        world.run("gitlab", sandbox, &prepared(world, &script))
    }

    fn workspace(name: &str) -> World {
        example(name, &[("workspace.env", "workspace.env"), ("pre-plan", "pre-plan")])
    }

    pub(super) fn the_provider_exchanges_in_each_phase() {
        let world = workspace("hcp");
        let script = "terraform init -input=false >/dev/null
            terraform plan -input=false -out=changes.tfplan
            terraform apply -input=false -state=terraform.tfstate changes.tfplan";
        let run = run(&world, &[], script);
        let uses = used(run.ends_with(0), "exchange", 1);
        assert!(has(&uses[0], "TFC_WORKLOAD_IDENTITY_TOKEN"));
        assert!(
            !has(&uses[0], "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN") && !has(&uses[0], "EQUINIX_API_TOKEN")
        );
        assert!(!shows(&plan(&world), &uses[0].token));
        keeps_no_token(&world, &uses);
    }

    pub(super) fn a_hook_tells_who_the_run_is_and_ends_one_that_is_not_trusted() {
        let world = workspace("hcp");
        let outcome = run(&world, &[], "./pre-plan");
        outcome.ends_with(0);
        for text in [
            "TFC_WORKLOAD_IDENTITY_TOKEN",
            "trustedClientIds",
            "equinix-sandbox",
            "principal",
            "verified with a key that the issuer publishes",
            "warn  Terraform",
        ] {
            assert!(outcome.log.contains(text), "{text}:\n{}", outcome.log);
        }
        assert!(!outcome.log.contains("eyJ"), "{}", outcome.log);
        let world = workspace("hcp");
        let outcome = run(&world, &["--fault", "expired-token"], "./pre-plan");
        assert!(outcome.ends_with(5).log.contains("[claim-expired]"), "{}", outcome.log);
    }

    pub(super) fn a_token_for_other_tools_can_be_had_inside_the_run() {
        let world = workspace("hcp");
        let script = r#"equinix-wif token --subject-token-env TFC_WORKLOAD_IDENTITY_TOKEN --format json >"$SEEN/flag"
            equinix-wif token --format json >"$SEEN/variable"
            equinix-wif exec -- sh -c "env | cut -d= -f1" >"$SEEN/names""#;
        let run = run(&world, &[], script);
        run.ends_with(0);
        for name in ["flag", "variable"] {
            let answer: Value = serde_json::from_str(&run.seen[name]).unwrap();
            assert_eq!(answer["scope"], SCOPE);
        }
        let names: Vec<&str> = run.seen["names"].lines().collect();
        assert!(
            names.contains(&"EQUINIX_API_TOKEN") && !names.contains(&"TFC_WORKLOAD_IDENTITY_TOKEN"),
            "{names:?}"
        );
    }

    /// What an agent does with the file that its hook has written.
    pub(super) fn a_hook_hands_a_token_over() {
        let world = workspace("hcp-agent");
        let script = "./pre-plan
            terraform init -input=false >/dev/null
            env $(cat agent.env) terraform plan -input=false -out=changes.tfplan
            ./pre-plan
            env $(cat agent.env) terraform apply -input=false -state=terraform.tfstate changes.tfplan";
        let outcome = run(&world, &[], script);
        let uses = used(outcome.ends_with(0), "token", 1);
        assert!(!has(&uses[0], "EQUINIX_TOKEN_EXCHANGE_SCOPE"));
        assert!(!shows(&plan(&world), &uses[0].token));
        keeps_no_token(&world, &uses);
        let world = workspace("hcp-agent");
        let outcome = run(&world, &["--fault", "refused-scope"], "./pre-plan");
        assert!(outcome.ends_with(6).log.contains("error[sts-scope-denied]"), "{}", outcome.log);
        assert!(!world.path("agent.env").exists(), "nothing is handed over");
    }

    /// A subject as HCP Terraform makes them, in which names have spaces, is taken and shown to the letter.
    pub(super) fn subjects_may_have_spaces() {
        const SUBJECT: &str =
            "organization:octo-org:project:Default Project:workspace:octo-workspace:run_phase:apply";
        let job = || {
            let job = Job::bare().claims(|claims| {
                claims.insert("sub".to_owned(), SUBJECT.into());
            });
            let token = job.mint();
            job.args(["--subject-token-env", "TFC_WORKLOAD_IDENTITY_TOKEN"])
                .env("TFC_WORKLOAD_IDENTITY_TOKEN", token)
        };
        let inspect = job().command("inspect").without_flag("--sts-endpoint").args([
            "--project-id",
            "p",
            "--idp-id",
            "idp:i",
        ]);
        let outcome = inspect.run();
        let principal = format!("principal:p:i:{SUBJECT}");
        assert!(outcome.succeeds().stdout.contains(&principal), "{}", outcome.context());
        let expect = format!("sub={SUBJECT}");
        job().args(["--expect", &expect, "--format", "json"]).token_on_stdout().run().succeeds();
    }
}

/// The guide shows nothing that is not run here: each of its configurations and jobs is a part of an example's file, but
/// for the indentation.
fn the_guide_shows_parts_of_the_examples() {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
    };
    let mut files = Vec::new();
    for name in names() {
        for entry in fs::read_dir(examples().join(&name)).unwrap() {
            files.push(lines(&fs::read_to_string(entry.unwrap().path()).unwrap()));
        }
    }
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/terraform.md")).unwrap();
    let mut parts = 0;
    for block in guide.split("\n```").skip(1).step_by(2) {
        let (tag, block) = block.split_once('\n').unwrap();
        if !["hcl", "yaml"].contains(&tag) && !block.contains("TFC_") {
            continue;
        }
        let part = lines(block);
        let is_there = files.iter().any(|file| file.windows(part.len()).any(|window| window == part));
        assert!(is_there, "no example has this:\n{block}");
        parts += 1;
    }
    assert!(parts > 4);
    for name in names() {
        assert!(guide.contains(&format!("examples/terraform/{name}")), "the guide leads to {name}");
    }
}
