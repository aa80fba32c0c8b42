//! A release from the bump to its verification: the jobs of the workflows in their order, each in a checkout of its own, with
//! the scripts, conditions and values that stand in the workflows' files. What is not here has a stand-in in `stand-ins/`:
//! compilers, GitHub, the registries. What an action does is done by `Job::action`; one that it does not know ends the
//! rehearsal, and so does an expression.

mod actions;
mod context;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use self::context::Context;
use super::{REPOSITORY, sha256, source, told};
use crate::support::server::{Reply, Request, Server};
use crate::tools::{INSTALL, need, need_checkout};

pub(super) fn from_the_bump_to_the_verification() {
    need("Python package yaml", Command::new("python3").args(["-c", "import yaml"]), INSTALL);
    need("skopeo", Command::new("skopeo").arg("--version"), INSTALL);
    need("jq", Command::new("jq").arg("--version"), INSTALL);
    need_checkout();
    let rehearsal = Rehearsal::new();
    let version = rehearsal.bump();
    let notes = rehearsal.notes(&version);

    // The first build, and what it proposes.
    rehearsal.workflow("prepare-release", "main", json!({ "version": version }), "first");
    let proposed = format!("release/v{version}");
    let changed = rehearsal.git(&["diff", "--name-only", "main", &proposed]);
    assert_eq!(changed.trim().lines().collect::<Vec<_>>(), ["action.yml", "templates/equinix-wif.yml"]);
    assert!(!rehearsal.path("server").exists() && !rehearsal.path("attested").exists());

    // Merged and tagged: the second build, and everything that is published.
    rehearsal.git(&["merge", "--quiet", "--ff-only", &proposed]);
    let tag = format!("v{version}");
    rehearsal.git(&["tag", &tag]);
    rehearsal.workflow("release", &tag, json!({}), "second");

    let attested = rehearsal.read("attested");
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(rehearsal.path("server")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let digest = sha256(&rehearsal.path("server").join(&name));
        let has = |kind: &str| attested.contains(&format!("{digest} {kind}\n"));
        assert_eq!(has("provenance"), name != "SHA256SUMS", "{name}");
        assert_eq!(has("sbom"), name.ends_with(".tar.gz"), "{name}");
        names.push(name);
    }
    assert_eq!(names.len(), 5 + 4 + 2 + 1, "{names:?}");
    assert!(!rehearsal.path("server.draft").exists());
    assert_eq!(rehearsal.read("notes"), notes);
    assert_eq!(rehearsal.read("crate"), "publish --locked --no-verify\n");
    let registry: Value = serde_json::from_str(&rehearsal.read("registry/index.json")).unwrap();
    let image = registry["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    for kind in ["provenance", "sbom"] {
        assert!(attested.contains(&format!("{image} {kind}\n")), "{kind} of the image: {attested}");
    }
    let calls = rehearsal.read("calls");
    for call in ["cargo-audit audit bin ", "docker run ", "gh release verify ", "gh pr create "] {
        assert!(calls.contains(call), "{call}: {calls}");
    }

    rehearsal.the_action_of_the_tag_takes_what_is_published(&tag);
}

/// A folder in memory, where programs can be run from there: thirty checkouts are many files.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    let runs = in_memory.as_ref().is_ok_and(|folder| {
        let mut copied = Command::new("sh");
        copied.args(["-c", "cp /bin/true \"$1/true\" && \"$1/true\"", "sh"]).arg(folder.path());
        copied.output().is_ok_and(|output| output.status.success())
    });
    if runs { in_memory.unwrap() } else { tempfile::tempdir().unwrap() }
}

struct Rehearsal {
    folder: TempDir,
}

