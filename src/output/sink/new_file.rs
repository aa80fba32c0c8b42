//! A file of our own: it appears at its place whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Code, Error};
use crate::random;
use crate::text::quote;

use super::system::no_follow;
use super::{failed, kind};

/// A file that appears at its place whole or not at all.
///
/// While the program waits for others it has no name (Linux) or is not there yet: a signal or a crash then leaves
/// nothing behind.
#[derive(Debug)]
pub struct NewFile {
    folder: PathBuf,
    target: PathBuf,
    mode: Mode,
    /// The file itself, where the system has files without a name.
    unnamed: Option<File>,
}

/// The permissions of a new file on Unix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For this user only, whatever the umask.
    Private,
    /// As the umask says.
    Public,
}

impl NewFile {
    /// Opens a file that will be at `target`, in `folder`.
    pub(super) fn open(target: PathBuf, folder: PathBuf, mode: Mode) -> Result<Self, Error> {
        let unnamed = unnamed_file(&folder, mode);
        let new = Self { folder, target, mode, unnamed };
        if new.unnamed.is_none() {
            // Whether there may be a file is seen from one that goes at once.
            drop(new.named()?);
        }
        Ok(new)
    }

    /// A name for the time of writing.
    fn temporary(&self) -> Result<PathBuf, Error> {
        Ok(self.folder.join(format!(".equinix-wif-{}.tmp", random::hex()?)))
    }

    /// A file with a name for the time of writing.
    fn named(&self) -> Result<Named, Error> {
        let path = self.temporary()?;
        let mut options = OpenOptions::new();
        // create_new refuses whatever is there already, a symbolic link included.
        options.write(true).create_new(true);
        no_follow(&mut options);
        with_mode(&mut options, self.mode);
        let file = options.open(&path).map_err(|error| {
            let shown = quote(&self.folder.to_string_lossy());
            failed(&error, Code::OutOpen, &format!("no file can be made in the folder {shown}"))
        })?;
        Ok(Named { file, path })
    }

    /// Where it will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder that it will be in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes everything, then makes it appear.
    pub fn commit(mut self, bytes: &[u8]) -> Result<PathBuf, Error> {
        let what = format!("{} cannot be written", quote(&self.target.to_string_lossy()));
        let fail = |error: &io::Error| failed(error, Code::OutWrite, &what);
        if let Some(mut file) = self.unnamed.take() {
            fill(&mut file, self.mode, bytes).map_err(|error| fail(&error))?;
            if give_name(&file, &self.target) {
                return Ok(self.target);
            }
            // There is a file to be replaced. Linking cannot do that, renaming can.
            let name = self.temporary()?;
            if give_name(&file, &name) {
                Named { file, path: name }.become_file(&self.target).map_err(|error| fail(&error))?;
                return Ok(self.target);
            }
        }
        let mut named = self.named()?;
        fill(&mut named.file, self.mode, bytes)
            .and_then(|()| named.become_file(&self.target))
            .map_err(|error| fail(&error))?;
        Ok(self.target)
    }
}

fn fill(file: &mut File, mode: Mode, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    if mode == Mode::Private {
        make_private(file)?;
    }
    file.sync_all()
}

/// A file with a temporary name, which goes when it is dropped.
struct Named {
    file: File,
    path: PathBuf,
}

impl Named {
    fn become_file(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Named {
    /// After the renaming there is nothing of this name; before it, nothing may stay.
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// A file without a name (`O_TMPFILE`, Linux). Not every file system has them.
#[cfg(target_os = "linux")]
fn unnamed_file(folder: &Path, mode: Mode) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(super::system::flags(rustix::fs::OFlags::TMPFILE));
    with_mode(&mut options, mode);
    options.open(folder).ok()
}

#[cfg(not(target_os = "linux"))]
fn unnamed_file(_: &Path, _: Mode) -> Option<File> {
    None
}

/// Gives a file without a name this one, if nothing has it. That needs `/proc` (open(2), `O_TMPFILE`).
#[cfg(target_os = "linux")]
fn give_name(file: &File, name: &Path) -> bool {
    use std::os::fd::AsRawFd;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(rustix::fs::CWD, own, rustix::fs::CWD, name, rustix::fs::AtFlags::SYMLINK_FOLLOW)
        .is_ok()
}

#[cfg(not(target_os = "linux"))]
fn give_name(_: &File, _: &Path) -> bool {
    false
}

/// The target's full path and its folder, without symbolic links in the folder. The target may be a file that is to be
/// replaced, and nothing else: renaming over `/dev/null` would take it away from the whole machine.
pub(super) fn split(path: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let shown = quote(&path.to_string_lossy());
    let name = path.file_name().ok_or_else(|| Error::new(Code::OutOpen, format!("{shown} names no file")))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(parent)
        .map_err(|error| failed(&error, Code::OutOpen, &format!("the folder of {shown} cannot be opened")))?;
    let target = folder.join(name);
    match fs::symlink_metadata(&target) {
        Ok(there) if there.is_symlink() => {
            Err(Error::new(Code::OutSymlink, format!("{shown} is a symbolic link")))
        }
        Ok(there) if !there.is_file() => {
            Err(Error::new(Code::OutOpen, format!("{shown} is {} instead of a file", kind(&there))))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(&error, Code::OutOpen, &format!("{shown} cannot be looked at")))
        }
        _ => Ok((target, folder)),
    }
}

#[cfg(unix)]
fn with_mode(options: &mut OpenOptions, mode: Mode) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o666,
    });
}

#[cfg(not(unix))]
fn with_mode(_: &mut OpenOptions, _: Mode) {}

/// A umask may have taken more than it should.
#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn new(folder: &Path, mode: Mode, unnamed: Option<File>) -> NewFile {
        NewFile { folder: folder.to_owned(), target: folder.join("target"), mode, unnamed }
    }

    /// Not every file system has files without a name, and where `/proc` is missing they cannot be given one.
    #[test]
    fn a_file_system_without_unnamed_files_does_as_well() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        for text in ["first", "second"] {
            for unnamed in [None, unnamed_file(folder, Mode::Private)] {
                let path = new(folder, Mode::Private, unnamed).commit(text.as_bytes()).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
                assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is there");
            }
        }
    }

    /// Not only when it is whole: whoever opens it meanwhile could read on.
    #[test]
    fn a_private_file_is_so_before_anything_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        let named = new(root.path(), Mode::Private, None).named().unwrap();
        for file in [Some(&named.file), unnamed_file(root.path(), Mode::Private).as_ref()] {
            let mode = file.map_or(0, |file| file.metadata().unwrap().mode() & 0o7777);
            assert_eq!(mode | 0o600, 0o600, "a umask can only take away");
        }
    }

    #[test]
    fn what_cannot_take_its_place_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        fs::create_dir(folder.join("target")).unwrap();
        for unnamed in [None, unnamed_file(folder, Mode::Public)] {
            let error = new(folder, Mode::Public, unnamed).commit(b"text").unwrap_err();
            assert_eq!(error.code(), Code::OutWrite);
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is there");
        }
    }
}
