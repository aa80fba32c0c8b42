//! The forms for callers that say what they want (Terraform, Kubernetes clients), for later jobs (GitLab's dotenv), and
//! for shells beside the POSIX ones; and `id-token`, which hands over the ID token in all of them.

#![cfg(unix)]

use crate::support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use support::gitlab::{Limits, parse_dotenv};
use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::table::each;
use support::token::random_text;

const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// A bare machine with an ID token in a variable.
fn bare() -> Job {
    let job = Job::bare();
    let token = job.mint();
    job.env(SUBJECT_TOKEN, token)
}

/// `id-token` on the same job: nothing is exchanged, so nothing is said about that.
fn id_token(job: Job) -> Job {
    job.command("id-token").without_flag("--scope").without_flag("--sts-endpoint")
}

#[track_caller]
fn nobody_was_called(outcome: &Outcome) {
    outcome.require(outcome.issuer.connections == 0, "the issuer was not called");
    outcome.require(outcome.sts.connections == 0, "the STS was not called");
}

fn expires_at(outcome: &Outcome) -> &str {
    outcome.report.as_ref().unwrap()["expires_at"].as_str().unwrap()
}

/// The object on stdout: one line of JSON.
fn object(outcome: &Outcome) -> BTreeMap<String, Value> {
    assert!(outcome.stdout.ends_with("}\n") && outcome.stdout.lines().count() == 1, "{}", outcome.stdout);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// A GitHub job that consents to a token without masks: whoever reads the format may keep standard error to itself.
fn consenting() -> Job {
    Job::github().arg("--force").masks_unchecked()
}

type Make = fn() -> Job;
const PLATFORMS: [(&str, Make); 3] = [("github", Job::github), ("gitlab", Job::gitlab), ("neither", bare)];
const CONSENTING: [(&str, Make); 3] = [("github", consenting), ("gitlab", Job::gitlab), ("neither", bare)];

mod shells {
    use super::*;

    #[test]
    fn have_their_own_assignments() {
        each(&PLATFORMS, |job| {
            let outcome = job().args(["--format", "fish"]).token_on_stdout().run();
            let (token, expiry) = (outcome.succeeds().access_token(), expires_at(&outcome));
            outcome.stdout_is(&format!(
                "set -gx EQUINIX_API_TOKEN '{token}';\nset -gx EQUINIX_API_TOKEN_EXPIRES_AT '{expiry}';\n"
            ));
            let outcome =
                job().args(["--format", "powershell", "--env-name", "METAL_TOKEN"]).token_on_stdout().run();
            let (token, expiry) = (outcome.succeeds().access_token(), expires_at(&outcome));
            outcome.stdout_is(&format!(
                "$env:METAL_TOKEN = '{token}';\n$env:METAL_TOKEN_EXPIRES_AT = '{expiry}';\n"
            ));
        });
    }

    #[test]
    fn unset_what_would_shadow_the_token_and_are_not_traced() {
        for (format, line) in [
            ("fish", "set -e EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN;\n"),
            (
                "powershell",
                "Remove-Item -Path Env:EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN -ErrorAction SilentlyContinue;\n",
            ),
        ] {
            let job = || Job::gitlab().args(["--format", format]).token_on_stdout();
            let outcome = job().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE).run();
            let stdout = &outcome.succeeds().stderr_lacks("both set").stdout;
            assert!(stdout.ends_with(line), "{stdout}");
            assert_eq!(stdout.lines().count(), 3);
            nobody_was_called(job().env("CI_DEBUG_TRACE", "true").run().fails(10, "out-traced"));
            job().env("CI_DEBUG_TRACE", "true").arg("--force").run().succeeds();
        }
    }
}

mod private_dotenv {
    use super::*;

    #[test]
    fn is_a_file_of_plain_lines_for_this_user() {
        each(&PLATFORMS, |job| {
            let outcome = job().args(["--format", "dotenv"]).run();
            let (token, expiry) = (outcome.succeeds().access_token(), expires_at(&outcome));
            let path = outcome.printed_path().expect("the path of the file");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let expected = format!("EQUINIX_API_TOKEN={token}\nEQUINIX_API_TOKEN_EXPIRES_AT={expiry}\n");
            assert_eq!(String::from_utf8_lossy(&outcome.files[&path]), expected);
        });
    }

