//! The `equinix-wif` binary: collects what the operating system gives, and hands it to the library.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use equinix_wif::{Env, StdoutKind, Streams, SystemClock};

fn main() -> ExitCode {
    equinix_wif::secret::keep_memory_private();
    equinix_wif::end_at_once();
    // A panic's message could quote what the program was reading. The place of the defect says enough.
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        let line = format!(
            "error[internal]: the program met a state that should be impossible{place}\nhint: please report it\n"
        );
        let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
        std::process::exit(1);
    }));
    let clock = SystemClock;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let streams = Streams {
        stdout_kind: stdout_kind(&stdout),
        stdin_is_terminal: io::stdin().is_terminal(),
        stderr_is_terminal: stderr.is_terminal(),
        stderr_is_lost: leads_nowhere(&stderr),
        stdout: &mut Patient(stdout),
    };
    let stderr = Box::new(Patient(stderr));
    ExitCode::from(equinix_wif::run(std::env::args_os(), Env::process(), clock, streams, stderr))
}

/// A stream that waits for a slow reader. A parent may have made the pipe non-blocking; then a full one is an error that
/// passes, and giving up would lose part of a token or of a mask.
struct Patient<W>(W);

impl<W> Patient<W> {
    fn patiently<T>(&mut self, mut act: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        const PAUSE: Duration = Duration::from_millis(5);
        const LIMIT: Duration = Duration::from_secs(30);
        let started = Instant::now();
        loop {
            match act(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && started.elapsed() < LIMIT => {
                    std::thread::sleep(PAUSE);
                }
                outcome => return outcome,
            }
        }
    }
}

impl<W: io::Write> io::Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(io::Write::flush)
    }
}

fn stdout_kind(stdout: &io::Stdout) -> StdoutKind {
    if stdout.is_terminal() {
        StdoutKind::Terminal
    } else if end_of(stdout) == End::Null {
        StdoutKind::Discarded
    } else {
        StdoutKind::Ordinary
    }
}

/// The end of a stream, as far as it can be told.
#[derive(PartialEq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "elsewhere there is no safe way to ask"))]
enum End {
    /// The null device.
    Null,
    /// A file.
    File,
    /// Nothing: it cannot be asked.
    Unknown,
    /// A pipe, a socket or another device.
    Other,
}

/// Finds out where a stream ends. Which descriptors were closed at the start cannot be told: the standard library has put
/// the null device in their place, and that is also what other programs hand over for "discard", opened in the same way.
#[cfg(unix)]
fn end_of(stream: &impl std::os::fd::AsFd) -> End {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let Ok(file) = stream.as_fd().try_clone_to_owned().map(std::fs::File::from) else { return End::Unknown };
    let Ok(found) = file.metadata() else { return End::Unknown };
    let is_null = found.file_type().is_char_device()
        && std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == found.rdev());
    match () {
        () if is_null => End::Null,
        () if found.is_file() => End::File,
        () => End::Other,
    }
}

/// Gives no answer: on Windows there is no safe way to ask; the residual risk is in SECURITY.md.
#[cfg(not(unix))]
fn end_of<S>(_: &S) -> End {
    End::Other
}

/// Tells whether what is written to standard error ends in a file or in the null device, where no runner reads it.
fn leads_nowhere(stderr: &io::Stderr) -> bool {
    end_of(stderr) != End::Other
}
