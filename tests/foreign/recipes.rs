//! Every recipe of `docs/recipes.md` and `docs/token-leaked.md`, as it stands there, in a job of the sandbox. What asks Equinix's
//! API asks a server of ours instead. Programs that need an engine or an account (Docker, Pulumi, Terraform's state) are
//! played by scripts that say how they were called and whether they had the token.

#![cfg(all(target_os = "linux", feature = "sandbox", feature = "renew", feature = "classic-grants"))]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::pages::{markdown, page, root};
use crate::support::program::{feed, in_sandbox, told};
use crate::support::server::{Reply, Request, Server};
use crate::tools::{INSTALL, need, need_python};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        clients::curl_has_the_header_from_a_pipe,
        clients::python_keeps_the_header_from_where_a_redirect_leads,
        clients::java_asks_with_the_token,
        clients::ansible_asks_with_the_token_and_shows_none,
        clients::the_lines_in_go_fit_the_sdk,
        clients::every_program_below_exec_has_the_token,
        jobs::an_image_is_built_with_a_secret_and_no_argument,
        jobs::steps_run_with_what_the_matrix_gives_them,
        jobs::a_job_without_the_environment_ends_early,
        jobs::only_the_named_workflow_goes_on,
        jobs::certificates_of_one_s_own_and_a_proxy_are_taken,
        jobs::each_of_two_scopes_has_a_token,
        jobs::a_stored_secret_works_where_there_is_no_identity,
        leaked::a_provider_is_suspended,
        leaked::the_report_answers_the_questions
    ]
}

const RECIPES: &str = "docs/recipes.md";
const LEAKED: &str = "docs/token-leaked.md";
const API: &str = "https://api.equinix.com";

/// A heading's part of a page: its blocks, and the commands in its text.
struct Recipe {
    blocks: Vec<markdown::Block>,
    commands: Vec<String>,
}

impl Recipe {
    fn of(path: &str, heading: &str) -> Self {
        let text = page(path);
        let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
        let (blocks, prose) = markdown::split(rest.split("\n## ").next().unwrap());
        let commands =
            markdown::spans(&prose).into_iter().filter(|span| span.starts_with("equinix-wif exec"));
        Self { blocks, commands: commands.map(ToOwned::to_owned).collect() }
    }

    fn block(&self, tag: &str) -> &str {
        let mut of_tag = self.blocks.iter().filter(|block| block.tag == tag);
        let found = of_tag.next().unwrap_or_else(|| panic!("no block of {tag}"));
        assert!(of_tag.next().is_none(), "two blocks of {tag}");
        &found.text
    }

    /// The lines that a runner gives to a shell.
    fn runs(&self) -> Vec<&str> {
        self.block("yaml").lines().filter_map(|line| line.trim().strip_prefix("- run: ")).collect()
    }
}

/// A folder with stand-ins before everything else on the path.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("bin")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o700)).unwrap();
        self
    }

    /// A program that notes how it was called and whether it had a token in each of these variables.
    fn stand_in(&self, name: &str) -> &Self {
        let calls = self.path("calls");
        self.put(
            name,
            &format!(
                "#!/bin/sh\nprintf '%s\\n' \"${{0##*/}} $*\" >>'{0}'\ntest -n \"$EQUINIX_API_TOKEN\" && echo token >>'{0}'\n",
                calls.display()
            ),
        )
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn run(&self, platform: &str, lines: &str) -> Output {
        let folder = self.folder.path().display();
        let lines = format!("PATH={folder}/bin:$PATH; cd {folder}\n{lines}");
        in_sandbox(&["--platform", platform], &["sh", "-ec"], &lines)
    }

    #[track_caller]
    fn runs(&self, platform: &str, lines: &str) -> String {
        let output = self.run(platform, lines);
        assert!(output.status.success(), "{lines}\n{}", told(&output));
        told(&output)
    }
}

/// An API that answers with a list of ports.
fn api() -> Server {
    Server::start(|_: &Request| Reply::json(&json!({"data": [{"name": "a port"}]})))
}

/// The one request that came, and the token in it.
#[track_caller]
fn asked(server: &Server) -> String {
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("GET", "/fabric/v4/ports"));
    let header = requests[0].header("authorization").unwrap_or_default();
    let token = header.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{header:?}"));
    assert!(token.len() > 20, "{header}");
    token.to_owned()
}

/// A text with a server of ours in place of Equinix's API.
fn at(server: &Server, text: &str) -> String {
    assert!(text.contains(API), "{text}");
    text.replace(API, &server.url())
}

mod clients {
    use super::*;