    #[test]
    fn is_read_by_env_and_xargs() {
        let script = "file=$(equinix-wif \"$@\" --format dotenv --env-name MY_TOKEN) || exit; \
            env $(xargs < \"$file\") sh -c 'echo \"$MY_TOKEN $MY_TOKEN_EXPIRES_AT\"'; rm -f \"$file\"";
        let outcome = Job::gitlab().wrap_shell(["sh", "-c", script]).token_on_stdout().run();
        outcome.stdout_is(&format!("{} {}\n", outcome.access_token(), expires_at(&outcome)));
    }

    #[test]
    fn is_refused_where_the_shell_traces_and_says_what_would_shadow_the_token() {
        let job = || Job::gitlab().args(["--format", "dotenv"]);
        nobody_was_called(job().env("CI_DEBUG_TRACE", "true").run().fails(10, "out-traced"));
        // Nothing in the file can unset a variable.
        let outcome = job().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE).run();
        outcome.succeeds().stderr_has("both set");
    }
}

mod tfvars {
    use super::*;

    #[test]
    fn is_a_file_of_one_assignment_for_this_user() {
        each(&PLATFORMS, |job| {
            let outcome = job().args(["--format", "tfvars"]).run();
            let (token, expiry) = (outcome.succeeds().access_token(), expires_at(&outcome));
            let path = outcome.printed_path().expect("the path of the file");
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
            let expected = format!("# Valid until {expiry}.\nequinix_api_token = \"{token}\"\n");
            assert_eq!(String::from_utf8_lossy(&outcome.files[&path]), expected);
        });
    }

    #[test]
    fn the_file_can_be_chosen_and_is_not_in_the_checkout() {
        let job = Job::gitlab();
        let file = job.tmp().join("equinix.auto.tfvars");
        let outcome =
            job.args(["--format", "tfvars", "--env-name", "TF_VAR_metal_token", "--output"]).arg(&file);
        let outcome = outcome.token_in(&file).run();
        outcome.succeeds();
        assert!(String::from_utf8_lossy(&outcome.files[&file]).contains("\nmetal_token = \""));
        let inside = Job::gitlab().args(["--format", "tfvars", "--output", "equinix.auto.tfvars"]);
        nobody_was_called(inside.run().fails(10, "out-in-workspace"));
    }

    #[test]
    fn says_null_without_a_token() {
        let job = Job::gitlab().unset(SUBJECT_TOKEN).args(["--on-unavailable", "skip", "--format", "tfvars"]);
        let outcome = job.run();
        let path = outcome.succeeds().printed_path().unwrap();
        assert_eq!(outcome.files[&path], b"equinix_api_token = null\n");
    }
}

mod credential_process {
    use super::*;

    #[test]
    fn has_the_shape_and_no_more() {
        each(&CONSENTING, |job| {
            let outcome = job().args(["--format", "credential-process"]).token_on_stdout().run();
            let token = outcome.succeeds().access_token();
            outcome.stdout_is(&format!(
                "{{\"Version\":1,\"AccessToken\":\"{token}\",\"TokenType\":\"Bearer\",\"Expiration\":\"{}\"}}\n",
                expires_at(&outcome)
            ));
        });
    }
}

mod dotenv {
    use super::*;

    fn job() -> Job {
        Job::gitlab().args(["--format", "gitlab-dotenv", "--output", "token.env"])
    }

    const FILE: &str = "builds/octo-org/metal-app/token.env";

    #[test]
    fn is_explained_before_it_is_accepted() {
        let outcome = job().run();
        outcome
            .fails(10, "artifact-exposure")
            .stderr_has("download")
            .stderr_has("mask")
            .stderr_has(". \"$file\"");
        nobody_was_called(&outcome);
        // Consent to a file in the checkout is another one.
        job().arg("--allow-workspace").run().fails(10, "artifact-exposure");
    }

    #[test]
    fn needs_a_file() {
        let job = Job::gitlab().args(["--format", "gitlab-dotenv", "--accept-artifact-exposure"]);
        nobody_was_called(job.run().fails(2, "cfg-value-invalid").stderr_has("needs --output"));
    }

