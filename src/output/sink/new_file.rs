//! A file of our own: it appears at its place whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Code, Error};
use crate::random;
use crate::text::quote;

use super::folder::Folder;
use super::{Found, Unreachable, failed};

/// A file that appears at its place whole or not at all.
///
/// While the program waits for others it has no name (Linux) or is not there yet: a signal or a crash then leaves
/// nothing behind.
#[derive(Debug)]
pub struct NewFile {
    folder: Arc<Folder>,
    name: OsString,
    access: Access,
    /// The file itself, where the system has files without a name.
    unnamed: Option<File>,
    /// The file itself, where it needs a name before it has its own.
    named: Option<Named>,
}

/// The permissions of a new file on Unix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// For this user only, whatever the umask.
    Private,
    /// The permissions that the umask leaves.
    Public,
}

impl NewFile {
    /// Opens a file that will be at this place.
    pub(super) fn open(place: Place, access: Access) -> Result<Self, Error> {
        Self::open_in(Arc::new(place.folder), place.name, access)
    }

    /// [`NewFile::open`] in a folder that others hold open as well.
    pub(super) fn open_in(folder: Arc<Folder>, name: OsString, access: Access) -> Result<Self, Error> {
        let unnamed = folder.create_unnamed(access);
        let new = Self { folder, name, access, unnamed, named: None };
        if new.unnamed.is_none() {
            // Whether there may be a file is seen from one that goes at once.
            drop(new.with_name()?);
        }
        Ok(new)
    }

    /// A file with a name for the time of writing.
    fn with_name(&self) -> Result<Named, Error> {
        let name = temporary_name()?;
        let file = self.folder.create(&name, self.access).map_err(|error| {
            let shown = quote(&self.folder.path().to_string_lossy());
            failed(&error, Code::OutOpen, &format!("no file can be made in the folder {shown}"))
        })?;
        Ok(Named { folder: Arc::clone(&self.folder), name, file: Some(file) })
    }

    /// Returns where it will be.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    fn cannot_be_written(&self, error: &io::Error) -> Error {
        let what = format!("{} cannot be written", quote(&self.target().to_string_lossy()));
        failed(error, Code::OutWrite, &what)
    }

    /// Takes the space for what will be written, so that a full disk is seen now. Only where the file is there already; elsewhere
    /// it is seen when it is written.
    pub(super) fn reserve(mut self, size: usize) -> Result<Self, Error> {
        let outcome = self.unnamed.as_mut().map_or(Ok(()), |file| {
            file.write_all(&vec![0; size])?;
            file.sync_all()?;
            file.rewind()
        });
        outcome.map_err(|error| self.cannot_be_written(&error))?;
        Ok(self)
    }

    /// Writes everything, where nobody sees it yet.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let outcome = if let Some(file) = &mut self.unnamed {
            fill(file, self.access, bytes)
        } else {
            let mut named = self.with_name()?;
            let outcome = named.fill(self.access, bytes);
            self.named = Some(named);
            outcome
        };
        outcome.map_err(|error| self.cannot_be_written(&error))
    }

    /// Makes what was written appear. It takes the bytes once more, since a file without a name cannot always be given
    /// one.
    pub(super) fn appear(mut self, bytes: &[u8]) -> Result<Appeared, Error> {
        // Relative to the folder nothing can go wrong; but whoever reads the file uses its path.
        if !self.folder.is_still_there() {
            let shown = quote(&self.folder.path().to_string_lossy());
            let message = format!("the folder {shown} was swapped for something else");
            return Err(Error::new(Code::OutSymlink, message));
        }
        let there = Appeared { folder: Arc::clone(&self.folder), name: self.name.clone() };
        let mut named = self.named.take();
        if let Some(file) = self.unnamed.take() {
            if self.folder.link(&file, &self.name) {
                return Ok(there);
            }
            // There is a file to be replaced. Linking cannot do that, renaming can.
            let name = temporary_name()?;
            if self.folder.link(&file, &name) {
                named = Some(Named { folder: Arc::clone(&self.folder), name, file: None });
            }
        }
        let named = if let Some(named) = named {
            named
        } else {
            let mut named = self.with_name()?;
            named.fill(self.access, bytes).map_err(|error| self.cannot_be_written(&error))?;
            named
        };
        named.take_place(&self.name).map_err(|error| self.cannot_be_written(&error))?;
        Ok(there)
    }

    /// Writes everything, then makes it appear.
    pub fn commit(mut self, bytes: &[u8]) -> Result<PathBuf, Error> {
        self.fill(bytes)?;
        self.appear(bytes).map(|there| there.path())
    }
}

/// A file that has appeared at its place.
pub(super) struct Appeared {
    folder: Arc<Folder>,
    name: OsString,
}

impl Appeared {
    /// Returns where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Takes it away again.
    pub(super) fn remove(&self) {
        self.folder.remove(&self.name);
    }
}

fn fill(file: &mut File, access: Access, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    // Nothing stays of what only took the space.
    file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    if access == Access::Private {
        make_private(file)?;
    }
    file.sync_all()
}

fn temporary_name() -> Result<OsString, Error> {
    Ok(format!(".equinix-wif-{}.tmp", random::hex()?).into())
}

/// A file with a temporary name, which goes when it is dropped.
#[derive(Debug)]
struct Named {
    folder: Arc<Folder>,
    name: OsString,
    file: Option<File>,
}

