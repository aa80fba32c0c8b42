//! Questions to the operating system about users, and its flags for opening files.

use std::fs::{File, Metadata, OpenOptions};
use std::io;

/// Tells whether a runner file is one that the runner made for this step: it is our own, or root's. As root this may be a
/// container, whose files belong to the runner's user outside.
#[cfg(unix)]
pub(super) fn is_ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid();
    user.is_root() || [0, user.as_raw()].contains(&metadata.uid())
}

#[cfg(not(unix))]
pub(super) fn is_ours(_: &Metadata) -> bool {
    true
}

/// Sets the flags to open without following a link at the end of the path, and without blocking, so that a FIFO that
/// took the file's place does not hold up the run.
#[cfg(unix)]
pub(super) fn no_follow(options: &mut OpenOptions) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
}

#[cfg(not(unix))]
pub(super) fn no_follow(_: &mut OpenOptions) {}

/// Sets the rights of a file that is made: its user may read and write it, and nobody else.
#[cfg(unix)]
pub(super) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
pub(super) fn private(_: &mut OpenOptions) {}

/// Makes sure that so many bytes can be appended: neither this process's limit nor, where the file system can tell, the
/// disk or a quota is in the way. The file stays as long as it is.
#[cfg(unix)]
pub(super) fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    use rustix::process::{Resource, getrlimit};
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let end = file.metadata()?.len();
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < end.saturating_add(bytes)) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    reserve_blocks(file, end, bytes)
}

#[cfg(not(unix))]
pub(super) fn reserve(_: &File, _: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn reserve_blocks(file: &File, end: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, end, bytes) {
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
        // Not every file system can; then the write itself tells.
        _ => Ok(()),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn reserve_blocks(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}
