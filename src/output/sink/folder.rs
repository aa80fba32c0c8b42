//! A folder that is held open, after the whole way to it has been looked at.
//!
//! A path is only as trustworthy as the weakest folder on its way: whoever may write one of them can put another folder
//! in the place of the next. So the way is walked from the root, one component at a time and without following links
//! blindly, and what is done later is done relative to the folder that was reached, whatever its path leads to by then.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::process::geteuid;

use super::new_file::Access;
use super::{Found, Unreachable};

/// The largest number of links that Linux follows in one path.
const MOST_LINKS: usize = 40;

/// A folder that is held open.
pub(super) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    itself: Stat,
    weakness: Option<String>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.path).finish()
    }
}

impl Folder {
    /// Walks to a folder. Besides root and this user, `guest` is trusted as an owner.
    pub(super) fn open(path: &Path, guest: Option<u32>) -> Result<Self, Unreachable> {
        Self::walk(path, &|owner| owner == 0 || owner == geteuid().as_raw() || Some(owner) == guest)
    }

    fn walk(path: &Path, is_trusted: &dyn Fn(u32) -> bool) -> Result<Self, Unreachable> {
        let mut ahead = Vec::new();
        put_before(&mut ahead, path);
        if path.is_relative() {
            put_before(&mut ahead, &std::env::current_dir().map_err(Unreachable::Io)?);
        }
        let mut here = Self::root()?;
        here.judge(is_trusted);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            let found = fs::statat(&here.handle, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(refused)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
                here.enter(&name)?;
                here.judge(is_trusted);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(refused(rustix::io::Errno::LOOP));
            }
            if !is_trusted(found.st_uid) {
                return Err(Unreachable::ForeignLink(here.path.join(name)));
            }
            let target = fs::readlinkat(&here.handle, &name, Vec::new()).map_err(refused)?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                let weakness = here.weakness.take();
                here = Self { weakness, ..Self::root()? };
            }
            put_before(&mut ahead, &target);
        }
        Ok(here)
    }

    fn root() -> Result<Self, Unreachable> {
        let handle = fs::openat(CWD, "/", walking(), Mode::empty()).map_err(refused)?;
        let itself = fs::fstat(&handle).map_err(refused)?;
        Ok(Self { handle, path: PathBuf::from("/"), itself, weakness: None })
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), Unreachable> {
        self.handle = fs::openat(&self.handle, name, walking(), Mode::empty()).map_err(refused)?;
        self.itself = fs::fstat(&self.handle).map_err(refused)?;
        if name == ".." {
            self.path.pop();
        } else {
            self.path.push(name);
        }
        Ok(())
    }

    /// Notes that others could swap what is in the folder where the walk has come to. The first such one is told.
    fn judge(&mut self, is_trusted: &dyn Fn(u32) -> bool) {
        let mode = Mode::from_raw_mode(self.itself.st_mode);
        let others_write = mode.intersects(Mode::WGRP | Mode::WOTH) && !self.is_sticky();
        let why = if !is_trusted(self.itself.st_uid) {
            "belongs to another user"
        } else if others_write {
            "can be written by other users"
        } else {
            return;
        };
        let shown = crate::text::quote(&self.path.to_string_lossy());
        self.weakness.get_or_insert_with(|| format!("{shown} {why}"));
    }

    /// Tells whether the folder is sticky: only its owner and a file's owner may replace the file.
    fn is_sticky(&self) -> bool {
        Mode::from_raw_mode(self.itself.st_mode).contains(Mode::SVTX)
    }

    /// The path without symbolic links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns why other users could swap what is in this folder, if they could.
    pub(super) fn weakness(&self) -> Option<&str> {
        self.weakness.as_deref()
    }

    /// Tells whether it belongs to this user, and is not the root of everything.
    pub(super) fn is_own(&self) -> bool {
        self.itself.st_uid == geteuid().as_raw() && self.path.parent().is_some()
    }

    /// Tells whether its path still leads to it.
    pub(super) fn is_still_there(&self) -> bool {
        fs::stat(&self.path)
            .is_ok_and(|now| (now.st_dev, now.st_ino) == (self.itself.st_dev, self.itself.st_ino))
    }

    /// Returns what has this name.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Found> {
        let found = match fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(Found::Nothing),
            other => other?,
        };
        Ok(match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => Found::Link,
            FileType::Directory => Found::Folder,
            FileType::RegularFile => {
                let user = geteuid();
                let may = !self.is_sticky()
                    || user.is_root()
                    || [self.itself.st_uid, found.st_uid].contains(&user.as_raw());
                if may { Found::File } else { Found::ForeignFile }
            }
            _ => Found::Other,
        })
    }

    /// Makes a file, which may not be there yet: not even as a symbolic link.
    pub(super) fn create(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(fs::openat(&self.handle, name, flags, mode(access))?))
    }

    /// Opens a file of this user's, without following a link and without waiting for anybody.
    #[cfg(feature = "renew")]
    pub(super) fn open_own(&self, name: &OsStr) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.handle, name, flags, Mode::empty()).ok()?;
        let found = fs::fstat(&file).ok()?;
        let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && found.st_uid == geteuid().as_raw();
        is_own.then(|| File::from(file))
    }

    /// Makes a file without a name (`O_TMPFILE`). Not every file system has them.
    #[cfg(target_os = "linux")]
    pub(super) fn create_unnamed(&self, access: Access) -> Option<File> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        fs::openat(&self.handle, ".", flags, mode(access)).ok().map(File::from)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn create_unnamed(&self, _: Access) -> Option<File> {
        None
    }

    /// Gives a file without a name this one, if nothing has it. That needs `/proc` (open(2), `O_TMPFILE`).
    pub(super) fn link(&self, file: &File, name: &OsStr) -> bool {
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::linkat(CWD, own, &self.handle, name, AtFlags::SYMLINK_FOLLOW).is_ok()
    }

    /// Renames within the folder; what has the new name is replaced.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &OsStr) {
        fs::unlinkat(&self.handle, name, AtFlags::empty()).ok();
    }
}

