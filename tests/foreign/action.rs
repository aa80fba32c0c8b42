//! The GitHub action: as a runner sees it, under act; its scripts by themselves, for runners that act cannot be; and what
//! it says about itself. See `tests/foreign/action/README.md`.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::tools::{INSTALL, need};
use crate::world::{Run, need_act, steps_keeper};
use crate::{Check, checks};
use support::script::executable;
use support::server::{Queue, Reply, Request, Server};
use support::tls::{self, Leaf};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        under_act::hands_over_outputs_the_variable_and_the_program,
        under_act::tells_of_failures_and_runs_nothing_of_an_input,
        under_act::downloads_once_and_checks_the_tool_cache_each_time,
        under_act::fails_with_a_code_that_the_job_can_read,
        under_act::goes_on_after_a_passing_fault,
        under_act::takes_another_version_by_its_digest_and_a_commit_without_a_release_by_nothing_else,
        under_act::works_as_the_documentation_shows_it,
        under_act::takes_a_program_that_the_workflow_has_built,
        #[cfg(feature = "classic-grants")]
        under_act::leads_from_a_client_secret_to_the_identity,
        scripts::each_runner_gets_its_archive,
        scripts::nothing_is_unpacked_or_kept_before_the_digest_is_right,
        scripts::the_tool_cache_is_a_help_and_no_need,
        scripts::faults_are_tried_again_or_not,
        scripts::nothing_leads_away_from_https,
        scripts::a_proxy_is_used_unless_told_otherwise_and_not_for_this_machine,
        scripts::the_action_s_own_address_is_the_default,
        scripts::unclear_inputs_are_told_and_not_shown,
        scripts::a_program_of_one_s_own_is_taken_as_it_is,
        scripts::a_path_with_backslashes_leads_to_them,
        scripts::a_tool_that_is_missing_is_named,
        scripts::an_archive_without_the_program_is_told,
        scripts::tools_get_nothing_but_what_they_need,
        scripts::inputs_become_flags_to_the_letter,
        scripts::no_variable_changes_whose_token_it_is_and_where_it_goes,
        definition::the_page_has_the_inputs_and_outputs,
        definition::outputs_are_those_of_the_program,
        definition::nothing_is_put_into_a_script,
        definition::what_a_release_writes_has_its_place,
        definition::the_page_has_the_codes,
        definition::the_scripts_are_old_enough,
        definition::shellcheck_finds_nothing,
        definition::zizmor_finds_nothing
    ]
}

const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");
const SCOPE: &str = "roleassignments:00000000-0000-4000-8000-000000000001";
const SUBJECT: &str = "repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main";
/// The release that the action under test belongs to.
const VERSION: &str = "1.2.3";

const CODES: [&str; 7] = [
    "action-input-invalid",
    "action-no-release",
    "action-platform-unsupported",
    "action-asset-missing",
    "action-download-failed",
    "action-digest-mismatch",
    "action-binary-unusable",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The variables that the action does not hand to the program.
fn taken_away() -> Vec<String> {
    let script = file("action/token.sh");
    let (_, rest) = script.split_once("\nunset ").unwrap();
    let mut names: Vec<String> = Vec::new();
    for line in rest.lines() {
        names.extend(line.trim_end_matches('\\').split_whitespace().map(ToOwned::to_owned));
        if !line.ends_with('\\') {
            break;
        }
    }
    names
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

/// The lines of a text, further to the right.
fn indented(text: &str, by: usize) -> String {
    text.lines().fold(String::new(), |all, line| all + &" ".repeat(by) + line + "\n")
}

/// An archive of a release.
#[derive(Clone)]
struct Archive {
    name: String,
    bytes: Vec<u8>,
}

impl Archive {
    /// One with this file as the program.
    fn of(version: &str, target: &str, program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("equinix-wif-{version}-{target}");
        let inside = folder.path().join(&name);
        fs::create_dir(&inside).unwrap();
        let suffix = if target.contains("windows") { ".exe" } else { "" };
        fs::copy(program, inside.join(format!("equinix-wif{suffix}"))).unwrap();
        fs::write(inside.join("README.md"), "not needed").unwrap();
        let mut tar = Command::new("tar");
        tar.current_dir(folder.path()).args(["-I", "gzip -1", "-cf", "archive", &name]);
        assert!(tar.status().unwrap().success());
        Self { name: format!("{name}.tar.gz"), bytes: fs::read(folder.path().join("archive")).unwrap() }
    }

    /// One for this machine, with the real program.
    fn real(version: &str) -> Self {
        static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        let (_, program) = PROGRAM.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("equinix-wif");
            fs::copy(BIN, &path).unwrap();
            // Only to have less to pack.
            Command::new("strip").arg(&path).status().ok();
            (folder, path)
        });
        Self::of(version, this_target(), program)
    }

    /// One with a program that leaves a file named `started` beside itself.
    fn stub(version: &str, target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        executable(&path, "#!/bin/sh\n: >\"${0%/*}/started\"\necho equinix-wif 0\n");
        Self::of(version, target, &path)
    }

    fn digest(&self) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, &self.bytes).as_ref())
    }

    fn path(&self, version: &str) -> String {
        format!("/v{version}/{}", self.name)
    }

    fn reply(&self) -> Reply {
        Reply::status(200).body(self.bytes.clone())
    }

    /// A server that has this archive and nothing else, once these replies are used up.
    fn served_after(&self, version: &str, replies: impl IntoIterator<Item = Reply>) -> Queue {
        let (path, reply) = (self.path(version), self.reply());
        let fallback = move |request: &Request| {
            if request.target == path { reply.clone() } else { Reply::status(404).body("no such file") }
        };
        replies.into_iter().fold(Queue::before(fallback), Queue::reply)
    }

    /// The lines of the action for it.
    fn sums(&self) -> String {
        format!("{}  equinix-wif-9.9.9-other.tar.gz\n{}  {}\n", "0".repeat(64), self.digest(), self.name)
    }
}

fn this_target() -> &'static str {
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-musl" } else { "x86_64-unknown-linux-musl" }
}

