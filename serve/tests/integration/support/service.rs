//! A running service.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;
use super::client::{Answer, Ask, Place};
use super::leak::{Kind, Secrets};
use super::server::Server;
use super::sts::{self, SCOPE, Sts};

/// A stream of the process, as far as it has been read.
#[derive(Default)]
pub struct Capture {
    state: Mutex<(Vec<u8>, bool)>,
    grown: Condvar,
    is_paused: AtomicBool,
}

impl Capture {
    fn follow(mut stream: impl Read + Send + 'static) -> Arc<Self> {
        let capture = Arc::new(Self::default());
        let own = Arc::clone(&capture);
        thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                own.state.lock().unwrap_or_else(PoisonError::into_inner).0.extend_from_slice(&chunk[..count]);
                own.grown.notify_all();
                while own.is_paused.load(Ordering::SeqCst) {
                    thread::park_timeout(Duration::from_millis(10));
                }
            }
            own.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            own.grown.notify_all();
        });
        capture
    }

    /// What has come so far.
    pub fn text(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.0).into_owned()
    }

    /// Waits until something can be found in the text; `None` if the stream ends before, or the time.
    pub fn find<T>(&self, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&String::from_utf8_lossy(&state.0)) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return None;
            }
            state = self.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of the stream.
    fn end(&self) -> String {
        self.find(|_| None::<()>);
        self.text()
    }
}

/// The complete lines of a log that are JSON.
fn events(text: &str) -> Vec<Value> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A service that is to be started.
pub struct Setup {
    args: Vec<String>,
    env: BTreeMap<String, OsString>,
    folder: TempDir,
    secrets: Secrets,
    takes_input: bool,
    /// The most files that it may have open.
    files: Option<u32>,
}

impl Setup {
    /// On free ports, with a log of JSON and an environment of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tmp = folder.path().join("tmp");
        fs::create_dir(&tmp).unwrap();
        Self {
            args: Vec::new(),
            env: BTreeMap::from([("TMPDIR".to_owned(), tmp.into())]),
            folder,
            secrets: Secrets::default(),
            takes_input: false,
            files: None,
        }
        .args([
            "--log-format",
            "json",
            "--rest-listen",
            "127.0.0.1:0",
            "--mcp-listen",
            "127.0.0.1:0",
        ])
    }

    /// With the sandbox.
    pub fn sandbox() -> Self {
        Self::new().args(["--sandbox"])
    }

    /// With what callers send to this server.
    pub fn pass_through(upstream: &Server) -> Self {
        Self::passing(&upstream.url())
    }

    /// With what callers send to this URL.
    pub fn passing(url: &str) -> Self {
        Self::new().args(["--backend", "pass-through", "--api-endpoint", url])
    }

    /// With an ID token of its own, which goes to this STS.
    pub fn federated(sts: &Sts) -> Self {
        let mut setup = Self::new();
        let id_token = sts::id_token();
        let signature = id_token.rsplit_once('.').unwrap().1.to_owned();
        setup.secrets.add(Kind::IdToken, &signature);
        let path = setup.folder.path().join("id-token");
        fs::write(&path, id_token).unwrap();
        let path = path.to_str().unwrap().to_owned();
        setup.args(["--subject-token-file", &path, "--sts-endpoint", &sts.url(), "--scope", SCOPE])
    }

    /// Adds arguments.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Leaves out a flag with its value.
    #[track_caller]
    pub fn without(mut self, flag: &str) -> Self {
        let at = self.args.iter().position(|arg| arg == flag).unwrap();
        self.args.drain(at..at + 2);
        self
    }

    /// Gives a flag another value.
    #[track_caller]
    pub fn with(self, flag: &str, value: &str) -> Self {
        self.without(flag).args([flag, value])
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Tells of a secret, which may not be in the log.
    pub fn secret(mut self, text: &str) -> Self {
        self.secrets.add(Kind::Other, text);
        self
    }

    /// A path in the folder of this service.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Speaks MCP on standard streams.
    pub fn stdio(self) -> Self {
        let setup = self.without("--rest-listen").without("--mcp-listen").args(["--stdio"]);
        Self { takes_input: true, ..setup }
    }

    /// With so few files at most.
    pub fn files(self, most: u32) -> Self {
        Self { files: Some(most), ..self }
    }

    /// Logs for people.
    pub fn text_log(self) -> Self {
        self.with("--log-format", "text")
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_equinix-wif-serve");
        let mut command = match self.files {
            None => Command::new(program),
            Some(most) => {
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\"")).arg(program);
                command
            }
        };
        command.args(&self.args).env_clear().envs(&self.env).current_dir(self.folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.takes_input { Stdio::piped() } else { Stdio::null() });
        command
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Service {
        let child = self.command().spawn().unwrap();
        let mut process = Process::of(child);
        let stdin = process.stdin.take();
        let ready = process.stderr.find(|text| {
            let event = events(text).into_iter().find(|event| event["event"] == "ready");
            event.or_else(|| text.lines().find(|line| line.starts_with("ready ")).map(text_ready))
        });
        let Some(ready) = ready else { panic!("it does not get ready:\n{}", process.stderr.text()) };
        let place = |name: &str| ready[name].as_str().map(Place::of);
        let bearer_file = PathBuf::from(ready["bearer_file"].as_str().unwrap());
        let bearer = fs::read_to_string(&bearer_file).unwrap().trim_end().to_owned();
        let mut secrets = self.secrets;
        secrets.add(Kind::Handle, &bearer);
        Service {
            process,
            stdin,
            rest: place("rest"),
            mcp: place("mcp"),
            bearer,
            bearer_file,
            ready,
            folder: self.folder,
            secrets: Mutex::new(secrets),
            is_over: false,
        }
    }

    /// Runs it to its end, which has to come by itself: the exit status, and standard error.
    #[track_caller]
    pub fn run(self) -> (i32, String) {
        let process = Process::of(self.command().spawn().unwrap());
        let Some(status) = process.wait() else { panic!("it runs on:\n{}", process.stderr.text()) };
        assert_eq!(process.stdout.end(), "");
        let stderr = process.stderr.end();
        check_log(&self.secrets, &stderr);
        check_folder(self.folder.path());
        (status.code().unwrap(), stderr)
    }
}

