//! The `sandbox` command: a CI platform's issuer, an Equinix STS and Equinix's classic API on this machine, and a job
//! between them.
//!
//! Everything is made up, but nothing is skipped: the issuer signs, the STS verifies, and the program under it is
//! the real one. The servers listen on 127.0.0.1 only and speak plain http, which the program accepts for
//! loopback addresses. Nothing is reached beyond them. One thing is different: tokens are signed with ES256, and
//! not with RS256 as the platforms do, since ring cannot generate an RSA key and none is kept in the repository.
//!
//! Without a command the main job runs and its story is told; with one, the command runs in its place, in an
//! environment like that of the platform's jobs.
//!
//! An interrupted sandbox leaves its temporary folder behind. What lies in it is worth nothing.

#[cfg(feature = "classic-grants")]
mod api;
mod facts;
mod fault;
mod issuer;
mod job;
mod keys;
mod policies;
mod story;
mod sts;
mod wire;

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

pub use fault::Fault;

#[cfg(feature = "classic-grants")]
use self::api::Api;
use self::issuer::Issuer;
use self::job::{Place, Prepared};
use self::story::{Handover, Story};
use self::sts::{Callers, Sts, Trust, TrustedSubject};
use self::wire::{Entry, Running, lock, serve};
use crate::child;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::platform::github::names as github_names;
use crate::report::console::Console;
use crate::text::Redactor;

/// The CI platform that the sandbox behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedPlatform {
    /// GitHub Actions, on an Enterprise Server.
    Github,
    /// GitLab CI.
    Gitlab,
    /// None: a laptop, with a client secret in place of an identity.
    #[cfg(feature = "classic-grants")]
    Nowhere,
}

impl SimulatedPlatform {
    /// Every platform, the default one first.
    pub const ALL: &[Self] = &[
        Self::Github,
        Self::Gitlab,
        #[cfg(feature = "classic-grants")]
        Self::Nowhere,
    ];

    /// The name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            #[cfg(feature = "classic-grants")]
            Self::Nowhere => "none",
        }
    }

    /// Tells whether the platform gives its jobs ID tokens.
    pub const fn has_identity(self) -> bool {
        match self {
            Self::Github | Self::Gitlab => true,
            #[cfg(feature = "classic-grants")]
            Self::Nowhere => false,
        }
    }

    /// The arguments of the main job's program.
    const fn main_job(self) -> &'static [&'static str] {
        if self.has_identity() {
            &["token"]
        } else {
            &["token", "--grant", "client-credentials", "--format", "json"]
        }
    }

    /// The platform of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|platform| platform.id() == name)
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Github => "GitHub Actions (Enterprise Server)",
            Self::Gitlab => "GitLab CI",
            #[cfg(feature = "classic-grants")]
            Self::Nowhere => "none, as on a laptop",
        }
    }
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The platform to behave like.
    pub platform: SimulatedPlatform,
    /// The fault to show.
    pub fault: Option<Fault>,
    /// The command with its arguments; none is the main job with its story.
    pub command: Vec<OsString>,
}

/// Runs the command in the sandbox and returns the exit status to pass on.
///
/// The story of the main job goes to `stdout`; a command of the user's has standard input, output and error to
/// itself, but for one line on the console beforehand.
pub fn run(options: &Options, env: &Env, stdout: &mut dyn Write, console: &Console) -> Result<u8, Error> {
    if let Some(fault) =
        options.fault.filter(|fault| options.command.is_empty() && !fault.is_met_on(options.platform))
    {
        let met = SimulatedPlatform::ALL.iter().filter(|platform| fault.is_met_on(**platform));
        let met: Vec<_> = met.map(|platform| format!("--platform {}", platform.id())).collect();
        let (fault, platform) = (fault.id(), options.platform.id());
        return Err(Error::new(
            Code::CfgValueInvalid,
            format!("the main job on the platform {platform} does not meet the fault {fault}"),
        )
        .with_cure(format!("Use {}, or give a command after --.", met.join(" or "))));
    }
    let sandbox = Sandbox::start(options.platform, options.fault)?;
    let folder = Folder::create(env)?;
    let job = sandbox.prepare(&folder.0)?;
    let program =
        std::env::current_exe().map_err(|error| failed("this program cannot find itself", &error))?;
    let programs = program.parent();
    match options.command.split_first() {
        None => {
            let mut main_job = Command::new(&program);
            main_job.args(options.platform.main_job());
            sandbox.narrate(main_job, programs, job, &folder.0, stdout)
        }
        Some((command, arguments)) => {
            let fault = options.fault.map_or_else(String::new, |fault| format!(" ({})", fault.about()));
            console.note(&format!(
                "sandbox: issuer, STS, job and tokens are made up; nothing here is real{fault}"
            ));
            let mut running = Command::new(command);
            running.args(arguments).env_clear().envs(job::environment(std::env::vars_os(), job, programs));
            running.status().map(child::status_of).map_err(|error| child::not_started(command, &error))
        }
    }
}

