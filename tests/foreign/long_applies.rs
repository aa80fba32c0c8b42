//! `docs/long-applies.md`: the real Terraform under `exec --renew`, with the stand-in for Equinix's provider
//! (`tests/foreign/terraform/provider.py`), and the page's own jobs in act and gitlab-ci-local.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::Api;
use crate::support::job::{Job, SCOPE, sts_error};
use crate::support::outcome::Outcome;
use crate::support::pages::blocks;
use crate::support::server::{Reply, Request, Server};
use crate::support::table::each;
use crate::terraform::{adapted, emulate, has, keeps_no_token, pipeline, shows, used, write_providers};
use crate::world::World;
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        an_apply::outlives_its_tokens,
        an_apply::ends_in_the_middle_without_renewal,
        an_apply::shows_why_there_are_no_more_tokens,
        an_argument::of_the_provider_does_what_the_page_says,
        the_page_s_jobs_run_on_their_platforms
    ]
}

const PAGE: &str = "docs/long-applies.md";

/// A configuration in a folder, ready to be applied.
fn world(configuration: &str) -> World {
    let world = World::new();
    world.write("main.tf", configuration);
    write_providers(&world);
    let mut init = world.command("terraform");
    init.args(["init", "-input=false"]).env("TF_CLI_CONFIG_FILE", world.path("cli.tfrc"));
    let output = init.env("CHECKPOINT_DISABLE", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    world
}

/// Applies it in a job.
fn apply(job: Job, world: &World, api: &str) -> Outcome {
    let folder = format!("-chdir={}", world.path("").display());
    let terraform = ["terraform", &folder, "apply", "-no-color", "-input=false", "-auto-approve"];
    let job = job.env("TF_CLI_CONFIG_FILE", world.path("cli.tfrc")).env("CHECKPOINT_DISABLE", "1");
    let job = job.env("HOME", world.path("")).env("SEEN", world.path("seen"));
    job.env("EQUINIX_API_ENDPOINT", api).exec(terraform).run()
}

/// What Terraform said, without its line breaks.
fn said(outcome: &Outcome) -> String {
    let text = format!("{}\n{}", outcome.stdout, outcome.stderr);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn renewal(outcome: &Outcome) -> &Value {
    &outcome.report.as_ref().unwrap()["renewal"]
}

mod an_apply {
    use super::*;

    /// Three streams, of which each needs the one before.
    const STREAMS: &str = r#"
        terraform {
          required_providers {
            equinix = {
              source = "equinix/equinix"
            }
          }
        }
        provider "equinix" {}
        resource "equinix_fabric_stream" "first" {
          type = "TELEMETRY_STREAM"
          name = "first"
        }
        resource "equinix_fabric_stream" "second" {
          type = "TELEMETRY_STREAM"
          name = "after-${equinix_fabric_stream.first.uuid}"
        }
        resource "equinix_fabric_stream" "third" {
          type = "TELEMETRY_STREAM"
          name = "after-${equinix_fabric_stream.second.uuid}"
        }
    "#;

    /// An API for streams. The first one is there at once, each further one when the token that it was begun with has ended.
    fn streams() -> impl FnMut(&Request, Instant) -> Reply + Send + 'static {
        let mut ready: Vec<Instant> = Vec::new();
        move |request, end| {
            let number = if request.method == "POST" {
                ready.push(if ready.is_empty() { Instant::now() } else { end });
                ready.len() - 1
            } else {
                request.path().rsplit('/').next().unwrap().parse().unwrap()
            };
            let state = if Instant::now() >= ready[number] { "PROVISIONED" } else { "PROVISIONING" };
            Reply::json(&json!({"uuid": number.to_string(), "state": state}))
        }
    }

    /// How many streams are in the state. No token is.
    #[track_caller]
    fn kept(world: &World, outcome: &Outcome) -> usize {
        let text = fs::read_to_string(world.path("terraform.tfstate")).unwrap();
        assert!(!outcome.access_tokens().iter().any(|token| shows(&text, token)) && !text.contains("ewh_"));
        let state: Value = serde_json::from_str(&text).unwrap();
        let resources = state["resources"].as_array().unwrap().iter();
        resources.map(|resource| resource["instances"].as_array().unwrap().len()).sum()
    }

    fn begun(api: &Api) -> usize {
        api.requests().iter().filter(|request| request.method == "POST").count()
    }

    pub(super) fn outlives_its_tokens() {
        let world = world(STREAMS);
        let job = Job::github().lives([12]);
        let api = Api::start(job.issued(), streams());
        let outcome = apply(job.renew(), &world, &api.url());
        outcome.succeeds();
        assert!(said(&outcome).contains("Apply complete! Resources: 3 added"), "{}", outcome.context());
        assert_eq!((begun(&api), kept(&world, &outcome), api.refused()), (3, 3, 0));
        let exchanges = outcome.sts.requests.len();
        assert!(exchanges >= 3, "its second and third stream took longer than a token lives: {exchanges}");
        // One may be under way when the command ends.
        let renewals = renewal(&outcome)["renewals"].as_array().unwrap().len();
        assert!(renewals == exchanges || renewals + 1 == exchanges, "{renewals} of {exchanges}");
    }

    /// What the page says of it: the stream that was begun last is there, and Terraform does not know it.
    pub(super) fn ends_in_the_middle_without_renewal() {
        let world = world(STREAMS);
        let job = Job::github().lives([8]);
        // On a busy machine Terraform may need longer than that to begin, so lives count from the second stream on.
        let (mut begun_now, mut answer) = (0, streams());
        let api = Api::patient(job.issued(), move |request, end| {
            if begun_now == 2 && Instant::now() >= end {
                return None;
            }
            begun_now += usize::from(request.method == "POST");
            Some(answer(request, end.max(Instant::now() + Duration::from_secs(1))))
        });
        let outcome = apply(job, &world, &api.url());
        outcome.require(outcome.status == Some(1), "Terraform fails");
        assert!(said(&outcome).contains("401 Unauthorized the token has expired"), "{}", outcome.context());
        assert_eq!((begun(&api), kept(&world, &outcome), api.refused()), (2, 1, 1));
        outcome.sts_requests(1);
    }

    pub(super) fn shows_why_there_are_no_more_tokens() {
        let world = world(STREAMS);
        let mut exchanges = 0;
        let job = Job::gitlab().lives([4]).sts_with(move |_| {
            exchanges += 1;
            (exchanges > 1).then(|| sts_error("invalid_grant", "the assertion was used"))
        });
        let api = Api::start(job.issued(), streams());
        // No output holds a secret: the harness looks.
        let outcome = apply(job.renew(), &world, &api.url());
        outcome.require(outcome.status == Some(1), "Terraform fails");
        let said = said(&outcome);
        let shown = "STS token exchange failed with status 400: {\"error\":\"invalid_grant\"";
        assert!(said.contains(shown), "{}", outcome.context());
        assert!(said.contains("equinix-wif has no token to hand out"), "{said}");
        // From Terraform, and once from the run around it, with its cure.
        assert_eq!(said.matches("[sts-id-token-used]").count(), 2, "{said}");
        outcome.stderr_has("hint: ");
        assert_eq!(api.refused(), 0);
    }
}

/// What defeats a renewing run, as the page's table has it: metros are read with a provider of some configuration.
mod an_argument {
    use super::*;

    const OTHER: &str = "orgpolicies:6c1b9e7a-54d3-4e0f-9d2a-7b8f3c21e5d6";

    pub(super) fn of_the_provider_does_what_the_page_says() {
        let cases: [(&str, fn()); 7] = [
            ("none", none),
            ("sts_endpoint", sts_endpoint),
            ("token_exchange_subject_token", subject_token),
            ("token_exchange_subject_token_env_var", subject_token_env_var),
            ("token", token),
            ("another scope", another_scope),
            ("another scope that is allowed", another_scope_that_is_allowed),
        ];
        each(&cases, |case| case());
    }

    fn read(job: Job, providers: &str, provider: &str) -> Outcome {
        let world = world(&format!(
            r#"
            terraform {{
              required_providers {{
                equinix = {{
                  source = "equinix/equinix"
                }}
              }}
            }}
            {providers}
            data "equinix_fabric_metros" "all" {{
              provider   = {provider}
              pagination = {{}}
            }}
            "#
        ));
        apply(job.renew(), &world, "http://127.0.0.1:9")
    }

    fn with(argument: &str, job: Job) -> Outcome {
        read(job, &format!("provider \"equinix\" {{\n{argument}\n}}"), "equinix")
    }

    /// The page's configuration of two providers; the second one is used.
    fn with_alias(job: Job) -> Outcome {
        let (_, block) = blocks("hcl").into_iter().find(|(at, _)| at.starts_with(PAGE)).unwrap();
        let providers = block.replace("orgpolicies:<org-id>", OTHER);
        assert!(providers.contains(OTHER), "{block}");
        read(job, &providers, "equinix.policies")
    }

    #[track_caller]
    fn works(outcome: &Outcome, scope: &str) {
        let hand_outs = renewal(outcome.succeeds())["hand_outs"].as_array().unwrap();
        assert_eq!((hand_outs.len(), &hand_outs[0]["scope"]), (1, &json!(scope)));
    }

    #[track_caller]
    fn is_refused(outcome: &Outcome, text: &str, count: &str) {
        outcome.require(outcome.status == Some(1), "Terraform fails");
        outcome.require(said(outcome).contains(text), &format!("it says {text:?}"));
        assert_eq!(renewal(outcome)["hand_outs"], json!([]));
        for name in ["wrong_handles", "refused_scopes"] {
            assert_eq!(renewal(outcome)[name], u64::from(name == count), "{name}");
        }
    }

    fn none() {
        works(&with("", Job::gitlab()), SCOPE);
    }

    fn sts_endpoint() {
        let text = "the subject token is no JWT";
        let other = Server::start(move |_: &Request| sts_error("invalid_request", text));
        let outcome = with(&format!("sts_endpoint = \"{}\"", other.url()), Job::gitlab());
        is_refused(&outcome, text, "");
        let sent = other.requests()[0].form_value("subject_token").unwrap();
        assert!(sent.starts_with("ewh_"), "the handle went there");
    }

    fn subject_token() {
        let outcome = with("token_exchange_subject_token = \"another\"", Job::gitlab());
        is_refused(&outcome, "subject_token is not the handle of this run", "wrong_handles");
    }

    fn subject_token_env_var() {
        let job = Job::gitlab().env("MINE", "another");
        let outcome = with("token_exchange_subject_token_env_var = \"MINE\"", job);
        is_refused(&outcome, "subject_token is not the handle of this run", "wrong_handles");
    }

    fn token() {
        works(&with("token = \"a-stale-one\"", Job::gitlab()), SCOPE);
    }

    fn another_scope() {
        let outcome = with_alias(Job::gitlab());
        is_refused(&outcome, "invalid_scope", "refused_scopes");
        outcome.stderr_has("warning: the command asked for a token that it may not have");
        outcome.stderr_has("--renew-scope").sts_requests(1);
    }

    fn another_scope_that_is_allowed() {
        let outcome = with_alias(Job::gitlab().args(["--renew-scope", OTHER]));
        works(&outcome, OTHER);
        outcome.sts_requests(2);
    }
}

/// The page's jobs as they stand there, but for the placeholders; the configuration is that of the example `exec`.
fn the_page_s_jobs_run_on_their_platforms() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/terraform/exec/main.tf");
    for (platform, beginning, head) in [("github", "jobs:\n", "on: push\n"), ("gitlab", "deploy:\n", "")] {
        let mut of_page = blocks("yaml").into_iter().filter(|(at, _)| at.starts_with(PAGE));
        let (_, job) = of_page.find(|(_, text)| text.starts_with(beginning)).unwrap();
        assert!(job.contains("equinix-wif exec --renew -- terraform apply"), "{job}");
        let run_with = |sandbox: &[&str]| {
            let world = World::new();
            world.put("main.tf", &example);
            write_providers(&world);
            world.write(pipeline(platform), &format!("{head}{}", adapted(&job)));
            let run = emulate(&world, platform, sandbox);
            (world, run)
        };
        let (world, run) = run_with(&[]);
        run.ends_with(0);
        let uses = used(&run, "exchange", 1);
        assert!(has(&uses[0], "EQUINIX_WIF_TOKEN_FILE"), "{platform}");
        for name in ["EQUINIX_WIF_SUBJECT_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
            assert!(!has(&uses[0], name), "{platform}: {name}");
        }
        assert!(!run.log.contains("ewh_"), "{}", run.log);
        keeps_no_token(&world, &uses);
        // Where the STS refuses, Terraform does not run.
        let (_, refused) = run_with(&["--fault", "refused-scope"]);
        assert_ne!(refused.status, Some(0), "{}", refused.log);
        assert!(refused.has_said("error[sts-scope-denied]"), "{}", refused.log);
    }
}
