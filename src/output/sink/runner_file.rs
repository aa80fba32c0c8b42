//! A file of the runner: appended to, never made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::env::Env;
use crate::error::{Code, Error};
use crate::secret::SecretBytes;
use crate::text::quote;

use super::system::{is_ours, no_follow};
use super::{failed, kind};

/// A file of the runner, which exists already and is read when the step has ended.
#[derive(Debug)]
pub(super) struct RunnerFile {
    pub(super) variable: &'static str,
    file: File,
}

impl RunnerFile {
    pub(super) fn open(variable: &'static str, env: &Env) -> Result<Self, Error> {
        let path = env.os(variable).map(PathBuf::from).ok_or_else(|| {
            Error::new(
                Code::OutRunnerFileMissing,
                format!("{variable} is not set, so there is no runner file to write to"),
            )
        })?;
        let shown = quote(&path.to_string_lossy());
        let metadata = fs::symlink_metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(
                Code::OutRunnerFileMissing,
                format!("the runner file {shown} of {variable} does not exist"),
            ),
            _ => failed(
                &error,
                Code::OutOpen,
                &format!("the runner file {shown} of {variable} cannot be looked at"),
            ),
        })?;
        if metadata.is_symlink() {
            return Err(Error::new(
                Code::OutSymlink,
                format!("the runner file {shown} of {variable} is a symbolic link"),
            ));
        }
        if !metadata.is_file() {
            let message =
                format!("the runner file {shown} of {variable} is {} instead of a file", kind(&metadata));
            return Err(Error::new(Code::OutOpen, message));
        }
        // Never created here: the runner would not read it.
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        no_follow(&mut options);
        let file = options.open(&path).map_err(|error| {
            failed(
                &error,
                Code::OutOpen,
                &format!("the runner file {shown} of {variable} cannot be opened for writing"),
            )
        })?;
        // What was opened counts, not what had been looked at.
        let opened = file.metadata().map_err(|error| {
            failed(
                &error,
                Code::OutOpen,
                &format!("the runner file {shown} of {variable} cannot be looked at"),
            )
        })?;
        if !opened.is_file() {
            let message = format!("the runner file {shown} of {variable} was swapped for something else");
            return Err(Error::new(Code::OutSymlink, message));
        }
        if !is_ours(&opened) {
            return Err(Error::new(
                Code::OutSymlink,
                format!("the runner file {shown} of {variable} belongs to another user"),
            ));
        }
        Ok(Self { variable, file })
    }

    /// Appends in one write, so that two processes cannot mix their lines. A line that the file's last writer left
    /// unfinished is ended first: otherwise our first line would fuse with it.
    pub(super) fn append(mut self, block: &[u8]) -> Result<(), Error> {
        let what = format!("the runner file of {} cannot be written", self.variable);
        let fail = |error: &io::Error| failed(error, Code::OutWrite, &what);
        let before = self.file.metadata().map_err(|e| fail(&e))?.len();
        let mut bytes = Vec::with_capacity(block.len() + 1);
        if before > 0 {
            let mut last = [0_u8];
            self.file
                .seek(SeekFrom::End(-1))
                .and_then(|_| self.file.read_exact(&mut last))
                .map_err(|e| fail(&e))?;
            if last != *b"\n" {
                bytes.push(b'\n');
            }
        }
        bytes.extend_from_slice(block);
        let bytes = SecretBytes::new(bytes);
        let outcome = loop {
            match self.file.write(bytes.reveal()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match outcome {
            Ok(count) if count == bytes.reveal().len() => Ok(()),
            Ok(count) => {
                // Taken back only if nobody has written since; else the unfinished block makes the runner fail loudly.
                let expected = before.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                if self.file.metadata().is_ok_and(|now| now.len() == expected) {
                    self.file.set_len(before).ok();
                }
                Err(Error::new(Code::OutFull, format!("{what}: only part of the data fitted")))
            }
            Err(error) => Err(fail(&error)),
        }
    }
}
