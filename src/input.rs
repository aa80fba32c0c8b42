//! Reads what may never come or never end: a pipe that nobody closes, a device, a file on a network that is gone.
//!
//! Everything that the program reads from a path or from standard input comes through here, with a size limit and a
//! deadline.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use zeroize::Zeroizing;

use crate::deadline::Deadline;

/// The memory that is set aside before reading, in bytes. Whatever is secret is shorter, so no copy of it stays behind
/// in a buffer that has become too small.
const SET_ASIDE: usize = 64 * 1024;

/// The reason for which nothing was read.
#[derive(Debug)]
pub enum ReadError {
    /// The end had not come when the deadline passed.
    TimedOut,
    /// There is more than the limit allows.
    TooLarge,
    /// The path leads to something else than a regular file.
    NotRegular,
    /// The system refused.
    Io(io::Error),
}

impl ReadError {
    /// Describes it in a few words, to follow "cannot be read: ".
    pub fn message(&self) -> String {
        match self {
            Self::TimedOut => "its end did not come before the time for this run was used up".to_owned(),
            Self::TooLarge => "it is too large".to_owned(),
            Self::NotRegular => "it is not a regular file".to_owned(),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
                kind => kind.to_string(),
            },
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The kinds of file that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but a regular file, or a link to one.
    Regular,
    /// Pipes as well, such as a shell's `<(command)`.
    Any,
}

/// Reads a file. At most `limit` bytes and nothing after the deadline.
pub fn read_file(
    path: &Path,
    kind: Kind,
    limit: usize,
    deadline: Deadline,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let path = path.to_path_buf();
    read(limit, deadline, move || open(path, kind))
}

/// Opens a file. Even this may take for ever, so it belongs into a thread.
fn open(path: PathBuf, kind: Kind) -> Result<fs::File, ReadError> {
    // Opening a pipe waits for its other end, and opening a device may do something.
    if kind == Kind::Regular && !fs::metadata(&path)?.is_file() {
        return Err(ReadError::NotRegular);
    }
    Ok(fs::File::open(path)?)
}

/// Reads to the end. It happens in a thread that nobody waits for after the deadline. What is read may be a secret, so it
/// is wiped when it is dropped.
pub fn read<R: Read>(
    limit: usize,
    deadline: Deadline,
    open: impl FnOnce() -> Result<R, ReadError> + Send + 'static,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = move || -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let mut content = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1).min(SET_ASIDE)));
        let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        open()?.take(one_more).read_to_end(&mut content)?;
        if content.len() > limit { Err(ReadError::TooLarge) } else { Ok(content) }
    };
    let Some(left) = deadline.left() else { return Err(ReadError::TimedOut) };
    thread::Builder::new().spawn(move || sender.send(reader()).ok())?;
    match receiver.recv_timeout(left) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(ReadError::TimedOut),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::from(io::ErrorKind::Other).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn long() -> Deadline {
        Deadline::within(Duration::from_secs(60))
    }

    fn short() -> Deadline {
        Deadline::within(Duration::from_millis(50))
    }

    #[test]
    fn reads_to_the_end_unless_there_is_too_much() {
        for limit in [4, 5, usize::MAX] {
            assert_eq!(**read(limit, long(), || Ok(&b"text"[..])).unwrap(), *b"text", "{limit}");
        }
        assert!(matches!(read(3, long(), || Ok(&b"text"[..])), Err(ReadError::TooLarge)));
        let refused =
            || -> Result<io::Empty, ReadError> { Err(io::Error::from(io::ErrorKind::NotFound).into()) };
        assert!(matches!(read(2, long(), refused), Err(ReadError::Io(_))));
    }

    #[test]
    fn an_end_that_never_comes_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(matches!(read(10, short(), || Ok(reader)), Err(ReadError::TimedOut)));
        let passed = Deadline::within(Duration::ZERO);
        assert!(matches!(read(10, passed, || Ok(&b"text"[..])), Err(ReadError::TimedOut)));
    }

    #[cfg(unix)]
    #[test]
    fn neither_devices_nor_pipes_nor_folders_are_files() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), &fifo, folder.path()] {
            let outcome = read_file(path, Kind::Regular, 100, long());
            assert!(matches!(outcome, Err(ReadError::NotRegular)), "{}: {outcome:?}", path.display());
        }
        assert!(matches!(
            read_file(Path::new("/dev/zero"), Kind::Any, 100, long()),
            Err(ReadError::TooLarge)
        ));
        assert!(matches!(read_file(&fifo, Kind::Any, 100, short()), Err(ReadError::TimedOut)));
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(**read_file(&link, Kind::Regular, 1, long()).unwrap(), *b"x");
    }
}