/// A machine for one test: a folder with what its steps saw, and a repository with the action in it.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["seen", "repository", "temp", "tools"] {
            fs::create_dir(world.path(folder)).unwrap();
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with nothing of this machine's jobs and settings around it.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path("repository")).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("SEEN", self.path("seen"));
        command
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = self.command("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.test"]).args(arguments);
        assert!(command.output().unwrap().status.success(), "git {arguments:?}");
    }

    /// The action in a repository, as the commit of a release with this archive or as that of none.
    fn with_action(self, archive: Option<&Archive>) -> Self {
        let repository = self.path("repository");
        fs::create_dir(repository.join("action")).unwrap();
        for name in ["action/binary.sh", "action/lib.sh", "action/token.sh"] {
            fs::copy(root().join(name), repository.join(name)).unwrap();
        }
        let mut action = file("action.yml");
        if let Some(archive) = archive {
            let lines = indented(&archive.sums(), 10);
            let empty = "        RELEASE_VERSION: \"\"\n        RELEASE_DIGESTS: \"\"\n";
            let filled =
                format!("        RELEASE_VERSION: \"{VERSION}\"\n        RELEASE_DIGESTS: |\n{lines}");
            assert_eq!(action.matches(empty).count(), 1);
            action = action.replace(empty, &filled);
        }
        fs::write(repository.join("action.yml"), action).unwrap();
        self.git(&["init", "--quiet", "--initial-branch=main"]);
        self
    }

    fn with_workflow(self, text: &str) -> Self {
        self.rewrite(text);
        self
    }

    fn rewrite(&self, text: &str) -> &Self {
        let folder = self.path("repository/.github/workflows");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("deploy.yml"), text).unwrap();
        self
    }

    /// Commits what is there and runs the workflow under act, in a job of the sandbox with these variables. The secrets of
    /// the repository are the client's id and secret.
    fn act(&self, instance: &str, variables: &[(&str, &str)]) -> Run {
        let remote = format!("https://{instance}/octo-org/octo-repo.git");
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
        self.git(&["config", "remote.origin.url", &remote]);
        // act gives no ID token, and its own server is no issuer.
        let script = r#"
            issuer=$GITHUB_SERVER_URL/_services/token
            printf %s "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" >"$SEEN/bearer"
            rm -f "$SEEN/steps"
            PATH="$KEEPER:$PATH"
            {
              env | grep -E '^(ACTIONS_ID_TOKEN_|EQUINIX_|PATH=|SEEN=)' | grep -v '^EQUINIX_API_CLIENT'
              printf '%s\n' "ISSUER=$issuer" "EQUINIX_WIF_EXPECT=iss=$issuer" "$@"
            } >"$HOME/job.env"
            env | grep '^EQUINIX_API_CLIENT' >"$HOME/job.secrets" || :
            unset GITHUB_ACTIONS EQUINIX_API_CLIENTID EQUINIX_API_CLIENTSECRET
            exec "$ACT" push -P ubuntu-latest=-self-hosted --no-cache-server --env-file "$HOME/job.env" \
              --secret-file "$HOME/job.secrets" --github-instance "$INSTANCE" --local-repository octo-org/equinix-wif@v1="$PWD"
        "#;
        let mut command = self.command(BIN);
        command.args(["sandbox", "--platform", "github", "--", "sh", "-ec", script, "sh"]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.env("ACT", act()).env("INSTANCE", instance).env("KEEPER", steps_keeper());
        self.finish(command)
    }

    /// Runs a script of the action by itself, as a runner would run it.
    fn script(&self, name: &str, variables: &[(&str, &str)]) -> Run {
        let output = self.path("output");
        fs::write(&output, "").unwrap();
        let mut command = self.command("bash");
        command.arg(root().join("action").join(name)).env("GITHUB_OUTPUT", &output);
        command.env("RUNNER_TEMP", self.path("temp")).env("RUNNER_TOOL_CACHE", self.path("tools"));
        command.env("RUNNER_OS", "Linux").env("RUNNER_ARCH", "X64");
        command
            .env("GITHUB_SERVER_URL", "https://github.example")
            .env("GITHUB_REPOSITORY", "octo-org/octo-repo");
        command.envs(variables.iter().copied());
        let mut run = self.finish(command);
        for line in fs::read_to_string(output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            run.seen.insert(name.to_owned(), value.to_owned());
        }
        run
    }

    /// The first step by itself, of a release with this archive.
    fn binary(&self, archive: &Archive, variables: &[(&str, &str)]) -> Run {
        let sums = archive.sums();
        let mut all = vec![("RELEASE_VERSION", VERSION), ("RELEASE_DIGESTS", &sums)];
        all.extend_from_slice(variables);
        self.script("binary.sh", &all)
    }

    fn finish(&self, mut command: Command) -> Run {
        Run::of(&mut command, &self.path("seen"))
    }

    /// Finds where a stub of the program has been unpacked, and whether it was started.
    fn unpacked(&self) -> Vec<(PathBuf, bool)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("temp")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap().to_str().unwrap().starts_with("equinix-wif") {
                    found.push((path.clone(), path.with_file_name("started").exists()));
                }
            }
        }
        found
    }
}

impl Run {
    /// Returns what a step saw under this name.
    #[track_caller]
    fn saw(&self, name: &str) -> &str {
        self.seen.get(name).unwrap_or_else(|| panic!("nothing was seen of {name}:\n{}", self.log)).trim_end()
    }

    #[track_caller]
    fn says(&self, text: &str) -> &Self {
        assert!(self.has_said(text), "not said: {text}\n{}", self.log);
        self
    }

    /// A script ended with this code of the action: in the log, as an annotation, and as an output.
    #[track_caller]
    fn fails(&self, status: i32, code: &str) -> &Self {
        self.ends_with(status).says(&format!("error[{code}]: ")).says("\nhint: ");
        self.says(&format!("\n::error title=equinix-wif {code}::"));
        assert_eq!(self.saw("error-code"), code);
        assert!(!self.seen.contains_key("path"), "{:?}", self.seen);
        self
    }
}

fn act() -> PathBuf {
    root().join("tests/foreign/consumers/.venv/bin/act")
}

/// The action as a runner sees it.
mod under_act {
    use super::*;

    const PUBLIC: &str = "github.example";

    pub(super) fn hands_over_outputs_the_variable_and_the_program() {
        need_act();
        let world = World::new().with_action(None).with_workflow(&file("tests/foreign/action/deploy.yml"));
        let run = world.act(PUBLIC, &[("PROGRAM", BIN)]);
        run.ends_with(0).hides(&["output", "variable", "exec", "bearer"]);
        assert_eq!(run.token("output"), run.token("variable"));
        assert_ne!(run.token("output"), run.token("exec"), "each run has a token of its own");
        for hidden in ["the output is ***", "the variable is ***", "the command has ***"] {
            run.says(hidden);
        }
        let others = run.saw("others");
        let issuer = others.strip_prefix(&format!("true Bearer 3600 {SCOPE} {SUBJECT} ")).unwrap_or(others);
        assert!(issuer.starts_with("http://127.0.0.1:") && issuer.ends_with("/_services/token"), "{others}");
        let (output, variable) = run.saw("expiry").split_once(' ').unwrap();
        assert!(output == variable && output.ends_with('Z'), "{output} {variable}");
        assert_eq!(run.saw("code"), "<>");
        // The program's step is inside the action, and has an id there.
        assert!(!run.log.contains("this step has no id"), "{}", run.log);
        // act gives a later job what GitHub's runner drops: the token.
        assert_eq!(run.saw("job-expiry"), output);
        assert_eq!(run.token("job-output"), run.token("output"));

        // What was given as an input came as a flag, and all of it; what was not came from where it would without.
        let report: serde_json::Value = serde_json::from_str(run.saw("report")).unwrap();
        let settings = report["settings"].as_object().unwrap();
        for flag in [
            "expect",
            "validation",
            "verify-signature",
            "export-env",
            "env-name",
            "min-ttl",
            "timeout",
            "format",
        ] {
            assert_eq!(settings[flag]["source"], format!("--{flag}"), "{flag}: {settings:?}");
        }
        assert_eq!(report["claims_status"], "verified");
        assert_eq!(settings["scope"]["source"], "EQUINIX_TOKEN_EXCHANGE_SCOPE");
        assert_eq!(settings["audience"]["source"], "EQUINIX_WIF_AUDIENCE");
        assert_eq!(settings["sts-api"]["source"], "default");
        let expectations = settings["expect"]["value"].to_string();
        for text in ["repository=octo-org/octo-repo", "ref=refs/heads/main", "ref=refs/heads/release"] {
            assert!(expectations.contains(text), "{expectations}");
        }
    }

    pub(super) fn tells_of_failures_and_runs_nothing_of_an_input() {
        need_act();
        let world = World::new().with_action(None).with_workflow(&file("tests/foreign/action/failures.yml"));
        let run = world.act(PUBLIC, &[("PROGRAM", BIN)]);
        // The last use of the action has no continue-on-error.
        run.ends_with(1).hides(&["output", "bearer"]);
        assert!(!run.seen.contains_key("went-on"));
        assert_eq!(run.saw("refused"), "failure sts-scope-denied <>");
        assert_eq!(run.saw("skipped"), "success false missing-permission <>");
        assert_eq!(run.saw("forbidden"), "failure gh-id-token-permission");
        assert_eq!(run.saw("unclear"), "failure action-input-invalid");
        assert_eq!(run.saw("hostile"), "failure cfg-scope-invalid");
        assert!(!run.seen.contains_key("executed"), "an input was executed:\n{}", run.log);
        assert_eq!(run.saw("variable"), "<>", "`false` wins over the variable");
        for code in ["sts-scope-denied", "gh-id-token-permission", "action-input-invalid"] {
            run.says(&format!("error[{code}]: ")).says(&format!("::error title=equinix-wif {code}::"));
        }
    }

    /// A job of the release, and of a server with its archive.
    fn release(world: &World, server: &Server, more: &[(&str, &str)]) -> Run {
        let url = server.url();
        let mut variables = vec![("MIRROR", url.as_str())];
        variables.extend_from_slice(more);
        let run = world.act(PUBLIC, &variables);
        run.ends_with(0);
        run
    }

