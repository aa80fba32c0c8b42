//! Helper programs: a platform's own program that makes an ID token, or that hides a value.
//!
//! One is found once, as an absolute path, since a folder of the working directory may be anybody's. It gets the variables
//! that it needs and no others. What it writes is bounded, and so is its time: when that is over, it and what it has started
//! are ended.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::secret::Secret;
use crate::text::quote;

use super::{HELPERS, status_of};

/// The largest answer that is read, in bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// So much of what a program says about a failure is read.
const MAX_WORDS: u64 = 4 * 1024;

/// The time for what is still in the pipes when the program has ended.
const GRACE: Duration = Duration::from_millis(500);

/// A helper program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Helper {
    /// The name, which is looked for in `PATH`, or an absolute path.
    pub program: &'static str,
    /// The variables that it gets, besides those that every helper gets.
    pub variables: &'static [&'static str],
    /// The beginnings of further ones: for programs whose needs differ from job to job, or are not documented.
    pub beginnings: &'static [&'static str],
}

/// The variables that every helper gets: where its own programs, files and proxies are, and whom it trusts.
const USUAL: [&str; 16] = [
    names::PATH,
    "HOME",
    "USERPROFILE",
    "SystemRoot",
    "TMPDIR",
    "TEMP",
    "TMP",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LANG",
];

/// The reason for which a helper program gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is nowhere in `PATH`.
    Missing,
    /// It could not be started, or did not take what it was given.
    Broken(String),
    /// It ended with this status, and said this.
    Failed(u8, String),
    /// Its answer was larger than any real one.
    TooLarge,
    /// It did not end in time.
    Late,
}

impl Trouble {
    /// Describes it, for a message that names the program.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Missing => "it is in no folder of PATH".to_owned(),
            Self::Broken(why) => why.clone(),
            Self::Failed(status, words) if words.is_empty() => format!("it ended with {status}"),
            Self::Failed(status, words) => format!("it ended with {status} and said {}", quote(words)),
            Self::TooLarge => format!("it wrote more than {MAX_ANSWER} bytes"),
            Self::Late => "it did not end in time".to_owned(),
        }
    }
}

impl Helper {
    /// Finds the program. Only absolute folders count.
    pub(crate) fn find(&self, env: &Env) -> Result<PathBuf, Trouble> {
        let named = Path::new(self.program);
        if named.is_absolute() {
            return is_program(named).then(|| named.to_owned()).ok_or(Trouble::Missing);
        }
        let path = env.os(names::PATH).unwrap_or_default();
        let mut files = std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(format!("{}{}", self.program, std::env::consts::EXE_SUFFIX)));
        files.find(|file| is_program(file)).ok_or(Trouble::Missing)
    }

    /// The variables that it gets, with their values.
    fn variables(&self, env: &Env) -> Vec<(OsString, OsString)> {
        let named = USUAL.iter().chain(self.variables).map(OsString::from);
        let begun = self.beginnings.iter().flat_map(|beginning| env.names_from(beginning));
        let value = |name: OsString| Some((name.clone(), env.os(name.to_str()?)?));
        named.chain(begun).filter_map(value).collect()
    }

    /// Runs it with these arguments, which are no secrets, and returns what it writes to standard output. A secret goes to its
    /// standard input.
    pub(crate) fn run<A: AsRef<OsStr>>(
        &self,
        env: &Env,
        arguments: &[A],
        input: Option<&Secret>,
        deadline: Deadline,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let file = self.find(env)?;
        let _helper = HELPERS.read().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(file);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables(env))
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Of its own group, so that what it has started can be ended with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .spawn()
            .map_err(|error| Trouble::Broken(format!("it could not be started: {}", error.kind())))?;
        let written = write(&mut child, input);
        // The room is taken at once, so that no copy of a secret stays behind in a smaller buffer.
        let answer = read(child.stdout.take(), MAX_ANSWER as u64 + 1, Vec::with_capacity(MAX_ANSWER + 32));
        let words = read(child.stderr.take(), MAX_WORDS, Vec::new());
        let outcome = wait(&mut child, deadline, &answer, &words, &written);
        if outcome.is_err() {
            end(&mut child);
        }
        outcome
    }
}

/// Waits until the program has ended and has been heard out.
fn wait(
    child: &mut Child,
    deadline: Deadline,
    answer: &Receiver<Zeroizing<Vec<u8>>>,
    words: &Receiver<Zeroizing<Vec<u8>>>,
    written: &Receiver<io::Result<()>>,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut heard = None;
    let status = loop {
        match answer.try_recv() {
            Ok(bytes) => heard = Some(bytes),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        if heard.as_ref().is_some_and(|bytes| bytes.len() > MAX_ANSWER) {
            return Err(Trouble::TooLarge);
        }
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if deadline.left().is_some() => thread::sleep(PAUSE),
            Ok(None) => return Err(Trouble::Late),
            Err(error) => return Err(Trouble::Broken(format!("its end is not known: {}", error.kind()))),
        }
    };
    let grace = deadline.left().unwrap_or_default().min(GRACE);
    if !status.success() {
        let words = words.recv_timeout(grace).unwrap_or_default();
        return Err(Trouble::Failed(status_of(status), String::from_utf8_lossy(&words).trim().to_owned()));
    }
    match written.recv_timeout(grace) {
        Ok(Ok(())) => {}
        _ => return Err(Trouble::Broken("it did not read the whole of its input".to_owned())),
    }
    let heard = heard.or_else(|| answer.recv_timeout(grace).ok());
    let heard =
        heard.ok_or_else(|| Trouble::Broken("what it has started keeps its output open".to_owned()))?;
    if heard.len() > MAX_ANSWER { Err(Trouble::TooLarge) } else { Ok(heard) }
}