impl Named {
    fn fill(&mut self, access: Access, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| fill(file, access, bytes))
    }

    fn take_place(self, name: &OsStr) -> io::Result<()> {
        self.folder.rename(&self.name, name)
    }
}

impl Drop for Named {
    /// Removes the file. After the renaming there is nothing of this name; before it, nothing may stay.
    fn drop(&mut self) {
        // Windows removes no file that is open.
        self.file = None;
        self.folder.remove(&self.name);
    }
}

/// The place of a future file: a folder that is held open, and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: Folder,
    pub(super) name: OsString,
}

impl Place {
    /// Finds the place of a path. There may be a file that is to be replaced, and nothing else: renaming over `/dev/null`
    /// would take it away from the whole machine.
    pub(super) fn find(path: &Path, guest: impl Fn(&Path) -> Option<u32>) -> Result<Self, Error> {
        let shown = quote(&path.to_string_lossy());
        let open = |what: &str| Error::new(Code::OutOpen, format!("{shown} {what}"));
        let name = path.file_name().ok_or_else(|| open("names no file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Folder::open(parent, guest(parent)).map_err(|why| match why {
            Unreachable::Io(error) => {
                failed(&error, Code::OutOpen, &format!("the folder of {shown} cannot be opened"))
            }
            Unreachable::ForeignLink(link) => {
                let link = quote(&link.to_string_lossy());
                let message = format!("on the way to {shown}, {link} is a symbolic link of another user");
                Error::new(Code::OutSymlink, message)
            }
        })?;
        let found = folder
            .look(name)
            .map_err(|error| failed(&error, Code::OutOpen, &format!("{shown} cannot be looked at")))?;
        match found {
            Found::Nothing | Found::File => Ok(Self { folder, name: name.to_owned() }),
            Found::Link => Err(Error::new(Code::OutSymlink, format!("{shown} is a symbolic link"))),
            Found::ForeignFile => {
                Err(open("belongs to another user, and only that user may replace it in this folder"))
            }
            Found::Folder => Err(open("is a folder instead of a file")),
            Found::Other => Err(open("is a device, pipe or socket instead of a file")),
        }
    }
}

/// Sets the permissions once more: a umask may have taken more than it should.
#[cfg(unix)]
fn make_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn place(folder: &Path) -> Place {
        Place { folder: Folder::open(folder, None).unwrap(), name: "target".into() }
    }

    #[test]
    fn nothing_of_the_reserved_space_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = NewFile::open(place(folder.path()), Access::Private).unwrap().reserve(8192).unwrap();
        let path = file.commit(b"a refresh token").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"a refresh token");
    }

    /// Opens both kinds of file: as it is opened here, and as where there are no files without a name.
    fn both(folder: &Path, access: Access) -> [NewFile; 2] {
        let new = || NewFile::open(place(folder), access).unwrap();
        [new(), NewFile { unnamed: None, ..new() }]
    }

    /// Checks the other way: not every file system has files without a name, and where `/proc` is missing they cannot
    /// be given one.
    #[test]
    fn a_file_system_without_unnamed_files_does_as_well() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        for text in ["first", "second"] {
            for new in both(folder, Access::Private) {
                let path = new.commit(text.as_bytes()).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
                assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is there");
            }
        }
    }

    /// Checks that it is private from the beginning: whoever opens it meanwhile could read on.
    #[test]
    fn a_private_file_is_so_before_anything_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        let [new, other] = both(root.path(), Access::Private);
        let named = other.with_name().unwrap();
        for file in [named.file.as_ref(), new.unnamed.as_ref()] {
            let mode = file.map_or(0, |file| file.metadata().unwrap().mode() & 0o7777);
            assert_eq!(mode | 0o600, 0o600, "a umask can only take away");
        }
    }

    #[test]
    fn what_cannot_take_its_place_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        fs::create_dir(folder.join("target")).unwrap();
        for new in both(folder, Access::Public) {
            let error = new.commit(b"text").unwrap_err();
            assert_eq!(error.code(), Code::OutWrite);
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is there");
        }
    }

    /// Checks the case that another user exchanges a folder on the way while the token is fetched.
    #[test]
    fn nothing_is_written_where_another_folder_was_put() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for swap in 0..2 {
            fs::create_dir_all(path("a/b")).unwrap();
            let [new, other] = both(&path("a/b"), Access::Private);
            fs::rename(path("a"), path("moved")).unwrap();
            if swap == 0 {
                fs::create_dir_all(path("a/b")).unwrap();
            } else {
                fs::create_dir(path("theirs")).unwrap();
                fs::create_dir(path("a")).unwrap();
                std::os::unix::fs::symlink(path("theirs"), path("a/b")).unwrap();
            }
            for new in [new, other] {
                let error = new.commit(b"text").unwrap_err();
                assert_eq!(error.code(), Code::OutSymlink);
                assert!(error.message().ends_with("was swapped for something else"), "{error}");
            }
            for folder in ["moved/b", "a/b"] {
                assert_eq!(fs::read_dir(path(folder)).unwrap().count(), 0, "{folder}");
            }
            fs::remove_dir_all(path("moved")).unwrap();
            fs::remove_dir_all(path("a")).unwrap();
        }
    }
}