    pub(super) fn curl_has_the_header_from_a_pipe() {
        need("curl", Command::new("curl").arg("--version"), INSTALL);
        let (server, bench) = (api(), Bench::new());
        let arguments = bench.path("arguments");
        bench.put(
            "bin/curl",
            &format!(
                "#!/bin/sh\necho \"$@\" >'{}'\nPATH=${{PATH#*:}} exec curl \"$@\"\n",
                arguments.display()
            ),
        );
        let recipe = Recipe::of(RECIPES, "curl and any REST client");
        let said = bench.runs("github", &at(&server, recipe.block("sh")));
        assert!(said.contains("a port"), "{said}");
        let token = asked(&server);
        assert!(!fs::read_to_string(arguments).unwrap().contains(&token));
        // A refusal by the API is one of the command, not of the program.
        let refuses = Server::start(|_: &Request| Reply::status(403));
        let output = bench.run("github", &at(&refuses, recipe.block("sh")));
        assert_eq!(output.status.code(), Some(22), "{}", told(&output));
    }

    pub(super) fn python_keeps_the_header_from_where_a_redirect_leads() {
        need_python();
        let (server, bench) = (api(), Bench::new());
        let recipe = Recipe::of(RECIPES, "Python");
        let [command] = recipe.commands.as_slice() else { panic!("one command") };
        bench.put("ports.py", &at(&server, recipe.block("python")));
        assert!(bench.runs("github", command).contains("a port"));
        asked(&server);
        let elsewhere = api();
        let target = format!("{}/fabric/v4/ports", elsewhere.url().replace("127.0.0.1", "localhost"));
        let redirects =
            Server::start(move |_: &Request| Reply::status(302).header("Location", target.clone()));
        bench.put("ports.py", &at(&redirects, recipe.block("python")));
        bench.runs("github", command);
        asked(&redirects);
        assert_eq!(elsewhere.requests().len(), 1);
        assert_eq!(elsewhere.requests()[0].header("authorization"), None);
    }

    pub(super) fn java_asks_with_the_token() {
        need("java", Command::new("java").arg("--version"), "install a JDK");
        let (server, bench) = (api(), Bench::new());
        let recipe = Recipe::of(RECIPES, "Java");
        let [command] = recipe.commands.as_slice() else { panic!("one command") };
        let body = at(&server, recipe.block("java"));
        let program = format!(
            "class Ports {{ public static void main(String[] arguments) throws Exception {{\n{body}}} }}\n"
        );
        bench.put("Ports.java", &program);
        assert!(bench.runs("github", command).contains("a port"));
        asked(&server);
    }

    pub(super) fn ansible_asks_with_the_token_and_shows_none() {
        let ansible = root().join("tests/foreign/consumers/.venv/bin");
        need("ansible-playbook", Command::new(ansible.join("ansible-playbook")).arg("--version"), INSTALL);
        let (server, bench) = (api(), Bench::new());
        let recipe = Recipe::of(RECIPES, "Ansible");
        let [command] = recipe.commands.as_slice() else { panic!("one command") };
        bench.put("ports.yml", &at(&server, recipe.block("yaml")));
        let home =
            "export HOME=$PWD ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_INVENTORY_UNPARSED_WARNING=False";
        let path = format!("PATH={}:$PATH\n{home}\n", ansible.display());
        let said = bench.runs("gitlab", &format!("{path}{command} -vvv"));
        assert!(said.contains("ok=1") && said.contains("censored"), "{said}");
        let token = asked(&server);
        assert!(!said.contains(&token), "{said}");
    }

    /// Compiling the package would take half a minute: the lines parse, and each name in them is in Equinix's source.
    pub(super) fn the_lines_in_go_fit_the_sdk() {
        need("gofmt", Command::new("sh").args(["-c", "command -v gofmt"]), "install Go");
        let recipe = Recipe::of(RECIPES, "Go");
        let lines = recipe.block("go");
        let program = format!("package main\n\nfunc main() {{\n{lines}}}\n");
        let output = feed(Command::new("gofmt").arg("-e"), &program);
        assert!(output.status.success(), "{}", told(&output));
        let noted = root().join("tests/foreign/peers/.bin/peers.documents");
        need("Equinix's SDK for Go", Command::new("test").arg("-f").arg(&noted), INSTALL);
        let sdk = PathBuf::from(fs::read_to_string(noted).unwrap().trim()).join("services/fabricv4");
        for (file, says, used) in [
            ("configuration.go", "func NewConfiguration() *Configuration", "NewConfiguration()"),
            ("configuration.go", "AddDefaultHeader(key string, value string)", ".AddDefaultHeader("),
            ("client.go", "func NewAPIClient(cfg *Configuration) *APIClient", "NewAPIClient(configuration)"),
            ("client.go", "PortsApi *PortsApiService", ".PortsApi."),
            ("api_ports.go", "GetPorts(ctx context.Context) ApiGetPortsRequest", ".GetPorts(context."),
            ("api_ports.go", "ApiGetPortsRequest) Execute() (", ".Execute()"),
        ] {
            assert!(lines.contains(used), "{used}");
            let source = fs::read_to_string(sdk.join(file)).unwrap();
            assert!(source.contains(says), "{file}: {says}");
        }
    }