    pub(super) fn downloads_once_and_checks_the_tool_cache_each_time() {
        need_act();
        let archive = Archive::real(VERSION);
        let world =
            World::new().with_action(Some(&archive)).with_workflow(&file("tests/foreign/action/release.yml"));
        let server = Server::start(archive.served_after(VERSION, []));
        let run = release(&world, &server, &[]);
        assert_eq!(run.saw("end"), "success", "{}", run.log);
        run.hides(&["output", "bearer"]).says(&archive.digest());
        assert_eq!(server.requests().len(), 1);
        let request = &server.requests()[0];
        assert_eq!(request.target, archive.path(VERSION));
        assert!(request.header("authorization").is_none() && request.header("cookie").is_none());

        let run = release(&world, &server, &[]);
        assert_eq!(run.saw("end"), "success", "{}", run.log);
        run.says("from the tool cache").hides(&["output"]);
        assert_eq!(server.requests().len(), 1, "it is in the tool cache");

        // Another job writes an archive with a program of its own there.
        let kept =
            world.path(&format!(".cache/act/tool_cache/equinix-wif/{VERSION}/{}.tar.gz", archive.digest()));
        assert_eq!(fs::read(&kept).unwrap(), archive.bytes);
        fs::write(&kept, Archive::stub(VERSION, this_target()).bytes).unwrap();
        let run = release(&world, &server, &[]);
        assert_eq!(run.saw("end"), "success", "{}", run.log);
        run.says("the archive in the tool cache is damaged").hides(&["output"]);
        assert_eq!(server.requests().len(), 2);
        assert_eq!(fs::read(&kept).unwrap(), archive.bytes);
    }

    pub(super) fn fails_with_a_code_that_the_job_can_read() {
        need_act();
        let archive = Archive::real(VERSION);
        let mut flipped = archive.bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let none = || Reply::status(404).body("::set-output name=x::y");
        let cut = || archive.reply().header("Retry-After", "0").cut_in_body();
        for (replies, code, requests) in [
            (vec![Reply::status(200).body(flipped)], "action-digest-mismatch", 1),
            (vec![none()], "action-asset-missing", 1),
            (vec![cut(), cut(), cut(), cut()], "action-download-failed", 4),
        ] {
            let world = World::new()
                .with_action(Some(&archive))
                .with_workflow(&file("tests/foreign/action/release.yml"));
            let server = Server::start(archive.served_after(VERSION, replies));
            let run = release(&world, &server, &[]);
            assert_eq!(run.saw("end"), format!("failure {code}"), "{}", run.log);
            assert_eq!(run.saw("output"), "");
            assert_eq!(server.requests().len(), requests, "{}", run.log);
            run.says(&format!("error[{code}]: ")).says(&format!("::error title=equinix-wif {code}::"));
            run.says(&archive.name);
            assert!(!run.has_said("set-output name=x"), "{}", run.log);
        }
    }

    pub(super) fn goes_on_after_a_passing_fault() {
        need_act();
        let archive = Archive::real(VERSION);
        let world =
            World::new().with_action(Some(&archive)).with_workflow(&file("tests/foreign/action/release.yml"));
        let server = Server::start(archive.served_after(VERSION, [Reply::status(503).body("::error::x")]));
        let run = release(&world, &server, &[]);
        assert_eq!(run.saw("end"), "success", "{}", run.log);
        run.says("the server answered 503; trying again").hides(&["output"]);
        assert_eq!(server.requests().len(), 2);
        assert!(!run.has_said("::error::x"), "{}", run.log);
    }

    pub(super) fn takes_another_version_by_its_digest_and_a_commit_without_a_release_by_nothing_else() {
        need_act();
        let other = Archive::real("1.3.0-rc.1");
        let server = Server::start(other.served_after("1.3.0-rc.1", []));
        let world = World::new().with_action(None).with_workflow(&file("tests/foreign/action/release.yml"));
        let digest = other.digest().to_uppercase();
        let run = release(&world, &server, &[("VERSION", "v1.3.0-rc.1"), ("SHA256", &digest)]);
        assert_eq!(run.saw("end"), "success", "{}", run.log);
        run.hides(&["output"]);
        let run = release(&world, &server, &[]);
        assert_eq!(run.saw("end"), "failure action-no-release", "{}", run.log);
        assert_eq!(server.requests().len(), 1);
    }

    fn blocks(page: &str) -> Vec<&str> {
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
    }

    /// A block of a page, with what a reader puts in.
    fn adapted(block: &str) -> String {
        let adapted = block
            .replace("<owner>/equinix-wif@<commit> # v1.0.0", "octo-org/equinix-wif@v1")
            .replace("my-equinix-audience", "${{ env.EQUINIX_WIF_AUDIENCE }}")
            .replace("roleassignments:<org-id>", "${{ env.EQUINIX_TOKEN_EXCHANGE_SCOPE }}");
        assert!(!adapted.contains('<'), "{adapted}");
        adapted
    }

    /// A workflow with a job of these lines.
    fn workflow(job: &str) -> String {
        format!("on: push\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n{}", indented(job, 4))
    }

    /// The blocks that people copy, with the action and its release where GitHub has them.
    pub(super) fn works_as_the_documentation_shows_it() {
        need_act();
        let archive = Archive::real(VERSION);
        let world = World::new().with_action(Some(&archive));
        let path = format!("/octo-org/equinix-wif/releases/download{}", archive.path(VERSION));
        // GitHub keeps the files of releases elsewhere.
        let store = Server::start_tls(Leaf::Good, {
            let reply = archive.reply();
            move |_: &Request| reply.clone()
        });
        let elsewhere = format!("{}/stored", store.url());
        let server = Server::start_tls(Leaf::Good, move |request: &Request| {
            assert_eq!(request.target, path);
            Reply::status(302).header("Location", elsewhere.clone())
        });
        let ca = tls::write_ca(world.folder.path());
        let instance = server.url().replace("https://", "");
        let deploy = world.path("deploy.sh");
        executable(&deploy, "#!/bin/sh\nprintf %s \"$EQUINIX_API_TOKEN\" >\"$SEEN/output\"\n");

        let page = file("docs/github-action.md");
        let blocks = blocks(&page);
        assert_eq!(blocks.len(), 4);
        for block in blocks {
            let adapted = adapted(block).replace("./deploy.sh", deploy.to_str().unwrap());
            assert!(adapted.contains("octo-org/equinix-wif@v1\n"), "{adapted}");
            let run = world
                .rewrite(&workflow(&adapted))
                .act(&instance, &[("CURL_CA_BUNDLE", ca.to_str().unwrap())]);
            run.ends_with(0).hides(&["bearer"]);
            assert!(!run.has_said("no deployment"), "{}", run.log);
            // Without the action's own exchange there is one less.
            let exchanges = run.saw("steps").matches("equinix-wif: access token for").count();
            assert_eq!(exchanges, 1, "{}", run.log);
            if block.contains("./deploy.sh") {
                run.hides(&["output"]);
                fs::remove_file(world.path("seen/output")).unwrap();
            }
        }
        assert_eq!((server.requests().len(), store.requests().len()), (1, 1));
    }

    /// The workflow for a time without releases, with stand-ins for GitHub's artifacts and for Cargo: what it is built from is told
    /// in `packaging::commit`.
    pub(super) fn takes_a_program_that_the_workflow_has_built() {
        need_act();
        need("node", Command::new("node").arg("--version"), INSTALL);
        let world = World::new().with_action(None);
        for (name, main) in [("upload-artifact", UPLOAD), ("download-artifact", DOWNLOAD)] {
            let to = world.path("repository/stand-in").join(name);
            fs::create_dir_all(&to).unwrap();
            fs::write(to.join("action.yml"), "name: x\nruns:\n  using: node20\n  main: main.js\n").unwrap();
            fs::write(to.join("main.js"), main).unwrap();
        }
        fs::create_dir(world.path("fakes")).unwrap();
        let install = format!(
            "#!/bin/sh\necho \"$*\" >>\"$SEEN/cargo\"\nwhile [ \"$1\" != --root ]; do shift; done\n\
             mkdir -p \"$2/bin\"; cp '{BIN}' \"$2/bin/equinix-wif\"\n"
        );
        executable(&world.path("fakes/cargo"), &install);
        let deploy = world.path("deploy.sh");
        executable(&deploy, "#!/bin/sh\nprintf %s \"$EQUINIX_API_TOKEN\" >\"$SEEN/output\"\n");

        let page = file("docs/install.md");
        let (_, section) = page.split_once("\n## Before there is a release\n").unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let mut block = blocks(section)[0].to_owned();
        // Those that make the releases.
        let workflows =
            ["build", "prepare-release"].map(|name| file(&format!(".github/workflows/{name}.yml")));
        for name in ["upload-artifact", "download-artifact"] {
            let start = format!("uses: actions/{name}@");
            let line = block.lines().find_map(|line| line.split_once(&start)).expect(name).1.to_owned();
            assert!(workflows.concat().contains(&format!("{start}{line}\n")), "{name}@{line}");
            block = block.replace(
                &format!("actions/{name}@{line}"),
                &format!("octo-org/equinix-wif/stand-in/{name}@v1"),
            );
        }
        let block = block
            .replace("<owner>/equinix-wif@<commit>", "octo-org/equinix-wif@v1")
            .replace("<owner>", "octo-org")
            .replace("<commit>", commit)
            .replace("ubuntu-24.04", "ubuntu-latest")
            .replace("./deploy.sh", deploy.to_str().unwrap());
        let world = world.with_workflow(&format!("on: push\n{}", adapted(&block)));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", steps_keeper().display(), world.path("fakes").display());
        let run = world.act(PUBLIC, &[("PATH", &path), ("THIS_RUN", "1")]);
        run.ends_with(0).hides(&["bearer", "output"]);
        let wanted = format!(
            "install --locked --git https://github.com/octo-org/equinix-wif --rev {commit} --root . equinix-wif"
        );
        assert_eq!(run.saw("cargo"), wanted, "{}", run.log);
        // What an earlier run has left is not taken: nothing is deployed where the first job has built nothing.
        fs::remove_file(world.path("seen/output")).unwrap();
        executable(&world.path("fakes/cargo"), "#!/bin/sh\n");
        let run = world.act(PUBLIC, &[("PATH", &path), ("THIS_RUN", "2")]);
        assert!(run.status != Some(0) && !run.seen.contains_key("output"), "{}", run.log);
        assert!(world.path("artifacts/1/equinix-wif").exists());
    }