    #[test]
    fn is_what_gitlab_reads() {
        for existing in [None, Some("EQUINIX_API_TOKEN=old\n")] {
            let mut job = job();
            if let Some(text) = existing {
                job = job.file(FILE, text);
            }
            let outcome = job.arg("--accept-artifact-exposure").token_in(FILE).run();
            outcome.succeeds().stdout_is("");
            let path = outcome.root().join(FILE);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            let variables = parse_dotenv(&outcome.files[&path], Limits::default()).unwrap();
            let expected = [
                ("EQUINIX_API_TOKEN", outcome.access_token()),
                ("EQUINIX_API_TOKEN_EXPIRES_AT", expires_at(&outcome)),
            ];
            assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        }
    }

    #[test]
    fn has_to_be_smaller_than_gitlab_s_limit() {
        let of_length = |length: usize| {
            job()
                .arg("--accept-artifact-exposure")
                .file(FILE, "EQUINIX_API_TOKEN=old\n")
                .sts_answer(move |answer| {
                    // One that repeats itself has its pieces everywhere, which the search for leaks takes half a minute for.
                    drop(answer.insert("access_token".into(), json!(random_text(length)[..length])));
                })
                .token_in(FILE)
                .run()
        };
        let whole = of_length(100);
        let rest = whole.succeeds().files[&whole.root().join(FILE)].len() - 100;
        let largest = of_length(5119 - rest);
        assert_eq!(largest.succeeds().files[&largest.root().join(FILE)].len(), 5119);
        let outcome = of_length(5120 - rest);
        outcome.fails(9, "dotenv-too-large").stderr_has("fewer than 5120 bytes").stderr_has("5120 bytes");
    }

    #[test]
    fn is_untouched_by_a_failure() {
        let job = job().arg("--accept-artifact-exposure").file(FILE, "EQUINIX_API_TOKEN=old\n");
        job.sts_always(sts_error("invalid_scope", "no")).run().fails(6, "sts-scope-denied");
    }
}

mod terraform {
    use super::*;

    fn job() -> Job {
        Job::gitlab().args(["--format", "terraform-external"])
    }