/// The secrets of this run, so that they can be cut out of what is shown.
type Hush = Arc<Mutex<Redactor>>;

/// The servers.
struct Sandbox {
    platform: SimulatedPlatform,
    fault: Option<Fault>,
    issuer: Running<Issuer>,
    sts: Running<Sts>,
    #[cfg(feature = "classic-grants")]
    api: Running<Api>,
    hush: Hush,
}

impl Sandbox {
    fn start(platform: SimulatedPlatform, fault: Option<Fault>) -> Result<Self, Error> {
        let hush = Hush::default();
        let callers = Callers::default();
        #[cfg(feature = "classic-grants")]
        let api = serve(|_| Api::new(fault, Arc::clone(&callers), Arc::clone(&hush)))?;
        let issuer = serve(|base| Issuer::new(platform, fault, base, Arc::clone(&hush)))?;
        let sts = serve(|base| {
            let trust = Trust {
                issuer: issuer.service.id(),
                client_ids: vec![job::AUDIENCE.to_owned()],
                keys: issuer.service.key().published(),
            };
            let scopes = policies::ALL.iter().map(|policy| policy.ern).chain([job::SCOPE]);
            let subject = issuer.service.subject();
            let grants = scopes
                .map(|scope| TrustedSubject { subject: subject.clone(), scope: scope.to_owned() })
                .collect();
            Ok(Sts::new(base, vec![trust], grants, Arc::clone(&callers), fault, Arc::clone(&hush)))
        })?;
        Ok(Self {
            platform,
            fault,
            issuer,
            sts,
            #[cfg(feature = "classic-grants")]
            api,
            hush,
        })
    }

    /// Sets a job up in the folder.
    fn prepare(&self, folder: &Path) -> Result<Prepared, Error> {
        let place = Place { issuer: &self.issuer.base, sts: &self.sts.base, folder };
        let issuer = &self.issuer.service;
        let mut job = match self.platform {
            SimulatedPlatform::Github => job::prepare(self.platform, &place, issuer.bearer()),
            SimulatedPlatform::Gitlab => {
                job::prepare(self.platform, &place, &issuer.mint(Some(job::AUDIENCE))?)
            }
            #[cfg(feature = "classic-grants")]
            SimulatedPlatform::Nowhere => job::prepare(self.platform, &place, issuer.bearer()),
        };
        #[cfg(feature = "classic-grants")]
        self.api.service.store(&self.api.base, folder, &mut job);
        // A failure that never passes is retried until the deadline, which nobody wants to wait for here.
        if self.fault == Some(Fault::ServerError) {
            job.set([(names::TIMEOUT, "5")]);
        }
        for folder in &job.folders {
            private_folders().recursive(true).create(folder).map_err(|error| unwritable(folder, &error))?;
        }
        for (file, content) in &job.files {
            fs::write(file, content).map_err(|error| unwritable(file, &error))?;
        }
        Ok(job)
    }

    /// The requests to the classic API.
    #[cfg(feature = "classic-grants")]
    fn api_log(&self) -> Vec<Entry> {
        self.api.log()
    }

    /// Without the classic grants there is no classic API.
    #[cfg(not(feature = "classic-grants"))]
    #[expect(clippy::unused_self, reason = "the other build has a server to ask")]
    fn api_log(&self) -> Vec<Entry> {
        Vec::new()
    }