    /// Stand-ins of the actions, as far as it matters: an artifact is there for one run, and its files cannot be run.
    const UPLOAD: &str = "const fs = require('fs'), path = require('path'), env = process.env;
        const to = `${env.SEEN}/../artifacts/${env.THIS_RUN}/${env.INPUT_NAME}`;
        if (!fs.existsSync(env.INPUT_PATH)) process.exit(0);
        fs.mkdirSync(path.dirname(to), { recursive: true });
        fs.mkdirSync(to);
        const file = `${to}/${path.basename(env.INPUT_PATH)}`;
        fs.copyFileSync(env.INPUT_PATH, file);
        fs.chmodSync(file, 0o644);";
    const DOWNLOAD: &str = "const fs = require('fs'), env = process.env;
        const from = `${env.SEEN}/../artifacts/${env.THIS_RUN}/${env.INPUT_NAME}`;
        if (!fs.existsSync(from)) process.exit(1);
        fs.cpSync(from, env.INPUT_PATH, { recursive: true });";

    /// The day with a stored secret, both ways side by side, and the switch: the blocks of the page, one after the other.
    #[cfg(feature = "classic-grants")]
    pub(super) fn leads_from_a_client_secret_to_the_identity() {
        need_act();
        let world = World::new().with_action(None);
        let deploy = world.path("deploy.sh");
        let script = "#!/bin/sh\nprintf %s \"$EQUINIX_API_TOKEN\" >\"$SEEN/output\"\n\
                      printf %s \"${EQUINIX_API_CLIENTSECRET-unset}\" >\"$SEEN/secret\"\n";
        executable(&deploy, script);
        let page = file("docs/client-credentials.md");
        let blocks: Vec<&str> =
            blocks(&page).into_iter().filter(|block| !block.contains("include:")).collect();
        let [day_one, both_ways] = blocks[..] else { panic!("{} blocks", blocks.len()) };
        let line = "      grant: client-credentials\n";
        assert_eq!(day_one.matches(line).count(), 1, "the line to delete");
        let day_one = adapted(day_one)
            .replace("    with:\n", &format!("    with:\n      binary-path: {BIN}\n"))
            .replace("./deploy.sh", deploy.to_str().unwrap());
        let switched = day_one.replace(line, "");
        // On a platform a host that is not Equinix's has to be named by the input, which goes with the line.
        let endpoint = format!("{line}      api-endpoint: ${{{{ env.EQUINIX_API_ENDPOINT }}}}\n");
        let day_one = day_one.replace(line, &endpoint);
        let deployed = |job: &str, says: &str| {
            let run = world.rewrite(&workflow(job)).act(PUBLIC, &[]);
            run.ends_with(0).hides(&["bearer", "output"]);
            let steps = run.saw("steps").to_owned();
            assert_eq!(steps.matches("equinix-wif: access token ").count(), 1, "{steps}");
            assert!(steps.contains(&format!("equinix-wif: access token {says}")), "{steps}");
            assert_eq!(run.saw("secret"), "unset", "later steps do not see the secret");
            fs::remove_file(world.path("seen/output")).unwrap();
            steps
        };
        deployed(&day_one, "is valid until");
        assert!(both_ways.contains("doctor --exchange'\n"), "{both_ways}");
        let steps = deployed(&format!("{day_one}{}", adapted(both_ways)), "is valid until");
        let rows = |status: &str| steps.lines().filter(|row| row.starts_with(&format!("{status} "))).count();
        assert!(steps.contains("ok    exchange      a token for ") && rows("ok") > 8, "{steps}");
        assert_eq!(rows("fail"), 0, "{steps}");
        deployed(&switched, "for ");
        // The end: the two secrets are gone.
        let kept = switched.split_inclusive('\n').filter(|line| !line.contains("secrets."));
        let without = kept.collect::<String>();
        assert_eq!(without.lines().count() + 2, switched.lines().count());
        deployed(&without, "for ");
    }
}

mod scripts {
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-musl";

    fn need_curl() {
        need("curl", Command::new("curl").arg("--version"), INSTALL);
    }

