//! A process under test: its streams are read while it runs, and it does not outlive the test.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::job::{AccessToken, Issued};
use super::leak::Secrets;
use super::outcome::{Outcome, Run, Scene};
use super::server::Server;
use super::turns::{self, Turn};

/// A run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A stream of the process, as far as it has been read.
#[derive(Default)]
pub struct Capture {
    bytes: Mutex<Vec<u8>>,
    grown: Condvar,
}

impl Capture {
    /// What has come so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has(&self, text: &[u8]) -> bool {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.windows(text.len()).any(|window| window == text)
    }

    /// Waits until this text has come; `false` after the time.
    pub fn gets(&self, text: &[u8], time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if bytes.windows(text.len()).any(|window| window == text) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            bytes = self.grown.wait_timeout(bytes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// [`Capture::gets`] for the first of these streams; the others are looked at as they are.
    pub fn any_gets(streams: &[Arc<Self>], text: &[u8], time: Duration) -> bool {
        let (Some(first), others) = (streams.first(), streams.get(1..).unwrap_or_default()) else {
            return false;
        };
        let there = || others.iter().any(|stream| stream.has(text));
        there() || first.gets(text, time) || there()
    }

    /// Reads a stream to its end, on a thread of its own.
    fn follow(self: &Arc<Self>, mut stream: impl Read + Send + 'static, ended: Sender<()>) {
        let capture = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = [0; 16 << 10];
            while let Ok(count @ 1..) = stream.read(&mut chunk) {
                let mut bytes = capture.bytes.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&chunk[..count]);
                capture.grown.notify_all();
            }
            ended.send(()).ok();
        });
    }
}

/// A running process. Dropping it kills it.
pub struct Process {
    child: Child,
    stdout: Arc<Capture>,
    stderr: Arc<Capture>,
    ended: Receiver<()>,
    started: Instant,
    _turn: Turn<'static>,
}

impl Process {
    /// Starts it with its streams connected to us. Stdin is empty unless there is something for it.
    pub fn start(mut command: Command, stdin: Option<Vec<u8>>) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let turn = turns::ordinary();
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program that does not read its stdin is no error here.
            thread::spawn(move || pipe.write_all(&bytes).ok());
        }
        let (sender, ended) = mpsc::channel();
        let (stdout, stderr) = (Arc::new(Capture::default()), Arc::new(Capture::default()));
        stdout.follow(child.stdout.take().expect("a pipe"), sender.clone());
        stderr.follow(child.stderr.take().expect("a pipe"), sender);
        Self { child, stdout, stderr, ended, started, _turn: turn }
    }

    /// Stderr, and stdout after it if wanted.
    pub fn streams(&self, both: bool) -> Vec<Arc<Capture>> {
        let mut streams = vec![Arc::clone(&self.stderr)];
        if both {
            streams.push(Arc::clone(&self.stdout));
        }
        streams
    }

    /// Waits for the process and for the end of both streams; `None` when that takes too long.
    fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = self.started + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        let streams_ended = (0..2).all(|_| self.ended.recv_timeout(left()).is_ok());
        // The streams end with the process, as a rule: what waits here is one that has closed them early.
        while streams_ended && !left().is_zero() {
            match self.child.try_wait().expect("the child is ours to wait for") {
                Some(status) => return Some(status),
                None => thread::park_timeout(Duration::from_millis(2)),
            }
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A job whose program runs.
#[must_use = "the run's checks are made by `wait`"]
pub struct Running {
    pub(super) process: Process,
    pub(super) issuer: Server,
    pub(super) sts: Server,
    pub(super) scene: Scene,
    pub(super) secrets: Secrets,
    pub(super) folder: TempDir,
    pub(super) issued: Issued,
}

impl Running {
    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends a signal, e.g. `TERM`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let status = Command::new("kill").arg(signal).arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send {name}");
    }

    /// The fake issuer.
    pub fn issuer(&self) -> &Server {
        &self.issuer
    }

    /// The fake STS.
    pub fn sts(&self) -> &Server {
        &self.sts
    }

    /// Waits until this text is on stderr; `false` after 30 s.
    pub fn stderr_gets(&self, text: &str) -> bool {
        self.process.stderr.gets(text.as_bytes(), Duration::from_secs(30))
    }

    /// Waits until this text is on stdout; `false` after 30 s.
    pub fn stdout_gets(&self, text: &str) -> bool {
        self.process.stdout.gets(text.as_bytes(), Duration::from_secs(30))
    }

    /// What has come on stderr so far.
    pub fn stderr_now(&self) -> String {
        String::from_utf8_lossy(&self.process.stderr.bytes()).into_owned()
    }

    /// The access tokens that the STS has given so far.
    pub fn issued(&self) -> Vec<AccessToken> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end and checks what always has to hold.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.wait_for(LIMIT)
    }

    /// [`Running::wait`] for a run that is meant to take long.
    #[track_caller]
    pub fn wait_for(mut self, limit: Duration) -> Outcome {
        let status = self.process.end(limit);
        let elapsed = self.process.started.elapsed();
        let run = Run {
            status,
            elapsed,
            stdout: self.process.stdout.bytes(),
            stderr: self.process.stderr.bytes(),
            limit,
        };
        drop(self.process);
        self.issuer.stop();
        self.sts.stop();
        Outcome::conclude(run, self.scene, self.secrets, &self.issuer, &self.sts, self.folder)
    }
}
