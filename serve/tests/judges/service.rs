//! The service as a process of its own, and the programs that ask it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_equinix-wif-serve");

/// Whoever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The folder of the judges.
pub(crate) fn judges() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges")
}

/// A program without the variables around the tests: those of a CI system would be those of a job.
pub(crate) fn program(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("TMPDIR", home).current_dir(home);
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child, &format!("{command:?}"))
}

/// Waits for the end of a program, and ends it if it hangs.
#[track_caller]
pub(crate) fn wait(child: Child, name: &str) -> Output {
    let pid = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(LIMIT) else {
        kill_process(pid, Signal::KILL).ok();
        panic!("{name} hangs");
    };
    output.unwrap()
}

/// Runs a program that has to succeed, and returns what it printed.
#[track_caller]
pub(crate) fn succeeds(command: Command) -> String {
    let name = format!("{command:?}");
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// A running service. Dropping it kills it.
pub(crate) struct Service {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    /// Where REST is, without a path. MCP's has its path.
    pub(crate) rest: String,
    pub(crate) mcp: String,
    pub(crate) bearer_file: PathBuf,
    pub(crate) bearer: String,
    pub(crate) home: TempDir,
}

impl Service {
    /// Starts it in the sandbox, with further arguments, and waits until it is ready.
    pub(crate) fn in_sandbox(args: &[&str]) -> Self {
        Self::start(&[&["--sandbox"], args].concat(), &[])
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = program(PROGRAM, home.path());
        command.args(["--rest-listen", "127.0.0.1:0", "--mcp-listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(args).envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (ready, stderr) = follow(&mut child);
        // The sender goes with the stream's end: then the thread has all that there is to say.
        let Ok(ready) = ready.recv_timeout(LIMIT) else {
            child.kill().ok();
            panic!("it does not become ready:\n{}", stderr.join().unwrap());
        };
        let text =
            |name: &str| ready[name].as_str().unwrap_or_else(|| panic!("no {name}: {ready}")).to_owned();
        let bearer_file = PathBuf::from(text("bearer_file"));
        let bearer = std::fs::read_to_string(&bearer_file).unwrap_or_default().trim().to_owned();
        Self { child, stderr: Some(stderr), rest: text("rest"), mcp: text("mcp"), bearer_file, bearer, home }
    }

    /// Ends it as a service manager does. It has to leave nothing behind, and no bearer in its log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let (sender, ended) = mpsc::channel();
        let stderr = self.stderr.take().unwrap();
        thread::spawn(move || sender.send(stderr.join().unwrap()));
        let log = ended.recv_timeout(LIMIT).expect("it does not end");
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}\n{log}");
        assert!(!self.bearer_file.exists(), "{} is left", self.bearer_file.display());
        assert!(self.bearer.is_empty() || !log.contains(&self.bearer), "the bearer is in the log");
        log
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads standard error to its end on a thread of its own, and hands over the line that says that all is open.
fn follow(child: &mut Child) -> (Receiver<Value>, JoinHandle<String>) {
    let stream = BufReader::new(child.stderr.take().unwrap());
    let (sender, ready) = mpsc::channel();
    let log = thread::spawn(move || {
        let mut sender = Some(sender);
        let mut log = String::new();
        for line in stream.lines().map_while(Result::ok) {
            log.push_str(&line);
            log.push('\n');
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "ready"
                && let Some(sender) = sender.take()
            {
                sender.send(event).ok();
            }
        }
        log
    });
    (ready, log)
}