/// The members of a line of text that says that it is ready.
fn text_ready(line: &str) -> Value {
    let mut ready = json!({});
    for word in line.split(' ').skip(1) {
        let (name, value) = word.split_once('=').unwrap();
        if value != "none" {
            ready[name.replace('-', "_")] = value.trim_matches('"').into();
        }
    }
    ready
}

#[track_caller]
fn check_log(secrets: &Secrets, log: &str) {
    if let Some(hit) = secrets.finder().leak(log.as_bytes(), |_| false) {
        panic!("a piece of a secret ({:?}) is in the log: {}\n{log}", hit.secret.kind, hit.piece);
    }
}

/// Nothing is left in the place for temporary files.
#[track_caller]
fn check_folder(folder: &Path) {
    let left: Vec<_> =
        fs::read_dir(folder.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

struct Process {
    pid: Pid,
    stdin: Option<ChildStdin>,
    stdout: Arc<Capture>,
    stderr: Arc<Capture>,
    ended: Mutex<Receiver<ExitStatus>>,
    /// How it has ended, if somebody has waited for that.
    how: Mutex<Option<ExitStatus>>,
}

impl Process {
    fn of(mut child: Child) -> Self {
        let stdin = child.stdin.take();
        let stdout = Capture::follow(child.stdout.take().unwrap());
        let stderr = Capture::follow(child.stderr.take().unwrap());
        let pid = Pid::from_child(&child);
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait().unwrap()).ok());
        Self { pid, stdin, stdout, stderr, ended: Mutex::new(ended), how: Mutex::default() }
    }

    /// Waits for the end; `None` if that takes too long, and then it is killed.
    fn wait(&self) -> Option<ExitStatus> {
        let mut how = self.how.lock().unwrap_or_else(PoisonError::into_inner);
        if how.is_some() {
            return *how;
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let status = ended.recv_timeout(PATIENCE).ok();
        if status.is_none() {
            kill_process(self.pid, Signal::KILL).ok();
        }
        *how = status;
        status
    }
}

/// A running service. Its end is checked, at the latest when it is dropped.
pub struct Service {
    process: Process,
    stdin: Option<ChildStdin>,
    rest: Option<Place>,
    mcp: Option<Place>,
    /// What callers show.
    pub bearer: String,
    /// Its file.
    pub bearer_file: PathBuf,
    /// The line that said that it is ready.
    pub ready: Value,
    folder: TempDir,
    secrets: Mutex<Secrets>,
    is_over: bool,
}

impl Service {
    /// The REST adapter.
    #[track_caller]
    pub fn rest(&self) -> &Place {
        self.rest.as_ref().expect("a REST adapter")
    }

    /// The MCP adapter.
    #[track_caller]
    pub fn mcp(&self) -> &Place {
        self.mcp.as_ref().expect("an MCP adapter")
    }

    /// Where it is, without an adapter for either.
    pub fn has(&self) -> (bool, bool) {
        (self.rest.is_some(), self.mcp.is_some())
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        u32::try_from(self.process.pid.as_raw_nonzero().get()).unwrap()
    }

    /// Tells of a secret, which may not be in the log.
    pub fn knows(&self, secret: &str) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).add(Kind::Other, secret);
    }

    fn learn(&self, answer: &Answer) {
        assert!(!answer.text().contains(&self.bearer), "the bearer is in an answer: {answer:?}");
        for member in ["access_token", "refresh_token"] {
            for secret in super::leak::members(&answer.text(), member) {
                self.knows(&secret);
            }
        }
    }

    /// Asks the REST adapter with the bearer.
    #[track_caller]
    pub fn ask(&self, ask: Ask) -> Answer {
        self.ask_as_it_is(&ask.bearer(&self.bearer))
    }

    /// Asks the REST adapter without anything more.
    #[track_caller]
    pub fn ask_as_it_is(&self, ask: &Ask) -> Answer {
        let answer = self.rest().ask(ask);
        self.learn(&answer);
        answer
    }

    /// Asks for a token as Equinix's clients do.
    #[track_caller]
    pub fn token(&self) -> Answer {
        self.ask(Ask::json("/oauth2/v1/token", &json!({"grant_type": "client_credentials"})))
    }

    /// Asks for a new token as Equinix's clients do.
    #[track_caller]
    pub fn refresh(&self) -> Answer {
        self.ask(Ask::json("/oauth2/v1/refreshaccesstoken", &json!({})))
    }

    /// Asks the MCP adapter with the bearer.
    #[track_caller]
    pub fn ask_mcp(&self, ask: Ask) -> Answer {
        let answer = self.mcp().ask(&ask.bearer(&self.bearer));
        self.learn(&answer);
        answer
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.process.stderr.text()
    }

    /// The lines of the log so far that have an event of this name.
    pub fn events(&self, name: &str) -> Vec<Value> {
        events(&self.log()).into_iter().filter(|event| event["event"] == name).collect()
    }

    /// Waits until there are so many lines with an event of this name.
    #[track_caller]
    pub fn logs(&self, name: &str, count: usize) -> Vec<Value> {
        let there = |text: &str| {
            let found: Vec<_> = events(text).into_iter().filter(|event| event["event"] == name).collect();
            (found.len() >= count).then_some(found)
        };
        self.process.stderr.find(there).unwrap_or_else(|| panic!("no {count} {name}:\n{}", self.log()))
    }

    /// Writes a line to its standard input.
    #[track_caller]
    pub fn write(&mut self, message: &Value) {
        self.write_text(&format!("{message}\n"));
    }

    /// Writes to its standard input.
    #[track_caller]
    pub fn write_text(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("a service that takes input");
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for a message on standard output.
    #[track_caller]
    pub fn reads(&self, look: impl Fn(&Value) -> bool) -> Value {
        let found = self.process.stdout.find(|text| events(text).into_iter().find(&look));
        found.unwrap_or_else(|| panic!("no such message:\n{}\n{}", self.process.stdout.text(), self.log()))
    }

    /// What has come on standard output.
    pub fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// Ends its standard input, which has to end it.
    #[track_caller]
    pub fn ends_with_input(mut self) -> String {
        drop(self.stdin.take());
        self.conclude()
    }

    /// From now on its log is read, or nobody reads it.
    pub fn reads_log(&self, reads: bool) {
        self.process.stderr.is_paused.store(!reads, Ordering::SeqCst);
    }

    /// Waits until it has ended, whoever reads its log.
    #[track_caller]
    pub fn is_gone(&self) {
        let ended = self.process.wait();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "it does not end");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process.pid, signal).unwrap();
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Tells it to end as a terminal does.
    pub fn interrupt(&self) {
        kill_process(self.process.pid, Signal::INT).unwrap();
    }

    /// Tells it to end, and waits until it has: the log.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.terminate();
        self.conclude()
    }

    /// Waits for the end and checks what always has to hold: the log.
    #[track_caller]
    pub fn conclude(&mut self) -> String {
        self.is_over = true;
        let status = self.process.wait();
        let stderr = self.process.stderr.end();
        let Some(status) = status else { panic!("it does not end:\n{stderr}") };
        assert_eq!(status.code(), Some(0), "{status}\n{stderr}");
        check_log(&self.secrets.lock().unwrap_or_else(PoisonError::into_inner), &stderr);
        check_folder(self.folder.path());
        if self.stdin.is_none() && self.rest.is_some() | self.mcp.is_some() {
            assert_eq!(self.stdout(), "", "nothing is for standard output");
        }
        for place in self.rest.iter().chain(&self.mcp) {
            if let Place::Socket(path) = place {
                assert!(!path.exists(), "the socket is still there");
            }
        }
        stderr
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if thread::panicking() {
            kill_process(self.process.pid, Signal::KILL).ok();
            eprintln!("the log of the service:\n{}", self.process.stderr.end());
            return;
        }
        self.terminate();
        self.conclude();
    }
}
