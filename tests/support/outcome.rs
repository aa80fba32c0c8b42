//! What came of a run, the checks that every run has to pass, and the assertions that tests make.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tempfile::TempDir;

use super::azure;
use super::documents;
use super::leak::{self, Finder, Kind, Secrets};
use super::runner;
use super::server::{Reply, Request, Server};
use super::token;
use super::worlds;

/// How the process ended.
pub struct Run {
    pub(super) status: Option<ExitStatus>,
    pub(super) elapsed: Duration,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) limit: Duration,
}

/// What the checks need to know about the job.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on one another")]
pub struct Scene {
    pub(super) github: bool,
    pub(super) azure: bool,
    pub(super) redactions: Option<PathBuf>,
    pub(super) command: String,
    /// The schema of what is on stdout, if that is JSON.
    pub(super) schema: Option<&'static str>,
    pub(super) export_env: bool,
    pub(super) allow_workspace: bool,
    pub(super) github_format: bool,
    pub(super) shell: bool,
    pub(super) stdout_is_sink: bool,
    pub(super) stderr_is_sink: bool,
    pub(super) file_sinks: Vec<PathBuf>,
    pub(super) refresh_token_files: Vec<PathBuf>,
    pub(super) grant: String,
    pub(super) masks_unchecked: bool,
    pub(super) leaves_token_file: bool,
    pub(super) output: PathBuf,
    pub(super) env: PathBuf,
    pub(super) summary: PathBuf,
    pub(super) report: Option<PathBuf>,
    pub(super) workspaces: Vec<PathBuf>,
    pub(super) before: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) late_masks: Arc<Mutex<Vec<String>>>,
    pub(super) inputs: Vec<String>,
    pub(super) bearer: String,
    pub(super) proxies: Vec<String>,
    pub(super) minted: Arc<Mutex<Vec<String>>>,
}

/// What a server saw and said.
#[derive(Debug, Clone)]
pub struct Log {
    /// The requests in the order of arrival.
    pub requests: Vec<Request>,
    /// What was replied, also to mere connections.
    pub replies: Vec<Reply>,
    /// How many connections there were.
    pub connections: usize,
    /// TLS handshakes that failed, and why.
    pub handshake_failures: Vec<String>,
    /// Every byte of every connection.
    pub received: Vec<Vec<u8>>,
    /// How often something was read: once for a request that came in one piece.
    pub pieces: usize,
}

impl Log {
    fn of(server: &Server) -> Self {
        Self {
            requests: server.requests(),
            replies: server.replies(),
            connections: server.connections(),
            handshake_failures: server.handshake_failures(),
            received: server.received(),
            pieces: server.pieces(),
        }
    }

    /// Whether nothing was said to this server. A connection to it may have been opened ahead.
    pub fn heard_nothing(&self) -> bool {
        self.received.iter().all(Vec::is_empty)
    }
}

/// What came of a run. Its folder lives as long as this does.
pub struct Outcome {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Stdout as text; [`Outcome::stdout_bytes`] is exact.
    pub stdout: String,
    /// Stderr as text.
    pub stderr: String,
    /// Stdout as it was.
    pub stdout_bytes: Vec<u8>,
    /// What `GITHUB_OUTPUT` holds now; `None` when there is no such file.
    pub output_file: Option<Vec<u8>>,
    /// What `GITHUB_ENV` holds now.
    pub env_file: Option<Vec<u8>>,
    /// What `GITHUB_STEP_SUMMARY` holds now.
    pub summary_file: Option<Vec<u8>>,
    /// The report, if one was asked for and written.
    pub report: Option<Value>,
    /// The issuer's log.
    pub issuer: Log,
    /// The STS's log.
    pub sts: Log,
    /// How long it took.
    pub elapsed: Duration,
    /// Every file below the job's folder and what is in it now.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    secrets: Secrets,
    scene: Scene,
    folder: TempDir,
}