/// Checks whether the folder of a temporary file is to be taken from a runner that is another user: as root this may be a
/// container, whose folders belong to the runner's user outside, who has made this job.
pub(super) fn guest(folder: &Path, runner_temp: Option<PathBuf>) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let temp = runner_temp.filter(|_| geteuid().is_root())?;
    let temp = std::fs::canonicalize(temp).ok()?;
    let is_below = std::fs::canonicalize(folder).is_ok_and(|folder| folder.starts_with(&temp));
    std::fs::metadata(temp).ok().filter(|_| is_below).map(|temp| temp.uid())
}

/// Flags for a step of the walk. On Linux it needs no right to list the folder.
fn walking() -> OFlags {
    #[cfg(target_os = "linux")]
    let access = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let access = OFlags::RDONLY;
    access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Puts the components of a path before those that are still to be walked, which are held with the next one last.
fn put_before(ahead: &mut Vec<OsString>, path: &Path) {
    ahead.extend(path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    }));
}

fn mode(access: Access) -> Mode {
    Mode::from_raw_mode(match access {
        Access::Private => 0o600,
        Access::Public => 0o666,
    })
}

fn refused(errno: rustix::io::Errno) -> Unreachable {
    Unreachable::Io(errno.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, create_dir_all, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn root() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(root.path()).unwrap();
        (root, path)
    }

    #[test]
    fn links_and_dots_are_resolved_on_the_way() {
        let (_root, path) = root();
        create_dir_all(path.join("a/b")).unwrap();
        symlink(path.join("a"), path.join("absolute")).unwrap();
        symlink("../a", path.join("a/relative")).unwrap();
        symlink("loop", path.join("loop")).unwrap();
        for (way, end) in [
            ("a/b", "a/b"),
            ("absolute/b", "a/b"),
            ("a/relative/b/./..", "a"),
            ("absolute/../a/b/../../a", "a"),
        ] {
            assert_eq!(Folder::open(&path.join(way), None).unwrap().path(), path.join(end), "{way}");
        }
        let why = |way: &str| Folder::open(&path.join(way), None).map(drop).unwrap_err();
        assert!(matches!(why("loop/x"), Unreachable::Io(_)));
        assert!(matches!(why("none"), Unreachable::Io(error) if error.kind() == io::ErrorKind::NotFound));
        std::fs::write(path.join("file"), "").unwrap();
        assert!(
            matches!(why("file"), Unreachable::Io(error) if error.kind() == io::ErrorKind::NotADirectory)
        );
        let relative = Folder::open(Path::new("src"), None).unwrap();
        assert_eq!(relative.path(), std::env::current_dir().unwrap().join("src"));
    }

    #[test]
    fn every_folder_on_the_way_counts() {
        let (_root, path) = root();
        let folder = path.join("a/b/c");
        create_dir_all(&folder).unwrap();
        let weakness = || Folder::open(&folder, None).unwrap().weakness().map(ToOwned::to_owned);
        assert_eq!(weakness(), None);
        for (name, mode, is_weak) in [
            ("a", 0o777, true),
            ("a/b", 0o770, true),
            ("a/b", 0o720, true),
            ("a/b/c", 0o702, true),
            ("a", 0o1777, false),
            ("a/b/c", 0o1777, false),
            ("a/b", 0o755, false),
            ("a/b", 0o711, false),
        ] {
            set_permissions(path.join(name), Permissions::from_mode(mode)).unwrap();
            let expected = format!("\"{}\" can be written by other users", path.join(name).display());
            assert_eq!(weakness(), is_weak.then_some(expected), "{name} {mode:o}");
            set_permissions(path.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        // Also where a link leads away from it.
        set_permissions(path.join("a"), Permissions::from_mode(0o777)).unwrap();
        create_dir(path.join("elsewhere")).unwrap();
        symlink(path.join("elsewhere"), path.join("a/link")).unwrap();
        assert!(Folder::open(&path.join("a/link"), None).unwrap().weakness().is_some());
    }

    /// Checks what belongs to somebody else, without any rights to give it to somebody.
    #[test]
    fn owners_on_the_way_count() {
        let (_root, path) = root();
        create_dir(path.join("a")).unwrap();
        let to = |name: &str| Folder::walk(&path.join(name), &|_| false);
        assert_eq!(to("a").unwrap().weakness(), Some("\"/\" belongs to another user"));
        symlink("a", path.join("link")).unwrap();
        assert!(matches!(to("link"), Err(Unreachable::ForeignLink(link)) if link == path.join("link")));
        assert!(Folder::open(&path.join("link"), None).is_ok());
    }

    #[test]
    fn what_is_done_later_is_done_in_the_folder_that_was_reached() {
        let (_root, path) = root();
        create_dir_all(path.join("a/b")).unwrap();
        let folder = Folder::open(&path.join("a/b"), None).unwrap();
        assert!(folder.is_still_there());
        std::fs::rename(path.join("a"), path.join("moved")).unwrap();
        create_dir_all(path.join("a/b")).unwrap();
        assert!(!folder.is_still_there());
        drop(folder.create(OsStr::new("x"), Access::Private).unwrap());
        folder.rename(OsStr::new("x"), OsStr::new("y")).unwrap();
        assert!(path.join("moved/b/y").exists() && !path.join("a/b/y").exists());
        folder.remove(OsStr::new("y"));
        assert!(!path.join("moved/b/y").exists());
    }
}