    pub(super) fn every_program_below_exec_has_the_token() {
        for (heading, stand_in, called) in [
            ("Pulumi", "bin/pulumi", "pulumi up --yes --stack production\ntoken\n"),
            ("Terraform applies that take long", "bin/terraform", "terraform apply -auto-approve\ntoken\n"),
            (
                "Containers",
                "bin/docker",
                "docker run --rm --env EQUINIX_API_TOKEN registry.example/tools:1 ./deploy.sh\ntoken\n",
            ),
        ] {
            for platform in ["github", "gitlab"] {
                let bench = Bench::new();
                bench.stand_in(stand_in).runs(platform, Recipe::of(RECIPES, heading).block("sh"));
                assert_eq!(bench.calls(), called, "{heading}");
            }
        }
    }
}

mod jobs {
    use super::*;

    pub(super) fn an_image_is_built_with_a_secret_and_no_argument() {
        let recipe = Recipe::of(RECIPES, "Docker builds");
        let bench = Bench::new();
        bench.stand_in("bin/docker").runs("github", recipe.block("sh"));
        assert_eq!(bench.calls(), "docker build --secret id=equinix,env=EQUINIX_API_TOKEN .\ntoken\n");
        // What BuildKit runs in the image, with the secret where it mounts it.
        let run = recipe.block("dockerfile").strip_prefix("RUN --mount=type=secret,id=equinix \\\n").unwrap();
        let secret = "/run/secrets/equinix";
        assert!(run.contains(secret));
        bench.put("secret", "the-token-of-the-build").stand_in("fetch.sh");
        bench.runs("none", &run.replace(secret, "./secret"));
        assert!(bench.calls().ends_with("fetch.sh \ntoken\n"), "{}", bench.calls());
    }

    pub(super) fn steps_run_with_what_the_matrix_gives_them() {
        let bench = Bench::new();
        bench.stand_in("deploy.sh").stand_in("bin/terraform");
        let recipe = Recipe::of(RECIPES, "A matrix");
        let [step] = recipe.runs()[..] else { panic!("one step") };
        bench.runs("github", &format!("export METRO=AM\n{step}"));
        let recipe = Recipe::of(RECIPES, "A monorepo with one scope a folder");
        let [step] = recipe.runs()[..] else { panic!("one step") };
        bench.runs("github", &format!("export FOLDER=network\n{step}"));
        assert_eq!(
            bench.calls(),
            "deploy.sh AM\ntoken\nterraform -chdir=network apply -auto-approve\ntoken\n"
        );
        // A scope that the job was not granted is refused before the folder is touched.
        let output = bench.run(
            "github",
            &format!("export FOLDER=edge EQUINIX_TOKEN_EXCHANGE_SCOPE=ern:x:y:z:p:t:r\n{step}"),
        );
        assert_eq!(output.status.code(), Some(125), "{}", told(&output));
        assert!(told(&output).contains("error[sts-"), "{}", told(&output));
        assert!(!bench.calls().contains("edge"));
    }

    pub(super) fn a_job_without_the_environment_ends_early() {
        let recipe = Recipe::of(RECIPES, "Only from the production environment");
        let [step] = recipe.runs()[..] else { panic!("one step") };
        let bench = Bench::new();
        bench.stand_in("deploy.sh");
        let output = bench.run("github", step);
        assert_eq!(output.status.code(), Some(125), "{}", told(&output));
        assert!(told(&output).contains("environment") && told(&output).contains("error[claim-"));
        assert_eq!(bench.calls(), "");
        assert!(step.contains("environment=production"));
        bench.runs("github", &step.replace("environment=production", "ref_type=branch"));
        assert_eq!(bench.calls(), "deploy.sh \ntoken\n");
    }

    pub(super) fn only_the_named_workflow_goes_on() {
        let recipe = Recipe::of(RECIPES, "Reusable workflows");
        let bench = Bench::new();
        bench.stand_in("deploy.sh");
        assert_eq!(bench.run("github", recipe.block("sh")).status.code(), Some(125));
        assert!(recipe.block("sh").contains("octo-org/infra/"));
        bench.runs("github", &recipe.block("sh").replace("octo-org/infra/", "octo-org/octo-repo/"));
        assert_eq!(bench.calls(), "deploy.sh \ntoken\n");
    }