impl Outcome {
    #[track_caller]
    pub(super) fn conclude(
        run: Run,
        scene: Scene,
        secrets: Secrets,
        issuer: &Server,
        sts: &Server,
        folder: TempDir,
    ) -> Self {
        let files = files_below(folder.path());
        let now = |path: &Path| {
            fs::metadata(path).is_ok_and(|found| found.is_file()).then(|| fs::read(path).unwrap())
        };
        let report = scene.report.as_deref().and_then(now);
        let is_new = |bytes: &&Vec<u8>| !scene.before.values().any(|before| before == *bytes);
        // A shell around the program can write what it likes.
        if let Some(bytes) = report.as_ref().filter(is_new).filter(|_| !scene.shell) {
            documents::keep("report-v1", bytes);
        }
        let is_whole = run.status.is_some_and(|status| status.success() || scene.schema == Some("doctor-v1"));
        if let Some(schema) = scene.schema.filter(|_| is_whole && !run.stdout.is_empty()) {
            documents::keep(schema, &run.stdout);
        }
        let mut outcome = Self {
            status: run.status.and_then(|status| status.code()),
            signal: run.status.and_then(signal_of),
            stdout: String::from_utf8_lossy(&run.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&run.stderr).into_owned(),
            stdout_bytes: run.stdout,
            output_file: now(&scene.output),
            env_file: now(&scene.env),
            summary_file: now(&scene.summary),
            report: report.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            issuer: Log::of(issuer),
            sts: Log::of(sts),
            elapsed: run.elapsed,
            files,
            secrets,
            scene,
            folder,
        };
        outcome.collect_secrets();
        outcome.require(run.status.is_some(), &format!("the run ended by itself within {:?}", run.limit));
        let violations = outcome.violations();
        outcome
            .require(violations.is_empty(), &format!("the invariants hold:\n  {}", violations.join("\n  ")));
        outcome
    }

