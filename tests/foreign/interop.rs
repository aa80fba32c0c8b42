//! Runs the binary against software that this project did not write: `oauth2-mock-server` as the CI platform's issuer,
//! the certified `oidc-provider` as the STS, and `jose` to verify what they issue (`tests/foreign/interop/README.md`).
//!
//! Every test has servers, certificates and folders of its own, so the servers' logs hold its requests only.

#![cfg(unix)] // the GitLab job is a POSIX shell script

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::tools::{INSTALL, need};
use crate::{Check, checks};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        github_job_gets_a_token_from_the_alpha_api,
        github_job_gets_a_token_from_the_v1_api_with_an_es256_key_and_two_scopes,
        gitlab_job_sources_a_token_from_the_alpha_api_with_an_es256_key_and_two_scopes,
        gitlab_job_sources_a_token_from_the_v1_api,
        signatures_are_verified_with_the_issuer_s_published_keys,
        a_signature_by_a_stranger_is_found_out_here,
        a_key_that_the_issuer_has_dropped_counts_no_more,
        a_signature_that_the_issuer_does_not_vouch_for_is_denied,
        an_audience_that_only_this_side_trusts_is_denied,
        a_scope_that_was_not_granted_is_denied_as_such,
        a_token_for_somebody_else_is_not_sent,
        an_expired_token_is_not_sent,
        an_sts_with_an_unknown_ca_is_not_trusted,
        a_platform_with_an_unknown_ca_is_not_trusted
    ]
}

const BINARY: &str = env!("CARGO_BIN_EXE_equinix-wif");
const MASK: &str = "::add-mask::";

/// The variables of a job or a step, beside those that the platform sets.
type Vars<'a> = &'a [(&'a str, &'a str)];

// --- The jobs that succeed --------------------------------------------------------------------------------------

fn github_job_gets_a_token_from_the_alpha_api() {
    // Without --sts-api: alpha is the default.
    github_job("/use/token", &[], "RS256", World::scope);
}

fn github_job_gets_a_token_from_the_v1_api_with_an_es256_key_and_two_scopes() {
    github_job("/v1/token", &["--sts-api", "v1"], "ES256", World::both_scopes);
}

fn gitlab_job_sources_a_token_from_the_alpha_api_with_an_es256_key_and_two_scopes() {
    gitlab_job("/use/token", &[], "ES256", World::both_scopes);
}

fn gitlab_job_sources_a_token_from_the_v1_api() {
    gitlab_job("/v1/token", &[("EQUINIX_STS_API", "v1")], "RS256", World::scope);
}

fn github_job(path: &str, args: &[&str], alg: &str, scope: fn(&World) -> String) {
    let world = World::start();
    let scope = scope(&world);
    let mut all = vec!["--scope", &scope, "--audience", world.fact("audience"), "--ca-file", world.ca()];
    all.extend(args);
    let step = world.github_step(&all, &format!("&alg={alg}"));

    assert_eq!(step.run.status, Some(0), "{}", step.run.stderr);
    assert_eq!(step.run.stdout, "");
    assert_eq!(world.sts_log(), json!([exchange(path, 200)]));

    let outputs = step.outputs();
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["access-token", "available", "expires-at", "expires-in", "issuer", "scope", "subject", "token-type"]
    );
    let token = &outputs["access-token"];
    let claims = world.verify(token);
    assert_eq!(outputs["available"], "true");
    assert_eq!(outputs["token-type"], "Bearer");
    assert_eq!(outputs["expires-in"], "3600");
    assert_expiry(&outputs["expires-at"], &claims);
    assert_eq!(outputs["scope"], scope);
    assert_eq!(claims["scope"], scope);
    assert_eq!(outputs["issuer"], format!("{}/_services/token", world.fact("issuer")));
    assert_eq!(claims["sub"], format!("principal:{}", outputs["subject"]));
    assert_eq!(step.environment_file(), "", "the token is no variable without --export-env");

    // The masks come first, the ID token's before the access token's; only warnings may precede them.
    let minted = world.minted();
    assert_eq!(minted.len(), 1, "one ID token is enough");
    let about_the_surroundings = ["warning: ", "equinix-wif: trusting "];
    let is_about_tokens = |line: &&str| !about_the_surroundings.iter().any(|start| line.starts_with(start));
    let speech: Vec<&str> =
        step.run.stderr.lines().filter(is_about_tokens).filter(|line| !line.is_empty()).collect();
    let masks: Vec<&str> = speech.iter().map_while(|line| line.strip_prefix(MASK)).collect();
    let position = |secret: &str| masks.iter().position(|mask| *mask == secret);
    let (id_token, access_token) = (position(&minted[0]), position(token));
    assert!(id_token.is_some(), "no mask for the ID token:\n{}", step.run.stderr);
    assert!(id_token < access_token, "no mask for the access token, or out of order:\n{}", step.run.stderr);
    world.assert_no_secret(&step.run, Some(token));
}