    #[test]
    fn gets_one_flat_object_of_strings() {
        let outcome = job().stdin("{}\n").token_on_stdout().run();
        outcome.succeeds().sts_requests(1);
        let found = object(&outcome);
        let expected = [
            ("available", "true"),
            ("access_token", outcome.access_token()),
            ("token_type", "Bearer"),
            ("expires_in", "3600"),
            ("expires_at", expires_at(&outcome)),
            ("scope", SCOPE),
            ("subject", "project_path:octo-org/metal-app:ref_type:branch:ref:main"),
        ];
        for (name, value) in expected {
            assert_eq!(found[name], value, "{name}");
        }
        assert!(found["issuer"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        assert_eq!(found.len(), 8, "{found:?}");
        let warnings =
            outcome.stderr.matches("Terraform keeps the answer of a data source in its state").count();
        assert_eq!(warnings, 1, "it warns once");
    }

    #[test]
    fn says_what_it_wants_in_the_query() {
        let query = json!({
            "scope": "orgpolicies:o", "audience": AUDIENCE, "expect": "ref=main\nref_type=branch", "min_ttl": "7",
            "provider": "gitlab", "sts_api": "v1", "subject_token_env": SUBJECT_TOKEN, "timeout": "31",
            "validation": "strict",
        });
        let outcome = job()
            .without_flag("--scope")
            .without_flag("--audience")
            .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", "roleassignments:from-the-variable")
            .stdin(query.to_string())
            .token_on_stdout()
            .run();
        outcome.succeeds();
        let request = &outcome.sts.requests[0];
        assert_eq!(request.target, "/v1/token");
        assert_eq!(request.form_value("scope").as_deref(), Some("orgpolicies:o"));
        let settings = &outcome.report.as_ref().unwrap()["settings"];
        for (member, value) in query.as_object().unwrap() {
            let setting = &settings[member.replace('_', "-")];
            assert_eq!(setting["source"], "the query", "{member}");
            if let Value::String(shown) = &setting["value"] {
                assert_eq!(shown, value.as_str().unwrap());
            }
        }
        assert_eq!(settings["expect"]["value"], json!(["ref=main", "ref_type=branch"]));
        assert_eq!((&settings["min-ttl"]["value"], &settings["timeout"]["value"]), (&json!(7), &json!(31)));
    }

    #[test]
    fn s_query_is_read_strictly() {
        let deep = format!("{}1{}", "[".repeat(20), "]".repeat(20));
        let long = format!("{{\"scope\":\"{}\"}}", "s".repeat(64 * 1024));
        let cases = [
            ("nothing", String::new(), "it is empty"),
            ("white space", " \n".into(), "it is empty"),
            ("no JSON", "scope=x".into(), "not valid JSON"),
            ("an array", "[]".into(), "an array instead of a JSON object"),
            ("a text", "\"x\"".into(), "a string instead"),
            ("a byte-order mark", "\u{feff}{}".into(), "byte-order mark"),
            ("twice", r#"{"scope":"a","scope":"b"}"#.into(), "occurs twice"),
            ("trailing text", "{} {}".into(), "something follows"),
            ("a number", r#"{"min_ttl":60}"#.into(), "a number as \"min_ttl\" instead of a string"),
            ("null", r#"{"scope":null}"#.into(), "null as \"scope\""),
            ("an unknown member", r#"{"scop":"x"}"#.into(), "a member \"scop\" that is not known"),
            (
                "a place for the token",
                r#"{"output":"/tmp/x"}"#.into(),
                "a member \"output\" that is not known",
            ),
            ("consent", r#"{"force":"true"}"#.into(), "a member \"force\" that is not known"),
            ("a command in its name", r###"{"##[set-env name=x]y":"z"}"###.into(), "a member \"# #[set-env"),
            ("depth", deep, "nested too deeply"),
            ("length", long, "too long"),
            (
                "a contradiction",
                r#"{"scope":"orgpolicies:other"}"#.into(),
                "--scope and the query contradict",
            ),
            ("another contradiction", r#"{"audience":"x"}"#.into(), "--audience and the query contradict"),
        ];
        each(&cases.map(|(name, query, why)| (name, (query, why))), |(query, why)| {
            let outcome = job().stdin(query.as_bytes()).run();
            nobody_was_called(outcome.fails(2, "cfg-request-invalid").stderr_has(why));
        });
        // What a member says is checked like a flag.
        let outcome = job().stdin(r#"{"min_ttl":"soon"}"#).run();
        outcome.fails(2, "cfg-value-invalid").stderr_has("the query has a value that it does not allow");
        // The same as a flag is no contradiction.
        let same = json!({"scope": SCOPE}).to_string();
        job().stdin(same).token_on_stdout().run().succeeds();
    }

    #[test]
    fn s_query_cannot_send_the_token_elsewhere() {
        let endpoint = |url: &str| json!({"sts_endpoint": url}).to_string();
        let job = || job().without_flag("--sts-endpoint");
        let outcome = job().stdin(endpoint("https://sts.example")).run();
        nobody_was_called(
            outcome.fails(10, "endpoint-untrusted").stderr_has("the query names https://sts.example"),
        );
        let outcome = job().stdin(endpoint("http://sts.equinix.com")).run();
        nobody_was_called(outcome.fails(10, "insecure-url"));
        // Nor to this machine, nor another secret than the ID token, nor one that is not checked.
        let outcome = job().stdin(endpoint("http://127.0.0.1:1")).run();
        nobody_was_called(
            outcome
                .fails(10, "endpoint-untrusted")
                .stderr_has("http://127.0.0.1:1, which is on this machine"),
        );
        let outcome = job().stdin(r#"{"subject_token_env":"GITHUB_TOKEN"}"#).run();
        nobody_was_called(outcome.fails(2, "cfg-request-invalid").stderr_has("names another variable"));
        let outcome = job().stdin(r#"{"validation":"off"}"#).run();
        nobody_was_called(outcome.fails(2, "cfg-request-invalid").stderr_has("lowers the validation"));
    }

    #[test]
    fn is_not_waited_for_beyond_the_deadline() {
        // A pipe that the shell itself keeps open for writing never ends.
        let script =
            "mkfifo \"$TMPDIR/pipe\"; exec 3<>\"$TMPDIR/pipe\"; exec equinix-wif \"$@\" --timeout 1 <&3";
        let outcome = job().wrap_shell(["sh", "-c", script]).run();
        outcome.require(outcome.status == Some(2), "the exit status is 2");
        outcome.stderr_has("error[cfg-request-invalid]: the query did not end").stdout_is("");
    }

    #[test]
    fn cannot_share_standard_input_with_the_id_token() {
        let job = bare().args(["--format", "terraform-external", "--subject-token-file", "-"]).stdin("{}");
        nobody_was_called(
            job.run().fails(2, "cfg-value-invalid").stderr_has("cannot both come from standard input"),
        );
    }
}

mod readers_that_keep_standard_error {
    use super::*;

    /// The format, what a caller asks for, and the hint.
    const READERS: [(&str, &str); 3] = [
        ("terraform-external", "exec -- terraform apply"),
        ("credential-process", "under `equinix-wif exec --`"),
        ("kubernetes", "tokenFile in the kubeconfig"),
    ];

    #[test]
    fn get_nothing_in_a_github_job_unless_forced_and_then_no_masks() {
        let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{}}"#;
        each(&READERS.map(|(format, hint)| (format, (format, hint))), |(format, hint)| {
            let job = || Job::github().args(["--format", format]).stdin("{}").env(EXEC_INFO, info);
            nobody_was_called(job().run().fails(10, "mask-undeliverable").stderr_has(hint));
            let outcome = job().arg("--force").masks_unchecked().token_on_stdout().run();
            outcome.succeeds().stderr_lacks("::add-mask::");
            // What a program that fails wrote is shown, behind other words.
            let refused = job().arg("--force").sts_always(sts_error("invalid_scope", "no"));
            refused.masks_unchecked().run().fails(6, "sts-scope-denied").stderr_lacks("::add-mask::");
            // Where no runner reads masks there is nothing to keep from it.
            let outcome = Job::gitlab().args(["--format", format]).stdin("{}").env(EXEC_INFO, info);
            outcome.token_on_stdout().run().succeeds();
        });
    }
}

mod kubernetes {
    use super::*;

    fn info(version: &str, config: &Value) -> String {
        json!({
            "apiVersion": format!("client.authentication.k8s.io/{version}"), "kind": "ExecCredential",
            "spec": {"interactive": false, "cluster": {"server": "https://kubernetes.example", "config": config}},
        })
        .to_string()
    }

    fn job(make: Make) -> Job {
        make().args(["--format", "kubernetes"])
    }

    #[test]
    fn gets_the_version_it_asked_for() {
        for version in ["v1", "v1beta1"] {
            each(&CONSENTING, |make| {
                let outcome = job(*make).env(EXEC_INFO, info(version, &Value::Null)).token_on_stdout().run();
                let token = outcome.succeeds().access_token();
                outcome.stdout_is(&format!(
                    concat!(
                        "{{\"apiVersion\":\"client.authentication.k8s.io/{}\",\"kind\":\"ExecCredential\",",
                        "\"status\":{{\"token\":\"{}\",\"expirationTimestamp\":\"{}\"}}}}\n"
                    ),
                    version,
                    token,
                    expires_at(&outcome)
                ));
            });
        }
    }

    #[test]
    fn names_the_audience_in_the_cluster_s_configuration() {
        let config =
            json!({"apiVersion": "example/v1", "audience": "my-cluster", "scope": SCOPE, "other": [1]});
        let job = job(consenting).env(EXEC_INFO, info("v1", &config)).without_flag("--audience");
        let outcome = job.without_flag("--scope").token_on_stdout().run();
        outcome.succeeds();
        assert_eq!(outcome.issuer.requests[0].query_value("audience").as_deref(), Some("my-cluster"));
        let settings = &outcome.report.as_ref().unwrap()["settings"];
        assert_eq!(settings["audience"], json!({"value": "my-cluster", "source": EXEC_INFO}));
        assert_eq!(settings["scope"]["source"], EXEC_INFO);
        // An ID token for the cluster itself.
        let job = id_token(job_of("my-cluster")).without_flag("--audience");
        let outcome = job.token_on_stdout().run();
        assert_eq!(object(outcome.succeeds())["status"]["token"], outcome.id_token());
        outcome.sts_requests(0);
    }

    fn job_of(audience: &str) -> Job {
        job(consenting).env(EXEC_INFO, info("v1", &json!({"audience": audience})))
    }

    #[test]
    fn is_read_strictly() {
        let cases = [
            ("not set", None, "KUBERNETES_EXEC_INFO is not set"),
            ("empty", Some(String::new()), "KUBERNETES_EXEC_INFO is not set"),
            ("no JSON", Some("v1".into()), "cannot be read"),
            ("another kind", Some("{\"kind\":\"Pod\"}".into()), "something else than a credential"),
            ("an unknown version", Some(info("v1alpha1", &Value::Null)), "a version that is not known"),
            ("a list", Some(info("v1", &json!([]))), "an array as the cluster's config"),
            ("a number", Some(info("v1", &json!({"audience": 1}))), "a number as \"audience\""),
            ("a contradiction", Some(info("v1", &json!({"audience": "x"}))), "contradict each other"),
        ];
        each(&cases.map(|(name, text, why)| (name, (text, why))), |(text, why)| {
            let mut job = job(Job::github);
            if let Some(text) = text {
                job = job.env(EXEC_INFO, text);
            }
            nobody_was_called(job.run().fails(2, "cfg-request-invalid").stderr_has(why));
        });
    }
}

mod id_tokens {
    use super::*;

    #[test]
    fn are_handed_over_in_every_form_and_nothing_is_exchanged() {
        let formats = [
            "github",
            "env-file",
            "dotenv",
            "shell",
            "powershell",
            "fish",
            "json",
            "credential-process",
            "terraform-external",
            "kubernetes",
            "raw",
            "gitlab-dotenv",
            "tfvars",
        ];
        each(&formats.map(|format| (format, format)), |format| {
            let make: Make = if *format == "github" { Job::github } else { Job::gitlab };
            let mut job = id_token(make()).args(["--format", format]).stdin("{}").token_on_stdout();
            if *format == "kubernetes" {
                let info =
                    r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{}}"#;
                job = job.env(EXEC_INFO, info);
            }
            if *format == "gitlab-dotenv" {
                let file = job.tmp().join("token.env");
                job = job.arg("--accept-artifact-exposure").arg("--output").arg(&file).token_in(&file);
            }
            let outcome = job.run();
            outcome.succeeds().sts_requests(0);
            assert_eq!(outcome.sts.connections, 0, "the STS is not even looked at");
            let (token, expiry) = (outcome.id_token(), expires_at(&outcome));
            let (name, expiry_name) = (SUBJECT_TOKEN, format!("{SUBJECT_TOKEN}_EXPIRES_AT"));
            let posix = format!("export {name}='{token}';\nexport {expiry_name}='{expiry}';\n");
            match *format {
                "github" => {
                    let outputs = outcome.outputs();
                    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
                    assert_eq!(
                        names,
                        ["available", "expires-at", "expires-in", "id-token", "issuer", "subject"]
                    );
                    assert_eq!((&outputs["id-token"], outputs["expires-at"].as_str()), (&token, expiry));
                    outcome.stdout_is("");
                }
                "env-file" => {
                    let path = outcome.printed_path().unwrap();
                    assert_eq!(String::from_utf8_lossy(&outcome.files[&path]), posix);
                }
                "shell" => drop(outcome.stdout_is(&posix)),
                "powershell" => {
                    outcome
                        .stdout_is(&format!("$env:{name} = '{token}';\n$env:{expiry_name} = '{expiry}';\n"));
                }
                "fish" => {
                    outcome.stdout_is(&format!(
                        "set -gx {name} '{token}';\nset -gx {expiry_name} '{expiry}';\n"
                    ));
                }
                "json" => {
                    let found = object(&outcome);
                    let names: Vec<&str> = found.keys().map(String::as_str).collect();
                    assert_eq!(names, ["expires_at", "expires_in", "id_token", "issued_token_type"]);
                    assert_eq!(found["id_token"], token);
                    assert_eq!(found["issued_token_type"], "urn:ietf:params:oauth:token-type:id_token");
                    let life = found["expires_in"].as_u64().unwrap();
                    assert!((1..=3600).contains(&life), "{life}");
                }
                "credential-process" => {
                    outcome.stdout_is(&format!(
                        "{{\"Version\":1,\"IdToken\":\"{token}\",\"Expiration\":\"{expiry}\"}}\n"
                    ));
                }
                "terraform-external" => {
                    let found = object(&outcome);
                    let names: Vec<&str> = found.keys().map(String::as_str).collect();
                    assert_eq!(
                        names,
                        ["available", "expires_at", "expires_in", "id_token", "issuer", "subject"]
                    );
                    assert_eq!(found["id_token"], token);
                }
                "kubernetes" => assert_eq!(object(&outcome)["status"]["token"], token),
                "raw" => drop(outcome.stdout_is(&format!("{token}\n"))),
                "tfvars" => {
                    let path = outcome.printed_path().unwrap();
                    let expected = format!("\n{} = \"{token}\"\n", name.to_ascii_lowercase());
                    assert!(String::from_utf8_lossy(&outcome.files[&path]).ends_with(&expected));
                }
                "dotenv" => {
                    let path = outcome.printed_path().unwrap();
                    let expected = format!("{name}={token}\n{expiry_name}={expiry}\n");
                    assert_eq!(String::from_utf8_lossy(&outcome.files[&path]), expected);
                }
                _ => {
                    let bytes = &outcome.files[&outcome.root().join("tmp/token.env")];
                    let expected = format!("{name}={token}\n{expiry_name}={expiry}\n");
                    assert_eq!(String::from_utf8_lossy(bytes), expected);
                }
            }
        });
    }

    #[test]
    fn are_masked_and_exported_when_asked_to() {
        let outcome = id_token(Job::github()).arg("--export-env").run();
        let token = outcome.succeeds().id_token();
        outcome.stderr_has(&format!("::add-mask::{token}\n"));
        let exports = outcome.exports();
        assert_eq!(exports[SUBJECT_TOKEN], token);
        assert_eq!(exports.len(), 2);
        let outcome = id_token(Job::github()).args(["--export-env", "--env-name", "TFC_TOKEN"]).run();
        assert_eq!(outcome.succeeds().exports()["TFC_TOKEN"], outcome.id_token());
        // The one name that the Equinix provider reads is no hijack here; others still are.
        let outcome = id_token(Job::github()).args(["--export-env", "--env-name", SUBJECT_TOKEN]).run();
        outcome.succeeds();
        for name in ["EQUINIX_TOKEN_EXCHANGE_SCOPE", "PATH", "EQUINIX_STS_ENDPOINT"] {
            id_token(Job::github()).args(["--env-name", name]).run().fails(2, "cfg-env-name-invalid");
        }
    }

    #[test]
    fn are_checked_before_they_leave() {
        type Set = fn(Job) -> Job;
        let cases: [(&str, (Set, i32, &str)); 6] = [
            ("audience", (|job| job.claims(|c| drop(c.insert("aud".into(), json!("x")))), 5, "claim-aud")),
            (
                "issuer",
                (|job| job.claims(|c| drop(c.insert("iss".into(), json!("https://x")))), 5, "claim-iss"),
            ),
            ("expectation", (|job| job.args(["--expect", "ref=refs/heads/other"]), 5, "claim-expectation")),
            ("past", (|job| job.claims(|c| drop(c.insert("exp".into(), json!(1)))), 5, "claim-time-invalid")),
            (
                "no expiry without validation",
                (
                    |job| job.args(["--validation", "off"]).claims(|c| drop(c.remove("exp"))),
                    5,
                    "claim-time-invalid",
                ),
            ),
            ("signature", (|job| job.arg("--verify-signature"), 7, "issuer-metadata")),
        ];
        each(&cases, |(set, exit, code)| {
            let outcome = set(id_token(Job::github())).run();
            outcome.fails(*exit, code).sts_requests(0);
        });
    }

    #[test]
    fn need_no_scope_and_take_no_flag_of_the_exchange() {
        let outcome = id_token(Job::github()).args(["--scope", SCOPE]).run();
        outcome.fails(2, "cfg-usage");
        // A variable that the other commands read is not looked at.
        let job = id_token(Job::github()).env("EQUINIX_TOKEN_EXCHANGE_SCOPE", "no such shape");
        let outcome = job.run();
        assert!(outcome.succeeds().report.as_ref().unwrap()["settings"].get("scope").is_none());
    }
}

mod masks {
    use super::*;

    #[test]
    fn and_one_line_about_the_result_are_all_that_is_said() {
        for (job, what) in [
            (Job::gitlab(), format!("equinix-wif: access token for {SCOPE} is valid until ")),
            (
                id_token(Job::gitlab()),
                "equinix-wif: ID token for project_path:octo-org/metal-app:ref_type:branch:ref:main is valid until "
                    .to_owned(),
            ),
            (Job::gitlab().exec(["true"]), format!("equinix-wif: access token for {SCOPE} is valid until ")),
        ] {
            let outcome = job.run();
            let lines: Vec<&str> =
                outcome.succeeds().stderr.lines().filter(|line| !line.starts_with("warning: the STS is on")).collect();
            assert_eq!(lines.len(), 1, "{lines:?}");
            let end = format!("{} (", expires_at(&outcome));
            assert!(lines[0].strip_prefix(&what).is_some_and(|rest| rest.starts_with(&end)), "{lines:?}");
        }
    }

    #[test]
    fn are_followed_by_where_the_token_is() {
        let job = Job::github;
        let outcome = job().run();
        outcome.succeeds().stderr_has(" s), in this step's output access-token\n");
        let outcome = job().arg("--export-env").run();
        outcome.succeeds().stderr_has("access-token and in EQUINIX_API_TOKEN of the later steps\n");
        let outcome = id_token(job()).run();
        outcome.succeeds().stderr_has(" s), in this step's output id-token\n");
        let outcome = Job::gitlab().run();
        let path = outcome.succeeds().printed_path().unwrap();
        outcome.stderr_has(&format!(" s), in the file \"{}\", to be sourced\n", path.display()));
        let outcome = Job::gitlab().args(["--format", "json"]).token_on_stdout().run();
        outcome.succeeds().stderr_has(" s), on standard output\n");
        let outcome = Job::gitlab().exec(["true"]).run();
        outcome.succeeds().stderr_has(" s), in EQUINIX_API_TOKEN of the command\n");
    }

    #[test]
    fn a_step_without_an_id_is_told_that_nobody_can_read_its_output() {
        let warning = |name: &str| {
            format!("warning: this step has no id, so no other step can read its output {name}: ")
        };
        let step = |name: &str| Job::github().env("GITHUB_ACTION", name);
        for name in ["__run", "__run_2", "__actions_checkout"] {
            let outcome = step(name).run();
            outcome.succeeds().stderr_has(&warning("access-token"));
            let warnings = outcome.report.as_ref().unwrap()["warnings"].to_string();
            outcome.require(warnings.contains("this step has no id"), "the report has it");
        }
        id_token(step("__run")).run().succeeds().stderr_has(&warning("id-token"));
        let lacks = [
            ("an id", step("equinix")),
            ("an id in act, where a step without one has its number", step("0")),
            ("none, as outside of a step", Job::github().unset("GITHUB_ACTION")),
            (
                "a composite action, of which nothing is known",
                step("__self").env("GITHUB_ACTION_PATH", "/action"),
            ),
            ("another place", step("__run").arg("--export-env")),
            ("a command that writes no output", step("__run").exec(["true"])),
        ];
        for (name, job) in lacks {
            println!("case: {name}");
            job.run().succeeds().stderr_lacks("has no id");
        }
        let outcome = step("__run").args(["--format", "json"]).token_on_stdout().run();
        outcome.succeeds().stderr_lacks("has no id");
    }

    #[test]
    fn go_out_wherever_a_runner_reads_them() {
        for fork in ["FORGEJO_ACTIONS", "GITEA_ACTIONS"] {
            let job = bare().env("GITHUB_ACTIONS", "true").env(fork, "true").args(["--format", "json"]);
            let outcome = job.args(["--subject-token-env", SUBJECT_TOKEN]).token_on_stdout().run();
            let token = outcome.succeeds().access_token();
            outcome.stderr_has(&format!("::add-mask::{token}\n"));
        }
        bare().token_on_stdout().run().succeeds().stderr_lacks("::add-mask::");
    }
}