impl Rehearsal {
    /// The project as it lies here, as a repository that is told to be somewhere.
    fn new() -> Self {
        let rehearsal = Self { folder: folder() };
        super::project(&rehearsal.path("origin"));
        // What no job looks at is not checked out thirty times.
        rehearsal.git(&["rm", "-r", "--quiet", "fuzz", "benches", "tests", "serve/src", "serve/tests"]);
        rehearsal.git(&[
            "checkout",
            "--quiet",
            "HEAD",
            "--",
            "tests/integration/main.rs",
            "tests/foreign/main.rs",
        ]);
        rehearsal.git(&["commit", "--quiet", "--message", "less"]);
        // Only a copy of a file can be run while other tests fork.
        let mut copied = Command::new("cp");
        copied.arg("-R").arg(source().join("tests/foreign/packaging/stand-ins")).arg(rehearsal.path("bin"));
        assert!(copied.status().unwrap().success());
        fs::create_dir_all(rehearsal.path("cargo home/registry/src/mirror-1")).unwrap();
        rehearsal
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let mut git = self.command("git", &self.path("origin"));
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command with the stand-ins, and nothing of this machine's jobs and settings around it.
    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).stdin(Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("HOME", self.folder.path()).env("REHEARSAL", self.folder.path());
        command.env("CARGO_HOME", self.path("cargo home"));
        for (name, variable) in
            [("REAL_CARGO", "CARGO"), ("REAL_CARGO_HOME", "CARGO_HOME"), ("REAL_HOME", "HOME")]
        {
            command.env(name, std::env::var_os(variable).unwrap_or_default());
        }
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "x").env(format!("GIT_{role}_EMAIL"), "x@example.test");
        }
        command
    }

    /// The first step of docs/releasing.md, as far as it has not been taken here. The version is the project's own.
    fn bump(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let edit = |name: &str, change: &dyn Fn(String) -> String| {
            let path = self.path("origin").join(name);
            fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        };
        edit("CHANGELOG.md", &|text| {
            let heading = format!("## [{version}] - 2026-01-31");
            if text.contains(&format!("## [{version}] - ")) {
                return text;
            }
            assert!(text.contains("## [Unreleased]\n") || text.contains("## Unreleased\n"), "{text}");
            text.replacen("## [Unreleased]\n", &format!("## [Unreleased]\n\n{heading}\n"), 1).replacen(
                "## Unreleased\n",
                &format!("## Unreleased\n\n{heading}\n"),
                1,
            )
        });
        edit("Cargo.toml", &|text| {
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("repository = ")).collect();
            let lines = kept.join("\n") + "\n";
            lines.replacen("\nlicense = ", &format!("\nrepository = \"{REPOSITORY}\"\nlicense = "), 1)
        });
        edit(".github/CODEOWNERS", &|text| text.replace("@octo-org/", "@wif/"));
        self.git(&["commit", "--quiet", "--all", "--message", "bump"]);
        version.to_owned()
    }

    fn notes(&self, version: &str) -> String {
        let mut check = self.command(".ci/check-release", &self.path("origin"));
        let output = check.args(["prepare", version]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let text = fs::read_to_string(self.path("origin/CHANGELOG.md")).unwrap();
        let (_, section) = text.split_once(&format!("## [{version}] - ")).unwrap();
        let section = section.split_once('\n').unwrap().1;
        format!("{}\n", section.split("\n## ").next().unwrap().trim())
    }

    /// A workflow's file, by a parser of YAML.
    fn parsed(&self, name: &str) -> Value {
        let mut python = self.command("python3", &self.path("origin"));
        let load = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
        let output = python.args(["-c", load, &format!(".github/workflows/{name}.yml")]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs the jobs of a workflow as soon as those that they need have ended.
    fn workflow(&self, name: &str, git_ref: &str, inputs: Value, run: &str) {
        let workflow = self.parsed(name);
        let jobs = workflow["jobs"].as_object().unwrap();
        let mut ended: Map<String, Value> = Map::new();
        while ended.len() < jobs.len() {
            let needs = |job: &Value| match &job["needs"] {
                Value::String(one) => vec![one.clone()],
                list => list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|need| need.as_str().unwrap().to_owned())
                    .collect(),
            };
            let next = jobs.iter().find(|(name, job)| {
                !ended.contains_key(*name) && needs(job).iter().all(|need| ended.contains_key(need))
            });
            let (name, job) = next.expect("a job that can run");
            let context = json!({
                "github": {
                    "ref": format!("refs/{}/{git_ref}", if git_ref == "main" { "heads" } else { "tags" }),
                    "ref_name": git_ref,
                    "token": "the token of the job",
                    "event": { "repository": { "default_branch": "main" } },
                },
                "inputs": inputs,
                "vars": { "CONTAINER_REGISTRY": "registry.example" },
                "needs": ended,
            });
            let context = Context(context);
            let may_run = job.get("if").is_none_or(|condition| context.holds(condition.as_str().unwrap()));
            assert!(may_run, "{name} does not run");
            let outputs = if let Some(used) = job["uses"].as_str() {
                let used = used.strip_prefix("./.github/workflows/").unwrap().strip_suffix(".yml").unwrap();
                self.workflow(used, git_ref, json!({}), run);
                json!({})
            } else {
                let one = [json!({})];
                let matrix = job["strategy"]["matrix"]["include"].as_array().map_or(&one[..], Vec::as_slice);
                let mut outputs = json!({});
                for values in matrix {
                    outputs = Job::new(self, context.with("matrix", values.clone()), run).run(job);
                }
                outputs
            };
            ended.insert(name.clone(), json!({ "result": "success", "outputs": outputs }));
        }
    }

    /// Takes the program as users of the action do.
    fn the_action_of_the_tag_takes_what_is_published(&self, tag: &str) {
        let action = self.git(&["show", &format!("{tag}:action.yml")]);
        fs::write(self.path("action.yml"), action).unwrap();
        let mut python = self.command("python3", self.folder.path());
        let load = "import json, yaml; print(json.dumps(yaml.safe_load(open('action.yml'))['runs']['steps'][0]['env']))";
        let output = python.args(["-c", load]).output().unwrap();
        let env: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (files, prefix) = (self.path("server"), format!("/{tag}/"));
        let server = Server::start(move |request: &Request| {
            let name = request.target.strip_prefix(&prefix).unwrap();
            Reply::status(200).body(fs::read(files.join(name)).unwrap())
        });
        let (temp, output) = (self.path("temp"), self.path("output"));
        fs::create_dir(&temp).unwrap();
        let mut action = self.command("bash", &self.path("origin"));
        action.arg("action/binary.sh").env("RUNNER_OS", "Linux").env("RUNNER_ARCH", "ARM64");
        action.env("RUNNER_TEMP", temp).env("GITHUB_OUTPUT", &output).env("WITH_MIRROR_URL", server.url());
        for name in ["RELEASE_VERSION", "RELEASE_DIGESTS"] {
            action.env(name, env[name].as_str().unwrap());
        }
        let ended = action.output().unwrap();
        assert!(ended.status.success(), "{}", told(&ended));
        assert!(self.read("output").contains("-aarch64-unknown-linux-musl/equinix-wif"));
    }
}

/// A job on a machine of its own.
struct Job<'r> {
    rehearsal: &'r Rehearsal,
    context: Context,
    /// A folder for each run: what is uploaded by one is there for this one only.
    artifacts: PathBuf,
    machine: TempDir,
    variables: Vec<(String, String)>,
}