    fn collect_secrets(&mut self) {
        let (scene, secrets) = (&self.scene, &mut self.secrets);
        let sent = self.sts.received.iter().chain(&self.issuer.received);
        let texts = self.files.values().chain(sent).map(|bytes| String::from_utf8_lossy(bytes));
        let streams = [self.stdout.as_str().into(), self.stderr.as_str().into()];
        for text in scene.inputs.iter().map(|text| text.as_str().into()).chain(streams).chain(texts) {
            for handle in leak::handles(&text) {
                secrets.add(Kind::Handle, handle);
            }
        }
        secrets.add(Kind::Bearer, &scene.bearer);
        for proxy in &scene.proxies {
            let authority = proxy.split_once("://").map_or(proxy.as_str(), |(_, rest)| rest);
            let user_info = authority.rsplit_once('@').map_or("", |(user_info, _)| user_info);
            let password = user_info.split_once(':').map_or("", |(_, password)| password);
            secrets.add(Kind::Other, password);
            secrets.add(Kind::Other, &percent_decode_str(password).decode_utf8_lossy());
        }
        // GitHub's bearer is a JWT as well, and stays what it is.
        let is_bearer = |token: &str| token == scene.bearer;
        let id_token = |secrets: &mut Secrets, token: &str| {
            if is_bearer(token) {
                return;
            }
            secrets.add(Kind::IdToken, token::signature_of(token).unwrap_or_default());
        };
        let files = scene.before.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        for text in scene.inputs.iter().cloned().chain(files) {
            for token in leak::jwts(&text) {
                id_token(secrets, token);
            }
        }
        for token in scene.minted.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            id_token(secrets, token);
        }
        for reply in &self.issuer.replies {
            let text = String::from_utf8_lossy(reply.payload());
            for token in leak::members(&text, "value").iter().map(String::as_str).chain(leak::jwts(&text)) {
                id_token(secrets, token);
            }
        }
        for reply in &self.sts.replies {
            for token in leak::members(&String::from_utf8_lossy(reply.payload()), "access_token") {
                // A test may let the STS echo the ID token here; then it stays what it was.
                if !secrets.of(Kind::IdToken).iter().any(|part| token.contains(part)) {
                    secrets.add(Kind::AccessToken, &token);
                }
            }
            for token in leak::members(&String::from_utf8_lossy(reply.payload()), "refresh_token") {
                // One that is the old one stays what it was.
                if !secrets.of(Kind::Stored).contains(&token.as_str()) {
                    secrets.add(Kind::RefreshToken, &token);
                }
            }
        }
    }

    /// Everything that must not be, whatever the test is about.
    fn violations(&self) -> Vec<String> {
        let finder = self.secrets.finder();
        let mut violations = Vec::new();
        self.check_streams(&finder, &mut violations);
        self.check_files(&finder, &mut violations);
        self.check_wire(&finder, &mut violations);
        self.check_redactions(&mut violations);
        if !self.scene.masks_unchecked {
            violations.extend(self.scene.late_masks.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        }
        violations
    }

    /// What has been handed over has been hidden by the platform's program, whole.
    fn check_redactions(&self, violations: &mut Vec<String>) {
        let Some(notes) = &self.scene.redactions else { return };
        if self.status != Some(0) || !["token", "exec"].contains(&self.scene.command.as_str()) {
            return;
        }
        for token in self.secrets.of(Kind::AccessToken) {
            if !worlds::is_redacted(notes, token) {
                violations
                    .push("an access token was handed over that the agent was not told to hide".to_owned());
            }
        }
    }

    /// What may be in a sink of this command.
    fn deliverable(&self, kind: Kind) -> bool {
        match kind {
            Kind::AccessToken => self.scene.shell || self.scene.command != "id-token",
            Kind::IdToken => self.scene.shell || self.scene.command == "id-token",
            Kind::Handle => self.scene.command == "exec",
            Kind::Bearer | Kind::StsBearer | Kind::Stored | Kind::RefreshToken | Kind::Other => false,
        }
    }

    /// Whether the sinks may hold a token at all after a run that ended like this.
    fn may_deliver(&self) -> bool {
        self.status == Some(0) || self.scene.shell || self.scene.command == "exec"
    }

    fn check_streams(&self, finder: &Finder<'_>, violations: &mut Vec<String>) {
        let sink =
            |declared: bool| move |kind: Kind| declared && self.may_deliver() && self.deliverable(kind);
        if let Some(hit) = finder.leak(&self.stdout_bytes, sink(self.scene.stdout_is_sink)) {
            violations.push(found("on stdout", &hit));
        }
        let (stderr, masks) = self.without_masks();
        if let Some(hit) = finder.leak(stderr.as_bytes(), sink(self.scene.stderr_is_sink)) {
            violations.push(found("on stderr", &hit));
        }
        if self.scene.github || self.scene.azure {
            // A mask that stands before the first piece of a secret stands before the others too.
            for hit in finder.first_hits(stderr.as_bytes()) {
                let masked =
                    |mask: &(usize, String)| mask.0 < hit.at && mask.1.contains(hit.secret.text.as_str());
                if !masks.iter().any(masked) {
                    violations.push(found("on stderr before its mask", &hit));
                    break;
                }
            }
        }
    }

    /// Stderr with the mask lines blanked out, and these with their places. Only GitHub and Azure give them a
    /// meaning, so elsewhere they are lines like any other.
    fn without_masks(&self) -> (String, Vec<(usize, String)>) {
        let (mut text, mut masks) = (String::new(), Vec::new());
        for line in self.stderr.split_inclusive('\n') {
            if self.scene.azure && line.starts_with("##vso[task.setsecret]") && line.ends_with('\n') {
                let command = azure::Command::parse(line.trim_end()).unwrap();
                masks.push((text.len(), command.data));
                text.push_str(&" ".repeat(line.len() - 1));
                text.push('\n');
            } else if self.scene.github && line.starts_with("::add-mask::") && line.ends_with('\n') {
                let data = runner::commands(line).into_iter().map(|command| command.data);
                masks.extend(data.map(|data| (text.len(), data)));
                text.push_str(&" ".repeat(line.len() - 1));
                text.push('\n');
            } else {
                text.push_str(line);
            }
        }
        (text, masks)
    }

    fn check_files(&self, finder: &Finder<'_>, violations: &mut Vec<String>) {
        let scene = &self.scene;
        let printed = self.printed_path();
        let done = self.status == Some(0) || scene.shell;
        let runner_sink = done && (scene.shell || (scene.github_format && scene.command != "exec"));
        for (path, bytes) in &self.files {
            let name = path.display();
            if let Some(hit) = finder.leak(name.to_string().as_bytes(), |_| false) {
                violations.push(found(&format!("in the name of the file {name}"), &hit));
            }
            if scene.before.get(path) == Some(bytes) {
                continue;
            }
            let runner_file = (*path == scene.output && runner_sink)
                || (*path == scene.env && runner_sink && scene.export_env);
            let kept = kept_file(path);
            if kept.is_some() && !scene.leaves_token_file {
                violations.push(format!("the run has left {name}"));
            }
            let private =
                (printed.as_deref() == Some(path) && self.status == Some(0)) || kept == Some(".token");
            let declared = scene.file_sinks.contains(path) && self.may_deliver();
            let is_sink = runner_file || private || declared;
            let keeps = scene.refresh_token_files.contains(path);
            let is_allowed = |kind| match kind {
                Kind::RefreshToken => keeps,
                Kind::Handle => declared,
                _ => is_sink && self.deliverable(kind),
            };
            if keeps {
                self.check_privacy(path, violations);
            }
            if let Some(hit) = finder.leak(bytes, is_allowed) {
                violations.push(found(&format!("in the file {name}"), &hit));
            }
            let hits = finder.first_hits(bytes);
            if private && !hits.is_empty() {
                self.check_privacy(path, violations);
            }
            if runner_file && scene.github && !scene.masks_unchecked {
                let log = if scene.shell {
                    format!("{}\n{}", self.stderr, self.stdout)
                } else {
                    self.stderr.clone()
                };
                let masks: Vec<String> = runner::commands(&log)
                    .into_iter()
                    .filter(|command| command.name == "add-mask")
                    .map(|command| command.data)
                    .collect();
                let unmasked =
                    hits.iter().find(|hit| !masks.iter().any(|mask| mask.contains(&hit.secret.text)));
                if let Some(hit) = unmasked {
                    violations.push(found(&format!("without a mask in the runner's file {name}"), hit));
                }
            }
        }
    }

    fn check_privacy(&self, path: &Path, violations: &mut Vec<String>) {
        let in_workspace = self.scene.workspaces.iter().any(|workspace| path.starts_with(workspace));
        if in_workspace && !self.scene.allow_workspace {
            violations.push(format!("the token's file {} is in the checkout", path.display()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            if mode != 0o600 {
                violations.push(format!("the token's file {} has mode {mode:o}", path.display()));
            }
        }
    }

    /// The file whose path is all that stdout holds.
    pub fn printed_path(&self) -> Option<PathBuf> {
        let line = self.stdout.strip_suffix('\n')?;
        let path = PathBuf::from(line.strip_suffix('\r').unwrap_or(line));
        self.files.contains_key(&path).then_some(path)
    }

    fn check_wire(&self, finder: &Finder<'_>, violations: &mut Vec<String>) {
        let nowhere = |_: Kind| false;
        let servers = [
            ("issuer", &self.issuer, Kind::Bearer, nowhere as fn(Kind) -> bool),
            ("STS", &self.sts, Kind::StsBearer, |kind| matches!(kind, Kind::IdToken | Kind::Stored)),
        ];
        // The classic access token says who asks the STS.
        let is_caller = |kind| kind == Kind::AccessToken && self.scene.grant == "sts-client-credentials";
        // A run that goes on sends back each refresh token that it got.
        let is_next = |kind| kind == Kind::RefreshToken && self.scene.grant == "refresh-token";
        for (server, log, authorization, in_body) in servers {
            for request in &log.requests {
                let mut check = |place: &str, text: &[u8], allowed: &dyn Fn(Kind) -> bool| {
                    if let Some(hit) = finder.leak(text, allowed) {
                        let what = format!("{} {}", request.method, request.path());
                        violations.push(found(&format!("in {place} of {what} to the {server}"), &hit));
                    }
                };
                check("the URL", request.target.as_bytes(), &nowhere);
                let decoded: Vec<u8> = percent_decode_str(&request.target).collect();
                check("the URL", &decoded, &nowhere);
                for (name, value) in &request.headers {
                    let own = name.eq_ignore_ascii_case("authorization");
                    check(&format!("the header {name}"), value.as_bytes(), &|kind| {
                        own && (kind == authorization || is_caller(kind))
                    });
                }
                check("the body", &request.body, &|kind| in_body(kind) || is_next(kind));
            }
            // Also what never became a request.
            for bytes in &log.received {
                if let Some(hit) = finder.leak(bytes, |kind| {
                    kind == authorization || in_body(kind) || is_caller(kind) || is_next(kind)
                }) {
                    violations.push(found(&format!("in what was sent to the {server}"), &hit));
                }
            }
        }
    }

    /// Every access token that the STS gave, and every ID token that the issuer gave, has been masked on a line of its
    /// own. For runs that have not ended in the middle of a renewal.
    #[track_caller]
    pub fn masks_every_token(&self) -> &Self {
        let (_, masks) = self.without_masks();
        let payloads = self.issuer.replies.iter().map(|reply| String::from_utf8_lossy(reply.payload()));
        let id_tokens = payloads.flat_map(|text| leak::members(&text, "value"));
        let tokens = self.secrets.of(Kind::AccessToken).into_iter().map(str::to_owned).chain(id_tokens);
        for token in tokens {
            let is_masked = masks.iter().any(|(_, mask)| *mask == token);
            self.require(is_masked, &format!("the token {token:?} is masked as a whole"));
        }
        self
    }

    /// The access tokens that the STS gave, in their order.
    pub fn access_tokens(&self) -> Vec<&str> {
        self.secrets.of(Kind::AccessToken)
    }

    /// Checks that nothing secret was sent to another server of the test, e.g. where a redirect points.
    #[track_caller]
    pub fn nothing_secret_at(&self, server: &Server) -> &Self {
        let finder = self.secrets.finder();
        for bytes in server.received() {
            let leak = finder.leak(&bytes, |_| false).map(|hit| found("sent elsewhere", &hit));
            self.require(leak.is_none(), &format!("nothing secret goes to another server: {leak:?}"));
        }
        self
    }

    /// The folder of the job.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The last access token that the STS gave.
    #[track_caller]
    pub fn access_token(&self) -> &str {
        let last = self.secrets.of(Kind::AccessToken).last().copied();
        last.unwrap_or_else(|| self.fail("the STS has given an access token"))
    }

    /// The last ID token that was minted for the job.
    #[track_caller]
    pub fn id_token(&self) -> String {
        let last = self.scene.minted.lock().unwrap_or_else(PoisonError::into_inner).last().cloned();
        last.unwrap_or_else(|| self.fail("an ID token was minted"))
    }

    /// Files that were not there before the run, apart from the report.
    pub fn new_files(&self) -> Vec<&Path> {
        let new = self.files.keys().filter(|path| !self.scene.before.contains_key(*path));
        // What plays the platform's program notes its calls.
        let notes = self.scene.redactions.as_deref().and_then(Path::parent);
        new.filter(|path| Some(*path) != self.scene.report.as_ref())
            .filter(|path| !notes.is_some_and(|notes| path.starts_with(notes)))
            .map(PathBuf::as_path)
            .collect()
    }

    /// The entries of `GITHUB_OUTPUT` as the runner reads them.
    #[track_caller]
    pub fn outputs(&self) -> BTreeMap<String, String> {
        self.entries("GITHUB_OUTPUT", self.output_file.as_deref())
    }

    /// The entries of `GITHUB_ENV` as the runner reads them.
    #[track_caller]
    pub fn exports(&self) -> BTreeMap<String, String> {
        self.entries("GITHUB_ENV", self.env_file.as_deref())
    }

    #[track_caller]
    fn entries(&self, name: &str, file: Option<&[u8]>) -> BTreeMap<String, String> {
        let Some(file) = file else { self.fail(&format!("{name} is there")) };
        match runner::parse(file, cfg!(windows)) {
            Ok(entries) => entries.into_iter().collect(),
            Err(error) => self.fail(&format!("the runner can read {name}: {error}")),
        }
    }

    /// The log as a reader of the job's page sees it.
    pub fn visible_log(&self) -> String {
        runner::read_log(&self.stderr)
    }

    /// The run succeeded: exit status 0, no error on stderr, and a report without a code.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        self.require(self.status == Some(0), "the exit status is 0");
        self.require(self.error_lines().is_empty(), "there is no error on stderr");
        if self.scene.report.is_some() {
            let Some(report) = &self.report else { self.fail("there is a report, and it is JSON") };
            self.require(report.get("code") == Some(&Value::Null), "the report's code is null");
            self.require(report["exit"] == 0, "the report's exit is 0");
        }
        self
    }

    /// The run failed like this, said so in every place, and left nothing behind but the runner's `error-code`.
    #[track_caller]
    pub fn fails(&self, exit: i32, code: &str) -> &Self {
        self.require(self.status == Some(exit), &format!("the exit status is {exit}"));
        let errors = self.error_lines();
        let wanted = format!("error[{code}]: ");
        self.require(
            errors.len() == 1 && errors[0].starts_with(&wanted),
            &format!("stderr has one '{wanted}…'"),
        );
        let stderr = without_colors(&self.stderr);
        let hint =
            stderr.lines().any(|line| line.strip_prefix("hint: ").is_some_and(|hint| !hint.is_empty()));
        self.require(hint, "stderr has a hint");
        self.require(self.stdout_bytes.is_empty(), "stdout is empty");
        if self.scene.report.is_some() {
            let Some(report) = &self.report else { self.fail("there is a report, and it is JSON") };
            self.require(report["code"] == code, &format!("the report's code is {code}"));
            let reported = report["exit"].as_i64().unwrap_or(-1);
            // `exec` leaves with 125 for every failure; the report may name the failure's own class.
            let agrees = reported == i64::from(exit) || (exit == 125 && (1..=10).contains(&reported));
            self.require(agrees, "the report's exit agrees");
            let retryable = report["retryable"].as_bool();
            let class_known = reported != 125;
            self.require(
                retryable.is_some() && (!class_known || retryable == Some(reported == 8)),
                "the report's retryable agrees: true for exit 8 and false for all others",
            );
            for text in ["stage", "message", "hint"] {
                self.require(report[text].is_string(), &format!("the report has a {text}"));
            }
        }
        self.leaves_nothing(code)
    }

    /// Files are as before, but for `error-code` in `GITHUB_OUTPUT`, which a failed run leaves there.
    #[track_caller]
    fn leaves_nothing(&self, code: &str) -> &Self {
        let scene = &self.scene;
        for (path, before) in &scene.before {
            let now = self.files.get(path);
            let name = path.display();
            if *path == scene.output {
                let added = now.and_then(|now| now.strip_prefix(before.as_slice()));
                let Some(added) = added else { self.fail("what was in GITHUB_OUTPUT is still there") };
                let entries = runner::parse(added, cfg!(windows));
                let only_code = entries.as_ref().is_ok_and(|entries| {
                    entries.iter().all(|(name, value)| name == "error-code" && value == code)
                        && entries.len() < 2
                });
                self.require(
                    only_code,
                    &format!("GITHUB_OUTPUT got nothing but error-code, not {entries:?}"),
                );
            } else if *path != scene.summary && !scene.refresh_token_files.contains(path) {
                self.require(now == Some(before), &format!("{name} is as it was"));
            }
        }
        if !scene.shell && scene.command != "exec" {
            self.require(self.new_files().is_empty(), &format!("no new file: {:?}", self.new_files()));
        }
        self
    }

    /// Lines on stderr that begin with `error[`, without colours.
    fn error_lines(&self) -> Vec<String> {
        let stderr = without_colors(&self.stderr);
        stderr.lines().filter(|line| line.starts_with("error[")).map(str::to_owned).collect()
    }

    /// `error-code` in `GITHUB_OUTPUT`.
    #[track_caller]
    pub fn reported_error_code(&self) -> Option<String> {
        self.outputs().remove("error-code")
    }

    /// Stderr has this text, without colours.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        let has = self.stderr.contains(text) || without_colors(&self.stderr).contains(text);
        self.require(has, &format!("stderr has {text:?}"));
        self
    }

    /// Stderr does not have this text.
    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Self {
        self.require(!without_colors(&self.stderr).contains(text), &format!("stderr lacks {text:?}"));
        self
    }

    /// Stdout is exactly this.
    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Self {
        self.require(self.stdout == text, &format!("stdout is {text:?}"));
        self
    }

    /// The STS got so many requests.
    #[track_caller]
    pub fn sts_requests(&self, count: usize) -> &Self {
        let found = self.sts.requests.len();
        self.require(found == count, &format!("the STS got {count} requests, not {found}"));
        self
    }

    /// The ID-token endpoint got so many requests.
    #[track_caller]
    pub fn id_token_requests(&self, count: usize) -> &Self {
        let found = self.issuer.requests.iter().map(Request::path);
        let found = found.filter(|path| ["/idtoken", worlds::METADATA_PATH].contains(path)).count();
        self.require(found == count, &format!("the ID-token endpoint got {count} requests, not {found}"));
        self
    }

    /// It took no longer than this.
    #[track_caller]
    pub fn within(&self, time: Duration) -> &Self {
        self.require(self.elapsed <= time, &format!("it takes no longer than {time:?}"));
        self
    }

    /// Panics with all there is to know unless the condition holds.
    #[track_caller]
    pub fn require(&self, holds: bool, expectation: &str) {
        if !holds {
            self.fail(expectation);
        }
    }

    #[track_caller]
    fn fail(&self, expectation: &str) -> ! {
        panic!("expected: {expectation}\n\n{}", self.context());
    }

    /// Everything about the run, for people.
    pub fn context(&self) -> String {
        let mut text = format!("status {:?}, signal {:?}, {:?}\n", self.status, self.signal, self.elapsed);
        let mut section = |name: &str, body: &str| {
            let body = if body.is_empty() { "(nothing)" } else { body.trim_end_matches('\n') };
            let shown: String = body.chars().take(20_000).collect();
            writeln!(text, "--- {name}\n{shown}").ok();
        };
        section("stdout", &self.stdout);
        section("stderr", &self.stderr);
        section("report", &self.report.as_ref().map(|report| format!("{report:#}")).unwrap_or_default());
        for (name, log) in [("issuer", &self.issuer), ("STS", &self.sts)] {
            let requests: String = log.requests.iter().map(Request::to_string).collect();
            section(&format!("{name}: {} connections", log.connections), &requests);
            if !log.handshake_failures.is_empty() {
                section(&format!("{name}: failed handshakes"), &log.handshake_failures.join("\n"));
            }
        }
        for (path, bytes) in &self.files {
            if self.scene.before.get(path) != Some(bytes) && Some(path) != self.scene.report.as_ref() {
                section(&format!("file {}", path.display()), &String::from_utf8_lossy(bytes));
            }
        }
        text
    }
}

/// What ends the name of a file that lives as long as a run of `exec --renew`: its token, or the lock beside it.
fn kept_file(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.strip_prefix("equinix-wif-")?;
    [".token", ".lock"].into_iter().find(|end| name.ends_with(end))
}

fn found(place: &str, hit: &leak::Hit<'_>) -> String {
    format!("a piece of a secret ({:?}) is {place}, at byte {}: {:?}", hit.secret.kind, hit.at, hit.piece)
}

/// Without the escape sequences that colour a text.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let end =
            part.find(|c: char| !c.is_ascii_digit() && c != ';').filter(|&end| part[end..].starts_with('m'));
        plain + end.map_or(part, |end| &part[end + 1..])
    })
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

/// Every file below a folder with what is in it. Links count with where they point; pipes and sockets are left alone.
pub fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else {
            continue;
        };
        if kind.is_dir() {
            files.extend(files_below(&path));
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            files.insert(path, target.to_string_lossy().into_owned().into_bytes());
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            files.insert(path, bytes);
        }
    }
    files
}
