//! A file of the runner: appended to, and made only where a shell reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::env::Env;
use crate::error::{Code, Error};
use crate::platform::PLATFORMS;
use crate::secret::SecretBytes;
use crate::text::quote;

use super::system::{is_ours, no_follow, private, reserve};
use super::{entries, failed};

/// The part of a file that is looked at, in bytes: nobody's outputs are longer, and what is longer is the runner's to
/// judge.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A file of the runner, which exists already and is read when the step has ended.
#[derive(Debug)]
pub(super) struct RunnerFile {
    pub(super) variable: &'static str,
    file: File,
    /// The path of a file that was made here and is not written yet: a run without a token leaves none.
    made: Option<PathBuf>,
}

impl Drop for RunnerFile {
    fn drop(&mut self) {
        if let Some(path) = self.made.take()
            && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0)
        {
            fs::remove_file(path).ok();
        }
    }
}

const OTHER_USER: &str = "Run the container as the user that the file belongs to or as root (docker run --user), or use exec, which writes no file.";

impl RunnerFile {
    /// Opens a file with commands for a shell. Nothing is known of what is in it, and a shell does without it if it is not
    /// there, so the first to write makes it.
    pub(super) fn open_sourced(variable: &'static str, env: &Env) -> Result<Self, Error> {
        let path = env.os(variable).map(PathBuf::from);
        let make = |path: &PathBuf| {
            let mut options = OpenOptions::new();
            options.append(true).create_new(true);
            no_follow(&mut options);
            private(&mut options);
            options.open(path).is_ok()
        };
        // One that is there is opened as it is, and the reason why none can be made is found again there.
        let made = path.filter(make);
        let mut new = Self::open_as(variable, env, false)?;
        new.made = made;
        Ok(new)
    }

    /// Opens a file that the runner has made, with a list of entries or a text.
    pub(super) fn open(variable: &'static str, env: &Env) -> Result<Self, Error> {
        // The summary is a text, and the others are lists of entries.
        let is_summary = PLATFORMS.iter().any(|platform| platform.facts().summary == Some(variable));
        Self::open_as(variable, env, !is_summary)
    }