    /// Runs the child in the job and tells what happened.
    fn narrate(
        &self,
        mut main_job: Command,
        programs: Option<&Path>,
        job: Prepared,
        folder: &Path,
        stdout: &mut dyn Write,
    ) -> Result<u8, Error> {
        let outputs = job.get(github_names::GITHUB_OUTPUT).map(PathBuf::from);
        let output = main_job
            .env_clear()
            .envs(job::environment(std::env::vars_os(), job, programs))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed("this program cannot run itself", &error))?;
        let out = String::from_utf8_lossy(&output.stdout);
        // GitHub's runner names the file beforehand; on GitLab the program tells it. Only files in the
        // sandbox's own folder are looked at.
        let handover = outputs.unwrap_or_else(|| PathBuf::from(out.trim_end()));
        let status = child::status_of(output.status);
        let story = story::tell(&Story {
            platform: self.platform,
            fault: self.fault,
            claims: self.issuer.service.last_claims().as_ref(),
            issuer_log: &self.issuer.log(),
            sts_log: &self.sts.log(),
            api_log: &self.api_log(),
            status,
            stdout: &out,
            stderr: &String::from_utf8_lossy(&output.stderr),
            handover: Some(handover).filter(|path| path.starts_with(folder)).and_then(|path| read(&path)),
            scrub: &|line| lock(&self.hush).scrub(line).0,
        });
        stdout.write_all(story.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
            let code =
                if error.kind() == io::ErrorKind::BrokenPipe { Code::OutClosed } else { Code::OutWrite };
            Error::new(code, format!("the story could not be written: {error}"))
        })?;
        Ok(status)
    }
}

/// The servers with a job that stays, for a program that outlives a single command.
#[cfg(feature = "service")]
pub struct Job {
    sandbox: Sandbox,
    prepared: Prepared,
    /// Removed at the end.
    _folder: Folder,
}

#[cfg(feature = "service")]
impl Job {
    /// Starts the servers, and sets up a job of the default platform.
    pub fn start(env: &Env) -> Result<Self, Error> {
        let sandbox = Sandbox::start(SimulatedPlatform::Github, None)?;
        let folder = Folder::create(env)?;
        let prepared = sandbox.prepare(&folder.0)?;
        Ok(Self { sandbox, prepared, _folder: folder })
    }

    /// The base URL of the classic API.
    pub fn api(&self) -> &str {
        &self.sandbox.api.base
    }

    /// The made-up client of the classic API: its id and its secret.
    pub fn client(&self) -> (String, String) {
        self.sandbox.api.service.client()
    }

    /// The environment of the job.
    pub fn environment(
        &self,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        job::environment(inherited, self.prepared.clone(), None)
    }
}

/// The file that a job hands its result over in; `None` when it wrote nothing.
fn read(path: &Path) -> Option<Handover> {
    let text = fs::read_to_string(path).ok().filter(|text| !text.is_empty())?;
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|metadata| metadata.mode() & 0o7777)
    };
    #[cfg(not(unix))]
    let mode = None;
    Some(Handover { text, mode })
}

/// A folder that only this user can enter. It is removed with everything in it at the end.
struct Folder(PathBuf);