    pub(super) fn each_runner_gets_its_archive() {
        need_curl();
        for (system, processor, target, program) in [
            ("Linux", "X64", TARGET, "equinix-wif"),
            ("Linux", "ARM64", "aarch64-unknown-linux-musl", "equinix-wif"),
            ("macOS", "X64", "x86_64-apple-darwin", "equinix-wif"),
            ("macOS", "ARM64", "aarch64-apple-darwin", "equinix-wif"),
            ("Windows", "X64", "x86_64-pc-windows-msvc", "equinix-wif.exe"),
        ] {
            let world = World::new();
            let archive = Archive::stub(VERSION, target);
            let server = Server::start(archive.served_after(VERSION, []));
            let url = format!("{}/", server.url());
            // What Git for Windows has, for paths that need no change here.
            let tools = world.path("bin");
            fs::create_dir(&tools).unwrap();
            let cygpath = tools.join("cygpath");
            executable(&cygpath, "#!/bin/sh\nprintf %s \"$2\"\n");
            let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
            let run = world.binary(
                &archive,
                &[
                    ("RUNNER_OS", system),
                    ("RUNNER_ARCH", processor),
                    ("WITH_MIRROR_URL", &url),
                    ("PATH", &path),
                ],
            );
            run.ends_with(0);
            let there = Path::new(run.saw("path"));
            assert_eq!(there.file_name().unwrap(), program);
            assert_eq!(world.unpacked(), [(there.to_owned(), true)], "{}", run.log);
            let folder = there.parent().unwrap().parent().unwrap();
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "the copy of the archive is gone");
        }
        let world = World::new();
        let archive = Archive::stub(VERSION, TARGET);
        for (system, processor) in
            [("Linux", "X86"), ("Linux", "ARM"), ("Windows", "ARM64"), ("", ""), ("Plan9\n::error::x", "X64")]
        {
            let run = world.binary(&archive, &[("RUNNER_OS", system), ("RUNNER_ARCH", processor)]);
            run.fails(2, "action-platform-unsupported").says("Linux-ARM64, macOS-X64").says("binary-path");
            assert!(!run.log.contains("\n::error::x"));
        }
        // A release that lacks this one.
        let run = world.binary(&Archive::stub(VERSION, "aarch64-apple-darwin"), &[]);
        run.fails(2, "action-platform-unsupported").says(&format!("equinix-wif-{VERSION}-{TARGET}.tar.gz"));
    }

    pub(super) fn nothing_is_unpacked_or_kept_before_the_digest_is_right() {
        need_curl();
        let world = World::new();
        let (archive, other) = (Archive::stub(VERSION, TARGET), Archive::stub("1.2.4", TARGET));
        let path = archive.path(VERSION);
        let server = Server::start(move |request: &Request| {
            assert_eq!(request.path(), path);
            other.reply()
        });
        let run = world.binary(&archive, &[("WITH_MIRROR_URL", &server.url())]);
        run.fails(10, "action-digest-mismatch").says(&archive.digest()).says(&server.url());
        assert_eq!(server.requests().len(), 1, "it is not tried again");
        assert_eq!(world.unpacked(), []);
        assert_eq!(fs::read_dir(world.path("tools")).unwrap().count(), 0);
        // A digest that is there, but not one, is none.
        let sums = format!("{}  {}\n", "*".repeat(64), archive.name);
        let run = world.script("binary.sh", &[("RELEASE_VERSION", VERSION), ("RELEASE_DIGESTS", &sums)]);
        run.fails(2, "action-platform-unsupported");
    }

    pub(super) fn the_tool_cache_is_a_help_and_no_need() {
        need_curl();
        let archive = Archive::stub(VERSION, TARGET);
        let server = Server::start(archive.served_after(VERSION, []));
        let url = server.url();
        let world = World::new();
        // There is none, or it cannot be written to.
        world.binary(&archive, &[("WITH_MIRROR_URL", &url), ("RUNNER_TOOL_CACHE", "")]).ends_with(0);
        let blocked = world.path("blocked");
        fs::write(&blocked, "a file").unwrap();
        let run = world
            .binary(&archive, &[("WITH_MIRROR_URL", &url), ("RUNNER_TOOL_CACHE", blocked.to_str().unwrap())]);
        run.ends_with(0).says("could not be kept in the tool cache");
        assert_eq!(server.requests().len(), 2);
        // What another job left there may be anything.
        let kept = world.path(&format!("tools/equinix-wif/{VERSION}/{}.tar.gz", archive.digest()));
        fs::create_dir_all(&kept).unwrap();
        world.binary(&archive, &[("WITH_MIRROR_URL", &url)]).ends_with(0);
        fs::remove_dir_all(&kept).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &kept).unwrap();
        world.binary(&archive, &[("WITH_MIRROR_URL", &url)]).ends_with(0);
        assert_eq!(fs::read(&kept).unwrap(), archive.bytes);
        assert_eq!(server.requests().len(), 4);
        world.binary(&archive, &[("WITH_MIRROR_URL", &url)]).ends_with(0).says("from the tool cache");
        assert_eq!(server.requests().len(), 4);
    }

    pub(super) fn faults_are_tried_again_or_not() {
        need_curl();
        let archive = Archive::stub(VERSION, TARGET);
        let busy = |status| Reply::status(status).header("Retry-After", "0").body("::error::x");
        let run = |replies: Vec<Reply>| {
            let world = World::new();
            let server = Server::start(archive.served_after(VERSION, replies));
            let run = world.binary(&archive, &[("WITH_MIRROR_URL", &server.url())]);
            assert!(!run.has_said("::error::x"), "{}", run.log);
            (run, server.requests().len(), world.unpacked().len())
        };
        let (ended, requests, _) = run(vec![busy(429), busy(500), busy(408)]);
        ended.ends_with(0);
        assert_eq!(requests, 4);
        let (ended, requests, unpacked) = run(vec![busy(503), busy(502), busy(504), busy(503)]);
        ended.fails(8, "action-download-failed").says("attempt 4").says("the server answered 503");
        assert_eq!((requests, unpacked), (4, 0));
        for status in [400, 401, 403] {
            let (ended, requests, _) = run(vec![busy(status)]);
            ended.fails(8, "action-download-failed").says(&format!("the server answered {status}"));
            assert_eq!(requests, 1);
        }
        for status in [404, 410] {
            let (ended, requests, _) = run(vec![busy(status)]);
            ended.fails(2, "action-asset-missing").says(&archive.name);
            assert_eq!(requests, 1);
        }
        // A whole answer that ends too early is no archive.
        let (ended, ..) = run(vec![Reply::status(200).body(&archive.bytes[..99])]);
        ended.fails(10, "action-digest-mismatch");
        // More than any archive has is not read.
        let huge = Reply::status(200).without("Content-Length").header("Content-Length", "99999999999");
        let (ended, requests, _) = run(vec![huge]);
        ended.fails(8, "action-download-failed").says("too large");
        assert_eq!(requests, 1);
    }

    pub(super) fn nothing_leads_away_from_https() {
        need_curl();
        let archive = Archive::stub(VERSION, TARGET);
        let target = Server::start(archive.served_after(VERSION, []));
        let redirect =
            |to: String| Server::start(move |_: &Request| Reply::status(302).header("Location", to.clone()));
        let world = World::new();
        let open = redirect(format!("{}{}", target.url(), archive.path(VERSION)));
        let run = world.binary(&archive, &[("WITH_MIRROR_URL", &open.url())]);
        run.fails(8, "action-download-failed").says("a redirect that is not followed");
        assert_eq!((open.requests().len(), target.requests().len()), (1, 0));
        let secret = world.path("secret");
        fs::write(&secret, "secret").unwrap();
        let local = redirect(format!("file://{}", secret.display()));
        world.binary(&archive, &[("WITH_MIRROR_URL", &local.url())]).fails(8, "action-download-failed");
        let endless = Server::start(|request: &Request| {
            Reply::status(302).header("Location", format!("{}x", request.target))
        });
        world.binary(&archive, &[("WITH_MIRROR_URL", &endless.url())]).fails(8, "action-download-failed");
        assert!(endless.requests().len() < 8);

        // Settings of curl cannot switch the certificate's check off.
        fs::write(world.path(".curlrc"), "insecure\n").unwrap();
        let ca = tls::write_ca(world.folder.path());
        for leaf in [Leaf::SelfSigned, Leaf::Expired, Leaf::WrongHost] {
            let server = Server::start_tls(leaf, archive.served_after(VERSION, []));
            let variables = [("WITH_MIRROR_URL", &*server.url()), ("CURL_CA_BUNDLE", ca.to_str().unwrap())];
            let run = world.binary(&archive, &variables);
            run.fails(8, "action-download-failed").says("certificate is not trusted");
            assert_eq!(server.requests().len(), 0, "{leaf:?}");
        }
    }

    pub(super) fn a_proxy_is_used_unless_told_otherwise_and_not_for_this_machine() {
        need_curl();
        let archive = Archive::stub(VERSION, TARGET);
        let world = World::new();
        let ca = tls::write_ca(world.folder.path());
        let server = Server::start_tls(Leaf::Good, archive.served_after(VERSION, []));
        let to = server.address();
        let proxy = Server::start(move |_: &Request| Reply::tunnel(to));
        let proxy_url = proxy.url();
        let variables = [
            ("WITH_MIRROR_URL", &*server.url()),
            ("CURL_CA_BUNDLE", ca.to_str().unwrap()),
            ("RUNNER_TOOL_CACHE", ""),
            ("HTTPS_PROXY", &proxy_url),
            ("http_proxy", &proxy_url),
        ];
        world.binary(&archive, &variables).ends_with(0);
        assert_eq!((proxy.requests().len(), server.requests().len()), (1, 1));
        let mut without = variables.to_vec();
        without.push(("WITH_NO_PROXY", "true"));
        world.binary(&archive, &without).ends_with(0);
        assert_eq!((proxy.requests().len(), server.requests().len()), (1, 2));
        let plain = Server::start(archive.served_after(VERSION, []));
        let mut local = variables.to_vec();
        let plain_url = plain.url();
        local.push(("WITH_MIRROR_URL", &plain_url));
        world.binary(&archive, &local).ends_with(0);
        assert_eq!((proxy.requests().len(), plain.requests().len()), (1, 1));
    }

    pub(super) fn the_action_s_own_address_is_the_default() {
        need_curl();
        let archive = Archive::stub(VERSION, TARGET);
        let server = Server::start(|_: &Request| Reply::status(404));
        let url = server.url();
        let world = World::new();
        for (repository, expected) in
            [("octo-org/equinix-wif", "octo-org/equinix-wif"), ("", "octo-org/octo-repo")]
        {
            let run =
                world.binary(&archive, &[("GITHUB_SERVER_URL", &url), ("ACTION_REPOSITORY", repository)]);
            run.fails(2, "action-asset-missing");
            let asked = server.requests().pop().unwrap().target;
            assert_eq!(asked, format!("/{expected}/releases/download{}", archive.path(VERSION)));
        }
    }

    pub(super) fn unclear_inputs_are_told_and_not_shown() {
        let world = World::new();
        let archive = Archive::stub(VERSION, TARGET);
        let digest = archive.digest();
        let program = world.path("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let program = program.to_str().unwrap();
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("WITH_SHA256", &digest)], "sha256 goes together with version"),
            (&[("WITH_VERSION", "1.3.0")], "sha256 is not a SHA-256 digest"),
            (&[("WITH_VERSION", "1.3.0"), ("WITH_SHA256", "abc")], "sha256 is not a SHA-256 digest"),
            (&[("WITH_VERSION", VERSION), ("WITH_SHA256", &digest)], "the action's own"),
            (&[("WITH_VERSION", "latest"), ("WITH_SHA256", &digest)], "version is not a version number"),
            (
                &[("WITH_VERSION", "1.2.3/../../x"), ("WITH_SHA256", &digest)],
                "version is not a version number",
            ),
            (
                &[("WITH_VERSION", "1.2.3\n::error::x"), ("WITH_SHA256", &digest)],
                "version is not a version number",
            ),
            (&[("WITH_MIRROR_URL", "http://mirror.example")], "mirror-url is not an https address"),
            (&[("WITH_MIRROR_URL", "http://127.0.0.1.mirror.example")], "mirror-url is not an https address"),
            (&[("WITH_MIRROR_URL", "http://localhost@mirror.example")], "mirror-url is not an https address"),
            (
                &[("WITH_MIRROR_URL", "https://user:secret@mirror.example")],
                "mirror-url is not an https address",
            ),
            (
                &[("WITH_MIRROR_URL", "https://mirror.example/?token=secret")],
                "mirror-url is not an https address",
            ),
            (
                &[("WITH_MIRROR_URL", "https://mirror.example/x\n::error::x")],
                "mirror-url is not an https address",
            ),
            (&[("WITH_MIRROR_URL", "file:///etc")], "mirror-url is not an https address"),
            (&[("WITH_MIRROR_URL", "-Ksecret")], "mirror-url is not an https address"),
            (&[("GITHUB_SERVER_URL", "http://github.example")], "is not an https address"),
            (&[("WITH_NO_PROXY", "1")], "no-proxy is neither true nor false"),
            (&[("WITH_INSTALL_ONLY", "secret")], "install-only is neither true nor false"),
            (&[("WITH_BINARY_PATH", "no/such/file")], "does not lead to a file"),
            (&[("WITH_BINARY_PATH", program)], "does not lead to a file that can be run"),
            (&[("WITH_BINARY_PATH", "x\npath=/bin/true")], "binary-path holds a line break"),
            (&[("WITH_BINARY_PATH", BIN), ("WITH_VERSION", VERSION)], "binary-path does not go with"),
            (
                &[("WITH_BINARY_PATH", BIN), ("WITH_MIRROR_URL", "https://m.example")],
                "binary-path does not go with",
            ),
        ];
        for (variables, says) in cases {
            let run = world.binary(&archive, variables);
            run.fails(2, "action-input-invalid").says(says);
            assert!(!run.log.contains("secret") && !run.log.contains("\n::error::x"), "{}", run.log);
        }
        assert_eq!(world.unpacked(), []);
        let run = world.script("binary.sh", &[]);
        // What is missing and what to do are in the first sentence, with the heading to read.
        let page = "docs/install.md#before-there-is-a-release";
        let first = |address: &str| {
            format!(
                "error[action-no-release]: this commit of the action belongs to no release, so it has no program: \
                 build one from source and set binary-path to it, as in {address}{page}\n"
            )
        };
        // The repository of the job is not the action's.
        run.fails(2, "action-no-release").says("version and sha256").says(&first(""));
        assert!(file("docs/install.md").contains("\n## Before there is a release\n"));
        let repository = "octo-org/equinix-wif";
        for (repository, commit, address) in [
            (repository, "0123abcd", "https://github.example/octo-org/equinix-wif/blob/0123abcd/"),
            (repository, "a/branch-1.x", "https://github.example/octo-org/equinix-wif/blob/a/branch-1.x/"),
            ("", "0123abcd", ""),
            (repository, "", ""),
            (repository, "x\n::error::x", ""),
            ("octo-org/equinix-wif\n::error::x", "0123abcd", ""),
        ] {
            let variables = [("ACTION_REPOSITORY", repository), ("ACTION_REF", commit)];
            let run = world.script("binary.sh", &variables);
            run.fails(2, "action-no-release").says(&first(address));
            assert!(!run.log.contains("::error::x"), "{}", run.log);
        }
        // A token in place of a switch is not shown either.
        for switch in ["WITH_VERIFY_SIGNATURE", "WITH_EXPORT_ENV", "WITH_NO_PROXY"] {
            let run = world.script("token.sh", &[(switch, "secret"), ("BINARY", "/bin/false")]);
            run.fails(2, "action-input-invalid");
            assert!(!run.log.contains("secret"), "{}", run.log);
        }
    }

    /// Windows writes the folder of the action with backslashes.
    pub(super) fn a_path_with_backslashes_leads_to_them() {
        let action = file("action.yml");
        let steps: Vec<&str> = action.split("      run: |\n").skip(1).collect();
        assert_eq!(steps.len(), 2);
        for (step, says) in steps.into_iter().zip(["install-only is neither", "export-env is neither"]) {
            let script: String =
                step.split_inclusive('\n').take_while(|line| line.starts_with("        ")).collect();
            let world = World::new();
            let mut command = world.command("bash");
            command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script]);
            command.env("GITHUB_ACTION_PATH", root().to_str().unwrap().replace('/', "\\"));
            command.env("GITHUB_OUTPUT", world.path("output"));
            command.env("WITH_INSTALL_ONLY", "x").env("WITH_EXPORT_ENV", "x");
            world.finish(command).ends_with(2).says(says);
        }
    }

    pub(super) fn a_program_of_one_s_own_is_taken_as_it_is() {
        let world = World::new();
        let archive = Archive::stub(VERSION, TARGET);
        let inside = world.path("repository/tools");
        fs::create_dir(&inside).unwrap();
        let program = inside.join("my program");
        executable(&program, "#!/bin/sh\necho equinix-wif 9.9.9\n");
        let run = world.binary(&archive, &[("WITH_BINARY_PATH", " tools/my program\n")]);
        run.ends_with(0);
        assert_eq!(Path::new(run.saw("path")), program);
        // It has to be the program, and to run here.
        let other = world.binary(&archive, &[("WITH_BINARY_PATH", "/bin/true")]);
        other.fails(2, "action-binary-unusable").says("the program is not equinix-wif");
        fs::write(&program, "\x7fELF of another processor").unwrap();
        world
            .binary(&archive, &[("WITH_BINARY_PATH", program.to_str().unwrap())])
            .fails(2, "action-binary-unusable");
    }

    pub(super) fn a_tool_that_is_missing_is_named() {
        let world = World::new();
        let archive = Archive::stub(VERSION, TARGET);
        let tools = world.path("bin");
        fs::create_dir(&tools).unwrap();
        let found = Command::new("sh").args(["-c", "command -v bash"]).output().unwrap().stdout;
        std::os::unix::fs::symlink(String::from_utf8(found).unwrap().trim(), tools.join("bash")).unwrap();
        for (missing, next) in
            [("no curl", "curl"), ("no tar", "tar"), ("neither sha256sum nor shasum", "shasum")]
        {
            let run = world.binary(&archive, &[("PATH", tools.to_str().unwrap())]);
            run.fails(2, "action-platform-unsupported").says(&format!("this runner has {missing}"));
            executable(&tools.join(next), "#!/bin/sh\nexit 1\n");
        }
    }

    pub(super) fn an_archive_without_the_program_is_told() {
        need_curl();
        let world = World::new();
        let mut archive = Archive::stub("1.2.4", TARGET);
        archive.name = format!("equinix-wif-{VERSION}-{TARGET}.tar.gz");
        let server = Server::start(archive.served_after(VERSION, []));
        let run = world.binary(&archive, &[("WITH_MIRROR_URL", &server.url())]);
        run.fails(2, "action-binary-unusable").says("cannot be unpacked");
    }

    /// Tools get what they need of the environment: nothing that ID tokens are got with, and nothing that runs code.
    pub(super) fn tools_get_nothing_but_what_they_need() {
        need_curl();
        let world = World::new();
        let archive = Archive::stub(VERSION, TARGET);
        let server = Server::start(archive.served_after(VERSION, []));
        let tools = world.path("bin");
        fs::create_dir(&tools).unwrap();
        let seen = world.path("seen");
        let called = ["curl", "tar", "sha256sum", "gzip", "mktemp", "rm", "mkdir", "cp", "mv"];
        for tool in called {
            let real =
                Command::new("sh").args(["-c", "command -v \"$1\"", "sh", tool]).output().unwrap().stdout;
            let script = format!(
                "#!/bin/sh\nenv >>{0}/environment\nprintf '%s\\n' \"$*\" >{0}/{tool}\nexec {1} \"$@\"\n",
                seen.display(),
                String::from_utf8(real).unwrap().trim()
            );
            executable(&tools.join(tool), &script);
        }
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        let mark = world.path("ran");
        let tar = format!("--checkpoint=1 --checkpoint-action=exec='touch {}'", mark.display());
        fs::write(world.path(".curlrc"), format!("output = {}\n", mark.display())).unwrap();
        let run = world.binary(
            &archive,
            &[
                ("PATH", &path),
                ("WITH_MIRROR_URL", &server.url()),
                ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://actions.example/?a=b"),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-request-token"),
                ("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", "the-subject-token"),
                ("TAR_OPTIONS", &tar),
                ("CURL_HOME", world.folder.path().to_str().unwrap()),
                ("GZIP", "--no-such-option"),
                ("PERL5OPT", "-Mnosuch"),
                ("OPENSSL_CONF", "/no/such"),
                ("TMPDIR", "/no/such"),
                ("NO_PROXY", "kept"),
            ],
        );
        run.ends_with(0);
        assert!(!mark.exists(), "{}", run.log);
        // The last four are the shell's own.
        let wanted = ["PATH", "LC_ALL", "NO_PROXY", "PWD", "OLDPWD", "SHLVL", "_"];
        for line in run.saw("environment").lines() {
            let name = line.split('=').next().unwrap();
            assert!(wanted.contains(&name), "{line}");
        }
        assert!(run.saw("environment").contains("NO_PROXY=kept"));
        for tool in called {
            assert!(seen.join(tool).exists(), "{tool} is not called");
        }
        let arguments = run.saw("curl");
        assert!(arguments.starts_with("--disable "), "{arguments}");
        for text in ["--proto =http --proto-redir =https", "--max-time ", "--connect-timeout "] {
            assert!(arguments.contains(text), "{arguments}");
        }
    }

    pub(super) fn inputs_become_flags_to_the_letter() {
        let world = World::new();
        let program = world.path("program");
        let script = "#!/bin/sh\nfor a; do printf '<%s>\\n' \"$a\"; done >\"$SEEN/arguments\"\nenv | grep ^EQUINIX_ | sort >\"$SEEN/environment\"\ncat >\"$SEEN/stdin\"\nexit 6\n";
        executable(&program, script);
        let binary = program.to_str().unwrap();
        let run = world.script("token.sh", &[("BINARY", binary)]);
        run.ends_with(6);
        assert_eq!(run.saw("arguments"), "<token>\n<--format=github>");
        assert_eq!(run.saw("environment"), "");
        let run = world.script(
            "token.sh",
            &[
                ("BINARY", binary),
                ("WITH_SCOPE", " roleassignments:o \n"),
                ("WITH_AUDIENCE", "--force"),
                ("WITH_EXPECT", "\n a=b c \r\nd=$HOME\n\n*\n"),
                ("WITH_STS_ENDPOINT", "https://sts.example"),
                ("WITH_VERIFY_SIGNATURE", "false"),
                ("WITH_EXPORT_ENV", "true"),
                ("WITH_NO_PROXY", "false"),
                ("RUNNER_DEBUG", "1"),
                ("EQUINIX_WIF_OUTPUT", "elsewhere"),
                ("EQUINIX_WIF_VERIFY_SIGNATURE", "true"),
            ],
        );
        run.ends_with(6);
        let expected = "<token>\n<--format=github>\n<--scope=roleassignments:o>\n<--audience=--force>\n\
                        <--sts-endpoint=https://sts.example>\n<--expect=a=b c>\n<--expect=d=$HOME>\n<--expect=*>\n\
                        <--export-env>\n<--verbose>";
        assert_eq!(run.saw("arguments"), expected);
        assert_eq!(run.saw("environment"), "EQUINIX_WIF_VERIFY_SIGNATURE=false");
        assert_eq!(run.saw("stdin"), "");
    }

    /// Neither identity nor checks nor the token's way are changed by what an earlier step has left; other settings hold.
    pub(super) fn no_variable_changes_whose_token_it_is_and_where_it_goes() {
        let world = World::new();
        let program = world.path("program");
        let script = "#!/bin/sh\nprintf '<%s>' \"$@\" >\"$SEEN/arguments\"\nenv | grep ^EQUINIX_ | sort >\"$SEEN/environment\"\n";
        executable(&program, script);
        let taken_away = taken_away();
        let planted = taken_away.iter().map(|name| (name.as_str(), "planted"));
        let more = [("BINARY", program.to_str().unwrap()), ("EQUINIX_WIF_TIMEOUT", "9")];
        let variables: Vec<_> = planted.chain(more).collect();
        let run = world.script("token.sh", &variables);
        run.ends_with(0);
        assert_eq!(run.saw("environment"), "EQUINIX_WIF_TIMEOUT=9");
        assert_eq!(run.saw("arguments"), "<token><--format=github>");
        // An input is obeyed all the same.
        let inputs = [
            ("WITH_PROVIDER", "file"),
            ("WITH_SUBJECT_TOKEN_FILE", "f"),
            ("WITH_VALIDATION", "strict"),
            ("WITH_EXPORT_ENV", "false"),
        ];
        let run = world.script("token.sh", &[&variables[..], &inputs].concat());
        run.ends_with(0);
        assert_eq!(run.saw("environment"), "EQUINIX_WIF_TIMEOUT=9");
        let expected =
            "<token><--format=github><--provider=file><--subject-token-file=f><--validation=strict>";
        assert_eq!(run.saw("arguments"), expected);
        // The program itself would have obeyed each.
        let usage = file("docs/reference/settings.md");
        for name in
            ["PROVIDER", "SUBJECT_TOKEN_FILE", "VALIDATION", "FORMAT", "OUTPUT", "EXPORT_ENV", "REPORT"]
        {
            assert!(taken_away.contains(&format!("EQUINIX_WIF_{name}")), "{name}");
        }
        for name in taken_away {
            assert!(usage.contains(&format!("`{name}`")), "{name} is no setting");
        }
    }
}