impl<'r> Job<'r> {
    fn new(rehearsal: &'r Rehearsal, context: Context, run: &str) -> Self {
        let machine = folder();
        fs::create_dir(machine.path().join("work")).unwrap();
        fs::create_dir(machine.path().join("temp")).unwrap();
        let artifacts = rehearsal.path("artifacts").join(run);
        let context = context.with("steps", json!({}));
        Self { rehearsal, context, artifacts, machine, variables: Vec::new() }
    }

    fn work(&self) -> PathBuf {
        self.machine.path().join("work")
    }

    /// Runs the steps; the outputs of the job.
    fn run(mut self, job: &Value) -> Value {
        self.variables = self.pairs(&job["env"]);
        for step in job["steps"].as_array().unwrap() {
            let may_run =
                step.get("if").is_none_or(|condition| self.context.holds(condition.as_str().unwrap()));
            let outputs = match (may_run, step["uses"].as_str()) {
                (false, _) => json!({}),
                (true, Some(action)) => self.action(action.split('@').next().unwrap(), step),
                (true, None) => self.script(step),
            };
            if let Some(id) = step["id"].as_str() {
                self.context.0["steps"][id] = json!({ "outputs": outputs });
            }
        }
        let outputs = self.pairs(&job["outputs"]);
        Value::Object(outputs.into_iter().map(|(name, value)| (name, value.into())).collect())
    }

    fn pairs(&self, values: &Value) -> Vec<(String, String)> {
        let pairs = values.as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), self.context.filled(value))).collect()
    }

    fn script(&mut self, step: &Value) -> Value {
        let (output, env) = (self.machine.path().join("output"), self.machine.path().join("env"));
        fs::write(&output, "").unwrap();
        fs::write(&env, "").unwrap();
        let mut bash = self.rehearsal.command("bash", &self.work());
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
        let github = &self.context.0["github"];
        let (name, reference) = (github["ref_name"].as_str().unwrap(), github["ref"].as_str().unwrap());
        let commit = self.rehearsal.git(&["rev-parse", name]);
        bash.env("GITHUB_REF", reference).env("GITHUB_REF_NAME", name).env("GITHUB_SHA", commit.trim());
        bash.env("GITHUB_ACTOR", "octocat").env("GITHUB_REPOSITORY", "octo-org/equinix-wif");
        bash.env("GITHUB_SERVER_URL", "https://github.example");
        bash.env("GITHUB_OUTPUT", &output).env("GITHUB_ENV", &env);
        bash.env("RUNNER_TEMP", self.machine.path().join("temp"));
        bash.envs(self.variables.clone()).envs(self.pairs(&step["env"]));
        let ended = bash.output().unwrap();
        assert!(ended.status.success(), "{step}\n{}", told(&ended));
        let lines = |path: &Path| -> Vec<(String, String)> {
            let text = fs::read_to_string(path).unwrap();
            let pair =
                |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            text.lines().filter_map(pair).collect()
        };
        self.variables.extend(lines(&env));
        Value::Object(lines(&output).into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}
