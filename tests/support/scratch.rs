//! The place for the folders of jobs: in memory, where that is possible. Thousands of jobs make a dozen files each, and a
//! tenth of what they take is the disk's.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Returns where jobs have their folders: a file system in memory if there is one, else the usual place. Whoever sets
/// `TMPDIR` has the last word.
pub fn place() -> &'static Path {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| in_memory().unwrap_or_else(std::env::temp_dir));
    &PLACE
}

#[cfg(target_os = "linux")]
fn in_memory() -> Option<PathBuf> {
    use rustix::fs::{StatVfsMountFlags, statvfs};

    const IN_MEMORY: &str = "/dev/shm";
    /// Many times what the jobs need that run at once. Containers often have less.
    const ENOUGH: u64 = 1 << 30;

    let found = statvfs(IN_MEMORY).ok()?;
    // Jobs run scripts from their folders.
    let runs_programs = !found.f_flag.intersects(StatVfsMountFlags::NOEXEC.union(StatVfsMountFlags::RDONLY));
    let has_room = found.f_bavail.saturating_mul(found.f_frsize) >= ENOUGH;
    let is_ours = || tempfile::tempdir_in(IN_MEMORY).is_ok();
    let is_usable = std::env::var_os("TMPDIR").is_none() && runs_programs && has_room && is_ours();
    is_usable.then(|| IN_MEMORY.into())
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> Option<PathBuf> {
    None
}