fn gitlab_job(path: &str, vars: Vars<'_>, alg: &str, scope: fn(&World) -> String) {
    let world = World::start();
    let scope = scope(&world);
    let id_token = world.mint(&json!({"job": "gitlab", "alg": alg, "audience": world.fact("audience")}));
    let handover = world.path("handover");
    let mut all = vec![
        ("EQUINIX_TOKEN_EXCHANGE_SCOPE", scope.as_str()),
        ("EQUINIX_STS_ENDPOINT", world.fact("sts")),
        ("EQUINIX_WIF_AUDIENCE", world.fact("audience")),
        ("EQUINIX_WIF_CA_FILE", world.ca()),
        ("HANDOVER", handover.to_str().unwrap()),
    ];
    all.extend(vars);
    // The last line: with both set, the Equinix Terraform provider would ignore the token and exchange by itself.
    let script = r#"set -eu
. "$(equinix-wif token)"
printenv EQUINIX_API_TOKEN >"$HANDOVER"
printenv EQUINIX_API_TOKEN_EXPIRES_AT >>"$HANDOVER"
test -z "${EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN:-}"
"#;
    let run = world.gitlab_job(Command::new("sh").args(["-c", script]), &id_token, &all);

    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert_eq!(world.sts_log(), json!([exchange(path, 200)]));

    let received = fs::read_to_string(&handover).unwrap();
    let (token, expires_at) = received.trim_end().split_once('\n').unwrap();
    let claims = world.verify(token);
    assert_eq!(claims["scope"], scope);
    assert_eq!(claims["sub"], "principal:project_path:net-group/edge:ref_type:branch:ref:main");
    assert_expiry(expires_at, &claims);

    let left: Vec<_> = fs::read_dir(world.path("checkout")).unwrap().collect();
    assert!(left.is_empty(), "something was left in the checkout, where artifacts are collected: {left:?}");
    world.assert_no_secret(&run, Some(token));
}

// --- The signature is verified before the exchange --------------------------------------------------------------

fn signatures_are_verified_with_the_issuer_s_published_keys() {
    let world = World::start();
    let discovery = "/.well-known/openid-configuration";
    for alg in ["RS256", "ES256"] {
        let scope = world.scope();
        let args = ["--scope", &scope, "--audience", world.fact("audience"), "--ca-file", world.ca()];
        let step =
            world.github_step(&[&args[..], &["--verify-signature", "-v"]].concat(), &format!("&alg={alg}"));
        assert_eq!(step.run.status, Some(0), "{}", step.run.stderr);
        assert!(step.run.stderr.contains("(verified)"), "{}", step.run.stderr);
        let access_token = step.outputs()["access-token"].clone();
        world.assert_no_secret(&step.run, Some(&access_token));

        let token = world.mint(&json!({"job": "gitlab", "alg": alg, "audience": world.fact("audience")}));
        let run = world.gitlab_verified_exchange(&token);
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("(verified)"), "{}", run.stderr);
        world.assert_no_secret(&run, None);
    }
    assert_eq!(world.sts_log(), json!(vec![exchange("/use/token", 200); 4]));
    let log = world.get("issuer", "/control/log");
    let count = |path: &str| log.as_array().unwrap().iter().filter(|entry| entry["path"] == path).count();
    assert_eq!(count(&format!("/_services/token{discovery}")), 2, "once a run: {log}");
    assert_eq!(count("/actions/idtoken"), 2, "{log}");
    // The STS has its own reasons to look at these.
    assert!(count(discovery) >= 2 && count("/oauth/discovery/keys") >= 2, "{log}");
}

fn a_signature_by_a_stranger_is_found_out_here() {
    let world = World::start();
    for alg in ["RS256", "ES256"] {
        let token =
            json!({"job": "gitlab", "alg": alg, "signature": "foreign", "audience": world.fact("audience")});
        let run = world.gitlab_verified_exchange(&world.mint(&token));
        world.assert_failed(&run, 5, "claim-signature");
    }
    assert_eq!(world.sts_log(), json!([]));
}