    pub(super) fn certificates_of_one_s_own_and_a_proxy_are_taken() {
        let recipe = Recipe::of(RECIPES, "Self-hosted runners, proxies and private certificates");
        let file = "/etc/ssl/certs/private-ca.pem";
        let bench = Bench::new();
        let authority = rcgen::generate_simple_self_signed(["authority.example".to_owned()]).unwrap();
        bench.put("ca.pem", &authority.cert.pem()).stand_in("deploy.sh");
        assert!(recipe.block("sh").contains(file));
        bench.runs("github", &recipe.block("sh").replace(file, "ca.pem"));
        assert_eq!(bench.calls(), "deploy.sh \ntoken\n");
        let output = bench.run("github", &recipe.block("sh").replace(file, "missing.pem"));
        assert!(told(&output).contains("error[cfg-"), "{}", told(&output));
    }

    pub(super) fn each_of_two_scopes_has_a_token() {
        let recipe = Recipe::of(RECIPES, "Two scopes in one job");
        let bench = Bench::new();
        bench.stand_in("network.sh").stand_in("edge.sh");
        let policy = "ern:eqix:equinix/access:global:00000000-0000-4000-8000-000000000002:accessPolicy:fabric-operator";
        let scopes = format!("export NETWORK_SCOPE=\"$EQUINIX_TOKEN_EXCHANGE_SCOPE\" EDGE_SCOPE={policy}\n");
        let said = bench.runs("gitlab", &format!("{scopes}{}", recipe.block("sh")));
        assert_eq!(bench.calls(), "network.sh \ntoken\nedge.sh \ntoken\n");
        assert!(said.contains(policy), "{said}");
    }

    pub(super) fn a_stored_secret_works_where_there_is_no_identity() {
        let bench = Bench::new();
        bench.stand_in("try.sh").stand_in("bin/terraform");
        let recipe = Recipe::of(RECIPES, "The developer sandbox of Equinix");
        let host = "https://sandboxapi.equinix.com";
        assert!(recipe.block("sh").contains(host));
        bench.runs("none", &recipe.block("sh").replace(host, "\"$EQUINIX_API_ENDPOINT\""));
        let recipe = Recipe::of(RECIPES, "A laptop");
        let (id, file) = ("=my-client-id", "~/.config/equinix/client-secret");
        assert!(recipe.block("sh").contains(id) && recipe.block("sh").contains(file));
        let lines = recipe.block("sh").replace(id, "=\"$EQUINIX_API_CLIENTID\"").replace(file, "secret");
        let stored =
            "(umask 077; printf %s \"$EQUINIX_API_CLIENTSECRET\" >secret); unset EQUINIX_API_CLIENTSECRET";
        bench.runs("none", &format!("{stored}\n{lines}"));
        assert_eq!(bench.calls(), "try.sh \ntoken\nterraform plan\ntoken\n");
    }
}

mod leaked {
    use super::*;

    pub(super) fn a_provider_is_suspended() {
        need("curl", Command::new("curl").arg("--version"), INSTALL);
        let server = Server::start(|_: &Request| Reply::status(200));
        let sts = "https://sts.eqix.equinix.com";
        let recipe = Recipe::of(LEAKED, "Stop new tokens");
        assert!(recipe.block("sh").contains(sts));
        let lines = recipe.block("sh").replace(sts, &server.url());
        let mut shell = Command::new("sh");
        shell.args(["-ec", &lines]).env("ADMINISTRATOR_TOKEN", "the-token-of-an-administrator");
        let output = shell.env("PROJECT_ID", "project:p").env("IDP_ID", "idp:i").output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let [request] = &server.requests()[..] else { panic!("one request") };
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/v1/projects/project:p/oidcProviders/idp:i/suspend");
        assert_eq!(request.header("authorization"), Some("Bearer the-token-of-an-administrator"));
        assert!(request.body.is_empty());
    }

    pub(super) fn the_report_answers_the_questions() {
        need("jq", Command::new("jq").arg("--version"), INSTALL);
        let bench = Bench::new();
        let recipe = Recipe::of(LEAKED, "What to look for");
        let output =
            bench.run("github", &format!("equinix-wif token --report report.json\n{}", recipe.block("sh")));
        assert!(output.status.success(), "{}", told(&output));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let identity = answer["identity"].as_str().unwrap_or_default();
        assert!(identity.starts_with("repo:octo-org") && identity.ends_with("heads/main"), "{answer}");
        assert_eq!(answer["run"]["run_id"], "1000000001");
        assert_eq!(answer["scope"], "roleassignments:00000000-0000-4000-8000-000000000001");
        assert!(answer["until"].as_str().is_some_and(|time| time.ends_with('Z')), "{answer}");
        assert_eq!(answer["failed"], Value::Null);
    }
}