impl Folder {
    fn create(env: &Env) -> Result<Self, Error> {
        let parent = env.os(names::TMPDIR).map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = parent.join(format!("equinix-wif-sandbox-{}", crate::random::hex()?));
        // The job's variables must hold wherever the command goes.
        let folder = std::path::absolute(&folder).map_err(|error| unwritable(&folder, &error))?;
        private_folders().create(&folder).map_err(|error| unwritable(&folder, &error))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears its temporary folder when this cannot.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Makes folders with mode 0700, where the system has modes.
fn private_folders() -> fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    failed(&format!("{} cannot be created", path.display()), error)
}

fn failed(what: &str, error: &dyn Display) -> Error {
    Error::new(Code::SandboxFailed, format!("{what}: {error}"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::report::console::{Verbosity, captured};

    /// Status, stdout and stderr of a run whose temporary folder is then empty again.
    fn sandboxed(platform: SimulatedPlatform, command: &[&str]) -> (u8, String, String) {
        let temp = tempfile::tempdir().unwrap();
        let env = Env::fixed([(names::TMPDIR, temp.path())]);
        let options =
            Options { platform, fault: None, command: command.iter().map(OsString::from).collect() };
        let mut out = Vec::new();
        let (console, lines) = captured::console(Verbosity::Normal, false);
        let status = run(&options, &env, &mut out, &console).unwrap_or_else(|error| {
            console.error(&error);
            error.code().exit().status()
        });
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "the folder is gone");
        (status, String::from_utf8(out).unwrap(), lines.text())
    }

    #[test]
    fn platforms_are_found_by_their_name() {
        for platform in SimulatedPlatform::ALL {
            assert_eq!(SimulatedPlatform::by_name(platform.id()), Some(*platform));
        }
        assert_eq!(SimulatedPlatform::by_name("GitHub"), None);
    }

    #[test]
    fn a_command_runs_as_a_job_and_its_status_is_passed_on() {
        let github = r#"
            test "$GITHUB_ACTIONS$CI" = truetrue && test -z "$CI_JOB_ID" && test ! -s "$GITHUB_OUTPUT" &&
            test -w "$GITHUB_ENV" && test -d "$GITHUB_WORKSPACE" && test -s "$GITHUB_EVENT_PATH" &&
            test "$(ls -ld "$RUNNER_TEMP" | cut -c 1-10)" = drwx------ && command -v sh > /dev/null && exit 7"#;
        let (status, out, err) = sandboxed(SimulatedPlatform::Github, &["sh", "-c", github]);
        assert_eq!((status, out.as_str()), (7, ""));
        assert_eq!(
            err,
            "equinix-wif: sandbox: issuer, STS, job and tokens are made up; nothing here is real\n"
        );
        let gitlab = r#"
            test "$GITLAB_CI" = true && test -z "$GITHUB_ACTIONS" && test -d "$CI_PROJECT_DIR.tmp" &&
            test -n "$EQUINIX_WIF_SUBJECT_TOKEN" && kill -TERM $$"#;
        assert_eq!(sandboxed(SimulatedPlatform::Gitlab, &["sh", "-c", gitlab]).0, 128 + 15);
    }

    #[test]
    fn a_command_that_cannot_run_gives_a_shell_s_status() {
        let (status, out, err) = sandboxed(SimulatedPlatform::Github, &["no-such-command-anywhere"]);
        assert_eq!((status, out.as_str()), (127, ""));
        assert!(err.contains("the command \"no-such-command-anywhere\" was not found"), "{err}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let (status, _, err) = sandboxed(SimulatedPlatform::Github, &[file.path().to_str().unwrap()]);
        assert_eq!(status, 126);
        assert!(err.contains("cannot be run"), "{err}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let env = Env::fixed([(names::TMPDIR, "/dev/null")]);
        let options =
            Options { platform: SimulatedPlatform::Github, fault: None, command: vec!["true".into()] };
        let (console, _) = captured::console(Verbosity::Normal, false);
        let error = run(&options, &env, &mut Vec::new(), &console).unwrap_err();
        assert_eq!(error.code().name(), "sandbox-failed");
    }

    /// Tells the story of a script that stands in for the main job.
    fn narrated(platform: SimulatedPlatform, script: &str) -> (u8, String) {
        let temp = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        let sandbox = Sandbox::start(platform, None).unwrap();
        let job = sandbox.prepare(temp.path()).unwrap();
        let mut out = Vec::new();
        let status = sandbox.narrate(shell, None, job, temp.path(), &mut out).unwrap();
        (status, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_story_shows_what_the_child_left_and_none_of_its_secrets() {
        let script = r#"
            echo "bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" >&2
            printf '\033[31mred ::set-env::x\n' >&2
            printf 'access-token<<x\nsecret\nx\nscope<<x\ns\nx\n' >> "$GITHUB_OUTPUT"
            exit 3"#;
        let (status, story) = narrated(SimulatedPlatform::Github, script);
        assert_eq!(status, 3);
        for line in
            ["  | bearer ***", "  | [31mred : :set-env: :x", "  access-token  ***", "  scope         s"]
        {
            assert!(story.lines().any(|told| told == line), "{line} is not in:\n{story}");
        }

        let script = r#"
            file="$CI_PROJECT_DIR.tmp/env"
            echo "export EQUINIX_API_TOKEN='$EQUINIX_WIF_SUBJECT_TOKEN'" > "$file"
            chmod 640 "$file"
            echo "$file""#;
        let (status, story) = narrated(SimulatedPlatform::Gitlab, script);
        assert_eq!(status, 0);
        for line in ["  mode          0640", "  exports       EQUINIX_API_TOKEN"] {
            assert!(story.lines().any(|told| told == line), "{line} is not in:\n{story}");
        }
        assert!(!story.contains("eyJ"), "{story}");
    }
}
