//! A CI job to run the program in: its environment, its files, its issuer and its STS.
//!
//! Everything has a well-behaved default, so a test names only what it is about. After each run the harness checks
//! what no test may forget: no secret in any output that is not its sink, none sent to a server that it is not for,
//! and on GitHub a mask before anything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::documents;
use super::leak::{Kind, Secrets};
use super::outcome::{Outcome, Scene, files_below};
use super::process::{Capture, Process, Running};
use super::scratch;
use super::server::{Bound, Moment, Queue, Reply, Request, Script, Watch};
use super::tls::{self, Leaf};
use super::token::{self, Facts, Token};
use super::worlds;

/// The audience that jobs ask for unless told otherwise.
pub const AUDIENCE: &str = "https://sts.eqix.equinix.example/metal";
/// The scope that jobs ask for unless told otherwise.
pub const SCOPE: &str = "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013";
/// The variable in which a GitLab job finds its ID token.
pub const SUBJECT_TOKEN: &str = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN";
/// A mask that was written before the request is here long before this.
const MASK_GRACE: Duration = Duration::from_secs(2);

/// Changes the claims of each token that is minted.
type ClaimsChange = Arc<dyn Fn(&mut Map<String, Value>) + Send + Sync>;
/// Makes the token's text.
type Finish = Arc<dyn Fn(Token) -> String + Send + Sync>;
/// Answers in place of the server's default, when it wants to.
type Hook = Box<dyn FnMut(&Request) -> Option<Reply> + Send>;

/// The access tokens that the STS has given.
pub type Issued = Arc<Mutex<Vec<AccessToken>>>;

/// An access token that the STS has given.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub text: String,
    /// When it was given.
    pub at: Instant,
    /// How long it lives.
    pub life: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Github,
    Gitlab,
    Forgejo,
    #[cfg(unix)]
    Buildkite,
    Azure,
    Vela,
    Google,
    Bare,
    /// A system with ready tokens.
    Of(&'static World),
}

/// A system that hands over a ready ID token. Its variables and claims are in the file that tests it.
#[derive(Debug, PartialEq, Eq)]
pub struct World {
    /// The variable with the ID token; none where it is elsewhere.
    pub token: Option<&'static str>,
    /// The variables of its jobs. `{…}` are facts of the job: `issuer`, `host` of it, `root`.
    pub variables: &'static [(&'static str, &'static str)],
    /// The file in which the platform's own format puts the access token, if it has one.
    pub sink: Option<&'static str>,
    /// The issuer, with the issuer's base URL as `{issuer}`.
    pub issuer: &'static str,
    /// The claims of its tokens besides issuer, audience and times, as JSON. `{…}` as above.
    pub claims: &'static str,
}

impl World {
    fn fill(text: &str, issuer: &str, root: &Path) -> String {
        let host = issuer.split_once("://").map_or(issuer, |(_, host)| host);
        text.replace("{issuer}", issuer).replace("{host}", host).replace("{root}", &root.to_string_lossy())
    }
}

impl Platform {
    /// Where ID tokens are asked for.
    fn id_token_path(self) -> &'static str {
        if self == Self::Google { worlds::METADATA_PATH } else { "/idtoken" }
    }

    /// Whether the job has GitHub's folders, files and variables.
    fn is_like_github(self) -> bool {
        matches!(self, Self::Github | Self::Forgejo)
    }
}

/// A job that has not run yet.
#[must_use = "a job does nothing until `run`"]
pub struct Job {
    platform: Platform,
    folder: TempDir,
    facts: Facts,
    event: Value,
    issuer: Bound,
    sts: Bound,
    issuer_leaf: Option<Leaf>,
    sts_leaf: Option<Leaf>,
    issuer_replies: Vec<Reply>,
    sts_replies: Vec<Reply>,
    lives: VecDeque<u64>,
    issuer_hooks: Vec<Hook>,
    sts_hooks: Vec<Hook>,
    changes: Vec<ClaimsChange>,
    finish: Finish,
    minted: Arc<Mutex<Vec<String>>>,
    issued: Issued,
    env: Vec<(OsString, Option<OsString>)>,
    command: String,
    grant: Option<String>,
    scope: String,
    audience: String,
    dropped_flags: BTreeSet<String>,
    args: Vec<OsString>,
    tail: Vec<OsString>,
    only: Option<Vec<OsString>>,
    shell: Option<Vec<OsString>>,
    stdin: Option<Vec<u8>>,
    #[cfg(unix)]
    helper: Option<&'static str>,
    expected: Box<Expected>,
}

/// What the checks after a run have to know.
#[derive(Default)]
struct Expected {
    stdout: bool,
    stderr: bool,
    files: Vec<PathBuf>,
    refresh_token_files: Vec<PathBuf>,
    masks_unchecked: bool,
    leaves_token_file: bool,
    secrets: Secrets,
}

impl Job {
    /// A job on GitHub with `permissions: id-token: write`.
    pub fn github() -> Self {
        Self::new(Platform::Github)
    }

    /// A job on GitLab with its ID token in [`SUBJECT_TOKEN`].
    pub fn gitlab() -> Self {
        Self::new(Platform::Gitlab)
    }

    /// A job on Forgejo with `enable-openid-connect: true`.
    pub fn forgejo() -> Self {
        Self::new(Platform::Forgejo)
    }

    /// A job on Buildkite, with a program that plays its agent in [`Job::agent`].
    #[cfg(unix)]
    pub fn buildkite() -> Self {
        let (access, socket) = (token::random_text(40), token::random_text(40));
        Self::new(Platform::Buildkite)
            .helper("buildkite-agent", worlds::BUILDKITE_AGENT)
            .secret(&access)
            .secret(&socket)
            .env("BUILDKITE_AGENT_ACCESS_TOKEN", access)
            .env("BUILDKITE_AGENT_JOB_API_TOKEN", socket)
    }