mod definition {
    use super::*;

    /// Names with description and the other member, of `inputs` or `outputs`.
    fn section(name: &str) -> Vec<(String, String, String)> {
        let action = file("action.yml");
        let (_, rest) = action.split_once(&format!("\n{name}:\n")).unwrap();
        let lines: Vec<&str> = rest.lines().take_while(|line| line.starts_with("  ")).collect();
        assert_eq!(lines.len() % 3, 0, "{name}: each has a description and one more member");
        let member = |line: &str, name: &str| {
            let value =
                line.strip_prefix(&format!("    {name}: ")).unwrap_or_else(|| panic!("{line}: no {name}"));
            value.trim_matches('"').to_owned()
        };
        let other = if name == "inputs" { "default" } else { "value" };
        lines
            .chunks(3)
            .map(|chunk| {
                let name = chunk[0].trim().strip_suffix(':').unwrap().to_owned();
                (name, member(chunk[1], "description"), member(chunk[2], other))
            })
            .collect()
    }

    fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
        let text = file(page);
        let lines = text.lines().skip_while(|line| *line != heading);
        let table =
            lines.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
        table
            .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
            .collect()
    }

    fn code(text: &str) -> String {
        format!("`{text}`")
    }

    fn spans(text: &str) -> Vec<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    pub(super) fn the_page_has_the_inputs_and_outputs() {
        let inputs = section("inputs");
        let table = rows("docs/reference/github-action.md", "## Inputs");
        let told: Vec<_> = table.iter().map(|row| (row[0].clone(), row[2].clone())).collect();
        let defined: Vec<_> = inputs.iter().map(|(name, about, _)| (code(name), about.clone())).collect();
        assert_eq!(told, defined);
        // What is empty is the program's to decide, so that a default stands in one place only.
        assert!(inputs.iter().all(|(_, about, default)| !about.is_empty() && default.is_empty()));
        let settings = rows("docs/reference/settings.md", "# Settings");
        let taken_away = taken_away();
        for row in &table {
            let name = row[0].trim_matches('`');
            let Some(setting) = settings
                .iter()
                .find(|setting| spans(&setting[0])[0].split(' ').next() == Some(&format!("--{name}")))
            else {
                assert!(
                    ["version", "sha256", "mirror-url", "binary-path", "install-only"].contains(&name),
                    "{name}"
                );
                continue;
            };
            let variables = spans(&setting[1])
                .into_iter()
                .filter(|span| span.starts_with(|c: char| c.is_ascii_uppercase()));
            let defaults = spans(&setting[2]).into_iter().filter(|_| !setting[2].starts_with("required"));
            // Those that an earlier step may not use are taken away.
            let (gone, variables): (Vec<_>, Vec<_>) =
                variables.partition(|name| taken_away.contains(&(*name).to_owned()));
            for variable in gone {
                assert!(!spans(&row[1]).contains(&variable), "{name} has {variable}: {}", row[1]);
            }
            for variable in variables.into_iter().chain(defaults) {
                assert!(spans(&row[1]).contains(&variable), "{name} has {variable}: {}", row[1]);
            }
            for word in ["none", "off"] {
                assert_eq!(setting[2] == word, row[1].ends_with(word), "{name}: {}", row[1]);
            }
        }
        let told: Vec<_> = rows("docs/reference/github-action.md", "## Outputs")
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        let defined: Vec<_> =
            section("outputs").into_iter().map(|(name, about, _)| (code(&name), about)).collect();
        assert_eq!(told, defined);
    }

    pub(super) fn outputs_are_those_of_the_program() {
        let usage = file("docs/reference/formats.md");
        let (_, shown) = usage.split_once("```text\naccess-token<<").unwrap();
        let (shown, _) = shown.split_once("```").unwrap();
        let mut known: BTreeSet<String> =
            shown.lines().filter_map(|line| line.split_once("<<")).map(|(name, _)| name.to_owned()).collect();
        known.extend(["access-token", "error-code", "reason"].map(ToOwned::to_owned));
        let outputs = section("outputs");
        for (name, _, value) in &outputs {
            let expected = match name.as_str() {
                "binary-path" => "steps.binary.outputs.path".to_owned(),
                "error-code" => {
                    "steps.binary.outputs.error-code || steps.token.outputs.error-code".to_owned()
                }
                _ => format!("steps.token.outputs.{name}"),
            };
            assert_eq!(*value, format!("${{{{ {expected} }}}}"));
        }
        let mut outputs: BTreeSet<String> = outputs.into_iter().map(|(name, ..)| name).collect();
        assert!(outputs.remove("binary-path"));
        assert_eq!(outputs, known);
    }

    /// Whatever a caller gives is data: it reaches the scripts as a variable of its name, and each variable is an input.
    pub(super) fn nothing_is_put_into_a_script() {
        let action = file("action.yml");
        // Read by the step's own shell: another one would take as long as unpacking.
        let runs: Vec<&str> = action.split("      run: ").skip(1).collect();
        assert_eq!(runs.len(), 2);
        for (run, script) in runs.into_iter().zip(["binary", "token"]) {
            let whole = format!(
                "|\n        # shellcheck source=/dev/null\n        . \"${{GITHUB_ACTION_PATH//\\\\//}}/action/{script}.sh\"\n"
            );
            assert!(run.starts_with(&whole), "{run}");
            let next = run.strip_prefix(&whole).unwrap().lines().next().unwrap();
            assert!(next.starts_with("      env:"), "{next}");
        }
        assert_eq!(action.matches("shell: bash\n").count(), 2);
        let mut given = BTreeSet::new();
        for line in action.lines().filter(|line| line.trim().starts_with("WITH_")) {
            let (variable, expression) = line.trim().split_once(": ").unwrap();
            let input = variable.strip_prefix("WITH_").unwrap().to_lowercase().replace('_', "-");
            assert_eq!(expression, format!("${{{{ inputs.{input} }}}}"));
            given.insert(input);
        }
        assert_eq!(given, section("inputs").into_iter().map(|(name, ..)| name).collect());
        assert_eq!(
            action.matches("inputs.").count(),
            given.len() + 1,
            "both steps have no-proxy, and nothing else is there"
        );
    }

    pub(super) fn what_a_release_writes_has_its_place() {
        let action = file("action.yml");
        let (_, rest) = action.split_once("        # digests: written by .ci/write-digests\n").unwrap();
        let (block, _) = rest.split_once("        # end of digests\n").unwrap();
        let mut lines = block.lines();
        let version = lines.next().unwrap().strip_prefix("        RELEASE_VERSION: \"").unwrap();
        let version = version.strip_suffix('"').unwrap();
        let digests = lines.next().unwrap();
        if version.is_empty() {
            assert_eq!(digests, "        RELEASE_DIGESTS: \"\"");
            assert_eq!(lines.next(), None);
        } else {
            assert_eq!(digests, "        RELEASE_DIGESTS: |");
            let archives: BTreeSet<String> = lines
                .map(|line| {
                    let (digest, name) = line.trim().split_once("  ").unwrap();
                    assert!(digest.len() == 64 && line.starts_with("          "), "{line}");
                    name.to_owned()
                })
                .collect();
            let expected = rows("docs/reference/github-action.md", "## Runners")
                .into_iter()
                .map(|row| format!("equinix-wif-{version}-{}.tar.gz", row[1].trim_matches('`')));
            assert_eq!(archives, expected.collect());
        }
        let script = file("action/binary.sh");
        for row in rows("docs/reference/github-action.md", "## Runners") {
            let runner = row[0].replace(", ", "-");
            assert!(script.contains(&format!("  {runner}) target={}", row[1].trim_matches('`'))), "{runner}");
        }
    }

    pub(super) fn the_page_has_the_codes() {
        let table = rows("docs/reference/github-action.md", "## Error codes of the action");
        let told: Vec<_> = table.iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(told, CODES);
        let list = String::from_utf8(Command::new(BIN).arg("explain").output().unwrap().stdout).unwrap();
        let programs: Vec<(&str, &str)> = list
            .lines()
            .map(|line| line.split_once("  exit ").unwrap())
            .map(|(name, rest)| (name.trim(), rest.split_whitespace().next().unwrap()))
            .collect();
        let scripts = ["action/binary.sh", "action/token.sh"].map(file).concat();
        let mut used = BTreeSet::new();
        for (at, _) in scripts.match_indices("fail ") {
            let mut words = scripts[at..].split_whitespace().skip(1);
            let (Some(status), Some(name)) = (words.next(), words.next()) else { continue };
            if let Some(row) = table.iter().find(|row| row[0].trim_matches('`') == name) {
                assert_eq!(row[1], status, "{name}");
                assert!(programs.iter().any(|(_, exit)| *exit == status), "{name}: {status}");
                used.insert(name);
            }
        }
        assert_eq!(used, CODES.into_iter().collect());
        for name in CODES {
            assert!(programs.iter().all(|(known, _)| *known != name), "{name} is the program's");
        }
        // Codes of the program that the page names exist.
        let page = file("docs/github-action.md");
        for rest in page.split("error-code != '").skip(1) {
            let name = rest.split('\'').next().unwrap();
            assert!(programs.iter().any(|(known, _)| *known == name), "{name}");
        }
    }

    const SCRIPTS: [&str; 3] = ["action/binary.sh", "action/lib.sh", "action/token.sh"];

    pub(super) fn the_scripts_are_old_enough() {
        for name in SCRIPTS {
            let text = file(name);
            // What bash 3.2 on macOS does not know.
            for new in [
                "mapfile",
                "readarray",
                "declare -A",
                "local -n",
                "|&",
                "&>>",
                ",,}",
                "^^}",
                "@Q}",
                "coproc",
                "[-1]",
                "${!",
            ] {
                assert!(!text.contains(new), "{name} has {new}");
            }
            assert!(!text.contains('\r'));
            assert!(text.lines().all(|line| line.len() <= 200), "{name}");
        }
    }

    pub(super) fn shellcheck_finds_nothing() {
        let mut shellcheck = judge("shellcheck");
        let output = shellcheck.arg("-x").args(SCRIPTS).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    pub(super) fn zizmor_finds_nothing() {
        let mut zizmor = judge("zizmor");
        zizmor.args(["--offline", "--no-progress", "--persona", "pedantic", "action.yml"]);
        let output = zizmor.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("No findings"), "{told}");
    }

    /// A program that judges what others have written.
    fn judge(tool: &str) -> Command {
        let path = root().join("tests/foreign/workflows/.venv/bin").join(tool);
        need(tool, Command::new(&path).arg("--version"), INSTALL);
        let mut command = Command::new(path);
        command.current_dir(root());
        command
    }
}