    fn open_as(variable: &'static str, env: &Env, has_entries: bool) -> Result<Self, Error> {
        let path = env.os(variable).map(PathBuf::from).ok_or_else(|| {
            Error::new(
                Code::OutRunnerFileMissing,
                format!("{variable} is not set, so there is no runner file to write to"),
            )
        })?;
        let shown = format!("the runner file {} of {variable}", quote(&path.to_string_lossy()));
        let cannot = |error: &io::Error, what: &str| failed(error, Code::OutOpen, &format!("{shown} {what}"));
        let metadata = fs::symlink_metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Code::OutRunnerFileMissing, format!("{shown} does not exist"))
            }
            _ => cannot(&error, "cannot be looked at"),
        })?;
        if metadata.is_symlink() {
            return Err(Error::new(Code::OutSymlink, format!("{shown} is a symbolic link")));
        }
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" };
            return Err(Error::new(Code::OutOpen, format!("{shown} is {kind} instead of a file")));
        }
        // Never created here: the runner would not read it.
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        no_follow(&mut options);
        let file = options.open(&path).map_err(|error| {
            let refused = cannot(&error, "cannot be opened for writing");
            match error.kind() {
                io::ErrorKind::PermissionDenied => refused.with_cure(OTHER_USER),
                _ => refused,
            }
        })?;
        // What was opened counts, not what had been looked at.
        let opened = file.metadata().map_err(|error| cannot(&error, "cannot be looked at"))?;
        if !opened.is_file() {
            return Err(Error::new(Code::OutSymlink, format!("{shown} was swapped for something else")));
        }
        if !is_ours(&opened) {
            return Err(Error::new(Code::OutSymlink, format!("{shown} belongs to another user"))
                .with_cure(OTHER_USER));
        }
        let new = Self { variable, file, made: None };
        if has_entries {
            let there = new.content().map_err(|error| cannot(&error, "cannot be read"))?;
            if let Some(why) = entries::obstacle(there.reveal()) {
                let message = format!("{shown} {why}, so the runner would not read what is appended to it");
                return Err(Error::new(Code::OutOpen, message)
                    .with_cure("Look for what this step has written to it before, and mend that."));
            }
        }
        Ok(new)
    }

    /// Returns the content, which may hold the token of an earlier run.
    fn content(&self) -> io::Result<SecretBytes> {
        let length = self.file.metadata()?.len();
        if length > MOST_BYTES {
            return Ok(SecretBytes::new(Vec::new()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let outcome = (&self.file).take(length).read_to_end(&mut bytes);
        let bytes = SecretBytes::new(bytes);
        outcome.map(|_| bytes)
    }

    fn cannot_be_written(&self, error: &io::Error) -> Error {
        failed(error, Code::OutWrite, &format!("the runner file of {} cannot be written", self.variable))
    }

    /// Makes sure that there is room for this block, as far as the system can tell.
    pub(super) fn reserve(&self, block: &[u8]) -> Result<(), Error> {
        reserve(&self.file, block.len() + 1).map_err(|error| self.cannot_be_written(&error))
    }

    /// Appends in one write, so that two processes cannot mix their lines. A line that the file's last writer left
    /// unfinished is ended first: otherwise our first line would fuse with it.
    pub(super) fn append(mut self, block: &[u8]) -> Result<(), Error> {
        let separator = self.separator().map_err(|error| self.cannot_be_written(&error))?;
        let bytes = SecretBytes::new([separator, block].concat());
        write_whole(&mut self.file, bytes.reveal()).map_err(|error| self.cannot_be_written(&error))
    }

    fn separator(&mut self) -> io::Result<&'static [u8]> {
        if self.file.metadata()?.len() == 0 {
            return Ok(b"");
        }
        let mut last = [0_u8];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(if last == *b"\n" { b"" } else { b"\n" })
    }
}

/// One write, and nothing after it. What did not fit is not taken back: what another process has appended meanwhile would go
/// with it. A block without its end makes the runner fail loudly.
fn write_whole(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match write_at_once(file, bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    }
}

/// One write, and how much of it fitted.
fn write_at_once(file: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes so many bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.1 - self.0.len());
            self.0.extend(bytes.iter().take(fits));
            Ok(fits)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Checks that nothing is written twice: a second write could follow one of somebody else.
    #[test]
    fn there_is_one_write_whatever_fits() {
        let mut disk = Disk(Vec::new(), 3);
        assert_eq!(write_at_once(&mut disk, b"abcd").unwrap(), 3);
        assert_eq!(disk.0, b"abc");
    }

    #[test]
    fn what_fits_in_part_is_a_failure_and_stays() {
        let mut disk = Disk(Vec::new(), 3);
        let error = write_whole(&mut disk, b"abcd").unwrap_err();
        assert_eq!(failed(&error, Code::OutWrite, "x").code(), Code::OutFull);
        assert_eq!(disk.0, b"abc");
        write_whole(&mut Disk(Vec::new(), 4), b"abcd").unwrap();
    }

    /// Checks that what another process has appended meanwhile stays, also where the end of a block does not fit.
    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_that_others_append_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        fs::write(&path, "a=b\n").unwrap();
        let path_text = path.to_str().unwrap().to_owned();
        let env = Env::fixed([("GITHUB_OUTPUT", path_text)]);
        let file = RunnerFile::open("GITHUB_OUTPUT", &env).unwrap();
        file.reserve(b"c<<E\nx\nE\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a=b\n", "a reservation cannot be seen");
        let mut other = OpenOptions::new().append(true).open(&path).unwrap();
        other.write_all(b"d=e\n").unwrap();
        file.append(b"c<<E\nx\nE\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a=b\nd=e\nc<<E\nx\nE\n");
    }
}