    /// A build of CodeBuild, with a program that plays AWS's in [`Job::agent`].
    #[cfg(unix)]
    pub fn aws() -> Self {
        let secret = token::random_text(40);
        Self::of(&worlds::AWS)
            .helper("aws", worlds::AWS_CLI)
            .secret(&secret)
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret)
            .args(["--provider", "aws"])
    }

    /// Puts a helper program of this name into [`Job::agent`], which comes first in PATH, and an ID token of the job into the file
    /// `token` beside it.
    #[cfg(unix)]
    pub fn helper(mut self, program: &'static str, lines: &str) -> Self {
        self.helper = Some(program);
        self.agent_script(lines)
    }

    /// The folder with the helper program of the job, and with what it has noted.
    #[cfg(unix)]
    pub fn agent(&self) -> PathBuf {
        self.root().join("agent")
    }

    /// The lines of a shell that play the job's helper program, in place of well-behaved ones. `$here` is [`Job::agent`],
    /// where the ID token is in the file `token`.
    #[cfg(unix)]
    pub fn agent_script(self, lines: &str) -> Self {
        worlds::install_helper(&self.agent(), self.helper.unwrap(), lines);
        self
    }

    /// A job on Azure Pipelines, in a step that maps the access token.
    pub fn azure() -> Self {
        Self::new(Platform::Azure).without_flag("--audience")
    }

    /// A step on Vela with `id_request: write`.
    pub fn vela() -> Self {
        Self::new(Platform::Vela)
    }

    /// A build step or a machine of Google Cloud, whose metadata server is on this machine.
    pub fn google() -> Self {
        Self::new(Platform::Google).args(["--provider", "google"])
    }

    /// No CI at all.
    pub fn bare() -> Self {
        Self::new(Platform::Bare)
    }

    /// A job of another system.
    pub fn of(world: &'static World) -> Self {
        let job = Self::new(Platform::Of(world));
        match world.sink {
            Some(file) => job.token_in(file),
            None => job,
        }
    }

    fn new(platform: Platform) -> Self {
        let facts = Facts::default();
        let event = json!({
            "ref": format!("refs/heads/{}", facts.branch),
            "repository": {"full_name": facts.repository, "fork": false},
        });
        let job = Self {
            platform,
            folder: tempfile::Builder::new().prefix("equinix-wif-").tempdir_in(scratch::place()).unwrap(),
            facts,
            event,
            issuer: Bound::new(),
            sts: Bound::new(),
            issuer_leaf: None,
            sts_leaf: None,
            issuer_replies: Vec::new(),
            sts_replies: Vec::new(),
            lives: VecDeque::new(),
            issuer_hooks: Vec::new(),
            sts_hooks: Vec::new(),
            changes: Vec::new(),
            finish: Arc::new(|token| token.mint()),
            minted: Arc::default(),
            issued: Issued::default(),
            env: Vec::new(),
            command: "token".to_owned(),
            grant: None,
            scope: SCOPE.to_owned(),
            audience: AUDIENCE.to_owned(),
            dropped_flags: BTreeSet::new(),
            args: Vec::new(),
            tail: Vec::new(),
            only: None,
            shell: None,
            stdin: None,
            #[cfg(unix)]
            helper: None,
            expected: Box::default(),
        };
        // Thousands of jobs are made, so each gets no more than its platform has.
        let mut folders = vec![job.workspace(), job.runner_temp(), job.tmp()];
        if !platform.is_like_github() {
            folders.extend([job.project_dir(), job.project_tmp()]);
        }
        for folder in folders {
            fs::create_dir_all(folder).unwrap();
        }
        if platform.is_like_github() {
            for file in [job.output_path(), job.env_path(), job.summary_path()] {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
        }
        job
    }

    /// The folder that everything of the job is in.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// `GITHUB_WORKSPACE`.
    pub fn workspace(&self) -> PathBuf {
        self.root().join("work/metal-app/metal-app")
    }

    /// `RUNNER_TEMP`.
    pub fn runner_temp(&self) -> PathBuf {
        self.root().join("work/_temp")
    }

    /// `CI_PROJECT_DIR`.
    pub fn project_dir(&self) -> PathBuf {
        self.root().join("builds/octo-org/metal-app")
    }

    /// `${CI_PROJECT_DIR}.tmp`, the runner's own folder beside the checkout.
    pub fn project_tmp(&self) -> PathBuf {
        self.root().join("builds/octo-org/metal-app.tmp")
    }

    /// `TMPDIR`, so that a stray temporary file is found by the checks.
    pub fn tmp(&self) -> PathBuf {
        self.root().join("tmp")
    }

    /// `GITHUB_OUTPUT`.
    pub fn output_path(&self) -> PathBuf {
        self.runner_file("set_output")
    }

    /// `GITHUB_ENV`.
    pub fn env_path(&self) -> PathBuf {
        self.runner_file("set_env")
    }

    /// `GITHUB_STEP_SUMMARY`.
    pub fn summary_path(&self) -> PathBuf {
        self.runner_file("step_summary")
    }

    /// Where `--report` points.
    pub fn report_path(&self) -> PathBuf {
        self.root().join("report.json")
    }

    fn runner_file(&self, name: &str) -> PathBuf {
        let file = format!("_runner_file_commands/{name}_8c1f7a52-3be4-4c7e-9b1d-6f20d94c1a37");
        self.runner_temp().join(file)
    }

    /// The base URL of the fake issuer. Ask after [`Job::tls`].
    pub fn issuer_url(&self) -> String {
        self.issuer.url(self.issuer_leaf.is_some())
    }

    /// The base URL of the fake STS. Ask after [`Job::tls`].
    pub fn sts_url(&self) -> String {
        self.sts.url(self.sts_leaf.is_some())
    }

    /// The `iss` of this job's tokens.
    pub fn issuer(&self) -> String {
        match self.platform {
            Platform::Github | Platform::Vela => format!("{}/_services/token", self.issuer_url()),
            Platform::Forgejo => format!("{}/api/actions", self.issuer_url()),
            Platform::Gitlab | Platform::Bare => self.issuer_url(),
            Platform::Of(world) => World::fill(world.issuer, &self.issuer_url(), self.root()),
            Platform::Google => "https://accounts.google.com".to_owned(),
            Platform::Azure => format!("https://vstoken.dev.azure.com/{}", worlds::AZURE_ORGANIZATION),
            #[cfg(unix)]
            Platform::Buildkite => "https://agent.buildkite.com".to_owned(),
        }
    }

    /// The facts that the environment and the token agree on.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Sets a variable, also in place of a default one.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable.
    pub fn unset(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// The subcommand, in place of `token`. The flags for scope, audience and STS stay.
    pub fn command(mut self, command: &str) -> Self {
        command.clone_into(&mut self.command);
        self
    }

    /// `exec -- CMD…`.
    pub fn exec<A: Into<OsString>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.tail = command.into_iter().map(Into::into).collect();
        self.command("exec")
    }

    /// `exec` stays beside its command.
    pub fn renew(self) -> Self {
        self.arg("--renew")
    }

    /// The lives of the access tokens that the STS gives by default, in seconds. The last one is that of all further ones.
    pub fn lives(mut self, lives: impl IntoIterator<Item = u64>) -> Self {
        self.lives = lives.into_iter().collect();
        self.args(["--min-ttl", "0"])
    }

    /// The access tokens that the STS gives by default, for an API that takes them.
    pub fn issued(&self) -> Issued {
        Arc::clone(&self.issued)
    }

    /// The run is killed, so its token file may stay behind.
    pub fn leaves_token_file(mut self) -> Self {
        self.expected.leaves_token_file = true;
        self
    }

    /// Adds an argument after the default ones.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments after the default ones.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The whole command line, without the subcommand and flags that would come by themselves (also no `--report`).
    pub fn only_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.only = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves out one of the flags that come by themselves: `--scope`, `--audience`, `--sts-endpoint`, `--ca-file`.
    pub fn without_flag(mut self, flag: &str) -> Self {
        self.dropped_flags.insert(flag.to_owned());
        self
    }

    /// Does not ask for a report.
    pub fn without_report(self) -> Self {
        self.without_flag("--report")
    }

    /// The value of `--scope`.
    pub fn scope(mut self, scope: &str) -> Self {
        scope.clone_into(&mut self.scope);
        self
    }

    /// The value of `--audience`, and on GitLab the token's `aud`.
    pub fn audience(mut self, audience: &str) -> Self {
        audience.clone_into(&mut self.audience);
        self
    }

    /// Both servers speak TLS with good certificates, and `--ca-file` names their CA.
    pub fn tls(self) -> Self {
        self.issuer_tls(Leaf::Good).sts_tls(Leaf::Good)
    }

    /// The issuer speaks TLS with this certificate.
    pub fn issuer_tls(mut self, leaf: Leaf) -> Self {
        self.issuer_leaf = Some(leaf);
        self
    }

    /// The STS speaks TLS with this certificate.
    pub fn sts_tls(mut self, leaf: Leaf) -> Self {
        self.sts_leaf = Some(leaf);
        self
    }

    /// The next answer of the ID-token endpoint. When these are used up, the well-behaved ones follow.
    pub fn id_token_reply(mut self, reply: Reply) -> Self {
        self.issuer_replies.push(reply);
        self
    }

    /// The next answer of the STS. When these are used up, the well-behaved ones follow.
    pub fn sts_reply(mut self, reply: Reply) -> Self {
        self.sts_replies.push(reply);
        self
    }

    /// The next answers of the STS.
    pub fn sts_queue(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.sts_replies.extend(replies);
        self
    }

    /// What happens at the issuer, for the STS's script.
    pub fn watch_issuer(&self) -> Watch {
        self.issuer.watch()
    }

    /// What happens at the STS, for the issuer's script.
    pub fn watch_sts(&self) -> Watch {
        self.sts.watch()
    }

    /// Every answer of the ID-token endpoint.
    pub fn id_token_always(self, reply: Reply) -> Self {
        let path = self.platform.id_token_path();
        self.issuer_with(move |request| (request.path() == path).then(|| reply.clone()))
    }

    /// Every answer of the STS.
    pub fn sts_always(self, reply: Reply) -> Self {
        self.sts_with(move |_| Some(reply.clone()))
    }

    /// Decides on the issuer's answers; `None` leaves one to the default. Also for discovery and keys.
    pub fn issuer_with(mut self, hook: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Self {
        self.issuer_hooks.push(Box::new(hook));
        self
    }

    /// Decides on the STS's answers; `None` leaves one to the default.
    pub fn sts_with(mut self, hook: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Self {
        self.sts_hooks.push(Box::new(hook));
        self
    }

    /// Every good exchange is answered with this change to [`sts_success`].
    pub fn sts_answer(self, change: impl Fn(&mut Map<String, Value>) + Send + 'static) -> Self {
        self.sts_with(move |_| {
            let mut answer = sts_success();
            change(answer.as_object_mut().unwrap());
            Some(Reply::json(&answer))
        })
    }

    /// Changes the claims of every token of this job. The environment stays as it is.
    pub fn claims(mut self, change: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) -> Self {
        self.changes.push(Arc::new(change));
        self
    }

    /// Makes the text of every token of this job, e.g. with a real signature.
    pub fn mint_with(mut self, finish: impl Fn(Token) -> String + Send + Sync + 'static) -> Self {
        self.finish = Arc::new(finish);
        self
    }

    /// Another run than the default one, in the environment and in the token.
    pub fn with_facts(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }

    /// The event that started the run: `GITHUB_EVENT_NAME`, the token's `event_name`, and the payload.
    pub fn event(mut self, name: &str, payload: Value) -> Self {
        name.clone_into(&mut self.facts.event_name);
        self.event = payload;
        self
    }

    /// A pull request, from a fork or from the repository itself.
    pub fn pull_request(self, fork: bool) -> Self {
        let base = self.facts.repository.clone();
        let head = if fork { "contributor/metal-app".to_owned() } else { base.clone() };
        let payload = json!({
            "action": "synchronize",
            "number": 42,
            "pull_request": {
                "number": 42,
                "head": {"ref": "patch-1", "repo": {"full_name": head, "fork": fork}},
                "base": {"ref": self.facts.branch, "repo": {"full_name": base, "fork": false}},
            },
            "repository": {"full_name": base, "fork": false},
        });
        self.event("pull_request", payload)
    }

    /// The job has no `id-token: write`: the runner sets neither variable.
    pub fn without_id_token_permission(self) -> Self {
        self.unset("ACTIONS_ID_TOKEN_REQUEST_URL").unset("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    }

    /// What the program reads from stdin; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// What an earlier command of the step has written to `GITHUB_OUTPUT`.
    pub fn prefill_output(self, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.output_path(), bytes).unwrap();
        self
    }

    /// What an earlier command of the step has written to `GITHUB_ENV`.
    pub fn prefill_env(self, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.env_path(), bytes).unwrap();
        self
    }

    /// Puts a file below [`Job::root`], with the folders it needs.
    pub fn file(self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Runs this command in the job in place of the program, whose folder comes first in PATH. The program's
    /// arguments follow, after a name for `$0`: in `["sh", "-c", …]` the script sees them as `"$@"`.
    pub fn wrap_shell<A: Into<OsString>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        self.shell = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// The access token (with `id-token`: the ID token) may be on stdout.
    pub fn token_on_stdout(mut self) -> Self {
        self.expected.stdout = true;
        self
    }

    /// The token may be on stderr, on GitHub after its mask. For commands that run after or under the program.
    pub fn token_on_stderr(mut self) -> Self {
        self.expected.stderr = true;
        self
    }

    /// The token may be in this file.
    pub fn token_in(mut self, path: impl AsRef<Path>) -> Self {
        let path = self.root().join(path);
        self.expected.files.push(path);
        self
    }

    /// Gives up the checks that masks are there in time. For stand-ins of the program.
    pub fn masks_unchecked(mut self) -> Self {
        self.expected.masks_unchecked = true;
        self
    }

    /// Another secret, that may be nowhere.
    pub fn secret(mut self, secret: &str) -> Self {
        self.expected.secrets.add(Kind::Other, secret);
        self
    }

    /// Another secret, that may be in the `Authorization` header of a request to the STS and nowhere else.
    pub fn sts_bearer(mut self, secret: &str) -> Self {
        self.expected.secrets.add(Kind::StsBearer, secret);
        self
    }

    /// Another secret, that may be in the body of a request to the classic API and nowhere else.
    pub fn stored_secret(mut self, secret: &str) -> Self {
        self.expected.secrets.add(Kind::Stored, secret);
        self
    }

    /// Chooses a grant. One that needs no identity has no audience, and asks the server that plays the STS as the classic
    /// API too.
    pub fn grant(mut self, grant: &str) -> Self {
        self.grant = Some(grant.to_owned());
        self
    }

    /// Sets a client's id and secret, as Terraform names them.
    pub fn client(self) -> Self {
        let (id, secret) = (token::random_text(20), token::random_text(32));
        self.stored_secret(&id)
            .stored_secret(&secret)
            .env("EQUINIX_API_CLIENTID", id)
            .env("EQUINIX_API_CLIENTSECRET", secret)
    }

    /// Puts a refresh token into a file, which may hold a newer one afterwards.
    pub fn refresh_token_in(mut self, path: impl AsRef<Path>, refresh_token: &str) -> Self {
        let path = self.root().join(path);
        self.expected.refresh_token_files.push(path.clone());
        let job = self.stored_secret(refresh_token).file(&path, refresh_token);
        job.arg("--refresh-token-file").arg(path)
    }

    /// Names the file for a new refresh token.
    pub fn refresh_token_output(mut self, path: impl AsRef<Path>) -> Self {
        let path = self.root().join(path);
        self.expected.refresh_token_files.push(path.clone());
        self.arg("--refresh-token-output").arg(path)
    }

    /// An ID token as the platform would give it to this job now.
    pub fn mint(&self) -> String {
        self.minter().mint(&self.audience)
    }

    fn minter(&self) -> Minter {
        Minter {
            platform: self.platform,
            issuer: self.issuer(),
            root: self.root().to_owned(),
            facts: self.facts.clone(),
            changes: self.changes.clone(),
            finish: Arc::clone(&self.finish),
            minted: Arc::clone(&self.minted),
        }
    }

    /// The variables of the job.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
        let mut set = |name: &str, value: &dyn AsRef<OsStr>| env.insert(name.into(), value.as_ref().into());
        set("PATH", &self.path());
        set("TMPDIR", &self.tmp());
        // Windows cannot open a socket without the one; coverage is lost (and litters the workspace) without the other.
        for name in ["SystemRoot", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                set(name, &value);
            }
        }
        match self.platform {
            Platform::Github => self.github_environment(&mut set),
            Platform::Forgejo => {
                self.github_environment(&mut set);
                for (name, value) in worlds::forgejo_variables(&self.issuer_url()) {
                    set(name, &value);
                }
            }
            Platform::Gitlab => self.gitlab_environment(&mut set),
            Platform::Vela => {
                for (name, value) in worlds::vela_variables(&self.issuer_url(), &self.facts) {
                    set(name, &value);
                }
                set("VELA_BUILD_WORKSPACE", &self.workspace());
            }
            Platform::Google => {
                let url = self.issuer_url();
                set("GCE_METADATA_HOST", &url.strip_prefix("http://").unwrap_or(&url));
            }
            Platform::Azure => {
                for (name, value) in worlds::azure_variables(&self.issuer_url()) {
                    set(name, &value);
                }
                set("AGENT_TEMPDIRECTORY", &self.runner_temp());
                set("BUILD_SOURCESDIRECTORY", &self.workspace());
            }
            #[cfg(unix)]
            Platform::Buildkite => {
                for (name, value) in worlds::buildkite_variables(&self.facts) {
                    set(name, &value);
                }
                set("BUILDKITE_BUILD_CHECKOUT_PATH", &self.workspace());
            }
            Platform::Bare => {}
            Platform::Of(world) => self.world_environment(world, &mut set),
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => env.insert(name.clone(), value.clone()),
                None => env.remove(name),
            };
        }
        env
    }

    /// The folders with programs, that of the helper program first.
    fn path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        #[cfg(unix)]
        if self.helper.is_some() {
            let folders = std::iter::once(self.agent()).chain(std::env::split_paths(&path));
            return std::env::join_paths(folders).unwrap();
        }
        path
    }

    fn github_environment<T>(&self, set: &mut impl FnMut(&str, &dyn AsRef<OsStr>) -> T) {
        for (name, value) in self.facts.variables("github", &self.issuer_url()) {
            set(&name, &value.as_str().unwrap());
        }
        set("GITHUB_EVENT_PATH", &self.event_path());
        set("GITHUB_WORKSPACE", &self.workspace());
        set("GITHUB_OUTPUT", &self.output_path());
        set("GITHUB_ENV", &self.env_path());
        set("GITHUB_STEP_SUMMARY", &self.summary_path());
        set("RUNNER_TEMP", &self.runner_temp());
        set("ACTIONS_ID_TOKEN_REQUEST_URL", &format!("{}/idtoken?api-version=2.0", self.issuer_url()));
        set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &token::random_text(210));
    }

    fn gitlab_environment<T>(&self, set: &mut impl FnMut(&str, &dyn AsRef<OsStr>) -> T) {
        for (name, value) in self.facts.variables("gitlab", &self.issuer_url()) {
            set(&name, &value.as_str().unwrap());
        }
        set("CI_PROJECT_DIR", &self.project_dir());
        let replaced = self.env.iter().any(|(name, _)| name == SUBJECT_TOKEN);
        if !replaced {
            set(SUBJECT_TOKEN, &self.mint());
        }
    }

    fn world_environment<T>(&self, world: &World, set: &mut impl FnMut(&str, &dyn AsRef<OsStr>) -> T) {
        for (name, value) in world.variables {
            set(name, &World::fill(value, &self.issuer_url(), self.root()));
        }
        if let Some(variable) = world.token.filter(|token| !self.env.iter().any(|(name, _)| name == token)) {
            set(variable, &self.mint());
        }
    }

    fn event_path(&self) -> PathBuf {
        self.runner_temp().join("_github_workflow/event.json")
    }

    /// The program's arguments.
    fn command_line(&self) -> Vec<OsString> {
        if let Some(only) = &self.only {
            return only.clone();
        }
        let mut line = vec![OsString::from(&self.command)];
        let mut flag = |name: &str, value: &dyn AsRef<OsStr>| {
            if !self.dropped_flags.contains(name) {
                line.push(name.into());
                line.push(value.as_ref().into());
            }
        };
        let grant = self.grant.as_deref().unwrap_or("token-exchange");
        if let Some(grant) = &self.grant {
            flag("--grant", grant);
        }
        let asks_sts = ["token-exchange", "sts-client-credentials"].contains(&grant);
        if asks_sts {
            flag("--scope", &self.scope);
        }
        if grant == "token-exchange" {
            flag("--audience", &self.audience);
        } else {
            flag("--api-endpoint", &self.sts_url());
        }
        if asks_sts {
            flag("--sts-endpoint", &self.sts_url());
        }
        if self.issuer_leaf.or(self.sts_leaf).is_some() {
            flag("--ca-file", &tls::write_ca(self.root()));
        }
        flag("--report", &self.report_path());
        line.extend(self.args.iter().cloned());
        if !self.tail.is_empty() {
            line.push("--".into());
            line.extend(self.tail.iter().cloned());
        }
        line
    }

    /// Runs the program and checks what always has to hold.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts the program, for tests that do something to it while it runs.
    #[track_caller]
    pub fn start(mut self) -> Running {
        if self.platform.is_like_github() {
            fs::create_dir_all(self.event_path().parent().unwrap()).unwrap();
            fs::write(self.event_path(), self.event.to_string()).unwrap();
        }
        #[cfg(unix)]
        if self.helper.is_some() {
            fs::write(self.agent().join("token"), format!("{}\n", self.mint())).unwrap();
        }
        let env = self.environment();
        let args = self.command_line();
        let scene = self.scene(&env, &args);
        let process = Process::start(self.process_command(&env, &args), self.stdin.take());

        let masks = MaskWatch {
            // A shell may send the program's stderr to its stdout, where the runner looks as well.
            streams: process.streams(self.shell.is_some()),
            minted: Arc::clone(&self.minted),
            late: Arc::clone(&scene.late_masks),
            active: (scene.github || scene.azure) && !self.expected.masks_unchecked,
            command: if scene.azure { "##vso[task.setsecret]" } else { "::add-mask::" },
            redactions: scene.redactions.clone(),
        };
        let script =
            IssuerScript { minter: self.minter(), bearer: bearer_of(&env), hooks: self.issuer_hooks };
        let queue = Queue::before(script);
        let path = self.platform.id_token_path();
        let queue = self.issuer_replies.into_iter().fold(queue, |queue, reply| queue.at(path, reply));
        let issuer = self.issuer.serve(self.issuer_leaf, queue);
        let issued = self.issued;
        let script = StsScript { hooks: self.sts_hooks, lives: self.lives, issued: Arc::clone(&issued) };
        let queue = Queue::before(script);
        let queue = self.sts_replies.into_iter().fold(queue, Queue::reply);
        let sts = self.sts.serve(self.sts_leaf, StsFront { masks, queue });
        Running { process, issuer, sts, scene, folder: self.folder, secrets: self.expected.secrets, issued }
    }

    fn process_command(&self, env: &BTreeMap<OsString, OsString>, args: &[OsString]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_equinix-wif"));
        let mut env = env.clone();
        let mut command = match &self.shell {
            None => Command::new(program),
            Some(shell) => {
                let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
                let folders = std::iter::once(program.parent().unwrap().to_owned());
                let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
                env.insert("PATH".into(), path);
                let mut command = Command::new(&shell[0]);
                command.args(&shell[1..]).arg("equinix-wif");
                command
            }
        };
        let cwd =
            if matches!(self.platform, Platform::Gitlab) { self.project_dir() } else { self.workspace() };
        command.args(args).env_clear().envs(env).current_dir(cwd);
        command
    }

    /// The notes of the program that is told what to hide, if this job has one.
    fn redactions(&self) -> Option<PathBuf> {
        #[cfg(unix)]
        return (self.platform == Platform::Buildkite).then(|| self.agent().join("redacted"));
        #[cfg(not(unix))]
        None
    }

    /// What the checks after the run need to know, taken down before it.
    fn scene(&self, env: &BTreeMap<OsString, OsString>, args: &[OsString]) -> Scene {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let shell = self
            .shell
            .as_ref()
            .map(|words| words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "));
        let commands = ["token", "exec", "id-token"];
        let named = args.iter().find(|arg| commands.contains(&arg.as_str()));
        let wants = |flag: &str, name: &str| {
            args.iter().any(|arg| arg == flag)
                || shell.as_ref().is_some_and(|script| script.contains(flag))
                || !text_of(env, name).is_empty()
        };
        let format = args
            .iter()
            .enumerate()
            .find_map(|(at, arg)| match arg.strip_prefix("--format") {
                Some("") => args.get(at + 1).cloned(),
                Some(value) => value.strip_prefix('=').map(str::to_owned),
                None => None,
            })
            .unwrap_or_else(|| text_of(env, "EQUINIX_WIF_FORMAT"));
        Scene {
            github: is_github(env),
            azure: text_of(env, "TF_BUILD") == "True",
            redactions: self.redactions(),
            command: named.cloned().unwrap_or_default(),
            // A shell may print something else, and a file gets it in place of stdout.
            schema: args
                .first()
                .filter(|_| shell.is_none() && !wants("--output", "EQUINIX_WIF_OUTPUT"))
                .and_then(|command| documents::schema(command, &format)),
            export_env: wants("--export-env", "EQUINIX_WIF_EXPORT_ENV"),
            allow_workspace: wants("--allow-workspace", ""),
            github_format: ["", "auto", "github"].contains(&format.as_str()),
            shell: shell.is_some(),
            stdout_is_sink: self.expected.stdout,
            stderr_is_sink: self.expected.stderr,
            file_sinks: self.expected.files.clone(),
            refresh_token_files: self.expected.refresh_token_files.clone(),
            grant: self.grant.clone().unwrap_or_default(),
            masks_unchecked: self.expected.masks_unchecked,
            leaves_token_file: self.expected.leaves_token_file,
            output: named_file(env, "GITHUB_OUTPUT", self.output_path()),
            env: named_file(env, "GITHUB_ENV", self.env_path()),
            summary: named_file(env, "GITHUB_STEP_SUMMARY", self.summary_path()),
            report: (self.only.is_none() && !self.dropped_flags.contains("--report"))
                .then(|| self.report_path()),
            workspaces: vec![self.workspace(), self.project_dir()],
            before: files_below(self.root()),
            late_masks: Arc::default(),
            inputs: env
                .values()
                .map(|value| value.to_string_lossy().into_owned())
                .chain(self.stdin.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
                .collect(),
            bearer: bearer_of(env),
            proxies: ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
                .iter()
                .map(|name| text_of(env, name))
                .collect(),
            minted: Arc::clone(&self.minted),
        }
    }
}

fn text_of(env: &BTreeMap<OsString, OsString>, name: &str) -> String {
    env.get(OsStr::new(name)).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The bearer for the ID-token endpoint.
fn bearer_of(env: &BTreeMap<OsString, OsString>) -> String {
    let names = ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN", "VELA_ID_TOKEN_REQUEST_TOKEN"];
    // What Azure has not expanded is no secret.
    let is_bearer = |bearer: &String| !bearer.is_empty() && !bearer.starts_with("$(");
    names.iter().map(|name| text_of(env, name)).find(is_bearer).unwrap_or_default()
}

/// Whether GitHub's runner reads this run's log: it says so, or has handed its request variables on. In a job of another runner
/// these have been planted.
fn is_github(env: &BTreeMap<OsString, OsString>) -> bool {
    text_of(env, "GITHUB_ACTIONS") == "true"
        || text_of(env, "GITLAB_CI") != "true"
            && ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
                .iter()
                .any(|name| !text_of(env, name).is_empty())
}

/// The file that a variable names, else where the harness would have put it.
fn named_file(env: &BTreeMap<OsString, OsString>, name: &str, usual: PathBuf) -> PathBuf {
    env.get(OsStr::new(name)).map_or(usual, PathBuf::from)
}

/// The body of a good answer to a token exchange, with a new access token.
pub fn sts_success() -> Value {
    json!({
        "access_token": token::access_token(),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    })
}

/// An OAuth error as the STS gives it.
pub fn sts_error(error: &str, description: &str) -> Reply {
    Reply::status(400).json_body(&json!({"error": error, "error_description": description}))
}

#[derive(Clone)]
struct Minter {
    platform: Platform,
    issuer: String,
    root: PathBuf,
    facts: Facts,
    changes: Vec<ClaimsChange>,
    finish: Finish,
    minted: Arc<Mutex<Vec<String>>>,
}

impl Minter {
    fn mint(&self, audience: &str) -> String {
        let claims = match self.platform {
            Platform::Gitlab => token::gitlab_claims(&self.issuer, audience, &self.facts),
            Platform::Forgejo => worlds::forgejo_claims(&self.issuer, audience, &self.facts),
            Platform::Azure => worlds::azure_claims(&self.issuer, &self.facts),
            Platform::Vela => worlds::vela_claims(&self.issuer, audience, &self.facts),
            Platform::Google => worlds::google_claims(&self.issuer, audience),
            #[cfg(unix)]
            Platform::Buildkite => worlds::buildkite_claims(&self.issuer, audience, &self.facts),
            Platform::Github | Platform::Bare => token::github_claims(&self.issuer, audience, &self.facts),
            Platform::Of(world) => {
                let claims = World::fill(world.claims, &self.issuer, &self.root);
                token::ready_claims(serde_json::from_str(&claims).unwrap(), &self.issuer, audience)
            }
        };
        let mut token = Token::new(claims);
        for change in &self.changes {
            change(token.claims());
        }
        let token = (self.finish)(token);
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        token
    }
}

fn ask(hooks: &mut [Hook], request: &Request) -> Option<Reply> {
    hooks.iter_mut().find_map(|hook| hook(request))
}

fn problem(status: u16, message: &str) -> Reply {
    Reply::status(status).json_body(&json!({"message": message}))
}

/// GitHub's ID-token endpoint.
struct IssuerScript {
    minter: Minter,
    bearer: String,
    hooks: Vec<Hook>,
}

impl Script for IssuerScript {
    fn answer(&mut self, request: &Request) -> Reply {
        if let Some(reply) = ask(&mut self.hooks, request) {
            return reply;
        }
        if request.path() != self.minter.platform.id_token_path() {
            return problem(404, "Not Found");
        }
        if self.minter.platform == Platform::Google {
            let audience = request.query_value("audience").unwrap_or_default();
            let refused = worlds::metadata_refusal(request);
            return refused.unwrap_or_else(|| worlds::metadata_answer(&self.minter.mint(&audience)));
        }
        let is_azure = self.minter.platform == Platform::Azure;
        if request.method != if is_azure { "POST" } else { "GET" } {
            return problem(405, "Method Not Allowed");
        }
        let authorization = request.header("authorization").unwrap_or_default();
        let (scheme, bearer) = authorization.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || bearer != self.bearer || bearer.is_empty() {
            let page = is_azure && request.header("x-tfs-fedauthredirect") != Some("Suppress");
            let login = Reply::status(302).header("Location", "https://login.example/signin");
            return if page { login } else { problem(401, "Unauthorized") };
        }
        if is_azure {
            return match request.query_value("api-version").as_deref() {
                Some("7.1") if request.body.is_empty() => {
                    Reply::json(&json!({"oidcToken": self.minter.mint(worlds::AZURE_AUDIENCE)}))
                }
                _ => problem(400, "no api-version, or a body"),
            };
        }
        // What GitHub does for a request without an audience: the owner's page, which every relying party shares.
        let shared = format!("https://github.com/{}", self.minter.facts.owner());
        let audience =
            request.query_value("audience").filter(|audience| !audience.is_empty()).unwrap_or(shared);
        let token = self.minter.mint(&audience);
        if self.minter.platform == Platform::Vela {
            return Reply::json(&json!({"token": token}));
        }
        Reply::json(&json!({"count": token.len(), "value": token}))
    }
}

/// The token endpoint of both API versions.
struct StsScript {
    hooks: Vec<Hook>,
    lives: VecDeque<u64>,
    issued: Issued,
}

impl StsScript {
    /// An answer with a new access token: the life is in this member.
    fn success(&mut self, mut answer: Value, life_in: &str) -> Reply {
        let next = if self.lives.len() > 1 { self.lives.pop_front() } else { self.lives.front().copied() };
        if let Some(life) = next {
            answer[life_in] = if answer[life_in].is_string() { json!(life.to_string()) } else { json!(life) };
        }
        let life = &answer[life_in];
        let life = life.as_u64().or_else(|| life.as_str()?.parse().ok()).unwrap();
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).push(AccessToken {
            text: answer["access_token"].as_str().unwrap().to_owned(),
            at: Instant::now(),
            life: Duration::from_secs(life),
        });
        Reply::json(&answer)
    }
}

impl Script for StsScript {
    fn answer(&mut self, request: &Request) -> Reply {
        if let Some(reply) = ask(&mut self.hooks, request) {
            return reply;
        }
        if ["/oauth2/v1/token", "/oauth2/v1/refreshaccesstoken"].contains(&request.target.as_str()) {
            return self.classic(request);
        }
        if !["/use/token", "/v1/token"].contains(&request.target.as_str()) {
            return problem(404, "Not Found");
        }
        if request.method != "POST" {
            return problem(405, "Method Not Allowed");
        }
        let form = |name: &str| request.form_value(name).unwrap_or_default();
        let media = request.header("content-type").unwrap_or_default();
        if media.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
            return sts_error("invalid_request", "the body is no form");
        }
        if form("grant_type") == "client_credentials" && request.target == "/use/token" {
            return match request.header("authorization").and_then(|text| text.strip_prefix("Bearer ")) {
                _ if form("scope").is_empty() => sts_error("invalid_scope", "no scope"),
                Some(_) => self.success(sts_success(), "expires_in"),
                None => sts_error("invalid_client", "no caller"),
            };
        }
        if form("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" {
            return sts_error("unsupported_grant_type", "only token exchange");
        }
        if form("subject_token_type") != "urn:ietf:params:oauth:token-type:id_token" {
            return sts_error("invalid_request", "the subject token's type is not id_token");
        }
        if form("subject_token").split('.').count() != 3 {
            return sts_error("invalid_request", "the subject token is no JWT");
        }
        if form("scope").is_empty() {
            return sts_error("invalid_scope", "no scope");
        }
        self.success(sts_success(), "expires_in")
    }
}

impl StsScript {
    /// The classic API for access tokens.
    fn classic(&mut self, request: &Request) -> Reply {
        if request.method != "POST" {
            return problem(405, "Method Not Allowed");
        }
        if request.header("content-type") != Some("application/json") {
            return classic_error(400, "4001", "the body is no JSON");
        }
        let body = request.json().unwrap_or_default();
        let is_there = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        let wanted: &[&str] = match (request.target.as_str(), body["grant_type"].as_str()) {
            ("/oauth2/v1/token", Some("client_credentials")) => &["client_id", "client_secret"],
            ("/oauth2/v1/token", _) => &["client_id", "client_secret", "user_name", "user_password"],
            (_, None) => &["client_id", "client_secret", "refresh_token"],
            _ => return classic_error(400, "4002", "no grant type belongs here"),
        };
        if !wanted.iter().all(|name| is_there(name)) {
            return classic_error(400, "4003", "a member is missing");
        }
        let mut answer = classic_success();
        if body["grant_type"] == "client_credentials" {
            answer.as_object_mut().unwrap().retain(|name, _| !name.starts_with("refresh_token"));
        }
        self.success(answer, "token_timeout")
    }
}

/// The body of a good answer of the classic API, with a new access token and a new refresh token.
pub fn classic_success() -> Value {
    json!({
        "access_token": token::access_token(),
        "token_timeout": "3599",
        "user_name": "octo-user",
        "token_type": "Bearer",
        "refresh_token": token::random_text(40),
        "refresh_token_timeout": "5182560",
    })
}

/// An error of the classic API, as Equinix's document has it.
pub fn classic_error(status: u16, code: &str, message: &str) -> Reply {
    Reply::status(status).json_body(&json!({
        "error_domain": "apps",
        "error_title": "Error",
        "error_code": code,
        "developer_message": message,
        "error_message": message,
    }))
}

/// Stands before the STS's script and looks whether each ID token that arrives has been masked.
struct StsFront {
    masks: MaskWatch,
    queue: Queue,
}

impl Script for StsFront {
    fn unread(&mut self, moment: Moment) -> Option<Reply> {
        self.queue.unread(moment)
    }

    fn answer(&mut self, request: &Request) -> Reply {
        self.masks.check(request);
        self.queue.answer(request)
    }
}

struct MaskWatch {
    streams: Vec<Arc<Capture>>,
    minted: Arc<Mutex<Vec<String>>>,
    late: Arc<Mutex<Vec<String>>>,
    active: bool,
    /// The beginning of the line that hides a value.
    command: &'static str,
    /// The notes of a program that is told what to hide, in place of lines that are read.
    redactions: Option<PathBuf>,
}

impl MaskWatch {
    /// The mask of an ID token has to be out before the token is. What was written before the request may still be
    /// on its way through the pipe, so this waits a little before it complains.
    fn check(&self, request: &Request) {
        if !self.active && self.redactions.is_none() {
            return;
        }
        let body = String::from_utf8_lossy(&request.body);
        let minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for token in minted {
            let sent =
                token::signature_of(&token).is_some_and(|part| !part.is_empty() && body.contains(part));
            let is_masked = || {
                let mask = format!("{}{token}\n", self.command);
                self.redactions.as_ref().map_or_else(
                    || Capture::any_gets(&self.streams, mask.as_bytes(), MASK_GRACE),
                    |notes| worlds::is_redacted(notes, &token),
                )
            };
            if sent && !is_masked() {
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(format!(
                    "the ID token reached the STS before its mask was out ({})",
                    request.target
                ));
            }
        }
    }
}
