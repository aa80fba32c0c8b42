//! A folder by its path, for systems other than Unix. Windows keeps temporary folders per user; access lists are not looked
//! at (SECURITY.md).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::new_file::Access;
use super::{Found, Unreachable};

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Finds a folder.
    pub(super) fn open(path: &Path, _: Option<u32>) -> Result<Self, Unreachable> {
        let path = fs::canonicalize(path).map_err(Unreachable::Io)?;
        if !path.is_dir() {
            return Err(Unreachable::Io(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { path })
    }

    /// The path without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns why other users could swap what is in this folder, if they could.
    #[allow(clippy::unused_self, reason = "Unix looks at the folder")]
    pub(super) fn weakness(&self) -> Option<&str> {
        None
    }

    /// Tells whether it belongs to this user.
    #[allow(clippy::unused_self, reason = "Unix looks at the folder")]
    pub(super) fn is_own(&self) -> bool {
        true
    }

    /// Tells whether its path still leads to it.
    pub(super) fn is_still_there(&self) -> bool {
        self.path.is_dir()
    }

    /// Returns what has this name.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Found> {
        match fs::symlink_metadata(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
            Ok(there) if there.is_symlink() => Ok(Found::Link),
            Ok(there) if there.is_dir() => Ok(Found::Folder),
            Ok(there) if there.is_file() => Ok(Found::File),
            Ok(_) => Ok(Found::Other),
        }
    }

    /// Makes a file, which may not be there yet.
    pub(super) fn create(&self, name: &OsStr, _: Access) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name))
    }

    /// Opens nothing: whose a file is cannot be told.
    #[cfg(feature = "renew")]
    #[allow(clippy::unused_self, reason = "Unix opens it in the folder")]
    pub(super) fn open_own(&self, _: &OsStr) -> Option<File> {
        None
    }

    /// Makes nothing: there are no files without a name.
    #[allow(clippy::unused_self, reason = "Linux makes it in the folder")]
    pub(super) fn create_unnamed(&self, _: Access) -> Option<File> {
        None
    }

    /// Does nothing: there are no files without a name.
    #[allow(clippy::unused_self, reason = "Linux links it into the folder")]
    pub(super) fn link(&self, _: &File, _: &OsStr) -> bool {
        false
    }

    /// Renames within the folder; what has the new name is replaced.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) {
        fs::remove_file(self.path.join(name)).ok();
    }
}

/// Returns nobody: there are no owners to compare.
pub(super) fn guest(_: &Path, _: Option<PathBuf>) -> Option<u32> {
    None
}