/// Writes a secret to the program. One that does not read must not hold up the run.
fn write(child: &mut Child, secret: Option<&Secret>) -> Receiver<io::Result<()>> {
    let (sender, receiver) = channel();
    let input = child.stdin.take();
    let bytes = secret.map(|secret| Zeroizing::new(secret.reveal().as_bytes().to_vec()));
    let (Some(mut input), Some(bytes)) = (input, bytes) else {
        sender.send(Ok(())).ok();
        return receiver;
    };
    thread::spawn(move || sender.send(input.write_all(&bytes)));
    receiver
}

/// Reads so much, and leaves out what comes after it.
fn read<R: Read + Send + 'static>(
    stream: Option<R>,
    most: u64,
    buffer: Vec<u8>,
) -> Receiver<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut bytes = Zeroizing::new(buffer);
        // What has been read until it broke off is all that there is.
        (&mut stream).take(most).read_to_end(&mut bytes).ok();
        sender.send(bytes).ok();
        io::copy(&mut stream, &mut io::sink()).ok();
    });
    receiver
}

/// Ends the program and what it has started.
fn end(child: &mut Child) {
    // Once it has been reaped, its number may be another group's.
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    #[cfg(unix)]
    rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    )
    .ok();
    child.kill().and_then(|()| child.wait()).ok();
}

fn is_program(file: &Path) -> bool {
    #[cfg(unix)]
    return file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    #[cfg(not(unix))]
    file.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    const SHELL: Helper = Helper { program: "sh", variables: &["MINE"], beginnings: &["MY_"] };

    fn ask(script: &str, input: Option<&Secret>) -> Result<String, Trouble> {
        let env = Env::fixed([
            ("PATH", "relative::/usr/bin:/bin"),
            ("MINE", "1"),
            ("THEIRS", "2"),
            ("MY_OTHER", "3"),
        ]);
        let by = Deadline::within(Duration::from_secs(20));
        let answer = SHELL.run(&env, &["-c", script], input, by)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[test]
    fn the_answer_is_what_it_writes() {
        assert_eq!(ask("echo a; echo b >&2", None).unwrap(), "a\n");
        let secret = Secret::new("the secret");
        assert_eq!(ask("cat", Some(&secret)).unwrap(), "the secret");
        assert_eq!(ask("cat", None).unwrap(), "", "standard input is empty");
        assert_eq!(ask("echo $MINE$THEIRS$MY_OTHER", None).unwrap(), "13\n", "no other variable");
    }

    #[test]
    fn each_failure_has_its_reason() {
        let failed = |status, words: &str| Trouble::Failed(status, words.to_owned());
        assert_eq!(ask("echo out; echo why >&2; exit 3", None).unwrap_err(), failed(3, "why"));
        assert_eq!(ask("kill -9 $$", None).unwrap_err(), failed(137, ""));
        let flood = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
        assert_eq!(ask(flood, None).unwrap_err(), Trouble::TooLarge);
        let words = format!("head -c 300000 /dev/zero | tr '\\0' w >&2; exit 4 # {flood}");
        let Trouble::Failed(4, words) = ask(&words, None).unwrap_err() else { panic!("another reason") };
        assert_eq!(words.len() as u64, MAX_WORDS);
        let much = Secret::new("s".repeat(1 << 20));
        assert!(matches!(ask("exec <&-; exit 0", Some(&much)).unwrap_err(), Trouble::Broken(_)));
        assert!(failed(1, "x\n::error::y").text().contains("x : :error: :y"));
    }

    #[test]
    fn the_largest_answer_is_read_whole() {
        let answer = |size: usize| ask(&format!("head -c {size} /dev/zero"), None);
        assert_eq!(answer(MAX_ANSWER).unwrap().len(), MAX_ANSWER);
        assert_eq!(answer(MAX_ANSWER + 1).unwrap_err(), Trouble::TooLarge);
    }

    #[test]
    fn the_deadline_ends_it_and_what_it_has_started() {
        let env = Env::fixed([("PATH", "/usr/bin:/bin")]);
        let start = Instant::now();
        let by = Deadline::within(Duration::from_millis(300));
        let late = SHELL.run(&env, &["-c", "sleep 60 & wait"], None, by).unwrap_err();
        assert_eq!(late, Trouble::Late);
        // One that leaves its output to others is not waited for.
        let by = Deadline::within(Duration::from_secs(20));
        let open = SHELL.run(&env, &["-c", "sleep 3 &"], None, by).unwrap_err();
        assert!(open.text().contains("keeps its output open"), "{open:?}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn it_is_found_in_absolute_folders_alone() {
        let find = |program, path: &str| {
            Helper { program, variables: &[], beginnings: &[] }.find(&Env::fixed([("PATH", path)]))
        };
        assert_eq!(find("sh", "/nowhere:/bin").unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("sh", ".:bin:").unwrap_err(), Trouble::Missing);
        assert_eq!(find("no-such-program", "/bin").unwrap_err(), Trouble::Missing);
        assert_eq!(find("/no/such", "/bin").unwrap_err(), Trouble::Missing);
    }
}
