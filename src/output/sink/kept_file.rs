//! A file with a secret that is replaced whole, again and again, for as long as its owner lives.
//!
//! Beside it lies a file that its owner keeps locked. A lock ends with the process that holds it, whatever ended that: so
//! what a killed owner has left behind can be told from what is in use, and the next one removes it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Code, Error};
use crate::random;
use crate::text::quote;

use super::failed;
use super::folder::Folder;
use super::new_file::{Access, NewFile};

const PREFIX: &str = "equinix-wif-";
const TOKEN: &str = ".token";
const LOCK: &str = ".lock";

/// The file. It goes when this is dropped.
pub struct KeptFile {
    folder: Arc<Folder>,
    name: OsString,
    lock_name: OsString,
    /// Locked for as long as it is open.
    _lock: File,
}

impl KeptFile {
    /// Makes a place for a file in a folder, and removes what owners that are gone have left there.
    pub(super) fn open(folder: Folder) -> Result<Self, Error> {
        remove_leftovers(&folder);
        let id = random::hex()?;
        let (name, lock_name) =
            (format!("{PREFIX}{id}{TOKEN}").into(), OsString::from(format!("{PREFIX}{id}{LOCK}")));
        let lock = folder.create(&lock_name, Access::Private).map_err(|error| {
            let shown = quote(&folder.path().to_string_lossy());
            failed(&error, Code::OutOpen, &format!("no file can be made in the folder {shown}"))
        })?;
        // Whoever cleans up may have had it first: then there is none any more, and this file stays behind at worst.
        lock_now(&lock);
        Ok(Self { folder: Arc::new(folder), name, lock_name, _lock: lock })
    }

    /// Returns where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Puts new content in the place of what was there.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), Error> {
        let new = NewFile::open_in(Arc::clone(&self.folder), self.name.clone(), Access::Private)?;
        new.commit(bytes).map(drop)
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.folder.remove(&self.name);
        self.folder.remove(&self.lock_name);
    }
}

/// Removes files whose owner is gone.
fn remove_leftovers(folder: &Folder) {
    let Ok(entries) = std::fs::read_dir(folder.path()) else { return };
    for lock_name in entries.filter_map(|entry| Some(entry.ok()?.file_name())) {
        let Some(name) = beside(&lock_name) else { continue };
        // Held until both are gone.
        if let Some(_lock) = folder.open_own(&lock_name).filter(lock_now) {
            folder.remove(&name);
            folder.remove(&lock_name);
        }
    }
}

/// The name of the file beside a lock.
fn beside(lock_name: &OsStr) -> Option<OsString> {
    let id = lock_name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(LOCK)?;
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| format!("{PREFIX}{id}{TOKEN}").into())
}

/// Locks a file, unless somebody else has it locked.
#[cfg(unix)]
fn lock_now(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Locks nothing: Windows removes no file that is open, so a leftover stays until the temporary folder is emptied.
#[cfg(not(unix))]
fn lock_now(_: &File) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn count(folder: &std::path::Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn it_is_replaced_whole_and_goes_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let file = KeptFile::open(Folder::open(root.path(), None).unwrap()).unwrap();
        for text in ["the first token", "another"] {
            file.replace(text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
            assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o7777, 0o600);
        }
        assert_eq!(count(root.path()), 2);
        drop(file);
        assert_eq!(count(root.path()), 0);
    }

    #[test]
    fn what_the_dead_have_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let open = || KeptFile::open(Folder::open(root.path(), None).unwrap()).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let path = |name: &str| root.path().join(name);
        let kept = ["equinix-wif-x.lock", "equinix-wif-x.token", "other.lock", "equinix-wif-0.env"];
        for name in kept {
            fs::write(path(name), "").unwrap();
        }
        std::os::unix::fs::symlink(path("other.lock"), path(&format!("equinix-wif-{}.lock", "a".repeat(32))))
            .unwrap();
        fs::write(path(&format!("equinix-wif-{id}.lock")), "").unwrap();
        fs::write(path(&format!("equinix-wif-{id}.token")), "a token").unwrap();
        let living = open();
        living.replace(b"in use").unwrap();
        let next = open();
        assert!(!path(&format!("equinix-wif-{id}.token")).exists());
        assert!(!path(&format!("equinix-wif-{id}.lock")).exists());
        assert_eq!(fs::read_to_string(living.path()).unwrap(), "in use");
        drop((living, next));
        assert_eq!(count(root.path()), kept.len() + 1);
    }
}