fn a_key_that_the_issuer_has_dropped_counts_no_more() {
    let world = World::start();
    let tokens = || {
        ["RS256", "ES256"]
            .map(|alg| world.mint(&json!({"job": "gitlab", "alg": alg, "audience": world.fact("audience")})))
    };
    let old = tokens();
    assert_eq!(world.get("issuer", "/control/rotate"), json!({}));
    for token in old {
        let run = world.gitlab_verified_exchange(&token);
        world.assert_failed(&run, 5, "claim-key-not-found");
        let said = "does not publish the key that the ID token names (any more)";
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    assert_eq!(world.sts_log(), json!([]));
    for token in tokens() {
        let run = world.gitlab_verified_exchange(&token);
        assert_eq!(run.status, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("(verified)"), "{}", run.stderr);
    }
}

// --- The STS refuses --------------------------------------------------------------------------------------------

fn a_signature_that_the_issuer_does_not_vouch_for_is_denied() {
    let world = World::start();
    for alg in ["RS256", "ES256"] {
        let token =
            json!({"job": "gitlab", "alg": alg, "signature": "foreign", "audience": world.fact("audience")});
        let run = world.gitlab_exchange(&world.mint(&token), &world.scope());
        world.assert_failed(&run, 6, "sts-denied");
    }
    assert_eq!(world.sts_log(), json!([exchange("/use/token", 400), exchange("/use/token", 400)]));
}

fn an_audience_that_only_this_side_trusts_is_denied() {
    let world = World::start();
    let args = ["--scope", &world.scope(), "--audience", "https://other.example", "--ca-file", world.ca()];
    let step = world.github_step(&args, "");
    world.assert_failed(&step.run, 6, "sts-denied");
    assert_eq!(step.outputs(), BTreeMap::from([("error-code".to_owned(), "sts-denied".to_owned())]));
    assert_eq!(world.sts_log(), json!([exchange("/use/token", 400)]));
}

fn a_scope_that_was_not_granted_is_denied_as_such() {
    let world = World::start();
    let token = world.mint(&json!({"job": "gitlab", "audience": world.fact("audience")}));
    let run = world.gitlab_exchange(&token, "roleassignments:00000000-0000-4000-8000-000000000000");
    world.assert_failed(&run, 6, "sts-scope-denied");
    assert_eq!(world.sts_log(), json!([exchange("/use/token", 400)]));
}

// --- Nothing reaches the STS ------------------------------------------------------------------------------------

fn a_token_for_somebody_else_is_not_sent() {
    let world = World::start();
    let token = world.mint(&json!({"job": "gitlab", "audience": "https://other.example"}));
    world.assert_failed(&world.gitlab_exchange(&token, &world.scope()), 5, "claim-aud");
    assert_eq!(world.sts_log(), json!([]));
}

fn an_expired_token_is_not_sent() {
    let world = World::start();
    let token = world.mint(&json!({"job": "gitlab", "audience": world.fact("audience"), "age": 7200}));
    world.assert_failed(&world.gitlab_exchange(&token, &world.scope()), 5, "claim-expired");
    assert_eq!(world.sts_log(), json!([]));
}

fn an_sts_with_an_unknown_ca_is_not_trusted() {
    let world = World::start();
    let token = world.mint(&json!({"job": "gitlab", "audience": world.fact("audience")}));
    let scope = world.scope();
    let vars =
        [("EQUINIX_TOKEN_EXCHANGE_SCOPE", scope.as_str()), ("EQUINIX_STS_ENDPOINT", world.fact("sts"))];
    let run = world.gitlab_job(Command::new(BINARY).arg("token"), &token, &vars);
    world.assert_failed(&run, 10, "tls-verify");
    assert_eq!(world.sts_log(), json!([]));
}

fn a_platform_with_an_unknown_ca_is_not_trusted() {
    let world = World::start();
    let step = world.github_step(&["--scope", &world.scope(), "--audience", world.fact("audience")], "");
    world.assert_failed(&step.run, 10, "tls-verify");
    assert_eq!(world.get("issuer", "/control/log"), json!([]));
    assert_eq!(world.sts_log(), json!([]));
}

// --- The world that a test runs in ------------------------------------------------------------------------------

/// The servers of one test, what they told about themselves, and a folder for the job.
struct World {
    facts: Value,
    http: ureq::Agent,
    ca: String,
    root: PathBuf,
    server: Child,
    _dir: TempDir,
}

/// What came out of a process.
struct Run {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A GitHub step that has ended, with the files that it was given.
struct Step {
    run: Run,
    output: PathBuf,
    environment: PathBuf,
}

impl World {
    /// Starts the servers.
    fn start() -> Self {
        // npm writes its own lock file last, so that half an installation is none.
        let lock = suite().join("node_modules/.package-lock.json");
        let mut node_and_packages = Command::new("node");
        node_and_packages.args(["-e", "require('fs').accessSync(process.argv[1])"]).arg(lock);
        need("Node.js with oauth2-mock-server, oidc-provider and jose", &mut node_and_packages, INSTALL);
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["tmp", "checkout", "checkout.tmp", "runner"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let ca_pem = certificates(&root);
        let ca = root.join("ca.pem").into_os_string().into_string().unwrap();

        let errors = root.join("servers.log");
        let mut server = node("servers.mjs", &ca)
            .args([root.join("leaf.key"), root.join("leaf.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let facts = serde_json::from_str(&ready).unwrap_or_else(|_| {
            panic!("the servers did not start:\n{}", fs::read_to_string(&errors).unwrap())
        });

        let roots = vec![Certificate::from_pem(ca_pem.as_bytes()).unwrap()];
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
        let http = ureq::Agent::config_builder().tls_config(tls).proxy(None).build().new_agent();
        Self { facts, http, ca, root, server, _dir: dir }
    }

    fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap()
    }

    fn scope(&self) -> String {
        self.facts["scopes"][0].as_str().unwrap().to_owned()
    }

    fn both_scopes(&self) -> String {
        let scopes: Vec<&str> =
            self.facts["scopes"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
        scopes.join(" ")
    }

    fn ca(&self) -> &str {
        &self.ca
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Asks one of the servers for JSON.
    fn get(&self, server: &str, path: &str) -> Value {
        let mut answer = self.http.get(format!("{}{path}", self.fact(server))).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Every request that reached the STS.
    fn sts_log(&self) -> Value {
        self.get("sts", "/control/log")
    }

    /// Every ID token that was made, by [`World::mint`] or for the binary.
    fn minted(&self) -> Vec<String> {
        serde_json::from_value(self.get("issuer", "/control/minted")).unwrap()
    }

    /// Makes an ID token, as GitLab does before a job starts.
    fn mint(&self, options: &Value) -> String {
        let url = format!("{}/control/mint", self.fact("issuer"));
        let mut answer = self.http.post(url).send(options.to_string()).unwrap();
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Verifies an access token with `jose` and the STS's published keys; gives its claims.
    fn verify(&self, token: &str) -> Value {
        let mut child = node("verify.mjs", &self.ca)
            .args([self.fact("sts_jwks"), self.fact("sts")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Runs `equinix-wif token` as a step of the GitHub job. `query` is what the platform appends to the URL of its
    /// ID-token endpoint.
    fn github_step(&self, args: &[&str], query: &str) -> Step {
        let [output, environment] = ["runner/set_output", "runner/set_env"].map(|name| self.path(name));
        for file in [&output, &environment] {
            File::create(file).unwrap();
        }
        let url = format!(
            "{}{query}",
            self.facts["jobs"]["github"]["ACTIONS_ID_TOKEN_REQUEST_URL"].as_str().unwrap()
        );
        let mut command = Command::new(BINARY);
        command.args(["token", "--sts-endpoint", self.fact("sts")]).args(args);
        self.prepare(&mut command, "github");
        command
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", url)
            .env("GITHUB_OUTPUT", &output)
            .env("GITHUB_ENV", &environment)
            .env("GITHUB_WORKSPACE", self.path("checkout"))
            .env("RUNNER_TEMP", self.path("runner"));
        Step { run: run(&mut command), output, environment }
    }

    /// Runs a command in the GitLab job that was given this ID token.
    fn gitlab_job(&self, command: &mut Command, id_token: &str, vars: Vars<'_>) -> Run {
        self.prepare(command, "gitlab");
        command
            .env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", id_token)
            .env("CI_PROJECT_DIR", self.path("checkout"))
            .envs(vars.iter().copied());
        run(command)
    }

    /// Runs `equinix-wif token` in the GitLab job, with everything in order but perhaps the ID token or the scope.
    fn gitlab_exchange(&self, id_token: &str, scope: &str) -> Run {
        let mut command = Command::new(BINARY);
        command.args(["token", "--sts-endpoint", self.fact("sts"), "--ca-file", self.ca(), "--scope", scope]);
        command.args(["--audience", self.fact("audience")]);
        self.gitlab_job(&mut command, id_token, &[])
    }

    /// The same with `--verify-signature`.
    fn gitlab_verified_exchange(&self, id_token: &str) -> Run {
        let mut command = Command::new(BINARY);
        command.args(["token", "--sts-endpoint", self.fact("sts"), "--ca-file", self.ca()]);
        command.args(["--scope", &self.scope(), "--audience", self.fact("audience")]);
        command.args(["--verify-signature", "-v"]);
        self.gitlab_job(&mut command, id_token, &[])
    }

    /// Gives a command the environment of a job, and nothing of the environment that this test runs in.
    fn prepare(&self, command: &mut Command, job: &str) {
        let mut search = OsString::from(Path::new(BINARY).parent().unwrap());
        search.push(":");
        search.push(std::env::var_os("PATH").unwrap());
        command
            .env_clear()
            .env("PATH", search)
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.path("checkout"));
        for (name, value) in self.facts["jobs"][job].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        // Where a coverage build of the binary writes its counters.
        command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
    }

    /// The run ended with this exit status and error code, said how to mend it, and gave nothing away.
    fn assert_failed(&self, run: &Run, status: i32, code: &str) {
        assert_eq!(run.status, Some(status), "{}", run.stderr);
        assert_eq!(run.stdout, "");
        let said = |start: &str| run.stderr.lines().any(|line| line.starts_with(start));
        assert!(said(&format!("error[{code}]: ")) && said("hint: "), "{}", run.stderr);
        self.assert_no_secret(run, None);
    }

    /// No line but a mask holds twelve characters in a row of any secret.
    fn assert_no_secret(&self, run: &Run, access_token: Option<&str>) {
        let minted = self.minted();
        let mut secrets: Vec<&str> = minted.iter().map(|token| token.rsplit('.').next().unwrap()).collect();
        secrets.push(self.facts["jobs"]["github"]["ACTIONS_ID_TOKEN_REQUEST_TOKEN"].as_str().unwrap());
        secrets.extend(access_token);
        let shown: Vec<&str> =
            run.stdout.lines().chain(run.stderr.lines()).filter(|l| !l.starts_with(MASK)).collect();
        for secret in secrets {
            for piece in secret.as_bytes().windows(12) {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(
                    !shown.iter().any(|line| line.contains(piece)),
                    "{piece} is shown:\n{}",
                    shown.join("\n")
                );
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Step {
    /// The step's outputs, read by the rules of GitHub's runner. Only here-documents are expected: a value with a line
    /// break would end a plain `name=value` early.
    fn outputs(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(&self.output).unwrap();
        let mut lines = text.split_terminator('\n');
        let mut outputs = BTreeMap::new();
        while let Some(line) = lines.next() {
            let (name, delimiter) =
                line.split_once("<<").unwrap_or_else(|| panic!("not a here-document: {line}"));
            let mut value = Vec::new();
            loop {
                match lines.next() {
                    Some(line) if line == delimiter => break,
                    Some(line) => value.push(line),
                    None => panic!("the output {name} has no end"),
                }
            }
            assert!(outputs.insert(name.to_owned(), value.join("\n")).is_none(), "{name} is set twice");
        }
        outputs
    }

    fn environment_file(&self) -> String {
        fs::read_to_string(&self.environment).unwrap()
    }
}

/// The one request that an exchange consists of, as the STS logs it.
fn exchange(path: &str, status: u16) -> Value {
    json!({
        "method": "POST",
        "path": path,
        "query": false,
        "authorization": false,
        "content_type": "application/x-www-form-urlencoded",
        "fields": ["grant_type", "scope", "subject_token", "subject_token_type"],
        "status": status,
    })
}

/// The expiry is RFC 3339 in UTC, and the token's own up to the time that the exchange took.
fn assert_expiry(expires_at: &str, claims: &Value) {
    let exp = claims["exp"].as_i64().unwrap();
    let near = (exp - 60..=exp + 60)
        .map(|second| OffsetDateTime::from_unix_timestamp(second).unwrap().format(&Rfc3339).unwrap())
        .any(|text| text == expires_at);
    assert!(near, "{expires_at} is not near {exp}");
}

fn run(command: &mut Command) -> Run {
    let out = command.stdin(Stdio::null()).output().unwrap();
    Run {
        status: out.status.code(),
        stdout: String::from_utf8(out.stdout).unwrap(),
        stderr: String::from_utf8(out.stderr).unwrap(),
    }
}

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/interop")
}

/// One of the suite's scripts, trusting the test's CA.
fn node(script: &str, ca: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(suite().join(script)).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("NODE_EXTRA_CA_CERTS", ca);
    command
}

/// Makes a private CA and the servers' certificate: `ca.pem`, `leaf.pem`, `leaf.key`. Gives the CA's text.
fn certificates(root: &Path) -> String {
    let named = |names: &[&str], common_name: &str| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
    };
    let mut params = named(&[], "equinix-wif interop CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);

    let mut params = named(&["localhost", "127.0.0.1"], "localhost");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();

    fs::write(root.join("ca.pem"), &ca).unwrap();
    fs::write(root.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(root.join("leaf.key"), key.serialize_pem()).unwrap();
    ca
}
